"""Two of three people approve, each in their own way; then one of them says no, and that ends it.

Try it:  hitl init vault  &&  python examples/two_of_three.py vault
Each person on record has lines of their own in the note: two people on two devices never write the
same line, and a merge by git or a sync tool keeps both answers.
"""

import asyncio
import sys
from pathlib import Path

from hitl_vault import Orchestrator, Rejected, Request

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


def save(note: Path, *changes: tuple[str, str]) -> None:
    """Change lines of a note and save it, as an editor does."""
    text = note.read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} does not stand once in {note}"
        text = text.replace(old, new)
    beside = note.with_name(f".{note.name}.saving")
    beside.write_text(text, encoding="utf-8")
    beside.replace(note)


async def ask(hitl: Orchestrator, amount: int) -> tuple[Request, Path]:
    request = await hitl.request_approval(
        "release_funds",
        f"Release {amount} EUR to the payroll account",
        {"amount": amount, "currency": "EUR", "account": "payroll"},
        requested_by="payroll-agent",
    )
    return request, Path(str(await hitl.document_path(request.id)))


async def print_votes(hitl: Orchestrator, request: Request) -> None:
    for vote in (await hitl.get(request.id)).votes:
        print(f"  {vote.reviewer}: {vote.answer} ({vote.assurance}, over {vote.channel})")


async def main(vault: str) -> int:
    set_up(Path(vault))
    async with Orchestrator(vault) as hitl:
        request, note = await ask(hitl, 40_000)
        print("Alice approves in a program; on the command line it is: hitl approve", request.id)
        await hitl.approve(request.id, reviewer="alice")
        await print_votes(hitl, request)
        print("Bob ticks the box under his name in", note.name)
        save(note, ("- [ ] Approve ^approve-bob", "- [x] Approve ^approve-bob"))
        approval = await hitl.wait_for_approval(request.id)
        await print_votes(hitl, request)
        print("Released after approval by", " and ".join(approval.reviewers))

        request, note = await ask(hitl, 90_000)
        await hitl.approve(request.id, reviewer="alice")
        print("Alice approves again; Carol ticks Reject under her name, with a reason")
        save(
            note,
            ("- [ ] Reject ^reject-carol", "- [x] Reject ^reject-carol"),
            ("- Reason (carol):", "- Reason (carol): payroll ran this morning"),
        )
        try:
            await hitl.wait_for_approval(request.id)
        except Rejected as rejected:
            print("Not released:", rejected)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "vault")))
