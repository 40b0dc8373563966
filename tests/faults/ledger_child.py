"""What the child processes of the ledger's tests do; run as a script with the job's name first."""

import asyncio
import json
import os
import resource
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from hitl_vault.adapters.clock import SystemClock
from hitl_vault.adapters.ledger.reader import LedgerReader
from hitl_vault.adapters.ledger.sqlite import SqliteLedger
from hitl_vault.core.model import Answer
from hitl_vault.errors import HitlVaultError
from hitl_vault.testing.samples import make_ask, make_claim, make_vote


def open_ledger(path):
    return SqliteLedger(Path(path), SystemClock(), bell=Path(path).parent / "bell")


def say(*words):
    print(*words, flush=True)


def ready():
    """Tell the parent that we are ready, and wait until it says go."""
    say("ready")
    sys.stdin.readline()


async def decide(path, name, answer):
    """Answer every request, in a race with others."""
    ledger = open_ledger(path)
    requests = sorted(ledger._reader.find(ALL), key=lambda request: request.id)
    ready()
    for request in requests:
        receipt = await ledger.submit(make_vote(request, name, Answer(answer)))
        say(receipt.kept, receipt.request.status)
    await ledger.aclose()


async def claim(path, name):
    """Claim every request, in a race with others."""
    ledger = open_ledger(path)
    requests = sorted(ledger._reader.find(ALL), key=lambda request: request.id)
    ready()
    for request in requests:
        receipt = await ledger.submit(make_claim(request, f"{name}-{request.id}"))
        say(receipt.kept, receipt.request.claim.claim_id)
    await ledger.aclose()


async def ask(path, name, number):
    """Ask for ever, or `number` times; say each id once it is acknowledged."""
    ledger = open_ledger(path)
    ready()

    async def lane(lane_name):
        count = 0
        while number == "0" or count < int(number):
            receipt = await ledger.submit(make_ask(f"{name}-{lane_name}-{count}"))
            say(receipt.request.id)
            count += 1

    await asyncio.gather(*(lane(f"lane{n}") for n in range(4)))
    await ledger.aclose()


async def vote(path, id, name):
    """Vote once."""
    ledger = open_ledger(path)
    request = await ledger.get(id)
    await ledger.submit(make_vote(request, name))
    await ledger.aclose()


async def fresh(path):
    """Open a vault that may not exist yet, and ask in it."""
    ready()
    ledger = open_ledger(path)
    say(ledger.vault_id)
    receipt = await ledger.submit(make_ask(f"from-{os.getpid()}"))
    say(receipt.kept)
    await ledger.aclose()


async def small_files(path, limit):
    """Ask until no file may grow any more, then raise the limit and go on."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    ledger = open_ledger(path)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), hard))
    kept, failed = await asks(ledger, 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    more, _ = await asks(ledger, 1)
    await ledger.aclose()
    say(json.dumps([kept, failed, more]))


async def asks(ledger, lane):
    kept = []
    for n in range(300 if lane == 0 else 10):
        try:
            receipt = await ledger.submit(make_ask(f"l{lane}-{n}", details={"pad": "x" * 5000}))
        except HitlVaultError as error:
            return kept, [type(error).__name__, str(error)]
        kept.append(receipt.request.id)
    return kept, None


async def open_as(path, uid):
    """Open and use a ledger as another user of the system."""
    os.setgid(int(uid))
    os.setuid(int(uid))
    for work in (lambda: LedgerReader(Path(path)), lambda: open_ledger(path)):
        try:
            opened = work()
            if isinstance(opened, SqliteLedger):
                await opened.submit(make_ask("x"))
            say("opened")
        except HitlVaultError as error:
            say(type(error).__name__, error)


if __name__ == "__main__":
    from hitl_vault.ports import Filter

    ALL = Filter()
    job, *arguments = sys.argv[1:]
    asyncio.run(globals()[job](*arguments))
