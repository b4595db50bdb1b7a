"""A model in every form that is measured, kept in a folder so that the next run starts at once.

Files are named after a hash of what they are made from: peers' of the float model, bundles of the float model and of
the source of every package that has a say in them. Kernels have none: a bundle outlives a change of kernels.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter

import qglow
from qglow.errors import AccuracyError, in_one_line
from qglow.report.peers import onnxruntime_int8, onnxruntime_runner

from .models import NETWORKS, real

PROFILING = ("graph", "reference", "onnx_import", "simplify", "profiling")
COMPILING = (*PROFILING, "quantization", "report", "runtime/bundle.py", "pipeline.py", "quantizing.py")
SAMPLES = 4
FORM = 2  # NOTE: raise it when the way in which peers are prepared changes
TRANSFORMERS = ("bert", "vit")
Feeds = list[dict[str, np.ndarray]]


def default_cache() -> Path:
    return Path(tempfile.gettempdir()) / "qglow-bench"


def names() -> list[str]:
    """Every model that can be measured here."""
    return [*NETWORKS, *real.available()]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A float model on disk, and samples of its inputs."""

    name: str
    folder: Path
    path: Path
    samples: Feeds

    def qdq(self) -> Path:
        """onnxruntime's int8 model. Of a transformer only the products are quantized: more is slower on both peers."""
        return self._made(f".{FORM}.qdq.onnx", self._qdq)

    def _qdq(self, out: Path) -> None:
        source = out.with_suffix(".source.onnx")
        source.write_bytes(modern(onnx.load(self.path)).SerializeToString())
        try:
            if not self.name.startswith(TRANSFORMERS):
                # NOTE: it writes some models that it cannot load; products alone it may manage
                with suppress(Exception):
                    onnxruntime_int8(source, out, self.samples)
                    onnxruntime_runner(out, self.samples[0], 1)()
                    return
            onnxruntime_int8(source, out, self.samples, ["Conv", "MatMul", "Gemm"])
        finally:
            source.unlink()

    def nncf(self) -> Path:
        """NNCF's int8 model for OpenVINO (.xml and .bin)."""
        return self._made(f".{FORM}.nncf.xml", self._nncf)

    def bundle(self, config: qglow.QuantConfig | None = None) -> Path:
        """qglow's int8 bundle. A broken agreement with float is no obstacle: random weights say nothing of accuracy."""
        config = config or qglow.QuantConfig(calibration="minmax")
        tag = hashlib.sha256((repr(config) + sources(COMPILING)).encode()).hexdigest()[:12]
        return self._made(f".{tag}.qglow", lambda out: self._bundle(config).save(out))

    def _bundle(self, config: qglow.QuantConfig) -> qglow.Bundle:
        try:
            return qglow.quantize(self.path, self.profile(), config)
        except AccuracyError as error:
            bundle: qglow.Bundle = error.bundle  # type: ignore[attr-defined]
            return bundle

    def profile(self) -> Path:
        def make(out: Path) -> None:
            qglow.profile(self.path, self.samples, engine="onnxruntime").save(out)

        return self._made(f".{sources(PROFILING)}.profile", make)

    def _nncf(self, out: Path) -> None:
        import nncf
        import openvino

        nncf.set_log_level("ERROR")
        kind = nncf.ModelType.TRANSFORMER if self.name.startswith(TRANSFORMERS) else None
        data = nncf.Dataset(self.samples)
        with redirect_stdout(StringIO()):  # NOTE: its progress bars would break the table
            model = nncf.quantize(
                openvino.Core().read_model(self.path), data, subset_size=len(self.samples), model_type=kind
            )
        openvino.save_model(model, out, compress_to_fp16=False)

    def _made(self, suffix: str, make: Callable[[Path], Any]) -> Path:
        """The file, made where it is missing; its failure is kept too, for a peer that cannot do it would be asked each
        time."""
        out = self.folder / (self.path.stem + suffix)
        failure = out.with_suffix(".failed")
        if failure.is_file() and not suffix.endswith((".qglow", ".profile")):
            raise RuntimeError(failure.read_text())
        if not out.is_file():
            try:
                make(out)
            except Exception as error:
                out.unlink(missing_ok=True)
                failure.write_text(f"{type(error).__name__}: {in_one_line(error)}")
                raise
        return out


def modern(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model at an opset that knows scales per channel, where the converter can take it there."""
    version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
    if version < 13:
        with suppress(Exception):
            return onnx.version_converter.convert_version(model, 17)
    return model


@lru_cache
def sources(parts: tuple[str, ...]) -> str:
    """Hash of a part of the package's source."""
    h, home = hashlib.sha256(), Path(qglow.__file__).parent
    for part in parts:
        path = home / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            h.update(file.read_bytes())
    return h.hexdigest()[:12]


def prepare(name: str, folder: Path) -> Prepared:
    """A model by its name or its .onnx file, in the cache folder. Raises KeyError for a name that nothing has."""
    if name in NETWORKS:
        model = NETWORKS[name]()
        samples = noise(model, SAMPLES)
    elif name in real.available():
        model, samples = real.load(name, SAMPLES)
    elif name.endswith(".onnx"):
        model = onnx.load(name)
        samples = noise(model, SAMPLES)
    else:
        raise KeyError(name)
    data = model.SerializeToString()
    folder.mkdir(parents=True, exist_ok=True)
    label = Path(name).stem if name.endswith(".onnx") else name
    path = folder / f"{label.replace('.', '_')}-{hashlib.sha256(data).hexdigest()[:12]}.onnx"
    if not path.is_file():
        path.write_bytes(data)
    return Prepared(label, folder, path, samples)


def noise(model: onnx.ModelProto, count: int) -> Feeds:
    """Normal noise for every float input, zeros for the others; 1 for symbolic dimensions."""
    rng = np.random.default_rng(2)
    known = {i.name for i in model.graph.initializer}
    feeds: Feeds = [{} for _ in range(count)]
    for value in model.graph.input:
        if value.name in known:
            continue
        shape = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        for f in feeds:
            f[value.name] = (
                rng.normal(0, 1, shape).astype(dtype) if np.issubdtype(dtype, np.floating) else np.zeros(shape, dtype)
            )
    return feeds
