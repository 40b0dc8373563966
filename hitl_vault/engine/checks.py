"""Owns what may come in: the checks of everything a caller passes. Never stores or judges.

Every error names the field and what is accepted.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from hitl_vault.core.canonical import check_details, with_details
from hitl_vault.core.durations import parse_duration
from hitl_vault.core.model import MAX_ID_BYTES, Action, Details, Status, is_valid_id, make_id
from hitl_vault.errors import InvalidRequest
from hitl_vault.ports import Filter, Place

MAX_TEXT_BYTES = 1_048_576
MAX_NAME_BYTES = 200
_MAX_COUNT = 2**63 - 1  # what a ledger can count to
_DIGEST = re.compile(r"[0-9a-f]{64}")

_Word = TypeVar("_Word", bound=StrEnum)


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
    name_of(action.requested_by, "requested_by")
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


def name_of(value: object, name: str) -> str:
    """Return `value` if it is a text that names somebody or something."""
    text = text_of(value, name, MAX_NAME_BYTES)
    if not text.strip():
        raise InvalidRequest(f"{name} is empty; say who or what it is")
    return text


def known_id(id: object) -> str:
    """Return `id` if it is a text; whether there is such a request is the ledger's to say."""
    return text_of(id, "id", MAX_TEXT_BYTES)


def word_of(value: object, words: type[_Word], name: str) -> _Word:
    """Return the member of `words` that `value` is or names."""
    if isinstance(value, str):
        try:
            return words(value)
        except ValueError:
            pass
    allowed = ", ".join(words)
    near = difflib.get_close_matches(value, [*words], n=1) if isinstance(value, str) else []
    meant = f"; did you mean {near[0]}?" if near else ""
    raise InvalidRequest(f"{name} must be one of {allowed}, not {_shown(value)}{meant}")


def digest_of(value: object, name: str) -> str | None:
    """Return `value` if it is a SHA-256 in hexadecimal digits, or None."""
    if value is None or (isinstance(value, str) and _DIGEST.fullmatch(value)):
        return value
    raise InvalidRequest(f"{name} must be 64 hexadecimal digits, small letters, or None")


def count_of(value: object, name: str, least: int = 0) -> int:
    """Return `value` if it is a whole number of at least `least`."""
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= _MAX_COUNT:
        return value
    raise InvalidRequest(f"{name} must be a whole number from {least} on, not {_shown(value)}")


def filter_of(
    *, status: object, type: object, requested_by: object, run_id: object, since: object,
    until: object, text: object, after: Place | None, limit: object, now: datetime,
) -> Filter:  # fmt: skip
    """Return which requests are wanted; raise InvalidRequest for what names none."""
    return Filter(
        statuses=_statuses(status),
        type=_text_or_none(type, "type"),
        requested_by=_text_or_none(requested_by, "requested_by"),
        run_id=_text_or_none(run_id, "run_id"),
        since=moment_of(since, "since", now),
        until=moment_of(until, "until", now),
        text=_text_or_none(text, "text") or None,
        after=after,
        limit=None if limit is None else count_of(limit, "limit"),
    )


def _text_or_none(value: object, name: str) -> str | None:
    return None if value is None else text_of(value, name, MAX_NAME_BYTES)


def _statuses(status: object) -> frozenset[Status] | None:
    if status is None:
        return None
    wanted = status if isinstance(status, Iterable) and not isinstance(status, str) else [status]
    return frozenset(word_of(word, Status, "status") for word in wanted)


def moment_of(given: object, name: str, now: datetime) -> datetime | None:
    """Return an aware time, or the time so long ago as a text such as `7d` says."""
    if given is None:
        return None
    at = _moment_in(given, now) if isinstance(given, str) else given
    if isinstance(at, datetime):
        if at.utcoffset() is not None:
            try:
                return at.astimezone(UTC)
            except OverflowError:  # the first or last day there is, in another time zone
                return at
        problem = "a datetime without a time zone"
    else:
        problem = repr(given)[:80] if isinstance(given, str) else given.__class__.__name__
    raise InvalidRequest(
        f'{name} must be a datetime with a time zone, or how long ago, such as "7d" or "12h", '
        f"not {problem}"
    )


def _moment_in(text: str, now: datetime) -> datetime | None:
    """Return the time a text says: so long ago, or a date and time (ISO 8601)."""
    with contextlib.suppress(ValueError):
        return now - timedelta(seconds=parse_duration(text))
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(text)
    return None


def _shown(value: object) -> str:
    if isinstance(value, str | int | float):
        try:
            return repr(value)[:80]
        except ValueError:  # an integer of thousands of digits
            return "this number"
    return value.__class__.__name__


def seconds_of(timeout: object, name: str = "timeout", *, above_zero: bool = False) -> float | None:
    """Return a duration in seconds, None for none."""
    if timeout is None:
        return None
    try:
        seconds = parse_duration(timeout)
    except ValueError as error:
        raise InvalidRequest(f"{name}: {error}") from error
    if above_zero and not seconds:
        raise InvalidRequest(f"{name} must be more than 0: nobody could answer in no time")
    return seconds


def key_of(key: str | None) -> str | None:
    """Return the key if it can be used."""
    if key is not None and not text_of(key, "key", MAX_NAME_BYTES).strip():
        raise InvalidRequest("key is empty; leave it out or name the action")
    return key


def id_of(id: str | None, now: datetime, type: str, token: Callable[[], str]) -> str:
    """Return the caller's own id if it can be used, else a new one."""
    if id is None:
        return make_id(now, type, token())
    if not is_valid_id(known_id(id)):
        raise InvalidRequest(
            f"id {id[:60]!r} cannot be used: letters, digits, dot, underscore and hyphen, at "
            f"most {MAX_ID_BYTES} bytes, starting with a letter or digit, no two dots in a row"
        )
    return id
