"""qglow inspect: any model, profile or bundle as text."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ..errors import ConfigError, DataError, in_one_line
from ..files import make_folder, write_atomically
from ..graph import Graph
from ..graph.infer import Typed
from ..graph.stages import Stage, cut
from ..graph.text import print_graph
from ..instructions.lower import lower, stages
from ..instructions.program import Program
from ..instructions.text import print_plan, print_program, print_stage
from ..report.coverage import Coverage, cover
from ..report.coverage_text import coverage_text
from ..runtime import load
from ..runtime.manifest import Decision
from ..runtime.placement import assuming
from ..targets import choose
from ..tuning.schedule import with_kernels
from ..words import counted
from .shapes import METAVAR, input_shapes, likely_shapes

EXAMPLES = """examples:
  qglow inspect model.onnx
  qglow inspect model.profile.json
  qglow inspect model.qglow
  qglow inspect model.onnx --coverage      what becomes int8, and why
  qglow inspect model.onnx --coverage --shape image=1x3x224x224
  qglow inspect model.onnx --coverage --exclude op:Softmax --json
"""
PROGRAMS = ("instructions", "plan")  # stages that are for concrete shapes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")
    stages = ("graph", "quantized", *PROGRAMS)
    parser.add_argument("--stage", choices=stages, help="of a bundle; the last two are for concrete shapes")
    parser.add_argument("--dump-dir", help="write what each stage of code generation makes of a bundle there as text")
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar=METAVAR,
        help="of an input (default: 1 where symbolic; for --coverage 224, 128, or a second of sound)",
    )
    parser.add_argument(
        "--coverage", action="store_true",
        help="of a model or a bundle: how many nodes of each op are int8, native float or on the host, and why",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="with --coverage: as JSON")
    parser.add_argument("--config", metavar="qglow.toml", help="with --coverage of a model: as `qglow quantize` has it")
    parser.add_argument(
        "--exclude", action="append", metavar="NAME|op:TYPE|re:PATTERN", help="likewise: nodes that stay float"
    )


def run(options: argparse.Namespace) -> int:
    path = Path(options.file)
    if path.suffix != ".qglow" and (options.stage or options.dump_dir):
        raise ConfigError(f"{'--stage' if options.stage else '--dump-dir'} is for a .qglow bundle, not for {path}")
    if options.coverage:
        return _print_coverage(options, path)
    for name in ("json", "config", "exclude"):
        if getattr(options, name):
            raise ConfigError(f"--{name} goes with --coverage")
    if options.shape and options.stage not in PROGRAMS and not options.dump_dir:
        raise ConfigError(f"--shape goes with --stage {' or '.join(PROGRAMS)}, or --dump-dir, or --coverage")
    if path.suffix == ".onnx":
        from ..pipeline import float_graph  # NOTE: it imports onnx, which other files do not need

        print(print_graph(float_graph(path)), end="")
    elif path.suffix == ".json":
        from ..profiling.profile import Profile  # NOTE: likewise

        profile = Profile.load(path)
        print(f"profile of graph {profile.graph}: {counted(profile.samples, 'sample')}")
        for name, o in profile.tensors.items():
            print(f"{name}: {counted(o.count, 'value')} in [{o.min:g}, {o.max:g}]")
    elif path.suffix == ".qglow":
        print(_bundle_text(load(path).graph, options.stage, options.shape, options.dump_dir), end="")
    else:
        raise DataError(f"{path}: expected a .onnx model, a .json profile or a .qglow bundle")
    return 0


def _print_coverage(options: argparse.Namespace, path: Path) -> int:

    if options.stage or options.dump_dir:
        raise ConfigError(f"--coverage and {'--stage' if options.stage else '--dump-dir'}: give one of them")
    if path.suffix == ".onnx":
        graph, decisions, known = *_decided(options, path), {}
    elif path.suffix != ".qglow":
        raise DataError(f"--coverage is of a .onnx model or a .qglow bundle, not of {path}")
    elif options.config or options.exclude:
        raise ConfigError("--config and --exclude are for a .onnx model: a bundle is quantized already")
    else:
        bundle = load(path)
        graph, decisions = bundle.graph, bundle.manifest.get("decisions", [])
        known = bundle.manifest.get("profile", {}).get("shapes", {})
    found = _covered(graph, decisions, likely_shapes(graph, options.shape, known if isinstance(known, dict) else {}))
    print(json.dumps(found.to_dict(), indent=1) + "\n" if options.json else coverage_text(found), end="")
    return 0


def _covered(graph: Graph, decisions: list[Decision], tried: Iterable[dict[str, tuple[int, ...]]]) -> Coverage:
    """By the first shapes of the inputs that leave no node unknown, else by those that leave fewest."""
    found, refused = list[Coverage](), list[ConfigError]()
    for shapes in tried:
        try:
            found.append(cover(graph, decisions, shapes))
        except Exception as error:  # NOTE: as of a program
            refused.append(_unfit(shapes, error))
            continue
        if not found[-1].nodes()["unknown"]:
            return found[-1]
    if not found:
        raise refused[0]
    return min(found, key=lambda c: c.nodes()["unknown"])


def _decided(options: argparse.Namespace, path: Path) -> tuple[Graph, list[Decision]]:
    """What quantization decides of a model that has no profile yet."""
    from ..pipeline import before_profile  # NOTE: likewise
    from ..quantization.config import QuantConfig  # NOTE: likewise

    config = QuantConfig.load(options.config) if options.config else QuantConfig()
    return before_profile(path, replace(config, exclude=(*config.exclude, *(options.exclude or ()))))


def _unfit(shapes: dict[str, tuple[int, ...]], error: Exception) -> ConfigError:
    """That a model does not take shapes of its inputs."""
    said = ", ".join(f"{n} {list(s)}" for n, s in shapes.items())
    return ConfigError(f"no program for inputs of {said} ({in_one_line(error)}); give --shape NAME=DIMENSIONS")


def _bundle_text(graph: Graph, stage: str | None, given: list[str], dump_dir: str | None) -> str:
    """The quantized graph, or the program that it becomes for its shapes. dump_dir: where the stages between the two
    are written."""
    if stage not in PROGRAMS and dump_dir is None:
        return print_graph(graph)

    shapes = input_shapes(graph, given)
    try:
        part, program, decided = assuming(_program, graph, shapes, {})
    except Exception as error:  # NOTE: a shape that a model cannot have fails in whatever op meets it first
        raise _unfit(shapes, error) from error
    if dump_dir is not None:
        _dump(part.first, dump_dir)
    if stage not in PROGRAMS:
        return print_graph(graph)
    text = "".join(f"; where {name!r} is {str(way).lower()}\n" for name, way in decided.items())
    text += print_program(with_kernels(program)) if stage == "instructions" else print_plan(program)
    for node in part.host:
        text += f"; then on the host, for its shape depends on data: {node.operator} {node.name}\n"
    rest = "" if part.rest is None else counted(len(part.rest.nodes), "node")
    return text + (f"; then {rest} for the shapes that come out\n" if rest else "")


def _dump(static: Graph, folder: str) -> None:
    """Write the static graph, and what each stage of code generation makes of it, to folder/NN_stage.txt."""

    log: list[str] = []
    made = stages(static, choose()[0].name, lambda rewrite, count: log.append(f"; {rewrite} x {count}\n"))
    texts = [("graph", print_graph(static)), *((name, print_stage(result)) for name, result in made)]
    for number, (name, text) in enumerate(texts):
        text = "".join(log) + text if name == "fuse" else text
        write_atomically(make_folder(folder) / f"{number:02d}_{name}.txt", text.encode())


def _program(typed: Typed, decided: dict[str, bool]) -> tuple[Stage, Program, dict[str, bool]]:
    """What runs before a shape that depends on data, and the conditions that were assumed for it."""

    part = cut(typed)
    return part, lower(part.first, choose()[0].name), decided
