"""Two of three people approve, each with a proof of their own; then one says no, and that ends it.

Try it:  hitl init vault  &&  python examples/two_of_three.py vault
Alice signs with an SSH key. Bob, on his phone, types the code he was sent into the note. Each
person on record has lines of their own there, so that a merge by git or a sync tool keeps every
answer.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

from hitl_vault import Kind, Orchestrator, Rejected, Request

REVIEWERS = """
[alice]
roles = ["treasury"]

[bob]
roles = ["treasury"]

[carol]
roles = ["treasury"]
"""
RULE = """
```yaml hitl-policy
rules:
  - id: two-of-treasury
    when: action.type == "release_funds"
    effect: ask
    risk: high
    reason: Two of the treasury release funds
    approvers: [treasury]
    quorum: 2
    assurance: authenticated
```
"""


def set_up(vault: Path) -> None:
    """Put three people on record, and a rule that asks two of them."""
    record, policy = vault / ".hitl" / "reviewers.toml", vault / "Policy.md"
    if not record.exists():
        record.write_text(REVIEWERS, encoding="utf-8")
    text = policy.read_text(encoding="utf-8")
    if "two-of-treasury" not in text:
        policy.write_text(text + RULE, encoding="utf-8")


def make_key(vault: Path) -> Path:
    """Make Alice an SSH key, as anybody has one in ~/.ssh, and put its public half on record."""
    key = vault.parent / "alice_ed25519"
    if not key.exists():
        made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "alice", "-f", str(key)]
        subprocess.run(made, check=True)
        hitl("reviewer", "key", "alice", "--add", f"{key}.pub", "--vault", str(vault))
    return key


def hitl(*words: str) -> None:
    """Run a command of hitl, as a person does in a terminal."""
    subprocess.run([sys.executable, "-m", "hitl_vault", *words], check=True)


async def text_to_phone(desk: Orchestrator, request: Request, name: str) -> str:
    """Send somebody a code: to their phone, with `.hitl/notify.toml`; here it is handed on."""
    await desk.send_code(request.id, to=name)
    history = await desk.history(request.id)
    issued = [known.event for known in history if known.event.kind is Kind.CODE_ISSUED]
    return desk.code_for(issued[-1])


def save(note: Path, *changes: tuple[str, str]) -> None:
    """Change lines of a note and save it, as an editor does."""
    text = note.read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} does not stand once in {note}"
        text = text.replace(old, new)
    beside = note.with_name(f".{note.name}.saving")
    beside.write_text(text, encoding="utf-8")
    beside.replace(note)


async def ask(desk: Orchestrator, amount: int) -> tuple[Request, Path]:
    request = await desk.request_approval(
        "release_funds",
        f"Release {amount} EUR to the payroll account",
        {"amount": amount, "currency": "EUR", "account": "payroll"},
        requested_by="payroll-agent",
    )
    return request, Path(str(await desk.document_path(request.id)))


async def print_votes(desk: Orchestrator, request: Request) -> None:
    for vote in (await desk.get(request.id)).votes:
        print(f"  {vote.reviewer}: {vote.answer} ({vote.assurance}, over {vote.channel})")


async def main(vault: str) -> int:
    set_up(Path(vault))
    key = make_key(Path(vault))
    async with Orchestrator(vault) as desk:
        request, note = await ask(desk, 40_000)
        print("Alice signs", flush=True)
        signed = ("approve", request.id, "--as", "alice", "--sign", str(key), "--vault", vault)
        await asyncio.to_thread(hitl, *signed)
        code = await text_to_phone(desk, request, "bob")
        print("Bob types his code into", note.name, "and ticks the box under his name")
        save(
            note,
            ('\ncode: ""\n', f"\ncode: {code}\n"),
            ('\nreviewer: ""\n', "\nreviewer: bob\n"),
            ("- [ ] Approve ^approve-bob", "- [x] Approve ^approve-bob"),
        )
        approval = await desk.wait_for_approval(request.id)
        await print_votes(desk, request)
        print("Released after approval by", " and ".join(approval.reviewers))

        request, note = await ask(desk, 90_000)
        code = await text_to_phone(desk, request, "carol")
        print("Carol types her code, and ticks Reject under her name, with a reason")
        save(
            note,
            ('\ncode: ""\n', f"\ncode: {code}\n"),
            ('\nreviewer: ""\n', "\nreviewer: carol\n"),
            ("- [ ] Reject ^reject-carol", "- [x] Reject ^reject-carol"),
            ("- Reason (carol):", "- Reason (carol): payroll ran this morning"),
        )
        try:
            await desk.wait_for_approval(request.id)
        except Rejected as rejected:
            print("Not released:", rejected)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "vault")))
