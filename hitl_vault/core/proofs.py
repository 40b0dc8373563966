"""Owns whether what came with a vote still proves it when the vote is committed. Never does I/O.

It was judged when it was handed in. Until the commit a key may end, a code may expire, another
answer may use it up, and a grant may be taken back.
"""

from __future__ import annotations

from datetime import datetime

from hitl_vault.core import codes, grants
from hitl_vault.core.commands import Vote
from hitl_vault.core.model import Request
from hitl_vault.core.register import Register


def missing(vote: Vote) -> str:
    """Return what a vote lacks that its channel promises, "" if nothing."""
    if vote.channel == codes.CHANNEL and not vote.code_id:
        return "an answer by code needs its code"
    if vote.channel == grants.CHANNEL and vote.grant is None:
        return "an answer under a standing grant needs the grant"
    return ""


def objection(request: Request, vote: Vote, now: datetime, register: Register | None) -> str:
    """Return why a vote is not proved, as a sentence that says what to do; "" if it is.

    Args:
        now: The ledger's time of commit.
        register: As it stands in that commit; looked at for a vote under a grant only.
    """
    return (
        _spent_or_over(request, vote, now)
        or codes.objection(request, vote, now)
        or grants.objection(register, request, vote, now)
    )


def _spent_or_over(request: Request, vote: Vote, now: datetime) -> str:
    if vote.proof_id and vote.proof_id in request.spent_proofs:
        return "this proof was used for an answer before; sign again"
    if vote.valid_until is not None and now >= vote.valid_until:
        return (
            f"what proves this answer counted until {_stamp(vote.valid_until)}, and the answer "
            "came to be stored after that; answer again with what is in force"
        )
    if vote.valid_from is not None and now < vote.valid_from:
        return (
            f"what proves this answer counts only from {_stamp(vote.valid_from)} on; answer again "
            "with what is in force"
        )
    return ""


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
