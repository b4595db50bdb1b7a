"""Fixtures that many tests share."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# the same examples in each run (tools/explore.py takes fresh ones), however busy the machine is
settings.register_profile("fixed", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fixed")

sys.path.insert(0, str(Path(__file__).parent))

# NOTE: a shell starts what runs in its background with Ctrl-C ignored, which the processes that tests start would
# inherit
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def digits() -> Path:
    """The folder of the demo model and its data."""
    return ROOT / "calibration_data" / "digits"


SMOKE = ("test_layering.py", "test_packaging.py", "test_smoke.py", "test_checking.py", "graph/", "simplify/",
    "reference/",
         "profiling/test_profile.py")  # fmt: skip
SLOW = ("test_same_bits.py", "test_symbolic.py", "test_recurrent_forms.py", "test_demo_runs_from_an_installed_wheel",
    "test_convolve.py", "test_time_is_linear_in_the_graph", "test_counts_do_not_depend_on_order",
        "test_every_import_is_a_declared_dependency", "test_classes_are_merged_sets",
        "test_whatever_numbers")  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The smoke: whole folders and files of quick tests, and whatever is marked by itself."""
    here = Path(__file__).parent
    for item in items:
        quick = not any(part in item.nodeid for part in SLOW)
        if quick and item.path.relative_to(here).as_posix().startswith(SMOKE):
            item.add_marker(pytest.mark.smoke)
