"""Where the parts of a border lie, and in which pieces rows of bytes are filled."""

from __future__ import annotations

from collections.abc import Iterator

from .program import TensorView

RUN = 1024  # bytes of a constant that rows are filled with, a multiple of every element


def border_fields(place: TensorView) -> dict[str, int | float]:
    """The fields of a `halo` around a channels-last image, but what it is filled with."""
    n, c, h, w = place.shape
    sn, _, sh, sw = place.strides
    sizes = dict(zip(("top", "left", "bottom", "right"), place.halo, strict=True))
    return {"N": n, "H": h, "W": w, "C": c, "y_n": sn, "y_h": sh, "y_w": sw, **sizes}


def strips(place: TensorView) -> Iterator[TensorView]:
    """The border of a channels-last image, as images [N, bytes, rows, 1] of bytes: above, below, left and right."""
    n, _, h, w = place.shape
    sn, _, sh, sw = place.strides
    top, left, bottom, right = place.halo
    row, beside = (left + w + right) * sw, place.start - left * sw
    parts = ((top, row, beside - top * sh), (bottom, row, beside + h * sh), (h, left * sw, beside),
             (h, right * sw, place.start + w * sw))  # fmt: skip
    for rows, size, start in parts:
        yield TensorView(place.buffer, start, (n, size, rows, 1), (sn, 1, sh, size), "|u1")


def runs(y: TensorView) -> Iterator[TensorView]:
    """Rows of bytes, as images [N, bytes, rows, 1], in runs of at most RUN bytes: images [N, run, rows, runs]."""
    n, size, h, _ = y.shape
    run = max(1, min(size, RUN))
    for start, count, c in ((0, size // run, run), (size // run * run, 1, size % run)):
        if n * h * count * c:
            yield y._replace(start=y.start + start, shape=(n, c, h, count), strides=(*y.strides[:3], c))
