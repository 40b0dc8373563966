"""Owns gathering the evidence about requests from the embedded ledger. Never writes to a vault."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from hitl_vault.adapters.ledger.reader import LedgerReader
from hitl_vault.core.chain import Head, decode_event, genesis
from hitl_vault.core.evidence import Stored, bundle, bundle_text
from hitl_vault.core.redaction import Redaction, parse_redaction
from hitl_vault.errors import ConfigError, RequestNotFound

if TYPE_CHECKING:
    from hitl_vault.adapters.ledger.sqlite import SqliteLedger  # who only exports needs no more

_PAGE = 1_000
_CHECKER = Path(__file__).parents[2] / "cli" / "evidence_check.py"  # a script by itself: only read
_READ_ME = """\
Evidence about one request of a hitl vault.

    python3 check.py

needs Python 3.9 or newer and, where answers are signed, ssh-keygen; nothing else, and no network.
It says what it proved and what it could not. Take check.py from a copy of hitl_vault you trust:
whoever could change evidence.json could change the check beside it.

    python3 check.py --checkpoints FILE     compare with heads of the chain kept elsewhere
    python3 check.py --signers FILE         use your own list of keys (allowed_signers)
"""


class LedgerEvidence:
    """Evidence from the ledger that is open; `redact` is the setting of that name."""

    def __init__(self, ledger: SqliteLedger, signers: Path, redact: Sequence[str]) -> None:
        self._ledger, self._signers, self._redact = ledger, signers, redact

    async def bundle(self, id: str) -> bytes:
        """Read the chain once, in a thread."""
        return await self._ledger.read_aside(lambda reader: self._zipped(reader, id))

    def _zipped(self, reader: LedgerReader, id: str) -> bytes:
        made = io.BytesIO()
        redaction = parse_redaction(self._redact)
        write_zip(made, evidence_files(reader, [id], self._signers, redaction))
        return made.getvalue()


def evidence_files(
    ledger: LedgerReader, ids: Sequence[str], signers: Path, redaction: Redaction
) -> dict[str, bytes]:
    """Return the files of one bundle per request: plain names for one, in folders for several.

    Args:
        signers: The vault's `allowed_signers`; it may be missing.

    Raises:
        RequestNotFound: A request is not there.
        ConfigError: The list of keys cannot be read.
    """
    files: dict[str, bytes] = {}
    checker = _CHECKER.read_bytes()
    for id, evidence in _bundles(ledger, ids, signers, redaction):
        folder = f"{id}/" if len(ids) > 1 else ""
        files[f"{folder}evidence.json"] = evidence
        files[f"{folder}check.py"] = checker
        files[f"{folder}README.txt"] = _READ_ME.encode()
    return files


def write_zip(to: BinaryIO, files: Mapping[str, bytes]) -> None:
    """Write the files as a .zip."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def stored(ledger: LedgerReader) -> Iterator[tuple[int, bytes, str]]:
    """Yield (seq, body, hash) of every event, the bytes exactly as they are hashed."""
    seq = 0
    while page := ledger.stored_after(seq, _PAGE):
        yield from page
        seq = page[-1][0]


def _bundles(
    ledger: LedgerReader, ids: Sequence[str], signers: Path, redaction: Redaction
) -> Iterator[tuple[str, bytes]]:
    """Read the chain once, and yield what belongs to each request."""
    own: dict[str, list[tuple[int, bytes, str]]] = {id: [] for id in ids}
    digests: list[str] = []
    head = Head(seq=0, hash=genesis(ledger.vault_id).hash)
    with ledger.snapshot():
        for seq, body, hash_ in stored(ledger):
            digests.append(hashlib.sha256(body).hexdigest())
            head = Head(seq=seq, hash=hash_)
            found = own.get(decode_event(body, hash_).event.request_id)
            if found is not None:
                found.append((seq, body, hash_))
        states = {id: ledger.stored_state(id) for id in ids}
    listed = _allowed_signers(signers)
    for id in ids:
        state = states[id]
        if state is None:
            raise RequestNotFound(f"there is no request {id}")
        evidence = bundle(
            Stored(id=id, state=state, events=tuple(own[id])),
            vault=ledger.vault_id,
            head=head,
            digests=digests,
            allowed_signers=listed,
            redaction=redaction,
        )
        yield id, bundle_text(evidence)


def _allowed_signers(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from error
