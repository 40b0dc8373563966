"""`policy_lock`: a policy that loosens comes into force by a signature, made on the command line."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cli_support import POLICY, Cli

from hitl_vault.adapters.policy.lock import FilePolicyLock
from hitl_vault.adapters.ssh.keygen import sign
from hitl_vault.adapters.ssh.signing import AllowedSigners
from hitl_vault.errors import InvalidRequest, TrustError

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen")
LOOSER = POLICY.replace("quorum: 2", "quorum: 1")


def make_key(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return " ".join(Path(f"{path}.pub").read_text().split()[:2])


@pytest.fixture
def cli(workspace):
    cli = Cli(workspace / "vault")
    cli.vault.mkdir()
    cli.ok("init", ".")
    (cli.vault / "Policy.md").write_text(POLICY)
    cli.ask()  # puts the policy on record
    (cli.vault / ".hitl" / "config.toml").write_text("policy_lock = true\n")
    public = make_key(workspace / "key")
    (cli.vault / ".hitl" / "allowed_signers").write_text(
        f'"Ann Lee" namespaces="hitl-vault,hitl-vault-policy" {public} ann@laptop\n'
    )
    yield cli
    cli.close()


def quorum(cli):
    id = cli.ask("launch", x=1)
    return cli.show(id)["requirement"]["stages"][0]["quorum"]


def test_a_looser_policy_waits_for_the_signature_and_says_so_everywhere(cli, workspace):
    """check, doctor and lock --status name it; after --sign it is in force, by whom is recorded."""
    (cli.vault / "Policy.md").write_text(LOOSER)
    for command in (("policy", "check"), ("policy", "lock", "--status"), ("doctor",)):
        done = cli.run(*command)
        assert done.returncode == 1, command
        assert "nobody has signed it" in done.stdout + done.stderr, command
    assert quorum(cli) == 2
    out = cli.ok("policy", "lock", "--sign", workspace / "key")
    assert "~ two: stages was 2 of anyone and is 1 of anyone" in out
    assert "signed by Ann Lee" in out
    cli.ok("policy", "check")
    assert quorum(cli) == 1
    events = [e for e in cli.json("audit", "show") if e["kind"] == "policy_changed"]
    assert events[-1]["data"]["signed_by"] == "Ann Lee"
    assert events[-1]["data"]["loosens"] is True
    assert cli.json("audit", "verify")["ok"]


def test_the_environment_cannot_take_the_lock_off(cli):
    """Only the vault's own file can."""
    (cli.vault / "Policy.md").write_text(LOOSER)
    done = cli.run("policy", "lock", "--status", env={"HITL_POLICY_LOCK": "false"})
    assert done.returncode == 1
    assert "nobody has signed it" in done.stdout


def test_a_key_that_may_not_sign_policies_signs_none(cli, workspace):
    """A reviewer's key for answers only, a stranger's, and a file that is no key: exit, no lock."""
    signers = cli.vault / ".hitl" / "allowed_signers"
    only_answers = signers.read_text().replace(",hitl-vault-policy", "")
    (cli.vault / "Policy.md").write_text(LOOSER)
    make_key(workspace / "strange")
    assert cli.run("policy", "lock", "--sign", workspace / "strange").returncode == 1
    assert cli.run("policy", "lock", "--sign", workspace / "none").returncode == 2
    signers.write_text(only_answers)
    assert cli.run("policy", "lock", "--sign", workspace / "key").returncode == 1
    assert not (cli.vault / ".hitl" / "policy.lock").exists()
    assert cli.run("policy", "lock").returncode == 2


def test_every_changed_byte_of_a_lock_makes_it_worthless(workspace):
    """Envelope, statement, signature, vault, policy, key: nothing can be otherwise."""
    public = make_key(workspace / "key")
    (workspace / "signers").write_text(f'ann namespaces="hitl-vault-policy" {public}\n')
    signers = AllowedSigners(workspace / "signers")
    file = workspace / "policy.lock"
    lock = FilePolicyLock(file, "v" * 32, signers)
    from datetime import UTC, datetime

    assert lock.sign("a" * 64, workspace / "key", datetime.now(UTC)) == "ann"
    assert lock.signed_by("a" * 64) == "ann"
    assert lock.signed_by("b" * 64) == ""
    assert FilePolicyLock(file, "w" * 32, signers).signed_by("a" * 64) == ""
    text = file.read_bytes().strip()
    form = json.loads(text)
    for at in range(0, len(text), 5):
        torn = bytearray(text)
        torn[at] ^= 1
        file.write_bytes(bytes(torn))
        try:
            same = json.loads(bytes(torn)) == form
        except ValueError:
            same = False
        assert same or lock.signed_by("a" * 64) == "", at
    file.write_bytes(text)
    for options in ('valid-before="20200101"', 'namespaces="hitl-vault"', "cert-authority"):
        (workspace / "signers").write_text(f"ann {options} {public}\n")
        assert lock.signed_by("a" * 64) == "", options
    for names in ("*", "bob", "an?", "!bob,ann"):
        (workspace / "signers").write_text(f"{names} {public}\n")
        assert lock.signed_by("a" * 64) == "", names
    (workspace / "signers").write_text(f"ann {public}\n")
    assert lock.signed_by("a" * 64) == "ann"


def test_signing_says_what_is_wrong(workspace):
    """No key, no signature: clear errors."""
    (workspace / "no").write_text("not a key")
    with pytest.raises(InvalidRequest, match="did not sign"):
        sign("hitl-vault-policy", b"x", workspace / "no")
    with pytest.raises(TrustError, match="not an SSH signature"):
        AllowedSigners(workspace / "none").verify("hitl-vault-policy", "ann", b"x", b"nonsense")
