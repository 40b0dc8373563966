"""Owns what a standing grant covers: the one place that compares an action with its
bounds.

Never counts uses, and never decides: `registering` counts, `lifecycle` decides. Whatever a grant
does not plainly cover is outside of it, and a person is asked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import rfc8785

from hitl_vault.core.canonical import MAX_INTEGER, with_details
from hitl_vault.core.commands import Vote
from hitl_vault.core.model import (
    Action,
    Answer,
    Assurance,
    Details,
    GrantLimit,
    Request,
    Verdict,
)
from hitl_vault.core.register import Bound, Grant, Register
from hitl_vault.core.voting import person

CHANNEL = "grant"
"""The channel of answers that a standing grant gives."""

MAX_BOUNDS = 200
MAX_USES = 1_000


def outside(grant: Grant, action: Action) -> str:
    """Return why the grant does not cover the action, as a sentence; "" if it does.

    Guarantees:
        Type and requester are exactly the grant's. Every value of the details lies within a bound
        of its own, and every bound has its value: nothing is added, left out or of another kind.
    """
    if action.type != grant.type:
        return f"it is for {grant.type!r}, not for {action.type!r}"
    if action.requested_by != grant.requested_by:
        return f"it is for {grant.requested_by!r}, not for {action.requested_by!r}"
    bounds = {bound.path: bound for bound in grant.bounds}
    for path, value in values_of(action.details):
        bound = bounds.pop(path, None)
        if bound is None:
            return f"{path} has no bound"
        problem = _beyond(bound, value)
        if problem:
            return problem
    return "" if not bounds else f"{', '.join(sorted(bounds))} is missing in the details"


def values_of(details: Details) -> Iterator[tuple[str, Any]]:
    """Yield every value of the details that is not an object, by its JSON Pointer.

    A list is one value, and so is an object within that holds nothing.
    """
    for key, value in details.items():
        path = "/" + _escaped(str(key))
        if isinstance(value, dict) and value:
            yield from ((path + below, inner) for below, inner in values_of(value))
        else:
            yield path, value


def _beyond(bound: Bound, value: Any) -> str:
    if bound.equals is not None:
        return "" if _exact(value) == bound.equals else f"{bound.path} is not {bound.equals}"
    if bound.at_most is not None:
        if not _is_number(value):
            return f"{bound.path} is not a number"
        within = 0 <= value <= bound.at_most
        return "" if within else f"{bound.path} is not between 0 and {_plain(bound.at_most)}"
    if not bound.anything:
        return f"{bound.path} has an empty bound"
    if isinstance(value, dict | list | tuple):
        return f"{bound.path} is a list or an object, and not one value"
    return ""


def _is_number(value: Any) -> bool:
    return type(value) in {int, float} and math.isfinite(value)


def _plain(number: float) -> str:
    return f"{number:.0f}" if float(number).is_integer() else repr(number)


def _exact(value: Any) -> str:
    """Return the text by which values are compared, the same as in the digest; "" for none."""
    try:
        return rfc8785.dumps(value).decode()
    except (rfc8785.CanonicalizationError, UnicodeError, TypeError, ValueError, RecursionError):
        return ""


def bounds_for(
    details: Details,
    *,
    at_most: Mapping[str, float] | None = None,
    anything: Collection[str] = (),
) -> tuple[Bound, ...]:
    """Return bounds around these details: each value as it is, unless named otherwise.

    Args:
        details: What was approved.
        at_most: Values that may be anything from 0 to a number, by name (`amount`, `a.b`) or by
            pointer.
        anything: Names of values that may be any one text, number or truth value.

    Raises:
        ValueError: A name is not a value of the details, or its value is none of that kind.
    """
    values = dict(values_of(details))
    most = {_pointer(name, values): number for name, number in (at_most or {}).items()}
    free = {_pointer(name, values) for name in anything}
    if both := sorted(free & most.keys()):
        raise ValueError(f"{both[0]} cannot be both at most a number and anything")
    found = []
    for path, value in values.items():
        if path in most:
            bound = Bound(path=path, at_most=most[path])
        elif path in free:
            bound = Bound(path=path, anything=True)
        else:
            bound = Bound(path=path, equals=_exact(value))
        if problem := flaw_of(bound) or _beyond(bound, value):
            raise ValueError(problem)
        found.append(bound)
    return tuple(found)


def pointer_to(name: str) -> str:
    """Return the JSON Pointer of a value by its name: `a.b` lies within `a`, `/a.b` is as it is."""
    if name.startswith("/"):
        return name
    return "".join("/" + _escaped(part) for part in name.split("."))


def same(name: str, value: Any) -> Bound:
    """Return the bound of a value that must be exactly this one."""
    return Bound(path=pointer_to(name), equals=_exact(value))


def example(bounds: Iterable[Bound]) -> Details:
    """Return details that lie within these bounds, at their widest where that has a number."""
    details: Details = {}
    for bound in bounds:
        *above, last = [
            part.replace("~1", "/").replace("~0", "~") for part in bound.path.split("/")[1:]
        ]
        within = details
        for part in above:
            inner = within.setdefault(part, {})
            within = inner if isinstance(inner, dict) else {}
        within[last] = _read(bound.equals) if bound.equals else bound.at_most or ""
    return details


def _read(text: str) -> Any:
    """Read what `_exact` wrote: a number beyond exact integers was one with a fraction."""
    return json.loads(text, parse_int=lambda digits: _number(int(digits)))


def _number(whole: int) -> float:
    return whole if abs(whole) <= MAX_INTEGER else float(whole)


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _pointer(name: str, values: Mapping[str, Any]) -> str:
    for path in (name, "/" + _escaped(name), pointer_to(name)):
        if path in values:
            return path
    known = ", ".join(values) or "none"
    raise ValueError(f"{name!r} is not a value of the details; there are: {known}")


def flaw_of(bound: Bound) -> str:
    """Return what is wrong with a bound, "" if nothing is."""
    given = (bound.equals is not None, bound.at_most is not None, bound.anything is True)
    if sum(given) != 1:
        return f"{bound.path}: a bound is one of equals, at most, and anything"
    if not bound.path.startswith("/"):
        return f"{bound.path!r} is not a JSON Pointer, such as /amount"
    if bound.equals == "":
        return f"{bound.path}: the value cannot be written as exact JSON"
    if bound.at_most is not None and not (_is_number(bound.at_most) and bound.at_most >= 0):
        return f"{bound.path}: at most must be a number, 0 or more"
    return ""


def flaw(grant: Grant) -> str:
    """Return what is wrong with a grant as it is asked for, "" if nothing is."""
    if not (grant.type.strip() and grant.requested_by.strip()):
        return "a grant names one type of action and who may ask for it"
    if not person(grant.by):
        return "a grant names who makes it"
    if person(grant.by) == person(grant.requested_by):
        return f"{grant.by} would use this grant and cannot make it; somebody else must"
    if not 1 <= grant.uses <= MAX_USES:
        return f"a grant is for 1 to {MAX_USES:,} uses"
    if grant.assurance is Assurance.SIGNED:
        return "a grant is not signed: no signature is made for what is not asked yet"
    if len(grant.bounds) > MAX_BOUNDS:
        return f"a grant has at most {MAX_BOUNDS} bounds"
    paths = [bound.path for bound in grant.bounds]
    if len(set(paths)) < len(paths):
        return "a value has two bounds"
    return next(filter(None, map(flaw_of, grant.bounds)), "")


def unusable(verdict: Verdict) -> str:
    """Return why what the policy demands cannot be met by any grant, "" if one may do."""
    need = verdict.requirement
    rules = ", ".join(verdict.rules) or "the default"
    if need.grant is None:
        return f"the policy allows no standing grants here ({rules})"
    if len(need.stages) > 1 or need.stages[0].quorum > 1:
        return f"the policy asks for several people here ({rules})"
    if Answer.APPROVE not in need.answers:
        return f"the policy lets nobody approve this as it is ({rules})"
    if Answer.APPROVE in need.require_reason:
        return f"the policy asks for a reason each time here ({rules})"
    if need.assurance is Assurance.SIGNED:
        return f"the policy asks for a signature each time here ({rules})"
    return ""


def is_within(grant: Grant, limit: GrantLimit, now: datetime) -> bool:
    """True while the grant can be used once more by its own terms and by those of the rule."""
    left = min(grant.uses, limit.uses) - len(grant.used_for)
    return grant.revoked_at is None and now < _end(grant, limit) and left > 0


def narrowed(grant: Grant, limit: GrantLimit) -> str:
    """Return how much of a grant a rule lets count, "" if all of it."""
    end = _end(grant, limit)
    if grant.uses <= limit.uses and end == grant.expires_at:
        return ""
    uses = min(grant.uses, limit.uses)
    return f"{uses} {'use' if uses == 1 else 'uses'}, until {end:%Y-%m-%d %H:%M} UTC"


def _end(grant: Grant, limit: GrantLimit) -> datetime:
    try:
        return min(grant.expires_at, grant.made_at + timedelta(seconds=limit.within_s))
    except OverflowError:
        return grant.expires_at


def objection(register: Register | None, request: Request, vote: Vote, now: datetime) -> str:
    """Return why the grant of a vote does not give it now, as a sentence; "" if it does.

    Its use was recorded in a commit of its own: between the two, anybody may have taken it back.

    Args:
        register: As it stands in the commit of the vote.
        now: The ledger's time of that commit.
    """
    use = vote.grant
    if use is None:
        return ""
    grant = None if register is None else register.grant(use.grant_id)
    if register is None or grant is None or request.id not in grant.used_for:
        return f"{use.grant_id} was not used for this request; a person must answer"
    now = max(now, register.updated_at or now)
    if grant.revoked_at is not None:
        problem = f"was revoked by {grant.revoked_by}"
    elif now >= _end(grant, use.limit):
        problem = "was over"
    elif grant.used_for.index(request.id) >= min(grant.uses, use.limit.uses):
        problem = "was used up"
    elif person(vote.reviewer) != person(grant.by) or vote.assurance.rank > grant.assurance.rank:
        problem = f"is {grant.by}'s, and only {grant.assurance}"
    else:
        reason = outside(grant, with_details(request.action, request.details))
        return f"{grant.grant_id} does not cover it: {reason}" if reason else ""
    return f"{grant.grant_id} {problem} before its answer was stored; a person must answer"
