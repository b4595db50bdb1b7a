"""What the workers of a dask scheduler find is what one process finds, whoever dies on the way."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qglow
from qglow import cluster as module
from qglow.commands.main import main
from qglow.errors import ConfigError, DataError
from qglow.pipeline import float_graph
from qglow.profiling.dataset import Sample
from qglow.profiling.on_cluster import Job
from qglow.profiling.parts import Reader


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Of two workers, each a process of one thread."""
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed (qglow[dask])")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as local,
        distributed.Client(local, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def folder(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 samples, of which some cannot be used."""
    made = tmp_path_factory.mktemp("data")
    for k in range(50):
        x = np.load(digits / f"{k:03d}.npy") * 2.0 ** (k % 7)
        np.save(made / f"{k:03d}.npy", x[0] if k in (0, 9, 33) else x)
    return made


def feeds(digits: Path) -> list[dict[str, np.ndarray]]:
    return [{"image": np.load(digits / f"{k:03d}.npy")} for k in range(120)]


def test_a_profile_has_the_bytes_of_one_process(client: Any, digits: Path, folder: Path) -> None:
    model = digits / "model.onnx"
    for data, options in ((folder, {"skip_bad": True}), (feeds(digits)[:30], {"engine": "onnxruntime"})):
        there = qglow.profile(model, data, dask=client, **options)
        assert there.to_json() == qglow.profile(model, data, **options).to_json()
    said = "000.npy: input 'image'"
    with pytest.raises(DataError, match=said):
        qglow.profile(model, folder, dask=client)
    with pytest.raises(DataError, match=said):
        qglow.profile(model, folder)


def test_a_report_has_the_numbers_of_one_process(client: Any, digits: Path, folder: Path, tmp_path: Path) -> None:
    """Of several bundles, of samples that workers read and of such as are sent, with labels, metrics and bad samples.
    Of the command, what hangs on the clock aside."""
    model = digits / "model.onnx"
    bundles = [qglow.quantize(model, qglow.profile(model, digits, samples=n), check=False) for n in (2, 9)]
    for name, bundle in zip("ab", bundles, strict=True):
        bundle.save(tmp_path / f"{name}.qglow")
    samples, labels = feeds(digits)[:40], list(range(10)) * 4
    for metrics in (None, {"best": lambda outputs, wanted: float(np.mean([o["scores"].max() for o in outputs]))}):
        alone, shared = (
            qglow.compare(model, bundles[0], samples, labels, metrics=metrics, dask=d).to_json() for d in (None, client)
        )
        assert alone == shared
    command = ["report", str(model), *(str(tmp_path / f"{b}.qglow") for b in "ab"), "--data", str(folder)]
    command += ["--skip-bad", "--no-latency", "--samples", "30", "--quiet", "--json"]
    assert main([*command, str(tmp_path / "one.json")]) == 0
    assert main([*command, str(tmp_path / "many.json"), "--dask", client.scheduler.address]) == 0
    one, many = (json.loads((tmp_path / f"{n}.json").read_text())["reports"] for n in ("one", "many"))
    for report in (*one, *many):
        del report["provenance"]["created"]
    assert one == many and one[0]["outputs"] != one[1]["outputs"]
    assert one[0]["samples"] == 30 - sum(k in (0, 9, 33) for k in np.linspace(0, 49, 30).astype(int))


def test_a_worker_that_dies_loses_nothing(client: Any, digits: Path) -> None:
    """The samples kill a worker when two thirds of them were sent."""
    victim = min(client.run(os.getpid).values())

    def deadly() -> Iterator[dict[str, np.ndarray]]:
        for k, sample in enumerate(feeds(digits)):
            if k == 80:
                os.kill(victim, signal.SIGKILL)
            yield sample

    there = qglow.profile(digits / "model.onnx", deadly(), dask=client)
    assert victim not in client.run(os.getpid).values()
    assert there.to_json() == qglow.profile(digits / "model.onnx", iter(feeds(digits))).to_json()


def test_workers_of_another_version_are_refused(client: Any, digits: Path) -> None:
    def become(version: str) -> None:
        import qglow

        qglow.__version__ = version

    client.run(become, "0.0.0")
    try:
        with pytest.raises(ConfigError, match=r"has qglow 0\.0\.0, this process"):
            qglow.profile(digits / "model.onnx", digits, dask=client)
    finally:
        client.run(become, qglow.__version__)


def test_a_worker_that_computes_other_values_is_refused(digits: Path) -> None:
    model = float_graph(digits / "model.onnx")
    sample = Sample("first", {"image": np.load(digits / "000.npy")})
    job = Job(model, "qglow", Reader(model, None, False), module.needs(), (sample, "the hash of other values"))
    with pytest.raises(ConfigError, match="computes other values than this process on sample first"):
        job.ready()
    with pytest.raises(ConfigError, match="has instruction set .*, this process none"):
        module.check_needs({"instruction set": "none"}, "here")


def test_what_is_missing_is_one_clear_line(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "p.json")
    command = ["profile", str(digits / "model.onnx"), "--data", str(digits), "-o", out, "--dask", "tcp://127.0.0.1:9"]
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "distributed", None)
        assert main(command) == 2
    assert capsys.readouterr().err == "qglow: dask: dask.distributed is not installed; pip install 'qglow[dask]'\n"
    pytest.importorskip("distributed", reason="dask.distributed is not installed (qglow[dask])")
    monkeypatch.setattr(module, "CONNECT", 0.5)
    assert main(command) == 2
    err = capsys.readouterr().err
    assert err.startswith("qglow: dask: no scheduler answers at tcp://127.0.0.1:9") and err.count("\n") == 1
