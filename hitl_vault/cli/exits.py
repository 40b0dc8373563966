"""Owns how a command ends: its exit code, and what went wrong in one line. Never retries."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence

from hitl_vault import errors
from hitl_vault.document.inert import one_line
from hitl_vault.errors import HitlVaultError

USAGE = 2
ALERT = 11  # nothing failed: what an operator watches is beyond its threshold
INTERRUPTED = 130  # what a shell reports for a program ended by Ctrl-C
BROKEN_PIPE = 141

_MEANINGS = {
    0: "done; for `wait` and `run`: approved",
    1: "failed: the message says why",
    2: "used wrongly: an option, a setting or a value cannot be accepted",
    3: "rejected by a reviewer",
    4: "expired: nobody answered, or nobody claimed it, in time",
    5: "cancelled: withdrawn before it ran",
    6: "your `--timeout` to wait passed; the request still waits",
    7: "denied by the policy",
    8: "conflict with what is recorded",
    9: "no request has this id, or several start with it",
    10: "too many requests of one requester, by the vault's limits; nothing was asked",
    ALERT: "an alert fires (`hitl alerts`, `hitl stats --alerts`)",
    INTERRUPTED: "interrupted with Ctrl-C; nothing recorded is undone",
}


def report(error: HitlVaultError, *, as_json: bool, about: str = "") -> int:
    """Say what went wrong, on stderr and with `--json` on stdout too; return the exit code.

    `about` is put before what does not name it.
    """
    lines = [one_line(line) for line in str(error).splitlines()] or [type(error).__name__]
    if about not in lines[0]:
        lines[0] = f"{one_line(about)}: {lines[0]}"
    print(f"hitl: {lines[0]}", *lines[1:], sep="\n      ", file=sys.stderr)
    if as_json:
        print_error(error.code, str(error), error)
    return error.exit_code


def print_error(code: str, message: str, error: HitlVaultError | None = None) -> None:
    """Print the JSON object that stands for an error."""
    from hitl_vault.records import request_record

    found: dict[str, object] = {"error": {"code": code, "message": message}}
    request = getattr(error, "request", None) or getattr(error, "current", None)
    if request is not None:
        found["request"] = request_record(request)
    print(json.dumps(found, indent=2))


def wants_json(arguments: Sequence[str]) -> bool:
    """True if `--json` was asked for; what follows `--` belongs to another program."""
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in before


def give_up_stdout() -> None:
    """Write to nowhere from now on: who read our output has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def table() -> Iterator[tuple[int, str, str]]:
    """Yield every exit code, what it means and the errors that end with it, for the reference."""
    classes = [found for found in vars(errors).values() if isinstance(found, type)]
    for code, meaning in sorted(_MEANINGS.items()):
        named = sorted(
            found.__name__
            for found in classes
            if issubclass(found, HitlVaultError) and found.exit_code == code
        )
        yield code, meaning, ", ".join(named)
