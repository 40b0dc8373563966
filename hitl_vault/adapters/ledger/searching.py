"""Owns which requests a filter finds, told of one request alone. Never reads a ledger.

Letters A to Z are found in either case; every other character only as it is written.
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from typing import Any

import msgspec

from hitl_vault.core.lifecycle import next_due
from hitl_vault.core.model import Request
from hitl_vault.ports import Filter

_SMALL = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def matches(request: Request, want: Filter) -> bool:
    """Return True if the filter finds this request, its limit and its order aside."""
    due = next_due(request)
    return (
        (want.statuses is None or request.status in want.statuses)
        and (want.type is None or request.action.type == want.type)
        and (want.requested_by is None or request.action.requested_by == want.requested_by)
        and (want.run_id is None or request.action.run_id == want.run_id)
        and (want.since is None or request.created_at >= want.since)
        and (want.until is None or request.created_at < want.until)
        and (want.due_before is None or (due is not None and due[0] <= want.due_before))
        and (want.id_prefix is None or request.id.casefold().startswith(want.id_prefix.casefold()))
        and (want.text is None or says(request, want.text))
        and (want.after is None or _follows(request, want))
    )


def _follows(request: Request, want: Filter) -> bool:
    assert want.after is not None
    here = request.created_at, request.id.casefold()
    there = want.after.created_at, want.after.id.casefold()
    return here > there if want.oldest_first else here < there


def says(request: Request, text: str) -> bool:
    """Return True if the text stands in a word, or in a value of the details, of the request."""
    wanted = text.translate(_SMALL)
    return any(wanted in said.translate(_SMALL) for said in _said(request))


def _said(request: Request) -> Iterator[str]:
    action, verdict = request.action, request.verdict
    yield from (request.id, action.type, action.description, verdict.summary, request.reason)
    yield from (action.requested_by, action.agent, action.run_id, request.key or "")
    yield from request.reviewers
    yield from (comment.text for comment in request.comments)
    yield from _values(action.details)
    if request.edited is not None:
        yield from _values(request.edited.details)


def _values(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for key, item in value.items():
                yield key
                yield from _values(item)
        case list() | tuple():
            for item in value:
                yield from _values(item)
        case str():
            yield value
        case bool() | None:
            pass
        case _:
            yield written(value)


def written(value: Any) -> str:
    """Return a plain value as it is written in JSON: what is stored of it."""
    return msgspec.json.encode(value).decode()
