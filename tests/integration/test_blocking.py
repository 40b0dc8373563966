"""The blocking twin: the same promises for code without asyncio, from any thread."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from desk_kit import QUICK, new_vault, ticked

from hitl_vault import Conflict, InvalidRequest, NotOpen, Rejected, Status, WaitTimeout, wiring
from hitl_vault.blocking import Orchestrator


@pytest.fixture
def root() -> Iterator[Path]:
    with new_vault() as root:
        yield root


def test_ask_wait_run(root: Path) -> None:
    """A person ticks the box in the note; the block runs once with what was approved."""
    with Orchestrator(root, **QUICK) as hitl:
        asked = hitl.request_approval("pay", "Pay", {"amount": 900})
        note = Path(hitl.document_path(asked.id) or "")
        note.write_text(ticked(note.read_text()))
        assert hitl.wait_for_approval(asked.id, 40).status is Status.APPROVED
        with hitl.execution(asked.id) as run:
            assert run.details == {"amount": 900}
            run.result = "paid"
        assert hitl.get(asked.id).result == "paid"
        with pytest.raises(Conflict), hitl.execution(asked.id):
            pytest.fail("it ran twice")


def test_errors_are_the_same(root: Path) -> None:
    """Rejected, impatient, failed: as in the asynchronous API."""
    with Orchestrator(root, **QUICK) as hitl:
        asked = hitl.request_approval("pay", "", {})
        with pytest.raises(WaitTimeout):
            hitl.wait_for_decision(asked.id, 0.01)
        hitl.reject(asked.id, reviewer="alice", reason="no")
        with pytest.raises(Rejected, match="no"):
            hitl.wait_for_approval(asked.id)
        other = hitl.request_approval("pay", "", {"n": 2})
        hitl.approve(other.id, reviewer="alice")
        with pytest.raises(ZeroDivisionError), hitl.execution(other.id):
            1 / 0  # noqa: B018
        assert hitl.get(other.id).status is Status.FAILED


def test_many_threads_share_one(root: Path) -> None:
    """Asking, answering and running from eight threads: each request runs once."""
    ran: list[str] = []
    with Orchestrator(root, **QUICK) as hitl:

        def work(number: int) -> None:
            asked = hitl.request_approval("pay", "", {"n": number % 20}, key=f"k{number % 20}")
            hitl.approve(asked.id, reviewer="alice")
            try:
                with hitl.execution(asked.id):
                    ran.append(asked.id)
            except Conflict:
                pass

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(80)))
        assert len(ran) == len(set(ran)) == 20
        assert len(hitl.list_requests()) == 20


def test_closing_ends_its_thread(root: Path) -> None:
    """Nothing runs afterwards, also when opening failed."""
    with Orchestrator(root, **QUICK):
        assert any(thread.name == "hitl-loop" for thread in threading.enumerate())
    assert not any(thread.name == "hitl-loop" for thread in threading.enumerate())
    (root / ".hitl" / "ledger.db").write_bytes(b"something else entirely" * 1000)
    with pytest.raises(Exception, match="ledger"), Orchestrator(root, **QUICK):
        pytest.fail("it opened")
    assert not any(thread.name == "hitl-loop" for thread in threading.enumerate())


@pytest.mark.parametrize("watching", [True, False])
def test_events_are_told_live(root: Path, watching: bool) -> None:
    """A plain loop over events, in a process that reads notes and in one that does not."""
    with Orchestrator(root, watching=watching, **QUICK) as hitl:
        asked = hitl.request_approval("pay", "", {})
        events = hitl.subscribe()
        assert next(events).event.kind == "policy_changed"  # of the vault as a whole
        assert next(events).event.request_id == asked.id
        with Orchestrator(root, **QUICK) as other:
            other.cancel(asked.id)
        assert next(events).event.kind == "cancelled"
        events.close()
        assert len(list(hitl.subscribe(follow=False))) == 3


def test_every_name_of_the_asynchronous_api_is_here() -> None:
    """Nobody has to write asyncio for the sake of one method."""
    names = {name for name in dir(wiring.Orchestrator) if not name.startswith("_")}
    assert names - {"open", "aclose"} <= set(dir(Orchestrator))


def test_what_is_passed_wrongly_is_told_at_once(root: Path) -> None:
    """The same checks as in the asynchronous API, the events among them."""
    with Orchestrator(root, **QUICK) as hitl:
        for call in (
            lambda: hitl.subscribe(-1),
            lambda: hitl.list_requests(since="x"),
            lambda: hitl.wait_for_decision("x", float("nan")),
            lambda: hitl.guard("payment", timeout=-1),
        ):
            with pytest.raises(InvalidRequest):
                call()
        with pytest.raises(InvalidRequest, match="id must be a text"), hitl.execution(5):
            pytest.fail("it ran")
        assert hitl.notices() == []
        assert hitl.capabilities().ordered_feed


@pytest.mark.parametrize(
    ("vault", "options", "says"),
    [
        ("", {}, "vault is empty"),
        (5, {}, "vault must be a path, not int"),
        (b"x", {}, "vault must be a path, not bytes"),
        (None, {"watching": "no"}, "watching must be True or False"),
    ],
)
def test_a_vault_is_named_by_a_path(vault, options, says) -> None:
    """An empty name never means the folder one happens to be in."""
    with pytest.raises(InvalidRequest, match=says):
        Orchestrator(vault, **options)


def test_closing_tells_who_waits_in_another_thread(root: Path) -> None:
    """A waiter and a follower get NotOpen, not a cancellation and not for ever."""
    hitl = Orchestrator(root, **QUICK).__enter__()
    asked = hitl.request_approval("pay", "", {})
    events = hitl.subscribe(after=2)
    with ThreadPoolExecutor(2) as pool:
        told = [pool.submit(hitl.wait_for_approval, asked.id), pool.submit(next, events)]
        while len(hitl._work) < 2:
            threading.Event().wait(0.01)
        hitl.close()
        for one in told:
            with pytest.raises(NotOpen):
                one.result(timeout=20)


def test_closing_records_what_was_running_as_unknown(root: Path) -> None:
    """A guarded function that another thread still runs may or may not end: a person finds out."""
    began, go_on = threading.Event(), threading.Event()
    hitl = Orchestrator(root, **QUICK).__enter__()

    @hitl.guard("pay", key="k")
    def pay() -> None:
        began.set()
        go_on.wait(20)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(pay)
        while not (waiting := hitl.list_requests(status="pending")):
            threading.Event().wait(0.01)
        hitl.approve(waiting[0].id, reviewer="alice")
        assert began.wait(20)
        hitl.close()
        with pytest.raises(NotOpen):
            running.result(timeout=20)
        go_on.set()
    with Orchestrator(root, **QUICK) as again:
        assert again.get(waiting[0].id).status is Status.UNKNOWN


def test_a_closed_one_says_so(root: Path) -> None:
    """Whatever is asked of it, it says that it is closed and what to do."""
    with Orchestrator(root, **QUICK) as hitl:
        asked = hitl.request_approval("pay", "", {})
    for use in (
        lambda: hitl.get(asked.id),
        lambda: hitl.evaluate("pay", {}),
        lambda: hitl.execution(asked.id).__enter__(),
        lambda: hitl.wait_for_decision(asked.id),
        lambda: list(hitl.subscribe()),
        hitl.__enter__,
    ):
        with pytest.raises(NotOpen, match="it is closed; make a new one"):
            use()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_what_ends_a_program_reaches_its_caller_and_nobody_else(
    root: Path, error: BaseException
) -> None:
    """`sys.exit()` in a guarded function is raised to who called it, the end is recorded as
    unknown, and another thread waits on and gets its answer."""
    with Orchestrator(root, **QUICK) as hitl:

        @hitl.guard("pay")
        def pay() -> None:
            raise error

        other = hitl.request_approval("other", "", {})
        with ThreadPoolExecutor(2) as pool:
            waiting = pool.submit(hitl.wait_for_approval, other.id, 40)
            calling = pool.submit(pay)
            while not (found := [r for r in hitl.list_requests() if r.action.type == "pay"]):
                threading.Event().wait(0.01)
            hitl.approve(found[0].id, reviewer="alice")
            with pytest.raises(type(error)) as raised:
                calling.result(timeout=20)
            assert raised.value is error
            ended = hitl.get(found[0].id)
            assert ended.status is Status.UNKNOWN
            assert ended.outcome is not None
            assert type(error).__name__ in ended.outcome.error
            hitl.approve(other.id, reviewer="alice")
            assert waiting.result(timeout=20).status is Status.APPROVED


def test_a_guarded_function_that_raises_stop_iteration_failed(root: Path) -> None:
    """No future can hold that error: it comes as RuntimeError instead of never."""
    (root / "Policy.md").write_text("```yaml hitl-policy\ndefault: allow\n```\n")
    with Orchestrator(root, **QUICK) as hitl:

        @hitl.guard("pay")
        def pay() -> object:
            return next(iter(()))

        with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="StopIteration"):
            pool.submit(pay).result(timeout=20)
