"""A value is reshaped as a view where there is one, and nothing is read that is not there."""

from __future__ import annotations

from qglow.instructions.lower_move import reshaped
from qglow.instructions.program import TensorView


def test_views_of_large_values() -> None:
    n = 3000  # NOTE: as a copy, 36 MB: read from behind a small array, that ends the process
    image = TensorView(0, 0, (1, 4, n, n), (16 * n * n, 4, 16 * n, 16), "<f4")
    assert reshaped(image, (1, 4 * n * n)) is None
    rows = reshaped(image, (4, n * n))
    assert rows is not None and (rows.shape, rows.strides) == ((4, n * n), (4, 16))
    dense = TensorView(0, 0, (6, 4), (16, 4), "<f4")
    whole = reshaped(dense, (2, 12))
    assert whole is not None and whole.strides == (48, 4)
