"""Owns what is signed to let a policy that loosens come into force. Never holds a key.

It is RFC 8785 JSON of {schema, vault, policy_sha256, at} in a DSSE envelope, signed with the
namespace `hitl-vault-policy`, so that no answer's signature can stand for a policy's.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import rfc8785

from hitl_vault.core.statement import Envelope, pae
from hitl_vault.errors import TrustError

SCHEMA = "hitl-vault/policy/1"
PAYLOAD_TYPE = "application/vnd.hitl-vault.policy+json"
NAMESPACE = "hitl-vault-policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStatement:
    """This policy, given by the digest of its exact bytes, may be in force in this vault.

    `at` is RFC 3339 in UTC with `Z`: when it was signed, as the signer's clock had it.
    """

    vault: str
    policy_sha256: str
    at: str
    schema: str = SCHEMA


def lock_bytes(statement: PolicyStatement) -> bytes:
    """Return the statement as RFC 8785 JSON."""
    return rfc8785.dumps(asdict(statement))


def signed_bytes(statement: PolicyStatement) -> bytes:
    """Return the bytes that the signature covers."""
    return pae(PAYLOAD_TYPE, lock_bytes(statement))


def parse_lock(envelope: Envelope) -> PolicyStatement:
    """Read what an envelope holds, in exactly the form that `lock_bytes` gives.

    Raises:
        TrustError: It is about something else, or written otherwise.
    """
    try:
        if envelope.payload_type != PAYLOAD_TYPE:
            raise TrustError("what was signed is not a policy")
        statement = PolicyStatement(**json.loads(envelope.payload))
        same = lock_bytes(statement) == envelope.payload
    except (TypeError, ValueError, RecursionError, rfc8785.CanonicalizationError) as error:
        raise TrustError(f"what was signed cannot be read: {error}") from error
    if not same or statement.schema != SCHEMA:
        raise TrustError("what was signed is in another form or of another schema")
    return statement
