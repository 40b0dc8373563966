"""Owns what follows from one reading of one note: a vote, a sentence in the note, or nothing.

Never decides. What is unclear is answered in the note and the waiter keeps waiting.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import assert_never

from hitl_vault.core import commands as c
from hitl_vault.core import voting
from hitl_vault.core.model import Answer, Assurance, Request, Status
from hitl_vault.document.ballot import Answered, Folder, Unclear, Untouched, read_ballot
from hitl_vault.document.feedback import takes_feedback
from hitl_vault.document.reading import Document, looks_torn, parse_document
from hitl_vault.engine import proving
from hitl_vault.engine.codes import issue_where_wanted
from hitl_vault.engine.display import Display
from hitl_vault.engine.edits import propose
from hitl_vault.engine.parts import Parts
from hitl_vault.engine.policies import Policies
from hitl_vault.engine.recording import Recording
from hitl_vault.engine.showing import holds_words, standing
from hitl_vault.errors import ConfigError, DocumentError, InvalidRequest, TrustError
from hitl_vault.ports import Kept, Loaded, Receipt

_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be")
_AGAIN_S = 0.2  # how soon a half-written note is read again


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
        ballot = read_ballot(document, request, folder)
        if isinstance(ballot, Untouched):
            self._display.seen(request.id, path, loaded.signature)
        elif not quiet():
            pass
        elif isinstance(ballot, Unclear):
            await self._display.tell(request, path, loaded, ballot.sentence)
        elif isinstance(ballot, Answered):
            await self._hand_in(request, path, loaded, ballot)
        else:
            assert_never(ballot)
        return None

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
            return None
        near = f"near line {error.line}: " if error.line > 1 else ""
        sentence = (
            f"Not decided: this note cannot be read ({near}{error.problem}). Undo the change, or "
            "delete the note and a fresh one is written."
        )
        await self._display.tell(request, path, loaded, sentence)
        return None

    async def _fresh(self, request: Request) -> bytes:
        history = await self._parts.ledger.history(request.id)
        return self._parts.renderer.render(request, history).encode()

    async def _hand_in(self, request: Request, path: str, loaded: Loaded, ballot: Answered) -> None:
        reviewer = ballot.reviewer or voting.UNNAMED
        edit = None
        if ballot.answer is Answer.EDIT:
            try:
                edit = propose(
                    request, ballot.details or {}, self._policies, self._parts.clock.now()
                )
            except InvalidRequest as error:
                sentence = f"Not decided: the changes cannot be accepted: {error}."
                await self._display.tell(request, path, loaded, sentence)
                return
        await self._recording.look(at_once=True)
        vote = c.Vote(
            id=request.id,
            reviewer=reviewer,
            answer=ballot.answer,
            payload_sha256=request.payload_in_force,
            reason=ballot.reason,
            assurance=Assurance.EDITED,
            channel="note",
            **self._parts.standing(reviewer),
            edit=edit,
        )
        if ballot.code:
            try:
                vote = await proving.by_code(self._parts, request, vote, ballot.code)
            except (TrustError, ConfigError) as error:  # the tick stays: only the code is wrong
                await self._display.tell(request, path, loaded, f"Not decided: {error}.")
                return
        receipt = await self._parts.ledger.submit(vote)
        if receipt.kept is Kept.REFUSED and receipt.request is not None:
            await self._record_refused(receipt.request, vote)
        await self._acknowledge(receipt, vote, path, loaded)

    async def _record_refused(self, request: Request, vote: c.Vote) -> None:
        """Record a code that another answer used up in between."""
        problem = proving.proves_nothing(self._parts, request, vote)
        if problem:
            with contextlib.suppress(TrustError):
                await proving.refuse(self._parts, vote, problem)

    async def _acknowledge(self, receipt: Receipt, vote: c.Vote, path: str, loaded: Loaded) -> None:
        request = receipt.request
        if request is None:
            return
        if vote.edit is not None and receipt.kept is Kept.ACCEPTED:
            await issue_where_wanted(self._parts, request)  # codes are for the details in force
        match receipt.kept:
            case Kept.ACCEPTED if request.status is Status.PENDING and vote.edit is None:
                sentence = _counted(request, vote)
                await self._display.tell(request, path, loaded, sentence, afresh=True)
            case Kept.REFUSED:
                sentence = f"Not decided: {receipt.message}."
                await self._display.tell(request, path, loaded, sentence)
            case Kept.CONFLICT:
                await self._display.tell(request, path, loaded, _too_late(request), afresh=True)
            case _:
                self._display.seen(request.id, path, loaded.signature)
                self._display.show_soon(request.id)

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
        ballot = read_ballot(document, request, folder)
        contradicts = isinstance(ballot, Unclear) or (
            isinstance(ballot, Answered) and not _as_decided(ballot, request)
        )
        if not contradicts:
            self._display.seen(request.id, path, loaded.signature)
            self._display.show_soon(request.id)
        elif quiet():
            await self._display.tell(request, path, loaded, _too_late(request), afresh=True)


def _as_decided(ballot: Answered, request: Request) -> bool:
    if ballot.answer is Answer.REJECT:
        return request.status is Status.REJECTED
    return request.status.was_approved


def _too_late(request: Request) -> str:
    return f"Too late: this note no longer decides anything. {standing(request)}"


def _counted(request: Request, vote: c.Vote) -> str:
    tally = voting.tally(request)
    said = "a rejection" if vote.answer is Answer.REJECT else "an approval"
    stages = len(request.requirement.stages)
    stage = f" in stage {tally.stage + 1} of {stages}" if stages > 1 else ""
    cast = next((known for known in request.votes if known.reviewer == vote.reviewer), None)
    by = f"{vote.reviewer} for {cast.on_behalf_of}" if cast and cast.on_behalf_of else vote.reviewer
    return (
        f"Counted: {said} by {by}. {tally.approvals} of {tally.needed} approvals so far"
        f"{stage}. The next person puts their own name in `reviewer` and answers in the same way."
    )
