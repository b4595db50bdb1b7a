"""What a report was made from and with: files and their hashes, version, CPU and instruction set, settings, data."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import __version__
from ..runtime.manifest import Manifest
from ..targets import choose, cpu_name
from .figures import Provenance, SourceFile


def provenance_of(model: Any, bundle: Any, data: Any, manifest: Manifest, backend: str) -> Provenance:
    """Of what `compare` was given; what is no path has no file."""
    target, emulated = choose()
    return Provenance(
        __version__, cpu_name(), target.name + (" (emulated)" if emulated else ""), source_file(model),
        source_file(bundle), Path(data).resolve().name if isinstance(data, (str, Path)) else "", backend,
        manifest.get("profile", {}), manifest.get("config", {}),
    )  # fmt: skip


def source_file(path: Any) -> SourceFile | None:
    """None for what is no path of a file."""
    if not isinstance(path, (str, Path)) or not Path(path).is_file():
        return None
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return SourceFile(Path(path).name, Path(path).stat().st_size, digest)


def now() -> str:
    """Date and time in UTC, to the minute."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
