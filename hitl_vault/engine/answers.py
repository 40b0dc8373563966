"""Owns what follows from one reading of one note: votes, a sentence in the note, or nothing.

Never decides. What is unclear is answered in the note and the waiter keeps waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hitl_vault.core import commands as c
from hitl_vault.core import voting
from hitl_vault.core.model import Answer, Assurance, Request, Status
from hitl_vault.document.ballot import Answered, Folder
from hitl_vault.document.feedback import takes_feedback
from hitl_vault.document.own_ballot import (
    counted_from_note,
    has_own_lines,
    read_answers,
    said_before,
)
from hitl_vault.document.own_reader import NOTE, Readings
from hitl_vault.document.reading import Document, looks_torn, parse_document
from hitl_vault.document.voters import Voters
from hitl_vault.engine import proving, replies
from hitl_vault.engine.codes import issue_where_wanted
from hitl_vault.engine.display import Display
from hitl_vault.engine.edits import propose
from hitl_vault.engine.parts import Parts
from hitl_vault.engine.policies import Policies
from hitl_vault.engine.recording import Recording
from hitl_vault.engine.showing import holds_words
from hitl_vault.engine.spans import said
from hitl_vault.errors import ConfigError, DocumentError, InvalidRequest, TrustError
from hitl_vault.ports import Kept, Loaded, Receipt

_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be")
_AGAIN_S = 0.2  # how soon a half-written note is read again
_SPARE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """A note as read: whether each person has lines of their own, and a feedback line stands."""

    path: str
    loaded: Loaded
    own: bool
    told: bool


class Answers:
    """Reads ballots and hands them in.

    `report` is told, with the path and the note as read, what cannot be said in a note itself.
    """

    def __init__(
        self,
        parts: Parts,
        display: Display,
        policies: Policies,
        recording: Recording,
        report: Callable[[str, Loaded, str], None],
    ) -> None:
        self._parts, self._display, self._policies = parts, display, policies
        self._recording, self._report = recording, report
        self._ticked: dict[str, frozenset[str]] = {}

    async def look(
        self,
        request: Request,
        path: str,
        folder: Folder,
        loaded: Loaded,
        *,
        quiet: Callable[[], bool],
        age_s: Callable[[], float],
    ) -> float | None:
        """Act on a note as read.

        Args:
            quiet: True once the note has been the same for the settle time; else it has arranged
                for another look.
            age_s: For how long the note has been the same.

        Returns:
            Seconds after which to look again, None if there is no need.
        """
        try:
            document = parse_document(loaded.data, path=path)
        except DocumentError as error:
            return await self._unreadable(request, path, loaded, error, age_s)
        if request.status is not Status.PENDING:
            await self._late(request, path, folder, loaded, document, quiet)
            return None
        voters = self._parts.voters(request)
        read = await self._read(document, request, folder, voters)
        emptied = self._emptied(request, read)
        if not (read.answers or read.sentences or read.remarks or emptied):
            self._ticked[request.id] = read.ticked
            self._display.seen(request.id, path, loaded.signature)
        elif quiet():
            self._ticked[request.id] = read.ticked
            said = [*read.sentences, *read.remarks, *map(replies.stays, emptied)]
            own = has_own_lines(document, {voter.mark for voter in voters.people})
            note = _Note(path=path, loaded=loaded, own=own, told=bool(document.outline.feedback))
            if read.answers:
                await self._recording.look(at_once=True)
            await self._hand_in(request, note, read.answers, said, voters)
        return None

    async def _read(
        self, document: Document, request: Request, folder: Folder, voters: Voters
    ) -> Readings:
        if not request.votes:
            return read_answers(document, request, folder, voters, {})
        history = await self._parts.ledger.history(request.id)
        counted, said = counted_from_note(request, history), said_before(request, history)
        return read_answers(document, request, folder, voters, counted, said)

    def _emptied(self, request: Request, read: Readings) -> list[str]:
        """Return whose box was ticked and counted, and is empty now."""
        waiting = self._display.waiting
        if len(self._ticked) > 2 * len(waiting) + _SPARE:
            self._ticked = {id: names for id, names in self._ticked.items() if id in waiting}
        gone = self._ticked.get(request.id, frozenset()) - read.ticked
        if read.sentences or read.answers:
            return []
        voted = {vote.reviewer for vote in request.votes if vote.channel == NOTE}
        return sorted(gone & voted)

    async def _unreadable(
        self,
        request: Request,
        path: str,
        loaded: Loaded,
        error: DocumentError,
        age_s: Callable[[], float],
    ) -> float | None:
        if request.status is Status.PENDING and not takes_feedback(loaded.data):
            self._report(path, loaded, f"cannot be read, so nothing is decided: {error.problem}")
            return None
        options = self._parts.options
        ends = any(f"hitl:end {request.id}".encode(code) in loaded.data for code in _ENCODINGS)
        patience = options.settle_s if ends else options.unreadable_after_s
        fresh = await self._fresh(request)
        torn = looks_torn(loaded.data, fresh)
        if torn:
            patience = options.missing_after_s
        if age_s() < patience:
            return min(_AGAIN_S, patience)
        if torn and not holds_words(loaded.data, fresh):
            await self._display.written_again(request, path, loaded)
            return None
        if request.status is not Status.PENDING:
            self._display.seen(request.id, path, loaded.signature)
            self._display.show_soon(request.id)
            return None
        near = f"near line {error.line}: " if error.line > 1 else ""
        sentence = (
            f"Not decided: this note cannot be read ({near}{error.problem}). Undo the change, or "
            "delete the note and a fresh one is written."
        )
        await self._display.tell(request, path, loaded, sentence)
        return None

    async def _fresh(self, request: Request) -> bytes:
        return self._display.fresh(request, await self._parts.ledger.history(request.id))

    async def _hand_in(
        self,
        request: Request,
        note: _Note,
        answers: Sequence[Answered],
        said: list[str],
        voters: Voters,
    ) -> None:
        """Hand in one answer after the other, and tell what there is to tell, in one write.

        What decides the request or changes its details ends it: the rest is of another question.
        """
        now, counted, spent = request, "", ""
        for answered in answers:
            try:
                vote = await self._proved(now, answered)
            except (InvalidRequest, TrustError, ConfigError) as error:
                said.append(_not_accepted(error))  # the tick stays
                continue
            receipt = await self._submit(vote)
            if receipt.request is None:
                return
            now = receipt.request
            if _ends(receipt, vote):
                await self._end(now, receipt, note)
                return
            if receipt.kept is Kept.ACCEPTED:
                counted, spent = replies.counted(now, vote, own=note.own), answered.code or spent
                # a code must make room for the next person's
                said += [] if answered.by_line and not answered.code else [counted]
            elif receipt.kept is Kept.DUPLICATE and not answered.by_line:
                # its words make room: a tick left standing would pass for the answer of whoever
                # writes a name beside it
                counted = replies.repeated(now, vote, receipt.message, own=note.own)
                said.append(counted)
            elif receipt.kept in {Kept.REFUSED, Kept.UNPROVED}:
                said.append(
                    replies.refused_line(now, vote, receipt.message, voters)
                    if note.own
                    else f"Not decided: {receipt.message}."
                )
        if counted and note.told and not said:
            said.append(counted)  # in the place of what was said before it was clear
        if said:
            await self._tell(now, note, said, afresh=note.own or bool(counted), spent_code=spent)
        else:
            self._leave(now, note)

    async def _proved(self, request: Request, answered: Answered) -> c.Vote:
        vote = self._vote(request, answered)
        if not answered.code:
            return vote
        return await proving.by_code(self._parts, request, vote, answered.code)

    async def _submit(self, vote: c.Vote) -> Receipt:
        heard = self._parts.ledger.heard(vote.id)
        trace = None if heard is None else heard.request.trace
        with self._parts.tracer.span("hitl.decide", trace, said(vote)):
            receipt = await self._parts.ledger.submit(vote)
        request = receipt.request
        if request is not None and receipt.kept is Kept.ACCEPTED and vote.edit is not None:
            await issue_where_wanted(self._parts, request)  # for the details in force
        return receipt

    async def _end(self, request: Request, receipt: Receipt, note: _Note) -> None:
        if receipt.kept is Kept.CONFLICT:
            await self._tell(request, note, [replies.too_late(request)], afresh=True)
        else:
            self._leave(request, note)

    def _leave(self, request: Request, note: _Note) -> None:
        self._display.seen(request.id, note.path, note.loaded.signature)
        self._display.show_soon(request.id)

    async def _tell(
        self, request: Request, note: _Note, said: list[str], *, afresh: bool, spent_code: str = ""
    ) -> None:
        sentence = replies.joined(said)
        await self._display.tell(
            request, note.path, note.loaded, sentence, afresh=afresh, spent_code=spent_code
        )

    def _vote(self, request: Request, answered: Answered) -> c.Vote:
        """Return the vote that an answer in a note is, told apart by reviewer, answer and reason.

        Nothing in a tick proves whose it is: how sure the vote is, is decided here alone.

        Raises:
            InvalidRequest: The changed details cannot be accepted.
        """
        reviewer = answered.reviewer or voting.UNNAMED
        edit = None
        if answered.answer is Answer.EDIT:
            now = self._parts.clock.now()
            edit = propose(request, answered.details or {}, self._policies, now)
        return c.Vote(
            id=request.id,
            reviewer=reviewer,
            answer=answered.answer,
            payload_sha256=request.payload_in_force,
            reason=answered.reason,
            assurance=Assurance.EDITED,
            channel=NOTE,
            **self._parts.standing(reviewer),
            edit=edit,
        )

    async def _late(
        self,
        request: Request,
        path: str,
        folder: Folder,
        loaded: Loaded,
        document: Document,
        quiet: Callable[[], bool],
    ) -> None:
        """Answer a note that says something else than what was decided; the decision stands."""
        self._ticked.pop(request.id, None)
        read = await self._read(document, request, folder, self._parts.voters_to_show(request))
        contradicts = bool(read.sentences) or any(
            not _as_decided(answered, request) for answered in read.answers
        )
        if not contradicts:
            self._display.seen(request.id, path, loaded.signature)
            self._display.show_soon(request.id)
        elif quiet():
            await self._display.tell(request, path, loaded, replies.too_late(request), afresh=True)


def _as_decided(ballot: Answered, request: Request) -> bool:
    if ballot.answer is Answer.REJECT:
        return request.status is Status.REJECTED
    return request.status.was_approved


def _not_accepted(error: Exception) -> str:
    if isinstance(error, InvalidRequest):
        return f"Not decided: the changes cannot be accepted: {error}."
    return f"Not decided: {error}."


def _ends(receipt: Receipt, vote: c.Vote) -> bool:
    """True if the question the note asks is no longer open: decided, or its details changed."""
    if receipt.kept is Kept.ACCEPTED:
        pending = receipt.request is not None and receipt.request.status is Status.PENDING
        return vote.edit is not None or not pending
    return receipt.kept in {Kept.CONFLICT, Kept.STALE}
