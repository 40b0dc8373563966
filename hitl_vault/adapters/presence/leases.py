"""Owns leases as files, `.hitl/leases/`: written whole, judged by their time. Never takes one that
cannot be read for one that has ended, for as long as the longest may last.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec

from hitl_vault.adapters.proof.secret_files import save_secret
from hitl_vault.ports import LONGEST_LEASE_S, Clock, Lease

_NAME = re.compile(r"lease-[0-9a-f]{16}")
_MISSING_S = 60.0  # who lives by it renews it, which makes it again
_OLD_S = 7 * 86400.0
_UNREADABLE = (OSError, ValueError, msgspec.MsgspecError)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A lease as this process first saw it; `until` is monotonic: it lasts no longer than its
    length from then on, so that a clock that was set back does not let it live for ever.
    """

    file: tuple[int, int]
    lease: Lease
    until: float


class FileLeases:
    """One file a lease in `folder`, for all processes of the vault."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self._seen: dict[str, _Seen] = {}
        self._doubted: dict[str, float] = {}
        self._is_tidied = False

    def names(self, holder: str) -> bool:
        """True for the names of leases."""
        return _NAME.fullmatch(holder) is not None

    async def begin(self, id: str, seconds: float, holder: str = "") -> Lease:
        """Store a lease from now on."""
        lease = Lease(
            holder=holder or f"lease-{secrets.token_hex(8)}",
            id=id,
            seconds=seconds,
            ends_at=self._clock.now() + timedelta(seconds=seconds),
        )
        await asyncio.to_thread(self._store, lease)
        return lease

    def _store(self, lease: Lease) -> None:
        if not self._is_tidied:
            self._is_tidied = True
            self._tidy()
        save_secret(self._path(lease.holder), msgspec.json.encode(lease))

    def _tidy(self) -> None:
        """Remove what was written too long ago to be a lease that lives: halves, and unreadable."""
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                with contextlib.suppress(OSError):
                    if time.time() - path.stat().st_mtime > _OLD_S:
                        path.unlink()

    def find(self, holder: str) -> Lease | None:
        """Return a lease that can be read, also one that has ended."""
        try:
            return self._load(holder).lease
        except _UNREADABLE:
            return None

    def is_alive(self, holder: str) -> bool:
        """True until its time is over; without its file for a minute; damaged for a day."""
        try:
            seen = self._load(holder)
        except FileNotFoundError:
            return self._is_in_doubt(holder, _MISSING_S)
        except _UNREADABLE as error:
            if holder not in self._doubted:
                _log.warning(
                    "%s: this lease cannot be read (%s), so its executor counts as alive for a "
                    "day; if it is known to be gone, remove the file",
                    self._path(holder),
                    error,
                )
            return self._is_in_doubt(holder, LONGEST_LEASE_S)
        self._doubted.pop(holder, None)
        return not self._has_ended(seen)

    def _is_in_doubt(self, holder: str, seconds: float) -> bool:
        now = self._clock.monotonic()
        return now - self._doubted.setdefault(holder, now) < seconds

    def ended(self) -> list[Lease]:
        """Return the leases whose time is over and whose files are still there."""
        names = {path.stem for path in self._folder.glob("lease-*.json")}
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}
        return [
            lease
            for name in names
            if (lease := self.find(name)) is not None and self._has_ended(self._seen[name])
        ]

    def drop(self, holder: str) -> None:
        """Remove a lease's file."""
        if self.names(holder):
            with contextlib.suppress(OSError):  # it is tidied up later
                self._path(holder).unlink(missing_ok=True)

    def _has_ended(self, seen: _Seen) -> bool:
        return self._clock.now() >= seen.lease.ends_at or self._clock.monotonic() >= seen.until

    def _load(self, holder: str) -> _Seen:
        path = self._path(holder)
        status = path.stat()
        file = (status.st_ino, status.st_mtime_ns)
        seen = self._seen.get(holder)
        if seen is None or seen.file != file:
            lease = msgspec.json.decode(path.read_bytes(), type=Lease)
            is_whole = 0 < lease.seconds <= LONGEST_LEASE_S and lease.ends_at.tzinfo is not None
            if lease.holder != holder or not is_whole:
                raise ValueError("it is not what was written")
            until = self._clock.monotonic() + lease.seconds
            self._seen[holder] = seen = _Seen(file=file, lease=lease, until=until)
        return seen

    def _path(self, holder: str) -> Path:
        return self._folder / f"{holder}.json"
