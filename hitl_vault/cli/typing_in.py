"""Owns asking a person at a terminal: for a key, a line, a text in an editor. Never answers."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hitl_vault.errors import InvalidRequest


def ask_key(question: str) -> str:
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


def ask_line(question: str) -> str:
    """Return the line a person types, "" at the end of input."""
    try:
        return input(f"{question}: ").strip()
    except EOFError:
        print()
        return ""


def ask_unseen(question: str) -> str:
    """Return what a person types without its being shown, "" at the end of input."""
    import getpass

    try:
        return getpass.getpass(f"{question}: ").strip()
    except EOFError:
        print()
        return ""


def in_editor(text: str) -> str:
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
