"""How a picture becomes a tensor: the fields of a dataset.toml section with source = "images"."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import quoted
from ..errors import DataError, LimitError, QGlowError, in_one_line
from ..graph import Array
from ..limits import check_memory
from ..reading import opened

# NOTE: other decoders start programs, or read other files. Of several frames the first is read
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM", "GIF", "TIFF")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".gif", ".tif", ".tiff")
_BEYOND = 1e39  # what float32 does not have
_FIELDS = {"source", "resize", "crop", "color", "scale", "mean", "std", "layout"}


def image_reader(fields: Mapping[str, Any], where: Path) -> Callable[[Path], Array]:
    """A function from a picture's file to a float32 tensor [1, C, H, W] (or [1, H, W, C] with layout = "nhwc").

    resize: the shorter side, or [h, w], bilinear. crop: centre, side or [h, w]. color: rgb, bgr or gray. Then pixels
    (0..255) are multiplied by `scale`, `mean` is taken away and the result divided by `std`.
    """
    unknown = sorted(set(fields) - _FIELDS)
    if unknown:
        raise DataError(f"{where}: unknown fields {unknown}; known are {sorted(_FIELDS)}")
    color, layout = fields.get("color", "rgb"), fields.get("layout", "nchw")
    if color not in ("rgb", "bgr", "gray") or layout not in ("nchw", "nhwc"):
        raise DataError(
            f"{where}: color is rgb, bgr or gray and layout nchw or nhwc; got {quoted(color)}, {quoted(layout)}"
        )
    for key in ("resize", "crop"):
        if key in fields and not _is_size(fields[key]):
            raise DataError(
                f"{where}: {key}: expected a whole number above 0, or [height, width], got {quoted(fields[key])}"
            )
    scale = _numbers(fields, "scale", 1.0, 1, where)
    channels = 1 if color == "gray" else 3
    mean, std = _numbers(fields, "mean", 0.0, channels, where), _numbers(fields, "std", 1.0, channels, where)
    if not std.all():
        raise DataError(f"{where}: std: expected numbers other than 0, got {quoted(fields['std'])}")

    def read(path: Path) -> Array:
        # NOTE: a channel at a time: numpy's loops over three numbers took longer than the decoder. What changes nothing
        # is left out.
        x = np.ascontiguousarray(_pixels(path, fields, color).transpose(2, 0, 1)).astype(np.float32)
        for step, numbers in ((np.multiply, scale), (np.subtract, mean), (np.divide, std)):
            if (numbers != (step is not np.subtract)).any():
                step(x, numbers.reshape(-1, 1, 1), out=x)
        return np.ascontiguousarray(x.transpose(1, 2, 0))[None] if layout == "nhwc" else x[None]

    return read


def pixels_of(fields: Mapping[str, Any]) -> Callable[[Array], Array]:
    """What `image_reader` did to the pixels of a picture, undone: from a tensor [1, C, H, W] (or [1, H, W, C]) to bytes
    [H, W, C], in the order red, green, blue. fields: those that it took."""
    color, where = fields.get("color", "rgb"), Path()
    channels = 1 if color == "gray" else 3
    scale = _numbers(fields, "scale", 1.0, 1, where)[0] or 1.0
    mean, std = _numbers(fields, "mean", 0.0, channels, where), _numbers(fields, "std", 1.0, channels, where)

    def undone(tensor: Array) -> Array:
        x = tensor[0] if fields.get("layout") == "nhwc" else tensor[0].transpose(1, 2, 0)
        pixels = np.clip(np.rint((x * std + mean) / scale), 0, 255).astype(np.uint8)
        return pixels[..., ::-1] if color == "bgr" else pixels

    return undone


def _is_size(value: Any) -> bool:
    """Whether it is a side or [height, width] in pixels, none above 2 to the 16."""
    sides = value if isinstance(value, list) and len(value) == 2 else [value]
    return all(isinstance(s, int) and not isinstance(s, bool) and 0 < s <= 1 << 16 for s in sides)


def _numbers(fields: Mapping[str, Any], key: str, default: float, channels: int, where: Path) -> Array:
    """A field of one number, or of one for each channel: float32 [1] or [channels]."""
    value = fields.get(key, default)
    numbers = value if isinstance(value, list) else [value]
    if (
        not all(isinstance(n, (int, float)) and not isinstance(n, bool) and abs(n) < _BEYOND for n in numbers)
        or len(numbers) not in (1, channels)
        or not np.isfinite(array := np.array(numbers, np.float64).astype(np.float32)).all()
    ):
        wanted = "a number" if channels == 1 and key == "scale" else f"one number, or one for each channel ({channels})"
        raise DataError(f"{where}: {key}: expected {wanted}, got {quoted(value)}")
    return array


def _check_size(path: Path, size: tuple[int, int], channels: int) -> None:
    """Raises LimitError where a picture of (width, height), unpacked, and as float32 several times over, is beyond the
    limit of memory."""
    check_memory(size[0] * size[1] * channels * (1 + 3 * 4), f"{path}: a picture of {size[1]} x {size[0]}")


def _in_8_bits(picture: Any) -> Any:
    """A gray picture of 16 bits in the range of 8, 0..255, as float; None for one of 8 bits. Raises ValueError for
    other numbers, whose range nothing says."""
    from PIL import Image  # NOTE: other data needs no images

    if picture.mode in ("I", "F") and not (picture.mode == "I" and picture.format in ("PNG", "PPM")):
        raise ValueError(f"its pixels are of mode {picture.mode}, of no known range; save it with 8 or 16 bits")
    if picture.mode != "I" and not picture.mode.startswith("I;16"):
        return None
    return Image.fromarray(np.asarray(picture).astype(np.float32) / np.float32(257))


def _pixels(path: Path, fields: Mapping[str, Any], color: str) -> Array:
    """[H, W, C] in 0..255: bytes, or float32 of a picture of 16 bits."""
    from PIL import Image, UnidentifiedImageError  # NOTE: other data needs no images

    channels = 1 if color == "gray" else 3
    try:
        with os.fdopen(opened(path, DataError), "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(file, formats=_FORMATS)
            _check_size(path, picture.size, channels)
            image = _in_8_bits(picture) or picture.convert("L" if color == "gray" else "RGB")
    except QGlowError:
        raise
    except MemoryError as error:
        raise LimitError(f"{path}: there is not enough memory for the picture") from error
    except Exception as error:  # NOTE: each decoder fails in its own way
        unknown = isinstance(error, UnidentifiedImageError)
        why = "its bytes are of no known format" if unknown else in_one_line(error)
        raise DataError(f"{path}: not a readable picture ({why})") from error
    if "resize" in fields:
        size = fields["resize"]
        if isinstance(size, int):
            ratio = size / min(image.size)
            target = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
        else:
            target = (int(size[1]), int(size[0]))
        _check_size(path, target, channels)
        image = image.resize(target, Image.Resampling.BILINEAR)
    if "crop" in fields:
        size = fields["crop"]
        h, w = (size, size) if isinstance(size, int) else size
        left, top = (image.width - w) // 2, (image.height - h) // 2
        if left < 0 or top < 0:
            raise DataError(
                f"{path}: a picture of {image.height} x {image.width} is smaller than the crop {h} x {w}; set resize"
            )
        image = image.crop((left, top, left + w, top + h))
    pixels = np.atleast_3d(np.asarray(image))
    pixels = np.repeat(pixels, channels, -1) if pixels.shape[-1] < channels else pixels
    return pixels[..., ::-1] if color == "bgr" else pixels
