"""Compile all kernels for one instruction set and link them into one object without undefined symbols.

    python -m qglow.kernels.build ISA DESCRIPTOR PARENT [--emulate]

Writes the object to an open file, and ends with its parent. Prints `part DONE TOTAL` as it goes. Runs in a process of
its own: numba reads what CPU it compiles for when it is imported. Kernels are compiled by as many processes as there
are CPUs. Nothing of the host goes into the object, nor which process compiled what: names that numba numbers as it goes
are replaced. A kernel has no status to look at: one that could fail is not built.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .objects import sealed
from .table import KERNELS, KernelRow
from .workers import die_with, shared_out

if TYPE_CHECKING:
    from ..targets import Target

MOST_PROCESSES = 8  # each takes some 300 MB
EXCEPTION = ".const.picklebuf."  # how numba names an exception that compiled code can raise
HEAVY = (
    "conv2d",
    "float_conv2d",
    "blockwise_matmul",
    "depthwise2d",
    "int16_conv2d",
    "float_unary",
    "float_binary",
)  # compiled first, so that none is left alone at the end
CHEAP = {"cost": "cheap", "loop_vectorize": False, "slp_vectorize": False, "opt": 3}  # numba's first pipeline
# To emit an object changes the LLVM code: addresses in loops become sums. These are emitted from what that leaves, and
# need fewer registers: where there are 16, float_depthwise2d is 1.3 times as fast, and the others 1.05.
EMITTED_TWICE = ("float_depthwise2d", "depthwise2d", "add")


def main(name: str, output: int, emulate: bool) -> None:
    from ..targets import TARGETS

    isa = TARGETS["generic" if emulate else name]
    os.environ |= {"QGLOW_BUILD_ISA": name, "QGLOW_BUILD_EMULATE": "1" if emulate else "0"}
    os.environ |= {
        "NUMBA_CPU_NAME": isa.cpu,
        "NUMBA_CPU_FEATURES": isa.features,
        "NUMBA_CACHE_DIR": os.devnull,
        "NUMBA_DISABLE_JIT": "0",
    }
    data = compile_all(isa, aim(isa))
    with open(output, "wb") as file:
        file.write(sealed(data))
        file.truncate()  # NOTE: more was reserved


def aim(isa: Target) -> str:
    """Make numba compile for the target's architecture, whatever this machine's is; the triple. Called before numba is
    imported."""
    import llvmlite.binding as llvm

    host = llvm.get_default_triple()
    triple = isa.triple(host)
    if triple != host:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        llvm.get_process_triple = lambda: triple
        llvm.Target.from_default_triple = classmethod(lambda cls: cls.from_triple(triple))
    return triple


def stop_at_llvm() -> None:
    """Have numba end at the LLVM code of a function as it is written down: nothing here calls it, and a kernel is
    optimized once, with all that it calls (`_optimized`). To optimize each function for itself too, and to emit it for
    this process, took as long as the rest of a build."""
    from numba.core import codegen

    codegen.JITCodeLibrary._finalize_final_module = lambda self: setattr(self, "_finalized", True)
    codegen.JITCPUCodegen.set_env = lambda self, name, environment: None
    codegen.CPUCodeLibrary._optimize_final_module = lambda self: None
    codegen.CPUCodeLibrary._optimize_functions = lambda self, module: setattr(
        module, "data_layout", self._codegen._data_layout
    )


def _optimized(library: Any) -> str:
    """The LLVM code of a function with all that it calls, after numba's two pipelines."""
    for options in (CHEAP, {}):
        passes, builder = library._codegen._module_pass_manager(**options)
        passes.run(library._final_module, builder)
    return str(library.get_llvm_str())


def compile_all(isa: Target, triple: str) -> bytes:
    import llvmlite.binding as llvm
    from numba import types

    from . import execute, observe, thread_pool
    from .row import Row
    from .split import SHARE
    from .target import ISA

    llvm.initialize_native_target()
    llvm.initialize_native_asmparser()  # for the executor's few lines of inline assembly
    stop_at_llvm()
    kernels = {n: (_function(k), (Row(k.instruction), SHARE)) for n, k in KERNELS.items() if k.on(ISA)}
    exported = {**execute.EXPORTED, **observe.EXPORTED, **thread_pool.EXPORTED}
    functions = kernels | {name: (f, (types.int64,) * count) for name, (f, count) in exported.items()}
    print(f"part 0 {len(functions)}", flush=True)
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=isa.cpu, features=isa.features, opt=3, reloc="pic", codemodel="small"
    )
    made: dict[str, bytes] = {}

    def compiled(name):
        function, signature = functions[name]
        module = _module(llvm, name, function, signature, name in exported)
        if name.partition(".")[0] in EMITTED_TWICE:
            machine.emit_object(module)
        return name, bytes(module.as_bitcode())

    processes = min(MOST_PROCESSES, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    for name, bitcode in shared_out(
        compiled, sorted(functions, key=lambda n: n.partition(".")[0] not in HEAVY), processes
    ):
        made[name] = bitcode
        print(f"part {len(made)} {len(functions)}", flush=True)
    return _emitted(llvm, machine, [made[name] for name in functions])


def _emitted(llvm, machine, bitcodes) -> bytes:
    """One object of all modules, without what none of them exports or calls."""
    from . import futex
    from .target import ARCHITECTURE

    merged = llvm.parse_assembly("")
    for bitcode in bitcodes:
        merged.link_in(llvm.parse_bitcode(bitcode))
    if ARCHITECTURE == "aarch64":
        merged.link_in(llvm.parse_assembly(futex.DEFINED))
        merged.get_function(futex.FUTEX).linkage = "internal"
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(merged, builder)
    passes.run(merged, builder)
    return bytes(machine.emit_object(merged))


def _function(kernel: KernelRow) -> Any:
    """The numba function that a row names."""
    module, name = kernel.function.split(".")
    return getattr(import_module(f"{__package__}.{module}"), name)


# What a function that Python enters does around its work: the caller's floating point mode (flush to zero, rounding) is
# put by, and
# put back. The usual mode of x86 is 0x1F80, that of Arm 0. Kernels run within such a function.
_MODES = {
    "x86_64": (
        "declare void @llvm.x86.sse.stmxcsr(ptr)\ndeclare void @llvm.x86.sse.ldmxcsr(ptr)\n",
        "  %m = alloca i32\n  %u = alloca i32\n  store i32 8064, ptr %u\n"
        "  call void @llvm.x86.sse.stmxcsr(ptr %m)\n  call void @llvm.x86.sse.ldmxcsr(ptr %u)\n",
        "  call void @llvm.x86.sse.ldmxcsr(ptr %m)\n",
    ),
    "aarch64": (
        "declare i64 @llvm.aarch64.get.fpcr()\ndeclare void @llvm.aarch64.set.fpcr(i64)\n",
        "  %m = call i64 @llvm.aarch64.get.fpcr()\n  call void @llvm.aarch64.set.fpcr(i64 0)\n",
        "  call void @llvm.aarch64.set.fpcr(i64 %m)\n",
    ),
}


def _module(llvm, name, function, signature, entered):
    """The LLVM module of one kernel, with one exported function `qglow_NAME` of plain int64 arguments. entered: by
    Python, see _MODES."""
    from numba import types

    from .target import ARCHITECTURE

    function.compile(signature)
    compiled = function.overloads[signature]
    entry, text = compiled.fndesc.llvm_func_name, _optimized(compiled.library)
    if EXCEPTION in text:
        raise RuntimeError(f"kernel {name} can raise an exception, which would end it early without a word; see jit.py")
    module = llvm.parse_assembly(text)
    count = sum(len(t) if isinstance(t, types.BaseTuple) else 1 for t in signature)
    numbers = ", ".join(f"i64 %{k}" for k in range(count))
    kinds = ", ".join(["ptr", "ptr", *["i64"] * count])
    declared, before, after = _MODES.get(ARCHITECTURE, ("", "", "")) if entered else ("", "", "")
    module.link_in(llvm.parse_assembly(
        f'declare i32 @"{entry}"({kinds})\n{declared}'
        f"define void @qglow_{name}({numbers}) {{\n  %r = alloca i64\n  %e = alloca ptr\n{before}"
        f'  %s = call i32 @"{entry}"(ptr %r, ptr %e, {numbers})\n{after}  ret void\n}}\n'
    ))  # fmt: skip
    own = [
        f for f in (*module.functions, *module.global_variables) if not f.is_declaration and f.name != f"qglow_{name}"
    ]
    for k, f in enumerate(own):
        f.linkage = "internal"
        f.name = f"{name}.{k}"
    return module


if __name__ == "__main__":
    die_with(int(sys.argv[3]))
    main(sys.argv[1], int(sys.argv[2]), "--emulate" in sys.argv)
