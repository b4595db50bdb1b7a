"""Traits of ops: what passes ask about an op instead of keeping lists of names. docs/ops.md says which op has which."""

from __future__ import annotations

from typing import Final


class Trait:
    """A property that an op has or has not. Traits are compared by identity: asking for one is a set lookup."""

    __slots__ = ("name", "words")

    def __init__(self, name: str, words: str) -> None:
        self.name, self.words = name, words

    def __repr__(self) -> str:
        return self.name


POINTWISE: Final = Trait("pointwise", "a function of one number, applied to every element")
BINARY: Final = Trait("binary", "a function of two numbers, applied to the elements of two broadcast tensors")
FUSIBLE: Final = Trait("fusible", "can be part of a function of one tensor that becomes a lookup table")
BROADCAST: Final = Trait("broadcast", "the shapes of all operands broadcast to that of the output")
ARITHMETIC: Final = Trait("arithmetic", "a function of two tensors that has an int8 variant")
JOINTLY_HOMOGENEOUS: Final = Trait("jointly homogeneous", "f(k x, k y) = k f(x, y) for every k > 0")
ADDITIVE: Final = Trait("additive", "a sum or a difference")
COMMUTATIVE: Final = Trait("commutative", "the order of its two operands does not matter")
CLAMP: Final = Trait("clamp", "limits every element to an interval")
LOWER_BOUND: Final = Trait("lower bound", "operand 1 bounds operand 0 from below")
HOMOGENEOUS: Final = Trait("homogeneous", "f(k x) = k f(x) for every k > 0")
STEP: Final = Trait("step", "not continuous: the least change of an input may change the output by more than it")
RANK_PRESERVING: Final = Trait("rank preserving", "keeps which of a vector of scores is the largest, or returns it")

PRODUCT: Final = Trait("product", "a matrix product or convolution: operand 1 holds the weights, operand 2 a bias")
MATRIX_PRODUCT: Final = Trait("matrix product", "a product of two matrices, or stacks of them")
ROW_PRODUCT: Final = Trait("row product", "a product of rows with weights; the last operand is a bias")
CONVOLUTION: Final = Trait("convolution", "a product over a window of an image")
WEIGHTED: Final = Trait("weighted", "has weights: a product or a recurrent layer")
ACCUMULATES: Final = Trait("accumulates", "its int8 variant sums in integers, and can return the sum as float")
RECURRENT: Final = Trait("recurrent", "a recurrent layer: operands 1 and 2 hold the weights, operand 3 a bias")
MEAN: Final = Trait("mean", "a mean over a window or over axes")
REDUCTION: Final = Trait("reduction", "reduces the axes that operand 1 lists")
SOFTMAX: Final = Trait("softmax", "a softmax or its logarithm")

RESHAPE: Final = Trait("reshape", "the same elements in the same order")
REORDER: Final = Trait("reorder", "the same elements, each once")
SAME_DTYPE: Final = Trait("same dtype", "operands of one dtype name have one dtype even where they are quantized")
VIEW: Final = Trait("view", "moves elements: the output is a view of the input, or of several")
KEEPS_QUANTIZATION: Final = Trait(
    "keeps quantization", "every output element is an element of the input or the padding: same scale and zero point"
)
SHAPE_ONLY: Final = Trait("shape only", "reads the shape of its input and none of its elements")
NEVER_QUANTIZED_OUTPUT: Final = Trait("output never quantized", "its int8 variant returns floats or indices")

WINDOW: Final = Trait("window", "reads images [N, C, ...] through windows, or whole images")
PAIRWISE: Final = Trait("pairwise", "compares what it reads with each other: its time grows faster than its data")
SAMPLED: Final = Trait(
    "sampled", "reads several elements of an image, where its other operands say, for each that it writes"
)
PADDING: Final = Trait("padding", "its reference pads the input before it computes")
IMAGE: Final = Trait("image", "images [N, C, H, W] in and out, which its kernels want channels-last")
BY_CHANNEL: Final = Trait("by channel", "every channel of the output depends on the same channel of the input alone")
OWN_LAYOUT: Final = Trait("own layout", "does not pass on the layout of its input")
STRIDED_FLOATS: Final = Trait("strided floats", "its float kernel writes with any strides")

SEVERAL_ROUNDINGS: Final = Trait("several roundings", "float16 is computed in float32 and rounded once")
GROWS: Final = Trait("grows", "its outputs may hold more bytes than its inputs")
ONNX_QUANTIZATION: Final = Trait("ONNX quantization", "what a quantized ONNX model writes between floats and integers")
MASK_ARITHMETIC: Final = Trait("mask arithmetic", "masks of an attention are computed of it")
MASK_CARRIER: Final = Trait("mask carrier", "moves a mask without changing its values")
