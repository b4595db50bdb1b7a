"""Sessions whose inputs grow by one from call to call: one program serves many lengths, with the bits of planning each
of them by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import pytest

import qglow
from qglow.errors import VerifyError
from qglow.graph import Graph
from qglow.graph.moving import Bases, NotAffine
from qglow.graph.text import parse_graph
from qglow.instructions.along import Along
from qglow.pipeline import float_graph
from qglow.reference import evaluate
from qglow.runtime.length_plan import LengthPlan, LengthTemplate
from qglow.runtime.lengths import FIRST, Pattern
from tests.models.builder import Case
from tests.models.decoders import llama
from tests.models.encoders import SIZE, WIDTH, WORDS, pre_normalized

Feeds = dict[str, Any]


@cache
def decoder() -> Graph:
    return float_graph(llama(cache=True, computed=True).model)


def asked(past: int, new: int = 1, batch: int = 1) -> Feeds:
    rng = np.random.default_rng((past, new, batch))
    cached = {
        f"past_key_values.0.{k}": rng.normal(0, 1, (batch, 2, past, SIZE)).astype(np.float32) for k in ("key", "value")
    }
    return {"input_ids": rng.integers(0, WORDS, (batch, new)), **cached}


def plan_of(session: qglow.InferenceSession, feeds: Feeds) -> Any:
    return session._plan(session._checked(feeds))


def taught(graph: Graph, start: int = 8) -> qglow.InferenceSession:
    """A session that saw three lengths in a row."""
    session = qglow.InferenceSession(graph, 1)
    for past in range(start, start + 3):
        session.run(None, asked(past))
    return session


def check(session: qglow.InferenceSession, many: Iterable[Feeds]) -> None:
    """The bits are those of a session that knows nothing else, and of the reference."""
    for feeds in many:
        got = session.run(None, feeds)
        fresh = qglow.InferenceSession(session.graph, 1).run(None, feeds)
        law = evaluate(session.graph, feeds)
        for name, a, b in zip(session.graph.outputs, got, fresh, strict=True):
            assert np.array_equal(a, b) and np.array_equal(a, law[name]), (name, feeds["input_ids"].shape)


def test_lengths_have_the_bits_of_their_own_plans() -> None:
    session = taught(decoder())
    lengths = [11, 16, 17, 64, 255, 256, 257, 13]
    check(session, map(asked, lengths))
    assert all(isinstance(plan_of(session, asked(n)), LengthPlan) for n in lengths)
    templates = session._lengths._templates
    assert [last for _, last in templates] == [2 * FIRST, FIRST] and len(session._cache) == 2
    assert session._lengths.nbytes < 1 << 20
    assert sum(plan_of(session, asked(n)).nbytes for n in lengths) < 64 * len(lengths) * FIRST


def test_lengths_take_turns_with_other_shapes_and_move_with_the_arena() -> None:
    session = taught(decoder())
    check(
        session, [asked(20), asked(0, 24), asked(21), asked(900, 40), asked(22), asked(20), asked(22, 1, 2), asked(5)]
    )
    assert isinstance(plan_of(session, asked(22)), LengthPlan)
    assert not isinstance(plan_of(session, asked(22, 1, 2)), LengthPlan)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_program_that_would_leave_its_buffers_is_not_run(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that lie about a length are refused by the proof, and the length is planned by itself."""
    session = qglow.InferenceSession(decoder(), threads)
    for past in range(8, 11):
        session.run(None, asked(past))
    (template,) = session._lengths._templates.values()
    proof, refused = template._proof, 0
    for k, moves in template.way.steps.items():
        if k not in proof.steps:
            continue
        for kind in ("fields", "offsets"):
            for name, (by, basis) in getattr(moves, kind).items():
                for wrong in (by - 1 << 20, 1 - by << 20):
                    lying = moves._replace(**{kind: {**getattr(moves, kind), name: (wrong, basis)}})
                    way = template.way._replace(steps={**template.way.steps, k: lying})
                    refused += not holds(template, way, 40)
    assert refused and holds(template, template.way, 40)
    monkeypatch.setattr(Along, "steps_at", wide(Along.steps_at))
    template._proven = None  # of numbers that did not lie
    check(session, [asked(30)])
    assert not isinstance(plan_of(session, asked(30)), LengthPlan)


def test_a_proof_of_many_lengths_says_what_a_proof_of_each_says() -> None:
    """Also of numbers that lie, some of them at some lengths alone."""
    (template,) = taught(decoder())._lengths._templates.values()
    way, lengths, said = template.way, np.arange(8, 72), set()
    assert template._proven_at_once(lengths) == {*lengths.tolist()}
    for k in template._proof.steps:
        moves = way.steps[k]
        for name, (by, basis) in [("", (0, 0)), *moves.fields.items()]:
            for wrong in (by + 1, by - 1):
                lying = moves._replace(fields={**moves.fields, name: (wrong, basis)} if name else moves.fields)
                template.way = way._replace(steps={**way.steps, k: lying})
                found = template._proven_at_once(lengths)
                for n in (8, 9, 16, 17, 40, 71):
                    assert n not in found or template._holds(n), (k, name, wrong, n)
                    said.add(n in found)
    assert said == {False, True}


def holds(template: LengthTemplate, way: Along, length: int) -> bool:
    proof = template._proof
    steps = way.steps_at(length, proof.steps)
    return proof.holds_at(steps, way.places_at(length, template.names), way.graph_at(length, template.names))


def wide(steps_at: Any) -> Any:
    def lying(way: Along, length: int, numbers: Iterable[int]) -> Any:
        return {k: s._replace(fields={**s.fields, "C": 1 << 20} if "C" in s.fields else s.fields)
                for k, s in steps_at(way, length, numbers).items()}  # fmt: skip

    return lying


def test_words_that_were_half_written_are_written_again() -> None:
    """An interrupt in the middle of a move to another length."""
    session = taught(decoder())
    (template,) = session._lengths._templates.values()
    session.run(None, asked(30))
    words, index, last, slopes = template._words[0]
    template._words.append((words, index, last, None))  # type: ignore[arg-type]
    with pytest.raises(qglow.QGlowError):
        session.run(None, asked(31))
    template._words.pop()
    check(session, [asked(30), asked(31)])


def test_a_template_is_checked_against_planning_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """QGLOW_VERIFY=2 sees a number that is wrong and stays within its buffer."""
    monkeypatch.setenv("QGLOW_VERIFY", "2")
    session, seen = taught(decoder()), set()
    (template,) = session._lengths._templates.values()
    shapes, way = {n: a.shape for n, a in asked(255).items()}, template.way
    for k in template._proof.steps:
        for name, (by, basis) in way.steps[k].fields.items():
            lying = way.steps[k]._replace(fields={**way.steps[k].fields, name: (by + 1, basis)})
            template.way = way._replace(steps={**way.steps, k: lying})
            with pytest.raises((VerifyError, NotAffine)) as error:
                template.plan(shapes, 255)
            seen.add(error.type)
    assert VerifyError in seen


def rows(n: int) -> Feeds:
    return {"x": np.random.default_rng(n).normal(0, 1, (1, n, WIDTH)).astype(np.float32)}


@pytest.mark.parametrize(
    ("case", "feeds"),
    [(lambda: pre_normalized(17), rows), (lambda: llama(cache=True, computed=True), asked),
     (lambda: llama(cache=True, computed=True), lambda n: asked(n, 3))],
)  # fmt: skip
def test_int8_products_of_two_activations(
    case: Callable[[], Case], feeds: Callable[[int], Feeds], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt that grows and a cache that grows: sizes are filled up to multiples, and strides are squares. Each
    length is planned afresh too."""
    made = case()
    graph = qglow.quantize(made.model, qglow.profile(made.model, made.seen)).graph
    session = qglow.InferenceSession(graph, 1)
    for n in (9, 10, 11):
        session.run(None, feeds(n))
    monkeypatch.setenv("QGLOW_VERIFY", "2")
    for n in (12, 15, 16, 17, 33, 63, 64, 65, 253, 12):
        (got, *_), (fresh, *_) = session.run(None, feeds(n)), qglow.InferenceSession(graph, 1).run(None, feeds(n))
        assert np.array_equal(got, fresh) and isinstance(plan_of(session, feeds(n)), LengthPlan)
    (template,) = session._lengths._templates.values()
    assert not template.way.is_straight and len(template._proven or ()) == 249


@pytest.mark.parametrize("shifts", [(0,), (0, 1), (0, 3, 7, -2)])
@pytest.mark.parametrize(("first", "last"), [(8, 256), (257, 512), (8, 69), (513, 1024)])
def test_numbers_are_told_apart_by_few_lengths(first: int, last: int, shifts: tuple[int, ...]) -> None:
    """What grows in one way is not taken for what grows in another."""
    bases = Bases((first, last), shifts)
    bases = bases._replace(lengths=bases.telling())
    assert len(bases.lengths) < 10
    lengths = range(first, last + 1)
    for k in range(len(bases.at(first))):
        by, found = bases.slope([3 * bases.at(n)[k] + 100 for n in bases.lengths])
        assert all(by * bases.grown(n)[found] == 3 * bases.grown(n)[k] for n in lengths)
    for other in ([n // 3 for n in lengths], [min(n, last - 9) for n in lengths], [n**3 for n in lengths]):
        with pytest.raises(NotAffine):
            bases.slope([other[n - first] for n in bases.lengths])


SHAPED = """
graph "shaped"
input %x: f32[1,4,P]
const %zero: i64[1] = [0]
const %two: i64[1] = [2]
const %three: i64[1] = [3]
const %c: i64[1] = [{c}]
%n: i64[3] = Shape(%x) "n"
%w: i64[1] = Slice(%n, %two, %three) "w"
%end: i64[1] = {op}(%w, %c) "end"
%part: f32[1,4,Q] = Slice(%x, %zero, %end, %two) "part"
%y: f32[1,4,Q] = Relu(%part) "y"
output %y
"""


@pytest.mark.parametrize(("op", "c"), [("Min", 100), ("Max", 30), ("Mod", 7), ("Div", 3), ("Sub", 5)])
def test_shapes_that_follow_from_a_length_otherwise_than_in_proportion(op: str, c: int) -> None:
    graph = parse_graph(SHAPED.format(c=c, op=op))
    session = qglow.InferenceSession(graph, 1)
    for n in (8, 9, 10, 11, 29, 30, 31, 99, 100, 101, 102, 200, 256, 257, 300):
        x = np.random.default_rng(n).normal(0, 1, (1, 4, n)).astype(np.float32)
        (got,) = session.run(None, {"x": x})
        end = {"Min": min(n, c), "Max": max(n, c), "Mod": n % c, "Div": n // c, "Sub": n - c}[op]
        assert np.array_equal(got, np.maximum(x[..., :end], 0))


COMPARED = """
graph "compared"
input %x: f32[1,4,P]
const %zero: i64[1] = [0]
const %two: i64[1] = [2]
const %three: i64[1] = [3]
const %odd: i64[1] = [{odd}]
%n: i64[3] = Shape(%x) "n"
%w: i64[1] = Slice(%n, %two, %three) "w"
%is: bool[1] = Equal(%w, %odd) "is"
%f: f32[1] = Cast(%is) {{"to": "float32"}} "f"
%r: f32[1,4,P] = Relu(%x) "r"
%y: f32[1,4,P] = Add(%r, %f) "y"
output %y
"""


@pytest.mark.parametrize("odd", [50, 8])
def test_constants_that_are_others_at_few_lengths(odd: int) -> None:
    """What is folded of a length may be equal at all the lengths that were lowered, and not at another."""
    session = qglow.InferenceSession(parse_graph(COMPARED.format(odd=odd)), 1)
    for n in (10, 11, 12, 49, 50, 51, 8, 9):
        x = np.random.default_rng(n).normal(0, 1, (1, 4, n)).astype(np.float32)
        (got,) = session.run(None, {"x": x})
        assert np.array_equal(got, np.maximum(x, 0) + np.float32(n == odd))
        assert n == odd or isinstance(plan_of(session, {"x": x}), LengthPlan) == (n not in (10, 11))


def test_a_pattern_is_of_dimensions_that_grow_together() -> None:
    a, b = ((1, 4, 7), (1, 8), (3,)), ((1, 4, 8), (1, 9), (3,))
    found = Pattern.between(a, b)
    assert found is not None and found.length(a) == 7 and found.length(b) == 8 and found.at(7) == a
    others = ((1, 4, 9), (1, 9), (3,)), ((1, 5, 9), (1, 10), (3,)), ((1, 4, 9), (1, 10), (4,)), ((1, 4, 9), (1, 10))
    assert all(found.length(other) is None for other in others)
    assert Pattern.between(a, ((1, 4, 9), (1, 10), (3,))) is None and Pattern.between(b, a) is None
    assert Pattern.between(a, a) is None and Pattern.between(a, ((1, 4, 8), (1, 9))) is None
