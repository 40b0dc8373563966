"""Proofs that are right when they are handed in, and over when the answer is committed."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest
from forgery_kit import SECRET, Target, fails
from ssh_kit import needs_ssh, public

from hitl_vault.core import commands as c
from hitl_vault.core.model import Answer, Status
from hitl_vault.signatures import approval_signature, formula_envelope, sign_statement

pytestmark = needs_ssh
APPROVE = Answer.APPROVE
LASTS_S = 60
LATE_S = {"ssh": 61, "hmac": 60, "formula": 60, "code": 60, "totp": 60}
"""How long after hand-in each kind of proof is over; an SSH key's last second still counts."""


@pytest.fixture
async def target(workspace):
    target = Target(workspace, code_valid_s=LASTS_S)
    yield target
    await target.verify()


def ending_keys(target):
    """Let alice's present keys of both kinds end a minute from now."""
    ends = target.clock.now() + timedelta(seconds=LASTS_S)
    line = f'alice valid-before="{ends.astimezone(UTC):%Y%m%d%H%M%S}Z" {{}}'
    target.allow(line.format(public(target.ssh["alice"])))
    for name, key in target.keys.load().items():
        if key.reviewer == "alice":
            target.keys.retire(name, target.clock.now())
    name = f"alice-{len(target.keys.load())}"
    target.keys.add("alice", name, target.clock.now(), until=ends, env="A")
    return name


def slowly(target, seconds):
    """Let time pass between the judging of a proof and the commit of its vote, once."""
    real = target.ledger.submit

    async def submit(command):
        if isinstance(command, c.Vote):
            target.ledger.submit = real
            target.clock.advance(seconds)
        return await real(command)

    target.ledger.submit = submit


async def proof_of(target, hitl, asked, mode, key):
    if mode == "code":
        return {"code": await target.code(hitl, asked)}
    if mode == "totp":
        return {"totp": target.now_code()}
    if mode == "formula":
        at = asked.expires_at.isoformat()
        made = approval_signature(asked.id, "approved", "alice", at, SECRET)
        return {"proof": formula_envelope(asked.id, "approved", "alice", at, made)}
    stated = await hitl.statement(asked.id, APPROVE, reviewer="alice")
    if mode == "hmac":
        return {"proof": sign_statement(stated, SECRET, key_id=key)}
    return {"proof": target.seal("ssh", stated)}


async def ask(hitl, mode, number):
    kind = "payment" if mode in {"ssh", "hmac"} else "secret"
    return await hitl.request_approval(kind, "Do", {"n": number})


@pytest.mark.parametrize("mode", LATE_S)
async def test_what_ends_between_hand_in_and_commit_proves_nothing(target, hitl, mode):
    """Refused and recorded, to the second; in time by the ledger's clock, it counts."""
    key = ending_keys(target)
    late = await ask(hitl, mode, 1)
    proof = await proof_of(target, hitl, late, mode, key)
    slowly(target, LATE_S[mode])
    attack = hitl.vote(late.id, APPROVE, reviewer="alice", **proof)
    await fails(target, hitl, late, attack, "counted until|has expired")

    target.clock.advance(-target.clock.now().timestamp() % 30)  # a step of a second factor begins
    key = ending_keys(target)
    in_time = await ask(hitl, mode, 2)
    proof = await proof_of(target, hitl, in_time, mode, key)
    slowly(target, LASTS_S - 1)
    done = await hitl.vote(in_time.id, APPROVE, reviewer="alice", **proof)
    assert (done.status, done.refused) == (Status.APPROVED, 0)


async def test_a_clock_set_back_revives_no_key(target, hitl):
    """The request has seen a later time than the clock tells; the ledger goes by that."""
    key = ending_keys(target)
    asked = await ask(hitl, "hmac", 1)
    proof = await proof_of(target, hitl, asked, "hmac", key)
    target.clock.advance(LASTS_S)
    await hitl.comment(asked.id, "late")
    target.clock.jump(-LASTS_S)
    attack = hitl.vote(asked.id, APPROVE, reviewer="alice", **proof)
    await fails(target, hitl, asked, attack, "counted until")


async def test_a_key_that_counts_later_proves_nothing_by_a_clock_that_was_ahead(target, hitl):
    """Judged while the clock was ahead, committed when it was put right."""
    begins = target.clock.now() + timedelta(seconds=LASTS_S)
    target.keys.add("alice", "later", begins, until=None, env="A")
    asked = await ask(hitl, "hmac", 1)
    proof = await proof_of(target, hitl, asked, "hmac", "later")
    target.clock.jump(LASTS_S)
    real = target.ledger.submit

    async def submit(command):
        if isinstance(command, c.Vote):
            target.clock.jump(-LASTS_S)
        return await real(command)

    target.ledger.submit = submit
    attack = hitl.vote(asked.id, APPROVE, reviewer="alice", **proof)
    await fails(target, hitl, asked, attack, "counts only from")
