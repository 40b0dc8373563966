"""Owns `hitl review --group`: which requests are alike, and how they look side by side.

Never hides a difference: what cannot be shown whole is shown alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from hitl_vault.cli.printing import Cell, console, heading, print_fields, print_lines, safe
from hitl_vault.core.model import Answer, Request

MOST = 12  # on one screen; more of the same make another group
_LONGEST = 300  # of a value that stands beside others


def groups_of(requests: Sequence[Request]) -> list[list[Request]]:
    """Return requests that are alike together, groups and members oldest first.

    Alike are requests of one type by one requester under the same rules and with the same
    requirement. What somebody changed, remarked on or voted for, or what is long, stays alone.
    """
    groups: dict[object, list[Request]] = {}
    found: list[list[Request]] = []
    for request in sorted(requests, key=lambda one: (one.created_at, one.id)):
        verdict, action = request.verdict, request.action
        judged = (verdict.rules, verdict.reasons, verdict.risk, verdict.requirement)
        key = (action.type, action.requested_by, judged)
        group = groups.get(key)
        if _is_alone(request):
            found.append([request])
        elif group is None or len(group) == MOST:
            groups[key] = [request]
            found.append(groups[key])
        else:
            group.append(request)
    return found


def _is_alone(request: Request) -> bool:
    said = request.action.description
    return (
        bool(request.edited or request.comments or request.votes)
        or any(len(text) > _LONGEST for text in _texts(request).values())
        or len(said) > _LONGEST
        or "\n" in said
    )


def _texts(request: Request) -> dict[str, str]:
    """Return every value of the details as JSON text, by its path, and the agent and run."""
    from hitl_vault.core.grants import values_of

    texts = {path: _json(value) for path, value in values_of(request.details)}
    return texts | {
        name: _json(value)
        for name, value in (("agent", request.action.agent), ("run", request.action.run_id))
        if value
    }


def _json(value: Any) -> str:
    from hitl_vault.records import as_json

    return as_json(value, indent=None)


def show_group(group: Sequence[Request], place: str) -> None:
    """Print what the requests share, and then of each what is its own."""
    from hitl_vault.cli.reading import asked_fields

    texts = [_texts(request) for request in group]
    shared = {
        path: text
        for path, text in texts[0].items()
        if all(other.get(path) == text for other in texts)
    }
    print()
    console().rule(f"{place} · {len(group)} alike", style="dim")
    kind = safe(group[0].action.type).replace("_", " ")
    print_lines([Cell(f"{len(group)} requests: {kind}", "bold")])
    print()
    fields = asked_fields(group[0], datetime.now(UTC))
    asked_by = Cell(safe(group[0].action.requested_by))
    print_fields([*(field for field in fields if field[0] in _SHARED), ("asked by", asked_by)])
    if shared:
        heading("The same in each")
        print_fields([(safe(path), Cell(safe(text), "cyan")) for path, text in shared.items()])
    for number, (request, own) in enumerate(zip(group, texts, strict=True), 1):
        print()
        _show_member(number, request, {p: text for p, text in own.items() if p not in shared})
    print()


def _show_member(number: int, request: Request, own: dict[str, str]) -> None:
    from hitl_vault.document.sentences import time_left

    summary = safe(request.verdict.summary, limit=300)
    left = time_left(request, datetime.now(UTC))
    tail = f"  {f'{summary}, ' if summary else ''}{left} left"
    print_lines([Cell(f"{number}. {request.id}", "bold", tail)])
    said = safe(request.action.description)
    fields = [(f"   {safe(path)}", Cell(safe(text), "cyan")) for path, text in own.items()]
    fields += [("   the agent says", Cell(f"> {said}"))] if said else []
    print_fields(fields or [("   nothing of its own", Cell(""))])


_SHARED = frozenset({"risk", "why", "rule", "needed"})


def group_question(group: Sequence[Request]) -> str:
    """Return the keys that are offered for a group."""
    allowed, count = group[0].requirement.answers, len(group)
    keys = {
        f"[a]pprove all {count}": Answer.APPROVE in allowed,
        f"[r]eject all {count}": Answer.REJECT in allowed,
    }
    words = [word for word, offered in keys.items() if offered]
    return " ".join([*words, "[o]ne by one", "[s]kip", "[q]uit"])
