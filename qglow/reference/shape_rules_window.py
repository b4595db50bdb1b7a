"""Output shapes of convolutions, pools and resampling, as shape_rules.py has those of other ops."""

from __future__ import annotations

from ..graph import Dim, Node, Shape
from ..graph.infer import Contradiction
from .dims import OPEN, Elements, Shapes, agree, first, per_axis, product, required
from .float_conv import transposed_geometry
from .float_resize import resize_geometry
from .windows import Window


def conv(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x, w = first(shapes), required(shapes, 1)
    _check_ranks(x, w)
    groups = int(node.attr("group"))
    channels = product((w[1], groups))
    if not agree(x[1:2], (channels,)) or (isinstance(w[0], int) and w[0] % groups):
        raise Contradiction(f"{x[1]} channels, weights for {channels}")
    kernel = _kernel(node, w[2:], shapes[2:], w[0])
    return [(x[0], w[0], *_moved(node, x[2:], kernel))]


def _check_ranks(x: Shape, w: Shape) -> None:
    if len(x) != len(w) or len(x) < 3:
        raise Contradiction(f"{len(x)} dimensions, weights of {len(w)}")


def _kernel(node: Node, kernel: Shape, rest: Shapes, channels: Dim) -> Shape:
    """The window of a convolution. What it says of it is what its weights are, and a bias has an element a channel."""
    said = node.attr("kernel_shape")
    if said and not agree(tuple(said), kernel):
        raise Contradiction(f"kernel_shape {list(said)}, weights of {list(kernel)}")
    if rest and rest[0] is not None and not agree(rest[0], (channels,)):
        raise Contradiction(f"a bias of {list(rest[0])} for {channels} channels")
    return tuple(said or kernel)


def _moved(node: Node, sizes: Shape, kernel: Shape, ceil: bool = False) -> Shape:
    """Sizes of what a window that moves over an image gives."""
    window = tuple(k for k in kernel if isinstance(k, int))
    if len(window) < len(kernel):
        return (OPEN,) * len(sizes)
    return per_axis(sizes, lambda spatial: Window.of(node, spatial, window).out(spatial, ceil))


def conv_transpose(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x, w = first(shapes), required(shapes, 1)
    _check_ranks(x, w)
    if not agree(x[1:2], w[:1]):
        raise Contradiction(f"{x[1]} channels, weights for {w[0]}")
    groups = int(node.attr("group"))
    if isinstance(w[0], int) and w[0] % groups:
        raise Contradiction(f"{w[0]} channels in {groups} groups")
    channels = product((w[1], groups))
    kernel = _kernel(node, w[2:], shapes[2:], channels)
    window = tuple(k for k in kernel if isinstance(k, int))
    spatial: Shape = (OPEN,) * len(kernel)
    if len(window) == len(kernel):
        spatial = per_axis(x[2:], lambda sizes: transposed_geometry(node, sizes, window)[1])
    return [(x[0], channels, *spatial)]


def pool(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    """y, and of a MaxPool the indices of what it took."""
    x, ceil = first(shapes), bool(node.attr("ceil_mode"))
    return [(*x[:2], *_moved(node, x[2:], node.attr("kernel_shape"), ceil))] * len(node.definition.outputs)


def global_pool(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x = first(shapes)
    return [(*x[:2], *(1,) * (len(x) - 2))]


def max_unpool(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x = first(shapes)

    def out(sizes: tuple[int, ...]) -> tuple[int, ...]:
        win = Window.of(node, sizes, node.attr("kernel_shape"))
        parts = zip(sizes, win.strides, win.kernel, win.begin, win.end, strict=True)
        return tuple((d - 1) * s + k - b - e for d, s, k, b, e in parts)

    return [(*x[:2], *per_axis(x[2:], out))]


def resize(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    x = first(shapes)
    sizes = tuple(d for d in x if isinstance(d, int))
    if len(sizes) == len(x) and all(elements[k] is not None for k in (2, 3) if node.input(k)):
        return [tuple(axis.out for axis in resize_geometry(node, sizes, elements))]
    axes = {int(a) % len(x) for a in node.attr("axes") or range(len(x))}
    return [tuple(OPEN if k in axes else d for k, d in enumerate(x))]


def grid_sample(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    return [(*first(shapes)[:2], *required(shapes, 1)[1:-1])]


def roi_align(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    return [(required(shapes, 1)[0], first(shapes)[1], int(node.attr("output_height")), int(node.attr("output_width")))]


def max_roi_pool(node: Node, shapes: Shapes, elements: Elements) -> Shapes:
    return [(required(shapes, 1)[0], first(shapes)[1], *(int(d) for d in node.attr("pooled_shape")))]
