"""Owns the thread that does a vault's disk work. Never knows what the work is.

Waking the event loop costs about as much as writing a small file. Work that is handed in while
other work is done is therefore told of together; a piece of work alone is told of at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

_T = TypeVar("_T")
_TOGETHER_S = 0.001


@dataclass(slots=True)
class _Piece:
    work: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None

    def do(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:  # whoever handed it in must hear of it
            self.error = error

    def tell(self) -> None:
        if self.future.done():  # its waiter was cancelled
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Worker:
    """One thread that does what it is handed, in order. It begins with the first piece of work."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: queue.SimpleQueue[_Piece | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def do(self, work: Callable[[], _T]) -> _T:
        """Return what the work returns, or raise what it raises. Work once begun is finished, also
        where its waiter is cancelled.
        """
        if self._closed:
            raise RuntimeError(f"{self._name} is closed")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()
        self._queue.put(_Piece(work, loop, future))
        return await future

    def _run(self) -> None:
        while (piece := self._queue.get()) is not None:
            begun = time.monotonic()
            done: list[_Piece] = []
            while piece is not None:
                piece.do()
                done.append(piece)
                if self._queue.empty() or time.monotonic() - begun > _TOGETHER_S:
                    break
                piece = self._queue.get()
            _tell(done)
            if piece is None:
                return

    async def aclose(self) -> None:
        """Finish what was handed in, then end the thread."""
        self._closed = True
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            await asyncio.sleep(0)  # let the last results arrive


def _tell(done: list[_Piece]) -> None:
    for loop in {piece.loop for piece in done}:
        mine = [piece for piece in done if piece.loop is loop]
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
            loop.call_soon_threadsafe(_tell_all, mine)


def _tell_all(pieces: list[_Piece]) -> None:
    for piece in pieces:
        piece.tell()
