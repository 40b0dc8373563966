"""Owns real SSH keys for tests, made by ssh-keygen. Never touches the user's own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

KINDS = {
    "ed25519": ["-t", "ed25519"],
    "rsa": ["-t", "rsa", "-b", "3072"],
    "ecdsa": ["-t", "ecdsa", "-b", "256"],
}
"""What every OpenSSH makes. Keys on hardware tokens (`sk-…`) need the hardware."""

needs_ssh = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed"
)


def run(*argv, input=None):
    done = subprocess.run(
        ["ssh-keygen", *map(str, argv)], input=input, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_key(folder: Path, name="key", kind="ed25519", phrase="") -> Path:
    """Make a key pair; return the private key's file."""
    run("-q", *KINDS[kind], "-N", phrase, "-C", f"{name}@test", "-f", folder / name)
    return folder / name


def public(key: Path) -> str:
    """Return the type and base64 of a key's public part."""
    return " ".join(Path(f"{key}.pub").read_text().split()[:2])
