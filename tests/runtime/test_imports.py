"""What a process imports to answer: every module that it can do without is time before the first answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from platformdirs import user_cache_dir

import qglow
from qglow.kernels.cache import cache_folder

CODE = """
import sys, numpy as np, qglow
qglow.InferenceSession(sys.argv[1], 1).run(None, {"image": np.load(sys.argv[2])})
print(sorted({"logging", "tempfile", "platformdirs", "subprocess", "numba", "onnx", "safetensors"} & set(sys.modules)))
"""


def test_a_run_imports_what_it_needs_and_no_more(digits: Path, tmp_path: Path) -> None:
    sample, bundle = digits / "000.npy", tmp_path / "d.qglow"
    feeds = {"image": np.load(sample)}
    qglow.quantize(digits / "model.onnx", qglow.profile(digits / "model.onnx", [feeds])).save(bundle)
    qglow.InferenceSession(bundle, 1).run(None, feeds)  # kernels are compiled by now
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(bundle), str(sample)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_cache_lies_where_platformdirs_has_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("QGLOW_CACHE_DIR", raising=False)
    for given in ("", str(tmp_path)):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert cache_folder() == Path(user_cache_dir("qglow"))
