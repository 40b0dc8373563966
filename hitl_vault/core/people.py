"""Owns who may answer: reviewers, their roles, their stand-ins. Never reads a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from hitl_vault.core.voting import person

MAX_CHAIN = 3
"""How many stand-ins may follow one another: alice away to bob, bob away to carol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """From one time until another, `to` answers in this person's place. The end is exclusive."""

    begins_at: datetime
    ends_at: datetime
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewer:
    """One person who may answer. `notify` are addresses of their own, or names of secrets."""

    name: str
    roles: frozenset[str] = frozenset()
    away: tuple[Away, ...] = ()
    notify: tuple[str, ...] = ()

    def stand_in(self, now: datetime) -> str:
        """Return who answers for them now, "" if they are here."""
        return next((a.to for a in self.away if a.begins_at <= now < a.ends_at), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Everybody on record, by `voting.person` of their name. Unknown names are people too: a vault
    needs no record of reviewers where answers are not proved.
    """

    reviewers: Mapping[str, Reviewer] = field(default_factory=dict)

    def find(self, name: str) -> Reviewer | None:
        """Return the reviewer with this name, however it is spelt."""
        return self.reviewers.get(person(name))

    def roles_of(self, name: str) -> frozenset[str]:
        """Return the roles a person holds."""
        found = self.find(name)
        return frozenset() if found is None else found.roles

    def is_role(self, name: str) -> bool:
        """Return True if this is the name of a role that somebody holds."""
        return person(name) in {person(role) for role in self.roles}

    @property
    def roles(self) -> frozenset[str]:
        """Return every role that somebody holds."""
        return frozenset(role for found in self.reviewers.values() for role in found.roles)

    def holders(self, name_or_role: str) -> list[Reviewer]:
        """Return the people a name in a policy means: the one of that name, or a role's holders."""
        wanted = person(name_or_role)
        holders = [
            found
            for found in self.reviewers.values()
            if wanted in {person(role) for role in found.roles}
        ]
        named = self.reviewers.get(wanted)
        return holders or ([] if named is None else [named])

    def standing_for(self, name: str, now: datetime) -> tuple[tuple[str, frozenset[str]], ...]:
        """Return whom this person stands in for now, with their roles; at most `MAX_CHAIN` away."""
        found: dict[str, tuple[str, frozenset[str]]] = {}
        nearest = {person(name)}
        for _ in range(MAX_CHAIN):
            nearest = {
                key
                for key, other in self.reviewers.items()
                if person(other.stand_in(now)) in nearest and key not in found
            } - {person(name)}
            found |= {
                key: (self.reviewers[key].name, self.reviewers[key].roles)
                for key in sorted(nearest)
            }
        return tuple(found.values())
