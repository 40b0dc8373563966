"""The thread that does a vault's disk work."""

from __future__ import annotations

import asyncio
import threading

import pytest

from hitl_vault.adapters.vault.worker import Worker


@pytest.fixture
async def worker():
    made = Worker("test-worker")
    yield made
    await made.aclose()


async def test_work_is_done_in_order_in_one_other_thread(worker):
    seen = []

    def work(number):
        seen.append(number)
        return threading.get_ident()

    threads = await asyncio.gather(*(worker.do(lambda n=n: work(n)) for n in range(50)))
    assert seen == list(range(50))
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


async def test_what_fails_fails_alone(worker):
    def fail():
        raise FileNotFoundError("gone")

    results = await asyncio.gather(
        worker.do(lambda: 1), worker.do(fail), worker.do(lambda: 3), return_exceptions=True
    )
    assert results[0] == 1
    assert isinstance(results[1], FileNotFoundError)
    assert results[2] == 3


async def test_a_cancelled_waiter_does_not_keep_the_others_from_hearing(worker):
    begun, release = threading.Event(), threading.Event()

    def slow():
        begun.set()
        release.wait(10)

    first = asyncio.ensure_future(worker.do(slow))
    second = asyncio.ensure_future(worker.do(lambda: 2))
    await asyncio.to_thread(begun.wait, 10)
    first.cancel()
    release.set()
    assert await second == 2


async def test_closing_finishes_what_was_handed_in():
    worker, done = Worker("test-worker"), []
    handed_in = [asyncio.ensure_future(worker.do(lambda n=n: done.append(n))) for n in range(20)]
    await asyncio.sleep(0)
    await worker.aclose()
    await asyncio.gather(*handed_in)
    assert done == list(range(20))
    assert "test-worker" not in {thread.name for thread in threading.enumerate()}


async def test_a_closed_worker_refuses_work(worker):
    await worker.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await worker.do(lambda: 1)
