"""How votes are judged and counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hitl_vault.core import commands as c
from hitl_vault.core.lifecycle import apply
from hitl_vault.core.model import Answer, Assurance, Effect, Escalation, Requirement, Stage, Status
from hitl_vault.core.requirements import stricter_requirement
from hitl_vault.core.steps import Refusal, Step, Why
from hitl_vault.core.voting import UNNAMED, person, tally
from hitl_vault.testing.clock import START
from hitl_vault.testing.samples import make_ask, make_edit, make_vote

NO = Answer.REJECT
EDITS = (Answer.APPROVE, Answer.REJECT, Answer.EDIT)
FINANCE, LEGAL = Stage(approvers=("finance",)), Stage(approvers=("legal",))


def asked(requested_by="invoice-agent", agent="", **requirement):
    judged = apply(None, make_ask(requested_by=requested_by, agent=agent, **requirement), START)
    assert isinstance(judged, Step), judged
    return judged.request


def voted(request, *votes, at=START):
    """Hand in votes that must count: names, or (name, answer), or (name, answer, role)."""
    for vote in votes:
        name, answer, role = (*((vote,) if isinstance(vote, str) else vote), None, None)[:3]
        roles = () if role is None else (role,)
        request = accept(
            request, make_vote(request, name, answer or Answer.APPROVE, roles=roles), at
        )
    return request


def accept(request, vote, at=START):
    judged = apply(request, vote, at)
    assert isinstance(judged, Step), judged
    return judged.request


def refuse(request, vote, why=Why.REFUSED, at=START):
    judged = apply(request, vote, at)
    assert isinstance(judged, Refusal), judged
    assert judged.why is why, judged
    return judged.message


def quorum(number, **more):
    return asked(stages=(Stage(quorum=number),), **more)


def edited(request, name="alice", *, requirement=None, effect=Effect.ASK, roles=(), **details):
    need = request.requirement if requirement is None else requirement
    edit = make_edit(request, requirement=need, effect=effect, **details)
    return make_vote(request, name, edit=edit, roles=roles)


# quorum


def test_n_different_people_must_approve():
    """Two of any number: the first approval leaves it pending, the second decides."""
    request = voted(quorum(2), "alice")
    assert (request.status, tally(request).approvals, tally(request).needed) == ("pending", 1, 2)
    assert voted(request, "bob").status is Status.APPROVED


@pytest.mark.parametrize(
    "again", ["alice", "ALICE", " alice ", "ａlice", "ali\u200bce", "alice\u00a0"]
)
def test_one_person_is_one_vote_however_the_name_is_spelled(again):
    """Case, width, spaces and invisible characters do not make a second person."""
    request = voted(quorum(2), "alice")
    refuse(request, make_vote(request, again), Why.DUPLICATE)
    assert person(again) == "alice"


def test_the_last_vote_of_a_person_counts_while_pending():
    """An approval may become a rejection, and with `veto: false` the other way about."""
    request = voted(quorum(2, veto=False), ("alice", NO), "bob")
    assert tally(request).approvals == 1
    assert voted(request, "alice").status is Status.APPROVED
    assert voted(quorum(2), "alice", ("alice", NO)).status is Status.REJECTED


def test_the_same_answer_twice_changes_nothing():
    """A repeated vote is a duplicate; one with a better proof replaces it."""
    request = voted(quorum(2), "alice")
    refuse(request, make_vote(request, reason="again"), Why.DUPLICATE)
    better = accept(request, make_vote(request, assurance=Assurance.SIGNED))
    assert [vote.assurance for vote in better.votes] == [Assurance.SIGNED]
    refuse(better, make_vote(better), Why.DUPLICATE)


# veto


def test_one_rejection_ends_it():
    """With a veto, the first rejection decides, whatever was approved before."""
    assert voted(quorum(3), "alice", "bob", ("carl", NO)).status is Status.REJECTED


def test_without_veto_as_many_rejections_as_the_quorum_end_it():
    """`veto: false`: one rejection of a quorum of two decides nothing, the second does."""
    request = voted(quorum(2, veto=False), ("alice", NO), "bob")
    assert request.status is Status.PENDING
    assert voted(request, ("carl", NO)).status is Status.REJECTED
    assert voted(request, "carl").status is Status.APPROVED


# stages


def test_stages_open_in_order():
    """Legal cannot approve before finance did, and finance alone is not enough."""
    request = asked(stages=(FINANCE, LEGAL))
    assert "stage 1 of 2" in refuse(request, make_vote(request, "lea", roles=("legal",)))
    request = voted(request, ("fay", None, "finance"))
    assert (request.status, tally(request).stage) == (Status.PENDING, 1)
    assert "stage 2 of 2" in refuse(request, make_vote(request, "fred", roles=("finance",)))
    assert voted(request, ("lea", None, "legal")).status is Status.APPROVED


def test_one_person_approves_in_one_stage_only():
    """Somebody in both groups counts once; a repeat is a duplicate that says who must answer now."""
    both = ("finance", "legal")
    request = asked(stages=(FINANCE, LEGAL), answers=EDITS)
    request = accept(request, make_vote(request, "zoe", roles=both))
    repeat = make_vote(request, "zoe", roles=both)
    assert "somebody else must now" in refuse(request, repeat, Why.DUPLICATE)
    signed = make_vote(request, "zoe", roles=both, assurance=Assurance.SIGNED)
    assert "stage 1 already" in refuse(request, signed)
    assert "stage 1 already" in refuse(request, edited(request, "zoe", roles=both, amount=9))


def test_anybody_of_any_stage_may_reject_at_any_time():
    """A later stage need not wait to say no, and who approved may take it back."""
    request = asked(stages=(FINANCE, LEGAL))
    assert voted(request, ("lea", NO, "legal")).status is Status.REJECTED
    request = voted(request, ("fay", None, "finance"))
    assert voted(request, ("fay", NO, "finance")).status is Status.REJECTED
    refuse(request, make_vote(request, "max", NO))


def test_taking_an_approval_back_opens_its_stage_again():
    """`veto: false`: the stage is counted anew, and those of later stages keep their votes."""
    request = asked(stages=(replace(FINANCE, quorum=1), replace(LEGAL, quorum=2)), veto=False)
    request = voted(request, ("fay", None, "finance"), ("lea", None, "legal"))
    request = voted(request, ("fay", NO, "finance"))
    assert (request.status, tally(request).stage) == (Status.PENDING, 0)
    request = voted(request, ("fred", None, "finance"))
    assert (tally(request).stage, tally(request).approvals) == (1, 1)
    assert voted(request, ("leo", None, "legal")).status is Status.APPROVED


def test_an_approval_never_rejects():
    """`veto: false`: a rejection given for a later stage decides there, when it is given."""
    for quorum, status in ((1, Status.REJECTED), (2, Status.PENDING)):
        request = asked(stages=(FINANCE, replace(LEGAL, quorum=quorum)), veto=False)
        request = voted(request, ("fay", None, "finance"), ("fay", NO, "finance"))
        assert request.status is status
    request = voted(request, ("fred", None, "finance"))
    assert (request.status, tally(request).stage) == (Status.PENDING, 1)


# who may answer


@pytest.mark.parametrize("name", ["invoice-agent", "Invoice-Agent", " invoice-agent", "GPT\u200b"])
def test_nobody_answers_their_own_request(name):
    """Neither the requester nor the agent may answer, however they write their name."""
    request = asked(agent="gpt")
    assert "somebody else must" in refuse(request, make_vote(request, name))
    refuse(request, make_vote(request, name, NO))


@pytest.mark.parametrize("name", ["", "  ", "\u200b"])
def test_an_answer_needs_a_name(name):
    """A name without a letter is none."""
    refuse(asked(), make_vote(asked(), name))


def test_an_unnamed_answer_counts_only_where_names_do_not_matter():
    """One of anybody: a bare tick is enough. A quorum, a group or a second stage: it is not."""
    assert voted(asked(), UNNAMED).status is Status.APPROVED
    for stages in [(Stage(quorum=2),), (FINANCE,), (Stage(), Stage())]:
        request = asked(stages=stages)
        assert "put your name" in refuse(request, make_vote(request, "Unnamed", roles=("finance",)))


def test_approvers_are_names_or_roles_in_any_case():
    """`approvers` names people and roles alike."""
    request = asked(stages=(Stage(approvers=("Alice", "FINANCE")),))
    assert voted(request, "alice").status is Status.APPROVED
    assert voted(request, ("bob", None, "finance")).status is Status.APPROVED
    assert "waits for Alice, FINANCE" in refuse(request, make_vote(request, "carl"))


@pytest.mark.parametrize("stages", [(FINANCE,), (Stage(),), (LEGAL, FINANCE)])
@pytest.mark.parametrize("answer", [Answer.APPROVE, Answer.REJECT])
def test_a_roles_name_is_nobodys_name(stages, answer):
    """Who signs with the name of a role is asked for their own; a role cannot answer."""
    request = asked(stages=stages)
    vote = make_vote(request, "Finance", answer, is_role=True)
    assert "Finance is a role, not a person" in refuse(request, vote)


def test_a_person_named_like_a_role_answers_by_the_roles_they_hold():
    """An enrolled person of that name counts as what they hold, not as the role."""
    request = asked(stages=(FINANCE,))
    stranger = make_vote(request, "finance", roles=("legal",), is_role=True)
    assert "waits for finance" in refuse(request, stranger)
    assert (
        accept(request, make_vote(request, "finance", roles=("finance",), is_role=True)).status
        is Status.APPROVED
    )


# after the decision


@pytest.mark.parametrize("name", ["carl", "invoice-agent"])
def test_a_late_agreement_of_somebody_who_had_no_say_is_told_so(name):
    """They hear who decided, and that they are not among those who may answer."""
    request = voted(asked(stages=(Stage(approvers=("alice", "bob")),)), "alice")
    said = refuse(request, make_vote(request, name))
    assert "is already approved, by alice" in said
    assert name in said
    for listed in ("alice", "bob"):
        refuse(request, make_vote(request, listed), Why.DUPLICATE)
    refuse(request, make_vote(request, name, NO), Why.CONFLICT)


# answers, reasons, assurance


def test_only_allowed_answers_count():
    """A rule without `edit` takes no edit, one without `reject` no rejection."""
    request = asked(answers=(Answer.APPROVE,))
    assert "allows approve" in refuse(request, make_vote(request, answer=NO))
    refuse(request, edited(request, amount=9))


def test_required_reasons_are_required():
    """A reason of spaces is none; a reason to approve is needed for an edit too."""
    request = asked(answers=EDITS, require_reason=(Answer.REJECT, Answer.APPROVE))
    for vote in (
        make_vote(request, answer=NO, reason="  "),
        make_vote(request),
        edited(request, amount=9),
    ):
        assert "a reason is required" in refuse(request, vote)
    assert accept(request, make_vote(request, answer=NO, reason="no")).reason == "no"


@pytest.mark.parametrize("answer", [Answer.APPROVE, NO])
def test_assurance_below_the_minimum_does_not_count(answer):
    """A rule that wants a signature takes nothing less."""
    request = asked(assurance=Assurance.SIGNED)
    vote = make_vote(request, answer=answer, assurance=Assurance.AUTHENTICATED)
    said = refuse(request, vote)
    assert "--sign KEY" in said
    assert "`assurance` lowered in the policy" in said  # what to do for who cannot sign


# the digest


def test_a_vote_for_other_details_is_stale():
    """A reviewer who saw something else decides nothing."""
    refuse(asked(), make_vote(asked(), payload_sha256="0" * 64), Why.STALE)


# approve with changes


def test_an_edit_approves_the_changed_details():
    """One reviewer, one edit: approved, and the executor gets the edited details only."""
    request = asked(answers=EDITS)
    request = accept(request, edited(request, amount=1000))
    assert (request.status, request.details["amount"]) == (Status.APPROVED, 1000)
    assert request.payload_in_force == request.edited.payload_sha256 != request.payload_sha256
    assert [(ch.path, ch.before, ch.after) for ch in request.edited.changes] == [
        ("/amount", "1500", "1000")
    ]


def test_an_edit_starts_the_count_again():
    """Approvals of the details as asked do not count for the edited ones."""
    request = voted(quorum(2, answers=EDITS), "bob")
    request = accept(request, edited(request, amount=1000))
    assert (request.status, tally(request).approvals) == (Status.PENDING, 1)
    assert voted(request, "bob").status is Status.APPROVED


def test_the_same_edit_twice_is_a_duplicate():
    """A retry of an edit that was counted changes nothing, decided or not."""
    for request in (quorum(2, answers=EDITS), asked(answers=EDITS)):
        vote = edited(request, amount=1000)
        refuse(accept(request, vote), vote, Why.DUPLICATE)


def test_another_persons_same_edit_is_told_to_approve_it():
    """Only its own author repeats an edit; for others it is the payload in force."""
    request = quorum(2, answers=EDITS)
    first = edited(request, amount=1000)
    request = accept(request, first)
    second = replace(first, reviewer="bob", payload_sha256=request.payload_in_force)
    assert "nothing was changed" in refuse(request, second)


def test_an_edit_that_crosses_a_threshold_asks_again():
    """The changed action must meet the stricter rule too: the editor's vote is one of two."""
    request = asked(answers=EDITS)
    request = accept(
        request, edited(request, requirement=Requirement(stages=(Stage(quorum=2),)), amount=9e4)
    )
    assert (request.status, tally(request).needed) == (Status.PENDING, 2)
    assert voted(request, "bob").status is Status.APPROVED


def test_an_edit_into_another_groups_rule_is_a_proposal():
    """An editor who may not answer the stricter rule proposes; those who may decide."""
    request = asked(answers=EDITS)
    need = Requirement(stages=(Stage(approvers=("cfo",)),))
    request = accept(request, edited(request, requirement=need, amount=9e4))
    assert (request.status, tally(request).approvals) == (Status.PENDING, 0)
    refuse(request, make_vote(request, "alice"))
    assert voted(request, ("zoe", None, "cfo")).status is Status.APPROVED


@pytest.mark.parametrize(
    "need",
    [
        Requirement(assurance=Assurance.SIGNED),
        Requirement(require_reason=(Answer.APPROVE,)),
        Requirement(require_reason=(Answer.EDIT,)),
    ],
)
def test_an_edit_never_satisfies_a_rule_its_vote_is_too_weak_for(need):
    """Assurance and reasons of the rule that the edit runs into count for the edit itself."""
    request = accept(
        asked(answers=EDITS), edited(asked(answers=EDITS), requirement=need, amount=9e4)
    )
    assert (request.status, tally(request).approvals) == (Status.PENDING, 0)
    again = make_vote(request, reason="yes", assurance=Assurance.SIGNED)
    assert accept(request, again).status is Status.APPROVED


def test_an_unnamed_edit_never_satisfies_a_rule_that_counts_names():
    """An unnamed edit into a rule for two people is a proposal."""
    request = asked(answers=EDITS)
    need = Requirement(stages=(Stage(quorum=2),))
    request = accept(request, edited(request, UNNAMED, requirement=need, amount=9e4))
    assert tally(request).approvals == 0
    assert voted(request, "bob").status is Status.PENDING


def test_an_edit_into_what_the_policy_denies_is_refused():
    """No reviewer can edit an action into a forbidden one."""
    request = asked(answers=EDITS)
    assert "forbids" in refuse(request, edited(request, effect=Effect.DENY, amount=1e9))


def test_an_edit_into_what_the_policy_allows_keeps_the_requirement():
    """Below every threshold the rule that asked still decides; defaults do not creep in."""
    need = {"stages": (Stage(quorum=2),), "answers": EDITS, "veto": False, "timeout_s": 9999.0}
    request = asked(**need)
    vote = edited(request, requirement=Requirement(), effect=Effect.ALLOW, amount=1)
    assert accept(request, vote).requirement == request.requirement


@pytest.mark.parametrize("answer", [Answer.APPROVE, NO])
def test_changed_details_come_only_with_an_edit(answer):
    """An approval cannot carry an edit past a rule that allows none."""
    request = asked()
    vote = replace(edited(request, amount=9), answer=answer)
    refuse(request, vote)


def test_an_edit_must_change_something():
    """No edit, the details as they are, or back to those first asked for: none of them counts."""
    request = quorum(2, answers=EDITS)
    refuse(request, replace(edited(request, amount=1), edit=None))
    assert "nothing was changed" in refuse(request, edited(request, amount=1500))
    request = accept(request, edited(request, amount=1000))
    assert "first asked for" in refuse(request, edited(request, "bob", amount=1500))


def test_a_requirement_nobody_can_count_is_refused_with_the_edit():
    """An unsound requirement never gets into a request."""
    request = asked(answers=EDITS)
    refuse(request, edited(request, requirement=Requirement(stages=()), amount=9))


def test_votes_from_before_an_edit_never_come_back():
    """A second edit that restores earlier details does not revive the votes for them."""
    request = quorum(3, answers=EDITS)
    request = accept(request, edited(request, "alice", amount=1))
    request = voted(request, "bob")
    request = accept(request, edited(request, "carl", amount=2))
    request = accept(request, edited(request, "dora", amount=1))
    assert (request.status, tally(request).approvals) == (Status.PENDING, 1)
    request = voted(request, "alice", "bob")
    assert request.status is Status.APPROVED


def test_an_edit_does_not_make_two_people_into_one():
    """A rule of a group and one more person stays so after an edit."""
    plan = (FINANCE, Stage())
    request = asked(stages=plan, answers=EDITS)
    for need in (request.requirement, Requirement(stages=(FINANCE,))):
        vote = edited(request, "fay", requirement=need, roles=("finance",), amount=9)
        after = accept(request, vote)
        assert (after.status, after.requirement.stages) == (Status.PENDING, plan)


def test_an_edit_after_an_escalation_asks_nobody_twice():
    """Who was let in by an escalation may still answer alone after an edit."""
    need = {
        "stages": (FINANCE,),
        "answers": EDITS,
        "remind_s": (10.0, 50.0),
        "escalate": (Escalation(after_s=30, to=("cfo",)),),
    }
    request = asked(**need)
    request = accept(request, c.Remind(id=request.id, number=0), START + timedelta(seconds=10))
    request = accept(request, c.Escalate(id=request.id, number=0), START + timedelta(seconds=30))
    sooner = Escalation(after_s=20, to=("legal",))
    fresh = Requirement(**need | {"escalate": (sooner,), "remind_s": (5.0,)})
    vote = edited(request, "zoe", requirement=fresh, roles=("cfo",), amount=9)
    after = accept(request, vote, START + timedelta(seconds=31))
    assert after.requirement.stages == (Stage(approvers=("finance", "cfo")),)
    assert after.requirement.escalate == (*need["escalate"], sooner)
    assert after.requirement.remind_s == (10.0, 5.0, 50.0)
    assert after.status is Status.APPROVED


def test_an_edit_brings_the_shorter_deadline_of_its_rule():
    """A stricter rule's time to answer runs from the edit, and never lengthens the deadline."""
    request = quorum(2, answers=EDITS, timeout_s=3600)
    for timeout_s, expected in ((60, 100 + 60), (3550, 3600), (9999, 3600)):
        need = replace(request.requirement, timeout_s=float(timeout_s))
        vote = edited(request, requirement=need, amount=9)
        after = accept(request, vote, START + timedelta(seconds=100))
        assert after.expires_at == START + timedelta(seconds=expected)


def test_merging_requirements_takes_the_stricter_of_each():
    """Shortest times, highest assurance, most people, fewest answers, every reason."""
    one = Requirement(timeout_s=60, use_within_s=600, answers=EDITS, veto=False, settle_s=2.0)
    two = Requirement(
        stages=(Stage(quorum=2),),
        assurance=Assurance.SIGNED,
        require_reason=(NO,),
        answers=(NO, Answer.APPROVE),
    )
    both = stricter_requirement(one, two)
    assert (both.timeout_s, both.use_within_s, both.settle_s) == (60, 600, 2.0)
    assert (both.assurance, both.veto) == (Assurance.SIGNED, True)
    assert both.stages == (Stage(quorum=2),)
    assert both.answers == (Answer.APPROVE, NO)
    assert both.require_reason == (NO,)
    never = stricter_requirement(replace(one, answers=(Answer.EDIT,)), replace(two, answers=(NO,)))
    assert never.answers == (NO,)


def test_a_vote_that_says_it_is_signed_needs_a_signature():
    """Nobody becomes sure of a reviewer by saying so."""
    request = asked(assurance=Assurance.SIGNED)
    unproved = replace(make_vote(request, "cfo", assurance=Assurance.SIGNED), proof="")
    judged = apply(request, unproved, START)
    assert isinstance(judged, Refusal)
    assert "signature" in judged.message


@pytest.mark.parametrize("mark", ["\u034f", "\ufe0f", "\u3164", "\u2800", "\U000e0101", "\u200b"])
def test_a_name_with_marks_nobody_sees_is_the_same_person(mark):
    """The requester does not become somebody else by an invisible character."""
    assert person(f"b{mark}ot{mark}") == person("bot")


# standing in, and the record


def for_(request, name, answer=Answer.APPROVE, *, absent="alice", roles=("finance",), **more):
    """Return a vote of somebody who stands in for an absent person."""
    return replace(
        make_vote(request, name, answer), standing_for=((absent, frozenset(roles)),), **more
    )


def test_a_stand_in_answers_for_the_absent_and_it_is_recorded():
    """The vote and its event say on whose behalf."""
    request = asked(stages=(FINANCE,))
    judged = apply(request, for_(request, "bob"), START)
    assert judged.request.status is Status.APPROVED
    assert judged.request.votes[0].on_behalf_of == "alice"
    assert judged.events[0].data["on_behalf_of"] == "alice"


def test_who_may_answer_anyway_stands_in_for_nobody():
    """Bob has one vote, and where he has one of his own it is that."""
    request = asked(stages=(Stage(approvers=("finance",), quorum=2),))
    own = replace(for_(request, "bob"), roles=frozenset({"finance"}))
    request = accept(request, own)
    assert request.votes[0].on_behalf_of == ""
    refuse(request, replace(for_(request, "bob"), roles=frozenset()), Why.DUPLICATE)


def test_nobody_stands_in_for_who_asked():
    """Neither for the requester nor for the agent."""
    request = asked(requested_by="alice", agent="helper", stages=(FINANCE,))
    assert "alice, for whom they stand in, asked" in refuse(request, for_(request, "bob"))
    refuse(request, for_(request, "bob", absent="helper"))
    refuse(request, for_(request, "bob", Answer.REJECT))


def test_a_seat_has_one_vote_though_two_people_sit_in_it():
    """Two stand-ins of one absent person are one approval of two."""
    request = asked(stages=(Stage(approvers=("finance",), quorum=2),))
    request = accept(request, for_(request, "bob"))
    request = accept(request, for_(request, "carol"))
    assert (request.status, tally(request).approvals) == (Status.PENDING, 1)
    assert request.reviewers == ("carol",)


def test_a_persons_own_answer_takes_their_seat_back():
    """Alice answers herself: what was said for her no longer counts, and nobody may after her."""
    request = asked(stages=(Stage(approvers=("finance",), quorum=2),))
    request = accept(request, for_(request, "bob"))
    request = voted(request, ("alice", Answer.APPROVE, "finance"))
    assert (request.reviewers, tally(request).approvals) == (("alice",), 1)
    assert "alice, for whom they stand in, has answered" in refuse(request, for_(request, "bob"))


def test_a_seat_approves_in_one_stage_only():
    """What a stand-in approved in a closed stage is the absent person's approval too."""
    request = asked(stages=(FINANCE, Stage(approvers=("finance", "cfo"))))
    request = accept(request, for_(request, "bob"))
    assert tally(request).stage == 1
    own = make_vote(request, "alice", roles=("finance",))
    assert "approved in stage 1 already" in refuse(request, own)
    refuse(request, for_(request, "carol"))


def test_a_stand_in_may_reject_for_who_is_named_in_a_later_stage():
    """A rejection need not wait for its stage, and says for whom it is."""
    request = asked(stages=(LEGAL, FINANCE))
    request = accept(request, for_(request, "bob", NO))
    assert (request.status, request.votes[0].on_behalf_of) == (Status.REJECTED, "alice")


def test_a_name_that_is_not_on_record_opens_nothing_that_names_it():
    """Who has left is told so; what is open to anyone stays open to them."""
    request = asked(stages=(Stage(approvers=("alice",)),))
    gone = replace(make_vote(request, "alice"), not_on_record="no longer on record")
    assert "alice may not answer this request: no longer on record" in refuse(request, gone)
    refuse(request, replace(gone, answer=NO))
    anyone = asked(stages=(Stage(),))
    assert accept(anyone, replace(gone, id=anyone.id)).status is Status.APPROVED


@pytest.mark.parametrize("name", ["Bot", "bot\u200b", "ＢＯＴ", "helper"])
@pytest.mark.parametrize("assurance", list(Assurance))
def test_who_asked_may_not_answer_however_it_is_proved(name, assurance):
    """Neither requester nor agent, in any spelling, however sure we are of them."""
    request = asked(requested_by="bot", agent="Helper")
    vote = make_vote(request, name, assurance=assurance)
    assert "asked for this and cannot answer it" in refuse(request, vote)
