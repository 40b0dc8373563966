"""Leases: each ends by its time, at every process alike, whatever happens to its file or the clock."""

from __future__ import annotations

import os
import shutil
import stat
import time

import pytest

from hitl_vault.adapters.presence.leases import FileLeases
from hitl_vault.errors import StorageError
from hitl_vault.testing.clock import FakeClock

DAY = 86400


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def folder(workspace):
    return workspace / "leases"


@pytest.fixture
def leases(folder, clock):
    return FileLeases(folder, clock)


def path_of(folder, lease):
    return folder / f"{lease.holder}.json"


async def test_a_lease_is_the_same_at_every_process(leases, folder, clock):
    """Made at one, found, renewed and ended at another; its owner alone may read its file."""
    lease = await leases.begin("r-1", 60.0)
    other = FileLeases(folder, clock)
    assert leases.names(lease.holder)
    assert other.find(lease.holder) == leases.find(lease.holder) == lease
    clock.advance(50)
    renewed = await other.begin("r-1", 30.0, lease.holder)
    assert leases.find(lease.holder) == renewed
    clock.advance(29)
    assert leases.is_alive(lease.holder)
    assert leases.ended() == other.ended() == []
    clock.advance(1)
    assert not leases.is_alive(lease.holder)
    assert leases.ended() == other.ended() == [renewed]
    if os.name == "posix":
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(path_of(folder, lease).stat().st_mode) == 0o600


async def test_a_lease_that_is_dropped_leaves_no_file(leases, folder):
    """Dropping twice, or what is no lease, changes nothing."""
    lease = await leases.begin("r-1", 60.0)
    (folder / "mine.json").write_text("{}")
    for holder in (lease.holder, lease.holder, "mine", "../leases/mine", ""):
        leases.drop(holder)
    assert [path.name for path in folder.iterdir()] == ["mine.json"]
    assert leases.ended() == []


async def test_a_lease_without_its_file_lives_for_a_minute(leases, folder, clock):
    """Somebody removed the folder: who lives by it has time to renew, which makes it again."""
    lost, kept = await leases.begin("r-1", 3600.0), await leases.begin("r-2", 3600.0)
    shutil.rmtree(folder)
    assert leases.find(lost.holder) is None
    assert leases.is_alive(lost.holder)
    assert leases.is_alive(kept.holder)
    clock.advance(59)
    await leases.begin("r-2", 3600.0, kept.holder)
    clock.advance(1)
    assert not leases.is_alive(lost.holder)
    assert leases.is_alive(kept.holder)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        '{"holder": "lease-0000000000000000"}',
        '{"holder": "%s", "id": "r", "seconds": 60, "ends_at": "2026-11-21T09:30:12"}',
        '{"holder": "%s", "id": "r", "seconds": 1e300, "ends_at": "2026-11-21T09:30:12Z"}',
        '{"holder": "lease-other", "id": "r", "seconds": 60, "ends_at": "2026-11-21T09:30:12Z"}',
    ],
)
async def test_a_lease_that_cannot_be_read_is_alive_for_a_day(leases, folder, clock, caplog, text):
    """Never taken for dead on doubt, and never for ever; one warning names the file."""
    lease = await leases.begin("r-1", 60.0)
    path_of(folder, lease).write_text(text.replace("%s", lease.holder))
    for _ in range(3):
        assert leases.is_alive(lease.holder)
        clock.advance(DAY / 3 - 1)
    (warned,) = caplog.records
    assert path_of(folder, lease).name in warned.message
    assert leases.ended() == []
    clock.advance(3)
    assert not leases.is_alive(lease.holder)
    await leases.begin("r-1", 60.0, lease.holder)
    assert leases.is_alive(lease.holder)


async def test_a_clock_that_is_set_back_keeps_no_lease_alive_for_ever(leases, folder, clock):
    """It lives for its length from when a process first saw it, at most."""
    lease = await leases.begin("r-1", 60.0)
    assert leases.is_alive(lease.holder)
    clock.jump(-365 * DAY)
    clock.advance(59)
    after_a_restart = FileLeases(folder, clock)
    assert leases.is_alive(lease.holder)
    assert after_a_restart.is_alive(lease.holder)
    clock.advance(1)
    assert not leases.is_alive(lease.holder)
    assert leases.ended() == [lease]
    clock.advance(59)
    assert not after_a_restart.is_alive(lease.holder)


async def test_a_clock_that_is_set_forward_ends_leases(leases, clock):
    """Too soon is unknown, and a person looks; nothing runs by it."""
    lease = await leases.begin("r-1", 60.0)
    clock.jump(61)
    assert not leases.is_alive(lease.holder)


async def test_a_lease_that_cannot_be_stored_says_so(leases, folder):
    folder.write_text("a file in its place")
    with pytest.raises(StorageError, match="leases"):
        await leases.begin("r-1", 60.0)
    assert leases.ended() == []


async def test_old_halves_of_files_are_tidied_up(leases, folder, clock):
    """What a killed process left, a week later; nothing that a lease may live by."""
    lease = await leases.begin("r-1", 60.0)
    half, fresh = folder / f".{lease.holder}.json.abc", folder / f".{lease.holder}.json.def"
    half.write_text("{")
    fresh.write_text("{")
    old = time.time() - 8 * DAY
    os.utime(half, (old, old))
    await FileLeases(folder, clock).begin("r-2", 60.0)
    assert not half.exists()
    assert fresh.exists()
    assert leases.is_alive(lease.holder)
