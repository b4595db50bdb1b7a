"""qglow quantize: make an int8 bundle."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..errors import AccuracyError, ConfigError
from ..files import check_writable
from ..graph.blocks import IN_BLOCKS
from ..pipeline import ReadModel, needs_profile, profile, quantize
from ..profiling import Profile
from ..quantization.config import CHOICES, DYNAMIC, QuantConfig
from ..report.comparison import ratio_db
from ..report.plots import POOR_DB
from ..report.verdict import described
from ..report.widen import POOR_DB as WIDEN_BELOW_DB
from ..runtime import Bundle
from ..runtime.manifest import Manifest
from ..runtime.step_profile import host_nodes
from ..words import counted, points_lost, size_beside
from .options import duration, finite, one_of
from .quantize_notes import warnings_of

EXAMPLES = """examples:
  qglow quantize model.onnx --data images/         profile and quantize in one
  qglow quantize model.onnx --profile p.json -o model.qglow
  qglow quantize model.onnx --profile p.json --exclude op:Softmax
  qglow quantize model.onnx --profile p.json --calibration percentile
  qglow quantize model.onnx --weights int4_block   4-bit weights, no data
  qglow quantize model.onnx --weights int4_block --effort best --data texts/
  qglow quantize model.onnx --dynamic              int8 weights, no data
  qglow quantize model.onnx --profile p.json --data images/ --min-sqnr-db 20
"""
NO_SEARCH = "without --min-sqnr-db or --max-accuracy-drop there is no search"
FIELD_HELP = {  # of every field of the configuration, in a line
    "activations": "activations",
    "int16": "nodes or values that are int16",
    "weights": "weights",
    "block_size": "weights that share a scale in blocks",
    "block_nodes": "products with block-wise weights (default: large ones)",
    "calibration": "how a range is taken from values",
    "percentile": "the part of the values that --calibration percentile keeps",
    "power_of_two": "scales are powers of two",
    "exclude": "nodes that stay float",
    "include": "nodes that do not, although excluded",
    "float_outputs": "products that are outputs of the model give float32 directly",
    "io": "inputs and outputs of the bundle",
    "balance_channels": "scale channels so that their ranges are alike",
    "correct_bias": "take the shift that rounded weights cause out of biases",
    "min_agreement_sqnr_db": "below this int8 counts as broken",
    "widen_percent": "time that 16 bits or float may add where int8 is poor; 0: none",
    "effort": "fast: no trials; best: weights in blocks learn to round",
    "min_sqnr_db": "target: layers stay float until every output reaches it",
    "max_accuracy_drop": "target: of top-1 accuracy, in points; needs labels",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL.onnx")
    said = "from qglow profile; not for a model that came quantized, nor for block-wise weights"
    parser.add_argument("--profile", metavar="FILE", help=said)
    parser.add_argument("-o", "--output", metavar="NAME.qglow", help="default: the model's name, here")
    parser.add_argument("--config", metavar="qglow.toml", help="the fields below, in a file")
    parser.add_argument("--data", help="samples to judge int8 by; without --profile they are profiled first")
    parser.add_argument(
        "--budget",
        type=duration,
        metavar="TIME",
        help="of the search for a target, or of --effort best, such as 60s: keep the best by then",
    )
    parser.add_argument(
        "--no-check", action="store_true", help="do not compare float and int8 before the bundle is accepted"
    )
    parser.add_argument("--dump-dir", help="write every stage's graph there as text")
    parser.add_argument(
        "--dynamic",
        action="store_true",
        help="int8 weights in matrix products, ranges at run time: needs no profile",
    )
    group = parser.add_argument_group(
        "fields of the configuration", "NODES: a node's or a value's name, op:TYPE or re:PATTERN; may be given again"
    )
    for f in fields(QuantConfig):
        add_field(group, f.name, f.default)


def add_field(parser: argparse._ArgumentGroup, name: str, default: Any) -> None:
    """The option of a field of the configuration: its default, its choices and its help are the field's."""
    option, said = f"--{name.replace('_', '-')}", FIELD_HELP[name]
    if isinstance(default, tuple):
        parser.add_argument(option, action="append", metavar="NODES", help=said)
    elif isinstance(default, bool):
        parser.add_argument(option, action=argparse.BooleanOptionalAction, default=None, help=said)
    elif name in CHOICES:
        known = CHOICES[name]
        said = f"{said}: {', '.join(f'{k} (default)' if k == default else str(k) for k in known)}"
        read = one_of(name, known)
        parser.add_argument(option, type=read, choices=known, default=None, metavar="CHOICE", help=said)
    else:
        shown = said if default is None else f"{said} (default {default})"
        metavar = "DB" if name.endswith("_db") else "POINTS" if name.endswith("_drop") else "PERCENT"
        parser.add_argument(option, type=finite, default=None, metavar=metavar, help=shown)


def run(options: argparse.Namespace) -> int:
    config = QuantConfig.load(options.config) if options.config else QuantConfig()
    given: dict[str, Any] = {f.name: v for f in fields(QuantConfig) if (v := getattr(options, f.name)) is not None}
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    if options.dynamic:
        if options.profile or "weights" in given:
            raise ConfigError(f"--dynamic needs no {'--profile' if options.profile else '--weights'}: leave it out")
        given["weights"] = DYNAMIC
    config = replace(config, **given)
    if options.model.endswith(".qglow"):
        raise ConfigError(f"{options.model}: a bundle, which is quantized already; give the model that it was made of")
    if options.no_check and config.has_target:
        raise ConfigError("--no-check compares nothing, and a target is judged by comparing: leave one of the two out")
    path = check_writable(
        options.output or f"{Path(options.model).stem}.qglow", options.model, options.profile, options.config
    )
    may_profile = options.data and not options.profile and not config.block_bits
    model = ReadModel(options.model) if may_profile else options.model
    recorded = _profiled_now(model, options, config) if may_profile else None
    check = False if options.no_check else recorded is not None or options.data or True
    try:
        bundle = quantize(
            model, recorded or options.profile, config, check=check, budget=options.budget,
            dump_dir=options.dump_dir, progress=not options.quiet,
        )  # fmt: skip
    except AccuracyError as error:
        broken = path.with_suffix(".broken.qglow")
        error.bundle.save(broken)  # type: ignore[attr-defined]
        raise AccuracyError(f"{error}; the bundle is kept as {broken}") from error
    bundle.save(path)
    _say(path, bundle, config, options, bool(check), bool(recorded or options.profile))
    if options.no_check and options.data and recorded is None and not config.has_target:
        print("warning: --data had no effect: --no-check compares nothing", file=sys.stderr)
    return 0


def _profiled_now(model: ReadModel, options: argparse.Namespace, config: QuantConfig) -> Profile | None:
    """The profile of --data where the model needs one."""
    if not needs_profile(model, config):
        return None
    if config.max_accuracy_drop is not None:
        raise ConfigError(
            "--max-accuracy-drop is judged on samples that calibration did not see: profile others first (`qglow "
            "profile`), and give --profile FILE with --data of labelled ones"
        )
    recorded = profile(model, options.data, progress=not options.quiet)
    for warning in recorded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if not options.quiet:
        held = f", {len(recorded.held_back)} of them held back to judge int8 by" if recorded.held_back else ""
        print(f"profiled {counted(len(recorded.tensors), 'tensor')} over {counted(recorded.samples, 'sample')}{held}")
    return recorded


def _say(
    path: Path, bundle: Bundle, config: QuantConfig, options: argparse.Namespace, check: bool, profiled: bool
) -> None:
    """The account on standard output, and warnings below it."""
    if bundle.manifest["agreement"] is None and check and profiled:
        print(
            "warning: not compared with float: the profile keeps no samples that fit; give --data, or profile again",
            file=sys.stderr,
        )
    if not options.quiet:
        _print_account(path, bundle.manifest, host_nodes(bundle.graph))
    compared = (bundle.manifest["agreement"] or {"outputs": {}})["outputs"].values()
    worst = min((ratio_db(e) for e in compared), default=POOR_DB)
    if worst < POOR_DB:
        advice = (
            "`qglow report` says what that costs and which layers it comes from, --min-sqnr-db 20 keeps those float"
        )
        print(f"warning: int8 agrees weakly with float, {worst:.1f} dB: {advice}", file=sys.stderr)
    written = {f.name: v for f in fields(QuantConfig) if (v := getattr(config, f.name)) != f.default}
    if options.budget is not None and not config.has_target and not config.learns_rounding:
        print(f"warning: --budget had no effect: {NO_SEARCH}", file=sys.stderr)
    for said in warnings_of(bundle.manifest, config, written, profiled):
        print(f"warning: {said}", file=sys.stderr)


def _print_target(target: dict[str, Any] | None) -> None:
    if target is None:
        return
    kept, before, after = target["kept_float"], target["int8"], target["reached"]
    drops = [f", {points_lost(s['accuracy_drop'])}" if s["accuracy_drop"] is not None else "" for s in (before, after)]
    over = f"{counted(after['samples'], 'sample')}, {target['judged_on']}"
    met = "target met" if target["sure"] else "target reached, by too few samples to tell whether it is met"
    print(f"{met}: {after['sqnr_db']:.1f} dB{drops[1]}; int8 throughout: {before['sqnr_db']:.1f} dB{drops[0]}")
    print(f"  judged on {over}: {after['low_db']:.1f} to {after['high_db']:.1f} dB")
    if kept or target["int16"]:
        times = f"{before['ms']:.3g} ms a sample became {after['ms']:.3g} ms"
        wide = f"; made int16: {counted(len(target['int16']), 'value')}" if target["int16"] else ""
        print(f"  kept float for it: {counted(len(kept), 'node')}{wide}; {times}")
    for value in target["int16"][:12]:
        print(f"    int16: rounding of {value!r}")
    for k in kept[:12]:
        print(f"    {k['op']} {k['node']}: {k['because']}")
    if len(kept) > 12:
        print(f"    and {len(kept) - 12} more")


def _print_biases(biases: dict[str, Any] | None) -> None:
    if biases is not None:
        gain = f"{biases['before_db']:.1f} -> {biases['after_db']:.1f} dB, each on what the other half has learned"
        print(f"biases corrected layer by layer on {counted(biases['samples'], 'sample')}: {gain}")


def _print_rounding(rounding: dict[str, Any] | None) -> None:
    if rounding is not None:
        gain = f"{rounding['before_db']:.1f} -> {rounding['after_db']:.1f} dB, each on what the other half has learned"
        some = "" if rounding["products"] == rounding["of"] else f"{rounding['products']} of "
        over = (
            f"{some}{counted(rounding['of'], 'product')} learned to round from {counted(rounding['samples'], 'sample')}"
        )
        print(f"{over}: {gain}")


def _print_wider(wider: dict[str, Any] | None) -> None:
    if wider is None:
        return
    counts = Counter(f"{n['op']} in {n['precision']}" for n in wider["nodes"])
    alone = "int8 alone is poor" if wider["int8_db"] < WIDEN_BELOW_DB else "a few roundings make most of the noise"
    print(
        f"{alone}, {wider['int8_db']:.1f} dB: wider formats give {wider['reached_db']:.1f} dB for about "
        f"{wider['more_time_percent']:.0f} % more time (--widen-percent 0 keeps int8)"
    )
    print(f"  {', '.join(f'{n} {what}' for what, n in counts.most_common(8))}")


def _sizes(floats: int, ints: int) -> str:
    """What became of the bytes of a model's constants."""
    if not floats:
        tables = f"{counted(ints, 'byte')} of constants (tables of functions) where the model has none"
        return tables if ints else "no weights"
    said = size_beside(floats, ints)
    return f"constants {said} (tables of functions)" if said.endswith("larger") else f"weights {said}"


def _print_account(path: Path, manifest: Manifest, host: Counter[str]) -> None:
    counts = Counter(d["precision"] for d in manifest["decisions"])
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB, {_sizes(manifest['float_bytes'], manifest['int8_bytes'])}")
    blocks = "".join(f"{counts[p]} with {p.replace(' ', ' weights in ')}, " for p in IN_BLOCKS if counts[p])
    wide = f"{counts['int16']} int16, " if counts["int16"] else ""
    print(f"nodes: {counts['int8']} int8, {wide}{counts['folded']} folded into them, {blocks}{counts['float']} float")
    for (op, reason), n in Counter(
        (d["op"], d["reason"]) for d in manifest["decisions"] if d["precision"] == "float"
    ).most_common(8):
        print(f"  float: {n} {op}: {reason}")
    if host:
        names = ", ".join(f"{n} {op}" for op, n in host.most_common(8))
        print(f"on the host, without a kernel: {names}; `qglow bench` says what that costs")
    _print_target(manifest.get("target"))
    _print_biases(manifest.get("biases"))
    _print_rounding(manifest.get("rounding"))
    _print_wider(manifest.get("wider"))
    agreement = manifest["agreement"] or {"samples": 0, "outputs": {}}
    for name, error in agreement["outputs"].items():
        print(f"agreement of output {name!r} with float: {described(error)}")
    if agreement["outputs"]:
        print(f"  over {counted(agreement['samples'], 'sample')}: {agreement.get('judged_on', 'those of the target')}")
