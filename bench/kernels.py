"""Every kernel of a target on instructions of usual size, and beside the other kernels that accept the same
instruction.

    python -m bench.kernels                                  all rows of the kernel table, on this CPU's best target
    python -m bench.kernels depthwise2d avg_pool2d --large 4 --json kernels.json

Fields are those that tests/kernels/row_fields.py draws, with sizes several tiles large; a line is the one
of some drawn instructions where the row gains least, in nanoseconds for each element that is written, on one thread.
`beside` is the same of the next kernel that accepts this instruction: where it is below the row's own, the row should
not stand before it.
"""

from __future__ import annotations

import ctypes
import json
import time
import zlib
from typing import Any

import numpy as np

from qglow.instructions.program import Instruction
from qglow.kernels import library
from qglow.kernels.sizes import SCRATCH_BYTES
from qglow.kernels.table import KERNELS, KernelRow, accepting
from qglow.targets import choose, target
from tests.kernels.row_fields import SIZES, Draw, Fields
from tests.kernels.row_memory import KERNEL, Memory

from . import options

DRAWN, SECONDS = 5, 0.02
FIXED = {"N": 1, "G": 1, "DH": 1, "DW": 1}


class Large(Draw):
    """Sizes that are whole tiles, or some usual ones."""

    times = 4

    def size(self, name: str) -> int:
        if name in FIXED:
            return FIXED[name]
        edge = self.edges.get(name)
        usual = {"H": 14, "W": 28, "C": 96, "K": 64}.get(name)
        return edge * self.times if edge else usual or self.pick(*SIZES[name])


def seconds_of(row: KernelRow, memory: Memory, loaded: library.Library, scratch: Any) -> float:
    """The fastest of some calls."""
    address = loaded.address(row.name)
    call, words = KERNEL(address), memory.row(address, memory.bytes, scratch)
    at, best = ctypes.c_int64(words.ctypes.data), float("inf")
    end = time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < end:
        call(at, 0, 0, 1)
        best = min(best, time.perf_counter() - start)
    return best


def written(memory: Memory) -> int:
    return max(1, int(np.prod(memory.regions["y"].shape if "y" in memory.regions else memory.regions["y.top"].shape)))


def line(row: KernelRow, isa: str, times: int) -> dict[str, Any] | None:
    """Nanoseconds of an element by a row, and by the next that accepts the same instruction."""
    rng = np.random.default_rng(zlib.crc32(row.name.encode()))
    draw, loaded = Large(rng, row.instruction, row.blocking(target(isa)), isa), library.load(isa)
    draw.times, scratch, found = times, np.zeros(SCRATCH_BYTES, np.uint8), []
    for _ in range(2000):
        fields: Fields = draw.fields()
        rows = list(accepting(Instruction(row.instruction, {}, {}, fields), isa))
        if row not in rows:
            continue
        memory = Memory(row.instruction, fields, isa, rng)
        other = rows[rows.index(row) + 1] if row is not rows[-1] else None
        spent = [seconds_of(r, memory, loaded, scratch) * 1e9 / written(memory) for r in (row, other) if r is not None]
        found.append((spent[0], spent[1] if other else None, other.name if other else ""))
        if len(found) == DRAWN:
            break
    if not found:
        return None
    ns, beside, name = max(found, key=lambda f: f[0] / (f[1] or 1e9))
    return {"kernel": row.name, "ns": ns, "beside": beside, "other": name}


def main() -> int:
    p = options.parser(__doc__)
    p.add_argument("instructions", nargs="*", help="instructions (default: all)")
    p.add_argument("--large", type=int, default=4, help="tiles of each size (default %(default)s)")
    options.add_json(p)
    o = p.parse_args()
    isa, lines = choose()[0].name, []
    print("| kernel | dtypes | ns an element | beside |\n| --- | --- | ---: | ---: |")
    for row in KERNELS.values():
        if not row.on(target(isa)) or (o.instructions and row.instruction not in o.instructions):
            continue
        found = line(row, isa, o.large)
        if found is not None:
            lines.append(found)
            beside = f"{found['beside']:.3f} {found['other']}" if found["other"] else ""
            print(f"| {row.name} | {row.dtypes} | {found['ns']:.3f} | {beside} |", flush=True)
    if o.json:
        o.json.write_text(json.dumps(lines, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
