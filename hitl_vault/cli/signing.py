"""Owns signing an answer for a command, with whatever key was named. Never keeps a key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from hitl_vault.errors import ConfigError

SECRET_VARIABLE = "HITL_HMAC_SECRET"  # noqa: S105  its name

SignOption = Annotated[
    str | None,
    typer.Option(
        "--sign",
        metavar="KEY",
        help="Sign with an SSH key: its file, or its public part if an agent or token holds it; "
        f"or hmac:ID, the secret in {SECRET_VARIABLE}.",
        show_default=False,
    ),
]
CodeOption = Annotated[
    str | None,
    typer.Option(
        "--code",
        metavar="CODE",
        help="The one-time code you were sent; - asks for it.",
        show_default=False,
    ),
]
TotpOption = Annotated[
    str | None,
    typer.Option(
        "--totp",
        metavar="CODE",
        help="The present code of your second factor; - asks for it.",
        show_default=False,
    ),
]


def signed_with(statement: Any, key: str) -> str:
    """Return a statement in a signed envelope.

    Args:
        key: A key's file, or `hmac:ID`.

    Raises:
        InvalidRequest, ConfigError: It cannot be signed with this key; the message says why.
    """
    from hitl_vault.core.statement import statement_bytes
    from hitl_vault.signatures import HMAC_KEY, sign_statement

    if key.startswith(HMAC_KEY):
        secret = os.environ.get(SECRET_VARIABLE, "")
        if not secret:
            raise ConfigError(f"{key}: put its secret into the environment as {SECRET_VARIABLE}")
        return sign_statement(statement, secret_bytes(secret), key_id=key)
    from hitl_vault.adapters.proof.ssh import sign_with_ssh

    return sign_with_ssh(statement_bytes(statement), Path(key).expanduser())


def asked_for(given: str | None, what: str) -> str | None:
    """Return what was given; for `-`, what is typed unseen at the terminal or comes from stdin."""
    import getpass
    import sys

    if given != "-":
        return given
    return getpass.getpass(f"{what}: ") if sys.stdin.isatty() else sys.stdin.readline().strip()


def secret_bytes(text: str) -> bytes:
    """Return a shared secret as `hitl key add` shows it: base64, marked as such; else the text."""
    import base64

    marked = "base64:"
    return base64.b64decode(text.removeprefix(marked)) if text.startswith(marked) else text.encode()
