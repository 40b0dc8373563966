"""Owns what SQLite's errors mean, in plain words. Never decides what follows from one."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from hitl_vault.errors import LedgerCorrupt, StorageError

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_CANNOT_WRITE = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
_PAGE_BYTES = 4096  # a disk with less left is full for SQLite
RESTORE = "keep this file and restore the ledger from a backup"


def is_busy(error: Exception) -> bool:
    """True if another process holds the lock."""
    return _code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_rolled_back(error: Exception) -> bool:
    """True if SQLite says for sure that nothing of the transaction was stored."""
    return _code(error) in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY}


def is_full(error: Exception, path: Path) -> bool:
    """True if the disk is full: SQLite says so itself, or fails for want of a page."""
    if _code(error) == sqlite3.SQLITE_FULL:
        return True
    return _code(error) in _CANNOT_WRITE and _free_bytes(path) < _PAGE_BYTES


def said(error: Exception, path: Path) -> str:
    """Return what went wrong and what to do about it, to follow the file's name."""
    if is_full(error, path):
        return f"the disk is full ({error}); make room and try again"
    if is_busy(error):
        return f"another program holds it locked ({error}); try again"
    if _code(error) in _DAMAGED:
        return f"it is damaged ({error}); {RESTORE}"
    return str(error)


def unreadable(error: Exception, path: Path) -> StorageError:
    """Return the error for a file that cannot be opened or read."""
    kind = LedgerCorrupt if _code(error) in _DAMAGED else StorageError
    return kind(f"cannot read the ledger {path}: {said(error, path)}")


def _code(error: Exception) -> int:
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def _free_bytes(path: Path) -> int:
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return _PAGE_BYTES
