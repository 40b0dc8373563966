"""Every editor and tool that saves a note answers it: the right decision, one vote, a true chain."""

import asyncio
import mmap
import os
import pty
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from desk_kit import QUICK, kinds, new_vault, note_of, prove, ticked, typed, until

from hitl_vault import Kind, Orchestrator, Status

Gesture = Callable[[Path], None]
BOX = "s/- \\[ \\] Approve ^approve/- [x] Approve ^approve/"
WORD = "s/^status: pending/status: rejected/"


@pytest.fixture
def root() -> Iterator[Path]:
    with new_vault() as root:
        yield root


def run(*command: str, cwd: Path, text: str | None = None) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {
        "HOME": str(cwd.parents[1]),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "LC_ALL": "C.UTF-8",
    }
    subprocess.run(
        command, cwd=cwd, env=environment, input=text or "", text=True, check=True, timeout=60,
        capture_output=True,
    )  # fmt: skip


def vim(*settings: str) -> Gesture:
    def save(note: Path) -> None:
        options = [f"set {setting}" for setting in ("nocompatible", "writebackup", *settings)]
        commands = [*options, f"%{WORD}", "wq"]
        run("vim", "-es", "-u", "NONE", *(f"+{it}" for it in commands), note.name, cwd=note.parent)

    return save


def emacs(*settings: str) -> Gesture:
    def save(note: Path) -> None:
        body = (
            f"(progn {' '.join(settings)} (goto-char (point-min)) "
            '(search-forward "status: pending") (replace-match "status: rejected") (save-buffer))'
        )
        run("emacs", "-Q", "--batch", note.name, "--eval", body, cwd=note.parent)

    return save


def nano(note: Path) -> None:
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
        os.write(ours, b"status: pending\r")
        wait_for(b"Replace with")
        os.write(ours, b"status: rejected\r")
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


def ed(note: Path) -> None:
    run("ed", "-s", note.name, cwd=note.parent, text=f",{WORD}\nw\nq\n")


def sed(note: Path) -> None:
    run("sed", "-i", BOX, note.name, cwd=note.parent)


def perl(note: Path) -> None:
    run("perl", "-pi", "-e", WORD, note.name, cwd=note.parent)


def shell(note: Path) -> None:
    run(
        "sh",
        "-c",
        'new=$(sed "$1" "$2"); printf "%s\n" "$new" > "$2"',
        "sh",
        BOX,
        note.name,
        cwd=note.parent,
    )


def outside(note: Path, text: str) -> Path:
    path = note.parents[2] / "outside.md"
    path.write_text(text)
    return path


def cp(note: Path) -> None:
    run("cp", str(outside(note, ticked(note.read_text()))), note.name, cwd=note.parent)


def mv(note: Path) -> None:
    run("mv", str(outside(note, ticked(note.read_text()))), note.name, cwd=note.parent)


def git_checkout(note: Path) -> None:
    vault, name = note.parents[1], str(note.relative_to(note.parents[1]))
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.com")
    (vault / ".gitignore").write_text(".hitl/\n")
    run(*git, "init", "-q", "-b", "main", cwd=vault)
    run(*git, "add", name, cwd=vault)
    run(*git, "commit", "-qm", "asked", cwd=vault)
    shutil.copytree(vault / ".git", note.parents[2] / "elsewhere" / ".git")
    elsewhere = note.parents[2] / "elsewhere"
    run(*git, "checkout", "-q", "--", ".", cwd=elsewhere)
    (elsewhere / name).write_text(ticked((elsewhere / name).read_text(), "Reject"))
    run(*git, "commit", "-qam", "answered", cwd=elsewhere)
    run(*git, "fetch", "-q", str(elsewhere), "main:answered", cwd=vault)
    run(*git, "checkout", "-q", "answered", cwd=vault)


def write_text(note: Path) -> None:
    note.write_text(ticked(note.read_text()))


def in_pieces(note: Path) -> None:
    data = ticked(note.read_text(), "Reject").encode()
    with note.open("wb", buffering=0) as file:
        for start in range(0, len(data), 200):
            file.write(data[start : start + 200])
            time.sleep(0.01)


def append(note: Path) -> None:
    """A person who ticks by hand and writes a remark below our last line."""
    note.write_text(ticked(note.read_text()))
    with note.open("a") as file:
        file.write("\nI looked at the invoice, all fine.\n")


def mapped(note: Path) -> None:
    with note.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        at = memory.find(b"- [ ] Reject ^reject")
        memory[at + 3 : at + 4] = b"x"


def windows(note: Path) -> None:
    text = ticked(note.read_text()).replace("\n", "\r\n")
    note.write_bytes(b"\xef\xbb\xbf" + text.encode())


def hard_link(note: Path) -> None:
    text = typed(note.read_text(), "Approved.")
    note.unlink()
    note.hardlink_to(outside(note, text))


def drag(folder: str) -> Gesture:
    def move(note: Path) -> None:
        note.rename(note.parents[1] / folder / note.name)

    return move


def drag_into_sub_folder(note: Path) -> None:
    target = note.parents[1] / "Approved" / "payments" / "2026"
    target.mkdir(parents=True)
    note.rename(target / note.name)


def drag_there_and_back_and_tick(note: Path) -> None:
    moved = note.parents[1] / "Approved" / note.name
    note.rename(moved)
    moved.rename(note)
    note.write_text(ticked(note.read_text(), "Reject"))


def drag_to_one_then_the_other(note: Path) -> None:
    first = note.rename(note.parents[1] / "Approved" / note.name)
    first.rename(note.parents[1] / "Rejected" / note.name)


def syncthing(note: Path) -> None:
    temporary = note.with_name(f".syncthing.{note.name}.tmp")
    temporary.write_text(ticked(note.read_text()))
    os.utime(temporary, (time.time() - 86_400,) * 2)
    note.unlink()
    temporary.rename(note)


APPROVED, REJECTED = Status.APPROVED, Status.REJECTED
GESTURES: dict[str, tuple[Gesture, Status]] = {
    "vim": (vim(), REJECTED),
    "vim backupcopy=yes": (vim("backupcopy=yes"), REJECTED),
    "vim backup": (vim("backup"), REJECTED),
    "nano": (nano, REJECTED),
    "emacs": (emacs("(setq make-backup-files t)"), REJECTED),
    "emacs precious": (emacs("(setq file-precious-flag t)"), REJECTED),
    "sed -i": (sed, APPROVED),
    "perl -i": (perl, REJECTED),
    "ed": (ed, REJECTED),
    "shell >": (shell, APPROVED),
    "cp": (cp, APPROVED),
    "mv from outside": (mv, APPROVED),
    "git checkout": (git_checkout, REJECTED),
    "write_text": (write_text, APPROVED),
    "write in pieces": (in_pieces, REJECTED),
    "append below": (append, APPROVED),
    "mmap": (mapped, REJECTED),
    "CRLF and BOM": (windows, APPROVED),
    "hard link": (hard_link, APPROVED),
    "drag to Approved": (drag("Approved"), APPROVED),
    "drag to Rejected": (drag("Rejected"), REJECTED),
    "drag into a sub-folder": (drag_into_sub_folder, APPROVED),
    "drag there and back": (drag_there_and_back_and_tick, REJECTED),
    "drag twice": (drag_to_one_then_the_other, REJECTED),
    "syncthing": (syncthing, APPROVED),
}
HOW = {
    "events": {"watch": "events", "rescan_s": 600, "settle_s": 0.15},
    "polling": {"watch": "polling", **QUICK},
}


@pytest.mark.parametrize("how", HOW.values(), ids=HOW.keys())
@pytest.mark.parametrize(("gesture", "wanted"), GESTURES.values(), ids=GESTURES.keys())
async def test_every_way_of_saving_an_answer_decides(
    gesture: Gesture, wanted: Status, how: dict, root: Path
) -> None:
    """The right decision and exactly one vote, by events alone and without any."""
    async with Orchestrator(root, **how) as hitl:
        asked = await hitl.request_approval("payment", "Pay", {"amount": 900})
        note = await note_of(hitl, asked)
        waiter = asyncio.create_task(hitl.wait_for_decision(asked.id, timeout=40))
        await asyncio.to_thread(gesture, note)
        decided = await waiter
        assert decided.status is wanted
        ending = Kind.APPROVED if wanted is APPROVED else Kind.REJECTED
        assert await kinds(hitl, asked) == [Kind.REQUESTED, Kind.VOTED, ending]
        await prove(hitl)
        shown = await note_of(hitl, asked)
        await until(lambda: f"status: {wanted}" in shown.read_text())
        assert f"%% hitl:end {asked.id} %%" in shown.read_text()
        assert hitl.notices() == []


UNCLEAR = [
    "maybe",
    "“approved” or not",
    "aapproved",
    "pending -> approved",
    "yes",
    "[approved, rejected]",
]


@pytest.mark.parametrize("word", UNCLEAR)
async def test_an_unclear_word_is_answered_in_the_note_and_the_second_try_counts(
    word: str, root: Path
) -> None:
    """The waiter goes on waiting, one sentence stands in the note, a correct edit then decides."""
    async with Orchestrator(root, **QUICK) as hitl:
        asked = await hitl.request_approval("payment", "Pay", {"amount": 900})
        note = await note_of(hitl, asked)
        waiter = asyncio.create_task(hitl.wait_for_decision(asked.id))
        await asyncio.to_thread(
            run, "sed", "-i", f"s/^status: pending/status: {word}/", note.name, cwd=note.parent
        )
        await until(lambda: "hitl:feedback" in note.read_text())
        assert not waiter.done()
        assert note.read_text().count("hitl:feedback") == 1
        assert f"\nstatus: {word}\n" in note.read_text()
        stat = note.stat()
        await hitl.read_notes()
        await until(lambda: not hitl._desk._due)
        await hitl.read_notes()
        assert note.stat().st_ino == stat.st_ino, "it was written again without a cause"
        await asyncio.to_thread(vim_second_try, note)
        async with asyncio.timeout(40):
            assert (await waiter).status is Status.REJECTED
        await until(lambda: "hitl:feedback" not in note.read_text())
        assert "\nstatus: rejected\n" in note.read_text()


def vim_second_try(note: Path) -> None:
    run("vim", "-es", "-u", "NONE", "+set nocompatible", "+%s/^status: .*/status: rejected/",
        "+wq", note.name, cwd=note.parent)  # fmt: skip


@pytest.mark.parametrize("gesture", ["write_text", "drag to Approved", "vim", "syncthing"])
async def test_an_answer_given_while_nothing_runs_is_read_at_the_next_start(
    gesture: str, root: Path
) -> None:
    """The note waits for the engine as the engine waits for the note."""
    save, wanted = GESTURES[gesture]
    async with Orchestrator(root, **QUICK) as hitl:
        asked = await hitl.request_approval("payment", "Pay", {"amount": 900})
        note = await note_of(hitl, asked)
    save(note)
    async with Orchestrator(root, **QUICK) as hitl:
        assert (await hitl.wait_for_decision(asked.id, timeout=40)).status is wanted
        await prove(hitl)


async def test_a_policy_edited_in_the_vault_is_in_force_soon(root: Path) -> None:
    """Saving the policy is all it takes, with any editor, and half a save changes nothing."""
    policy = root / "Policy.md"
    rule = "\n```yaml hitl-policy\nrules:\n  - {id: reads, when: action.type == 'read', effect: allow}\n```\n"
    async with Orchestrator(root, settle_s=0, watch="events", rescan_s=600) as hitl:
        assert hitl.requires_approval("read", {})
        policy.write_text(policy.read_text() + rule)
        await until(lambda: not hitl.requires_approval("read", {}))
        policy.write_text("no policy at all")
        await until(lambda: hitl.policies.problem is not None)
        assert not hitl.requires_approval("read", {})
