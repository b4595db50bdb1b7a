"""The bundle: a quantized model as plain data in one safetensors file. Constants are tensors; graph text and manifest
are metadata.

A file is verified whole before anything in it runs: format, a hash of all its bytes (seal.py), and the graph's
invariants.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from ..arguments import path_of, shown
from ..errors import BundleError, LimitError, shortened
from ..files import write_atomically
from ..float_mode import in_usual_mode
from ..graph import Graph
from ..graph.digest import digests
from ..graph.text import parse_graph, print_graph
from ..graph.verify import verify
from ..reading import read_bytes
from ..reference.implemented import check_meanings
from ..words import counted
from .manifest import Manifest, checked
from .seal import BLANK, seal_of, sealed
from .tensors import mapped as map_file
from .tensors import read_all, to_bytes

FORMAT = "qglow-bundle-3"
FROM_ONNX = "make one of it: `qglow quantize`"


class Bundle:
    """A quantized graph and its manifest: `decisions` (what became of each node), `profile`, `agreement`,
    `float_bytes`."""

    __slots__ = ("graph", "manifest")

    def __init__(self, graph: Graph, manifest: Manifest | None = None) -> None:
        manifest = Manifest() if manifest is None else manifest
        if not isinstance(graph, Graph) or not isinstance(manifest, dict):
            wrong = manifest if isinstance(graph, Graph) else graph
            raise BundleError(
                f"a bundle is of a quantized graph and a manifest; got {shown(wrong)}: make one with qglow.quantize"
            )
        self.graph: Final = graph
        self.manifest: Final = manifest

    def __repr__(self) -> str:
        nodes, parts = self._facts()
        return f"Bundle({self.graph.name!r}: {nodes}, {parts})"

    def with_float_io(self) -> Bundle:
        """The bundle with floats in place of quantized inputs and outputs; itself where it has none."""
        from ..graph.quantized_io import with_float_io  # NOTE: what only runs needs none of it

        graph = with_float_io(self.graph)
        return self if graph is self.graph else Bundle(graph, self.manifest)

    def _repr_html_(self) -> str:
        from ..notebook import card  # NOTE: a notebook alone asks for it

        nodes, parts = self._facts()
        agreement = (self.manifest.get("agreement") or {}).get("outputs", {})
        noise = [(f"{n} beside float", f"{e['sqnr_db']:.1f} dB") for n, e in agreement.items() if "sqnr_db" in e]
        return card(f"Bundle {self.graph.name}", [("nodes", nodes), ("constants", parts), *noise])

    def _facts(self) -> tuple[str, str]:
        """How many nodes are quantized, and the size of the constants, in words."""
        decisions = self.manifest.get("decisions", [])
        stayed = sum(d["precision"] == "float" for d in decisions)
        size = sum(a.nbytes for a in self.graph.constants.values())
        became = f"{len(decisions) - stayed} of {counted(len(decisions), 'node')} quantized"
        nodes = became if decisions else "no account of nodes"
        return nodes, f"{size / 1024:.1f} KiB"

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all. The same bundle gives the same bytes."""
        write_atomically(path, self.to_bytes())

    @in_usual_mode
    def to_bytes(self) -> bytes:
        strings = [n for n, a in self.graph.constants.items() if a.dtype.kind == "O"]
        if strings:
            raise BundleError(f"constants of strings cannot be kept in a bundle: {strings[:3]}")
        metadata = {
            "format": FORMAT,
            "graph": print_graph(self.graph),
            "manifest": json.dumps(self.manifest, sort_keys=True),
        }
        return sealed(to_bytes(self.graph.constants, metadata | {"seal": BLANK}), self.graph.constants)


@in_usual_mode
def load(path: str | Path | bytes, *, mapped: bool = False) -> Bundle:
    """Read and verify a bundle: a file, or its bytes. Raises BundleError where the file is missing, truncated, not a
    bundle, or not sound.

    mapped: True maps the file instead of reading it into this process's own memory. Processes that map one file share
    its pages; the file must then stay as it is while the bundle is in use: where it is overwritten, results change, and
    where it is cut, the system ends the process. The hash is that of the bytes as they were when they were loaded.
    """
    if isinstance(path, bytes):
        return _read(memoryview(path), "the given bytes")
    path = path_of(path, "the bundle", BundleError, "the path of a .qglow file")
    if path.suffix == ".onnx" and path.is_file():
        raise BundleError(f"{path}: not a sound bundle but an ONNX model; {FROM_ONNX}")
    missing = "no such bundle; make one with `qglow quantize`"
    data = map_file(path, BundleError, missing) if mapped else memoryview(read_bytes(path, BundleError, missing).data)
    return _read(data, path)


def _looks_like_onnx(data: memoryview) -> bool:
    """Whether bytes begin as a ModelProto does: field 1, a small version of the format, then another field of it."""
    return (
        len(data) > 2 and data[0] == 0x08 and data[1] < 0x40 and data[2] in (0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42)
    )


def _read(data: memoryview, path: str | Path) -> Bundle:
    """The bundle of a file's bytes, verified. path: the file's name in messages."""
    try:
        metadata, constants, header = read_all(data)
        if metadata.get("format") != FORMAT:
            raise BundleError(
                f"{path}: expected a bundle of format {FORMAT}, got {metadata.get('format')!r}; quantize the model "
                "again"
            )
        hashes = digests(constants)
        if seal_of(header, hashes) != metadata.get("seal"):
            raise BundleError(
                f"{path}: not what was saved: its bytes do not match the hash that they were saved with; get the file "
                "again"
            )
        graph = check_meanings(verify(parse_graph(metadata["graph"], constants, hashes)))
        manifest = checked(json.loads(metadata["manifest"]))
    except (BundleError, LimitError):
        raise
    except MemoryError as error:
        raise LimitError(f"{path}: there is not enough memory for it") from error
    except Exception as error:  # NOTE: a file of any bytes may fail anywhere, and says nothing of qglow
        if _looks_like_onnx(data):
            raise BundleError(f"{path}: not a sound bundle but an ONNX model; {FROM_ONNX}") from error
        why = (str(error).splitlines() or [type(error).__name__])[0]
        # NOTE: of a fault the beginning says where, and the end what; a line has room for both
        name = shortened(str(path), 100)
        raise BundleError(f"{name}: not a sound bundle ({shortened(why, 300)}); quantize the model again") from error
    return Bundle(graph, manifest)
