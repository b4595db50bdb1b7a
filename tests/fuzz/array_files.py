"""npy, npz and pb files: headers that lie, objects and pickles, archives with entries that they should not have."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
from onnx import numpy_helper

from .byte_edits import edited
from .draws import Draws

DESCRIPTIONS = (
    "<f4",
    ">f4",
    "<f8",
    "|O",
    "<U4",
    "|S5",
    "|V8",
    "<i8",
    "|u1",
    "|b1",
    "<c8",
    "<M8[s]",
    "<f2",
    [("a", "<f4")],
    "",
    "x",
    3,
    None,
)
NAMES = ("x", "x.npy", "../x.npy", "/x.npy", "x", "file", "allow_pickle", "y", "\x1b[31m", "x.txt", "x/y")
SHAPES = (
    (1, 1, 8, 8),
    (64,),
    (),
    (0,),
    (1, 1, 8, -8),
    (2**62, 4),
    (10**9,),
    (1, 8, 8),
    (1.5,),
    "x",
    None,
    (True,),
    (1, 1, 2**31, 2**33),
)
MARKER = Path("a_pickle_ran")  # what a pickle makes that is loaded, in the folder of the process


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return MARKER.touch.__func__, (MARKER,)  # type: ignore[attr-defined, return-value]


def good() -> np.ndarray:
    return np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)


def npy(draws: Draws) -> bytes:
    """An array's header of other words, with some data behind it."""
    how = draws.below(5)
    if how == 0:
        buffer = io.BytesIO()
        np.save(buffer, good())
        return edited(buffer.getvalue(), draws)
    header = {
        "descr": draws.pick(DESCRIPTIONS),
        "fortran_order": draws.pick((False, True, 0)),
        "shape": draws.pick(SHAPES),
    }
    if how == 1:
        header = {"descr": "<f4", "fortran_order": False, "shape": draws.pick(SHAPES)}
    text = (
        repr(header)
        if draws.below(8)
        else draws.pick(("", "{", "(" * 5000, "{'a': 1}", "[]", "{" + "'a':1," * 9000 + "}"))
    )
    data = pickle.dumps(Payload()) if draws.chance(3) else good().tobytes()[: draws.pick((256, 0, 100))]
    version = draws.pick(((1, 0), (1, 0), (2, 0), (3, 0), (9, 9)))
    size = len(text) if draws.below(8) else draws.pick((0, 65535, 2**31))
    width = 2 if version[0] == 1 else 4
    return b"\x93NUMPY" + bytes(version) + (size % (1 << 8 * width)).to_bytes(width, "little") + text.encode() + data


def npz(draws: Draws) -> bytes:
    """An archive of arrays: names, more than one of a name, large ones of nothing, other files, sizes that lie."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(
        buffer, "w", draws.pick((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2))
    ) as archive:
        for _ in range(1 + draws.below(3)):
            name, inner = draws.pick(NAMES), io.BytesIO()
            how = draws.below(4)
            if how == 0:
                np.save(inner, np.zeros(draws.pick(((1, 1, 8, 8), (1 << 22,), (0,))), np.float32))
            elif how == 1:
                np.save(inner, good())
            else:
                inner.write(npy(draws))
            archive.writestr(
                zipfile.ZipInfo(name if name.endswith(".npy") or draws.chance(4) else f"{name}.npy"), inner.getvalue()
            )
    data = buffer.getvalue()
    return edited(data, draws) if draws.chance(3) else data


def pb(draws: Draws) -> bytes:
    tensor = numpy_helper.from_array(good(), "x")
    how = draws.below(5)
    if how == 0:
        tensor.dims[draws.below(4)] = max(-(2**63), min(2**63 - 1, draws.number()))
    elif how == 1:
        tensor.data_type = draws.below(32)
    elif how == 2:
        tensor.raw_data = tensor.raw_data[: draws.below(256)]
    elif how == 3:
        tensor.data_location = 1
        tensor.external_data.add(key="location", value=draws.pick(("/etc/passwd", "../x", "")))
    else:
        return edited(tensor.SerializeToString(), draws)
    return tensor.SerializeToString()


def mutant(draws: Draws) -> tuple[str, bytes]:
    """(file name, bytes)."""
    suffix = draws.pick(("npy", "npy", "npz", "npz", "pb"))
    return f"a.{suffix}", {"npy": npy, "npz": npz, "pb": pb}[suffix](draws)
