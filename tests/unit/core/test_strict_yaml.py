"""YAML without surprises."""

from __future__ import annotations

import pytest

from hitl_vault.core.strict_yaml import YamlProblem, compose_mapping, entries, line_of, value_of


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\nb: 2\na: 3", 3, "stands twice (first on line 1)"),
        ('a: 1\n"a": 2', 2, "stands twice"),
        ("x:\n  a: 1\n  a: 2", 3, "stands twice"),
        ("a: &x 1", 1, "an anchor (&x)"),
        ("a: 1\nb: *x", 2, "an alias (*x)"),
        ("a: !!python/object:os.system x", 1, "a tag"),
        ("a: !custom x", 1, "a tag"),
        ("<<: {a: 1}", 1, "a merge key"),
        ("a: 1\n---\nb: 2", 2, "single document"),
        ("- a\n- b", 1, "not a list"),
        ("just text", 1, "not a list"),
        ("? [a, b]\n: 1", 1, "a key must be plain text"),
        ("a: [1", 2, "expected"),
        ("a: \x07", 1, "not YAML"),
        ("a: \ud800", 1, "not YAML"),
        ("a: " + "x" * 70_000, 1, "longer than 65,536"),
        ("a:\n" + "- " * 40 + "x", 2, "nested deeper than 32"),
        ("a: " + "[" * 32_000 + "]" * 32_000, 1, "nested deeper than 32"),
        ("a: " + "[" * 60_000, 1, "nested deeper than 32"),
        ("{a: " * 10_000 + "}" * 10_000, 1, "nested deeper than 32"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_could_be_read_in_two_ways_is_refused_with_its_line(text, line, says):
    """Duplicates, anchors, aliases, tags, merges, and texts that would end the process."""
    with pytest.raises(YamlProblem) as refused:
        compose_mapping(text)
    assert says in refused.value.problem
    assert refused.value.line == line


def test_the_deepest_that_is_read():
    """Thirty-two levels are accepted."""
    assert value_of(compose_mapping("a: " + "[" * 31 + "]" * 31))


@pytest.mark.parametrize("text", ["", "# only a comment\n", "\n\n"])
def test_an_empty_text_is_an_empty_mapping(text):
    """No value is not an error."""
    assert value_of(compose_mapping(text)) == {}


def test_values_are_those_of_the_core_schema():
    """Only true and false are booleans, times and octal numbers stay texts, quotes make texts."""
    text = """
    yes: no
    on: off
    t: TRUE
    n: ~
    e:
    i: -12
    z: 007
    o: 0o7
    f: 1.5e3
    d: 2026-11-21
    c: 12:30:00
    q: "true"
    s: '1'
    l: [1, "2", null, .inf, .nan]
    """
    assert value_of(compose_mapping(text)) == {
        "yes": "no", "on": "off", "t": True, "n": None, "e": None, "i": -12, "z": "007", "o": "0o7",
        "f": 1500.0, "d": "2026-11-21", "c": "12:30:00", "q": "true", "s": "1",
        "l": [1, "2", None, ".inf", ".nan"],
    }  # fmt: skip


@pytest.mark.parametrize("number", ["9" * 5000, "1" * 500 + ".5"])
def test_a_number_nobody_can_hold_is_refused(number):
    """Thousands of digits are a problem with a line, not an error of Python."""
    node = compose_mapping(f"a: 1\nb: {number}")
    with pytest.raises(YamlProblem, match="too many digits") as refused:
        value_of(node)
    assert refused.value.line == 2


def test_nodes_know_where_they_stand():
    """A value can be replaced without touching its neighbours."""
    text = "a: 1 # one\nstatus:  pending # two\n"
    node = entries(compose_mapping(text))["status"]
    assert line_of(node) == 2
    assert text[node.start_mark.index : node.end_mark.index] == "pending"
