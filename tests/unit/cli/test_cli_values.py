"""Values typed on the command line are read as people mean them."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_vault.cli.answering import with_changes
from hitl_vault.cli.exits import wants_json
from hitl_vault.cli.options import parse_details, parse_since, parse_statuses, parse_value
from hitl_vault.cli.sample import sample
from hitl_vault.core.figures import figures_of, read_brief
from hitl_vault.errors import InvalidRequest


@given(st.text())
def test_a_value_is_read_or_refused_by_name(text):
    """Reading a value never breaks, and what is no JSON comes back as typed."""
    try:
        value = parse_value(text, "key", "write --text")
    except InvalidRequest as error:
        assert str(error).startswith("key: ")
        assert "write --text" in str(error)
    else:
        assert value == text or json.loads(text) == value


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
        ("1}", "1}"),
        ('1, "value": 2', '1, "value": 2'),
        ('1, "other": 2', '1, "other": 2'),
        ("", ""),
        ("1.4.2", "1.4.2"),
        ("2026-11-21", "2026-11-21"),
        ("10.0.0.1", "10.0.0.1"),
        ("2**60", "2**60"),
        ("yes", "yes"),
        ("1e3", 1000.0),
    ],
)
def test_a_value_is_json_or_text(text, value):
    """JSON where it reads as one JSON value, else the text as typed."""
    found = parse_value(text, "key", "")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        *("0500", "NaN", "-Infinity", "inf", ".5", "1.", "+5", "1_000", "0x1F", "1e999"),
        *("True", "FALSE", "None", "Null", str(2**60), "-0500", "9" * 5000, " 0500 "),
        *("[1, 2", '{"a": 1', '"open', "{'a': 1}", '{"a": 1, "a": 2}', "[NaN]"),
    ],
)
def test_what_looks_like_json_and_is_none_is_refused(text):
    """An amount, a flag or a list never becomes a text unnoticed."""
    with pytest.raises(InvalidRequest, match=r"key: .*write it so"):
        parse_value(text, "key", "write it so")


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
    for wrong in (["nowhere.x=1"], ["n=1", "n=2"], ["n=0500"], ["in.x=NaN"]):
        with pytest.raises(InvalidRequest):
            with_changes(details, None, wrong)


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
    with pytest.raises(InvalidRequest, match="there is no 'done'; there are pending"):
        parse_statuses(["approved,done"])


def test_json_after_the_hyphens_is_not_ours():
    """`hitl run -- tool --json` does not ask hitl for JSON."""
    assert wants_json(["list", "--json"])
    assert not wants_json(["run", "--", "tool", "--json"])


def test_the_sample_is_a_real_request():
    """Its digest is that of its action, and it counts as one waiting request."""
    from hitl_vault.core.canonical import payload_sha256
    from hitl_vault.core.chain import encode_request

    request = sample()
    assert request.payload_sha256 == payload_sha256(request.action)
    figures = figures_of(
        [read_brief(encode_request(request))], request.created_at + timedelta(minutes=5)
    )
    assert figures["pending"] == {"count": 1, "oldest_s": 300.0}
    assert figures["rates"]["approved"] is None
