"""Promises of the door to the policy, and of the starter policy in the repository's vault."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from hitl_vault.core import policy as door
from hitl_vault.core.model import Action, Answer, Effect, Risk, Verdict

VAULT = Path(__file__).parents[3] / "vault"
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
STARTER = door.parse_policy((VAULT / "Policy.md").read_bytes(), name="Policy.md")


def judge(kind: str, details: dict | None = None, **named) -> Verdict:
    action = Action(type=kind, description="", details=details or {}, requested_by="agent")
    return STARTER.evaluate(action, NOON, **named)


def requires_approval(kind: str, details: dict) -> bool:
    """Decide as the orchestrator the starter policy replaces decided, thresholds as given there."""
    if kind in ["payment", "transfer", "withdrawal"] and details.get("amount", 0) >= 500:
        return True
    if details.get("bulk", False) or details.get("environment") == "production":
        return True
    return "delete" in kind.lower() or kind in [
        "api_key_create",
        "user_permission_change",
        "database_modification",
    ]


@pytest.mark.parametrize("name", door.__all__)
def test_the_door_has_every_public_name(name):
    """Others import the policy from one place."""
    assert getattr(door, name) is not None


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("1h30m", 5400), ("2d", 172800), ("90", 90)]
)
def test_durations_are_read(text, seconds):
    """People write durations as they say them."""
    assert door.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "1x", "-1h", "h", "1h 30"])
def test_other_texts_are_no_durations(text):
    """A duration that cannot be read is never guessed."""
    with pytest.raises(ValueError):
        door.parse_duration(text)


def test_the_starter_policy_has_no_problems():
    """What `hitl init` writes is clean: not even a warning."""
    assert door.lint_policy((VAULT / "Policy.md").read_bytes(), name="Policy.md") == []


def test_the_starter_policy_names_nobody_and_asks_by_default():
    """It works before anybody is enrolled, and does not wave anything new through."""
    assert STARTER.names == frozenset()
    assert STARTER.default is Effect.ASK


@pytest.mark.parametrize(
    "result",
    door.run_cases(STARTER, (VAULT / "policy_tests.yaml").read_bytes(), "policy_tests.yaml"),
    ids=lambda result: result.case.name,
)
def test_the_table_tests_of_the_starter_policy_pass(result):
    """Every case beside the policy comes true."""
    assert result.failures == ()


def test_every_rule_of_the_starter_policy_is_in_its_table():
    """No rule is left without a case that shows what it is for."""
    cases = door.run_cases(STARTER, (VAULT / "policy_tests.yaml").read_bytes(), "policy_tests.yaml")
    shown = {rule for result in cases for rule in result.verdict.rules}
    assert shown == {rule.id for rule in STARTER.rules}


@pytest.mark.parametrize(
    "kind",
    [
        "payment",
        "transfer",
        "withdrawal",
        "read",
        "bulk_delete",
        "DELETE_user",
        "api_key_create",
        "user_permission_change",
        "database_modification",
        "search",
    ],
)
@pytest.mark.parametrize(
    "details",
    [
        {},
        {"amount": 499.99},
        {"amount": 500},
        {"amount": 1001},
        {"bulk": True},
        {"environment": "production"},
        {"amount": 5, "bulk": True, "environment": "production"},
    ],
)
def test_whatever_needed_approval_before_needs_it_now(kind, details):
    """The starter policy is at least as strict as the thresholds it was made from."""
    if requires_approval(kind, details):
        assert judge(kind, details).effect is Effect.ASK


@pytest.mark.parametrize(
    ("amount", "effect", "risk"),
    [
        (50, Effect.ALLOW, Risk.LOW),
        (100, Effect.ALLOW, Risk.LOW),
        (100.01, Effect.ALLOW, Risk.MEDIUM),
        (499.99, Effect.ALLOW, Risk.MEDIUM),
        (500, Effect.ASK, Risk.MEDIUM),
        (1000, Effect.ASK, Risk.MEDIUM),
        (1000.01, Effect.ASK, Risk.HIGH),
        (1500, Effect.ASK, Risk.HIGH),
    ],
)
def test_payments_by_amount(amount, effect, risk):
    """The limits are 100, 500 and 1000, exactly."""
    verdict = judge("payment", {"amount": amount})
    assert (verdict.effect, verdict.risk) == (effect, risk)


@pytest.mark.parametrize("field", ["to", "recipient"])
def test_a_large_payment_may_be_changed_and_is_summed_up(field):
    """The reviewer reads one line, and may correct the amount."""
    verdict = judge("payment", {"amount": 1500, "currency": "USD", field: "vendor@example.com"})
    assert verdict.summary == "Pay 1500 USD to vendor@example.com"
    assert verdict.requirement.answers == (Answer.APPROVE, Answer.REJECT, Answer.EDIT)
    assert verdict.requirement.timeout_s == 3600
    assert [stage.quorum for stage in verdict.requirement.stages] == [1]


def test_a_payment_without_a_currency_reads_well():
    """What the agent does not name is not asked about with a question mark."""
    verdict = judge("payment", {"amount": 1500, "to": "vendor@example.com"})
    assert verdict.summary == "Pay 1500 to vendor@example.com"


@pytest.mark.parametrize(
    ("kind", "minutes"),
    [
        ("payment", 60),
        ("code_execution", 30),
        ("deploy", 60),
        ("create_billing", 120),
        ("file_deletion", 30),
        ("delete_file", 30),
        ("terminate EC2 instance i-abc123", 30),
        ("reset_credentials", 30),
        ("password_reset", 30),
        ("quarantine", 30),
        ("config_change", 60),
        ("apply", 60),
        ("report", 1440),
        ("emergency_override", 5),
        ("anything_else", 60),
    ],
)
def test_each_kind_of_action_has_its_time(kind, minutes):
    """The times to answer are those each kind of action calls for."""
    verdict = judge(kind)
    assert verdict.effect is Effect.ASK
    assert verdict.requirement.timeout_s == minutes * 60


def test_the_caller_may_ask_for_less_time():
    """A demo waits five minutes where the rule would wait thirty."""
    assert judge("terminate_instance", timeout_s=300).requirement.timeout_s == 300
    assert judge("anything_else", timeout_s=7200).requirement.timeout_s == 7200


@pytest.mark.parametrize("value", ["yes", 1, None, [], "false"])
def test_bulk_that_is_not_false_asks(value):
    """Only a plain false says that it is no bulk operation."""
    assert judge("read", {"bulk": value}).effect is Effect.ASK


@pytest.mark.parametrize("value", ["Production", "prod-eu", 1, None])
def test_production_in_other_words_asks(value):
    """An environment that is production, or cannot be read, asks."""
    assert judge("read", {"environment": value}).effect is Effect.ASK


def test_another_environment_does_not_ask():
    """Staging is not production."""
    assert judge("read", {"environment": "staging"}).effect is Effect.ALLOW


@pytest.mark.parametrize(
    "details",
    [
        {"tools": "code_execution"},
        {"suggested_tools": ["file_system"]},
        {"tool": "code_execution"},
        {"tools": ["x", "file_system"]},
    ],
)
def test_tools_that_touch_the_machine_ask(details):
    """A tool is noticed wherever it is named, and in a wrong form too."""
    assert judge("read", details).effect is Effect.ASK
