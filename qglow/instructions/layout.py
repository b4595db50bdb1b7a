"""Layout assignment: how each value of a static graph lies, before there are instructions for it.

1. Images [N, C, H, W] are channels-last where a convolution, pool or resampling reads or writes them, and where they
   are connected to such ones through ops that work element by element, concatenate or cut; other ops choose for
   themselves.
2. Lines [N, C, W] are so where a window op itself reads or writes them.
3. Float values lie channels-last where float window ops are among them: what comes in, or is only converted, stays as
   it is. So does a quantized input that is only translated (graph/quantized_io.py): a kernel turns it sooner than
   numpy.
4. Inputs of a concatenation are written where it wants them: they have a slot in it. So has an input of the graph that
   no other node reads, if it comes in long runs.
5. An image that has no slot has the widest border (halo) that a convolution reads around it or around the channels that
   have a slot in it.
6. What is no image is dense in the graph's order, or in the order of the value that it is made of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from math import prod
from types import MappingProxyType

from ..errors import VerifyError
from ..graph import DType, Graph, Node
from ..graph.classes import Classes
from ..graph.quantized_io import is_translation
from ..ops.traits import CONVOLUTION, IMAGE, OWN_LAYOUT, STRIDED_FLOATS, VIEW, WINDOW
from ..record import NamedTuple
from ..reference.windows import Window
from .program import Halo

Rooms = Mapping[str, tuple[int, ...]]
NO_HALO = (0, 0, 0, 0)
NO_ROOMS: Rooms = MappingProxyType({})
LONG_RUN = 32  # bytes of a run of an input that is written into a concatenation as it comes
STORED = (DType.U8, DType.I16)  # dtypes of quantized values that kernels compute on


class Slot(NamedTuple):
    """Where a value lies within a concatenation: its indices of an axis, from the first on."""

    parent: str
    axis: int
    first: int


class Layouts(NamedTuple):
    """images: values that lie channels-last. slots: by value. halos: of images that have one and no slot. rooms: shapes
    that other values have room to grow to, where they lie."""

    images: set[str]
    slots: Mapping[str, Slot]
    halos: Mapping[str, Halo]
    rooms: Rooms = NO_ROOMS


def assign_layouts(graph: Graph, rooms: Rooms = NO_ROOMS) -> Layouts:
    """The layouts of a static graph's values."""
    floats = channels_last_floats(graph)
    bytes_ = {v for v in channels_last_values(graph) if graph.types[v].dtype in STORED and graph.types[v].is_quantized}
    bytes_ -= {i for i in bytes_ & set(graph.inputs) if _only_translated(graph, i)}
    images = bytes_ | floats
    slots = concat_slots(graph, images)
    halos: dict[str, Halo] = {}
    for node in graph.nodes:
        if node.has(CONVOLUTION) and (image := _holder(node.inputs[0], slots)) in images and image not in slots:
            halos[image] = widest(halos.get(image, NO_HALO), conv_halo(graph, node))
    return Layouts(images, slots, {v: h for v, h in halos.items() if any(h)}, rooms)


def _only_translated(graph: Graph, name: str) -> bool:
    readers = [n for n in graph.nodes if name in n.inputs]
    return bool(readers) and all(n.op == "Lookup" and is_translation(graph, n) for n in readers)


def _holder(value: str, slots: Mapping[str, Slot]) -> str:
    """The value itself, or the concatenation of channels whose bytes it lies in."""
    while value in slots and slots[value].axis == 1:
        value = slots[value].parent
    return value


def channels_last_floats(graph: Graph) -> set[str]:
    """Names of float values that should lie channels-last."""
    floats = {v for v, t in graph.types.items() if t.dtype is DType.F32 and v not in graph.inputs}
    return _connected(graph, floats)


def channels_last_values(graph: Graph) -> set[str]:
    """Names of values that should lie channels-last, where they are quantized."""
    return _connected(graph, set(graph.types))


def _connected(graph: Graph, among: set[str]) -> set[str]:
    """Images and lines of window ops, and the images that are connected to them, among some values."""
    if not any([node.has(IMAGE) for node in graph.nodes]):
        return set()
    connected = Classes[str]()
    wanted: set[str] = set()
    lines: set[str] = set()
    for node in graph.nodes:
        values = [v for v in (*node.inputs, *node.outputs) if v in among and v not in graph.constants]
        images = [v for v in values if graph.types[v].rank == 4]
        if node.has(IMAGE):
            wanted.update(images)
            lines.update(v for v in values if graph.types[v].rank == 3 and node.has(WINDOW))
        if not node.has(OWN_LAYOUT):
            for v in images[1:]:
                connected.join(v, images[0])
    return lines | connected.beside(wanted)


def concat_slots(graph: Graph, images: set[str]) -> dict[str, Slot]:
    """Values that are written where their concatenation wants them. images: what lies channels-last: a line that does
    is none within a concatenation that does not."""
    slots: dict[str, Slot] = {}
    concatenations = [n for n in graph.nodes if n.op == "Concat"]
    producers = graph.producers() if concatenations else {}
    given = {*graph.inputs, *graph.constants} if concatenations else set()
    reads = Counter(i for n in graph.nodes for i in n.inputs) if concatenations else Counter[str]()
    for node in concatenations:
        out, at = node.outputs[0], 0
        axis = int(node.attr("axis")) % len(graph.types[out].static_shape)
        for v in node.inputs:
            t, producer = graph.types[v], producers.get(v)
            writes = producer is not None and (producer.op == "Concat" or not producer.has(VIEW))
            same = t.dtype in STORED and t.is_quantized and t.quant == graph.types[out].quant
            same = same and (v not in images or out in images)
            strided = t.dtype is DType.F32 and producer is not None and producer.has(STRIDED_FLOATS)
            same = same or (strided and v in images and out in images)
            alone = v not in slots and node.inputs.count(v) == 1
            if alone and (
                reads[v] == 1 and out not in images and _comes_in_place(graph, v, out, axis)
                if v in given
                else writes and same
            ):
                slots[v] = Slot(out, axis, at)
            at += t.static_shape[axis]
    return slots


def _comes_in_place(graph: Graph, value: str, out: str, axis: int) -> bool:
    """Whether a value is an input of the graph that a concatenation takes in long runs: as the cache of a decoder, to
    which what is new is added."""
    t, joined = graph.types[value], graph.types[out]
    if value not in graph.inputs or value in graph.outputs or t.is_quantized or joined.is_quantized:
        return False
    return t.dtype is joined.dtype and prod(t.static_shape[axis + 1 :]) * t.dtype.numpy.itemsize >= LONG_RUN


def widest(a: Halo, b: Halo) -> Halo:
    return tuple(max(p) for p in zip(a, b, strict=True))  # type: ignore[return-value]


def conv_window(graph: Graph, node: Node) -> tuple[tuple[int, int], Window]:
    """The image size [H, W] and the 2-D window of a convolution or pool over 1 or 2 dimensions; a line is an image of
    one row."""
    size = graph.types[node.inputs[0]].static_shape[2:]
    kernel = tuple(node.attr("kernel_shape") or graph.types[node.inputs[1]].static_shape[2:])
    win = Window.of(node, size, kernel)
    if len(size) == 1:
        win = Window((1, *win.kernel), (1, *win.strides), (1, *win.dilations), (0, *win.begin), (0, *win.end))
        size = (1, *size)
    return size, win  # type: ignore[return-value]


def window_fields(win: Window) -> dict[str, int | float]:
    """The fields of a 2-D window in an instruction."""
    pairs = (("KH", "KW", win.kernel), ("SH", "SW", win.strides), ("DH", "DW", win.dilations))
    return {name: v for a, b, values in pairs for name, v in ((a, values[0]), (b, values[1]))}


def conv_halo(graph: Graph, node: Node) -> Halo:
    """The border (top, left, bottom, right) that a convolution over 1 or 2 dimensions reads around its input."""
    if len(graph.types[node.inputs[0]].static_shape) not in (3, 4):
        return NO_HALO
    if node.op == "ConvTranspose":
        from .phases import transposed_halo  # NOTE: few programs have a ConvTranspose

        return transposed_halo(graph, node)
    return window_halo(*conv_window(graph, node))


@lru_cache(1024)
def window_halo(size: tuple[int, int], win: Window) -> Halo:
    """What windows read around an image: top, left, bottom, right."""
    out = win.out(size, False)
    need = [(o - 1) * s + (k - 1) * r + 1 - d - b for o, s, k, r, d, b in zip(
        out, win.strides, win.kernel, win.dilations, size, win.begin, strict=True)]  # fmt: skip
    return win.begin[0], win.begin[1], max(0, need[0]), max(0, need[1])


def verify_layouts(graph: Graph, layouts: Layouts) -> Layouts:
    """Raise VerifyError unless images have 3 or 4 dimensions, slots are parts of concatenations, and halos belong to
    images without one."""
    faults = [f"{v!r} is channels-last, and no image" for v in layouts.images if graph.types[v].rank not in (3, 4)]
    producers = graph.producers()
    for v, (parent, axis, first) in layouts.slots.items():
        node = producers.get(parent)
        parts = list(node.inputs) if node is not None and node.op == "Concat" else []
        before = parts[: parts.index(v)] if v in parts else []
        if (
            parts.count(v) != 1
            or sum(graph.types[p].static_shape[axis] for p in before) != first
            or (v not in producers and v not in graph.inputs)
        ):
            faults.append(f"{v!r} has a slot of {parent!r}, axis {axis} from {first}, and is no such part of it")
        elif graph.types[v].quant != graph.types[parent].quant:
            faults.append(f"{v!r} has a slot of {parent!r}, and is quantized otherwise")
    faults += [
        f"{v!r} has a border, and is no image by itself"
        for v in layouts.halos
        if v not in layouts.images or v in layouts.slots
    ]
    if faults:
        raise VerifyError(f"layouts of {graph.name!r}: " + "; ".join(faults[:8]))
    return layouts
