"""Products of 16-bit activations beside the float and the 8-bit form of the same layer, in one run.

    python -m bench.sixteen [--rounds N] [--threads N]

A model is six equal layers, so that conversions at its ends weigh little. Times are the least of `rounds` interleaved
runs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from qglow.graph import DType, Graph, GraphBuilder, Quant, TensorType, float_type
from qglow.runtime import Bundle, InferenceSession

LAYERS = 6
KINDS = {"float": None, "int16": DType.I16, "int8": DType.U8}
CONVOLUTIONS = ((64, 56, 3), (128, 28, 3), (256, 14, 3), (64, 56, 1), (256, 14, 1))  # channels, size, kernel
MATRICES = ((128, 512), (128, 2048), (1, 2048))  # rows, columns


def model(shape: tuple[int, ...], w: Any, op: str, dtype: DType | None, **attributes: Any) -> Graph:
    """Layers of one product. w: int8 weights, of which the float form is the same multiple."""
    b, axis = GraphBuilder(), 0 if op == "Conv" else 1
    b.types["x"] = float_type(*shape)
    b.fresh("x")
    count = w.shape[axis]
    if dtype is None:
        y, names = (
            "x",
            (b.add_constant("w", (w / 4096).astype(np.float32)), b.add_constant("b", np.zeros(count, np.float32))),
        )
        for k in range(LAYERS):
            y = b.add(op, (y, *names), float_type(*shape), f"y{k}", **attributes)
        return b.build(op, ("x",), (y,))
    zero = 128 if dtype is DType.U8 else 0
    t = TensorType(dtype, shape, Quant.per_tensor(1 / 127 if zero else 1 / 32767, zero))
    weights = b.add_constant("w", w, TensorType(DType.I8, w.shape, Quant.per_axis(np.full(count, 1 / 4096), axis)))
    y, bias = b.add("Quantize", ("x",), t, "q"), b.add_constant("b", np.zeros(count, np.int32))
    for k in range(LAYERS):
        y = b.add(op, (y, weights, bias), t, f"y{k}", **attributes)
    return b.build(op, ("x",), (b.add("Dequantize", (y,), float_type(*shape), "out"),))


def layers() -> Iterator[tuple[str, tuple[int, ...], dict[str, Graph]]]:
    """Names, shapes of inputs, and the models by kind."""
    rng = np.random.default_rng(0)
    for channels, size, kernel in CONVOLUTIONS:
        w, shape = rng.normal(0, 30, (channels, channels, kernel, kernel)), (1, channels, size, size)
        made = {
            n: model(shape, w.clip(-127, 127).astype(np.int8), "Conv", k, pads=(kernel // 2,) * 4)
            for n, k in KINDS.items()
        }
        yield f"Conv {kernel}x{kernel}, {channels} channels, {size}x{size}", shape, made
    for rows, columns in MATRICES:
        w = rng.normal(0, 30, (columns, columns)).clip(-127, 127).astype(np.int8)
        made = {n: model((rows, columns), w, "MatMul", k) for n, k in KINDS.items()}
        yield f"MatMul {rows} x {columns} x {columns}", (rows, columns), made


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print("| layer | float ms | int16 ms | int8 ms | int16 over float |\n| --- | --- | --- | --- | --- |")
    for name, shape, graphs in layers():
        feeds = {"x": np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)}
        sessions = {k: InferenceSession(Bundle(g, {}), threads=options.threads) for k, g in graphs.items()}
        best = dict.fromkeys(sessions, float("inf"))
        for _ in range(options.rounds):
            for k, session in sessions.items():
                start = time.perf_counter()
                session.run(None, feeds)
                best[k] = min(best[k], time.perf_counter() - start)
        ms = [1e3 * best[k] / LAYERS for k in ("float", "int16", "int8")]
        print(f"| {name} | {ms[0]:.3f} | {ms[1]:.3f} | {ms[2]:.3f} | {ms[0] / ms[1]:.2f} x |", flush=True)


if __name__ == "__main__":
    main()
