"""`hitl run` runs what was approved, once, and tells the truth about how it ended."""

import os
import signal
import sys

import pytest
from cli_support import POLICY, Cli, Terminal, until

MARK = "echo ran >> ran.txt; "


@pytest.fixture
def cli(workspace):
    cli = Cli(workspace)
    cli.ok("init", ".")
    (workspace / "Policy.md").write_text(POLICY)
    yield cli
    cli.close()


def runs(cli):
    """Return how often the command really ran."""
    marks = cli.vault / "ran.txt"
    return marks.read_text().count("ran") if marks.exists() else 0


def started(cli, script, *options, **more):
    """Start `hitl run` of a shell script; return the child and the id it asks with."""
    known = {request["id"] for request in cli.json("list", "--all")}
    child = cli.start("run", "-t", "deploy", *options, "--", "sh", "-c", script, **more)
    asked = until(lambda: [r["id"] for r in cli.pending() if r["id"] not in known], "the request")
    return child, asked[0]


def test_an_approved_command_runs_once_with_our_stdin_and_stdout(cli):
    """The command gets our stdin, its stdout is ours alone, and its result is recorded."""
    child, id = started(cli, MARK + "cat; echo oops >&2", stdin=-1)
    assert runs(cli) == 0
    cli.ok("approve", id)
    out, err = child.communicate("hello\n", timeout=30)
    assert (child.returncode, out, runs(cli)) == (0, "hello\n", 1)
    assert "oops" in err
    shown = cli.show(id)
    assert shown["status"] == "executed"
    assert shown["outcome"]["result"] == {"exit_code": 0}
    assert shown["details"]["command"][0] == "sh"
    assert shown["details"]["cwd"] == str(cli.vault)


def test_its_own_exit_code_is_ours_and_a_failure_is_recorded(cli):
    """A command that ends with 7 makes `hitl run` end with 7, recorded as failed."""
    child, id = started(cli, "exit 7")
    cli.ok("approve", id)
    assert child.wait(timeout=30) == 7
    outcome = cli.show(id)["outcome"]
    assert (outcome["status"], outcome["result"]) == ("failed", {"exit_code": 7})


def test_a_rejected_command_does_not_run(cli):
    """A no is exit 3, and nothing ran."""
    child, id = started(cli, MARK)
    cli.ok("reject", id)
    assert child.wait(timeout=30) == 3
    assert runs(cli) == 0


def test_an_answer_in_the_note_is_enough(cli):
    """`hitl run` reads the note itself: no desk need be open."""
    child, id = started(cli, MARK)
    note = cli.vault / "Pending_Approval" / f"approval_{id}.md"
    note.rename(cli.vault / "Approved" / note.name)
    assert child.wait(timeout=30) == 0
    assert runs(cli) == 1


def test_what_the_policy_allows_runs_at_once_and_what_it_denies_never(cli):
    """Allowed: no question, the command's own exit code. Denied: 7, and nothing ran."""
    done = cli.run("run", "-t", "read", "--", "sh", "-c", MARK + "exit 4")
    assert (done.returncode, runs(cli)) == (4, 1)
    done = cli.run("run", "-t", "wipe", "--", "sh", "-c", MARK)
    assert (done.returncode, runs(cli)) == (7, 1)
    assert cli.json("list", "--all") == []


def test_what_the_reviewer_changed_is_what_runs(cli):
    """Approved with another command, that one runs and the first one does not."""
    child, id = started(cli, MARK)
    cli.ok("approve", id, "--set", 'command=["sh", "-c", "echo other; exit 5"]')
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out, runs(cli)) == (5, "other\n", 0)
    assert "with changes" in err


def test_a_key_runs_once_ever(cli):
    """The same command with the same key exits with the recorded code and does not run again."""
    child, id = started(cli, MARK + "exit 9", "--key", "release-1")
    cli.ok("approve", id)
    assert child.wait(timeout=30) == 9
    again = cli.run("run", "-t", "deploy", "--key", "release-1", "--", "sh", "-c", MARK + "exit 9")
    assert (again.returncode, runs(cli)) == (9, 1)
    assert "not run again" in again.stderr
    other = cli.run("run", "-t", "deploy", "--key", "release-1", "--", "true")
    assert (other.returncode, runs(cli)) == (8, 1)


def test_two_at_once_with_one_key_run_once(cli):
    """Two processes wait for one approval: one runs the command, both end with its code."""
    script = MARK + "sleep 0.5; exit 3"
    one, id = started(cli, script, "--key", "K")
    two = cli.start("run", "-t", "deploy", "--key", "K", "--", "sh", "-c", script)
    cli.ok("approve", id)
    assert [one.wait(timeout=30), two.wait(timeout=30)] == [3, 3]
    assert runs(cli) == 1


def test_a_command_that_is_not_there_asks_nobody(cli):
    """A misspelt command is 127 before a person is bothered."""
    done = cli.run("run", "-t", "deploy", "--", "./no-such-thing")
    assert done.returncode == 127
    assert cli.pending() == []


def test_a_command_that_went_away_meanwhile_is_recorded_as_failed(cli):
    """What cannot be started is not started: failed, 126, and it says so."""
    script = cli.vault / "job.sh"
    script.write_text("#!/bin/sh\necho ran >> ran.txt\n")
    script.chmod(0o755)
    child = cli.start("run", "-t", "deploy", "--", "./job.sh")
    (asked,) = until(cli.pending, "the request")
    script.unlink()
    cli.ok("approve", asked["id"])
    assert child.wait(timeout=30) == 126
    outcome = cli.show(asked["id"])["outcome"]
    assert outcome["status"] == "failed"
    assert "not started" in outcome["error"]


def test_ctrl_c_while_waiting_leaves_the_request_waiting(cli):
    """Interrupted with 130, nothing ran, the request waits on, and the same --id goes on with it."""
    child, id = started(cli, MARK)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "still waits" in err
    assert "Traceback" not in err
    assert cli.status(id) == "pending"
    cli.ok("approve", id)
    assert runs(cli) == 0
    done = cli.run("run", "-t", "deploy", "--id", id, "--", "sh", "-c", MARK)
    assert (done.returncode, runs(cli)) == (0, 1)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_while_it_runs_reaches_the_command_and_is_recorded(cli, number, code):
    """The command gets the signal; it ends as it does, and that is what is recorded."""
    child, id = started(cli, MARK + "exec sleep 60")
    cli.ok("approve", id)
    until(lambda: runs(cli), "the start")
    child.send_signal(number)
    assert child.wait(timeout=30) == code
    outcome = cli.show(id)["outcome"]
    assert outcome["status"] == "failed"
    assert outcome["result"] == {"exit_code": code, "signal": int(number)}


def test_a_command_that_takes_the_signal_well_is_executed(cli):
    """If the command itself ends well on a signal, that is no failure."""
    script = "trap 'exit 0' TERM; echo ran >> ran.txt; while :; do sleep 0.05; done"
    child, id = started(cli, script)
    cli.ok("approve", id)
    until(lambda: runs(cli), "the start")
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=30) == 0
    assert cli.status(id) == "executed"


def test_ctrl_c_typed_at_a_terminal_reaches_the_command_once(cli):
    """The keyboard's signal goes to both of us; it is not doubled."""
    script = "trap 'echo caught >> caught.txt' INT; echo go; while :; do sleep 0.05; done"
    with Terminal(cli, "run", "-t", "read", "--", "sh", "-c", script) as terminal:
        terminal.expect("go")
        terminal.send("\x03")
        caught = cli.vault / "caught.txt"
        until(caught.exists, "the signal")
        terminal.send("\x03")
        until(lambda: caught.read_text().count("caught") == 2, "the second signal")


def test_killed_while_it_runs_the_end_is_unknown_and_it_never_runs_again(cli):
    """kill -9 of `hitl run` leaves an unknown end for a person; the key does not start it again."""
    child, id = started(cli, MARK + "exec sleep 60", "--key", "K")
    cli.ok("approve", id)
    until(lambda: runs(cli), "the start")
    os.killpg(child.pid, signal.SIGKILL)
    child.wait(timeout=30)
    done = cli.run("run", "-t", "deploy", "--key", "K", "--", "sh", "-c", MARK + "exec sleep 60")
    assert done.returncode == 1
    assert "resolve" in done.stderr
    assert (cli.status(id), runs(cli)) == ("unknown", 1)
    cli.ok("resolve", id, "failed", "--reason", "looked: it was killed")
    assert cli.status(id) == "failed"


def test_a_deny_rule_at_the_last_moment_beats_the_approval(cli):
    """A policy that forbids it now stops what was approved before: exit 7, nothing ran."""
    child, id = started(cli, MARK)
    child.send_signal(signal.SIGINT)
    child.wait(timeout=30)
    cli.ok("approve", id)
    (cli.vault / "Policy.md").write_text(POLICY.replace('"wipe"', '"deploy"'))
    done = cli.run("run", "-t", "deploy", "--id", id, "--", "sh", "-c", MARK)
    assert (done.returncode, runs(cli)) == (7, 0)


def test_words_after_the_hyphens_belong_to_the_command(cli):
    """Options after `--` are the command's, ours too by name."""
    out = cli.ok(
        "run",
        "-t",
        "read",
        "--",
        sys.executable,
        "-c",
        "import sys;print(sys.argv[1:])",
        "--json",
        "--vault",
    )
    assert out == "['--json', '--vault']\n"
