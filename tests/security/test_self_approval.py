"""Who asked must not answer: in every mode, under every spelling, through everybody else's hands."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from engine_kit import box, reviewer, sentence
from forgery_kit import Target, fails, unmoved
from ssh_kit import needs_ssh, public

from hitl_vault.core.model import Answer, Assurance, Status
from hitl_vault.core.people import Away, People, Reviewer
from hitl_vault.errors import Refused

pytestmark = needs_ssh
APPROVE = Answer.APPROVE
ASKED_IT = "asked for this and cannot answer it"
OPEN = """\
default: ask
rules:
  - {id: any, effect: ask, answers: [approve, reject, edit], grant: {uses: 3, within: 7d}}
"""
FINANCE = """\
default: ask
rules:
  - {id: money, effect: ask, approvers: [finance], answers: [approve, reject, edit],
     grant: {uses: 3, within: 7d}}
"""
SPELLINGS = {
    "the name": "alice",
    "upper case": "ALICE",
    "full width": "ａｌｉｃｅ",
    "mathematical": "𝐚𝐥𝐢𝐜𝐞",
    "spaces around": "  alice ",
    "no-break space": "alice\u00a0",
    "zero width space": "al\u200bice",
    "soft hyphen": "al\u00adice",
    "word joiner": "alice\u2060",
    "right to left mark": "\u200falice",
    "byte order mark": "\ufeffalice",
    "variation selector": "alice\ufe0f",
    "Hangul filler": "alice\u3164",
    "blank Braille": "alice\u2800",
    "combining joiner": "al\u034fice",
    "tag letters": "alice\U000e0061",
    "an unassigned format character": "alice\u2065",
    "an unassigned special": "ali\ufff0ce",
    "an unassigned tag": "alice\U000e0002",
    "an unassigned invisible": "alice\U000e0fff",
}


@pytest.fixture
async def plain(workspace):
    """A vault whose policy lets anybody answer by an edited note."""
    target = Target(workspace, OPEN)
    yield target
    await target.verify()


async def ask(hitl, by="alice", type="secret", **more):
    return await hitl.request_approval(type, "", {"n": 1}, requested_by=by, **more)


async def bob_may(hitl, asked):
    """Show that the same answer counts from somebody who did not ask."""
    done = await hitl.approve(asked.id, reviewer="bob")
    assert done.status is Status.APPROVED


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_name_in_any_spelling_is_the_same_person(plain, spelling):
    """Case, width, spaces, and whatever leaves no mark: nobody gets a second self by it."""
    hitl = await plain.open()
    asked = await ask(hitl)
    attack = hitl.approve(asked.id, reviewer=SPELLINGS[spelling])
    await fails(plain, hitl, asked, attack, ASKED_IT, error=Refused, recorded=False)
    await bob_may(hitl, asked)
    other = await ask(hitl, SPELLINGS[spelling])
    attack = hitl.approve(other.id, reviewer="alice")
    await fails(plain, hitl, other, attack, ASKED_IT, error=Refused, recorded=False)


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_name_in_any_spelling_is_one_of_two_people(workspace, spelling):
    """The second person is another one, not the first in disguise."""
    target = Target(workspace, "default: ask\nrules:\n  - {id: two, effect: ask, quorum: 2}\n")
    hitl = await target.open()
    asked = await ask(hitl, "bot")
    await hitl.approve(asked.id, reviewer="alice")
    again = await hitl.approve(asked.id, reviewer=SPELLINGS[spelling])
    assert (again.status, len(again.votes)) == (Status.PENDING, 1)
    await bob_may(hitl, asked)


@pytest.mark.parametrize("spelling", ["the name", "upper case", "full width"])
async def test_the_asker_does_not_approve_in_the_note(plain, spelling):
    """A tick and their own name, however it is typed: the note says that somebody else must."""
    hitl = await plain.open()
    asked = await ask(hitl)
    name = SPELLINGS[spelling]
    await hitl.look(plain.edit(asked, box("approve"), reviewer(name)))
    assert f"{name} {ASKED_IT}" in sentence(plain.note(asked))
    await unmoved(plain, hitl, asked)
    await hitl.look(plain.edit(asked, reviewer("bob", name)))
    assert (await hitl.get(asked.id)).status is Status.APPROVED


async def proof_of(target, hitl, asked, mode):
    if mode in {"ssh", "hmac"}:
        return {"proof": await target.signed(hitl, asked, mode=mode)}
    if mode == "totp":
        return {"totp": target.now_code()}
    if mode == "code":
        await hitl.send_code(asked.id, to="alice")
        return {"code": await target.code(hitl, asked)}
    return {"assurance": Assurance.AUTHENTICATED, "channel": "cli"}


@pytest.mark.parametrize("field", ["requested_by", "agent"])
@pytest.mark.parametrize("mode", ["cli", "code", "totp", "ssh", "hmac"])
async def test_no_proof_lets_the_asker_answer(target, hitl, mode, field):
    """A right code, factor or signature shows who answered, and that is who asked, or acts."""
    names = {"requested_by": "bot"} | {field: "Alice"}
    mine = await hitl.request_approval("note", "", {}, **names)
    proof = await proof_of(target, hitl, mine, mode)
    attack = hitl.vote(mine.id, APPROVE, reviewer="alice", **proof)
    await fails(target, hitl, mine, attack, ASKED_IT, error=Refused, recorded=False)
    target.clock.advance(60)
    other = await hitl.request_approval("note", "", {}, requested_by="bot")
    proof = await proof_of(target, hitl, other, mode)
    done = await hitl.vote(other.id, APPROVE, reviewer="alice", **proof)
    assert done.status is Status.APPROVED


async def test_the_asker_changes_nothing_either(plain):
    """An edit is an approval of something else."""
    hitl = await plain.open()
    asked = await ask(hitl)
    attack = hitl.approve(asked.id, reviewer="alice", details={"n": 2})
    await fails(plain, hitl, asked, attack, ASKED_IT, error=Refused, recorded=False)
    done = await hitl.approve(asked.id, reviewer="bob", details={"n": 2})
    assert done.details == {"n": 2}


# through others


def staffed(workspace, policy=FINANCE, **people):
    """Return a vault with these people on record."""
    target = Target(workspace, policy)
    target.people = People(
        reviewers={name: Reviewer(name=name, **entry) for name, entry in people.items()},
        on_record=True,
    )
    return target


def away(target, to):
    now = target.clock.now()
    return (Away(begins_at=now, ends_at=now + timedelta(days=1), to=to),)


FIN = {"roles": frozenset({"finance"})}


async def test_the_asker_does_not_stand_in_for_who_may_answer(workspace):
    """Bob is away and named the one who asks: then nobody answers for him."""
    target = staffed(workspace, bob=FIN, eve={}, dora=FIN)
    people = dict(target.people.reviewers)
    people["bob"] = replace(people["bob"], away=away(target, "eve"))
    target.people = replace(target.people, reviewers=people)
    hitl = await target.open()
    honest = await ask(hitl, "bot")
    done = await hitl.approve(honest.id, reviewer="eve")
    assert (done.status, done.votes[0].on_behalf_of) == (Status.APPROVED, "bob")
    asked = await ask(hitl, "eve")
    attack = hitl.approve(asked.id, reviewer="Eve")
    await fails(target, hitl, asked, attack, ASKED_IT, error=Refused, recorded=False)
    assert (await hitl.approve(asked.id, reviewer="dora")).status is Status.APPROVED


async def test_the_askers_stand_in_does_not_answer_for_them(workspace):
    """Alice asks, goes away and names eve: eve sits in a seat that may not answer."""
    target = staffed(workspace, alice=FIN, eve={}, dora=FIN)
    people = dict(target.people.reviewers)
    people["alice"] = replace(people["alice"], away=away(target, "eve"))
    target.people = replace(target.people, reviewers=people)
    hitl = await target.open()
    honest = await ask(hitl, "bot")
    assert (await hitl.approve(honest.id, reviewer="eve")).status is Status.APPROVED
    asked = await ask(hitl, "alice")
    attack = hitl.approve(asked.id, reviewer="eve")
    says = "alice, for whom they stand in, asked for it"
    await fails(target, hitl, asked, attack, says, error=Refused, recorded=False)
    assert (await hitl.approve(asked.id, reviewer="dora")).status is Status.APPROVED


async def test_one_person_is_not_two_by_standing_in(workspace):
    """Eve answers for herself and for bob: that is one person of the two asked for."""
    two = FINANCE.replace("approvers: [finance],", "approvers: [finance], quorum: 2,")
    target = staffed(
        workspace,
        two.replace(",\n     grant: {uses: 3, within: 7d}", ""),
        bob=FIN,
        eve=FIN,
        dora=FIN,
    )
    people = dict(target.people.reviewers)
    people["bob"] = replace(people["bob"], away=away(target, "eve"))
    target.people = replace(target.people, reviewers=people)
    hitl = await target.open()
    asked = await ask(hitl, "bot")
    one = await hitl.approve(asked.id, reviewer="eve")
    again = await hitl.approve(asked.id, reviewer="EVE")
    assert (again.status, again.votes) == (Status.PENDING, one.votes)
    assert (await hitl.approve(asked.id, reviewer="dora")).status is Status.APPROVED


async def test_a_stand_in_whose_time_is_over_answers_for_nobody(workspace):
    """To the second."""
    target = staffed(workspace, bob=FIN, eve={}, dora=FIN)
    people = dict(target.people.reviewers)
    people["bob"] = replace(people["bob"], away=away(target, "eve"))
    target.people = replace(target.people, reviewers=people)
    hitl = await target.open()
    first = await ask(hitl, "bot")
    assert (await hitl.approve(first.id, reviewer="eve")).status is Status.APPROVED
    target.clock.advance(86400)
    asked = await ask(hitl, "bot", key="later")
    attack = hitl.approve(asked.id, reviewer="eve")
    await fails(target, hitl, asked, attack, "may not answer", error=Refused, recorded=False)
    assert (await hitl.approve(asked.id, reviewer="dora")).status is Status.APPROVED


@pytest.mark.parametrize("name", ["finance", "Finance", "ｆｉｎａｎｃｅ", "finance\u2065"])
async def test_the_name_of_a_role_is_nobody(workspace, name):
    """Typing what the policy names is not holding it."""
    target = staffed(workspace, bob=FIN, eve={})
    hitl = await target.open()
    asked = await ask(hitl, "bot")
    attack = hitl.approve(asked.id, reviewer=name)
    says = "is a role, not a person"
    await fails(target, hitl, asked, attack, says, error=Refused, recorded=False)
    assert (await hitl.approve(asked.id, reviewer="bob")).status is Status.APPROVED


@pytest.mark.parametrize("name", ["eve", "mallory", "bob2"])
async def test_who_holds_no_role_and_who_is_not_on_record_may_not_answer(workspace, name):
    """Nor does a name that only resembles one."""
    target = staffed(workspace, bob=FIN, eve={})
    hitl = await target.open()
    asked = await ask(hitl, "bot")
    attack = hitl.approve(asked.id, reviewer=name)
    await fails(target, hitl, asked, attack, "may not answer", error=Refused, recorded=False)
    assert (await hitl.approve(asked.id, reviewer="bob")).status is Status.APPROVED


async def test_who_was_taken_off_the_record_no_longer_answers(workspace):
    """Between the asking and the answer."""
    target = staffed(workspace, bob=FIN, dora=FIN)
    hitl = await target.open()
    first = await ask(hitl, "bot")
    assert (await hitl.approve(first.id, reviewer="bob")).status is Status.APPROVED
    asked = await ask(hitl, "bot", key="later")
    people = dict(target.people.reviewers)
    del people["bob"]
    target.people = replace(target.people, reviewers=people)
    attack = hitl.approve(asked.id, reviewer="bob")
    says = "no longer, on record"
    await fails(target, hitl, asked, attack, says, error=Refused, recorded=False)
    assert (await hitl.approve(asked.id, reviewer="dora")).status is Status.APPROVED


async def test_a_broken_record_of_reviewers_lets_nobody_answer(workspace):
    """Spoiling the file is no way around it."""
    target = staffed(workspace, bob=FIN)
    hitl = await target.open()
    asked = await ask(hitl, "bot")
    target.people_problem = "reviewers.toml: line 1"
    attack = hitl.approve(asked.id, reviewer="bob")
    says = "cannot be read"
    await fails(target, hitl, asked, attack, says, error=Refused, recorded=False)
    target.people_problem = ""
    assert (await hitl.approve(asked.id, reviewer="bob")).status is Status.APPROVED


# grants to oneself


async def grant(hitl, by, **more):
    terms = {"type": "secret", "requested_by": "bot", "bounds": (), "uses": 3, "until": "1d"}
    return await hitl.make_grant(by=by, **(terms | more))


async def ask_nothing(hitl, **more):
    return await hitl.request_approval("secret", "", {}, **({"requested_by": "bot"} | more))


@pytest.mark.parametrize("by", ["bot", "BOT", "ｂｏｔ", "bo\u200bt", "bot\u2065"])
async def test_nobody_grants_to_themselves(plain, by):
    """In any spelling; what somebody else grants is used."""
    hitl = await plain.open()
    with pytest.raises(Refused, match="would use this grant and cannot make it"):
        await grant(hitl, by)
    assert await hitl.grants() == []
    assert (await ask_nothing(hitl)).status is Status.PENDING
    await grant(hitl, "alice")
    assert (await ask_nothing(hitl, key="new")).status is Status.APPROVED


async def test_who_acts_does_not_grant_to_who_asks(plain):
    """A grant by the agent that the requests name waits for a person each time."""
    hitl = await plain.open()
    await grant(hitl, "helper")
    assert (await ask_nothing(hitl, agent="Helper")).status is Status.PENDING
    assert (await ask_nothing(hitl, agent="another")).status is Status.APPROVED


@pytest.mark.parametrize("by", ["finance", "mallory", "eve"])
async def test_who_may_not_answer_grants_nothing(workspace, by):
    """A role's name, a stranger, somebody without the role: the grant never is used."""
    target = staffed(workspace, bob=FIN, eve={})
    hitl = await target.open()
    await grant(hitl, by)
    assert (await ask_nothing(hitl)).status is Status.PENDING
    await grant(hitl, "bob")
    assert (await ask_nothing(hitl, key="new")).status is Status.APPROVED


async def test_a_grant_is_never_signed(plain):
    """No claim and no lower mode makes it so."""
    hitl = await plain.open()
    with pytest.raises(Refused, match="a grant is not signed"):
        await grant(hitl, "alice", assurance=Assurance.SIGNED)
    assert await hitl.grants() == []
    assert (await grant(hitl, "alice", assurance=Assurance.AUTHENTICATED)).by == "alice"


async def test_a_key_on_two_names_is_not_two_people(target, hitl):
    """One key, allowed for alice and for bob, would let its holder be both: it counts for neither."""
    asked = await hitl.request_approval("launch", "", {}, requested_by="bot")
    await target.approves(hitl, asked, await target.signed(hitl, asked))
    target.allow(f"alice,bob {public(target.ssh['alice'])}")
    other = await hitl.request_approval("launch", "", {"n": 2}, requested_by="bot")
    proof = await target.signed(hitl, other)
    attack = hitl.vote(other.id, APPROVE, reviewer="alice", proof=proof)
    await fails(target, hitl, other, attack, "more than one person")
