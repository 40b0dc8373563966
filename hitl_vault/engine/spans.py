"""Owns what a span says of a command. Never names a person: spans leave the house."""

from __future__ import annotations

from hitl_vault.core import commands as c


def said(command: c.Vote | c.Claim) -> dict[str, str]:
    """Return the attributes of a command's span."""
    found = {"hitl.request.id": command.id, "hitl.payload_sha256": command.payload_sha256}
    if isinstance(command, c.Vote):
        found |= {"hitl.answer": command.answer.value, "hitl.channel": command.channel}
    return found
