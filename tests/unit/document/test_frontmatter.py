"""The properties of a note."""

from __future__ import annotations

import frontmatter as library
import pytest
import yaml
from document_samples import ask

from hitl_vault.document.frontmatter import (
    KEYS,
    StrictHandler,
    parse_front_matter,
    quoted,
    text_of,
    word_or_quoted,
)
from hitl_vault.errors import DocumentError


def entries(block: str):
    return parse_front_matter(f"---\n{block}\n---\n").entries


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("approved", "approved"),
        ("'a'", "a"),
        ('"a"', "a"),
        ("", ""),
        ("null", ""),
        ("~", ""),
        ("'null'", "null"),
        ("yes", "yes"),
        ("no", "no"),
        ("True", "True"),
        ("007", "007"),
        ("1.10", "1.10"),
        ("#approved", ""),
        ("approved # note", "approved"),
        ("[approved]", "approved"),
        ("[]", ""),
        ("\n- approved", "approved"),
        ("\n  - approved", "approved"),
        ("[null]", ""),
        ("\n-", ""),
        ("|\n  approved", "approved"),
        (">-\n  approved\n  now", "approved now"),
        ("approved\n  but", "approved but"),
        ("[a, b]", None),
        ("[[approved]]", None),
        ("{a: b}", None),
        ("\n- - a", None),
    ],
)
def test_a_value_is_the_text_typed(value, text):
    """No value is turned into a number, a time or a truth; a list of one is its element."""
    assert text_of(entries(f"status: {value}")["status"]) == text


def test_a_missing_property_is_empty():
    """What is not there says nothing."""
    assert text_of(None) == ""


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("", "does not start", 1),
        ("\n---\nid: a\n---\n", "does not start", 1),
        (" ---\nid: a\n---\n", "does not start", 1),
        ("----\nid: a\n---\n", "does not start", 1),
        ("--- id: a\n---\n", "does not start", 1),
        ("# Title\n---\nid: a\n---\n", "does not start", 1),
        ("---", "does not start", 1),
        ("---\nid: a\n", "not closed", 1),
        ("---\nid: a\n --- \n", "not closed", 1),
        ("---\nid: a\nid: b\n---\n", "stands twice", 3),
        ("---\nid: a\nx: [\n---\n", "", 4),
        ("---\nid: a\nb: c: d\n---\n", "mapping values", 3),
        ("---\nid: a\n\tb: c\n---\n", "", 3),
        ("---\njust words\n---\n", "key: value", 2),
        ("---\n- a\n---\n", "key: value", 2),
        ("---\nstatus:approved\n---\n", "key: value", 2),
        ("---\nstatus\uff1aapproved\n---\n", "key: value", 2),
        ("---\nid: a\nStatus: x\n---\n", "small letters", 3),
        ("---\n'status ': x\n---\n", "small letters", 2),
        ("---\nid: a\rstatus: b\n---\n", "do not show", 2),
        ("---\nid: &x a\n---\n", "anchor", 2),
        ("---\nid: *x\n---\n", "alias", 2),
        ("---\nid: !!str a\n---\n", "tag", 2),
        ("---\n<<: {id: a}\n---\n", "merge", 2),
    ],
)
def test_what_is_not_plain_is_refused_with_its_line(text, problem, line):
    """Every block an editor and we might read differently is refused, and the line is named."""
    with pytest.raises(DocumentError) as caught:
        parse_front_matter(text)
    assert problem in caught.value.problem
    assert caught.value.line == line


def test_positions_are_those_of_the_note():
    """A value is found where it stands, whatever characters and line ends stand before it."""
    text = "---\r\nname: 😀é\r\nstatus: 'x'\r\n---\r\nbody"
    front = parse_front_matter(text)
    start, end = front.entries["status"].span(front.entries["status"].value)
    assert text[start:end] == "'x'"
    assert front.entries["status"].line == 3
    assert text[front.body_start :] == "body"
    assert front.body_line == 5


def test_json_is_front_matter_too():
    """Obsidian accepts JSON between the fences, and so do we."""
    assert text_of(entries('{"status": "approved", "n": null}')["status"]) == "approved"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "a: b # c",
        "é “ü”",
        "1.10",
        "😀\U0010fffe",
        "\\ \" '",
        "a\nb\x00\x7f\x85\u2028",
        "::// <% [[",
    ],
)
def test_quoted_values_are_read_back_by_every_reader(text):
    """Our quoting means the same text to a YAML 1.1 and a YAML 1.2 reader."""
    for names in (False, True):
        line = f"k: {quoted(text, names=names)}"
        assert StrictHandler().load(line) == {"k": text}
        assert yaml.safe_load(line) == {"k": text}
        assert "<%" not in line
        assert "::" not in line
        assert "//" not in line
    assert quoted(text).isascii()


@pytest.mark.parametrize(
    "word",
    [
        "no",
        "Yes",
        "null",
        "on",
        "y",
        "123",
        "0x1F",
        "1e5",
        "-",
        "---",
        "~",
        "a b",
        "a:b",
        "",
        "é",
        "[a]",
        "12:30:45",
        ".5",
    ],
)
def test_words_some_reader_takes_for_something_else_are_quoted(word):
    """An agent's name or type is never a number or a truth."""
    assert word_or_quoted(word).startswith('"')
    assert yaml.safe_load(f"k: {word_or_quoted(word)}") == {"k": word}


def test_plain_words_stay_plain():
    """Usual names stay readable."""
    assert word_or_quoted("invoice-agent_2") == "invoice-agent_2"


def test_python_frontmatter_reads_our_notes_with_the_handler():
    """A tool of that library gets our properties as texts, or an error, never an empty answer."""
    post = library.loads(ask().text, handler=StrictHandler())
    assert tuple(post.metadata) == KEYS
    assert post.metadata["status"] == "pending"
    assert StrictHandler().load(StrictHandler().export({"a": "no", "b": 1})) == {"a": "no", "b": 1}
    with pytest.raises(DocumentError):
        library.loads("---\nstatus: approved\nno end", handler=StrictHandler())
    with pytest.raises(DocumentError):
        library.loads("---\nstatus: a\nstatus: b\n---\n", handler=StrictHandler())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "status: declined: too expensive",
            'property status: "declined: too expensive"; or write the one word there, and why in',
        ),
        ("reason: no: too dear", 'quotes around the text of the property reason: "no: too dear"'),
        ("reason: @bob says no", '"@bob says no"'),
        ("reason: *really* no", '"*really* no"'),
        ("reason: [1] is wrong", '"[1] is wrong"'),
        ('reason: see "a": b', "\"see 'a': b\""),
        ('reason: "no', "a quote is opened and not closed"),
    ],
)
def test_a_text_that_yaml_takes_for_something_else_needs_quotes(line, said):
    """What people type freely gets told what to type instead, not what YAML calls it."""
    with pytest.raises(DocumentError) as caught:
        parse_front_matter(f"---\nid: a\n{line}\n---\n")
    assert said in caught.value.problem


@pytest.mark.parametrize(
    "text",
    [
        "---\nid: a\n<<<<<<< HEAD\nstatus: approved\n=======\nstatus: rejected\n>>>>>>> b\n---\n",
        "---\nid: a\nstatus: approved\n=======\nstatus: rejected\n---\n",
        "---\r\nid: a\r\n<<<<<<<\r\nstatus: approved\r\n---\r\n",
        "<<<<<<< HEAD\n---\nid: a\n---\n=======\n",
    ],
)
def test_a_merge_left_in_the_properties_is_called_one(text):
    """Two versions in the properties are told of as that, not as broken YAML."""
    with pytest.raises(DocumentError, match="a merge left two versions"):
        parse_front_matter(text)
