"""Tensor types: dtype, shape with named symbolic dimensions, quantization parameters or none."""

from __future__ import annotations

from enum import Enum
from typing import cast

import numpy as np

from ..errors import ModelError
from ..record import NamedTuple

Dim = int | str
Shape = tuple[Dim, ...]


class DType(Enum):
    """Element type of a tensor. The value is its name in the text form."""

    F32 = "f32"
    F16 = "f16"
    F64 = "f64"
    U4 = "u4"  # two in a byte, the first of them in its lower half; a constant's array holds these bytes
    I8 = "i8"
    U8 = "u8"
    I16 = "i16"
    U16 = "u16"
    I32 = "i32"
    U32 = "u32"
    I64 = "i64"
    U64 = "u64"
    BOOL = "bool"
    STRING = "str"

    @property
    def numpy(self) -> np.dtype:  # type: ignore[type-arg]
        """The numpy dtype of the elements, or of the bytes that hold several of them."""
        return np.dtype(_DTYPES[self])

    @property
    def per_item(self) -> int:
        """Elements that one item of `numpy` holds."""
        return 2 if self is DType.U4 else 1

    @property
    def is_float(self) -> bool:
        return self in (DType.F32, DType.F16, DType.F64)

    @staticmethod
    def of(dtype: object) -> DType:
        """The one of a numpy dtype; raises KeyError for a dtype with none."""
        d = np.dtype(dtype)  # type: ignore[call-overload]
        if d.kind in "OUS":
            return DType.STRING
        return _OF_NUMPY[d]


_DTYPES: dict[DType, str] = {
    DType.F32: "f4", DType.F16: "f2", DType.F64: "f8", DType.U4: "u1", DType.I8: "i1", DType.U8: "u1", DType.I16: "i2",
    DType.U16: "u2",
    DType.I32: "i4", DType.U32: "u4", DType.I64: "i8", DType.U64: "u8", DType.BOOL: "?", DType.STRING: "O",
}  # fmt: skip
_OF_NUMPY = {np.dtype(d): k for k, d in _DTYPES.items() if k not in (DType.STRING, DType.U4)}
_LIMITS = {
    DType.U4: (0, 15),
    DType.U8: (0, 255),
    DType.I8: (-128, 127),
    DType.I16: (-32768, 32767),
    DType.U16: (0, 65535),
}


class Quant(NamedTuple):
    """Quantization parameters: real = scale * (q - zero_point), per tensor (axis None, one entry), per index of `axis`,
    or block-wise.

    Every scale is a Python float that is exactly representable in float32. Block-wise (`block` is not None) each run of
    `block` elements along `axis`, the last one maybe shorter, has a scale and a zero point of its own. There are too
    many of these for a type: they are operands of the node that reads the value, and the tuples here are empty.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None
    block: int | None = None

    @staticmethod
    def per_tensor(scale: float, zero_point: int) -> Quant:
        return Quant((float(np.float32(scale)),), (int(zero_point),), None)

    @staticmethod
    def per_axis(scales: np.ndarray, axis: int) -> Quant:  # type: ignore[type-arg]
        """Symmetric (zero point 0) parameters, one scale per index of `axis`. scales: float array [channels]."""
        s = tuple(float(v) for v in np.asarray(scales, np.float32))
        return Quant(s, (0,) * len(s), axis)

    @staticmethod
    def blockwise(axis: int, size: int) -> Quant:
        """A scale and a zero point for each block of `size` elements along an axis."""
        return Quant((), (), axis, size)

    @property
    def s(self) -> np.float32:
        """The one scale of a per-tensor parameter. Raises ModelError for one that varies along an axis."""
        self._check_per_tensor()
        return np.float32(self.scale[0])

    @property
    def z(self) -> int:
        """The one zero point of a per-tensor parameter. Raises ModelError for one that varies along an axis."""
        self._check_per_tensor()
        return self.zero_point[0]

    def _check_per_tensor(self) -> None:
        if self.axis is not None:
            raise ModelError(f"expected one scale for the whole tensor, got {len(self.scale)} along axis {self.axis}")


class TensorType(NamedTuple):
    """Type of one value. shape None: the rank is not known; a str dimension is symbolic (equal names, equal sizes).

    quant is set exactly when the elements stand for real numbers through scale and zero point.
    """

    dtype: DType
    shape: Shape | None = None
    quant: Quant | None = None

    @property
    def is_quantized(self) -> bool:
        return self.quant is not None

    @property
    def is_int16(self) -> bool:
        """Whether the elements are 16-bit integers that stand for reals."""
        return self.dtype is DType.I16 and self.quant is not None

    @property
    def is_static(self) -> bool:
        return self.shape is not None and str not in map(type, self.shape)

    @property
    def static_shape(self) -> tuple[int, ...]:
        """The shape where every dimension is known. Raises ModelError where it is not."""
        if not self.is_static:
            raise ModelError(
                "expected a shape that is known, got "
                f"{'one of unknown rank' if self.shape is None else list(self.shape)}"
            )
        return cast("tuple[int, ...]", self.shape)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The shape of the array that holds a constant: along the last axis an item may hold several elements."""
        shape = self.static_shape
        return (*shape[:-1], -(-shape[-1] // self.dtype.per_item)) if shape else shape

    @property
    def rank(self) -> int | None:
        return None if self.shape is None else len(self.shape)

    def limits(self) -> tuple[int, int]:
        """Smallest and largest stored integer of a quantized dtype."""
        return _LIMITS[self.dtype]

    def real_limits(self) -> tuple[float, float]:
        """The real numbers that these stand for; of a type that is quantized per tensor."""
        assert self.quant is not None
        low, high = ((q - self.quant.z) * self.quant.scale[0] for q in self.limits())
        return low, high


def float_type(*shape: Dim) -> TensorType:
    return TensorType(DType.F32, tuple(shape))
