"""Ask a person before paying 1500 USD; pay once; say what happened.

Try it:  hitl init vault  &&  python examples/payment.py vault
Then open the note it names, tick "Approve", and save.
"""

import asyncio
import sys

from hitl_vault import Expired, Orchestrator, Rejected

PAYMENT = {
    "amount": 1500,
    "currency": "USD",
    "recipient": "vendor@example.com",
    "reference": "INV-2024-001",
}


async def pay(amount: float, currency: str, recipient: str, reference: str) -> str:
    """Stand in for the call to your bank."""
    return f"paid {amount} {currency} to {recipient} for {reference}"


async def main(vault: str) -> int:
    async with Orchestrator(vault) as hitl:
        if not hitl.requires_approval("payment", PAYMENT):
            print("The policy allows it without asking:", await pay(**PAYMENT))
            return 0

        request = await hitl.request_approval(
            "payment",
            f"Invoice {PAYMENT['reference']} is due today.",
            PAYMENT,
            requested_by="invoice-agent",
            key=PAYMENT["reference"],  # after a restart, the same invoice is the same request
            timeout="1h",
        )
        print("Please answer", await hitl.document_path(request.id))

        try:
            approval = await hitl.wait_for_approval(request.id)
        except Rejected as rejected:
            print("Not paid:", rejected)
            return rejected.exit_code
        except Expired as expired:
            print("Not paid, nobody answered:", expired)
            return expired.exit_code

        print("Approved by", ", ".join(approval.reviewers))
        async with hitl.execution(request.id) as run:  # the single right to pay
            run.result = await pay(**run.details)  # the details as approved, edits included
        print(run.result)
        return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "vault")))
