"""Owns how much one requester may ask for at a time. Never counts: the ledger does, in the commit.

Requesters are told apart by the name they ask under, `requested_by`.
"""

from __future__ import annotations

from dataclasses import dataclass

from hitl_vault.core.commands import Ask

WINDOW_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a requester has asked for: how much of it waits, and how much within `WINDOW_S`."""

    pending: int = 0
    last_minute: int = 0


def is_limited(ask: Ask) -> bool:
    """True if what the requester has asked for matters."""
    return ask.max_pending > 0 or ask.max_per_minute > 0


def excess(ask: Ask, asked: Asked) -> str:
    """Return why one more request is too many, as a sentence; "" if it is not."""
    name = ask.action.requested_by
    if 0 < ask.max_pending <= asked.pending:
        return (
            f"{name!r} has {asked.pending:,} requests waiting, and at most {ask.max_pending:,} may "
            "wait; wait for answers, or cancel some"
        )
    if 0 < ask.max_per_minute <= asked.last_minute:
        return (
            f"{name!r} asked {asked.last_minute:,} times within a minute, and at most "
            f"{ask.max_per_minute:,} are accepted; ask again in a minute"
        )
    return ""
