"""Owns opening the vault a command is about, and finding requests in it by the beginning of an id.

Never loads more than the command needs: `reading` has no event loop.
"""

from __future__ import annotations

import itertools
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hitl_vault.adapters.ledger.reader import LedgerReader
from hitl_vault.adapters.vault.traces import newest_shown, trace_of_a_ledger
from hitl_vault.config import STATE_FOLDER, Settings, find_vault, load_settings
from hitl_vault.document.inert import one_line
from hitl_vault.errors import LedgerLost, RequestNotFound
from hitl_vault.ports import Filter

if TYPE_CHECKING:
    from hitl_vault.core.model import Request
    from hitl_vault.core.register import Grant
    from hitl_vault.wiring import Orchestrator

_CANDIDATES = 8
_SHORTEST = 15  # date and time: what people read out of an id


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A vault open for reading."""

    root: Path
    settings: Settings
    ledger: LedgerReader

    def one(self, beginning: str) -> Request:
        """Return the one request whose id is this or begins so.

        Raises:
            RequestNotFound: None does, or several do; the message lists them.
        """
        if not beginning:
            raise RequestNotFound("an empty id names no request; see hitl list")
        exact = self.ledger.get(beginning)
        if exact is not None:
            return exact
        found = self.ledger.find(Filter(id_prefix=beginning, limit=_CANDIDATES + 1))
        if len(found) == 1:
            return found[0]
        if not found:
            raise RequestNotFound(f"no request has an id that starts with {beginning!r}")
        listed = [f"{request.id}  {request.status}" for request in found[:_CANDIDATES]]
        more = ["…"] if len(found) > _CANDIDATES else []
        raise RequestNotFound(
            "\n".join([f"several ids start with {beginning!r}; write more of it:", *listed, *more])
        )

    def grant(self, beginning: str) -> Grant:
        """Return the one grant whose id is this or begins so. Raises RequestNotFound."""
        known = self.ledger.register().grants
        found = [one for one in known if one.grant_id.startswith(beginning)]
        exact = [one for one in found if one.grant_id == beginning] or found
        if len(exact) == 1 and beginning:
            return exact[0]
        if not found:
            raise RequestNotFound(f"no grant has an id that starts with {beginning!r}")
        listed = [one.grant_id for one in found[:_CANDIDATES]]
        raise RequestNotFound("\n".join([f"several grants start with {beginning!r}:", *listed]))

    def short(self, id: str) -> str:
        """Return how much of an id is enough to name it."""
        near = self.ledger.neighbours(id)
        shared = max((_shared(id, other) for other in near), default=0)
        return id[: max(_SHORTEST, shared + 1)]

    def note(self, id: str) -> Path | None:
        """Return where the request's note lies, None if nowhere."""
        names = self.settings
        for folder in (
            names.pending_folder,
            names.approved_folder,
            names.rejected_folder,
            names.done_folder,
        ):
            beside = self.root / folder / f"approval_{id}.md"
            if beside.is_file():
                return beside
            for below in (self.root / folder).rglob(beside.name):
                return below
        return None


def _shared(one: str, two: str) -> int:
    """Return how many letters two ids begin with alike."""
    pairs = zip(one.casefold(), two.casefold(), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


@contextmanager
def reading(vault: str | None, *, warn: bool = True) -> Iterator[Opened]:
    """Open the vault for reading. With `warn`, a ledger that is an older copy is told of: what is
    read of it is not all that happened, and no engine opens on it.
    """
    root, settings = locate(vault)
    # before the head, which others move on
    known = newest_shown(root / STATE_FOLDER) if warn else 0
    ledger = ledger_of(root)
    try:
        if known and (ends := ledger.head().seq) < known:
            print(f"hitl: {one_line(str(LedgerLost.older(known, ends)))}", file=sys.stderr)
        yield Opened(root=root, settings=settings, ledger=ledger)
    finally:
        ledger.close()


def ledger_of(root: Path) -> LedgerReader:
    """Open the ledger of the vault at `root`; a lost one is not begun anew. Raises StorageError."""
    state = root / STATE_FOLDER
    return LedgerReader(state / "ledger.db", partial(trace_of_a_ledger, state))


def locate(vault: str | None) -> tuple[Path, Settings]:
    """Return the vault's folder and its settings."""
    root = find_vault(Path.cwd(), vault)
    return root, load_settings(root, os.environ, {})


def full_ids(vault: str | None, beginnings: Sequence[str]) -> list[str]:
    """Return the ids that these are beginnings of."""
    with reading(vault, warn=False) as opened:
        return [opened.one(beginning).id for beginning in beginnings]


def found_ids(vault: str | None, beginnings: Sequence[str]) -> list[str | RequestNotFound]:
    """Return the id that each of these is the beginning of, or why it names none. Alone, one that
    names none is raised.
    """
    found: list[str | RequestNotFound] = []
    with reading(vault, warn=False) as opened:
        for beginning in beginnings:
            try:
                found.append(opened.one(beginning).id)
            except RequestNotFound as error:
                if len(beginnings) == 1:
                    raise
                found.append(error)
    return found


def desk(vault: str | None, *, watching: bool = False, **overrides: Any) -> Orchestrator:
    """Return the vault's engine, to be opened with `async with`; what it logs goes to stderr."""
    from hitl_vault.wiring import Orchestrator

    root, _ = locate(vault)
    log_to(_StderrLines())
    return Orchestrator(root, watching=watching, **overrides)


def log_to(where: logging.Handler) -> None:
    """Let warnings of the engine go there, and nowhere else; those of the watching library, such as
    of an event that came while it stops, say nothing to a person.
    """
    logging.getLogger("watchdog").addHandler(logging.NullHandler())
    log = logging.getLogger("hitl_vault")
    log.handlers[:] = [where]
    log.propagate = False


class _StderrLines(logging.Handler):
    """Prints warnings as the command line prints its errors."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"hitl: {one_line(record.getMessage())}", file=sys.stderr)
