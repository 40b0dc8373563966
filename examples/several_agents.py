"""Three agent processes share one vault; a fourth asks for the same thing and gets the same answer.

Try it:  hitl init vault  &&  python examples/several_agents.py vault
"""

import asyncio
import multiprocessing
import sys

from hitl_vault import NotApproved, Orchestrator

ORDERS = [("buyer-1", "A-100", 600), ("buyer-2", "B-200", 700), ("buyer-3", "C-300", 800)]
ORDERS.append(("buyer-1", "A-100", 600))  # the same order again, from another process


async def buy(vault: str, agent: str, order: str, amount: int) -> str:
    """One agent: ask, wait, and buy if nobody else has."""
    async with Orchestrator(vault) as hitl:

        @hitl.guard("payment", "Order {order}", key="order-{order}", requested_by=agent)
        async def place(order: str, amount: int, recipient: str) -> str:
            return f"{order} bought for {amount} from {recipient}"

        try:
            return await place(order, amount, "supplier@example.com")
        except NotApproved as refusal:
            return f"{order} not bought: {refusal.code}"


def agent(vault: str, name: str, order: str, amount: int) -> str:
    return asyncio.run(buy(vault, name, order, amount))


def main(vault: str) -> int:
    with multiprocessing.get_context("spawn").Pool(len(ORDERS)) as pool:
        waiting = [pool.apply_async(agent, (vault, *order)) for order in ORDERS]
        print("Four agents ask for three orders; answer the notes in Pending_Approval.")
        for outcome in waiting:
            print(outcome.get())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "vault"))
