"""Run spoiled bundles in a process of its own: `python hostile_bundles.py BUNDLE FOLDER EXAMPLES SEED`.

Each is refused with a QGlowError, or runs and gives what the reference gives for the graph that it now holds. What is
being tried is written to FOLDER first, so that a crash leaves it there. A program that the verifier refuses is a fault
of lowering, not of the bundle.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bundle_mutations import MOST, feeds_of
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save

import qglow
from qglow.errors import QGlowError
from qglow.graph import Array
from qglow.graph.digest import digest
from qglow.reference import evaluate
from qglow.runtime import native
from qglow.runtime.seal import sealed

Spoil = Callable[[Any, dict[str, Array], dict[str, str]], None]
NUMBER = re.compile(r"(?<![\w.%@\"-])-?\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.\"])")
NUMBERS = ("0", "1", "2", "3", "-1", "7", "16", "255", "256", "0.5", "1e-30", "1e30", "40")


def one_of(draw: Any, found: list[Any]) -> Any:
    return found[draw(st.integers(0, len(found) - 1))]


def number(draw: Any, arrays: dict[str, Array], metadata: dict[str, str]) -> None:
    """A number of the graph's text becomes another: a size, a stride, a scale, a zero point."""
    text = metadata["graph"]
    m = one_of(draw, list(NUMBER.finditer(text)))
    metadata["graph"] = text[: m.start()] + draw(st.sampled_from(NUMBERS)) + text[m.end() :]


def line(draw: Any, arrays: dict[str, Array], metadata: dict[str, str]) -> None:
    """A line goes, comes twice, or changes places with the next."""
    lines = metadata["graph"].splitlines()
    k = draw(st.integers(0, len(lines) - 2))
    how = draw(st.sampled_from(("drop", "repeat", "swap")))
    lines[k : k + 2] = {
        "drop": lines[k + 1 : k + 2],
        "repeat": [lines[k], *lines[k : k + 2]],
        "swap": lines[k : k + 2][::-1],
    }[how]
    metadata["graph"] = "\n".join(lines) + "\n"


def name(draw: Any, arrays: dict[str, Array], metadata: dict[str, str]) -> None:
    """A value is read or written where another was."""
    text = metadata["graph"]
    found = list(re.finditer(r"%[\w./]+", text))
    m, other = one_of(draw, found), one_of(draw, found)
    metadata["graph"] = text[: m.start()] + other.group() + text[m.end() :]


def operator(draw: Any, arrays: dict[str, Array], metadata: dict[str, str]) -> None:
    text = metadata["graph"]
    m = one_of(draw, list(re.finditer(r"(?<== )\w+(?=\()", text)))
    ops = ("Conv", "Add", "Mul", "MaxPool", "Concat", "Softmax", "Quantize", "Dequantize", "Lookup", "Flatten",
        "Transpose", "MatMul",
           "GlobalAveragePool", "Reshape", "Slice", "ConvTranspose", "Gemm", "Identity", "LayerNormalization", "Pad",
           "QSoftmax")  # fmt: skip
    metadata["graph"] = text[: m.start()] + draw(st.sampled_from(ops)) + text[m.end() :]


def constant(draw: Any, arrays: dict[str, Array], metadata: dict[str, str]) -> None:
    """Elements of a constant become extreme, and its hash is made to fit."""
    key = one_of(draw, sorted(k for k, a in arrays.items() if a.size))
    array = arrays[key].copy()
    flat, before = array.reshape(-1), digest(array)
    low, high = (-1e30, 1e30) if array.dtype.kind == "f" else (np.iinfo(array.dtype).min, np.iinfo(array.dtype).max)
    value = draw(st.sampled_from((low, high, 0, 1)))
    flat[draw(st.integers(0, flat.size - 1)) :: draw(st.sampled_from((1, 7, 1 << 20)))] = value
    arrays[key] = array
    metadata["graph"] = metadata["graph"].replace(before, digest(array))


def kind_of_constant(draw: Any, arrays: dict[str, Array], metadata: dict[str, str]) -> None:
    """A constant of another shape or kind than its line says."""
    key = one_of(draw, sorted(arrays))
    array, before = arrays[key], digest(arrays[key])
    changed = (array.reshape(-1), array[..., :-1] if array.ndim else array, array.astype(np.float64), array.T)
    arrays[key] = np.ascontiguousarray(draw(st.sampled_from(changed)))
    metadata["graph"] = metadata["graph"].replace(before, digest(arrays[key]))


SPOILS: tuple[Spoil, ...] = (number, number, line, name, operator, constant, kind_of_constant)


@st.composite
def spoiled(draw: Any, whole: bytes, arrays: dict[str, Array], metadata: dict[str, str]) -> bytes:
    """The file's bytes changed anywhere, or its parts changed and put together again."""
    if draw(st.integers(0, 4)) == 0:
        data = bytearray(whole)
        if draw(st.booleans()):
            return bytes(data[: draw(st.integers(0, len(data) - 1))])
        for _ in range(draw(st.integers(1, 3))):
            data[draw(st.one_of(st.integers(0, min(4000, len(data) - 1)), st.integers(0, len(data) - 1)))] ^= draw(
                st.integers(1, 255)
            )
        return bytes(data)
    parts, words = dict(arrays), dict(metadata)
    for _ in range(draw(st.integers(1, 2))):
        draw(st.sampled_from(SPOILS))(draw, parts, words)
    return sealed(save(parts, words), parts)


def check(data: bytes, folder: Path) -> bool:
    """Whether the bundle ran. Any error but a QGlowError, and any output but the reference's, ends the test."""
    path = folder / "tried.qglow"
    path.write_bytes(data)
    try:
        bundle = qglow.load(path)
        feeds = feeds_of(bundle.graph)
        with np.errstate(all="ignore"):
            want = evaluate(bundle.graph, feeds)
    except QGlowError:
        return False
    if any(a.size > MOST for a in want.values()):
        return False
    try:
        got = dict(zip(bundle.graph.outputs, qglow.InferenceSession(bundle, threads=2).run(None, feeds), strict=True))
    except QGlowError as error:
        assert not str(error).startswith("program "), f"lowering made what the verifier refuses: {error}"
        return False
    for key, array in want.items():
        assert np.array_equal(got[key], array, equal_nan=array.dtype.kind == "f"), f"{key} differs from the reference"
    return True


def main(bundle: Path, folder: Path, examples: int, number_of_run: int) -> None:
    whole = bundle.read_bytes()
    with safe_open(str(bundle), framework="numpy") as file:
        arrays, metadata = {k: file.get_tensor(k) for k in file.keys()}, file.metadata()  # noqa: SIM118
    ran = [0, 0]

    @seeded(number_of_run)
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(spoiled(whole, arrays, metadata))
    def every(data: bytes) -> None:
        ran[check(data, folder)] += 1

    every()
    print(f"refused {ran[0]}, ran {ran[1]}")


if __name__ == "__main__":
    native.SMALL_WORK = 0
    os.environ["QGLOW_VERIFY"] = "2"
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
