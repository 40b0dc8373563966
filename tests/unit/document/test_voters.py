"""Whose own lines a note has, and by which mark they are known."""

from datetime import timedelta

import pytest
from document_samples import NOW, ask
from hypothesis import given
from hypothesis import strategies as st
from lines_samples import TEAM, THEN_CFO, TWO_OF_FINANCE, desk, people

from hitl_vault.core import commands as c
from hitl_vault.core.model import Escalation, Stage
from hitl_vault.core.people import Away
from hitl_vault.core.voting import person
from hitl_vault.document.voters import MAX_VOTERS, mark_of, voters_of


def listed(voters):
    return [(voter.name, voter.right) for voter in voters.people]


def test_everybody_who_may_answer_has_lines_the_first_stage_first():
    """A role means its holders; each is listed once, with the right they answer by."""
    staged = people({"dave": ["cfo"], "alice": ["finance"], "carol": ["cfo", "finance"]})
    voters = desk(staged, stages=THEN_CFO).voters
    assert voters.own_lines
    assert listed(voters) == [
        ("alice", "stage 1: finance"),
        ("carol", "stage 1: finance; stage 2: cfo"),
        ("dave", "stage 2: cfo"),
    ]


@pytest.mark.parametrize(
    ("stages", "own"),
    [
        (TWO_OF_FINANCE, True),
        ((Stage(quorum=2),), True),
        ((Stage(approvers=("alice", "bob")),), True),
        ((Stage(approvers=("finance",)), Stage(approvers=("carol",))), True),
        ((Stage(approvers=("finance",)),), False),
        ((Stage(),), False),
        ((Stage(approvers=("finance", "legal"), quorum=2),), False),
        ((Stage(approvers=("alice", "zoe"), quorum=2),), False),
    ],
)
def test_own_lines_are_for_several_people_who_are_all_on_record(stages, own):
    """Where one answer decides, or a role or name is unknown, there is one ballot for all."""
    assert desk(stages=stages).voters.own_lines is own


def test_without_a_record_of_people_there_is_one_ballot():
    """Names in a rule alone do not say who the people are."""
    assert not desk(people({}), stages=(Stage(approvers=("alice", "bob"), quorum=2),)).voters.people


def test_too_many_people_share_one_ballot():
    """A note stays readable."""
    for number, own in ((MAX_VOTERS, True), (MAX_VOTERS + 1, False)):
        crowd = people({f"p{i}": ["finance"] for i in range(number)})
        assert desk(crowd).voters.own_lines is own


def test_whoever_asked_has_no_lines():
    """The requester cannot answer, nor can the agent that asked in their name."""
    case = ask(stages=TWO_OF_FINANCE, requested_by="Alice", agent="BOB")
    assert listed(voters_of(case.request, people(), NOW)) == [("carol", "finance")]


def test_a_stand_in_has_lines_of_their_own():
    """For the time of the absence, and says for whom; whoever is away keeps theirs."""
    week = Away(begins_at=NOW, ends_at=NOW + timedelta(days=7), to="zoe")
    record = people(TEAM | {"zoe": []}, away={"alice": (week,)})
    request = desk(record).case.request
    assert ("zoe", "for alice") in listed(voters_of(request, record, NOW))
    assert ("alice", "finance") in listed(voters_of(request, record, NOW))
    later = voters_of(request, record, NOW + timedelta(days=7))
    assert "zoe" not in [voter.name for voter in later.people]


def test_nobody_stands_in_for_whoever_asked():
    """Going away does not make one's own request answerable by a friend."""
    week = Away(begins_at=NOW, ends_at=NOW + timedelta(days=7), to="zoe")
    record = people(TEAM | {"zoe": []}, away={"alice": (week,)})
    request = ask(stages=TWO_OF_FINANCE, requested_by="alice").request
    assert "zoe" not in [voter.name for voter in voters_of(request, record, NOW).people]


def test_an_escalation_widens_who_may_answer():
    """The people it names come in with the rest."""
    record = people({"alice": ["a"], "bob": ["b"], "zoe": ["boss"]})
    rung = (Escalation(after_s=60, to=("boss",)),)
    before = desk(record, stages=(Stage(approvers=("a", "b"), quorum=2),), escalate=rung)
    after = before.case.then(c.Escalate(id=before.case.request.id, number=0))
    assert [v.name for v in before.voters.people] == ["alice", "bob"]
    assert [v.name for v in voters_of(after.request, record, NOW).people] == ["alice", "bob", "zoe"]


@pytest.mark.parametrize("name", ["alice", "ALICE", "Ａlice", "al\u200bice", " alice "])
def test_spellings_of_one_name_have_one_mark(name):
    """As the count takes them for one person."""
    assert mark_of(name) == "alice"


NAMES = [
    "alice", "Alice B", "alice-b", "alice b.", "José", "Jose", "李", "王", "# [x] ^approve-bob",
    "a" * 300, "a" * 301, "-", "alice-0123abcd", "émile", "emile", "x--y", "x-y",
]  # fmt: skip


def test_other_names_have_other_marks():
    """Also those that look alike without their accents, and long ones."""
    assert len({mark_of(name) for name in NAMES}) == len(NAMES)


@given(st.lists(st.text(min_size=1), min_size=2, max_size=6))
def test_marks_are_block_ids_and_belong_to_one_person(names):
    """Any editor keeps them; two people never share one, whoever else is there."""
    marks = {mark_of(name): person(name) for name in names}
    assert all(
        len(m) < 140 and set(m) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for m in marks
    )
    assert len(marks) == len({person(name) for name in names})
