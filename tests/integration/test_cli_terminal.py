"""What a person sees on a terminal: tables, progress, review and the live desk."""

import signal
import stat

import pytest
from cli_support import POLICY, Cli, Terminal


@pytest.fixture
def cli(workspace):
    cli = Cli(workspace)
    cli.ok("init", ".")
    (workspace / "Policy.md").write_text(POLICY)
    yield cli
    cli.close()


def shown(cli, *arguments, **options):
    with Terminal(cli, *arguments, **options) as terminal:
        assert terminal.end() == 0
        return terminal


def test_a_terminal_gets_colour_and_no_color_takes_it_away(cli):
    """Colour on a terminal; with NO_COLOR none, and the same words."""
    cli.ask("payment", amount=1500, to="v@example.com")
    coloured = shown(cli, "list")
    plain = shown(cli, "list", env={"NO_COLOR": "1"})
    assert "\x1b[31m" in coloured.seen
    assert "\x1b[3" not in plain.seen
    for words in ("payment: 1500 to v@example.com", "high", "agent"):
        assert words in coloured.text
        assert words in plain.text


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 140, 200])
def test_no_line_is_wider_than_the_terminal(cli, columns):
    """Tables give up columns before they wrap, and always name the request and the action."""
    cli.ask("payment", "--by", "an-agent-with-a-long-name", "-m", "long " * 40, amount=1, to="x")
    text = shown(cli, "list", columns=columns).text
    assert all(len(line) <= columns for line in text.splitlines()), text
    assert "payment" in text
    assert "id" in text


def test_the_shown_beginning_of_an_id_is_enough_to_name_it(cli):
    """What a narrow list shows of an id can be typed back."""
    ids = [cli.ask("a", x=n) for n in range(3)]
    text = shown(cli, "list", columns=80).text
    beginnings = [line.split("…")[0].split()[0] for line in text.splitlines()[1:] if line.strip()]
    assert sorted(cli.show(beginning)["id"] for beginning in beginnings) == sorted(ids)


def test_hostile_text_is_inert_in_tables(cli):
    """Markup is text, escapes are named, in colour too."""
    cli.ask("a", "-m", "\x1b]0;pwned\x07[bold red]x[/] :boom: \u202e", x=1)
    terminal = shown(cli, "list", columns=140)
    assert "pwned" in terminal.text
    assert "\x1b]0;" not in terminal.seen
    assert "\u202e" not in terminal.seen
    assert "[bold red]x[/] :boom: ⟨U+202E⟩" in terminal.text


def test_waiting_shows_that_it_waits_and_ctrl_c_ends_it_quietly(cli):
    """It names the request and the time left; Ctrl-C is 130, without a traceback, and says that the
    request still waits and what goes on with it.
    """
    id = cli.ask()
    with Terminal(cli, "wait", id) as terminal:
        terminal.expect(f"waiting for an answer to {id}")
        terminal.send("\x03")
        terminal.expect(f"{id} still waits for its answer")
        terminal.expect(f"go on with: hitl wait {id}")
        assert terminal.end() == 130
        assert "Traceback" not in terminal.text
    assert cli.status(id) == "pending"


def test_review_walks_oldest_first_and_takes_one_key_each(cli):
    """a approves, r rejects, s skips; what was shown is what is answered."""
    one, two, three = (cli.ask("a", x=n) for n in range(3))
    with Terminal(cli, "review") as terminal:
        terminal.expect(f"1 of 3 · {one}")
        terminal.expect("[q]uit")
        assert '"x": 0' in terminal.text
        assert "[e]dit" not in terminal.text
        terminal.send("a")
        terminal.expect("reason (may be empty):")
        terminal.send("fine\r")
        terminal.expect(f"{one} approved by")
        terminal.expect(f"2 of 3 · {two}")
        terminal.expect("[q]uit", times=2)
        terminal.send("s")
        terminal.expect("still waits")
        terminal.expect("[q]uit", times=3)
        terminal.send("r")
        terminal.expect("reason (may be empty):", times=2)
        terminal.send("no\r")
        terminal.expect("2 answered")
        assert terminal.end() == 0
    assert [cli.status(id) for id in (one, two, three)] == ["approved", "pending", "rejected"]
    assert cli.show(one)["votes"][0]["assurance"] == "authenticated"
    assert cli.show(one)["reason"] == "fine"


def test_review_answers_nothing_by_accident(cli):
    """Other keys, Enter and keys typed ahead decide nothing; Ctrl-C ends with 130."""
    one, two = (cli.ask("a", x=n) for n in range(2))
    with Terminal(cli, "review") as terminal:
        terminal.expect("[q]uit")
        terminal.send("x")
        terminal.expect("[q]uit", times=2)
        terminal.send("\x1b[A")
        terminal.expect("[q]uit", times=3)
        terminal.send("\r")
        terminal.expect(f"2 of 2 · {two}")
        terminal.expect("[q]uit", times=4)
        terminal.send("\x03")
        assert terminal.end() == 130
        assert "Traceback" not in terminal.text
    assert [cli.status(id) for id in (one, two)] == ["pending", "pending"]


def test_review_edits_in_the_persons_editor(cli):
    """e opens $EDITOR on the details, shows the change, asks again, and approves the changed ones."""
    id = cli.ask("payment", amount=1500, to="v@example.com")
    editor = cli.vault / "editor.sh"
    editor.write_text("#!/bin/sh\nsed -i 's/1500/1200/' \"$1\"\n")
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    with Terminal(cli, "review", id, env={"EDITOR": str(editor)}) as terminal:
        terminal.expect("[e]dit")
        terminal.send("e")
        terminal.expect("/amount  1500 → 1200")
        terminal.expect("[y/N]")
        terminal.send("n")
        terminal.expect("not approved")
        terminal.expect("[q]uit", times=2)
        terminal.send("e")
        terminal.expect("[y/N]", times=2)
        terminal.send("y")
        terminal.expect("reason (may be empty):")
        terminal.send("\r")
        terminal.expect("approved with changes by")
        assert terminal.end() == 0
    assert cli.show(id)["details"]["amount"] == 1200


def test_review_does_not_answer_what_was_changed_meanwhile(cli):
    """If the details change while they are looked at, the answer is not taken for the new ones."""
    id = cli.ask("launch", x=1)
    payment = cli.ask("payment", amount=1500, to="v")
    (cli.vault / "Policy.md").write_text(
        POLICY.replace('["payment", "deploy"]', '["payment"]').replace(
            "answers: [approve, reject, edit]", "answers: [approve, reject, edit]\n    quorum: 2"
        )
    )
    again = cli.ask("payment", amount=1600, to="v")
    with Terminal(cli, "review", again) as terminal:
        terminal.expect("[q]uit")
        cli.ok("approve", again, "--set", "amount=9", "--as", "bob")
        terminal.send("a")
        terminal.expect("reason (may be empty):")
        terminal.send("\r")
        terminal.expect("changed since they were shown")
        terminal.expect("[q]uit", times=2)
        terminal.send("q")
        terminal.end()
    assert cli.status(again) == "pending"
    assert cli.status(id) == cli.status(payment) == "pending"


def test_review_asks_again_when_a_reason_is_required(cli):
    """An answer that is refused says why, and the request stays on the screen."""
    id = cli.ask("launch", x=1)
    with Terminal(cli, "review") as terminal:
        terminal.expect("[q]uit")
        terminal.send("r")
        terminal.expect("reason:")
        terminal.send("\r")
        terminal.expect("a reason is required")
        terminal.expect("[q]uit", times=2)
        terminal.send("q")
        assert terminal.end() == 0
    assert cli.status(id) == "pending"


def test_review_without_a_terminal_is_refused(cli):
    """Nothing can be answered through a pipe: exit 2."""
    cli.ask()
    done = cli.run("review", input="a\na\n")
    assert done.returncode == 2
    assert "terminal" in done.stderr


def test_watch_in_a_pipe_prints_one_line_an_event_and_reads_notes(cli):
    """Each event is a line as it happens; an answer in a note is read; SIGTERM ends with 0."""
    watching = cli.start("watch")
    assert "watching" in watching.stderr.readline()
    assert "(the vault)  the policy file  a policy comes into force" in watching.stdout.readline()
    id = cli.ask("a", x=1)
    assert f"{id}  agent  asks for a" in watching.stdout.readline()
    note = cli.vault / "Pending_Approval" / f"approval_{id}.md"
    note.write_text(note.read_text().replace("status: pending", "status: rejected"))
    assert f"{id}  the note  says unnamed rejects" in watching.stdout.readline()
    assert "it is rejected" in watching.stdout.readline()
    watching.send_signal(signal.SIGTERM)
    assert watching.wait(timeout=30) == 0
    assert "Traceback" not in watching.stderr.read()


def test_watch_as_json_lines(cli):
    """With --json each line is an event that programs can read."""
    import json

    watching = cli.start("watch", "--json")
    watching.stderr.readline()
    assert json.loads(watching.stdout.readline())["kind"] == "policy_changed"
    id = cli.ask("a", x=1)
    event = json.loads(watching.stdout.readline())
    assert (event["id"], event["kind"]) == (id, "requested")
    watching.send_signal(signal.SIGINT)
    assert watching.wait(timeout=30) == 0


def test_watch_on_a_terminal_shows_the_queue_the_news_and_the_trouble(cli):
    """The live desk shows what waits, what happened and copies of notes; Ctrl-C ends with 0."""
    with Terminal(cli, "watch", columns=140) as terminal:
        terminal.expect("Nothing waits")
        id = cli.ask("payment", amount=1500, to="v@example.com")
        terminal.expect("payment: 1500 to v@example.com")
        note = cli.vault / "Pending_Approval" / f"approval_{id}.md"
        (cli.vault / "Pending_Approval" / f"approval_{id} copy.md").write_text(note.read_text())
        terminal.expect("is a copy of the note")
        cli.ok("approve", id)
        terminal.expect("it is approved")
        (cli.vault / "Policy.md").write_text("```yaml hitl-policy\nrules: [\n```\n")
        terminal.expect("the policy cannot be used")
        terminal.send("\x03")
        assert terminal.end() == 0
        assert "Traceback" not in terminal.text


def test_completion_offers_commands_and_ids(cli):
    """The shell completes commands, and the ids of this vault."""
    id = cli.ask()
    env = {"_HITL_COMPLETE": "complete_bash", "COMP_WORDS": "hitl rev", "COMP_CWORD": "1"}
    assert "review" in cli.run(env=env).stdout
    env = {
        "_HITL_COMPLETE": "complete_bash",
        "COMP_WORDS": f"hitl show {id[:8]}",
        "COMP_CWORD": "2",
    }
    assert id in cli.run(env=env).stdout
    done = cli.run("--show-completion", "bash", env={"SHELL": "/bin/bash"})
    assert "hitl" in done.stdout


def test_a_group_shows_what_differs_and_one_key_answers_each(cli):
    """Like with like: one key, one vote and one audit line each; the others stay alone."""
    alike = [cli.ask("a", "--by", "bot", to="v", amount=n) for n in (10, 20, 30)]
    other = cli.ask("a", "--by", "other", to="v", amount=10)
    with Terminal(cli, "review", "--group") as terminal:
        terminal.expect("1 of 2 · 3 alike")
        text = terminal.expect("[a]pprove all 3 [r]eject all 3 [o]ne by one [s]kip [q]uit")
        assert text.count('"v"') == 1
        assert all(text.count(f"/amount  {n}") == 1 for n in (10, 20, 30))
        terminal.send("x")
        terminal.expect("[o]ne by one", times=2)
        terminal.send("a")
        terminal.expect("reason, for each (may be empty):")
        terminal.send("checked\r")
        terminal.expect(f"2 of 2 · {other}")
        terminal.expect("[c]omment")
        terminal.send("q")
        terminal.expect("3 answered")
        assert terminal.end() == 0
    assert [cli.status(id) for id in (*alike, other)] == ["approved"] * 3 + ["pending"]
    for id in alike:
        shown = cli.show(id)
        assert [vote["reason"] for vote in shown["votes"]] == ["checked"]
        assert [event["kind"] for event in shown["history"]] == ["requested", "voted", "approved"]


def test_a_member_of_a_group_that_was_answered_meanwhile_stops_nothing(cli):
    """What somebody else rejected stays rejected; the others get their answer."""
    ids = [cli.ask("a", "--by", "bot", amount=n) for n in (10, 20, 30)]
    with Terminal(cli, "review", "--group") as terminal:
        terminal.expect("[o]ne by one")
        cli.ok("reject", ids[1], "-m", "no")
        terminal.send("a")
        terminal.expect("reason, for each")
        terminal.send("\r")
        terminal.expect("already rejected")
        terminal.expect("2 answered")
        assert terminal.end() == 0
    assert [cli.status(id) for id in ids] == ["approved", "rejected", "approved"]


def test_a_group_is_walked_one_by_one_on_request(cli):
    """o shows each in full, with every key."""
    ids = [cli.ask("a", "--by", "bot", amount=n) for n in (10, 20)]
    with Terminal(cli, "review", "--group") as terminal:
        terminal.expect("[o]ne by one")
        terminal.send("o")
        terminal.expect(f"1 of 1, 1 of 2 · {ids[0]}")
        terminal.expect("[c]omment")
        terminal.send("r")
        terminal.expect("reason (may be empty):")
        terminal.send("\r")
        terminal.expect(f"1 of 1, 2 of 2 · {ids[1]}")
        terminal.expect("[c]omment", times=2)
        terminal.send("s")
        terminal.expect("1 answered")
        assert terminal.end() == 0
    assert [cli.status(id) for id in ids] == ["rejected", "pending"]
