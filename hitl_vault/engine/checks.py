"""Owns what may come in: the checks of everything a caller passes. Never stores or judges.

Every error names the field and what is accepted.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime

from hitl_vault.core.canonical import check_details, with_details
from hitl_vault.core.durations import parse_duration
from hitl_vault.core.model import Action, Details, is_valid_id, make_id
from hitl_vault.errors import InvalidRequest

MAX_TEXT_BYTES = 1_048_576
MAX_NAME_BYTES = 200


def action_of(
    type: str, description: str, details: Details, requested_by: str, agent: str, run_id: str
) -> Action:
    """Return the action; raise InvalidRequest if any part of it cannot be accepted."""
    action = Action(
        type=text_of(type, "type", MAX_NAME_BYTES),
        description=text_of(description, "description", MAX_TEXT_BYTES),
        details=details,
        requested_by=text_of(requested_by, "requested_by", MAX_NAME_BYTES),
        agent=text_of(agent, "agent", MAX_NAME_BYTES),
        run_id=text_of(run_id, "run_id", MAX_NAME_BYTES),
    )
    if not action.type.strip():
        raise InvalidRequest("type is empty; say what kind of action it is")
    if not action.requested_by.strip():
        raise InvalidRequest("requested_by is empty; say who asks")
    check_details(details)
    # a copy: what the caller changes while it waits must not change what is asked
    return with_details(action, copy.deepcopy(details))


def text_of(value: object, name: str, most: int) -> str:
    """Return `value` if it is a text of at most `most` bytes."""
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a text, not {value.__class__.__name__}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{name} holds half a character (a surrogate)") from error
    if size > most:
        raise InvalidRequest(f"{name} is {size:,} bytes; at most {most:,} are accepted")
    return value


def seconds_of(timeout: float | str | None) -> float | None:
    """Return a timeout in seconds, None for none."""
    if timeout is None:
        return None
    try:
        return parse_duration(timeout)
    except ValueError as error:
        raise InvalidRequest(f"timeout: {error}") from error


def key_of(key: str | None) -> str | None:
    """Return the key if it can be used."""
    if key is not None and not text_of(key, "key", MAX_NAME_BYTES).strip():
        raise InvalidRequest("key is empty; leave it out or name the action")
    return key


def id_of(id: str | None, now: datetime, type: str, token: Callable[[], str]) -> str:
    """Return the caller's own id if it can be used, else a new one."""
    if id is None:
        return make_id(now, type, token())
    if not is_valid_id(text_of(id, "id", MAX_NAME_BYTES)):
        raise InvalidRequest(
            f"id {id[:60]!r} cannot be used: letters, digits, dot, underscore and hyphen, at "
            "most 120 bytes, starting with a letter or digit, no two dots in a row"
        )
    return id
