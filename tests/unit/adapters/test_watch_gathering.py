"""Owns the promises of gathering hints from threads. Never touches a file."""

import asyncio
import threading

from hitl_vault.adapters.watch.gathering import Gathering
from hitl_vault.adapters.watch.polling import Polling
from hitl_vault.ports import Hints


async def turn() -> None:
    """Let every callback that waits now run."""
    done = asyncio.Event()
    asyncio.get_running_loop().call_soon(done.set)
    await done.wait()


async def test_a_batch_is_one_callback() -> None:
    """What is added before the loop turns arrives together, and once."""
    seen: list[Hints] = []
    gathering = Gathering(asyncio.get_running_loop(), seen.append)
    gathering.add(("a.md",))
    gathering.add(("b.md", "a.md"))
    gathering.add(ledger=True)
    await turn()
    gathering.add(("c.md",))
    await turn()
    assert seen == [
        Hints(paths=frozenset({"a.md", "b.md"}), ledger=True),
        Hints(paths=frozenset({"c.md"})),
    ]


async def test_too_many_paths_become_all() -> None:
    """Beyond the limit one look at everything is asked for, whatever is added after."""
    seen: list[Hints] = []
    gathering = Gathering(asyncio.get_running_loop(), seen.append, limit=3)
    for number in range(10):
        gathering.add((f"{number}.md",))
    await turn()
    gathering.add(("a.md",))
    await turn()
    assert seen == [Hints(all=True), Hints(paths=frozenset({"a.md"}))]


async def test_threads_may_add() -> None:
    """Of what several threads add at once nothing is lost."""
    seen: set[str] = set()
    full = asyncio.Event()

    def on_hints(hints: Hints) -> None:
        seen.update(hints.paths)
        if len(seen) == 2_000:
            full.set()

    gathering = Gathering(asyncio.get_running_loop(), on_hints)

    def add(name: str) -> None:
        for number in range(500):
            gathering.add((f"{name}{number}.md",))

    threads = [threading.Thread(target=add, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    async with asyncio.timeout(30):
        await full.wait()
    for thread in threads:
        thread.join()


async def test_a_probe_is_no_hint() -> None:
    """The event of a self-test's file is noted and not passed on."""
    seen: list[Hints] = []
    gathering = Gathering(asyncio.get_running_loop(), seen.append)
    gathering.add(probe=True)
    await turn()
    assert gathering.heard.is_set()
    assert seen == []


async def test_closing_drops_what_waits() -> None:
    """Neither what was added before closing nor after is handed over."""
    seen: list[Hints] = []
    gathering = Gathering(asyncio.get_running_loop(), seen.append)
    gathering.add(("a.md",), all=True, probe=True)
    gathering.close()
    gathering.add(("b.md",))
    await turn()
    assert seen == []
    assert not gathering.heard.is_set()


def test_a_closed_loop_is_no_error() -> None:
    """A thread that adds after the loop has gone goes on undisturbed."""
    loop = asyncio.new_event_loop()
    gathering = Gathering(loop, lambda hints: None)
    loop.close()
    gathering.add(("a.md",))
    gathering.add(("b.md",))


async def test_polling_looks_at_once_and_again_until_stopped() -> None:
    """Stopping from inside a look is the last of it."""
    looks = 0
    enough = asyncio.Event()

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            polling.stop()
            enough.set()

    polling = Polling(look, 0.001)
    assert not polling.is_running
    polling.start()
    polling.start()
    assert looks == 1
    async with asyncio.timeout(30):
        await enough.wait()
    assert not polling.is_running
    polling.stop()
    await turn()
    assert looks == 3
