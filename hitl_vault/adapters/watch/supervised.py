"""Owns the choice between file events and polling, and the life of either. Never reads a note.

Events are the quick way and polling the sure one. A folder that gives no events looks, from inside,
exactly like one that nobody touches: so it is tested, and looked after.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

from hitl_vault.adapters.watch.gathering import Gathering
from hitl_vault.adapters.watch.mounts import shared_filesystem
from hitl_vault.adapters.watch.names import PROBE
from hitl_vault.adapters.watch.polling import Polling
from hitl_vault.ports import Hints

logger = logging.getLogger(__name__)


class Observing(Protocol):
    """A watch by file events that has begun."""

    def trouble(self) -> str | None:
        """Say why events no longer arrive, None if they should. May block."""
        ...

    def stop(self) -> None:
        """End it and its threads. Idempotent."""
        ...


class SupervisedWatcher:
    """The watcher of a vault: file events where they arrive, polling where they do not.

    Args:
        root: The vault. It need not be there yet; it may go and come back.
        mode: `auto` tests whether events arrive and polls while they do not.
        poll_s: Time between two hints to look at everything, when polling.
        self_test_s: How long the event of the self-test's file may take.
        also: Paths to hint at besides those of notes, relative to the vault, with `/`.
        check_s: Time between two looks at whether events still arrive.
        open_observer: Begins a watch by events, or raises OSError; for tests.

    Guarantees:
        Runs on: event loop; waits for the disk and for threads in a thread, except in `start`.
        After every beginning, and whenever events may have been lost, one hint says `all`.
        Nothing in the vault is changed, but for a self-test's file in `.hitl/`, removed at once.
    """

    def __init__(
        self,
        root: Path,
        *,
        mode: Literal["auto", "events", "polling"] = "auto",
        poll_s: float = 1.0,
        self_test_s: float = 1.0,
        check_s: float = 1.0,
        also: frozenset[str] = frozenset(),
        open_observer: Callable[[Path, Gathering], Observing] | None = None,
    ) -> None:
        self._root = root
        self._mode = mode
        self._poll_s = poll_s
        self._self_test_s = self_test_s
        self._check_s = check_s
        self._open_observer = open_observer or functools.partial(_open_observer, also)
        self._gathering: Gathering | None = None
        self._polling: Polling | None = None
        self._task: asyncio.Task[None] | None = None
        self._observing: Observing | None = None
        self._changing = threading.Lock()
        self._closed = False
        self._trouble = ""
        self._shared: str | None = None
        self._untested = False
        self._silent = False
        self._remark = ""

    def start(self, on_hints: Callable[[Hints], None]) -> None:
        """Begin. What happens in the vault after this returned gives a hint.

        Raises:
            RuntimeError: It was started or closed before.
        """
        if self._gathering is not None or self._closed:
            raise RuntimeError("a watcher is started once")
        gathering = self._gathering = Gathering(asyncio.get_running_loop(), on_hints)
        self._polling = Polling(lambda: gathering.add(all=True, ledger=True), self._poll_s)
        if self._mode != "polling":
            self._repair(gathering)
            self._task = asyncio.create_task(self._supervise(gathering), name="hitl watcher")
        self._choose()

    def health(self) -> str:
        """Say in a few words how changes are seen: by events, by polling, and why."""
        if self._closed:
            return "closed"
        if self._gathering is None:
            return "not started"
        if self._polling is not None and self._polling.is_running:
            return f"polling every {self._poll_s:g} s: {self._reason_to_poll()}"
        if self._observing is None:
            return f"no file events: {self._trouble or 'starting again'}"
        return f"file events ({self._remark})" if self._remark else "file events"

    async def aclose(self) -> None:
        """Stop: no hint and no thread afterwards. Idempotent."""
        self._closed = True
        if self._gathering is not None:
            self._gathering.close()
        if self._polling is not None:
            self._polling.stop()
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})
        self._stop_observing()  # a task that was cancelled before its first step did not

    async def _supervise(self, gathering: Gathering) -> None:
        try:
            while True:
                if self._untested and self._mode == "auto":
                    await self._self_test(gathering)
                self._choose()
                await asyncio.sleep(self._check_s)
                try:
                    await asyncio.to_thread(self._repair, gathering)
                except Exception:  # watching must outlive whatever one look ran into
                    logger.exception("could not look after the watch of %s", self._root)
        finally:
            self._closed = True
            gathering.close()
            self._stop_observing()

    def _repair(self, gathering: Gathering) -> None:
        """Make sure that a watch by events is at work, if it is possible now."""
        # Under the lock `aclose` cannot overlook a watch that is just being made in a thread.
        with self._changing:
            if self._closed:
                return
            if self._observing is not None:
                trouble = self._observing.trouble()
                if trouble is None:
                    return
                logger.warning(
                    "file events of %s stopped (%s), starting again", self._root, trouble
                )
                self._observing.stop()
                self._observing = None
            try:
                self._observing = self._open_observer(self._root, gathering)
                self._shared = shared_filesystem(self._root)
            except (OSError, RuntimeError) as error:  # no folder, no watch left; no thread left
                trouble = getattr(error, "strerror", None) or str(error)
                if trouble != self._trouble:
                    logger.warning("no file events of %s: %s", self._root, trouble)
                self._trouble = trouble
                return
            self._untested = True
            self._trouble = ""
        gathering.add(all=True, ledger=True)

    async def _self_test(self, gathering: Gathering) -> None:
        self._silent = False
        gathering.heard.clear()
        refusal = await asyncio.to_thread(_leave_probe, self._root)
        self._remark = f"not tested: {refusal}" if refusal else ""
        if not refusal:
            try:
                async with asyncio.timeout(self._self_test_s):
                    await gathering.heard.wait()
            except TimeoutError:
                self._silent = True
        self._untested = False

    def _choose(self) -> None:
        if self._closed or self._polling is None:
            return
        reason = self._reason_to_poll()
        if reason and not self._polling.is_running:
            logger.info("polling %s every %s s: %s", self._root, self._poll_s, reason)
            self._polling.start()
        elif not reason and self._polling.is_running:
            logger.info("file events of %s arrive, polling ends", self._root)
            self._polling.stop()

    def _reason_to_poll(self) -> str:
        """Return why events are not enough, empty if they are. The watch is kept all the same."""
        if self._mode == "polling":
            return "the setting says so"
        if self._mode == "events":
            return ""
        if self._observing is None:
            return self._trouble
        if self._untested and self._polling is not None and self._polling.is_running:
            return "file events are back, and being tested"
        if self._shared is not None:
            return f"what others change on {self._shared} brings no file events"
        # The test's event may only have been late, on a machine under load.
        if self._silent and self._gathering is not None and not self._gathering.heard.is_set():
            return "no file events arrive here"
        return ""

    def _stop_observing(self) -> None:
        with self._changing:
            if self._observing is not None:
                self._observing.stop()
                self._observing = None


def _open_observer(also: frozenset[str], root: Path, gathering: Gathering) -> Observing:
    from hitl_vault.adapters.watch.observer import FolderObserver

    return FolderObserver(root, gathering, also)


def _leave_probe(root: Path) -> str:
    """Write and remove a file whose events must arrive; return why that cannot be done."""
    probe = root / f"{PROBE}{os.getpid()}-{secrets.token_hex(4)}"
    if not probe.parent.is_dir():
        return f"no folder {probe.parent.name}"
    try:
        try:
            with probe.open("xb") as file:
                file.write(b"\n")
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        return f"{probe.parent.name} is not writable, {error.strerror}"
    return ""
