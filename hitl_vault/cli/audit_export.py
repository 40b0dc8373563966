"""Owns what `hitl audit export` writes: the chain as lines, and bundles of evidence. Never changes
the vault; never writes over a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from hitl_vault.adapters.ledger.evidence import evidence_files, stored, write_zip
from hitl_vault.config import STATE_FOLDER
from hitl_vault.core.chain import decode_event, genesis
from hitl_vault.core.hiding import Hider, grant_is_hidden
from hitl_vault.core.redaction import Redaction
from hitl_vault.core.register import REGISTER_ID
from hitl_vault.errors import InvalidRequest
from hitl_vault.records import as_json

if TYPE_CHECKING:
    from hitl_vault.cli.opening import Opened


def export_lines(opened: Opened, after: datetime | None, to: TextIO, redaction: Redaction) -> int:
    """Write the header and the events, from the first one at or after `after` on."""
    with opened.ledger.snapshot():
        return _lines(opened, after, to, _Hiding(opened, redaction))


def _lines(opened: Opened, after: datetime | None, to: TextIO, hiding: _Hiding) -> int:
    ledger, written = opened.ledger, 0
    head, before = ledger.head(), genesis(ledger.vault_id).hash
    header: dict[str, object] = {
        "format": "hitl-vault:audit:1",
        "vault": ledger.vault_id,
        "head": {"seq": head.seq, "hash": head.hash},
    }
    for number, body, hash_ in stored(ledger):
        if not written and after and decode_event(body, hash_).event.at < after:
            before = hash_
            continue
        if not written:
            print(as_json(header | {"before": before}, indent=None), file=to)
        line: dict[str, object] = {"seq": number, "hash": hash_}
        if hiding.hides(body, hash_):
            line["body_sha256"] = hashlib.sha256(body).hexdigest()
        else:
            line["body"] = body.decode()
        print(as_json(line, indent=None), file=to)
        written += 1
    if not written:
        print(as_json(header | {"before": before}, indent=None), file=to)
    return written


class _Hiding:
    """Tells which events of a whole chain must not be shown."""

    def __init__(self, opened: Opened, redaction: Redaction) -> None:
        self._opened, self._redaction = opened, redaction
        self._known: tuple[str, Hider | None] = ("", None)

    def hides(self, body: bytes, hash_: str) -> bool:
        if not self._redaction:
            return False
        id = decode_event(body, hash_).event.request_id
        if id == REGISTER_ID:
            return grant_is_hidden(body, self._redaction)
        if self._known[0] != id:
            state = self._opened.ledger.stored_state(id)
            hider = None if state is None else _hider(self._redaction, state)
            self._known = (id, hider)
        found = self._known[1]
        return found is not None and found.hides_event(body)


def _hider(redaction: Redaction, state: bytes) -> Hider:
    return Hider(redaction=redaction, state=json.loads(state))


def export_bundles(
    opened: Opened, beginnings: Sequence[str], output: Path, redaction: Redaction
) -> None:
    """Write one bundle per request: into `output` itself for one, into folders in it for several.

    Raises:
        InvalidRequest: `output` exists already, or cannot be written.
        RequestNotFound: A request is not there; nothing is written.
    """
    ids = list(dict.fromkeys(opened.one(beginning).id for beginning in beginnings))
    files = evidence_files(
        opened.ledger, ids, opened.root / STATE_FOLDER / "allowed_signers", redaction
    )
    try:
        _write(output, files)
    except OSError as error:
        raise InvalidRequest(f"cannot write {output}: {error.strerror or error}") from error
    many = f"{len(ids)} bundles" if len(ids) > 1 else "1 bundle"
    print(f"{many} of evidence in {output}; check with: python3 check.py")


def _write(output: Path, files: dict[str, bytes]) -> None:
    if output.suffix == ".zip":
        with output.open("xb") as new:
            write_zip(new, files)
        return
    output.mkdir(parents=True)
    for name, content in files.items():
        file = output / name
        file.parent.mkdir(exist_ok=True)
        with file.open("xb") as new:
            new.write(content)
