"""What details may be, what their digest is, and how two of them differ."""

from __future__ import annotations

import math
from collections import OrderedDict
from datetime import datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum

import pytest

from hitl_vault.core.canonical import (
    MAX_DEPTH,
    MAX_PAYLOAD_BYTES,
    changes_between,
    check_details,
    check_same_shape,
    parse_json_object,
    payload_sha256,
    with_details,
)
from hitl_vault.core.model import Action
from hitl_vault.errors import InvalidRequest

ACTION = Action(type="payment", description="any words", details={}, requested_by="bot")


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Point(Enum):
    HERE = (1, 2)


class Float64(float):
    """A float of another library, such as numpy's."""


def digest(**details):
    return payload_sha256(with_details(ACTION, details))


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_the_digest_is_that_of_the_standard():
    """SHA-256 over RFC 8785 of the five fields, and of nothing else."""
    import hashlib

    text = '{"agent":"","details":{"a":1,"é":[1.5,"x"]},"requested_by":"bot","run_id":"","type":"payment"}'
    assert digest(é=[1.5, "x"], a=1.0) == hashlib.sha256(text.encode()).hexdigest()


def test_what_json_takes_for_equal_has_one_digest():
    """Order of keys, 1 and 1.0, -0.0 and 0, tuple and list make no difference."""
    assert digest(a=1, b=(1,)) == digest(b=[1], a=1.0)
    assert digest(a=-0.0) == digest(a=0)
    assert digest(a=Colour.RED, b=Level.HIGH) == digest(a="red", b=3)
    assert digest(a=True) != digest(a=1) != digest(a="1")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (math.nan, "details.x: nan"),
        (math.inf, "details.x: inf"),
        (2**53, "details.x: an integer beyond"),
        (-(2**53), "details.x: an integer beyond"),
        (10**5000, "details.x: an integer beyond"),
        ("\ud800", "details.x: the text holds half a character"),
        ([{"y": "\udfff"}], "details.x[0].y: the text holds half"),
        ({"\ud800": 1}, "details.x, key '\\ud800': the text holds half"),
        ({1: 2}, "details.x: the key '1' is not a plain text"),
        ({Colour.RED: 2}, "details.x: the key 'red' is not a plain text"),
        (Decimal("1.5"), "details.x: Decimal is not JSON"),
        (datetime(2026, 1, 1), "details.x: datetime is not JSON"),
        (b"raw", "details.x: bytes is not JSON"),
        ({1, 2}, "details.x: set is not JSON"),
        (Float64(1.5), "details.x: Float64 is not JSON"),
        (Point.HERE, "details.x: Point is not JSON"),
        (object, "details.x: type is not JSON"),
        (nested(MAX_DEPTH + 1), "nested deeper than 64"),
    ],
    ids=lambda value: str(type(value).__name__),
)
def test_what_is_not_exact_json_is_refused_by_name(value, says):
    """The message names the field that cannot be held."""
    with pytest.raises(InvalidRequest) as refused:
        digest(x=value)
    assert says in str(refused.value)
    assert len(str(refused.value)) < 300


def test_the_bounds_themselves_are_accepted():
    """2^53 - 1, depth 64 and any subclass of dict and list."""
    check_details({"a": 2**53 - 1, "b": -(2**53) + 1, "c": nested(MAX_DEPTH - 1)})
    check_details(OrderedDict(a=[]))
    assert digest(x=5e-324) != digest(x=0)


def test_details_that_hold_themselves_are_refused():
    """An endless object ends in a message, not in an endless loop."""
    endless = {}
    endless["x"] = endless
    with pytest.raises(InvalidRequest, match="nested deeper"):
        check_details(endless)


@pytest.mark.parametrize("details", [None, [], "x", 1])
def test_details_are_an_object(details):
    """Nothing but an object can be details."""
    with pytest.raises(InvalidRequest, match="must be an object"):
        check_details(details)


def test_huge_details_are_refused_with_a_way_out():
    """Above 256 KiB the message says what to do; just below they are accepted."""
    room = MAX_PAYLOAD_BYTES - len(
        '{"agent":"","details":{"x":""},"requested_by":"bot","run_id":"","type":"payment"}'
    )
    digest(x="a" * room)
    with pytest.raises(InvalidRequest, match=r"262,145 bytes.*elsewhere"):
        digest(x="a" * (room + 1))


def test_a_field_beside_the_details_is_checked_too():
    """Half a character in the agent's name is refused."""
    with pytest.raises(InvalidRequest):
        payload_sha256(Action(type="t", description="", details={}, requested_by="\ud800"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1, "a": 2}', "stands twice"),
        ('{"a": {"b": 1, "b": 1}}', "stands twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "-Infinity"),
        ('{"a": 1', "line 1, column"),
        ("[1]", "must be an object"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON that can be held"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested deeper"),
        ('{"a": "\\ud800"}', "half a character"),
        ('{"a": 1e999}', "inf"),
    ],
)
def test_json_is_read_strictly(text, says):
    """What two readers might read differently is refused."""
    with pytest.raises(InvalidRequest) as refused:
        parse_json_object(text)
    assert says in str(refused.value)


def test_json_is_read_as_it_stands():
    """A plain object comes back."""
    assert parse_json_object(' {"a": [1, 2.5, "x", null, true]} ') == {
        "a": [1, 2.5, "x", None, True]
    }


BEFORE = {"n": 1, "t": "x", "l": [1, {"a": 1}], "o": {"k": None}, "b": True}


@pytest.mark.parametrize(
    "after",
    [
        BEFORE,
        BEFORE | {"n": 2.5},
        BEFORE | {"l": []},
        BEFORE | {"o": {"k": [1]}},
        BEFORE | {"b": False},
    ],
)
def test_values_may_change(after):
    """Numbers, texts, lists of any length, and a null to anything."""
    check_same_shape(BEFORE, after)


@pytest.mark.parametrize(
    ("after", "says"),
    [
        ({k: v for k, v in BEFORE.items() if k != "n"}, "details.n is missing"),
        (BEFORE | {"new": 1}, "details.new is new"),
        (BEFORE | {"o": {}}, "details.o.k is missing"),
        (BEFORE | {"n": True}, "details.n was a number and cannot become true or false"),
        (BEFORE | {"b": 1}, "details.b was true or false"),
        (BEFORE | {"t": None}, "details.t was a text and cannot become null"),
        (BEFORE | {"l": {}}, "details.l was a list and cannot become an object"),
        (BEFORE | {"o": "x"}, "details.o was an object and cannot become a text"),
    ],
)
def test_the_shape_may_not_change(after, says):
    """An executor written for the details asked for can run the edited ones."""
    with pytest.raises(InvalidRequest) as refused:
        check_same_shape(BEFORE, after)
    assert says in str(refused.value)


def test_changes_are_named_by_json_pointer():
    """Each changed value once, with both texts; a value that is not there is empty."""
    before = {"a/b": {"~": 1, "same": [1]}, "gone": None, "l": [1, 2]}
    after = {"a/b": {"~": 1.5, "same": [1]}, "new": "é", "l": [1, True]}
    assert [(ch.path, ch.before, ch.after) for ch in changes_between(before, after)] == [
        ("/a~1b/~0", "1", "1.5"),
        ("/gone", "null", ""),
        ("/l", "[1, 2]", "[1, true]"),
        ("/new", "", '"\\u00e9"'),
    ]


def test_what_has_the_same_digest_has_no_changes():
    """1 and 1.0 are the same; 1 and true are not, even inside a list."""
    assert changes_between({"a": [1], "b": 1}, {"a": [1.0], "b": 1.0}) == ()
    assert changes_between({"a": [1]}, {"a": [True]}) != ()
