"""What the shapes of an op's outputs follow from, declared for each op: an op that stands nowhere here has shapes that depend on data.

Shapes and attributes alone, or also the elements of some inputs: sizes, axes, counts. Ops with a rule (reference/shapes.py) need a line
here only for the second.
"""

from __future__ import annotations

from .graph import Node

FROM_SHAPES = frozenset({
    "ArgMax", "ArgMin", "GlobalLpPool", "GridSample", "Hardmax", "LRN", "LpNormalization", "LpPool", "MaxRoiPool", "RoiAlign",
    "ScatterElements", "Cast", "Concat", "CumSum", "DepthToSpace", "Flatten", "Gather", "GatherElements", "IsNaN",
    "LayerNormalization", "Mod", "Not", "Shape", "Size", "SpaceToDepth", "Transpose", "Trilu",
})  # fmt: skip
FROM_ELEMENTS: dict[str, tuple[int, ...]] = {
    "OneHot": (1,), "MaxUnpool": (2,),
    "ConstantOfShape": (0,), "Range": (0, 1, 2), "Slice": (1, 2, 3, 4), "Pad": (1, 3), "Resize": (2, 3),
    **dict.fromkeys(("Reshape", "Expand", "Tile", "Squeeze", "Unsqueeze", "Split", "TopK"), (1,)),
}  # fmt: skip
FROM_DATA = frozenset({"Compress", "NonMaxSuppression", "NonZero", "Unique"})  # from all elements of an input


def shaping(node: Node) -> tuple[int, ...] | None:
    """Places of the inputs whose elements, not only their shape, decide the shapes of the outputs; None where nothing is declared."""
    if node.op in FROM_ELEMENTS:
        crops = node.op == "Resize" and node.attr("coordinate_transformation_mode") == "tf_crop_and_resize"
        return (1, *FROM_ELEMENTS[node.op]) if crops else FROM_ELEMENTS[node.op]
    if node.op.startswith("Reduce"):
        return (1,)
    return () if node.op in FROM_SHAPES else None
