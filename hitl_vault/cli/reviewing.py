"""Owns `hitl review`: shows what waits, one request after the other, and takes a key for each.

Never answers by accident: only `a`, `e` and `r` answer, anything else leaves the request waiting.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hitl_vault.cli.options import VaultOption, complete_ids
from hitl_vault.errors import HitlVaultError, InvalidRequest

if TYPE_CHECKING:
    from hitl_vault.core.model import Details, Request
    from hitl_vault.wiring import Orchestrator


def review(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Only these.", autocompletion=complete_ids),
    ] = None,
    vault: VaultOption = None,
) -> None:
    """Go through what waits, oldest first, with one key each."""
    import asyncio

    from hitl_vault.cli.opening import desk, full_ids
    from hitl_vault.errors import ConfigError

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("review needs a terminal; use hitl list, hitl show and hitl approve")
    wanted = full_ids(vault, ids or [])

    async def walk() -> None:
        async with desk(vault) as hitl:
            if not wanted:
                waiting = await hitl.list_requests(status="pending")
                wanted.extend(request.id for request in reversed(waiting))
            await _Review(hitl, wanted).run()

    # the event loop's own way with Ctrl-C does not reach a question that waits for a key
    signal.signal(signal.SIGINT, _interrupt)
    asyncio.run(walk())


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


class _Review:
    """One walk through requests."""

    def __init__(self, hitl: Orchestrator, ids: list[str]) -> None:
        from hitl_vault.cli.answering import answering_as

        self._hitl, self._ids = hitl, ids
        self._who = answering_as(None)
        self._answered = 0

    async def run(self) -> None:
        shown = 0
        for number, id in enumerate(self._ids, 1):
            request = await self._hitl.get(id)
            if await self._hitl.check_status(id) != "pending":
                continue
            shown += 1
            if not await self._one(request, f"{number} of {len(self._ids)}"):
                break
        if not shown:
            print("nothing waits for an answer")
        else:
            print(f"\n{self._answered} answered.")

    async def _one(self, request: Request, place: str) -> bool:
        """Show a request and act on keys; False to stop."""
        _show(request, place)
        question = _question(request)
        while True:
            key = _ask_key(question)
            try:
                match key:
                    case "a":
                        await self._answer(request, "approve")
                    case "r":
                        await self._answer(request, "reject")
                    case "e":
                        if not await self._edit(request):
                            continue
                    case "c":
                        await self._comment(request)
                        continue
                    case "q":
                        return False
                    case "s" | "\r" | "\n" | " ":
                        print("skipped: it still waits")
                    case _:
                        continue
            except HitlVaultError as error:
                from hitl_vault.cli.exits import report

                report(error, as_json=False)
                continue
            return True

    async def _answer(self, request: Request, word: str, edited: Details | None = None) -> None:
        from hitl_vault.cli.telling import decision_line
        from hitl_vault.core.model import Answer

        answer = Answer.EDIT if edited is not None else Answer(word)
        required = answer in request.requirement.require_reason
        reason = _ask_line("reason" if required else "reason (may be empty)")
        said = {"reason": reason, "payload_sha256": request.payload_in_force, **self._who}
        now = await self._hitl.vote(request.id, answer, details=edited, **said)
        self._answered += 1
        print(f"{now.id} {decision_line(now)}")

    async def _edit(self, request: Request) -> bool:
        from hitl_vault.cli.printing import safe
        from hitl_vault.cli.records import as_json
        from hitl_vault.core.canonical import changes_between, parse_json_object

        text = _in_editor(as_json(request.details) + "\n")
        details = parse_json_object(text)
        changes = changes_between(request.details, details)
        if not changes:
            print("nothing was changed")
            return False
        for change in changes:
            print(f"  {safe(change.path)}  {safe(change.before)} → {safe(change.after)}")
        if _ask_key("approve it with these changes? [y/N]") != "y":
            print("not approved")
            return False
        await self._answer(request, "edit", details)
        return True

    async def _comment(self, request: Request) -> None:
        text = _ask_line("remark")
        if text:
            await self._hitl.comment(request.id, text, author=self._who["reviewer"])
            print("noted; it decides nothing")


def _show(request: Request, place: str) -> None:
    from hitl_vault.cli.printing import Cell, console, heading, print_fields, print_lines, safe
    from hitl_vault.cli.reading import asked_fields
    from hitl_vault.cli.records import as_json
    from hitl_vault.cli.telling import count_so_far, headline, vote_line

    print()
    console().rule(f"{place} · {request.id}", style="dim")
    print_lines([Cell(headline(request), "bold")])
    print()
    fields = asked_fields(request, datetime.now(UTC))
    fields += [("vote", Cell(vote_line(vote))) for vote in request.votes]
    fields += [("remark", Cell(f"{safe(c.author)}: {safe(c.text)}")) for c in request.comments]
    print_fields([*fields, ("so far", Cell(count_so_far(request)))])
    heading("What will run")
    print_lines([Cell(as_json(request.details), "cyan")])
    if request.action.description:
        heading("The agent says")
        print_lines([Cell(f"> {safe(line)}") for line in request.action.description.splitlines()])
    print()


def _question(request: Request) -> str:
    from hitl_vault.core.model import Answer

    allowed = request.requirement.answers
    keys = {
        "[a]pprove": Answer.APPROVE in allowed,
        "[r]eject": Answer.REJECT in allowed,
        "[e]dit": Answer.EDIT in allowed,
    }
    words = [word for word, offered in keys.items() if offered]
    return " ".join([*words, "[c]omment", "[s]kip", "[q]uit"])


def _ask_key(question: str) -> str:
    """Return the next key, in small letters; no Enter is needed."""
    from hitl_vault.cli.printing import Cell, print_lines

    with _each_key():
        print_lines([Cell(question, "bold")])
        sys.stdout.flush()
        read = os.read(sys.stdin.fileno(), 32).decode(errors="replace")
    if read in {"\x03", ""}:
        raise KeyboardInterrupt
    return "q" if read == "\x04" else read.lower() if len(read) == 1 else "?"


@contextlib.contextmanager
def _each_key() -> Iterator[None]:
    import termios
    import tty

    stdin = sys.stdin.fileno()
    before = termios.tcgetattr(stdin)
    try:
        # what was typed before the question was asked is no answer to it: it is thrown away
        tty.setcbreak(stdin, termios.TCSAFLUSH)
        yield
    finally:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)


def _ask_line(question: str) -> str:
    try:
        return input(f"{question}: ").strip()
    except EOFError:
        print()
        return ""


def _in_editor(text: str) -> str:
    """Return the text as the person's editor left it."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="hitl-") as folder:
        file = Path(folder) / "details.json"
        file.write_text(text, encoding="utf-8")
        try:
            subprocess.run([*shlex.split(editor), str(file)], check=True)  # noqa: S603
            return file.read_text(encoding="utf-8")
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise InvalidRequest(f"the editor {editor!r} failed: {error}") from error
