"""Owns the checks of `hitl doctor` of who may call the service. Never shows a secret."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from hitl_vault.adapters.access.sign_ins import SignIns
from hitl_vault.adapters.access.tokens import FILE, AccessTokens
from hitl_vault.adapters.people.file import FilePeople
from hitl_vault.cli.checks import Check, Mark
from hitl_vault.config import STATE_FOLDER
from hitl_vault.core.access import Caller, Token, wrong_scopes
from hitl_vault.core.people import People
from hitl_vault.errors import ConfigError

_LISTED = 5


def access(root: Path) -> Iterator[Check]:
    """Look at the tokens, the sessions and the settings of the service."""
    state, now = root / STATE_FOLDER, datetime.now(UTC)
    yield from _settings(state)
    try:
        known = AccessTokens(state / "keys" / FILE).load()
        sign_ins = SignIns(state / "keys")
        people = FilePeople(state / "reviewers.toml").load()
        sessions = [one for one in sign_ins.sessions().values() if now < one.ends_at]
        sign_ins.links()
    except ConfigError as error:
        yield Check(Mark.WRONG, "tokens", str(error), "until it is mended nobody is let in")
        return
    counting = [one for one in known.values() if one.is_in_force(now)]
    yield from _tokens(counting, people)
    names = {one.name for one in sessions if _is_stranger(one.name, people)}
    if names:
        found = f"somebody not on record is signed in: {_list(names)}"
        yield Check(Mark.LOOK, "sessions", found, "hitl token list; hitl token revoke ID")
    if known:
        found = f"{len(counting)} count, {len(sessions)} signed in"
        yield Check(Mark.NOTE, "tokens", found)


def _tokens(counting: list[Token], people: People) -> Iterator[Check]:
    for one in counting:
        if wrong := wrong_scopes(one.caller, one.scopes):
            found = f"the file gives {one.token_id}, an agent's, {', '.join(wrong)}"
            advice = f"it does not count, and somebody wrote it: hitl token revoke {one.token_id}"
            yield Check(Mark.WRONG, "tokens", found, advice)
    endless = {f"{one.token_id} ({one.name})" for one in counting if one.ends_at is None}
    if endless:
        found = f"these count for ever: {_list(endless)}"
        yield Check(Mark.LOOK, "tokens", found, "make them anew with an end, and revoke these")
    reviewers = [one for one in counting if one.caller is Caller.REVIEWER]
    strange = {
        f"{one.token_id} ({one.name})" for one in reviewers if _is_stranger(one.name, people)
    }
    if strange:
        found = f"reviewers' tokens of people not on record: {_list(strange)}"
        yield Check(Mark.LOOK, "tokens", found, "hitl token revoke ID; or hitl reviewer add NAME")


def _settings(state: Path) -> Iterator[Check]:
    try:
        from hitl_vault.server.settings import FILE as SETTINGS
        from hitl_vault.server.settings import check_exposure, load_server_settings
    except ImportError:  # the extra is not installed: nothing is served from here
        return
    try:
        check_exposure(load_server_settings(state / SETTINGS), open=False)
    except ConfigError as error:
        yield Check(Mark.WRONG, "service", str(error), f"mend {state / SETTINGS}")


def _is_stranger(name: str, people: People) -> bool:
    return people.on_record and people.find(name) is None


def _list(names: set[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return ", ".join(listed[:_LISTED]) + more
