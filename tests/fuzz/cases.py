"""Cases: what is given to qglow, by kind; each is a function of a seed and a number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

from . import array_files, bundles, documents, graph_text, onnx_models, pictures, programs
from .corpus import Corpus
from .draws import Draws

WEIGHTS = {"bundle": 34, "text": 16, "program": 16, "onnx": 12, "profile": 6, "toml": 6, "picture": 5, "array": 5}
KINDS = tuple(WEIGHTS)


@dataclass(frozen=True)
class Case:
    """kind: of DTYPES. name: of the file, its suffix says the format. data: the file's bytes."""

    kind: str
    name: str
    data: bytes


def kind_of(seed: int, number: int, kinds: tuple[str, ...] = KINDS) -> str:
    return Random(f"kind {seed} {number}").choices(kinds, [WEIGHTS[k] for k in kinds])[0]


def make(kind: str, draws: Draws, corpus: Corpus) -> Case:
    return Case(kind, *MAKERS[kind](draws, corpus))


@cache
def _names(corpus: Corpus, kind: str) -> list[str]:
    return corpus.names(kind)


def _base(draws: Draws, corpus: Corpus, kind: str) -> tuple[str, bytes]:
    name = draws.pick(_names(corpus, kind))
    return name, corpus.read(f"{kind}/{name}")


def _bundle(draws: Draws, corpus: Corpus) -> tuple[str, bytes]:
    name, whole = _base(draws, corpus, "bundle")
    return name, bundles.mutant(whole, draws)


def _text(draws: Draws, corpus: Corpus) -> tuple[str, bytes]:
    """A graph's text by itself, with all constants in it; or its bytes changed."""
    from .byte_edits import edited

    name, whole = _base(draws, corpus, "bundle")
    text = _inline(name, whole)
    made = (
        edited(text.encode(), draws)
        if draws.chance(6)
        else graph_text.changed(text, draws).encode("utf-8", "surrogatepass")
    )
    return name.replace(".qglow", ".txt"), made


@cache
def _inline(name: str, whole: bytes) -> str:
    from qglow.graph import text as graph_form

    arrays, metadata = bundles.parts_of(whole)
    graph = graph_form.parse_graph(metadata["graph"], arrays)
    kept, graph_form.INLINE_ELEMENTS = graph_form.INLINE_ELEMENTS, 600
    try:
        return graph_form.print_graph(graph)
    finally:
        graph_form.INLINE_ELEMENTS = kept


def _program(draws: Draws, corpus: Corpus) -> tuple[str, bytes]:
    from .engines import program_case

    names = [n for n in _names(corpus, "bundle") if n.startswith("form-")]
    name = draws.pick(names)
    return name.replace(".qglow", ".json"), programs.mutant(program_case(corpus, name), draws)


def _onnx(draws: Draws, corpus: Corpus) -> tuple[str, bytes]:
    name, whole = _base(draws, corpus, "onnx")
    return name, onnx_models.mutant(whole, draws)


def _profile(draws: Draws, corpus: Corpus) -> tuple[str, bytes]:
    return "p.profile.json", documents.profile(corpus.read("small.profile.json"), draws)


def _toml(draws: Draws, corpus: Corpus) -> tuple[str, bytes]:
    name, whole = draws.pick((("qglow.toml", documents.CONFIGURATION), ("dataset.toml", documents.PICTURES)))
    return name, documents.toml(whole.encode(), draws)


def _picture(draws: Draws, corpus: Corpus) -> tuple[str, bytes]:
    return pictures.mutant(draws, {n.split(".")[1]: corpus.read(f"picture/{n}") for n in _names(corpus, "picture")})


def _array(draws: Draws, corpus: Corpus) -> tuple[str, bytes]:
    return array_files.mutant(draws)


MAKERS = {
    "bundle": _bundle,
    "text": _text,
    "program": _program,
    "onnx": _onnx,
    "profile": _profile,
    "toml": _toml,
    "picture": _picture,
    "array": _array,
}
