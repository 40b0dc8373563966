"""Owns what every figure needs: vaults to throw away, processes to talk to, numbers, tables."""

from __future__ import annotations

import atexit
import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
SCRATCH = Path(os.environ.get("BENCH_FOLDER") or REPOSITORY / ".cache" / "bench")
FOLDERS = ("Pending_Approval", "Approved", "Rejected", "Done", ".hitl")
ACTION = {"amount": 1500, "currency": "USD", "to": "vendor@example.com", "invoice": "INV-2024-001"}


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much to measure; `pick` chooses between the quick and the whole run."""

    quick: bool

    def pick(self, quick: Any, whole: Any) -> Any:
        """Return the number for this run."""
        return quick if self.quick else whole


@dataclass(kw_only=True)
class Table:
    """One table of results: what stands in it is text; `raw` keeps the numbers."""

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)

    def add(self, *cells: str) -> None:
        """Add a row."""
        self.rows.append(list(cells))


# numbers


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of them lie; not a number for none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def median(values: Sequence[float]) -> float:
    """Return the median; not a number for none."""
    return statistics.median(values) if values else float("nan")


def ms(seconds: float) -> str:
    """Return seconds as milliseconds with three digits that matter."""
    value = seconds * 1000
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def p50_p99(seconds: Sequence[float]) -> str:
    """Return both percentiles in milliseconds."""
    return f"{ms(percentile(seconds, 0.5))} / {ms(percentile(seconds, 0.99))}"


def times(one: float, other: float) -> str:
    """Return how many times `one` is of `other`."""
    if not other or one != one or other != other:  # noqa: PLR0124  not a number
        return "–"
    ratio = one / other
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:,.0f}x"


def rate(value: float) -> str:
    """Return a number for each second."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


# what there is


def missing(*modules: str) -> str:
    """Return the first of these modules that is not installed, "" if all are."""
    for name in modules:
        try:
            if importlib.util.find_spec(name) is None:
                return name
        except ModuleNotFoundError:
            return name
    return ""


def versions() -> dict[str, str]:
    """Return the versions of everything that takes part."""
    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for name in ("watchdog", "msgspec", "jinja2", "pyyaml", "common-expression-language", "typer"):
        found |= _version(name)
    for name in ("langgraph", "langgraph-checkpoint-sqlite", "psycopg", "redis"):
        found |= _version(name)
    for program, flag in (("postgres", "--version"), ("redis-server", "--version")):
        path = shutil.which(program)
        if path:
            said = subprocess.run([path, flag], capture_output=True, text=True, check=False).stdout
            words = [word.removeprefix("v=") for word in said.split() if word[-1:].isdigit()]
            found[program] = next((word for word in words if word[0].isdigit()), said.strip())
    return found


def _version(name: str) -> dict[str, str]:
    try:
        return {name: importlib.metadata.version(name)}
    except importlib.metadata.PackageNotFoundError:
        return {}


def machine() -> str:
    """Return what the figures were taken on, in one line."""
    kind = "unknown processor"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                kind = line.partition(":")[2].strip()
                break
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{kind}, {cores} cores, {platform.system()} {platform.release()}, {file_system()}"


def file_system() -> str:
    """Return the type of the file system the vaults lie on."""
    where, best, found, device = str(SCRATCH), "", "unknown file system", ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/mounts").read_text().splitlines():
            source, point, kind, *_ = line.split(" ")
            if where.startswith(point) and len(point) >= len(best):
                best, found, device = point, kind, Path(source).name
    if found == "ext4" and Path("/proc/fs/ext4").is_dir():
        journaled = any(Path("/proc/fs/jbd2").glob(f"{device}-*"))
        return f"ext4 {'with' if journaled else 'without'} a journal"
    return found


def load() -> str:
    """Return how busy the machine is: the load of the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def commit() -> str:
    """Return the commit that is checked out, "" outside a checkout. Local changes are not seen."""
    argv = ["git", "rev-parse", "--short", "HEAD"]
    with contextlib.suppress(OSError):
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=REPOSITORY)
        return done.stdout.strip()
    return ""


def today() -> str:
    """Return the date."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def say(text: str) -> None:
    """Tell the person who waits what is being measured."""
    print(f"  {text}", file=sys.stderr, flush=True)


# vaults and processes


@contextlib.contextmanager
def folder(prefix: str = "x") -> Iterator[Path]:
    """A folder on the repository's disk, removed when the whole run ends.

    Not sooner: after many files were removed, ext4 without a journal takes up to ten times as long
    to make a new one, for minutes: it passes over the inodes that were freed, one by one.
    """
    SCRATCH.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=SCRATCH))
    _used.append(path)
    yield path


_used: list[Path] = []


@atexit.register
def _remove_folders() -> None:
    for path in _used:
        shutil.rmtree(path, ignore_errors=True)
    if _used:
        with contextlib.suppress(OSError):
            SCRATCH.rmdir()


@contextlib.contextmanager
def vault(policy: str | None = None) -> Iterator[Path]:
    """A vault as `hitl init` leaves it, removed afterwards."""
    with folder("vault") as root:
        for name in FOLDERS:
            (root / name).mkdir()
        text = (REPOSITORY / "vault" / "Policy.md").read_text() if policy is None else policy
        (root / "Policy.md").write_text(text)
        yield root


class Child:
    """Another process of this package that takes lines and answers in lines."""

    def __init__(self, *argv: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.children", *argv],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.read()  # it is ready

    def tell(self, line: str) -> None:
        """Send one line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def read(self) -> str:
        """Wait for one line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextlib.contextmanager
def children(count: int, *argv: str) -> Iterator[list[Child]]:
    """This many processes, each told its number and their count after `argv`."""
    started: list[Child] = []
    try:
        for number in range(count):
            started.append(Child(*argv, str(number), str(count)))
        yield started
    finally:
        for child in started:
            child.close()


def whole_process(argv: list[str], runs: int, **options: Any) -> list[float]:
    """Return the seconds each run of a command took, from start to end."""
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(argv, capture_output=True, check=False, cwd=REPOSITORY, **options)
        taken.append(time.perf_counter() - start)
    return taken
