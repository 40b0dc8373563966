"""Answers that are proved: by a signature, a shared key, a second factor; and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proof_kit import SECRET, VAULT, Proved

from hitl_vault.core.events import Kind
from hitl_vault.core.model import Answer, Assurance, Status
from hitl_vault.core.statement import (
    PAYLOAD_TYPE,
    Envelope,
    envelope_text,
    pae,
    parse_envelope,
    parse_statement,
)
from hitl_vault.errors import Conflict, InvalidRequest, Refused, TrustError
from hitl_vault.signatures import (
    approval_signature,
    expiry_spellings,
    formula_envelope,
    sign_statement,
)

SIGNED = """\
default: ask
rules:
  - {id: sure, when: 'action.type == "payment"', effect: ask, assurance: signed,
     answers: [approve, reject, edit]}
  - {id: two, when: 'action.type == "launch"', effect: ask, assurance: signed, quorum: 2, veto: false}
  - {id: known, when: 'action.type == "secret"', effect: ask, assurance: authenticated}
"""


@pytest.fixture
async def office(workspace):
    office = Proved(workspace, SIGNED)
    yield office
    await office.verify()


@pytest.fixture
async def hitl(office):
    return await office.open()


@pytest.fixture
async def asked(hitl):
    return await hitl.request_approval("payment", "Pay", {"amount": 900})


async def signed(hitl, request, answer=Answer.APPROVE, by="alice", key="", secret=SECRET, **more):
    """Return a signed envelope for an answer."""
    stated = await hitl.statement(request.id, answer, reviewer=by, **more)
    return sign_statement(stated, secret, key_id=key or f"{by}-1")


async def refused(office, hitl, request, proof, answer=Answer.APPROVE, by="alice", **more):
    """Hand in a proof that must be refused, recorded, and decide nothing; return the sentence."""
    before = await hitl.get(request.id)
    with pytest.raises(TrustError) as caught:
        await hitl.vote(request.id, answer, reviewer=by, proof=proof, **more)
    after = await hitl.get(request.id)
    assert (after.status, after.votes) == (before.status, before.votes)
    assert after.refused == before.refused + 1
    newest = (await office.history(request))[-1].event
    assert (newest.kind, newest.data["problem"]) == (Kind.REFUSED, str(caught.value))
    assert SECRET.decode() not in str(newest.data)
    return str(caught.value)


async def test_a_signed_answer_decides_and_its_proof_is_in_the_event(office, hitl, asked):
    proof = await signed(hitl, asked, reason="fine")
    decided = await hitl.vote(
        asked.id, Answer.APPROVE, reviewer="alice", reason="fine", proof=proof, channel="cli"
    )
    assert decided.status is Status.APPROVED
    vote = decided.votes[0]
    assert (vote.assurance, vote.channel) == (Assurance.SIGNED, "cli")
    voted = next(r.event for r in await office.history(asked) if r.event.kind is Kind.VOTED)
    assert voted.data["assurance"] == "signed"
    kept = parse_envelope(voted.data["proof"])
    assert kept.key_id == "hmac:alice-1"
    stated = parse_statement(kept.payload)
    assert (stated.vault, stated.request, stated.reviewer) == (VAULT, asked.id, "alice")
    assert (stated.payload_sha256, stated.reason) == (asked.payload_sha256, "fine")
    assert len(stated.note_sha256) == len(stated.ledger_hash) == 64
    assert "signed with hmac:alice-1, over cli" in office.note(decided)


async def test_an_answer_below_what_the_rule_asks_is_refused_with_what_to_do(hitl, asked):
    with pytest.raises(Refused, match=f"hitl approve {asked.id} --sign KEY"):
        await hitl.vote(
            asked.id, Answer.APPROVE, reviewer="alice", assurance=Assurance.AUTHENTICATED
        )
    secret = await hitl.request_approval("secret", "Read", {})
    with pytest.raises(Refused, match="the code you were sent, in the property `code`"):
        await hitl.approve(secret.id, reviewer="alice")


async def test_nobody_is_signed_by_saying_so(hitl, asked):
    with pytest.raises(Refused, match="needs its signature"):
        await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", assurance=Assurance.SIGNED)


async def test_changes_are_signed_too(office, hitl, asked):
    proof = await signed(hitl, asked, Answer.EDIT, details={"amount": 800})
    says = await refused(office, hitl, asked, proof, Answer.EDIT, details={"amount": 801})
    assert "other changes" in says
    decided = await hitl.vote(
        asked.id, Answer.EDIT, reviewer="alice", details={"amount": 800}, proof=proof
    )
    assert decided.status is Status.APPROVED
    assert decided.details == {"amount": 800}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"answer": Answer.REJECT}, "it says approve, and this answer is reject"),
        ({"by": "bob"}, "it was signed as alice, and this answer is bob's"),
        ({"reason": "another"}, "another reason"),
    ],
)
async def test_an_answer_that_says_something_else_than_was_signed_is_refused(
    office, hitl, asked, more, says
):
    assert says in await refused(office, hitl, asked, await signed(hitl, asked), **more)


async def test_a_proof_for_another_request_is_refused(office, hitl, asked):
    other = await hitl.request_approval("payment", "Pay again", {"amount": 900})
    says = await refused(office, hitl, other, await signed(hitl, asked))
    assert says == f"it was signed for another request, {asked.id}"


async def test_a_proof_for_another_vault_is_refused(office, hitl, asked):
    stated = await hitl.statement(asked.id, Answer.APPROVE, reviewer="alice")
    other = sign_statement(replace(stated, vault="vault-2"), SECRET, key_id="alice-1")
    assert await refused(office, hitl, asked, other) == "it was signed for another vault"


async def test_a_proof_for_details_changed_since_is_refused(office, hitl):
    asked = await hitl.request_approval("payment", "Pay", {"amount": 900})
    stated = await hitl.statement(asked.id, Answer.APPROVE, reviewer="alice")
    other = sign_statement(replace(stated, payload_sha256="0" * 64), SECRET, key_id="alice-1")
    assert "other details than those in force" in await refused(office, hitl, asked, other)


async def test_another_kind_of_text_under_a_right_signature_is_refused(office, hitl, asked):
    made = parse_envelope(await signed(hitl, asked))
    for payload, kind in ((b"{}", PAYLOAD_TYPE), (made.payload, "text/plain")):
        bare = Envelope(payload_type=kind, payload=payload, key_id=made.key_id, signature=b"")
        import hmac

        mac = hmac.digest(SECRET, pae(kind, payload), "sha256")
        await refused(office, hitl, asked, envelope_text(replace(bare, signature=mac)))


@pytest.mark.parametrize(
    ("key", "says"),
    [("nobody", "no key 'nobody'"), ("bob-1", "is not alice's"), ("ssh:x", "no key")],
)
async def test_a_key_that_is_not_the_reviewers_is_refused(office, hitl, asked, key, says):
    assert says in await refused(office, hitl, asked, await signed(hitl, asked, key=key))


async def test_a_kind_of_key_that_is_not_known_is_refused(office, hitl, asked):
    made = parse_envelope(await signed(hitl, asked))
    text = envelope_text(replace(made, key_id="gpg:1"))
    assert "kind 'gpg'" in await refused(office, hitl, asked, text)


async def test_a_wrong_secret_is_refused(office, hitl, asked):
    proof = await signed(hitl, asked, secret=b"another secret of enough bytes")
    assert "signature is not right" in await refused(office, hitl, asked, proof)


async def test_a_key_that_ended_between_signing_and_handing_in_is_refused(office, hitl, asked):
    proof = await signed(hitl, asked)
    office.clock.advance(5)
    office.keys.retire("alice-1", office.clock.now())
    assert "expired or is retired" in await refused(office, hitl, asked, proof)


async def test_a_key_that_is_not_in_force_yet_is_refused(office, hitl, asked):
    office.keys.add(
        "alice", "alice-2", office.clock.now() + timedelta(hours=1), until=None, env="A"
    )
    proof = await signed(hitl, asked, key="alice-2")
    assert "not in force yet" in await refused(office, hitl, asked, proof)


async def test_both_keys_count_while_one_replaces_the_other(office, hitl):
    office.keys.add("alice", "alice-2", office.clock.now(), until=None, env="B")
    for key in ("alice-1", "alice-2"):
        asked = await hitl.request_approval("payment", "Pay", {"key": key})
        proof = await signed(hitl, asked, key=key)
        done = await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", proof=proof)
        assert done.status is Status.APPROVED


async def test_a_proof_counts_once(office, hitl):
    """A vote that was changed cannot be changed back by whoever kept the first proof."""
    asked = await hitl.request_approval("launch", "Launch", {})
    yes = await signed(hitl, asked)
    await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", proof=yes)
    again = await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", proof=yes)
    assert again.refused == 0  # the same vote again changes nothing, and is no attack
    no = await signed(hitl, asked, Answer.REJECT)
    await hitl.vote(asked.id, Answer.REJECT, reviewer="alice", proof=no)
    says = await refused(office, hitl, asked, yes)
    assert "used for an answer before" in says


async def test_a_proof_in_another_spelling_is_the_same_proof(office, hitl):
    import json

    asked = await hitl.request_approval("launch", "Launch", {})
    yes = await signed(hitl, asked)
    await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", proof=yes)
    no = await signed(hitl, asked, Answer.REJECT)
    await hitl.vote(asked.id, Answer.REJECT, reviewer="alice", proof=no)
    await refused(office, hitl, asked, json.dumps(json.loads(yes), indent=4))


async def test_a_forged_answer_to_what_is_decided_is_recorded_and_changes_nothing(
    office, hitl, asked
):
    done = await signed(hitl, asked)
    await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", proof=done)
    await refused(office, hitl, asked, done, Answer.REJECT)
    true = await signed(hitl, asked, Answer.REJECT)
    with pytest.raises(Conflict):
        await hitl.vote(asked.id, Answer.REJECT, reviewer="alice", proof=true)


async def test_every_changed_byte_of_a_proof_is_refused(office, hitl, asked):
    """Whatever byte of the envelope or of the statement in it is changed, to whatever."""
    proof = await signed(hitl, asked)
    inner = parse_envelope(proof)
    parts = hitl._parts
    from hitl_vault.engine import proving

    _, draft = await hitl._draft(
        asked.id, Answer.APPROVE, reviewer="alice", reason="", details=None, payload_sha256=None
    )

    async def is_refused(text):
        try:
            await proving.signed(parts, await hitl.get(asked.id), draft, text)
        except TrustError:
            return True
        return False

    texts = []

    @given(st.data())
    def choose(data):
        at = data.draw(st.integers(0, len(proof) - 1))
        char = data.draw(st.characters(min_codepoint=0, max_codepoint=0x7F))
        texts.append(proof[:at] + char + proof[at + 1 :])
        at = data.draw(st.integers(0, len(inner.payload) - 1))
        flipped = bytearray(inner.payload)
        flipped[at] ^= data.draw(st.integers(1, 255))
        texts.append(envelope_text(replace(inner, payload=bytes(flipped))))
        at = data.draw(st.integers(0, len(inner.signature) - 1))
        flipped = bytearray(inner.signature)
        flipped[at] ^= data.draw(st.integers(1, 255))
        texts.append(envelope_text(replace(inner, signature=bytes(flipped))))

    choose()
    assert not await is_refused(proof)
    for text in texts:
        assert text == proof or await is_refused(text), text


async def test_at_most_one_proof_is_taken(hitl, asked):
    with pytest.raises(InvalidRequest, match="one of proof, code and totp"):
        await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", proof="x", code="y")


# the older formula


async def by_formula(office, hitl, request, decision="approved", by="alice", at=None, **more):
    at = at or request.expires_at.isoformat()
    signature = approval_signature(request.id, decision, by, at, SECRET)
    proof = formula_envelope(request.id, decision, by, at, signature)
    answer = Answer.APPROVE if decision == "approved" else Answer.REJECT
    return await hitl.vote(request.id, answer, reviewer=by, proof=proof, **more)


async def test_a_signature_by_the_older_formula_is_authenticated_not_signed(office, hitl, asked):
    secret = await hitl.request_approval("secret", "Read", {})
    decided = await by_formula(office, hitl, secret)
    assert decided.status is Status.APPROVED
    assert decided.votes[0].assurance is Assurance.AUTHENTICATED
    assert parse_envelope(decided.votes[0].proof).key_id == "hmac:alice-1"
    with pytest.raises(Refused, match="only authenticated"):
        await by_formula(office, hitl, asked)


async def test_a_signature_by_the_older_formula_is_for_one_request_and_deadline(office, hitl):
    one = await hitl.request_approval("secret", "Read", {})
    other = await hitl.request_approval("secret", "Read", {"more": 1})
    at = one.expires_at.isoformat()
    proof = formula_envelope(
        one.id, "approved", "alice", at, approval_signature(one.id, "approved", "alice", at, SECRET)
    )
    assert "another request" in await refused(office, hitl, other, proof)
    assert "another request" in await refused(office, hitl, one, proof, Answer.REJECT)
    assert "another request" in await refused(office, hitl, one, proof, by="bob")
    later = (one.expires_at + timedelta(days=1)).isoformat()
    with pytest.raises(TrustError, match="deadline"):
        await by_formula(office, hitl, one, at=later)
    forged = formula_envelope(one.id, "approved", "alice", at, "00" * 32)
    assert "not right" in await refused(office, hitl, one, forged)


async def test_a_signature_by_the_older_formula_counts_however_its_deadline_was_spelled(
    office, hitl
):
    """Who passes it on need not know the spelling; what is kept is what was signed."""
    for number in range(3):
        asked = await hitl.request_approval("secret", "Read", {"number": number})
        at = expiry_spellings(asked.expires_at)[number]
        signature = approval_signature(asked.id, "approved", "alice", at, SECRET)
        for told_at in expiry_spellings(asked.expires_at):
            proof = formula_envelope(asked.id, "approved", "alice", told_at, signature)
            decided = await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", proof=proof)
            assert decided.status is Status.APPROVED
        kept = parse_envelope(decided.votes[0].proof).payload.decode()
        assert kept == f"{asked.id}:approved:alice:{at}"
        assert (len(decided.votes), decided.refused) == (1, 0)


async def test_a_signature_by_the_older_formula_says_nothing_of_changed_details(office, hitl):
    policy = "default: ask\nrules:\n  - {id: a, effect: ask, quorum: 2, answers: [approve, edit]}\n"
    office.policy.text = policy
    asked = await (hitl := await office.open()).request_approval("x", "", {"amount": 1})
    await hitl.approve(asked.id, reviewer="bob", details={"amount": 2})
    at = asked.expires_at.isoformat()
    proof = formula_envelope(
        asked.id,
        "approved",
        "alice",
        at,
        approval_signature(asked.id, "approved", "alice", at, SECRET),
    )
    assert "details were changed" in await refused(office, hitl, asked, proof)


# second factors


def now_code(office):
    return str(int(office.clock.now().timestamp()) // 30)


async def test_a_second_factor_authenticates_a_typed_name(office, hitl):
    asked = await hitl.request_approval("secret", "Read", {})
    done = await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", totp=now_code(office))
    assert (done.votes[0].assurance, done.votes[0].channel) == (Assurance.AUTHENTICATED, "totp")


async def test_a_second_factor_is_for_the_request_it_was_first_seen_with(office, hitl):
    one = await hitl.request_approval("secret", "Read", {})
    other = await hitl.request_approval("secret", "Read", {"more": 1})
    code = now_code(office)
    await hitl.vote(one.id, Answer.APPROVE, reviewer="alice", totp=code)
    with pytest.raises(TrustError, match="used before"):
        await hitl.vote(other.id, Answer.APPROVE, reviewer="alice", totp=code)
    assert (await hitl.get(other.id)).status is Status.PENDING
    assert (await office.kinds(other))[-1] is Kind.REFUSED
    again = await hitl.vote(one.id, Answer.APPROVE, reviewer="alice", totp=code)
    assert again.status is Status.APPROVED


async def test_a_second_factor_cannot_be_guessed(office, hitl):
    asked = await hitl.request_approval("secret", "Read", {})
    for _ in range(5):
        with pytest.raises(TrustError, match="second factor is wrong"):
            await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", totp="000000")
    with pytest.raises(TrustError, match="too many wrong codes"):
        await hitl.vote(asked.id, Answer.APPROVE, reviewer="alice", totp=now_code(office))
