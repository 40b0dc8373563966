"""Owns signing and checking with ssh-keygen, for policies and checkpoints. Never reads a private
key itself, and leaves no name and no pattern to ssh-keygen to match.
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
from dataclasses import dataclass
from pathlib import Path

from hitl_vault.errors import ConfigError, InvalidRequest, TrustError

_MAGIC = b"SSHSIG\x00\x00\x00\x01"
_ARMOUR = re.compile(
    r"-----BEGIN SSH SIGNATURE-----\s([A-Za-z0-9+/=\s]+)-----END SSH SIGNATURE-----\s*"
)
_LINE = re.compile(
    r'(?:"(?P<quoted>[^"]*)"|(?P<plain>[^\s"]+))\s+'
    r'(?:(?P<options>(?:[a-z-]+(?:="[^"]*")?,?)+)\s+)??'
    r"(?P<type>(?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+)\s+(?P<key>[A-Za-z0-9+/=]+)(?:\s.*)?"
)
_SOMEBODY = "signer"
_VERIFY_S = 20.0
_SIGN_S = 120.0  # a person types a passphrase or touches a token


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    principals: tuple[str, ...]
    options: str
    type: str
    key: str


class AllowedSigners:
    """The keys in a file in OpenSSH's format, read again at every use.

    A pattern among the principals is nobody; a certificate authority is not taken.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def seen(self) -> tuple[int, ...]:
        """Return what changes whenever the file does."""
        return file_state(self.path)

    def principals_of(self, signature: bytes) -> tuple[str, ...]:
        """Return whose key made a signature, as far as the file says; nothing is verified."""
        return tuple(name for line in self._lines(_key(signature)) for name in line.principals)

    def verify(self, namespace: str, principal: str, message: bytes, signature: bytes) -> None:
        """Return if this principal signed exactly these bytes, by a key that is good now.

        Raises:
            TrustError: They did not, as far as can be shown.
        """
        key = _key(signature)
        lines = [line for line in self._lines(key) if principal in line.principals]
        if not lines:
            raise TrustError(f"the key that signed is not {principal}'s in {self.path.name}")
        with tempfile.TemporaryDirectory(prefix="hitl-sign-") as folder:
            allowed, sig = Path(folder, "allowed"), Path(folder, "sig")
            restated = (f"{_SOMEBODY} {x.options} {x.type} {x.key}\n" for x in lines)
            allowed.write_text("".join(restated), encoding="utf-8")
            sig.write_text(armoured(signature), encoding="ascii")
            asked = ["-Y", "verify", "-f", str(allowed), "-I", _SOMEBODY, "-n", namespace]
            code = _run([*asked, "-s", str(sig)], message, _VERIFY_S).returncode
        if code != 0:
            raise TrustError(f"the signature of {principal} is not good for {namespace} now")

    def _lines(self, key: str) -> list[_Line]:
        try:
            text = self.path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise TrustError(f"{self.path.name} cannot be read: {error}") from error
        found = []
        for line in text.splitlines():
            match = _LINE.fullmatch(line.strip())
            if match is None or match["key"] != key or line.strip().startswith("#"):
                continue
            names = (match["quoted"] or match["plain"]).split(",")
            options = match["options"] or ""
            if "cert-authority" in options or any(set("*?!") & set(name) for name in names):
                continue
            found.append(
                _Line(
                    principals=tuple(names), options=options, type=match["type"], key=match["key"]
                )
            )
        return found


def sign(namespace: str, message: bytes, key: Path) -> bytes:
    """Sign with `ssh-keygen -Y sign`; may ask the person at the terminal.

    Args:
        namespace: What the signature is good for.
        message: The bytes.
        key: A private key's file, or a public key's whose other half is in ssh-agent or a token.

    Raises:
        InvalidRequest: There is no such file, or it cannot sign.
        ConfigError: ssh-keygen is not installed.
    """
    if not key.is_file():
        raise InvalidRequest(f"sign: there is no key file {key}")
    asked = ["-Y", "sign", "-f", str(key.absolute()), "-n", namespace]
    done = _run(asked, message, _SIGN_S, shown=sys.stderr.isatty())
    if done.returncode != 0:
        said = (done.stderr or b"").decode(errors="replace").strip().splitlines()
        raise InvalidRequest(f"sign: ssh-keygen did not sign: {(said or ['see above'])[-1]}")
    return unarmoured(done.stdout.decode("ascii", "replace"))


def unarmoured(text: str) -> bytes:
    """Return the bytes of a signature as ssh-keygen writes it. Raises TrustError."""
    found = _ARMOUR.fullmatch(text.strip())
    try:
        return base64.b64decode("".join(found[1].split()) if found else "!", validate=True)
    except (binascii.Error, ValueError) as error:
        raise TrustError("it is not an SSH signature, as ssh-keygen -Y sign writes it") from error


def armoured(signature: bytes) -> str:
    """Return a signature as ssh-keygen reads it."""
    body = base64.b64encode(signature).decode()
    lines = [body[at : at + 70] for at in range(0, len(body), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


def file_state(path: Path) -> tuple[int, ...]:
    """Return what changes whenever a file does; empty where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _key(signature: bytes) -> str:
    if not signature.startswith(_MAGIC):
        raise TrustError("it is not an SSH signature")
    try:
        (length,) = struct.unpack_from(">I", signature, len(_MAGIC))
        start = len(_MAGIC) + 4
        return base64.b64encode(signature[start : start + length]).decode()
    except (ValueError, struct.error) as error:
        raise TrustError("it is not an SSH signature") from error


def _run(
    arguments: list[str], message: bytes, seconds: float, *, shown: bool = False
) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise ConfigError("ssh-keygen is not installed; it comes with OpenSSH (8.2 or newer)")
    try:
        return subprocess.run(  # noqa: S603  no shell; fixed words, paths and names of ours
            [program, *arguments],
            input=message,
            stdout=subprocess.PIPE,
            stderr=None if shown else subprocess.PIPE,
            timeout=seconds,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TrustError(f"ssh-keygen gave no answer: {type(error).__name__}") from error
