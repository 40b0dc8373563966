"""Ask a person from another machine: the agent knows an address and a token, and no vault.

Try it:  hitl init vault  &&  python examples/remote_agent.py vault
It starts the service itself, as `hitl serve` does. Then answer the note in the vault.
"""

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

from hitl_vault import ApprovalDesk, HitlVaultError, Rejected, connect

if not find_spec("httpx") or not find_spec("uvicorn"):
    sys.exit("this needs two extras: python -m pip install 'hitl-vault[client,server]'")

from hitl_vault.client import PolicyClient

HITL = [sys.executable, "-m", "hitl_vault"]
PAYMENT = {"amount": 1500, "recipient": "vendor@example.com", "reference": "INV-2024-002"}


async def agent(hitl: ApprovalDesk) -> int:
    """The agent: it does not know whether the vault is near or far."""
    decision = await PolicyClient(hitl).check("payment", PAYMENT)
    if not decision.allowed:
        print("Forbidden:", decision.reason)
        return 7

    @hitl.guard("payment", "Pay {amount} to {recipient}", key="{reference}")
    async def pay(amount: float, recipient: str, reference: str) -> str:
        return f"paid {amount} to {recipient} for {reference}"

    print("Asking:", decision.reason)
    try:
        print(await pay(**PAYMENT))
    except Rejected as rejected:
        print("Not paid:", rejected)
        return rejected.exit_code
    return 0


async def far_agent(address: str, token: str) -> int:
    """Connect, and be the agent. `connect("vault")` would have the vault in its own hands."""
    async with connect(address, token=token, patience_s=60) as hitl:
        return await agent(hitl)


def main(vault: str) -> int:
    made = subprocess.run(
        [*HITL, "token", "create", "--agent", "invoice-agent", "--vault", vault],
        check=False,
        capture_output=True,
        text=True,
    )
    if made.returncode:
        print(made.stderr.strip(), file=sys.stderr)
        return made.returncode
    try:
        with service(vault) as address:
            return asyncio.run(far_agent(address, made.stdout.strip()))
    except HitlVaultError as error:
        print(error, file=sys.stderr)
        return error.exit_code


@contextlib.contextmanager
def service(vault: str) -> Iterator[str]:
    """Serve the vault until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = subprocess.Popen([*HITL, "serve", "--port", str(port), "--vault", vault])
    try:
        yield f"http://127.0.0.1:{port}"  # it is still starting: the first call waits for it
    finally:
        running.terminate()
        running.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "vault"))
