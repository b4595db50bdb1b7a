"""What a bundle says about itself is held to its declaration as it is read: a report of a stranger's bundle never fails
inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qglow
from qglow.errors import BundleError
from qglow.graph import GraphBuilder, float_type
from qglow.graph.text import print_graph
from qglow.runtime.bundle import FORMAT
from qglow.runtime.manifest import Manifest, checked
from qglow.runtime.seal import BLANK, sealed
from qglow.runtime.tensors import to_bytes

DECISION = {"node": "a", "op": "Relu", "precision": "float", "reason": "why"}


def saved(path: Path, manifest: str) -> Path:
    b = GraphBuilder()
    b.types["x"] = float_type(2, 3)
    b.fresh("x")
    graph = b.build("g", ("x",), (b.add("Relu", ("x",), float_type(2, 3), "y"),))
    metadata = {"format": FORMAT, "graph": print_graph(graph), "manifest": manifest, "seal": BLANK}
    path.write_bytes(sealed(to_bytes(graph.constants, metadata), graph.constants))
    return path


@pytest.mark.parametrize(("entry", "said"), [
    ({"decisions": 5}, "decisions is int 5"), ({"decisions": [1]}, "expected a decision"),
    ({"decisions": [{}]}, "expected a decision"),
    ({"decisions": [{**DECISION, "precision": "int7"}]}, "expected a decision"),
    ({"decisions": [{**DECISION, "reason": 4}]}, "expected a decision"), ({"name": ["a"]}, "name is list"),
    ({"float_bytes": "x"}, "float_bytes is str"), ({"float_bytes": True}, "not a number of bytes"),
    ({"int8_bytes": -1}, "not a number of bytes"),
    ({"float_bytes": 10**400}, "not a number of bytes"), ({"agreement": 3}, "agreement is int"),
    ({"target": None}, "target is NoneType"),
    ({"agreement": {"outputs": {"y": {"sqnr_db": float("nan")}}}}, "manifest.agreement.outputs.y.sqnr_db is float nan"),
    ({"profile": {"samples": [float("inf")]}}, "manifest.profile.samples is float inf"),
])  # fmt: skip
def test_an_entry_of_another_type_is_refused(entry: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=said) as caught:
        qglow.load(saved(tmp_path / "b.qglow", json.dumps(entry)))
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


def test_a_manifest_that_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="expected a manifest of names and values, got list"):
        qglow.load(saved(tmp_path / "b.qglow", "[]"))


def test_a_manifest_that_says_little_is_reported_on(tmp_path: Path) -> None:
    path = saved(tmp_path / "b.qglow", json.dumps({"later": [1], "decisions": [DECISION], "int8_bytes": 0}))
    bundle = qglow.load(path)
    report = qglow.compare(bundle.graph, bundle, [{"x": np.ones((2, 3), np.float32)}])
    nodes = report.to_dict()["nodes"]
    assert nodes["float"] == 1 == sum(nodes.values()) and report.summary()
    report.save(tmp_path / "r.html")


def test_the_declaration_and_the_check_have_the_same_entries() -> None:
    for key in Manifest.__annotations__:
        with pytest.raises(ValueError, match=key):
            checked({key: object()})
