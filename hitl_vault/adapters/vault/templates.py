"""Owns where templates and the starter vault come from: the package, or the vault's own folder.

Never lets a template of the vault's own keep a note from being written.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from hitl_vault.core.events import Recorded
from hitl_vault.core.model import Request
from hitl_vault.document.message import MessageRenderer, News
from hitl_vault.document.render import Renderer
from hitl_vault.document.voters import NOBODY, Voters
from hitl_vault.errors import DocumentError

_log = logging.getLogger(__name__)
_PACKAGE = Path(__file__).resolve().parents[2]


def shipped(name: str) -> Path:
    """Return a folder that ships with the package: `templates` or `vault`.

    In a wheel it lies inside the package; in a checkout, beside it.
    """
    inside = _PACKAGE / f"_{name}"
    return inside if inside.is_dir() else _PACKAGE.parent / name


def load_templates(folder: Path) -> dict[str, str]:
    """Return every template in a folder by name, none if there is no folder.

    Raises:
        DocumentError: The folder or a file cannot be read, or is not UTF-8; `path` names it.
    """
    found: dict[str, str] = {}
    at = folder
    try:
        for at in sorted(file for file in folder.iterdir() if file.suffix == ".j2"):
            found[at.name] = at.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if at != folder:
            raise DocumentError("the template cannot be read: a dead link", path=str(at)) from error
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise DocumentError(f"the template cannot be read: {why}", path=str(at)) from error
    return found


class VaultRenderer(Renderer):
    """Makes notes by the vault's own templates where they can be used, else by the shipped ones.

    `problem` is what is wrong with the vault's own; each is logged once, as an error.
    """

    def __init__(self, folder: Path) -> None:
        built_in = load_templates(shipped("templates"))
        super().__init__(built_in)
        self._folder = folder
        self._own: Renderer | None = None
        self.problem: DocumentError | None = None
        try:
            own = load_templates(folder)
            self._own = Renderer(built_in | own) if own else None
        except DocumentError as error:
            self._complain(error)

    def render(
        self, request: Request, history: Sequence[Recorded] = (), voters: Voters = NOBODY
    ) -> str:
        """Return the whole note, as `Renderer` does; never fails for a template."""
        if self._own is not None:
            try:
                return self._own.render(request, history, voters)
            except DocumentError as error:
                self._complain(error)
        return super().render(request, history, voters)

    def _complain(self, error: DocumentError) -> None:
        file = self._folder / error.path
        problem = DocumentError(error.problem, path=str(file), line=error.line)
        if str(problem) != str(self.problem):
            _log.error("notes are written by the built-in template: %s", problem)
        self.problem = problem


class VaultMessages(MessageRenderer):
    """Makes messages by the vault's own templates where they can be used, else by the shipped."""

    def __init__(self, folder: Path) -> None:
        built_in = load_templates(shipped("templates"))
        super().__init__(built_in)
        self._folder, self._said = folder, ""
        self._own: MessageRenderer | None = None
        try:
            own = load_templates(folder)
            self._own = MessageRenderer(built_in | own) if own else None
        except DocumentError as error:
            self._complain(error)

    def render(self, news: Sequence[News], now: datetime) -> tuple[str, str]:
        """Return subject and body, as `MessageRenderer` does; never fails for a template."""
        if self._own is not None:
            try:
                return self._own.render(news, now)
            except DocumentError as error:
                self._complain(error)
        return super().render(news, now)

    def _complain(self, error: DocumentError) -> None:
        if self._said != str(error):
            self._said = str(error)
            _log.error("messages are written by the built-in template: %s", error)
