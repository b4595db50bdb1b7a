"""Answers that are asked for again: each trial of another configuration does all passes anew, over values and functions
that are mostly those of the trial before."""

from __future__ import annotations

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar

import numpy as np

from ..graph import Array
from ..profiling.observers import Observer

T = TypeVar("T")
MOST = 4096  # answers: numbers, so a few hundred KiB
_answers: OrderedDict[Hashable, Any] = OrderedDict()
_guard = Lock()


def remembered(key: Hashable, compute: Callable[[], T]) -> T:
    """What was computed for the key, or is now. key: all that the answer depends on."""
    with _guard:
        if key in _answers:
            _answers.move_to_end(key)
            return _answers[key]  # type: ignore[no-any-return]
    made = compute()
    with _guard:
        _answers[key] = made
        while len(_answers) > MOST:
            _answers.popitem(last=False)
    return made


def digest(*parts: Any) -> bytes:
    """A hash of arrays, by dtype, shape and bytes, and of plain values."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            found.update(pickle.dumps((part.dtype.str, part.shape)))
            found.update(np.ascontiguousarray(part).tobytes())
        else:
            found.update(pickle.dumps(part))
    return found.digest()


def digest_of(o: Observer) -> bytes:
    """Of what was seen of a value, but for its channels."""
    histogram: Array = o.histogram
    return digest(histogram, o.count, o.min, o.max, o.reach)
