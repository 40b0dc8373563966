"""Owns writing one note after what the ledger says. Never reads an answer from one.

A note is written when its request is made and again once it is decided; in between only a feedback
line may be added.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from weakref import WeakValueDictionary

from hitl_vault.core.events import Recorded
from hitl_vault.core.model import Request, Status
from hitl_vault.document.ballot import Folder
from hitl_vault.document.frontmatter import CODE, parse_front_matter, text_of
from hitl_vault.document.patch import updated, with_feedback
from hitl_vault.document.reading import looks_torn, parse_document
from hitl_vault.engine.complaints import Complaints
from hitl_vault.engine.memory import Memory
from hitl_vault.engine.parts import Parts
from hitl_vault.errors import DocumentError, StorageError
from hitl_vault.ports import Loaded, Shown, Signature, VaultFolder

_log = logging.getLogger(__name__)
_TRIES = 5
_TOGETHER_S = 0.05
_AGAIN_S = 1.0
_SAVE_S = 0.5  # what is shown is only a cache: losing it costs re-reading
_TAKEN = "the name is taken by something that is not a note"
_ORDER = [Folder.PENDING, Folder.APPROVED, Folder.REJECTED]

Find = Callable[[str], Awaitable[str | None]]


class Showing(Memory):
    """Writes one note, or many, as the ledger says."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts.vault, parts.ledger)
        self._renderer, self._clock, self._options = parts.renderer, parts.clock, parts.options
        self._voters = parts.voters_to_show
        self._stale: dict[str, float] = {}
        self._complaints = Complaints(
            _log,
            parts.clock.monotonic,
            failing="the note of %s cannot be written, it is tried again",
            working="the note of %s can be written again",
        )
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._next_save = 0.0
        self.reads_first = False  # a running desk reads what a person wrote before it is written to

    def show_soon(self, id: str) -> None:
        """Bring the note up to date in a moment: approval, claim and end often come together."""
        self._stale.setdefault(id, self._clock.monotonic() + _TOGETHER_S)

    def next_flush(self) -> float:
        """Return the monotonic time at which a stale note is due, infinity if none is stale."""
        return min(self._stale.values(), default=math.inf)

    async def flush(self, *, all: bool = True) -> None:
        """Bring stale notes up to date, without `all` those that are due; save what is known."""
        now = math.inf if all else self._clock.monotonic()
        for id in [id for id, at in self._stale.items() if at <= now]:
            since = self._stale.pop(id, now)
            try:
                await self.show(id)
            except BaseException:  # a cancellation: whoever flushes next shows it
                self._stale.setdefault(id, since)
                raise
        if self._unsaved and (all or self._clock.monotonic() >= self._next_save):
            self._next_save = self._clock.monotonic() + _SAVE_S
            await self._save()

    async def show(self, id: str) -> None:
        """Bring one note up to date now. What cannot be written is logged, never raised: the ledger
        holds the truth, and every later flush, here or in the next process, tries again.
        """
        await self._guarded(id, lambda: self._show(id))

    async def _show_all(self, ids: Iterable[str]) -> None:
        """Bring many up to date, with one look at the folders for all: a look for each would grow
        with the square of their number.
        """
        look = _OneLook(self._vault)
        for id in ids:
            await self._guarded(id, partial(self._show, id, find=look.find))

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
                self._complaints.failed(id, str(error))
            else:
                self._complaints.worked(id)

    def _lock(self, id: str) -> asyncio.Lock:
        return self._locks.setdefault(id, asyncio.Lock())

    async def _show(self, id: str, *, find: Find | None = None) -> None:
        request = await self._ledger.get(id)
        if request is None:
            return
        self._track(request)
        known = await self.recall(id)
        if known is None:
            await self._adopt_or_create(request, find or self._vault.find)
        elif known.rev < request.rev:
            await self._update(request, known)

    async def _render(self, request: Request) -> bytes:
        return self.fresh(request, await self._history(request))

    def fresh(self, request: Request, history: Sequence[Recorded]) -> bytes:
        """Return the note as it would be written new."""
        return self._renderer.render(request, history, self._voters(request)).encode()

    async def _history(self, request: Request) -> Sequence[Recorded]:
        heard = self._ledger.heard(request.id)
        if heard is not None and heard.request.rev >= request.rev:
            return [recorded for recorded in heard.history if recorded.event.rev <= request.rev]
        return await self._ledger.history(request.id)

    async def _adopt_or_create(self, request: Request, find: Find) -> None:
        """The memory may be lost, and the note have been moved since: a second one would only be
        in its way."""
        found = await find(request.id)
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
            self._complaints.failed(id, str(error))
            return False
        if signature is not None:
            self.remember(_shown(request, path, signature, pristine=True))
            self._complaints.worked(id)
        elif await self._vault.find(id) is None:
            self._complaints.failed(id, f"{path}: {_TAKEN}")
        return signature is not None

    async def written_again(self, request: Request, path: str, present: Loaded) -> bool:
        """Replace an empty or torn note by a fresh one."""
        return await self._put(request, path, present, await self._render(request), pristine=True)

    async def _update(self, request: Request, known: Shown) -> None:
        if request.status is Status.PENDING and await self._is_answerable(request, known):
            # between asking and deciding: no write; a tick may have waited for its stage, though
            waits = len(request.requirement.stages) > 1 and not known.pristine
            signature = None if waits else known.signature
            self.remember(replace(known, rev=request.rev, signature=signature))
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
            if self._is_unread(request, known, loaded):
                return
            # read after the note: what another process has shown meanwhile is never taken back
            request = await self._ledger.get(request.id) or request
            new = await self._patched(request, loaded)
            if await self._put(request, known.path, loaded, new, pristine=False):
                return
        _log.warning("the note of %s keeps changing; it is brought up to date later", request.id)
        self.show_soon(request.id)

    def _is_unread(self, request: Request, known: Shown, loaded: Loaded) -> bool:
        """True if a person wrote into a decided note what the desk has still to read: it may be an
        answer that came too late, and who gave it must be told. The desk has it shown then.
        """
        return (
            self.reads_first
            and request.status is not Status.PENDING
            and loaded.signature != known.signature
            and self._vault.folder_of(known.path) is not Folder.DONE
        )

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

    async def _patched(self, request: Request, loaded: Loaded, spent_code: str = "") -> bytes:
        history = await self._history(request)
        try:
            voters = self._voters(request)
            return updated(
                loaded.data, request, history, self._renderer, voters, spent_code=spent_code
            )
        except DocumentError as error:
            fresh = self.fresh(request, history)
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
        self,
        request: Request,
        path: str,
        present: Loaded,
        sentence: str,
        *,
        afresh: bool = False,
        spent_code: str = "",
    ) -> None:
        """Put one sentence into a note a person wrote into; at most one write for each of theirs.

        With `afresh`, the note is also brought up to date: to what was decided, or to an empty
        ballot for the next person. `spent_code` is the code that was just counted; another one that
        stands there is left to who typed it.
        """
        base = await self._patched(request, present, spent_code) if afresh else present.data
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


class _OneLook:
    """Finds notes by one look at the folders that wait for answers, made when the first is sought.
    Notes in Done are known by other means, or belong to what is over.
    """

    def __init__(self, vault: VaultFolder) -> None:
        self._vault = vault
        self._paths: dict[str, str] | None = None

    async def find(self, id: str) -> str | None:
        """Return where the note of a request lay then."""
        if self._paths is None:
            self._paths = {}
            found = [item.path for item in await self._vault.scan()]
            for path in sorted(found, key=lambda path: _ORDER.index(self._vault.folder_of(path))):
                self._paths.setdefault(self._vault.request_id(path) or "", path)
        return self._paths.get(id)


def holds_words(data: bytes, fresh: bytes) -> bool:
    """Return True if the properties of a note without its end still hold what a person typed."""
    try:
        typed = parse_front_matter(data.decode("utf-8-sig")).entries
        written = parse_front_matter(fresh.decode()).entries
    except (DocumentError, UnicodeDecodeError):
        return False
    for key in ("status", "reviewer", "reason", CODE):
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
