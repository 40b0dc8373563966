"""Replacing pieces of a note."""

from __future__ import annotations

import pytest
from document_samples import ask, put

from hitl_vault.document.reading import parse_document
from hitl_vault.document.splices import Splices

TEXT = ask().text


def splices(text: str = TEXT) -> Splices:
    return Splices(parse_document(text.encode()))


def test_nothing_to_replace_changes_nothing():
    """Without a replacement, or with the same text, the note is the same."""
    found = splices()
    found.replace(0, 3, "---")
    assert not found
    assert found.text() == TEXT


def test_replacements_are_made_at_once():
    """Each replacement counts in the positions of the note as it was."""
    found = splices()
    found.replace(8, 10, "XYZ")
    found.insert(0, "first")
    found.replace(0, 3, "+++")
    assert found.text().startswith("first\n+++\nid: XYZ")


def test_a_piece_within_a_replaced_one_is_dropped():
    """What is replaced as a whole is not patched inside."""
    found = splices()
    found.replace(10, 12, "inner")
    found.replace(5, 20, "outer")
    assert found.text()[5:10] == "outer"
    assert "inner" not in found.text()


def test_lines_go_with_one_blank_line_below():
    """Taking lines out does not leave a double gap."""
    start = TEXT.index("In short:")
    found = splices()
    found.remove_lines(start, TEXT.index("\n", start) + 1)
    assert "## What will run\n\n```json" in found.text()


def test_inserted_lines_have_the_notes_line_ends():
    """A note with other line ends keeps them."""
    found = splices(TEXT.replace("\n", "\r\n"))
    found.insert(0, "a", "b")
    assert found.text().startswith("a\r\nb\r\n---")


@pytest.mark.parametrize(
    ("typed", "shown"),
    [("pending", "done"), ("'x'", "'done'"), ('"x"', '"done"'), ("|\n  x", "done")],
)
def test_a_word_keeps_the_quotes_around_it(typed, shown):
    """Quotes stay as the person's editor writes them."""
    found = splices(put(TEXT, "status", typed))
    found.set_word("status", "done")
    assert f"\nstatus: {shown}\nreviewer" in found.text()


def test_a_property_that_is_not_there_is_not_made():
    """Nothing is added to the properties."""
    found = splices(TEXT.replace("tags: [hitl/pending]\n", ""))
    found.set_property("nothing", "x")
    found.set_word("nothing", "x")
    found.set_tag(frozenset({"hitl/pending"}), "hitl/approved")
    assert not found
