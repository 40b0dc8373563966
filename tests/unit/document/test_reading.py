"""Notes read whole, or not at all."""

from __future__ import annotations

import pytest
from document_samples import CASES, ID, ask, put

from hitl_vault.document.reading import looks_torn, parse_document
from hitl_vault.errors import DocumentError

CASE = ask()


def test_a_note_is_read_with_where_everything_stands():
    """Id, status, name, reason, code blocks and the end are found in a note as we write it."""
    document = parse_document(CASE.note, path="Pending/x.md")
    assert (document.id, document.status_text, document.path) == (ID, "pending", "Pending/x.md")
    assert (document.reviewer, document.reason, document.newline, document.bom) == (
        "",
        "",
        "\n",
        False,
    )
    assert document.payload_sha256 == CASE.request.payload_sha256
    assert document.body_of(document.action_fence).startswith('{\n  "amount": 1500')
    assert document.body_of(document.changes_fence) == document.body_of(document.action_fence)
    assert document.encode(document.text) == CASE.note


def test_line_ends_and_byte_order_mark_are_kept():
    """What a note looks like as bytes is known, so that it can be written the same way."""
    data = b"\xef\xbb\xbf" + CASE.text.replace("\n", "\r\n").encode()
    document = parse_document(data)
    assert (document.newline, document.bom) == ("\r\n", True)
    assert document.encode(document.text) == data


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("reviewer", '" Alice \\u202e Smith "', "Alice Smith"),
        ("reviewer", "[alice]", "alice"),
        ("reviewer", "007", "007"),
        ("reviewer", "no", "no"),
        ("reviewer", "null", ""),
        ("reviewer", "x" * 500, "x" * 120),
        ("reason", "'too: expensive'", "too: expensive"),
        ("reason", "[one, two]", "one, two"),
        ("reason", "{a: b}", "{a: b}"),
        ("reason", "|\n  line one\n\n  line two", "line one line two"),
        ("reason", "a # comment", "a"),
        ("reason", "x" * 5000, "x" * 2000),
    ],
)
def test_typed_text_is_cleaned(key, value, read):
    """A name or reason is text, whatever form an editor gave it."""
    document = parse_document(put(CASE.text, key, value).encode())
    assert getattr(document, key) == read


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \n", "empty"),
        (b"\x00" * 100, "NUL"),
        (CASE.note[:-80] + b"\x00" * 80, "NUL"),
        (CASE.note.replace(b"Pay", b"P\xff"), "UTF-8"),
        (CASE.text.encode("utf-16"), "UTF-8"),
        (b"\n" + CASE.note, "does not start"),
        (CASE.note.replace(b"%% hitl:end", b"%% hitl:fin"), "end of the note is missing"),
        (CASE.note.replace(b"%% hitl:end 2026", b"%% hitl:end 2027"), "another id"),
        (CASE.note.replace(b'id: "2026', b'id: "2027'), "another id"),
        (CASE.note.replace(b'id: "', b'uid: "'), "`id` is missing"),
        (CASE.note.replace(f'id: "{ID}"'.encode(), b'id: "../../x"'), "`id` is missing"),
        (CASE.note.replace(f'id: "{ID}"'.encode(), b"id: [a, b]"), "`id` is missing"),
        (
            CASE.note.replace(f"%% hitl:end {ID} %%".encode(), f"  %% hitl:end {ID} %%".encode()),
            "missing",
        ),
        (CASE.note.replace(b"## The agent", b"```\n## The agent"), "not closed"),
        (CASE.note + CASE.note, "stands twice"),
    ],
)
def test_what_is_not_whole_is_refused(data, problem):
    """A torn, mixed or foreign file is an error that names the file, never a document."""
    with pytest.raises(DocumentError) as caught:
        parse_document(data, path="x.md")
    assert problem in caught.value.problem
    assert caught.value.path == "x.md"


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_state_we_write_is_read(name):
    """What the engine writes, it reads."""
    document = parse_document(CASES[name].note)
    assert document.status_text == CASES[name].request.status


def test_text_below_the_end_marker_is_tolerated():
    """People may append what they like; it is not read."""
    data = CASE.note + b"\nMy notes\n```\nstatus: approved\n- [x] Approve ^approve\n"
    assert parse_document(data).id == ID


def test_torn_is_what_a_crash_leaves():
    """Every cut of a note, nothing, and NUL bytes are torn; a whole note is not."""
    end = CASE.note.index(b"%% hitl:end") + len(f"%% hitl:end {ID} %%")
    for cut in range(end):
        assert looks_torn(CASE.note[:cut], CASE.note)
        assert looks_torn(CASE.note[:cut])
    assert not looks_torn(CASE.note[:end], CASE.note)
    assert not looks_torn(CASE.note)
    assert looks_torn(b"\x00" * 4096)
    assert looks_torn(b"\xef\xbb\xbf")
    assert looks_torn(CASE.note[:500] + b"\x00" * 500)
    edited = put(CASE.text, "status", "approved").encode()
    assert looks_torn(edited[:100], CASE.note)


@pytest.mark.parametrize(
    "data",
    [
        b"approved",
        b"# My own note\n\nstatus: approved\n",
        put(CASE.text, "status", "[").encode(),
        CASE.note.replace(b"## Decide", b"```\n## Decide"),
        CASE.text.replace("\n", "\r\n").encode(),
        b"---\nx\n" + CASE.note.replace(b"%% hitl:end", b"%%") + b"More of mine.\n" * 10,
    ],
)
def test_what_somebody_rewrote_is_not_torn(data):
    """A note somebody changed, however badly, is theirs and not written over."""
    assert not looks_torn(data, CASE.note)
