"""Whoever may answer and whatever is ticked: a vote is of the person whose line was ticked."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[1] / "unit" / "document"))

from lines_samples import THEN_CFO, Desk, desk, merged, people, said, tick, write_reason

from hitl_vault.core import commands as c
from hitl_vault.core.lifecycle import apply
from hitl_vault.core.model import Answer, Stage, Status
from hitl_vault.core.steps import Step
from hitl_vault.core.voting import UNNAMED, person
from hitl_vault.document.voters import MAX_VOTERS

few = settings(max_examples=150, deadline=None, derandomize=True)
ANSWERS = ("approve", "reject", "edit")

_pieces = st.sampled_from(
    ["alice", "Alice", "ＡＬＩＣＥ", "bob", "Changes", "Answer of bob", "- [x] ", "^approve-bob", "é", "e",
     " (finance)", "## Decide", "`", "%%", "]]", "李", "\u200b", "\u202e", "-", "x" * 90]
)  # fmt: skip
_names = st.lists(_pieces, min_size=1, max_size=4).map("".join) | st.text(min_size=1, max_size=40)


def _is_name(name: str) -> bool:
    plain = person(name)
    return bool(plain) and plain not in {UNNAMED, "invoice-agent", "finance", "cfo"}


@st.composite
def desks(draw, max_size: int = 6) -> Desk:
    """Return a request that two of finance answer, who are any people."""
    names = draw(st.lists(_names.filter(_is_name), min_size=2, max_size=max_size, unique_by=person))
    stages = draw(st.sampled_from([(Stage(approvers=("finance",), quorum=2),), THEN_CFO]))
    roles = {name: ["finance", *draw(st.sampled_from([[], ["cfo"]]))] for name in names}
    roles[names[0]] = ["finance", "cfo"]
    return desk(people(roles), stages=stages, veto=draw(st.booleans()))


@st.composite
def ballots(draw) -> tuple[Desk, dict[str, list[str]], str]:
    """Return a desk, what each person ticks, and the note with it."""
    one = draw(desks())
    names = [voter.name for voter in one.voters.people]
    ticks = {
        name: draw(st.lists(st.sampled_from(ANSWERS), max_size=2, unique=True)) for name in names
    }
    text = one.text
    for name, answers in ticks.items():
        for answer in answers:
            text = tick(text, name, answer)
    return one, ticks, text


@given(ballots())
@few
def test_each_answer_is_of_the_person_whose_line_was_ticked(ballot):
    """One tick is that person's answer; none or several are nobody's."""
    one, ticks, text = ballot
    assert one.voters.own_lines
    assert one.checked == one.text
    # nothing was changed under Changes, so a tick there alone cannot be used
    wanted = {
        (name, Answer(answers[0]))
        for name, answers in ticks.items()
        if len(answers) == 1 and answers != ["edit"]
    }
    assert set(said(one.read(text))) == wanted
    assert set(said(one.read(text.replace("\n", "\r\n")))) == wanted


@given(ballots())
@few
def test_each_counted_vote_is_of_the_person_whose_line_was_ticked(ballot):
    """What the ledger holds in the end was ticked, each of it by its person, and is shown."""
    one, ticks, text = ballot
    for answered in one.read(text).answers:
        found = one.people.find(answered.reviewer)
        vote = c.Vote(
            id=one.case.request.id,
            reviewer=answered.reviewer,
            answer=answered.answer,
            payload_sha256=one.case.request.payload_in_force,
            reason=answered.reason,
            channel="note",
            roles=found.roles,
        )
        now = one.case.request.updated_at
        if isinstance(apply(one.case.request, vote, now), Step):
            one = replace(one, case=one.case.then(vote, after_s=0))
    for vote in one.case.request.votes:
        assert ticks[vote.reviewer] == [vote.answer.value]
    after = one.patch(text)
    assert {line for line in text.split("\n") if "[x]" in line} <= set(after.split("\n"))
    if one.case.request.status is Status.PENDING:
        again = {name for name, _ in said(one.read(after))}
        assert again.isdisjoint({vote.reviewer for vote in one.case.request.votes})


@given(desks(max_size=4), st.data())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_git_never_makes_one_persons_answer_anothers(tmp_path_factory, one, data):
    """Two people on two devices: the merge holds exactly what both ticked."""
    names = [voter.name for voter in one.voters.people]
    pair = data.draw(st.permutations(names))[:2]
    answers = [data.draw(st.sampled_from(["approve", "reject"])) for _ in pair]
    sides = [
        write_reason(tick(one.text, name, answer), name, f"reason {number}")
        for number, (name, answer) in enumerate(zip(pair, answers, strict=True))
    ]
    conflicts, text = merged(tmp_path_factory.mktemp("merge"), one.text, *sides)
    assert not conflicts
    readings = one.read(text)
    assert set(said(readings)) == {
        (name, Answer(answer)) for name, answer in zip(pair, answers, strict=True)
    }
    reasons = {each.reviewer: each.reason for each in readings.answers}
    assert reasons == {pair[0]: "reason 0", pair[1]: "reason 1"}


@given(st.integers(2, MAX_VOTERS), st.data())
@settings(max_examples=20, deadline=None, derandomize=True)
def test_lines_dealt_anew_are_nobody_elses(number, data):
    """Lines shuffled among the headings: what is read is a person's own tick, or unclear."""
    crowd = desk(people({f"person {i}": ["finance"] for i in range(number)}))
    chosen = f"person {data.draw(st.integers(0, number - 1))}"
    lines = tick(crowd.text, chosen).split("\n")
    boxes = [i for i, line in enumerate(lines) if line.startswith("- [")]
    dealt = data.draw(st.permutations(boxes))
    shuffled = list(lines)
    for to, source in zip(boxes, dealt, strict=True):
        shuffled[to] = lines[source]
    readings = crowd.read("\n".join(shuffled))
    assert said(readings) in ([], [(chosen, Answer.APPROVE)])
