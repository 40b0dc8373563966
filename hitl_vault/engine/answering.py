"""Owns the half of the API that answers: approve, reject, cancel, comment, resolve. Never decides.

Each call is one command, judged by the ledger. What was not accepted is raised.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

from hitl_vault.core import commands as c
from hitl_vault.core import voting
from hitl_vault.core.events import Event
from hitl_vault.core.model import Answer, Assurance, Details, Request, Status
from hitl_vault.core.statement import Statement
from hitl_vault.engine import codes, proving
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
from hitl_vault.engine.spans import said
from hitl_vault.engine.timers import mark_if_dead
from hitl_vault.errors import Conflict, InvalidRequest, TrustError
from hitl_vault.ports import Kept, Receipt


class Answering(Looking):
    """What a reviewer, a requester or an operator may say about a request."""

    policies: Policies
    _recording: Recording

    @abstractmethod
    async def _submit(self, command: c.Command, *, show: bool = True) -> Receipt: ...

    @abstractmethod
    async def _report(self, finish: c.Finish) -> Receipt: ...

    @abstractmethod
    async def _shown(self, id: str) -> None: ...

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
        proof: str = "",
        code: str = "",
        totp: str = "",
        may_repeat: bool = False,
    ) -> Request:
        """Hand in a vote on behalf of a channel that knows how sure it is of the reviewer.

        For the command line, which knows the OS user, and the like; agents call `approve`.

        Args:
            proof: A signed envelope (DSSE) over `statement(...)` with the same arguments.
            code: The one-time code the reviewer was sent. At most one of the three may be given.
            totp: The present code of the reviewer's second factor.
            may_repeat: The caller may have handed in this very vote before: where the reviewer's
                vote on record says the same, it stands, and its code or proof is not judged again.

        Raises:
            TrustError: What should prove the answer does not; it is on record, nothing is decided.
        """
        assurance = word_of(assurance, Assurance, "assurance")
        channel = name_of(channel, "channel")
        await self._recording.look(at_once=True)
        request, vote = await self._draft(
            id,
            answer,
            reviewer=reviewer,
            reason=reason,
            details=details,
            payload_sha256=payload_sha256,
        )
        vote = replace(vote, assurance=assurance, channel=channel)
        if sum(map(bool, (proof, code, totp))) > 1:
            raise InvalidRequest("give one of proof, code and totp, not several")
        if proof or code or totp:
            if may_repeat and voting.was_counted(request, vote, signed=bool(proof)):
                return request
            vote = await self._proven(request, vote, proof, code, totp)
        with self._parts.tracer.span("hitl.decide", request.trace, said(vote)):
            receipt = await self._submit(vote)
        return await self._voted(receipt, vote) or request

    async def _proven(
        self, request: Request, vote: c.Vote, proof: str, code: str, totp: str
    ) -> c.Vote:
        try:
            if proof:
                return await proving.signed(self._parts, request, vote, proof)
            if code:
                return await proving.by_code(self._parts, request, vote, code)
            return await proving.by_factor(self._parts, vote, totp)
        except TrustError:
            await self._shown(request.id)
            raise

    async def _voted(self, receipt: Receipt, vote: c.Vote) -> Request | None:
        """Return the request after a vote; changed details need new codes."""
        request = receipt.request
        if request is not None and vote.edit is not None and receipt.kept is Kept.ACCEPTED:
            return await codes.issue_where_wanted(self._parts, request)
        return request

    async def statement(
        self,
        id: str,
        answer: Answer,
        *,
        reviewer: str,
        reason: str = "",
        details: Details | None = None,
        payload_sha256: str | None = None,
    ) -> Statement:
        """Return what a reviewer signs to give this answer; `vote` takes it back, in an envelope.

        Takes and raises what `vote` does; nothing is recorded.
        """
        _, vote = await self._draft(
            id,
            answer,
            reviewer=reviewer,
            reason=reason,
            details=details,
            payload_sha256=payload_sha256,
        )
        return await proving.statement_of(self._parts, vote)

    async def _draft(
        self,
        id: str,
        answer: Answer,
        *,
        reviewer: str,
        reason: str,
        details: Details | None,
        payload_sha256: str | None,
    ) -> tuple[Request, c.Vote]:
        """Check what was given, and return the request and the vote as nothing proves it yet."""
        answer = word_of(answer, Answer, "answer")  # a plain text is welcome
        seen = digest_of(payload_sha256, "payload_sha256")
        reviewer = name_of(reviewer, "reviewer")
        request = await self.get(id)
        edit = None
        if details is not None:
            edit = propose(request, details, self.policies, self._parts.clock.now())
        return request, c.Vote(
            id=request.id,
            reviewer=reviewer,
            answer=answer,
            payload_sha256=seen or request.payload_in_force,
            reason=text_of(reason, "reason", MAX_TEXT_BYTES),
            **self._parts.standing(reviewer),
            edit=edit,
        )

    async def send_code(self, id: str, *, to: str) -> Request:
        """Send a reviewer a one-time code for the details in force; it replaces earlier ones.

        What delivers it follows the events and asks `code_for` for the text.

        Raises:
            Refused, Conflict: It may not be sent; the message says why.
            ConfigError: The vault's code key cannot be used.
        """
        reviewer = name_of(to, "to")
        request = await self.get(id)
        code_id = f"sent-{self._parts.token()}"
        codes.code_secret(self._parts)  # a key that cannot be used is noticed before
        receipt = await self._submit(
            c.IssueCode(
                id=request.id,
                code_id=code_id,
                reviewer=reviewer,
                valid_s=self._parts.options.code_valid_s,
            )
        )
        return receipt.request or request

    def code_for(self, event: Event) -> str:
        """Return the code that a `code_issued` event stands for, such as `4821 9375`.

        For who delivers it, to nobody but the reviewer the event names; it is never stored.
        """
        return codes.text_for(self._parts, event)

    async def linked(self, id: str, text: str) -> codes.Linked | None:
        """Return whose one-time code a link stands for, None if it is no link of this request.

        Uses nothing up: links are followed by programs that look through mail, too. `vote` with
        the code it holds answers.

        Raises:
            RequestNotFound: There is no such request.
            ConfigError: The vault's code key cannot be used.
        """
        return codes.linked(self._parts, await self.get(id), text)

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

    async def comment(
        self, id: str, text: str, *, author: str = "agent", comment_id: str | None = None
    ) -> Request:
        """Add a remark; it decides nothing.

        Args:
            comment_id: The caller's own name of the remark: said again, it is the same one.

        Raises:
            InvalidRequest: It is empty.
            Conflict: Another remark has this `comment_id`.
        """
        if not text_of(text, "text", MAX_TEXT_BYTES).strip():
            raise InvalidRequest("text is empty; say what to remark")
        request = await self.get(id)
        remark = c.Comment(
            id=request.id,
            comment_id=name_of(comment_id or f"comment-{self._parts.token()}", "comment_id"),
            author=name_of(author, "author"),
            text=text,
        )
        receipt = await self._submit(remark)
        after = receipt.request or request
        for known in after.comments:
            same = known.comment_id == remark.comment_id
            if same and (known.text, known.author) != (remark.text, remark.author):
                raise Conflict("another remark was made under this comment_id", after)
        return after

    async def resolve(self, id: str, status: Status, *, by: str, reason: str = "") -> Request:
        """Say, as a person, how an execution with an unknown end really ended."""
        status = word_of(status, Status, "status")  # a plain text is welcome
        check_outcome(status)
        name_of(by, "by")
        request = await self.get(id)
        await mark_if_dead(self._parts, request, self._report)
        receipt = await self._submit(
            c.Resolve(
                id=request.id,
                by=by,
                status=status,
                reason=text_of(reason, "reason", MAX_TEXT_BYTES),
            )
        )
        return receipt.request or request
