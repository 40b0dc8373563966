"""Values typed on the command line are read as people mean them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_vault.cli.answering import with_changes
from hitl_vault.cli.counting import count
from hitl_vault.cli.exits import wants_json
from hitl_vault.cli.options import parse_details, parse_since, parse_statuses, parse_value
from hitl_vault.cli.sample import sample
from hitl_vault.errors import InvalidRequest


@given(st.text())
def test_any_text_is_a_value(text):
    """Reading a value never fails."""
    parse_value(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1500", 1500),
        ("1.5", 1.5),
        ("true", True),
        ("null", None),
        ('"1500"', "1500"),
        ("[1, 2]", [1, 2]),
        ('{"a": 1}', {"a": 1}),
        ("hello", "hello"),
        ("NaN", "NaN"),
        ("1}", "1}"),
        ('1, "value": 2', '1, "value": 2'),
        ("", ""),
    ],
)
def test_a_value_is_json_or_text(text, value):
    """JSON where it reads as one JSON value, else the text as typed."""
    assert parse_value(text) == value


def test_details_need_an_object():
    """A list is no details."""
    with pytest.raises(InvalidRequest, match="object"):
        parse_details("[]", None)


def test_changes_keep_the_kind_and_reach_inside():
    """A text stays a text; dots reach into objects, unless a key is spelt so."""
    details = {"to": "1", "n": 1, "in": {"x": 1}, "a.b": 1}
    changed = with_changes(details, None, ["to=22", "n=22", "in.x=5", "a.b=7"])
    assert changed == {"to": "22", "n": 22, "in": {"x": 5}, "a.b": 7}
    assert details["in"] == {"x": 1}
    with pytest.raises(InvalidRequest):
        with_changes(details, None, ["nowhere.x=1"])


def test_since_is_a_time_ago_or_a_date():
    """7d and 2026-11-21 both name a moment, aware and in UTC."""
    ago = parse_since("7d")
    assert abs(datetime.now(UTC) - timedelta(days=7) - ago) < timedelta(seconds=5)
    assert parse_since("2026-11-21") == datetime(2026, 11, 21, tzinfo=UTC)
    assert parse_since("2026-11-21T12:00:00+02:00") == datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert parse_since(None) is None
    with pytest.raises(InvalidRequest):
        parse_since("last week")


def test_statuses_are_words_of_the_table():
    """Several in one option, any case; an unknown one lists those there are."""
    assert parse_statuses(["Approved,failed", "unknown"]) == {"approved", "failed", "unknown"}
    assert parse_statuses(None) is None
    with pytest.raises(InvalidRequest, match="pending"):
        parse_statuses(["done"])


def test_json_after_the_hyphens_is_not_ours():
    """`hitl run -- tool --json` does not ask hitl for JSON."""
    assert wants_json(["list", "--json"])
    assert not wants_json(["run", "--", "tool", "--json"])


def test_the_sample_is_a_real_request():
    """Its digest is that of its action, and it counts as one waiting request."""
    from hitl_vault.core.canonical import payload_sha256

    request = sample()
    assert request.payload_sha256 == payload_sha256(request.action)
    figures = count([request], request.created_at + timedelta(minutes=5))
    assert figures["pending"] == {"count": 1, "oldest_s": 300.0}
    assert figures["rates"]["approved"] is None
