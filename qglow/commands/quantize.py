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
from ..pipeline import quantize
from ..quantization.config import DYNAMIC, QuantConfig
from ..report.comparison import ratio_db
from ..report.plots import POOR_DB
from ..report.verdict import described
from ..runtime.manifest import Manifest
from ..runtime.step_profile import host_nodes
from .options import finite

EXAMPLES = """examples:
  qglow quantize model.onnx --profile model.profile.json
  qglow quantize model.onnx --profile model.profile.json --calibration percentile --exclude op:Softmax -o model.qglow
  qglow quantize model.onnx --weights int4_block -o model.qglow    4-bit weights in matrix products, the rest float
  qglow quantize model.onnx --dynamic              int8 weights, ranges at run time: needs no data
  qglow quantize model.onnx --profile model.profile.json --data images/ --min-sqnr-db 20    layers float until met
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL.onnx")
    said = "from qglow profile; not for a model that is already quantized, nor for block-wise weights alone"
    parser.add_argument("--profile", metavar="FILE", help=said)
    parser.add_argument("-o", "--output", metavar="NAME.qglow", help="default: the model's name beside you")
    parser.add_argument("--config", metavar="qglow.toml", help="the fields below, in a file")
    parser.add_argument("--data", help="samples to compare float and int8 on (default: a few that the profile keeps)")
    parser.add_argument(
        "--no-check", action="store_true", help="do not compare float and int8 before the bundle is accepted"
    )
    parser.add_argument("--dump-dir", help="write every stage's graph there as text")
    parser.add_argument(
        "--dynamic", action="store_true",
        help="without a profile: int8 weights in matrix products, whose rows get their ranges when they run",
    )
    for f in fields(QuantConfig):
        option = f"--{f.name.replace('_', '-')}"
        if isinstance(f.default, tuple):
            parser.add_argument(option, action="append", metavar="NAME|op:TYPE|re:PATTERN")
        elif isinstance(f.default, bool):
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=None)
        else:
            kind = type(f.default) if isinstance(f.default, (str, int)) else finite
            parser.add_argument(
                option,
                type=kind,
                default=None,
                help="default: no target" if f.default is None else f"default {f.default}",
            )


def run(options: argparse.Namespace) -> int:
    config = QuantConfig.load(options.config) if options.config else QuantConfig()
    given: dict[str, Any] = {f.name: v for f in fields(QuantConfig) if (v := getattr(options, f.name)) is not None}
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    if options.dynamic:
        if options.profile or "weights" in given:
            raise ConfigError(f"--dynamic needs no {'--profile' if options.profile else '--weights'}: leave it out")
        given["weights"] = DYNAMIC
    config = replace(config, **given)
    path = check_writable(
        options.output or f"{Path(options.model).stem}.qglow", options.model, options.profile, options.config
    )
    check = False if options.no_check else options.data or True
    try:
        bundle = quantize(
            options.model, options.profile, config, check=check, dump_dir=options.dump_dir, progress=not options.quiet
        )
    except AccuracyError as error:
        broken = path.with_suffix(".broken.qglow")
        error.bundle.save(broken)  # type: ignore[attr-defined]
        raise AccuracyError(f"{error}; the bundle is kept as {broken}") from error
    bundle.save(path)
    if bundle.manifest["agreement"] is None and check and options.profile:
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
    return 0


def _print_target(target: dict[str, Any] | None) -> None:
    if target is None:
        return
    kept, before, after = target["kept_float"], target["int8"], target["reached"]
    drops = [f", {s['accuracy_drop']:g} points lost" if s["accuracy_drop"] is not None else "" for s in (before, after)]
    print(f"target met: {after['sqnr_db']:.1f} dB{drops[1]}; int8 throughout: {before['sqnr_db']:.1f} dB{drops[0]}")
    if kept:
        print(f"  kept float for it: {len(kept)} nodes; {before['ms']:.3g} ms a sample became {after['ms']:.3g} ms")
    for k in kept[:12]:
        print(f"    {k['op']} {k['node']}: {k['because']}")
    if len(kept) > 12:
        print(f"    and {len(kept) - 12} more")


def _sizes(floats: int, ints: int) -> str:
    """What became of the bytes of a model's constants."""
    if not floats:
        return f"{ints} bytes of constants (tables of functions) where the model has none" if ints else "no weights"
    if ints <= floats:
        return f"weights {floats / max(1, ints):.1f} times smaller"
    return f"constants {ints / floats:.1f} times larger (tables of functions)"


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
    agreement = manifest["agreement"] or {"samples": 0, "outputs": {}}
    over = f"over {agreement['samples']} samples" if agreement["samples"] != 1 else "over 1 sample"
    for name, error in agreement["outputs"].items():
        print(f"agreement of output {name!r} with float {over}: {described(error)}")
