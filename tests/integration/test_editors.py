"""Every editor and tool that saves a note answers it: the right decision, one vote, a true chain."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from desk_kit import QUICK, kinds, new_vault, note_of, prove, ticked, until
from editors_kit import GESTURES, run

from hitl_vault import Kind, Orchestrator, Status

BOX = ("- [ ] Approve ^approve", "- [x] Approve ^approve")
WORD = ("status: pending", "status: rejected")


@pytest.fixture
def root() -> Iterator[Path]:
    with new_vault() as root:
        yield root


def windows(note: Path) -> None:
    text = ticked(note.read_text()).replace("\n", "\r\n")
    note.write_bytes(b"\xef\xbb\xbf" + text.encode())


def drag(folder: str) -> Callable[[Path], None]:
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


def with_box(name: str) -> Callable[[Path], None]:
    return lambda note: GESTURES[name](note, *BOX)


def with_word(name: str) -> Callable[[Path], None]:
    return lambda note: GESTURES[name](note, *WORD)


APPROVED, REJECTED = Status.APPROVED, Status.REJECTED
WAYS: dict[str, tuple[Callable[[Path], None], Status]] = {
    **{name: (with_box(name), APPROVED) for name in GESTURES},
    **{
        f"{name}, by word": (with_word(name), REJECTED)
        for name in ("vim", "nano", "emacs", "perl -i", "git checkout", "hard link")
    },
    "CRLF and BOM": (windows, APPROVED),
    "drag to Approved": (drag("Approved"), APPROVED),
    "drag to Rejected": (drag("Rejected"), REJECTED),
    "drag into a sub-folder": (drag_into_sub_folder, APPROVED),
    "drag there and back": (drag_there_and_back_and_tick, REJECTED),
    "drag twice": (drag_to_one_then_the_other, REJECTED),
}
HOW = {
    "events": {"watch": "events", "rescan_s": 600, "settle_s": 0.15},
    "polling": {"watch": "polling", **QUICK},
}


@pytest.mark.parametrize("how", HOW.values(), ids=HOW.keys())
@pytest.mark.parametrize(("gesture", "wanted"), WAYS.values(), ids=WAYS.keys())
async def test_every_way_of_saving_an_answer_decides(
    gesture: Callable[[Path], None], wanted: Status, how: dict, root: Path
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
    save, wanted = WAYS[gesture]
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


TEAM = """```yaml hitl-policy
default: ask
rules:
  - id: two
    effect: ask
    approvers: [finance]
    quorum: 2
```
"""
RECORD = "".join(f'[{name}]\nroles = ["finance"]\n' for name in ("alice", "bob", "carol"))


@pytest.fixture
def team() -> Iterator[Path]:
    with new_vault(TEAM) as root:
        (root / ".hitl" / "reviewers.toml").write_text(RECORD)
        yield root


def own(name: str, answer: str = "Approve") -> tuple[str, str]:
    """Return a person's box as it stands, and ticked."""
    line = f"{answer} ^{answer.lower()}-{name}"
    return f"- [ ] {line}", f"- [x] {line}"


def windows_line_ends(note: Path, old: str, new: str) -> None:
    text = note.read_text().replace(old, new).replace("\n", "\r\n")
    note.write_bytes(b"\xef\xbb\xbf" + text.encode())


@pytest.mark.parametrize(
    "gesture", [*GESTURES.values(), windows_line_ends], ids=[*GESTURES, "CRLF"]
)
async def test_every_way_of_saving_ones_own_line_is_that_persons_vote(gesture, team: Path) -> None:
    """Alice answers by a call, bob by the editor: two votes, each under its own name."""
    async with Orchestrator(team, **HOW["polling"]) as hitl:
        asked = await hitl.request_approval("payment", "Pay", {"amount": 900})
        note = await note_of(hitl, asked)
        await hitl.approve(asked.id, reviewer="alice")
        await asyncio.to_thread(gesture, note, *own("bob"))
        decided = await hitl.wait_for_decision(asked.id, timeout=40)
        assert decided.status is Status.APPROVED
        votes = [(vote.reviewer, vote.channel) for vote in (await hitl.get(asked.id)).votes]
        assert votes == [("alice", "api"), ("bob", "note")]
        await prove(hitl)


@pytest.mark.parametrize(("second", "wanted"), [("Approve", APPROVED), ("Reject", REJECTED)])
async def test_two_devices_merged_by_git_are_two_votes(second, wanted, team: Path) -> None:
    """Each ticked in a copy of their own; the merged note holds both."""
    async with Orchestrator(team, **HOW["polling"]) as hitl:
        asked = await hitl.request_approval("payment", "Pay", {"amount": 900})
        note = await note_of(hitl, asked)
        base, devices = note.read_text(), team.parent / "devices"
        devices.mkdir()
        for name, answer in (("alice", "Approve"), ("bob", second)):
            (devices / name).write_text(base.replace(*own(name, answer)))
        (devices / "base").write_text(base)
        merge = ["git", "merge-file", "alice", "base", "bob"]
        subprocess.run(merge, cwd=devices, check=True)
        (devices / "alice").replace(note)
        decided = await hitl.wait_for_decision(asked.id, timeout=40)
        assert decided.status is wanted
        for vote in (await hitl.get(asked.id)).votes:
            assert vote.answer == {"alice": "approve", "bob": second.lower()}[vote.reviewer]
        await prove(hitl)


async def test_a_conflict_copy_with_anothers_tick_is_no_ballot(team: Path) -> None:
    """It is reported; only the note itself counts."""
    async with Orchestrator(team, **HOW["polling"]) as hitl:
        asked = await hitl.request_approval("payment", "Pay", {"amount": 900})
        note = await note_of(hitl, asked)
        copy = note.with_name(f"{note.stem}.sync-conflict-20261121-093012-ABCDEFG.md")
        copy.write_text(note.read_text().replace(*own("bob")))
        note.write_text(note.read_text().replace(*own("alice")))

        async def is_counted() -> bool:
            return bool((await hitl.get(asked.id)).votes)

        await until(is_counted)
        await until(lambda: hitl._desk.notices.get(str(copy.relative_to(team))))
        assert [vote.reviewer for vote in (await hitl.get(asked.id)).votes] == ["alice"]
        assert (await hitl.get(asked.id)).status is Status.PENDING
