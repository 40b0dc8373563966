"""Answers that are proved, on the real command line: SSH keys, ballot files, codes, shared keys."""

import json
import os
import stat
import subprocess
import sys

import pytest
from cli_support import POLICY, Cli, environment
from ssh_kit import make_key, needs_ssh, public

SURE = POLICY.replace(
    "  - id: sure\n",
    """\
  - id: signed
    when: action.type == "transfer"
    effect: ask
    answers: [approve, reject, edit]
    assurance: signed
  - id: named
    when: action.type == "grant"
    effect: ask
    assurance: authenticated
    approvers: [alice]
  - id: sure
""",
)
ME = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def cli(workspace):
    cli = Cli(workspace / "vault")
    Cli(workspace).ok("init", str(cli.vault))
    (cli.vault / "Policy.md").write_text(SURE)
    yield cli
    cli.close()


@pytest.fixture
def key(cli):
    return make_key(cli.vault.parent)


def refused(cli, *arguments, **options):
    """Run a command whose proof must be refused; return what it said."""
    done = cli.run(*arguments, **options)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


def events(cli, id):
    return cli.json("audit", "show", id)


# SSH keys


@needs_ssh
def test_an_answer_is_signed_and_counts(cli, key):
    id = cli.ask("transfer", amount=1)
    said = cli.ok("reviewer", "key", ME, "--add", f"{key}.pub", "--until", "2100-01-01")
    assert f"counts for {ME}" in said
    done = cli.run("approve", id)
    assert done.returncode == 1
    assert f"hitl approve {id} --sign KEY" in done.stderr
    assert "approved by" in cli.ok("approve", id, "--sign", key, "-m", "fine")
    vote = cli.show(id)["votes"][0]
    assert (vote["reviewer"], vote["assurance"], vote["channel"]) == (ME, "signed", "cli")
    note = next((cli.vault / "Pending_Approval").glob("*.md")).read_text()
    assert "approves (signed with ssh:SHA256:" in note


@needs_ssh
def test_a_name_that_is_signed_is_proved(cli, key):
    id = cli.ask("transfer", amount=1)
    cli.ok("reviewer", "key", "alice", "--add", f"{key}.pub")
    assert "is not bob's" in refused(cli, "reject", id, "--as", "bob", "--sign", key)
    cli.ok("reject", id, "--as", "Alice", "--sign", key)
    assert cli.show(id)["votes"][0]["reviewer"] == "Alice"
    kinds = [event["kind"] for event in events(cli, id)]
    assert kinds == ["requested", "refused", "voted", "rejected"]


@needs_ssh
def test_an_unknown_key_is_refused_recorded_and_named_in_json(cli, key):
    id = cli.ask("transfer", amount=1)
    done = cli.run("approve", id, "--sign", key, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "trust"
    assert "is not in allowed_signers" in done.stderr
    assert cli.status(id) == "pending"
    assert events(cli, id)[-1]["kind"] == "refused"
    cli.ok("audit", "verify")


@needs_ssh
def test_a_change_is_signed_with_its_values(cli, key):
    cli.ok("reviewer", "key", ME, "--add", f"{key}.pub")
    id = cli.ask("transfer", amount=1)
    cli.ok("approve", id, "--set", "amount=2", "--sign", key)
    assert cli.show(id)["details"] == {"amount": 2}


@needs_ssh
def test_a_ballot_is_made_here_signed_there_and_handed_in_here(cli, key, workspace):
    cli.ok("reviewer", "key", "alice", "--add", f"{key}.pub")
    id = cli.ask("transfer", amount=7)
    made = cli.ok("ballot", "make", id, "-a", "approve", "--as", "alice", "-m", "ok", "-o", "b")
    assert "hitl ballot sign b --key KEY" in made
    file = cli.vault / "b"
    there = workspace / "there"
    there.mkdir()
    (there / "b").write_text(file.read_text())
    elsewhere = Cli(there)  # no vault there
    shown = elsewhere.ok("ballot", "show", "b")
    assert '"amount": 7' in shown
    assert "not signed yet" in shown
    assert elsewhere.run("ballot", "sign", "b", "--key", key).returncode == 2  # nobody is asked
    assert '"amount": 7' in elsewhere.ok("ballot", "sign", "b", "--key", key, "--yes")
    assert "signed with ssh:SHA256:" in elsewhere.ok("ballot", "show", "b")
    assert cli.run("ballot", "submit", "b").returncode == 2  # the copy here is not signed
    file.write_text((there / "b").read_text())
    assert "approved by alice" in cli.ok("ballot", "submit", "b")
    vote = cli.show(id)["votes"][0]
    assert (vote["reviewer"], vote["assurance"], vote["reason"]) == ("alice", "signed", "ok")
    assert cli.run("ballot", "submit", "b").returncode == 0  # the same answer again


@needs_ssh
def test_a_machine_with_nothing_but_openssh_can_sign(cli, key, workspace):
    cli.ok("reviewer", "key", ME, "--add", f"{key}.pub")
    id = cli.ask("transfer", amount=7)
    cli.ok("ballot", "make", id, "-a", "reject", "-o", "b")
    exact = subprocess.run(
        [sys.executable, "-m", "hitl_vault", "ballot", "show", "b", "--bytes"],
        cwd=cli.vault,
        env=environment(),
        capture_output=True,
        check=True,
    ).stdout
    (workspace / "x").write_bytes(exact)
    subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-n", "hitl-vault", "-f", str(key), str(workspace / "x")],
        check=True,
        capture_output=True,
    )
    cli.ok("ballot", "submit", "b", "--signature", workspace / "x.sig")
    assert cli.status(id) == "rejected"


@needs_ssh
def test_what_a_ballot_shows_is_what_is_signed(cli, key):
    """Nobody shows one action and has another signed."""
    id = cli.ask("transfer", amount=7)
    cli.ok("ballot", "make", id, "-a", "approve", "-o", "b")
    form = json.loads((cli.vault / "b").read_text())
    for change in (
        {"action": form["action"] | {"details": {"amount": 1}}},
        {"changed": {"amount": 1}},
        {"statement": form["statement"] | {"answer": "edit"}},
    ):
        (cli.vault / "c").write_text(json.dumps(form | change))
        assert "do not sign it" in refused(cli, "ballot", "sign", "c", "--key", key, "--yes")
    for text in (
        "",
        "{}",
        "[]",
        json.dumps(form | {"more": 1}),
        json.dumps(form | {"statement": 1}),
    ):
        (cli.vault / "c").write_text(text)
        assert cli.run("ballot", "show", "c").returncode == 2


@needs_ssh
def test_a_ballot_of_another_vault_is_not_found_or_refused(cli, key, workspace):
    cli.ok("reviewer", "key", ME, "--add", f"{key}.pub")
    mine = cli.ask("transfer", "--id", "t-1", amount=7)
    cli.ok("ballot", "make", mine, "-a", "approve", "-o", "b")
    cli.ok("ballot", "sign", "b", "--key", key, "--yes")
    other = Cli(workspace / "other")
    Cli(workspace).ok("init", str(other.vault))
    (other.vault / "Policy.md").write_text(SURE)
    file = cli.vault / "b"
    assert other.run("ballot", "submit", file).returncode == 9
    other.ok("reviewer", "key", ME, "--add", f"{key}.pub")
    other.ask("transfer", "--id", "t-1", amount=7)
    assert "signed for another vault" in refused(other, "ballot", "submit", file)


@needs_ssh
def test_only_a_public_key_of_one_person_is_allowed(cli, key):
    for name, file in (
        ("ann", key),
        ("*", f"{key}.pub"),
        ("a,b", f"{key}.pub"),
        ("", f"{key}.pub"),
    ):
        assert cli.run("reviewer", "key", name, "--add", file).returncode == 2, name
    assert not (cli.vault / ".hitl" / "allowed_signers").exists()
    cli.ok("reviewer", "key", "Ann Smith", "--add", f"{key}.pub")
    assert cli.run("reviewer", "key", "ann smith", "--add", f"{key}.pub").returncode == 2
    (listed,) = cli.json("key", "list")
    assert (listed["reviewer"], listed["key"][:11]) == ("Ann Smith", "ssh:SHA256:")


def test_a_ballot_is_not_overwritten(cli):
    id = cli.ask("transfer", amount=7)
    cli.ok("ballot", "make", id, "-a", "approve", "-o", "b")
    assert cli.run("ballot", "make", id, "-a", "reject", "-o", "b").returncode == 2
    assert cli.run("ballot", "make", id, "-a", "maybe").returncode == 2


# shared keys


def test_a_shared_key_signs_and_is_retired(cli):
    line = cli.ok("key", "add", "alice", "--id", "alice-1").split()
    name, secret = line
    assert (name, secret[:7]) == ("hmac:alice-1", "base64:")
    file = cli.vault / ".hitl" / "keys" / "hmac.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with_secret = {"env": {"HITL_HMAC_SECRET": secret}}
    one, two = cli.ask("transfer", amount=1), cli.ask("transfer", amount=2)
    assert cli.run("approve", one, "--as", "alice", "--sign", name).returncode == 2
    cli.ok("approve", one, "--as", "alice", "--sign", name, **with_secret)
    assert cli.show(one)["votes"][0]["assurance"] == "signed"
    cli.ok("key", "retire", "hmac:alice-1")
    said = refused(cli, "approve", two, "--as", "alice", "--sign", name, **with_secret)
    assert "expired or is retired" in said
    listed = cli.ok("key", "list")
    assert "no: ended" in listed
    assert secret.removeprefix("base64:") not in listed + cli.ok("doctor")


def test_a_ballot_is_signed_with_a_shared_key_elsewhere(cli):
    name, secret = cli.ok("key", "add", ME).split()
    id = cli.ask("transfer", amount=1)
    cli.ok("ballot", "make", id, "-a", "approve", "-o", "b")
    cli.ok("ballot", "sign", "b", "--key", name, "--yes", env={"HITL_HMAC_SECRET": secret})
    cli.ok("ballot", "submit", "b")
    assert cli.status(id) == "approved"


# codes and second factors


def test_a_code_given_to_the_command_proves_a_name(cli):
    id = cli.ask("grant", amount=1)
    sent = cli.ok("code", "send", id, "--to", "alice")
    assert "a code goes to alice" in sent
    code = code_of(cli, id)
    assert code not in sent
    wrong = f"{(int(code.replace(' ', '')) + 1) % 10**8:08d}"
    assert "not the one sent to alice" in refused(
        cli, "approve", id, "--as", "alice", "--code", wrong
    )
    cli.ok("approve", id, "--as", "alice", "--code", "-", input=f"{code}\n")
    vote = cli.show(id)["votes"][0]
    assert (vote["reviewer"], vote["assurance"], vote["channel"]) == (
        "alice",
        "authenticated",
        "code",
    )
    everything = json.dumps(cli.json("audit", "show")) + json.dumps(cli.show(id))
    assert code not in everything
    assert code.replace(" ", "") not in everything
    assert stat.S_IMODE((cli.vault / ".hitl" / "keys" / "code.key").stat().st_mode) == 0o600


def test_codes_go_out_by_themselves_to_reviewers_with_an_address(cli):
    (cli.vault / ".hitl" / "reviewers.toml").write_text('[alice]\nnotify = ["mailto://a@b.c"]\n')
    id = cli.ask("grant", amount=1)
    assert [event["kind"] for event in events(cli, id)] == ["requested", "code_issued"]
    cli.ok("reject", id, "--as", "alice", "--code", code_of(cli, id))
    assert cli.status(id) == "rejected"


def code_of(cli, id):
    """Return the code as who delivers it gets it."""
    import asyncio

    from hitl_vault import Kind, Orchestrator

    async def found():
        async with Orchestrator(cli.vault, watching=False) as hitl:
            issued = [r.event for r in await hitl.history(id) if r.event.kind is Kind.CODE_ISSUED]
            return hitl.code_for(issued[-1])

    return asyncio.run(found())


def test_a_second_factor_proves_a_name(cli):
    pyotp = pytest.importorskip("pyotp")
    address = cli.ok("key", "totp", "alice").strip()
    app = pyotp.parse_uri(address)
    id = cli.ask("grant", amount=1)
    assert "is wrong" in refused(cli, "approve", id, "--as", "alice", "--totp", "00000x")
    cli.ok("approve", id, "--as", "alice", "--totp", app.now())
    assert cli.show(id)["votes"][0]["channel"] == "totp"
    assert cli.run("key", "totp", "alice").returncode == 2
    assert cli.run("key", "totp", "bob", "--qr").returncode == 2  # not on a terminal
    cli.ok("key", "retire", "totp:alice")
    assert cli.json("key", "list") == []


def test_one_proof_at_a_time(cli):
    id = cli.ask("grant", amount=1)
    assert cli.run("approve", id, "--code", "1", "--totp", "2").returncode == 2
    assert cli.run("approve", id, "--code", "").returncode == 2
    assert cli.run("approve", id, "--sign", "nowhere").returncode == 2
    assert cli.run("key", "retire", "SHA256:x").returncode == 2


# doctor


@needs_ssh
def test_doctor_looks_at_the_keys(cli, key):
    advice = cli.ok("doctor")
    assert "the rule signed asks for signed answers, and nobody has a key" in advice
    cli.ok("reviewer", "key", ME, "--add", f"{key}.pub")
    cli.ok("key", "add", "alice")
    assert "1 SSH keys" in cli.ok("doctor")
    signers = cli.vault / ".hitl" / "allowed_signers"
    signers.write_text(f"{signers.read_text()}* {public(key)}\n")
    done = cli.run("doctor")
    assert "allowed_signers:2: its principals hold a pattern" in done.stdout
    os.chmod(cli.vault / ".hitl" / "keys" / "hmac.toml", 0o644)
    done = cli.run("doctor")
    assert done.returncode == 1
    assert "others may read it" in done.stdout
