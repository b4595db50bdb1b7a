"""What a user may choose about quantization. Every field is a key of qglow.toml and an option of `qglow quantize`."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..arguments import number_of, path_of, quoted, shown
from ..errors import ConfigError
from ..graph import Graph, Node
from ..ops.traits import MATRIX_PRODUCT
from ..toml import read_toml

DYNAMIC = "int8_dynamic"
BLOCK_BITS = {"int4_block": 4, "int8_block": 8, DYNAMIC: 8}
BLOCK_SIZES = (16, 32, 64, 128, 256)
PATTERNS = ("exclude", "include", "block_nodes", "int16")
CALIBRATIONS = ("auto", "minmax", "percentile", "mse", "entropy")
CHOICES: dict[str, tuple[str, ...] | tuple[int, ...]] = {  # of the fields that have some
    "activations": ("uint8", "int8", "int16"),
    "weights": ("per_channel", "per_tensor", *BLOCK_BITS),
    "block_size": BLOCK_SIZES,
    "calibration": CALIBRATIONS,
    "io": ("float", "int8", "uint8"),
    "effort": ("fast", "default", "best"),
}


@dataclass(frozen=True, slots=True)
class QuantConfig:
    """activations: uint8 (asymmetric), int8 or int16 (symmetric). int16: nodes of which all activations are int16, as
    `exclude` names nodes, and single values by their names; the others are as `activations` says.

    weights: per_channel or per_tensor, int8 in [-127, 127]; int4_block or
    int8_block: large matrix products have a scale for each block of `block_size` weights, and rows of activations that
    are int8 by their own range; other products are per_channel. int8_dynamic: the same of all matrix products but tiny
    ones, with one scale an output channel, which asks for no calibration. block_nodes: the products that have
    block-wise weights, as `exclude` names nodes (default: large ones, see block_weights.py).

    calibration: how a range is taken from a histogram; auto: `mse`, or `minmax` where samples that calibration did not
    see gain by it. percentile: the part of the values kept, in percent.
    power_of_two: scales are powers of two. exclude / include: nodes that stay float, and nodes that do not although
    excluded, each a node's or a value's name, `op:TYPE`, or `re:PATTERN` (searched in the names). float_outputs:
    products and averages whose results are outputs of the graph give float32 directly, without rounding to 8 bits, and
    a classifier's scores stay float. io: inputs and outputs of the bundle are float as the model's, or the integers
    that these are quantized to, as int8 or uint8. balance_channels: channels in units of their own (22). correct_bias:
    biases less the shift of rounded weights (26). min_sqnr_db / max_accuracy_drop: a target for every output, in dB, or
    for top-1 accuracy below float, in points (needs labels): layers are kept float until it is met.
    min_agreement_sqnr_db: below this signal-to-noise ratio of an output, quantization counts as broken. widen_percent:
    16-bit activations and float layers may add so much to the estimated time where int8 alone is below 20 dB, and 8
    times as much, up to the time of float, where the result is below 12 dB; 0: none.
    effort: fast tries nothing on samples: ranges of `auto` are those of `mse`, biases are corrected by the profile's
    means alone, and no format is wider than asked for. Centred attentions, the check and a target are as by default.
    best: block-wise weights learn their rounding from samples too (55), where that gains on others.
    """

    activations: str = "uint8"
    int16: tuple[str, ...] = ()
    weights: str = "per_channel"
    block_size: int = 32
    block_nodes: tuple[str, ...] = ()
    calibration: str = "auto"
    percentile: float = 99.99
    power_of_two: bool = False
    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    float_outputs: bool = True
    io: str = "float"
    balance_channels: bool = True
    correct_bias: bool = True
    min_agreement_sqnr_db: float = 3.0
    widen_percent: float = 50.0
    effort: str = "default"
    min_sqnr_db: float | None = None
    max_accuracy_drop: float | None = None

    def __post_init__(self) -> None:
        for name in PATTERNS:
            patterns = getattr(self, name)
            if not isinstance(patterns, (list, tuple)) or not all(isinstance(p, str) for p in patterns):
                raise ConfigError(f"{name} must be a tuple of names, `op:TYPE` or `re:PATTERN`; got {shown(patterns)}")
            object.__setattr__(self, name, tuple(patterns))
        for f in fields(QuantConfig):
            value = getattr(self, f.name)
            if isinstance(f.default, bool) and not isinstance(value, bool):
                raise ConfigError(f"{f.name} must be true or false, got {shown(value)}")
            if isinstance(f.default, float) or (f.default is None and value is not None):
                number_of(value, f.name)
        for name in ("activations", "weights", "calibration", "io", "effort"):
            _one_of(name, getattr(self, name), CHOICES[name])
        if type(self.block_size) is not int or self.block_size not in BLOCK_SIZES:
            raise ConfigError(
                f"block_size must be one of {', '.join(map(str, BLOCK_SIZES))}; got {shown(self.block_size)}"
            )
        if self.block_nodes and not self.block_bits:
            raise ConfigError(f"block_nodes needs weights of {' or '.join(BLOCK_BITS)}, got {self.weights}")
        if not 50 < self.percentile <= 100:
            raise ConfigError(f"percentile must be above 50 and at most 100, got {self.percentile}")
        if not 0 <= self.widen_percent <= 1000:
            raise ConfigError(f"widen_percent must be 0 to 1000, got {self.widen_percent}")
        for name in ("min_sqnr_db", "max_accuracy_drop"):
            target = getattr(self, name)
            if target is not None and not 0 <= target <= 200:
                raise ConfigError(f"{name} must be 0 to 200, got {target}")
        for pattern in (p for name in PATTERNS for p in getattr(self, name)):
            if pattern.startswith("re:"):
                try:
                    re.compile(pattern[3:])
                except re.error as error:
                    raise ConfigError(f"{pattern!r} is not a valid regular expression: {error}") from error

    @staticmethod
    def load(path: str | Path) -> QuantConfig:
        """Read a TOML file: the fields at top level or in a table [quantize]."""
        path = path_of(path, "the configuration", ConfigError, "the path of a .toml file")
        raw = read_toml(path, ConfigError, "no such configuration file")
        table = raw.get("quantize", raw)
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: expected [quantize] to be a table, got {quoted(table)}")
        return QuantConfig.of(table, str(path))

    @staticmethod
    def of(values: dict[str, Any], where: str = "configuration") -> QuantConfig:
        """From plain values; raises ConfigError for an unknown field or a value of the wrong kind."""
        known = {f.name: f for f in fields(QuantConfig)}
        for name, value in values.items():
            if name not in known:
                raise ConfigError(f"{where}: unknown field {name!r}; known are {sorted(known)}")
            default = known[name].default
            # NOTE: block_size is a whole number, which the class checks
            number = default is None or isinstance(default, float)
            wanted = (list, tuple) if isinstance(default, tuple) else (int, float) if number else type(default)
            strange = (
                isinstance(default, tuple)
                and isinstance(value, (list, tuple))
                and not all(isinstance(v, str) for v in value)
            )
            if not isinstance(value, wanted) or strange or (number and isinstance(value, bool)):
                raise ConfigError(
                    f"{where}: field {name!r}: expected {'float' if number else type(default).__name__}, got "
                    f"{quoted(value)}"
                )
        given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return QuantConfig(**given)

    def changed(self) -> dict[str, Any]:
        """The fields that differ from their defaults, as plain values."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in given.items()}

    @property
    def has_target(self) -> bool:
        return self.min_sqnr_db is not None or self.max_accuracy_drop is not None

    @property
    def tries(self) -> bool:
        """Whether choices that nobody made are tried on samples."""
        return self.effort != "fast"

    @property
    def learns_rounding(self) -> bool:
        """Whether block-wise weights learn it from samples."""
        return self.effort == "best" and bool(self.block_bits) and self.weights != DYNAMIC

    def check_names(self, graph: Graph) -> None:
        """Raises ConfigError, with what is spelled alike, where an exclude or include matches no node of the graph."""
        known = {name for n in graph.nodes for name in (n.name, *n.outputs, f"op:{n.operator}") if name}
        for field, patterns in ((name, getattr(self, name)) for name in PATTERNS):
            for pattern in patterns:
                names_input = field == "int16" and pattern in graph.inputs
                if not names_input and not any(_matches(pattern, n) for n in graph.nodes):
                    alike = get_close_matches(pattern, known, 3)
                    hint = (
                        f"spelled alike are {', '.join(map(repr, alike))}"
                        if alike
                        else "`qglow inspect MODEL.onnx` shows them"
                    )
                    raise ConfigError(f"{field} {pattern!r} matches no node of the model; {hint}")

    @property
    def block_bits(self) -> int:
        """Bits of block-wise weights; 0 where none are asked for."""
        return BLOCK_BITS.get(self.weights, 0)

    def in_blocks(self, node: Node) -> bool:
        """Whether the user names the node among those with block-wise weights. `re:` names, of all that it matches, the
        products."""
        patterns = (
            self.block_nodes if node.has(MATRIX_PRODUCT) else [p for p in self.block_nodes if not p.startswith("re:")]
        )
        return any(_matches(p, node) for p in patterns)

    def is_int16(self, node: Node) -> bool:
        """Whether the user wants all activations of the node as int16. A name of a value names that value alone."""
        return any(p == node.name if p in (node.name, *node.outputs) else _matches(p, node) for p in self.int16)

    def included(self, node: Node) -> bool:
        """Whether the user wants the node int8 although a rule would keep it float."""
        return any(_matches(p, node) for p in self.include)

    def excluded(self, node: Node) -> str | None:
        """The pattern that keeps a node float, or None."""
        match = next((p for p in self.exclude if _matches(p, node)), None)
        return None if match is None or self.included(node) else match


def _matches(pattern: str, node: Node) -> bool:
    if pattern.startswith("op:"):
        return node.operator == pattern[3:]
    names = (node.name, *node.outputs)
    return any(re.search(pattern[3:], n) for n in names) if pattern.startswith("re:") else pattern in names


def _one_of(name: str, value: object, known: tuple[Any, ...]) -> None:
    if not isinstance(value, str) or value not in known:
        raise ConfigError(f"{name} must be one of {', '.join(known)}; got {shown(value)}")
