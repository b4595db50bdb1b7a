"""What a target is."""

from __future__ import annotations

from ..record import NamedTuple
from .architecture import Architecture

NEAR = 393216  # see Target.near


class Target(NamedTuple):
    """An instruction set that kernels are compiled for.

    cpu, features: LLVM's names, so that an object is the same bytes wherever it is built. needs: features that the CPU
    must have, as Linux names them (see Architecture.flags). on_request: used only where it is asked for by name.

    Products. product: the instruction that multiplies bytes, a key of kernels/dots.py and, with the bits of its vector,
    of kernels/machine_probe.py; tiles: whether convolutions and matrix products use the tile registers instead, in rows
    of `step` bytes. lanes: int32 elements of a vector; vectors, pixels: accumulator block of the micro-kernel;
    float_pixels: pixels of the float micro-kernel, and of the one that has one vector of output channels. offset:
    products read their u8 pixels less this, and their bias holds this times the sum of weights: 128 where the
    instruction takes signed bytes alone. fma: whether there is a fused multiply-add of float vectors.

    Packed weights. step: bytes of a run of weights that one step of a product takes; narrow: a last block of output
    channels that fits one vector is stored as one. pairs: products of constant weights add two neighbouring products
    in 16 bits, with saturation, in all steps where none of these sums can leave 16 bits (instructions/pairings.py).

    Other instructions. narrowing: how int32 vectors become bytes, a key of `pack_bytes` in kernels/vector.py;
    byte_tables: whether there are byte permutes that look 64 bytes up in a table at a time.

    Cost model, in bytes. l1, l2: a little less than the caches of the CPUs have. near: weights, or pixels in and out,
    that stay in a cache while all of the other go by.
    """

    name: str
    architecture: Architecture
    cpu: str
    features: str
    needs: tuple[str, ...]
    lanes: int
    pixels: int
    product: str
    vectors: int = 2
    float_pixels: tuple[int, int] = (6, 10)
    fma: bool = True
    offset: int = 0
    step: int = 4
    narrow: bool = True
    pairs: bool = False
    tiles: bool = False
    narrowing: str = ""
    byte_tables: bool = False
    on_request: bool = False
    l1: int = 32 << 10
    l2: int = 512 << 10
    near: int = NEAR

    @property
    def block(self) -> int:
        """Output channels of one block of packed weights."""
        return self.lanes * self.vectors

    @property
    def multiple(self) -> int:
        """Output channels of packed weights are padded to a multiple of this."""
        return self.lanes if self.narrow else self.block

    @property
    def narrow_pixels(self) -> int:
        """Most pixels of the micro-kernel that has one vector of output channels."""
        return self.pixels * self.vectors - self.lanes // 4

    def triple(self, host: str) -> str:
        """The triple of LLVM: that of this process, with the architecture of the target."""
        machine, _, system = host.partition("-")
        return host if machine == self.architecture.name else f"{self.architecture.name}-{system}"
