"""Owns how people and tools save a note: each gesture replaces one text in a file by another, in its
own way. Never looks at what comes of it."""

from __future__ import annotations

import mmap
import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Gesture = Callable[[Path, str, str], None]
"""Takes the note, the text to replace, which stands there once, and the text to put there."""


def run(*command: str, cwd: Path, text: str = "") -> None:
    """Run a program that must succeed; skip the test where it is not installed."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {
        "HOME": str(cwd.parents[1]),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "LC_ALL": "C.UTF-8",
    }
    subprocess.run(
        command, cwd=cwd, env=environment, input=text, text=True, check=True, timeout=60,
        capture_output=True,
    )  # fmt: skip


def changed(note: Path, old: str, new: str) -> str:
    """Return the note's text with the change."""
    text = note.read_text()
    assert text.count(old) == 1, text
    return text.replace(old, new)


def substitution(old: str, new: str) -> str:
    """Return the change as ed, sed, perl and vim write it."""
    pattern = re.sub(r"[\\/.*\[\]^$]", r"\\\g<0>", old)
    return f"s/{pattern}/{new}/"


def vim(*settings: str) -> Gesture:
    def save(note: Path, old: str, new: str) -> None:
        options = [f"set {setting}" for setting in ("nocompatible", "writebackup", *settings)]
        commands = [*options, f"%{substitution(old, new)}", "wq"]
        run("vim", "-es", "-u", "NONE", *(f"+{it}" for it in commands), note.name, cwd=note.parent)

    return save


def emacs(*settings: str) -> Gesture:
    def save(note: Path, old: str, new: str) -> None:
        body = (
            f"(progn {' '.join(settings)} (goto-char (point-min)) "
            f'(search-forward "{old}") (replace-match "{new}" t t) (save-buffer))'
        )
        run("emacs", "-Q", "--batch", note.name, "--eval", body, cwd=note.parent)

    return save


def nano(note: Path, old: str, new: str) -> None:
    if shutil.which("nano") is None:
        pytest.skip("nano is not installed")
    ours, its = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "HOME": str(note.parents[2]), "LC_ALL": "C.UTF-8"}
    editor = subprocess.Popen(
        ["nano", "-I", note.name],
        cwd=note.parent,
        env=environment,
        stdin=its,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    shown = b""

    def wait_for(text: bytes) -> None:
        nonlocal shown
        while text not in shown:
            ready, _, _ = select.select([ours], [], [], 20)
            assert ready, f"nano did not show {text!r} but {shown!r}"
            shown += os.read(ours, 4096)
        shown = b""

    try:
        wait_for(b"GNU nano")
        os.write(ours, b"\x1c")  # replace
        wait_for(b"Search")
        os.write(ours, f"{old}\r".encode())
        wait_for(b"Replace with")
        os.write(ours, f"{new}\r".encode())
        wait_for(b"this instance?")
        os.write(ours, b"a")
        wait_for(b"Replaced 1")
        os.write(ours, b"\x0f\r\x18")  # write out, yes that name, leave
        while editor.poll() is None:
            try:
                os.read(ours, 4096)
            except OSError:  # the terminal closed with the editor
                break
        assert editor.wait(timeout=30) == 0
    finally:
        editor.kill()
        editor.wait()
        os.close(ours)


def ed(note: Path, old: str, new: str) -> None:
    run("ed", "-s", note.name, cwd=note.parent, text=f",{substitution(old, new)}\nw\nq\n")


def sed(note: Path, old: str, new: str) -> None:
    run("sed", "-i", substitution(old, new), note.name, cwd=note.parent)


def perl(how: str) -> Gesture:
    def save(note: Path, old: str, new: str) -> None:
        run("perl", how, "-e", substitution(old, new), note.name, cwd=note.parent)

    return save


def shell(note: Path, old: str, new: str) -> None:
    script = 'new=$(sed "$1" "$2"); printf "%s\n" "$new" > "$2"'
    run("sh", "-c", script, "sh", substitution(old, new), note.name, cwd=note.parent)


def outside(note: Path, text: str) -> Path:
    """Write a file beside the vault."""
    path = note.parents[2] / "outside.md"
    path.write_text(text)
    return path


def cp(note: Path, old: str, new: str) -> None:
    run("cp", str(outside(note, changed(note, old, new))), note.name, cwd=note.parent)


def mv(note: Path, old: str, new: str) -> None:
    run("mv", str(outside(note, changed(note, old, new))), note.name, cwd=note.parent)


def git_checkout(note: Path, old: str, new: str) -> None:
    """Fetch and check out what somebody committed elsewhere."""
    vault, name = note.parents[1], str(note.relative_to(note.parents[1]))
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.com")
    (vault / ".gitignore").write_text(".hitl/\n")
    run(*git, "init", "-q", "-b", "main", cwd=vault)
    run(*git, "add", name, cwd=vault)
    run(*git, "commit", "-qm", "asked", cwd=vault)
    elsewhere = note.parents[2] / "elsewhere"
    shutil.copytree(vault / ".git", elsewhere / ".git")
    run(*git, "checkout", "-q", "--", ".", cwd=elsewhere)
    (elsewhere / name).write_text(changed(elsewhere / name, old, new))
    run(*git, "commit", "-qam", "answered", cwd=elsewhere)
    run(*git, "fetch", "-q", str(elsewhere), "main:answered", cwd=vault)
    run(*git, "checkout", "-q", "answered", cwd=vault)


def write_text(note: Path, old: str, new: str) -> None:
    note.write_text(changed(note, old, new))


def in_pieces(note: Path, old: str, new: str) -> None:
    data = changed(note, old, new).encode()
    with note.open("wb", buffering=0) as file:
        for start in range(0, len(data), 200):
            file.write(data[start : start + 200])
            time.sleep(0.01)


def append(note: Path, old: str, new: str) -> None:
    """A person who also writes a remark below our last line."""
    note.write_text(changed(note, old, new))
    with note.open("a") as file:
        file.write("\nI looked at the invoice, all fine.\n")


def replace(note: Path, old: str, new: str) -> None:
    temporary = note.with_name(f".{note.name}.tmp")
    temporary.write_text(changed(note, old, new))
    temporary.replace(note)


def mapped(note: Path, old: str, new: str) -> None:
    """Change the file through memory; both texts must be equally long."""
    with note.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        at = memory.find(old.encode())
        memory[at : at + len(old.encode())] = new.encode()


def hard_link(note: Path, old: str, new: str) -> None:
    text = changed(note, old, new)
    note.unlink()
    note.hardlink_to(outside(note, text))


def syncthing(note: Path, old: str, new: str) -> None:
    temporary = note.with_name(f".syncthing.{note.name}.tmp")
    temporary.write_text(changed(note, old, new))
    os.utime(temporary, (time.time() - 86_400,) * 2)
    note.unlink()
    temporary.rename(note)


GESTURES: dict[str, Gesture] = {
    "vim": vim(),
    "vim backupcopy=yes": vim("backupcopy=yes"),
    "vim backup": vim("backup"),
    "nano": nano,
    "emacs": emacs("(setq make-backup-files t)"),
    "emacs precious": emacs("(setq file-precious-flag t)"),
    "ed": ed,
    "sed -i": sed,
    "perl -i": perl("-pi"),
    "perl -i.bak": perl("-pi.bak"),
    "shell >": shell,
    "cp": cp,
    "mv from outside": mv,
    "git checkout": git_checkout,
    "write_text": write_text,
    "write in pieces": in_pieces,
    "append": append,
    "atomic replace": replace,
    "mmap": mapped,
    "hard link": hard_link,
    "syncthing": syncthing,
}
