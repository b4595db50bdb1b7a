"""Cases that were found once, as files: KIND-WHAT.SUFFIX, in `kept/`; the suite runs all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .cases import KINDS

FOLDER = Path(__file__).resolve().parent / "kept"


def kept_cases(folder: Path = FOLDER) -> list[dict[str, Any]]:
    found = []
    for path in sorted(folder.iterdir()):
        kind = path.name.split("-")[0]
        if kind in KINDS and path.suffix != ".why":
            name = {"toml": path.name.split("-")[1] + ".toml"}.get(kind, f"a{path.suffix}")
            found.append({"kind": kind, "name": name, "path": str(path)})
    return found
