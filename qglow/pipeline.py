"""The straight line: model -> graph -> simplified graph -> profile -> quantized graph -> bundle. Each verb is one
function.

`stage()` verifies and dumps, and nothing else does. QGLOW_VERIFY: 0 off, 1 verify the result of each stage (default),
2 also print it and parse it back equal and recompute its types, 3 also evaluate before and after each pass of simplify.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import count
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .arguments import count_of, shown
from .checking import check_meaning, check_text, check_types
from .errors import AccuracyError, ConfigError, DataError
from .files import make_folder, write_atomically
from .float_mode import in_usual_mode
from .graph import Array, Graph
from .graph.text import print_graph
from .graph.verify import verify, verify_level
from .onnx_import import load as import_onnx
from .onnx_import.dynamic_products import joined_dynamic_products
from .oracle import float_oracle
from .profiling import Dataset, Profile, open_dataset, record
from .profiling.samples import kept_dataset
from .quantization import QuantConfig, QuantState, run_passes
from .quantization.before_profile import decide_before_profile, needs_no_profile
from .quantization.passes import Watch
from .quantization.state_text import print_state
from .report.agreement import Agreement, measure
from .report.compare import LAYER_SAMPLES, AccuracyReport, check_same, compare_samples
from .report.isolated_layer_error import worst_layers
from .report.peer_comparison import PeerComparison, time_beside_peers
from .report.target import fitting, missed, reach
from .runtime import Bundle, InferenceSession, load
from .runtime.manifest import Decision, Manifest
from .simplify import simplify
from .simplify.assume_branches import assume_branches

Data = str | Path | Iterable[Mapping[str, Array]] | Dataset
# NOTE: no clock decides how much is compared: a busy machine makes the same bundle
CHECK_SAMPLES, BLAME_SECONDS = 4, 5.0


def stage(
    name: str, make: Callable[[], Graph], dump_dir: str | Path | None = None, number: int = 0, log: Iterable[str] = ()
) -> Graph:
    """Run one graph-making stage, verify its result and write its text to `dump_dir`/NN_name.txt, below what the stage
    logged."""
    graph = make()
    level = verify_level()
    if level >= 1:
        verify(graph)
    if level >= 2:
        check_text(graph, name)
        check_types(graph, name)
    if dump_dir is not None:
        text = "".join(f"; {line}\n" for line in log) + print_graph(graph)
        write_atomically(make_folder(dump_dir) / f"{number:02d}_{name}.txt", text.encode())
    return graph


@in_usual_mode
def float_graph(model: Any, dump_dir: str | Path | None = None) -> Graph:
    """The simplified float graph of a model: a path, a ModelProto or a Graph."""
    return _both_graphs(model, dump_dir)[1]


def _both_graphs(
    model: Any, dump_dir: str | Path | None = None, change: Callable[[Graph], Graph] | None = None
) -> tuple[Graph, Graph]:
    """The model's graph as it is, or as it is changed, and simplified."""
    imported = stage(
        "import", lambda: change(import_onnx(model)) if change is not None else import_onnx(model), dump_dir, 0
    )
    watch = check_meaning if verify_level() >= 3 else None
    log: list[str] = []
    return imported, stage("simplify", lambda: simplify(imported, watch, log.append), dump_dir, 1, log)


@in_usual_mode
def profile(
    model: Any,
    data: Data,
    samples: int | None = None,
    progress: bool | None = None,
    *,
    batch_size: int = 1,
    engine: str = "qglow",
    skip_bad: bool = False,
) -> Profile:
    """Record the ranges of every float tensor of a model on real inputs.

    model: path, onnx.ModelProto or Graph. data: a path, or samples {input name: array} in any iterable:
    a list, a generator, a DataLoader of dicts, onnxruntime's CalibrationDataReader. samples: at most so many, evenly
    spread. skip_bad: samples that cannot be read or do not fit the model are left out, and the profile's warnings name
    them. progress: True shows a bar on a terminal. On the first samples every value is held to onnxruntime's
    on the model itself (or to the numpy reference's where onnxruntime does not take it). Raises ModelError, DataError,
    ConfigError, DisagreementError.
    """
    batch_size = count_of(batch_size, "batch_size", ConfigError)
    graph = float_graph(model)
    opened, oracle = open_dataset(data, graph).spread(samples), float_oracle(model, graph)
    bad: dict[str, None] = {}  # a set that keeps its order: the samples may be read more than once
    opened = opened.without_bad(lambda said: bad.setdefault(said)) if skip_bad else opened
    result = record(graph, opened, batch_size=batch_size, engine=engine, quiet=not progress, oracle=oracle)
    result.warnings += tuple(f"left out: {said}" for said in bad)
    return result


@in_usual_mode
def quantize(
    model: Any, profile: Profile | str | Path | None = None,
    config: QuantConfig | Mapping[str, Any] | None = None, *, check: Data | bool | None = True,
    dump_dir: str | Path | None = None, progress: bool | None = None,
) -> Bundle:  # fmt: skip
    """Quantize a model by its profile. profile None is right for a model that is already quantized, and for one of
    which block-wise weights alone are asked for: all else of it stays float.

    check: samples on which float and int8 are compared, four at most: True takes those that the profile keeps,
    False none. A target of the config is met on all samples of `check`. Raises AccuracyError, with the bundle as its
    `bundle`, where int8 is plainly broken, or a target is missed.
    """
    config = _config_of(config)
    imported, graph = _both_graphs(model, dump_dir, joined_dynamic_products if profile is None else None)
    config.check_names(graph)
    recorded = profile if isinstance(profile, Profile) or profile is None else Profile.load(profile)
    if recorded is not None and needs_no_profile(imported):
        raise ConfigError("the model came quantized, with ranges of its own: leave the profile out")
    if check is not None and not isinstance(check, (bool, str, PathLike, Iterable)):
        raise DataError(f"check must be samples, a path of samples, True or False; got {shown(check)}")
    start, oracle = _start(imported, graph, recorded, config), cache(lambda: float_oracle(model, graph))
    result, reached = run_passes(start, _watched(dump_dir)), None
    if config.has_target and start.branches is not None:
        judged = fitting(start.branches, _samples_to_check(check, recorded, graph, None))
        reached = reach(
            start.branches.graph, result, lambda c: run_passes(replace(start, config=c)), judged, oracle(), not progress
        )
        result = reached.result
    quantized = stage("quantize", lambda: result.graph, dump_dir, 2)
    samples = _samples_to_check(check, recorded, graph)
    agreement = measure(oracle(), quantized, samples) if samples is not None else None
    bundle = Bundle(quantized, manifest_of(graph, result, recorded, agreement))
    if reached is not None:
        bundle.manifest["target"] = reached.account
        if not reached.met:
            raise _with_bundle(missed(reached), bundle)
    if samples is not None and agreement is not None and agreement.is_broken(config.min_agreement_sqnr_db):
        few = worst_layers(graph, quantized, samples, BLAME_SECONDS)
        raise _with_bundle(AccuracyError(agreement.complaint(config.min_agreement_sqnr_db, few)), bundle)
    return bundle


def _config_of(config: QuantConfig | Mapping[str, Any] | None) -> QuantConfig:
    """The configuration that was given: itself, its fields by name, or the default one."""
    if config is None or isinstance(config, Mapping):
        return QuantConfig.of(dict(config or {}))
    if not isinstance(config, QuantConfig):
        raise ConfigError(
            f"config must be a QuantConfig or {{field: value}}, got {shown(config)}; QuantConfig.load reads a file"
        )
    return config


def _start(imported: Graph, graph: Graph, recorded: Profile | None, config: QuantConfig) -> QuantState:
    """What quantization begins with: a profile's graph of the branches that calibration took, or a model without a
    profile. Raises ConfigError where a target would have no profile to choose by."""
    if recorded is None and config.has_target:
        raise ConfigError(
            "a target (min_sqnr_db, max_accuracy_drop) is met by keeping layers float that a profile knows: give a "
            "profile, or leave the target out"
        )
    if recorded is None:
        return QuantState(graph, imported, {}, config, calibrated=False)
    observed, branches = recorded.matched(graph), assume_branches(graph, recorded.choices_of(graph))
    return QuantState(branches.graph, imported, observed, config, branches=branches)


def _watched(dump_dir: str | Path | None) -> Watch:
    """Writes the state after each pass to `dump_dir`/02.NN_name.txt, with its graph where that changed, and logs the
    pass's time."""
    numbers = count(1)

    def watch(before: QuantState, after: QuantState, name: str, seconds: float) -> None:
        number = next(numbers)
        logging.getLogger("qglow").debug("pass %s: %.1f ms", name, 1e3 * seconds)
        if dump_dir is not None:
            text = print_state(after, after.graph is not before.graph)
            write_atomically(make_folder(dump_dir) / f"02.{number:02d}_{name}.txt", text.encode())

    return watch


@in_usual_mode
def before_profile(model: Any, config: QuantConfig | None = None) -> tuple[Graph, list[Decision]]:
    """What quantization decides of every node of a model before there is a profile of it, and the quantized graph, in
    which scales mean nothing (quantization/before_profile.py): for an account of it (report/coverage.py), not to run.
    """
    config, found = QuantConfig() if config is None else config, import_onnx(model)
    imported, graph = _both_graphs(found, change=joined_dynamic_products if needs_no_profile(found) else None)
    config.check_names(graph)
    result = decide_before_profile(graph, imported, config)
    return result.graph, decisions_of(result)


@in_usual_mode
def compare(
    model: Any, bundle: Bundle | str | Path, data: Data, labels: Sequence[int] | None = None, *,
    samples: int | None = None,
    layer_samples: int = LAYER_SAMPLES, quiet: bool = True, backend: str = "native",
) -> AccuracyReport:  # fmt: skip
    """Run float and int8 on every sample and compare the outputs, and on some of them every layer, in constant memory.

    labels: class of each sample of the data, in order; else those of the data's labels.csv are used. samples: at most
    so many, evenly spread. layer_samples: how many of these, evenly spread, tell of the layers, which takes several
    times as long. backend: what runs the bundle (see InferenceSession); the int8 outputs come from it, int8 layers from
    the reference, with the same bits but for float products; every float value from the oracle, onnxruntime on the
    original model where it takes it (`to_dict()["float"]` says). Raises DataError where labels and data differ in
    number, BundleError where the bundle has other inputs or outputs than the model.
    """
    bundle = bundle if isinstance(bundle, Bundle) else load(bundle)
    layer_samples = count_of(layer_samples, "layer_samples", ConfigError, 0)
    graph, session = float_graph(model), InferenceSession(bundle, backend=backend)
    check_same(graph, bundle.graph)
    opened = open_dataset(data, graph)
    opened = (opened if labels is None else opened.labelled(labels)).spread(samples)
    return compare_samples(graph, bundle, session, float_oracle(model, graph), opened, layer_samples, quiet)


def measure_peers(bundle: str | Path, model: str | Path, data: Data, threads: int = 1) -> PeerComparison:
    """The bundle's times and noise beside onnxruntime's on the float model, and on its own int8 form of it."""
    return time_beside_peers(bundle, model, lambda: float_graph(model), data, threads)


def _with_bundle(error: AccuracyError, bundle: Bundle) -> AccuracyError:
    error.bundle = bundle  # type: ignore[attr-defined]
    return error


def _samples_to_check(
    check: Data | bool | None, recorded: Profile | None, graph: Graph, limit: int | None = CHECK_SAMPLES
) -> Dataset | None:
    if check is None or check is False:
        return None
    found = kept_dataset(recorded.kept if recorded else (), graph) if check is True else open_dataset(check, graph)
    return found.spread(limit) if found is not None else None


def manifest_of(graph: Graph, result: QuantState, recorded: Profile | None, agreement: Agreement | None) -> Manifest:
    """What a bundle says about itself. graph: the float one."""
    source: dict[str, Any] = {"source": "quantized model"}
    if recorded is not None:
        source = {
            "graph": recorded.graph,
            "data": recorded.data,
            "samples": recorded.samples,
            "warnings": list(recorded.warnings),
        }
    return {
        "name": graph.name,
        "profile": source,
        "float_bytes": int(sum(a.nbytes for a in graph.constants.values())),
        "int8_bytes": int(sum(np.asarray(a).nbytes for a in result.graph.constants.values())),
        "decisions": decisions_of(result),
        "agreement": agreement.to_dict() if agreement is not None else None,
    }


def decisions_of(result: QuantState) -> list[Decision]:
    """The account of every node, as a manifest has it."""
    return [{"node": d.node, "op": d.op, "precision": d.precision, "reason": d.reason} for d in result.decisions]
