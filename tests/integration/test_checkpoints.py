"""Checkpoints: a ledger that was cut, made anew or replaced is found by what was noted elsewhere."""

import asyncio
import hashlib
import json
import shutil
import sqlite3
import subprocess
import threading
import time
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cli_support import POLICY, Cli

from hitl_vault.adapters.checkpoint.file import FileCheckpoints
from hitl_vault.adapters.checkpoint.webhook import WebhookCheckpoints
from hitl_vault.core import chain
from hitl_vault.errors import NotSent
from hitl_vault.wiring import Orchestrator


@pytest.fixture
def cli(workspace):
    cli = Cli(workspace / "vault")
    cli.vault.mkdir()
    cli.ok("init", ".")
    (cli.vault / "Policy.md").write_text(POLICY)
    for n in range(3):
        cli.ask("a", x=n)
    yield cli
    cli.close()


def rewrite(cli, keep):
    """Cut the chain after `keep` events, or make it anew with other hashes, as an attacker would."""
    with closing(sqlite3.connect(cli.vault / ".hitl" / "ledger.db")) as ledger, ledger:
        (vault,) = ledger.execute("SELECT value FROM meta WHERE name = 'vault_id'").fetchone()
        rows = ledger.execute("SELECT seq, CAST(body AS BLOB), request_id FROM events").fetchall()
        if keep is not None:
            gone = {id for seq, _, id in rows if seq > keep}
            ledger.execute("DELETE FROM events WHERE seq > ?", (keep,))
            ledger.executemany("DELETE FROM requests WHERE id = ?", [(id,) for id in gone])
            return
        before = chain.genesis(vault).hash
        for seq, body, _ in rows:
            body = body.replace(b'"agent"', b'"bgent"')
            before = chain.next_hash(before, hashlib.sha256(body).hexdigest())
            ledger.execute(
                "UPDATE events SET body = ?, hash = ? WHERE seq = ?", (body, before, seq)
            )


def test_a_chain_that_only_grew_agrees(cli, workspace):
    """Lines are added, never changed; each is a checkpoint of this vault."""
    file = workspace / "heads"
    cli.ok("audit", "checkpoint", "--to", file)
    first = file.read_bytes()
    cli.ask("a", x=9)
    cli.ok("audit", "checkpoint", "--to", file)
    assert file.read_bytes().startswith(first)
    assert set(json.loads(first)) == {"vault", "seq", "hash", "at"}
    found = cli.json("audit", "verify", "--against", file)
    assert (found["ok"], found["checkpoints"], found["newest_checkpoint"]) == (True, 2, 5)
    assert "agrees with 2 checkpoints" in cli.ok("audit", "verify", "--against", file)
    line = cli.ok("audit", "checkpoint")
    assert "agrees with 1" in cli.ok("audit", "verify", "--against", "-", input=line)


@pytest.mark.parametrize(
    ("keep", "said"), [(2, "the chain ends at 2: it was cut"), (None, "the chain was another")]
)
def test_a_chain_that_was_cut_or_made_anew_is_found(cli, workspace, keep, said):
    """It holds in itself, and contradicts what was noted."""
    file = workspace / "heads"
    cli.ok("audit", "checkpoint", "--to", file)
    rewrite(cli, keep)
    cli.ok("audit", "verify")
    done = cli.run("audit", "verify", "--against", file, "--json")
    assert done.returncode == 1
    assert said in done.stderr
    assert json.loads(done.stdout)["ok"] is False


def test_another_vault_a_torn_line_and_no_line_are_found(cli, workspace):
    """Whatever does not agree is named by its line."""
    file = workspace / "heads"
    cli.ok("audit", "checkpoint", "--to", file)
    good = file.read_text()
    other = json.dumps(json.loads(good) | {"vault": "f" * 32})
    for text, said in (
        (good + other, "line 2: it is of another vault"),
        (good + good[:40], "line 2 cannot be read"),
        (good + "[]\n", "line 2 cannot be read"),
        ("\n\n", "there is no checkpoint"),
    ):
        file.write_text(text)
        done = cli.run("audit", "verify", "--against", file)
        assert done.returncode == 1
        assert said in done.stderr
    assert cli.run("audit", "verify", "--against", workspace / "none").returncode == 2
    assert cli.run("audit", "verify", "--signed").returncode == 2


def test_after_a_torn_line_the_next_stands_alone(workspace):
    """A process killed while it wrote costs its own line, not the next one."""
    file = workspace / "heads"
    file.write_text('{"vault": "x", "se')
    FileCheckpoints(file).append("next")
    assert file.read_text().splitlines() == ['{"vault": "x", "se', "next"]
    assert FileCheckpoints(file).last() == "next"
    with pytest.raises(NotSent, match="No such file"):
        FileCheckpoints(workspace / "no" / "folder").append("x")


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen")
def test_a_signed_checkpoint_is_only_its_signers(cli, workspace):
    """--signed takes no other; a changed one, or one by a stranger, is wrong."""
    file, key = workspace / "heads", workspace / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = Path(f"{key}.pub").read_text()
    assert cli.run("audit", "checkpoint", "--to", file, "--sign", key).returncode == 1
    (workspace / "signers").write_text(f"ann {public}")
    shutil.copy(workspace / "signers", cli.vault / ".hitl" / "allowed_signers")
    cli.ok("audit", "checkpoint", "--to", file, "--sign", key)
    checked = ("audit", "verify", "--against", file, "--signed")
    cli.ok(*checked)
    cli.ok(*checked, "--signers", workspace / "signers")
    text = file.read_text()
    file.write_text(
        text.replace("Z", "0Z") if ".0" in text else text.replace('"at": "20', '"at": "21')
    )
    assert cli.run(*checked).returncode == 1
    cli.ok("audit", "checkpoint", "--to", workspace / "plain")
    assert cli.run("audit", "verify", "--against", workspace / "plain", "--signed").returncode == 1


@contextmanager
def server(answer=204, *, hangs=None, lines=b""):
    """A server that takes checkpoints; with `hangs` it answers only once that is set."""
    taken = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self):
            taken.append(self.rfile.read(int(self.headers["content-length"])))
            if hangs is not None:
                hangs.wait(30)
            self.send_response(answer)
            self.end_headers()

        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(lines or b"\n".join(taken))

        def log_message(self, *_):
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    found.daemon_threads = True
    thread = threading.Thread(target=found.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{found.server_port}/secret-token", taken
    finally:
        if hangs is not None:
            hangs.set()
        found.shutdown()
        thread.join()
        found.server_close()


def test_a_url_takes_checkpoints_and_gives_them_back(cli):
    """POST to note one, GET to compare; the URL may come from the environment, and is not shown."""
    pytest.importorskip("httpx")
    with server() as (url, taken):
        out = cli.ok("audit", "checkpoint", "--webhook", url)
        cli.ok("audit", "checkpoint", "--webhook", "env:MY_URL", env={"MY_URL": url})
        assert "secret-token" not in out
        assert [json.loads(line)["seq"] for line in taken] == [4, 4]
        assert "agrees with 2" in cli.ok("audit", "verify", "--against", url)
        assert cli.run("audit", "checkpoint", "--webhook", "env:NOT_SET").returncode == 2
    with server(answer=500) as (url, _):
        done = cli.run("audit", "checkpoint", "--webhook", url)
        assert done.returncode == 1
        assert "answered 500" in done.stderr
        assert "secret-token" not in done.stderr


async def test_the_running_desk_notes_the_head_by_itself(workspace):
    """At once where none is noted, and not again before its time."""
    Cli(workspace).ok("init", "vault")
    file = workspace / "heads"
    async with Orchestrator(workspace / "vault", checkpoint_to=str(file), settle_s=0) as hitl:
        await hitl.request_approval("pay", "", {"n": 1})
        async with asyncio.timeout(30):
            while not file.exists() or not file.read_text():
                await asyncio.sleep(0.02)
        assert len(file.read_text().splitlines()) == 1
    async with Orchestrator(workspace / "vault", checkpoint_to=str(file)) as hitl:
        await hitl.request_approval("pay", "", {"n": 2})
    assert len(file.read_text().splitlines()) == 1


async def test_a_url_that_hangs_holds_up_nothing(workspace):
    """The desk goes on asking and answering, and closes at once."""
    pytest.importorskip("httpx")
    Cli(workspace).ok("init", "vault")
    release = threading.Event()
    with server(hangs=release) as (url, taken):
        begun = time.monotonic()
        async with Orchestrator(workspace / "vault", checkpoint_to=url) as hitl:
            while not taken:
                await asyncio.sleep(0.01)
            asked = await hitl.request_approval("pay", "", {"n": 1})
            await hitl.approve(asked.id, reviewer="ann")
            assert (await hitl.wait_for_approval(asked.id)).status == "approved"
        assert time.monotonic() - begun < 8
    with pytest.raises(NotSent) as caught:
        await WebhookCheckpoints("http://127.0.0.1:1/secret-token").note("{}")
    assert "secret-token" not in str(caught.value)
