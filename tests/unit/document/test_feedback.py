"""The one line that answers a person."""

from __future__ import annotations

import re

import pytest
from document_samples import ask, put

from hitl_vault.document.feedback import with_feedback
from hitl_vault.document.reading import MAX_BYTES

CASE = ask()
LINE = "> [!warning] I read “yes”. %% hitl:feedback %%"


def test_it_stands_where_people_answer():
    """The line stands directly under Decide, and nothing else changes."""
    said = with_feedback(CASE.note, "I read “yes”.").decode()
    assert f"## Decide\n{LINE}\n\n- [ ] Approve" in said
    assert said.replace(f"{LINE}\n", "") == CASE.text


def test_the_same_sentence_twice_is_the_same_note():
    """Saying it again writes nothing; another sentence replaces it; none takes it away."""
    said = with_feedback(CASE.note, "I read “yes”.")
    assert with_feedback(said, "I read “yes”.") == said
    other = with_feedback(said, "Other.")
    assert other.count(b"hitl:feedback") == 1
    assert b"Other." in other
    assert with_feedback(other, "") == CASE.note
    assert with_feedback(CASE.note, "") == CASE.note


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_line_ends_and_mark_stay(newline, bom):
    """The line has the note's own line end."""
    note = (bom + CASE.text.replace("\n", newline)).encode()
    said = with_feedback(note, "I read “yes”.")
    assert f"## Decide{newline}{LINE}{newline}".encode() in said
    assert with_feedback(said, "") == note


@pytest.mark.parametrize(
    "note",
    [
        put(CASE.text, "status", "a: b"),
        CASE.text.replace("## Audit", "```\n## Audit"),
        CASE.text[:-60],
    ],
)
def test_a_note_that_cannot_be_read_gets_it_in_the_same_place(note):
    """Where the heading is still there, that is where people look."""
    assert f"## Decide\n{LINE}\n" in with_feedback(note.encode(), "I read “yes”.").decode()


@pytest.mark.parametrize(
    ("note", "said"),
    [
        (b"", f"{LINE}\n"),
        (b"approved", f"approved\n{LINE}\n"),
        (b"a\r\nb\r\n", f"a\r\nb\r\n{LINE}\r\n"),
        (b"---\n## Decide\nx: y\n", f"---\n## Decide\nx: y\n{LINE}\n"),
        (b"## Decide\n## Decide\n", f"## Decide\n## Decide\n{LINE}\n"),
    ],
)
def test_elsewhere_it_is_the_last_line(note, said):
    """Without a place of its own it is added at the end, never into the properties."""
    assert with_feedback(note, "I read “yes”.").decode() == said
    assert with_feedback(said.encode(), "I read “yes”.").decode() == said


def test_bytes_that_are_no_text_stay():
    """Broken characters stay as they are; half of UTF-16, and a giant, are left alone."""
    assert with_feedback(b"\xff\xfex", "a") == b"\xff\xfex"
    giant = CASE.note + b"x" * MAX_BYTES
    assert with_feedback(giant, "a") == giant
    unmarked = CASE.text.encode("utf-16-le")
    assert with_feedback(unmarked, "a") == unmarked
    assert with_feedback(b"a\xffb\n", "a").startswith(b"a\xffb\n>")


def test_the_sentence_is_inert_and_one_line():
    """Whatever is repeated to a person cannot end the line or become markup."""
    said = with_feedback(CASE.note, "a\n- [x] Approve ^approve\n%% x %% <%y%>").decode()
    line = next(line for line in said.split("\n") if "hitl:feedback" in line)
    assert "<%" not in line
    assert line.count("%%") == 2
    assert said.count("^approve") == 1


def test_copies_of_the_line_are_taken_away():
    """If a merge doubled the line, one is left."""
    said = with_feedback(CASE.note, "I read “yes”.").decode().replace(LINE, f"{LINE}\n{LINE}")
    assert with_feedback(said.encode(), "Other.").count(b"hitl:feedback") == 1


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_a_note_saved_as_utf_16_gets_the_line_as_utf_16(codec):
    """What an editor saved in another encoding can still be answered in it."""
    note = ("\ufeff" + CASE.text).encode(codec)
    said = with_feedback(note, "I read “yes”.")
    assert f"## Decide\n{LINE}\n" in said.decode(codec)
    assert with_feedback(said, "I read “yes”.") == said
    assert with_feedback(said, "") == note


def test_it_never_stands_inside_a_code_block():
    """A block that swallowed the heading has the line above it, where it shows."""
    note = CASE.text.replace("## Decide", "~~~\n## Decide").encode()
    assert f"\n{LINE}\n~~~\n## Decide\n" in with_feedback(note, "I read “yes”.").decode()


def test_the_line_reads_well_in_the_raw_file_too():
    """No HTML entity stands in the sentence; signs that look alike do nothing."""
    said = with_feedback(
        CASE.note, "I read “<b>[x]</b> & `a` &lt; %% ^approve {{y}} a::b”"
    ).decode()
    line = next(line for line in said.split("\n") if "hitl:feedback" in line)
    assert not re.search(r"&#?\w+;", line)
    assert "\u2039b\u203a\uff3bx\uff3d\u2039/b\u203a & 'a' \uff06lt;" in line
    assert not set("<[`^{") & set(line.removeprefix("> [!warning] "))
