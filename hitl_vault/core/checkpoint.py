"""Owns checkpoints: heads of the chain noted outside of the vault, and what they show of a chain
later. Never notes one itself.

A checkpoint is one line of JSON: {vault, seq, hash, at}, and where it is signed `by` and
`signature`, an SSH signature in base64 over RFC 8785 JSON of the four with their schema.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import rfc8785

SCHEMA = "hitl-vault/checkpoint/1"
NAMESPACE = "hitl-vault-checkpoint"
_HASH = re.compile(r"[0-9a-f]{64}")
_PLAIN = {"vault", "seq", "hash", "at"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The head of a vault's chain at an aware time; `signature` is b"" where it is unsigned."""

    vault: str
    seq: int
    hash: str
    at: datetime
    by: str = ""
    signature: bytes = b""


def signed_bytes(checkpoint: Checkpoint) -> bytes:
    """Return what the signature covers."""
    return rfc8785.dumps({"schema": SCHEMA, **_plain(checkpoint)})


def _plain(checkpoint: Checkpoint) -> dict[str, str | int]:
    return {
        "vault": checkpoint.vault,
        "seq": checkpoint.seq,
        "hash": checkpoint.hash,
        "at": checkpoint.at.isoformat().replace("+00:00", "Z"),
    }


def checkpoint_line(checkpoint: Checkpoint) -> str:
    """Return the line, without its end."""
    found = _plain(checkpoint)
    if checkpoint.signature:
        found["by"] = checkpoint.by
        found["signature"] = base64.b64encode(checkpoint.signature).decode()
    return json.dumps(found)


def parse_checkpoint(line: str) -> Checkpoint:
    """Read a line.

    Raises:
        ValueError: It is not a checkpoint; the message says why.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not JSON; it may be torn") from error
    if not isinstance(found, dict) or found.keys() not in (_PLAIN, _PLAIN | {"by", "signature"}):
        raise ValueError("it has not the keys vault, seq, hash, at")
    texts = [found[key] for key in sorted(found) if key != "seq"]
    if not all(isinstance(text, str) for text in texts) or type(found["seq"]) is not int:
        raise ValueError("a value of it is of another kind")
    at = datetime.fromisoformat(found["at"])
    if not _HASH.fullmatch(found["hash"]) or found["seq"] < 0 or at.tzinfo is None:
        raise ValueError("its seq, hash or time cannot be one")
    try:
        signature = base64.b64decode(found.get("signature", ""), validate=True)
    except binascii.Error as error:
        raise ValueError("its signature is not base64") from error
    return Checkpoint(
        vault=found["vault"],
        seq=found["seq"],
        hash=found["hash"],
        at=at,
        by=found.get("by", ""),
        signature=signature,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What checkpoints show: how many agree, the newest that does, and what contradicts."""

    agreeing: int
    newest: Checkpoint | None
    problems: tuple[str, ...]


def compare(
    lines: Iterable[str],
    *,
    vault: str,
    head_seq: int,
    hash_at: Callable[[int], str],
    complaint: Callable[[Checkpoint], str] = lambda _: "",
) -> Compared:
    """Compare checkpoints, oldest first, with a chain that holds in itself.

    Args:
        lines: The lines; empty ones are passed over.
        vault: The id of the vault whose chain it is.
        head_seq: Its last event.
        hash_at: Returns the chain's hash at an event from 0 to `head_seq`.
        complaint: Returns what is wrong with a checkpoint's signature, "" if nothing.
    """
    problems: list[str] = []
    agreeing, newest = 0, None
    for number, line in _said(lines):
        try:
            noted = parse_checkpoint(line)
        except ValueError as error:
            problems.append(f"line {number} cannot be read: {error}")
            continue
        wrong = complaint(noted) or _wrong(noted, vault, head_seq, hash_at)
        if wrong:
            problems.append(f"line {number}: {wrong}")
            continue
        agreeing += 1
        newest = noted if newest is None or noted.seq >= newest.seq else newest
    if not agreeing and not problems:
        problems.append("there is no checkpoint, so nothing is shown")
    return Compared(agreeing=agreeing, newest=newest, problems=tuple(problems))


def _said(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    return ((n, line) for n, line in enumerate(lines, start=1) if line.strip())


def _wrong(noted: Checkpoint, vault: str, head_seq: int, hash_at: Callable[[int], str]) -> str:
    when = f"{noted.at:%Y-%m-%d %H:%M}"
    if noted.vault != vault:
        return f"it is of another vault, {noted.vault}, and this ledger is of {vault}"
    if noted.seq > head_seq:
        return (
            f"event {noted.seq} was noted on {when}, and the chain ends at {head_seq}: it was cut"
        )
    if hash_at(noted.seq) != noted.hash:
        return f"at event {noted.seq} the chain was another on {when}: it was made anew since"
    return ""
