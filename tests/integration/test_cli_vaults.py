"""init, doctor, policy, audit, stats and demo, on real vaults."""

import hashlib
import json
import shutil
import sqlite3
import stat
import subprocess

import pytest
from cli_support import POLICY, ROOT, Cli, until


@pytest.fixture
def cli(workspace):
    cli = Cli(workspace / "vault")
    cli.vault.mkdir()
    cli.ok("init", ".")
    (cli.vault / "Policy.md").write_text(POLICY)
    yield cli
    cli.close()


def marks(cli, *, code=0):
    """Return the marks of `doctor` by what was looked at."""
    done = cli.run("doctor", "--json")
    assert done.returncode == code, done.stdout + done.stderr
    found = {}
    for check in json.loads(done.stdout)["checks"]:
        found.setdefault(check["what"], check["mark"])
    return found


# init


def test_init_makes_a_vault_that_works_and_says_what_next(workspace):
    """A new vault has its folders, policy, notes and a private ledger, and is healthy."""
    cli = Cli(workspace)
    out = cli.ok("init", "my vault")
    root = workspace / "my vault"
    for name in ("Pending_Approval", "Approved", "Rejected", "Done", "Policy.md", "Dashboard.md"):
        assert (root / name).exists()
        assert name in out
    assert stat.S_IMODE((root / ".hitl").stat().st_mode) == 0o700
    assert stat.S_IMODE((root / ".hitl" / "ledger.db").stat().st_mode) == 0o600
    for step in ("hitl policy check", "hitl watch", "hitl request", "'my vault'"):
        assert step in out
    cli.vault = root
    cli.ok("policy", "check")
    cli.ok("policy", "test")
    cli.ok("doctor")


def test_init_without_a_folder_takes_the_obsidian_vault_it_stands_in(workspace):
    """Inside an Obsidian vault it is that one; elsewhere a new folder `vault`."""
    cli = Cli(workspace)
    cli.ok("init")
    assert (workspace / "vault" / ".hitl").is_dir()
    (workspace / ".obsidian").mkdir()
    cli.ok("init")
    assert (workspace / ".hitl").is_dir()


def test_init_overwrites_nothing_and_names_what_it_kept(workspace):
    """In a folder of notes every file stays byte for byte, and Obsidian's types are only added to."""
    (workspace / ".obsidian").mkdir()
    mine = {
        "README.md": b"my own readme\r\n",
        "Policy.md": b"my own policy",
        "Daily.md": b"a note",
        ".obsidian/app.json": b'{"x":1}',
    }
    for name, content in mine.items():
        (workspace / name).write_bytes(content)
    types = workspace / ".obsidian" / "types.json"
    types.write_text('{"types": {"status": "multitext", "mine": "number"}, "other": 1}')
    out = Cli(workspace).ok("init", ".")
    for name, content in mine.items():
        assert (workspace / name).read_bytes() == content
    assert "kept  README.md" in out
    assert "kept  Policy.md" in out
    merged = json.loads(types.read_text())
    assert merged["other"] == 1
    assert merged["types"]["status"] == "multitext"
    assert merged["types"]["mine"] == "number"
    assert merged["types"]["expires"] == "datetime"


def test_init_again_changes_nothing(cli):
    """A second init keeps everything, requests included."""
    id = cli.ask()
    before = {
        p: p.read_bytes() for p in cli.vault.rglob("*.*") if p.is_file() and "db" not in p.name
    }
    out = cli.ok("init", ".")
    assert "made" not in out.split("Next:")[0]
    assert before == {p: p.read_bytes() for p in before}
    assert cli.status(id) == "pending"


def test_init_leaves_types_it_cannot_read_alone(workspace):
    """A types.json that is no JSON stays as it is."""
    (workspace / ".obsidian").mkdir()
    types = workspace / ".obsidian" / "types.json"
    types.write_text("{ broken")
    assert "cannot be read" in Cli(workspace).ok("init", ".")
    assert types.read_text() == "{ broken"


def test_init_where_it_cannot_write_is_one_line(workspace):
    """A file in the way is said plainly, exit 1."""
    (workspace / "vault").write_text("I am a file")
    done = Cli(workspace).run("init", "vault")
    assert done.returncode == 1
    assert done.stderr.startswith("hitl: cannot make")


def test_no_vault_is_made_in_place_of_a_file(workspace):
    """`init` and `demo` say so in one line, and change nothing."""
    file = workspace / "notes.txt"
    file.write_text("mine")
    cli = Cli(workspace)
    for command in (("init", file), ("demo", "--auto", "--vault", file)):
        done = cli.run(*command)
        assert done.returncode == 1
        assert done.stderr == f"hitl: cannot make {file}: it is there, and is no folder\n"
    assert file.read_text() == "mine"


def test_a_file_in_place_of_the_notes_folder_is_said_to_be_one(cli):
    """Doctor names it; asking says how to answer without a note."""
    pending = cli.vault / "Pending_Approval"
    shutil.rmtree(pending)
    pending.write_text("mine")
    checks = json.loads(cli.run("doctor", "--json").stdout)["checks"]
    (found,) = [check for check in checks if check["what"] == "vault"]
    assert found["found"].startswith("Pending_Approval is a file")
    assert "move it away" in found["advice"]
    asked = cli.run("request", "-t", "payment", "--details", '{"amount": 1, "to": "a"}')
    assert asked.returncode == 0
    (id,) = asked.stdout.splitlines()
    assert f"the note cannot be written; answer with: hitl approve {id}" in asked.stderr
    child = cli.start("run", "-t", "deploy", "--", "true")
    (second,) = until(lambda: [r["id"] for r in cli.pending() if r["id"] != id])
    cli.ok("approve", second)
    _, said = child.communicate(timeout=60)
    assert f"the note cannot be written; answer with: hitl approve {second}" in said
    assert "None" not in said


def test_the_starter_config_lists_every_setting_and_changes_none(cli):
    """config.toml names each setting with its default; without the # it still reads."""
    from hitl_vault.config import Settings

    file = cli.vault / ".hitl" / "config.toml"
    text = file.read_text()
    names = set(Settings.__slots__)
    assert {name for name in names if f"# {name} = " in text} == names
    lines = [line.removeprefix("# ") if " = " in line else line for line in text.splitlines()]
    file.write_text("\n".join(lines))
    cli.ok("list")


def test_the_starter_notes_show_our_properties_and_need_no_plugin():
    """Dashboard and Approvals.base are YAML that names only properties our notes have."""
    import re

    import yaml

    types = json.loads((ROOT / "vault/.obsidian/types.json").read_text())["types"]
    blocks = re.findall(r"```base\n(.*?)```", (ROOT / "vault/Dashboard.md").read_text(), re.DOTALL)
    blocks.append((ROOT / "vault/Approvals.base").read_text())
    assert len(blocks) > 3
    for block in blocks:
        base = yaml.safe_load(block)
        assert base["views"]
        for name in re.findall(r"note\.(\w+)", block):
            assert name in types
        for name in re.findall(r"formula\.(\w+)", block):
            assert name in base["formulas"]
    assert set(types) == set(_front_matter_keys())


def _front_matter_keys():
    from hitl_vault.document.frontmatter import CODE, KEYS

    return (*KEYS, CODE)


# doctor


def test_doctor_finds_nothing_wrong_with_a_good_vault(cli):
    """A fresh vault passes every check."""
    cli.ask()
    found = marks(cli)
    assert set(found.values()) == {"good", "note"}
    assert {"vault", "chain", "policy", "templates", "watching", "requests", "disk"} <= set(found)


def test_doctor_marks_what_is_wrong_and_exits_1(cli):
    """A broken policy, template or chain is ✗ with what to do, and exit 1."""
    cli.ask()
    (cli.vault / "Policy.md").write_text("```yaml hitl-policy\nrules:\n  - id: x\n```\n")
    templates = cli.vault / ".hitl" / "templates"
    templates.mkdir()
    (templates / "document.md.j2").write_text("{{ nonsense }}")
    with sqlite3.connect(cli.vault / ".hitl" / "ledger.db") as ledger:
        ledger.execute("UPDATE events SET body = replace(body, 'payment', 'PAYMENT')")
    ledger.close()
    found = marks(cli, code=1)
    assert [found[what] for what in ("policy", "templates", "chain")] == ["wrong"] * 3
    done = cli.run("doctor")
    assert "✗ policy" in done.stdout
    assert "Policy.md:3" in done.stdout
    assert "document.md.j2:1: the template cannot be used: 'nonsense' is" in done.stdout
    assert not done.stderr


def test_doctor_tells_of_things_to_look_at(cli):
    """Open modes, sync folders, plugins that run code, leftovers and copies are ! with advice."""
    id = cli.ask()
    (cli.vault / ".hitl").chmod(0o755)
    (cli.vault / ".stfolder").mkdir()
    pending = cli.vault / "Pending_Approval"
    note = pending / f"approval_{id}.md"
    shutil.copy(note, pending / f"approval_{id}.sync-conflict-20261121-101010-ABC.md")
    shutil.copy(note, pending / f"approval_{id} 2.md")
    plugins = cli.vault / ".obsidian" / "community-plugins.json"
    plugins.write_text('["templater-obsidian", "dataview"]')
    found = marks(cli)
    for what in (".hitl", "sync", "left behind", "Obsidian", "note"):
        assert found[what] == "look", what


def test_doctor_sees_a_ledger_in_git(cli):
    """A ledger that git tracks is wrong; .hitl/.gitignore keeps it out by itself."""
    git = ["git", "-C", str(cli.vault)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    assert "git" not in marks(cli)
    subprocess.run([*git, "add", "-f", ".hitl/ledger.db"], check=True)
    assert marks(cli, code=1)["git"] == "wrong"


def test_doctor_names_overdue_and_unknown_requests(cli):
    """What expired without a desk, and what ended unknown, is told with the command to use."""
    cli.ask("a", "--timeout", "0.05", x=1)
    until(lambda: not cli.pending(), "the deadline")
    assert marks(cli)["overdue"] == "look"


# policy


def test_policy_check_names_the_line_of_each_error(cli):
    """Errors come with file and line, and exit 1; --json holds the same."""
    file = cli.vault / "broken.md"
    file.write_text("# x\n\n```yaml hitl-policy\nrules:\n  - id: a\n    effect: maybe\n```\n")
    done = cli.run("policy", "check", file)
    assert done.returncode == 1
    assert "broken.md:6: error:" in done.stdout
    found = json.loads(cli.run("policy", "check", file, "--json").stdout)
    assert found["ok"] is False
    assert found["problems"][0]["line"] == 6
    assert "5 rules" in cli.ok("policy", "check")
    assert cli.run("policy", "check", "nowhere.md").returncode == 1


def test_policy_explain_shows_every_rule_and_the_verdict(cli):
    """Each rule is named with whether it matched and why; the verdict is the engine's own."""
    text = cli.ok("policy", "explain", "-t", "payment", "-d", "amount=1500", "-d", "to=x")
    assert text.startswith("verdict")
    for rule in ("reads", "never", "two", "sure", "editable"):
        assert rule in text
    found = cli.json("policy", "explain", "-t", "wipe")
    assert found["verdict"]["effect"] == "deny"
    assert [rule["rule"] for rule in found["rules"] if rule["matched"]] == ["never"]


def test_policy_test_runs_the_table_beside_the_policy(cli):
    """Passing cases exit 0; a failing one is named with its line and what came instead, exit 1."""
    table = cli.vault / "policy_tests.yaml"
    table.write_text("cases:\n  - {name: reads, action: {type: read}, expect: allow}\n")
    assert "1 of 1 passed" in cli.ok("policy", "test")
    table.write_text(table.read_text() + "  - {name: wrong, action: {type: wipe}, expect: ask}\n")
    done = cli.run("policy", "test")
    assert done.returncode == 1
    assert "policy_tests.yaml:3: wrong" in done.stdout
    assert "deny" in done.stdout


def test_policy_replay_shows_what_would_be_judged_otherwise(cli):
    """The same policy changes nothing; a changed one shows each request it would judge anew."""
    id = cli.ask("payment", amount=5, to="x")
    cli.ask("other", x=1)
    assert cli.json("policy", "replay") == {"judged": 2, "differing": []}
    changed = cli.vault / "changed.md"
    changed.write_text(POLICY.replace('"wipe"', '"payment"'))
    (change,) = cli.json("policy", "replay", "--policy", changed)["differing"]
    assert (change["id"], change["was"]["effect"], change["would_be"]["effect"]) == (
        id,
        "ask",
        "deny",
    )
    assert "1 of 2" in cli.ok("policy", "replay", "--policy", changed)


# audit


def test_audit_shows_every_event_with_who_and_hash(cli):
    """Events of all requests, or of one, in order."""
    one, two = cli.ask("a", x=1), cli.ask("a", x=2)
    cli.ok("reject", two, "--reason", "no")
    assert [e["kind"] for e in cli.json("audit", "show", two)] == ["requested", "voted", "rejected"]
    assert [e["seq"] for e in cli.json("audit", "show")] == [1, 2, 3, 4, 5]
    assert cli.json("audit", "show")[0]["kind"] == "policy_changed"
    assert len(cli.json("audit", "show", "--limit", "1")) == 1
    text = cli.ok("audit", "show")
    assert one in text
    assert "rejects (authenticated, over cli): no" in text


@pytest.mark.parametrize(
    ("change", "event"),
    [
        ("UPDATE events SET body = replace(body, 'agent', 'bob') WHERE seq = 3", 3),
        ("DELETE FROM events WHERE seq = 3", 3),
        ("UPDATE requests SET state = replace(state, '1500', '15') WHERE type = 'payment'", 2),
    ],
)
def test_audit_verify_names_the_first_bad_event(cli, change, event):
    """Whatever is changed in the ledger by hand is found: exit 1, the event is named."""
    cli.ask("payment", amount=1500)
    cli.ask("b", x=2)
    cli.ask("c", x=3)
    proved = cli.json("audit", "verify")
    assert (proved["ok"], proved["events"]) == (True, 4)  # the policy's, and one each
    with sqlite3.connect(cli.vault / ".hitl" / "ledger.db") as ledger:
        assert ledger.execute(change).rowcount == 1
    ledger.close()
    done = cli.run("audit", "verify", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["seq"] == event
    assert f"event {event}" in done.stderr


def test_an_export_can_be_checked_by_anybody(cli):
    """The exported bodies hash to the exported hashes, from the header's start to its head."""
    for n in range(3):
        cli.ask("a", "-m", "Grüße \x1b[31m", x=n)
    assert "4 events" in cli.ok("audit", "export", "-o", "audit.jsonl")
    header, *events = map(json.loads, (cli.vault / "audit.jsonl").read_text().splitlines())
    before = hashlib.sha256(f"hitl-vault:chain:1:{header['vault']}".encode()).hexdigest()
    assert header["before"] == before
    for event in events:
        digest = hashlib.sha256(event["body"].encode()).hexdigest()
        before = hashlib.sha256(f"{before}\n{digest}".encode()).hexdigest()
        assert event["hash"] == before
    assert header["head"] == {"seq": 4, "hash": before}
    assert cli.run("audit", "export", "-o", "audit.jsonl").returncode == 2
    part = cli.ok("audit", "export", "--since", "2099-01-01").splitlines()
    assert json.loads(part[0])["before"] == before
    assert len(part) == 1


# stats


def test_stats_count_what_an_operator_watches(cli):
    """Waiting, rates, times, by action, by rule and by reviewer."""
    ids = [cli.ask("payment", amount=n, to="x") for n in range(3)] + [cli.ask("other", x=1)]
    cli.ok("approve", ids[0])
    cli.ok("approve", ids[1], "--as", "bob")
    cli.ok("reject", ids[2])
    found = cli.json("stats")
    assert found["pending"]["count"] == 1
    assert found["rates"] == {"approved": 0.6667, "rejected": 0.3333, "expired_unanswered": 0.0}
    assert found["by_status"] == {"approved": 2, "rejected": 1, "pending": 1}
    assert found["by_type"] == {"payment": 3, "other": 1}
    assert found["by_rule"] == {"editable": 3, "(the default)": 1}
    assert found["by_reviewer"]["bob"] == {"approved": 1, "rejected": 0}
    assert found["decision_s"]["average"] > 0
    text = cli.ok("stats", "--since", "1d")
    assert "67% of those decided" in text
    assert "█" in text


def test_stats_of_an_empty_vault(cli):
    """Nothing asked is no error."""
    assert cli.json("stats")["requests"] == 0
    assert "none yet" in cli.ok("stats")


# demo


def test_the_demo_is_the_whole_story_and_ends_well(workspace):
    """An agent asks, a note is answered, it pays once; a no, an expiry, an allowed one; the proof."""
    cli = Cli(workspace)
    out = cli.ok("demo", "--auto", "--vault", "story", timeout=60)
    for part in (
        "ticks",
        "payments made: 1",
        "## Result",
        "reported success",
        "Rejected:",
        "Expired:",
        "nobody was asked",
        "the chain holds",
    ):
        assert part in out
    assert "✗" not in out
    paid = (workspace / "story" / "payments.log").read_text().splitlines()
    assert [line.split(" paid ")[1].split(" to ")[0] for line in paid] == ["1500 USD", "50 USD"]
    cli.vault = workspace / "story"
    statuses = sorted(request["status"] for request in cli.json("list", "--all"))
    assert statuses == ["executed", "expired", "rejected"]
    cli.ok("demo", "--auto", "--vault", ".", timeout=60)


def test_the_demo_waits_for_a_person(workspace):
    """Without --auto it is you who answers, in the note or by command."""
    cli = Cli(workspace)
    playing = cli.start("demo", "--vault", "story")
    cli.vault = workspace / "story"
    until((cli.vault / ".hitl").is_dir, "the vault")
    (payment,) = until(lambda: cli.pending(type="payment"), "the payment")
    cli.ok("approve", payment["id"])
    (deletion,) = until(lambda: cli.pending(type="delete_records"), "the deletion")
    cli.ok("reject", deletion["id"], "--reason", "no")
    out, err = playing.communicate(timeout=60)
    assert playing.returncode == 0, err
    assert "payments made: 1" in out
