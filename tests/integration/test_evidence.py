"""Bundles of evidence: checked offline, by a lone script, in an empty environment."""

import base64
import copy
import hashlib
import json
import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from cli_support import Cli
from hypothesis import given
from hypothesis import strategies as st

from hitl_vault.cli import evidence_check
from hitl_vault.core import commands as c
from hitl_vault.core.canonical import changes_between, payload_sha256, with_details
from hitl_vault.core.model import (
    Action,
    Answer,
    Assurance,
    Effect,
    Requirement,
    Status,
    Verdict,
)
from hitl_vault.core.statement import (
    NAMESPACE,
    PAYLOAD_TYPE,
    Envelope,
    Statement,
    envelope_text,
    pae,
    statement_bytes,
)
from hitl_vault.ports import Kept
from hitl_vault.wiring import open_ledger

needs_ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen")
pytestmark = needs_ssh
DETAILS = {
    "amount": 1500.5,
    "to": "vendor@example.com",
    "card": "4111-2222",
    "ü": [1e21, 0.1, -0.0],
}


def keygen(*arguments, input=None):
    done = subprocess.run(["ssh-keygen", *map(str, arguments)], input=input, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def sign(key, namespace, message):
    armoured = keygen("-Y", "sign", "-f", key, "-n", namespace, input=message).decode()
    return base64.b64decode("".join(armoured.strip().splitlines()[1:-1]))


def action(n=0, details=DETAILS):
    return Action(type="payment", description="pay 4111-2222", details=details, requested_by="bot")


def ask(id, wanted):
    verdict = Verdict(
        effect=Effect.ASK, requirement=Requirement(answers=tuple(Answer)), summary="pays"
    )
    return c.Ask(id=id, action=wanted, payload_sha256=payload_sha256(wanted), verdict=verdict)


async def signed_vote(ledger, key, id, answer, *, edit=None, reviewer="Ann Lee"):
    request, head = await ledger.get(id), await ledger.head()
    statement = Statement(
        vault=ledger.vault_id,
        request=id,
        payload_sha256=request.payload_in_force,
        answer=answer.value,
        reviewer=reviewer,
        at="2026-11-21T10:00:00Z",
        reason="ok",
        edited_sha256=edit.payload_sha256 if edit else "",
        ledger_seq=head.seq,
        ledger_hash=head.hash,
    )
    payload = statement_bytes(statement)
    envelope = Envelope(
        payload_type=PAYLOAD_TYPE,
        payload=payload,
        key_id="k",
        signature=sign(key, NAMESPACE, pae(PAYLOAD_TYPE, payload)),
    )
    return c.Vote(
        id=id,
        reviewer=reviewer,
        answer=answer,
        payload_sha256=request.payload_in_force,
        reason="ok",
        assurance=Assurance.SIGNED,
        channel="ssh",
        edit=edit,
        proof=envelope_text(envelope),
        proof_id=envelope.proof_id,
    )


async def told(ledger, command):
    receipt = await ledger.submit(command)
    assert receipt.kept is Kept.ACCEPTED, receipt.message


async def history(root, key):
    """A signed request, one that was changed and signed, a plain one, and one beside them."""
    ledger = open_ledger(root)
    for id in ("signed", "edited", "plain", "beside"):
        await told(ledger, ask(id, action()))
    await told(ledger, await signed_vote(ledger, key, "signed", Answer.APPROVE))
    details = DETAILS | {"card": "5555-6666"}
    changed = with_details(action(), details)
    edit = c.ProposedEdit(
        details=details,
        payload_sha256=payload_sha256(changed),
        changes=changes_between(DETAILS, details),
        verdict=Verdict(effect=Effect.ASK, requirement=Requirement(answers=tuple(Answer))),
    )
    await told(ledger, await signed_vote(ledger, key, "edited", Answer.EDIT, edit=edit))
    await told(
        ledger,
        c.Vote(
            id="plain",
            reviewer="bob",
            answer=Answer.REJECT,
            payload_sha256=payload_sha256(action()),
        ),
    )
    await told(
        ledger,
        c.Claim(
            id="signed",
            claim_id="c1",
            executor="bot",
            holder="h",
            payload_sha256=payload_sha256(action()),
        ),
    )
    await told(
        ledger,
        c.Finish(
            id="signed", claim_id="c1", status=Status.EXECUTED, by="bot", result={"card": "x"}
        ),
    )
    await told(ledger, c.Comment(id="beside", comment_id="1", author="x", text="said"))
    await ledger.aclose()


@pytest.fixture
async def cli(workspace):
    cli = Cli(workspace / "vault")
    cli.vault.mkdir()
    cli.ok("init", ".")
    key = workspace / "key"
    keygen("-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key)
    public = " ".join(Path(f"{key}.pub").read_text().split()[:2])
    (cli.vault / ".hitl" / "allowed_signers").write_text(
        f'# keys\n"Ann Lee" namespaces="hitl-vault" {public} ann@laptop\nother {public[:-6]}AAAAAA\n'
    )
    await history(cli.vault, key)
    yield cli
    cli.close()


def check(folder, *arguments):
    """Run the script of the bundle as an auditor would: isolated, no site, nothing in the way."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(folder / "check.py"), *map(str, arguments)],
        env={},
        cwd="/",
        capture_output=True,
        text=True,
    )


def exported(cli, *ids, **options):
    folder = cli.vault.parent / "-".join(("bundle", *ids, *options.values()))
    cli.ok("audit", "export", *ids, "-o", folder, *(f"--{k}={v}" for k, v in options.items()))
    return folder


@pytest.mark.parametrize("id", ["signed", "edited", "plain", "beside"])
def test_a_bundle_is_checked_by_its_own_script_alone(cli, id):
    """Standard library, no site packages, no environment; it says what it proved."""
    folder = exported(cli, id)
    done = check(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "It holds." in done.stdout
    assert "made up later as a whole" in done.stdout
    if id in {"signed", "edited"}:
        assert "signed it with the key SHA256:" in done.stdout
    if id == "plain":
        assert "nothing shows who it was" in done.stdout


def test_a_bundle_shows_nothing_of_other_requests(cli):
    """Of their events only digests leave the vault."""
    text = (exported(cli, "plain") / "evidence.json").read_text()
    assert "beside" not in text
    assert "signed" not in json.dumps(json.loads(text)["events"])
    assert (
        len(json.loads(text)["others"]) + len(json.loads(text)["events"])
        == json.loads(text)["head"]["seq"]
    )


def test_several_requests_are_several_bundles_and_a_zip_holds_the_same(cli):
    """Each bundle is whole by itself; an existing path is never written over."""
    folder = exported(cli, "signed", "plain")
    assert check(folder / "signed").returncode == 0
    assert check(folder / "plain").returncode == 0
    assert cli.run("audit", "export", "plain", "-o", folder).returncode == 2
    packed = cli.vault.parent / "b.zip"
    cli.ok("audit", "export", "signed", "-o", packed)
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(cli.vault.parent / "unpacked")
    assert check(cli.vault.parent / "unpacked").returncode == 0
    assert cli.run("audit", "export", "signed", "-o", packed).returncode == 2
    assert cli.run("audit", "export", "nothing", "-o", "x").returncode == 9


def judged(text):
    return evidence_check.check(text)[0].code


@pytest.mark.parametrize("id", ["edited", "plain"])
def test_any_changed_byte_of_a_bundle_is_found(cli, id, monkeypatch):
    """Every byte, changed in two ways; signatures are compared once each, to save time."""
    text = (exported(cli, id) / "evidence.json").read_bytes()
    real, seen = subprocess.run, {}

    def run_once(command, *, input, **options):
        said = (Path(command[4]).read_bytes(), Path(command[10]).read_bytes(), input)
        if said not in seen:
            seen[said] = real(command, input=input, **options)
        return seen[said]

    monkeypatch.setattr(subprocess, "run", run_once)
    assert judged(text) == 0
    numbers = random.Random(7)
    for at in range(len(text)):
        for flip in (1, numbers.randrange(2, 256)):
            torn = bytearray(text)
            torn[at] ^= flip
            assert judged(bytes(torn)) == 1, (at, flip, text[max(0, at - 40) : at + 10])
    for at in range(0, len(text), 97):
        assert judged(text[:at]) == 1
        assert judged(text[:at] + text[at + 1 :]) == 1


def paths(value, path=()):
    yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        yield from paths(item, (*path, key))


def changed(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return {"str": f"{value}x", "dict": {}, "list": [], "NoneType": "x"}[type(value).__name__]


def test_any_changed_field_of_a_bundle_is_found(cli):
    """Every field, written again in the bundle's own form: changed, doubled or taken out."""
    text = (exported(cli, "edited") / "evidence.json").read_bytes()
    evidence = json.loads(text)
    for path in paths(evidence):
        if not path:
            continue
        for what in ("change", "drop"):
            torn = copy.deepcopy(evidence)
            place = torn
            for step in path[:-1]:
                place = place[step]
            if what == "drop":
                del place[path[-1]]
            elif place[path[-1]] == changed(place[path[-1]]):
                continue
            else:
                place[path[-1]] = changed(place[path[-1]])
            again = (json.dumps(torn, ensure_ascii=True, indent=1) + "\n").encode()
            code = judged(again)
            without_key = torn.get("keys") == []  # no signature is then checked, and it says so
            assert code == (3 if without_key and path[0] == "keys" else 1), (path, what)


def test_an_event_hidden_among_the_others_is_found(cli):
    """A step that is left out, its digest kept in the chain, is missed."""
    evidence = json.loads((exported(cli, "signed") / "evidence.json").read_text())
    for number in range(len(evidence["events"])):
        torn = copy.deepcopy(evidence)
        event = torn["events"].pop(number)
        own = [e["seq"] for e in torn["events"]]
        place = event["seq"] - 1 - sum(seq < event["seq"] for seq in own)
        torn["others"].insert(place, hashlib.sha256(event["body"].encode()).hexdigest())
        again = (json.dumps(torn, ensure_ascii=True, indent=1) + "\n").encode()
        assert judged(again) == 1, event["body"]


def test_a_signature_of_another_namespace_or_key_proves_nothing(cli, workspace):
    """What was signed for git, or by a key that is not theirs, is wrong."""
    folder = exported(cli, "signed")
    keygen("-q", "-t", "ed25519", "-N", "", "-f", workspace / "strange")
    mine = workspace / "signers"
    public = Path(f"{workspace}/strange.pub").read_text()
    mine.write_text(f'"Ann Lee" {public}')
    assert check(folder, "--signers", mine).returncode == 1
    own = (cli.vault / ".hitl" / "allowed_signers").read_text().splitlines()[1]
    mine.write_text(own + "\n")
    assert check(folder, "--signers", mine).returncode == 0
    mine.write_text(own.replace("namespaces", 'valid-before="20200101",namespaces') + "\n")
    assert check(folder, "--signers", mine).returncode == 1


def test_a_signed_answer_without_its_key_is_not_passed_silently(cli):
    """Where the vault's list holds the key no more, the check says what it could not do."""
    (cli.vault / ".hitl" / "allowed_signers").unlink()
    done = check(exported(cli, "signed"))
    assert done.returncode == 3
    assert "no key for it" in done.stdout


def test_a_checkpoint_anchors_the_chain(cli, workspace):
    """A head noted elsewhere shows that the chain is the vault's own; another one, that it is not."""
    folder = exported(cli, "plain")
    evidence = json.loads((folder / "evidence.json").read_text())
    file = workspace / "heads"
    line = {"vault": evidence["vault"], **evidence["head"], "at": "2026-11-21T10:00:00Z"}
    file.write_text(json.dumps(line) + "\n")
    done = check(folder, "--checkpoints", file)
    assert done.returncode == 0
    assert "agrees with checkpoints" in done.stdout
    file.write_text(json.dumps(line | {"hash": "0" * 64}) + "\n")
    assert check(folder, "--checkpoints", file).returncode == 1
    file.write_text(json.dumps(line | {"vault": "another"}) + "\n")
    assert check(folder, "--checkpoints", file).returncode == 3


@pytest.mark.parametrize("id", ["signed", "edited", "plain"])
def test_redaction_hides_the_values_and_is_never_passed_silently(cli, id):
    """No hidden value is anywhere in the bundle, the chain still holds, and exit is 3."""
    folder = exported(cli, id, redact="card,/to")
    text = (folder / "evidence.json").read_text()
    for value in ("4111-2222", "5555-6666", "vendor@example.com"):
        assert value not in text
    done = check(folder)
    assert done.returncode == 3, done.stdout
    assert "its digest cannot be recomputed" in done.stdout
    assert "what is hidden: card, /to" in done.stdout
    if id == "edited":
        assert "given by its digest only" in done.stdout


def test_a_rule_that_hides_nothing_changes_nothing(cli):
    """A bundle in which there is nothing to hide is proved as a whole."""
    folder = exported(cli, "plain", redact="password")
    assert json.loads((folder / "evidence.json").read_text())["redacted"] == []
    assert check(folder).returncode == 0


def test_claiming_redaction_does_not_excuse_a_change(cli):
    """A changed amount under a false claim is at most `could not be checked`, never proved."""
    evidence = json.loads((exported(cli, "plain") / "evidence.json").read_text())
    evidence["state"] = evidence["state"].replace("1500.5", "15.5")

    def again():
        return (json.dumps(evidence, ensure_ascii=True, indent=1) + "\n").encode()

    assert judged(again()) == 1
    evidence["redacted"] = ["card"]
    assert judged(again()) == 1
    evidence["state"] = evidence["state"].replace("4111-2222", "[redacted]")
    assert judged(again()) == 3


def test_the_setting_hides_in_the_export_of_the_whole_chain_too(cli):
    """Events with hidden values are given by digest; the chain can still be walked."""
    (cli.vault / ".hitl" / "config.toml").write_text('redact = ["card"]\n')
    text = cli.ok("audit", "export")
    assert "5555-6666" not in text
    header, *events = map(json.loads, text.splitlines())
    before, hidden = header["before"], 0
    for event in events:
        digest = event.get("body_sha256") or hashlib.sha256(event["body"].encode()).hexdigest()
        hidden += "body_sha256" in event
        before = hashlib.sha256(f"{before}\n{digest}".encode()).hexdigest()
        assert before == event["hash"]
    assert hidden == 2  # what was changed, and a result that names the key


def test_a_file_that_is_no_bundle_is_said_plainly(workspace):
    """Exit 1 for what claims to be one and is not, 2 for what cannot be read."""
    file = workspace / "evidence.json"
    script = Path(evidence_check.__file__)
    assert evidence_check.main([str(workspace / "none")]) == 2
    for text in (b"", b"{}", b"[]", b"\xff", b'{"format": "other"}', b"[" * 100_000):
        file.write_bytes(text)
        assert evidence_check.main([str(file)]) == 1
    assert script.is_file()


numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=4), json_values, max_size=4))
def test_the_script_writes_canonical_json_as_the_library_does(value):
    """RFC 8785, numbers and the order of keys included."""
    import rfc8785

    assert evidence_check.canonical(json.loads(json.dumps(value))).encode() == rfc8785.dumps(value)


def test_the_two_halves_agree_on_their_names():
    """The script cannot import the package, so its constants are compared here."""
    from hitl_vault.core import evidence, redaction, statement

    assert evidence_check.FORMAT == evidence.FORMAT
    assert evidence_check.SCHEMA == statement.SCHEMA
    assert evidence_check.NAMESPACE == statement.NAMESPACE
    assert evidence_check.PAYLOAD_TYPE == statement.PAYLOAD_TYPE
    assert evidence_check.HIDDEN == redaction.HIDDEN


def state(**more):
    found = {
        "action": {"details": {"items": [{"card": "Grüße"}], "card": "approved", "n": 1}},
        "edited": None, "votes": [], "comments": [], "key": None, "reason": "", "outcome": None,
        "verdict": {"summary": "", "reasons": []}, "status": "approved",
    }  # fmt: skip
    found["action"]["description"] = ""
    return found | more


def test_hidden_values_in_changed_lists_grants_and_reasons_are_found():
    """Wherever the record repeats a hidden value; what is ours, such as the status, stays."""
    from hitl_vault.core.hiding import Hider, grant_is_hidden
    from hitl_vault.core.redaction import parse_redaction

    rules = parse_redaction(["card"])
    hider = Hider(redaction=rules, state=state())
    changed = ["/items", '[{"card": "Gr\\u00fc\\u00dfe"}]', "[]"]

    def event(kind, **data):
        return json.dumps({"kind": kind, "actor": "ann", "data": data}).encode()

    assert hider.hides_event(event("edited", changes=[changed]))
    assert not hider.hides_event(event("edited", changes=[["/n", "1", "2"]]))
    assert hider.hides_event(event("voted", reason="say Grüße", proof="x"))
    assert hider.hides_event(event("executed", result={"card": 7}))
    assert not hider.hides_event(event("executed", result={"n": 7}))
    assert grant_is_hidden(event("granted", bounds=[["/card", '"x"', None, False]]), rules)
    assert not grant_is_hidden(event("granted", bounds=[["/n", "1", None, False]]), rules)
    vote = {"reason": "it says Grüße", "proof": "signed"}
    shown = Hider(redaction=rules, state=state(votes=[vote])).shown_state()
    assert shown["status"] == "approved"
    assert shown["votes"] == [{"reason": "it says [redacted]", "proof": "[redacted]"}]
