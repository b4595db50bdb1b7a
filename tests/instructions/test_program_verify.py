"""The verifier names what is broken, and lets nothing through that would touch memory which is not an instruction's
own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import shared_models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutable_program import MutableProgram, MutableStep, changed
from program_graphs import Net, boundary_net, feeds_of, nets
from test_meaning import FORMS, quantized
from three_engines import Guarded, static, step_by_step

import qglow
from qglow.errors import ModelError, QGlowError, VerifyError
from qglow.graph import Graph
from qglow.instructions import barriers, verify_memory
from qglow.instructions.interpret import Interpreter
from qglow.instructions.lower import lower, lower_observed
from qglow.instructions.program import HostCall, Instruction, Program
from qglow.instructions.prove import is_quick
from qglow.instructions.table import INSTRUCTIONS
from qglow.instructions.text import check_program_text
from qglow.instructions.verify import verify_program
from qglow.instructions.verify_fields import RANGES, field_faults
from qglow.runtime import InferenceSession
from qglow.targets import choose


def program_of(graph: Graph, isa: str = "avx2") -> Program:
    return lower(static(graph, feeds_of(graph, np.random.default_rng(0))), isa)


@pytest.fixture
def program() -> Program:
    return program_of(boundary_net())


def find(program: MutableProgram, kind: str) -> MutableStep:
    return program.instructions(kind)[0]


def set_field(kind: str, name: str, value: Any) -> Callable[[MutableProgram], object]:
    def change(p: MutableProgram) -> None:
        find(p, kind).fields[name] = value

    return change


def add_nothing(p: MutableProgram) -> None:
    """A residual sum, of a residual that is not there."""
    fields = find(p, "conv2d").fields
    fields["post"], fields["a_zero"] = 1, fields["zero"]


def move_operand(kind: str, name: str, by: int) -> Callable[[MutableProgram], object]:
    def change(p: MutableProgram) -> None:
        operands = find(p, kind).operands
        operands[name] = (operands[name][0], operands[name][1] + by)

    return change


def drop(kind: str, part: str, name: str) -> Callable[[MutableProgram], object]:
    def change(p: MutableProgram) -> None:
        del getattr(find(p, kind), part)[name]

    return change


def remove_step(kind: str) -> Callable[[MutableProgram], object]:
    def change(p: MutableProgram) -> None:
        """A fill of no bytes in its place."""
        step = find(p, kind)
        p.steps[p.steps.index(step)] = MutableStep("fill", {"y": step.operands["y"]}, {}, {"C": 0, "value": 0}, {}, "")

    return change


def alias(kind: str, a: str, b: str) -> Callable[[MutableProgram], object]:
    def change(p: MutableProgram) -> None:
        find(p, kind).operands[a] = find(p, kind).operands[b]

    return change


def buffer_of(kind: str, operand: str, **changes: int) -> Callable[[MutableProgram], object]:
    def change(p: MutableProgram) -> None:
        buffer = p.buffer(find(p, kind), operand)
        for name, value in changes.items():
            setattr(buffer, name, value)

    return change


def overlap(p: MutableProgram) -> None:
    step = find(p, "conv2d")
    p.buffer(step, "y").offset = p.buffer(step, "x").offset


def other_buffer(p: MutableProgram) -> None:
    find(p, "conv2d").operands["y"] = (len(p.buffers), 0)


BROKEN: list[tuple[Callable[[MutableProgram], object], str]] = [
    (set_field("conv2d", "H", 6), r"step `\d+: conv2d @in x=b\d.*`: x: expected bytes within the \d+ bytes of its "
                                  r"buffer, got \[0, \d+\)"),
    (set_field("conv2d", "KH", 4), r"conv2d .*x: expected bytes within"),
    (set_field("conv2d", "C", 7), r"conv2d .*`: (y|w|bias): expected bytes within"),
    (set_field("conv2d", "C", 60), r"conv2d .*`: w: expected bytes within the \d+ bytes of its constant"),
    (set_field("conv2d", "run", -1), r"conv2d .*run: expected 0 to \d+, got -1"),
    (set_field("conv2d", "zero", 256), r"conv2d .*zero: expected 0 to 255, got 256"),
    (set_field("conv2d", "low", 255), r"conv2d .*expected low of at most high, 254, got 255"),
    (set_field("conv2d", "post", 1), r"conv2d .*expected a_zero to be the product's own zero, \d+, got 0"),
    (add_nothing, r"conv2d .*expected operand r, got none"),
    (set_field("conv2d", "post", 2), r"conv2d .*expected operand table, got none"),
    (set_field("conv2d", "post", 3), r"conv2d .*post: expected 0 to 2, got 3"),
    (set_field("conv2d", "y_w", 5), r"conv2d .*expected each byte of y to be written once, got some twice"),
    (set_field("conv2d", "N", 1.5), r"conv2d .*N: expected an integer, got 1.5"),
    (set_field("conv2d", "more", 1), r"conv2d .*expected no field more"),
    (set_field("quantize", "f_scale", float("nan")), r"quantize .*f_scale: expected a finite float32, got nan"),
    (set_field("quantize", "f_scale", 0.0), r"quantize .*f_scale: expected a positive scale, got 0.0"),
    (set_field("quantize", "f_scale", 0.1), r"quantize .*f_scale: expected a finite float32, got 0.1"),
    (set_field("quantize", "P", 8), r"quantize .*expected P within 3 of C, 3, got 8"),
    (set_field("quantize", "x_c", -80),
    r"quantize .*x: expected bytes within the 240 bytes of its buffer, got \[-160, "),
    (drop("conv2d", "fields", "SH"), r"conv2d .*expected field SH, got none"),
    (drop("conv2d", "operands", "x"), r"conv2d .*expected operand x, got none"),
    (drop("conv2d", "operands", "scratch"), r"conv2d .*expected operand scratch, got none"),
    (drop("conv2d", "constants", "bias"), r"conv2d .*expected operand bias, got none"),
    (set_field("halo", "y_w", -4), r"halo .*y.left: expected sizes of at least 0, got \[1, 5, -4\]"),
    (move_operand("conv2d", "y", 1), r"conv2d .*y: expected bytes within the"),
    (move_operand("conv2d", "x", -1), r"conv2d .*x: expected bytes within the"),
    (remove_step("halo"), r"conv2d .*expected x to be written before it is read, got \d+ bytes that nothing wrote"),
    (remove_step("dequantize"), r"host .*expected 'dequantize' to be written before it is read"),
    (alias("conv2d", "y", "x"), r"conv2d .*expected y apart from what is read, got bytes that x has too"),
    (overlap, r"buffers b\d+ and b\d+: expected apart while both live, got \["),
    (other_buffer, r"conv2d .*y: expected one of the program's \d+ buffers, got b\d+"),
    (buffer_of("conv2d", "y", offset=-64), r"buffer b\d+: expected it aligned and within the \d+ bytes of the arena, "
                                           r"got \[-64"),
    (buffer_of("conv2d", "y", offset=257), r"buffer b\d+: expected it aligned"),
    (buffer_of("conv2d", "x", last=1), r"conv2d .*x: expected a buffer that lives, got one of steps 0 to 1"),
    (buffer_of("conv2d", "y", first=99), r"buffer b\d+: expected to live between steps 0 and \d+, got 99 to"),
    (lambda p: setattr(p, "arena_size", p.arena_size - 256), r"expected 64 bytes of the arena behind it|within the \d+ "
                                                             r"bytes of the arena"),
    (lambda p: setattr(p, "isa", "sse9"), r"expected an instruction set of .*, got 'sse9'"),
    (lambda p: p.constant_pool.pop(), r"expected \d+ bytes of constants, got \d+"),
    (lambda p: p.places.pop("dequantize"), r"host .*expected a place for 'dequantize', got none"),
    (lambda p: p.places.pop("x0"), r"value 'x0': expected a place, got none"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), BROKEN, ids=[words[:40] for _, words in BROKEN])
def test_what_is_broken_is_named(program: Program, change: Callable[[MutableProgram], object], words: str) -> None:
    verify_program(program)
    assert is_quick(program)
    if "low of at most" in words:
        program = changed(program, set_field("conv2d", "high", 254))
    program = changed(program, change)
    assert not is_quick(program)
    with pytest.raises(VerifyError, match=words) as caught:
        verify_program(program)
    assert "\n" not in str(caught.value)


def test_an_output_that_nothing_writes_is_named() -> None:
    net = Net()
    program = program_of(net.graph(net.conv(net.table(net.input(1, 3, 5, 4)), 6, (1, 1))))
    verify_program(program)
    program = changed(program, remove_step("conv2d"))
    assert not is_quick(program)
    with pytest.raises(VerifyError, match=r"expected output 'conv' to be written whole by the end"):
        verify_program(program)


def test_faults_are_collected(program: Program) -> None:
    program = changed(changed(program, set_field("conv2d", "H", 6)), set_field("add", "zero", -1))
    with pytest.raises(
        VerifyError,
        match=r"breaks 3 invariants: .*conv2d.*x: .*conv2d.*y: .*; step `.*add.*zero: expected 0 to 255, got -1",
    ):
        verify_program(program, simulate=False)


def test_a_missing_barrier_is_found(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barriers._Uses, "wait", lambda uses, step: False)
    with pytest.raises(
        VerifyError, match=r"conv2d .*expected a barrier between step \d+, which writes x, and this one, which reads it"
    ):
        verify_program(program)


def test_missing_barriers_before_writes_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A buffer used again: the second writer must wait for the first one's readers."""
    net = Net()
    x = net.input(1, 4, 8, 8)
    for _ in range(6):
        x = net.conv(x, 4, (1, 1))
    graph = net.graph(x)
    verify_program(program_of(graph))
    right = barriers.written_out
    monkeypatch.setenv("QGLOW_VERIFY", "1")  # so that what is asked below is the first that looks
    missing: set[str] = set()
    for k in range(5):
        monkeypatch.setattr(verify_memory, "written_out", lambda p, k=k: [f and j != k for j, f in enumerate(right(p))])
        with pytest.raises(VerifyError) as caught:
            verify_program(program_of(graph))
        missing |= {verb for verb in ("which reads it", "which reads bytes of y") if verb in str(caught.value)}
    assert missing == {"which reads it", "which reads bytes of y"}


def test_in_place_is_legal_where_the_kind_allows_it() -> None:
    net = Net()
    x = net.table(net.input(2, 5, 4, 3))
    program = program_of(net.graph(net.table(x)))
    second = program.steps[1]
    assert isinstance(second, Instruction) and second.operands["y"] == second.operands["x"]
    assert program.places["lookup.1"] == program.places["lookup"]
    verify_program(program)
    step_by_step(program, net.feeds(), 1)

    def turn(p: MutableProgram) -> None:
        p.instructions()[1].fields |= {"x_w": 5, "y_w": 10}

    program = changed(program, turn)
    with pytest.raises(VerifyError, match=r"lookup .*expected"):
        verify_program(program)


def test_every_field_has_a_range() -> None:
    """Strides, tables' steps and floats have rules of their own; a field that no rule names is a stride."""
    for kind in INSTRUCTIONS.values():
        for name in kind.fields:
            stride = "_" in name or (len(name) == 2 and name[0] in "xyt")
            assert name in RANGES or name in ("op", "item", "bits") or name.startswith("f_") or stride, (
                f"{kind.name}: {name}"
            )


VALUES = (-(2**62), -4097, -1, 0, 1, 2, 3, 7, 64, 255, 256, 4096, 2**31, 2**62)


def mutations(program: MutableProgram, draw: Any) -> str:
    """Change one number of a program; what was changed."""
    k = draw(st.sampled_from(range(len(program.instructions()))))
    step = program.instructions()[k]
    where = draw(st.sampled_from(["fields", "fields", "operands", "constants"]))
    table: dict[str, Any] = getattr(step, where)
    if not table:
        return "nothing"
    name = draw(st.sampled_from(sorted(table)))
    old = table[name]
    if where == "operands":
        buffer, at = old
        table[name] = (buffer, at + draw(st.sampled_from([-64, -1, 1, 3, 64, 10**6]))) if buffer is not None else (0, 0)
    elif isinstance(old, float):
        table[name] = draw(st.sampled_from([0.0, -1.0, 1e30, float("inf"), float("nan"), old * 2]))
    else:
        table[name] = draw(st.sampled_from([*VALUES, int(old) + 1, int(old) - 1, int(old) * 2, -int(old)]))
    return f"instruction {k} {step.kind}: {name} {old} -> {table[name]}"


def holds(program: Program, feeds: dict[str, Any]) -> bool:
    """Whether a program is refused; else kernels and meaning alike must write their outputs' bytes and no others.

    NOTE: values may differ: a scale that is a bias makes sums that no integer holds.
    """
    quick = is_quick(program)
    try:
        verify_program(program)
    except VerifyError as error:
        assert not quick, f"what the exact verifier refuses is proven: {error}"
        return True
    law = Interpreter(program, check=True)
    with np.errstate(all="ignore"), suppress(ModelError):  # data that a changed number makes an error: kernels go on
        law.run(feeds)
    plan = Guarded(program, 2)
    for name, array in feeds.items():
        plan._views[name][...] = array
    for number, step in enumerate(program.steps):
        before = plan.arena.copy()
        plan.step(step)
        plan.check_guards(f"step {number}")
        if isinstance(step, Instruction):
            assert not ((before != plan.arena) & ~law.writes(step)).any(), (
                f"step {number} ({step.kind}) writes beyond its outputs"
            )
    return False


@pytest.mark.parametrize("name", FORMS)
def test_mutated_programs_are_refused_or_harmless(name: str) -> None:
    """One number at a time of a program that reaches a kind: no kernel may leave its operands unseen."""
    net = Net()
    graph = net.graph(*FORMS[name][1](net))
    feeds, isa = net.feeds(), choose()[0].name
    refused = [0]

    @settings(max_examples=20, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def mutate(data: Any) -> None:
        program = changed(lower(static(graph, feeds), isa), lambda p: mutations(p, data.draw))
        refused[0] += holds(program, feeds)

    mutate()
    assert refused[0] > 5


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(nets(), st.data())
def test_mutated_grown_programs_are_refused_or_harmless(made: tuple[Graph, int], data: Any) -> None:
    graph, seed = made
    feeds = feeds_of(graph, np.random.default_rng(seed))
    program = lower(static(graph, feeds), choose()[0].name)
    if any(isinstance(s, Instruction) for s in program.steps):
        holds(changed(program, lambda p: mutations(p, data.draw)), feeds)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(nets(), st.data())
def test_plans_that_are_moved_are_refused_or_right(made: tuple[Graph, int], data: Any) -> None:
    """A buffer somewhere else: refused, or the outputs are the same."""
    graph, seed = made
    feeds = feeds_of(graph, np.random.default_rng(seed))
    program = lower(static(graph, feeds), choose()[0].name)
    want = Guarded(program, 2).run(feeds)
    k = data.draw(st.sampled_from(range(len(program.buffers))))
    name = data.draw(st.sampled_from(["offset", "first", "last", "size"]))
    by = data.draw(st.sampled_from([-128, -64, -1, 1, 64, 128, 10**6]))
    program = changed(program, lambda p: setattr(p.buffers[k], name, getattr(p.buffers[k], name) + by))
    quick = is_quick(program)
    try:
        verify_program(program)
    except VerifyError as error:
        assert not quick, f"what the exact verifier refuses is proven: {error}"
        return
    got = Guarded(program, 2).run(feeds)
    for key, array in want.items():
        assert np.array_equal(got[key], array, equal_nan=array.dtype.kind == "f")


def test_steps_in_another_order_are_refused_or_right(digits: Any) -> None:
    data = [{"image": np.load(digits / f"{k:03d}.npy")} for k in range(2)]
    graph = quantized(digits / "model.onnx", data)
    program = lower(static(graph, data[0]), choose()[0].name)
    want = Guarded(program, 2).run(data[0])
    refused = 0
    for k in range(len(program.steps) - 1):
        steps = list(program.steps)
        steps[k], steps[k + 1] = steps[k + 1], steps[k]
        other = program._replace(steps=tuple(steps))
        quick = is_quick(other)
        try:
            verify_program(other)
        except VerifyError:
            assert not quick
            refused += 1
            continue
        got = Guarded(other, 2).run(data[0])
        assert all(np.array_equal(got[n], want[n]) for n in want)
    assert refused >= len(program.steps) // 2


@pytest.mark.parametrize("level", ["0", "1", "2"])
def test_sessions_prove_their_plans_at_every_level(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    graph = net.graph(net.table(net.table(net.input(1, 4, 8, 8))))
    monkeypatch.setattr(barriers._Uses, "wait", lambda uses, step: False)
    monkeypatch.setenv("QGLOW_VERIFY", level)
    with pytest.raises(QGlowError, match="expected a barrier"):
        InferenceSession(graph, 1).run(None, net.feeds())


def test_plans_that_calibrate_are_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that is looked at must be whole then, and still be there."""
    net = Net()
    x = net.input(1, 4, 8, 8)
    y = net.table(x)
    graph = net.graph(net.table(y))
    program = lower_observed(static(graph, net.feeds()), choose()[0].name, [y])
    assert is_quick(program)
    verify_program(program)
    check_program_text(program)
    (moment,) = program.moments
    program = program._replace(moments={moment - 1: (y,)})
    assert not is_quick(program)
    with pytest.raises(VerifyError, match="expected output .* to be written whole when|expected to live when"):
        verify_program(program)


@pytest.mark.parametrize("level", ["1", "2"])
def test_profiles_are_made_at_every_level(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    graph = net.graph(net.table(net.table(net.input(1, 4, 8, 8))))
    feeds = net.feeds()
    plain = qglow.profile(graph, [feeds])
    monkeypatch.setenv("QGLOW_VERIFY", level)
    assert qglow.profile(graph, [feeds]).to_json() == plain.to_json()


def test_fields_alone(program: Program) -> None:
    for step in program.steps:
        assert isinstance(step, HostCall) or not field_faults(step)
    assert field_faults(Instruction("nothing", {}, {}, {})) == [
        "expected a kind of the instruction table, got 'nothing'"
    ]


@pytest.mark.parametrize("name", shared_models.with_made(
    ["cifar10_resnet20", "mlperftiny_vww_mobilenet025", "lprnet", "yunet_n_320", "mobilefacenet"]))  # fmt: skip
def test_real_models_are_proven(name: str) -> None:
    data = shared_models.feeds(name, 1)
    graph = quantized(shared_models.path(name), data)
    for isa in ("amx", "avx512_vnni", "avx2"):
        program = verify_program(lower(static(graph, data[0]), isa))
        assert is_quick(program), "proven only by the exact verifier, which takes long"
