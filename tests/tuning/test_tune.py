"""qglow tune: measures, keeps choices, and leaves every bit as it was."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import qglow
from qglow.commands import tune
from qglow.commands.main import main
from qglow.errors import VerifyError
from qglow.instructions.prove import prove
from qglow.kernels.cache import cache_folder
from qglow.runtime import native
from qglow.runtime import tune as trials
from qglow.runtime.plans import make_plan
from qglow.runtime.tuning_shapes import tuning_products
from qglow.tuning import store
from qglow.tuning.schedule import with_hints


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own that holds the compiled kernels, few products and few rounds."""
    for found in cache_folder().glob("kernels-*"):
        shutil.copy(found, tmp_path)
    monkeypatch.setenv("QGLOW_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(trials, "FIRST", 1)
    monkeypatch.setattr(trials, "SECOND", 1)
    monkeypatch.setattr(native, "SMALL_WORK", 0)
    monkeypatch.setattr(tune, "SECONDS", 0.05)
    monkeypatch.setattr(tune, "tuning_products", lambda: islice(tuning_products(), 24, 27))
    return tmp_path


def test_typical_products_are_products() -> None:
    graphs = list(tuning_products())
    assert len(graphs) > 30
    plan = make_plan(graphs[-1], {"x": graphs[-1].types["x"].static_shape}, 1)
    assert (
        isinstance(plan, native.NativePlan)
        and [s.kind for s in plan.program.steps if hasattr(s, "kind")].count("conv2d") == 1
    )


@pytest.mark.parametrize("hints", [{"tile": 1 << 20}, {"limit": -1}, {"split": 3}, {"other": 1}])
def test_a_way_that_no_kernel_takes_is_refused_before_it_runs(
    hints: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = next(islice(tuning_products(), 24, 25))
    plan = make_plan(graph, {"x": graph.types["x"].static_shape}, 1)
    assert isinstance(plan, native.NativePlan)
    monkeypatch.setattr(trials, "candidates", lambda *_: [hints])
    monkeypatch.setattr(plan, "_run_segment", lambda _: pytest.fail("it ran"))
    with pytest.raises(VerifyError, match="conv2d: expected hints within .*, got {"):
        trials.try_products(plan)


def test_a_plan_is_proven_again_with_the_ways_that_won(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, proven = next(islice(tuning_products(), 24, 25)), []
    plan = make_plan(graph, {"x": graph.types["x"].static_shape}, 1)
    assert isinstance(plan, native.NativePlan)
    monkeypatch.setattr(trials, "prove", lambda program: (prove(program), proven.append(program)))
    monkeypatch.setattr(trials, "FIRST", 1)
    monkeypatch.setattr(trials, "SECOND", 1)
    before, rows = plan.program, [r.copy() for s in plan._steps if isinstance(s, native.Segment) for r in s.rows]
    found = trials.try_products(plan)
    assert proven == [with_hints(before, [dict(t.chosen) for t in found], trials.PRODUCTS)] and len(found) == 1
    after = [r for s in plan._steps if isinstance(s, native.Segment) for r in s.rows]
    assert plan.program is before and all(map(np.array_equal, after, rows)), "to try ways changes nothing of the plan"


def test_tune_keeps_choices_and_bits(quick: Path, digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = digits / "model.onnx"
    feeds = {"image": np.load(digits / "000.npy")}
    bundle = quick / "d.qglow"
    qglow.quantize(model, qglow.profile(model, [feeds])).save(bundle)
    before = [qglow.InferenceSession(bundle, t).run(None, feeds)[0] for t in (1, 2)]
    assert main(["tune", str(bundle), "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "products measured" in printed and "1 thread: " in printed and "cost model within" in printed
    found = store.load(next(iter(quick.glob("tuning-*.json"))).name.split("-")[3])
    assert found is not None and found.coefficients and len(found.choices["1"]) >= 5
    for chosen in found.choices.values():
        for hints in chosen.values():
            hints["limit"] = 1  # as unlike the rule as can be
    store.save(next(iter(quick.glob("tuning-*.json"))).name.split("-")[3], found)
    for threads, want in zip((1, 2), before, strict=True):
        assert np.array_equal(qglow.InferenceSession(bundle, threads).run(None, feeds)[0], want)
    assert main(["tune", "--clear"]) == 0 and not list(quick.glob("tuning-*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--clear", "x.qglow"], "--clear takes nothing else"),
        (["--data", "x"], "name them"),
        (["missing.qglow"], "missing.qglow"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
