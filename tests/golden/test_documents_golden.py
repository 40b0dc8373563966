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
from document_samples import RENDERER, put, tick

from hitl_vault.core.model import Answer, Status
from hitl_vault.document.ballot import Answered, Folder, Untouched
from hitl_vault.document.patch import updated

# the chain's hashes cover the ledger's own format, which is not what is held still here
CASES = {
    name: replace(
        case,
        history=[
            replace(each, hash=hashlib.sha256(f"{each.seq}".encode()).hexdigest())
            for each in case.history
        ],
    )
    for name, case in LIVE.items()
}
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
