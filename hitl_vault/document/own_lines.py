"""Owns how a note shows each person's own lines, and who was counted. Never reads an answer.

Between the lines of two people stand a blank line and a heading, so that a merge by lines keeps
what both of them wrote.
"""

from __future__ import annotations

from hitl_vault.core.model import Answer, Assurance, Request, Vote
from hitl_vault.core.standings import StageCount, stage_counts
from hitl_vault.document.inert import inert_line
from hitl_vault.document.outline import LABELS, SUBSECTION
from hitl_vault.document.voters import Voter
from hitl_vault.document.wording import BOXES, how, stamp

COUNTED = "Counted:"
_MAX_NAME = 80


def title(name: str) -> str:
    """Return the title over a person's lines, without what stands behind their name."""
    return f"Answer of {inert_line(name, limit=_MAX_NAME)}"


def stands_under(part: str, name: str) -> bool:
    """Return True if a title, as read, is that of this person, whatever stands behind the name."""
    typed, wanted = _plain(part), _plain(title(name))
    return typed == wanted or typed.startswith(f"{wanted} (")


def heading(voter: Voter) -> str:
    """Return the whole heading: `### Answer of alice (finance)`."""
    right = f" ({inert_line(voter.right, limit=_MAX_NAME)})" if voter.right else ""
    return f"{'#' * SUBSECTION} {title(voter.name)}{right}"


def box(answer: Answer, voter: Voter) -> str:
    """Return one unticked box of a person."""
    return f"- [ ] {LABELS[answer]} ^{answer.value}-{voter.mark}"


def lines(request: Request, voter: Voter) -> list[str]:
    """Return a person's lines with their heading, and a blank line below them."""
    boxes = [box(answer, voter) for answer in BOXES if answer in request.requirement.answers]
    return [heading(voter), "", *boxes, f"- Reason ({voter.mark}):", ""]


def ballot(request: Request, voters: tuple[Voter, ...]) -> list[str]:
    """Return what stands under `## Decide`, without the part for changes."""
    said = [how_to(request), ""]
    if counted(request):
        said += [counted(request), ""]
    return [*said, *(line for voter in voters for line in lines(request, voter))][:-1]


def how_to(request: Request) -> str:
    """Return the sentence that says how to answer."""
    need = request.requirement
    if need.assurance is Assurance.SIGNED:
        return how(request)
    code = ""
    if need.assurance is Assurance.AUTHENTICATED:
        code = "write the code you were sent in `code` and your name in `reviewer`, then "
    reason = "your reason, if you give one, goes behind your Reason, before you tick"
    if need.require_reason:
        verbs = " or ".join(_VERBS[answer] for answer in need.require_reason)
        reason = f"a reason is required to {verbs}: write it behind your Reason, before you tick"
    words = " or ".join(
        word
        for word, answer in (("approved", Answer.APPROVE), ("rejected", Answer.REJECT))
        if answer in need.answers
    )
    other = f" Or set `status` to {words}, with your name in `reviewer`." if words else ""
    return (
        f"To answer: {code}tick one box under your own name; {reason}.{other} A box that was "
        "counted stays counted if it is emptied; to change your answer, tick your other box "
        "instead."
    )


_VERBS = {
    Answer.APPROVE: "approve",
    Answer.REJECT: "reject",
    Answer.EDIT: "approve with changes",
}


def counted(request: Request) -> str:
    """Return the line that says who was counted, and up to when; "" while nobody was."""
    counts = stage_counts(request)
    given = [vote for count in counts for vote in (*count.approvals, *count.rejections)]
    if not given:
        return ""
    staged = len(counts) > 1
    parts = "; ".join(_count(count, staged=staged) for count in counts)
    return f"{COUNTED} {parts} (up to {stamp(max(vote.at for vote in given))})"


def _count(count: StageCount, *, staged: bool) -> str:
    stage = f"stage {count.number + 1}: " if staged else ""
    text = f"{stage}{len(count.approvals)} of {count.needed} approved"
    if count.approvals:
        text += f": {', '.join(map(_vote, count.approvals))}"
    if count.rejections:
        text += f", rejected: {', '.join(map(_vote, count.rejections))}"
    return text


def _vote(vote: Vote) -> str:
    # a file shows that somebody who can write it used a name, not who that was
    sure = "the file says" if vote.assurance is Assurance.EDITED else vote.assurance.value
    if vote.assurance is Assurance.EDITED and vote.channel != "note":
        sure = "unproved"
    absent = f" for {inert_line(vote.on_behalf_of, limit=_MAX_NAME)}" if vote.on_behalf_of else ""
    return f"{inert_line(vote.reviewer, limit=_MAX_NAME)}{absent} ({sure})"


def _plain(text: str) -> str:
    return " ".join(text.strip(" \t#").casefold().split())
