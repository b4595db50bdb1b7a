"""A bundle's seal: no bit of the file can change without being noticed, and the file stays one that safetensors
reads."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors

from qglow.errors import BundleError
from qglow.graph.text import parse_graph
from qglow.runtime import Bundle, load

TEXT = """graph "small"
input %x: u8[1,4]<0.5, 3>
const %w: i8[4,8]<0.25, 0> = @sha256:{digest}
const %b: i32[8] = [1, 2, 3, 4, 5, 6, 7, 8]
%y: u8[1,8]<0.5, 3> = MatMul(%x, %w, %b) "product"
output %y
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    from qglow.graph.digest import digest

    w = np.arange(32, dtype=np.int8).reshape(4, 8)
    graph = parse_graph(TEXT.replace("{digest}", digest(w)), {"w": w})
    Bundle(graph, {"note": 'quotes " and \\ and \x1f'}).save(tmp_path / "small.qglow")
    return tmp_path / "small.qglow"


def refused(path: Path, data: bytes) -> bool:
    path.write_bytes(data)
    try:
        load(path)
    except BundleError:
        return True
    return False


def test_every_flipped_bit_is_refused(path: Path) -> None:
    """All bits of the header, and of the tensors: also of those whose numbers stand in the text and are read from
    there."""
    whole = path.read_bytes()
    assert not refused(path, whole)
    header = 8 + int.from_bytes(whole[:8], "little")
    places = [*range(8 * header), *random.Random(0).sample(range(8 * header, 8 * len(whole)), 200)]
    accepted = []
    for place in places:
        data = bytearray(whole)
        data[place // 8] ^= 1 << place % 8
        if not refused(path, bytes(data)):
            accepted.append(place)
    assert not accepted


def test_it_stays_a_file_of_tensors(path: Path) -> None:
    assert load_tensors(path.read_bytes()).keys() == {"w", "b"}
    first = path.read_bytes()
    load(path).save(path)
    assert path.read_bytes() == first


def test_a_bundle_of_the_old_form_is_refused(path: Path) -> None:
    data = path.read_bytes().replace(b"qglow-bundle-3", b"qglow-bundle-2")
    assert refused(path, data)
    with pytest.raises(
        BundleError, match="expected a bundle of format qglow-bundle-3, got 'qglow-bundle-2'; quantize the model again"
    ):
        load(path)
