"""An agent is killed while it waits; started again, it calls the same line and gets the answer.

Try it:  hitl init vault  &&  python examples/crash_and_resume.py vault
The program kills its own agent. Answer the note meanwhile, or later: nothing is lost.
"""

import asyncio
import multiprocessing
import os
import signal
import sys

from hitl_vault import NotApproved, Orchestrator

DETAILS = {"amount": 900, "currency": "EUR", "recipient": "hosting@example.com"}


async def pay_the_bill(vault: str) -> str:
    """The agent's work, written as if nothing could ever go wrong."""
    async with Orchestrator(vault) as hitl:
        request = await hitl.request_approval(
            "payment", "The hosting bill", DETAILS, requested_by="billing-agent", key="hosting-11"
        )
        note = await hitl.document_path(request.id)
        print(f"process {os.getpid()} waits for an answer in {note}", flush=True)
        approval = await hitl.wait_for_approval(request.id)
        if approval.outcome is not None:
            return f"paid before: {approval.result}"
        async with hitl.execution(request.id) as run:
            run.result = f"paid {run.details['amount']} {run.details['currency']}"
        return str(run.result)


def agent(vault: str) -> None:
    """One life of the agent."""
    try:
        print(asyncio.run(pay_the_bill(vault)), flush=True)
    except NotApproved as refusal:
        print("Not paid:", refusal, flush=True)


async def asked(vault: str) -> None:
    """Return once the agent's request is in the ledger."""
    async with Orchestrator(vault, watching=False) as hitl:
        async for recorded in hitl.subscribe():
            if recorded.event.actor == "billing-agent":
                return


def main(vault: str) -> int:
    context = multiprocessing.get_context("spawn")
    first = context.Process(target=agent, args=(vault,))
    first.start()
    asyncio.run(asked(vault))
    os.kill(first.pid or 0, signal.SIGKILL)
    first.join()
    print(f"process {first.pid} was killed; its request waits on. The agent is started again.")
    second = context.Process(target=agent, args=(vault,))
    second.start()
    second.join()
    return second.exitcode or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "vault"))
