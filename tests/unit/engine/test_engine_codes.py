"""One-time codes: sent for one request and its details, typed into the note or given to a command."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from engine_kit import box, reviewer, sentence, status
from proof_kit import Proved

from hitl_vault.core.codes import CHANNEL, MAX_TRIES
from hitl_vault.core.events import Kind
from hitl_vault.core.model import Answer, Assurance, Status
from hitl_vault.core.people import Away, People
from hitl_vault.errors import ConfigError, TrustError

RULES = """\
default: ask
rules:
  - {id: sure, when: 'action.type == "payment"', effect: ask, assurance: authenticated,
     approvers: [alice], answers: [approve, reject, edit]}
  - {id: two, when: 'action.type == "launch"', effect: ask, assurance: authenticated, quorum: 2,
     approvers: [alice, bob]}
"""


@pytest.fixture
async def office(workspace):
    office = Proved(workspace, RULES, notify=("alice", "bob"))
    yield office
    await office.verify()


@pytest.fixture
async def hitl(office):
    return await office.open()


@pytest.fixture
async def asked(hitl):
    return await hitl.request_approval("payment", "Pay", {"amount": 900})


async def codes_of(office, hitl, request):
    """Return what each reviewer was sent last, as who delivers it gets it."""
    return {
        recorded.event.data["reviewer"]: hitl.code_for(recorded.event)
        for recorded in await office.history(request)
        if recorded.event.kind is Kind.CODE_ISSUED
    }


def code(text, before='""'):
    """Type a code into the note."""
    return f"\ncode: {before}\n", f"\ncode: {text}\n"


def own_box(answer, name):
    """Tick a box of somebody's own."""
    return (
        f"- [ ] {answer.capitalize()} ^{answer}-{name}",
        f"- [x] {answer.capitalize()} ^{answer}-{name}",
    )


def wrong(right):
    """Return a code that is not the right one."""
    return f"{(int(right.replace(' ', '')) + 1) % 10**8:08d}"


# sending


async def test_a_rule_that_asks_for_it_sends_codes_to_named_reviewers_with_an_address(
    office, hitl, asked
):
    sent = await codes_of(office, hitl, asked)
    assert list(sent) == ["alice"]
    assert len(sent["alice"]) == 9
    again = await hitl.request_approval("payment", "Pay", {"amount": 900}, id=asked.id)
    assert again.codes == asked.codes


async def test_no_code_is_sent_by_itself_where_none_is_wanted(workspace):
    office = Proved(workspace, RULES, notify=("bob",))
    hitl = await office.open()
    for type in ("payment", "other"):
        request = await hitl.request_approval(type, "", {})
        assert Kind.CODE_ISSUED not in await office.kinds(request)


async def test_the_setting_switches_sending_by_itself_off(workspace):
    office = Proved(workspace, RULES, notify=("alice",), codes="off")
    hitl = await office.open()
    request = await hitl.request_approval("payment", "", {})
    assert request.codes == ()
    assert len((await hitl.send_code(request.id, to="alice")).codes) == 1


async def test_a_code_is_nowhere_in_the_ledger_or_the_note(office, hitl, asked):
    sent = (await codes_of(office, hitl, asked))["alice"]
    digits = sent.replace(" ", "")
    for text in (
        str(await office.history(asked)),
        str(await hitl.get(asked.id)),
        office.note(asked),
    ):
        assert digits not in text
        assert sent not in text


async def test_codes_differ_by_request_reviewer_and_time_of_sending(office, hitl, asked):
    other = await hitl.request_approval("payment", "Pay", {"amount": 901})
    await hitl.send_code(asked.id, to="bob")
    first = (await codes_of(office, hitl, asked))["alice"]
    await hitl.send_code(asked.id, to="alice")
    sent = await codes_of(office, hitl, asked)
    found = {first, *sent.values(), *(await codes_of(office, hitl, other)).values()}
    assert len(found) == 4


async def test_only_the_event_of_a_code_has_one(office, hitl, asked):
    with pytest.raises(ValueError, match="no code was issued"):
        hitl.code_for((await office.history(asked))[0].event)


async def test_what_a_process_did_not_live_to_send_is_sent_by_the_next(workspace):
    office = Proved(workspace, RULES, notify=("alice",), codes="off")
    first = await office.open()
    asked = await first.request_approval("payment", "", {})
    first.die()
    office.options = replace(office.options, codes="auto")
    second = await office.open()
    await second.timers.tick()
    await second.timers.tick()
    assert (await office.kinds(asked)).count(Kind.CODE_ISSUED) == 1


async def test_who_may_answer_after_an_escalation_is_sent_a_code(workspace):
    rules = RULES.replace(
        "approvers: [alice],", "approvers: [alice], escalate: [{after: 10m, to: [bob]}],", 1
    )
    office = Proved(workspace, rules, notify=("alice", "bob"))
    hitl = await office.open()
    asked = await hitl.request_approval("payment", "", {})
    assert list(await codes_of(office, hitl, asked)) == ["alice"]
    office.clock.advance(600)
    await hitl.timers.tick()
    sent = await codes_of(office, hitl, asked)
    done = await hitl.vote(asked.id, Answer.APPROVE, reviewer="bob", code=sent["bob"])
    assert done.status is Status.APPROVED


async def test_the_one_who_asks_is_sent_no_code(office, hitl):
    asked = await hitl.request_approval("launch", "", {}, requested_by="alice")
    assert list(await codes_of(office, hitl, asked)) == ["bob"]


async def test_a_stand_in_is_sent_the_code(office, hitl):
    now = office.clock.now()
    away = Away(begins_at=now, ends_at=now + timedelta(days=1), to="bob")
    people = dict(office.people.reviewers)
    people["alice"] = replace(people["alice"], away=(away,))
    office.people = People(reviewers=people)
    asked = await hitl.request_approval("payment", "", {"amount": 1})
    sent = await codes_of(office, hitl, asked)
    assert list(sent) == ["bob"]
    done = await hitl.vote(asked.id, Answer.APPROVE, reviewer="bob", code=sent["bob"])
    assert done.votes[0].on_behalf_of == "alice"


async def test_asking_never_fails_because_a_code_cannot_be_sent(office, hitl, caplog):
    def broken():
        raise ConfigError("code.key: others may read it")

    hitl._parts.code_key.load = broken
    asked = await hitl.request_approval("payment", "", {"amount": 2})
    assert asked.status is Status.PENDING
    assert "others may read it" in caplog.text
    with pytest.raises(ConfigError):
        await hitl.send_code(asked.id, to="alice")


# in the note


@pytest.mark.parametrize(
    "spelt",
    [
        lambda sent: f'"{sent}"',
        lambda sent: f'"{sent.replace(" ", "")}"',
        lambda sent: sent.replace(" ", "-"),
        lambda sent: f'"{sent.replace(" ", " – ")} "',
        lambda sent: "".join(chr(ord(ch) + 0xFEE0) if ch.isdigit() else ch for ch in sent),
        lambda sent: f"[{sent}]",
    ],
    ids=["grouped", "together", "dashed", "spaced", "full width", "list"],
)
async def test_a_code_in_the_note_authenticates_the_answer(office, hitl, asked, spelt):
    sent = (await codes_of(office, hitl, asked))["alice"]
    path = office.edit(asked, box("approve"), reviewer("Alice"), code(spelt(sent)))
    await hitl.look(path)
    decided = await hitl.get(asked.id)
    assert decided.status is Status.APPROVED, sentence(office.note(asked))
    vote = decided.votes[0]
    assert (vote.reviewer, vote.assurance, vote.channel) == (
        "Alice",
        Assurance.AUTHENTICATED,
        CHANNEL,
    )
    note = office.note(decided)
    assert '\ncode: ""\n' in note or "\ncode: [" in note
    assert sent not in note
    assert "Alice · approves (authenticated, over code)" in note


async def test_the_code_says_whose_answer_it_is(office, hitl, asked):
    """On a phone, the code and one tick are enough."""
    sent = (await codes_of(office, hitl, asked))["alice"]
    await hitl.look(office.edit(asked, box("reject"), code(sent)))
    decided = await hitl.get(asked.id)
    assert (decided.status, decided.reviewers) == (Status.REJECTED, ("alice",))


async def test_where_several_were_sent_codes_a_name_is_asked_for(office, hitl):
    asked = await hitl.request_approval("launch", "", {})
    sent = await codes_of(office, hitl, asked)
    await hitl.look(
        office.edit(
            asked, own_box("approve", "alice"), own_box("approve", "bob"), code(sent["alice"])
        )
    )
    assert "put the name of whom it was sent to" in sentence(office.note(asked))
    assert (await hitl.get(asked.id)).refused == 0


async def test_a_wrong_code_is_recorded_and_answered_in_the_note_and_the_tick_stays(
    office, hitl, asked
):
    sent = (await codes_of(office, hitl, asked))["alice"]
    bad = wrong(sent)
    await hitl.look(office.edit(asked, box("approve"), reviewer("alice"), code(f'"{bad}"')))
    now = await hitl.get(asked.id)
    assert (now.status, now.refused, now.codes[0].tries) == (Status.PENDING, 1, 1)
    note = office.note(asked)
    assert sentence(note).startswith("Not decided: the code is not the one sent to alice; 4 more")
    assert "- [x] Approve" in note
    assert bad not in str(await office.history(asked))
    await hitl.look(office.edit(asked, code(f'"{sent}"', f'"{bad}"')))
    assert (await hitl.get(asked.id)).status is Status.APPROVED


async def test_a_wrong_code_counts_once_however_many_processes_read_it(office, hitl, asked):
    bad = wrong((await codes_of(office, hitl, asked))["alice"])
    other = await office.open()
    path = office.edit(asked, box("approve"), reviewer("alice"), code(f'"{bad}"'))
    await hitl.look(path)
    await other.look(path)
    await (await office.open()).look(path)
    now = await hitl.get(asked.id)
    assert (now.refused, now.codes[0].tries) == (1, 1)


async def test_an_answer_by_code_counts_once_however_many_processes_read_it(office, hitl):
    asked = await hitl.request_approval("launch", "", {})
    other = await office.open()
    sent = await codes_of(office, hitl, asked)
    path = office.edit(asked, own_box("approve", "alice"), reviewer("alice"), code(sent["alice"]))
    text = office.note(asked)
    await hitl.look(path)
    office.vault.write(path, text)  # the other process reads the note as it was
    await other.look(path)
    now = await hitl.get(asked.id)
    assert (now.refused, len(now.votes), now.status) == (0, 1, Status.PENDING)


async def test_what_cannot_be_a_code_costs_no_try(office, hitl, asked):
    await hitl.look(office.edit(asked, box("approve"), code("4821")))
    assert "a code has 8 digits" in sentence(office.note(asked))
    assert (await hitl.get(asked.id)).refused == 0


async def test_after_five_wrong_codes_the_right_one_no_longer_counts(office, hitl, asked):
    sent = (await codes_of(office, hitl, asked))["alice"]
    bad = sent
    for number in range(MAX_TRIES):
        bad = wrong(bad)
        with pytest.raises(TrustError, match=f"{4 - number} more" if number < 4 else "no more"):
            await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", code=bad)
    with pytest.raises(TrustError, match="mistyped 5 times"):
        await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", code=sent)
    await hitl.send_code(asked.id, to="alice")
    fresh = (await codes_of(office, hitl, asked))["alice"]
    done = await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", code=fresh)
    assert done.status is Status.APPROVED


async def test_a_wrong_code_is_refused_even_where_an_edited_note_would_do(office, hitl):
    asked = await hitl.request_approval("other", "", {})
    await hitl.send_code(asked.id, to="alice")
    with pytest.raises(TrustError):
        await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", code="00000000")
    assert (await hitl.get(asked.id)).status is Status.PENDING


async def test_each_of_two_people_needs_their_own_code(office, hitl):
    asked = await hitl.request_approval("launch", "", {})
    sent = await codes_of(office, hitl, asked)
    await hitl.look(
        office.edit(
            asked, own_box("approve", "alice"), reviewer("alice"), code(f'"{sent["alice"]}"')
        )
    )
    assert "alice" in sentence(office.note(asked))
    assert '\ncode: ""\n' in office.note(asked)
    assert '\nreviewer: ""\n' in office.note(asked)
    await hitl.look(
        office.edit(asked, own_box("approve", "bob"), reviewer("bob"), code(f'"{sent["alice"]}"'))
    )
    assert "the code is not the one sent to bob" in sentence(office.note(asked))
    await hitl.look(office.edit(asked, code(f'"{sent["bob"]}"', f'"{sent["alice"]}"')))
    assert (await hitl.get(asked.id)).status is Status.APPROVED


async def test_a_code_expires(office, hitl, asked):
    sent = (await codes_of(office, hitl, asked))["alice"]
    long = await hitl.send_code(asked.id, to="alice")
    assert long.codes[-1].expires_at == asked.expires_at  # with the request, at the latest
    office.clock.advance(timedelta(hours=2).total_seconds())
    with pytest.raises(TrustError):
        await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", code=sent)


async def test_a_new_code_replaces_the_one_before(office, hitl, asked):
    sent = (await codes_of(office, hitl, asked))["alice"]
    await hitl.send_code(asked.id, to="alice")
    with pytest.raises(TrustError, match="not the one sent"):
        await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", code=sent)


async def test_a_code_of_another_request_proves_nothing(office, hitl, asked):
    other = await hitl.request_approval("payment", "Pay", {"amount": 901})
    sent = (await codes_of(office, hitl, other))["alice"]
    with pytest.raises(TrustError):
        await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", code=sent)


async def test_who_was_sent_no_code_has_none(office, hitl, asked):
    with pytest.raises(TrustError, match="no code was sent to you"):
        await hitl.vote(asked.id, Answer.APPROVE, reviewer="bob", code="1234 5678")


async def test_changed_details_need_a_new_code_which_is_sent(office, hitl):
    asked = await hitl.request_approval("launch", "", {"n": 1})
    sent = await codes_of(office, hitl, asked)
    office.policy.text = RULES.replace("quorum: 2,", "quorum: 2, answers: [approve, edit],")
    hitl = await office.open()
    asked = await hitl.request_approval("launch", "", {"n": 2})
    sent = await codes_of(office, hitl, asked)
    await hitl.vote(asked.id, Answer.EDIT, reviewer="alice", details={"n": 3}, code=sent["alice"])
    with pytest.raises(TrustError):
        await hitl.vote(asked.id, Answer.APPROVE, reviewer="bob", code=sent["bob"])
    fresh = await codes_of(office, hitl, asked)
    done = await hitl.vote(asked.id, Answer.APPROVE, reviewer="bob", code=fresh["bob"])
    assert done.status is Status.APPROVED


async def test_a_status_word_with_a_code_counts_too(office, hitl, asked):
    sent = (await codes_of(office, hitl, asked))["alice"]
    await hitl.look(office.edit(asked, status("approved"), code(sent)))
    assert (await hitl.get(asked.id)).status is Status.APPROVED


async def test_without_a_code_the_note_says_how_to_answer(office, hitl, asked):
    await hitl.look(office.edit(asked, box("approve"), reviewer("alice")))
    assert "with the code you were sent" in sentence(office.note(asked))
    assert (await hitl.get(asked.id)).status is Status.PENDING


async def test_a_code_that_was_not_counted_stays_for_who_typed_it(office, hitl):
    """Bob typed his before he ticked, in a note where alice was counted by hers."""
    asked = await hitl.request_approval("launch", "", {})
    sent = await codes_of(office, hitl, asked)
    await hitl.look(
        office.edit(asked, own_box("approve", "alice"), reviewer("alice"), code(sent["alice"]))
    )
    await hitl.look(office.edit(asked, code(sent["bob"])))
    assert f"\ncode: {sent['bob']}\n" in office.note(asked)
    now = await hitl.get(asked.id)
    assert (now.refused, [known.tries for known in now.codes]) == (0, [0, 0])
    await hitl.look(office.edit(asked, own_box("approve", "bob"), reviewer("bob")))
    assert (await hitl.get(asked.id)).status is Status.APPROVED
