"""Bundles made by hand to lie: the text of a sound one is edited and sealed anew. Each is refused, when loaded or
planned, by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qglow
from qglow.errors import QGlowError
from qglow.graph import Array
from qglow.graph.digest import digest
from qglow.runtime import Bundle
from qglow.runtime.seal import BLANK, sealed
from qglow.runtime.tensors import to_bytes

RNG = np.random.default_rng(7)


def floats(*shape: int) -> Array:
    return RNG.normal(0, 1, shape).astype(np.float32)


def integers(dtype: str, low: int, high: int, *shape: int) -> Array:
    return RNG.integers(low, high, shape).astype(dtype)


@dataclass(frozen=True)
class Lie:
    """text: of a sound graph, whose constants are named by `@name`. edits: what is replaced. words: what the error
    says."""

    text: str
    edits: dict[str, str]
    words: str
    arrays: dict[str, Array] = field(default_factory=dict)

    def bundle(self, path: Path, edited: bool) -> Path:
        text = 'graph "lies"\n' + "\n".join(line.strip() for line in self.text.strip().splitlines()) + "\n"
        for old, new in self.edits.items() if edited else ():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        for name, array in self.arrays.items():
            text = text.replace(f"@{name}\n", f"@sha256:{digest(array)}\n")
        metadata = {"format": qglow.runtime.bundle.FORMAT, "graph": text, "manifest": "{}", "seal": BLANK}
        path.write_bytes(sealed(to_bytes(self.arrays, metadata), self.arrays))
        return path


LSTM = """
    input %x: f32[3,2,4]
    const %w: f32[1,12,4] = @w
    const %r: f32[1,12,3] = @r
    const %b: f32[1,24] = @b
    const %h: f32[1,2,3] = @h
    const %c: f32[1,2,3] = @c
    %y: f32[3,1,2,3], %yh: f32[1,2,3], %yc: f32[1,2,3] = LSTM(%x, %w, %r, %b, _, %h, %c) {"hidden_size": 3} "lstm"
    output %y
    output %yh
"""
LSTM_ARRAYS = {
    "w": floats(1, 12, 4),
    "r": floats(1, 12, 3),
    "b": floats(1, 24),
    "h": floats(1, 2, 3),
    "c": floats(1, 2, 3),
}
LSTM_LIES = {
    "hidden size": ({'"hidden_size": 3': '"hidden_size": 300'}, r"lstm.*hidden_size"),
    "hidden size of 0": ({'"hidden_size": 3': '"hidden_size": 0'}, r"lstm.*hidden_size"),
    "hidden size of the first kind": ({'"hidden_size": 3': '"hidden_size": "3"'}, r"lstm.*hidden_size"),
    "direction": ({'"hidden_size": 3': '"hidden_size": 3, "direction": {"bytes": "cm91bmQ="}'}, r"lstm.*direction"),
    "initial state of another width": ({"const %h: f32[1,2,3]": "const %h: f32[1,3,2]"}, r"h"),
}
INT8_LSTM = """
    input %x: f32[3,2,4]
    const %w: i8[12,4]<0.0078125, 0> = @w
    const %r: i8[12,3]<0.0078125, 0> = @r
    const %b: f32[12] = @b
    const %h: f32[1,2,3] = @h
    const %c: f32[1,2,3] = @c
    %q: u8[3,2,4]<0.015625, 128> = Quantize(%x) "quantize"
    %y: f32[3,1,2,3] = QLSTM(%q, %w, %r, %b, %h, %c) {"hidden_size": 3} "lstm"
    output %y
"""


def int8_lstm(**changes: Array) -> dict[str, Array]:
    usual = {"w": integers("i1", -9, 9, 12, 4), "r": integers("i1", -9, 9, 12, 3), "b": floats(12)}
    return {**usual, "h": floats(1, 2, 3), "c": floats(1, 2, 3), **changes}


PRODUCT = """
    input %x: f32[1,3,8,8]
    const %w: f32[5,3,3,3] = @w
    const %b: f32[5] = @b
    %y: f32[1,5,8,8] = Conv(%x, %w, %b) {"auto_pad": "SAME_UPPER", "kernel_shape": [3, 3]} "conv"
    %z: f32[1,5,8,8] = Relu(%y) "relu"
    output %z
"""
PRODUCT_ARRAYS = {"w": floats(5, 3, 3, 3), "b": floats(5)}
INT8_PRODUCT = """
    input %x: f32[1,3,8,8]
    const %w: i8[5,3,3,3]<0.0078125, 0> = @w
    const %b: i32[5] = @b
    %q: u8[1,3,8,8]<0.015625, 128> = Quantize(%x) "quantize"
    %y: u8[1,5,8,8]<0.03125, 100> = Conv(%q, %w, %b) \
{"auto_pad": "SAME_UPPER", "kernel_shape": [3, 3], "qmin": 100} "conv"
    %z: f32[1,5,8,8] = Dequantize(%y) "dequantize"
    output %z
"""
INT8_PRODUCT_ARRAYS = {"w": integers("i1", -9, 9, 5, 3, 3, 3), "b": integers("i4", -9, 9, 5)}
POOL = """
    input %x: f32[1,3,8,8]
    %y: f32[1,3,4,4] = MaxPool(%x) {"kernel_shape": [2, 2], "strides": [2, 2]} "pool"
    %z: f32[1,3,1,1] = GlobalAveragePool(%y) "mean"
    output %z
"""
GEMM = """
    input %x: f32[2,8]
    const %w: f32[8,5] = @w
    const %b: f32[5] = @b
    %y: f32[2,5] = Gemm(%x, %w, %b) "gemm"
    output %y
"""
GEMM_ARRAYS = {"w": floats(8, 5), "b": floats(5)}
INT8_GEMM = """
    input %x: f32[8,8]
    const %w: i8[8,8]<0.0078125, 0> = @w
    const %b: i32[8] = @b
    %q: u8[8,8]<0.015625, 128> = Quantize(%x) "quantize"
    %y: f32[8,8] = Gemm(%q, %w, %b) {"transB": 1} "gemm"
    output %y
"""
INT8_GEMM_ARRAYS = {"w": integers("i1", -9, 9, 8, 8), "b": integers("i4", -9, 9, 8)}
SPLIT = """
    input %x: f32[2,8]
    const %sizes: i64[2] = [3, 5]
    %a: f32[2,3], %b: f32[2,5] = Split(%x, %sizes) {"axis": 1} "split"
    output %a
    output %b
"""
LOOKUP = """
    input %x: f32[1,4,8,8]
    const %t: u8[4,256] = @t
    %q: u8[1,4,8,8]<0.015625, 128> = Quantize(%x) "quantize"
    %y: u8[1,4,8,8]<0.03125, 100> = Lookup(%q, %t) {"axis": 1} "lookup"
    %z: f32[1,4,8,8] = Dequantize(%y) "dequantize"
    output %z
"""
SOFTMAX = """
    input %x: f32[4,16]
    const %t: i32[256] = @t
    %q: u8[4,16]<0.015625, 128> = Quantize(%x) "quantize"
    %y: u8[4,16]<0.00390625, 0> = QSoftmax(%q, %t) {"axis": 1} "softmax"
    %z: f32[4,16] = Dequantize(%y) "dequantize"
    output %z
"""
SOFTMAX_ARRAYS = {"t": np.arange(256, dtype=np.int32)[::-1] * 65536}
NORM = """
    input %x: f32[4,16]
    const %g: f32[16] = @g
    const %s: f32[16] = @s
    %q: u8[4,16]<0.015625, 128> = Quantize(%x) "quantize"
    %y: u8[4,16]<0.03125, 100> = QLayerNormalization(%q, %g, %s) {"axis": -1} "norm"
    %z: f32[4,16] = Dequantize(%y) "dequantize"
    output %z
"""
RESIZE = """
    input %x: f32[1,3,4,4]
    const %s: f32[4] = [1, 1, 2, 2]
    %y: f32[1,3,8,8] = Resize(%x, _, %s) MODES "resize"
    %z: f32[1,12,4,4] = SpaceToDepth(%y) {"blocksize": 2} "blocks"
    %p: f32[1,3,8,8] = DepthToSpace(%z) {"blocksize": 2, "mode": "DCR"} "pixels"
    const %n: i64[8] = [0, 0, 1, 1, 0, 0, 1, 1]
    %e: f32[1,3,10,10] = Pad(%p, %n) {"mode": "constant"} "pad"
    output %e
""".replace("MODES", '{"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}')
SCALES = np.array([1, 1, 2, 2], np.float32)
ERASED = {"u8[1,4,8,8]<0.015625": "u8[*]<0.015625", "u8[1,4,8,8]<0.03125": "u8[*]<0.03125"}
ADD = """
    input %x: f32[2,8]
    const %k: f32[8] = @k
    %q: u8[2,8]<0.015625, 128> = Quantize(%x) "quantize"
    %r: u8[2,8]<0.0625, 120> = Quantize(%x) "other"
    %y: u8[2,8]<0.03125, 100> = Add(%q, %r) "add"
    %z: f32[2,8] = Dequantize(%y) "dequantize"
    %v: f32[2,8] = Mul(%z, %k) "mul"
    output %v
"""
ADD_ARRAYS = {"k": floats(8)}

LIES: dict[str, Lie] = {
    **{f"LSTM: {name}": Lie(LSTM, edits, words, LSTM_ARRAYS) for name, (edits, words) in LSTM_LIES.items()},
    "LSTM: w for another hidden size": Lie(
        LSTM, {"const %w: f32[1,12,4]": "const %w: f32[1,4,12]"}, r"w", LSTM_ARRAYS),
    "int8 LSTM: hidden size": Lie(INT8_LSTM, {'"hidden_size": 3': '"hidden_size": 200'}, r"lstm.*hidden_size",
    int8_lstm()),
    "int8 LSTM: both directions": Lie(
        INT8_LSTM, {'"hidden_size": 3': '"hidden_size": 3, "direction": "bidirectional"', "%y: f32[3,1,2,3]": "%y: "
                                                                                                              "f32[*]"},
        r"lstm.*direction", int8_lstm()),
    "Conv: kernel_shape": Lie(PRODUCT, {'"kernel_shape": [3, 3]': '"kernel_shape": [1, 1]'}, r"conv.*kernel_shape",
    PRODUCT_ARRAYS),
    "Conv: large kernel_shape": Lie(PRODUCT, {'"kernel_shape": [3, 3]': '"kernel_shape": [7, 7]'},
    r"conv.*kernel_shape", PRODUCT_ARRAYS),
    "Conv: output of another kind": Lie(PRODUCT, {"%y: f32[1,5,8,8]": "%y: f64[1,5,8,8]"}, r"conv.*f64",
    PRODUCT_ARRAYS),
    "Conv: erased output of another kind": Lie(
        PRODUCT, {"%y: f32[1,5,8,8]": "%y: f64[*]", "%z: f32": "%z: f64"}, r"relu.*f64", PRODUCT_ARRAYS),
    "Relu: output of another kind": Lie(PRODUCT, {"%z: f32[1,5,8,8]": "%z: u8[1,5,8,8]"}, r"relu.*u8", PRODUCT_ARRAYS),
    "Conv: unknown auto_pad": Lie(PRODUCT, {"SAME_UPPER": "SAME_ABOVE"}, r"conv.*auto_pad", PRODUCT_ARRAYS),
    "int8 Conv: kernel_shape": Lie(
        INT8_PRODUCT, {'"kernel_shape": [3, 3]': '"kernel_shape": [1, 1]'}, r"conv.*kernel_shape", INT8_PRODUCT_ARRAYS),
    "int8 Conv: qmin beyond the kind": Lie(INT8_PRODUCT, {'"qmin": 100': '"qmin": -300'}, r"conv.*qmin",
    INT8_PRODUCT_ARRAYS),
    "int8 Conv: qmax beyond the kind": Lie(INT8_PRODUCT, {'"qmin": 100': '"qmax": 256'}, r"conv.*qmax",
    INT8_PRODUCT_ARRAYS),
    "int8 Conv: qmin above qmax": Lie(INT8_PRODUCT, {'"qmin": 100': '"qmin": 200, "qmax": 100'}, r"conv.*qm(in|ax)",
    INT8_PRODUCT_ARRAYS),
    "MaxPool: output of another kind": Lie(POOL, {"%y: f32[1,3,4,4]": "%y: f64[1,3,4,4]"}, r"pool.*f64"),
    "GlobalAveragePool: output of another kind": Lie(POOL, {"%z: f32": "%z: i64"}, r"mean.*i64"),
    "MaxPool: kernel of one size": Lie(POOL, {'"kernel_shape": [2, 2]': '"kernel_shape": [2]'}, r"pool"),
    "Gemm: transA": Lie(GEMM, {'Gemm(%x, %w, %b) ': 'Gemm(%x, %w, %b) {"transA": 1} '}, r"gemm.*(transA|inner sizes)",
    GEMM_ARRAYS),
    "Gemm: transB": Lie(GEMM, {'Gemm(%x, %w, %b) ': 'Gemm(%x, %w, %b) {"transB": 1} '}, r"gemm.*(transB|inner sizes)",
    GEMM_ARRAYS),
    "int8 Gemm: transA": Lie(INT8_GEMM, {'"transB": 1': '"transA": 1'}, r"gemm.*transA", INT8_GEMM_ARRAYS),
    "int8 Gemm: transA of 2": Lie(INT8_GEMM, {'"transB": 1': '"transB": 2'}, r"gemm.*transB", INT8_GEMM_ARRAYS),
    "Split: negative sizes": Lie(SPLIT, {"[3, 5]": "[-3, 11]"}, r"split"),
    "Split: negative sizes, shapes erased": Lie(SPLIT, {"[3, 5]": "[9, -1]", "f32[2,3]": "f32[*]",
    "f32[2,5]": "f32[*]"}, r"split"),
    "Split: sizes beyond": Lie(SPLIT, {"[3, 5]": "[3, 50]"}, r"split"),
    "Lookup: fewer tables than channels": Lie(LOOKUP, {"u8[4,256]": "u8[2,256]"}, r"lookup.*tables",
    {"t": integers("u1", 0, 256, 2, 256)}),
    "Lookup: fewer tables than channels, shapes erased": Lie(
        LOOKUP, {"u8[4,256]": "u8[2,256]", **ERASED}, r"lookup.*tables", {"t": integers("u1", 0, 256, 2, 256)}),
    "Lookup: table of 255": Lie(LOOKUP, {"u8[4,256]": "u8[4,255]"}, r"lookup.*256",
    {"t": integers("u1", 0, 256, 4, 255)}),
    "Softmax: table beyond 24 bits": Lie(SOFTMAX, {'"axis": 1': '"axis": -1'}, r"softmax.*24 bits",
    {"t": SOFTMAX_ARRAYS["t"] * 2}),
    "Softmax: table below 0": Lie(SOFTMAX, {'"axis": 1': '"axis": -1'}, r"softmax.*24 bits",
    {"t": -SOFTMAX_ARRAYS["t"]}),
    "Softmax: table of 16": Lie(SOFTMAX, {"i32[256]": "i32[16]"}, r"softmax.*256",
    {"t": SOFTMAX_ARRAYS["t"][:16].copy()}),
    "Softmax: axis beyond": Lie(SOFTMAX, {'"axis": 1': '"axis": 7'}, r"softmax.*axis", SOFTMAX_ARRAYS),
    "LayerNormalization: short gain": Lie(NORM, {"%g: f32[16]": "%g: f32[4]"}, r"norm",
    {"g": floats(4), "s": floats(16)}),
    "LayerNormalization: epsilon of a word": Lie(
        NORM, {'"axis": -1': '"axis": -1, "epsilon": "small"'}, r"norm.*epsilon", {"g": floats(16), "s": floats(16)}),
    "Resize: unknown mode": Lie(RESIZE, {'"mode": "nearest"': '"mode": "nearby"'}, r"resize.*mode"),
    "Resize: unknown nearest_mode": Lie(RESIZE, {'"floor"': '"flor"'}, r"resize.*nearest_mode"),
    "Resize: unknown coordinates": Lie(RESIZE, {'"asymmetric"': '"askew"'}, r"resize.*coordinate_transformation_mode"),
    "DepthToSpace: unknown mode": Lie(RESIZE, {'"DCR"': '"CRT"'}, r"pixels.*mode"),
    "Pad: unknown mode": Lie(RESIZE, {'"constant"': '"content"'}, r"pad.*mode"),
    "Resize: an attribute that there is not": Lie(RESIZE, {'"mode": "nearest"': '"mood": "nearest"'}, r"resize.*mood"),
    "Quantize: output as floats": Lie(ADD, {"%r: u8[2,8]<0.0625, 120>": "%r: f32[2,8]"}, r"add", ADD_ARRAYS),
    "Add: output of 16 bits": Lie(ADD, {"%y: u8[2,8]": "%y: i32[2,8]"}, r"add", ADD_ARRAYS),
    "Mul: operands of two kinds": Lie(
        ADD, {"const %k: f32[8]": "const %k: f64[8]"}, r"mul.*one dtype, got f32, f64",
        {"k": ADD_ARRAYS["k"].astype(np.float64)}),
    "Conv: bias of another kind": Lie(PRODUCT, {"const %b: f32[5]": "const %b: f64[5]"}, r"conv.*one dtype, got f32, "
                                                                                         r"f64",
                                      {**PRODUCT_ARRAYS, "b": PRODUCT_ARRAYS["b"].astype(np.float64)}),
    "int8 LSTM: weights of another kind": Lie(INT8_LSTM, {"const %r: i8": "const %r: u8"}, r"lstm.*weights that are i8",
                                              int8_lstm(r=integers("u1", 0, 9, 12, 3))),
    "int8 LSTM: state of another kind": Lie(
        INT8_LSTM, {"const %c: f32": "const %c: f64"}, r"lstm.*states and outputs of f32",
        int8_lstm(c=floats(1, 2, 3).astype(np.float64))),
    "Add: an operand missing": Lie(ADD, {"Add(%q, %r)": "Add(%q)"}, r"add.*expected 2 inputs, got 1", ADD_ARRAYS),
    "Add: an operand left out": Lie(ADD, {"Add(%q, %r)": "Add(_, %r)"}, r"add.*expected input 0, got none", ADD_ARRAYS),
    "Conv: a border that takes away": Lie(
        PRODUCT, {'"auto_pad": "SAME_UPPER"': '"pads": [-1, 0, 0, 0]'}, r"conv.*pads as a list .* of at least 0",
        PRODUCT_ARRAYS),
    "Conv: weights of one dimension, that nothing reads": Lie(
        PRODUCT, {"const %w: f32[5,3,3,3]": "const %w: f32[135]", "output %z": "output %b"}, r"conv.*'w', of 3 or more "
                                                                                             r"dimensions, got 1",
        {**PRODUCT_ARRAYS, "w": floats(135)}),
    "Gemm: weights of one dimension, that nothing reads": Lie(
        GEMM, {"const %w: f32[8,5]": "const %w: f32[40]", "output %y": "output %b"}, r"gemm.*'w', of 2 dimensions, got "
                                                                                     r"1",
        {**GEMM_ARRAYS, "w": floats(40)}),
    "Gemm: a bias that is not broadcast, of what nothing reads": Lie(
        GEMM, {"Gemm(%x, %w, %b)": "Gemm(%x, %w, %x)", "output %y": "output %b"}, r"gemm.*a bias of \[2, 8\] for \[2, "
                                                                                  r"5\]", GEMM_ARRAYS),
    "Resize: scales of two dimensions": Lie(
        RESIZE, {"const %s: f32[4] = [1, 1, 2, 2]": "const %s: f32[1,4] = @s"}, r"resize.*expected",
        {"s": SCALES[None]}),
    "Resize: scales of 16 bits": Lie(
        RESIZE, {"const %s: f32[4] = [1, 1, 2, 2]": "const %s: f16[4] = @s"},
        r"resize.*operand 2 of dtype f32, got f16",
        {"s": SCALES.astype(np.float16)}),
    "Resize: scales of 64 bits, shapes erased": Lie(
        RESIZE, {"const %s: f32[4] = [1, 1, 2, 2]": "const %s: f64[4] = @s", "%y: f32[1,3,8,8]": "%y: f32[*]"},
        r"resize.*operand 2 of dtype f32, got f64", {"s": SCALES.astype(np.float64)}),
    "MaxPool: no kernel": Lie(POOL, {'"kernel_shape": [2, 2], ': ""}, r"pool.*kernel_shape, got none"),
    "DepthToSpace: no block": Lie(RESIZE, {'"blocksize": 2, "mode"': '"mode"'}, r"pixels.*blocksize, got none"),
    "Concat: no axis": Lie(ADD, {"Mul(%z, %k)": "Concat(%z, %z)"}, r"mul.*axis, got none", ADD_ARRAYS),
    "an op that there is not": Lie(ADD, {"Mul(": "Mull("}, r"Mull", ADD_ARRAYS),
}  # fmt: skip
SOUND = {
    "LSTM: initial state of another width": {**LSTM_ARRAYS, "h": floats(1, 3, 2)},
    "LSTM: w for another hidden size": {**LSTM_ARRAYS, "w": floats(1, 4, 12)},
}  # arrays that the edited text has


def feeds_of(bundle: Bundle) -> dict[str, Array]:
    graph = bundle.graph
    return {n: np.linspace(-1, 1, int(np.prod(graph.types[n].static_shape)),
        dtype=np.float32).reshape(graph.types[n].static_shape)
            for n in graph.inputs}  # fmt: skip


def run(path: Path) -> list[Any]:
    bundle = qglow.load(path)
    return qglow.InferenceSession(bundle, threads=1).run(None, feeds_of(bundle))


@pytest.mark.parametrize("name", LIES)
def test_a_bundle_that_lies_is_refused_by_name(name: str, tmp_path: Path) -> None:
    lie = LIES[name]
    if name in SOUND:
        lie = Lie(lie.text, lie.edits, lie.words, SOUND[name])
    with pytest.raises(QGlowError, match=lie.words) as caught:
        run(lie.bundle(tmp_path / "lie.qglow", edited=True))
    assert "\n" not in str(caught.value)
    assert "breaks" not in str(caught.value) or "program" not in str(caught.value), (
        "refused by the proof of its program alone"
    )
    assert "cannot run on" not in str(caught.value), "an error that nobody foresaw"


@pytest.mark.parametrize("which", range(3))
def test_an_error_of_a_long_path_and_a_long_line_says_where_and_what(which: int, tmp_path: Path) -> None:
    """The node, or the column, and what is wrong there: neither is cut, though path and line are longer than the error
    may be."""
    text = """
        input %x: f32[1,4,8,8]
        %one: f32[1,4,8,8] = Relu(%x) "{long}"
        %y: f32[1,4,8,8] = LSTM(%one) {attributes} "faulty"
        output %y
    """
    more = ", ".join(f'"a{k}": {k}' for k in range(200))
    long, attributes, words = [
        ("long" * 200, '{"hidden_size": 0}', ("faulty", "LSTM")),
        ("relu", f'{{"hidden_size": 0, {more}}}', ("faulty", "LSTM")),
        ("relu", f'{{{more}, "b": nothing, {more}}}', ("line 4", '"b": nothing', "Expecting value")),
    ][which]
    path = tmp_path / ("p" * 200) / ("q" * 200)
    path.parent.mkdir()
    lie = Lie(text.replace("{long}", long).replace("{attributes}", attributes), {}, "")
    with pytest.raises(QGlowError) as caught:
        run(lie.bundle(path, edited=False))
    said = str(caught.value)
    assert len(said) < 500 and "\n" not in said and all(w in said for w in words) and "not a sound bundle" in said, said


SAMPLES: list[tuple[str, dict[str, Array]]] = [
    (LSTM, LSTM_ARRAYS), (INT8_LSTM, int8_lstm()), (PRODUCT, PRODUCT_ARRAYS), (INT8_PRODUCT, INT8_PRODUCT_ARRAYS),
    (POOL, {}),
    (GEMM, GEMM_ARRAYS), (INT8_GEMM, INT8_GEMM_ARRAYS), (SPLIT, {}), (LOOKUP, {"t": integers("u1", 0, 256, 4, 256)}),
    (SOFTMAX, SOFTMAX_ARRAYS), (NORM, {"g": floats(16), "s": floats(16)}), (RESIZE, {}), (ADD, ADD_ARRAYS),
]  # fmt: skip


@pytest.mark.parametrize("which", range(len(SAMPLES)))
def test_the_bundles_are_sound_as_they_were(which: int, tmp_path: Path) -> None:
    text, arrays = SAMPLES[which]
    assert all(
        np.isfinite(a).all() for a in run(Lie(text, {}, "", arrays).bundle(tmp_path / "sound.qglow", edited=False))
    )
