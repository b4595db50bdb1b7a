"""Every target, in the order in which they are preferred. A new instruction set is one row here."""

from __future__ import annotations

from collections.abc import Iterable

from .architecture import AARCH64, HOST, X86_64
from .target import Target

FUSED = "+fast-dpwssd"  # else LLVM takes vpdpwssd apart in some loops, as it guesses how long they wait
GENERIC = Target("generic", HOST, HOST.baseline, "", (), lanes=8, pixels=2, product=HOST.int8, fma=HOST.fma)
AVX2 = Target(
    "avx2", X86_64, "x86-64-v3", "", ("avx2", "fma"),
    lanes=8, pixels=4, product="pmaddwd.256", pairs=True, narrowing="avx2",
)  # fmt: skip
AVX_VNNI = AVX2._replace(
    name="avx_vnni", features=f"+avxvnni,{FUSED}", needs=("avx2", "fma", "avx_vnni"),
    pixels=6, product="vpdpbusd.256", pairs=False,
)  # fmt: skip
AVX512_VNNI = Target(
    "avx512_vnni", X86_64, "x86-64-v4", f"+avx512vnni,{FUSED},-prefer-256-bit",
    ("avx512f", "avx512bw", "avx512vl", "avx512_vnni"),
    lanes=16, pixels=14, product="vpdpbusd.512", float_pixels=(14, 24), narrowing="avx512",
)  # fmt: skip
AVX512_VBMI = AVX512_VNNI._replace(
    name="avx512_vbmi", features=f"+avx512vnni,+avx512vbmi,{FUSED},-prefer-256-bit",
    needs=(*AVX512_VNNI.needs, "avx512vbmi"), byte_tables=True,
)  # fmt: skip
AMX = AVX512_VBMI._replace(  # NOTE: its bits are tested by emulation; no speed was measured on tiles yet
    name="amx", cpu="sapphirerapids", features=f"{FUSED},-prefer-256-bit",
    needs=("amx_int8", "amx_tile", "avx512_vnni", "avx512vbmi"),
    pixels=32, step=64, narrow=False, tiles=True, on_request=True,
)  # fmt: skip
AARCH64_DOTPROD = Target(
    "aarch64_dotprod", AARCH64, "generic", "+dotprod", ("asimd", "asimddp"),
    lanes=8, pixels=6, product="sdot.128", offset=128,
)  # fmt: skip
AARCH64_I8MM = AARCH64_DOTPROD._replace(
    name="aarch64_i8mm",
    features="+dotprod,+i8mm",
    needs=("asimd", "asimddp", "i8mm"),
    product="usdot.128",
    offset=0,
)


def table(rows: Iterable[Target]) -> dict[str, Target]:
    """Rows by name. Raises ValueError for two of one name."""
    found: dict[str, Target] = {}
    for row in rows:
        if found.setdefault(row.name, row) is not row:
            raise ValueError(f"two targets are named {row.name}")
    return found


TARGETS = table((
    AMX, AVX512_VBMI, AVX512_VNNI, AVX_VNNI, AVX2, AARCH64_I8MM, AARCH64_DOTPROD, GENERIC,
))  # fmt: skip


def target(name: str) -> Target:
    """The target of a name, which must be known."""
    return TARGETS[name]
