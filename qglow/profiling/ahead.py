"""Samples are read while those before them are run: another thread keeps a few of them ready."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextvars import copy_context
from queue import Queue
from threading import Semaphore
from typing import TypeVar

from ..threads import start

T = TypeVar("T")
READY = 3  # items that wait


class _End:
    """After the last item. error: what ended them, None where all are there."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Iterable[T], ready: int = READY) -> Iterator[T]:
    """The items in their order, and the error that they end with. At most `ready` are made before they are asked for;
    where no thread is to be had, none is.

    NOTE: the thread is not waited for. It ends with the item that it is making when the consumer stops.
    """
    found: Queue[T | _End] = Queue()
    room, stopped = Semaphore(ready), False

    def read() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                found.put(item)
                room.acquire()
                if stopped:
                    return
        except BaseException as raised:  # NOTE: the consumer's to raise
            error = raised
        found.put(_End(error))

    context = copy_context()
    if not start(lambda: context.run(read)):
        yield from items
        return
    try:
        while True:
            item = found.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            room.release()
            yield item
    finally:
        stopped = True
        room.release()
