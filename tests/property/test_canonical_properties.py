"""Digests, differences and stored records, for any details."""

from __future__ import annotations

import importlib
import json
import math
from contextlib import contextmanager
from datetime import UTC, datetime

from hypothesis import assume, given
from hypothesis import strategies as st

from hitl_vault.core import chain
from hitl_vault.core.canonical import (
    changes_between,
    check_details,
    parse_json_object,
    payload_sha256,
    with_details,
)
from hitl_vault.core.model import Action, Request, is_valid_id, make_id
from hitl_vault.core.voting import person
from hitl_vault.errors import InvalidRequest

ACTION = Action(type="payment", description="", details={}, requested_by="bot")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.sampled_from([0, 0.0, -0.0, 1, 1.0, True, False, "1", "", 1e16, 2**53 - 1])
)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, values, max_size=4)


def digest(details):
    return payload_sha256(with_details(ACTION, details))


def same(one, two):
    """Compare as JSON does: numbers by value, but true is not 1."""
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    return one == two and isinstance(one, str) == isinstance(two, str)


@given(objects, objects)
def test_equal_digests_mean_equal_json(one, two):
    """Two details have one digest if and only if JSON takes them for equal."""
    assert (digest(one) == digest(two)) == same(one, two)
    assert (changes_between(one, two) == ()) == same(one, two)


@given(objects, st.data())
def test_one_changed_value_changes_the_digest_and_is_named(details, data):
    """Any single value replaced by another is one change, at its place."""
    assume(details)
    key = data.draw(st.sampled_from(sorted(details)))
    other = data.draw(plain)
    assume(not same(details[key], other))
    changed = details | {key: other}
    assert digest(details) != digest(changed)
    (change,) = changes_between(details, changed)
    assert change.path == "/" + key.replace("~", "~0").replace("/", "~1")


@given(objects)
def test_details_survive_every_writer(details):
    """What is accepted comes back from JSON, from the ledger's bytes and from its own text, equal."""
    text = json.dumps(details)
    assert digest(parse_json_object(text)) == digest(details)
    assert digest(json.loads(chain._encode(details))) == digest(details)


junk = st.recursive(
    plain
    | st.sampled_from([math.nan, math.inf, -math.inf, 2**53, 10**400, "\ud800", "a\udfff"])
    | st.binary(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts | st.just("\ud800"), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(texts, junk, max_size=3))
def test_anything_else_is_refused_and_nothing_else_is_raised(details):
    """Details are either held exactly or refused as InvalidRequest."""
    try:
        check_details(details)
    except InvalidRequest:
        return
    assert digest(json.loads(json.dumps(details))) == digest(details)


times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
seconds = st.floats(0, 1e8)

model = importlib.import_module("hitl_vault.core.model")


@contextmanager
def made_to_fit():
    """Let Hypothesis build the values of the domain only as they can be."""
    for kind, strategy in ((datetime, times), (float, seconds), (str, texts)):
        st.register_type_strategy(kind, strategy)
    with_json = {"details": objects, "result": values}
    for kind in (model.Action, model.Edited, model.Outcome):
        fields = {name: made for name, made in with_json.items() if name in kind.__slots__}
        st.register_type_strategy(kind, st.builds(kind, **fields))
    try:
        yield
    finally:
        for kind, strategy in ((datetime, st.datetimes()), (float, st.floats()), (str, st.text())):
            st.register_type_strategy(kind, strategy)


@given(st.data())
def test_any_request_comes_back_from_its_bytes(data):
    """decode_request reverses encode_request, whatever a request holds."""
    with made_to_fit():
        request = data.draw(st.builds(Request, rev=st.integers(1, 2**53)))
    stored = chain.encode_request(request)
    assert chain.decode_request(stored) == request
    assert chain.encode_request(chain.decode_request(stored)) == stored


@given(times, st.text(), st.binary(min_size=5, max_size=8))
def test_every_made_id_is_valid(at, slug, token):
    """Any slug makes a valid id."""
    assert is_valid_id(make_id(at, slug, token.hex()))


@given(st.text())
def test_an_id_is_safe_in_any_path(text):
    """A valid id is ASCII without a separator or a step upwards; no text raises."""
    if is_valid_id(text):
        assert text.isascii()
        assert not {"/", "\\", "\0", ":", " "}.intersection(text)
        assert text not in {".", ".."}


@given(st.text(), st.sampled_from(["", " ", "\u200b", "\t"]))
def test_a_persons_name_has_one_form(name, noise):
    """Normalising twice changes nothing, and neither do case, spaces and invisible characters."""
    assert person(person(name)) == person(name)
    assert person(f"{noise}{name}{noise}") == person(name)
