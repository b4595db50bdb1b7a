"""ONNX's own backend tests, all that need no download, on the compiled kernels; `backend_failures.toml` says which may
fail, and why.

The table is exact: a case in it that passes is a failure, as is an entry that no case matches, or an error that says
something else. Where the operator is random by definition, dtypes and shapes must be right; where an entry names a
tolerance, or onnxruntime where it contradicts the suite, the answer must be right by that.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from qglow import onnx_backend
from qglow.errors import ModelError
from tests.onnx_import.backend_cases import DTYPES, Outcome, cases_of, outcome

TABLE = tomllib.loads(Path(__file__).with_name("backend_failures.toml").read_text())["expected"]


def complaint(name: str, found: Outcome, entry: Mapping[str, Any] | None) -> str | None:
    """What is not as the table says, or None."""
    if entry is None:
        return None if found.verdict == "right" else f"{name}: expected right, got {found.verdict}: {found.message}"
    if entry.get("random"):
        return (
            None
            if found.verdict == "right" or found.alike
            else f"{name}: expected its dtype and shape, got {found.message}"
        )
    verdict = "error" if "error" in entry else "wrong"
    if found.verdict != verdict:
        return f"{name}: expected {verdict} ({entry['reason']}), got {found.verdict}: {found.message}"
    if verdict == "error" and not re.search(entry["error"], found.message):
        return f"{name}: expected an error with {entry['error']!r}, got {found.message!r}"
    return None


@pytest.mark.parametrize("kind", DTYPES)
def test_suite(kind: str) -> None:
    patterns = [(re.compile(p), entry) for entry in TABLE if entry.get("kind", "node") == kind for p in entry["cases"]]
    unmatched, complaints = {p.pattern for p, _ in patterns}, []
    cases = cases_of(kind)
    assert cases
    for case in cases:
        name = case.name.removeprefix("test_")
        matching = [(p, entry) for p, entry in patterns if p.fullmatch(name)]
        unmatched -= {p.pattern for p, _ in matching}
        entry = matching[0][1] if matching else None
        said = complaint(name, outcome(case), entry)
        if said is None and entry is not None and ("rtol" in entry or "onnxruntime" in entry):
            said = complaint(name, outcome(case, entry.get("rtol"), entry.get("onnxruntime", False)), None)
        if said is not None:
            complaints.append(said)
        if len(matching) > 1:
            complaints.append(f"{name}: expected one entry, got {len(matching)}")
    complaints += [f"no case is named {p}" for p in sorted(unmatched)]
    assert not complaints, f"{len(complaints)} of {len(cases)}:\n" + "\n".join(complaints)


def test_run_node_takes_arrays_in_order_or_by_name() -> None:
    node = onnx.helper.make_node("Sub", ["a", "b"], ["y"])
    a, b = np.float32([5, 7]), np.float32([1, 2])
    assert onnx_backend.run_node(node, [a, b]).y.tolist() == [4, 5]
    assert onnx_backend.run_node(node, {"b": a, "a": b})[0].tolist() == [-4, -5]


def test_only_the_cpu_is_supported() -> None:
    assert onnx_backend.supports_device("CPU") and not onnx_backend.supports_device("CUDA")
    node = onnx.helper.make_node("Neg", ["a"], ["y"])
    with pytest.raises(ModelError, match="CUDA"):
        onnx_backend.run_node(node, [np.float32([1])], "CUDA")
