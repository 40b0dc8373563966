"""The guard on a real vault: a person answers in the note, the function runs once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from desk_kit import ASK, QUICK, new_vault, ticked, until

from hitl_vault import Orchestrator, Rejected, Status

POLICY = (
    ASK
    + """
```yaml hitl-policy
rules:
  - {id: small, when: "action.type == 'payment' && details.amount < 500", effect: allow}
  - {id: large, when: "action.type == 'payment' && details.amount >= 500", effect: ask, answers: [approve, reject, edit]}
```
"""
)


@pytest.fixture
def root() -> Iterator[Path]:
    with new_vault(POLICY) as root:
        yield root


async def the_note(root: Path) -> Path:
    return await until(lambda: next((root / "Pending_Approval").glob("*.md"), None))


async def test_a_person_changes_the_amount_and_the_changed_one_is_paid(root: Path) -> None:
    """Approve with changes, in the note; the function gets the changed amount, once."""
    paid = []
    async with Orchestrator(root, **QUICK) as hitl:

        @hitl.guard("payment", "Pay {amount} to {to}", key="inv-{invoice}")
        async def pay(amount: int, to: str, invoice: str) -> str:
            paid.append(amount)
            return f"{amount} to {to}"

        assert await pay(10, "eve", "0") == "10 to eve"
        task = asyncio.create_task(pay(900, "bob", "1"))
        note = await the_note(root)
        head, changes, tail = note.read_text().partition("### Changes")
        text = ticked(head, "Approve with the changes below") + changes
        note.write_text(text + tail.replace('"amount": 900', '"amount": 450'))
        async with asyncio.timeout(40):
            assert await task == "450 to bob"
        assert await pay(900, "bob", "1") == "450 to bob"
        assert paid == [10, 450]


async def test_a_rejection_in_the_note_is_an_error_with_its_reason(root: Path) -> None:
    """The function does not run; the reason reaches the agent."""
    async with Orchestrator(root, **QUICK) as hitl:

        @hitl.guard("payment")
        def pay(amount: int) -> None:
            pytest.fail("it ran")

        task = asyncio.create_task(pay(900))
        note = await the_note(root)
        text = note.read_text().replace('reason: ""', "reason: not this month")
        note.write_text(text.replace("status: pending", "status: rejected"))
        with pytest.raises(Rejected, match="not this month"):
            async with asyncio.timeout(40):
                await task
        assert [r.status for r in await hitl.list_requests()] == [Status.REJECTED]
