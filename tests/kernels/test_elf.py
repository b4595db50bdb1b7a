"""The object loader: as LLVM loads it, and clear where it cannot."""

from __future__ import annotations

import ctypes

import pytest

from qglow.kernels import objects
from qglow.kernels.elf import CannotLoad, Image, is_possible
from qglow.kernels.library import ensure
from qglow.targets import choose

if not is_possible():
    pytest.skip("objects of this platform are loaded by LLVM", allow_module_level=True)


def test_kernels_have_addresses_that_can_be_called() -> None:
    image = Image(objects.unsealed(ensure(choose()[0].name)))
    assert image.address("qglow_conv2d") and image.address("qglow_execute") and not image.address("qglow_nothing")
    arena = (ctypes.c_int64 * 8)()
    execute = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 2)(image.address("qglow_execute"))
    execute(ctypes.addressof(arena), 0)  # no instructions


def test_spoiled_or_foreign_objects_are_left_to_the_other_loader() -> None:
    data = objects.unsealed(ensure(choose()[0].name))
    for wrong in (b"\x7fELF\x01" + data[5:], data[:18] + b"\xb7\x00" + data[20:], b"MZ" + data[2:]):
        with pytest.raises(CannotLoad):
            Image(wrong)
