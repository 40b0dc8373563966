"""`hitl outbox` and what `hitl doctor` says of telling people."""

from __future__ import annotations

import json

import pytest
from cli_support import POLICY, Cli, until
from receiver import Receiver

KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture
def cli(workspace):
    made = Cli(workspace / "vault")
    made.ok("init", made.vault, cwd=workspace)
    (made.vault / "Policy.md").write_text(POLICY)
    yield made
    made.close()


def set_up(cli, text):
    file = cli.vault / ".hitl" / "notify.toml"
    file.write_text(text)
    file.chmod(0o600)


def hook(receiver, **more):
    lines = {"url": f"http://127.0.0.1:{receiver.port}/s3cr3t", "secret": "env:HOOK_KEY", **more}
    table = "\n".join(f"{key} = {json.dumps(value)}" for key, value in lines.items())
    return f'[hook]\nvia = "webhook"\nevents = ["requested"]\n{table}\n'


ENV = {"HOOK_KEY": KEY}


def test_a_vault_that_tells_nobody_has_nothing_to_tell(cli):
    """And looking makes no file."""
    assert cli.ok("outbox", "list") == "nothing is left to tell\n"
    assert cli.json("outbox", "list") == []
    assert cli.ok("outbox", "retry", "--all") == "0 messages to be sent again\n"
    assert not (cli.vault / ".hitl" / "outbox.db").exists()


def test_a_dead_letter_is_listed_sent_again_or_dropped(cli):
    """By the beginning of its name, or all; a running desk sends it within seconds."""
    with Receiver(500, 500, 200) as receiver:
        set_up(cli, hook(receiver, tries=1))
        ids = [cli.ask(amount=number) for number in range(2)]
        cli.start("watch", env=ENV)
        until(lambda: len(cli.json("outbox", "list", "--dead")) == 2)
        found = cli.json("outbox", "list")
        assert {event["id"] for parcel in found for event in parcel["events"]} == set(ids)
        assert {parcel["problem"] for parcel in found} == {"http://127.0.0.1 answered 500"}
        table = cli.ok("outbox", "list")
        assert "dead" in table
        assert "s3cr3t" not in table
        doctor = cli.run("doctor", env=ENV)
        assert "2 could not be told" in doctor.stdout
        first, second = (parcel["id"].partition("-")[2] for parcel in found)
        assert cli.ok("outbox", "retry", first) == "1 message to be sent again\n"
        until(lambda: len(cli.json("outbox", "list")) == 1)
        assert cli.ok("outbox", "drop", second) == "1 message dropped\n"
        assert cli.json("outbox", "list") == []
    assert len(receiver.taken) == 3


@pytest.mark.parametrize("command", ["retry", "drop"])
def test_what_is_meant_must_be_said(cli, command):
    """One message or all; a name nobody has is not found."""
    with Receiver("hang") as receiver:
        set_up(cli, hook(receiver))
        cli.ask()
        child = cli.start("watch", env=ENV)
        until(lambda: receiver.taken)
        child.kill()
        child.wait()
    assert cli.run("outbox", command).returncode == 2
    assert cli.run("outbox", command, "9", "--all").returncode == 2
    unknown = cli.run("outbox", command, "9")
    assert unknown.returncode == 9
    assert "no message is called '9'" in unknown.stderr


def test_a_test_message_says_whether_each_way_took_it(cli):
    """Exit 1 if one did not; never an address."""
    with Receiver(200) as good, Receiver(500) as bad:
        (cli.vault / ".hitl" / "reviewers.toml").write_text(
            f'[alice]\nnotify = ["json://127.0.0.1:{bad.port}/s3cr3t"]\n[bob]\n'
        )
        set_up(cli, hook(good) + '[mail]\nvia = "apprise"\npeople = true\n')
        done = cli.run("outbox", "test", env=ENV)
        assert done.returncode == 1
        assert "✓ hook took it" in done.stdout
        assert "✗ mail to alice: JSON did not take it, it answered 500" in done.stdout
        assert "s3cr3t" not in done.stdout + done.stderr
        assert cli.json("outbox", "test", "hook", env=ENV) == [
            {"way": "hook", "to": "", "problem": ""}
        ]
        body = json.loads(good.taken[0][2])
        assert body["type"] == "hitl.test"
        assert cli.run("outbox", "test", "mail", "--to", "bob").returncode == 2
        assert "it has hook, mail" in cli.run("outbox", "test", "pigeon").stderr
    assert len(bad.taken) == 1


def test_without_a_set_up_there_is_nothing_to_test(cli):
    """It says where one is written."""
    done = cli.run("outbox", "test")
    assert done.returncode == 2
    assert ".hitl/notify.toml says no way" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[hook]\nvia = 'webhok'\n", "[hook] needs via"),
        ("[hook]\nvia = 'webhook'\nurl = 'env:NO_HOOK'\nsecret = 'env:K'\n", "no NO_HOOK"),
        ("[hook]\nvia = 'webhook'\nurl = 'https://x'\nsecret = 'whsec_%'\n", "whsec_ and base64"),
        ("[chat]\nvia = 'apprise'\nurls = ['nonsense://s3cr3t']\n", "(nonsense) is none"),
    ],
)
def test_doctor_says_what_is_wrong_without_a_secret(cli, text, said):
    """And ends with 1."""
    set_up(cli, text)
    done = cli.run("doctor")
    assert done.returncode == 1
    assert said in done.stdout
    assert "s3cr3t" not in done.stdout


def test_doctor_looks_at_who_can_read_the_set_up_and_who_has_no_address(cli):
    """Only where it matters."""
    (cli.vault / ".hitl" / "reviewers.toml").write_text("[bob]\n")
    set_up(
        cli,
        '[chat]\nvia = "apprise"\nurls = ["json://localhost/s3cr3t"]\nto = ["nobody"]\n'
        '[mail]\nvia = "apprise"\npeople = true\n',
    )
    (cli.vault / ".hitl" / "notify.toml").chmod(0o644)
    out = cli.run("doctor").stdout
    assert "chat: nobody on record is nobody" in out
    assert "mail: no address of bob" in out
    assert "others can read .hitl/notify.toml" in out
    assert "s3cr3t" not in out


def test_a_damaged_outbox_is_named_and_mended_by_a_desk_alone(cli):
    """`doctor` and `outbox list` leave it as it is; afterwards `doctor` says what was set aside."""
    path = cli.vault / ".hitl" / "outbox.db"
    with Receiver() as receiver:
        set_up(cli, hook(receiver))
        path.write_bytes(b"no database, but long enough to look like one" * 200)
        for command in (["doctor"], ["outbox", "list"], ["outbox", "retry", "--all"]):
            done = cli.run(*command, env=ENV)
            assert "outbox.db is damaged" in done.stdout + done.stderr, command
            assert done.returncode == 1
        cli.ask(amount=1)
        cli.start("watch", env=ENV)
        until(lambda: receiver.taken)
        until(lambda: cli.json("outbox", "list") == [])
        said = cli.run("doctor", env=ENV).stdout
    assert "a damaged one was set aside: outbox.db.damaged-1" in said
    assert path.with_name("outbox.db.damaged-1").read_bytes().startswith(b"no database")


def test_an_outbox_that_is_gone_is_named(cli):
    """With what becomes of it."""
    with Receiver() as receiver:
        set_up(cli, hook(receiver))
        cli.ask(amount=1)
        desk = cli.start("watch", env=ENV)
        until(lambda: receiver.taken)
        until(lambda: cli.json("outbox", "list") == [])
        desk.terminate()
        desk.wait()
        for file in (cli.vault / ".hitl").glob("outbox.db*"):
            file.unlink()
    assert "outbox.db is gone" in cli.run("doctor", env=ENV).stdout
