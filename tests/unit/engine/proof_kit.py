"""Owns keys and proofs for the engine's tests: real HMAC, a code key, a second factor. Never SSH."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from engine_kit import Office

from hitl_vault.adapters.proof.hmac import HmacKeys, HmacProver
from hitl_vault.core.people import People, Reviewer

SECRET = b"a secret of enough bytes"
VAULT = "vault-1"


class MemoryCodeKey:
    def load(self) -> bytes:
        return b"k" * 32


class MemoryFactor:
    """A second factor whose code is the time step itself, for everybody."""

    def step_of(self, reviewer, typed, at):
        now = int(at.timestamp()) // 30
        return next((step for step in (now, now - 1, now + 1) if str(step) == typed), None)

    def ends_at(self, step):
        return datetime.fromtimestamp((step + 2) * 30, UTC)


class Proved(Office):
    """An office with keys: alice's is `alice-1`, bob's `bob-1`; the secret is one and the same."""

    def __init__(self, folder, policy, *, notify=(), **options):
        super().__init__(policy, **options)
        self.keys = HmacKeys(folder / "hmac.toml", {"A": SECRET.decode(), "B": SECRET.decode()})
        for name, env in (("alice", "A"), ("bob", "B")):
            self.keys.add(name, f"{name}-1", self.clock.now(), until=None, env=env)
        self.people = People(
            reviewers={
                name: Reviewer(name=name, notify=(f"mailto://{name}",) if name in notify else ())
                for name in ("alice", "bob")
            }
        )
        self.vault_id = VAULT

    def _parts(self, name, **more):
        return replace(
            super()._parts(name, **more),
            vault_id=self.vault_id,
            provers={"hmac": HmacProver(self.keys)},
            code_key=MemoryCodeKey(),
            second_factor=MemoryFactor(),
        )
