"""Notes of every format version, byte for byte.

A file that is missing is written, and the test fails once: look at it, and keep it. A file that
was released is never changed: people have notes like it.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "unit" / "document"))

from document_samples import CASES as LIVE
from document_samples import RENDERER, Case, put, tick
from lines_samples import THEN_CFO, desk, people, said
from lines_samples import tick as tick_line

from hitl_vault.core.model import Answer, Status
from hitl_vault.document.ballot import Answered, Folder, Untouched
from hitl_vault.document.patch import updated


def held_still(case: Case) -> Case:
    """Return the case with other hashes: those of the chain cover the ledger's own format."""
    history = [
        replace(each, hash=hashlib.sha256(f"{each.seq}".encode()).hexdigest())
        for each in case.history
    ]
    return replace(case, history=history)


CASES = {name: held_still(case) for name, case in LIVE.items()}
STAGED = desk(
    people({"alice": ["finance"], "José M. [x]": ["finance"], "carol": ["finance", "cfo"]}),
    stages=THEN_CFO,
)
LINES = {
    "own_lines": STAGED,
    "own_lines_counted": STAGED.vote(),
    "own_lines_rejected": STAGED.vote().vote(Answer.REJECT, "carol", reason="not this month"),
}
LINES = {name: replace(one, case=held_still(one.case)) for name, one in LINES.items()}
VERSIONS = sorted(path for path in (Path(__file__).parent / "documents").iterdir() if path.is_dir())
CURRENT = Path(__file__).parent / "documents" / "1"


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_current_format_is_this_byte_for_byte(name):
    """What is written today is what was written when the format was released."""
    path = CURRENT / f"{name}.md"
    if not path.exists():
        path.write_bytes(CASES[name].note)
        pytest.fail(f"{path.name} was missing and has been written")
    assert CASES[name].note == path.read_bytes()


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
@pytest.mark.parametrize("name", sorted(CASES))
def test_notes_of_every_version_are_read_and_brought_up_to_date(name, version):
    """A note written by any version is read, answered in, and patched by this one."""
    case = CASES[name]
    text = (version / f"{name}.md").read_text(encoding="utf-8")
    assert case.read(text, Folder.DONE) == Untouched()
    if case.request.status is Status.PENDING:
        assert case.read(tick(text, "reject")).answer is Answer.REJECT
        assert isinstance(case.read(put(text, "status", "approved")), Answered)
    once = updated(text.encode(), case.request, case.history, RENDERER)
    assert updated(once, case.request, case.history, RENDERER) == once


@pytest.mark.parametrize("name", sorted(LINES))
def test_a_note_with_own_lines_is_this_byte_for_byte(name):
    """Each person's boxes and reason, under their name."""
    path = CURRENT / f"{name}.md"
    if not path.exists():
        path.write_bytes(LINES[name].text.encode())
        pytest.fail(f"{path.name} was missing and has been written")
    assert LINES[name].text.encode() == path.read_bytes()


@pytest.mark.parametrize("name", sorted(LINES))
def test_notes_with_own_lines_of_every_version_are_read(name):
    """Lines written by any version are answered in, and patched by this one."""
    one = LINES[name]
    for version in VERSIONS:
        text = (version / f"{name}.md").read_text(encoding="utf-8")
        assert one.read(text, Folder.DONE).answers == ()
        if one.case.request.status is Status.PENDING:
            assert said(one.read(tick_line(text, "carol"))) == [("carol", Answer.APPROVE)]
        assert one.patch(text) == text
