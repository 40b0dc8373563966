"""Owns whose own lines a note has, and the mark by which each person's lines are known.

Never reads a note: whose mark it is follows from the request and the record of people alone.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from hitl_vault.core.model import Request, Requirement
from hitl_vault.core.people import People
from hitl_vault.core.standings import Eligible, eligible, unknown_approvers
from hitl_vault.core.voting import person

MAX_VOTERS = 30
"""For more people than that, a note has one ballot for all."""

_PLAIN = re.compile(r"(?!.*-[0-9a-f]{8}$)[a-z0-9]{1,32}(?:-[a-z0-9]{1,32}){0,3}")
_SLUG = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Voter:
    """A person who may answer, and the `mark` that ends each of their lines.

    `right` says by what right, as it stands behind the name: "finance", "stage 2: for alice".
    """

    name: str
    mark: str
    stages: tuple[int, ...] = (0,)
    right: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voters:
    """Everybody on record who may answer, those of the first stage first.

    `own_lines` is true where a new note has lines for each of them; else it has one ballot for all.
    """

    people: tuple[Voter, ...] = ()
    own_lines: bool = False


NOBODY = Voters()


def voters_of(request: Request, people: People, now: datetime) -> Voters:
    """Return whose lines a note of this request has.

    They have lines of their own where several people may answer and all of them are on record.
    """
    if not people.reviewers:
        return NOBODY
    staged = len(request.requirement.stages) > 1
    found = tuple(
        Voter(
            name=each.name, mark=mark_of(each.name), stages=each.stages, right=_right(each, staged)
        )
        for each in eligible(request, people, now)
    )
    return Voters(
        people=found,
        own_lines=asks_several(request.requirement)
        and 1 < len(found) <= MAX_VOTERS
        and len({voter.mark for voter in found}) == len(found)
        and not unknown_approvers(request, people),
    )


def asks_several(need: Requirement) -> bool:
    """Return True if answers of several people may stand in a note at the same time."""
    first, *more = need.stages
    return bool(more) or first.quorum > 1 or len(first.approvers) > 1


def mark_of(name: str) -> str:
    """Return the mark of a person's lines: their name where it is plain, else with a check number.

    It follows from the name alone: other people who come and go never change whose a line is.
    """
    key = person(name)
    if _PLAIN.fullmatch(key):
        return key
    plain = unicodedata.normalize("NFKD", key).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_SLUG].strip("-") or "name"
    return f"{slug}-{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _right(each: Eligible, staged: bool) -> str:
    parts = []
    for number, why in zip(each.stages, each.why, strict=True):
        stage = f"stage {number + 1}" if staged else ""
        parts.append(": ".join(part for part in (stage, why) if part))
    return "; ".join(part for part in parts if part)
