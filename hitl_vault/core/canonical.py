"""Owns what a payload is: its checks, its digest and its differences. Never normalises silently.

The digest is SHA-256 over RFC 8785 (JSON Canonicalization Scheme) of
`{type, details, requested_by, agent, run_id}`.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from enum import Enum
from typing import Any

import rfc8785

from hitl_vault.core.model import Action, Change, Details
from hitl_vault.errors import InvalidRequest

MAX_PAYLOAD_BYTES = 262_144
MAX_DEPTH = 64
MAX_INTEGER = 2**53 - 1


def payload_sha256(action: Action) -> str:
    """Return the digest an approval binds to, as 64 hexadecimal digits.

    Raises:
        InvalidRequest: The details are not exact JSON, or larger than 256 KiB.
    """
    check_details(action.details)
    payload = {
        "type": action.type,
        "details": action.details,
        "requested_by": action.requested_by,
        "agent": action.agent,
        "run_id": action.run_id,
    }
    try:
        canonical = _canonical(payload)
    except (rfc8785.CanonicalizationError, UnicodeError) as error:
        raise InvalidRequest(f"the action cannot be written as exact JSON: {error}") from error
    if len(canonical) > MAX_PAYLOAD_BYTES:
        raise InvalidRequest(
            f"details are {len(canonical):,} bytes as JSON; at most {MAX_PAYLOAD_BYTES:,} are "
            "accepted: store the large part elsewhere and pass its name and digest"
        )
    return hashlib.sha256(canonical).hexdigest()


def _canonical(value: Any) -> bytes:
    """Return RFC 8785 bytes. Where nothing needs the RFC's own rules (numbers with a fraction, keys
    whose UTF-16 order differs), the standard library writes the same, ten times sooner.
    """
    if _needs_its_rules(value):
        return rfc8785.dumps(value)
    return _plain_dumps(value).encode()


_plain_dumps = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
).encode


def _needs_its_rules(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return any(not key.isascii() or _needs_its_rules(item) for key, item in value.items())
    if kind is list:
        return any(_needs_its_rules(item) for item in value)
    return kind not in _PLAIN


_PLAIN = frozenset({str, int, bool, type(None)})


def with_details(action: Action, details: Details) -> Action:
    """Return the action with other details."""
    return replace(action, details=details)


def check_details(details: Any) -> None:
    """Raise InvalidRequest, naming the field, unless `details` is an object of exact JSON."""
    if not isinstance(details, dict):
        raise InvalidRequest(f"details must be an object, not {type(details).__name__}")
    _check(details, "details", 0)


def _check(value: Any, where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InvalidRequest(f"{where[:80]}…: nested deeper than {MAX_DEPTH} levels")
    match value:
        case list() | tuple():
            for index, item in enumerate(value):
                _check(item, f"{where}[{index}]", depth + 1)
        case dict():
            for key, item in value.items():
                if type(key) is not str:
                    raise InvalidRequest(f"{where}: the key {str(key)[:80]!r} is not a plain text")
                _check_text(key, f"{where}, key {key[:80]!r}")
                _check(item, f"{where}.{key}", depth + 1)
        case _:
            _check_plain(value, where)


def _check_plain(value: Any, where: str) -> None:
    if isinstance(value, Enum) and isinstance(value, str | int):
        value = value.value  # what both writers write
    if value is None or isinstance(value, bool):
        return
    # exact types: the ledger's writer knows no subclass, such as numpy's float64
    if type(value) is str:
        _check_text(value, where)
    elif type(value) is int:
        if abs(value) > MAX_INTEGER:
            raise InvalidRequest(
                f"{where}: an integer beyond 2^53-1, which other JSON readers round; "
                "pass it as a string"
            )
    elif type(value) is float:
        if not math.isfinite(value):
            raise InvalidRequest(f"{where}: {value} is not a number JSON can hold")
    else:
        raise InvalidRequest(f"{where}: {type(value).__name__} is not JSON")


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{where}: the text holds half a character (a surrogate)") from error


def parse_json_object(text: str) -> Details:
    """Read a JSON object strictly: no duplicate keys, no NaN, nothing beyond exact JSON.

    Raises:
        InvalidRequest: It is not such an object; the message says where.
    """
    try:
        value = parse_json(text)
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    check_details(value)
    return value  # type: ignore[no-any-return]


def parse_json(text: str | bytes) -> Any:
    """Read JSON strictly: no duplicate keys, no NaN.

    Raises:
        json.JSONDecodeError: It is no JSON.
        InvalidRequest: It is, and two readers could understand it differently.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # an integer of thousands of digits, bytes that are no text
        raise InvalidRequest(f"not JSON that can be held exactly: {error}") from error
    except RecursionError as error:
        raise InvalidRequest(f"nested deeper than {MAX_DEPTH} levels") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InvalidRequest(f"the key {key!r} stands twice")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise InvalidRequest(f"{name} is not a number JSON can hold")


def check_same_shape(before: Any, after: Any, where: str = "details") -> None:
    """Raise InvalidRequest unless `after` changes values only: same keys, same kinds of value.

    A list may change its length. An executor written for the requested details can thus run the
    edited ones.
    """
    if kind_of(before) != kind_of(after) and before is not None:
        raise InvalidRequest(f"{where} was {kind_of(before)} and cannot become {kind_of(after)}")
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() - after.keys():
            raise InvalidRequest(f"{where}.{key} is missing; change values, do not remove them")
        for key in after.keys() - before.keys():
            raise InvalidRequest(f"{where}.{key} is new; change values, do not add any")
        for key in before:
            check_same_shape(before[key], after[key], f"{where}.{key}")


def kind_of(value: Any) -> str:
    """Return what kind of JSON value this is, in words."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list() | tuple():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "a value of another kind"


def changes_between(before: Any, after: Any, path: str = "") -> tuple[Change, ...]:
    """Return the changed values in the order of `before`, with RFC 6901 paths.

    Empty if and only if both have the same digest. A value that is not there is "".
    """
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        return tuple(
            change
            for key in keys
            for change in changes_between(
                before.get(key, _MISSING),
                after.get(key, _MISSING),
                f"{path}/{key.replace('~', '~0').replace('/', '~1')}",
            )
        )
    if _MISSING not in (before, after) and _canonical(before) == _canonical(after):
        return ()
    return (Change(path=path, before=_compact(before), after=_compact(after)),)


_MISSING: Any = object()


def _compact(value: Any) -> str:
    if value is _MISSING:
        return ""
    return json.dumps(value, ensure_ascii=True, separators=(", ", ": "))
