"""Classes of samples: those of a folder's labels.csv, and those that a caller gives."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import LARGEST, count_of, quoted, shown
from ..errors import DataError
from ..reading import read_text
from ..words import counted


def labels_of(labels: Any) -> list[int]:
    """The class of each sample, in order. Raises DataError for what is no list of whole numbers."""
    if (
        isinstance(labels, (str, bytes, Mapping))
        or not isinstance(labels, (Iterable, np.ndarray))
        or getattr(labels, "ndim", 1) != 1
    ):
        raise DataError(f"labels must be a list of whole numbers, one a sample; got {shown(labels)}")
    return [count_of(label, "a label", DataError, -LARGEST) for label in labels]


def _label(text: str | None, file: Path, sample: str) -> int:
    try:
        return int(text or "")
    except ValueError:
        raise DataError(
            f"{file}: {sample}: expected the number of a class, counted from 0, as its label; got {quoted(text)}"
        ) from None


def labels_in(path: Path, samples: list[str]) -> dict[str, int]:
    """Class by file name; empty where there is no labels.csv. A file may be named that is not there, but not every
    one."""
    file = path / "labels.csv"
    if not file.exists():
        return {}
    try:
        rows = csv.DictReader(io.StringIO(read_text(file, DataError).removeprefix("\ufeff"), newline=""))
        if absent := {"file", "label"} - set(rows.fieldnames or ("file", "label")):
            named = ", ".join(map(str, rows.fieldnames or ()))
            raise DataError(f"{file}: expected the columns file,label; {min(absent)} is absent from {named}")
        labels = dict[str, int]()
        for row in rows:
            label = _label(row["label"], file, row["file"])
            if labels.setdefault(row["file"], label) != label:
                both = f"{labels[row['file']]} and {label}"
                raise DataError(f"{file}: {row['file']} has two labels, {both}; keep one row for each file")
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise DataError(
            f"{file}: expected the columns file,label with whole-number labels ({type(error).__name__}: {error})"
        ) from error
    missing = [s for s in samples if s not in labels]
    if len(missing) == len(samples):
        raise DataError(
            f"{file}: it names none of the samples, such as {samples[0]}; the column file holds file names in {path}"
        )
    if missing:
        without = f"{len(missing)} of {counted(len(samples), 'sample')}"
        raise DataError(f"{file}: {without} have no label, such as {missing[0]}; add them, or remove the file")
    return labels
