"""Whatever interrupts a run, and whenever a process is forked: the next run ends, with the right bits.

Each case is a process of its own with a limit of time: one that hangs is a failure, not the end of the suite.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import qglow

LIMIT = 900  # seconds; on a machine with nothing else to do a case takes about one
SETUP = """
import multiprocessing, os, signal, sys, threading, time
import numpy as np, qglow
from qglow.runtime import native, thread_pool
native.SMALL_WORK = 0
signal.alarm({limit})
feeds = {{"image": np.load({sample!r})}}
bundle = qglow.load({bundle!r})
(expected,) = qglow.InferenceSession(bundle, 1).run(None, feeds)

def right(session):
    return np.array_equal(session.run(None, feeds)[0], expected)

def until_told(session, told, wrong):
    while not told.is_set():
        if not right(session):
            wrong.append(1)

def interrupts(make, count, first=2e-5, step=1e-5):
    # so many interrupts by a timer, each a little later than the one before; how many came where work was done
    came = 0
    for k in range(count):
        try:
            signal.setitimer(signal.ITIMER_REAL, first + step * (k % 200))
            while True:
                make()
        except Stop:
            came += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return came

class Stop(BaseException):
    pass

def stop(*_):
    raise Stop
"""


@pytest.fixture(scope="module")
def setup(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    bundle = tmp_path_factory.mktemp("bundle") / "digits.qglow"
    qglow.quantize(digits / "model.onnx", qglow.profile(digits / "model.onnx", digits, samples=8)).save(bundle)
    return SETUP.format(limit=LIMIT, sample=str(digits / "000.npy"), bundle=str(bundle))


def passes(setup: str, case: str) -> None:
    """Run a case; it prints `done` as its last act."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", setup + case], capture_output=True, text=True, timeout=LIMIT + 60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", ""), (
        done.returncode,
        done.stdout,
        done.stderr[-2000:],
    )


FORK = """
session, told, wrong = qglow.InferenceSession(bundle, 2), threading.Event(), []
thread = threading.Thread(target=until_told, args=(session, told, wrong))
right(session)
thread.start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        signal.alarm(600)
        same = right(session) and right(session) and right(qglow.InferenceSession(bundle, 2))
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
told.set()
thread.join()
assert not wrong
print("done")
"""

POOL = """
session, told, wrong = qglow.InferenceSession(bundle, 2), threading.Event(), []
sessions = (session, session, qglow.InferenceSession(bundle, 2))
threads = [threading.Thread(target=until_told, args=(s, told, wrong)) for s in sessions]
for t in threads:
    t.start()

def work(k):
    return right(session) and right(qglow.InferenceSession(bundle, 2))

with multiprocessing.get_context("fork").Pool(2) as pool:
    assert all(pool.map(work, range(20)))
told.set()
for t in threads:
    t.join()
assert not wrong
print("done")
"""

LOCKED = """
from qglow.kernels import library
session = qglow.InferenceSession(bundle, 2)
right(session)
held, told = threading.Event(), threading.Event()

def hold():
    with session._lock, library._LOCK, thread_pool._MAKING:
        held.set()
        told.wait()

threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(600)
    library._LOADED.clear()
    os._exit(0 if right(session) and right(qglow.InferenceSession(bundle, 3)) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
told.set()
print("done")
"""


@pytest.mark.parametrize("case", [FORK, POOL, LOCKED], ids=["fork", "pool", "locks held"])
def test_a_process_that_is_forked_while_others_run(setup: str, case: str) -> None:
    """None of the other threads is in the child: neither those that hold a lock nor those that help."""
    passes(setup, case)


RUNS = """
signal.signal(signal.SIGALRM, stop)
session = qglow.InferenceSession(bundle, 2)
right(session)
assert interrupts(lambda: session.run(None, feeds), 300) == 300
signal.alarm(600)
assert right(session)
print("done")
"""

SESSIONS = """
signal.signal(signal.SIGALRM, stop)

def make():
    thread_pool._POOLS.clear()
    assert right(qglow.InferenceSession(bundle, 2))

assert interrupts(make, 150, step=1e-4) == 150
signal.alarm(600)
make()
print("done")
"""

CALLERS = """
signal.signal(signal.SIGALRM, stop)
session, told, wrong = qglow.InferenceSession(bundle, 2), threading.Event(), []
sessions = (session, qglow.InferenceSession(bundle, 2))
others = [threading.Thread(target=until_told, args=(s, told, wrong)) for s in sessions]
for t in others:
    t.start()
assert interrupts(lambda: session.run(None, feeds), 100, step=1e-4) == 100
told.set()
for t in others:
    t.join()
signal.alarm(600)
assert right(session) and not wrong
print("done")
"""


@pytest.mark.parametrize(
    "case", [RUNS, SESSIONS, CALLERS], ids=["of runs", "of sessions and teams", "beside other callers"]
)
def test_hundreds_of_interrupts(setup: str, case: str) -> None:
    passes(setup, case)


NESTED = """
session, said, nested = qglow.InferenceSession(bundle, 2), [], []

def handler(*_):
    try:
        nested.append(right(session))
    except qglow.QGlowError as error:
        said.append(str(error))

signal.signal(signal.SIGALRM, handler)
for k in range(2000):
    signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + k % 300))
    assert right(session)
    signal.setitimer(signal.ITIMER_REAL, 0)
    if k > 600 and len(said) > 20:
        break
asked = "this session is in the middle of a run of this thread; a signal handler needs a session of its own"
assert all(nested) and set(said) == {asked}
print("done")
"""


def test_a_signal_handler_that_runs_the_same_session_is_told(setup: str) -> None:
    """It would wait for itself, or compute in memory that the outer run is in the middle of."""
    passes(setup, NESTED)


HANDLERS = """
from functools import partial
session = qglow.InferenceSession(bundle, 2)
assert right(session)

class Late(Exception):
    pass

def late(*_):
    raise Late

class Handler:
    def method(self, *_):
        raise Late

    def __call__(self, *_):
        late()

for handler in (late, lambda *_: late(), partial(late, 1), Handler().method, Handler()):
    signal.signal(signal.SIGALRM, handler)
    came = 0
    for k in range(60):
        try:
            signal.setitimer(signal.ITIMER_REAL, 2e-5 * (1 + k))
            while True:
                session.run(None, feeds)
        except Late:
            came += 1
    assert came == 60
signal.signal(signal.SIGALRM, signal.SIG_DFL)
assert right(session)
print("done")
"""


def test_the_error_of_a_signal_handler_is_no_error_of_the_model(setup: str) -> None:
    """As one that raises TimeoutError after an alarm."""
    passes(setup, HANDLERS)


NO_THREADS = """
from qglow import threads
for error in (RuntimeError("can't start new thread"), MemoryError()):
    thread_pool._POOLS.clear()

    def start(work, arguments):
        raise error

    threads.start_new_thread = start
    session = qglow.InferenceSession(bundle, 3)
    assert all(right(session) for _ in range(20)) and not thread_pool._POOLS[3].helpers
threads.start_new_thread = lambda work, arguments: None  # one that ends before it says that it is there
thread_pool._POOLS.clear()
assert right(qglow.InferenceSession(bundle, 3))
print("done")
"""


def test_where_no_more_threads_are_to_be_had_the_caller_works_alone(setup: str) -> None:
    passes(setup, NO_THREADS)


EXIT = """
session = qglow.InferenceSession(bundle, 2)
right(session)
told, wrong = threading.Event(), []
for s in (session, qglow.InferenceSession(bundle, 2)):
    threading.Thread(target=until_told, args=(s, told, wrong), daemon=True).start()
time.sleep(0.05)
right(session)
print("done", flush=True)
"""


def test_the_interpreter_ends_while_helpers_and_callers_run(setup: str) -> None:
    for _ in range(5):
        passes(setup, EXIT)


CALLBACK = """
from qglow.onnx_import.load import load
from qglow.profiling.engine_native import NativeEngine
from qglow.simplify import simplify

graph = simplify(load({model!r}))
names = [o for n in graph.nodes for o in n.outputs]
engine = NativeEngine(graph, names)
image = np.zeros([d if isinstance(d, int) else 1 for d in graph.types["image"].shape], np.float32)

def watched(where, error):
    seen = {{}}

    def keep(k):
        def look(name, array):
            seen[k, name] = array.copy()
            if (k, name) == where:
                raise error
        return look

    engine.run([({{"image": image + np.float32(k)}}, keep(k)) for k in range(engine.lanes)])
    return seen

first = watched(None, None)
for k in range(engine.lanes):
    for error in (ValueError("seen"), KeyboardInterrupt(), SystemExit(3)):
        for name in names[::4]:
            try:
                watched((k, name), error)
            except type(error) as found:
                assert found is error
            else:
                raise AssertionError("the error was lost")
            again = watched(None, None)
            assert again.keys() == first.keys() and all(np.array_equal(again[n], first[n]) for n in first)
print("done")
"""


def test_an_error_of_whoever_watches_leaves_the_engine_whole(setup: str, digits: Path) -> None:
    passes(setup, CALLBACK.format(model=str(digits / "model.onnx")))
