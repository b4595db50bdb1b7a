"""A profile, a bundle, its QDQ form and a report have the same bytes in every process: nothing follows from the order
of a set, which Python chooses anew each time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CODE = """
import hashlib, json, sys
import numpy as np
import qglow
from qglow.onnx_import.export_qdq import export_qdq
from test_centred_values import attention, samples

def hashed(data):
    return hashlib.sha256(data).hexdigest()

digits = "calibration_data/digits/model.onnx"
pictures = [{"image": np.load(f"calibration_data/digits/{k:03d}.npy")} for k in range(12)]
found = {}
for name, model, data in (("attention", attention(), samples(6)), ("digits", digits, pictures)):
    profile = qglow.profile(model, data)
    bundle = qglow.quantize(model, profile, {"min_agreement_sqnr_db": -100.0})
    bundle.save(f"{sys.argv[1]}/{name}.qglow")
    found[name] = {
        "profile": hashed(profile.to_json().encode()),
        "bundle": hashed(open(f"{sys.argv[1]}/{name}.qglow", "rb").read()),
        "export": hashed(export_qdq(bundle.graph).SerializeToString(deterministic=True)),
        "report": hashed(qglow.compare(model, bundle, data).to_json().encode()),
    }
print(json.dumps(found))
"""


def test_whatever_the_seed_of_hashes(tmp_path: Path) -> None:
    running = []
    for seed in ("1", "2", "3"):
        (tmp_path / seed).mkdir()
        paths = os.pathsep.join([str(ROOT), str(HERE)])
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", CODE, str(tmp_path / seed)],
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": paths},
            )
        )
    found = [json.loads(p.communicate(timeout=600)[0].splitlines()[-1]) for p in running]
    assert found[0] == found[1] == found[2] and set(found[0]) == {"attention", "digits"}
