"""What a signed answer states, and the bytes that are signed."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_vault.core.statement import (
    PAYLOAD_TYPE,
    Envelope,
    Statement,
    differences,
    envelope_text,
    pae,
    parse_envelope,
    parse_statement,
    statement_bytes,
)
from hitl_vault.errors import TrustError

STATED = Statement(
    vault="v",
    request="pay-1",
    payload_sha256="a" * 64,
    answer="approve",
    reviewer="alice",
    at="2026-11-21T09:30:12Z",
)


def test_the_signed_bytes_are_those_of_the_published_example():
    """https://github.com/secure-systems-lab/dsse/blob/master/protocol.md, its test vector."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_statement_comes_back_as_it_went_in(reviewer, reason):
    stated = Statement(
        vault="v",
        request="r",
        payload_sha256="a",
        answer="reject",
        reviewer=reviewer,
        at="2026-11-21T09:30:12Z",
        reason=reason,
    )
    assert parse_statement(statement_bytes(stated)) == stated


@given(st.binary(max_size=200), st.binary(max_size=80), st.text(max_size=20))
def test_an_envelope_comes_back_as_it_went_in(payload, signature, key_id):
    made = Envelope(payload_type=PAYLOAD_TYPE, payload=payload, key_id=key_id, signature=signature)
    assert parse_envelope(envelope_text(made)) == made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"payloadType": "a", "payload": "!", "signatures": [{"sig": ""}]}',
        '{"payloadType": "a", "payload": "", "signatures": []}',
        '{"payloadType": "a", "payload": "", "signatures": [{"sig": ""}, {"sig": ""}]}',
        '{"payloadType": "a", "payloadType": "b", "payload": "", "signatures": [{"sig": ""}]}',
        '{"payloadType": 1, "payload": "", "signatures": [{"sig": ""}]}',
        "x" * 100_000,
        "[" * 10_000,
    ],
)
def test_what_is_no_envelope_is_refused(text):
    with pytest.raises(TrustError):
        parse_envelope(text)


@pytest.mark.parametrize(
    "change",
    [
        lambda form: form | {"schema": "hitl-vault/statement/2"},
        lambda form: form | {"more": 1},
        lambda form: {key: form[key] for key in form if key != "answer"},
    ],
)
def test_a_statement_of_another_form_is_refused(change):
    form = change(json.loads(statement_bytes(STATED)))
    with pytest.raises(TrustError):
        parse_statement(json.dumps(form, sort_keys=True, separators=(",", ":")).encode())


def test_only_the_one_spelling_of_a_statement_counts():
    spaced = json.dumps(json.loads(statement_bytes(STATED)), sort_keys=True).encode()
    with pytest.raises(TrustError):
        parse_statement(spaced)


def test_every_field_that_binds_an_answer_is_compared():
    free = {"at", "note_sha256", "ledger_seq", "ledger_hash"}
    for name in Statement.__dataclass_fields__:
        other = Statement(
            **{field: getattr(STATED, field) for field in Statement.__dataclass_fields__}
            | {name: "other"}
        )
        assert differences(other, STATED) == ([] if name in free else [name])


def test_a_proof_has_one_name_however_its_envelope_is_spelt():
    made = Envelope(
        payload_type=PAYLOAD_TYPE, payload=statement_bytes(STATED), key_id="k", signature=b"s"
    )
    spaced = json.dumps(json.loads(envelope_text(made)), indent=2)
    assert parse_envelope(spaced).proof_id == made.proof_id
    assert base64.b64encode(made.signature).decode() in envelope_text(made)
