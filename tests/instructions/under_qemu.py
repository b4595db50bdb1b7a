"""Run a program's kernels for AArch64 on any machine: one static executable under `qemu-aarch64`, made here of the
kernels' object.

The executable holds the relocated kernels, a driver, and the program's memory at a fixed address: rows of instructions,
constants, scratch and the arena. The driver calls the executor and writes the memory to its standard output.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from qglow.graph import Array
from qglow.instructions.barriers import barriers
from qglow.instructions.interpret import UNWRITTEN, blob_of
from qglow.instructions.meaning import OVER_READ
from qglow.instructions.program import CONSTANTS, Instruction, Program
from qglow.kernels import objects
from qglow.kernels.elf import Layout
from qglow.kernels.sizes import SCRATCH_BYTES
from qglow.runtime.native import FAULT_BYTES, NativePlan

QEMU = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
CODE, MEMORY, PAGE = 0x400000, 0x10000000, 4096
ROW = 512  # bytes of an instruction's words at most
TRIPLE = "aarch64-unknown-linux-gnu"


def _system_call(name: str, number: int) -> str:
    """A function in machine code: mov x8, #number; svc #0; ret."""
    words = ", ".join(f"i32 {w - (1 << 32)}" for w in (0xD2800008 | number << 5, 0xD4000001, 0xD65F03C0))
    return f"""
define i64 @{name}(i64 %a, i64 %b, i64 %c) naked noinline optnone prologue <{{ i32, i32, i32 }}> <{{ {words} }}> {{
  unreachable
}}"""


def _bytes_loop(name: str, kind: str, load: str) -> str:
    """memcpy or memset, one byte after the other."""
    return f"""
define ptr @{name}(ptr %to, {kind} %from, i64 %size) noinline optnone {{
entry:
  %some = icmp ne i64 %size, 0
  br i1 %some, label %body, label %done
body:
  %k = phi i64 [ 0, %entry ], [ %next, %body ]
  {load}
  %q = getelementptr i8, ptr %to, i64 %k
  store i8 %value, ptr %q
  %next = add i64 %k, 1
  %more = icmp ult i64 %next, %size
  br i1 %more, label %body, label %done
done:
  ret ptr %to
}}"""


COPY = "%p = getelementptr i8, ptr %from, i64 %k\n  %value = load i8, ptr %p"
DRIVER = f"""
target triple = "{TRIPLE}"
declare void @qglow_execute(i64, i64)
{_system_call("write", 64)}
{_system_call("exit", 93)}
{_bytes_loop("memcpy", "ptr", COPY)}
{_bytes_loop("memset", "i32", "%value = trunc i32 %from to i8")}
define void @_start() noinline optnone {{
entry:
  %header = inttoptr i64 {MEMORY} to ptr
  %count = load i64, ptr %header
  %size.at = getelementptr i64, ptr %header, i64 1
  %size = load i64, ptr %size.at
  call void @qglow_execute(i64 {MEMORY + 64}, i64 %count)
  br label %body
body:
  %done = phi i64 [ 0, %entry ], [ %after, %body ]
  %at = add i64 %done, {MEMORY}
  %left = sub i64 %size, %done
  %written = call i64 @write(i64 1, i64 %at, i64 %left)
  %after = add i64 %done, %written
  %more = icmp ult i64 %after, %size
  br i1 %more, label %body, label %end
end:
  call i64 @exit(i64 0, i64 0, i64 0)
  ret void
}}
"""


def _driver() -> Layout:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(TRIPLE).create_target_machine(
        cpu="generic", opt=0, reloc="pic", codemodel="small"
    )
    return Layout(bytes(machine.emit_object(llvm.parse_assembly(DRIVER))))


class Linked:
    """The kernels of a target and the driver at their addresses."""

    def __init__(self, isa: str) -> None:
        self.isa = isa
        kernels, driver = Layout(objects.unsealed(objects.ensure(isa))), _driver()
        second = -(-kernels.size // PAGE) * PAGE
        self.code = bytearray(second + driver.size)
        behind = driver.put(bytearray(driver.size), CODE + second, lambda name: 0)
        first = bytearray(second)
        self.symbols = kernels.put(first, CODE, behind.__getitem__)
        tail = bytearray(driver.size)
        self.start = driver.put(tail, CODE + second, self.symbols.__getitem__)["_start"]
        self.code[:second], self.code[second:] = first, tail

    def executable(self, memory: bytes) -> bytes:
        """A static ELF file with the code at CODE and the memory at MEMORY."""
        head = (
            b"\x7fELF\x02\x01\x01"
            + bytes(9)
            + struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, self.start, 64, 0, 0, 64, 56, 2, 0, 0, 0)
        )
        at, parts = PAGE, []
        for flags, address, data in ((5, CODE, bytes(self.code)), (6, MEMORY, memory)):
            head += struct.pack("<IIQQQQQQ", 1, flags, at, address, address, len(data), len(data), PAGE)
            parts.append(data + bytes(-len(data) % PAGE))
            at += len(parts[-1])
        return head.ljust(PAGE, b"\0") + b"".join(parts)

    def run(self, program: Program, feeds: Mapping[str, Array], folder: Path) -> dict[str, Array]:
        """The outputs of a program of native instructions alone, on one thread."""
        steps = [s for s in program.steps if isinstance(s, Instruction)]
        assert len(steps) == len(program.steps), "a step runs on the host"
        constants, places = blob_of(program), list[int]()
        at = 64 + 8 * len(steps)
        for size in (ROW * len(steps), constants.size, FAULT_BYTES + SCRATCH_BYTES, program.arena_size):
            at = -(-at // 64) * 64
            places.append(at)
            at += size
        rows_at, constants_at, scratch_at, arena_at = places
        memory = np.zeros(-(-at // 64) * 64 + OVER_READ, np.uint8)
        arena = memory[arena_at : arena_at + program.arena_size]
        arena[...] = UNWRITTEN
        memory[constants_at : constants_at + constants.size] = constants
        for name, array in feeds.items():
            program.places[name].view(arena, program.base(program.places[name]))[...] = array
        plan = SimpleNamespace(
            library=SimpleNamespace(address=lambda name: self.symbols[f"qglow_{name}"]), threads=1, program=program,
            _fault=MEMORY + scratch_at, _scratch=MEMORY + scratch_at + FAULT_BYTES,
            constants=SimpleNamespace(address=lambda place: MEMORY + constants_at + place),
            _address=lambda buffer: MEMORY + arena_at + program.buffers[buffer].offset,
        )  # fmt: skip
        words = memory.view(np.int64)
        words[:2] = len(steps), memory.size
        for k, (step, flag) in enumerate(zip(steps, barriers(steps, program.buffers), strict=True)):
            row = np.array(NativePlan._row(plan, step, flag), np.int64)  # type: ignore[arg-type]
            first = rows_at + ROW * k
            assert row.nbytes <= ROW
            words[first // 8 : first // 8 + row.size] = row
            words[8 + k] = MEMORY + first
        path = folder / "program"
        path.write_bytes(self.executable(memory.tobytes()))
        path.chmod(0o755)
        done = subprocess.run([str(QEMU), "-cpu", "max", str(path)], capture_output=True, timeout=600, check=False)
        assert done.returncode == 0 and len(done.stdout) == memory.size, (done.returncode, done.stderr[-500:])
        after = np.frombuffer(done.stdout, np.uint8)
        arena = after[arena_at : arena_at + program.arena_size]
        graph = program.graph
        views = {
            n: p.view(constants if p.buffer == CONSTANTS else arena, program.base(p)) for n, p in program.places.items()
        }
        return {n: np.array(views[n]) if n in views else graph.constants[n] for n in graph.outputs}
