"""What `qglow tune` found out about this machine: one JSON file in the cache for each instruction set and CPU."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import KernelError
from ..files import check_writable, write_atomically
from ..kernels.cache import cache_folder, files, opened, read
from ..kernels.objects import source_hash
from ..targets import cpu_name
from .schedule import KERNEL, Hints

FORMAT = 1
MOST_KERNELS = 15  # of one instruction


class Tuning:
    """choices: by number of threads and ProductShape.key; coefficients: of the cost models, by `priced`."""

    __slots__ = ("choices", "coefficients")

    def __init__(
        self, choices: dict[str, dict[str, Hints]] | None = None, coefficients: dict[str, list[float]] | None = None
    ) -> None:
        self.choices = choices or {}
        self.coefficients = coefficients or {}


FLOATS = " floats"


def priced(threads: int, is_float: bool) -> str:
    """The name of a cost model: of int8 products, or of float ones, on so many threads."""
    return f"{threads}{FLOATS if is_float else ''}"


def path_of(isa: str) -> Path:
    """Where the choices for an instruction set are kept. Other kernels, or another CPU, have a file of their own."""
    machine = hashlib.sha256(cpu_name().encode()).hexdigest()[:12]
    return cache_folder() / f"tuning-{__version__}-{source_hash()}-{isa}-{machine}.json"


def load(isa: str) -> Tuning | None:
    """What was measured on this machine, or None. A file that is spoiled is not used, with a warning, nor is another
    user's."""
    try:
        path = path_of(isa)
        raw = read(path)
    except (OSError, KernelError):
        return None
    try:
        return _checked(json.loads(raw))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        import logging  # NOTE: a session whose file is sound, or that has none, need not wait for this import

        logging.getLogger("qglow").warning("%s: what `qglow tune` measured is spoiled and not used; run it again", path)
        return None


def _checked(found: Any) -> Tuning:
    if found["format"] != FORMAT:
        raise ValueError("another format")
    counts = [t.removesuffix(FLOATS) for t in found["prices"]]
    if not all(t.isascii() and t.isdecimal() and len(t) < 6 for t in counts):
        raise ValueError("prices of no number of threads")
    choices = {str(t): {str(k): _hints(h) for k, h in chosen.items()} for t, chosen in found["choices"].items()}
    return Tuning(choices, {str(t): [float(p) for p in coefficients] for t, coefficients in found["prices"].items()})


def _hints(found: Any) -> Hints:
    from ..instructions.verify_fields import HINTS  # NOTE: few machines have a tuning

    for name, value in found.items():
        if type(value) is not int or not 0 < value <= (MOST_KERNELS if name == KERNEL else HINTS[name]):
            raise ValueError("no such hint")
    return dict(found)


def prepare(isa: str) -> Path:
    """The file's path, its folder made where it is missing. Raises KernelError and OutputError where it cannot be
    written."""
    path = path_of(isa)
    with opened(path.parent, make=True):
        return check_writable(path)


def save(isa: str, tuning: Tuning) -> Path:
    """Write the file whole; returns its path."""
    path = prepare(isa)
    content = {
        "format": FORMAT,
        "cpu": cpu_name(),
        "isa": isa,
        "choices": tuning.choices,
        "prices": tuning.coefficients,
    }
    write_atomically(path, json.dumps(content, indent=1, sort_keys=True).encode())
    return path


def clear() -> int:
    """Remove all of them; returns how many there were."""
    found = files("tuning-*.json")
    for f in found:
        f.unlink(missing_ok=True)
    return len(found)
