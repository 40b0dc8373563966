"""Whether a process lives: never wrong about a living one, and soon right about a dead one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from hitl_vault.adapters.clock import SystemClock
from hitl_vault.adapters.presence.leases import FileLeases
from hitl_vault.adapters.presence.lockfile import LockfilePresence
from hitl_vault.errors import StorageError
from hitl_vault.testing.clock import FakeClock

HOLD = """
import sys; sys.path.insert(0, sys.argv[2])
from pathlib import Path
from hitl_vault.adapters.clock import SystemClock
from hitl_vault.adapters.presence.leases import FileLeases
from hitl_vault.adapters.presence.lockfile import LockfilePresence
run = Path(sys.argv[1])
presence = LockfilePresence(run, FileLeases(run.parent / "leases", SystemClock()))
print(presence.hold(), flush=True)
sys.stdin.readline()
if len(sys.argv) > 3: presence.close()
"""
ROOT = Path(__file__).parents[2]


def presence_in(workspace, clock=None):
    """The presence of a process of the vault."""
    leases = FileLeases(workspace / "leases", clock or SystemClock())
    return LockfilePresence(workspace / "run", leases)


@pytest.fixture
def presence(workspace):
    made = presence_in(workspace)
    yield made
    made.close()


@contextmanager
def holder(workspace, *flags):
    """A process that holds its presence until told to end."""
    command = [sys.executable, "-c", HOLD, str(workspace / "run"), str(ROOT), *flags]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_living_process_is_alive(workspace, presence):
    """As long as it lives, for any number of looks."""
    with holder(workspace) as (_, name):
        assert all(presence.is_alive(name) for _ in range(20))


def test_a_stopped_process_is_alive(workspace, presence):
    """A process stopped for any time still has its claim."""
    with holder(workspace) as (process, name):
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert presence.is_alive(name)
        process.send_signal(signal.SIGCONT)
        assert presence.is_alive(name)


def test_a_killed_process_is_dead_at_once(workspace, presence):
    """However it died."""
    with holder(workspace) as (process, name):
        process.kill()
        process.wait(timeout=10)
        assert not presence.is_alive(name)
        assert not presence.is_alive(name)


@pytest.mark.parametrize("flags", [(), ("close",)])
def test_a_process_that_ended_is_dead(workspace, presence, flags):
    """With or without giving its presence up."""
    with holder(workspace, *flags) as (process, name):
        process.communicate("\n", timeout=10)
        assert not presence.is_alive(name)


def test_our_own_presence(presence):
    """Alive from the first hold, which may be repeated, until close, which may be too."""
    name = presence.hold()
    assert presence.hold() == name
    assert presence.is_alive(name)
    presence.close()
    presence.close()
    assert not presence.is_alive(name)
    assert presence.hold() == name
    assert presence.is_alive(name)


def test_two_of_one_process_see_each_other(workspace, presence):
    """Two vaults opened in one process do not take each other for dead."""
    other = presence_in(workspace)
    assert other.hold() != presence.hold()
    assert other.is_alive(presence.hold())
    assert presence.is_alive(other.hold())
    name = other.hold()
    other.close()
    assert not presence.is_alive(name)


def test_a_presence_may_be_looked_at_from_any_thread(presence):
    """The lock belongs to the process, not to the thread that took it."""
    name = presence.hold()
    seen = []
    thread = threading.Thread(target=lambda: seen.append(presence.is_alive(name)))
    thread.start()
    thread.join(timeout=10)
    assert seen == [True]


@pytest.mark.parametrize(
    "name", ["", "../run/x", "UPPER", "a/b", "a.b", "é", "lease-../run/x", "lease-x"]
)
def test_a_name_that_cannot_be_judged_is_alive(workspace, presence, name):
    """Whatever is unclear waits for a person; and no path outside is touched."""
    presence.hold()
    assert presence.is_alive(name)
    assert {path.name for path in workspace.iterdir()} == {"run"}


def test_a_lock_file_that_was_removed_says_nothing_until_its_holder_had_time(
    workspace, presence, monkeypatch
):
    """A living holder makes its file again; a name without one for a minute is dead."""
    now = [1000.0]
    monkeypatch.setattr("hitl_vault.adapters.presence.lockfile.time.monotonic", lambda: now[0])
    name = presence.hold()
    other = presence_in(workspace)
    (workspace / "run" / f"{name}.lock").unlink()
    assert other.is_alive(name)
    now[0] += 30
    presence.keep()
    now[0] += 60
    assert other.is_alive(name)
    assert other.is_alive("0123456789abcdef")
    now[0] += 61
    assert not other.is_alive("0123456789abcdef")


def test_a_fork_that_closes_leaves_its_parents_presence_alone(workspace, presence):
    """A forked child is another process: it neither frees nor uses the parent's lock."""
    name = presence.hold()
    presence._pid += 1  # what a fork sees: another process took this lock
    presence.close()
    other = presence_in(workspace)
    assert other.is_alive(name)


def test_a_lock_that_cannot_be_opened_is_alive(workspace, presence):
    """What cannot be judged is not taken for dead: here, a folder in its place."""
    presence.hold()
    (workspace / "run" / "abc.lock").mkdir()
    assert presence.is_alive("abc")


def test_a_folder_that_cannot_be_made_is_a_storage_error(workspace):
    """The message names the folder."""
    (workspace / "run").write_text("a file in its place")
    with pytest.raises(StorageError, match="run"):
        presence_in(workspace).hold()


async def test_an_executor_elsewhere_lives_as_long_as_its_lease(workspace):
    """By its time, whichever process looks, and whether or not the one that made it lives."""
    clock = FakeClock()
    presence, other = presence_in(workspace, clock), presence_in(workspace, clock)
    lease = await presence.leases.begin("r-1", 60.0)
    clock.advance(59)
    assert presence.is_alive(lease.holder)
    assert other.is_alive(lease.holder)
    clock.advance(1)
    assert not presence.is_alive(lease.holder)
    assert not other.is_alive(lease.holder)
