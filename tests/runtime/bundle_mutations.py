"""Bundles changed by what they are made of: dimensions, attributes, kinds, names, parameters, constants; sealed anew.

`python bundle_mutations.py FIRST COUNT BUNDLE...`: each case is a seed. A case is refused with a QGlowError, or runs
and gives what the reference gives; anything else is printed with its seed, and what is being tried comes before it, so
that a crash is known by its seed.
"""

from __future__ import annotations

import re
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

import qglow
from qglow.errors import QGlowError, VerifyError
from qglow.graph import Array, DType, Graph
from qglow.graph.digest import digest
from qglow.reference import evaluate
from qglow.runtime.seal import sealed

Rng = np.random.Generator
SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 64, 100, 255, 256, 1000)
NUMBERS = (-2147483649, -257, -129, -128, -9, -3, -2, -1, *SIZES, 32767, 65535, 65536, 2147483648)
SCALES = ("1e-30", "1e-38", "0.5", "1.0", "3.0", "65536.0", "1e30", "1.401298464324817e-45")
DTYPES = tuple(k.value for k in DType)
OPS = ("Conv", "Add", "Sub", "Mul", "Div", "MaxPool", "AveragePool", "Concat", "Softmax", "Quantize", "Dequantize",
    "Lookup", "Flatten",
       "Transpose", "MatMul", "GlobalAveragePool", "Reshape", "Slice", "ConvTranspose", "Gemm", "Identity",
       "LayerNormalization", "Pad",
       "QSoftmax", "QLayerNormalization", "QLSTM",
       "Split", "Resize", "Relu", "Sigmoid", "ReduceMean", "LSTM", "Gather", "Expand", "Where", "Clip", "ArgMax",
       "InstanceNormalization",
       "Squeeze", "Unsqueeze", "Tile", "DepthToSpace", "SpaceToDepth", "Select", "PRelu", "Pow", "Cast")  # fmt: skip
ATTRIBUTES = ("axis", "kernel_shape", "strides", "pads", "dilations", "group", "auto_pad", "ceil_mode",
    "count_include_pad", "keepdims",
              "transA", "transB", "alpha", "beta", "hidden_size", "direction", "mode", "blocksize", "perm", "qmin",
              "qmax", "epsilon",
              "output_padding", "output_shape", "nearest_mode", "coordinate_transformation_mode", "layout", "clip",
              "storage_order",
              "select_last_index", "allowzero", "axes", "antialias", "linear_before_reset")  # fmt: skip
WORDS = ("SAME_UPPER", "SAME_LOWER", "VALID", "bidirectional", "reverse", "linear", "nearest", "cubic", "CRD", "edge",
    "reflect", "tanh",
         "align_corners", "tf_crop_and_resize", "wrap", "x")  # fmt: skip
MOST = 1 << 18  # elements of a value that a case may ask for


@dataclass
class Parts:
    """The graph's text as lines, and the constants that it names by hash."""

    lines: list[str]
    arrays: dict[str, Array]

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def _pick(rng: Rng, found: list[int]) -> int | None:
    return found[rng.integers(len(found))] if found else None


def _line(rng: Rng, parts: Parts, pattern: str) -> tuple[int, re.Match[str]] | None:
    """A line, and one of the places in it, that a pattern matches."""
    found = [(k, m) for k, line in enumerate(parts.lines) for m in re.finditer(pattern, line)]
    return found[rng.integers(len(found))] if found else None


def _put(parts: Parts, k: int, m: re.Match[str], text: str, group: int = 0) -> None:
    parts.lines[k] = parts.lines[k][: m.start(group)] + text + parts.lines[k][m.end(group) :]


def dimension(rng: Rng, parts: Parts) -> None:
    """A size of a declared shape; of a constant with its data too."""
    if (found := _line(rng, parts, r"(?<=[\[,])\d+(?=[,\]][^=]*?(?: = |$|<|:|,))")) is not None:
        _put(parts, *found, str(rng.choice(SIZES)))


def attribute(rng: Rng, parts: Parts) -> None:
    """A number or a word within the attributes of a node."""
    found = _line(rng, parts, r"(?<=[\[ ])-?\d+(?:\.\d+)?(?:e-?\d+)?(?=[,\]}])")
    if found is not None and "{" in parts.lines[found[0]]:
        _put(parts, *found, str(rng.choice(NUMBERS)))


def more(rng: Rng, parts: Parts) -> None:
    """An attribute more, or another one for one that is there."""
    if (found := _line(rng, parts, r" = \w+\([^)]*\) (\{.*?\} )?(?=\")")) is None:
        return
    k, m = found
    value = [
        str(rng.choice(NUMBERS)),
        f'"{rng.choice(WORDS)}"',
        str([int(v) for v in rng.choice(NUMBERS, rng.integers(0, 5))]),
        "0.5",
    ]
    entry = f'"{rng.choice(ATTRIBUTES)}": {value[rng.integers(4)]}'
    old = m.group(1)
    new = f"{{{entry}}} " if not old else f"{old.strip()[:-1]}, {entry}}} "
    at = m.start(1) if old else m.end()
    parts.lines[k] = parts.lines[k][:at] + new + parts.lines[k][m.end() :]


def fewer(rng: Rng, parts: Parts) -> None:
    """A node without its attributes."""
    if (found := _line(rng, parts, r"(?<=\) )\{.*\} (?=\")")) is not None:
        _put(parts, *found, "")


def kind(rng: Rng, parts: Parts) -> None:
    if (found := _line(rng, parts, r"(?<=: )(?:" + "|".join(DTYPES) + r")(?=\[)")) is not None:
        _put(parts, *found, str(rng.choice(DTYPES)))


def name(rng: Rng, parts: Parts) -> None:
    """A value is read or written where another was."""
    found, other = _line(rng, parts, r"%[\w./:\-]*\w"), _line(rng, parts, r"%[\w./:\-]*\w")
    if found is not None and other is not None:
        _put(parts, *found, other[1].group())


def operator(rng: Rng, parts: Parts) -> None:
    if (found := _line(rng, parts, r"(?<= = )\w+(?=\()")) is not None:
        _put(parts, *found, str(rng.choice(OPS)))


def parameter(rng: Rng, parts: Parts) -> None:
    """A scale or a zero point; or one parameter more, or fewer."""
    how = rng.integers(4)
    if how == 0 and (found := _line(rng, parts, r"<[^>]*>")) is not None:
        _put(parts, *found, "")
    elif how == 1 and (found := _line(rng, parts, r"(?<=\])(?= = \w+\()")) is not None:
        _put(parts, *found, "<0.5, 3>")
    elif (found := _line(rng, parts, r"(?<=[<\[ ])[\d.e\-]+(?=[,\]>][^=]*?(?: = |$))")) is not None:
        _put(parts, *found, str(rng.choice(SCALES if "." in found[1].group() else [str(n) for n in NUMBERS])))


def shift(rng: Rng, parts: Parts) -> None:
    """A line goes, comes twice, or changes places with the next; or an operand goes."""
    k, how = int(rng.integers(len(parts.lines) - 1)), rng.integers(5)
    if how >= 3 and (found := _line(rng, parts, r"(?<=[(,] )%[\w./]+(?=[,)])|(?<=\()%[\w./]+, ")) is not None:
        _put(parts, *found, "_" if not found[1].group().endswith(", ") else "")
        return
    pair = parts.lines[k : k + 2]
    parts.lines[k : k + 2] = [pair[1:], [pair[0], *pair], pair[::-1]][how % 3]


def constant(rng: Rng, parts: Parts) -> None:
    """Elements of a constant become extreme."""
    if not parts.arrays:
        return
    key = sorted(parts.arrays)[rng.integers(len(parts.arrays))]
    array, before = parts.arrays[key].copy(), digest(parts.arrays[key])
    if array.size:
        low, high = (-1e30, 1e30) if array.dtype.kind == "f" else (0, 1) if array.dtype.kind == "b" else _limits(array)
        array.reshape(-1)[rng.integers(array.size) :: rng.choice((1, 7, 1 << 20))] = rng.choice(
            np.array((low, high, 0, 1), array.dtype)
        )
    _replace(parts, key, before, array)


def _limits(array: Array) -> tuple[int, int]:
    info = np.iinfo(array.dtype)
    return int(info.min), int(info.max)


def reshaped(rng: Rng, parts: Parts) -> None:
    """A constant of another shape or kind, as its line says or not."""
    if not parts.arrays:
        return
    key = sorted(parts.arrays)[rng.integers(len(parts.arrays))]
    array, before = parts.arrays[key], digest(parts.arrays[key])
    changed = (array.reshape(-1), array[..., :-1] if array.ndim else array, array.T, array[:1] if array.ndim else array,
               array.astype(rng.choice(("f4", "f8", "i4", "i8", "u1", "i1", "f2"))))  # fmt: skip
    new = np.ascontiguousarray(changed[rng.integers(len(changed))])
    _replace(parts, key, before, new)
    if rng.integers(4):
        said = f"{DType.of(new.dtype).value}[{','.join(map(str, new.shape))}]"
        for k, line in enumerate(parts.lines):
            if line.startswith(f"const %{key}: "):
                parts.lines[k] = re.sub(r": \w+\[[^\]]*\]", f": {said}", line, count=1)


def _replace(parts: Parts, key: str, before: str, array: Array) -> None:
    parts.arrays[key] = array
    parts.lines[:] = [line.replace(before, digest(array)) for line in parts.lines]


def erase(parts: Parts) -> None:
    """No declared shapes but of inputs and constants: what would be refused when loaded comes as far as planning."""
    for k, line in enumerate(parts.lines):
        if line.startswith("%"):
            head, _, tail = line.partition(" = ")
            parts.lines[k] = re.sub(r"(: \w+)\[[^\]]*\]", r"\1[*]", head) + " = " + tail


MUTATIONS: tuple[Callable[[Rng, Parts], None], ...] = (
    dimension, dimension, attribute, attribute, attribute, more, more, fewer,
    kind, name, operator, parameter, shift, constant, reshaped, reshaped,
)  # fmt: skip


def mutated(seed: int, text: str, arrays: dict[str, Array]) -> Parts:
    """The case of a seed: one to three changes, in half of the cases over a graph without declared shapes."""
    rng = np.random.default_rng(seed)
    parts = Parts(text.splitlines(), dict(arrays))
    if rng.integers(2):
        erase(parts)
    for _ in range(rng.integers(1, 4)):
        MUTATIONS[rng.integers(len(MUTATIONS))](rng, parts)
    return parts


def feeds_of(graph: Graph) -> dict[str, Array]:
    rng, feeds = np.random.default_rng(0), {}
    for key in graph.inputs:
        t = graph.types[key]
        shape = tuple(d if isinstance(d, int) else 2 for d in t.shape or ())
        if np.prod(shape, dtype=float) > MOST or t.dtype is DType.STRING:
            raise QGlowError("too large for a test")
        feeds[key] = (rng.normal(0, 1, shape) if t.dtype.is_float else rng.integers(0, 3, shape)).astype(t.dtype.numpy)
    return feeds


def outcome(data: bytes, path: Path) -> str:
    """`refused`, `ran`, or what is wrong."""
    path.write_bytes(data)
    try:
        bundle = qglow.load(path)
        feeds = feeds_of(bundle.graph)
    except QGlowError as error:
        return _said(error)
    try:
        got = dict(zip(bundle.graph.outputs, qglow.InferenceSession(bundle, threads=2).run(None, feeds), strict=True))
    except VerifyError as error:
        return "disproven: " + str(error) if str(error).startswith("program ") else _said(error)
    except QGlowError as error:
        return _said(error)
    try:
        want = evaluate(bundle.graph, feeds)
    except QGlowError as error:
        return f"ran, but not on the reference: {error}"
    for key, array in want.items():
        if not np.array_equal(got[key], array, equal_nan=array.dtype.kind == "f"):
            return f"{key} differs from the reference"
    return "ran"


def _said(error: QGlowError) -> str:
    text = str(error)
    return "refused" if "\n" not in text and "cannot run on" not in text else f"unforeseen: {text}"


def main(first: int, count: int, bundles: list[Path]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    np.seterr(all="ignore")
    whole = []
    for path in bundles:
        with safe_open(str(path), framework="numpy") as file:
            whole.append((path.stem, {k: file.get_tensor(k) for k in file.keys()}, file.metadata()))  # noqa: SIM118
    folder = Path(sys.argv[0]).parent if not bundles else bundles[0].parent
    seen: dict[str, int] = {}
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError("20 seconds")))
    for seed in range(first, first + count):
        stem, arrays, metadata = whole[seed % len(whole)]
        print(f"try {seed} {stem}", flush=True)
        signal.alarm(20)
        try:
            parts = mutated(seed // len(whole), metadata["graph"], arrays)
            said = outcome(
                sealed(save(parts.arrays, {**metadata, "graph": parts.text}), parts.arrays),
                folder / f"tried{first}.qglow_",
            )
        except Exception as error:  # NOTE: what is no QGlowError is what is looked for
            said = f"raised {type(error).__name__}: {error}"
        signal.alarm(0)
        seen[said.partition(":")[0]] = seen.get(said.partition(":")[0], 0) + 1
        if said not in ("ran", "refused"):
            print(f"fault {seed} {stem}: {said[:600]}", flush=True)
    print(f"seen {seen}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), [Path(p) for p in sys.argv[3:]])
