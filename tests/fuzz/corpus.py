"""The good files that mutants are made of, made once into a folder: models, bundles, a profile, pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import qglow
from qglow.graph import Graph
from qglow.runtime import Bundle

from .models import TESTS, models, small
from .pictures import originals


def make_corpus(folder: Path) -> Path:
    """Write the corpus; returns the folder."""
    for name in ("onnx", "bundle", "picture"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, model in models().items():
        (folder / "onnx" / f"{name}.onnx").write_bytes(model.SerializeToString())
        qglow.quantize(model, qglow.profile(model, feeds_of(model)), check=False).save(
            folder / "bundle" / f"{name}.qglow"
        )
    for name, graph in forms().items():
        Bundle(graph, {"decisions": [], "profile": {}}).save(folder / "bundle" / f"form-{name}.qglow")
    for suffix, data in originals().items():
        (folder / "picture" / f"a.{suffix}").write_bytes(data)
    model = small()
    (folder / "small.onnx").write_bytes(model.SerializeToString())
    profile = qglow.profile(model, feeds_of(model))
    profile.save(folder / "small.profile.json")
    qglow.quantize(model, profile, check=False).save(folder / "small.qglow")
    return folder


def feeds_of(model: object) -> list[dict[str, np.ndarray]]:
    """Two samples of noise for a model's float inputs; symbols are 2."""
    rng, samples = np.random.default_rng(0), []
    for _ in range(2):
        feeds = {}
        for value in model.graph.input:  # type: ignore[attr-defined]
            shape = [d.dim_value or 2 for d in value.type.tensor_type.shape.dim]
            feeds[value.name] = rng.normal(0, 1, shape).astype(np.float32)
        samples.append(feeds)
    return samples


def forms() -> dict[str, Graph]:
    """Graphs that reach every kind of instruction in every form, one at a time."""
    sys.path.insert(0, str(TESTS / "instructions"))
    from program_graphs import Net
    from test_meaning import FORMS

    made = {}
    for name, (_, form) in FORMS.items():
        net = Net()
        outputs = form(net)
        made[name] = net.graph(*outputs)
    return made


class Corpus:
    """The files of a corpus, read when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, bytes] = {}

    def names(self, kind: str) -> list[str]:
        return sorted(p.name for p in (self.folder / kind).iterdir())

    def read(self, name: str) -> bytes:
        if name not in self._files:
            self._files[name] = (self.folder / name).read_bytes()
        return self._files[name]
