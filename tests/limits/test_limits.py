"""Small files that ask for much: one clear error, before the memory is taken, in a process that has little of it."""

from __future__ import annotations

import contextvars
import json
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import hungry_models
import numpy as np
import onnx
import pytest
from hungry_models import MODELS, loop
from onnx import helper

import qglow
import qglow.pipeline
from qglow import limits
from qglow.commands.main import main
from qglow.errors import ConfigError, LimitError
from qglow.threads import helped

# Each model in turn: imported, profiled, quantized, run. Prints what was said and how much memory was taken at most.
ATTACK = """
    import json, os, resource, sys, time
    import numpy as np
    import qglow, qglow.onnx_import.onnx_fallback, qglow.profiling, qglow.oracle.oracle, qglow.kernels.library
    from qglow.errors import QGlowError
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    feeds = {"x": np.ones((2, 3), np.float32), "n": np.array([1], np.int64)}
    folder = sys.argv[1]
    for name in sorted(os.listdir(folder)):
        path, start = os.path.join(folder, name), time.process_time()
        said = []
        for step in (lambda: qglow.profile(path, [feeds]), lambda: session(path)):
            try:
                step()
            except QGlowError as error:
                said.append([type(error).__name__, str(error)])
            except BaseException as error:
                said.append(["!", f"{type(error).__name__}: {error}"])
            else:
                said.append(["ran", ""])
        # NOTE: getrusage says what the parent took where that was more
        most = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) >> 10
        print(json.dumps([name, said, most, time.process_time() - start]), flush=True)
"""
SESSION = """
    def session(path):
        graph = qglow.pipeline.float_graph(path)
        qglow.InferenceSession(graph).run(None, feeds)
"""


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[list[list[str]], int, float]]:
    """What profiling and running each model said, the memory that the process had taken by then, in MiB, and the
    seconds."""
    folder = tmp_path_factory.mktemp("hungry")
    for k, make in enumerate(MODELS.values()):
        data = make().SerializeToString()
        assert len(data) < 4000
        (folder / f"{k:03d}.onnx").write_bytes(data)
    code = "import qglow.pipeline\n" + textwrap.dedent(SESSION) + textwrap.dedent(ATTACK)
    command = [sys.executable, "-c", code, str(folder)]
    environment = {**os.environ, "QGLOW_MAX_MEMORY": "64M", "QGLOW_MAX_WORK": "20000"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, env=environment)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(MODELS), done.stderr[-2000:]
    return {name: (said, most, seconds) for name, (_, said, most, seconds) in zip(MODELS, rows, strict=True)}


@pytest.mark.parametrize("name", MODELS)
def test_is_refused(name: str, attacked: dict[str, tuple[list[list[str]], int, float]]) -> None:
    said, most, seconds = attacked[name]
    assert most < 1500 and seconds < 20
    for kind, message in said:
        assert kind == "LimitError" and len(message) < 500, (kind, message)
        assert any(hint in message for hint in ("--max-memory", "--max-work", "inline what is used"))


def test_a_loop_that_ends_runs() -> None:
    """And the limit of work, set where it stops, is what stops it."""
    one = helper.make_node("Constant", [], ["one"], value_float=1.0)
    model = loop([one, helper.make_node("Add", ["x_in", "one"], ["x_out"])], ["x"], ["x_out"], 100)
    feeds = {"x": np.ones((2, 3), np.float32), "n": np.array([1], np.int64)}
    graph = qglow.pipeline.float_graph(model)
    session = qglow.InferenceSession(graph)
    assert (session.run(None, feeds)[0] == 102).all()
    with pytest.raises(LimitError, match=r"endless.*has taken 3000 units of work"):
        qglow.InferenceSession(graph, max_work=3000).run(None, feeds)
    with qglow.limited(max_work=3000), pytest.raises(LimitError):
        session.run(None, feeds)
    assert (session.run(None, feeds)[0] == 102).all()


@pytest.mark.parametrize("op", ["RNN", "GRU", "LSTM"])
def test_steps_of_a_recurrent_layer_are_work(op: str) -> None:
    """200 steps forwards and backwards are 4000 units where no kernel runs them."""
    gates = 4 * {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    shapes = {"x": [200, 1, 5], "w": [2, gates, 5], "r": [2, gates, 4], "y": [200, 2, 1, 4]}
    node = helper.make_node(op, ["x", "w", "r"], ["y"], hidden_size=4, direction="bidirectional")
    *given, y = (
        helper.make_tensor_value_info(n, 1, s) for n, s in shapes.items()
    )  # NOTE: kernels pack constant weights
    graph = qglow.pipeline.float_graph(helper.make_model(helper.make_graph([node], "g", given, [y])))
    feeds = {n: np.full(shapes[n], 0.1, np.float32) for n in "xwr"}
    with pytest.raises(LimitError, match=r"200 steps takes about 4000 units of work, and the limit is 3999"):
        qglow.InferenceSession(graph, max_work=3999).run(None, feeds)
    assert qglow.InferenceSession(graph, max_work=4000).run(None, feeds)[0].shape == (200, 2, 1, 4)


def test_limits_hold_in_threads_that_help_and_where_a_context_is_copied() -> None:
    """And not in threads that the caller starts, for which a session has limits of its own."""
    found: dict[str, int] = {}
    entered = threading.Barrier(3, timeout=600)

    def work() -> None:
        found[threading.current_thread().name] = limits.work_limit()
        entered.wait()

    with qglow.limited(max_work=77):
        helped(work, 2)
        assert set(found.values()) == {77} and len(found) == 3
        context, others = contextvars.copy_context(), []
        for run in (
            lambda: others.append(limits.work_limit()),
            lambda: context.run(lambda: others.append(limits.work_limit())),
        ):
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
    assert others == [limits.MAX_WORK, 77]


def test_the_limit_decides_whether_a_model_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same model within and beyond it: by the option, the variable, the argument, and the context."""
    net = hungry_models.Net()
    model = net.model(net.op("Expand", net.op("Relu", "x"), net.constant([1 << 17, 2, 3])))
    feeds = {"x": np.ones((2, 3), np.float32), "n": np.array([1], np.int64)}
    onnx.save(model, tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", **feeds)  # type: ignore[arg-type]
    command = [
        "profile",
        str(tmp_path / "m.onnx"),
        "--data",
        str(tmp_path / "d.npz"),
        "-o",
        str(tmp_path / "p.json"),
        "--quiet",
    ]
    assert main([*command, "--max-memory", "1G"]) == 0
    assert main([*command, "--max-memory", "2M"]) == 2
    said = capsys.readouterr().err
    assert "of memory, and the limit is 2.0 MiB" in said and "--max-memory" in said
    graph = qglow.pipeline.float_graph(model)
    with pytest.raises(LimitError):
        qglow.InferenceSession(graph, max_memory="2M").run(None, feeds)
    with pytest.raises(LimitError), qglow.limited("2M"):
        qglow.InferenceSession(graph).run(None, feeds)
    monkeypatch.setenv("QGLOW_MAX_MEMORY", "2M")
    assert main(command) == 2
    assert main([*command, "--max-memory", "1GiB"]) == 0
    monkeypatch.delenv("QGLOW_MAX_MEMORY")
    qglow.InferenceSession(graph).run(None, feeds)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("64k", 1 << 16), ("512M", 1 << 29), ("4G", 1 << 32), ("1.5 GiB", 3 << 29), ("2TB", 2 << 40)],
)
def test_sizes(text: str, size: int) -> None:
    assert limits.bytes_of(text) == size == limits.bytes_of(size)


@pytest.mark.parametrize("text", ["", "0", "-1", "4X", "G", "1e9", "0x10", "9" * 30, "٤G", True, 1.5, None, 0])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ConfigError):
        limits.bytes_of(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments", [["--max-memory", "much"], ["--max-memory", "0"], ["--max-work", "-1"], ["--max-work", "x"]]
)
def test_bad_options(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "x.onnx", *arguments]) == 2
    assert "expected" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["QGLOW_MAX_MEMORY", "QGLOW_MAX_WORK"])
def test_bad_variables(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "lots")
    with pytest.raises(ConfigError, match=name):
        limits.memory_limit() if "MEMORY" in name else limits.work_limit()


def test_the_default_is_that_of_the_container(tmp_path: Path) -> None:
    """Control groups of both versions, those above counted, files that are missing or say `max` not."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "memory" / "pod").mkdir(parents=True)
    for file, text in {
        "memory.max": "max",
        "a/memory.max": "3000",
        "a/b/memory.max": "max",
        "memory/pod/memory.limit_in_bytes": "5000",
    }.items():
        (tmp_path / file).write_text(text + "\n")
    (tmp_path / "groups").write_text("0::/a/b\n5:cpu:/x\n4:memory:/pod\n")
    assert sorted(limits._of_container(tmp_path, tmp_path / "groups")) == [3000, 5000]
    assert list(limits._of_container(tmp_path, tmp_path / "missing")) == []


def test_the_default_is_half_of_what_the_process_may_map() -> None:
    code = (
        "import resource as r; r.setrlimit(r.RLIMIT_AS, (1 << 30, 1 << 30)); from qglow import limits; "
        "print(limits.memory_limit())"
    )
    assert (
        int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout) <= 1 << 29
    )


def test_too_little_memory_is_said(tmp_path: Path, digits: Path) -> None:
    """What the system refuses, within the limit."""
    code = """
        import resource, sys
        import numpy as np
        import qglow, qglow.pipeline
        from qglow.errors import QGlowError
        sys.path.insert(0, sys.argv[1])
        import hungry_models
        net = hungry_models.Net()
        wide = net.op("Expand", net.op("Relu", "x"), net.constant([1 << 25, 2, 3]))
        graph = qglow.pipeline.float_graph(net.model(wide))
        session = qglow.InferenceSession(graph, max_memory="100G")
        size = int(open("/proc/self/statm").read().split()[0]) * 4096 + (200 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        try:
            session.run(None, {"x": np.ones((2, 3), np.float32), "n": np.array([1])})
        except QGlowError as error:
            print(type(error).__name__, error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(Path(__file__).parent)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said.startswith("LimitError there is not enough memory to run the model on x [2, 3]")
