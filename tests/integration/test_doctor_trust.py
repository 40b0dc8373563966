"""`hitl doctor` finds what lets somebody tamper; `hitl init` leaves none of it, whatever the umask."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cli_support import POLICY, ROOT, Cli, environment

from hitl_vault.cli import checks_trust
from hitl_vault.cli.checks import Mark
from hitl_vault.config import load_settings


@pytest.fixture
def cli(workspace):
    cli = Cli(workspace / "vault")
    cli.vault.mkdir()
    cli.ok("init", ".")
    (cli.vault / "Policy.md").write_text(POLICY)
    yield cli
    cli.close()


def found(cli, what):
    """Return the marks and texts of one kind of finding."""
    checks = json.loads(cli.run("doctor", "--json").stdout)["checks"]
    return [(c["mark"], c["found"]) for c in checks if c["what"] == what]


def test_state_and_keys_are_private_whatever_the_umask_says(workspace):
    """After init and a working desk, nobody else may read or write anything in .hitl."""
    program = (
        "import os, asyncio, sys; os.umask(0)\n"
        "from hitl_vault.cli import main\n"
        "sys.argv = ['hitl', 'init', 'v']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "from hitl_vault import Orchestrator\n"
        "async def work():\n"
        "    async with Orchestrator('v', settle_s=0) as hitl:\n"
        "        r = await hitl.request_approval('payment', '', {'amount': 1})\n"
        "        await hitl.approve(r.id, reviewer='ann')\n"
        "        async with hitl.execution(r.id): pass\n"
        "        for f in os.popen('find v/.hitl -exec stat -c \"%a %n\" {} +').read().splitlines(): print('mode', f)\n"
        "asyncio.run(work())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=workspace,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    listed = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("mode ")]
    names = {Path(name).name for _, name in listed}
    assert {"ledger.db", "documents.db", "bell", "run", "policy.last-good", "config.toml"} <= names
    assert [(mode, name) for mode, name in listed if int(mode, 8) & 0o077] == []


def test_what_others_may_write_or_read_is_named(cli):
    """State, rules and secret keys."""
    assert found(cli, "modes") == []
    state = cli.vault / ".hitl"
    (state / "allowed_signers").write_text("")
    (state / "allowed_signers").chmod(0o666)
    (state / "keys").mkdir(mode=0o700)
    (state / "keys" / "hmac").write_text("secret")
    (state / "keys" / "hmac").chmod(0o644)
    (cli.vault / "Policy.md").chmod(0o666)
    assert found(cli, "modes") == [("look", "other users may write .hitl/allowed_signers")]
    assert found(cli, "keys") == [("wrong", "other users may read hmac")]
    assert ("look", "other users may write Policy.md") in found(cli, "policy")


def test_a_reviewers_private_key_in_reach_of_the_agents_is_named(cli, workspace):
    """It lies in the engine's own home; a hardware key's stub does no harm there."""
    ssh = workspace / "home" / ".ssh"
    ssh.mkdir(parents=True)
    (ssh / "id.pub").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5a2V5 ann\n")
    (ssh / "id").write_text("private")
    (ssh / "token.pub").write_text(
        "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tc2tz ann\n"
    )
    (ssh / "token").write_text("stub")
    (cli.vault / ".hitl" / "allowed_signers").write_text(
        "ann ssh-ed25519 AAAAC3NzaC1lZDI1NTE5a2V5\nann sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tc2tz\n"
    )
    checks = list(checks_trust.reviewers_keys(cli.vault, workspace / "home"))
    assert [(check.mark, str(ssh / "id") in check.found) for check in checks] == [(Mark.LOOK, True)]


def test_checkpoints_that_are_missing_old_or_contradict_are_named(cli, workspace, monkeypatch):
    """None at all in a grown ledger, one in the vault itself, one of another chain."""
    monkeypatch.setattr(checks_trust, "_WORTH_A_CHECKPOINT", 2)
    cli.ask("a", x=1)

    def looked(**settings):
        given = load_settings(cli.vault, {}, settings)
        return [(c.mark, c.found) for c in checks_trust.checkpoints(cli.vault, given)]

    assert looked() == [(Mark.LOOK, "the head of the chain is noted nowhere else")]
    file = workspace / "heads"
    ((mark, text),) = looked(checkpoint_to=str(file))
    assert mark is Mark.LOOK
    cli.ok("audit", "checkpoint", "--to", file)
    ((mark, text),) = looked(checkpoint_to=str(file))
    assert (mark, text) == (Mark.GOOD, f"1 agree, in {file}")
    inside = cli.vault / "heads"
    ((mark, text),) = looked(checkpoint_to=str(inside))
    assert (mark, "lies in the vault" in text) == (Mark.LOOK, True)
    noted = json.loads(file.read_text())
    file.write_text(json.dumps(noted | {"at": "2020-01-01T00:00:00Z"}) + "\n")
    cli.ask("a", x=2)
    ((mark, text),) = looked(checkpoint_to=str(file))
    assert (mark, text) == (Mark.LOOK, "the last one is of 2020-01-01")
    file.write_text(json.dumps(noted | {"hash": "0" * 64}) + "\n")
    ((mark, text),) = looked(checkpoint_to=str(file))
    assert mark is Mark.WRONG


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_a_ledger_that_git_would_take_is_named(cli):
    """The ignore file of `hitl init` keeps it out; without that it is said."""
    subprocess.run(["git", "init", "-q", str(cli.vault)], check=True)
    assert found(cli, "git") == []
    (cli.vault / ".hitl" / ".gitignore").unlink()
    assert found(cli, "git") == [("look", "git does not ignore the ledger in .hitl")]


def test_a_lock_that_nobody_can_open_is_wrong(cli):
    """policy_lock without a list of keys: no policy could ever loosen."""
    cli.ask("a", x=1)
    (cli.vault / ".hitl" / "config.toml").write_text("policy_lock = true\n")
    assert ("wrong", "no key may sign a policy") in found(cli, "policy lock")
    (cli.vault / ".hitl" / "allowed_signers").write_text("# nobody yet\n")
    assert found(cli, "policy lock") == [
        ("good", "on; a policy that loosens waits for a signature")
    ]
    assert stat.S_IMODE(os.stat(cli.vault / ".hitl").st_mode) == 0o700
