"""One export: a torch module with random weights, its inputs at a shape, and which of the two exporters writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

Shape = tuple[int, int]
Feeds = dict[str, torch.Tensor]
Axes = dict[int, str]


@dataclass(frozen=True, slots=True)
class Export:
    """feeds: inputs by name at a (batch, size). axes: symbols of the dimensions that may differ, by input. shapes: the
    profiled one, and the others at which it runs too. settle: batch norms take their statistics from noise first."""

    name: str
    build: Callable[[], torch.nn.Module]
    feeds: Callable[[int, int], Feeds]
    axes: dict[str, Axes]
    shapes: tuple[Shape, ...]
    dynamo: bool = False
    settle: bool = False
    outputs: tuple[str, ...] = field(default=())


class First(torch.nn.Module):
    """A module whose outputs are some of another's: called with keywords, by the names of its inputs."""

    def __init__(self, body: torch.nn.Module, names: tuple[str, ...], wanted: tuple[str, ...], **fixed: Any) -> None:
        super().__init__()
        self.body, self.names, self.wanted, self.fixed = body, names, wanted, fixed

    def forward(self, *given: torch.Tensor) -> Any:
        found = self.body(**dict(zip(self.names, given, strict=False)), **self.fixed)
        return tuple(getattr(found, name) for name in self.wanted)


def smooth(*shape: int) -> torch.Tensor:
    """Noise with large shapes in it, as pictures have."""
    coarse = torch.randn(*shape[:-2], max(1, shape[-2] // 8), max(1, shape[-1] // 8))
    large = torch.nn.functional.interpolate(coarse, shape[-2:], mode="bilinear")
    return large + 0.3 * torch.randn(*shape)


def pictures(channels: int = 3) -> Callable[[int, int], Feeds]:
    return lambda batch, size: {"x": smooth(batch, channels, size, size)}


def image(
    name: str,
    build: Callable[[], torch.nn.Module],
    size: int = 64,
    other: int | None = 96,
    *,
    dynamo: bool = False,
    channels: int = 3,
) -> Export:
    """A network of pictures. other: a second size that it takes, None for one that is built for one size."""
    axes = {0: "batch"} if other is None else {0: "batch", 2: "height", 3: "width"}
    shapes = ((1, size), (3, size), (2, size) if other is None else (1, other))
    return Export(name, build, pictures(channels), {"x": axes}, shapes, dynamo, settle=True)


def sequence(
    name: str,
    build: Callable[[], torch.nn.Module],
    width: int,
    length: int = 24,
    other: int = 37,
    *,
    dynamo: bool = False,
) -> Export:
    """A network of [batch, length, width]."""
    return Export(
        name, build, lambda batch, n: {"x": torch.randn(batch, n, width)}, {"x": {0: "batch", 1: "length"}},
        ((1, length), (3, length), (1, other)), dynamo,
    )  # fmt: skip
