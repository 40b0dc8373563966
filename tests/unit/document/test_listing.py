"""The list of the details shows two different things never alike."""

from __future__ import annotations

import json

import pytest

from hitl_vault.document.listing import listed, may_mislead


def lines(details):
    return [f"{one.path} {one.text}" for one in listed(details)]


def test_values_are_listed_by_the_names_that_lead_to_them():
    """Lists of plain values stay one value; empty ones are shown, and nothing of no details."""
    assert lines({"a": {"b": 1}, "c": [1, "x"], "d": [{"e": None}], "f": {}, "g": []}) == [
        "a/b 1",
        'c [1, "x"]',
        "d/0/e null",
        "f {}",
        "g []",
    ]
    assert lines({}) == []


def test_a_name_that_could_be_read_otherwise_is_in_quotes():
    """With a slash it is not a nested one, of digits not a place in a list, and empty it is seen."""
    details = {"a/b": 1, "a": {"b": 2, "7": 3}, "": 4, '"x"': 5, "y ": 6, "to: z": 7, "u v": 8}
    assert lines(details) == [
        '"a/b" 1',
        "a/b 2",
        'a/"7" 3',
        '"" 4',
        r'"\"x\"" 5',
        '"y " 6',
        '"to: z" 7',
        "u v 8",
    ]


@pytest.mark.parametrize(
    "text",
    'false TRUE null 1500 -1 1,500.00 1e5 007 NaN [] {} "x"'.split(),
)
def test_a_text_that_reads_like_another_value_is_in_quotes(text):
    assert lines({"a": text}) == [f'a "{text}"']


@pytest.mark.parametrize(
    "text", ["[1, 2]", "[null]", '{"a": 1}', "[[1]]", "", " ", " false\n", "[\n1]"]
)
def test_so_is_one_with_spaces_and_an_empty_one(text):
    assert lines({"a": text}) == [f'a "{text}"']


@pytest.mark.parametrize(
    "text", ["eu", "falsehood", "2 of 3", "1.2.3", "[x] y", "[redacted]", "{x}", '"x" y', "a\nb"]
)
def test_other_texts_are_shown_as_they_are(text):
    assert lines({"a": text}) == [f"a {text}"]


@pytest.mark.parametrize("value", [False, None, 1500, 1.5, [], {}, [1, "x"], [False], ["а"]])
def test_what_is_no_text_is_shown_as_json(value):
    [one] = listed({"a": value})
    assert json.loads(one.text) == value


def test_letters_that_look_like_others_are_spelt_out_in_names_as_in_values():
    [odd] = listed({"to": {"аmount": ["vendоr", 1]}})
    assert odd.exact_path == r'to/"\u0430mount"'
    assert odd.exact == r'["vend\u043er", 1]'
    [even] = listed({"to": {"amount": ["vendor", 1]}})
    assert (even.exact_path, even.exact) == ("", "")


@pytest.mark.parametrize(
    "details",
    [
        {"amount": 15, "аmount": 1500},
        {"аmount": 1500},
        {"a": {"ß": 1}},
        {"amount": 15, "Amount": 1500},
        {"total": 15, "tota1": 1500},
        {"to": 1, "t0": 2},
        {"user_id": 1, "user id": 2},
        {"a/b": 1, "a": {"b": 2}},
        {"x": 1, "x ": 2},
    ],
)
def test_names_that_may_be_taken_for_others_are_found(details):
    assert may_mislead(listed(details))


def test_usual_names_mislead_nobody():
    details = {"amount": 1, "to": "Zoë", "items": [{"id": n, "no": n} for n in range(30)], "a/b": 2}
    assert not may_mislead(listed(details))
