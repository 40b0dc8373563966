"""The command line asks, shows and answers, as a process of its own in a real vault."""

import json
import os
import re
import sqlite3
from pathlib import Path

import pytest
from cli_support import POLICY, Cli, until


@pytest.fixture
def cli(workspace):
    cli = Cli(workspace)
    cli.ok("init", ".")
    (workspace / "Policy.md").write_text(POLICY)
    yield cli
    cli.close()


def test_request_prints_the_id_and_the_path_of_its_note(cli):
    """Asking prints two lines: the id, and a note that is there and names it."""
    out = cli.ok("request", "-t", "payment", "-d", "amount=1500", "-d", "to=v@example.com")
    id, note = out.splitlines()
    assert re.fullmatch(r"\d{8}-\d{6}-payment-[0-9a-f]{10}", id)
    assert f'id: "{id}"' in Path(note).read_text()


def test_details_are_json_where_they_read_as_json_else_text(cli):
    """`--detail` takes numbers, booleans, lists and plain words without quoting rules to learn."""
    given = ["n=1.5", "yes=true", "list=[1,2]", "word=hello world", 'text="5"', "empty=", "eq=a=b"]
    shown = cli.json("request", "-t", "x", *(f"--detail={item}" for item in given))
    assert shown["details"] == {
        "n": 1.5,
        "yes": True,
        "list": [1, 2],
        "word": "hello world",
        "text": "5",
        "empty": "",
        "eq": "a=b",
    }


def test_a_text_is_a_text_whatever_it_looks_like(cli):
    """`--text` makes texts of what `--detail` would read as JSON, or refuse."""
    given = ["zip=0500", "n=5", "yes=true", "open=[x", "eq=a=b", "big=1152921504606846976"]
    shown = cli.json("request", "-t", "x", *(f"--text={item}" for item in given), "-d", "m=5")
    assert shown["details"] == dict(item.split("=", 1) for item in given) | {"m": 5}


def test_details_come_from_a_file_or_stdin_and_single_ones_win(cli):
    """`--details` reads JSON, @file and -, and `--detail` overrides it."""
    (cli.vault / "d.json").write_text('{"amount": 1, "to": "a"}')
    from_file = cli.json("request", "-t", "x", "--details", "@d.json", "-d", "amount=2")
    assert from_file["details"] == {"amount": 2, "to": "a"}
    from_stdin = cli.json("request", "-t", "x", "--details", "-", input='{"b": null}')
    assert from_stdin["details"] == {"b": None}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--details", "[1]"], "object"),
        (["--details", "{'a': 1}"], "details"),
        (["--details", '{"a": 1, "a": 2}'], "twice"),
        (["--details", "@nowhere.json"], "nowhere.json"),
        (["--detail", "amount"], "amount=1500"),
        (["--detail", "=5"], "amount=1500"),
        (["--text", "amount"], "code=0500"),
        (["-d", "a=1", "-d", "a=2"], "'a' is given twice"),
        (["-d", "a=1", "--text", "a=2"], "'a' is given twice"),
        (["-d", "zip=0500"], "--text zip="),
        (["-d", "n=NaN"], "--text n="),
        (["-d", f"n={2**60}"], "--text n="),
        (["-d", "n=True"], "--text n="),
        (["-d", "list=[1,"], "--text list="),
        (["--timeout", "soon"], "30s"),
        (["--id", "../x"], "letters"),
    ],
)
def test_what_cannot_be_accepted_is_one_clear_line_and_exit_2(cli, options, said):
    """A wrong value names itself, prints no traceback and asks nothing."""
    done = cli.run("request", "-t", "x", *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.startswith("hitl: ")
    assert "Traceback" not in done.stderr
    assert cli.pending() == []


def test_a_denied_action_exits_7_and_nothing_is_asked(cli):
    """The policy's no is exit 7, with the rule's reason."""
    done = cli.run("request", "-t", "wipe", "--json")
    assert done.returncode == 7
    assert "Nobody may wipe" in done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "denied"
    assert cli.pending() == []


def test_the_same_key_is_the_same_request_and_other_content_a_conflict(cli):
    """Asking again with a key asks once; for something else it exits 8 and shows what is recorded."""
    one = cli.ask("payment", "--key", "K", amount=1)
    assert cli.ask("payment", "--key", "K", amount=1) == one
    done = cli.run("request", "-t", "payment", "--key", "K", "-d", "amount=2", "--json")
    assert done.returncode == 8
    answer = json.loads(done.stdout)
    assert answer["error"]["code"] == "conflict"
    assert answer["request"]["id"] == one


def test_list_shows_what_waits_and_all_shows_everything(cli):
    """`list` is the queue; `--all` and `--status` reach what is over; filters narrow it."""
    paid = cli.ask("payment", "--by", "alice-agent", "--run", "r1", amount=700)
    other = cli.ask("other", x=1)
    gone = cli.ask("other", x=2)
    cli.ok("reject", gone)

    def ids(*options):
        return [request["id"] for request in cli.json("list", *options)]

    assert ids() == [other, paid]
    assert ids("--all") == [gone, other, paid]
    assert ids("--status", "rejected,approved") == [gone]
    assert ids("--type", "payment") == [paid]
    assert ids("--by", "alice-agent") == ids("--run", "r1") == [paid]
    assert ids("--all", "--limit", "1") == [gone]
    assert ids("--all", "--since", "1h") == [gone, other, paid]
    assert ids("--all", "--since", "2099-01-01") == []
    assert cli.run("list", "--status", "nope").returncode == 2
    assert cli.run("list", "--since", "yesterday-ish").returncode == 2


def test_list_in_a_pipe_is_one_row_a_request_with_tabs(cli):
    """Without a terminal there is no colour, box, cut or padding; ids are whole."""
    wide, id = cli.ask("x" * 200, "-m", "y" * 300), cli.ask("payment")
    out = cli.ok("list")
    header, row, other = (line.split("\t") for line in out.splitlines())
    assert header == ["ID", "STATUS", "RISK", "ACTION", "ASKED BY", "LEFT"]
    assert row[:3] == [id, "pending", "high"]
    assert other[0] == wide
    assert len("\t".join(row)) < 200
    assert "\x1b" not in out
    assert cli.ok("list", "--type", "nothing") == ""


def test_show_tells_everything_and_json_holds_the_history(cli):
    """`show` has the exact action, the reason, the note; `--json` the events with hashes, in UTC."""
    id = cli.ask("payment", "-m", "Pay the rent", amount=1500, to="v@example.com")
    text = cli.ok("show", id)
    for part in ('"amount": 1500', "editable", "Pay the rent", "asks for payment", "approval_"):
        assert part in text
    shown = cli.json("show", id)
    assert shown["created_at"].endswith("Z")
    assert [event["kind"] for event in shown["history"]] == ["requested"]
    assert re.fullmatch("[0-9a-f]{64}", shown["history"][0]["hash"])
    assert shown["note"].endswith(f"approval_{id}.md")


def test_a_unique_beginning_names_a_request_and_an_ambiguous_one_lists_them(cli):
    """Beginnings of ids work in every command; if several fit, exit 9 shows which."""
    cli.ask("a", "--id", "deploy-web-1", x=1)
    cli.ask("a", "--id", "deploy-api-1", x=1)
    assert cli.show("deploy-w")["id"] == "deploy-web-1"
    for command in (["show"], ["approve"], ["wait"], ["cancel"], ["audit", "show"]):
        done = cli.run(*command, "deploy")
        assert done.returncode == 9
        assert "deploy-web-1" in done.stderr
        assert "deploy-api-1" in done.stderr
    done = cli.run("show", "nope", "--json")
    assert done.returncode == 9
    assert json.loads(done.stdout)["error"]["code"] == "not_found"
    assert cli.run("show", "").returncode == 9


def test_an_exact_id_wins_over_longer_ones(cli):
    """A request whose id begins another's can still be named."""
    cli.ask("a", "--id", "job", x=1)
    cli.ask("a", "--id", "job-2", x=1)
    assert cli.show("job")["id"] == "job"


def test_approve_is_authenticated_as_the_os_user(cli):
    """The command line records who the system says you are, whatever USER says."""
    id = cli.ask()
    out = cli.ok("approve", id, "--reason", "fine", env={"USER": "mallory", "LOGNAME": "mallory"})
    assert out.startswith(f"{id} approved by ")
    (vote,) = cli.show(id)["votes"]
    import pwd

    assert vote["reviewer"] == pwd.getpwuid(os.getuid()).pw_name
    assert (vote["assurance"], vote["channel"], vote["reason"]) == ("authenticated", "cli", "fine")


def test_a_typed_name_proves_nothing(cli):
    """`--as` somebody else counts as edited only, says so, and is refused where more is needed."""
    id = cli.ask()
    done = cli.run("approve", id, "--as", "alice")
    assert done.returncode == 0
    assert "proves nothing" in done.stderr
    (vote,) = cli.show(id)["votes"]
    assert (vote["reviewer"], vote["assurance"]) == ("alice", "edited")
    secret = cli.ask("secret", x=1)
    assert cli.run("approve", secret, "--as", "alice").returncode == 1
    assert cli.status(secret) == "pending"
    cli.ok("approve", secret)
    assert cli.status(secret) == "approved"


def test_two_reviewers_are_counted(cli):
    """A first vote of two says how far it has come; the second decides."""
    id = cli.ask("launch", x=1)
    assert "still pending, 1 of 2 approvals" in cli.ok("approve", id)
    assert "1 of 2 approved: " in cli.ok("show", id)
    (tally,) = cli.show(id)["tally"]
    assert (tally["needed"], tally["open"], tally["may_answer"]) == (2, True, None)
    assert [vote["assurance"] for vote in tally["approved"]] == ["authenticated"]
    assert "approved by" in cli.ok("approve", id, "--as", "bob")


def test_a_missing_reason_is_asked_for(cli):
    """Where the rule wants a reason, an answer without one is refused and says why."""
    id = cli.ask("launch", x=1)
    done = cli.run("reject", id)
    assert done.returncode == 1
    assert "a reason is required" in done.stderr
    cli.ok("reject", id, "--reason", "too early")
    assert cli.show(id)["reason"] == "too early"


def test_approve_with_changed_values(cli):
    """`--set` changes values of the type they had; the changed details are the ones in force."""
    id = cli.ask("payment", amount=1500, to="a@example.com", more={"a": 1, "b": "2"})
    cli.ok("approve", id, "--set", "amount=1200", "--set", "to=77", "--set", "more.b=3")
    shown = cli.show(id)
    assert shown["details"] == {"amount": 1200, "to": "77", "more": {"a": 1, "b": "3"}}
    assert shown["requested_details"]["amount"] == 1500
    other = cli.ask("payment", amount=1, to="a")
    cli.ok("approve", other, "--details", '{"amount": 2, "to": "b"}')
    assert cli.show(other)["details"] == {"amount": 2, "to": "b"}


def test_changes_that_cannot_be_are_refused(cli):
    """New keys, other types and no change at all leave the request waiting."""
    id = cli.ask("payment", amount=1500, to="a")
    for change in ("new=1", "amount=many", "amount=1500", "amount"):
        assert cli.run("approve", id, "--set", change).returncode in {1, 2}
    assert cli.status(id) == "pending"


def test_several_ids_are_answered_and_one_failure_stops_none(cli):
    """Each id gets its answer; the exit code is that of the first failure."""
    one, two, three = (cli.ask("a", x=n) for n in range(3))
    cli.ok("reject", two)
    done = cli.run("approve", one, two, three, "--json")
    assert done.returncode == 8
    answers = json.loads(done.stdout)
    assert [answer.get("status") for answer in answers] == ["approved", None, "approved"]
    assert answers[1]["error"]["code"] == "conflict"
    assert cli.status(three) == "approved"


def test_an_unknown_id_among_several_stops_none_and_every_reason_is_said(cli):
    """What names no request is reported on one line with its reason; the others are answered."""
    one, two, three = (cli.ask("a", x=n) for n in range(3))
    cli.ok("reject", two)
    done = cli.run("approve", one, "nosuch", two, three)
    assert done.returncode == 9
    assert [cli.status(id) for id in (one, two, three)] == ["approved", "rejected", "approved"]
    unknown, conflict = done.stderr.splitlines()
    assert unknown == "hitl: no request has an id that starts with 'nosuch'"
    assert conflict.startswith("hitl: ")
    assert two in conflict
    assert "rejected" in conflict
    answers = json.loads(cli.run("reject", "nosuch", two, "--json").stdout)
    assert [answer["id"] for answer in answers] == ["nosuch", two]
    assert answers[0]["error"]["code"] == "not_found"


def test_an_empty_id_names_no_request(cli):
    """It is told as that, however many requests there are."""
    for _ in range(2):
        done = cli.run("approve", "")
        assert (done.returncode, done.stderr) == (
            9,
            "hitl: an empty id names no request; see hitl list\n",
        )
        cli.ask()


def test_the_same_answer_twice_is_fine_and_a_contradiction_exits_8(cli):
    """Repeating changes nothing; contradicting names the status in force."""
    id = cli.ask()
    cli.ok("approve", id)
    cli.ok("approve", id)
    done = cli.run("reject", id)
    assert done.returncode == 8
    assert "approved" in done.stderr


def test_cancel_comment_and_resolve(cli):
    """Withdrawing, remarking and resolving record who did it, and refuse what cannot be."""
    id = cli.ask()
    cli.ok("comment", id, "asked the vendor")
    cli.ok("cancel", id, "--reason", "not needed")
    shown = cli.show(id)
    assert (shown["status"], shown["reason"]) == ("cancelled", "not needed")
    assert shown["comments"][0]["text"] == "asked the vendor"
    assert cli.run("resolve", id, "executed").returncode == 8
    assert cli.run("resolve", id, "rejected").returncode == 2


@pytest.mark.parametrize(
    ("answer", "code", "word"),
    [("approve", 0, "approved"), ("reject", 3, "rejected"), ("cancel", 5, "cancelled")],
)
def test_wait_exits_by_the_decision(cli, answer, code, word):
    """Waiting ends with 0, 3 or 5, as soon as another process answers."""
    id = cli.ask()
    waiting = cli.start("wait", id, "--json")
    cli.ok(answer, id)
    out, err = waiting.communicate(timeout=30)
    assert waiting.returncode == code, err
    found = json.loads(out)
    assert found.get("request", found)["status"] == word


def test_wait_sees_an_answer_typed_into_the_note(cli):
    """No desk need run besides: who waits also reads the notes."""
    id = cli.ask()
    waiting = cli.start("wait", id)
    note = cli.vault / "Pending_Approval" / f"approval_{id}.md"
    note.write_text(note.read_text().replace("- [ ] Approve ^", "- [x] Approve ^"))
    out, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 0, err
    assert out.startswith(f"{id} approved by")


def test_wait_times_out_with_6_and_expires_with_4(cli):
    """Ending the wait is not the end of the request; the deadline is."""
    id = cli.ask()
    done = cli.run("wait", id, "--timeout", "0.1")
    assert done.returncode == 6
    assert cli.status(id) == "pending"
    short = cli.ask("a", "--timeout", "0.3s", x=1)
    assert cli.run("wait", short).returncode == 4
    assert cli.run("request", "-t", "a", "--timeout", "0.2", "--wait").returncode == 4


def test_a_passed_deadline_counts_before_anybody_recorded_it(cli):
    """Nothing overdue is listed as waiting, though no desk runs."""
    id = cli.ask("a", "--timeout", "0.05", x=1)
    until(lambda: cli.status(id) == "expired", "the deadline")
    assert cli.pending() == []
    assert [r["id"] for r in cli.json("list", "--status", "expired")] == [id]
    assert cli.run("approve", id).returncode == 8


HOSTILE = "x\x1b[2J\x1b]0;pwned\x07\u202egnp.exe\u200b\x9b31m\r[red]bold[/red]\n:smile: \x7f"


@pytest.mark.parametrize("where", ["description", "by", "type", "detail"])
def test_text_from_agents_cannot_act_on_a_terminal(cli, where):
    """Control, bidi and invisible characters come out named, in every view."""
    options = {"description": "plain", "by": "agent", "type": "odd", "detail": "d=plain"}
    options[where] = f"d={HOSTILE}" if where == "detail" else HOSTILE
    id = cli.ok("request", *(f"--{name}={value}" for name, value in options.items())).split()[0]
    cli.ok("comment", id, HOSTILE)
    cli.ok("reject", id, "--reason", HOSTILE)
    views = [
        cli.ok("list", "--all"),
        cli.ok("show", id),
        cli.ok("audit", "show"),
        cli.ok("stats"),
        cli.ok("show", id, "--json"),
        cli.run("wait", id).stderr,
        cli.run("approve", id).stderr,
    ]
    for view in views:
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202e]", view), view


def test_no_vault_and_wrong_settings_are_said_plainly(cli, workspace):
    """A missing vault says how to make one; a wrong setting names its key and place."""
    done = cli.run("list", "--vault", "/nowhere")
    assert done.returncode == 2
    assert "hitl init" in done.stderr
    (cli.vault / ".hitl" / "config.toml").write_text("settel_s = 1\n")
    done = cli.run("list")
    assert done.returncode == 2
    assert "settle_s" in done.stderr
    assert "config.toml" in done.stderr


def test_the_vault_is_named_by_option_environment_or_the_folder_above(cli, workspace):
    """--vault beats HITL_VAULT, which beats the nearest parent."""
    id = cli.ask()
    below = workspace / "a" / "b"
    below.mkdir(parents=True)
    assert [r["id"] for r in cli.json("list", cwd=below)] == [id]
    other = workspace / "other"
    cli.ok("init", other)
    assert cli.json("list", cwd=below, env={"HITL_VAULT": str(other)}) == []
    found = cli.json("list", "--vault", cli.vault, env={"HITL_VAULT": str(other)})
    assert [r["id"] for r in found] == [id]


def test_a_ledger_of_another_program_is_refused_untouched(cli):
    """A file that is no ledger is one line and exit 1; not a byte of it changes."""
    ledger = cli.vault / ".hitl" / "ledger.db"
    ledger.unlink()
    ledger.write_bytes(b"not a database at all" * 100)
    before = ledger.read_bytes()
    done = cli.run("list")
    assert done.returncode == 1
    assert "ledger" in done.stderr
    assert "Traceback" not in done.stderr
    assert ledger.read_bytes() == before


def test_a_newer_ledger_says_upgrade(cli):
    """A ledger of a newer version is refused with what to do."""
    with sqlite3.connect(cli.vault / ".hitl" / "ledger.db") as ledger:
        ledger.execute("PRAGMA user_version=99")
    ledger.close()
    done = cli.run("list")
    assert done.returncode == 1
    assert "upgrade" in done.stderr


def test_a_reader_that_goes_away_is_no_error(cli):
    """`hitl list | head` ends quietly."""
    import subprocess
    import sys

    from cli_support import environment

    for n in range(3):
        cli.ask("a", x=n)
    piped = f"{sys.executable} -m hitl_vault list --json | head -c 5"
    done = subprocess.run(
        ["bash", "-c", piped], cwd=cli.vault, env=environment(), capture_output=True, text=True
    )
    assert done.stdout == "[\n  {"[:5]
    assert done.stderr == ""


def test_archive_moves_finished_notes(cli):
    """`archive --older-than 0` moves notes of what is over to Done, and only those."""
    over, waiting = cli.ask("a", x=1), cli.ask("a", x=2)
    cli.ok("reject", over)
    assert cli.ok("archive", "--older-than", "0") == "1 note moved\n"
    (moved,) = (cli.vault / "Done").rglob("*.md")
    assert over in moved.name
    assert (cli.vault / "Pending_Approval" / f"approval_{waiting}.md").exists()
    assert cli.show(over)["note"] == str(moved)


def test_usage_errors_exit_2_in_json_too(cli):
    """Unknown commands and options say how to get help; with --json there is an object as well."""
    done = cli.run("list", "--nope", "--json")
    assert done.returncode == 2
    assert "Usage: hitl list" in done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "usage"
    assert cli.run("nope").returncode == 2
    assert cli.run().returncode == 2


def test_reading_commands_load_no_event_loop_and_no_engine(cli):
    """list, show, audit and stats start fast: they import none of the slow libraries."""
    import subprocess
    import sys

    from cli_support import environment

    id = cli.ask()
    heavy = {"asyncio", "jinja2", "watchdog", "cel", "yaml", "frontmatter", "rich"}
    for command in (["list"], ["list", "--json"], ["show", id], ["audit", "show"], ["stats"]):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "hitl_vault", *command],
            cwd=cli.vault,
            env=environment(),
            capture_output=True,
            text=True,
        )
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert not loaded & heavy, command
