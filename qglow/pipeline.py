"""The straight line: model -> graph -> simplified graph -> profile -> quantized graph -> bundle. Each verb is one
function.

`stage()` verifies and dumps, and nothing else does. QGLOW_VERIFY: 0 off, 1 verify the result of each stage (default),
2 also print it and parse it back equal and recompute its types, 3 also evaluate before and after each pass of simplify.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import count, islice
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .arguments import count_of, shown
from .checking import check_meaning, check_text, check_types
from .cluster import connected
from .errors import AccuracyError, ConfigError, DataError
from .files import make_folder, write_atomically
from .float_mode import in_usual_mode
from .graph import Graph
from .graph.quantized_io import with_quantized_io
from .graph.text import print_graph
from .graph.verify import verify, verify_level
from .metrics import Target
from .onnx_import import load as import_onnx
from .onnx_import.dynamic_products import joined_dynamic_products
from .oracle import Oracle, float_oracle
from .profiling import Profile, open_dataset, record
from .profiling.dataset import spread_indices
from .profiling.on_cluster import record_on
from .profiling.saved_state import saved_state
from .quantization import QuantConfig, QuantState, run_passes
from .quantization.before_profile import decide_before_profile, needs_no_profile
from .quantization.passes import Watch
from .quantization.state_text import print_state
from .quantizing import Data, Quantizing
from .report.agreement import Agreement
from .report.by_step import noise_by_step
from .report.centring import with_offsets
from .report.compare import LAYER_SAMPLES, AccuracyReport, Compared, check_same, compare_samples
from .report.first_wrong import LayerByLayer, WrongLayer
from .report.isolated_layer_error import worst_layers
from .report.judging import MOST, powers_of
from .report.network import network_of
from .report.on_cluster import compare_on
from .report.peer_comparison import PeerComparison, time_beside_peers
from .report.provenance import provenance_of
from .report.scores import Metric, Scores
from .report.search import seconds_of
from .report.target import labelled, missed
from .runtime import Bundle, InferenceSession, load
from .runtime.manifest import Decision, Manifest
from .simplify import simplify

BLAME_SECONDS = 5.0  # NOTE: estimated, as no clock decides what is compared: a busy machine makes the same bundle


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
    if isinstance(model, ReadModel):
        if change is None and dump_dir is None:
            return model.imported, model.graph
        model = model.source
    imported = stage(
        "import", lambda: change(import_onnx(model)) if change is not None else import_onnx(model), dump_dir, 0
    )
    watch = check_meaning if verify_level() >= 3 else None
    log: list[str] = []
    return imported, stage("simplify", lambda: simplify(imported, watch, log.append), dump_dir, 1, log)


class ReadModel:
    """A model that several verbs take one after the other, read once. Raises ModelError as they do.

    source: a path, a ModelProto or a Graph; imported, graph: as it is, and simplified."""

    def __init__(self, source: Any) -> None:
        self.source, (self.imported, self.graph) = source, _both_graphs(source)
        self.oracle = cache(lambda: float_oracle(source, self.graph))


def _oracle(model: Any, graph: Graph) -> Oracle:
    return model.oracle() if isinstance(model, ReadModel) else float_oracle(model, graph)


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
    partial: str | Path | None = None,
    dask: Any = None,
) -> Profile:
    """Record the ranges of every float tensor of a model on real inputs.

    model: path, onnx.ModelProto or Graph. data: a path, or samples {input name: array} in any iterable:
    a list, a generator, a DataLoader of dicts, onnxruntime's CalibrationDataReader. samples: at most so many, evenly
    spread. skip_bad: samples that cannot be read or do not fit the model are left out, and the profile's warnings name
    them. progress: True shows a bar on a terminal. partial: a file that keeps what was recorded while this runs, where
    data is a path: after an interrupt the same call goes on from it, to the same profile. dask: a scheduler whose
    workers record the samples, to the same profile: its address, its --scheduler-file or a distributed.Client.

    On the first samples every value is held to onnxruntime's on the model itself (or to the numpy reference's where
    onnxruntime does not take it); not of a model that came quantized, of which `warnings` says that it needs no
    profile. Raises ModelError, DataError, ConfigError, DisagreementError.
    """
    batch_size = count_of(batch_size, "batch_size", ConfigError)
    imported, graph = _both_graphs(model)
    opened = open_dataset(data, graph).spread(samples)
    # NOTE: of a model that came quantized nothing is made by a profile; in it one rounding that falls otherwise moves
    # many behind it, so that its values are held to no oracle
    oracle = None if needs_no_profile(imported) else _oracle(model, graph)
    bad: dict[str, None] = {}  # a set that keeps its order: the samples may be read more than once
    opened = opened.without_bad(lambda said: bad.setdefault(said)) if skip_bad else opened
    if dask is not None and (partial is not None or batch_size > 1):
        raise ConfigError("with dask samples run one by one, and no state is kept: leave batch_size and partial out")
    settings = batch_size, engine, skip_bad
    state = saved_state(partial, graph, data, opened, settings, quiet=not progress) if partial is not None else None
    if dask is None:
        result = record(
            graph, opened, batch_size=batch_size, engine=engine, quiet=not progress, oracle=oracle, state=state
        )
    else:
        with connected(dask) as cluster:
            result = record_on(cluster, graph, opened, engine=engine, quiet=not progress, oracle=oracle)
    result.warnings += tuple(f"left out: {said}" for said in bad)
    if needs_no_profile(imported):
        result.warnings += ("the model came quantized, with ranges of its own: quantize it without a profile",)
    return result


@in_usual_mode
def quantize(
    model: Any, profile: Profile | str | Path | None = None,
    config: QuantConfig | Mapping[str, Any] | None = None, *, check: Data | bool | None = True,
    target: Target | None = None, budget: float | None = None, dump_dir: str | Path | None = None,
    progress: bool | None = None,
) -> Bundle:  # fmt: skip
    """Quantize a model by its profile. profile None is right for a model that is already quantized, and for one of
    which block-wise weights alone are asked for: all else of it stays float.

    check: samples by which int8 is judged beside float, 64 at most: True takes those that the profile held back from
    calibration, or cross-validates a small data set (report/judging.py); False none. The layers that a target of the
    config, or `target`, keeps float are chosen on some samples of `check` and judged on the others. target: a metric of
    the caller (qglow.metrics.Target), by which int8 may be so much worse than float on the samples of `check`. budget:
    seconds for that search, or for learned rounding, of which the best is kept; None: what it takes. Raises
    AccuracyError, with the bundle as its `bundle`, where int8 is plainly broken, or a target is missed.
    """
    config = _config_of(config)
    imported, graph = _both_graphs(model, dump_dir, joined_dynamic_products if profile is None else None)
    config.check_names(graph)
    recorded = profile if isinstance(profile, Profile) or profile is None else Profile.load(profile)
    if recorded is not None and needs_no_profile(imported):
        raise ConfigError("the model came quantized, with ranges of its own: leave the profile out")
    if check is not None and not isinstance(check, (bool, str, PathLike, Iterable)):
        raise DataError(f"check must be samples, a path of samples, True or False; got {shown(check)}")
    check = check if target is None else labelled(check, target, config, graph)
    work = Quantizing(lambda: _oracle(model, graph), imported, graph, recorded, config, bool(progress), target)
    start = work.start(recorded)
    samples = work.chosen_by(start, check, recorded)
    start = work.centred(start, samples)
    start, passed = work.ranged(start, run_passes(start, _watched(dump_dir)), samples)
    start, passed, result, chosen = work.settled(start, passed, samples, check)
    reached = work.reach(start, passed, result, samples, check, seconds_of(budget)) if work.aims(start) else None
    result, rounding = work.rounded(start, reached.result if reached is not None else result, check, seconds_of(budget))
    quantized = stage("quantize", lambda: result.graph, dump_dir, 2)
    grounds = work.grounds(check, MOST, all_of_them=not (chosen or work.ranges_gain)) if reached is None else None
    agreement = reached.judged.found if reached is not None else work.judged(grounds, quantized, result.config)
    named = with_offsets(quantized, work.offsets)
    stored = named if result.config.io == "float" else with_quantized_io(named, result.config.io)
    bundle = Bundle(stored, {**manifest_of(graph, result, recorded, agreement), **chosen, **rounding})
    if reached is not None:
        bundle.manifest["target"] = reached.account
        if not reached.met:
            raise _with_bundle(missed(reached), bundle)
    elif grounds is not None and agreement is not None and agreement.is_broken(config.min_agreement_sqnr_db):
        few = worst_layers(graph, named, grounds.data.spread(4), BLAME_SECONDS)
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
def needs_profile(model: Any, config: QuantConfig) -> bool:
    """Whether a model's ranges are to be found by samples: it did not come quantized, with ranges or to find them when
    it runs. Raises ConfigError where the configuration names what the model lacks."""
    imported, graph = _both_graphs(model)
    if needs_no_profile(imported):
        return False
    config.check_names(graph)
    return True


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
    model: Any, bundle: Bundle | str | Path, data: Data, labels: Sequence[Any] | None = None, *,
    samples: int | None = None, metrics: Mapping[str, Metric] | None = None,
    layer_samples: int = LAYER_SAMPLES, quiet: bool = True, backend: str = "native", dask: Any = None,
) -> AccuracyReport:  # fmt: skip
    """Run float and int8 on every sample and compare the outputs, and on some of them every layer, in constant memory.

    labels: class of each sample of the data, in order; else those of the data's labels.csv are used. metrics:
    functions of (outputs, labels) by name, as those of qglow.metrics, of float and of int8; the labels are what these
    ask for then, one a sample, and the outputs of all samples are kept in memory. samples: at most
    so many, evenly spread. layer_samples: how many of these, evenly spread, tell of the layers, which takes several
    times as long. backend: what runs the bundle (see InferenceSession); int8 outputs and layers come from it
    (from the reference where it is not native), every float value from the oracle, onnxruntime on the
    original model where it takes it (`to_dict()["float"]` says). dask: a scheduler whose workers compare the samples,
    as `profile` takes one. Raises DataError where labels and data differ in
    number, BundleError where the bundle has other inputs or outputs than the model.
    """
    return compare_several(
        model, [bundle], data, labels, samples=samples, metrics=metrics, layer_samples=layer_samples, quiet=quiet,
        backend=backend, dask=dask)[0]  # fmt: skip


@in_usual_mode
def compare_several(
    model: Any, bundles: Sequence[Bundle | str | Path], data: Data, labels: Sequence[Any] | None = None, *,
    samples: int | None = None, metrics: Mapping[str, Metric] | None = None,
    layer_samples: int = LAYER_SAMPLES, quiet: bool = True, backend: str = "native", dask: Any = None,
) -> list[AccuracyReport]:  # fmt: skip
    """As `compare`, of several bundles: the data is read, and float runs, once for all of them."""
    opened_bundles = [(b if isinstance(b, Bundle) else load(b)).with_float_io() for b in bundles]
    layer_samples = count_of(layer_samples, "layer_samples", ConfigError, 0)
    graph, sessions = float_graph(model), [InferenceSession(b, backend=backend) for b in opened_bundles]
    for bundle in opened_bundles:
        check_same(graph, bundle.graph)
    opened = open_dataset(data, graph)
    if metrics is not None and labels is None:
        raise ConfigError("metrics need labels: what belongs to each sample of the data, in order")
    every = opened if labels is None or metrics is not None else opened.labelled(labels)
    opened, oracle = every.spread(samples), float_oracle(model, graph)
    several = [Compared(b, s, graph, opened.types) for b, s in zip(opened_bundles, sessions, strict=True)]
    if metrics is not None and labels is not None:
        for one in several:
            one.found.scores = Scores(metrics, _spread_labels(labels, samples))
    if dask is None:
        reports = compare_samples(several, graph, oracle, opened, layer_samples, quiet)
    else:
        with connected(dask) as cluster:
            reports = compare_on(cluster, model, several, graph, oracle, opened, layer_samples, quiet)
    for path, one, report in zip(bundles, several, reports, strict=True):
        if every.sources:  # NOTE: what is no list is read once
            report.by_step = noise_by_step(graph, one.session, oracle, islice(every, samples))
        report.metrics = one.found.scores.figures() if one.found.scores is not None else []
        report.network = network_of(one.bundle.graph)
        report.provenance = provenance_of(model, path, data, one.bundle.manifest, backend)
    return reports


@in_usual_mode
def first_wrong_layer(
    model: Any, bundle: Bundle, data: Data, floor_db: float, *, samples: int | None = None, quiet: bool = True
) -> tuple[WrongLayer | None, int]:
    """The first layer of a bundle whose values are below `floor_db` beside float on the samples, and how many samples
    were compared: LAYER_SAMPLES, evenly spread, where `samples` does not say how many. Raises as `compare` does."""
    graph = float_graph(model)
    check_same(graph, bundle.graph)
    opened = open_dataset(data, graph).spread(LAYER_SAMPLES if samples is None else samples)
    return LayerByLayer(graph, bundle.graph, float_oracle(model, graph)).first_below(floor_db, opened, quiet)


def _spread_labels(labels: Sequence[Any], samples: int | None) -> list[Any]:
    """The labels of the samples that `Dataset.spread` takes."""
    given = list(labels)
    return given if samples is None else [given[k] for k in spread_indices(len(given), samples)]


def measure_peers(bundle: str | Path, model: str | Path, data: Data, threads: int = 1) -> PeerComparison:
    """The bundle's times and noise beside onnxruntime's on the float model, and on its own int8 form of it."""
    return measure_several([bundle], model, data, threads)[0]


def measure_several(
    bundles: Sequence[str | Path], model: str | Path, data: Data, threads: int = 1, quiet: bool = True
) -> list[PeerComparison]:
    """As `measure_peers`, of several bundles in one run, so that their times can be held against each other."""
    return time_beside_peers(bundles, model, lambda: float_graph(model), data, threads, quiet=quiet)


def _with_bundle(error: AccuracyError, bundle: Bundle) -> AccuracyError:
    error.bundle = bundle  # type: ignore[attr-defined]
    return error


def manifest_of(graph: Graph, result: QuantState, recorded: Profile | None, agreement: Agreement | None) -> Manifest:
    """What a bundle says about itself. graph: the float one."""
    source: dict[str, Any] = {"source": "quantized model"}
    if recorded is not None:
        source = {
            "graph": recorded.graph,
            "data": recorded.data,
            "samples": recorded.samples,
            "warnings": list(recorded.warnings),
            "shapes": _shapes_of(recorded, graph),
            "powers": powers_of(recorded, graph),
        }
    return {
        "name": graph.name,
        "profile": source,
        "config": result.config.changed(),
        "float_bytes": int(sum(a.nbytes for a in graph.constants.values())),
        "int8_bytes": int(sum(np.asarray(a).nbytes for a in result.graph.constants.values())),
        "decisions": decisions_of(result),
        "agreement": agreement.to_dict() if agreement is not None else None,
    }


def _shapes_of(recorded: Profile, graph: Graph) -> dict[str, list[int]]:
    """Of the inputs of a sample that the profile keeps; empty where it keeps none."""
    rows = recorded.kept[0].inputs if recorded.kept else ()
    return {name: list(row.shape) for name, row in zip(graph.inputs, rows, strict=False)}


def decisions_of(result: QuantState) -> list[Decision]:
    """The account of every node, as a manifest has it."""
    return [{"node": d.node, "op": d.op, "precision": d.precision, "reason": d.reason} for d in result.decisions]
