"""Owns running ssh-keygen: signing with `-Y sign`, checking with `-Y verify`.

Never sees a private key: ssh-keygen reads it, or ssh-agent or a hardware token holds it. No shell;
nothing is written that other users can read; no name and no pattern is left to it to match.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hitl_vault.adapters.ssh.allowed_signers import Signer, fingerprint
from hitl_vault.errors import ConfigError, InvalidRequest, TrustError

_HEAD = b"SSHSIG\x00\x00\x00\x01"  # the format's name and version
_VERIFY_S = 20.0
_SIGN_S = 120.0  # a person types a passphrase or touches a token
_PRINCIPAL = "signer"
_ARMOUR = re.compile(
    r"-----BEGIN SSH SIGNATURE-----\s(?P<body>[A-Za-z0-9+/=\s]+)-----END SSH SIGNATURE-----\s*"
)
_WIDTH = 70


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
        raise TrustError("it is not an SSH signature") from error


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


def sign(namespace: str, message: bytes, key: Path) -> bytes:
    """Return a signature of these bytes. May ask the person at the terminal.

    Args:
        namespace: What the signature is good for.
        message: The bytes.
        key: A private key's file, or a public key's whose private part is in ssh-agent or a token.

    Raises:
        InvalidRequest: There is no such file, or it cannot sign.
        ConfigError: ssh-keygen is not installed.
    """
    if not key.is_file():
        raise InvalidRequest(f"sign: there is no key file {key}")
    argv = [_program(), "-Y", "sign", "-f", str(key.absolute()), "-n", namespace]
    shown = sys.stderr.isatty()  # a token asks to be touched there
    try:
        done = subprocess.run(  # noqa: S603  no shell; the key's path is one argument
            argv,
            input=message,
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
    return unarmoured(done.stdout.decode("ascii", "replace"))


def verify(
    namespace: str, signers: Sequence[Signer], message: bytes, signature: bytes, at: datetime
) -> None:
    """Return if one of these lines, in force at a time, signed exactly these bytes.

    Raises:
        TrustError: None did, as far as can be shown; the message says why.
        ConfigError: ssh-keygen is not installed, or cannot be run.
    """
    found = read_signature(signature)
    if found.namespace != namespace:
        raise TrustError(
            f"it was signed for another purpose: its namespace is {found.namespace[:64]!r}, "
            f"not {namespace!r}"
        )
    lines = [line for line in signers if line.key == found.key and not line.problem]
    if not lines:
        raise TrustError(f"the key {fingerprint(found.key)} is nobody's here")
    complaint = _complaint(namespace, lines, message, signature, at)
    if complaint is not None:
        raise TrustError(_sentence(complaint, fingerprint(found.key), namespace))


def _program() -> str:
    found = shutil.which("ssh-keygen")
    if found is None:
        raise ConfigError(
            "ssh-keygen is not installed; it comes with OpenSSH (8.7 or newer), the package "
            "openssh-client on Debian and Ubuntu"
        )
    return found


def _complaint(
    namespace: str, lines: list[Signer], message: bytes, signature: bytes, at: datetime
) -> str | None:
    """Return what ssh-keygen has against a signature, None if it is right.

    It gets only the lines of this signer and key, under a name of our own: neither a pattern nor
    the spelling of a name is left to it, and no name can be read as an option.
    """
    program = _program()
    kept = {name: os.environ[name] for name in ("PATH", "TZ") if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="hitl-proof-") as folder:  # mode 700
        allowed, made = Path(folder, "signers"), Path(folder, "signature")
        restated = "".join(f"{line.restated(_PRINCIPAL)}\n" for line in lines)
        allowed.write_text(restated, encoding="utf-8")
        made.write_text(_armoured(signature), encoding="ascii")
        # in local time: OpenSSH before 9.1 reads no other
        when = f"verify-time={at.astimezone():%Y%m%d%H%M%S}"
        argv = [program, "-Y", "verify", "-f", str(allowed), "-I", _PRINCIPAL, "-n", namespace]
        try:
            done = subprocess.run(  # noqa: S603  no shell; all arguments are our own
                [*argv, "-s", str(made), "-O", when],
                input=message,
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


def _sentence(complaint: str, name: str, namespace: str) -> str:
    said = complaint.casefold()
    if "expired" in said:
        return f"the key {name} has expired"
    if "not yet valid" in said:
        return f"the key {name} is not valid yet"
    if "namespace" in said and "permitted" in said:
        return f"the key {name} is not allowed to sign for {namespace!r} (its option namespaces)"
    if "gave no answer" in said:
        return complaint
    return "the signature is not right: the text or the signature was changed"
