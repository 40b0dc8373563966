"""Owns passing signals on to the command that `hitl run` runs. Never ends this process by one:
how the command ended must be recorded first.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import Process
from types import TracebackType
from typing import Self

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Forwarding:
    """While it is entered, signals go to `child`; without one, `caught` keeps the first."""

    def __init__(self) -> None:
        self.child: Process | None = None
        self.caught: int | None = None

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in _FORWARDED:
            loop.add_signal_handler(number, self._take, number)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in _FORWARDED:
            loop.remove_signal_handler(number)

    def _take(self, number: int) -> None:
        self.caught = self.caught or number
        if self.child is None or (number == signal.SIGINT and _typed_for_all()):
            return
        with contextlib.suppress(ProcessLookupError):
            self.child.send_signal(number)


def _typed_for_all() -> bool:
    """True if Ctrl-C at the terminal reaches the command by itself: it is in the foreground too."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
