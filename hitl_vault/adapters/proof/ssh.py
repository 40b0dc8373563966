"""Owns SSH signatures: making one with `ssh-keygen -Y sign`, judging one with `-Y verify`.

Never sees a private key: ssh-keygen reads it, or ssh-agent or a hardware token holds it. No shell;
nothing is written that other users can read.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hitl_vault.adapters.proof.allowed_signers import Signer, fingerprint, load_signers
from hitl_vault.core.statement import NAMESPACE, PAYLOAD_TYPE, Envelope, envelope_text, pae
from hitl_vault.errors import ConfigError, InvalidRequest, TrustError

SSH_KEY = "ssh:"
"""What the names of SSH keys begin with in envelopes."""

_HEAD = b"SSHSIG\x00\x00\x00\x01"  # the format's name and version
_VERIFY_S = 20.0
_SIGN_S = 120.0  # a person types a passphrase or touches a token
_PRINCIPAL = "reviewer"
_ARMOUR = re.compile(
    r"-----BEGIN SSH SIGNATURE-----\s(?P<body>[A-Za-z0-9+/=\s]+)-----END SSH SIGNATURE-----\s*"
)
_WIDTH = 70


class SshProver:
    """Judges signatures by the keys in an allowed_signers file, read again at every use."""

    kind = "ssh"

    def __init__(self, allowed_signers: Path) -> None:
        self._path = allowed_signers

    async def key_of(self, envelope: Envelope, reviewer: str, at: datetime) -> str:
        """Return `ssh:` and the fingerprint of the key."""
        return await asyncio.to_thread(self._key_of, envelope, reviewer, at)

    def _key_of(self, envelope: Envelope, reviewer: str, at: datetime) -> str:
        signature = read_signature(envelope.signature)
        if signature.namespace != NAMESPACE:
            raise TrustError(
                f"it was signed for another purpose: its namespace is "
                f"{signature.namespace[:64]!r}, not {NAMESPACE!r}"
            )
        name = fingerprint(signature.key)
        if envelope.key_id != f"{SSH_KEY}{name}":
            raise TrustError("the envelope names another key than the one that signed")
        lines = self._lines(signature.key, reviewer, name)
        complaint = _verify(lines, envelope, at)
        if complaint is None:
            return f"{SSH_KEY}{name}"
        raise TrustError(_sentence(complaint, name))

    def _lines(self, key: bytes, reviewer: str, name: str) -> list[Signer]:
        known = [signer for signer in load_signers(self._path) if signer.key == key]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSignature:
    """What an SSH signature says of itself, checked by nobody yet."""

    key: bytes
    namespace: str


def read_signature(blob: bytes) -> SshSignature:
    """Read a signature in OpenSSH's format (PROTOCOL.sshsig). Raises TrustError."""
    try:
        key, namespace, *_ = _fields(blob)
        return SshSignature(key=key, namespace=namespace.decode())
    except (ValueError, struct.error) as error:
        raise TrustError("it holds no SSH signature") from error


def _fields(blob: bytes) -> list[bytes]:
    """Return key, namespace, reserved, hash algorithm and signature."""
    if not blob.startswith(_HEAD):
        raise ValueError("another format")
    fields, at = [], len(_HEAD)
    for _ in range(5):
        (length,) = struct.unpack_from(">I", blob, at)
        fields.append(blob[at + 4 : at + 4 + length])
        at += 4 + length
    if at != len(blob):
        raise ValueError("something follows, or is missing")
    return fields


def unarmoured(text: str) -> bytes:
    """Return the bytes of a signature as ssh-keygen writes it. Raises TrustError."""
    found = _ARMOUR.fullmatch(text.strip())
    try:
        return base64.b64decode("".join(found["body"].split()) if found else "!", validate=True)
    except (binascii.Error, ValueError) as error:
        raise TrustError("it is not an SSH signature, as ssh-keygen -Y sign writes it") from error


def _armoured(blob: bytes) -> str:
    body = base64.b64encode(blob).decode()
    lines = [body[at : at + _WIDTH] for at in range(0, len(body), _WIDTH)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


def sealed(body: bytes, blob: bytes) -> str:
    """Return a statement's bytes and their SSH signature as an envelope's text."""
    name = fingerprint(read_signature(blob).key)
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
    if not key.is_file():
        raise InvalidRequest(f"sign: there is no key file {key}")
    argv = [_program(), "-Y", "sign", "-f", str(key.absolute()), "-n", NAMESPACE]
    shown = sys.stderr.isatty()  # a token asks to be touched there
    try:
        done = subprocess.run(  # noqa: S603  no shell; the key's path is one argument
            argv,
            input=pae(PAYLOAD_TYPE, body),
            stdout=subprocess.PIPE,
            stderr=None if shown else subprocess.PIPE,
            timeout=_SIGN_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InvalidRequest(f"sign: nothing was signed in {_SIGN_S:.0f} s") from error
    except OSError as error:
        raise ConfigError(f"ssh-keygen cannot be run: {error.strerror}") from error
    if done.returncode != 0:
        said = (done.stderr or b"").decode(errors="replace").strip().splitlines()
        raise InvalidRequest(
            f"sign: ssh-keygen did not sign with {key}: {(said or ['see above'])[-1]}"
        )
    return sealed(body, unarmoured(done.stdout.decode("ascii", "replace")))


def _program() -> str:
    found = shutil.which("ssh-keygen")
    if found is None:
        raise ConfigError(
            "ssh-keygen is not installed; it comes with OpenSSH (8.7 or newer), the package "
            "openssh-client on Debian and Ubuntu"
        )
    return found


def _verify(lines: list[Signer], envelope: Envelope, at: datetime) -> str | None:
    """Return what ssh-keygen has against a signature, None if it is right.

    It gets only the lines of this reviewer and key, under a name of our own: neither a pattern nor
    the spelling of a name is left to it, and no name can be read as an option.
    """
    program = _program()
    kept = {name: os.environ[name] for name in ("PATH", "TZ") if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="hitl-proof-") as folder:  # mode 700
        signers, signature = Path(folder, "signers"), Path(folder, "signature")
        signers.write_text("".join(f"{line.restated(_PRINCIPAL)}\n" for line in lines))
        signature.write_text(_armoured(envelope.signature))
        # in local time: OpenSSH before 9.1 reads no other
        when = f"verify-time={at.astimezone():%Y%m%d%H%M%S}"
        argv = [program, "-Y", "verify", "-f", str(signers), "-I", _PRINCIPAL, "-n", NAMESPACE]
        try:
            done = subprocess.run(  # noqa: S603  no shell; all arguments are our own
                [*argv, "-s", str(signature), "-O", when],
                input=pae(envelope.payload_type, envelope.payload),
                capture_output=True,
                timeout=_VERIFY_S,
                env={**kept, "LC_ALL": "C"},
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"ssh-keygen gave no answer in {_VERIFY_S:.0f} s"
        except OSError as error:
            raise ConfigError(f"ssh-keygen cannot be run: {error.strerror}") from error
    if done.returncode == 0 and done.stdout.startswith(b"Good "):
        return None
    return (done.stderr + done.stdout).decode(errors="replace")


def _sentence(complaint: str, name: str) -> str:
    said = complaint.casefold()
    if "expired" in said:
        return f"the key {name} has expired"
    if "not yet valid" in said:
        return f"the key {name} is not valid yet"
    if "namespace" in said and "permitted" in said:
        return f"the key {name} is not allowed to sign for {NAMESPACE!r} (its option namespaces)"
    if "gave no answer" in said:
        return complaint
    return "the signature is not right: the text or the signature was changed"
