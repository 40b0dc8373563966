"""Owns a whole engine in memory for the tests. Never used by the package."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from hitl_vault.adapters.ledger.memory import MemoryLedger
from hitl_vault.adapters.outbox.memory import MemoryOutbox
from hitl_vault.adapters.vault.templates import load_templates, shipped
from hitl_vault.core.chain import Head
from hitl_vault.core.commands import Command
from hitl_vault.core.duties import Way
from hitl_vault.core.events import Kind, Recorded
from hitl_vault.core.model import Request
from hitl_vault.core.people import People, Reviewer
from hitl_vault.core.voting import person
from hitl_vault.document.message import MessageRenderer
from hitl_vault.document.render import TEMPLATE, Renderer
from hitl_vault.engine.orchestrator import Orchestrator
from hitl_vault.engine.parts import Options, Parts, Telling
from hitl_vault.errors import ConfigError, Indeterminate, PolicyError, StorageError
from hitl_vault.ports import Hints, Lease, Receipt
from hitl_vault.ports_telling import Channel, Message
from hitl_vault.testing.clock import FakeClock
from hitl_vault.testing.memory_vault import MemoryVault

ASK = "default: ask\nrules:\n"
EDITABLE = """\
default: ask
rules:
  - id: any
    effect: ask
    answers: [approve, reject, edit]
"""


class MemoryPolicy:
    """A policy's text, and the copy of the last good one. `text` None cannot be read."""

    name = "Policy.yaml"

    def __init__(self, text: str | None, kept: str | None = None) -> None:
        self.text = text
        self.settled = True
        self.kept = None if kept is None else kept.encode()

    def load(self) -> bytes:
        if self.text is None:
            raise PolicyError("cannot be read: gone", file=self.name)
        return self.text.encode()

    def is_settled(self, seconds: float) -> bool:
        return self.settled

    def load_last_good(self) -> bytes | None:
        return self.kept

    def keep(self, text: bytes) -> None:
        self.kept = text


class MemoryLeases:
    """Leases shared by the processes of an office. `fails` is raised instead of storing one."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.kept: dict[str, Lease] = {}
        self.fails: Exception | None = None
        self._numbers = itertools.count(1)

    def names(self, holder: str) -> bool:
        return holder.startswith("lease-")

    async def begin(self, id: str, seconds: float, holder: str = "") -> Lease:
        if self.fails is not None:
            raise self.fails
        name = holder or f"lease-{next(self._numbers)}"
        ends_at = self._clock.now() + timedelta(seconds=seconds)
        self.kept[name] = Lease(holder=name, id=id, seconds=seconds, ends_at=ends_at)
        return self.kept[name]

    def find(self, holder: str) -> Lease | None:
        return self.kept.get(holder)

    def is_alive(self, holder: str) -> bool:
        return holder in self.kept and self._clock.now() < self.kept[holder].ends_at

    def ended(self) -> list[Lease]:
        return [lease for lease in self.kept.values() if not self.is_alive(lease.holder)]

    def drop(self, holder: str) -> None:
        self.kept.pop(holder, None)


class MemoryPresence:
    """Who lives: every process but those in `dead`, and every lease in its time."""

    def __init__(self, name: str, dead: set[str], leases: MemoryLeases) -> None:
        self.name, self._dead, self.leases = name, dead, leases

    def hold(self) -> str:
        return self.name

    def is_alive(self, name: str) -> bool:
        if self.leases.names(name):
            return self.leases.is_alive(name)
        return name not in self._dead

    def close(self) -> None:
        pass


class MemoryWatcher:
    """Hints only what a test hands to `on_hints`."""

    on_hints: Callable[[Hints], None] | None = None

    def start(self, on_hints: Callable[[Hints], None]) -> None:
        assert self.on_hints is None
        self.on_hints = on_hints

    def health(self) -> str:
        return "as the test says"

    async def aclose(self) -> None:
        self.on_hints = None


class Taker:
    """A notifier that keeps what it is sent. `fails` is raised instead; `hangs` never ends."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.taken: list[tuple[Message, tuple[str, ...]]] = []
        self.tries = 0
        self.fails: Exception | None = None
        self.hangs = False

    async def send(
        self, message: Message, to: Sequence[str] = (), *, but: Collection[str] = ()
    ) -> None:
        self.tries += 1
        self.but = frozenset(but)
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails
        self.taken.append((message, tuple(to)))

    @property
    def subjects(self) -> list[str]:
        return [message.subject for message, _ in self.taken]


class MemoryChannels:
    """The ways a test sets up; `broken` says why they cannot be read."""

    def __init__(self) -> None:
        self.ways: dict[str, Channel] = {}
        self.broken = ""

    def load(self) -> Mapping[str, Channel]:
        if self.broken:
            raise ConfigError(self.broken)
        return self.ways

    def add(self, way: Way) -> Taker:
        taker = Taker(way.name)
        self.ways[way.name] = Channel(way=way, notifier=taker)
        return taker


class FailingLedger(MemoryLedger):
    """A memory ledger that can lose commits (`failing`) or acknowledgements (`unsure`)."""

    failing = 0
    unsure = 0

    async def submit(self, command: Command) -> Receipt:
        if self.failing:
            self.failing -= 1
            raise StorageError("the disk is full; nothing was stored")
        receipt = await super().submit(command)
        if self.unsure:
            self.unsure -= 1
            raise Indeterminate("the commit failed; it may or may not be stored")
        return receipt


class Process(Orchestrator):
    """One process at the office; `dead` after `die`."""

    def __init__(self, office: Office, parts: Parts) -> None:
        super().__init__(lambda: parts)
        self.office = office

    @property
    def desk(self):
        return self._desk

    @property
    def display(self):
        return self._display

    @property
    def timers(self):
        return self._timers

    async def look(self, *paths: str) -> None:
        """Have the desk look at these paths now, and once more when they have settled."""
        self.desk.hint(Hints(paths=frozenset(paths)))
        await self.desk.tick()
        self.office.clock.advance(self.office.options.settle_s)
        await self.desk.tick()
        await self.shows()

    async def shows(self) -> None:
        """Let the moment pass after which the desk brings notes up to date."""
        self.office.clock.advance(0.06)
        await self.desk.tick()

    async def rounds(self, seconds: float) -> None:
        """Let time pass in steps of a rescan, without any hint."""
        for _ in range(int(seconds / self.office.options.rescan_s) + 1):
            self.office.clock.advance(self.office.options.rescan_s)
            await self.desk.tick()

    def die(self) -> None:
        """End without saving or showing anything more."""
        self.office.dead.add(self._parts.presence.hold())
        self._open = None


class Office:
    """One vault in memory, used by any number of processes."""

    def __init__(
        self,
        policy: str | None = ASK,
        *,
        kept: str | None = None,
        roles: Mapping[str, frozenset[str]] | None = None,
        template: str | None = None,
        **options: Any,
    ) -> None:
        self.clock = FakeClock()
        self.ledger = FailingLedger(self.clock)
        self.vault = MemoryVault()
        self.policy = MemoryPolicy(policy, kept)
        self.policy_path = self.policy.name
        self.options = Options(**options)
        self.dead: set[str] = set()
        self.leases = MemoryLeases(self.clock)
        self.code_key: Any = None
        self.people = People(
            reviewers={
                person(name): Reviewer(name=name, roles=held)
                for name, held in (roles or {}).items()
            }
        )
        self.people_problem = ""
        source = template or (shipped("templates") / TEMPLATE).read_text(encoding="utf-8")
        self._renderer = Renderer({TEMPLATE: source})
        self._numbers = itertools.count(1)
        self.policy_lock: Any = None
        self.outbox, self.channels = MemoryOutbox(), MemoryChannels()
        self.messages = MessageRenderer(load_templates(shipped("templates")))

    async def open(self, *, watching: bool = False) -> Process:
        """Start a process; unless `watching`, it reads notes only when a test says so."""
        name = f"process{next(self._numbers)}"
        process = Process(self, self._parts(name, watching=watching))
        await process.open()
        return process

    def _parts(self, name: str, *, watching: bool) -> Parts:
        return Parts(
            ledger=self.ledger,
            vault=self.vault,
            watcher=MemoryWatcher(),
            watching=watching,
            policy=self.policy,
            policy_path=self.policy_path,
            presence=MemoryPresence(name, self.dead, self.leases),
            clock=self.clock,
            renderer=self._renderer,
            token=lambda: f"{next(self._numbers):010x}",
            executor=name,
            options=self.options,
            people=self.load_people,
            policy_lock=self.policy_lock,
            telling=Telling(
                outbox=self.outbox,
                channels=self.channels,
                messages=self.messages,
            ),
            code_key=self.code_key,
            vault_id="vault",
        )

    def load_people(self) -> People:
        """Return who is on record, unless `people_problem` says why that cannot be read."""
        if self.people_problem:
            raise ConfigError(self.people_problem)
        return self.people

    def path(self, request: Request, folder: str = "Pending_Approval") -> str:
        """Return where the note of a request lies in a folder."""
        return f"{folder}/approval_{request.id}.md"

    def note(self, request: Request, folder: str = "Pending_Approval") -> str:
        """Return the text of a note."""
        return self.vault.text(self.path(request, folder))

    def edit(self, request: Request, *changes: tuple[str, str]) -> str:
        """Change a note as a person: pairs of what stands there once and what replaces it."""
        text = self.note(request)
        for old, new in changes:
            assert text.count(old) == 1, (old, text)
            text = text.replace(old, new)
        self.vault.write(self.path(request), text)
        return self.path(request)

    async def kinds(self, request: Request) -> list[Kind]:
        """Return what happened to a request."""
        return [recorded.event.kind for recorded in await self.history(request)]

    async def history(self, request: Request) -> list[Recorded]:
        return await self.ledger.history(request.id)

    async def verify(self) -> None:
        """Prove the chain."""
        assert isinstance(await self.ledger.verify(), Head)


def box(answer: str, by: str = "[ ]", to: str = "[x]") -> tuple[str, str]:
    """Tick the box of an answer."""
    title = {
        "approve": "Approve ^approve",
        "reject": "Reject ^reject",
        "edit": "Approve with the changes below ^edit",
    }[answer]
    return f"- {by} {title}", f"- {to} {title}"


def status(word: str) -> tuple[str, str]:
    """Type a status."""
    return "\nstatus: pending\n", f"\nstatus: {word}\n"


def reviewer(name: str, before: str = '""') -> tuple[str, str]:
    """Type a name."""
    return f"\nreviewer: {before}\n", f"\nreviewer: {name}\n"


def reason(text: str) -> tuple[str, str]:
    """Type a reason."""
    return '\nreason: ""\n', f"\nreason: {text}\n"


def sentence(text: str) -> str:
    """Return the feedback sentence in a note, "" if there is none."""
    found = re.findall(r"^> \[!warning\] (.*) %% hitl:feedback %%$", text, re.MULTILINE)
    assert len(found) <= 1, text
    return found[0] if found else ""
