"""Inputs that are pictures, as small ones that a page carries in itself."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from io import BytesIO

import numpy as np

from ..graph import Array
from ..profiling.dataset import InputTypes

LARGEST, SMALLEST = 136, 8  # of a side, in pixels: of the pictures, and of the inputs that are taken for some
PLAIN = 64  # up to here a picture is small enough to be kept exactly
QUALITY = 75


def picture_of(feeds: Mapping[str, Array], types: Mapping[str, object]) -> str:
    """A data URI of the first input that is a picture; empty where none is.

    Where a dataset.toml says how pictures became tensors, that is undone. Any other input of one sample with 1 or 3
    channels counts as a picture, from its lowest value in black to its highest in white.
    """
    undo = types.pixels if isinstance(types, InputTypes) else None
    for array in feeds.values():
        if array.ndim == 4 and array.shape[0] == 1 and array.dtype.kind in "fiu" and array.size:
            pixels = undo(array) if undo is not None else _guessed(array)
            if pixels is not None:
                return _encoded(pixels)
    return ""


def _guessed(array: Array) -> Array | None:
    """Bytes [H, W, C] of an input [1, C, H, W] or [1, H, W, C] with 1 or 3 channels; None of any other."""
    x = array[0]
    if x.shape[0] in (1, 3):
        x = x.transpose(1, 2, 0)
    if x.shape[-1] not in (1, 3) or min(x.shape[:2]) < SMALLEST:
        return None
    x = x.astype(np.float32)
    low, high = float(x.min()), float(x.max())
    if not np.isfinite(high - low) or high <= low:
        return None
    return ((x - low) * (255 / (high - low))).astype(np.uint8)


def _encoded(pixels: Array) -> str:
    """PNG for what is tiny, JPEG for all else."""
    from PIL import Image  # NOTE: a report on other data needs no images

    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else np.ascontiguousarray(pixels))
    exact = max(image.size) <= PLAIN
    image.thumbnail((LARGEST, LARGEST))
    file = BytesIO()
    if exact:
        image.save(file, "PNG", optimize=True)
    else:
        image.save(file, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/{'png' if exact else 'jpeg'};base64,{b64encode(file.getvalue()).decode()}"
