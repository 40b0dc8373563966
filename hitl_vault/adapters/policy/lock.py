"""Owns the file that lets a policy which loosens come into force, `.hitl/policy.lock`: an envelope
over the policy's digest, signed by a key in `.hitl/allowed_signers`. Never says yes in doubt.
"""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path

from hitl_vault.adapters.ssh.signing import AllowedSigners
from hitl_vault.core.policy_lock import (
    NAMESPACE,
    PAYLOAD_TYPE,
    PolicyStatement,
    lock_bytes,
    parse_lock,
    signed_bytes,
)
from hitl_vault.core.statement import MAX_ENVELOPE_BYTES, Envelope, envelope_text, pae
from hitl_vault.core.statement import parse_envelope as read_envelope
from hitl_vault.errors import ConfigError, TrustError

_log = logging.getLogger(__name__)


class FilePolicyLock:
    """The lock of one vault."""

    def __init__(self, path: Path, vault_id: str, signers: AllowedSigners) -> None:
        self._path, self._vault_id, self._signers = path, vault_id, signers
        self._judged: tuple[object, str, str] | None = None

    def seen(self) -> object:
        """Return the state of both files."""
        return (_state(self._path), _state(self._signers.path))

    def signed_by(self, policy_sha256: str) -> str:
        """Return who signed the policy; what is wrong with a lock is logged."""
        seen = self.seen()
        if self._judged is not None and self._judged[:2] == (seen, policy_sha256):
            return self._judged[2]
        try:
            name = self.verified(policy_sha256)
        except (TrustError, ConfigError) as error:
            _log.error("%s does not count: %s", self._path.name, error)
            name = ""
        self._judged = (seen, policy_sha256, name)
        return name

    def verified(self, policy_sha256: str) -> str:
        """Return who signed the policy, "" if there is no lock or it is another policy's.

        Raises:
            TrustError: There is one, and it proves nothing.
        """
        try:
            if self._path.stat().st_size > MAX_ENVELOPE_BYTES:
                raise TrustError("it is too long")
            envelope = read_envelope(self._path.read_text(encoding="utf-8").strip())
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise TrustError(f"it cannot be read: {error}") from error
        statement = parse_lock(envelope)
        if statement.vault != self._vault_id:
            raise TrustError("it was signed for another vault")
        if statement.policy_sha256 != policy_sha256:
            return ""
        name = envelope.key_id
        message = pae(PAYLOAD_TYPE, envelope.payload)
        self._signers.verify(NAMESPACE, name, message, envelope.signature)
        return name

    def sign(self, policy_sha256: str, key: Path, now: datetime) -> str:
        """Sign a policy with a key; return whose it is.

        Raises:
            TrustError: The key is nobody's who may sign policies; nothing is written.
            InvalidRequest: The key cannot sign.
        """
        statement = PolicyStatement(
            vault=self._vault_id,
            policy_sha256=policy_sha256,
            at=now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        name, signature = self._signers.sign(NAMESPACE, signed_bytes(statement), key)
        envelope = Envelope(
            payload_type=PAYLOAD_TYPE,
            payload=lock_bytes(statement),
            key_id=name,
            signature=signature,
        )
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        with open(
            temporary, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)
        ) as file:
            file.write(envelope_text(envelope) + "\n")
        temporary.replace(self._path)
        return name


def _state(path: Path) -> tuple[int, ...]:
    """Return what changes whenever a file does; empty where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
