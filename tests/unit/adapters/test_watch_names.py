"""Owns examples of which names are notes. Never looks at a file."""

import pytest

from hitl_vault.adapters.watch.names import BELL, PROBE, is_ignored, is_note, is_visible


@pytest.mark.parametrize(
    "name",
    [
        *(".req.md", "req.md~", "req.md.bak", "req.md.BAK", "req.swp", ".req.md.swp", "4913"),
        *(".#req.md", "#req.md#", "sedA1b2C3", ".syncthing.req.md.tmp", "~syncthing~req.md.tmp"),
        *("req.md.tmp", ".trash", ".obsidian", ".hitl", ".git"),
    ],
)
def test_what_tools_leave_behind_is_ignored(name: str) -> None:
    """Backups, locks, scratch files and dot folders are nobody's note."""
    assert is_ignored(name)
    assert not is_visible(f"Pending_Approval/{name}/x.md")


@pytest.mark.parametrize(
    "name",
    [
        *("req.md", "sedans.md", "sedate", "49131.md", "# title.md", "bak.md", "tmp.md", "a~b.md"),
        *("req.sync-conflict-20261121-093012-ABCDEFG.md", "req (Conflicted copy phone 1).md"),
    ],
)
def test_what_a_person_may_have_written_is_not_ignored(name: str) -> None:
    """Notes with odd names, and the conflict copies of sync tools, are looked at."""
    assert not is_ignored(name)


def test_a_note_is_a_markdown_file_in_visible_folders() -> None:
    """The ending is read in either case; one dot folder on the way hides all below it."""
    assert is_note("Policy.md")
    assert is_note("Pending_Approval/payments/Req.MD")
    assert not is_note("Pending_Approval/req.txt")
    assert not is_note(".trash/req.md")
    assert not is_note("a/.git/b/req.md")


def test_the_watchers_own_files_are_hidden() -> None:
    """Neither the bell nor a probe is ever taken for something of a person's."""
    assert not is_visible(BELL)
    assert not is_visible(PROBE + "1")
