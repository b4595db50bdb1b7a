"""An observer as plain data, as files keep it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .observers import BINS, Observer


def record_of(o: Observer) -> dict[str, Any]:
    """Plain data: the same statistics are the same text."""
    used = np.flatnonzero(o.histogram)
    first, last = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 0)
    # NOTE: + 0.0 makes 0.0 of -0.0, as the order of samples decides which of them is the least
    record: dict[str, Any] = {"count": o.count, "min": o.min + 0.0 if o.count else 0.0,
        "max": o.max + 0.0 if o.count else 0.0, "reach": o.reach,
                              "first_bin": first, "histogram": o.histogram[first:last].tolist()}  # fmt: skip
    record |= {name: count for name, count in (("lowest", o.lowest), ("highest", o.highest), ("nans", o.nans)) if count}
    if o.channels.vary:
        record["channels_vary"] = True
    if o.channel_min is not None and o.channel_max is not None:
        record["channel_min"], record["channel_max"] = (o.channel_min + 0.0).tolist(), (o.channel_max + 0.0).tolist()
        if o.channel_sum is not None and o.channel_sum.shape == o.channel_min.shape:
            record["channel_count"], record["channel_sum"] = o.channel_count, o.channel_sum.tolist()
    return record


def observer_of(record: Mapping[str, Any]) -> Observer:
    """From plain data. Raises ValueError, KeyError or TypeError where it is malformed or does not add up."""
    o = Observer()
    o.count, o.reach = int(record["count"]), float(record["reach"])
    o.lowest, o.highest, o.nans = (int(record.get(k, 0)) for k in ("lowest", "highest", "nans"))
    if min(o.lowest, o.highest, o.nans) < 0:
        raise ValueError("infinities or NaN that were seen less than never")
    if o.count:
        o.min, o.max = float(record["min"]), float(record["max"])
    counts = np.array(record["histogram"], np.int64)
    first = int(record["first_bin"])
    if (
        first < 0
        or first + counts.size > BINS
        or (counts < 0).any()
        or int(counts.sum()) != o.count
        or not o.min <= o.max
        and o.count
    ):
        raise ValueError("a histogram does not add up")
    o.histogram[first : first + counts.size] = counts
    if record.get("channels_vary", False) is True:
        o.channels.forget()
    elif "channel_min" in record:
        _read_channels(o, record)
    return o


def _read_channels(o: Observer, record: Mapping[str, Any]) -> None:
    low, high = (np.array(record[k], np.float32) for k in ("channel_min", "channel_max"))
    if (
        low.ndim != 1
        or low.shape != high.shape
        or not low.size
        or not (np.isfinite(low) & np.isfinite(high) & (low <= high)).all()
    ):
        raise ValueError("the ranges of channels do not fit")
    sums, count = None, 0
    if "channel_sum" in record:
        sums, count = np.array([int(v) for v in record["channel_sum"]], object), int(record["channel_count"])
        beyond = any(abs(v) > count << 300 for v in sums.tolist())  # NOTE: in units of the least float32
        if sums.shape != low.shape or count < 1 or beyond:
            raise ValueError("the sums of channels do not fit")
    o.channels.known(low, high, sums, count)
