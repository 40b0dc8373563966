"""Owns turning hints into votes: looks at notes, waits until they are quiet, hands answers in.

Never decides: the ledger does. Never trusts an event: every hint only means "look again", and a
full look at the folders runs every `rescan_s` besides.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from hitl_vault.core.model import Request, Status
from hitl_vault.document.ballot import Folder
from hitl_vault.engine.answers import Answers
from hitl_vault.engine.complaints import ROUNDS, Complaints, tried
from hitl_vault.engine.display import Display
from hitl_vault.engine.parts import Parts
from hitl_vault.engine.policies import Policies
from hitl_vault.engine.policy_record import PolicyRecord
from hitl_vault.engine.recording import Recording
from hitl_vault.engine.strangers import DELETE, Strangers, copy_of
from hitl_vault.errors import HitlVaultError
from hitl_vault.ports import Found, Hints, Loaded, Signature

_log = logging.getLogger(__name__)
_AT_ONCE = 64
_BALLOTS = frozenset({Folder.PENDING, Folder.APPROVED, Folder.REJECTED})
_TAKE_AWAY = "take it away, and the note is written again"
_UNDO = "undo the change, or delete the note and a fresh one is written"
_UNKNOWN = "looks like a document, but the ledger knows no such request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something in the folders that a person should know, such as a copy or a second note.

    `advice` is what to do about it, "" where there is nothing.
    """

    path: str
    text: str
    advice: str = ""

    @property
    def sentence(self) -> str:
        """The whole on one line."""
        return f"{self.path} {self.text}{self.advice and f': {self.advice}'}"


class Desk:
    """Reads the ballots of one vault."""

    def __init__(
        self,
        parts: Parts,
        display: Display,
        policies: Policies,
        recording: Recording,
        policy_record: PolicyRecord,
    ) -> None:
        self._parts, self._vault, self._clock = parts, parts.vault, parts.clock
        self._display, self._policies, self._record = display, policies, policy_record
        self._answers = Answers(parts, display, policies, recording, self._report)
        self._strangers = Strangers(parts, display)
        self._hinted: set[str] = set()
        self._due: dict[str, float] = {}
        self._next_scan = 0.0
        self._policy_due = math.inf
        self._wake = asyncio.Event()
        self._missing: dict[str, float] = {}
        self._unsettled: dict[str, tuple[bytes, float]] = {}
        self._unheard: dict[str, Signature] = {}
        self._looked_astray = False
        self._complaints = Complaints(_log, self._clock.monotonic, **ROUNDS)
        self.notices: dict[str, Notice] = {}

    # hints

    def hint(self, hints: Hints) -> None:
        """Take hints from the watcher; called on the event loop."""
        if hints.ledger:
            self._parts.ledger.hint()
        if hints.all:
            self._next_scan = 0.0
        for path in hints.paths:
            if path == self._parts.policy_path:
                self._policy_due = 0.0
                self._wake.set()
            elif self._vault.folder_of(path) is not Folder.OTHER:
                self._hinted.add(path)
        if hints.all or self._hinted:
            self._wake.set()

    def wake(self) -> None:
        """Something is to be shown: do not wait for the next round."""
        self._wake.set()

    async def run(self) -> None:
        """Look whenever there is a reason to, until cancelled."""
        while True:
            # whatever goes wrong, the desk must go on reading answers
            await tried(self.tick, self._complaints, "a round of the desk")
            await self._pause()

    async def _pause(self) -> None:
        if self._hinted:
            return
        now = self._clock.monotonic()
        soonest = min(self._next_scan, self._policy_due, self._display.next_flush())
        until = min([soonest, *self._due.values()])
        try:
            async with asyncio.timeout(max(0.0, until - now)):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def tick(self) -> None:
        """Do everything that is due now."""
        self._wake.clear()
        now = self._clock.monotonic()
        paths = {path for path in self._hinted if not self._is_as_seen(path)}
        self._hinted = set()
        due = {path for path, at in self._due.items() if at <= now}
        for path in due:
            del self._due[path]
        if now >= self._policy_due:
            await self._read_policy()
        await self._look_at(sorted(paths | due))
        try:
            if now >= self._next_scan:
                self._next_scan = now + self._parts.options.rescan_s
                await self._rescan()
        finally:
            await self._display.flush(all=False)

    def _is_as_seen(self, path: str) -> bool:
        """True for the hints that our own writes cause."""
        known = self._display.known(self._vault.request_id(path) or "")
        return (
            known is not None
            and known.path == path
            and known.signature is not None
            and self._vault.is_unchanged(path, known.signature)
        )

    async def _read_policy(self) -> None:
        wait_s = self._policies.reload()
        # before anything is waited for: a hint that comes meanwhile asks for another look
        self._policy_due = math.inf if wait_s is None else self._clock.monotonic() + wait_s
        await self._record.update()

    async def _look_at(self, paths: list[str]) -> None:
        for start in range(0, len(paths), _AT_ONCE):
            await asyncio.gather(*(self._look(path) for path in paths[start : start + _AT_ONCE]))

    # the folders as a whole

    async def _rescan(self) -> None:
        self._parts.ledger.hint()
        await self._read_policy()
        await self._display.catch_up()
        found = await self._vault.scan()
        present: set[str] = set()
        alike: defaultdict[str, list[tuple[str, Found]]] = defaultdict(list)
        for item in found:
            id = self._vault.request_id(item.path)
            if item.odd:
                self._notice(item.path, f"is {item.odd}, not a note, and is left alone", _TAKE_AWAY)
            elif id is None:
                said = await self._strangers.look(item)
                if said is None:
                    self.notices.pop(item.path, None)
                else:
                    self._notice(item.path, *said)
            else:
                present.add(id)
                alike[id.casefold()].append((id, item))
        changed: list[str] = []
        for items in alike.values():
            if len(items) > 1:
                await self._notice_all_but_one([(id, item.path) for id, item in items])
            for id, item in items:
                known = self._display.known(id)
                same = known is not None and known.path == item.path
                if len(items) > 1 or not same or known.signature != item.signature:  # type: ignore[union-attr]
                    changed.append(item.path)
        if not self._looked_astray:
            await self._notice_astray(self._display.waiting)
            self._looked_astray = True
        self._forget_gone({item.path for item in found} | await self._strangers.astray())
        await self._look_at(changed)
        await self._look_for_missing(present)

    async def _notice_all_but_one(self, notes: list[tuple[str, str]]) -> None:
        """Know of every second note before any of them is read; names differ in case at most."""
        requests = [await self._parts.ledger.get(id) for id in dict(notes)]
        for request in {request.id: request for request in requests if request}.values():
            paths = [path for id, path in notes if id == request.id]
            known = self._display.known(request.id)
            first = known.path if known is not None and known.path in paths else None
            first = first or await self._vault.find(request.id) or next(iter(paths), "")
            for path in paths:
                if path != first:
                    self._notice(path, _second(request.id, first), DELETE)

    def _forget_gone(self, present: set[str]) -> None:
        self._strangers.forget_all_but(present)
        memories: tuple[dict[str, Any], ...] = (self.notices, self._unheard, self._unsettled)
        for memory in memories:
            for path in [path for path in memory if path not in present]:
                del memory[path]

    def _report(self, path: str, loaded: Loaded, text: str) -> None:
        """Tell of a note what cannot be said in it; it is not read again until it changes."""
        self._unheard[path] = loaded.signature
        self._notice(path, text, _UNDO)

    def _notice(self, path: str, text: str, advice: str = "") -> bool:
        """Tell, once; return True if it was news."""
        notice = Notice(path=path, text=text, advice=advice)
        if self.notices.get(path) == notice:
            return False
        self.notices[path] = notice
        _log.warning("%s", notice.sentence)
        return True

    async def _notice_astray(self, ids: Collection[str]) -> None:
        for path, said in (await self._strangers.look_astray(ids)).items():
            self._notice(path, *said)

    async def _look_for_missing(self, present: set[str]) -> None:
        now = self._clock.monotonic()
        gone, again = self._display.waiting - present, set[str]()
        for id in [id for id in self._missing if id not in gone]:
            del self._missing[id]
        for id in gone:
            since = self._missing.setdefault(id, now)
            if now - since >= self._parts.options.missing_after_s:
                del self._missing[id]
                # an absent file is never an answer: the person gets a new ballot
                if await self._display.create_again(id):
                    _log.warning("the note of %s was missing and is written again", id)
                    again.add(id)
                    await self._point_from(id)
        if again:
            await self._notice_astray(again)

    async def _point_from(self, id: str) -> None:
        """Say in a note written again where the one that was missing may be."""
        elsewhere, path = self._strangers.about(id), self._vault.path_for(id)
        request, present = await self._parts.ledger.get(id), await self._vault.load(path)
        if elsewhere and request is not None and present is not None:
            sentence = (
                f"Not decided: {elsewhere} holds this note under another name, and what is in it "
                "is not read. Answer here, and delete that one."
            )
            await self._display.tell(request, path, present, sentence)

    # one note

    async def _look(self, path: str) -> None:
        try:
            await self._look_closely(path)
        except Exception as error:  # one note must never cost the others their turn
            known = isinstance(error, HitlVaultError)
            text = str(error) if known else f"{type(error).__name__}: {error}"
            if self._notice(path, f"cannot be read now, it is tried again: {text}") and not known:
                _log.exception("reading %s failed", path)

    async def _look_closely(self, path: str) -> None:
        id = self._vault.request_id(path)
        if id is None or self._vault.folder_of(path) not in _BALLOTS or self._is_unheard(path, id):
            return
        loaded = await self._vault.load(path)
        if loaded is None:
            self._unsettled.pop(path, None)
            return
        known = await self._display.recall(id)
        if known is not None and known.path == path and known.signature == loaded.signature:
            self.notices.pop(path, None)
            return
        request = await self._parts.ledger.get(id)
        if request is None:
            if path not in self.notices:
                copied = self._strangers.named_in(path)
                said = (_UNKNOWN, DELETE) if copied is None else copy_of(copied)
                self._notice(path, *said)
            return
        if request.id != id:  # the ledger takes ids in any case, a note only its own
            self._notice(path, *copy_of(request.id))
            return
        first = await self._vault.find(id) if known is None else known.path
        if first is not None and first != path and await self._vault.load(first):
            await self._two_notes(request, first, path)
            return
        other = await self._other_note(id, path)
        if other is not None:
            await self._two_notes(request, path, other)
            return
        await self._judge(request, path, loaded)
        if path not in self._unheard:
            self.notices.pop(path, None)

    def _is_unheard(self, path: str, id: str) -> bool:
        """True while a waiting note is as it was when what is wrong with it was reported."""
        unheard = self._unheard.pop(path, None)
        if unheard and id in self._display.waiting and self._vault.is_unchanged(path, unheard):
            self._unheard[path] = unheard
            return True
        return False

    async def _other_note(self, id: str, path: str) -> str | None:
        """Return a second note of this request that was noticed and is still there."""
        for notice in list(self.notices.values()):
            if notice.path != path and self._vault.request_id(notice.path) == id:
                if await self._vault.load(notice.path):
                    return notice.path
                del self.notices[notice.path]
        return None

    async def _two_notes(self, request: Request, first: str, second: str) -> None:
        self._notice(second, _second(request.id, first), DELETE)
        if request.status is not Status.PENDING:
            return
        present = await self._vault.load(first)
        if present is not None and self._is_quiet(first, present, request):
            sentence = (
                f"Not decided: there are two notes for this request, {first} and {second}. "
                "Delete one of them; the other then counts."
            )
            await self._display.tell(request, first, present, sentence)
            self._display.unseen(request.id)  # it is to be read once it is alone

    async def _judge(self, request: Request, path: str, loaded: Loaded) -> None:
        wait_s = await self._answers.look(
            request,
            path,
            self._vault.folder_of(path),
            loaded,
            quiet=lambda: self._is_quiet(path, loaded, request),
            age_s=lambda: self._age(path, loaded),
        )
        if wait_s is not None:
            self._due[path] = self._clock.monotonic() + wait_s

    def _age(self, path: str, loaded: Loaded) -> float:
        """Return for how long, in seconds of our own looking, the note has had these bytes."""
        digest, now = hashlib.sha256(loaded.data).digest(), self._clock.monotonic()
        before, since = self._unsettled.get(path, (b"", now))
        if before != digest:
            self._unsettled[path] = (digest, now)
            return 0.0
        return now - since

    def _is_quiet(self, path: str, loaded: Loaded, request: Request) -> bool:
        settle_s = max(self._parts.options.settle_s, request.requirement.settle_s or 0.0)
        age = self._age(path, loaded)
        if age >= settle_s:
            self._unsettled.pop(path, None)
            return True
        self._due[path] = self._clock.monotonic() + settle_s - age
        return False


def _second(id: str, first: str) -> str:
    return f"is a second note of {id}, beside {first}; neither is read"
