"""Short-time Fourier transforms, on the host: frames of a signal, each times the window, and the transform of each.

1. A signal is [batch, length] or [batch, length, 1] of real numbers, or [batch, length, 2] of complex ones. The first
   form is onnxruntime's own.
2. The window and the frame length say the same size; one of them may be left out. Frames that the signal does not fill
   are left out.
3. Transforms are computed in float64 and rounded once.

onnx.reference takes a signal of two axes for one of three, and ONNX's inference the transform for one of both sides
where an attribute that says so is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..graph import Array, TensorType


def stft(attributes: Mapping[str, Any], inputs: Sequence[Any], count: int) -> list[Any]:
    """The transforms [batch, frames, bins, 2] of a signal. Raises ValueError for what the operator does not take."""
    signal, step, window, length = (*inputs, None, None)[:4]
    if signal.ndim not in (2, 3) or signal.shape[2:] not in ((), (1,), (2,)):
        raise ValueError(f"expected a signal [batch, length, 1 or 2], got {list(signal.shape)}")
    step, size = _whole(step, "frame_step"), _frame(window, length)
    if step < 1:
        raise ValueError(f"expected a frame_step above 0, got {step}")
    if not 1 <= size <= signal.shape[1]:
        raise ValueError(f"expected a frame of 1 to {signal.shape[1]} elements, got {size}")
    wide = signal.astype(np.float64)
    if signal.ndim == 3:
        wide = wide[..., 0] if signal.shape[2] == 1 else wide[..., 0] + 1j * wide[..., 1]
    frames = np.lib.stride_tricks.sliding_window_view(wide, size, 1)[:, ::step]
    if window is not None:
        frames = frames * window.astype(np.float64)
    bins = _bins(size, attributes)
    found = np.fft.rfft(frames) if bins == size // 2 + 1 and not np.iscomplexobj(frames) else np.fft.fft(frames)
    found = found[..., :bins]
    return [np.stack([found.real, found.imag], -1).astype(signal.dtype)]


def stft_type(
    attributes: Mapping[str, Any], types: Sequence[TensorType | None], constants: Sequence[Array | None]
) -> TensorType | None:
    """The type of the transforms where the step and the frame's size are constants, or shapes say them."""
    signal, _, window, _ = (*types, None, None)[:4]
    _, step, _, length = (*constants, None, None)[:4]
    if signal is None or step is None or (window is None and length is None):
        return None
    size = window.static_shape[0] if window is not None else _whole(length, "frame_length")
    frames = (signal.static_shape[1] - size) // max(1, _whole(step, "frame_step")) + 1
    return TensorType(signal.dtype, (signal.static_shape[0], max(0, frames), _bins(size, attributes), 2))


def _frame(window: Array | None, length: Array | None) -> int:
    if window is None and length is None:
        raise ValueError("neither a window nor a frame_length is given")
    size = _whole(length, "frame_length") if length is not None else len(window)  # type: ignore[arg-type]
    if window is not None and window.shape != (size,):
        raise ValueError(f"a window of shape {list(window.shape)} does not fit a frame of {size}")
    return size


def _bins(size: int, attributes: Mapping[str, Any]) -> int:
    return size // 2 + 1 if attributes.get("onesided", 1) else size


def _whole(value: Array | None, name: str) -> int:
    if value is None or value.size != 1:
        raise ValueError(f"expected one number as {name}, got {None if value is None else list(value.shape)}")
    return int(value.ravel()[0])
