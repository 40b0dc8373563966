"""Owns one recursive watch on a vault by file events. Never reads a note, never decides.

Imported when watching begins: watchdog is slow to import, and most commands never watch.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.polling import PollingObserver

from hitl_vault.adapters.watch.gathering import Gathering
from hitl_vault.adapters.watch.names import BELL, PROBE, is_note, is_visible

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

logger = logging.getLogger(__name__)

PAIRING_S = 0.005
"""How long the end of a move may wait for its other half."""

# On Linux a save is over when the file is closed. `modified` comes with the truncate already, for
# a file that is empty, so it is asked for only where no closing is reported.
_WRITTEN: type[FileSystemEvent] = FileClosedEvent if sys.platform == "linux" else FileModifiedEvent
_EVENTS: list[type[FileSystemEvent]] = [
    *(_WRITTEN, FileCreatedEvent, FileMovedEvent, FileDeletedEvent),
    *(DirCreatedEvent, DirMovedEvent, DirDeletedEvent),
]
_PAIRING = (
    ("watchdog.observers.inotify_move_event_grouper", "InotifyMoveEventGrouper"),  # 7
    ("watchdog.observers.inotify_buffer", "InotifyBuffer"),  # 6
)
# While a watch ends, its emitter may still hold one event it has just read; watchdog 7 logs an
# error for that, and no order of stopping prevents it: ending the reading is what wakes the reader.
_READER_LOGGER = "watchdog.observers.inotify"
_LATE_READ = "called when the thread is inactive"
_OVERFLOW_LOGGER = "watchdog.observers.inotify_c"
# watchdog 7 warns, at length, that it has met a folder twice whenever folders are made or moved
# quickly. Where warnings are errors that ends its reading thread.
_MET_TWICE = r"Callback with id '.*' (already exists|does not exist) for watch "
_JOIN_S = 5.0
_setting_delay = threading.Lock()


class FolderObserver:
    """A watch that began when this was made; its hints go to `gathering`.

    Hinted at are notes, and the paths in `also`.

    Raises:
        OSError: The folder is not there, or the system grants no (more) watches.

    Guarantees:
        Runs on: any thread. `stop` is idempotent and returns when the threads have ended.
    """

    def __init__(
        self, root: Path, gathering: Gathering, also: frozenset[str] = frozenset()
    ) -> None:
        self._root = root
        self._identity = _identity(root)
        # watchdog does not follow a symbolic link even where it is the root itself.
        resolved = os.path.realpath(root)
        self._overflow = _OverflowEar(gathering)
        warnings.filterwarnings("ignore", _MET_TWICE, RuntimeWarning)
        self._observer: BaseObserver = Observer()
        if isinstance(self._observer, PollingObserver):
            raise OSError("file events are not supported on this system")
        try:
            self._observer.schedule(
                _Handler(resolved, gathering, also),
                resolved,
                recursive=True,
                event_filter=_EVENTS,
            )
            with _brief_pairing():
                self._observer.start()
        except BaseException:
            self._threads = self._parts()
            self._farewell = _Farewell(self._threads)
            self.stop()
            raise
        self._threads = self._parts()
        self._farewell = _Farewell(self._threads)
        logging.getLogger(_OVERFLOW_LOGGER).addFilter(self._overflow)
        logging.getLogger(_READER_LOGGER).addFilter(self._farewell)

    def trouble(self) -> str | None:
        """Say why events of the folder no longer arrive, None if they should."""
        # When a watched folder dies its emitter ends while the observer goes on, seemingly alive;
        # a reader that died leaves both of them so.
        if not self._observer.emitters or not all(t.is_alive() for t in self._threads):
            return "a watching thread ended"
        try:
            if _identity(self._root) != self._identity:
                return "the folder was replaced"
        except OSError as error:
            return f"the folder cannot be reached: {error.strerror}"
        return None

    def stop(self) -> None:
        """End the watch and its threads."""
        logging.getLogger(_OVERFLOW_LOGGER).removeFilter(self._overflow)
        try:
            self._observer.stop()
        except Exception:  # a watch that is broken already must not keep a new one from beginning
            logger.exception("watching %s did not stop cleanly", self._root)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_JOIN_S)
        logging.getLogger(_READER_LOGGER).removeFilter(self._farewell)

    def _parts(self) -> list[threading.Thread]:
        """Return every thread of the watch; the reader's is reachable by private names only."""
        owners: list[threading.Thread] = [self._observer, *self._observer.emitters]
        held = [
            thread
            for owner in owners
            for thread in vars(owner).values()
            if isinstance(thread, threading.Thread)
        ]
        return list(dict.fromkeys([*owners, *held]))


class _Handler(FileSystemEventHandler):
    """Runs in watchdog's thread, so it only translates paths and never raises."""

    def __init__(self, root: str, gathering: Gathering, also: frozenset[str]) -> None:
        self._prefix = os.path.join(root, "")  # noqa: PTH118 -- pathlib drops the final separator
        self._gathering, self._also = gathering, also

    def dispatch(self, event: FileSystemEvent) -> None:
        """Turn one event into hints; its kind does not matter."""
        try:
            for path in (event.src_path, event.dest_path):
                if path:
                    self._tell(os.fsdecode(path), is_directory=event.is_directory)
        except Exception:  # one that escaped would end the thread, and all hints with it
            logger.exception("not understood: %r", event)
            self._gathering.add(all=True)

    def _tell(self, path: str, *, is_directory: bool) -> None:
        if not path.startswith(self._prefix):  # the root itself, or another spelling of it
            self._gathering.add(all=True)
            return
        inner = path.removeprefix(self._prefix).replace(os.sep, "/")
        if inner == BELL or (is_directory and BELL.startswith(f"{inner}/")):
            self._gathering.add(ledger=True)
        elif inner.startswith(PROBE):
            self._gathering.add(probe=True)
        elif is_directory:
            # Files moved in or out with their folder have no event of their own.
            if is_visible(inner):
                self._gathering.add(all=True)
        elif is_note(inner) or inner in self._also:
            self._gathering.add((inner,))


class _OverflowEar(logging.Filter):
    """Hears that the kernel dropped events: watchdog 7 tells nobody but its log.

    watchdog 6 does not even log it. Then the engine's own full look every few seconds finds what
    was missed, so a lost overflow costs time and nothing else.
    """

    def __init__(self, gathering: Gathering) -> None:
        super().__init__()
        self._gathering = gathering

    def filter(self, record: logging.LogRecord) -> bool:
        if "overflow" in str(record.msg):
            self._gathering.add(all=True, ledger=True)
        return True


class _Farewell(logging.Filter):
    """Drops the one complaint of our own threads about an event read while they were ended."""

    def __init__(self, threads: list[threading.Thread]) -> None:
        super().__init__()
        self._idents = {thread.ident for thread in threads}

    def filter(self, record: logging.LogRecord) -> bool:
        return record.thread not in self._idents or _LATE_READ not in str(record.msg)


@contextlib.contextmanager
def _brief_pairing() -> Iterator[None]:
    """Let a watch started inside wait `PAIRING_S` for the other half of a move, not half a second.

    After a file left the vault every event behind it waits that long. The delay is an attribute of
    a class, copied by each watch when it starts, inside `Observer.start()` and on the same thread:
    setting it for that moment leaves other users of watchdog in this process as they are, and needs
    no private name. Not 0: a folder's move whose halves are read apart confuses watchdog about the
    paths of the watches inside it, and nearly all halves come within microseconds.
    """
    grouper = _pairing_class()
    if grouper is None:
        yield
        return
    with _setting_delay:
        usual = grouper.delay  # type: ignore[attr-defined]
        grouper.delay = PAIRING_S  # type: ignore[attr-defined]
        try:
            yield
        finally:
            grouper.delay = usual  # type: ignore[attr-defined]


def _pairing_class() -> type | None:
    for module, name in _PAIRING if sys.platform == "linux" else ():
        with contextlib.suppress(ImportError, AttributeError):
            found = getattr(importlib.import_module(module), name)
            if isinstance(found, type) and hasattr(found, "delay"):
                return found
    return None


def _identity(root: Path) -> tuple[int, int]:
    status = root.stat()
    return status.st_dev, status.st_ino
