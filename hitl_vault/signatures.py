"""Owns answers signed with a shared secret: HMAC-SHA256 over a statement, or over the older formula
`id:decision:approver:expires_at`. Never reads a key from anywhere.

Public: for programs that answer over HTTP, and for executors that check an approval themselves.

    envelope = sign_statement(statement, secret, key_id="alice-2026")      # what to use
    signature = approval_signature(id, "approved", approver, expires_at, secret)   # older clients

The older formula covers neither what was approved nor where: no payload digest, no vault, no
reason; its colons let one text be two approvals; the same approval always has the same signature.
So it counts here only for a request of this vault that is waiting, whose details nobody changed,
whose deadline is exactly the one signed, without a colon in id or approver, once; and never for
more than `authenticated`. A shared secret proves that somebody who holds it answered, and whoever
verifies holds it too.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from hitl_vault.core.model import Answer
from hitl_vault.core.statement import (
    PAYLOAD_TYPE,
    Envelope,
    Statement,
    envelope_text,
    pae,
    statement_bytes,
)
from hitl_vault.errors import InvalidRequest

__all__ = [
    "DECISIONS",
    "FORMULA_TYPE",
    "HMAC_KEY",
    "SignedApproval",
    "Statement",
    "approval_message",
    "approval_signature",
    "check_execution",
    "expiry_spellings",
    "formula_envelope",
    "mac_of",
    "sign_statement",
    "verify_approval_signature",
]

FORMULA_TYPE = "application/vnd.hitl-vault.approval-signature"
"""The payload type of an envelope that carries a signature by the older formula."""

HMAC_KEY = "hmac:"
"""What the names of shared keys begin with in envelopes."""

DECISIONS = {Answer.APPROVE: "approved", Answer.REJECT: "rejected"}
"""What the older formula calls the answers."""


def mac_of(envelope: Envelope, secret: bytes) -> bytes:
    """Return the 32 bytes that this secret signs the envelope's contents with."""
    signed = envelope.payload
    if envelope.payload_type != FORMULA_TYPE:
        signed = pae(envelope.payload_type, signed)
    return hmac.digest(secret, signed, hashlib.sha256)


def sign_statement(statement: Statement, secret: bytes, *, key_id: str) -> str:
    """Return the statement in a signed envelope, as `vote(..., proof=...)` takes it."""
    body = statement_bytes(statement)
    named = f"{HMAC_KEY}{key_id.removeprefix(HMAC_KEY)}"
    bare = Envelope(payload_type=PAYLOAD_TYPE, payload=body, key_id=named, signature=b"")
    signed = Envelope(
        payload_type=PAYLOAD_TYPE, payload=body, key_id=named, signature=mac_of(bare, secret)
    )
    return envelope_text(signed)


# the older formula


def approval_message(
    approval_id: str, decision: str, approver: str, expires_at: datetime | str
) -> bytes:
    """Return the text the older formula signs; a time is written as `datetime.isoformat()` does.

    Raises:
        InvalidRequest: A field before the time holds a colon, so that the text could be read as
            another approval.
    """
    for name, text in (("id", approval_id), ("decision", decision), ("approver", approver)):
        if ":" in text or not text:
            raise InvalidRequest(f"{name}: {text!r} cannot be signed: it is empty or has a colon")
    at = expires_at if isinstance(expires_at, str) else expires_at.isoformat()
    return f"{approval_id}:{decision}:{approver}:{at}".encode()


def approval_signature(
    approval_id: str,
    decision: str,
    approver: str,
    expires_at: datetime | str,
    secret: str | bytes,
) -> str:
    """Return the older formula's signature, 64 hexadecimal digits. Raises `InvalidRequest`."""
    message = approval_message(approval_id, decision, approver, expires_at)
    return hmac.new(_key(secret), message, hashlib.sha256).hexdigest()


def verify_approval_signature(
    approval_id: str,
    decision: str,
    approver: str,
    expires_at: datetime | str,
    signature: str,
    secrets: str | bytes | Iterable[str | bytes],
) -> bool:
    """Say whether one of the secrets made this signature by the older formula.

    Args:
        secrets: One, or several while they are being rotated.

    Compares in constant time. A time counts in any of the spellings in use for it.
    """
    given = signature.strip().lower().encode()
    known = [secrets] if isinstance(secrets, str | bytes) else list(secrets)
    spelt = [expires_at] if isinstance(expires_at, str) else expiry_spellings(expires_at)
    try:
        made = [
            approval_signature(approval_id, decision, approver, at, secret).encode()
            for secret in known
            for at in spelt
        ]
    except InvalidRequest:
        return False
    return sum(hmac.compare_digest(one, given) for one in made) > 0  # no early end


def expiry_spellings(at: datetime) -> list[str]:
    """Return how clients write the same instant: with `+00:00`, with `Z`, and without a zone."""
    utc = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    naive = utc.replace(tzinfo=None).isoformat()
    return [utc.isoformat(), f"{naive}Z", naive]


def formula_envelope(
    approval_id: str, decision: str, approver: str, expires_at: datetime | str, signature: str
) -> str:
    """Return a signature by the older formula as `vote(..., proof=...)` takes it.

    Raises:
        InvalidRequest: A field cannot be signed, or the signature is not hexadecimal.
    """
    try:
        found = bytes.fromhex(signature.strip())
    except ValueError as error:
        raise InvalidRequest("signature: it must be 64 hexadecimal digits") from error
    message = approval_message(approval_id, decision, approver, expires_at)
    return envelope_text(
        Envelope(payload_type=FORMULA_TYPE, payload=message, key_id=HMAC_KEY, signature=found)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedApproval:
    """An approval as an executor holds it, with its signature by the older formula."""

    id: str
    status: str
    decision: str
    approver: str
    expires_at: datetime
    agent: str
    action: str
    signature: str


def check_execution(
    approval: SignedApproval | None,
    *,
    agent: str,
    action: str,
    secrets: str | bytes | Iterable[str | bytes],
    now: datetime,
) -> str:
    """Return why this must not be executed, as a sentence; "" if all five checks pass.

    They are: the approval exists; it is approved; its signature is right; it has not expired; agent
    and action are those approved. They stop nothing from running twice: claim it as well
    (`hitl.execution(id)`), which also compares what will run with what was approved.
    """
    if approval is None:
        return "there is no such approval"
    if approval.status != "approved" or approval.decision != "approved":
        return f"it is not approved but {approval.status}"
    if not verify_approval_signature(
        approval.id,
        approval.decision,
        approval.approver,
        approval.expires_at,
        approval.signature,
        secrets,
    ):
        return "its signature is not right"
    if now >= datetime.fromisoformat(expiry_spellings(approval.expires_at)[0]):
        return "it has expired"
    if (approval.agent, approval.action) != (agent, action):
        return f"it is for {approval.agent}/{approval.action}, not for {agent}/{action}"
    return ""


def _key(secret: str | bytes) -> bytes:
    return secret.encode() if isinstance(secret, str) else secret
