"""Owns the contracts between the engine and the world. Never implements one.

Every port says what its adapter must guarantee; one contract suite in tests/contract runs over all
adapters of a port.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from hitl_vault.core.chain import Break, Head
from hitl_vault.core.commands import Command, RegisterCommand
from hitl_vault.core.events import Recorded
from hitl_vault.core.model import Request, Status
from hitl_vault.core.register import Register
from hitl_vault.core.trends import Trends
from hitl_vault.ports_watching import Tallying

if TYPE_CHECKING:  # listing requests must not load the readers of notes
    from hitl_vault.document.ballot import Folder


class Clock(Protocol):
    """Time, injected so that tests decide what time it is."""

    def now(self) -> datetime:
        """Return the wall clock as aware UTC datetime. May jump."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after this many monotonic seconds."""
        ...


class Kept(StrEnum):
    """What the ledger did with a command."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"  # it was so already
    CONFLICT = "conflict"
    STALE = "stale"
    REFUSED = "refused"
    UNPROVED = "unproved"  # what should prove it did not, at the commit; that is on record
    NOT_FOUND = "not_found"
    TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The ledger's answer to a command: what it did, and the request (or register) as it stands."""

    kept: Kept
    request: Request | None = None
    register: Register | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a request stands in the order of all: by the time it was asked, then by its id."""

    created_at: datetime
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which requests to find; None means any. Newest first, unless `oldest_first`.

    Asked at or after `since` and before `until`. `text` stands in what was said: the id, the type,
    the description, the details, who asked, why it was answered so; A to Z in either case. `after`
    leaves out everything up to and including that place in the order: who goes on from the last
    request of a page gets every other one once, whatever is asked meanwhile.
    """

    statuses: frozenset[Status] | None = None
    type: str | None = None
    requested_by: str | None = None
    run_id: str | None = None
    id_prefix: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None
    after: Place | None = None
    due_before: datetime | None = None
    limit: int | None = None
    oldest_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How the desk stands. `oldest_pending_s` is None where nothing waits.

    `approved`, `rejected` and `expired` (nobody answered in time) are of what was asked within the
    time that was counted over; what was withdrawn before it was answered is none of them.
    """

    pending: int = 0
    oldest_pending_s: float | None = None
    approved: int = 0
    rejected: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What the adapter's technology offers: `durability` in words, `feed` ordered or not."""

    durability: str
    ordered_feed: bool
    processes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A request as one process last heard of it, and every event up to there."""

    request: Request
    history: tuple[Recorded, ...]


class Ledger(Tallying, Protocol):
    """The truth: requests and the chained events that made them.

    Guarantees of every adapter:
        Atomic: a command's new state, its events and the chain are stored together or not at all.
        Durable: an accepted command survives a kill at any later instruction.
        Once: at most one terminal status a request, ever; `Claim` succeeds at most once.
        Idempotent: repeating a command with the same ids returns DUPLICATE and changes nothing.
        Judged at commit: deadlines, and until when a proof or a grant counts, are compared with the
            adapter's clock inside the commit; a grant with the register as it stands there.
        Ordering: events of one request are in growing `rev`; hashes chain all events of the vault.
    """

    async def submit(self, command: Command) -> Receipt:
        """Judge the command with `lifecycle.apply` and store what follows.

        Raises:
            StorageError: Not stored; nothing changed.
            Indeterminate: It may be stored; submitting it again is safe.
        """
        ...

    async def record(self, command: RegisterCommand) -> Receipt:
        """Judge a command on the register with `registering.record`, as `submit` does on a request.

        Raises what `submit` raises.
        """
        ...

    async def register(self) -> Register:
        """Return the register as last committed (a strong read), an empty one if there is none."""
        ...

    async def get(self, id: str) -> Request | None:
        """Return the request as last committed (a strong read), None if there is none."""
        ...

    async def get_by_key(self, key: str) -> Request | None:
        """Return the request that was asked with this key."""
        ...

    def heard(self, id: str) -> Heard | None:
        """Return a request as this process last heard of it, at once; None if it has not, lately.

        It may be old, but was true. For what the next strong read or command corrects anyway.
        """
        ...

    async def find(self, filter: Filter) -> list[Request]:
        """Return the requests that match."""
        ...

    async def count(self, since: datetime) -> Counts:
        """Count what waits, and how what was asked since then was decided.

        Fast whatever the number of requests: it loads none but those whose deadline has passed.
        """
        ...

    async def trends(self, since: datetime, moments: int) -> Trends:
        """Return how the desk went since then, told at so many moments (2 or more).

        Reads every request, as `figures` does.
        """
        ...

    async def figures(self, since: datetime | None) -> dict[str, Any]:
        """Return the figures (`core.figures`) over what was asked since then, None for ever.

        Reads every such request: a second for 100,000.
        """
        ...

    async def wait(self, id: str, *, after_rev: int, timeout_s: float | None) -> Request:
        """Return the request once its `rev` exceeds `after_rev`, or as it is at the timeout.

        Loses nothing: what was committed before the call counts, by whichever process. Many may
        wait; cancelling one changes nothing for the others.

        Raises:
            RequestNotFound: There is no such request.
        """
        ...

    def changes(self, after_seq: int, *, follow: bool) -> AsyncGenerator[Recorded, None]:
        """Yield events with `seq` greater than `after_seq`, in order; live for ever with `follow`.

        At least once across restarts: store the `seq` after acting on it and start again from it.
        """
        ...

    async def history(self, id: str) -> list[Recorded]:
        """Return the events of one request in order."""
        ...

    async def verify(self) -> Head | Break:
        """Walk the whole chain and compare every request with the digest its newest event holds.

        Raises:
            LedgerCorrupt: Both hold, and what they are searched by is damaged.
        """
        ...

    async def head(self) -> Head:
        """Return the end of the chain."""
        ...

    async def check_storing(self) -> None:
        """Return if something can be stored now, as far as the last store and seldom tries tell.

        Cheap enough to be asked every second, and records nothing.

        Raises:
            StorageError: Nothing can be stored; the message says why.
        """
        ...

    def hint(self) -> None:
        """Another process may have committed: look soon, and wake who waits for it."""
        ...

    def capabilities(self) -> Capabilities:
        """Say what this adapter's technology guarantees."""
        ...

    async def aclose(self) -> None:
        """Release everything. Who waits or follows in this process gets NotOpen."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What identifies one state of a file. Times only tell apart, they never order."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A note in one of the vault's folders. `path` is relative to the vault, with `/`.

    `odd` says what has a note's name and is no file: "a link", "a folder"; "" for a note.
    """

    path: str
    signature: Signature
    odd: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A note's bytes and the signature they were read under."""

    data: bytes
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What this vault last showed of a request: where, which `rev`, and the file we saw then.

    `pristine` is true while the file is byte for byte what we wrote.
    """

    id: str
    path: str
    rev: int
    signature: Signature | None
    pristine: bool


class VaultFolder(Protocol):
    """The folder of notes.

    Paths are relative to the vault, with `/`. Guarantees of every adapter:
        Create is exclusive: an existing file is never replaced.
        Replace is atomic for readers, and does nothing if the bytes are not the expected ones.
        Nothing outside the folders of documents is touched. Paths stay inside the vault.
        Documents are not fsynced: the ledger is the promise, a note can be written again.
    """

    def path_for(self, id: str) -> str:
        """Return where a new note of this request goes."""
        ...

    def done_path(self, id: str, at: datetime) -> str:
        """Return where a finished note goes: `Done/YYYY-MM/`."""
        ...

    def request_id(self, path: str) -> str | None:
        """Return the id a note's name says, None if the name is not exactly a document's."""
        ...

    def folder_of(self, path: str) -> Folder:
        """Return which folder a path lies in, sub-folders included."""
        ...

    async def find(self, id: str) -> str | None:
        """Return where this request's note lies, the Done folder included; None if nowhere."""
        ...

    async def scan(self) -> list[Found]:
        """Return every Markdown note in the folders that wait for answers, ignored names left out.

        What has exactly a document's name and is no file is returned too, as `odd`.
        The Done folder is not scanned: nothing in it is a ballot.
        """
        ...

    async def astray(self, ids: Collection[str]) -> dict[str, str]:
        """Return, by path, whose notes of these lie in Done (one folder deep) or at the top."""
        ...

    async def load(self, path: str) -> Loaded | None:
        """Return the note's bytes, None if there is no such file."""
        ...

    async def create(self, path: str, data: bytes) -> Signature | None:
        """Write a new note; None if the name is taken."""
        ...

    def is_unchanged(self, path: str, signature: Signature) -> bool:
        """Say at once whether the file still has this signature; False if in doubt."""
        ...

    async def replace(
        self, path: str, expected: bytes | Signature, data: bytes
    ) -> Signature | None:
        """Put `data` in place of exactly what is expected, given as bytes or by its signature.

        None if the file is gone or is another one.
        """
        ...

    async def move(self, path: str, to: str) -> Signature | None:
        """Move a note, never over another one; None if it is gone or the name is taken."""
        ...

    async def check_storing(self) -> None:
        """Return if notes can be written now, as `Ledger.check_storing` does.

        Raises:
            StorageError: They cannot; the message says why.
        """
        ...

    async def shown(self, ids: Collection[str] | None = None) -> dict[str, Shown]:
        """Return what was last shown of these requests, by id; for None, of all not in Done.

        A cache shared by the processes of a vault: losing it costs re-reading, nothing else.
        """
        ...

    async def note_shown(
        self, shown: Sequence[Shown], *, seq: int | None = None, known: Head | None = None
    ) -> None:
        """Remember what is shown, never an older `rev` than is remembered already; the ledger `seq`
        up to which everything is shown; and the newest head that anything shown may state.
        """
        ...

    async def shown_seq(self) -> int:
        """Return the ledger `seq` up to which everything is known to be shown."""
        ...

    async def known_head(self) -> Head | None:
        """Return the newest head of the ledger that anything shown may state, None for none."""
        ...

    async def aclose(self) -> None:
        """Release everything."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """Paths (relative to the vault) that may have changed. `all` means: look at everything again;
    `ledger` that another process may have committed.
    """

    paths: frozenset[str] = field(default_factory=frozenset)
    all: bool = False
    ledger: bool = False


class Watcher(Protocol):
    """Tells that something may have changed; never what. Hints may be doubled, late or missing."""

    def start(self, on_hints: Callable[[Hints], None]) -> None:
        """Begin. `on_hints` is called on the event loop this was called from, never elsewhere."""
        ...

    def health(self) -> str:
        """Say in a few words how changes are seen: by events, by polling, and why."""
        ...

    async def aclose(self) -> None:
        """Stop: no hint and no thread afterwards."""
        ...


class PolicySource(Protocol):
    """Where the policy's text comes from."""

    name: str  # what people call it: the file's name

    def load(self) -> bytes:
        """Return the text.

        Raises:
            PolicyError: It cannot be read.
        """
        ...

    def is_settled(self, seconds: float) -> bool:
        """True if the text has been the same for so long that nobody is saving it."""
        ...

    def load_last_good(self) -> bytes | None:
        """Return the newest text that was `keep`-ed, None if there is none."""
        ...

    def keep(self, text: bytes) -> None:
        """Remember a text that could be read, for a time when the present one cannot."""
        ...


LONGEST_LEASE_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """How long the claim of an executor elsewhere is held. `holder` is the lease's name, `id` the
    request's; it ends at `ends_at`, `seconds` after it was made or renewed.
    """

    holder: str
    id: str
    seconds: float
    ends_at: datetime


class Leases(Protocol):
    """The leases of a vault, shared by its processes, whichever of them live.

    Guarantees: a lease ends by its time alone, by the wall clock, at every process alike. Whatever
    that clock does, none lasts longer than its `seconds` after a process first saw it.
    """

    def names(self, holder: str) -> bool:
        """True if this is a lease's name, not a process's."""
        ...

    async def begin(self, id: str, seconds: float, holder: str = "") -> Lease:
        """Return a new lease, or `holder` anew from now on; it is durable on return.

        Raises:
            StorageError: Not stored.
        """
        ...

    def find(self, holder: str) -> Lease | None:
        """Return a lease, also one that has ended; None if there is none, or it cannot be read."""
        ...

    def is_alive(self, holder: str) -> bool:
        """True unless its time is over, or it has been gone for a minute. One that cannot be read
        is alive for as long as the longest lease.
        """
        ...

    def ended(self) -> list[Lease]:
        """Return the leases whose time is over and that nobody dropped."""
        ...

    def drop(self, holder: str) -> None:
        """Remove a lease; what is none is left alone. Never fails."""
        ...


class Presence(Protocol):
    """Shows that who holds a claim lives, so that what a dead one had claimed is noticed.

    A holder is a process, by the name it holds, or an executor elsewhere, by the name of its lease.

    Guarantees: `is_alive(name)` is true for as long as the process that holds `name` lives, however
    slow or stopped it is, and false soon after it died, however it died. For the name of a lease it
    is what `leases` says.
    """

    leases: Leases

    def hold(self) -> str:
        """Return this process's presence name; held until `close` or the end of the process."""
        ...

    def keep(self) -> None:
        """Make sure that this process's presence still shows; called now and then by its holder."""
        ...

    def is_alive(self, name: str) -> bool:
        """True unless the holder is known to be gone. A name that cannot be judged is alive."""
        ...

    def close(self) -> None:
        """Give the presence up."""
        ...
