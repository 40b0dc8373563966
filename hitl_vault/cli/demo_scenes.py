"""Owns the scenes of `hitl demo`. Never says that something happened which it has not looked at."""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hitl_vault.cli.printing import Cell, Column, print_lines, print_table, safe, status_cell
from hitl_vault.cli.progress import waiting
from hitl_vault.core.chain import Break
from hitl_vault.core.model import Request
from hitl_vault.document.sentences import decision_line
from hitl_vault.errors import Expired, Rejected
from hitl_vault.wiring import Orchestrator

_PATIENCE = "15m"


class Scenes:
    """One run of the story. `auto` lets a second process be the person."""

    def __init__(self, hitl: Orchestrator, root: Path, *, auto: bool) -> None:
        self._hitl, self._root, self._auto = hitl, root, auto
        self._log = root / "payments.log"
        self._run = f"{datetime.now(UTC):%H%M%S}"
        self._told: list[tuple[str, str, str]] = []
        self._surprises: list[str] = []

    def opening(self, made: int) -> None:
        """Say where everything is."""
        _say("hitl demo", "bold")
        _say(f"A vault in {safe(self._root)} ({made} files and folders made).")
        if not self._auto:
            _say("Open it in Obsidian or any editor; this terminal waits for your answers.")

    async def payment(self) -> None:
        """A payment that needs a person, made once."""
        _scene(1, "An agent wants to pay 1500 USD")

        @self._hitl.guard(
            "payment",
            "Pay {amount} {currency} to {to} for invoice {invoice}",
            key="{invoice}",
            requested_by="invoice-agent",
            timeout=_PATIENCE,
        )
        async def pay(*, amount: int, currency: str, to: str, invoice: str) -> str:
            return self._pay(f"{amount} {currency}", to, f" for {invoice}")

        wanted: dict[str, Any] = {
            "amount": 1500,
            "currency": "USD",
            "to": "vendor@example.com",
            "invoice": f"INV-2026-{self._run}",
        }
        verdict = self._hitl.evaluate("payment", wanted, requested_by="invoice-agent")
        _say(f"The policy says {verdict.effect}: {safe(verdict.reason)} (risk {verdict.risk})")
        paying = asyncio.ensure_future(pay(**wanted))
        request = await self._asked("payment")
        note = await self._show_note(request)
        started = time.monotonic()
        await self._person(request, note, "tick", 'ticks "Approve" and saves the note in place')
        try:
            await paying
        except Rejected as rejected:
            self._surprise(f"you rejected it: {rejected}")
            self._told.append(("pay 1500", "rejected", "nothing was paid"))
            return
        _good(f"the agent went on {time.monotonic() - started:.1f} s after the answer, and paid:")
        _quote(self._log.read_text().splitlines()[-1:])
        await pay(**wanted)
        paid = self._log.read_text().count(wanted["invoice"])
        self._check(
            paid == 1,
            f"the agent starts again with this invoice and gets the result; payments made: {paid}",
        )
        _say("The note now says how it ended, and who did what:")
        _quote(_part(await self._note_text(request.id), "## Result"))
        done = await self._hitl.get(request.id)
        self._told.append(("pay 1500", done.status, decision_line(done)))

    async def rejection(self) -> None:
        """A deletion that is refused."""
        _scene(2, "Another agent wants to delete 214 customers")
        request = await self._hitl.request_approval(
            "delete_records",
            "They look inactive to me.",
            {"table": "customers", "count": 214},
            requested_by="cleanup-agent",
            timeout=_PATIENCE,
        )
        note = await self._hitl.document_path(request.id) or ""
        _say(f"The note: {safe(note)}")
        await self._person(
            request, note, "refuse", "sets `status: rejected`, and saves by a rename"
        )
        try:
            async with waiting(request):
                approved = await self._hitl.wait_for_approval(request.id)
        except Rejected as rejected:
            _good(f"the agent gets a typed error, and deletes nothing: Rejected: {safe(rejected)}")
        else:
            self._surprise(f"you approved it: {decision_line(approved)}; the demo deletes nothing")
        done = await self._hitl.get(request.id)
        self._told.append(("delete 214 customers", done.status, decision_line(done)))

    async def expiry(self) -> None:
        """A question nobody answers."""
        _scene(3, "A deployment that nobody answers, with 2 seconds to do it")
        request = await self._hitl.request_approval(
            "deploy", "Ship it.", {"service": "web", "version": "2.4.1"}, timeout=2
        )
        try:
            async with waiting(request):
                await self._hitl.wait_for_approval(request.id)
        except Expired as expired:
            _good(f"no answer is a no: Expired: {safe(expired)}")
        else:
            self._surprise("somebody was quicker")
        done = await self._hitl.get(request.id)
        self._told.append(("deploy", done.status, decision_line(done)))

    async def allowed(self) -> None:
        """A payment small enough to need nobody."""
        _scene(4, "The first agent wants to pay 50 USD")

        @self._hitl.guard("payment", "Pay {amount} to {to}", requested_by="invoice-agent")
        async def pay(*, amount: int, to: str) -> str:
            return self._pay(f"{amount} USD", to)

        before = len(await self._hitl.list_requests())
        await pay(amount=50, to="cafe@example.com")
        verdict = self._hitl.evaluate("payment", {"amount": 50})
        asked = len(await self._hitl.list_requests()) - before
        self._check(
            asked == 0,
            f"the policy says {verdict.effect} ({verdict.reason}): paid, nobody was asked",
        )
        self._told.append(("pay 50", "allowed", verdict.reason))

    async def proof(self) -> bool:
        """Prove the record, and say what came of it all; True if nothing surprised."""
        _scene(5, "The record")
        found = await self._hitl.verify()
        if isinstance(found, Break):
            self._check(False, f"the chain is broken at event {found.seq}: {found.problem}")
        else:
            _good(f"the chain holds: {found.seq} events, head {found.hash[:16]}…")
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        _say(f"payments.log holds {len(lines)} lines:")
        _quote(lines)
        print()
        print_table(
            [Column(name="asked"), Column(name="ended"), Column(name="why", wide=True)],
            [[Cell(what), status_cell(status), Cell(why)] for what, status, why in self._told],
        )
        if not self._auto:
            _say(f"See more with: hitl list --all --vault {safe(self._root)}")
        return not (self._auto and self._surprises)

    def _pay(self, amount: str, to: str, why: str = "") -> str:
        """Pay, as far as a demonstration can: one line more in payments.log."""
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} paid {amount} to {to}{why}\n")
        return f"paid {amount} to {to}"

    async def _asked(self, type: str) -> Request:
        async for _ in self._hitl.subscribe():
            found = await self._hitl.list_requests(status="pending", type=type)
            if found:
                return found[0]
        raise AssertionError("the feed of events has no end")

    async def _show_note(self, request: Request) -> str:
        note = await self._hitl.document_path(request.id) or ""
        _say(f"The agent waits. The note: {safe(note)}")
        _quote((await asyncio.to_thread(Path(note).read_text, encoding="utf-8")).splitlines())
        return note

    async def _person(self, request: Request, note: str, gesture: str, does: str) -> None:
        if not self._auto:
            _say("Now you: answer in the note, or in another terminal with:")
            _say(f"  hitl review --vault {shlex.quote(str(self._root))}")
            async with waiting(request):
                await self._hitl.wait_for_decision(request.id)
            return
        program = (sys.executable, "-m", "hitl_vault.cli.demo_person", note, gesture)
        person = await asyncio.create_subprocess_exec(*program)
        _say(f"A person (process {person.pid}) {does}.")
        if await person.wait():
            self._surprise("the person's process failed")

    async def _note_text(self, id: str) -> str:
        """Return the note once it shows the end, which is written right after it is recorded."""
        async with asyncio.timeout(10):
            while True:
                note = Path(await self._hitl.document_path(id) or "")
                text = await asyncio.to_thread(note.read_text, encoding="utf-8")
                if "reported success" in text:
                    return text
                await asyncio.sleep(0.05)

    def _check(self, holds: bool, text: str) -> None:
        if holds:
            _good(text)
        else:
            self._surprise(text)

    def _surprise(self, text: str) -> None:
        self._surprises.append(text)
        print_lines([Cell(f"  ✗ {safe(text)}", "red")])


def _scene(number: int, title: str) -> None:
    print_lines([Cell(f"\n{number}. {title}", "bold cyan")])


def _say(text: str, style: str = "") -> None:
    print_lines([Cell(f"  {text}", style)])
    sys.stdout.flush()


def _good(text: str) -> None:
    _say(f"✓ {text}", "green")


def _quote(lines: list[str]) -> None:
    print_lines([Cell(f"  │ {safe_line(line)}", "dim") for line in lines])


def safe_line(line: str) -> str:
    """Return a line of a note as it stands, spaces in front included."""
    return " " * (len(line) - len(line.lstrip(" "))) + safe(line)


def _part(note: str, heading: str) -> list[str]:
    """Return the lines of a note from a heading on, without the end marker."""
    lines = note.splitlines()
    start = lines.index(heading) if heading in lines else 0
    return [line for line in lines[start:] if not line.startswith("%%")]
