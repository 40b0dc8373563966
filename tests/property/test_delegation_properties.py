"""Whoever is away and whoever stands in: one vote a person, one vote a seat, none for who asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from hitl_vault.core.lifecycle import Step, apply
from hitl_vault.core.model import Answer, Stage, Status
from hitl_vault.core.people import MAX_CHAIN, Away, People, Reviewer
from hitl_vault.core.voting import tally
from hitl_vault.testing.clock import START
from hitl_vault.testing.samples import make_ask, make_edit, make_vote

NAMES = ("alice", "bob", "carol", "dora", "bot", "helper")
ASKED = {"bot", "helper"}
ROLES = ("finance", "cfo")
DAY = timedelta(days=1)

days = st.integers(0, 6)
aways = st.builds(
    lambda begins, length, to: Away(
        begins_at=START + begins * DAY, ends_at=START + (begins + 1 + length) * DAY, to=to
    ),
    days,
    days,
    st.sampled_from(["", *NAMES, "stranger"]),
)
reviewers = st.fixed_dictionaries(
    {
        name: st.builds(
            lambda roles, away, name=name: Reviewer(
                name=name, roles=frozenset(roles), away=tuple(away)
            ),
            st.sets(st.sampled_from(ROLES), max_size=2),
            st.lists(aways, max_size=2),
        )
        for name in NAMES
    }
)
kept = st.sets(st.sampled_from(NAMES), min_size=1)
stages = st.lists(
    st.builds(
        Stage,
        approvers=st.sampled_from([("finance",), ("cfo",), ("alice",), ("finance", "cfo"), ()]),
        quorum=st.integers(1, 3),
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda stage: stage.approvers,
).map(tuple)
votes = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(list(Answer)), days), max_size=14
)


def reaches(people, absent, stand_in, at):
    """Follow the stand-ins from the absent one, as a person would."""
    name = absent
    for _ in range(MAX_CHAIN):
        found = people.find(name)
        name = found.stand_in(at) if found else ""
        if name == stand_in:
            return True
        if not name or name == absent:
            return False
    return False


@given(reviewers, kept, st.sampled_from(NAMES), days)
def test_a_person_stands_in_for_exactly_those_whose_chain_reaches_them(found, names, name, day):
    """Bounded by MAX_CHAIN, safe in rings; a name not on record stands for nobody."""
    people = People(reviewers={n: found[n] for n in names}, on_record=True)
    at = START + day * DAY
    wanted = {
        other
        for other in names
        if other != name and name in names and reaches(people, other, name, at)
    }
    assert {who for who, _ in people.standing_for(name, at)} == wanted


@given(reviewers, stages, st.booleans(), votes)
def test_one_vote_a_person_and_a_seat_and_none_for_who_asked(found, plan, veto, given_votes):
    """No two votes in force share a person or a seat, whatever is tried in whatever order."""
    people = People(reviewers=found, on_record=True)
    request = apply(
        None,
        make_ask(requested_by="bot", agent="helper", stages=plan, veto=veto, answers=tuple(Answer)),
        START,
    ).request
    need_at_first = sum(stage.quorum for stage in plan)
    amount = 0
    for name, answer, day in given_votes:
        at, amount = START + day * DAY, amount + 1
        edit = make_edit(request, requirement=request.requirement, amount=amount)
        vote = make_vote(request, name, answer, edit=edit if answer is Answer.EDIT else None)
        vote = replace(
            vote,
            roles=people.roles_of(name),
            standing_for=people.standing_for(name, at),
        )
        judged = apply(request, vote, START)
        if not isinstance(judged, Step):
            continue
        request = judged.request
        cast = request.votes[-1]
        assert cast.reviewer not in ASKED
        assert cast.on_behalf_of not in ASKED
        if cast.on_behalf_of:
            assert cast.on_behalf_of in {who for who, _ in vote.standing_for}
            assert judged.events[0].data["on_behalf_of"] == cast.on_behalf_of
        check_seats(request)
        if request.status is not Status.PENDING:
            break
    if request.status is Status.APPROVED:
        people_who_approved = {
            vote.reviewer for vote in request.votes if vote.answer is not Answer.REJECT
        }
        assert len(people_who_approved) >= need_at_first


def check_seats(request):
    taken = set()
    for vote in request.votes:
        theirs = {vote.reviewer, vote.on_behalf_of or vote.reviewer}
        assert taken.isdisjoint(theirs), request.votes
        taken |= theirs
    assert tally(request).approvals <= len(request.votes)
