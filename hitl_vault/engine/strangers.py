"""Owns files that are about a request and are not its note: copies, notes under another name,
and notes moved to where no answer is read.

Never reads an answer from one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

from hitl_vault.document.reading import id_within
from hitl_vault.engine.display import Display
from hitl_vault.engine.parts import Parts
from hitl_vault.ports import Found

_NEWCOMER_S = 10.0
DELETE = "look whether anybody's answer is in it, then delete it"

Said: TypeAlias = tuple[str, str]
"""What is said of a file, and what to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    found: Found
    since: float
    within: str


class Strangers:
    """The files with a name that is no note's, remembered by their signatures."""

    def __init__(self, parts: Parts, display: Display) -> None:
        self._parts, self._display = parts, display
        self._seen: dict[str, _Seen] = {}
        self._about: dict[str, str] = {}
        self._astray: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._seen) + len(self._about) + len(self._astray)

    async def look(self, item: Found) -> Said | None:
        """Return what a person should know of a file. The file is read once for each change."""
        now = self._parts.clock.monotonic()
        seen = self._seen.get(item.path)
        if seen is None or seen.found != item:
            self._about.pop(item.path, None)
            seen = _Seen(found=item, since=now, within=await self._within(item.path))
            self._seen[item.path] = seen
        named = self._about.get(item.path)
        # a copy may be seen before what another process asked is known here: look a few times
        if named is None and now - seen.since <= _NEWCOMER_S:
            named = self.named_in(item.path) or await self._known(seen.within)
        if named is None:
            return None
        self._about[item.path] = named
        if named in item.path.rpartition("/")[2]:
            return copy_of(named)
        return self._renamed(named) if named in self._display.waiting else None

    async def look_astray(self, ids: Collection[str]) -> dict[str, Said]:
        """Return, by path, what is said of notes of these requests, which wait, that somebody moved
        to where no answer is read. It holds while `astray` returns the path.
        """
        found = await self._parts.vault.astray(ids)
        self._astray |= found
        return {path: self._elsewhere(id) for path, id in found.items()}

    async def astray(self) -> set[str]:
        """Return the notes found astray that are still there, and whose request still waits."""
        for path, id in list(self._astray.items()):
            if id not in self._display.waiting or await self._parts.vault.load(path) is None:
                del self._astray[path]
        return set(self._astray)

    def _elsewhere(self, id: str) -> Said:
        return (
            f"is the note of {id}, which still waits; it is not read there",
            f"{DELETE}; answer in {self._parts.vault.path_for(id)}",
        )

    async def _known(self, id: str) -> str | None:
        request = await self._parts.ledger.get(id) if id else None
        return None if request is None else request.id

    async def _within(self, path: str) -> str:
        loaded = await self._parts.vault.load(path)
        return "" if loaded is None else id_within(loaded.data)

    def _renamed(self, id: str) -> Said:
        name = self._parts.vault.path_for(id).rpartition("/")[2]
        return (
            f"holds the note of {id} under another name, so it is not read as an answer",
            f"name it {name}, or answer in the note of that name and delete this one",
        )

    def named_in(self, path: str) -> str | None:
        """Return the longest id of a request that the name of this other file holds."""
        name = path.rpartition("/")[2]
        return max((id for id in self._display.known_ids() if id in name), key=len, default=None)

    def about(self, id: str) -> str | None:
        """Return a file that is about this request, None if there is none."""
        return next((path for path, named in self._about.items() if named == id), None)

    def forget_all_but(self, present: Collection[str]) -> None:
        """Forget the files that are gone."""
        for memory in (self._seen, self._about):
            for path in [path for path in memory if path not in present]:
                del memory[path]


def copy_of(id: str) -> Said:
    """Return what is said of a copy."""
    return f"is a copy of the note of {id}; it is not read as an answer", DELETE
