"""Claims that are not the holder's, and records that were changed afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "integration"))

from cli_support import POLICY, Cli
from forgery_kit import fails
from ssh_kit import make_key, needs_ssh

from hitl_vault.cli import evidence_check
from hitl_vault.core import chain
from hitl_vault.core import commands as c
from hitl_vault.core.model import Status
from hitl_vault.errors import Conflict, Refused
from hitl_vault.ports import Kept

pytestmark = needs_ssh
ME = pwd.getpwuid(os.getuid()).pw_name


# claims


@pytest.fixture
async def approved(hitl):
    asked = await hitl.request_approval("note", "", {"n": 1})
    return await hitl.approve(asked.id, reviewer="alice")


async def runs(hitl, request):
    """Show that it runs, once, for who claims it as they should."""
    async with hitl.execution(request.id) as run:
        assert run.details == request.details
    assert (await hitl.get(request.id)).status is Status.EXECUTED


def claim(request, **changes):
    made = {"id": request.id, "claim_id": "claim-1", "executor": "x", "holder": "h"}
    return c.Claim(**(made | {"payload_sha256": request.payload_in_force} | changes))


async def nothing_moved(target, hitl, request, command, says, kept=(Kept.REFUSED,)):
    receipt = await target.ledger.submit(command)
    assert receipt.kept in kept
    assert says in receipt.message
    now = await hitl.get(request.id)
    assert (now.status, now.claim, now.outcome) == (request.status, request.claim, request.outcome)
    await target.verify()


async def test_a_claim_for_another_payload_runs_nothing(target, hitl, approved):
    """What would run is digested again: another digest than the approved one has no right to."""
    attack = claim(approved, payload_sha256="0" * 64)
    says = "what would run is not what was approved"
    await nothing_moved(target, hitl, approved, attack, says, (Kept.STALE,))
    await runs(hitl, approved)


async def test_the_payload_before_a_change_cannot_be_claimed(target, hitl):
    """An executor that still holds what was asked for does not run it."""
    asked = await hitl.request_approval("payment", "", {"n": 1})
    from hitl_vault.core.model import Answer

    proof = await target.signed(hitl, asked, Answer.EDIT, details={"n": 2})
    done = await target.approves(hitl, asked, proof, answer=Answer.EDIT, details={"n": 2})
    attack = claim(done, payload_sha256=asked.payload_sha256)
    says = "what would run is not what was approved"
    await nothing_moved(target, hitl, done, attack, says, (Kept.STALE,))
    await runs(hitl, done)


@pytest.mark.parametrize("process", ["the same", "another"])
async def test_nothing_is_claimed_twice(target, hitl, approved, process):
    """While it runs and after it ran, here and elsewhere."""
    other = hitl if process == "the same" else await target.open()
    async with hitl.execution(approved.id):
        running = await hitl.get(approved.id)
        attack = other.execution(approved.id).claim()
        await fails(target, hitl, running, attack, approved.id, error=Conflict, recorded=False)
    ended = await hitl.get(approved.id)
    attack = other.execution(approved.id).claim()
    await fails(target, hitl, ended, attack, approved.id, error=Conflict, recorded=False)


async def test_only_the_holder_says_how_it_ended(target, hitl, approved):
    """A stranger's end, with no claim or one of their own making, is refused."""
    early = c.Finish(id=approved.id, claim_id="claim-1", status=Status.EXECUTED, by="eve")
    await nothing_moved(target, hitl, approved, early, "", (Kept.CONFLICT, Kept.REFUSED))
    run = hitl.execution(approved.id)
    running = await run.claim()
    for id in ("claim-1", "", running.claim.claim_id.upper()):
        end = c.Finish(id=approved.id, claim_id=id, status=Status.FAILED, by="eve")
        await nothing_moved(target, hitl, running, end, "only its holder reports")
    await run.finish(Status.EXECUTED, result="ok")
    ended = await hitl.get(approved.id)
    for status in (Status.FAILED, Status.UNKNOWN):
        end = c.Finish(id=ended.id, claim_id=ended.claim.claim_id, status=status, by="eve")
        await nothing_moved(target, hitl, ended, end, "", (Kept.CONFLICT, Kept.REFUSED))


async def test_what_runs_is_not_resolved_by_a_stranger(target, hitl, approved):
    """While the executor lives nobody else says how it ended."""
    run = hitl.execution(approved.id)
    running = await run.claim()
    attack = hitl.resolve(approved.id, Status.FAILED, by="eve")
    says = "still executing"
    await fails(target, hitl, running, attack, says, error=Refused, recorded=False)
    await run.finish(Status.EXECUTED)


@pytest.mark.parametrize("end", ["pending", "rejected", "cancelled", "expired"])
async def test_what_is_not_approved_is_not_claimed(target, hitl, approved, end):
    """In no state but approved, with the right digest and by hand."""
    asked = await hitl.request_approval("note", "", {"n": 2})
    if end == "rejected":
        await hitl.reject(asked.id, reviewer="alice")
    elif end == "cancelled":
        await hitl.cancel(asked.id)
    elif end == "expired":
        target.clock.advance(3600)
        await hitl.timers.tick()
    now = await hitl.get(asked.id)
    assert now.status == end
    await nothing_moved(target, hitl, now, claim(now), "", (Kept.REFUSED, Kept.CONFLICT))
    if end != "expired":
        await runs(hitl, approved)


async def test_an_approval_that_waited_too_long_is_not_claimed(target, hitl, approved):
    """It says until when it may be used, and not a second longer."""
    target.clock.advance((approved.use_by - target.clock.now()).total_seconds())
    receipt = await target.ledger.submit(claim(approved))
    assert receipt.kept in {Kept.CONFLICT, Kept.REFUSED}
    assert (await hitl.get(approved.id)).status is Status.EXPIRED


# who the command line says you are


@pytest.fixture
def cli(workspace):
    cli = Cli(workspace / "vault")
    Cli(workspace).ok("init", str(cli.vault))
    (cli.vault / "Policy.md").write_text(POLICY)
    yield cli
    cli.close()


def refused(cli, id, *arguments, code=1, **options):
    done = cli.run(*arguments, **options)
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
    assert cli.status(id) == "pending"
    assert cli.json("audit", "verify")["ok"]
    return done.stderr


@pytest.mark.parametrize("variable", ["LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"])
def test_the_environment_does_not_say_who_you_are(cli, variable):
    """The name is the system's: a variable in an agent's shell makes nobody else of it."""
    id = cli.ask("secret", "--by", "bot", x=1)
    cli.ok("approve", id, env={variable: "alice"})
    (vote,) = cli.show(id)["votes"]
    assert (vote["reviewer"], vote["assurance"]) == (ME, "authenticated")


def test_a_name_given_as_an_option_is_not_authenticated(cli):
    """`--as` somebody else counts as a typed name; where more is asked for it is refused."""
    id = cli.ask("secret", "--by", "bot", x=1)
    assert "only edited" in refused(cli, id, "approve", id, "--as", "alice")
    assert "only edited" in refused(cli, id, "approve", id, "--as", f"{ME} ")
    cli.ok("approve", id)


def test_the_user_who_asked_does_not_approve_on_the_command_line(cli):
    """As themselves, in capitals, or as the agent that acts for somebody."""
    for options in (("--by", ME), ("--by", ME.upper()), ("--by", "bot", "--agent", ME)):
        id = cli.ask("note", *options, x=len(str(options)))
        assert "asked for this and cannot answer it" in refused(cli, id, "approve", id)
        cli.ok("approve", id, "--as", "alice")


def test_a_digest_that_was_not_shown_approves_nothing(cli):
    """`--payload` pins what was seen: something else is a conflict, exit code 8."""
    id = cli.ask("note", "--by", "bot", x=1)
    refused(cli, id, "approve", id, "--payload", "0" * 64, code=8)
    cli.ok("approve", id, "--payload", cli.show(id)["payload_sha256"][:12])


def test_a_stranger_key_on_the_command_line_is_refused_and_recorded(cli):
    """Exit code 1, an event `refused`, and the request waits on; with the key allowed it counts."""
    key = make_key(cli.vault.parent)
    id = cli.ask("secret", "--by", "bot", x=1)
    assert "is not in allowed_signers" in refused(cli, id, "approve", id, "--sign", key)
    assert [event["kind"] for event in cli.json("audit", "show", id)][-1] == "refused"
    cli.ok("reviewer", "key", ME, "--add", f"{key}.pub")
    cli.ok("approve", id, "--sign", key)


# the ledger and the evidence


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A vault with an approved request, one that waits, a checkpoint kept elsewhere, a bundle."""
    folder = tmp_path_factory.mktemp("template")
    cli = Cli(folder / "vault")
    Cli(folder).ok("init", str(cli.vault))
    (cli.vault / "Policy.md").write_text(POLICY)
    id = cli.ask("note", "--by", "bot", x=1)
    cli.ok("approve", id, "--as", "alice")
    cli.ask("note", "--by", "bot", x=2)
    cli.ok("audit", "checkpoint", "--to", folder / "heads")
    assert cli.json("audit", "verify", "--against", folder / "heads")["ok"]
    cli.ok("audit", "export", id, "-o", folder / "bundle")
    return folder


@pytest.fixture
def written(template, workspace):
    """A copy of that vault and of what lies beside it, which holds as it is."""
    shutil.copytree(template, workspace, dirs_exist_ok=True)
    return Cli(workspace / "vault")


def execute(cli, *statements):
    with closing(sqlite3.connect(cli.vault / ".hitl" / "ledger.db")) as ledger, ledger:
        for statement in statements:
            ledger.execute(statement)


TAMPERED = {
    "another reviewer": "UPDATE events SET body = REPLACE(CAST(body AS TEXT), 'alice', 'carol') WHERE seq = "
    "(SELECT MAX(seq) FROM events WHERE CAST(body AS TEXT) LIKE '%alice%')",
    "an event left out": "DELETE FROM events WHERE CAST(body AS TEXT) LIKE '%\"approved\"%'",
    "an event twice": "INSERT INTO events SELECT seq + 100, request_id, body, hash FROM events WHERE seq = 2",
    "two events exchanged": "UPDATE events SET body = (SELECT body FROM events WHERE seq = 2) WHERE seq = 3",
    "another hash": "UPDATE events SET hash = REPLACE(hash, SUBSTR(hash, 1, 4), 'beef') WHERE seq = 3",
    "an event of another request": "UPDATE events SET request_id = 'other' WHERE seq = 3",
    "another status": "UPDATE requests SET status = 'approved' WHERE status = 'pending'",
    "another state": "UPDATE requests SET state = CAST(REPLACE(CAST(state AS TEXT), "
    '\'"status":"pending"\', \'"status":"approved"\') AS BLOB) WHERE status = \'pending\'',
    "other details": "UPDATE requests SET state = CAST(REPLACE(CAST(state AS TEXT), '\"x\":2', '\"x\":3') AS BLOB)",
    "a request left out": "DELETE FROM requests WHERE status = 'pending'",
    "another deadline": "UPDATE requests SET due_us = due_us + 1 WHERE status = 'pending'",
    "another register": "UPDATE register SET state = CAST(REPLACE(CAST(state AS TEXT), 'policy_sha256\":\"', "
    "'policy_sha256\":\"0') AS BLOB)",
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_ledger_that_was_changed_by_hand_is_found(written, name):
    """Whatever row is changed, taken away, doubled or exchanged: verify ends with exit code 1."""
    execute(written, TAMPERED[name])
    done = written.run("audit", "verify", "--json")
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout).get("ok") is not True


def test_a_cut_chain_contradicts_its_checkpoint(written):
    """A tail that was cut off cleanly holds in itself; the head noted elsewhere shows it."""
    execute(
        written,
        "DELETE FROM requests WHERE id = (SELECT request_id FROM events WHERE seq = (SELECT MAX(seq) FROM events))",
        "DELETE FROM events WHERE seq = (SELECT MAX(seq) FROM events)",
    )
    done = written.run("audit", "verify", "--against", written.vault.parent / "heads")
    assert done.returncode == 1
    assert "it was cut" in done.stderr


def test_a_chain_made_anew_contradicts_its_checkpoint(written):
    """Every hash worked out again, for a history in which carol approved."""
    with closing(sqlite3.connect(written.vault / ".hitl" / "ledger.db")) as ledger, ledger:
        (vault,) = ledger.execute("SELECT value FROM meta WHERE name = 'vault_id'").fetchone()
        before = chain.genesis(vault).hash
        for seq, body in ledger.execute("SELECT seq, CAST(body AS BLOB) FROM events").fetchall():
            new = body.replace(b'"agent"', b'"bgent"').replace(b'"bot"', b'"but"')
            before = chain.next_hash(before, hashlib.sha256(new).hexdigest())
            ledger.execute("UPDATE events SET body = ?, hash = ? WHERE seq = ?", (new, before, seq))
    done = written.run("audit", "verify", "--against", written.vault.parent / "heads")
    assert done.returncode == 1
    assert "the chain was another" in done.stderr


def test_a_checkpoint_of_another_vault_vouches_for_nothing(written):
    """A file of heads that was exchanged does not agree."""
    heads = written.vault.parent / "heads"
    line = json.loads(heads.read_text().splitlines()[-1])
    heads.write_text(json.dumps(line | {"vault": "f" * 32}) + "\n")
    assert written.run("audit", "verify", "--against", heads).returncode == 1


BUNDLE = {
    "another reviewer": ("alice", "carol"),
    "another value": ('\\"x\\":1', '\\"x\\":9'),
    "another answer": ('\\"approve\\"', '\\"reject\\"'),
    "another status": ('\\"status\\":\\"approved\\"', '\\"status\\":\\"rejected\\"'),
    "a surer answer": ('\\"edited\\"', '\\"signed\\"'),
    "another requester": ("bot", "but"),
}


@pytest.mark.parametrize("name", BUNDLE)
def test_a_bundle_that_was_changed_does_not_hold(written, name):
    """Each change an insider would want, made everywhere in it: the check says no, exit code 1."""
    folder = written.vault.parent / "bundle"
    text = (folder / "evidence.json").read_text()
    assert evidence_check.check(text.encode())[0].code in {0, 3}
    old, new = BUNDLE[name]
    assert old in text
    (folder / "evidence.json").write_text(text.replace(old, new))
    done = subprocess.run(
        [sys.executable, "-I", str(folder / "check.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
