"""Owns killing a child at a chosen instruction. Never kills anything it did not start."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).resolve().parents[2] / ".cache" / "tests"
CALLS = (
    "openat", "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "link", "linkat", "rename",
    "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "fchmod", "chmod", "flock",
)  # fmt: skip


def new_vault() -> Path:
    """Make a vault where everything asks."""
    root = HERE / uuid.uuid4().hex / "vault"
    for name in (".hitl", "Pending_Approval", "Approved", "Rejected", "Done"):
        (root / name).mkdir(parents=True)
    (root / "Policy.md").write_text("```yaml hitl-policy\ndefault: ask\n```\n")
    return root


def remove(root: Path) -> None:
    shutil.rmtree(root.parent, ignore_errors=True)


def why_no_tracing() -> str:
    """Return why children cannot be traced here, "" if they can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(
        ["strace", "-o", os.devnull, "true"], capture_output=True, text=True, check=False
    )
    return f"strace cannot trace here: {tried.stderr.strip()[:200]}" if tried.returncode else ""


class Nursery:
    """A warm process that forks children; one child at a time."""

    def __init__(self) -> None:
        file = Path(__file__).parent / "children" / "nursery.py"
        self._errors = HERE / f"errors-{uuid.uuid4().hex}"
        HERE.mkdir(parents=True, exist_ok=True)
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(file)], text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        self._errors.unlink()

    def _said(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._errors.read_text()
        return json.loads(line)

    def _say(self, **line: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()

    def run(
        self, do: str, root: Path, how: str, rounds: int = 1, *,
        trace: list[str] | None = None, kill_after_s: float | None = None,
    ) -> int:  # fmt: skip
        """Run one child to its end, traced or killed after a while; return its exit code."""
        self._say(do=do, root=str(root), how=how, rounds=rounds)
        pid = self._said()["pid"]
        tracer = None if trace is None else _attach(pid, trace)
        self._say()
        timer = None
        if kill_after_s is not None:
            timer = threading.Timer(kill_after_s, _kill, [pid])
            timer.start()
        code = self._said()["exit"]
        if timer is not None:
            timer.cancel()
        if tracer is not None:
            tracer.communicate(timeout=30)
        return int(code)

    def check(self, root: Path, how: str, rounds: int, when: str) -> None:
        """Prove the invariants of what is left."""
        before = self._errors.stat().st_size
        code = self.run("check", root, how, rounds)
        assert code == 0, f"{when}:\n{self._errors.read_text()[before:]}"


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)  # not reaped before its nursery is told: it is still ours
    except ProcessLookupError:
        pass


def _attach(pid: int, options: list[str]) -> subprocess.Popen[str]:
    tracer = subprocess.Popen(
        ["strace", "-f", *options, "-p", str(pid)], stderr=subprocess.PIPE, text=True
    )
    assert tracer.stderr is not None
    line = tracer.stderr.readline()
    assert "attached" in line, line
    return tracer


def count_calls(nursery: Nursery, how: str, rounds: int) -> dict[str, int]:
    """Return how often the busiest thread of an undisturbed run makes each call."""
    root = new_vault()
    log = root.parent / "trace"
    trace = ["-o", str(log), "-e", f"trace={','.join(CALLS)}"]
    assert nursery.run("cycle", root, how, rounds, trace=trace) == 0
    seen: Counter[tuple[str, str]] = Counter()
    for line in log.read_text().splitlines():
        thread, _, rest = line.partition(" ")
        call = rest.strip().partition("(")[0]
        if call in CALLS:
            seen[thread, call] += 1
    remove(root)
    most: dict[str, int] = {}
    for (_, call), times in seen.items():
        most[call] = max(most.get(call, 0), times)
    return most


def at_once(work: Callable[[Nursery, Any], Any], items: list[Any], workers: int = 2) -> list[Any]:
    """Do the work on every item, each worker with its own nursery."""
    local = threading.local()
    nurseries: list[Nursery] = []

    def one(item: Any) -> Any:
        if not hasattr(local, "nursery"):
            local.nursery = Nursery()
            nurseries.append(local.nursery)
        return work(local.nursery, item)

    try:
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(one, items))
    finally:
        for nursery in nurseries:
            nursery.__exit__()
