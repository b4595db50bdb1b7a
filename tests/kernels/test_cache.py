"""The cache of compiled kernels: what another user may have written never becomes code of this process."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qglow.errors import KernelError
from qglow.kernels import builder, cache, objects
from qglow.kernels.library import Library, ensure
from qglow.tuning import store

STRANGER = 12345
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "cache"
    made.mkdir(0o700)
    return made


def as_stranger(work: Callable[[], None]) -> None:
    """Run in a forked process of another user, without a home folder or an entry in /etc/passwd."""
    child = os.fork()
    if child == 0:
        try:
            os.environ.clear()
            os.setgroups([])
            os.setgid(STRANGER)
            os.setuid(STRANGER)
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_folders_are_made_for_the_user_alone(tmp_path: Path) -> None:
    with cache.opened(tmp_path / "a" / "b", make=True):
        pass
    assert [stat.S_IMODE((tmp_path / p).stat().st_mode) for p in ("a", "a/b")] == [0o700, 0o700]
    with pytest.raises(FileNotFoundError), cache.opened(tmp_path / "c"):
        pass


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o1777])
def test_a_folder_that_others_may_write_to_is_refused(folder: Path, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / objects.object_name("generic")).write_bytes(ensure().read_bytes())
    folder.chmod(mode)
    monkeypatch.setenv("QGLOW_CACHE_DIR", str(folder))
    monkeypatch.setenv("QGLOW_ISA", "generic")
    with pytest.raises(
        KernelError, match=rf"{folder} can be written to by others \(mode {mode:04o}\).* set QGLOW_CACHE_DIR"
    ):
        ensure()


def test_a_folder_in_one_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    refused = pytest.raises(KernelError, match="the folder shared on the way can be written to by everybody")
    with refused, cache.opened(shared / "cache", make=True):
        pass
    assert not list(shared.iterdir())
    shared.chmod(0o1777)
    with cache.opened(shared / "cache", make=True):
        assert (shared / "cache").is_dir()


def test_the_folder_itself_is_no_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(KernelError, match="link is a symbolic link"), cache.opened(tmp_path / "link"):
        pass
    (tmp_path / "ring").symlink_to(tmp_path / "ring")
    with pytest.raises(KernelError, match="ring is a symbolic link"), cache.opened(tmp_path / "ring" / "cache"):
        pass


@pytest.mark.parametrize("relative", [False, True])
def test_links_of_the_user_on_the_way_are_followed(folder: Path, tmp_path: Path, relative: bool) -> None:
    (tmp_path / "link").symlink_to(Path("..") / tmp_path.name if relative else tmp_path)
    with cache.opened(tmp_path / "link" / "cache") as opened:
        assert os.path.samestat(os.fstat(opened), folder.stat())


@AS_ROOT
@pytest.mark.parametrize("what", ["folder", "way", "link"])
def test_what_belongs_to_another_user_is_refused(folder: Path, tmp_path: Path, what: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    os.chown(
        {"folder": folder, "way": tmp_path, "link": tmp_path / "link"}[what], STRANGER, STRANGER, follow_symlinks=False
    )
    path = tmp_path / "link" / "cache" if what == "link" else folder
    with (
        pytest.raises(KernelError, match="is a symbolic link" if what == "link" else "belongs to another user"),
        cache.opened(path),
    ):
        pass


@pytest.mark.parametrize("what", ["link", "mode", "fifo", "folder", pytest.param("owner", marks=AS_ROOT)])
def test_a_file_that_another_may_have_written_is_not_read(folder: Path, what: str) -> None:
    """It counts as missing, so the object is compiled, and the file replaced."""
    path = folder / "kernels.o"
    sound = ensure().read_bytes()
    if what == "link":
        (folder / "other").write_bytes(sound)
        path.symlink_to("other")
    elif what == "fifo":
        os.mkfifo(path, 0o600)
    elif what == "folder":
        path.mkdir()
    else:
        path.write_bytes(sound)
        path.chmod(0o666 if what == "mode" else 0o600)
        if what == "owner":
            os.chown(path, STRANGER, STRANGER)
    assert not cache.holds(path)
    with pytest.raises(KernelError, match="compiled kernels cannot be read"):
        objects.unsealed(path)
    if what != "folder":
        with cache.replaced(path) as handle:
            os.write(handle, sound)
            os.truncate(handle, len(sound))
        assert cache.holds(path) and objects.unsealed(path) == sound[:-32] and not path.is_symlink()


def test_a_new_file_has_a_name_that_nobody_guesses_and_goes_with_an_error(folder: Path) -> None:
    names = []
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), cache.replaced(folder / "kernels.o"):
            (found,) = folder.iterdir()
            assert found.stat().st_mode & 0o022 == 0
            names.append(found.name)
            raise KeyboardInterrupt
    assert (
        not list(folder.iterdir()) and names[0] != names[1] and all(len(n) == len("kernels-.tmp") + 32 for n in names)
    )


@AS_ROOT
def test_a_cache_that_cannot_be_written_is_said_before_anything_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """/ can be read by everybody, and written to by root alone, as an image of a container that is read-only."""
    monkeypatch.setattr(builder, "compile_into", lambda *_: pytest.fail("it compiles"))

    def work() -> None:
        for place in ("/etc", "/etc/qglow", "/proc/qglow", "/dev/null/qglow"):
            os.environ["QGLOW_CACHE_DIR"], os.environ["QGLOW_ISA"] = place, "generic"
            with pytest.raises(KernelError, match="set QGLOW_CACHE_DIR to a folder of your own"):
                ensure()

    as_stranger(work)


def test_a_full_disk_is_said_before_anything_is_compiled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(builder, "compile_into", lambda *_: pytest.fail("it compiles"))
    monkeypatch.setenv("QGLOW_CACHE_DIR", str(folder))
    with pytest.raises(KernelError, match="No space left on device"):
        objects.build_into_cache("generic")
    assert not list(folder.iterdir())


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The kernels of this CPU as a package carries them, where every user can read them."""
    found, folder = ensure(), Path(tempfile.mkdtemp())
    path = folder / objects.object_name(found.name.split("-")[3])
    path.write_bytes(found.read_bytes())
    folder.chmod(0o755)
    monkeypatch.setattr(objects, "PACKAGED", folder)
    hashes = {path.name: hashlib.sha256(found.read_bytes()).hexdigest()}
    monkeypatch.setattr(objects, "carried", lambda: hashes)
    yield path
    shutil.rmtree(folder)


@AS_ROOT
def test_kernels_that_the_package_carries_need_no_home(carried: Path) -> None:
    def work() -> None:
        with pytest.raises(KernelError, match="this user has no home folder; set QGLOW_CACHE_DIR"):
            cache.cache_folder()
        assert objects.find(carried.name.split("-")[3]) == carried
        assert store.load("generic") is None and not cache.files("*")
        with pytest.raises(KernelError, match="no home folder"):
            objects.ensure("generic", emulated=True)

    as_stranger(work)


@pytest.mark.parametrize("home", [None, "", "relative", "~"])
def test_the_cache_is_never_in_the_current_folder(home: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QGLOW_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    if home is None:
        monkeypatch.delenv("HOME", raising=False)
    else:
        monkeypatch.setenv("HOME", home)
    if home:
        with pytest.raises(KernelError, match="no home folder"):
            cache.cache_folder()
    else:
        assert cache.cache_folder() == Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache" / "qglow"


def test_kernels_that_are_not_what_the_package_was_made_with_are_refused(carried: Path) -> None:
    assert Library(carried, "generic").address("execute")
    carried.write_bytes(objects.sealed(objects.unsealed(carried) + b"more"))
    with pytest.raises(
        KernelError, match="not the compiled kernels that this package was made with; install qglow again"
    ):
        Library(carried, "generic")
    (carried.parent / "kernels-other.o").write_bytes(carried.read_bytes())
    with pytest.raises(KernelError, match="install qglow again"):
        objects.unsealed(carried.parent / "kernels-other.o")


def test_what_was_measured_is_not_read_from_a_folder_that_others_may_write_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QGLOW_CACHE_DIR", str(folder))
    store.save("generic", store.Tuning())
    assert store.load("generic") is not None
    folder.chmod(0o777)
    assert store.load("generic") is None
