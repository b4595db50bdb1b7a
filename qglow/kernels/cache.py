"""The folder of compiled kernels. What lies there becomes code of this process, so only what the user or root can have
written is taken.

An object's own hash shows damage, never where it comes from: who can write the file can write its hash. So the folder
is opened step by step from the root, by descriptors, and everything in it relative to its own descriptor: nobody can
put another in its place meanwhile.

1. A symbolic link on the way must belong to the user or to root; the folder itself, and a file in it, must be no link.
2. The folder, a file in it, and every folder on the way must belong to the user or to root (who owns `/` counts as
   root).
3. Nobody else may write to the folder or to a file in it, and nobody at all to a folder on the way, unless its sticky
   bit is set. Who can write to a folder on the way as a member of its group can put there only what already belongs to
   the user or to root, by rule 2.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import KernelError

HINT = "set QGLOW_CACHE_DIR to a folder of your own"
RESERVED = 1 << 20  # bytes, more than an object takes: a full disk is found before kernels are compiled
LARGEST = 1 << 26  # bytes of a file that is read
MOST_LINKS = 40
_STEP = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def cache_folder() -> Path:
    """Where objects are kept: QGLOW_CACHE_DIR, or the user's cache directory. Raises KernelError where the user has
    none."""
    given = os.environ.get("QGLOW_CACHE_DIR")
    if given:
        return Path(os.path.abspath(given))
    if sys.platform != "linux":
        from platformdirs import user_cache_dir

        return Path(user_cache_dir("qglow"))
    # NOTE: as platformdirs has it; to import that would cost each process time
    base = os.environ.get("XDG_CACHE_HOME", "").strip()
    if os.path.isabs(base):
        return Path(base) / "qglow"
    home = os.environ.get("HOME", "") or _home_of_the_user()
    if not os.path.isabs(home):
        raise KernelError(f"no place for compiled kernels: this user has no home folder; {HINT}")
    return Path(home) / ".cache" / "qglow"


def _home_of_the_user() -> str:
    """As /etc/passwd has it; empty where this user is not in it."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""


@contextmanager
def opened(path: Path, make: bool = False) -> Iterator[int]:
    """A descriptor of a folder that meets the rules above; make: with mode 0700 what is missing.

    Raises FileNotFoundError where it is not there, and KernelError where it breaks a rule or cannot be opened or made.
    """
    try:
        at = _walk(path, make)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not make:
            raise
        raise KernelError(f"{path}: no place for compiled kernels ({error.strerror}); {HINT}") from error
    try:
        yield at
    finally:
        os.close(at)


def _walk(path: Path, make: bool) -> int:
    at, links = os.open("/", _STEP), 0
    names = list(reversed(path.parts[1:]))
    try:
        while names:
            name = names.pop()
            info = _found(name, at, make)
            if stat.S_ISLNK(info.st_mode):
                links += 1
                target = _target(path, name, at, info, not names or links > MOST_LINKS)
                names += [p for p in reversed(target.parts) if p != "/"]
                following = os.open("/" if target.is_absolute() else ".", _STEP, dir_fd=at)
            else:
                following = os.open(name, _STEP, dir_fd=at)
            # NOTE: an interrupt must not close it twice: the number may be another file's by then
            left, at = at, following
            os.close(left)
            refused = _refusal(os.fstat(at), last=not names)
            if refused:
                where = path if not names else f"{path}: the folder {name} on the way"
                raise KernelError(f"{where} {refused}, so compiled kernels cannot be trusted there; {HINT}")
        return at
    except BaseException:
        os.close(at)
        raise


def _found(name: str, at: int, make: bool) -> os.stat_result:
    """What is there, not followed; make: a folder where nothing is."""
    try:
        return os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):  # NOTE: another process was faster
        os.mkdir(name, 0o700, dir_fd=at)
    return os.stat(name, dir_fd=at, follow_symlinks=False)


def _target(path: Path, name: str, at: int, info: os.stat_result, refused: bool) -> Path:
    """Where a link on the way leads."""
    if refused or info.st_uid not in _trusted():
        raise KernelError(f"{path}: {name} is a symbolic link, so compiled kernels cannot be trusted there; {HINT}")
    return Path(os.readlink(name, dir_fd=at))


def _trusted() -> tuple[int, ...]:
    """Who may have written kernels. NOTE: in a user namespace root may have another number; `/` is always root's."""
    return os.geteuid(), 0, os.stat("/").st_uid


def _refusal(info: os.stat_result, last: bool) -> str:
    """Why a folder is not trusted, empty where it is."""
    if info.st_uid not in _trusted():
        return f"belongs to another user (number {info.st_uid})"
    if last and info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written to by others (mode {stat.S_IMODE(info.st_mode):04o})"
    if info.st_mode & stat.S_IWOTH and not info.st_mode & stat.S_ISVTX:
        return f"can be written to by everybody (mode {stat.S_IMODE(info.st_mode):04o})"
    return ""


def holds(path: Path) -> bool:
    """Whether a file is there that `read` would take. Raises KernelError where its folder breaks a rule."""
    try:
        with opened(path.parent) as folder:
            os.close(_open_file(path.name, folder))
    except OSError:
        return False
    return True


def read(path: Path) -> bytes:
    """The bytes of a file of the folder, read once from the descriptor that was checked. Raises OSError and
    KernelError."""
    with opened(path.parent) as folder, open(_open_file(path.name, folder), "rb") as file:
        return file.read(min(os.fstat(file.fileno()).st_size, LARGEST))


def _open_file(name: str, folder: int) -> int:
    """A descriptor of a plain file that nobody else can have written. Raises PermissionError where it is something
    else."""
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    info = os.fstat(handle)
    if stat.S_ISREG(info.st_mode) and info.st_uid in _trusted() and not info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return handle
    os.close(handle)
    raise PermissionError(1, "not a plain file of this user's alone", name)


@contextmanager
def replaced(path: Path) -> Iterator[int]:
    """A descriptor of a new file, which takes its place when the block ends without an error, and is gone otherwise.

    Raises KernelError, before the block, where the folder breaks a rule or a file of RESERVED bytes cannot be made in
    it.
    """
    with opened(path.parent, make=True) as folder:
        name, handle = f"kernels-{os.urandom(16).hex()}.tmp", -1
        try:
            handle = _new(name, folder, path)
            _reserve(handle, path)
            yield handle
            os.rename(name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            if handle >= 0:
                os.close(handle)
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)


def _new(name: str, folder: int, path: Path) -> int:
    try:
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder)
    except OSError as error:
        raise KernelError(f"{path.parent}: compiled kernels cannot be kept there ({error.strerror}); {HINT}") from error


def _reserve(handle: int, path: Path) -> None:
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle, 0, RESERVED)
    except OSError as error:
        raise KernelError(f"{path.parent}: compiled kernels cannot be kept there ({error.strerror}); {HINT}") from error


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a lock among processes; without one where the file system has none. Raises KernelError where its file cannot
    be made.

    The file stays: a process may wait for it, and another that finds it gone would make a lock of its own.
    """
    import fcntl

    with opened(path.parent, make=True) as folder:
        try:
            handle = os.open(
                path.name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600, dir_fd=folder
            )
        except OSError as error:
            raise KernelError(
                f"{path.parent}: compiled kernels cannot be kept there ({error.strerror}); {HINT}"
            ) from error
    with open(handle, "rb"):  # NOTE: the lock ends with the file, and with the process
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_UN)  # NOTE: a process that was forked meanwhile has the file open too


def files(*patterns: str) -> list[Path]:
    """Files of the cache folder by the patterns of `glob`; none where there is no such folder."""
    try:
        folder = cache_folder()
    except KernelError:
        return []
    return [p for pattern in patterns for p in sorted(folder.glob(pattern)) if p.is_file() or p.is_symlink()]
