"""Bound calls: the bits of `run`, in the caller's own arrays, and a clear error for arrays that they cannot be."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest

import qglow
from qglow.graph import Array
from tests.runtime.test_lengths import asked, decoder
from tests.runtime.test_stages import FLOATS, W, model, op

STATE = """<ir_version: 9, opset_import: ["" : 17]>
g (float[n, 16] x, float[n, 16] state) => (float[n, 16] y, float[n, 16] next)
<float[16, 16] w = {}, float[16, 16] u = {}>
{{ a = MatMul(x, w)  b = MatMul(state, u)  next = Add(a, b)  y = Sigmoid(next) }}"""


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(0, 1, shape).astype(np.float32)


def numbers(array: Array) -> str:
    return "{" + ", ".join(map(str, array.ravel().tolist())) + "}"


@pytest.fixture(scope="module")
def bundle() -> qglow.Bundle:
    """Of a step of a recurrent network: `y` and the next state of an input and a state, both of any batch."""
    made = onnx.parser.parse_model(STATE.format(numbers(noise(16, 16)), numbers(0.2 * noise(16, 16, seed=1))))
    samples = [{"x": noise(2, 16, seed=k), "state": noise(2, 16, seed=k + 9)} for k in range(8)]
    return qglow.quantize(made, qglow.profile(made, samples), check=None)


@pytest.fixture(scope="module")
def session(bundle: qglow.Bundle) -> qglow.InferenceSession:
    return qglow.InferenceSession(bundle, 1)


def expected(session: qglow.InferenceSession, x: Array, state: Array) -> list[Array]:
    return session.run(None, {"x": x, "state": state})


@pytest.mark.parametrize("backend", ["native", "interpreter"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("as_list", [False, True])
def test_a_bound_call_computes_what_run_returns(
    bundle: qglow.Bundle, backend: str, threads: int, as_list: bool
) -> None:
    session = qglow.InferenceSession(bundle, threads, backend=backend)
    x, state, y, following = noise(3, 16), noise(3, 16, seed=1), *(np.full((3, 16), np.nan, np.float32) for _ in "12")
    given: tuple[Any, Any] = ([x, state], [y, following])
    call = session.bind(*given) if as_list else session.bind(
        {"state": state, "x": x}, {"next": following, "y": y}
    )  # fmt: skip
    for seed in range(3):
        x[...], state[...] = noise(3, 16, seed=seed), noise(3, 16, seed=seed + 5)
        made = call()
        assert made[0] is y and made[1] is following
        for got, want in zip(made, expected(session, x, state), strict=True):
            assert np.array_equal(got, want)


def test_without_outputs_it_makes_them(session: qglow.InferenceSession) -> None:
    x, state = noise(2, 16), noise(2, 16, seed=1)
    call = session.bind({"x": x, "state": state})
    y, following = call()
    assert call.outputs["y"] is y and call.outputs["next"] is following and call.inputs["x"] is x
    assert all(map(np.array_equal, (y, following), expected(session, x, state)))
    assert repr(call) == "BoundCall(x, state -> y, next)"


def test_some_of_the_outputs(session: qglow.InferenceSession) -> None:
    x, state, following = noise(2, 16), noise(2, 16, seed=1), np.zeros((2, 16), np.float32)
    session.bind([x, state], {"next": following})()
    assert np.array_equal(following, expected(session, x, state)[1])


def test_a_state_that_is_both_output_and_input(session: qglow.InferenceSession) -> None:
    x, state = noise(1, 16), noise(1, 16, seed=1)
    want, y = state.copy(), np.zeros((1, 16), np.float32)
    call = session.bind([x, state], {"y": y, "next": state})
    for _ in range(4):
        scores, want = expected(session, x, want)
        call()
        assert np.array_equal(state, want) and np.array_equal(y, scores)


def test_other_calls_between_do_not_disturb_it(session: qglow.InferenceSession) -> None:
    """Another shape moves the session's memory, and takes it."""
    x, state = noise(2, 16), noise(2, 16, seed=1)
    want, call = expected(session, x, state), session.bind([x, state])
    small = session.bind([x[:1], state[:1]])
    for batch in (1, 700, 2, 1400):
        expected(session, noise(batch, 16), noise(batch, 16))
        assert all(map(np.array_equal, call(), want))
        assert all(np.array_equal(got, a[:1]) for got, a in zip(small(), want, strict=True))


def test_it_outlives_the_plans_and_the_name_of_its_session(bundle: qglow.Bundle) -> None:
    session = qglow.InferenceSession(bundle, 1)
    x, state = noise(2, 16), noise(2, 16, seed=1)
    want, call = expected(session, x, state), session.bind([x, state])
    for batch in range(3, 300, 3):
        expected(session, noise(batch, 16), noise(batch, 16))
    assert session._cache.get(((2, 16), (2, 16))) is None
    del session
    assert all(map(np.array_equal, call(), want))


def test_nan_and_infinities_as_in_run(session: qglow.InferenceSession) -> None:
    x, state = noise(2, 16), noise(2, 16, seed=1)
    x[0, :4], state[1, 2] = (np.nan, np.inf, -np.inf, 3e38), np.nan
    for got, want in zip(session.bind([x, state])(), expected(session, x, state), strict=True):
        assert np.array_equal(got, want, equal_nan=True)


def test_threads_take_turns(bundle: qglow.Bundle) -> None:
    """Calls on arrays of their own, of one session."""
    session, wrong = qglow.InferenceSession(bundle, 1), list[int]()
    given = [(noise(2, 16, seed=k), noise(2, 16, seed=k + 9)) for k in range(4)]
    wants = [expected(session, *arrays) for arrays in given]

    def work(k: int) -> None:
        call = session.bind(list(given[k]))
        for _ in range(300):
            if not all(map(np.array_equal, call(), wants[k])):
                wrong.append(k)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert not wrong


def test_lengths_that_one_program_serves() -> None:
    """Calls of neighbouring lengths, in turns: each moves the program to its own."""
    session, calls = qglow.InferenceSession(decoder(), 1), []
    for past in range(8, 16):
        feeds = asked(past)
        calls.append((session.bind(feeds), feeds))
    for call, feeds in [*calls, *reversed(calls)]:
        for got, want in zip(call(), session.run(None, feeds), strict=True):
            assert np.array_equal(got, want)


def test_shapes_that_depend_on_data() -> None:
    nodes = [op("Conv", "x w", "h", pads=[1] * 4), op("Relu", "h", "r"), op("NonZero", "r", "places")]
    made, x = model(nodes, W, ["places/2:INT64"]), noise(1, 3, 16, 16)
    bundle = qglow.quantize(made, qglow.profile(made, [{"x": x}]), FLOATS, check=None)
    session = qglow.InferenceSession(bundle, 1)
    [want] = session.run(None, {"x": x})
    places = np.zeros_like(want)
    call = session.bind([x], [places])
    call()
    assert np.array_equal(places, want)
    x[...] = noise(1, 3, 16, 16, seed=1)
    with pytest.raises(qglow.QGlowError, match=r"places: expected memory of int64\[4, "):
        call()
    assert np.array_equal(places, want)
    assert np.array_equal(session.bind([x])()[0], session.run(None, {"x": x})[0])


def test_pickling(session: qglow.InferenceSession) -> None:
    x, state = noise(2, 16), noise(2, 16, seed=1)
    call = session.bind([x, state])
    again = pickle.loads(pickle.dumps(session))
    assert all(map(np.array_equal, again.bind([x, state])(), call()))
    with pytest.raises(TypeError, match="pickle the session"):
        pickle.dumps(call)


def test_limits_of_the_session_hold(bundle: qglow.Bundle) -> None:
    x, state = noise(40000, 16), noise(40000, 16, seed=1)
    with pytest.raises(qglow.QGlowError, match="memory"):
        qglow.InferenceSession(bundle, 1, max_memory="2M").bind([x, state])


def test_a_mapped_file(session: qglow.InferenceSession, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", noise(2, 16))
    state = noise(2, 16, seed=1)
    call = session.bind([np.load(tmp_path / "x.npy", mmap_mode="r"), state])
    assert all(map(np.array_equal, call(), expected(session, noise(2, 16), state)))


X, Y = noise(2, 16), np.zeros((2, 16), np.float32)
WRONG: list[tuple[Any, Any, str]] = [
    (3, None, "the inputs must be given as {name: array} or as a list, got int 3"),
    ([X], None, r"expected 2 arrays for the inputs \['x', 'state'\], got 1"),
    ({"x": X}, None, "input 'state' is missing"),
    ({"x": X, "state": X, "z": X}, None, "no input 'z'"),
    ([X, X.tolist()], None, "input 'state': a bound call needs a numpy array, got"),
    ([X, X.astype(np.float64)], None, "input 'state': expected float32, got float64"),
    ([X, X.astype(">f4")], None, "input 'state': a bound call needs numbers in this machine's byte order"),
    ([X, np.array([["a"]], object)], None, "input 'state': a bound call needs numbers"),
    ([X, X[0]], None, r"input 'state': expected shape \['n', 16\], got \[16\]"),
    ([X, X.T.copy().T], None, "input 'state': a bound call needs a contiguous array, got strides"),
    ([X, noise(3, 16)], None, "cannot be evaluated on inputs of shapes"),
    ([X, X], [Y], r"expected 2 arrays for the outputs"),
    ([X, X], {"z": Y}, "no output 'z'"),
    ([X, X], {"y": Y[:1]}, r"output 'y': expected an array of float32\[2, 16\], got float32\[1, 16\]"),
    ([X, X], {"y": Y.astype(np.float64)}, "output 'y': expected an array of float32.* got float64"),
    ([X, X], {"y": np.zeros((2, 32), np.float32)[:, ::2]}, "output 'y': a bound call needs a contiguous array"),
    ([X, X], {"y": 3}, "output 'y': a bound call needs a numpy array, got int 3"),
    ([X, X], 3, "the outputs must be given as"),
    ([X, X], [Y, Y], "outputs 'y' and 'next' share memory"),
]


@pytest.mark.parametrize(("inputs", "outputs", "said"), WRONG)
def test_wrong_arrays_are_one_clear_error(
    session: qglow.InferenceSession, inputs: Any, outputs: Any, said: str
) -> None:
    with pytest.raises(qglow.QGlowError, match=said):
        session.bind(inputs, outputs)


def test_read_only_outputs(session: qglow.InferenceSession) -> None:
    y = np.zeros((2, 16), np.float32)
    y.flags.writeable = False
    with pytest.raises(qglow.QGlowError, match="output 'y': the array is read-only"):
        session.bind([X, X], {"y": y})
    y.flags.writeable = True
    call = session.bind([X, X], {"y": y})
    y.flags.writeable = False
    with pytest.raises(qglow.QGlowError, match="y: the memory to write to must be a numpy array that is writable"):
        call()
    assert not y.any()


def _reshape(array: Array) -> None:
    array.shape = (array.size,)


def _retype(array: Array) -> None:
    array.dtype = np.dtype(np.int32)


def _resize(array: Array) -> None:
    array.resize((1, 16), refcheck=False)


@pytest.mark.parametrize("change", [_reshape, _retype, _resize])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_arrays_that_are_changed_in_place_are_refused(
    session: qglow.InferenceSession, change: Callable[[Array], None], which: int
) -> None:
    x, y = noise(2, 16), np.zeros((2, 16), np.float32)
    call = session.bind([x, X], {"y": y})
    call()
    change((x, y)[which])
    with pytest.raises(qglow.QGlowError, match=f"{('input .x', 'output .y')[which]}' was bound as float32"):
        call()


def test_arrays_that_own_their_data_cannot_be_resized(session: qglow.InferenceSession) -> None:
    x = noise(2, 16)
    call = session.bind([x, X])
    with pytest.raises(ValueError, match="resize"):
        x.resize((4000, 16))
    assert all(map(np.array_equal, call(), expected(session, x, X)))
