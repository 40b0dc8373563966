"""Owns the vault that is attacked, and what every failed attack must leave behind. Never attacks."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

sys.path.append(str(Path(__file__).parents[1] / "unit" / "engine"))

import pyotp
from proof_kit import SECRET, Proved
from ssh_kit import make_key, public, run

from hitl_vault.adapters.proof.ssh import SshProver, sealed
from hitl_vault.adapters.proof.totp import TotpFactors
from hitl_vault.adapters.ssh.keygen import unarmoured
from hitl_vault.core.events import Kind
from hitl_vault.core.model import Answer, Status
from hitl_vault.core.statement import NAMESPACE, PAYLOAD_TYPE, pae, statement_bytes
from hitl_vault.errors import Conflict, Denied, InvalidRequest, Refused, TrustError
from hitl_vault.signatures import sign_statement

POLICY = """\
default: ask
rules:
  - {id: sure, when: 'action.type == "payment"', effect: ask, assurance: signed,
     answers: [approve, reject, edit]}
  - {id: two, when: 'action.type == "launch"', effect: ask, assurance: signed, quorum: 2,
     veto: false, answers: [approve, reject, edit]}
  - {id: known, when: 'action.type == "secret"', effect: ask, assurance: authenticated,
     approvers: [alice]}
  - {id: both, when: 'action.type == "export"', effect: ask, assurance: authenticated, quorum: 2,
     veto: false, answers: [approve, reject, edit], approvers: [alice, bob]}
"""
EXIT_CODES = {TrustError: 1, Refused: 1, Conflict: 8, Denied: 7, InvalidRequest: 2}
"""The documented exit codes of what an attack may end with."""


class Target(Proved):
    """A vault where every kind of proof counts: alice and bob have an SSH key, a shared key, an
    address for codes and a second factor each."""

    def __init__(self, folder, policy=POLICY, **options):
        super().__init__(folder, policy, notify=("alice", "bob"), **options)
        self.folder, self.signers = folder, folder / "allowed_signers"
        self.ssh = {name: make_key(folder, name) for name in ("alice", "bob", "eve")}
        self.allow(*(f"{name} {public(self.ssh[name])}" for name in ("alice", "bob")))
        self.factors = TotpFactors(folder / "totp.toml")
        self.otp = {}
        for name in ("alice", "bob"):
            query = urlsplit(self.factors.enrol(name, "v")).query
            self.otp[name] = pyotp.TOTP(parse_qs(query)["secret"][0])

    def allow(self, *lines):
        """Write the list of keys."""
        self.signers.write_text("".join(f"{line}\n" for line in lines))

    def _parts(self, name, **more):
        parts = super()._parts(name, **more)
        provers = {**parts.provers, "ssh": SshProver(self.signers)}
        return replace(parts, provers=provers, second_factor=self.factors)

    def seal(self, mode, stated, by="alice", **more):
        """Return a statement, signed with somebody's key of one kind."""
        if mode == "hmac":
            return sign_statement(stated, SECRET, key_id=f"{by}-1")
        return self.seal_bytes(statement_bytes(stated), self.ssh[by], **more)

    def seal_bytes(self, body, key, namespace=NAMESPACE, kind=PAYLOAD_TYPE, message=None):
        """Return bytes that ssh-keygen signed, in an envelope that says they are a statement."""
        message = pae(kind, body) if message is None else message
        armoured = run("-q", "-Y", "sign", "-f", key, "-n", namespace, input=message)
        return sealed(body, unarmoured(armoured.decode()))

    def now_code(self, by="alice", steps=0):
        """Return the code of a second factor, so many steps from now."""
        return self.otp[by].generate_otp(int(self.clock.now().timestamp()) // 30 + steps)

    async def code(self, hitl, request, by="alice"):
        """Return the one-time code somebody was sent last."""
        sent = [
            recorded.event
            for recorded in await self.history(request)
            if recorded.event.kind is Kind.CODE_ISSUED and recorded.event.data["reviewer"] == by
        ]
        return hitl.code_for(sent[-1])

    async def signed(self, hitl, request, answer=Answer.APPROVE, *, mode="ssh", by="alice", **more):
        """Return an answer that is signed as it should be."""
        stated = await hitl.statement(request.id, answer, reviewer=by, **more)
        return self.seal(mode, stated, by)

    async def approves(self, hitl, request, proof, **more):
        """Hand in a proof that must count: what the attack after it differs from."""
        known = await hitl.get(request.id)
        answer = more.pop("answer", Answer.APPROVE)
        by = more.pop("by", "alice")
        done = await hitl.vote(request.id, answer, reviewer=by, proof=proof, **more)
        assert done.refused == known.refused
        assert [vote.reviewer for vote in done.votes].count(by) == 1
        return done


async def fails(target, hitl, request, attack, says, *, error=TrustError, recorded=True):
    """Wait for an attack that must fail; return its sentence.

    Nothing is approved, changed or run; the error is of exactly its documented class; where it
    pretended to be a proof it is on record as `refused`; and the chain holds.
    """
    before, past = await hitl.get(request.id), await target.history(request)
    with pytest.raises(error, match=says) as caught:
        await attack
    said = str(caught.value)
    assert type(caught.value) is error
    assert error.exit_code == EXIT_CODES[error]
    assert said
    assert len(said.splitlines()) == 1
    await unmoved(target, hitl, before)
    new = [found.event for found in (await target.history(request))[len(past) :]]
    if recorded:
        assert [event.kind for event in new] == [Kind.REFUSED]
        assert new[0].data["problem"] == said
        assert SECRET.decode() not in str(new[0].data)
    else:
        assert new == []
    return said


async def unmoved(target, hitl, before):
    """Assert that a request stands where it stood, cannot run if it was not approved, and that the
    chain holds."""
    after = await hitl.get(before.id)
    for name in ("status", "votes", "edited", "details", "requirement", "claim"):
        assert getattr(after, name) == getattr(before, name)
    if after.status is Status.PENDING:
        with pytest.raises(Refused, match="not approved yet"):
            await hitl.execution(before.id).claim()
    await target.verify()
