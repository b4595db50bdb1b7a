"""Heads of keys and values that several heads of queries share are packed once, with the bits of the reference."""

from __future__ import annotations

import numpy as np
import pytest

import qglow
from qglow.graph import Graph
from qglow.graph.text import parse_graph
from qglow.instructions.fuse import fuse
from qglow.reference import evaluate, retype

TEXT = """graph "heads"
input %a: {t}[N,6,S,{k}]{qa}
input %x: {t}[N,2,1,T,8]{qb}
const %all: i64[5] = [1, {groups}, {times}, {length}, 8]
const %heads: i64[4] = [1, 6, -1, 8]
%e: {t}[*]{qb} = Expand(%x, %all) "e"
%h: {t}[*]{qb} = Reshape(%e, %heads) "h"
{turn}%y: {t}[*]{qy} = MatMul(%a, %{b}) "y"
output %y
"""
QUANTIZED = {"qa": "<0.015625, 120>", "qb": "<0.03125, 128>", "qy": "<0.125, 60>"}
FLOAT = {"qa": "", "qb": "", "qy": ""}


def graph(is_float: bool, turned: bool, length: int, times: int = 3, groups: int = 2) -> Graph:
    quants = FLOAT if is_float else QUANTIZED
    t = "f32" if is_float else "u8"
    turn = f'%t: {t}[*]{quants["qb"]} = Transpose(%h) {{"perm": [0, 1, 3, 2]}} "t"\n' if turned else ""
    k = 8 if turned else length
    return parse_graph(
        TEXT.format(t=t, k=k, turn=turn, b="t" if turned else "h", length=length, times=times, groups=groups, **quants)
    )


def feeds(is_float: bool, turned: bool, rows: int, length: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng((rows, length))
    shapes = {"a": (1, 6, rows, 8 if turned else length), "x": (1, 2, 1, length, 8)}
    if is_float:
        return {n: rng.normal(0, 1, s).astype(np.float32) for n, s in shapes.items()}
    return {n: rng.integers(0, 256, s).astype(np.uint8) for n, s in shapes.items()}


@pytest.mark.parametrize("turned", [True, False])
@pytest.mark.parametrize("is_float", [True, False])
def test_heads_that_share_are_rows_of_one_product(is_float: bool, turned: bool) -> None:
    for rows, length in ((1, 5), (1, 17), (4, 1), (7, 33), (2, 64)):
        g, asked = graph(is_float, turned, length), feeds(is_float, turned, rows, length)
        fused = fuse(retype(g, {n: a.shape for n, a in asked.items()}), "avx2")
        (product,) = [n for n in fused.nodes if n.op == "MatMul"]
        assert fused.types[product.outputs[0]].static_shape[:3] == (1, 2, 3)
        assert not any(n.op == "Expand" for n in fused.nodes)
        (got,) = qglow.InferenceSession(g, 1).run(None, asked)
        assert np.array_equal(got, evaluate(g, asked)["y"])


@pytest.mark.parametrize("keys", ["x", "keys"])
def test_what_is_scaled_behind_is_scaled_before(keys: str) -> None:
    """As exporters write attention: both factors by the root of the scale. keys: the name of what is repeated."""
    text = TEXT.format(t="f32", k=8, turn="{turn}", b="m", length=9, times=3, groups=2, **FLOAT)
    scaled = 'const %c: f32[] = 0.3\n%t: f32[*] = Transpose(%h) {"perm": [0, 1, 3, 2]} "t"\n%m: f32[*] = Mul(%t, %c)'
    text = text.replace("{turn}", f'{scaled} "m"\n').replace("%x", f"%{keys}")
    a, x = feeds(True, True, 2, 9).values()
    g, asked = parse_graph(text), {"a": a, keys: x}
    fused = fuse(retype(g, {n: a.shape for n, a in asked.items()}), "avx2")
    assert not any(n.op == "Expand" for n in fused.nodes)
    (got,) = qglow.InferenceSession(g, 1).run(None, asked)
    assert np.array_equal(got, evaluate(g, asked)["y"])


def test_an_empty_product_stays_as_it_is() -> None:
    g = graph(True, False, 4)
    asked = {"a": np.zeros((1, 6, 0, 4), np.float32), "x": np.zeros((1, 2, 1, 4, 8), np.float32)}
    assert any(n.op == "Expand" for n in fuse(retype(g, {n: a.shape for n, a in asked.items()}), "avx2").nodes)
    (got,) = qglow.InferenceSession(g, 1).run(None, asked)
    assert got.shape == (1, 6, 0, 8)
