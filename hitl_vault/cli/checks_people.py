"""Owns the checks of `hitl doctor` of who may answer: reviewers, keys, who may change them.

Never changes a file, and never shows a secret.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from hitl_vault.adapters.people.file import FilePeople
from hitl_vault.cli.checks import Check, Mark
from hitl_vault.config import STATE_FOLDER, Settings
from hitl_vault.core.people import Key, People
from hitl_vault.core.statement import NAMESPACE
from hitl_vault.errors import ConfigError

_SIGNERS = "allowed_signers"
_OTHERS_WRITE = 0o022


def people(root: Path, settings: Settings) -> Iterator[Check]:
    """Look at the record of reviewers, their keys, and the names the policy uses."""
    state = root / STATE_FOLDER
    yield from _modes(state)
    try:
        found = FilePeople(state / "reviewers.toml").load()
    except ConfigError as error:
        advice = "mend it; until then no name and no role in a rule counts"
        yield Check(Mark.WRONG, "reviewers", str(error), advice)
        return
    yield _on_record(found)
    for one in found.reviewers.values():
        if found.is_role(one.name):
            advice = "rename one of them: that name is taken for the role"
            yield Check(Mark.LOOK, "reviewers", f"{one.name} is a person and a role", advice)
    now = datetime.now(UTC)
    yield from _absent(found, now)
    yield from _keys(found, now)
    yield from _named(root / settings.policy, found)


def _on_record(found: People) -> Check:
    if not found.on_record:
        return Check(Mark.GOOD, "reviewers", "nobody on record; names in rules are people's names")
    if not found.reviewers:
        advice = "put people on record with: hitl reviewer add NAME"
        return Check(
            Mark.LOOK, "reviewers", "the record is empty: no name in a rule counts", advice
        )
    roles = len(found.roles)
    return Check(Mark.GOOD, "reviewers", f"{len(found.reviewers)} on record, {roles} roles")


def _modes(state: Path) -> Iterator[Check]:
    """Look at who may change what proves an answer."""
    for name in ("reviewers.toml", _SIGNERS):
        mode = _mode(state / name)
        if mode is not None and mode & _OTHERS_WRITE:
            yield Check(
                Mark.WRONG,
                name,
                f"others may change who answers (mode {mode:o})",
                f"chmod 600 {state / name}",
            )


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


def _absent(found: People, now: datetime) -> Iterator[Check]:
    for one in found.reviewers.values():
        if one.is_away(now) and not found.covering(one.name, now):
            to = one.stand_in(now)
            why = f"{to} is away too, or not on record" if to else "nobody stands in"
            yield Check(
                Mark.LOOK,
                "away",
                f"{one.name} is away: {why}",
                f"name somebody who is here: hitl reviewer away {one.name} --to NAME …",
            )
        for away in one.away:
            if away.to and away.ends_at > now and found.find(away.to) is None:
                yield Check(
                    Mark.LOOK,
                    "away",
                    f"{away.to}, who stands in for {one.name}, is not on record",
                    f"hitl reviewer add {away.to}, or name somebody else",
                )


def _keys(found: People, now: datetime) -> Iterator[Check]:
    if found.keys_problem:
        advice = "mend the line; until then no signature counts"
        yield Check(Mark.WRONG, _SIGNERS, found.keys_problem, advice)
        return
    for key in found.keys:
        where = f"line {key.line}, {', '.join(key.principals)}"
        yield from (
            Check(mark, _SIGNERS, f"{where}: {told}", advice)
            for mark, told, advice in _faults(key, found, now)
        )
    fit = [key for key in found.keys if key.is_for_answers and not key.has_expired(now)]
    if fit:
        yield Check(Mark.GOOD, _SIGNERS, f"{len(fit)} keys may sign answers")


def _faults(key: Key, found: People, now: datetime) -> Iterator[tuple[Mark, str, str]]:
    if any(set(name) & set("*?!") for name in key.principals):
        advice = "write the names of people: whoever holds this key may sign for all it fits"
        yield Mark.WRONG, "the name is a pattern", advice
    elif found.on_record:
        for name in key.principals:
            if found.find(name) is None:
                yield Mark.LOOK, f"{name} is not on record as a reviewer", "hitl reviewer list"
    if key.namespaces is None:
        advice = f'add namespaces="{NAMESPACE}"'
        yield Mark.LOOK, "what it signed for other purposes is not told apart by OpenSSH", advice
    elif not key.is_for_answers:
        yield Mark.LOOK, f"it never counts: its namespaces lack {NAMESPACE}", "add it"
    if key.has_expired(now):
        advice = "take it off: hitl reviewer key NAME --remove " + key.fingerprint[:15]
        yield Mark.LOOK, f"expired on {key.valid_before:%Y-%m-%d}", advice


def _named(policy: Path, found: People) -> Iterator[Check]:
    from hitl_vault.cli.naming import unknown_names
    from hitl_vault.core.policy import Severity
    from hitl_vault.errors import PolicyError

    try:
        problems = unknown_names(policy.read_bytes(), found, name=policy.name)
    except (OSError, PolicyError):
        return  # told by the check of the policy
    for problem in problems:
        wrong = problem.severity is Severity.ERROR
        yield Check(
            Mark.WRONG if wrong else Mark.NOTE,
            "named",
            f"{policy.name}:{problem.line}: {problem.message}",
            "until then nobody can answer for it" if wrong else "",
        )


def trust(root: Path, settings: Settings) -> Iterator[Check]:
    """Say what the set-up cannot stop: it is easily taken for more than it is."""
    from hitl_vault.core.model import Assurance, Effect
    from hitl_vault.core.policy import parse_policy
    from hitl_vault.errors import PolicyError

    try:
        rules = parse_policy((root / settings.policy).read_bytes(), name=settings.policy).rules
    except (OSError, PolicyError):
        return
    levels = [rule.assurance or Assurance.EDITED for rule in rules if rule.effect is Effect.ASK]
    unproved = sum(level is Assurance.EDITED for level in levels)
    if unproved:
        yield Check(
            Mark.NOTE,
            "identity",
            f"under {unproved} of {len(levels)} rules that ask, a note may answer; it says any "
            "name, so the rule that nobody answers their own request cannot be enforced there",
        )
    yield from _same_user(root, matters=unproved < len(levels))


def _same_user(root: Path, *, matters: bool) -> Iterator[Check]:
    """Compare the vault's owner with those under whom agents have run actions."""
    try:
        import pwd
    except ImportError:  # not a system with such users
        return
    from hitl_vault.cli.opening import ledger_of
    from hitl_vault.errors import StorageError
    from hitl_vault.ports import Filter

    state = root / STATE_FOLDER
    try:
        owner = pwd.getpwuid(state.stat().st_uid).pw_name
        with closing(ledger_of(root)) as ledger:
            recent = ledger.find(Filter(limit=200))
    except (KeyError, OSError, StorageError):
        return
    users = {request.claim.executor.partition("@")[0] for request in recent if request.claim}
    if owner in users:
        yield Check(
            Mark.LOOK if matters else Mark.NOTE,
            "users",
            f"agents run as {owner}, who also owns {STATE_FOLDER}: nothing here can stop such an "
            "agent from changing the record, the keys or the reviewers",
            "run the desk as a user of its own, and agents as another" if matters else "",
        )
