"""Union-find against the obvious: sets that are merged."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qglow.graph.classes import Classes

NUMBERS = st.integers(0, 20)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30), st.sets(NUMBERS, min_size=1))
def test_classes_are_merged_sets(pairs: list[tuple[int, int]], asked: set[int]) -> None:
    classes, sets = Classes[int](), {k: {k} for k in range(21)}
    for a, b in pairs:
        classes.join(a, b)
        merged = sets[a] | sets[b]
        sets.update(dict.fromkeys(merged, merged))
    for a in range(21):
        assert classes.find(a) in sets[a]
        assert all((classes.find(a) == classes.find(b)) == (b in sets[a]) for b in range(21))
    assert classes.beside(asked) == set().union(*(sets[k] for k in asked))


def test_what_was_never_joined_stands_alone() -> None:
    classes = Classes[str]()
    assert classes.find("a") == "a"
    assert classes.beside(["b"]) == {"b"}
    assert classes.find("a") != classes.find("b")
