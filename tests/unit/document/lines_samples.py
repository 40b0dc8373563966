"""Owns requests that several people on record answer, for the tests. Never used by the package."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from document_samples import CHECKED, NOW, RENDERER, Case, ask

from hitl_vault.core.model import Answer, Details, Stage
from hitl_vault.core.people import Away, People, Reviewer
from hitl_vault.core.voting import person
from hitl_vault.document.ballot import Folder
from hitl_vault.document.own_ballot import Readings, counted_from_note, read_answers
from hitl_vault.document.patch import updated
from hitl_vault.document.reading import parse_document
from hitl_vault.document.voters import Voters, mark_of, voters_of

TEAM = {"alice": ["finance"], "bob": ["finance"], "carol": ["finance", "cfo"]}
TWO_OF_FINANCE = (Stage(approvers=("finance",), quorum=2),)
THEN_CFO = (Stage(approvers=("finance",), quorum=2), Stage(approvers=("cfo",)))


def people(
    roles: dict[str, Iterable[str]] | None = None, away: dict[str, tuple[Away, ...]] | None = None
) -> People:
    """Return a record of people by name, with their roles."""
    named = TEAM if roles is None else roles
    return People(
        reviewers={
            person(name): Reviewer(
                name=name, roles=frozenset(held), away=(away or {}).get(name, ())
            )
            for name, held in named.items()
        }
    )


@dataclass
class Desk:
    """A request with its record of people."""

    case: Case
    people: People

    @property
    def voters(self) -> Voters:
        return voters_of(self.case.request, self.people, NOW)

    @property
    def text(self) -> str:
        return RENDERER.render(self.case.request, self.case.history, self.voters)

    @property
    def checked(self) -> str:
        return CHECKED.render(self.case.request, self.case.history, self.voters)

    def read(self, note: str | bytes, folder: Folder = Folder.PENDING) -> Readings:
        data = note.encode() if isinstance(note, str) else note
        counted = counted_from_note(self.case.request, self.case.history)
        document = parse_document(data)
        return read_answers(document, self.case.request, folder, self.voters, counted)

    def vote(self, answer: Answer = Answer.APPROVE, reviewer: str = "alice", **more) -> Desk:
        found = self.people.find(reviewer)
        more = {"channel": "note", "roles": found.roles if found else frozenset()} | more
        return replace(self, case=self.case.vote(answer, reviewer, **more))

    def edit(self, details: Details, reviewer: str = "bob", **more) -> Desk:
        found = self.people.find(reviewer)
        more = {"channel": "note", "roles": found.roles if found else frozenset()} | more
        return replace(self, case=self.case.edit(details, reviewer=reviewer, **more))

    def patch(self, note: str | bytes) -> str:
        data = note.encode() if isinstance(note, str) else note
        case, voters = self.case, self.voters
        once = updated(data, case.request, case.history, RENDERER, voters)
        assert updated(once, case.request, case.history, RENDERER, voters) == once
        return once.decode()


def desk(record: People | None = None, **requirement) -> Desk:
    """Return a pending request for two of finance, or another requirement."""
    requirement = {"stages": TWO_OF_FINANCE} | requirement
    return Desk(case=ask(**requirement), people=record or people())


def tick(text: str, name: str, answer: str = "approve", mark: str = "x") -> str:
    """Return the note with a person's box ticked."""
    return edit(text, f"^{answer}-{mark_of(name)}", "[ ]", f"[{mark}]")


def write_reason(text: str, name: str, reason: str) -> str:
    """Return the note with a person's reason."""
    label = f"Reason ({mark_of(name)}):"
    return edit(text, label, label, f"{label} {reason}")


def edit(text: str, within: str, old: str, new: str) -> str:
    """Return the note with a text replaced in the one line that ends with, or holds, another."""
    lines = text.split("\n")
    (at,) = [i for i, line in enumerate(lines) if line.rstrip("\r").endswith(within)]
    assert old in lines[at], lines[at]
    lines[at] = lines[at].replace(old, new, 1)
    return "\n".join(lines)


def said(readings: Readings) -> list[tuple[str, Answer]]:
    """Return who answers what."""
    return [(each.reviewer, each.answer) for each in readings.answers]


def merged(folder: Path, base: str, ours: str, theirs: str) -> tuple[int, str]:
    """Merge two versions of a note by git; return how many conflicts there are, and the text."""
    import subprocess

    for name, text in (("ours", ours), ("base", base), ("theirs", theirs)):
        (folder / name).write_bytes(text.encode())
    done = subprocess.run(
        ["git", "merge-file", "-p", "ours", "base", "theirs"],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    assert done.returncode >= 0
    return done.returncode, done.stdout.decode()
