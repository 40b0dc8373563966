"""Owns single files: written whole or not at all, moved over nothing, told apart. Never a link's.

Knows nothing of notes or folders.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from hitl_vault.ports import Signature

NEW_MODE = 0o644

# Most kernels stamp a save with a clock that moves every 4 to 10 ms only, some file systems keep
# whole seconds: two saves within one step look the same. What we write is stamped a little in the
# past, so that no later save can have its time; what others wrote is trusted once it is older.
_BACK_NS, _STEP_NS = 30_000_000, 20_000_000
_SECOND_NS = 1_000_000_000


def is_file(path: Path) -> bool:
    """Say whether there is a regular file, not a link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def signature_of(status: os.stat_result) -> Signature:
    """Return what tells this state of a file from others."""
    return Signature(
        device=status.st_dev,
        inode=status.st_ino & 0x7FFF_FFFF_FFFF_FFFF,  # some file systems use all 64 bits
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
    )


def signature_of_read(status: os.stat_result) -> Signature:
    """Return the signature of what was just read; one that fits no file where a save could have
    followed within the same step of the clock.
    """
    signature = signature_of(status)
    return _doubted(signature) if _is_fresh(status) else signature


def create(target: Path, data: bytes) -> Signature | None:
    """Write a new file, complete from the moment it is visible; None if the name is taken."""
    try:
        return _create_unnamed(target, data)
    except _NoUnnamedFilesError:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = write_beside(target, data)
    try:
        return _publish(temporary, target, data)
    finally:
        temporary.unlink(missing_ok=True)


class _NoUnnamedFilesError(Exception):
    """The system or this file system has no unnamed files."""


def _create_unnamed(target: Path, data: bytes) -> Signature | None:
    """Write a file without a name, then give it one: exclusive, atomic, and one event for watchers
    instead of four. Linux only, and not on every file system.
    """
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None:
        raise _NoUnnamedFilesError
    try:
        descriptor = os.open(target.parent, flag | os.O_WRONLY, NEW_MODE)
    except OSError as error:
        if error.errno in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}:
            raise _NoUnnamedFilesError from error
        raise
    try:
        _write_all(descriptor, data)
        _stamp(descriptor)
        written = os.fstat(descriptor)
        try:
            # an absolute path ignores the folder, but naming one makes Python follow the link
            os.link(f"/proc/self/fd/{descriptor}", target, src_dir_fd=descriptor)
        except FileExistsError:
            return None
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP}:
                raise _NoUnnamedFilesError from error
            raise
        return _unless_saved(os.fstat(descriptor), written)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def signature_of_ours(target: Path, written: os.stat_result) -> Signature:
    """Return the signature of what we wrote; if somebody has saved since, one that fits no file, so
    that what they saved is read.
    """
    return _unless_saved(target.stat(follow_symlinks=False), written)


def _unless_saved(status: os.stat_result, written: os.stat_result) -> Signature:
    ours = (status.st_ino, status.st_size, status.st_mtime_ns)
    same = ours == (written.st_ino, written.st_size, written.st_mtime_ns)
    if not same or written.st_mtime_ns % _SECOND_NS == 0:  # a file system of whole seconds
        return _doubted(signature_of(written))
    return signature_of(status)


def _stamp(file: int | Path) -> None:
    """Date what we wrote a little back: see `_BACK_NS`."""
    at = time.time_ns() - _BACK_NS
    with contextlib.suppress(OSError):
        os.utime(file, ns=(at, at))


def _is_fresh(status: os.stat_result) -> bool:
    """Say whether one more save could leave this file with the same times."""
    whole = status.st_mtime_ns % _SECOND_NS == 0
    step = 2 * _SECOND_NS if whole else _STEP_NS
    return abs(time.time_ns() - status.st_mtime_ns) < step


def _doubted(signature: Signature) -> Signature:
    """Return a signature that equals no other, ever: what has it is read again."""
    return dataclasses.replace(signature, ctime_ns=-time.monotonic_ns())


def write_beside(target: Path, data: bytes) -> Path:
    """Write `data` under a dot name in the same folder, which every reader ignores."""
    temporary = target.with_name(f".hitl-{os.getpid()}-{time.monotonic_ns()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(temporary, flags, NEW_MODE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            _stamp(temporary)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        error.filename = str(target)  # it is the note that cannot be written
        raise
    return temporary


def _publish(temporary: Path, target: Path, data: bytes) -> Signature | None:
    """Give the file its name if nobody has it. A link is exclusive and atomic; where the file
    system has none, an exclusive create comes nearest.
    """
    written = temporary.stat()  # before the name: from then on anybody may save
    try:
        os.link(temporary, target)
    except FileExistsError:
        return None
    except OSError:
        try:
            with target.open("xb") as file:
                try:
                    file.write(data)
                    file.flush()
                except OSError:
                    target.unlink(missing_ok=True)  # half a note would only be in the way
                    raise
        except FileExistsError:
            return None
    temporary.unlink(missing_ok=True)  # before the look: the link count is part of ctime
    return signature_of_ours(target, written)


def linked(source: Path, target: Path) -> bool:
    """Move by a second name, which is never given over another file; False where there is none."""
    try:
        os.link(source, target)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:
        return False
    try:
        patiently(source.unlink)
    except FileNotFoundError:  # a person took the first name away meanwhile
        pass
    except OSError:
        target.unlink(missing_ok=True)
        raise
    return True


def patiently(work: Callable[[], object]) -> None:
    """Windows refuses to rename a file somebody has open; try for up to 2.5 s, elsewhere once."""
    give_up = time.monotonic() + 2.5
    while True:
        try:
            work()
        except PermissionError:
            if os.name != "nt" or time.monotonic() > give_up:
                raise
            time.sleep(0.1)
        else:
            return
