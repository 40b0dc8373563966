"""Forged, replayed and borrowed signatures: SSH by the real ssh-keygen, HMAC, the older formula."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, replace
from datetime import timedelta

import pytest
import rfc8785
from forgery_kit import SECRET, fails
from ssh_kit import needs_ssh, public

from hitl_vault.core import commands as c
from hitl_vault.core.model import Answer, Assurance, Status
from hitl_vault.core.statement import PAYLOAD_TYPE, parse_envelope, statement_bytes
from hitl_vault.errors import InvalidRequest, Refused
from hitl_vault.ports import Kept
from hitl_vault.signatures import approval_signature, formula_envelope

pytestmark = needs_ssh
APPROVE, REJECT, EDIT = Answer.APPROVE, Answer.REJECT, Answer.EDIT


@pytest.fixture(params=["ssh", "hmac"])
def mode(request):
    """Both kinds of signature stand the same attacks."""
    return request.param


@pytest.fixture
async def asked(hitl):
    return await hitl.request_approval("payment", "Pay", {"amount": 900})


async def twin(hitl, asked):
    """Return another request for exactly the same action."""
    found = await hitl.request_approval("payment", "Pay", {"amount": 900}, key="twin")
    assert found.id != asked.id
    assert found.payload_sha256 == asked.payload_sha256
    return found


async def honest(target, hitl, mode="ssh", **more):
    """Show that the same move, made as it should be, counts."""
    asked = await hitl.request_approval("payment", "Pay", {"amount": 1}, key="honest")
    done = await target.approves(hitl, asked, await target.signed(hitl, asked, mode=mode), **more)
    assert (done.status, done.votes[0].assurance) == (Status.APPROVED, Assurance.SIGNED)
    return done


def hand_in(hitl, asked, proof, answer=APPROVE, by="alice", **more):
    return hitl.vote(asked.id, answer, reviewer=by, proof=proof, **more)


async def stated(hitl, asked, **changes):
    """Return what alice would sign, with changes that make it another statement."""
    return replace(await hitl.statement(asked.id, APPROVE, reviewer="alice"), **changes)


# what was signed is something else


async def test_a_signature_for_a_request_does_not_count_in_its_twin(target, hitl, asked, mode):
    """Not even with the same type, details and requester: the same payload, to the byte."""
    other, proof = await twin(hitl, asked), await target.signed(hitl, asked, mode=mode)
    says = f"signed for another request, {asked.id}$"
    await fails(target, hitl, other, hand_in(hitl, other, proof), says)
    await target.approves(hitl, asked, proof)
    await fails(target, hitl, other, hand_in(hitl, other, proof), says)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"payload_sha256": "0" * 64}, "other details than those in force"),
        ({"answer": "reject"}, "it says reject, and this answer is approve"),
        ({"vault": "vault-2"}, "signed for another vault"),
        ({"request": "pay-2"}, "signed for another request, pay-2"),
        ({"reviewer": "bob"}, "signed as bob, and this answer is alice's"),
        ({"reason": "whatever it takes"}, "signed with another reason"),
        ({"edited_sha256": "0" * 64}, "other changes of the details"),
        ({"schema": "hitl-vault/statement/2"}, "another schema"),
        ({"at": "yesterday"}, "not a statement of ours|in another form"),
        ({"at": "2026-11-21T09:30:12+00:00"}, "in another form"),
    ],
)
async def test_a_statement_that_says_something_else_does_not_count(
    target, hitl, asked, mode, changes, says
):
    """Signed rightly, by the right key, over another vault, request, payload, answer, name…"""
    await honest(target, hitl, mode)
    proof = target.seal(mode, await stated(hitl, asked, **changes))
    await fails(target, hitl, asked, hand_in(hitl, asked, proof), says)


async def test_a_signed_approval_is_no_rejection_and_no_other_reason(target, hitl, asked, mode):
    """Whoever hands it in can change neither the answer nor the words around it."""
    proof = await target.signed(hitl, asked, mode=mode)
    await fails(target, hitl, asked, hand_in(hitl, asked, proof, REJECT), "it says approve")
    await fails(target, hitl, asked, hand_in(hitl, asked, proof, reason="x"), "another reason")
    changed = hand_in(hitl, asked, proof, EDIT, details={"amount": 9})
    await fails(target, hitl, asked, changed, "it says approve, and this answer is edit")
    assert (await target.approves(hitl, asked, proof)).status is Status.APPROVED


async def test_a_signed_change_is_for_its_values_alone(target, hitl, asked, mode):
    """800 was signed; 801, and what was asked for, are not."""
    proof = await target.signed(hitl, asked, EDIT, mode=mode, details={"amount": 800})
    more = hand_in(hitl, asked, proof, EDIT, details={"amount": 801})
    await fails(target, hitl, asked, more, "other changes of the details")
    await fails(target, hitl, asked, hand_in(hitl, asked, proof), "it says edit")
    done = await target.approves(hitl, asked, proof, answer=EDIT, details={"amount": 800})
    assert done.details == {"amount": 800}


async def test_what_was_signed_before_a_change_does_not_count_after_it(target, hitl, mode):
    """Neither for the changed details, nor by naming the old ones."""
    asked = await hitl.request_approval("launch", "Go", {"n": 1})
    early = await target.signed(hitl, asked, mode=mode)
    change = await target.signed(hitl, asked, EDIT, mode=mode, by="bob", details={"n": 2})
    await target.approves(hitl, asked, change, answer=EDIT, by="bob", details={"n": 2})
    await fails(target, hitl, asked, hand_in(hitl, asked, early), "other details than those")
    old = hand_in(hitl, asked, early, payload_sha256=asked.payload_sha256)
    from hitl_vault.errors import Conflict

    await fails(target, hitl, asked, old, "changed since", error=Conflict, recorded=False)
    late = await target.signed(hitl, asked, mode=mode)
    assert (await target.approves(hitl, asked, late)).status is Status.APPROVED


async def test_a_kept_proof_does_not_undo_a_changed_mind(target, hitl, mode):
    """Approved, then rejected: the approval that somebody kept is spent."""
    asked = await hitl.request_approval("launch", "Go", {})
    yes = await target.signed(hitl, asked, mode=mode)
    await target.approves(hitl, asked, yes)
    await target.approves(
        hitl, asked, await target.signed(hitl, asked, REJECT, mode=mode), answer=REJECT
    )
    says = "used for an answer before"
    await fails(target, hitl, asked, hand_in(hitl, asked, yes), says)
    again = json.dumps(json.loads(yes), indent=2)
    await fails(target, hitl, asked, hand_in(hitl, asked, again), says)
    (vote,) = (await hitl.get(asked.id)).votes
    assert vote.answer is REJECT


async def test_a_proof_is_one_vote_of_two(target, hitl, mode):
    """Handed in again, or under the second name, it never is the second person."""
    asked = await hitl.request_approval("launch", "Go", {})
    proof = await target.signed(hitl, asked, mode=mode)
    once = await target.approves(hitl, asked, proof)
    again = await hand_in(hitl, asked, proof)
    assert again.votes == once.votes
    await fails(target, hitl, asked, hand_in(hitl, asked, proof, by="bob"), "signed as alice")
    own = await target.signed(hitl, asked, mode=mode, by="bob")
    assert (await target.approves(hitl, asked, own, by="bob")).status is Status.APPROVED


async def test_a_proof_reverses_nothing_that_is_decided(target, hitl, mode):
    """A forged reject of what is approved is recorded; the approval stands."""
    done = await honest(target, hitl, mode)
    proof = target.seal(mode, await hitl.statement(done.id, REJECT, reviewer="bob"), "alice")
    await fails(target, hitl, done, hand_in(hitl, done, proof, REJECT, "bob"), "is not bob's")
    async with hitl.execution(done.id):
        pass


# the envelope


def _two(form):
    form["signatures"] *= 2


def _spelt(form):
    form["signatures"][0]["sig"] += "\n"


def _sig(form):
    raw = bytearray(base64.b64decode(form["signatures"][0]["sig"]))
    raw[-1] ^= 1
    form["signatures"][0]["sig"] = base64.b64encode(raw).decode()


def _body(form):
    raw = base64.b64decode(form["payload"]).replace(b'"reason":""', b'"reason":"x"')
    form["payload"] = base64.b64encode(raw).decode()


ENVELOPES = {
    "two signatures": (_two, "not a signed envelope"),
    "no signature": (lambda form: form.update(signatures=[]), "not a signed envelope"),
    "signatures that are no list": (lambda form: form.update(signatures="x"), "signed envelope"),
    "another type": (lambda form: form.update(payloadType="text/plain"), "something else"),
    "a policy's type": (
        lambda form: form.update(payloadType="application/vnd.hitl-vault.policy+json"),
        "something else than an answer",
    ),
    "more on top": (lambda form: form.update(approved=True), "more than an envelope"),
    "more in the signature": (
        lambda form: form["signatures"][0].update(reviewer="alice"),
        "more than an envelope",
    ),
    "another key's name": (
        lambda form: form["signatures"][0].update(keyid="ssh:SHA256:" + "A" * 43),
        "names another key|is not right|not an SSH signature",
    ),
    "a kind of key nobody knows": (
        lambda form: form["signatures"][0].update(keyid="none:alice"),
        "kind 'none'",
    ),
    "no key's name": (lambda form: form["signatures"][0].pop("keyid"), "kind ''"),
    "another spelling of the bytes": (_spelt, "not a signed envelope"),
    "a changed signature": (_sig, "not right"),
    "an empty signature": (
        lambda form: form["signatures"][0].update(sig=""),
        "not right|not an SSH signature",
    ),
    "a changed statement": (_body, "another reason"),
    "an empty statement": (lambda form: form.update(payload=""), "not a statement of ours"),
    "a number for the statement": (lambda form: form.update(payload=1), "signed envelope"),
}


@pytest.mark.parametrize("name", ENVELOPES)
async def test_an_envelope_that_was_touched_does_not_count(target, hitl, asked, mode, name):
    """Whatever is changed around the statement that alice did sign."""
    change, says = ENVELOPES[name]
    proof = await target.signed(hitl, asked, mode=mode)
    form = json.loads(proof)
    change(form)
    await fails(target, hitl, asked, hand_in(hitl, asked, json.dumps(form)), says)
    assert (await target.approves(hitl, asked, proof)).status is Status.APPROVED


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("yes, I approve. alice", "not a signed envelope"),
        ("[]", "not a signed envelope"),
        ("[" * 30_000, "not a signed envelope"),
        ('{"payloadType": "a", "payloadType": "b"}', "a key stands twice"),
        ("{" + " " * 70_000 + "}", "longer than 65,536 bytes"),
    ],
    ids=["prose", "list", "deep", "twice", "huge"],
)
async def test_what_is_no_envelope_proves_nothing(target, hitl, asked, text, says):
    """Prose, costly nesting, doubled keys and huge texts are refused in a sentence."""
    await honest(target, hitl)
    await fails(target, hitl, asked, hand_in(hitl, asked, text), says)


@pytest.mark.parametrize("form", ["spaces", "more", "less", "order", "doubled"])
async def test_a_statement_in_another_form_does_not_count(target, hitl, asked, form):
    """Signed by alice, and not byte for byte what the library writes: it could be read two ways."""
    await honest(target, hitl)
    fields = asdict(await stated(hitl, asked))
    body = rfc8785.dumps(fields)
    if form == "spaces":
        body = json.dumps(fields, sort_keys=True).encode()
    elif form == "more":
        body = rfc8785.dumps(fields | {"approved": True})
    elif form == "less":
        body = rfc8785.dumps({name: fields[name] for name in fields if name != "vault"})
    elif form == "order":
        body = json.dumps(dict(reversed(fields.items())), separators=(",", ":")).encode()
    else:
        body = body.replace(b'"answer":', b'"answer":"reject","answer":')
    proof = target.seal_bytes(body, target.ssh["alice"])
    await fails(target, hitl, asked, hand_in(hitl, asked, proof), "statement")


# SSH keys


@pytest.mark.parametrize(
    "namespace", ["git", "file", "hitl-vault-policy", "hitl-vault ", "HITL-VAULT"]
)
async def test_an_ssh_signature_for_another_purpose_does_not_count(target, hitl, asked, namespace):
    """A signed commit, file or policy is no answer, though the bytes and the key are right."""
    await honest(target, hitl)
    body = statement_bytes(await stated(hitl, asked))
    proof = target.seal_bytes(body, target.ssh["alice"], namespace=namespace)
    await fails(target, hitl, asked, hand_in(hitl, asked, proof), "signed for another purpose")


async def test_an_ssh_signature_over_the_bare_statement_does_not_count(target, hitl, asked):
    """The type of what is signed is signed too: a file with the same bytes is not an answer."""
    await honest(target, hitl)
    body = statement_bytes(await stated(hitl, asked))
    proof = target.seal_bytes(body, target.ssh["alice"], message=body)
    await fails(target, hitl, asked, hand_in(hitl, asked, proof), "signature is not right")


@pytest.mark.parametrize("key", ["bob", "eve"])
async def test_a_key_of_somebody_else_does_not_sign_for_alice(target, hitl, asked, key):
    """A colleague's key and a stranger's: they say her name, and are not hers."""
    await honest(target, hitl)
    proof = target.seal("ssh", await stated(hitl, asked), key)
    says = "is not alice's" if key == "bob" else "is not in allowed_signers"
    await fails(target, hitl, asked, hand_in(hitl, asked, proof), says)


LINES = {
    "expired": ('alice valid-before="20261121093000Z" {}', "has expired"),
    "not yet valid": ('alice valid-after="20261122000000Z" {}', "is not valid yet"),
    "for policies only": ('alice namespaces="hitl-vault-policy" {}', "not allowed to sign for"),
    "for commits only": ('alice namespaces="git" {}', "not allowed to sign for"),
    "a pattern": ("* {}", "pattern"),
    "a pattern around the name": ("al?ce {}", "pattern"),
    "a negated pattern": ("!eve,alice {}", "pattern"),
    "an authority": ("alice cert-authority {}", "certificate authority"),
    "an unknown option": ("alice verify-required {}", "not known here"),
    "another name": ("alice2 {}", "is not alice's"),
    "a longer name": ("alice.evil {}", "is not alice's"),
    "a comment": ("# alice {}", "is not in allowed_signers"),
    "removed": ("", "is not in allowed_signers"),
}


@pytest.mark.parametrize("name", LINES)
async def test_a_key_that_does_not_count_now_signs_nothing(target, hitl, asked, name):
    """Her own key and her own signature, made while it counted; the list has changed since."""
    proof = await target.signed(hitl, asked)
    await honest(target, hitl)
    line, says = LINES[name]
    target.allow(line.format(public(target.ssh["alice"])))
    await fails(target, hitl, asked, hand_in(hitl, asked, proof), says)


# shared keys


@pytest.mark.parametrize("name", ["retired", "ended", "not yet", "removed", "unknown", "bob's"])
async def test_a_shared_key_that_does_not_count_now_signs_nothing(target, hitl, asked, name):
    """Retired, over, not begun, taken off the list, never on it, or somebody else's."""
    await honest(target, hitl, "hmac")
    now, key = target.clock.now(), "alice-1"
    if name == "retired":
        target.keys.retire(key, now)
    elif name in {"ended", "not yet"}:
        key = "alice-2"
        begins = now + timedelta(hours=1) if name == "not yet" else now
        ends = now + timedelta(seconds=1) if name == "ended" else None
        target.keys.add("alice", key, begins, until=ends, env="A")
        target.clock.advance(2)
    elif name == "removed":
        (target.folder / "hmac.toml").write_text("")
    else:
        key = "nobody-1" if name == "unknown" else "bob-1"
    proof = target.seal("hmac", await stated(hitl, asked), key.removesuffix("-1"))
    if key == "alice-2":
        proof = proof.replace("alice-2-1", key)
    says = "retired|not in force yet|no key|is not alice's"
    await fails(target, hitl, asked, hand_in(hitl, asked, proof), says)


async def test_a_shared_key_is_no_ssh_key_and_the_reverse(target, hitl, asked):
    """A signature of one kind under the name of the other."""
    await honest(target, hitl)
    for mode, other in (("ssh", "hmac:alice-1"), ("hmac", "ssh:SHA256:" + "A" * 43)):
        form = json.loads(await target.signed(hitl, asked, mode=mode))
        form["signatures"][0]["keyid"] = other
        attack = hand_in(hitl, asked, json.dumps(form))
        await fails(target, hitl, asked, attack, "not right|not an SSH signature")


# the older formula: id:decision:approver:expires_at


def by_formula(request, decision="approved", by="alice", at=None, secret=SECRET):
    at = at or request.expires_at.isoformat()
    made = approval_signature(request.id, decision, by, at, secret)
    return formula_envelope(request.id, decision, by, at, made)


async def secret(hitl, key, type="secret", **details):
    return await hitl.request_approval(type, "Read", details, key=key)


FORMULAS = {
    "another request": lambda one, other: by_formula(other),
    "another decision": lambda one, _: by_formula(one, "rejected"),
    "another approver": lambda one, _: by_formula(one, by="bob"),
    "a later deadline": lambda one, _: by_formula(one, at="2099-01-01T00:00:00+00:00"),
    "another secret": lambda one, _: by_formula(one, secret=b"a guess of enough bytes"),
    "no signature": lambda one, _: formula_envelope(
        one.id, "approved", "alice", one.expires_at, "00" * 32
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
async def test_a_formula_signature_for_something_else_does_not_count(target, hitl, name):
    """Request, decision, approver, deadline and secret are compared, one by one."""
    one, other = await secret(hitl, "one"), await secret(hitl, "other")
    attack = hand_in(hitl, one, FORMULAS[name](one, other))
    await fails(target, hitl, one, attack, "signed for another request, decision|not right")
    done = await target.approves(hitl, one, by_formula(one))
    assert (done.status, done.votes[0].assurance) == (Status.APPROVED, Assurance.AUTHENTICATED)


async def test_a_formula_signature_never_is_more_than_authenticated(target, hitl, asked):
    """It does not say what was approved, so it cannot stand where a signature is asked for."""
    one = await secret(hitl, "one")
    assert (await target.approves(hitl, one, by_formula(one))).status is Status.APPROVED
    attack = hand_in(hitl, asked, by_formula(asked), assurance=Assurance.AUTHENTICATED)
    says = "asks for an answer that is signed"
    await fails(target, hitl, asked, attack, says, error=Refused, recorded=False)


async def test_a_formula_signature_does_not_count_for_changed_details(target, hitl):
    """It was made for what was asked; nobody knows whether its maker saw the change."""
    asked = await secret(hitl, "one", "export", n=1)
    code = await target.code(hitl, asked, "bob")
    await hitl.vote(asked.id, EDIT, reviewer="bob", details={"n": 2}, code=code)
    attack = hand_in(hitl, asked, by_formula(asked))
    await fails(target, hitl, asked, attack, "details were changed")
    with pytest.raises(InvalidRequest, match="colon"):
        by_formula(replace(asked, id="a:approved:alice"))


async def test_a_formula_signature_does_not_undo_a_changed_mind(target, hitl):
    """The same approval has the same signature for ever: it counts once."""
    asked = await secret(hitl, "one", "export")
    await target.approves(hitl, asked, by_formula(asked))
    await target.approves(hitl, asked, by_formula(asked, "rejected"), answer=REJECT)
    attack = hand_in(hitl, asked, by_formula(asked))
    await fails(target, hitl, asked, attack, "used for an answer before")


# claims of being proved


async def test_an_answer_is_not_signed_by_saying_so(target, hitl, asked):
    """Through the API, and by a command that brings a text for a proof and no digest of it."""
    await honest(target, hitl)
    says = hitl.vote(asked.id, APPROVE, reviewer="alice", assurance=Assurance.SIGNED)
    await fails(target, hitl, asked, says, "needs its signature", error=Refused, recorded=False)
    for more in ({"proof": "signed"}, {"proof_id": "0" * 64}):
        command = c.Vote(
            id=asked.id,
            reviewer="alice",
            answer=APPROVE,
            payload_sha256=asked.payload_sha256,
            assurance=Assurance.SIGNED,
            **more,
        )
        receipt = await target.ledger.submit(command)
        assert (receipt.kept, receipt.request.status) == (Kept.REFUSED, Status.PENDING)
        assert "needs its signature" in receipt.message


async def test_a_proof_lifts_only_the_answer_it_proves(target, hitl, asked):
    """A bad proof beside a claim of `signed` is refused, and is no vote of a lower kind either."""
    open_to_all = await hitl.request_approval("note", "", {})
    proof = target.seal("ssh", await stated(hitl, open_to_all, vault="other"))
    attack = hand_in(hitl, open_to_all, proof, assurance=Assurance.SIGNED)
    await fails(target, hitl, open_to_all, attack, "another vault")
    assert (await hitl.approve(open_to_all.id, reviewer="alice")).status is Status.APPROVED


async def test_several_proofs_at_once_are_none(target, hitl, asked):
    """One of them would be judged and the others ignored: nobody could tell which."""
    proof = await target.signed(hitl, asked)
    attack = hand_in(hitl, asked, proof, totp=target.now_code())
    says = "one of proof, code and totp"
    await fails(target, hitl, asked, attack, says, error=InvalidRequest, recorded=False)
    assert (await target.approves(hitl, asked, proof)).status is Status.APPROVED
    assert parse_envelope(proof).payload_type == PAYLOAD_TYPE
