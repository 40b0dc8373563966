"""hitl reviewer, and what the policy check and doctor say of the people on record."""

import json
import os
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cli_support import POLICY, Cli, until

NAMED = """\
```yaml hitl-policy
default: ask
rules:
  - id: money
    effect: ask
    approvers:
      - finance
      - dora
    escalate: [{after: 45m, to: [cfo]}]
```
"""
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJc8x+sMAdDRhRfIF4j5dpvVtXkOf7ot86O2VBcsUPVX c"


@pytest.fixture
def cli(workspace):
    cli = Cli(workspace / "vault")
    cli.vault.mkdir()
    cli.ok("init", ".")
    (cli.vault / "Policy.md").write_text(POLICY)
    yield cli
    cli.close()


def changes(cli):
    """Return what the chain says changed, in order."""
    events = cli.json("audit", "show")
    return [e["data"]["changes"] for e in events if e["kind"] == "reviewers_changed"]


def doctor(cli):
    """Return what doctor found, by mark and subject."""
    done = cli.run("doctor", "--json")
    return [(c["mark"], c["what"], c["found"]) for c in json.loads(done.stdout)["checks"]]


def me():
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def test_people_come_change_and_go_and_each_change_is_in_the_chain(cli):
    """add, role, key, away, remove: files tight, list complete, chain whole."""
    cli.ok("reviewer", "add", "alice", "--role", "finance")
    cli.ok("reviewer", "add", "bob")
    cli.ok("reviewer", "role", "alice", "--add", "cfo", "--remove", "finance")
    cli.ok("reviewer", "key", "alice", "--add", "-", "--until", "2100-01-01", input=PUBLIC)
    soon = (datetime.now(UTC) + timedelta(days=9)).date().isoformat()
    cli.ok("reviewer", "away", "alice", "--until", soon, "--to", "bob")
    for name in ("reviewers.toml", "allowed_signers"):
        assert stat.S_IMODE((cli.vault / ".hitl" / name).stat().st_mode) == 0o600
    alice, bob = cli.json("reviewer", "list")
    assert (alice["roles"], alice["covered_by"], bob["stands_in_for"]) == (
        ["cfo"],
        "bob",
        ["alice"],
    )
    assert alice["keys"][0]["fingerprint"].startswith("SHA256:6Sj8")
    table = cli.ok("reviewer", "list")
    assert "bob stands in" in table
    assert "stands in for alice" in table
    cli.ok("reviewer", "away", "alice", "--clear")
    gone = cli.ok("reviewer", "remove", "Alice")
    assert "SHA256:6Sj8" in gone
    assert [one["name"] for one in cli.json("reviewer", "list")] == ["bob"]
    assert (cli.vault / ".hitl" / "allowed_signers").read_text() == ""
    said = changes(cli)
    assert said[0] == ["+ alice holds the role finance", "+ alice is a reviewer"]
    assert len(said) == 7
    assert any("SHA256:6Sj8" in line for line in said[-1])
    assert "- alice is a reviewer" in cli.ok("audit", "show")
    cli.ok("audit", "verify")


MISTAKES = [
    (["role", "alise", "--add", "x"], "did you mean alice?"),
    (["role", "alice"], "--add or --remove"),
    (["add", "ALICE"], "on record"),
    (["away", "alice"], "--until"),
    (["away", "alice", "--until", "soon"], "is no date"),
    (["away", "alice", "--until", "2100-01-01", "--clear"], "--clear alone"),
    (["away", "alice", "--from", "2100-01-02", "--until", "2100-01-01"], "after the beginning"),
    (["key", "alice", "--add", "no-such-file"], "cannot read no-such-file"),
    (["key", "alice"], "--add or with --remove"),
    (["key", "alice", "--remove", "SHA256:abcdefghij"], "there are: none"),
]


def test_a_mistake_is_named_and_changes_nothing(cli):
    """Each ends with 2, says what to do, and leaves the files as they were."""
    cli.ok("reviewer", "add", "alice")
    before = (cli.vault / ".hitl" / "reviewers.toml").read_bytes()
    for arguments, said in MISTAKES:
        done = cli.run("reviewer", *arguments)
        assert done.returncode == 2, arguments
        assert said in done.stderr
    assert (cli.vault / ".hitl" / "reviewers.toml").read_bytes() == before


def test_whoever_is_named_in_the_policy_is_missed_when_they_go(cli):
    """remove and role --remove warn of names and roles that are nobody's then."""
    (cli.vault / "Policy.md").write_text(NAMED)
    for name, *roles in (("alice", "--role", "finance"), ("dora",), ("eve", "--role", "cfo")):
        cli.ok("reviewer", "add", name, *roles)
    cli.ok("reviewer", "away", "alice", "--until", "2100-01-01", "--to", "dora")
    done = cli.run("reviewer", "remove", "dora")
    assert "Policy.md names dora" in done.stderr
    assert "alice named dora as stand-in" in done.stderr
    assert "names cfo" in cli.run("reviewer", "role", "eve", "--remove", "cfo").stderr
    assert "names finance" in cli.run("reviewer", "remove", "alice").stderr


def test_a_name_nobody_bears_is_an_error_where_reviewers_are_on_record(cli):
    """By line, with the nearest name; a hint where no record is kept."""
    (cli.vault / "Policy.md").write_text(NAMED)
    hint = cli.json("policy", "check")
    assert hint["ok"]
    assert [p["severity"] for p in hint["problems"]] == ["hint"]
    assert "cfo, dora, finance" in hint["problems"][0]["message"]
    cli.ok("reviewer", "add", "dora")
    cli.ok("reviewer", "add", "alice", "--role", "finances")
    done = cli.run("policy", "check")
    assert done.returncode == 1
    assert "Policy.md:7: error: `approvers` names `finance`" in done.stdout
    assert "did you mean `finances`?" in done.stdout
    assert "Policy.md:9: error: `escalate` names `cfo`" in done.stdout
    assert ("wrong", "named") in {(mark, what) for mark, what, _ in doctor(cli)}
    cli.ok("reviewer", "role", "alice", "--add", "finance")
    cli.ok("reviewer", "role", "dora", "--add", "cfo")
    assert cli.json("policy", "check")["problems"] == []


def test_a_running_desk_records_an_edit_by_hand(cli):
    """Nobody ran a command: the desk sees the files."""
    cli.start("watch")
    (cli.vault / ".hitl" / "reviewers.toml").write_text('[alice]\nroles = ["finance"]\n')
    until(lambda: changes(cli), "the change on record")
    assert changes(cli) == [["+ alice holds the role finance", "+ alice is a reviewer"]]


def test_doctor_tells_what_is_wrong_with_people_and_keys(cli):
    """Modes, patterns, namespaces, expired keys, people away, a broken file."""
    state = cli.vault / ".hitl"
    cli.ok("reviewer", "add", "alice")
    cli.ok("reviewer", "add", "bob")
    cli.ok("reviewer", "away", "alice", "--until", "2100-01-01")
    kind, key, _ = PUBLIC.split()
    (state / "allowed_signers").write_text(
        f'* {kind} {key}\nbob namespaces="hitl-vault",valid-before="20200101Z" {kind} {key}\n'
    )
    (state / "allowed_signers").chmod(0o666)
    (state / "keys").mkdir(mode=0o700)
    (state / "keys" / "secret").write_text("x")
    (state / "keys" / "secret").chmod(0o644)
    found = doctor(cli)
    told = [f"{mark} {what}: {text}" for mark, what, text in found]
    for part in (
        "wrong allowed_signers: others may change",
        "wrong keys: other users may read secret",
        "wrong allowed_signers: line 1, *: the name is a pattern",
        "look allowed_signers: line 1, *: what it signed",
        "look allowed_signers: line 2, bob: expired on 2020-01-01",
        "look away: alice is away: nobody stands in",
        "note identity: under ",
    ):
        assert any(line.startswith(part) for line in told), (part, told)
    (state / "reviewers.toml").write_text("[alice")
    assert any(m == "wrong" and w == "reviewers" for m, w, _ in doctor(cli))


def test_doctor_says_when_agents_run_as_who_owns_the_record(cli):
    """Plainly, and as something to look at where a rule relies on proof."""
    cli.ok("run", "--type", "read", "--", "true")
    id = cli.ask("payment")
    cli.ok("approve", id)
    cli.run("run", "--id", id, "--type", "payment", "--details", "{}", "--", "true")
    done = cli.start("run", "--type", "deploy", "--", "true")
    (waiting,) = until(lambda: cli.pending(type="deploy"))
    cli.ok("approve", waiting["id"])
    done.communicate(timeout=30)
    told = {what: (mark, text) for mark, what, text in doctor(cli)}
    assert told["users"][0] == "look"
    assert f"agents run as {me()}" in told["users"][1]


def test_the_requester_cannot_answer_over_the_command_line(cli):
    """The OS user is the reviewer there, and the requester too if they asked in that name."""
    id = cli.ask("secret", "--by", me())
    done = cli.run("approve", id)
    assert "asked for this and cannot answer it" in done.stderr
    assert cli.status(id) == "pending"


def test_a_stand_in_shows_for_whom_in_show_and_audit(cli):
    """hitl show and hitl audit show say on whose behalf."""
    (cli.vault / "Policy.md").write_text(NAMED)
    for name, *roles in (("alice", "--role", "finance"), ("dora",), (me(), "--role", "cfo")):
        cli.ok("reviewer", "add", name, *roles)
    id = cli.ask()
    cli.ok("reviewer", "away", "alice", "--until", "2100-01-01", "--to", me())
    assert f"approved by {me()} for alice" in cli.ok("approve", id)
    assert f"{me()} approves for alice" in cli.ok("show", id)
    assert "approves for alice (authenticated, over cli)" in cli.ok("audit", "show", id)
    assert cli.show(id)["votes"][0]["on_behalf_of"] == "alice"
    cli.ok("audit", "verify")
