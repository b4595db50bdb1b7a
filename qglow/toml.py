"""TOML files: read from a plain file, every fault of theirs an error that names the file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from .errors import QGlowError, in_one_line
from .reading import read_text


def read_toml(path: Path, error: type[QGlowError], missing: str = "no such file") -> dict[str, Any]:
    """The file's tables. Raises `error` and LimitError."""
    try:
        return tomllib.loads(read_text(path, error, missing))
    # NOTE: nested too deep, and a number of more digits than Python takes
    except (ValueError, RecursionError) as fault:
        raise error(f"{path}: not valid TOML: {in_one_line(fault)}") from fault
