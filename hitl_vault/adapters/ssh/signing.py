"""Owns signing as somebody in `.hitl/allowed_signers`, and checking it: policies, checkpoints.

Never takes a name that the key's own line does not hold.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from hitl_vault.adapters.ssh import keygen
from hitl_vault.adapters.ssh.allowed_signers import Signer, load_signers
from hitl_vault.errors import ConfigError, TrustError


class AllowedSigners:
    """The keys in a file in OpenSSH's format, read again at every use."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def sign(self, namespace: str, message: bytes, key: Path) -> tuple[str, bytes]:
        """Sign with `ssh-keygen -Y sign`; return whose key it is, and the signature.

        Raises:
            TrustError: The key is nobody's who may sign in this namespace now.
            InvalidRequest: The key cannot sign.
            ConfigError: ssh-keygen is not installed.
        """
        signature = keygen.sign(namespace, message, key)
        lines = self._lines(signature)
        if not lines:
            raise TrustError(f"{key} is nobody's key in {self.path}; add a line for it")
        name = lines[0].principals[0]
        self.verify(namespace, name, message, signature)
        return name, signature

    def verify(self, namespace: str, principal: str, message: bytes, signature: bytes) -> None:
        """Return if this principal signed exactly these bytes, by a key that is good now.

        Raises:
            TrustError: They did not, as far as can be shown.
            ConfigError: ssh-keygen is not installed.
        """
        lines = [line for line in self._lines(signature) if principal in line.principals]
        if not lines:
            raise TrustError(f"the key that signed is not {principal}'s in {self.path.name}")
        keygen.verify(namespace, lines, message, signature, datetime.now(UTC))

    def _lines(self, signature: bytes) -> list[Signer]:
        """Return the lines of the key that made a signature; nothing is verified."""
        key = keygen.read_signature(signature).key
        try:
            known = load_signers(self.path)
        except ConfigError as error:
            raise TrustError(f"{self.path.name} cannot be read: {error}") from error
        return [signer for signer in known if signer.key == key and not signer.problem]
