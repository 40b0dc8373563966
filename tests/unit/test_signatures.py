"""Answers signed with a shared secret, and the older formula, byte for byte."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta, timezone

import pytest

from hitl_vault.errors import InvalidRequest
from hitl_vault.signatures import (
    SignedApproval,
    approval_message,
    approval_signature,
    check_execution,
    formula_envelope,
    verify_approval_signature,
)

AT = datetime(2025, 10, 17, 11, 30, 0, tzinfo=UTC)
SECRET = "your-hmac-secret"
WHAT = ("appr_abc123", "approved", "user@company.com")


def theirs(approval_id, decision, approver, expires_at, secret):
    """The formula as its clients have it."""
    message = f"{approval_id}:{decision}:{approver}:{expires_at}"
    return hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    "at", [AT, AT.replace(tzinfo=None), AT.replace(microsecond=5), "2025-10-17T11:30:00+00:00"]
)
def test_the_formula_is_that_of_its_clients(at):
    spelt = at if isinstance(at, str) else at.isoformat()
    assert approval_signature(*WHAT, at, SECRET) == theirs(*WHAT, spelt, SECRET)


def test_the_bytes_of_the_formula_never_change():
    assert approval_message(*WHAT, AT) == (
        b"appr_abc123:approved:user@company.com:2025-10-17T11:30:00+00:00"
    )
    assert approval_signature(*WHAT, AT, SECRET) == theirs(
        *WHAT, "2025-10-17T11:30:00+00:00", SECRET
    )


@pytest.mark.parametrize(
    "spelt", ["2025-10-17T11:30:00+00:00", "2025-10-17T11:30:00Z", "2025-10-17T11:30:00"]
)
def test_a_time_counts_in_each_of_its_usual_spellings(spelt):
    signature = theirs(*WHAT, spelt, SECRET)
    assert verify_approval_signature(*WHAT, AT, signature, SECRET)
    assert verify_approval_signature(*WHAT, AT, signature.upper(), SECRET)
    east = AT.astimezone(timezone(timedelta(hours=2)))
    assert verify_approval_signature(*WHAT, east, signature, SECRET)


def test_any_of_the_secrets_in_rotation_counts():
    signature = approval_signature(*WHAT, AT, SECRET)
    assert verify_approval_signature(*WHAT, AT, signature, ["new", SECRET])
    assert not verify_approval_signature(*WHAT, AT, signature, ["new"])
    assert not verify_approval_signature(*WHAT, AT, signature, [])


@pytest.mark.parametrize(
    "changed",
    [
        ("appr_abc124", "approved", "user@company.com"),
        ("appr_abc123", "rejected", "user@company.com"),
        ("appr_abc123", "approved", "other@company.com"),
    ],
)
def test_a_signature_of_something_else_is_refused(changed):
    signature = approval_signature(*WHAT, AT, SECRET)
    assert not verify_approval_signature(*changed, AT, signature, SECRET)
    assert not verify_approval_signature(*WHAT, AT + timedelta(1), signature, SECRET)
    for odd in ("", "é", "0" * 64, signature[:-1], signature + "0"):
        assert not verify_approval_signature(*WHAT, AT, odd, SECRET)


def test_a_text_that_could_be_two_approvals_is_never_signed_or_verified():
    one, two = ("a", "approved", "b:c"), ("a:approved", "b", "c")
    assert theirs(*one, "t", SECRET) == theirs(*two, "t", SECRET)  # what the colons allow
    for what in (one, two, ("", "approved", "b")):
        with pytest.raises(InvalidRequest):
            approval_signature(*what, "t", SECRET)
        assert not verify_approval_signature(*what, "t", theirs(*what, "t", SECRET), SECRET)


def test_what_is_no_signature_makes_no_envelope():
    with pytest.raises(InvalidRequest, match="hexadecimal"):
        formula_envelope(*WHAT, AT, "xyz")


def approval(**changes):
    fields = {
        "id": WHAT[0],
        "status": "approved",
        "decision": WHAT[1],
        "approver": WHAT[2],
        "expires_at": AT,
        "agent": "inbox_triage",
        "action": "quarantine",
        "signature": approval_signature(*WHAT, AT, SECRET),
    }
    return SignedApproval(**fields | changes)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (approval(), ""),
        (None, "no such approval"),
        (approval(status="pending"), "not approved but pending"),
        (approval(status="executed"), "not approved but executed"),
        (approval(decision="rejected"), "not approved"),
        (approval(signature="00"), "signature is not right"),
        (approval(agent="other"), "not for inbox_triage/quarantine"),
        (approval(action="other"), "not for inbox_triage/quarantine"),
    ],
)
def test_the_five_checks_before_executing(found, says):
    now = AT - timedelta(minutes=1)
    said = check_execution(
        found, agent="inbox_triage", action="quarantine", secrets=SECRET, now=now
    )
    assert said == "" if not says else says in said


def test_an_approval_that_expired_is_not_executed():
    for now in (AT, AT + timedelta(seconds=1)):
        said = check_execution(
            approval(), agent="inbox_triage", action="quarantine", secrets=SECRET, now=now
        )
        assert said == "it has expired"
