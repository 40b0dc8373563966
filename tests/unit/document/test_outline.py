"""What stands where in a body."""

from __future__ import annotations

import pytest

from hitl_vault.core.model import Answer
from hitl_vault.document.outline import AUDIT, DECIDE, SUBSECTION, outline
from hitl_vault.errors import DocumentError


def scan(text: str):
    return outline(text, 0, 1)


def boxes(text: str):
    return [(box.answer.value, box.ticked, box.in_ballot) for box in scan(text).boxes]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("- [ ] Approve ^approve", [("approve", False, True)]),
        ("- [x] Approve ^approve", [("approve", True, True)]),
        ("* [X] Reject ^reject  ", [("reject", True, True)]),
        ("  + [x] Approve  with the changes below  ^edit", [("edit", True, True)]),
        ("- [x] Approve ^approve\r", [("approve", True, True)]),
        ("- [/] Approve ^approve", [("approve", None, True)]),
        ("- [✓] Approve ^approve", [("approve", None, True)]),
        ("- [x ] Approve ^approve", [("approve", None, True)]),
        ("- [] Approve ^approve", [("approve", None, True)]),
        ("-[x] Approve ^approve", [("approve", None, True)]),
        ("- [x] Approve but only 500 ^approve", [("approve", None, True)]),
        ("- [x] Approve ^reject", [("reject", None, True)]),
        ("> - [x] Approve ^approve", [("approve", None, True)]),
        ("    - [x] Approve ^approve", [("approve", None, True)]),
        ("1. [x] Approve ^approve", [("approve", None, True)]),
        ("- [x] ~~Approve~~ ^approve", [("approve", None, True)]),
        ("- [x] Approve^approve", []),
        ("- [x] Approve ^approved", []),
        ("text ^approve more", []),
    ],
)
def test_a_box_is_exactly_as_written(line, found):
    """A box with another mark, label or place in the line is seen, and is not an answer."""
    assert boxes(f"## Decide\n\n{line}\n") == found


@pytest.mark.parametrize(
    "text",
    [
        "- [x] Approve ^approve\n## Decide\n",
        "## Decide\n## Other\n- [x] Approve ^approve\n",
        "## Decide\n# Other\n- [x] Approve ^approve\n",
        "## Decide\n### Mine\n- [x] Approve ^approve\n",
        "# Decide\n- [x] Approve ^approve\n",
        "### Decide\n- [x] Approve ^approve\n",
        "## Decide now\n- [x] Approve ^approve\n",
        "## Decide\n%%\n- [x] Approve ^approve\n%%\n",
        "## Decide\n<!--\n- [x] Approve ^approve\n-->\n",
        "%% ## x\n## Decide\n- [x] Approve ^approve\n",
    ],
)
def test_a_box_outside_the_ballot_is_known_as_such(text):
    """Only what stands directly under Decide, outside comments, is the ballot."""
    assert boxes(text) == [("approve", True, False)]


@pytest.mark.parametrize("fence", ["```", "~~~", "````json", "  ```text"])
def test_boxes_and_headings_in_code_are_code(fence):
    """In a code block there is nothing but code."""
    close = fence.strip().rstrip("jsontex")
    text = f"{fence}\n## Decide\n- [x] Approve ^approve\n%% hitl:end x %%\n{close}\n"
    found = scan(text)
    assert (found.boxes, found.sections, found.marker) == ([], [], None)
    assert len(found.fences) == 1


def test_a_fence_closes_only_with_its_own_kind():
    """A shorter fence, another character or a language does not close a code block."""
    found = scan("````\n```\n~~~~\n```` x\n````\nafter\n")
    assert [(f.opening.number, f.closing.number) for f in found.fences] == [(1, 5)]


def test_comments_may_open_and_close_in_a_line():
    """A comment within a line hides nothing after it."""
    assert boxes("%% a %% <!-- b --> c\n## Decide\n- [x] Approve ^approve\n") == [
        ("approve", True, True)
    ]


def test_ticks_of_other_boxes_in_the_ballot_are_seen():
    """A ticked box that lost its anchor is noticed under Decide, and nowhere else."""
    text = "- [x] a\n## Decide\n- [x] Approve\n- [ ] b\n> - [X] c\n1. [x] d\n## More\n- [x] e\n"
    assert [line.number for line in scan(text).stray_ticks] == [3, 5, 6]


def test_sections_end_where_the_next_begins():
    """A section holds its subsections, and the last one ends with the note."""
    text = "## Decide\na\n### Changes\nb\n## Audit ##\nc\n%% hitl:end x %%\nd\n"
    found = scan(text)
    decide, audit = found.section(DECIDE), found.section(AUDIT)
    assert text[decide.heading.end : decide.end] == "a\n### Changes\nb\n"
    assert text[audit.heading.end : audit.end] == "c\n%% hitl:end x %%\n"
    changes = found.section("Changes", SUBSECTION)
    assert text[changes.heading.end : changes.end] == "b\n"
    assert found.section("None") is None


def test_nothing_below_the_marker_is_ours():
    """What people write below the end marker is never read, even an open code block."""
    found = scan("%% hitl:end x %%\n## Decide\n- [x] Approve ^approve\n```\n")
    assert found.marker_id == "x"
    assert (found.boxes, found.sections) == ([], [])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n```\nb", 2),
        ("## Decide\n## Decide\n", 2),
        ("## Audit\na\n## Audit\n", 3),
        ("## What will run\n## What will run\n", 2),
        ("%% hitl:end x %%\na\n%% hitl:end x %%\n", 3),
        ("%% hitl:end x %%\n%% hitl:end y %%", 2),
        ("a\n<<<<<<< HEAD\n", 2),
        ("a\n>>>>>>> theirs\n", 2),
        ("%% hitl:end x %%\n\n<<<<<<< HEAD\n", 3),
    ],
)
def test_what_cannot_be_whole_is_refused_with_its_line(text, line):
    """An open code block, a doubled heading or marker, and merge markers are refused."""
    with pytest.raises(DocumentError) as caught:
        scan(text)
    assert caught.value.line == line


def test_the_mark_of_a_box_is_where_it_is_ticked():
    """The position given for a box is the character between its brackets."""
    text = "## Decide\n- [x] Approve ^approve\n"
    (box,) = scan(text).boxes
    assert text[box.mark] == "x"
    assert box.answer is Answer.APPROVE


def test_feedback_lines_are_found_everywhere():
    """The engine's own line is found under Decide and below the marker."""
    line = "> [!warning] x %% hitl:feedback %%"
    found = scan(f"## Decide\n{line}\n%% hitl:end x %%\n{line}\r\n")
    assert [each.number for each in found.feedback] == [2, 4]
