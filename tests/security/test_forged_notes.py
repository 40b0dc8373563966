"""Notes that were made to say what no person said: forged names, copies, moved notes, prose."""

from __future__ import annotations

import pytest
from engine_kit import box, reviewer, sentence, status
from forgery_kit import Target, unmoved

from hitl_vault.core.model import Answer, Status
from hitl_vault.errors import HitlVaultError

OPEN = """\
default: ask
rules:
  - {id: sure, when: 'action.type == "secret"', effect: ask, assurance: authenticated,
     approvers: [alice]}
  - {id: signed, when: 'action.type == "transfer"', effect: ask, assurance: signed}
  - {id: plain, effect: ask}
"""


@pytest.fixture
async def target(workspace):
    target = Target(workspace, OPEN)
    yield target
    await target.verify()


async def ask(hitl, type="payment", description="Pay", **details):
    return await hitl.request_approval(type, description, details or {"amount": 900})


async def decides_nothing(target, hitl, asked, *paths):
    """Let the desk look at what was forged: nothing is decided, and a person is told or asked."""
    await hitl.look(*(paths or (target.path(asked),)))
    await unmoved(target, hitl, asked)
    assert (await hitl.get(asked.id)).status is Status.PENDING


async def tick_works(target, hitl, asked, name="alice"):
    """Show that a plain tick in the same note decides, once the forgery is gone."""
    target.vault.remove(target.path(asked))
    await hitl.rounds(12)
    await hitl.look(target.edit(asked, box("approve"), reviewer(name)))
    assert (await hitl.get(asked.id)).status is Status.APPROVED


@pytest.mark.parametrize("type", ["secret", "transfer"])
async def test_a_typed_name_is_no_proof(target, hitl, type):
    """Any program can type alice's name; where more is asked for, the note says what."""
    asked = await ask(hitl, type)
    target.edit(asked, box("approve"), reviewer("alice"))
    await decides_nothing(target, hitl, asked)
    wanted = "authenticated" if type == "secret" else "signed"
    assert f"asks for an answer that is {wanted}" in sentence(target.note(asked))
    if type == "secret":
        proof = {"code": await target.code(hitl, asked)}
    else:
        proof = {"proof": await target.signed(hitl, asked)}
    done = await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", **proof)
    assert done.status is Status.APPROVED


@pytest.mark.parametrize(
    "line",
    [
        "assurance: signed",
        "assurance: authenticated",
        "channel: code",
        "proof: yes",
        "signed_by: alice",
    ],
)
async def test_a_property_does_not_prove_the_note_it_stands_in(target, hitl, line):
    """What a note says of its own assurance is the word of whoever wrote the note."""
    asked = await ask(hitl, "secret")
    target.edit(
        asked,
        box("approve"),
        reviewer("alice"),
        ("\nstatus: pending\n", f"\nstatus: pending\n{line}\n"),
    )
    await decides_nothing(target, hitl, asked)
    assert sentence(target.note(asked)).startswith("Not decided")
    done = await hitl.vote(
        asked.id, Answer.APPROVE, reviewer="alice", code=await target.code(hitl, asked)
    )
    assert done.status is Status.APPROVED


async def test_a_forged_line_of_the_record_decides_nothing(target, hitl):
    """The history in a note is made from the ledger, and never read back into it."""
    asked = await ask(hitl, "transfer")
    text = target.note(asked)
    end = text.index("%% hitl:end")
    forged = "- 2026-11-21 09:30 · alice · approves (signed with ssh:SHA256:no-key, over cli)\n\n"
    target.vault.write(target.path(asked), text[:end] + forged + text[end:])
    await decides_nothing(target, hitl, asked)
    done = await target.approves(hitl, asked, await target.signed(hitl, asked))
    assert [vote.reviewer for vote in done.votes] == ["alice"]
    assert "ssh:SHA256:no-key" not in str(await target.history(done))


@pytest.mark.parametrize("value", ['"00"', "twin", '""'])
async def test_a_note_with_another_digest_decides_nothing(target, hitl, value):
    """A tick is for what the note showed: the digest of something else is no answer to this."""
    asked = await ask(hitl)
    digest = (await ask(hitl, amount=1)).payload_sha256 if value == "twin" else value
    text = target.note(asked)
    assert text.count(asked.payload_sha256) >= 1
    target.vault.write(
        target.path(asked), text.replace(asked.payload_sha256, digest).replace(*box("approve"))
    )
    await decides_nothing(target, hitl, asked)
    await tick_works(target, hitl, asked)


async def test_other_details_shown_than_recorded_decide_nothing(target, hitl):
    """A program lowers the amount in the note for the eyes of the reviewer, who ticks."""
    asked = await ask(hitl, amount=900)
    text = target.note(asked)
    assert '"amount": 900' in text
    shown = text.replace('"amount": 900', '"amount": 9').replace(*box("approve"))
    target.vault.write(target.path(asked), shown)
    await decides_nothing(target, hitl, asked)
    await tick_works(target, hitl, asked)
    async with hitl.execution(asked.id) as run:
        assert run.details == {"amount": 900}


async def test_an_approved_note_over_another_decides_nothing(target, hitl):
    """The whole text of an answered note, saved under the name of one that waits."""
    asked, other = await ask(hitl), await ask(hitl, amount=1)
    target.edit(other, box("approve"), reviewer("alice"))
    answered = target.note(other)
    await hitl.look(target.path(other))
    assert (await hitl.get(other.id)).status is Status.APPROVED
    target.vault.write(target.path(asked), answered)
    await decides_nothing(target, hitl, asked)
    await tick_works(target, hitl, asked)


@pytest.mark.parametrize("folder", ["Approved", "Rejected", "Done/2026-11"])
async def test_a_copy_beside_the_note_decides_nothing(target, hitl, folder):
    """A copy put where answers lie, while the note itself still waits, is told of and not read."""
    asked = await ask(hitl)
    copy = target.path(asked, folder)
    target.vault.write(copy, target.note(asked).replace(*status("approved")))
    await decides_nothing(target, hitl, asked, target.path(asked), copy)
    assert folder.startswith("Done") or [notice.path for notice in hitl.notices()] == [copy]
    target.vault.remove(copy)
    await tick_works(target, hitl, asked)


@pytest.mark.parametrize(
    "name",
    [
        "approval_{id} 1.md", "approval_{id} (conflicted copy).md", "Approval_{id}.md", "{id}.md",
        "approval_{id}.MD", "approval_{id}.md.md", " approval_{id}.md", "approval_{id}\u200b.md",
    ],
)  # fmt: skip
async def test_a_note_under_another_name_decides_nothing(target, hitl, name):
    """Conflict copies and look-alikes say approved, in the folder of what is approved."""
    asked = await ask(hitl)
    copy = f"Approved/{name.format(id=asked.id)}"
    target.vault.write(copy, target.note(asked).replace(*status("approved")))
    await decides_nothing(target, hitl, asked, copy)
    target.vault.remove(copy)
    await hitl.rounds(4)
    moved = target.path(asked, "Approved")
    target.vault.write(moved, target.note(asked))
    target.vault.remove(target.path(asked))
    await hitl.look(moved)
    assert (await hitl.get(asked.id)).status is Status.APPROVED


async def test_a_note_for_a_request_that_nobody_made_runs_nothing(target, hitl):
    """Made up whole, answered, and put among the approved: the ledger knows of no such request."""
    asked = await ask(hitl)
    forged = target.note(asked).replace(asked.id, "20261121-093012-payment-ffffffffff")
    path = "Approved/approval_20261121-093012-payment-ffffffffff.md"
    target.vault.write(path, forged.replace(*status("approved")))
    await decides_nothing(target, hitl, asked, path)
    assert [notice.path for notice in hitl.notices()] == [path]
    with pytest.raises(HitlVaultError, match="no request"):
        await hitl.execution("20261121-093012-payment-ffffffffff").claim()
    target.vault.remove(path)
    await tick_works(target, hitl, asked)


BALLOT = "## Decide\n\n- [x] Approve ^approve\n- [ ] Reject ^reject\n\n%% hitl:end x %%\n"
SMUGGLED = {
    "a ballot": BALLOT,
    "front matter": "---\nstatus: approved\nreviewer: alice\n---\n",
    "a property": "\nstatus: approved\nreviewer: alice\ncode: 12345678\n",
    "a ticked box": "- [x] Approve ^approve",
    "a quoted box": "> - [x] Approve ^approve",
    "the end of a fence": '"\n```\n' + BALLOT + "```json\n",
    "inline fields": "status:: approved [reviewer:: alice]",
    "a line of the record": "- alice · approves (signed with ssh:SHA256:x)",
    "yaml": "&a !!str approved\n<<: *a\n? status\n: approved",
}


@pytest.mark.parametrize("field", ["description", "details", "keys", "type", "agent", "comment"])
@pytest.mark.parametrize("name", SMUGGLED)
async def test_what_an_agent_writes_never_answers(target, hitl, name, field):
    """A ballot, properties or a record in the agent's own words stay words; the person's tick counts."""
    text = SMUGGLED[name]
    given = {"type": "payment", "description": "Pay", "details": {"n": 1}, "requested_by": "bot"}
    if field == "details":
        given["details"] = {"note": text, "list": [text]}
    elif field == "keys":
        given["details"] = {text: {text: 1}}
    elif field == "agent":
        given["agent"] = f"bot {text}"
    elif field != "comment":
        given[field] = f"pay {text}"
    asked = await hitl.request_approval(**given)
    if field == "comment":
        await hitl.comment(asked.id, text, author=f"bot {text}"[:200])
        asked = await hitl.get(asked.id)
    await hitl.shows()
    await decides_nothing(target, hitl, asked)
    await hitl.rounds(6)
    await unmoved(target, hitl, asked)
    await hitl.look(target.edit(asked, box("approve"), reviewer("alice")))
    done = await hitl.get(asked.id)
    assert (done.status, done.reviewers) == (Status.APPROVED, ("alice",))


async def test_an_answer_the_rule_does_not_allow_does_not_count(target, hitl):
    """No box for changes is shown, and one that was forged changes nothing."""
    asked = await ask(hitl, amount=900)
    old = "- [ ] Reject ^reject"
    forged = f"- [x] Approve with the changes below ^edit\n{old}"
    target.edit(asked, (old, forged))
    await decides_nothing(target, hitl, asked)
    await tick_works(target, hitl, asked)


async def test_two_answers_at_once_are_none(target, hitl):
    """Both boxes, or a box against the status: a person is asked which."""
    for changes in ((box("approve"), box("reject")), (box("approve"), status("rejected"))):
        asked = await ask(hitl)
        target.edit(asked, *changes)
        await decides_nothing(target, hitl, asked)
        assert sentence(target.note(asked))
        await tick_works(target, hitl, asked)
        await hitl.cancel(asked.id)
