"""Redaction: what a rule names is hidden wherever it leaves the vault, and nothing else is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_vault.core.redaction import (
    HIDDEN,
    hidden_texts,
    parse_redaction,
    redact_text,
    redact_value,
    redacted_details,
)
from hitl_vault.errors import InvalidRequest

DETAILS = {
    "card": "4111-1111",
    "Card": {"number": 42424242, "pin": 12},
    "customer": {"email": "a@b.example", "name": "Ann", "a/b": "slash"},
    "items": [{"card": "5555"}, {"sku": "x"}],
}


def test_a_key_is_hidden_at_any_depth_whatever_its_case():
    """The value under it goes whole; everything else stays as it was, and so does what was given."""
    before = json.dumps(DETAILS)
    shown = redacted_details(DETAILS, parse_redaction(["CARD"]))
    assert shown == {
        "card": HIDDEN,
        "Card": HIDDEN,
        "customer": DETAILS["customer"],
        "items": [{"card": HIDDEN}, {"sku": "x"}],
    }
    assert json.dumps(DETAILS) == before


def test_a_pointer_hides_exactly_one_place():
    """RFC 6901, escapes and list positions included."""
    rules = parse_redaction(["/customer/email", "/customer/a~1b", "/items/1"])
    shown = redacted_details(DETAILS, rules)
    assert shown["customer"] == {"email": HIDDEN, "name": "Ann", "a/b": HIDDEN}
    assert shown["items"] == [{"card": "5555"}, HIDDEN]
    assert shown["card"] == "4111-1111"
    assert parse_redaction(rules.rules) == rules


@pytest.mark.parametrize("rule", ["", "  ", "/", "//"])
def test_a_rule_that_names_nothing_is_refused(rule):
    """Silence would look like protection."""
    with pytest.raises(InvalidRequest, match="names nothing"):
        parse_redaction([rule])


def test_hidden_values_are_found_again_in_texts_and_results():
    """A summary, a remark or a result that repeats a hidden value does not give it away."""
    rules = parse_redaction(["card"])
    hidden = hidden_texts(DETAILS, rules)
    assert hidden == {"4111-1111", "42424242", "5555"}  # 12 is too short to look for
    assert redact_text("paid with 4111-1111", hidden) == f"paid with {HIDDEN}"
    result = {"card": 1, "log": ["used 42424242"], "n": 42424242, "ok": True}
    assert redact_value(result, rules, hidden) == {
        "card": HIDDEN,
        "log": [f"used {HIDDEN}"],
        "n": HIDDEN,
        "ok": True,
    }


keys = st.sampled_from(["card", "to", "CARD", "x"]) | st.text(max_size=3)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(keys, values, max_size=4))
def test_no_hidden_value_is_left_and_nothing_else_is_lost(details):
    """For any details: under a hidden key stands only the mark; without one, nothing changes."""
    shown = redacted_details(details, parse_redaction(["card"]))

    def walk(before, after):
        if isinstance(before, dict):
            assert before.keys() == after.keys()
            for key in before:
                if key.casefold() == "card":
                    assert after[key] == HIDDEN
                else:
                    walk(before[key], after[key])
        elif isinstance(before, list):
            assert len(before) == len(after)
            for one, two in zip(before, after, strict=True):
                walk(one, two)
        else:
            assert before == after

    walk(details, shown)
