"""What is read: plain files only, whole into memory, and what the system lacks is named as that."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import qglow
from qglow.commands.main import main
from qglow.errors import DataError, LimitError, ModelError, QGlowError
from qglow.limits import limited
from qglow.npz import read_npy, read_npz

COMMANDS = {"x.onnx": ["inspect", "x.onnx"], "x.qglow": ["inspect", "x.qglow"],
    "x.profile.json": ["inspect", "x.profile.json"],
            "x.npz": ["profile", "model.onnx", "--data", "x.npz"],
            "x.npy": ["run", "b.qglow", "--input", "image=x.npy"],
            "x.toml": ["quantize", "model.onnx", "--profile", "p.json", "--config", "x.toml"],
            "data/x.npz": ["profile", "model.onnx", "--data", "data"],
            "data/x.npy": ["profile", "model.onnx", "--data", "data"],
            "data/dataset.toml": ["profile", "model.onnx", "--data", "data"]}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Path:
    folder = tmp_path_factory.mktemp("made")
    profile = qglow.profile(digits / "model.onnx", digits, samples=2)
    (folder / "model.onnx").write_bytes((digits / "model.onnx").read_bytes())
    profile.save(folder / "p.json")
    qglow.quantize(digits / "model.onnx", profile).save(folder / "b.qglow")
    return folder


@pytest.mark.parametrize("kind", ["pipe", "zero", "folder", "socket"])
@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_no_plain_file_is_refused_at_once(
    name: str,
    kind: str,
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for file in made.iterdir():
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.chdir(tmp_path)
    place = Path(name)
    place.parent.mkdir(exist_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "zero":
        place.symlink_to("/dev/zero")
    elif kind == "folder":
        place.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(place))
    assert main([*COMMANDS[name], "--quiet"]) == 2
    said = capsys.readouterr().err
    words = {"pipe": "is a named pipe", "zero": "is a device", "folder": "", "socket": "is a socket"}[kind]
    assert said.startswith("qglow: ") and said.count("\n") == 1 and name in said and words in said


def test_pictures_that_are_no_plain_files(tmp_path: Path, digits: Path) -> None:
    (tmp_path / "dataset.toml").write_text('[input.image]\nsource = "images"\ncolor = "gray"\n')
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: is a named pipe"):
        qglow.profile(digits / "model.onnx", tmp_path)


def test_a_bundle_is_read_and_not_mapped(made: Path, tmp_path: Path, digits: Path) -> None:
    """Neither cutting the file nor writing over it changes what a session computes, or ends the process."""
    path, feeds = tmp_path / "b.qglow", {"image": np.load(digits / "007.npy")}
    whole = (made / "b.qglow").read_bytes()
    path.write_bytes(whole)
    bundle = qglow.load(path)
    expected = qglow.InferenceSession(bundle).run(None, feeds)
    with path.open("r+b") as file:
        file.write(bytes(len(whole)))
        file.truncate(10)
    assert all(
        np.array_equal(a, b) for a, b in zip(qglow.InferenceSession(bundle).run(None, feeds), expected, strict=True)
    )
    assert all(not a.flags.writeable for a in bundle.graph.constants.values() if a.size > 16)


def test_a_bundle_is_mapped_where_that_is_asked(made: Path, digits: Path) -> None:
    feeds = {"image": np.load(digits / "007.npy")}
    mapped = qglow.InferenceSession(qglow.load(made / "b.qglow", mapped=True)).run(None, feeds)
    assert np.array_equal(mapped[0], qglow.InferenceSession(made / "b.qglow").run(None, feeds)[0])


@pytest.mark.parametrize("what", ["b.qglow", "model.onnx", "p.json"])
def test_too_many_open_files_are_named(what: str, made: Path) -> None:
    code = """
        import os, resource, sys
        import qglow, qglow.onnx_import, qglow.runtime.tensors
        from qglow.errors import QGlowError
        readers = {"b.qglow": qglow.load, "model.onnx": qglow.onnx_import.load, "p.json": qglow.Profile.load}
        read = readers[os.path.basename(sys.argv[1])]
        read(sys.argv[1])
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        held = []
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        try:
            read(sys.argv[1])
        except QGlowError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(made / what)], check=True, capture_output=True, text=True
    )
    assert (
        done.stdout.strip()
        == f"{made / what}: cannot be read: this process has too many open files; close some, or raise the limit "
        "(ulimit -n)"
    )


def _bomb(path: Path, size: int) -> None:
    """An .npz of so many zeros, a thousandth of that in size."""
    np.savez_compressed(path, x=np.zeros(size, np.uint8))


def test_an_archive_is_asked_before_it_is_unpacked(tmp_path: Path) -> None:
    _bomb(tmp_path / "a.npz", 30_000_000)
    assert (tmp_path / "a.npz").stat().st_size < 100_000
    with (
        limited("20M"),
        pytest.raises(
            LimitError, match=r"a\.npz: what is packed in it takes 28\.6 MiB of memory, and the limit is 20\.0 MiB"
        ),
    ):
        read_npz(tmp_path / "a.npz")
    np.savez_compressed(tmp_path / "b.npz", **{f"x{k}": np.zeros(10_000_000, np.uint8) for k in range(3)})
    with limited("20M"), pytest.raises(LimitError, match=r"28\.6 MiB"):
        read_npz(tmp_path / "b.npz")


@pytest.mark.parametrize("shape", ["(1099511627776,)", "(-1,)", "(2, 3"])
def test_a_header_that_lies(shape: str, tmp_path: Path) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n"
    header = header.ljust(118) + "\n"
    (tmp_path / "a.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(8)
    )
    with pytest.raises(DataError, match=r"a\.npy: not a readable \.npy file"):
        read_npy(tmp_path / "a.npy")


def test_data_beside_a_model_is_counted(tmp_path: Path) -> None:
    """Many tensors that name the same bytes of one file."""
    (tmp_path / "w.bin").write_bytes(bytes(4_000_000))
    tensors = []
    for k in range(20):
        t = TensorProto(name=f"w{k}", data_type=TensorProto.FLOAT, dims=[1_000_000], data_location=TensorProto.EXTERNAL)
        t.external_data.add(key="location", value="w.bin")
        t.external_data.add(key="length", value="4000000")
        tensors.append(t)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1_000_000]) for n in ("x", "y"))
    graph = helper.make_graph(
        [helper.make_node("Sum", ["x", *(t.name for t in tensors)], ["y"])], "g", [x], [y], tensors
    )
    (tmp_path / "m.onnx").write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]).SerializeToString()
    )
    with (
        limited("30M"),
        pytest.raises(
            LimitError, match="tensor 'w7': its data in a file beside the model, with what is read before it, takes"
        ),
    ):
        qglow.onnx_import.load(tmp_path / "m.onnx")
    os.unlink(tmp_path / "w.bin")
    os.mkfifo(tmp_path / "w.bin")
    with pytest.raises(ModelError, match=r"w0.*not a plain file"):
        qglow.onnx_import.load(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("dims", "held"), [([4], 3), ([4], 5), ([1 << 40], 2), ([0], 1), ([3, 0], 2), ([1 << 40, 1 << 40], 2)]
)
@pytest.mark.parametrize("raw", [True, False])
def test_initializers_hold_what_their_dimensions_say(dims: list[int], held: int, raw: bool) -> None:
    t = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims)
    if raw:
        t.raw_data = bytes(4 * held)
    else:
        t.float_data.extend([0.0] * held)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [t])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    with pytest.raises(ModelError):
        qglow.onnx_import.load(onnx.ModelProto.FromString(model.SerializeToString()))


def test_names_do_not_reach_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;owned\x07\x1b[31m\u202eRelu\r" + "x" * 10_000
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in ("x" + evil, "y"))
    graph = helper.make_graph([helper.make_node(evil, ["x" + evil], ["y"], evil, domain=evil)], "g", [x], [y])
    imports = [helper.make_opsetid("", 13), helper.make_opsetid(evil, 1)]
    (tmp_path / "m.onnx").write_bytes(helper.make_model(graph, opset_imports=imports).SerializeToString())
    for command in (
        ["inspect", str(tmp_path / "m.onnx")],
        ["inspect", str(tmp_path / "m\x1b[31m.onnx")],
        ["profile", "--data", evil, "m.onnx"],
    ):
        assert main(command) == 2
        said = capsys.readouterr()
        assert not set(map(ord, said.err + said.out)) & ({*range(32), *range(127, 160), 0x202E} - {10})
        assert said.err.count("\n") == 1 and len(said.err) < 500


def test_names_in_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in ("x\x1b[31m", "y"))
    graph = helper.make_graph([helper.make_node("Relu", ["x\x1b[31m"], ["y"], "n\x07")], "g\x1b[0m", [x], [y])
    (tmp_path / "m.onnx").write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]).SerializeToString()
    )
    assert main(["inspect", str(tmp_path / "m.onnx")]) == 0
    assert not set(map(ord, capsys.readouterr().out)) & ({*range(32), *range(127, 160)} - {10})


def test_messages_of_errors_are_short_and_plain() -> None:
    message = str(QGlowError("begin \x1b[2J\x9b" + "x" * 5000 + " end"))
    assert message.startswith("begin \\x1b[2J\\x9b") and message.endswith(" end") and len(message) < 500
