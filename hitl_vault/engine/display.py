"""Owns keeping all notes in step with the ledger. Never reads an answer from one.

Whoever commits shows; what a dead process left unshown is caught up by cursor.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta

from hitl_vault.core.events import Event
from hitl_vault.core.model import Status
from hitl_vault.document.ballot import Folder
from hitl_vault.document.reading import looks_torn
from hitl_vault.engine.parts import Parts
from hitl_vault.engine.showing import Showing
from hitl_vault.errors import LedgerLost, StorageError
from hitl_vault.ports import Filter

_GRACE_S = 1.5  # how long another process may take to show what it committed
_OPEN = frozenset({Status.PENDING, Status.APPROVED, Status.EXECUTING, Status.UNKNOWN})


class Display(Showing):
    """The notes of one vault."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._followed = 0

    async def check_ledger(self) -> None:
        """Make sure that the ledger is the one the notes were written from, before anything is
        added to it.

        Raises:
            LedgerLost: The notes show what the ledger does not know: it is an older copy.
        """
        known = await self._vault.known_head()  # before the head, which others move on
        self._followed = (await self._ledger.head()).seq
        if known is None:
            return
        if known.seq > self._followed:
            raise LedgerLost.older(known.seq, self._followed)
        async with aclosing(self._ledger.changes(known.seq - 1, follow=False)) as changes:
            async for recorded in changes:
                if recorded.hash != known.hash:  # an older copy that has grown since
                    raise LedgerLost.older(known.seq, self._followed)
                return

    async def start(self) -> None:
        """Read what is shown, and which requests wait. Call `check_ledger` before."""
        self._shown = await self._vault.shown()
        pending = await self._ledger.find(Filter(statuses=frozenset({Status.PENDING})))
        self.waiting = {request.id for request in pending}
        for shown in self._shown.values():
            if shown.id not in self.waiting:
                request = await self._ledger.get(shown.id)
                if request is not None and request.status.is_terminal:
                    self._finished[shown.id] = request.updated_at
                if request is not None and request.rev > shown.rev:
                    self.show_soon(shown.id)  # its last process did not live to show it

    async def catch_up(self) -> None:
        """Show what a process committed and did not live to show."""
        seq = await self._vault.shown_seq() or await self._show_everything_open()
        now = self._clock.now()
        unshown: set[str] = set()
        recent: set[str] = set()
        upto, settled = seq, True
        # the cursor `seq` is every process's, and tells where to show; what others asked, showed
        # and finished since, each process has to learn for itself
        start = min(seq, self._followed)
        async with aclosing(self._ledger.changes(start, follow=False)) as changes:
            async for recorded in changes:
                # a clock that was set back makes old events look new: those are shown at once
                if timedelta(0) <= now - recorded.event.at < timedelta(seconds=_GRACE_S):
                    settled = False
                news = not self._is_known(recorded.event)
                if news:
                    recent.add(recorded.event.request_id)
                if settled:
                    self._followed = max(self._followed, recorded.seq)
                    if recorded.seq > seq:
                        upto = recorded.seq
                        if news:
                            unshown.add(recorded.event.request_id)
        await self._learn(recent, recent - unshown)
        await self._show_all(unshown)
        if upto > seq:
            await self._save(seq=upto)

    def _is_known(self, event: Event) -> bool:
        """Say whether this process showed what the event states, and has nothing to learn of it."""
        shown = self._shown.get(event.request_id)
        return shown is not None and shown.rev >= event.rev

    async def _learn(self, recent: set[str], untracked: set[str]) -> None:
        for id, shown in (await self._vault.shown(recent)).items() if recent else ():
            mine = self._shown.get(id)
            if self._vault.folder_of(shown.path) is Folder.DONE:
                self._shown.pop(id, None)  # another process archived it
            elif mine is None or mine.rev < shown.rev:
                self._shown[id] = shown
        for id in untracked:
            request = await self._ledger.get(id)
            if request is not None:
                self._track(request)

    async def _show_everything_open(self) -> int:
        head = await self._ledger.head()
        requests = await self._ledger.find(Filter(statuses=_OPEN, oldest_first=True))
        now, grace = self._clock.now(), timedelta(seconds=_GRACE_S)
        # the notes of what is being asked just now are left to who asks
        young = {
            request.id for request in requests if timedelta(0) <= now - request.created_at < grace
        }
        await self._show_all(request.id for request in requests if request.id not in young)
        asked = [(await self._ledger.history(id))[0].seq for id in young]
        seq = min((seq - 1 for seq in asked), default=head.seq)
        if seq:
            await self._save(seq=seq)
        return seq

    async def archive(self, older_than_s: float | None = None) -> int:
        """Move notes finished this long ago to the Done folder; return how many were moved."""
        age = self._options.archive_after_s if older_than_s is None else older_than_s
        before = self._clock.now() - timedelta(seconds=age)
        moved = 0
        for id, at in list(self._finished.items()):
            if at > before:
                continue
            try:
                if await self._is_torn(id):
                    continue
                async with self._lock(id):
                    moved += await self._archive(id, at)
            except StorageError as error:  # this one next time, the others now
                self._complaints.failed(id, str(error))
            else:
                self._finished.pop(id, None)
                self._complaints.worked(id)
        return moved

    async def _is_torn(self, id: str) -> bool:
        """True for a note that is to be written again first: in Done nobody looks at it."""
        known = self._shown.get(id)
        if known is None or (
            known.signature is not None and self._vault.is_unchanged(known.path, known.signature)
        ):
            return False
        loaded = await self._vault.load(known.path)
        return loaded is not None and looks_torn(loaded.data)

    async def _archive(self, id: str, at: datetime) -> bool:
        known = self._shown.get(id)
        if known is None:
            return False
        to = self._vault.done_path(id, at)
        signature = await self._vault.move(known.path, to)
        if signature is not None:
            self.remember(replace(known, path=to, signature=signature))
        elif await self._vault.load(known.path) is None:
            del self._shown[id]  # another process archived it, or a person took it away
        return signature is not None
