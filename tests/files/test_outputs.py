"""What is written: the umask counts, names are kept as they are, nothing half done stays."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from qglow.errors import OutputError
from qglow.files import write_atomically, written
from qglow.npz import npz_writer, read_npz


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o027, 0o640), (0o000, 0o666)])
def test_outputs_honour_the_umask(umask: int, mode: int, tmp_path: Path) -> None:
    code = f"""
        import os, sys
        os.umask({umask})
        import numpy as np
        from qglow.files import write_atomically
        from qglow.npz import npz_writer
        write_atomically(sys.argv[1] + "/plain", b"x")
        with npz_writer(sys.argv[1] + "/arrays.npz") as file:
            file.add("y", np.zeros(2))
        assert os.umask(0) == {umask}
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], check=True)
    assert {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {"plain": mode, "arrays.npz": mode}


def test_a_temporary_name_that_is_taken_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "victim").write_bytes(b"mine")
    monkeypatch.setattr("qglow.files.os.urandom", lambda n: b"\0" * n)
    (tmp_path / f".{'00' * 12}.tmp").symlink_to(tmp_path / "victim")
    with pytest.raises(OutputError, match="File exists"):
        write_atomically(tmp_path / "out", b"theirs")
    assert (tmp_path / "victim").read_bytes() == b"mine" and not (tmp_path / "out").exists()


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"before")
    with pytest.raises(RuntimeError), written(tmp_path / "out") as file:
        file.write(b"half")
        raise RuntimeError
    with pytest.raises(RuntimeError), npz_writer(tmp_path / "out") as npz:
        npz.add("x", np.zeros(3))
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["out"] and (tmp_path / "out").read_bytes() == b"before"


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no device that is full")
    with pytest.raises(OutputError, match="No space left on device"):
        write_atomically("/dev/full", b"x" * 100_000)


NAMES = (
    "file",
    "allow_pickle",
    "a/b",
    "../x",
    "",
    "/etc/x",
    "arr_0",
    "kwds",
    "y.npz",
    "with space",
    "ü",
    "a\\b",
    "x" * 300,
    "\x1b[31m",
    ".",
)


def test_any_name_is_kept(tmp_path: Path) -> None:
    arrays = {name: np.arange(k + 1) for k, name in enumerate(NAMES)}
    with npz_writer(tmp_path / "out.npz") as file:
        for name, array in arrays.items():
            file.add(name, array)
    with np.load(tmp_path / "out.npz") as found:
        assert set(found.files) == set(NAMES)
        assert all(np.array_equal(found[n], a) for n, a in arrays.items() if n)
    again = read_npz(tmp_path / "out.npz")
    assert again.keys() == arrays.keys() and all(np.array_equal(again[n], a) for n, a in arrays.items())
    assert [p.name for p in tmp_path.parent.glob("x*")] == []


@pytest.mark.parametrize(("names", "words"), [
    (("a", "a"), "two arrays have the name"), (("a", "a.npy"), "cannot tell"), (("a.npy", "a"), "cannot tell"),
    (("a\0b",), "cannot hold"), (("\ud800",), "cannot hold"), (("y" * 70_000,), "cannot hold"),
])  # fmt: skip
def test_names_that_the_format_does_not_keep_are_refused(names: tuple[str, ...], words: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=words), npz_writer(tmp_path / "out.npz") as file:
        for name in names:
            file.add(name, np.zeros(1))
    assert not any(tmp_path.iterdir())
