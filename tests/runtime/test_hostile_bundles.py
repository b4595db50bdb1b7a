"""Spoiled bundles, in a process of its own so that a crash is a failure like another: refused by an error, or run as
the reference says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import qglow
from qglow.graph.text import print_graph
from qglow.runtime import Bundle, load

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def bundle(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "digits.qglow"
    data = [{"image": np.load(digits / f"{k:03d}.npy")} for k in range(4)]
    qglow.quantize(digits / "model.onnx", qglow.profile(digits / "model.onnx", data)).save(path)
    return path


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One graph with every kind of instruction in every form."""
    sys.path.insert(0, str(HERE.parent / "instructions"))
    from program_graphs import Net
    from test_meaning import FORMS

    net = Net()
    outputs = dict.fromkeys(o for _, form in FORMS.values() for o in form(net))
    path = tmp_path_factory.mktemp("bundles") / "forms.qglow"
    Bundle(net.graph(*outputs)).save(path)
    return path


@pytest.fixture(scope="module")
def branches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Branches within branches, by shapes and by an input, some of them in int8."""
    import onnx.parser

    sys.path.insert(0, str(HERE.parent / "onnx_import"))
    from branch_models import NESTED, RANKS

    path = tmp_path_factory.mktemp("bundles") / "branches.qglow"
    nested, ranks = (onnx.parser.parse_model(m.onnx) for m in (NESTED, RANKS))
    assert "Select" in print_graph(qglow.quantize(ranks, qglow.profile(ranks, RANKS.seen), check=False).graph)
    qglow.quantize(nested, qglow.profile(nested, NESTED.seen), check=False).save(path)
    return path


# NOTE: one of all forms takes half a second; tools/fuzz tries as many as it is given time for
@pytest.mark.parametrize(("which", "examples"), [("bundle", 100), ("forms", 40), ("branches", 100)])
def test_spoiled_bundles_are_refused_or_right(
    which: str, examples: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    bundle = request.getfixturevalue(which)
    arguments = [str(bundle), str(tmp_path), str(examples), "0"]
    command = [sys.executable, "-W", "ignore", str(HERE / "hostile_bundles.py"), *arguments]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1800)
    assert done.returncode == 0, f"ended with {done.returncode} on {tmp_path / 'tried.qglow'}: {done.stderr[-3000:]}"
    refused, ran = (int(word) for word in done.stdout.replace(",", "").split() if word.isdigit())
    assert min(refused, ran) > examples * 2 // 15, done.stdout


def test_what_is_tried_can_be_read_back(bundle: Path) -> None:
    """The text that is spoiled is the bundle's own: numbers, names and ops are there to be changed."""
    sys.path.insert(0, str(HERE))
    import hostile_bundles

    text = print_graph(load(bundle).graph)
    assert len(list(hostile_bundles.NUMBER.finditer(text))) > 50
