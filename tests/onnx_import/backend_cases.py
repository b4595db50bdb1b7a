"""The cases of onnx.backend.test that need no download, each run through `qglow.onnx_backend`, and what came of it.

python -m tests.onnx_import.backend_cases PATTERN      the outcome of every case whose name matches
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

from qglow import QGlowError, onnx_backend

DTYPES = ("node", "simple", "pytorch-converted", "pytorch-operator")


@dataclass(frozen=True)
class Outcome:
    """right: the suite's answer; wrong: another one; error: a QGlowError; crash: any other exception, which is never
    expected.

    alike: wrong, with the dtypes and shapes of the suite's answer.
    """

    verdict: str
    message: str = ""
    alike: bool = False


def cases_of(kind: str) -> list[TestCase]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):  # what ONNX computes its expected values with
        warnings.simplefilter("ignore")
        return sorted(load_model_tests(kind=kind), key=lambda case: case.name)


def outcome(case: TestCase, rtol: float | None = None, by_onnxruntime: bool = False) -> Outcome:
    """What comes of a case, within the suite's own tolerances, or another relative one; beside onnxruntime's answer,
    not the suite's."""
    model = case.model or onnx.load(str(Path(case.model_dir) / "model.onnx"))
    try:
        prepared = onnx_backend.prepare(model)
        for inputs, expected in _data_sets(case, model):
            answers = list(prepared.run(inputs))
            expected = _by_onnxruntime(model, inputs) if by_onnxruntime else expected
            try:
                Runner.assert_similar_outputs(expected, answers, rtol or case.rtol, case.atol, case.model_dir)
            except AssertionError as error:
                return Outcome("wrong", _line(error), list(map(_form, answers)) == list(map(_form, expected)))
    except QGlowError as error:
        return Outcome("error", f"{type(error).__name__}: {_line(error)}")
    except Exception as error:
        return Outcome("crash", f"{type(error).__name__}: {_line(error)}")
    return Outcome("right")


def _by_onnxruntime(model: onnx.ModelProto, inputs: list[Any]) -> list[Any]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip([i.name for i in session.get_inputs()], inputs, strict=True)))


def _data_sets(case: TestCase, model: onnx.ModelProto) -> Iterator[tuple[list[Any], list[Any]]]:
    """(inputs, expected outputs) of every data set of a case: from memory, or from its folder."""
    if case.model_dir is None:
        for inputs, outputs in case.data_sets:
            yield [_array(v) for v in inputs], [_array(v) for v in outputs]
        return
    for folder in sorted(Path(case.model_dir).glob("test_data_set*")):
        yield _protos(folder, "input", model.graph.input), _protos(folder, "output", model.graph.output)


def _protos(folder: Path, what: str, infos: Any) -> list[Any]:
    values: list[Any] = []
    for k in range(len(list(folder.glob(f"{what}_*.pb")))):
        Runner._load_proto(None, str(folder / f"{what}_{k}.pb"), values, infos[k].type)
    return values


def _form(value: Any) -> tuple[Any, Any]:
    return getattr(value, "dtype", None), getattr(value, "shape", None)


def _array(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def main() -> None:
    for kind in DTYPES:
        for case in cases_of(kind):
            if re.search(sys.argv[1], case.name):
                found = outcome(case)
                print(case.name.removeprefix("test_"), found.verdict, found.message)


if __name__ == "__main__":
    main()
