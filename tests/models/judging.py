"""The one judge of models: qglow beside onnxruntime on the float model, in int8 and in float, on every shape, on one
and two threads, and on every backend with the same bits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnxruntime as ort

import qglow

from .builder import Array, Case, Feeds

FLOAT_DB = 80.0
ALL_FLOAT = qglow.QuantConfig(exclude=("re:.*",))


def difference(got: Array, want: Array, db: float) -> str | None:
    """What is wrong with an answer: integers must be equal, floats near, with NaN and infinities in the same places."""
    if (got.shape, got.dtype) != (want.shape, want.dtype):
        return f"expected {want.dtype}{list(want.shape)}, got {got.dtype}{list(got.shape)}"
    if want.dtype.kind != "f":
        return None if np.array_equal(got, want) else f"{np.sum(got != want)} of {want.size} elements differ"
    finite = np.isfinite(want)
    if not np.array_equal(finite, np.isfinite(got)) or not np.array_equal(got[~finite], want[~finite], equal_nan=True):
        return f"expected {np.sum(~finite)} elements that are not finite, got {np.sum(~np.isfinite(got))}, or others"
    signal, noise = want[finite].astype(np.float64), (got[finite] - want[finite]).astype(np.float64)
    if not (noise @ noise):
        return None
    reached = 10 * np.log10(max(signal @ signal, 1e-300) / (noise @ noise))
    return None if reached >= db else f"expected at least {db:g} dB, got {reached:.1f} dB"


def same_bits(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def oracle(case: Case) -> list[tuple[Feeds, list[Array]]]:
    """Each request with onnxruntime's answer."""
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = ort.InferenceSession(case.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [(feeds, session.run(None, feeds)) for feeds in (*case.seen, *case.others)]


def faults(case: Case) -> Iterator[str]:
    """One line for each thing that is wrong."""
    wanted = oracle(case)
    profile = qglow.profile(case.model, case.seen)
    for name, config, db in (("float", ALL_FLOAT, FLOAT_DB), ("int8", qglow.QuantConfig(), case.int8_db)):
        bundle = qglow.quantize(case.model, profile, config, check=False)
        if name == "int8" and not any(t.is_quantized for t in bundle.graph.types.values()):
            yield "int8: nothing is quantized"
        interpreter = qglow.InferenceSession(bundle, backend="interpreter")
        for threads in (1, 2):
            session = qglow.InferenceSession(bundle, threads)
            for number, (feeds, want) in enumerate(wanted):
                got = session.run(None, feeds)
                shapes = {k: list(v.shape) for k, v in feeds.items()}
                for output, a, b in zip(case.model.graph.output, got, want, strict=True):
                    if fault := difference(a, b, db):
                        yield f"{name}, {threads} threads, request {number} {shapes}: output {output.name!r}: {fault}"
                if threads == 1 and not all(map(same_bits, got, interpreter.run(None, feeds))):
                    yield f"{name}, request {number} {shapes}: the interpreter has other bits"


def judge(case: Case) -> None:
    """Raise AssertionError with everything that is wrong with the case."""
    found = list(faults(case))
    assert not found, "\n".join(found)
