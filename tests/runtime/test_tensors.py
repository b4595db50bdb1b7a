"""Safetensors files: the same as their own library reads, and nothing that it would refuse; the same bytes each
time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load, save

from qglow.errors import BundleError
from qglow.graph import Array
from qglow.runtime.tensors import DTYPES, mapped, read_all, to_bytes

Header = dict[str, Any]


def read(path: Path) -> tuple[dict[str, str], dict[str, Array]]:
    """(metadata, tensors) of a file, the same read and mapped."""
    metadata, found, _ = read_all(memoryview(path.read_bytes()))
    again = read_all(mapped(path, BundleError, ""))
    assert metadata == again[0] and all(
        np.array_equal(a, again[1][n], equal_nan=a.dtype.kind == "f") for n, a in found.items()
    )
    return metadata, found


def test_reads_what_the_library_writes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {f"t {d}": rng.integers(0, 2, (3, 5)).astype(d) for d in DTYPES.values()}
    arrays |= {"empty": np.zeros((0, 4), np.float32), "scalar": np.array(3.5)}
    path = tmp_path / "t"
    path.write_bytes(save(arrays, {"about": 'tabs\t and "quotes"', "more": "ü"}))
    metadata, found = read(path)
    assert metadata == {"about": 'tabs\t and "quotes"', "more": "ü"}
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (
            found[name].dtype == array.dtype and np.array_equal(found[name], array) and found[name].shape == array.shape
        )
    assert not any(a.flags.writeable for a in found.values() if a.size)


def test_the_library_reads_what_is_written_in_any_order_the_same_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {f"t {d}": np.asfortranarray(rng.integers(0, 2, (3, 5)).astype(d)) for d in DTYPES.values()}
    arrays |= {
        "empty": np.zeros((0, 4), np.float32),
        "scalar": np.array(3.5),
        "big": np.arange(3, dtype=">i4"),
        "odd": np.ones(3, "u1"),
    }
    metadata = {"about": 'tabs\t and "quotes"', "more": "ü"}
    data = to_bytes(arrays, metadata)
    assert data == to_bytes(dict(reversed(arrays.items())), dict(reversed(metadata.items())))
    path = tmp_path / "t"
    path.write_bytes(data)
    with safe_open(path, "np") as file:
        assert file.metadata() == metadata
    for found in (load(data), read(path)[1]):
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            assert np.array_equal(found[name], array) and found[name].shape == array.shape
    assert all(a.__array_interface__["data"][0] % a.itemsize == 0 for a in read(path)[1].values())
    with pytest.raises(ValueError, match="tensor 'z': no dtype complex64"):
        to_bytes({"z": np.zeros(2, np.complex64)}, {})


def spoiled(change: Any) -> bytes:
    """A file of two tensors of 8 bytes each whose header `change` has changed."""
    header: Header = {
        "a": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]},
        "b": {"dtype": "I16", "shape": [2, 2], "data_offsets": [8, 16]},
    }
    header = change(header) or header
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(range(16))


CHANGES = {
    "overlap": lambda h: h["b"].update(data_offsets=[4, 12]),
    "gap": lambda h: h["a"].update(shape=[7], data_offsets=[0, 7]),
    "beyond": lambda h: h["b"].update(shape=[2, 3], data_offsets=[8, 20]),
    "short": lambda h: h.pop("b") and None,
    "backwards": lambda h: h["a"].update(data_offsets=[8, 0]),
    "negative": lambda h: h["a"].update(data_offsets=[-8, 0]),
    "size": lambda h: h["b"].update(shape=[2, 1]),
    "negative size": lambda h: h["b"].update(shape=[-2, -2]),
    "huge size": lambda h: h["b"].update(shape=[1 << 62, 1 << 62]),
    "not a size": lambda h: h["b"].update(shape=[2.0, 2]),
    "true": lambda h: h["b"].update(shape=[True, 4]),
    "dtype": lambda h: h["b"].update(dtype="F8"),
    "offsets": lambda h: h["b"].update(data_offsets=["8", "x"]),
    "no offsets": lambda h: h["b"].pop("data_offsets") and None,
    "metadata": lambda h: h.update(__metadata__={"a": 1}),
    "list": lambda h: [h],
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_header_that_does_not_fit_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(spoiled(lambda h: None))
    assert read(path)[1].keys() == {"a", "b"}
    path.write_bytes(spoiled(CHANGES[name]))
    if name != "true":
        with pytest.raises(Exception):  # noqa: B017  (that of the library itself has no class of its own)
            safe_open(str(path), framework="numpy")
    with pytest.raises((ValueError, KeyError, TypeError)):
        read(path)


@pytest.mark.parametrize(
    "data",
    [b"", b"1234567", b"\xff" * 8, b"\xff" * 64, (5).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"{x"],
)
def test_what_is_no_such_file_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(data)
    with pytest.raises(ValueError):
        read(path)


def test_a_file_of_no_tensors_is_one(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(save({}, {"a": "b"}))
    assert read(path) == ({"a": "b"}, {}) and load(path.read_bytes()) == {}
