"""Every form of DATA gives the arrays that a model's inputs want: pictures pixel by pixel, arrays and ONNX test data as
they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from qglow.errors import DataError
from qglow.graph import DType, Graph, Node, TensorType
from qglow.profiling import open_dataset
from qglow.profiling.dataset import spread_indices


def graph_of(**shapes: tuple[int | str, ...]) -> Graph:
    """A graph with these float inputs."""
    types = {n: TensorType(DType.F32, s) for n, s in shapes.items()}
    first = next(iter(shapes))
    nodes = (Node("Relu", (first,), ("out",), name="relu"),)
    return Graph("g", tuple(shapes), ("out",), nodes, {**types, "out": types[first]})


PIXELS = np.random.default_rng(0).integers(0, 256, (10, 14, 3), np.uint8)


@pytest.mark.parametrize("color", ["rgb", "bgr", "gray"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_a_picture_becomes_a_tensor(tmp_path: Path, color: str, layout: str) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    channels = 1 if color == "gray" else 3
    numbers = f"scale = 0.5\nmean = {[1.5, 2.5, 3.5][:channels]}\nstd = {[2.0, 3.0, 4.0][:channels]}"
    toml = f'[input.x]\nsource = "images"\ncrop = [6, 8]\ncolor = "{color}"\nlayout = "{layout}"\n{numbers}\n'
    (tmp_path / "dataset.toml").write_text(toml)
    part = PIXELS[2:8, 3:11].astype(np.float32)
    if color == "gray":
        part = np.asarray(Image.fromarray(PIXELS).convert("L"), np.float32)[2:8, 3:11, None]
    part = part[..., ::-1] if color == "bgr" else part
    expected = (part * 0.5 - np.float32([1.5, 2.5, 3.5][:channels])) / np.float32([2, 3, 4][:channels])
    expected = expected[None] if layout == "nhwc" else expected.transpose(2, 0, 1)[None]
    [sample] = open_dataset(tmp_path, graph_of(x=expected.shape))
    assert (
        sample.name == "a.png" and np.array_equal(sample.feeds["x"], expected) and sample.feeds["x"].flags.c_contiguous
    )


def test_resize_takes_the_shorter_side_or_both(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    for resize, size in (("20", (20, 28)), ("[5, 9]", (5, 9))):
        (tmp_path / "dataset.toml").write_text(f'[input.x]\nsource = "images"\nresize = {resize}\n')
        [sample] = open_dataset(tmp_path, graph_of(x=(1, 3, "h", "w")))
        expected = np.asarray(Image.fromarray(PIXELS).resize(size[::-1], Image.Resampling.BILINEAR), np.float32)
        assert np.array_equal(sample.feeds["x"][0], expected.transpose(2, 0, 1))


def test_pictures_in_a_folder_for_each_class(tmp_path: Path) -> None:
    for k, name in enumerate(("cat/1.png", "dog/1.png", "dog/2.JPG")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4), (k, k, k)).save(tmp_path / name)
    (tmp_path / "dog" / ".hidden.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"need a dataset\.toml"):
        open_dataset(tmp_path, graph_of(x=(1, 3, 4, 4)))
    (tmp_path / "dataset.toml").write_text('[input.x]\nsource = "images"\n')
    (tmp_path / "labels.csv").write_text("file,label\ncat/1.png,0\ndog/1.png,1\ndog/2.JPG,1\n")
    samples = list(open_dataset(tmp_path, graph_of(x=(1, 3, 4, 4))))
    assert [(s.name, s.label) for s in samples] == [("cat/1.png", 0), ("dog/1.png", 1), ("dog/2.JPG", 1)]
    (tmp_path / "labels.csv").write_text("file,label\ncat/1.png,0\n")
    with pytest.raises(DataError, match=r"2 of 3 samples have no label, such as dog/1\.png;"):
        open_dataset(tmp_path, graph_of(x=(1, 3, 4, 4)))


def test_one_file_is_one_sample(tmp_path: Path) -> None:
    """A picture is what it is in its folder, with its label; an array is the only input."""
    (tmp_path / "dataset.toml").write_text('[input.x]\nsource = "images"\n')
    (tmp_path / "labels.csv").write_text("file,label\ncat/1.png,4\ncat/2.png,5\n")
    (tmp_path / "cat").mkdir()
    for k in (1, 2):
        Image.fromarray(np.full((4, 5, 3), 10 * k, np.uint8)).save(tmp_path / "cat" / f"{k}.png")
    graph = graph_of(x=(1, 3, 4, 5))
    (sample,) = open_dataset(tmp_path / "cat" / "2.png", graph)
    assert sample.name == "cat/2.png" and sample.label == 5 and (sample.feeds["x"] == 20).all()
    np.save(tmp_path / "a.npy", np.full((1, 3, 4, 5), 7, np.float32))
    (sample,) = open_dataset(tmp_path / "a.npy", graph)
    assert sample.label is None and (sample.feeds["x"] == 7).all()
    with pytest.raises(DataError, match="one input, this one has"):
        open_dataset(tmp_path / "a.npy", graph_of(x=(1,), y=(1,)))
    (tmp_path / "dataset.toml").write_text('[input.x]\nsource = "npy"\n')
    (tmp_path / "labels.csv").unlink()
    with pytest.raises(DataError, match="2.png: not among the samples of"):
        open_dataset(tmp_path / "cat" / "2.png", graph)


def test_no_array_is_left_out_in_silence(tmp_path: Path) -> None:
    """Files that a system hides are no samples; samples of two kinds are refused, not half of them read."""
    graph = graph_of(x=(1, 2))
    for name in ("._a.npy", "._a.npz"):
        (tmp_path / name).write_bytes(b"")
    np.save(tmp_path / "a.npy", np.float32([[1, 2]]))
    assert [s.name for s in open_dataset(tmp_path, graph)] == ["a.npy"]
    np.savez(tmp_path / "b.npz", x=np.float32([[1, 2]]))
    with pytest.raises(DataError, match=r"both \.npz \(b\.npz\) and \.npy \(a\.npy\); keep those of one kind"):
        open_dataset(tmp_path, graph)


def test_arrays_for_two_inputs(tmp_path: Path) -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.float64([[1], [2]])
    np.savez(tmp_path / "one.npz", a=a, b=b, more=a)
    for data in (tmp_path, tmp_path / "one.npz"):
        [sample] = open_dataset(data, graph_of(a=("n", 3), b=("n", 1)))
        assert (
            set(sample.feeds) == {"a", "b"}
            and sample.feeds["b"].dtype == np.float32
            and np.array_equal(sample.feeds["a"], a)
        )


def test_test_data_of_onnx(tmp_path: Path) -> None:
    """Inputs by the names in the files, else by their numbers: 10 comes after 2."""
    shapes = {f"x{k}": (1, k + 1) for k in range(11)}
    for case, named in enumerate((True, False)):
        folder = tmp_path / f"test_data_set_{case}"
        folder.mkdir()
        for k in range(11):
            tensor = numpy_helper.from_array(np.full((1, k + 1), k, np.float32), f"x{k}" if named else "")
            (folder / f"input_{k}.pb").write_bytes(tensor.SerializeToString())
        (folder / "output_0.pb").write_bytes(onnx.TensorProto().SerializeToString())
    samples = list(open_dataset(tmp_path, graph_of(**shapes)))
    assert [s.name for s in samples] == ["test_data_set_0", "test_data_set_1"]
    for sample in samples:
        assert all(np.array_equal(sample.feeds[n], np.full(s, k)) for k, (n, s) in enumerate(shapes.items()))


def test_spread_takes_samples_evenly(tmp_path: Path) -> None:
    for k in range(10):
        np.save(tmp_path / f"{k}.npy", np.full((1, 2), k, np.float32))
    data = open_dataset(tmp_path, graph_of(x=(1, 2)))
    assert [s.name for s in data.spread(4)] == ["0.npy", "3.npy", "6.npy", "9.npy"] and len(data.spread(99)) == 10
    with pytest.raises(DataError, match="at least 1; got int 0"):
        data.spread(0)


@pytest.mark.parametrize(("total", "count"), [(10, 1), (10, 3), (10, 10), (3, 16), (64, 63), (1000, 7)])
def test_spread_indices_are_in_order_and_reach_both_ends(total: int, count: int) -> None:
    picks = spread_indices(total, count)
    assert len(picks) == min(total, count) == len(set(picks)) and picks == sorted(picks) and picks[0] == 0
    assert count == 1 or picks[-1] == total - 1
    assert count == 1 or max(np.diff(picks)) - min(np.diff(picks)) <= 1


def test_labels_of_a_stream_are_checked_as_it_comes() -> None:
    def stream(count: int) -> object:
        return ({"x": np.zeros((1, 2), np.float32)} for _ in range(count))

    graph = graph_of(x=(1, 2))
    assert [s.label for s in open_dataset(stream(3), graph).labelled([7, 8, 9])] == [7, 8, 9]
    assert [s.label for s in open_dataset(stream(5), graph).labelled([7, 8, 9, 4, 2]).spread(2)] == [7, 8]
    for count, words in ((2, "3 labels for 2 samples"), (4, "3 labels for more samples: sample 3 has none")):
        with pytest.raises(DataError, match=words):
            list(open_dataset(stream(count), graph).labelled([7, 8, 9]))
    with pytest.raises(DataError, match="holds no sample"):
        list(open_dataset(stream(0), graph))
