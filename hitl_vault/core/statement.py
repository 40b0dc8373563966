"""Owns what a signed answer states, and the exact bytes that are signed. Never holds a key.

A statement is RFC 8785 JSON. It is signed inside a DSSE envelope (Dead Simple Signing Envelope,
protocol version 1): the signature covers the pre-authentication encoding
`"DSSEv1" SP len(type) SP type SP len(body) SP body`, lengths in ASCII decimal.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import rfc8785

from hitl_vault.errors import TrustError

SCHEMA = "hitl-vault/statement/1"
PAYLOAD_TYPE = "application/vnd.hitl-vault.statement+json"
NAMESPACE = "hitl-vault"
"""The namespace of SSH signatures, so that one made for another purpose never counts here."""

MAX_ENVELOPE_BYTES = 65_536

_FORM, _SIGNATURE = {"payloadType", "payload", "signatures"}, {"keyid", "sig"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Who answered what, about exactly which payload, having seen which record.

    `at` is RFC 3339 in UTC with `Z`. `edited_sha256` is the digest of the changed details' payload,
    "" where nothing was changed. `note_sha256` is the digest of the note that was shown, "" where
    none was. `ledger_seq` and `ledger_hash` are the head of the chain when it was signed.
    """

    vault: str
    request: str
    payload_sha256: str
    answer: str
    reviewer: str
    at: str
    reason: str = ""
    edited_sha256: str = ""
    note_sha256: str = ""
    ledger_seq: int = 0
    ledger_hash: str = ""
    schema: str = SCHEMA


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A signed body: its type, its bytes, and one signature with the name of its key."""

    payload_type: str
    payload: bytes
    key_id: str
    signature: bytes

    @property
    def proof_id(self) -> str:
        """What names this proof, whatever its spelling: the digest of what was signed."""
        return hashlib.sha256(pae(self.payload_type, self.payload)).hexdigest()


def statement_bytes(statement: Statement) -> bytes:
    """Return the statement as RFC 8785 JSON."""
    return rfc8785.dumps(asdict(statement))


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def envelope_text(envelope: Envelope) -> str:
    """Return the envelope as compact JSON, in DSSE's form."""
    signature = {"keyid": envelope.key_id, "sig": _base64(envelope.signature)}
    form = {
        "payloadType": envelope.payload_type,
        "payload": _base64(envelope.payload),
        "signatures": [signature],
    }
    return json.dumps(form, separators=(",", ":"))


def parse_envelope(text: str) -> Envelope:
    """Read an envelope with exactly one signature.

    Raises:
        TrustError: It is not one; the message says what is wrong.
    """
    if len(text) > MAX_ENVELOPE_BYTES:
        raise TrustError(f"the proof is longer than {MAX_ENVELOPE_BYTES:,} bytes")
    try:
        form = json.loads(text, object_pairs_hook=_once)
        (signature,) = form["signatures"]
        _only(form, _FORM)
        _only(signature, _SIGNATURE)
        return Envelope(
            payload_type=_text(form["payloadType"]),
            payload=_bytes(form["payload"]),
            key_id=_text(signature.get("keyid", "")),
            signature=_bytes(signature["sig"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise TrustError(f"the proof is not a signed envelope: {error}") from error


def parse_statement(payload: bytes) -> Statement:
    """Read a statement; it must be in the one form that `statement_bytes` gives.

    Raises:
        TrustError: It is not a statement, or not byte for byte in its form.
    """
    try:
        statement = Statement(**json.loads(payload, object_pairs_hook=_once))
        same = statement_bytes(statement) == payload and _is_stamp(statement.at)
    except (
        *(TypeError, ValueError, AttributeError),
        *(RecursionError, rfc8785.CanonicalizationError),
    ) as error:
        raise TrustError(f"what was signed is not a statement of ours: {error}") from error
    if not same or statement.schema != SCHEMA:
        raise TrustError("what was signed is a statement in another form or of another schema")
    return statement


def _is_stamp(at: str) -> bool:
    return at.endswith("Z") and datetime.fromisoformat(at).utcoffset() == timedelta(0)


def key_id_of(proof: str) -> str:
    """Return the name of the key that made a proof on record, "" where there is none."""
    try:
        return parse_envelope(proof).key_id if proof else ""
    except TrustError:
        return ""


def differences(stated: Statement, expected: Statement) -> list[str]:
    """Return the names of the fields that bind an answer and say another thing than expected.

    When it was signed, and which note and head were seen then, are the signer's to say.
    """
    free = {"at", "note_sha256", "ledger_seq", "ledger_hash"}
    mine, wanted = asdict(stated), asdict(expected)
    return [name for name in wanted if name not in free and mine[name] != wanted[name]]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    return value


def _bytes(value: Any) -> bytes:
    """Read standard base64 in the one spelling that these bytes have."""
    data = base64.b64decode(_text(value), validate=True)
    if _base64(data) != value:
        raise ValueError("the base64 is not in its one spelling")
    return data


def _only(form: dict[str, Any], known: set[str]) -> None:
    if form.keys() - known:
        raise ValueError("it holds more than an envelope does")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
