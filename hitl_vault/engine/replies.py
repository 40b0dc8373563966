"""Owns what people are told of their answers, in the one line a note has for it. Never decides."""

from __future__ import annotations

from hitl_vault.core import commands as c
from hitl_vault.core import voting
from hitl_vault.core.model import Answer, Request
from hitl_vault.document.voters import Voters, mark_of
from hitl_vault.engine.showing import standing

AT_MOST = 3
"""How many sentences one line holds."""


def joined(sentences: list[str]) -> str:
    """Return sentences as one text, each once, the first few of them."""
    told = list(dict.fromkeys(sentences))
    more = [f"And {len(told) - AT_MOST} more."] if len(told) > AT_MOST else []
    return " ".join([*told[:AT_MOST], *more])


def too_late(request: Request) -> str:
    """Return what an answer gets that contradicts the decision."""
    return f"Too late: this note no longer decides anything. {standing(request)}"


def counted(request: Request, vote: c.Vote, *, own: bool) -> str:
    """Return what a counted vote gets while more are needed.

    `own` is true in a note where each person has lines of their own.
    """
    cast = next((known for known in request.votes if known.reviewer == vote.reviewer), None)
    by = f"{vote.reviewer} for {cast.on_behalf_of}" if cast and cast.on_behalf_of else vote.reviewer
    said = "a rejection" if vote.answer is Answer.REJECT else "an approval"
    return f"Counted: {said} by {by}. {_so_far(request, own=own)}"


def repeated(request: Request, vote: c.Vote, message: str, *, own: bool) -> str:
    """Return what a vote gets that was counted before."""
    if own:
        return counted(request, vote, own=True)
    return f"Not counted again: {message}. {_so_far(request, own=False)}"


def _so_far(request: Request, *, own: bool) -> str:
    tally = voting.tally(request)
    stages = len(request.requirement.stages)
    stage = f" in stage {tally.stage + 1} of {stages}" if stages > 1 else ""
    following = (
        "The next person answers under their own name."
        if own
        else "The next person puts their own name in `reviewer` and answers in the same way."
    )
    return f"{tally.approvals} of {tally.needed} approvals so far{stage}. {following}"


def refused_line(request: Request, vote: c.Vote, message: str, voters: Voters) -> str:
    """Return what a tick in a person's own lines gets that the ledger refused, or that waits."""
    mark, open_stage = mark_of(vote.reviewer), voting.tally(request).stage
    stages = next((each.stages for each in voters.people if each.mark == mark), ())
    if vote.answer is not Answer.REJECT and stages and stages[0] > open_stage:
        return (
            f"{vote.reviewer}'s tick waits: stage {open_stage + 1} of "
            f"{len(request.requirement.stages)} comes first, and it counts in stage "
            f"{stages[0] + 1} if it still stands there then."
        )
    return f"Not counted for {vote.reviewer}: {message}."


def stays(name: str) -> str:
    """Return what an emptied box gets whose tick was counted."""
    return (
        f"{name}: your answer was counted and stays counted, though your box is empty now; to "
        "change it, tick your other box."
    )
