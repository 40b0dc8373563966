"""Owns who may answer: reviewers, their roles, keys and stand-ins. Never reads a file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from hitl_vault.core.statement import NAMESPACE
from hitl_vault.core.voting import person

MAX_CHAIN = 3
"""How many stand-ins may follow one another: alice away to bob, bob away to carol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """From one time until another, `to` answers in this person's place; "" for nobody.

    The end is exclusive.
    """

    begins_at: datetime
    ends_at: datetime
    to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewer:
    """One person who may answer. `notify` are addresses of their own, or names of secrets."""

    name: str
    roles: frozenset[str] = frozenset()
    away: tuple[Away, ...] = ()
    notify: tuple[str, ...] = ()

    def is_away(self, now: datetime) -> bool:
        """True between the beginning and the end of a time away."""
        return any(away.begins_at <= now < away.ends_at for away in self.away)

    def stand_in(self, now: datetime) -> str:
        """Return who answers for them now, "" if they are here or named nobody."""
        return next((a.to for a in self.away if a.to and a.begins_at <= now < a.ends_at), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One line of the allowed signers: whose public key it is, for what, and when.

    `principals` are patterns: `*` and `?` stand for any letters. `namespaces` None means any.
    `line` is 1-based. Valid at `valid_before` itself, not after.
    """

    principals: tuple[str, ...]
    kind: str
    fingerprint: str
    namespaces: tuple[str, ...] | None = None
    valid_after: datetime | None = None
    valid_before: datetime | None = None
    is_authority: bool = False
    line: int = 0

    def has_expired(self, now: datetime) -> bool:
        """True once it no longer counts."""
        return self.valid_before is not None and now > self.valid_before

    @property
    def is_for_answers(self) -> bool:
        """True if it may sign answers: for our namespace, or for any."""
        return self.namespaces is None or NAMESPACE in self.namespaces


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Everybody on record, by `voting.person` of their name, and their keys.

    `on_record` is false where no record of reviewers is kept: then any name is a person's, which is
    enough where answers are not proved. `sha256` is a digest over all of it as it is stored, ""
    where nothing is; `changed_at` when that last changed. `keys_problem` says why no key can be
    read, "" if they can. `other_keys` are facts about keys that are not public.
    """

    reviewers: Mapping[str, Reviewer] = field(default_factory=dict)
    keys: tuple[Key, ...] = ()
    on_record: bool = False
    sha256: str = ""
    changed_at: datetime | None = None
    keys_problem: str = ""
    other_keys: frozenset[str] = frozenset()

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

    def unheld(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the names and roles that mean nobody; none where no record is kept."""
        return tuple(name for name in names if self.on_record and not self.holders(name))

    def nearest(self, name_or_role: str) -> str:
        """Return the name or role on record that is spelt most like this one, "" if none is."""
        known = {person(found.name): found.name for found in self.reviewers.values()}
        known |= {person(role): role for role in self.roles}
        near = difflib.get_close_matches(person(name_or_role), sorted(known), n=1)
        return known[near[0]] if near else ""

    def keys_of(self, name: str) -> list[Key]:
        """Return the keys whose line names exactly this person."""
        return [key for key in self.keys if person(name) in map(person, key.principals)]

    def standing_for(self, name: str, now: datetime) -> tuple[tuple[str, frozenset[str]], ...]:
        """Return whom this person stands in for now, with their roles; at most `MAX_CHAIN` away.

        Nobody, if the person is not on record themselves: who has left stands in no more.
        """
        found: dict[str, tuple[str, frozenset[str]]] = {}
        nearest = {person(name)} & self.reviewers.keys()
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

    def covering(self, name: str, now: datetime) -> str:
        """Return who is here and answers for this person now, "" if nobody is: no stand-in, one
        who is not on record, a ring of people away, or one too long.
        """
        found = self.find(name)
        for _ in range(MAX_CHAIN):
            found = None if found is None else self.find(found.stand_in(now))
            if found is not None and not found.is_away(now):
                return found.name
        return ""


def facts_of(people: People) -> frozenset[str]:
    """Return what is on record as sentences, addresses left out: they may hold secrets."""
    facts: list[str] = []
    for found in people.reviewers.values():
        facts.append(f"{found.name} is a reviewer")
        facts += [f"{found.name} holds the role {role}" for role in found.roles]
        facts += [f"{found.name} is away {_span(away)}" for away in found.away]
    facts += [_key_fact(key) for key in people.keys]
    facts += people.other_keys
    return frozenset(facts)


def _span(away: Away) -> str:
    for_them = f"{away.to} stands in" if away.to else "nobody stands in"
    return f"from {_stamp(away.begins_at)} until {_stamp(away.ends_at)}, {for_them}"


def _key_fact(key: Key) -> str:
    limits = [f"from {_stamp(key.valid_after)}"] if key.valid_after else []
    limits += [f"until {_stamp(key.valid_before)}"] if key.valid_before else []
    limits += [] if key.namespaces is None else [f"for {', '.join(key.namespaces)}"]
    what = "vouch for keys with" if key.is_authority else "sign with"
    who = ", ".join(key.principals)
    return " ".join([f"{who} may {what} {key.kind} {key.fingerprint}", *limits])


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def differences(before: Iterable[str], now: Iterable[str]) -> tuple[str, ...]:
    """Return what changed from one set of facts to another: `- fact`, then `+ fact`, sorted."""
    old, new = frozenset(before), frozenset(now)
    return (
        *(f"- {fact}" for fact in sorted(old - new)),
        *(f"+ {fact}" for fact in sorted(new - old)),
    )


def after_changes(changes: Iterable[str]) -> frozenset[str]:
    """Return the facts that hold after all these changes, as `differences` wrote them, in order."""
    facts: set[str] = set()
    for line in changes:
        sign, fact = line[:2], line[2:]
        if sign == "+ ":
            facts.add(fact)
        elif sign == "- ":
            facts.discard(fact)
    return frozenset(facts)
