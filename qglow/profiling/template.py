"""A dataset.toml filled in for a model's inputs, as far as their shapes and dtypes tell."""

from __future__ import annotations

from ..graph import DType, Graph, Shape

GUESSED = 224  # pixels of a side that the model leaves open


def template(graph: Graph) -> str:
    """The text of the file: a picture where the model has one input that may be one, else arrays."""
    rows = ["# how a sample becomes the model's inputs; numbers with ? are guesses: look at them"]
    for name in graph.inputs:
        t = graph.types[name]
        shape = "x".join(map(str, t.shape)) if t.shape is not None else "any shape"
        rows += ["", f"[input.{_key(name)}]  # {t.dtype.numpy.name} {shape or 'scalar'}"]
        picture = _picture(t.shape) if len(graph.inputs) == 1 and t.dtype is DType.F32 else None
        rows += picture or ['source = "npz"  # files with the input names as keys']
    return "\n".join((*rows, ""))


def _picture(shape: Shape | None) -> list[str] | None:
    """The rows of a picture, None for a shape that is none."""
    if shape is None or len(shape) != 4:
        return None
    layout = "nchw" if shape[1] in (1, 3) else "nhwc" if shape[3] in (1, 3) else None
    if layout is None:
        return None
    channels, sides = (shape[1], shape[2:]) if layout == "nchw" else (shape[3], shape[1:3])
    h, w = (d if isinstance(d, int) else GUESSED for d in sides)
    open_side = "" if all(isinstance(d, int) for d in sides) else "  # ? the model takes any size"
    rows = ['source = "images"', f"resize = [{h}, {w}]{open_side}", f'layout = "{layout}"']
    if channels == 1:
        return [*rows, 'color = "gray"', "scale = 0.00392156862  # ? pixels in 0..1"]
    means = "mean = [0.485, 0.456, 0.406]  # ? of ImageNet, as are most"
    return [*rows, 'color = "rgb"  # ? or bgr', "scale = 0.00392156862  # ? pixels in 0..1", means,
            "std = [0.229, 0.224, 0.225]  # ? likewise"]  # fmt: skip


def _key(name: str) -> str:
    plain = name.replace("_", "").replace("-", "")
    if plain.isascii() and plain.isalnum():
        return name
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'
