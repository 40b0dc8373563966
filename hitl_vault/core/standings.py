"""Owns where a request stands with people: who on record may answer, and who has, stage by stage.

Never decides: `voting` judges each vote, whatever is said here of who may give one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from hitl_vault.core import commands as c
from hitl_vault.core import voting
from hitl_vault.core.model import Answer, Request, Stage, Vote
from hitl_vault.core.people import People
from hitl_vault.core.voting import person


@dataclass(frozen=True, slots=True, kw_only=True)
class Eligible:
    """A person on record who may answer, in these stages (from 0).

    `why` says for each of the stages by what right: the name of a role, "for alice", or "" where
    the person is named there, or anyone may answer.
    """

    name: str
    stages: tuple[int, ...]
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCount:
    """What was answered in one stage (from 0), for the payload in force."""

    number: int
    needed: int
    approvers: tuple[str, ...]
    approvals: tuple[Vote, ...]
    rejections: tuple[Vote, ...]


def eligible(request: Request, people: People, now: datetime) -> tuple[Eligible, ...]:
    """Return everybody on record who may answer in some stage, and who stands in for such a person.

    Those of the first stage come first, and in it they stand in the order of the record. Whoever
    asked is left out.
    """
    asked = {person(request.action.requested_by), person(request.action.agent)}
    roles = {person(role) for role in people.roles}
    stand_ins = {person(each.stand_in(now)) for each in people.reviewers.values()}
    eligible_ones = []
    for found in people.reviewers.values():
        name, key, held = found.name, person(found.name), found.roles
        if key in asked or (key in roles and not held):
            continue
        vote = c.Vote(  # as the person would give it, to be judged by the one rule there is
            id=request.id,
            reviewer=name,
            answer=Answer.APPROVE,
            payload_sha256=request.payload_in_force,
            roles=held,
            is_role=key in roles,
            standing_for=people.standing_for(name, now) if key in stand_ins else (),
        )
        rights = _rights(request, vote, people)
        if rights:
            stages, why = tuple(rights), tuple(rights.values())
            eligible_ones.append(Eligible(name=name, stages=stages, why=why))
    return tuple(sorted(eligible_ones, key=lambda each: each.stages[0]))


def unknown_approvers(request: Request, people: People) -> tuple[str, ...]:
    """Return the names and roles of the requirement that nobody on record has."""
    named = (name for stage in request.requirement.stages for name in stage.approvers)
    return tuple(dict.fromkeys(name for name in named if not people.holders(name)))


def stage_counts(request: Request) -> tuple[StageCount, ...]:
    """Return the votes that are for the payload in force, by the stage they were given in."""
    valid = [vote for vote in request.votes if vote.payload_sha256 == request.payload_in_force]

    def given(number: int, *, against: bool) -> tuple[Vote, ...]:
        return tuple(
            vote
            for vote in valid
            if vote.stage == number and (vote.answer is Answer.REJECT) == against
        )

    return tuple(
        StageCount(
            number=number,
            needed=stage.quorum,
            approvers=stage.approvers,
            approvals=given(number, against=False),
            rejections=given(number, against=True),
        )
        for number, stage in enumerate(request.requirement.stages)
    )


def _rights(request: Request, vote: c.Vote, people: People) -> dict[int, str]:
    return {
        number: _right(stage, vote, people)
        for number, stage in enumerate(request.requirement.stages)
        if voting.may_answer(stage, vote, request)
    }


def _right(stage: Stage, vote: c.Vote, people: People) -> str:
    if not stage.approvers:
        return ""
    own = replace(vote, standing_for=())
    if not voting.may_answer(stage, own):
        for absent, roles in vote.standing_for:
            them = replace(own, reviewer=absent, roles=roles, is_role=people.is_role(absent))
            if voting.may_answer(stage, them):
                return f"for {absent}"
    if not vote.is_role and voting.may_answer(stage, replace(own, roles=frozenset())):
        return ""
    wanted = {person(name) for name in stage.approvers}
    return ", ".join(sorted(role for role in vote.roles if person(role) in wanted))
