"""Owns the checks of `hitl doctor` of how people are told. Never sends, never shows an address."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from hitl_vault.adapters.clock import SystemClock
from hitl_vault.adapters.notify import apprise, webhook
from hitl_vault.adapters.notify.file import NAME, FileChannels
from hitl_vault.adapters.people.file import FilePeople
from hitl_vault.cli.checks import Check, Mark
from hitl_vault.config import STATE_FOLDER
from hitl_vault.core.people import People
from hitl_vault.core.voting import person
from hitl_vault.errors import ConfigError, HitlVaultError
from hitl_vault.ports_telling import Channel


def ways(root: Path) -> Iterator[Check]:
    """Read the set-up, every secret it names, and what it needs to be installed."""
    source = FileChannels(root / STATE_FOLDER, SystemClock())
    try:
        channels = source.load()
        people = FilePeople(root / STATE_FOLDER / "reviewers.toml").load()
    except ConfigError as error:
        yield Check(Mark.WRONG, "telling", str(error), "mend it; until then nobody is told")
        return
    if not channels:
        advice = f"{STATE_FOLDER}/{NAME} says how, see docs/notifications.md"
        yield Check(Mark.GOOD, "telling", "by the notes alone", advice)
        return
    for channel in channels.values():
        yield from _way(channel, people)
    mode = stat.S_IMODE(source.path.stat().st_mode)
    if os.name == "posix" and mode & 0o077 and source.has_secrets():
        yield Check(
            Mark.LOOK,
            "telling",
            f"others can read {STATE_FOLDER}/{NAME}, which holds addresses or secrets",
            f"chmod 600 {STATE_FOLDER}/{NAME}, or name them as env:NAME or file:keys/NAME",
        )


def _way(channel: Channel, people: People) -> Iterator[Check]:
    way, notifier = channel.way, channel.notifier
    addressed = [one for one in people.reviewers.values() if one.notify]
    try:
        if isinstance(notifier, webhook.WebhookNotifier):
            notifier.target(webhook.libraries()[1])
        elif isinstance(notifier, apprise.AppriseNotifier):
            for addresses in [one.notify for one in addressed] if way.people else [()]:
                notifier.services(addresses)
    except HitlVaultError as error:
        advice = f"mend it, then: hitl outbox test {way.name}"
        yield Check(Mark.WRONG, "telling", f"{way.name}: {error}", advice)
        return
    unknown = [name for name in way.to if not people.holders(name)]
    if unknown:
        found = f"{way.name}: nobody on record is {', '.join(unknown)}"
        yield Check(Mark.LOOK, "telling", found, "put them in reviewers.toml, or mend `to`")
    silent = sorted(one.name for one in people.reviewers.values() if not one.notify)
    if way.people and silent:
        found = f"{way.name}: no address of {', '.join(silent)}"
        yield Check(Mark.LOOK, "telling", found, "give them `notify` in reviewers.toml")
    whom = f"{len({person(one.name) for one in addressed})} people" if way.people else "its address"
    yield Check(Mark.GOOD, "telling", f"{way.name} tells {whom}")


async def letters(root: Path) -> list[Check]:
    """Look for what could not be told, and for an outbox that was lost or damaged."""
    from hitl_vault.adapters.outbox.file import asides
    from hitl_vault.adapters.outbox.sqlite import SqliteOutbox

    path = root / STATE_FOLDER / "outbox.db"
    damaged = [
        Check(
            Mark.LOOK,
            "outbox",
            f"a damaged one was set aside: {', '.join(asides(path))}",
            "look at the disk; what may not have been told was told again. Then delete it",
        )
    ] * bool(asides(path))
    box = SqliteOutbox(path, mends=False)
    try:
        if not path.exists():
            return damaged + _gone(await box.told())
        found = await box.find()
        names = FileChannels(root / STATE_FOLDER, SystemClock()).load()
    except HitlVaultError as error:
        advice = "keep a desk running, such as hitl watch"
        return [*damaged, Check(Mark.WRONG, "outbox", str(error), advice)]
    finally:
        await box.aclose()
    dead = sum(parcel.dead for parcel in found)
    lost = sorted({parcel.duties[0].way for parcel in found} - names.keys())
    checks = damaged
    if dead:
        advice = "hitl outbox list, then hitl outbox retry --all or drop --all"
        checks.append(Check(Mark.LOOK, "outbox", f"{dead} could not be told", advice))
    if lost:
        advice = f"put them back into {NAME}, or hitl outbox drop what waits for them"
        checks.append(Check(Mark.LOOK, "outbox", f"waits for ways: {', '.join(lost)}", advice))
    return checks or [Check(Mark.GOOD, "outbox", f"{len(found)} to be told")]


def _gone(told: int | None) -> list[Check]:
    if told is None:
        return []
    found = f"outbox.db is gone; everything up to event {told} was told"
    advice = "the next desk makes it anew, and tells again what came later and what waits"
    return [Check(Mark.LOOK, "outbox", found, advice)]
