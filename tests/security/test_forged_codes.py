"""Stolen, guessed, replayed and misplaced codes: one-time codes, and codes of second factors."""

from __future__ import annotations

import pytest
from engine_kit import box, reviewer, sentence, status
from forgery_kit import Target, fails, unmoved
from ssh_kit import needs_ssh

from hitl_vault.core.events import Kind
from hitl_vault.core.model import Answer, Assurance, Status
from hitl_vault.errors import ConfigError, Conflict, Refused

pytestmark = needs_ssh
APPROVE, REJECT, EDIT = Answer.APPROVE, Answer.REJECT, Answer.EDIT


@pytest.fixture
async def asked(hitl):
    return await hitl.request_approval("secret", "Read", {"n": 0})


async def other_of(hitl):
    return await hitl.request_approval("secret", "Read", {"n": 0}, key="other")


def answer(hitl, asked, by="alice", answer=APPROVE, **proof):
    return hitl.vote(asked.id, answer, reviewer=by, **proof)


async def counts(target, hitl, asked, by="alice"):
    """Show that the code somebody was sent last counts, where it belongs."""
    done = await answer(hitl, asked, by, code=await target.code(hitl, asked, by))
    assert done.votes[-1].assurance is Assurance.AUTHENTICATED
    return done


def wrong(right, by=1):
    """Return digits that are not the right ones."""
    return f"{(int(right.replace(' ', '')) + by) % 10**8:08d}"


def written(digits, zero):
    """Return digits in another script."""
    return "".join(chr(ord(zero) + int(digit)) for digit in digits)


# one-time codes


async def test_a_code_of_another_request_does_not_count(target, hitl, asked):
    """Though the action is the same to the byte, and the person is the right one."""
    other = await other_of(hitl)
    assert other.payload_sha256 == asked.payload_sha256
    stolen = await target.code(hitl, other)
    await fails(target, hitl, asked, answer(hitl, asked, code=stolen), "not the one sent to alice")
    assert (await counts(target, hitl, asked)).status is Status.APPROVED


async def test_a_code_of_another_reviewer_does_not_count(target, hitl):
    """Alice's code neither makes bob's answer, nor makes her the second person."""
    asked = await hitl.request_approval("export", "", {})
    hers = await target.code(hitl, asked)
    says = "not the one sent to bob"
    await fails(target, hitl, asked, answer(hitl, asked, "bob", code=hers), says)
    await counts(target, hitl, asked)
    again = answer(hitl, asked, "bob", code=hers)  # the same guess is on record once
    await fails(target, hitl, asked, again, says, recorded=False)
    assert (await counts(target, hitl, asked, "bob")).status is Status.APPROVED


async def test_a_code_for_somebody_who_was_sent_none_does_not_count(target, hitl, asked):
    """Whatever is typed."""
    code = await target.code(hitl, asked)
    attack = answer(hitl, asked, "bob", code=code)
    await fails(target, hitl, asked, attack, "no code was sent to you")
    await counts(target, hitl, asked)


async def test_a_code_that_was_used_does_not_undo_a_changed_mind(target, hitl):
    """Approved by code, rejected by the next one: neither counts a second time."""
    asked = await hitl.request_approval("export", "", {})
    first = await target.code(hitl, asked)
    await counts(target, hitl, asked)
    attack = answer(hitl, asked, answer=REJECT, code=first)
    await fails(target, hitl, asked, attack, "was used before")
    await hitl.send_code(asked.id, to="alice")
    await answer(hitl, asked, answer=REJECT, code=await target.code(hitl, asked))
    for code in (first, await target.code(hitl, asked)):
        attack = answer(hitl, asked, code=code)
        await fails(target, hitl, asked, attack, "was used before|not the one")


async def test_a_code_that_was_replaced_does_not_count(target, hitl, asked):
    """Only the newest does: one that went astray is made worthless by asking for another."""
    first = await target.code(hitl, asked)
    await hitl.send_code(asked.id, to="alice")
    await fails(target, hitl, asked, answer(hitl, asked, code=first), "not the one sent")
    await counts(target, hitl, asked)


async def test_a_code_that_is_over_does_not_count(workspace):
    """A minute too late, with the request still waiting."""
    target = Target(workspace, code_valid_s=60.0)
    hitl = await target.open()
    asked = await hitl.request_approval("secret", "", {})
    late = await target.code(hitl, asked)
    target.clock.advance(60)
    await fails(target, hitl, asked, answer(hitl, asked, code=late), "has expired")
    await hitl.send_code(asked.id, to="alice")
    await counts(target, hitl, asked)


async def test_a_code_of_before_a_change_does_not_count_after_it(target, hitl):
    """Bob changes the details; the code alice holds is for what she was shown."""
    asked = await hitl.request_approval("export", "", {"n": 1})
    early = await target.code(hitl, asked)
    his = await target.code(hitl, asked, "bob")
    await answer(hitl, asked, "bob", EDIT, details={"n": 2}, code=his)
    attack = answer(hitl, asked, code=early)
    await fails(target, hitl, asked, attack, "not the one sent|details were changed")
    assert (await counts(target, hitl, asked)).status is Status.APPROVED


async def test_a_code_of_another_vault_does_not_count(workspace):
    """The same request, payload, name and secret, in a copy of the vault with an id of its own."""
    target = Target(workspace)
    hitl = await target.open()
    asked = await hitl.request_approval("secret", "", {})
    stolen = await target.code(hitl, asked)
    target.vault_id = "vault-2"
    copy = await target.open()
    await fails(target, copy, asked, answer(copy, asked, code=stolen), "not the one sent")
    await counts(target, copy, asked)


async def test_a_code_cannot_be_guessed_in_a_loop(target, hitl, asked):
    """Five wrong ones, and not even the right one counts; thirty more change nothing."""
    right = await target.code(hitl, asked)
    for number in range(5):
        says = f"{4 - number} more tries" if number < 4 else "no more tries"
        guess = wrong(right, number + 1)
        await fails(target, hitl, asked, answer(hitl, asked, code=guess), says)
    for number in range(30):
        guess = answer(hitl, asked, code=wrong(right, number + 9))
        await fails(target, hitl, asked, guess, "mistyped 5 times")
    await fails(target, hitl, asked, answer(hitl, asked, code=right), "mistyped 5 times")
    await hitl.send_code(asked.id, to="alice")
    await counts(target, hitl, asked)


async def test_guesses_from_several_processes_are_counted_together(target, hitl, asked):
    """A fresh process has no fresh tries."""
    right = await target.code(hitl, asked)
    for number in range(5):
        process = await target.open()
        await fails(
            target, process, asked, answer(process, asked, code=wrong(right, number + 1)), "more"
        )
    process = await target.open()
    await fails(target, process, asked, answer(process, asked, code=right), "mistyped 5 times")
    await hitl.send_code(asked.id, to="alice")
    await counts(target, hitl, asked)


@pytest.mark.parametrize(
    "zero", ["0", "０", "٠", "०", "𝟎"], ids=["plain", "wide", "arab", "deva", "bold"]
)
async def test_a_guess_in_other_digits_is_the_same_guess(target, hitl, asked, zero):
    """It is compared as digits: no script gives another try, and the right one counts in each."""
    right = await target.code(hitl, asked)
    bad = wrong(right)
    await fails(target, hitl, asked, answer(hitl, asked, code=written(bad, zero)), "4 more tries")
    with pytest.raises(Exception, match="4 more tries"):
        await answer(hitl, asked, code=bad)
    assert (await hitl.get(asked.id)).codes[0].tries == 1
    done = await answer(hitl, asked, code=written(right.replace(" ", ""), zero))
    assert done.status is Status.APPROVED


@pytest.mark.parametrize("shape", ["", "0", "x"])
async def test_what_has_not_eight_digits_is_no_code(target, hitl, asked, shape):
    """More, less, or a letter among them: refused with what a code looks like."""
    right = (await target.code(hitl, asked)).replace(" ", "")
    bad = right[:-1] if not shape else right + shape
    says = "a code has 8 digits"
    await fails(target, hitl, asked, answer(hitl, asked, code=bad), says, recorded=False)
    await counts(target, hitl, asked)


def code(text, before='""'):
    return f"\ncode: {before}\n", f"\ncode: {text}\n"


async def test_a_code_in_the_note_of_another_request_decides_neither(target, hitl, asked):
    """Both notes wait for the same person; each has its own code."""
    other = await other_of(hitl)
    stolen = await target.code(hitl, other)
    path = target.edit(asked, box("approve"), reviewer("alice"), code(f'"{stolen}"'))
    await hitl.look(path)
    assert "the code is not the one sent to alice" in sentence(target.note(asked))
    assert (await target.kinds(asked))[-1] is Kind.REFUSED
    for request in (asked, other):
        await unmoved(target, hitl, await hitl.get(request.id))
        assert (await hitl.get(request.id)).status is Status.PENDING
    await hitl.look(target.edit(other, box("approve"), reviewer("alice"), code(f'"{stolen}"')))
    assert (await hitl.get(other.id)).status is Status.APPROVED


async def test_a_code_under_another_name_in_the_note_decides_nothing(target, hitl):
    """Alice's code with bob's name: neither of them answered."""
    asked = await hitl.request_approval("export", "", {})
    hers = await target.code(hitl, asked)
    await hitl.look(target.edit(asked, status("approved"), reviewer("bob"), code(f'"{hers}"')))
    assert "not the one sent to bob" in sentence(target.note(asked))
    assert (await target.kinds(asked))[-1] is Kind.REFUSED
    assert (await hitl.get(asked.id)).votes == ()
    await hitl.look(target.edit(asked, reviewer("alice", "bob")))
    assert [vote.reviewer for vote in (await hitl.get(asked.id)).votes] == ["alice"]


async def test_a_tick_on_the_line_of_somebody_else_takes_their_code(target, hitl):
    """Alice's code proves alice: with it, nobody answers on the line that is bob's."""
    asked = await hitl.request_approval("export", "", {})
    hers = await target.code(hitl, asked)
    line = "- [ ] Approve ^approve-bob", "- [x] Approve ^approve-bob"
    for name in ("bob", "alice", '""'):
        before = '""' if name == "bob" else {"alice": "bob", '""': "alice"}[name]
        changes = [reviewer(name, before)] + ([line, code(f'"{hers}"')] if name == "bob" else [])
        await hitl.look(target.edit(asked, *changes))
        assert "bob" not in [vote.reviewer for vote in (await hitl.get(asked.id)).votes], name
        assert (await hitl.get(asked.id)).status is Status.PENDING
    his = await target.code(hitl, asked, "bob")
    assert len((await answer(hitl, asked, "bob", code=his)).votes) >= 1


async def test_a_code_does_not_stay_in_the_note_for_whoever_reads_it_next(target, hitl):
    """Once used it is taken out; the text kept from before decides nothing more."""
    asked = await hitl.request_approval("export", "", {})
    hers = await target.code(hitl, asked)
    path = target.edit(asked, status("approved"), reviewer("alice"), code(f'"{hers}"'))
    kept = target.note(asked)
    await hitl.look(path)
    assert hers not in target.note(asked)
    before = await hitl.get(asked.id)
    assert len(before.votes) == 1
    target.vault.write(path, kept.replace("\nstatus: approved\n", "\nstatus: rejected\n"))
    await hitl.look(path)
    assert "was used before" in sentence(target.note(asked))
    await unmoved(target, hitl, before)


async def test_an_answer_by_code_without_its_code_does_not_count(target, hitl, asked):
    """Who hands in a vote as if a code had proved it must name the code."""
    attack = answer(hitl, asked, assurance=Assurance.AUTHENTICATED, channel="code")
    says = "an answer by code needs its code"
    await fails(target, hitl, asked, attack, says, error=Refused, recorded=False)
    await counts(target, hitl, asked)


# second factors


async def test_a_second_factor_counts_for_one_request(target, hitl, asked):
    """The digits alice typed for one are worthless for another, in the same half minute."""
    other = await other_of(hitl)
    typed = target.now_code()
    assert (await answer(hitl, asked, totp=typed)).status is Status.APPROVED
    await fails(target, hitl, other, answer(hitl, other, totp=typed), "used before")
    target.clock.advance(60)
    assert (await answer(hitl, other, totp=target.now_code())).status is Status.APPROVED


async def test_a_second_factor_counts_for_one_answer(target, hitl):
    """What approved cannot be made to reject, nor to change."""
    asked = await hitl.request_approval("export", "", {"n": 1})
    typed = target.now_code()
    assert len((await answer(hitl, asked, totp=typed)).votes) == 1
    await fails(target, hitl, asked, answer(hitl, asked, answer=REJECT, totp=typed), "used before")
    changed = answer(hitl, asked, answer=EDIT, details={"n": 2}, totp=typed)
    await fails(target, hitl, asked, changed, "used before")


@pytest.mark.parametrize("steps", [-20, -2, 2, 20])
async def test_a_second_factor_of_another_time_does_not_count(target, hitl, asked, steps):
    """An old one that was seen over a shoulder, or one worked out beforehand."""
    attack = answer(hitl, asked, totp=target.now_code(steps=steps))
    await fails(target, hitl, asked, attack, "second factor is wrong")
    assert (await answer(hitl, asked, totp=target.now_code())).status is Status.APPROVED


async def test_an_older_code_than_one_that_was_used_does_not_count(target, hitl, asked):
    """Within the half minute of tolerance, too: the steps only go on."""
    other = await other_of(hitl)
    older = target.now_code(steps=-1)
    assert (await answer(hitl, asked, totp=target.now_code())).status is Status.APPROVED
    await fails(target, hitl, other, answer(hitl, other, totp=older), "used before")


async def test_a_second_factor_of_somebody_else_does_not_count(target, hitl):
    """Bob's digits with alice's name."""
    asked = await hitl.request_approval("export", "", {})
    attack = answer(hitl, asked, totp=target.now_code("bob"))
    await fails(target, hitl, asked, attack, "second factor is wrong")
    assert len((await answer(hitl, asked, totp=target.now_code())).votes) == 1


async def test_who_has_no_second_factor_answers_with_none(target, hitl, asked):
    """It is said whose is missing, and nothing is decided."""
    before = await hitl.get(asked.id)
    with pytest.raises(ConfigError, match="eve has no second factor"):
        await answer(hitl, asked, "eve", totp=target.now_code())
    await unmoved(target, hitl, before)
    assert (await answer(hitl, asked, totp=target.now_code())).status is Status.APPROVED


async def test_a_second_factor_cannot_be_guessed_in_a_loop(target, hitl, asked):
    """Five wrong ones for a request, and not even the right one counts for it."""
    other = await other_of(hitl)
    bad = f"{(int(target.now_code()) + 1) % 10**6:06d}"
    for _ in range(5):
        await fails(target, hitl, asked, answer(hitl, asked, totp=bad), "second factor is wrong")
    for typed in (bad, target.now_code()):
        await fails(target, hitl, asked, answer(hitl, asked, totp=typed), "too many wrong codes")
    assert (await answer(hitl, other, totp=target.now_code())).status is Status.APPROVED


async def test_a_second_factor_cannot_be_guessed_request_by_request(target, hitl, asked):
    """Five tries for each of any number of requests would be any number of tries: they are counted
    over all of them, and after twenty within an hour none counts, however the name is spelt."""
    bad = f"{(int(target.now_code()) + 1) % 10**6:06d}"
    for number in range(20):
        other = await hitl.request_approval("secret", "", {"n": number + 1})
        attack = answer(hitl, other, ("alice", "ALICE")[number % 2], totp=bad)
        await fails(target, hitl, other, attack, "second factor is wrong")
    says = "20 codes in this name were wrong within an hour"
    for typed in (bad, target.now_code()):
        fresh = await hitl.request_approval("secret", "", {"n": typed})
        await fails(target, await target.open(), fresh, answer(hitl, fresh, totp=typed), says)
    bobs = await hitl.request_approval("export", "", {})
    assert len((await answer(hitl, bobs, "bob", totp=target.now_code("bob"))).votes) == 1
    await counts(target, hitl, asked)  # another way is open meanwhile
    target.clock.advance(3600)
    late = await hitl.request_approval("secret", "", {"late": True})
    assert (await answer(hitl, late, totp=target.now_code())).status is Status.APPROVED


async def test_a_code_does_not_reopen_what_is_decided(target, hitl, asked):
    """A right second factor, after the end: a conflict, and the answer stands."""
    done = await counts(target, hitl, asked)
    target.clock.advance(60)
    attack = answer(hitl, asked, answer=REJECT, totp=target.now_code())
    await fails(target, hitl, done, attack, "approved", error=Conflict, recorded=False)
