"""Owns the half of the API that answers: approve, reject, cancel, comment, resolve. Never decides.

Each call is one command, judged by the ledger. What was not accepted is raised.
"""

from __future__ import annotations

from abc import abstractmethod

from hitl_vault.core import commands as c
from hitl_vault.core.model import Answer, Assurance, Details, Request, Status
from hitl_vault.engine.checks import (
    MAX_TEXT_BYTES,
    digest_of,
    name_of,
    text_of,
    word_of,
)
from hitl_vault.engine.edits import propose
from hitl_vault.engine.execution import check_outcome
from hitl_vault.engine.looking import Looking
from hitl_vault.engine.policies import Policies
from hitl_vault.engine.recording import Recording
from hitl_vault.engine.timers import mark_if_dead
from hitl_vault.errors import InvalidRequest
from hitl_vault.ports import Receipt


class Answering(Looking):
    """What a reviewer, a requester or an operator may say about a request."""

    policies: Policies
    _recording: Recording

    @abstractmethod
    async def _submit(self, command: c.Command, *, show: bool = True) -> Receipt: ...

    async def approve(
        self,
        id: str,
        *,
        reviewer: str,
        reason: str = "",
        details: Details | None = None,
        payload_sha256: str | None = None,
    ) -> Request:
        """Vote for a request; with `details`, for the action with those details instead.

        Nothing proves who calls this, so the vote is recorded as `edited`.

        Args:
            payload_sha256: The digest of what the reviewer was shown (`payload_in_force`); None
                takes what is in force now.

        Raises:
            Refused: The vote may not count; the message says why and what to do.
            Conflict: It is decided otherwise, or no longer what was shown.
            InvalidRequest: The changed details cannot be accepted.
        """
        answer = Answer.APPROVE if details is None else Answer.EDIT
        return await self.vote(
            id,
            answer,
            reviewer=reviewer,
            reason=reason,
            details=details,
            payload_sha256=payload_sha256,
        )

    async def reject(
        self, id: str, *, reviewer: str, reason: str = "", payload_sha256: str | None = None
    ) -> Request:
        """Vote against a request. Takes and raises what `approve` does."""
        return await self.vote(
            id, Answer.REJECT, reviewer=reviewer, reason=reason, payload_sha256=payload_sha256
        )

    async def vote(
        self,
        id: str,
        answer: Answer,
        *,
        reviewer: str,
        reason: str = "",
        details: Details | None = None,
        payload_sha256: str | None = None,
        assurance: Assurance = Assurance.EDITED,
        channel: str = "api",
    ) -> Request:
        """Hand in a vote on behalf of a channel that knows how sure it is of the reviewer.

        For the command line, which knows the OS user, and the like; agents call `approve`.
        """
        answer = word_of(answer, Answer, "answer")  # a plain text is welcome
        assurance = word_of(assurance, Assurance, "assurance")
        seen = digest_of(payload_sha256, "payload_sha256")
        name_of(reviewer, "reviewer")
        request = await self.get(id)
        edit = None
        if details is not None:
            edit = propose(request, details, self.policies, self._parts.clock.now())
        await self._recording.look(at_once=True)
        receipt = await self._submit(
            c.Vote(
                id=request.id,
                reviewer=reviewer,
                answer=answer,
                payload_sha256=seen or request.payload_in_force,
                reason=text_of(reason, "reason", MAX_TEXT_BYTES),
                assurance=assurance,
                channel=name_of(channel, "channel"),
                **self._parts.standing(reviewer),
                edit=edit,
            )
        )
        return receipt.request or request

    async def cancel(self, id: str, *, by: str = "agent", reason: str = "") -> Request:
        """Withdraw a request that does not run yet. Raises Conflict once it runs or has ended."""
        request = await self.get(id)
        receipt = await self._submit(
            c.Cancel(
                id=request.id,
                by=name_of(by, "by"),
                reason=text_of(reason, "reason", MAX_TEXT_BYTES),
            )
        )
        return receipt.request or request

    async def comment(self, id: str, text: str, *, author: str = "agent") -> Request:
        """Add a remark; it decides nothing. Raises InvalidRequest for an empty one."""
        if not text_of(text, "text", MAX_TEXT_BYTES).strip():
            raise InvalidRequest("text is empty; say what to remark")
        request = await self.get(id)
        comment_id = f"comment-{self._parts.token()}"
        receipt = await self._submit(
            c.Comment(
                id=request.id,
                comment_id=comment_id,
                author=name_of(author, "author"),
                text=text,
            )
        )
        return receipt.request or request

    async def resolve(self, id: str, status: Status, *, by: str, reason: str = "") -> Request:
        """Say, as a person, how an execution with an unknown end really ended."""
        status = word_of(status, Status, "status")  # a plain text is welcome
        check_outcome(status)
        name_of(by, "by")
        request = await self.get(id)
        await mark_if_dead(self._parts, request)
        receipt = await self._submit(
            c.Resolve(
                id=request.id,
                by=by,
                status=status,
                reason=text_of(reason, "reason", MAX_TEXT_BYTES),
            )
        )
        return receipt.request or request
