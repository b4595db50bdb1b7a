"""Exact text form of a planned program: with its graph and its constants' bytes it parses back equal.

    program "net" for avx2: arena 8192 bytes, constants 1024 bytes @sha256:...
    buffer b0: 768 bytes, steps 0 to 3, at 256
    value %x: f32[1,3,8,8] b0+0, strides [768,256,32,4]
    value %y: u8[1,3,8,8] b1+33, strides [300,1,30,3], border [1,1,1,1]
    value %w: u8[64] constants+512, strides [1]
    seen %"y" after 1 steps
    0: quantize @in x=b0+0 @out y=b1+33 N=1 H=8 W=8 C=3 ... f_scale=0.5 -> %"x.q"
    1: conv2d @kernel conv2d @in x=b1+0 @out y=b2+0 @scratch scratch @const w=0 @const bias=512 ... -> %"y"
    2: host "Softmax_1"

A buffer is named by its place in the list; an operand is a buffer and bytes into it, a constant bytes into the
constants. `seen` says when an output is looked at that is not looked at in the end. Behind `->` stands the value that
an instruction helps to make; what follows ` ; ` on a line is for people.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from math import prod
from types import MappingProxyType

from ..errors import ModelError, one_line
from ..graph import DType, Graph
from ..graph.text import print_graph
from .layout import Layouts
from .program import (
    CONSTANTS,
    Buffer,
    ConstantData,
    HostCall,
    Instruction,
    Program,
    Step,
    TensorView,
    bytes_of,
    instruction,
)
from .table import INSTRUCTIONS

_INTS = r"\[(?:-?\d+(?:,-?\d+)*)?\]"
_HEADER = re.compile(r'program (".*") for (\w*): arena (\d+) bytes, constants (\d+) bytes @sha256:([0-9a-f]+)$')
_BUFFER = re.compile(r"buffer b(\d+): (\d+) bytes, steps (-?\d+) to (-?\d+), at (-?\d+)$")
_VALUE = re.compile(
    rf'value %(".*"): (\w+)({_INTS}) (b\d+|constants)\+(-?\d+), strides ({_INTS})(?:, border ({_INTS}))?$'
)
_SEEN = re.compile(r'seen %(".*") after (\d+) steps$')
_STEP = re.compile(r"(\d+): (\w+) ?(.*)$")
_WORD = re.compile(
    r"@(in|out|inout|const|hint) (\w+)=(\S+)(?: |$)|@scratch (\w+)(?: |$)|@kernel ([\w.]+)(?: |$)|(\w+)=(\S+)(?: |$)"
)
_OPERAND = re.compile(r"(b\d+)\+(-?\d+)$")
_LARGEST = 1 << 62  # of a number: sums of two are still words of 64 bits


def print_program(program: Program) -> str:
    """The program's text."""
    size, digest = program.constant_pool_size, _digest(program.constant_pool)
    head = (
        f"program {json.dumps(program.graph.name)} for {program.isa}: arena {program.arena_size} bytes, constants "
        f"{size} bytes"
    )
    steps = [_step(k, s) for k, s in enumerate(program.steps)]
    seen = [
        f"seen %{json.dumps(name)} after {k} steps" for k, looked_at in program.moments.items() for name in looked_at
    ]
    return "\n".join([f"{head} @sha256:{digest}", *_buffers(program), *_values(program), *seen, *steps]) + "\n"


def print_stage(made: Graph | Layouts | Program) -> str:
    """The text of what a stage of code generation makes."""
    if isinstance(made, Program):
        return print_program(made)
    if isinstance(made, Graph):
        return print_graph(made)
    lines = [
        f"image %{json.dumps(v)}{f' border {_ints(made.halos[v])}' if v in made.halos else ''}"
        for v in sorted(made.images)
    ]
    lines += [
        f"slot %{json.dumps(v)} in %{json.dumps(s.parent)}, axis {s.axis} from {s.first}"
        for v, s in sorted(made.slots.items())
    ]
    return "\n".join(lines) + "\n"


def print_plan(program: Program) -> str:
    """Where the buffers lie: one line each by address, with the values that they hold."""
    held: dict[int, list[str]] = {}
    for value, place in program.places.items():
        held.setdefault(place.buffer, []).append(value)
    rows = sorted(enumerate(program.buffers), key=lambda row: (row[1].offset, row[1].first))
    lines = [
        f"{b.offset:>10d} {b.size:>10d} bytes, steps {b.first} to {b.last}: b{k} {', '.join(held.get(k, ['a copy']))}"
        for k, b in rows
    ]
    return "\n".join([f"arena {program.arena_size} bytes", *lines]) + "\n"


def print_step(number: int, program: Program) -> str:
    """One step's line."""
    return _step(number, program.steps[number])


def _digest(constant_pool: Sequence[ConstantData]) -> str:
    h = hashlib.sha256()
    for data in bytes_of(constant_pool):
        h.update(data)
    return h.hexdigest()[:32]


def _buffers(program: Program) -> list[str]:
    return [
        f"buffer b{k}: {b.size} bytes, steps {b.first} to {b.last}, at {b.offset}"
        for k, b in enumerate(program.buffers)
    ]


def _ints(values: tuple[int, ...]) -> str:
    return "[" + ",".join(str(int(v)) for v in values) + "]"


def _values(program: Program) -> list[str]:
    lines = []
    for value, p in program.places.items():
        border = f", border {_ints(p.halo)}" if any(p.halo) else ""
        where = f"{'constants' if p.buffer == CONSTANTS else f'b{p.buffer}'}+{p.start}"
        dtype = DType.of(p.dtype).value
        lines.append(f"value %{json.dumps(value)}: {dtype}{_ints(p.shape)} {where}, strides {_ints(p.strides)}{border}")
    return lines


def _step(number: int, step: Step) -> str:
    if isinstance(step, HostCall):
        reason = f" {json.dumps(step.reason)}" if step.reason else ""
        return f"{number}: host {json.dumps(step.node.name)}{reason} ; {step.node.op}"
    kind = INSTRUCTIONS.get(step.kind)
    order = kind.words if kind is not None else ()
    words = {}
    for name, (buffer, at) in step.operands.items():
        words[name] = f"@scratch {name}" if buffer is None else f"@{_access(step.kind, name)} {name}=b{buffer}+{at}"
    words |= {name: f"@const {name}={at}" for name, at in step.constants.items()}
    words |= {
        name: f"{name}={float(value)!r}" if isinstance(value, float) else f"{name}={int(value)}"
        for name, value in step.fields.items()
    }
    words |= {name: f"@hint {name}={value}" for name, value in step.hints.items()}
    known = [words[n] for n in order if n in words]
    label = [f"-> %{json.dumps(step.label)}"] if step.label else []
    kernel = [f"@kernel {step.kernel}"] if step.kernel else []
    return " ".join(
        [f"{number}: {step.kind}", *kernel, *known, *(w for n, w in words.items() if n not in order), *label]
    )


def _access(kind: str, name: str) -> str:
    k = INSTRUCTIONS.get(kind)
    if k is None or name not in k.outs:
        return "in"
    return "inout" if name in k.ins else "out"


def parse_program(text: str, constant_pool: Sequence[ConstantData], graph: Graph) -> Program:
    """The program of a text. blob: the constants' bytes in pieces. graph: the static graph that its host steps are
    nodes of.

    Raises ModelError with the line's number.
    """
    return _Parser(text, constant_pool, graph).program()


class _Parser:
    def __init__(self, text: str, constant_pool: Sequence[ConstantData], graph: Graph) -> None:
        self.lines, self.graph = text.splitlines(), graph
        self.constant_pool, self.constant_pool_size = tuple(constant_pool), sum(map(len, constant_pool))
        self.nodes = {n.name: n for n in graph.nodes}
        self.isa, self.arena_size, self.headed = "", 0, False
        self.buffers: list[Buffer] = []
        self.places: dict[str, TensorView] = {}
        self.steps: list[Step] = []
        self.moments: dict[int, tuple[str, ...]] = {}

    def program(self) -> Program:
        for number, line in enumerate(self.lines, 1):
            try:
                if line.strip() and not line.startswith(";"):
                    self.line(line.rstrip())
            except (ValueError, KeyError, IndexError) as error:
                what = error.args[0] if error.args else "malformed"
                raise ModelError(f"program text, line {number}: {what}: {one_line(line, 120)}") from error
        if not self.headed:
            raise ModelError("program text, line 1: expected `program NAME for ISA: ...`, got nothing")
        return Program(
            self.graph, self.isa, tuple(self.steps), MappingProxyType(self.places), tuple(self.buffers),
            self.constant_pool,
            self.constant_pool_size, self.arena_size, MappingProxyType(self.moments))  # fmt: skip

    def line(self, line: str) -> None:
        if not self.headed:
            self.header(line)
        elif line.startswith("buffer "):
            self.buffer(line)
        elif line.startswith("value "):
            self.value(line)
        elif line.startswith("seen "):
            self.seen(line)
        else:
            self.step(line)

    def header(self, line: str) -> None:
        _, self.isa, arena, constants, digest = _match(
            _HEADER, line, "`program NAME for ISA: arena N bytes, constants N bytes @sha256:HASH`"
        )
        if _int(constants) != self.constant_pool_size or digest != _digest(self.constant_pool):
            raise ValueError(
                f"expected constants of {constants} bytes with this hash, got {self.constant_pool_size} bytes of "
                "another"
            )
        self.arena_size, self.headed = _int(arena), True

    def buffer(self, line: str) -> None:
        number, size, first, last, at = _match(_BUFFER, line, "`buffer bN: N bytes, steps N to N, at N`")
        if _int(number) != len(self.buffers):
            raise ValueError(f"expected buffer b{len(self.buffers)}, got b{number}")
        self.buffers.append(Buffer(_int(size), _int(first), _int(last), _int(at)))

    def value(self, line: str) -> None:
        name, kind, shape, buffer, at, strides, border = _match(
            _VALUE, line, "`value %NAME: KIND[...] bN+N, strides [...]`"
        )
        key = json.loads(name)
        if key in self.places:
            raise ValueError(f"value {key!r} has a place already")
        dims, steps, halo = (
            tuple(map(_int, re.findall(r"-?\d+", part or ""))) for part in (shape, strides, border or "[0,0,0,0]")
        )
        if len(dims) != len(steps) or len(halo) != 4:
            raise ValueError(f"expected {len(dims)} strides and four borders, got {len(steps)} and {len(halo)}")
        if min(dims, default=0) < 0 or prod(dims) > _LARGEST:
            raise ValueError(f"expected sizes of at least 0, {_LARGEST} elements at most, got {list(dims)}")
        dtype = DType(kind).numpy.str
        self.places[key] = TensorView(
            self.named(buffer), _int(at), dims, steps, dtype, (halo[0], halo[1], halo[2], halo[3])
        )

    def seen(self, line: str) -> None:
        name, count = _match(_SEEN, line, "`seen %NAME after N steps`")
        self.moments[_int(count)] = (*self.moments.get(_int(count), ()), json.loads(name))

    def named(self, name: str) -> int:
        if name == "constants":
            return CONSTANTS
        if not _int(name[1:]) < len(self.buffers):
            raise ValueError(f"expected a buffer that is declared above, got {name}")
        return _int(name[1:])

    def step(self, line: str) -> None:
        number, kind, rest = _match(_STEP, line, "`N: KIND ...`")
        if _int(number) != len(self.steps):
            raise ValueError(f"expected step {len(self.steps)}, got {number}")
        if kind == "host":
            self.steps.append(self.host(rest))
        elif kind not in INSTRUCTIONS:
            raise ValueError(f"expected a kind of instruction or host, got {kind}")
        else:
            self.steps.append(self.native(kind, rest))

    def host(self, rest: str) -> HostCall:
        read, reason = json.JSONDecoder().raw_decode, ""
        name, end = read(rest)
        if rest[end:].startswith(' "'):
            reason, end = read(rest, end + 1)
        if name not in self.nodes or (rest[end:] and not rest[end:].startswith(" ; ")):
            raise ValueError(f"expected the name of one of the graph's nodes, got {rest[:60]}")
        return HostCall(self.nodes[name], reason)

    def native(self, kind: str, rest: str) -> Instruction:
        operands: dict[str, tuple[int | None, int]] = {}
        fields: dict[str, int | float] = {}
        constants: dict[str, int] = {}
        hints: dict[str, int] = {}
        label, kernel, at = "", "", 0
        while at < len(rest) and not rest.startswith("; ", at):
            if rest.startswith("-> %", at):
                label, at = json.JSONDecoder().raw_decode(rest, at + 4)
                at += 1
                continue
            found = _WORD.match(rest, at)
            if found is None:
                raise ValueError(f"expected an operand or a field, got {rest[at : at + 30]!r}")
            at = found.end()
            access, operand, where, scratch, chosen, field, value = found.groups()
            if chosen:
                kernel = chosen
                continue
            name = operand or scratch or field
            if any(name in known for known in (operands, constants, fields, hints)):
                raise ValueError(f"{name} is there twice")
            if field:
                fields[name] = float(value) if name.startswith("f_") else _int(value)
            elif access in ("const", "hint"):
                (constants if access == "const" else hints)[name] = _int(where)
            else:
                operands[name] = self.operand(kind, name, access, where)
        return instruction(kind, operands, constants, fields, hints, label, kernel)

    def operand(self, kind: str, name: str, access: str | None, where: str | None) -> tuple[int | None, int]:
        if where is None or access is None:
            return None, 0
        if access != _access(kind, name):
            raise ValueError(f"expected @{_access(kind, name)} {name}, got @{access}")
        buffer, at = _match(_OPERAND, where, f"a buffer and bytes into it for {name}")
        return self.named(buffer), _int(at)


def _int(text: str) -> int:
    """A whole number. Raises ValueError where it is none, or one that no word of an instruction holds."""
    value = int(text[:25])
    if abs(value) > _LARGEST:
        raise ValueError(f"expected a number of at most {_LARGEST}, got {text[:25]}")
    return value


def _match(pattern: re.Pattern[str], line: str, wanted: str) -> tuple[str, ...]:
    found = pattern.match(line)
    if found is None:
        raise ValueError(f"expected {wanted}")
    return found.groups()


def check_program_text(program: Program) -> None:
    """Raises ModelError where the printed program does not parse back equal."""
    text = print_program(program)
    again = parse_program(text, program.constant_pool, program.graph)
    if again != program:
        pairs = zip(text.splitlines(), print_program(again).splitlines(), strict=False)
        line, got = next((p for p in pairs if p[0] != p[1]), ("an equal program", "one that prints the same"))
        raise ModelError(f"the program's text does not parse back equal: expected {line!r}, got {got!r}")
