"""Owns proofs by SSH key: signing a statement, judging one. Never sees a private key.

What counts is read from the list of allowed signers; ssh-keygen does the rest.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hitl_vault.adapters.ssh import keygen
from hitl_vault.adapters.ssh.allowed_signers import Signer, fingerprint, load_signers
from hitl_vault.core.statement import NAMESPACE, PAYLOAD_TYPE, Envelope, envelope_text, pae
from hitl_vault.core.voting import person
from hitl_vault.errors import TrustError
from hitl_vault.ports_trust import KeyInForce

SSH_KEY = "ssh:"
"""What the names of SSH keys begin with in envelopes."""


class SshProver:
    """Judges signatures by the keys in an allowed_signers file, read again at every use."""

    kind = "ssh"

    def __init__(self, allowed_signers: Path) -> None:
        self._path = allowed_signers

    async def key_of(self, envelope: Envelope, reviewer: str, at: datetime) -> KeyInForce:
        """Return `ssh:` and the fingerprint of the key, and the times of the line it stands in."""
        return await asyncio.to_thread(self._key_of, envelope, reviewer, at)

    def _key_of(self, envelope: Envelope, reviewer: str, at: datetime) -> KeyInForce:
        signature = keygen.read_signature(envelope.signature)
        name = fingerprint(signature.key)
        if envelope.key_id != f"{SSH_KEY}{name}":
            raise TrustError("the envelope names another key than the one that signed")
        # the line that counts longest first, and each by itself: its own times go with the proof
        lines = sorted(self._lines(signature.key, reviewer, name), key=_end, reverse=True)
        message = pae(envelope.payload_type, envelope.payload)
        problem = None
        for line in lines:
            try:
                keygen.verify(NAMESPACE, [line], message, envelope.signature, at)
            except TrustError as error:
                problem = problem or error
            else:
                return KeyInForce(
                    key_id=f"{SSH_KEY}{name}",
                    valid_from=line.limits.valid_after,
                    valid_until=_end(line) if line.limits.valid_before else None,
                )
        raise problem or TrustError(f"the key {name} is nobody's here")

    def _lines(self, key: bytes, reviewer: str, name: str) -> list[Signer]:
        listed = load_signers(self._path)
        for broken in (signer for signer in listed if signer.is_broken):
            # what stands there cannot be put on record, so nothing of the file counts
            raise TrustError(
                f"line {broken.line} of {self._path.name} cannot be read ({broken.problem}); no "
                "signature counts until it is mended"
            )
        known = [signer for signer in listed if signer.key == key]
        counting = [signer for signer in known if not signer.problem]
        if len({person(each) for signer in counting for each in signer.principals}) > 1:
            raise TrustError(
                f"the key {name} stands for more than one person in {self._path.name}; a key is "
                "one person's"
            )
        mine = [signer for signer in known if signer.is_of(reviewer)]
        good = [signer for signer in mine if not signer.problem]
        if good:
            return good
        if mine:
            raise TrustError(f"line {mine[0].line} of {self._path.name}: {mine[0].problem}")
        if not known:
            raise TrustError(f"the key {name} is not in {self._path.name}")
        if known[0].problem:
            raise TrustError(f"line {known[0].line} of {self._path.name}: {known[0].problem}")
        raise TrustError(f"the key {name} is not {reviewer}'s")


_NEVER = datetime.max.replace(tzinfo=UTC)


def _end(line: Signer) -> datetime:
    """Return the first moment at which a line counts no more; `valid-before` itself still does."""
    last = line.limits.valid_before
    return _NEVER if last is None or last >= _NEVER else last + timedelta(microseconds=1)


def sealed(body: bytes, blob: bytes) -> str:
    """Return a statement's bytes and their SSH signature as an envelope's text."""
    name = fingerprint(keygen.read_signature(blob).key)
    return envelope_text(
        Envelope(payload_type=PAYLOAD_TYPE, payload=body, key_id=f"{SSH_KEY}{name}", signature=blob)
    )


def sign_with_ssh(body: bytes, key: Path) -> str:
    """Sign a statement's bytes; return the envelope's text. May ask the person at the terminal.

    Args:
        key: A private key's file, or a public key's whose private part is in ssh-agent or a token.

    Raises:
        InvalidRequest: There is no such file, or it cannot sign.
        ConfigError: ssh-keygen is not installed.
    """
    return sealed(body, keygen.sign(NAMESPACE, pae(PAYLOAD_TYPE, body), key))
