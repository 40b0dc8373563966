"""Owns what proves an answer on the command line: a key to sign with, a code. Never keeps one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hitl_vault.errors import ConfigError, InvalidRequest

if TYPE_CHECKING:
    from hitl_vault.core.model import Answer, Request
    from hitl_vault.wiring import Orchestrator

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


class Proof:
    """What a command was given to prove who answers: a key to sign with, or a code."""

    def __init__(self, sign: str | None, code: str | None, totp: str | None) -> None:
        if sum(given is not None for given in (sign, code, totp)) > 1:
            raise InvalidRequest("give one of --sign, --code and --totp, not several")
        code, totp = asked_for(code, "code"), asked_for(totp, "second factor's code")
        for option, given in (("sign", sign), ("code", code), ("totp", totp)):
            if given is not None and not given.strip():
                raise InvalidRequest(f"{option}: it is empty")
        self._sign, self._code, self._totp = sign, code, totp

    @property
    def is_given(self) -> bool:
        """True if it shows by itself who answers."""
        return any(given is not None for given in (self._sign, self._code, self._totp))

    @property
    def key(self) -> str:
        """The key to sign with, as it was named; "" if none was."""
        return self._sign or ""

    async def vote(
        self,
        hitl: Orchestrator,
        id: str,
        answer: Answer,
        given: dict[str, Any],
        who: dict[str, Any],
    ) -> Request:
        """Hand an answer in with the proof of it."""
        proof = ""
        if self._sign is not None:
            import asyncio

            stated = await hitl.statement(id, answer, reviewer=who["reviewer"], **given)
            proof = await asyncio.to_thread(signed_with, stated, self._sign)
        return await hitl.vote(
            id, answer, **given, **who, proof=proof, code=self._code or "", totp=self._totp or ""
        )


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
    import sys

    from hitl_vault.cli.typing_in import ask_unseen

    if given != "-":
        return given
    return ask_unseen(what) if sys.stdin.isatty() else sys.stdin.readline().strip()


def secret_bytes(text: str) -> bytes:
    """Return a shared secret as `hitl key add` shows it: base64, marked as such; else the text."""
    import base64

    marked = "base64:"
    return base64.b64decode(text.removeprefix(marked)) if text.startswith(marked) else text.encode()
