"""Calibration and evaluation data, one sample at a time: a folder, one file, or any iterable of {input name: array}."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np

from ..arguments import count_of, path_of, quoted, shown
from ..errors import DataError, in_one_line
from ..graph import Array, Graph, TensorType
from ..graph.masks import masked_inputs
from ..npz import read_npy, read_npz
from ..reference.arithmetic import quantize
from ..toml import read_toml
from ..words import counted
from .images import IMAGE_SUFFIXES, image_reader, pixels_of
from .labels import labels_in, labels_of

Feeds = dict[str, Array]
NO_TOML = (
    "images need a dataset.toml that says how a picture becomes a tensor; `qglow profile MODEL.onnx --data FOLDER "
    "--write-dataset` writes one to look at"
)


class InputTypes(dict[str, TensorType]):
    """Types of a graph's inputs by name. masks: those that may hold infinities, as they are only added to the scores of
    a softmax. pixels: where the samples come from pictures, by a dataset.toml, the picture [H, W, 1 or 3] in bytes that
    an input stands for."""

    def __init__(self, graph: Graph) -> None:
        super().__init__({i: graph.types[i] for i in graph.inputs})
        self.masks, self.pixels = masked_inputs(graph), cast(Callable[[Array], Array] | None, None)


@dataclass(frozen=True, slots=True)
class Sample:
    """One set of inputs, where it came from, its class label where one is known, and its position in the data."""

    name: str
    feeds: Feeds
    label: int | None = None
    position: int = 0


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples that are read as they are asked for. `sources` has one reader a sample. bad: is told of a sample that
    cannot be read or does not fit the model, and is left out; None: such a sample is an error. chosen: positions of the
    samples that are read; None: all. path: where they lie; None where they are no files."""

    sources: tuple[tuple[str, Callable[[], Mapping[str, Array]], int | None], ...]
    types: Mapping[str, TensorType]
    bad: Callable[[str], object] | None = None
    chosen: Sequence[int] | None = None
    path: Path | None = None

    def __len__(self) -> int:
        return len(self.sources) if self.chosen is None else len(self.chosen)

    @property
    def total(self) -> int | None:
        """How many samples there are, or None where that is not known before they are read."""
        return len(self)

    @property
    def can_be_cut(self) -> bool:
        """Whether any of the samples can be read at any time, and again."""
        return bool(self.sources)

    def __iter__(self) -> Iterator[Sample]:
        read_any = not self.sources
        for _, sample in self.entries():
            if isinstance(sample, Sample):
                read_any = True
                yield sample
            elif self.bad is not None:
                self.bad(str(sample))
        if not read_any:
            raise self.unusable()

    def entries(self) -> Iterator[tuple[int, Sample | DataError]]:
        """Each position with its sample, or with what is wrong with it where `bad` is to be told."""
        for position in range(len(self.sources)) if self.chosen is None else self.chosen:
            name, read, label = self.sources[position]
            found: Sample | DataError
            try:
                found = Sample(name, checked(read(), self.types, name), label, position)
            except DataError as error:
                if self.bad is None:
                    raise
                found = error
            yield position, found

    def at(self, positions: Sequence[int]) -> Dataset:
        """The samples at these positions, in this order."""
        return replace(self, chosen=positions)

    def unusable(self) -> DataError:
        """The error of data of which not one sample can be read."""
        return DataError(f"none of {counted(len(self), 'sample')} can be used")

    def without_bad(self, bad: Callable[[str], object]) -> Dataset:
        """The samples that can be read and fit the model; `bad` is told of each other one as it is met."""
        return replace(self, bad=bad)

    def labelled(self, labels: Sequence[int]) -> Dataset:
        """With a class for each sample, in order. Raises DataError where there are more or fewer labels than
        samples."""
        labels = labels_of(labels)
        if len(labels) != len(self.sources):
            raise DataError(f"{counted(len(labels), 'label')} for {counted(len(self.sources), 'sample')}")
        pairs = zip(self.sources, labels, strict=True)
        return replace(self, sources=tuple((name, read, int(label)) for (name, read, _), label in pairs))

    def spread(self, count: int | None) -> Dataset:
        """At most `count` samples, spread evenly over all. Raises DataError for a count below 1."""
        _check_count(count)
        if count is None or count >= len(self.sources):
            return self
        return replace(self, sources=tuple(self.sources[i] for i in spread_indices(len(self.sources), count)))


@dataclass(frozen=True, slots=True)
class Stream(Dataset):
    """Samples of an iterable whose length is not known: never held together; `spread` takes the first ones."""

    items: Iterable[Mapping[str, Array]] = ()
    limit: int | None = None
    labels: Sequence[int] | None = None

    @property
    def total(self) -> int | None:
        return self.limit

    def entries(self) -> Iterator[tuple[int, Sample | DataError]]:
        index = -1
        for index, feeds in enumerate(islice(self.items, self.limit)):
            name = f"sample {index}"
            if self.labels is not None and index >= len(self.labels):
                raise DataError(f"{counted(len(self.labels), 'label')} for more samples: {name} has none")
            label = None if self.labels is None else int(self.labels[index])
            yield index, Sample(name, checked(feeds, self.types, name), label, index)
        if index < 0:
            raise DataError("the data holds no sample")
        if self.labels is not None and index + 1 != len(self.labels) and index + 1 != self.limit:
            raise DataError(f"{counted(len(self.labels), 'label')} for {counted(index + 1, 'sample')}")

    def labelled(self, labels: Sequence[int]) -> Dataset:
        """Checked against the samples as they come."""
        return replace(self, labels=labels_of(labels))

    def spread(self, count: int | None) -> Dataset:
        _check_count(count)
        return self if count is None else replace(self, limit=count)


def spread_indices(total: int, count: int) -> list[int]:
    """`count` of `total` samples, the first and the last among them, evenly spread; all where there are no more."""
    return list(range(total)) if count >= total else np.linspace(0, total - 1, count).astype(int).tolist()


def _check_count(count: int | None) -> None:
    if count is not None:
        count_of(count, "samples", DataError)


def open_dataset(data: str | Path | Iterable[Mapping[str, Array]] | Dataset, graph: Graph) -> Dataset:
    """The samples of DATA for a graph's inputs. Raises DataError where there are none or the folder cannot be
    understood."""
    types = InputTypes(graph)
    if isinstance(data, Dataset):
        return data
    if isinstance(data, Mapping):
        raise DataError("the data is one sample, {name: array}; give a list of samples")
    reader = getattr(data, "get_next", None)  # of onnxruntime's CalibrationDataReader, which ends with None
    if callable(reader) and not isinstance(data, (type, Iterable)):
        data = iter(reader, None)
    if not isinstance(data, (str, Path)):
        if isinstance(data, (bytes, np.ndarray, Graph)) or not isinstance(data, Iterable):
            raise DataError(f"expected a path, or samples that are each {{name: array}}; got {shown(data)}")
        if not isinstance(data, Sequence):
            return Stream((), types, items=data)
        if not data:
            raise DataError("the data holds no sample")
        return Dataset(tuple((f"sample {k}", partial(_same, f), None) for k, f in enumerate(data)), types)
    path = path_of(data, "the data", DataError)
    if not path.is_dir():
        return _one_file(path, graph, types)
    toml = path / "dataset.toml"
    sources = _by_toml(path, toml, types) if toml.exists() else _by_files(path, types)
    if not sources:
        raise DataError(
            f"{path}: no samples found; expected .npz, .npy or images with a dataset.toml, or "
            "test_data_set_*/input_*.pb"
        )
    labels = labels_in(path, [name for name, _ in sources])
    return Dataset(tuple((name, read, labels.get(name)) for name, read in sources), types, path=path)


def _one_file(path: Path, graph: Graph, types: InputTypes) -> Dataset:
    """An .npz file, an .npy file for a model of one input, or a picture of a folder that has a dataset.toml."""
    if not path.exists():
        raise DataError(f"{path}: no such folder of data")
    if path.suffix == ".npz":
        return Dataset(((path.name, partial(read_npz, path), None),), types, path=path)
    if path.suffix == ".npy":
        if len(types) != 1:
            raise DataError(f"{path}: an .npy file serves a model with one input, this one has {list(types)}; use .npz")
        return Dataset(((path.name, partial(_named, next(iter(types)), read_npy, path), None),), types, path=path)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise DataError(f"{path}: expected a folder, one .npz or .npy file, or one picture")
    folder = next((f for f in path.absolute().parents if (f / "dataset.toml").exists()), None)
    if folder is None:
        raise DataError(f"{path}: {NO_TOML}")
    every, name = open_dataset(folder, graph), path.absolute().relative_to(folder).as_posix()
    sources = tuple(s for s in every.sources if s[0] == name)
    if not sources:
        raise DataError(f"{path}: not among the samples of {folder}, as its dataset.toml has them")
    return replace(every, sources=sources, path=path)


def checked(feeds: Mapping[str, Array], types: Mapping[str, TensorType], sample: str) -> Feeds:
    """The arrays that a model's inputs want; raises DataError where one is missing, or has another dtype or shape, or
    NaN. Floats for a quantized input are rounded to its integers."""
    if not isinstance(feeds, Mapping):
        raise DataError(f"{sample}: expected {{name: array}} for the inputs {sorted(types)}, got {shown(feeds)}")
    result: Feeds = {}
    for name, t in types.items():
        if name not in feeds:
            raise DataError(f"{sample}: input {name!r} is missing; it has {sorted(map(str, feeds))}")
        try:
            array = np.asarray(feeds[name])
        except Exception as error:  # NOTE: ragged lists, and arrays of other libraries, which fail in their own ways
            raise DataError(f"{sample}: input {name!r} is no array: {in_one_line(error)}") from error
        if t.is_quantized and array.dtype.kind == "f":
            array = quantize(_finite(array, name, sample), t)
        if array.dtype != t.dtype.numpy:
            if not np.can_cast(array.dtype, t.dtype.numpy, "same_kind"):
                raise DataError(
                    f"{sample}: input {name!r}: expected {t.dtype.numpy}, got {array.dtype}; convert the data"
                )
            with np.errstate(over="ignore"):  # NOTE: what is beyond becomes infinity, which is refused below
                array = array.astype(t.dtype.numpy)
        if not _fits(array.shape, t):
            turned = (array.shape[0], array.shape[-1], *array.shape[1:-1]) if array.ndim > 2 else array.shape
            hint = "; channels come last: transpose the data (layout in dataset.toml)" if _fits(turned, t) else ""
            if not hint and isinstance(types, InputTypes) and types.pixels is not None:
                hint = "; set resize and crop (and color) in dataset.toml to the size that the model takes"
            raise DataError(
                f"{sample}: input {name!r}: expected shape {list(t.shape or ())}, got {list(array.shape)}{hint}"
            )
        if not array.size:
            raise DataError(f"{sample}: input {name!r} is empty: its shape is {list(array.shape)}")
        infinities = isinstance(types, InputTypes) and name in types.masks
        result[name] = _finite(array, name, sample, infinities)
    return result


def _finite(array: Array, name: str, sample: str, infinities: bool = False) -> Array:
    """The array. Raises DataError where it holds NaN, or infinities where they may not be."""
    if array.dtype.kind == "f" and not (np.isfinite(array) | (infinities & np.isinf(array))).all():
        raise DataError(f"{sample}: input {name!r} holds NaN or infinity")
    return array


def _fits(shape: tuple[int, ...], t: TensorType) -> bool:
    return t.shape is None or (
        len(shape) == len(t.shape)
        and all(not isinstance(d, int) or d == s for d, s in zip(t.shape, shape, strict=True))
    )


def _read_pb(folder: Path, names: list[str]) -> Feeds:
    from ..onnx_import.tensor_file import read_tensor  # NOTE: other data needs no onnx

    files = list(folder.glob("input_*.pb"))
    if not files or not all(p.stem.removeprefix("input_").isdecimal() for p in files):
        raise DataError(
            f"{folder}: expected input_0.pb, input_1.pb and so on, got {sorted(p.name for p in folder.iterdir())[:5]}"
        )
    files.sort(key=lambda p: int(p.stem.removeprefix("input_")))
    feeds: Feeds = {}
    for k, p in enumerate(files):
        tensor, array = read_tensor(p)
        feeds[tensor if tensor in names else names[min(k, len(names) - 1)]] = array
    return feeds


Source = tuple[str, Callable[[], Mapping[str, Array]]]


def _same(feeds: Mapping[str, Array]) -> Mapping[str, Array]:
    return feeds


def _named(name: str, read: Callable[[Path], Array], path: Path) -> Mapping[str, Array]:
    return {name: read(path)}


def _visible(path: Path, pattern: str) -> list[Path]:
    """Files in a folder without those that systems hide, such as ._NAME beside each file that a Mac has copied."""
    return sorted(p for p in path.glob(pattern) if not p.name.startswith("."))


def _by_files(path: Path, types: Mapping[str, TensorType]) -> list[Source]:
    names = list(types)
    pb = sorted(p for p in path.glob("test_data_set_*") if p.is_dir())
    if pb:
        return [(p.name, partial(_read_pb, p, names)) for p in pb]
    npz, npy = _visible(path, "*.npz"), _visible(path, "*.npy")
    if npz and npy and len(names) == 1:
        raise DataError(
            f"{path}: samples are both .npz ({npz[0].name}) and .npy ({npy[0].name}); keep those of one kind"
        )
    if npz:
        return [(p.name, partial(read_npz, p)) for p in npz]
    if npy and len(names) != 1:
        raise DataError(
            f"{path}: .npy files serve a model with one input, this one has {names}; use .npz files with these keys"
        )
    if npy:
        return [(p.name, partial(_named, names[0], read_npy, p)) for p in npy]
    if _pictures(path):
        raise DataError(f"{path}: {NO_TOML}")
    return []


def _by_toml(path: Path, toml: Path, types: Mapping[str, TensorType]) -> list[Source]:
    spec = read_toml(toml, DataError).get("input", {})
    if not isinstance(spec, dict) or not all(isinstance(s, dict) for s in spec.values()):
        raise DataError(f"{toml}: expected sections [input.NAME], one for each of the model's inputs {sorted(types)}")
    if len(spec) == 1 and len(types) == 1:
        spec = {next(iter(types)): next(iter(spec.values()))}  # NOTE: one input, one section: the name need not match
    unknown = sorted(set(spec) - set(types))
    if unknown or not spec:
        raise DataError(f"{toml}: sections [input.NAME] are {sorted(spec)}, the model's inputs are {sorted(types)}")
    sources = {s if isinstance(s := section.get("source", "npz"), str) else quoted(s) for section in spec.values()}
    if sources <= {"npz", "npy", "pb"}:
        return _by_files(path, types)
    if len(spec) != 1 or sources != {"images"}:
        raise DataError(f"{toml}: source must be images (one input), npz, npy or pb, got {sorted(sources)}")
    name, fields = next(iter(spec.items()))
    read = image_reader(fields, toml)
    if isinstance(types, InputTypes):
        types.pixels = pixels_of(fields)
    return [(p.relative_to(path).as_posix(), partial(_named, name, read, p)) for p in _pictures(path)]


def has_only_pictures(path: Path) -> bool:
    """Whether a folder holds pictures and no samples of other kinds."""
    others = any(True for pattern in ("*.npz", "*.npy", "test_data_set_*") for _ in path.glob(pattern))
    return not others and bool(_pictures(path))


def _pictures(path: Path) -> list[Path]:
    """Pictures in a folder and, as data sets with a folder a class have them, in those below it."""
    return sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
