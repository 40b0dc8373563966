"""Runs the real command line as its own process, in a pipe or on a pseudo-terminal."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[()][A-Z0-9])")

POLICY = """\
# Rules for tests

```yaml hitl-policy
default: ask
rules:
  - {id: reads, when: 'action.type == "read"', effect: allow, reason: It only reads}
  - {id: never, when: 'action.type == "wipe"', effect: deny, reason: Nobody may wipe}
  - id: two
    when: action.type == "launch"
    effect: ask
    risk: critical
    quorum: 2
    require_reason: [reject]
  - id: sure
    when: action.type == "secret"
    effect: ask
    assurance: authenticated
  - id: editable
    when: action.type in ["payment", "deploy"]
    effect: ask
    risk: high
    answers: [approve, reject, edit]
    summary: "{amount|command} to {to|cwd}"
```
"""


def until(fact, what="the fact", timeout=30.0):
    """Return what `fact` returns once it is true; fail if that takes too long."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        found = fact()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true in {timeout} s")


def environment(**more):
    """Return an environment without anybody's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HITL_")}
    for name in ("NO_COLOR", "FORCE_COLOR", "EDITOR", "VISUAL", "COLUMNS", "LINES"):
        kept.pop(name, None)
    return kept | {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "HITL_SETTLE_S": "0.1"} | more


class Cli:
    """`hitl` in a vault of its own."""

    def __init__(self, vault):
        self.vault = Path(vault)
        self.started = []

    def run(self, *arguments, input=None, cwd=None, env=None, timeout=60):
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "hitl_vault", *map(str, arguments)],
            cwd=cwd or self.vault,
            env=environment(**(env or {})),
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def ok(self, *arguments, **options):
        """Run a command that must succeed; return what it printed."""
        done = self.run(*arguments, **options)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def json(self, *arguments, **options):
        """Run a command with --json that must succeed; return what it printed."""
        return json.loads(self.ok(*arguments, "--json", **options))

    def ask(self, type="payment", *more, **details):
        """Ask for something; return the id."""
        given = json.dumps(details or {"amount": 1500, "to": "vendor@example.com"})
        return self.ok("request", "-t", type, "--details", given, *more).splitlines()[0]

    def show(self, id):
        return self.json("show", id)

    def status(self, id):
        return self.show(id)["status"]

    def pending(self, **wanted):
        """Return what waits; the newest first."""
        return self.json("list", *(f"--{name}={value}" for name, value in wanted.items()))

    def start(self, *arguments, cwd=None, env=None, **options):
        """Start a command and go on; it is ended with the test."""
        child = subprocess.Popen(
            [sys.executable, "-m", "hitl_vault", *map(str, arguments)],
            cwd=cwd or self.vault,
            env=environment(**(env or {})),
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )
        self.started.append(child)
        return child

    def close(self):
        for child in self.started:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.communicate()


class Terminal:
    """A command on a pseudo-terminal of its own, which Ctrl-C reaches as from a keyboard."""

    def __init__(self, cli, *arguments, columns=100, rows=40, env=None):
        self.seen = ""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._ours = ours
        self.child = subprocess.Popen(
            [sys.executable, "-m", "hitl_vault", *map(str, arguments)],
            cwd=cli.vault,
            env=environment(**(env or {})),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        os.close(self._ours)

    @property
    def text(self):
        """Everything shown so far, without colours."""
        return _ESCAPES.sub("", self.seen).replace("\r", "")

    def _read(self):
        ready, _, _ = select.select([self._ours], [], [], 0.05)
        if not ready:
            return True
        try:
            data = os.read(self._ours, 65536)
        except OSError:
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def expect(self, text, timeout=30.0, *, times=1):
        """Wait until a text has been shown so many times."""
        end = time.monotonic() + timeout
        while self.text.count(text) < times:
            assert time.monotonic() < end, f"no {text!r} in:\n{self.text[-3000:]}"
            if not self._read():
                assert self.text.count(text) >= times, f"ended without {text!r}:\n{self.text}"
        return self.text

    def send(self, keys):
        os.write(self._ours, keys.encode())

    def end(self, timeout=30.0):
        """Wait for the end; return the exit code."""
        limit = time.monotonic() + timeout
        while self._read() and time.monotonic() < limit:
            if self.child.poll() is not None and not select.select([self._ours], [], [], 0)[0]:
                break
        return self.child.wait(timeout=max(0.1, limit - time.monotonic()))
