"""A ledger that is damaged, gone or too new, and a full disk, as the command line tells of them."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing

import pytest
from cli_support import POLICY, Cli, until

BY_KEY = "sqlite_autoindex_requests_2"


def made(folder):
    folder.mkdir(exist_ok=True)
    cli = Cli(folder)
    cli.ok("init", ".")
    (folder / "Policy.md").write_text(POLICY)
    return cli


@pytest.fixture
def cli(workspace):
    cli = made(workspace / "vault")
    yield cli
    cli.close()


@pytest.fixture
def small(workspace):
    """A vault on a disk of its own, of two megabytes."""
    disk = workspace / "disk"
    disk.mkdir()
    if os.geteuid() or not shutil.which("mount") or subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True
    ).returncode:  # fmt: skip
        pytest.skip("mounting a small file system needs root")
    cli = made(disk / "vault")
    yield cli
    cli.close()
    subprocess.run(["umount", str(disk)], check=True)


def fill(file):
    with open(file, "wb", buffering=0) as opened:
        try:
            while opened.write(b"x" * 512):
                pass
        except OSError:
            return


def ledger_of(cli):
    return cli.vault / ".hitl" / "ledger.db"


def test_a_damaged_index_is_found_and_mended(cli):
    """`audit verify` and `doctor` exit 1 and name `doctor --reindex`, which mends it."""
    id = cli.ask("deploy", "--key", "inv-K1")
    file = ledger_of(cli)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (BY_KEY,)
        ).fetchone()
    data = bytearray(file.read_bytes())
    data[data.index(b"inv-K1", (page - 1) * 4096) + 5] ^= 0x40
    file.write_bytes(data)
    for command in (("audit", "verify"), ("doctor",)):
        found = cli.run(*command)
        assert found.returncode == 1
        assert "hitl doctor --reindex" in found.stdout + found.stderr
    again = cli.run("request", "-t", "deploy", "--key", "inv-K1")
    assert again.returncode == 1
    assert "by key is damaged" in again.stderr
    cli.ok("doctor", "--reindex")
    cli.ok("audit", "verify")
    assert cli.pending()[0]["id"] == id


def test_a_lost_ledger_is_begun_anew_only_when_told(cli):
    """Every command refuses, `init` too; `init --new-ledger` begins an empty one, which works."""
    cli.ask("deploy", "--key", "k")
    for file in cli.vault.glob(".hitl/ledger.db*"):
        file.unlink()
    for command in ("list", "doctor", "init"):
        done = cli.run(command, "." if command == "init" else "--json")
        assert done.returncode == 1
        assert "hitl init --new-ledger" in done.stdout + done.stderr
        assert not ledger_of(cli).exists()
    cli.ok("init", "--new-ledger", ".")
    assert cli.json("list", "--all") == []
    id = cli.ask("deploy", "--key", "k")
    cli.ok("approve", id)
    assert cli.status(id) == "approved"


def test_a_ledger_that_is_there_is_never_begun_anew(cli):
    """`--new-ledger` is for a lost one: it takes nobody's decisions away."""
    id = cli.ask("deploy")
    done = cli.run("init", "--new-ledger", ".")
    assert done.returncode == 1
    assert "move it away first" in done.stderr
    assert cli.status(id) == "pending"


def test_doctor_says_upgrade_for_a_newer_ledger(cli):
    """A newer format is no damage: nothing is to be restored."""
    with closing(sqlite3.connect(ledger_of(cli))) as connection:
        connection.execute("PRAGMA user_version=99")
    done = cli.run("doctor", "--json")
    assert done.returncode == 1
    (found,) = [c for c in json.loads(done.stdout)["checks"] if c["what"] == "ledger"]
    assert "upgrade hitl-vault" in found["advice"]
    assert "restore" not in found["advice"] + found["found"]


def test_a_full_disk_is_called_one_by_every_command(small):
    """Reading needs room as well: each command says that the disk is full and ends with 1."""
    small.ask("deploy")
    fill(small.vault / "ballast")
    for command in (("list",), ("stats",), ("audit", "verify"), ("request", "-t", "deploy")):
        done = small.run(*command)
        assert done.returncode == 1, command
        assert "the disk is full" in done.stderr, (command, done.stderr)
        assert "Traceback" not in done.stderr
    assert "the disk is full" in small.run("doctor").stdout


def test_on_a_full_disk_what_is_open_can_be_read(small):
    """While a program has the ledger open, reading needs no room; only writing fails."""
    id = small.ask("deploy")
    with closing(sqlite3.connect(ledger_of(small))) as held:
        held.execute("SELECT count(*) FROM events").fetchone()
        fill(small.vault / "ballast")
        assert id in small.ok("list")
        assert small.ok("show", id)
        assert "the disk is full" in small.run("approve", id).stderr


def test_an_older_copy_of_the_ledger_is_told_of_by_what_reads(cli):
    """What was decided since is not in it: reading commands warn, and doctor calls it wrong."""
    id, copy = cli.ask(), cli.vault / "copy"
    with closing(sqlite3.connect(ledger_of(cli))) as source:
        with closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    cli.ok("approve", id)
    assert not cli.run("list").stderr.count("older copy")
    for file in ledger_of(cli).parent.glob("ledger.db*"):
        file.unlink()
    copy.rename(ledger_of(cli))
    for command in (("list",), ("show", id), ("stats",)):
        done = cli.run(*command)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("it is an older copy") == 1
    done = cli.run("doctor")
    assert done.returncode == 1
    assert "it is an older copy" in done.stdout
    done = cli.run("approve", id)
    assert done.returncode == 1
    assert done.stderr.count("it is an older copy") == 1


def test_a_command_that_filled_the_disk_is_said_to_have_run(small):
    """`hitl run` does not say that nothing changed: the command ran, and its end waits for room."""
    script = "cat /dev/zero > ballast; echo ran"
    child = small.start("run", "-t", "deploy", "--", "sh", "-c", script)
    (request,) = until(lambda: small.pending())
    small.ok("approve", request["id"])
    out, said = child.communicate(timeout=60)
    assert out.endswith("ran\n")
    assert child.returncode == 1
    assert f"{request['id']} was executed, and that could not be recorded" in said
    assert "ended with exit code 0" in said
    assert f"hitl resolve {request['id']} executed|failed" in said
    assert "nothing changed" not in said
