"""A long job on the workers of a dask scheduler: parts go out, results come back in the order of the parts.

1. A part is done again elsewhere where its worker dies; what all parts share is computed again with it.
2. At most AHEAD parts for each thread of the workers are under way: memory does not grow with the number of parts.
3. The error of the first part that has one is raised, whichever part ends first.
4. Workers have the version of qglow that this process has. What else has to be equal is the job's to say.
"""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from typing import Any, TypeVar
from uuid import uuid4

from .arguments import shown
from .errors import ConfigError, QGlowError, in_one_line
from .targets import choose
from .words import counted

AHEAD = 3
CONNECT, PATIENCE, LOOK = 20.0, 60.0, 5.0  # seconds: to reach the scheduler; without a worker; between two looks
DISTRIBUTIONS = ("qglow", "numpy", "onnxruntime")
T = TypeVar("T")
Requirements = Mapping[str, str]  # what a worker must have: names of `identity` with their values


def identity() -> dict[str, str]:
    """What results may hang on: versions by distribution, and the instruction set of the kernels."""
    from . import __version__  # NOTE: a version that the package states before it imports anything

    found = {"qglow": __version__, "instruction set": choose()[0].name}
    for name in DISTRIBUTIONS[1:]:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def needs(*names: str) -> Requirements:
    """This process's own values of these names of `identity`, and of qglow's version."""
    own = identity()
    return {name: own[name] for name in ("qglow", *names)}


def check_needs(wanted: Requirements, where: str, found: Mapping[str, str] | None = None) -> None:
    """Raises ConfigError where a process lacks what is wanted. found: its identity, None for this one's."""
    found = identity() if found is None else found
    for name, value in wanted.items():
        if found.get(name, "absent") != value:
            raise ConfigError(
                f"dask: worker {where} has {name} {found.get(name, 'absent')}, this process {value}; the results would "
                "not be the same: give both the same"
            )


class Cluster:
    """The workers of a scheduler. client: a distributed.Client."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def threads(self) -> int:
        """Of all workers, at least 1. Raises ConfigError where no worker comes for PATIENCE seconds."""
        end = time.monotonic() + PATIENCE
        while not (found := self.client.nthreads()):
            if time.monotonic() > end:
                raise ConfigError(f"dask: the scheduler at {self.address} has no worker; start some (dask worker)")
            time.sleep(0.2)
        return max(1, sum(found.values()))

    @property
    def address(self) -> str:
        return str(self.client.scheduler.address)

    def check(self, wanted: Requirements) -> None:
        """Raises ConfigError where a worker that is there lacks what is wanted."""

        def ask() -> dict[str, str]:
            try:
                from qglow.cluster import identity  # NOTE: of the worker's own installation, if there is one
            except ImportError:
                return {}
            return identity()

        for where, found in self._of_each(ask).items():
            check_needs(wanted, where, found)

    def all_say(self, question: Callable[..., bool], *arguments: Any) -> bool:
        """Whether a function of a module is true on every worker that is there."""
        return all(found is True for found in self._of_each(question, *arguments).values())

    def _of_each(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        self.threads()
        found = self.client.run(function, *arguments, on_error="return")
        for error in found.values():
            if isinstance(error, BaseException):
                raise _clear(error)
        return dict(found)

    def map(self, function: Callable[[Any, Any], T], shared: Any, parts: Iterable[Any]) -> Iterator[T]:
        """function(shared, part) of every part, in order. function: of a module. shared: pickled once."""
        import dask  # NOTE: an extra, which nothing else needs

        packed = pickle.dumps(shared)
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            held = self.client.submit(_same, (uuid4().hex, packed), pure=False)
            under_way: deque[Any] = deque()
            try:
                for part in parts:
                    under_way.append(self.client.submit(_run, function, held, part, pure=False))
                    while len(under_way) >= AHEAD * self.threads():
                        yield self._result(under_way.popleft())
                while under_way:
                    yield self._result(under_way.popleft())
            finally:
                self.client.cancel([held, *under_way], force=True)

    def _result(self, future: Any) -> Any:
        while True:
            try:
                error = future.exception(timeout=LOOK)
                break
            except TimeoutError:
                self.threads()
        if error is not None:
            raise _clear(error)
        return future.result()


@contextmanager
def connected(scheduler: Any) -> Iterator[Cluster]:
    """A scheduler's workers. scheduler: its address, the path of its --scheduler-file, or a distributed.Client.

    Raises ConfigError where dask.distributed is not installed, and where nothing answers.
    """
    try:
        from distributed import Client  # NOTE: an extra, which nothing else needs
    except ImportError as error:
        raise ConfigError("dask: dask.distributed is not installed; pip install 'qglow[dask]'") from error
    if isinstance(scheduler, Client):
        yield Cluster(scheduler)
        return
    if not isinstance(scheduler, str) or not scheduler:
        raise ConfigError(f"dask: expected the address of a scheduler, such as tcp://host:8786; got {shown(scheduler)}")
    where = {"scheduler_file": scheduler} if os.path.isfile(scheduler) else {"address": scheduler}
    try:
        client = Client(**where, timeout=CONNECT, set_as_default=False)
    except Exception as error:  # NOTE: an address may be wrong in as many ways as there are protocols
        raise ConfigError(f"dask: no scheduler answers at {scheduler}: {in_one_line(error, 100)}") from error
    try:
        yield Cluster(client)
    finally:
        client.close()


def _clear(error: BaseException) -> BaseException:
    """The error of a worker as this process raises it."""
    if isinstance(error, QGlowError):
        return error
    if type(error).__name__ == "KilledWorker":
        dead = counted(getattr(error, "allowed_failures", 0) + 1, "worker")
        return ConfigError(f"dask: {dead} died at the same part; their logs say why, mostly it is too little memory")
    return ConfigError(f"dask: a worker failed: {type(error).__name__}: {in_one_line(error)}")


# What a worker runs


_LAST = threading.local()  # what this thread unpacked last, and its key


def _same(packed: tuple[str, bytes]) -> tuple[str, bytes]:
    """NOTE: what all parts share is a task's result: with the worker that holds it, it would be lost for good if it
    were sent in any other way."""
    return packed


def _run(function: Callable[[Any, Any], T], packed: tuple[str, bytes], part: Any) -> T:
    if getattr(_LAST, "key", None) != packed[0]:
        _LAST.key, _LAST.value = packed[0], pickle.loads(packed[1])
    return function(_LAST.value, part)
