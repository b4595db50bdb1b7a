"""Fixtures that many tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def digits() -> Path:
    """The folder of the demo model and its data."""
    return ROOT / "calibration_data" / "digits"
