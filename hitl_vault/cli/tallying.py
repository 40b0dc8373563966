"""Owns how the command line shows the tally: stage by stage, who has answered and who still may.

Never counts: `core.standings` does. What it returns is safe to print.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from hitl_vault.adapters.people.file import FilePeople
from hitl_vault.cli.printing import Cell, remark, safe
from hitl_vault.config import STATE_FOLDER
from hitl_vault.core.model import Request, Status, Vote
from hitl_vault.core.people import People
from hitl_vault.core.standings import StageCount, eligible, stage_counts, unknown_approvers
from hitl_vault.core.voting import person, tally
from hitl_vault.errors import ConfigError


def load_people(root: Path) -> People:
    """Return who is on record; nobody, with a remark, where the record cannot be read."""
    try:
        return FilePeople(root / STATE_FOLDER / "reviewers.toml").load()
    except ConfigError as error:
        remark(str(error))
        return People()


def tally_fields(request: Request, people: People, now: datetime) -> list[tuple[str, Cell]]:
    """Return a field for each stage: needed, who approved and rejected how surely, who may yet."""
    counts = stage_counts(request)
    return [
        (f"stage {count.number + 1}" if len(counts) > 1 else "tally", _cell(request, count, still))
        for count, still in zip(counts, _still(request, counts, people, now), strict=True)
    ]


def tally_record(request: Request, people: People, now: datetime) -> list[dict[str, Any]]:
    """Return the tally as JSON values. `may_answer` are names and roles; null means anyone."""
    counts = stage_counts(request)
    open_stage = tally(request).stage
    return [
        {
            "stage": count.number + 1,
            "needed": count.needed,
            "approved": [_vote_record(vote) for vote in count.approvals],
            "rejected": [_vote_record(vote) for vote in count.rejections],
            "open": request.status is Status.PENDING and count.number == open_stage,
            "may_answer": still,
        }
        for count, still in zip(counts, _still(request, counts, people, now), strict=True)
    ]


def _vote_record(vote: Vote) -> dict[str, str]:
    return {
        "reviewer": vote.reviewer,
        "assurance": vote.assurance.value,
        "channel": vote.channel,
    }


def _cell(request: Request, count: StageCount, still: list[str] | None) -> Cell:
    text = f"{len(count.approvals)} of {count.needed} approved"
    if count.approvals:
        text += f": {', '.join(map(_vote, count.approvals))}"
    if count.rejections:
        text += f"; rejected: {', '.join(map(_vote, count.rejections))}"
    if request.status is not Status.PENDING or len(count.approvals) >= count.needed:
        return Cell(text)
    names = "anyone" if still is None else ", ".join(map(safe, still)) or "nobody"
    may = "may still answer" if count.number == tally(request).stage else "may answer then"
    return Cell(text, tail=f"; {may}: {names}")


def _vote(vote: Vote) -> str:
    instead = f" for {safe(vote.on_behalf_of)}" if vote.on_behalf_of else ""
    return f"{safe(vote.reviewer)}{instead} ({vote.assurance}, over {safe(vote.channel)})"


def _still(
    request: Request, counts: tuple[StageCount, ...], people: People, now: datetime
) -> list[list[str] | None]:
    """Return for each stage who may still approve in it, None for anyone; [] once it is closed.

    Roles and names that nobody on record has stand for themselves.
    """
    approved = {person(vote.reviewer) for count in counts for vote in count.approvals}
    found = eligible(request, people, now)
    unknown = unknown_approvers(request, people)
    open_stage = tally(request).stage
    names: list[list[str] | None] = []
    for count in counts:
        if request.status is not Status.PENDING or count.number < open_stage:
            names.append([])
        elif not count.approvers:
            names.append(None)
        else:
            known = [each.name for each in found if count.number in each.stages]
            others = [name for name in count.approvers if name in unknown]
            listed = [name for name in (*known, *others) if person(name) not in approved]
            names.append(list(dict.fromkeys(listed)))
    return names
