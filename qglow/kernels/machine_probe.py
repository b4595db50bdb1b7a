"""What this CPU can do at best: a loop of int8 products that stays in registers, and a loop that only reads memory.

Both are written as LLVM IR and compiled when they are asked for, apart from the kernels' library: no inference needs
them.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ..targets import Target, choose, target

ROUNDS = 100


@dataclass(frozen=True, slots=True)
class Loop:
    """One product instruction. vector: LLVM type of an accumulator; product: a line of IR, of %u and the accumulator A
    to N.

    ops: operations of one instruction. count: accumulators, enough to hide its latency.
    """

    vector: str
    declare: str
    product: str
    ops: int
    count: int


_VNNI = Loop("<16 x i32>", "declare <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32>, <16 x i32>, <16 x i32>)",
             "%N = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %A, <16 x i32> %u, <16 x i32> %u)", 128,
             16)  # fmt: skip
_VNNI_BYTES = Loop("<16 x i32>", "declare <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32>, <64 x i8>, <64 x i8>)",
                   "%N = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %A, <64 x i8> %b, <64 x i8> %b)", 128,
                   16)  # fmt: skip
_AVX_VNNI = Loop("<8 x i32>", "declare <8 x i32> @llvm.x86.avx512.vpdpbusd.256(<8 x i32>, <8 x i32>, <8 x i32>)",
                 "%N = call <8 x i32> @llvm.x86.avx512.vpdpbusd.256(<8 x i32> %A, <8 x i32> %u, <8 x i32> %u)", 64,
                 12)  # fmt: skip
_AVX_VNNI_BYTES = Loop("<8 x i32>", "declare <8 x i32> @llvm.x86.avx512.vpdpbusd.256(<8 x i32>, <32 x i8>, <32 x i8>)",
                       "%N.b = bitcast <8 x i32> %u to <32 x i8>\n"
                       "  %N = call <8 x i32> @llvm.x86.avx512.vpdpbusd.256(<8 x i32> %A, <32 x i8> %N.b, <32 x i8> "
                       "%N.b)", 64, 12)  # fmt: skip
_AVX2 = Loop("<8 x i32>", "declare <8 x i32> @llvm.x86.avx2.pmadd.wd(<16 x i16>, <16 x i16>)",
             "%N.h = bitcast <8 x i32> %A to <16 x i16>\n  %N.p = call <8 x i32> @llvm.x86.avx2.pmadd.wd(<16 x i16> "
             "%N.h, <16 x i16> %b)\n"
             "  %N = add <8 x i32> %A, %N.p", 32, 12)  # fmt: skip
_SSE2 = Loop("<4 x i32>", "declare <4 x i32> @llvm.x86.sse2.pmadd.wd(<8 x i16>, <8 x i16>)",
             "%N.h = bitcast <4 x i32> %A to <8 x i16>\n  %N.p = call <4 x i32> @llvm.x86.sse2.pmadd.wd(<8 x i16> "
             "%N.h, <8 x i16> %b)\n"
             "  %N = add <4 x i32> %A, %N.p", 16, 12)  # fmt: skip
_PLAIN = Loop("<4 x i32>", "", "%N.p = mul <4 x i32> %A, %u\n  %N = add <4 x i32> %A, %N.p", 8, 8)
_NEON_BYTES = "%N.b = bitcast <4 x i32> %u to <16 x i8>\n  "
_SDOT, _USDOT = (
    Loop("<4 x i32>", f"declare <4 x i32> @llvm.aarch64.neon.{name}.v4i32.v16i8(<4 x i32>, <16 x i8>, <16 x i8>)",
         f"{_NEON_BYTES}%N = call <4 x i32> @llvm.aarch64.neon.{name}.v4i32.v16i8(<4 x i32> %A, <16 x i8> %N.b, <16 x "
         "i8> %N.b)", 32, 16)
    for name in ("sdot", "usdot")
)  # fmt: skip
_AMX = Loop("i32", "declare void @llvm.x86.tdpbusd(i8, i8, i8)\ndeclare void @llvm.x86.tilezero(i8)\n"
            "declare void @llvm.x86.tilerelease()\ndeclare void @llvm.x86.ldtilecfg(ptr)", "", 2 * 16 * 16 * 64,
            4)  # fmt: skip
LOOPS = {
    "tdpbusd": (_AMX,),
    "vpdpbusd.512": (_VNNI, _VNNI_BYTES),
    "vpdpbusd.256": (_AVX_VNNI, _AVX_VNNI_BYTES),
    "pmaddwd.256": (_AVX2,),
    "pmaddwd.128": (_SSE2,),
    "sdot.128": (_SDOT,),
    "usdot.128": (_USDOT,),
    "mul": (_PLAIN,),
}
"""By a target's product instruction; the first that this LLVM knows is used."""
_BYTES = {"<16 x i32>": "<64 x i8>", "<8 x i32>": "<16 x i16>", "<4 x i32>": "<8 x i16>"}


def loops_of(isa: Target) -> tuple[Loop, ...]:
    """The loops of a target's product instruction."""
    return LOOPS["tdpbusd" if isa.tiles else isa.product]


def peak_ops(threads: int = 1) -> float:
    """int8 operations a second (2 for each product) of the chosen instruction set's product instruction, on all threads
    together."""
    isa, _ = choose()
    loop, run = next(
        (found, f) for found in loops_of(isa) if (f := _compiled(product_text(found), isa.name)) is not None
    )
    data = np.zeros(64, np.uint8) if loop is not _AMX else _tile_configuration()
    count = 20_000 if loop is _AMX else 200_000
    return threads * count * loop.count * loop.ops / _fastest(lambda k: run(data.ctypes.data, count, 0), threads)


def read_bandwidth(size: int, threads: int = 1) -> float:
    """Bytes a second that a loop over `size` bytes (in each thread) reads: of a cache if they fit in it, else of
    memory.

    size is rounded down to a power of two, 4096 at least.
    """
    size = max(4096, 1 << (size.bit_length() - 1))
    run = _compiled(READ, choose()[0].name)
    assert run is not None
    buffers = [np.ones(size + 64, np.uint8) for _ in range(threads)]
    starts = [b.ctypes.data + (-b.ctypes.data) % 64 for b in buffers]
    rounds = max(size, 64 << 20) // 512
    return threads * rounds * 512 / _fastest(lambda k: run(starts[k], rounds, size // 512 - 1), threads)


def product_text(loop: Loop) -> str:
    """IR of `void run(ptr data, i64 count, i64 mask)`."""
    if loop is _AMX:
        products = "\n".join(
            f"  call void @llvm.x86.tdpbusd(i8 {d}, i8 {a}, i8 {w})"
            for d, a, w in ((0, 4, 6), (1, 4, 7), (2, 5, 6), (3, 5, 7))
        )
        zeros = "\n".join(f"  call void @llvm.x86.tilezero(i8 {k})" for k in range(8))
        before, after = f"  call void @llvm.x86.ldtilecfg(ptr %data)\n{zeros}", "  call void @llvm.x86.tilerelease()"
        return _loop(loop.declare, before, "", products, after)
    names = [f"a{k}" for k in range(loop.count)]
    before = f"  %u = load {loop.vector}, ptr %data, align 1\n  %b = bitcast {loop.vector} %u to {_BYTES[loop.vector]}"
    phis = "\n".join(f"  %{n} = phi {loop.vector} [%u, %entry], [%{n}.next, %body]" for n in names)
    products = "\n".join("  " + loop.product.replace("%A", f"%{n}").replace("%N", f"%{n}.next") for n in names)
    return _loop(loop.declare, before, phis, products, _folded(names, loop.vector))


def _folded(names: list[str], vector: str) -> str:
    """Keep the results: their exclusive or is stored."""
    lines, last = [], f"{names[0]}.next"
    for k, n in enumerate(names[1:]):
        lines.append(f"  %x{k} = xor {vector} %{last}, %{n}.next")
        last = f"x{k}"
    return "\n".join([*lines, f"  %slot = alloca {vector}", f"  store volatile {vector} %{last}, ptr %slot"])


def _loop(declare: str, before: str, phis: str, body: str, after: str) -> str:
    return f"""{declare}
define void @run(ptr %data, i64 %count, i64 %mask) {{
entry:
{before}
  br label %body
body:
  %i = phi i64 [0, %entry], [%i.next, %body]
{phis}
{body}
  %i.next = add i64 %i, 1
  %more = icmp ult i64 %i.next, %count
  br i1 %more, label %body, label %done
done:
{after}
  ret void
}}
"""


def _read_text() -> str:
    """Eight vectors of 64 bytes in each round, from round & mask on: a mask of 2^n - 1 goes over the same bytes
    again."""
    names, vector = [f"a{k}" for k in range(8)], "<8 x i64>"
    phis = "\n".join(f"  %{n} = phi {vector} [zeroinitializer, %entry], [%{n}.next, %body]" for n in names)
    body = ["  %k = and i64 %i, %mask", "  %at = shl i64 %k, 9", "  %p = getelementptr i8, ptr %data, i64 %at"]
    for k, n in enumerate(names):
        body.append(
            f"  %{n}.p = getelementptr i8, ptr %p, i64 {64 * k}\n  %{n}.v = load {vector}, ptr %{n}.p, align 64"
        )
        body.append(f"  %{n}.next = xor {vector} %{n}, %{n}.v")
    return _loop("", "", phis, "\n".join(body), _folded(names, vector))


READ = _read_text()
_ENGINES: dict[tuple[str, str], Callable[[int, int, int], None]] = {}


def machine_code(text: str, isa: str) -> bytes | None:
    """The object of some IR for an instruction set; None where this LLVM does not know its instructions so."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    try:
        module = llvm.parse_assembly(text)
    except RuntimeError:
        return None
    features = target(isa).features + (",+amx-int8,+amx-tile" if target(isa).tiles else "")
    host = llvm.get_default_triple()
    triple = target(isa).triple(host)
    if triple != host:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=target(isa).cpu, features=features.strip(","), opt=3, reloc="pic", codemodel="small"
    )
    return bytes(machine.emit_object(module))


def _compiled(text: str, isa: str) -> Callable[[int, int, int], None] | None:
    import llvmlite.binding as llvm

    if (text, isa) in _ENGINES:
        return _ENGINES[text, isa]
    code = machine_code(text, isa)
    if code is None:
        return None
    engine = llvm.create_mcjit_compiler(
        llvm.parse_assembly(""), llvm.Target.from_default_triple().create_target_machine(codemodel="small")
    )
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(engine.get_function_address("run"))

    def run(data: int, count: int, mask: int, keep: object = engine) -> None:
        call(data, count, mask)

    _ENGINES[text, isa] = run
    return run


def _fastest(call: Callable[[int], None], threads: int) -> float:
    """Seconds of the fastest round, in which every thread makes the call once."""
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(ROUNDS):
            start = time.perf_counter()
            list(pool.map(call, range(threads)))
            best = min(best, time.perf_counter() - start)
    return best


def _tile_configuration() -> np.ndarray:
    """Eight tiles of 16 rows of 64 bytes."""
    data = np.zeros(64, np.uint8)
    data[0] = 1
    data[16:32:2] = 64
    data[48:56] = 16
    return data
