"""Profiling takes the memory of one sample, however many there are."""

from __future__ import annotations

import subprocess
import sys

import pytest
import shared_models

CODE = """
import resource, sys
import numpy as np
import qglow
rng = np.random.default_rng(0)
class Samples:
    def __init__(self, n): self.n = n
    def __iter__(self):
        return ({"data_0": np.random.default_rng(k).normal(0, 50, (1, 3, 224, 224)).astype(np.float32)} for k in range(self.n))
profile = qglow.profile(sys.argv[1], Samples(int(sys.argv[2])))
print(profile.samples, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.models
def test_memory_does_not_grow_with_samples() -> None:
    model = str(shared_models.path("squeezenet1.1_imagenet"))
    peaks = []
    for count in (20, 200):
        done = subprocess.run([sys.executable, "-c", CODE, model, str(count)], capture_output=True, text=True, check=True)
        samples, peak = map(int, done.stdout.split())
        assert samples == count
        peaks.append(peak)
    assert peaks[1] <= peaks[0] * 1.03, f"peak memory in KiB for 20 and 200 samples: {peaks}"
