"""Owns the bundle of evidence about one request: what it holds and how it is written. Never reads
a file, and never judges: `cli/evidence_check.py`, which travels with each bundle, does.

The chain covers digests of events, so a bundle shows the request's own events whole and gives of
all others, from the first event of the vault to the head, the digest of their stored text only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from hitl_vault.core.chain import Head
from hitl_vault.core.hiding import Hider
from hitl_vault.core.redaction import Redaction
from hitl_vault.core.statement import parse_envelope
from hitl_vault.core.voting import person
from hitl_vault.errors import TrustError

FORMAT = "hitl-vault:evidence:1"
_MAGIC = b"SSHSIG"
_ARMOUR = b"-----BEGIN SSH SIGNATURE-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A request as the ledger holds it: its state and events, byte for byte, with seq and hash."""

    id: str
    state: bytes
    events: tuple[tuple[int, bytes, str], ...]


def bundle(
    stored: Stored,
    *,
    vault: str,
    head: Head,
    digests: Sequence[str],
    allowed_signers: str = "",
    redaction: Redaction | None = None,
) -> dict[str, Any]:
    """Return the evidence about a request as JSON values.

    Args:
        stored: The request.
        vault: The vault's id.
        head: The end of the chain the proof leads to.
        digests: The SHA-256 of the stored text of every event from 1 to the head, in hexadecimal.
        allowed_signers: The text of the vault's file of keys; only those that signed are taken.
        redaction: What to hide.
    """
    state = json.loads(stored.state)
    hider = Hider(redaction=redaction or Redaction(), state=state)
    rules = hider.rules_that_hit()
    own = {seq for seq, _, _ in stored.events}
    events = [
        _event(seq, body, hash_, hidden=bool(rules) and hider.hides_event(body))
        for seq, body, hash_ in stored.events
    ]
    shown = [event["body"] for event in events if "body" in event]
    return {
        "format": FORMAT,
        "vault": vault,
        "request": stored.id,
        "redacted": rules,
        "head": {"seq": head.seq, "hash": head.hash},
        "state": (
            json.dumps(hider.shown_state(), ensure_ascii=False, separators=(",", ":"))
            if rules
            else stored.state.decode()
        ),
        "events": events,
        "statements": statements(shown),
        "keys": _keys(shown, allowed_signers),
        "others": [digest for seq, digest in enumerate(digests, start=1) if seq not in own],
    }


def bundle_text(evidence: dict[str, Any]) -> bytes:
    """Return the one spelling of a bundle, so that no byte of it can change unseen."""
    return (json.dumps(evidence, ensure_ascii=True, indent=1) + "\n").encode()


def _event(seq: int, body: bytes, hash_: str, *, hidden: bool) -> dict[str, Any]:
    if hidden:
        return {"seq": seq, "hash": hash_, "body_sha256": hashlib.sha256(body).hexdigest()}
    return {"seq": seq, "hash": hash_, "body": body.decode()}


def statements(bodies: Iterable[str]) -> list[dict[str, Any]]:
    """Return what was signed, as values people can read; the proof stands in the event."""
    found = []
    for body in bodies:
        event = json.loads(body)
        proof = event["data"].get("proof") if event["kind"] == "voted" else ""
        try:
            payload = json.loads(parse_envelope(proof).payload) if proof else None
        except (TrustError, ValueError):
            continue
        if payload is not None:
            found.append({"seq": event["seq"], "statement": payload})
    return found


def _keys(bodies: Iterable[str], allowed_signers: str) -> list[dict[str, str]]:
    """Return the keys that made the signatures, for the reviewers they were counted for."""
    found: dict[tuple[str, str], None] = {}
    for body in bodies:
        event = json.loads(body)
        proof = event["data"].get("proof") if event["kind"] == "voted" else ""
        try:
            key = ssh_key(parse_envelope(proof).signature) if proof else ""
        except TrustError:
            continue
        if key and _is_listed(key, event["actor"], allowed_signers):
            found[event["actor"], key] = None
    return [{"reviewer": reviewer, "key": key} for reviewer, key in found]


def ssh_key(signature: bytes) -> str:
    """Return the public key an SSH signature names, as `type base64`; "" if it is not one."""
    try:
        if signature.startswith(_ARMOUR):
            lines = signature.decode().strip().splitlines()
            signature = base64.b64decode("".join(lines[1:-1]), validate=True)
        if not signature.startswith(_MAGIC):
            return ""
        blob = _field(signature, len(_MAGIC) + 4)
        return f"{_field(blob, 0).decode('ascii')} {base64.b64encode(blob).decode()}"
    except (ValueError, binascii.Error, struct.error, UnicodeDecodeError):
        return ""


def _field(data: bytes, at: int) -> bytes:
    (length,) = struct.unpack_from(">I", data, at)
    return data[at + 4 : at + 4 + length]


def _is_listed(key: str, reviewer: str, allowed_signers: str) -> bool:
    wanted = key.split()[1]
    for line in allowed_signers.splitlines():
        words = line.split()
        if line.lstrip().startswith("#") or wanted not in words:
            continue
        named = line.strip()[1:].partition('"')[0] if line.strip().startswith('"') else words[0]
        if any(fnmatchcase(person(reviewer), person(name)) for name in named.split(",")):
            return True
    return False
