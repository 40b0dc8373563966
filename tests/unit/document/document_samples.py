"""Owns requests and notes for the tests of documents. Never used by the package."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hitl_vault.core import commands as c
from hitl_vault.core import lifecycle
from hitl_vault.core.canonical import changes_between, payload_sha256, with_details
from hitl_vault.core.chain import Head, encode_request, genesis, link
from hitl_vault.core.events import Recorded
from hitl_vault.core.model import (
    Action,
    Answer,
    Assurance,
    Details,
    Effect,
    Request,
    Requirement,
    Risk,
    Status,
    Verdict,
)
from hitl_vault.core.steps import Step
from hitl_vault.document.ballot import Folder, Reading, read_ballot
from hitl_vault.document.reading import parse_document
from hitl_vault.document.render import TEMPLATE, Renderer

ROOT = Path(__file__).parents[3]
SOURCE = (ROOT / "templates" / TEMPLATE).read_text(encoding="utf-8")
RENDERER = Renderer({TEMPLATE: SOURCE})
CHECKED = Renderer({TEMPLATE: SOURCE + "{# read back each time #}"})

NOW = datetime(2026, 11, 21, 9, 30, 12, tzinfo=UTC)
ID = "20261121-093012-payment-7f3ac91e04"
DETAILS = {"amount": 1500, "to": "vendor@example.com", "memo": "INV-2024-001"}
ALL = (Answer.APPROVE, Answer.REJECT, Answer.EDIT)


@dataclass
class Case:
    """A request and its history, moved on by commands."""

    request: Request
    history: list[Recorded] = field(default_factory=list)
    head: Head = field(default_factory=lambda: genesis("vault"))

    def then(self, command: c.Command, *, after_s: float = 60) -> Case:
        """Return the case after the command was accepted."""
        step = lifecycle.apply(
            self.request, command, self.request.updated_at + timedelta(seconds=after_s)
        )
        assert isinstance(step, Step), step
        return _grown(self, step)

    def vote(self, answer: Answer = Answer.APPROVE, reviewer: str = "alice", **more) -> Case:
        """Return the case after a vote."""
        return self.then(
            c.Vote(
                id=self.request.id,
                reviewer=reviewer,
                answer=answer,
                payload_sha256=self.request.payload_in_force,
                **{"channel": "file"} | more,
            )
        )

    def edit(
        self, details: Details, *, verdict: Verdict | None = None, reviewer="alice", **more
    ) -> Case:
        """Return the case after an approval with changes."""
        digest = payload_sha256(with_details(self.request.action, details))
        edit = c.ProposedEdit(
            details=details,
            payload_sha256=digest,
            changes=changes_between(self.request.details, details),
            verdict=verdict or self.request.verdict,
        )
        return self.vote(Answer.EDIT, reviewer, edit=edit, **more)

    def run(self, status: Status = Status.EXECUTED, **more) -> Case:
        """Return the case after a claim and its end."""
        claimed = self.then(
            c.Claim(
                id=self.request.id,
                claim_id="c1",
                executor="worker",
                holder="h",
                payload_sha256=self.request.payload_in_force,
            )
        )
        return claimed.then(
            c.Finish(id=self.request.id, claim_id="c1", status=status, by="worker", **more)
        )

    @property
    def text(self) -> str:
        return RENDERER.render(self.request, self.history)

    @property
    def note(self) -> bytes:
        return self.text.encode()

    def read(self, note: bytes | str, folder: Folder = Folder.PENDING) -> Reading:
        data = note.encode() if isinstance(note, str) else note
        return read_ballot(parse_document(data), self.request, folder)


def _grown(case: Case, step: Step) -> Case:
    links, head = link(case.head, step.events, encode_request(step.request))
    new = [Recorded(seq=each.seq, hash=each.hash, event=each.event) for each in links]
    return Case(request=step.request, history=[*case.history, *new], head=head)


def ask(
    details: Details = DETAILS,
    *,
    type: str = "payment",
    description: str = "Pay the invoice",
    requested_by: str = "invoice-agent",
    agent: str = "",
    run_id: str = "run-17",
    summary: str = "1500 USD to vendor@example.com",
    risk: Risk = Risk.HIGH,
    rules: tuple[str, ...] = ("large-payment",),
    reasons: tuple[str, ...] = ("Payments of 500 or more need a person",),
    id: str = ID,
    **requirement,
) -> Case:
    """Return a pending request. Further keywords are those of `Requirement`."""
    action = Action(
        type=type,
        description=description,
        details=details,
        requested_by=requested_by,
        agent=agent,
        run_id=run_id,
    )
    verdict = Verdict(
        effect=Effect.ASK,
        rules=rules,
        reasons=reasons,
        risk=risk,
        requirement=Requirement(**{"answers": ALL} | requirement),
        summary=summary,
    )
    command = c.Ask(id=id, action=action, payload_sha256=payload_sha256(action), verdict=verdict)
    step = lifecycle.apply(None, command, NOW)
    assert isinstance(step, Step)
    return _grown(Case(request=step.request), step)


def put(text: str, key: str, value: str) -> str:
    """Return the note with another line for a property."""
    lines = text.split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith(f"{key}:"))
    lines[at] = f"{key}: {value}" if value else f"{key}:"
    return "\n".join(lines)


def tick(text: str, answer: str, mark: str = "x") -> str:
    """Return the note with a box ticked."""
    lines = text.split("\n")
    at = next(i for i, line in enumerate(lines) if line.endswith(f"^{answer}"))
    lines[at] = lines[at].replace("[ ]", f"[{mark}]", 1)
    return "\n".join(lines)


def change(text: str, old: str, new: str) -> str:
    """Return the note with a text replaced under Changes only."""
    before, heading, after = text.partition("### Changes")
    assert old in after
    return before + heading + after.replace(old, new, 1)


CASES = {
    "pending": ask(),
    "plain": ask(answers=(Answer.APPROVE, Answer.REJECT), summary="", run_id=""),
    "signed": ask(assurance=Assurance.SIGNED),
    "authenticated": ask(assurance=Assurance.AUTHENTICATED),
    "two_people": ask(stages=(replace(Requirement().stages[0], quorum=2),)),
    "one_of_two": ask(stages=(replace(Requirement().stages[0], quorum=2),)).vote(),
    "approved": ask().vote(reason="fine by me"),
    "edited": ask().edit(DETAILS | {"amount": 1200}),
    "rejected": ask().vote(Answer.REJECT, reason="too expensive: “wow”"),
    "cancelled": ask().then(c.Cancel(id=ID, by="invoice-agent", reason="no longer needed")),
    "expired": ask().then(c.Expire(id=ID), after_s=3600),
    "executed": ask().vote().run(result={"paid": True, "ref": "<%x%>"}),
    "failed": ask().vote().run(Status.FAILED, error="bank said\nno `[[x]]`"),
    "unknown": ask().vote().run(Status.UNKNOWN, error="executor died"),
    "resolved": ask()
    .vote()
    .run(Status.UNKNOWN, error="executor died")
    .then(c.Resolve(id=ID, by="bob", status=Status.FAILED, reason="the bank shows nothing")),
}
