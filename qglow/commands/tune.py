"""qglow tune: measure how this machine computes products best, and keep what was found in the cache."""

from __future__ import annotations

import argparse
import os

import numpy as np

from ..errors import ConfigError
from ..graph import Array, Graph
from ..profiling.dataset import open_dataset
from ..progress import track
from ..report.latency import interleaved
from ..runtime import InferenceSession
from ..runtime.backends import NativeBackend
from ..runtime.native import NativePlan
from ..runtime.plans import SplitPlan, StagedPlan, make_plan, taken
from ..runtime.tune import Trial, learned, try_products
from ..runtime.tuning_shapes import tuning_products
from ..targets import choose, cpu_name
from ..tuning import default_schedule, store
from ..tuning.choose import policy_of
from ..tuning.cost import CostModel
from ..words import counted
from .bench import first_that_runs, random_data
from .options import whole_number

SECONDS = 2.0
EXAMPLES = """examples:
  qglow tune                        typical products, for all models
  qglow tune model.qglow            these products too, each by itself
  qglow tune model.qglow --data images/ --threads 1
  qglow tune --clear

What is found is kept in the cache (QGLOW_CACHE_DIR, or qglow in the user's
cache directory), and used by every session on this CPU from then on. It makes
products faster, or leaves them as they are; their bits never change.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundles", metavar="BUNDLE", nargs="*")
    parser.add_argument(
        "--data",
        help="folder or file of samples (see README): its first sample gives the shapes of inputs (default: noise)",
    )
    parser.add_argument(
        "--threads", type=whole_number, metavar="N", help="tune for so many threads (default: for 1, and for all CPUs)"
    )
    parser.add_argument("--clear", action="store_true", help="forget what was found; QGLOW_CACHE_DIR says where it is")


def run(options: argparse.Namespace) -> int:
    if options.clear:
        if options.bundles or options.data or options.threads:
            raise ConfigError("--clear takes nothing else")
        count = store.clear()
        print(f"removed {count} file{'' if count == 1 else 's'}")
        return 0
    if options.data and not options.bundles:
        raise ConfigError("--data belongs to bundles; name them")
    isa = choose()[0].name
    store.prepare(isa)
    counts = [options.threads] if options.threads else sorted({1, len(os.sched_getaffinity(0))})
    models = [_model(b, options.data) for b in options.bundles]
    tuning = store.load(isa) or store.Tuning()
    print(f"machine: {cpu_name()}, {isa}")
    for threads in counts:
        plans = [p for p in typical_plans(threads) if p.threads == threads]
        trials = [t for p in track(plans, counted(threads, "thread"), quiet=options.quiet) for t in try_products(p)]
        for is_float in (False, True):
            of_kind = [t for t in trials if t.work.is_float == is_float]
            if of_kind:
                model = learned(of_kind, isa)
                tuning.coefficients[store.priced(threads, is_float)] = model.coefficients.tolist()
                keep(tuning, of_kind)
                kind = "float" if is_float else "int8"
                print(f"{_threads(threads)}: {kind}: {said_of(of_kind)}; {quality(of_kind, model, isa)}")
        for name, (graph, feeds) in zip(options.bundles, models, strict=True):
            print(f"{name}, {_threads(threads)}: {tune_bundle(tuning, graph, feeds, threads)}")
    print(store.save(isa, tuning))
    return 0


def _threads(count: int) -> str:
    return f"{count} thread{'' if count == 1 else 's'}"


def _model(path: str, data: str | None) -> tuple[Graph, dict[str, Array]]:
    session = InferenceSession(path, 1)
    return session.graph, first_that_runs(
        session, open_dataset(data, session.graph) if data else random_data(session), bool(data)
    )


def typical_plans(threads: int) -> list[NativePlan]:
    graphs = [
        (g, {n: np.zeros(g.types[n].static_shape, g.types[n].dtype.numpy) for n in g.inputs}) for g in tuning_products()
    ]
    return [p for g, feeds in graphs if (p := plan_for(g, feeds, threads)) is not None]


def plan_for(graph: Graph, feeds: dict[str, Array], threads: int) -> NativePlan | None:
    """A plan that ran once; of a model whose shapes depend on data its first program. None where there is none."""
    plan = taken(make_plan(graph, {n: a.shape for n, a in feeds.items()}, threads), feeds)
    plan.run(feeds)
    while isinstance(plan, StagedPlan | SplitPlan) and plan.first is not None:
        plan = plan.first
    return plan if isinstance(plan, NativePlan) else None


def tune_bundle(tuning: store.Tuning, graph: Graph, feeds: dict[str, Array], threads: int) -> str:
    """Try the products of a network, and keep the choices if they make the whole of it faster; returns what to say."""
    plan = plan_for(graph, feeds, threads)
    if plan is None or plan.threads != threads:
        return "runs on one thread" if plan is not None else "runs on the reference, there is nothing to tune"
    trials = try_products(plan)
    if not trials:
        return "has no products to tune"
    trial_tuning = store.Tuning({t: dict(c) for t, c in tuning.choices.items()}, tuning.coefficients)
    keep(trial_tuning, trials)
    shapes = {n: a.shape for n, a in feeds.items()}
    usual = make_plan(graph, shapes, threads, NativeBackend(default_schedule))
    tuned = make_plan(graph, shapes, threads, NativeBackend(policy_of(trial_tuning, plan.library.isa)))
    times = interleaved({"usual": lambda: usual.run(feeds), "tuned": lambda: tuned.run(feeds)}, SECONDS)
    before, after = times["usual"]["min"], times["tuned"]["min"]
    if after < before:
        keep(tuning, trials)
        return f"{said_of(trials)}; {before:.3f} -> {after:.3f} ms"
    for t in trials:
        t.chosen = t.usual
    keep(tuning, trials)
    return f"{counted(len(trials), 'product')} measured, the rule's {before:.3f} ms stay the fastest"


def keep(tuning: store.Tuning, trials: list[Trial]) -> None:
    for t in trials:
        tuning.choices.setdefault(str(t.threads), {})[t.work.key] = dict(t.chosen)


def said_of(trials: list[Trial]) -> str:
    gains = [t.gain for t in trials if t.chosen != t.usual]
    found = f"{len(gains)} faster than by the rule" + (
        f", by {100 * min(gains):.0f} to {100 * max(gains):.0f} %" if gains else ""
    )
    return f"{counted(len(trials), 'product')} measured, {found}"


def quality(trials: list[Trial], model: CostModel, isa: str) -> str:
    """How far the cost model is off, and what its picks would take over the fastest ways that were measured."""
    wrong, regret = [], []
    for t in trials:
        guess = {way: model.seconds(t.work, dict(way), t.threads, isa) for way in t.seconds}
        wrong += [abs(guess[way] * t.places / seconds - 1) for way, seconds in t.seconds.items()]
        regret.append(t.seconds[min(guess, key=guess.__getitem__)] / min(t.seconds.values()) - 1)
    return (
        f"cost model within {100 * np.median(wrong):.0f} %, its picks within {100 * np.median(regret):.0f} % of the "
        "best (medians)"
    )
