"""Owns bringing notes up to what the ledger says. Never reads an answer from one.

A note is written when its request is made and again once it is decided; in between only a feedback
line may be added. Whoever commits shows; what a dead process left unshown is caught up by cursor.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from weakref import WeakValueDictionary

from hitl_vault.core.events import Event, Recorded
from hitl_vault.core.model import Request, Status
from hitl_vault.document.ballot import Folder
from hitl_vault.document.frontmatter import parse_front_matter, text_of
from hitl_vault.document.patch import updated, with_feedback
from hitl_vault.document.reading import looks_torn, parse_document
from hitl_vault.engine.memory import Memory
from hitl_vault.engine.parts import Parts
from hitl_vault.errors import DocumentError, LedgerLost, StorageError
from hitl_vault.ports import Filter, Loaded, Shown, Signature

_log = logging.getLogger(__name__)
_GRACE_S = 1.5  # how long another process may take to show what it committed
_TRIES = 5
_TOGETHER_S = 0.05
_AGAIN_S = 1.0
_SAVE_S = 0.5  # what is shown is only a cache: losing it costs re-reading
_TAKEN = "the name is taken by something that is not a note"
_OLDER = (
    "What was decided and run since is not in it, and could run again: look through the notes that "
    "changed since, move them out of the vault, then delete .hitl/documents.db to go on"
)
_OPEN = frozenset({Status.PENDING, Status.APPROVED, Status.EXECUTING, Status.UNKNOWN})


class Display(Memory):
    """The notes of one vault, kept in step with its ledger."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts.vault)
        self._ledger = parts.ledger
        self._renderer, self._clock, self._options = parts.renderer, parts.clock, parts.options
        self._stale: dict[str, float] = {}
        self._failures: dict[str, str] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._next_save = 0.0
        self._followed = 0

    async def start(self) -> None:
        """Read what is shown, and which requests wait.

        Raises:
            LedgerLost: The notes show what the ledger does not know: it is an older copy.
        """
        shown_seq = await self._vault.shown_seq()  # before the head, which others move on
        self._followed = (await self._ledger.head()).seq
        if shown_seq > self._followed:
            raise LedgerLost(
                f"the notes show what happened up to event {shown_seq}, and the ledger ends at "
                f"{self._followed}: it is an older copy. {_OLDER}"
            )
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

    # showing

    def show_soon(self, id: str) -> None:
        """Bring the note up to date in a moment: approval, claim and end often come together."""
        self._stale.setdefault(id, self._clock.monotonic() + _TOGETHER_S)

    def next_flush(self) -> float:
        """Return the monotonic time at which a stale note is due, infinity if none is stale."""
        return min(self._stale.values(), default=math.inf)

    async def flush(self, *, all: bool = True) -> None:
        """Bring stale notes up to date, without `all` those that are due; save what is known."""
        now = math.inf if all else self._clock.monotonic()
        due = [id for id, at in self._stale.items() if at <= now]
        for id in due:
            del self._stale[id]
        for id in due:
            await self.show(id, as_heard=True)
        if self._unsaved and (all or self._clock.monotonic() >= self._next_save):
            self._next_save = self._clock.monotonic() + _SAVE_S
            await self._save()

    async def show(self, id: str, *, as_heard: bool = False) -> None:
        """Bring one note up to date now. What cannot be written is logged, never raised: the ledger
        holds the truth, and every later flush, here or in the next process, tries again.

        With `as_heard`, up to what this process has heard: whoever committed more shows that.
        """
        await self._guarded(id, lambda: self._show(id, as_heard=as_heard))

    async def show_new(self, request: Request) -> None:
        """Write the first note of a request this process has just made; never raises either."""
        self._track(request)
        await self._guarded(request.id, lambda: self._create(request))

    async def _guarded(self, id: str, work: Callable[[], Awaitable[None]]) -> None:
        async with self._lock(id):
            try:
                await work()
            except (StorageError, DocumentError) as error:
                self._stale[id] = self._clock.monotonic() + _AGAIN_S
                self._complain(id, error)
            else:
                self._failures.pop(id, None)

    def _lock(self, id: str) -> asyncio.Lock:
        return self._locks.setdefault(id, asyncio.Lock())

    def _complain(self, id: str, error: Exception) -> None:
        if self._failures.get(id) != str(error):
            self._failures[id] = str(error)
            _log.error("the note of %s cannot be written, it is tried again: %s", id, error)

    async def _show(self, id: str, *, as_heard: bool) -> None:
        heard = self._ledger.heard(id) if as_heard else None
        request = await self._ledger.get(id) if heard is None else heard.request
        if request is None:
            return
        self._track(request)
        known = await self.recall(id)
        if known is None:
            await self._adopt_or_create(request)
        elif known.rev < request.rev:
            await self._update(request, known)

    async def _render(self, request: Request) -> bytes:
        return self._renderer.render(request, await self._history(request)).encode()

    async def _history(self, request: Request) -> Sequence[Recorded]:
        heard = self._ledger.heard(request.id)
        if heard is not None and heard.request.rev >= request.rev:
            return [recorded for recorded in heard.history if recorded.event.rev <= request.rev]
        return await self._ledger.history(request.id)

    async def _adopt_or_create(self, request: Request) -> None:
        """The memory may be lost, and the note have been moved since: a second one would only be
        in its way."""
        found = await self._vault.find(request.id)
        if found is None:
            await self._create(request)
        else:
            await self._adopt(request, found)

    async def _adopt(self, request: Request, path: str) -> None:
        known = Shown(id=request.id, path=path, rev=0, signature=None, pristine=False)
        self.remember(known)
        if request.status is not Status.PENDING:
            await self._update(request, known)

    async def _create(self, request: Request) -> None:
        path = self._vault.path_for(request.id)
        signature = await self._vault.create(path, await self._render(request))
        if signature is not None:
            self.remember(_shown(request, path, signature, pristine=True))
            return
        # the name is taken: by a process that died before it could remember, or by one still at it
        found = await self._vault.find(request.id)
        if found is None:
            raise StorageError(f"{path}: {_TAKEN}")
        await self._adopt(request, found)

    async def create_again(self, id: str) -> bool:
        """Write a waiting request's missing note anew; False if it is no longer waiting."""
        request = await self._ledger.get(id)
        if request is None or request.status is not Status.PENDING:
            self.waiting.discard(id)
            return False
        path = self._vault.path_for(id)
        try:
            signature = await self._vault.create(path, await self._render(request))
        except (StorageError, DocumentError) as error:
            self._complain(id, error)
            return False
        if signature is not None:
            self.remember(_shown(request, path, signature, pristine=True))
            self._failures.pop(id, None)
        elif await self._vault.find(id) is None:
            self._complain(id, StorageError(f"{path}: {_TAKEN}"))
        return signature is not None

    async def written_again(self, request: Request, path: str, present: Loaded) -> bool:
        """Replace an empty or torn note by a fresh one."""
        return await self._put(request, path, present, await self._render(request), pristine=True)

    async def _update(self, request: Request, known: Shown) -> None:
        if request.status is Status.PENDING and await self._is_answerable(request, known):
            self.remember(replace(known, rev=request.rev))  # between asking and deciding: no write
            return
        if known.pristine and known.signature is not None:
            new = await self._render(request)
            signature = await self._vault.replace(known.path, known.signature, new)
            if signature is not None:
                self.remember(_shown(request, known.path, signature, pristine=True))
                return
        for _ in range(_TRIES):
            loaded = await self._vault.load(known.path)
            if loaded is None:
                found = await self._vault.find(request.id)
                if found is None:
                    self.remember(replace(known, rev=request.rev, signature=None))
                    return
                known = replace(known, path=found, pristine=False)
                continue
            new = await self._patched(request, loaded)
            if await self._put(request, known.path, loaded, new, pristine=False):
                return
        _log.warning("the note of %s keeps changing; it is brought up to date later", request.id)
        self.show_soon(request.id)

    async def _is_answerable(self, request: Request, known: Shown) -> bool:
        """True unless the note shows details that a reviewer has changed since."""
        if request.edited is None:
            return True
        loaded = await self._vault.load(known.path)
        if loaded is None:
            return False
        try:
            return parse_document(loaded.data).payload_sha256 == request.payload_in_force
        except DocumentError:
            return False

    async def _patched(self, request: Request, loaded: Loaded) -> bytes:
        history = await self._history(request)
        try:
            return updated(loaded.data, request, history, self._renderer)
        except DocumentError as error:
            fresh = self._renderer.render(request, history).encode()
            if looks_torn(loaded.data, fresh) and not holds_words(loaded.data, fresh):
                return fresh
            sentence = f"This note can no longer be read ({error.problem}). {standing(request)}"
            return with_feedback(loaded.data, sentence)

    async def _put(
        self, request: Request, path: str, present: Loaded, new: bytes, *, pristine: bool
    ) -> bool:
        signature: Signature | None = present.signature
        if new != present.data:
            signature = await self._vault.replace(path, present.data, new)
            if signature is None:
                return False
        self.remember(_shown(request, path, signature, pristine=pristine))
        return True

    async def tell(
        self, request: Request, path: str, present: Loaded, sentence: str, *, afresh: bool = False
    ) -> None:
        """Put one sentence into a note a person wrote into; at most one write for each of theirs.

        With `afresh`, the note is also brought up to date: to what was decided, or to an empty
        ballot for the next person.
        """
        base = await self._patched(request, present) if afresh else present.data
        new = with_feedback(base, sentence)
        signature: Signature | None = present.signature
        if new != present.data:
            signature = await self._vault.replace(path, present.data, new)
            if signature is None:
                return  # it changed meanwhile: it will be looked at again
        if afresh:
            self.remember(_shown(request, path, signature, pristine=False))
        else:
            self.seen(request.id, path, signature)

    # in the background

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
        for id in unshown:
            await self.show(id)
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
        # one look at the folders for all of them: a look for each would be quadratic
        present = {self._vault.request_id(found.path) for found in await self._vault.scan()}
        before = self._clock.now() - timedelta(seconds=_GRACE_S)
        for request in requests:
            if request.id in present or request.created_at > before:
                await self.show(request.id)  # its own process may be writing its note just now
            else:
                await self._guarded(request.id, partial(self._show_absent, request))
        if head.seq:
            await self._save(seq=head.seq)
        return head.seq

    async def _show_absent(self, request: Request) -> None:
        if await self.recall(request.id) is None:
            await self._create(request)
        else:
            await self._show(request.id, as_heard=False)

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
                self._complain(id, error)
            else:
                self._finished.pop(id, None)
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


def holds_words(data: bytes, fresh: bytes) -> bool:
    """Return True if the properties of a note without its end still hold what a person typed."""
    try:
        typed = parse_front_matter(data.decode("utf-8-sig")).entries
        written = parse_front_matter(fresh.decode()).entries
    except (DocumentError, UnicodeDecodeError):
        return False
    for key in ("status", "reviewer", "reason"):
        empty = "pending" if key == "status" else ""
        entry = typed.get(key)
        if entry is not None and text_of(entry) not in {text_of(written.get(key)), "", empty}:
            return True
    return False


def _shown(request: Request, path: str, signature: Signature | None, *, pristine: bool) -> Shown:
    return Shown(id=request.id, path=path, rev=request.rev, signature=signature, pristine=pristine)


def standing(request: Request) -> str:
    """Return where a decided request stands, as a sentence for the person in front of its note."""
    at = (request.decided_at or request.updated_at).strftime("%Y-%m-%d %H:%M UTC")
    match request.status:
        case Status.PENDING:
            return "It still waits for an answer."
        case Status.EXPIRED:
            return f"It expired at {at}; nothing was run. The agent has to ask again."
        case Status.CANCELLED:
            return f"It was cancelled at {at}."
        case Status.REJECTED:
            return f"It was rejected at {at}."
        case _:
            return f"It was approved at {at} and is {request.status}."
