"""Owns what this process knows to be shown, and of which requests. Never writes a note."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from hitl_vault.core.model import Request, Status
from hitl_vault.document.ballot import Folder
from hitl_vault.ports import Ledger, Shown, Signature, VaultFolder


class Memory:
    """What is shown where; shared with the other processes of the vault by its index.

    `waiting` are the requests that wait for an answer.
    """

    def __init__(self, vault: VaultFolder, ledger: Ledger) -> None:
        self._vault, self._ledger = vault, ledger
        self._shown: dict[str, Shown] = {}
        self._unsaved: dict[str, Shown] = {}
        self._finished: dict[str, datetime] = {}
        self.waiting: set[str] = set()

    def known(self, id: str) -> Shown | None:
        """Return what this process knows to be shown."""
        return self._shown.get(id)

    async def recall(self, id: str) -> Shown | None:
        """Return what is known to be shown by any process, notes in Done included."""
        known = self._shown.get(id) or self._unsaved.get(id)
        return known or (await self._vault.shown([id])).get(id)

    def known_ids(self) -> Iterable[str]:
        """Return the ids of every request that was shown."""
        return self._shown.keys()

    def remember(self, shown: Shown) -> None:
        """Keep what was seen or written; saved with the next flush."""
        self._unsaved[shown.id] = shown
        if self._vault.folder_of(shown.path) is Folder.DONE:
            self._shown.pop(shown.id, None)  # what lies in Done is looked up when it is needed
        else:
            self._shown[shown.id] = shown

    def seen(self, id: str, path: str, signature: Signature | None) -> None:
        """Remember that the file in this state needs no further look."""
        known = self._shown.get(id)
        if known is None:
            known = Shown(id=id, path=path, rev=0, signature=None, pristine=False)
        same = known.pristine and known.signature == signature
        self.remember(replace(known, path=path, signature=signature, pristine=same))

    def unseen(self, id: str) -> None:
        """Remember that the file is to be looked at again, changed or not."""
        known = self._shown.get(id)
        if known is not None and known.signature is not None:
            self.remember(replace(known, signature=None, pristine=False))

    def _track(self, request: Request) -> None:
        if request.status is Status.PENDING:
            self.waiting.add(request.id)
            return
        self.waiting.discard(request.id)
        if request.status.is_terminal:
            self._finished[request.id] = request.updated_at

    async def _save(self, *, seq: int | None = None) -> None:
        unsaved, self._unsaved = self._unsaved, {}
        try:
            known = await self._ledger.head()  # nothing shown states more than that
            await self._vault.note_shown(list(unsaved.values()), seq=seq, known=known)
        except BaseException:  # a cancellation too: what is not saved is saved next time
            self._unsaved = unsaved | self._unsaved
            raise
