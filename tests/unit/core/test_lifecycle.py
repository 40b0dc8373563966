"""Every rule of an approval, one at a time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hitl_vault.core import commands as c
from hitl_vault.core.events import Kind
from hitl_vault.core.lifecycle import (
    apply,
    deadline,
    is_overdue,
    next_due,
)
from hitl_vault.core.model import (
    Answer,
    Assurance,
    Effect,
    Escalation,
    Requirement,
    Stage,
    Status,
)
from hitl_vault.core.steps import TRANSITIONS, Refusal, Step, Why
from hitl_vault.testing.clock import START
from hitl_vault.testing.samples import make_ask, make_claim, make_edit, make_finish, make_vote

S = Status


def after(seconds):
    return START + timedelta(seconds=seconds)


def step(request, command, at=START):
    """Apply a command that must be accepted."""
    judged = apply(request, command, at)
    assert isinstance(judged, Step), judged
    return judged.request


def refusal(request, command, why, at=START):
    """Apply a command that must not be accepted."""
    judged = apply(request, command, at)
    assert isinstance(judged, Refusal), judged
    assert judged.why is why, judged
    return judged


def asked(id="pay-1", **requirement):
    return step(None, make_ask(id, **requirement))


def approved(**requirement):
    request = asked(**requirement)
    return step(request, make_vote(request))


def executing(**requirement):
    request = approved(**requirement)
    return step(request, make_claim(request))


def in_status(status):
    """Return a request that came to a status in the usual way."""
    match status:
        case S.PENDING:
            return asked()
        case S.APPROVED:
            return approved()
        case S.REJECTED:
            return step(asked(), make_vote(asked(), answer=Answer.REJECT))
        case S.EXPIRED:
            return step(asked(), c.Expire(id="pay-1"), after(3600))
        case S.CANCELLED:
            return step(asked(), c.Cancel(id="pay-1", by="invoice-agent"))
        case S.EXECUTING:
            return executing()
        case _:
            return step(executing(), make_finish(executing(), status))


COMMANDS = {
    "ask": lambda r: make_ask(),
    "ask for another action": lambda r: make_ask(details={"amount": 1}),
    "approve": make_vote,
    "reject": lambda r: make_vote(r, answer=Answer.REJECT),
    "edit": lambda r: make_vote(r, edit=make_edit(r, requirement=Requirement(), amount=7)),
    "cancel": lambda r: c.Cancel(id=r.id, by="invoice-agent"),
    "claim": make_claim,
    "claim by another": lambda r: make_claim(r, "claim-2"),
    "executed": make_finish,
    "failed": lambda r: make_finish(r, S.FAILED),
    "lost": lambda r: make_finish(r, S.UNKNOWN),
    "executed by another": lambda r: make_finish(r, claim_id="claim-2"),
    "resolve executed": lambda r: c.Resolve(id=r.id, by="alice", status=S.EXECUTED),
    "resolve failed": lambda r: c.Resolve(id=r.id, by="alice", status=S.FAILED),
    "expire": lambda r: c.Expire(id=r.id),
    "remind": lambda r: c.Remind(id=r.id, number=0),
    "escalate": lambda r: c.Escalate(id=r.id, number=0),
    "comment": lambda r: c.Comment(id=r.id, comment_id="c1", author="bob", text="Why?"),
}
D, X, R, ST = Why.DUPLICATE, Why.CONFLICT, Why.REFUSED, Why.STALE
#          pending approved rejected expired cancelled executing executed failed unknown
EXPECTED = {
    "ask": (D, D, D, D, D, D, D, D, D),
    "ask for another action": (X, X, X, X, X, X, X, X, X),
    "approve": (S.APPROVED, D, X, X, X, D, D, D, D),
    "reject": (S.REJECTED, X, D, X, X, X, X, X, X),
    "edit": (R, X, X, X, X, X, X, X, X),
    "cancel": (S.CANCELLED, S.CANCELLED, X, X, D, X, X, X, X),
    "claim": (R, S.EXECUTING, X, X, X, D, X, X, X),
    "claim by another": (R, S.EXECUTING, X, X, X, X, X, X, X),
    "executed": (X, X, X, X, X, S.EXECUTED, D, X, S.EXECUTED),
    "failed": (X, X, X, X, X, S.FAILED, X, D, S.FAILED),
    "lost": (X, X, X, X, X, S.UNKNOWN, X, X, D),
    "executed by another": (X, X, X, X, X, R, X, X, X),
    "resolve executed": (X, X, X, X, X, R, D, X, S.EXECUTED),
    "resolve failed": (X, X, X, X, X, R, X, D, S.FAILED),
    "expire": (R, R, X, D, X, X, X, X, X),
    "remind": (R, X, X, X, X, X, X, X, X),
    "escalate": (R, X, X, X, X, X, X, X, X),
    "comment": "the same",
}
ORDER = [
    *(S.PENDING, S.APPROVED, S.REJECTED, S.EXPIRED, S.CANCELLED),
    *(S.EXECUTING, S.EXECUTED, S.FAILED, S.UNKNOWN),
]


def test_every_command_in_every_status():
    """Each command does in each status exactly what the table says, and moves along TRANSITIONS."""
    assert set(ORDER) == set(Status) == set(TRANSITIONS)
    for name, make in COMMANDS.items():
        for index, status in enumerate(ORDER):
            request = in_status(status)
            want = status if EXPECTED[name] == "the same" else EXPECTED[name][index]
            judged = apply(request, make(request), request.updated_at)
            got = judged.request.status if isinstance(judged, Step) else judged.why
            assert got is want, (name, status)
            if isinstance(judged, Step):
                assert judged.request.rev == request.rev + 1
                assert got is status or got in TRANSITIONS[status]
            else:
                assert judged.step is None
                assert judged.message


def test_terminal_statuses_are_those_without_a_way_out():
    """`is_terminal` and the table of moves agree."""
    assert {status for status in Status if status.is_terminal} == {
        status for status, moves in TRANSITIONS.items() if not moves
    }


@pytest.mark.parametrize("name", [name for name in COMMANDS if not name.startswith("ask")])
def test_a_command_about_nothing_is_not_found(name):
    """No command but Ask makes a request."""
    refusal(None, COMMANDS[name](asked()), Why.NOT_FOUND)


# asking


def test_asking_makes_a_pending_request_with_its_deadline():
    """A new request starts at rev 1 and expires when its requirement says."""
    request = asked(timeout_s=90)
    assert (request.rev, request.status, request.expires_at) == (1, S.PENDING, after(90))
    assert (request.created_at, request.updated_at, request.use_by) == (START, START, None)


def test_asking_again_is_the_same_request_even_under_another_id():
    """The same key with the same content is a duplicate, with other content a conflict."""
    request = step(None, make_ask("one", key="INV-1"))
    refusal(request, make_ask("two", key="INV-1"), Why.DUPLICATE)
    no = refusal(request, make_ask("two", key="INV-1", details={"amount": 2}), Why.CONFLICT)
    assert "key 'INV-1'" in no.message


@pytest.mark.parametrize("first", [None, "INV-1"])
def test_an_id_cannot_take_a_second_key(first):
    """A key that would not be found again is refused: the next ask with it would make a second."""
    request = step(None, make_ask(key=first))
    assert "key 'INV-2'" in refusal(request, make_ask(key="INV-2"), Why.CONFLICT).message
    refusal(request, make_ask(key=None), Why.DUPLICATE)


@pytest.mark.parametrize(
    "id", ["", "../x", "a/b", "a..b", ".a", "a.", "a b", "é", "\udcff", "a" * 121]
)
def test_an_id_that_could_be_a_path_trick_is_refused(id):
    """What is not a valid id never becomes a request."""
    refusal(None, make_ask(id), Why.REFUSED)


def test_what_the_policy_denies_cannot_be_asked():
    """No request is made for a denied action, so nobody can approve it."""
    refusal(None, make_ask(effect=Effect.DENY), Why.REFUSED)


@pytest.mark.parametrize(
    "requirement",
    [
        {"stages": ()},
        {"stages": (Stage(quorum=0),)},
        {"timeout_s": float("inf")},
        {"timeout_s": float("nan")},
        {"timeout_s": -1.0},
        {"use_within_s": 1e300},
        {"remind_s": (1e300,)},
        {"escalate": (Escalation(after_s=float("inf"), to=("cfo",)),)},
    ],
)
def test_a_requirement_that_cannot_be_counted_is_refused(requirement):
    """Nothing is asked that could never be decided or would break the count later."""
    refusal(None, make_ask(**requirement), Why.REFUSED)


# deadlines


@pytest.mark.parametrize("name", ["approve", "reject", "cancel", "claim"])
def test_at_the_deadline_nothing_but_expiry_happens(name):
    """At `now >= expires_at` every command is refused and the expiry is recorded with it."""
    request = asked(timeout_s=60)
    late = refusal(request, COMMANDS[name](request), Why.CONFLICT, after(60))
    assert late.step.request.status is S.EXPIRED
    assert [event.kind for event in late.step.events] == [Kind.EXPIRED]
    judged = apply(request, COMMANDS[name](request), after(59.999999))
    assert isinstance(judged, Step) or judged.step is None


@pytest.mark.parametrize("name", ["remind", "escalate"])
def test_a_timer_that_comes_after_the_deadline_brings_the_expiry(name):
    """A reminder or escalation slept through is not caught up: what is due by then is the end."""
    request = asked(timeout_s=60, remind_s=(10,), escalate=(Escalation(after_s=20, to=("cfo",)),))
    assert not isinstance(next_due(request)[1], c.Expire)
    assert step(request, COMMANDS[name](request), after(60)).status is S.EXPIRED


def test_an_approval_not_claimed_in_time_expires():
    """At `now >= use_by` the claim is refused and the request is expired."""
    request = approved(use_within_s=30)
    assert request.use_by == after(30)
    assert step(request, make_claim(request), after(29.999999)).status is S.EXECUTING
    late = refusal(request, make_claim(request), Why.CONFLICT, after(30))
    assert (late.step.request.status, late.step.request.decided_at) == (S.EXPIRED, START)
    assert "claimed" in late.step.request.reason


def test_expire_waits_for_the_deadline():
    """Expire before its time is refused, at its time accepted, afterwards a duplicate."""
    request = asked(timeout_s=60)
    refusal(request, c.Expire(id="pay-1"), Why.REFUSED, after(59))
    expired = step(request, c.Expire(id="pay-1"), after(60))
    assert (expired.status, expired.decided_at) == (S.EXPIRED, after(60))
    refusal(expired, c.Expire(id="pay-1"), Why.DUPLICATE, after(61))


def test_a_running_execution_has_no_deadline():
    """Once claimed nothing expires, however long it takes."""
    request = executing(use_within_s=30)
    assert deadline(request) is None
    assert not is_overdue(request, after(1e8))
    assert next_due(request) is None
    assert step(request, make_finish(request), after(1e8)).status is S.EXECUTED


def test_a_comment_neither_expires_nor_saves_a_request():
    """A remark after the deadline is kept; the next command still finds it expired."""
    request = step(
        asked(timeout_s=60),
        c.Comment(id="pay-1", comment_id="c1", author="bob", text="late"),
        after(70),
    )
    assert request.status is S.PENDING
    assert refusal(request, make_vote(request), Why.CONFLICT, after(70)).step is not None


def test_a_clock_set_back_never_reorders_the_record():
    """Times recorded never decrease, and an expired deadline is judged by the time already seen."""
    request = asked(timeout_s=60)
    request = step(
        request, c.Comment(id="pay-1", comment_id="c", author="bob", text="?"), after(50)
    )
    request = step(request, make_vote(request), after(-1000))
    assert request.updated_at == request.decided_at == request.votes[0].at == after(50)


# claiming and finishing


def test_a_claim_names_exactly_what_was_approved():
    """A claim for another digest is stale and nothing runs."""
    request = approved()
    claim = c.Claim(id=request.id, claim_id="c", executor="w", holder="h", payload_sha256="0" * 64)
    refusal(request, claim, Why.STALE)


def test_a_deny_rule_at_claim_time_beats_the_approval():
    """What the policy forbids now does not run, and may be claimed once it is allowed again."""
    request = approved()
    no = refusal(request, make_claim(request, denied_by="no-fridays"), Why.REFUSED)
    assert "no-fridays" in no.message
    assert step(request, make_claim(request)).status is S.EXECUTING


def test_the_claim_succeeds_once():
    """A second claim conflicts; the holder's own retry is a duplicate, until it has ended."""
    request = executing()
    refusal(request, make_claim(request, "claim-2"), Why.CONFLICT)
    refusal(request, make_claim(request), Why.DUPLICATE)
    done = step(request, make_finish(request))
    refusal(done, make_claim(done), Why.CONFLICT)


def test_a_late_report_of_the_owner_beats_unknown():
    """An executor taken for dead that reports after all is believed; a stranger is not."""
    lost = step(executing(), make_finish(executing(), S.UNKNOWN, error="died"))
    assert (lost.status, lost.outcome.error) == (S.UNKNOWN, "died")
    refusal(lost, make_finish(lost, claim_id="claim-2"), Why.CONFLICT)
    done = step(lost, make_finish(lost, result={"receipt": 7}))
    assert (done.status, done.result) == (S.EXECUTED, {"receipt": 7})


def test_a_person_resolves_an_unknown_end_once():
    """Resolve ends it; the owner's contradicting report afterwards is a conflict."""
    lost = step(executing(), make_finish(executing(), S.UNKNOWN))
    done = step(lost, c.Resolve(id="pay-1", by="alice", status=S.FAILED, reason="bank says no"))
    assert (done.status, done.outcome.by) == (S.FAILED, "alice")
    refusal(done, make_finish(done), Why.CONFLICT)
    refusal(done, make_finish(done, S.FAILED), Why.DUPLICATE)
    refusal(done, c.Resolve(id="pay-1", by="bob", status=S.EXECUTED), Why.CONFLICT)


@pytest.mark.parametrize("status", [s for s in Status if s not in {S.EXECUTED, S.FAILED}])
def test_nothing_is_resolved_to_an_unfinished_status(status):
    """A person says executed or failed."""
    lost = step(executing(), make_finish(executing(), S.UNKNOWN))
    refusal(lost, c.Resolve(id="pay-1", by="alice", status=status), Why.REFUSED)


@pytest.mark.parametrize(
    "status", [s for s in Status if s not in {S.EXECUTED, S.FAILED, S.UNKNOWN}]
)
def test_an_execution_ends_in_one_of_three_ways(status):
    """A report of any other status is refused."""
    refusal(executing(), make_finish(executing(), status), Why.REFUSED)


# comments, reminders, escalations


def test_comments_are_kept_once_and_not_empty():
    """A comment id is recorded once; an empty text is refused."""
    comment = c.Comment(id="pay-1", comment_id="c1", author="bob", text="Why?")
    request = step(asked(), comment)
    assert [(said.author, said.text) for said in request.comments] == [("bob", "Why?")]
    refusal(request, comment, Why.DUPLICATE)
    refusal(request, c.Comment(id="pay-1", comment_id="c2", author="b", text=" "), Why.REFUSED)


def test_reminders_come_in_order_and_in_time():
    """Reminder n is given once, after n - 1, not before it is due."""
    request = asked(remind_s=(10, 20))
    refusal(request, c.Remind(id="pay-1", number=0), Why.REFUSED, after(9))
    refusal(request, c.Remind(id="pay-1", number=1), Why.REFUSED, after(20))
    request = step(request, c.Remind(id="pay-1", number=0), after(10))
    refusal(request, c.Remind(id="pay-1", number=0), Why.DUPLICATE, after(10))
    request = step(request, c.Remind(id="pay-1", number=1), after(20))
    refusal(request, c.Remind(id="pay-1", number=2), Why.REFUSED, after(20))


def test_an_escalation_lets_more_people_answer():
    """Before it the new people may not answer, after it they may; those from before still may."""
    request = asked(
        stages=(Stage(approvers=("finance",)),), escalate=(Escalation(after_s=60, to=("cfo",)),)
    )
    boss = make_vote(request, "zoe", roles=("cfo",))
    refusal(request, boss, Why.REFUSED, after(30))
    refusal(request, c.Escalate(id="pay-1", number=0), Why.REFUSED, after(59))
    refusal(request, c.Escalate(id="pay-1", number=1), Why.REFUSED, after(60))
    request = step(request, c.Escalate(id="pay-1", number=0), after(60))
    refusal(request, c.Escalate(id="pay-1", number=0), Why.DUPLICATE, after(60))
    assert request.requirement.stages == (Stage(approvers=("finance", "cfo")),)
    assert step(request, boss, after(61)).status is S.APPROVED
    assert step(request, make_vote(request, "finance"), after(61)).status is S.APPROVED


def test_the_next_thing_due_is_the_soonest():
    """Timers learn of reminders and escalations in order, and last of the deadline."""
    request = asked(timeout_s=60, remind_s=(20,), escalate=(Escalation(after_s=10, to=("cfo",)),))
    seen = []
    for _ in range(3):
        at, command = next_due(request)
        seen.append((at, type(command)))
        request = step(request, command, at)
    assert seen == [(after(10), c.Escalate), (after(20), c.Remind), (after(60), c.Expire)]
    assert next_due(approved(use_within_s=5))[0] == after(5)


# what a decision records


def test_the_decision_is_recorded_with_its_votes_in_one_step():
    """The vote and the approval it brings share one revision."""
    request = asked()
    judged = apply(request, make_vote(request, reason="fine"), after(5))
    assert [event.kind for event in judged.events] == [Kind.VOTED, Kind.APPROVED]
    assert {event.rev for event in judged.events} == {2}
    assert (judged.request.reason, judged.request.decided_at) == ("fine", after(5))
    assert judged.events[1].data["payload_sha256"] == request.payload_sha256


def test_a_signed_rule_is_not_satisfied_by_a_file():
    """A vote below the rule's assurance is refused, and says how to give a better one."""
    request = asked(assurance=Assurance.AUTHENTICATED)
    assert "hitl approve" in refusal(request, make_vote(request), Why.REFUSED).message
    vote = make_vote(request, assurance=Assurance.SIGNED)
    assert step(request, vote).status is S.APPROVED


def test_one_author_leaves_room_for_what_others_have_to_say():
    """An agent that fills the remarks of its request, in any spelling, cannot keep out a question."""
    request = asked()
    for number in range(100):
        spelled = "bot" if number % 2 else "BOT "
        said = c.Comment(id="pay-1", comment_id=f"c{number}", author=spelled, text="x")
        request = step(request, said, after(1))
    more = c.Comment(id="pay-1", comment_id="more", author="bot", text="x")
    assert "100 remarks of one author" in refusal(request, more, Why.REFUSED).message
    question = c.Comment(id="pay-1", comment_id="q", author="alice", text="Which account?")
    assert step(request, question, after(2)).comments[-1].author == "alice"
