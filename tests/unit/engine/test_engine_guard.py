"""The guard: evaluate, ask, wait, claim, run once, record; the function gets what was approved."""

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from engine_kit import Office, Process

from hitl_vault.core.model import Effect, Status
from hitl_vault.errors import (
    Denied,
    ExecutionFailed,
    Expired,
    InvalidRequest,
    OutcomeUnknown,
    Rejected,
)

POLICY = """\
default: ask
rules:
  - {id: any, effect: ask, answers: [approve, reject, edit]}
  - {id: never, when: action.type == "wipe", effect: deny, reason: never wipe}
"""
ALLOW = "default: ask\nrules:\n  - {id: small, when: details.amount < 500, effect: allow}\n"


@pytest.fixture
def office() -> Office:
    return Office(POLICY)


@pytest.fixture
async def hitl(office: Office) -> Process:
    return await office.open()


async def first(hitl: Process):
    """Return the first request there is."""
    async with asyncio.timeout(10):
        while not (found := await hitl.list_requests()):
            await asyncio.sleep(0)
        return found[-1]


async def test_a_guarded_function_runs_after_the_approval_with_what_was_approved(hitl: Process):
    """The reviewer changed the amount; the function gets the changed one."""
    paid = []

    @hitl.guard("payment", "Pay {amount} to {to}")
    async def pay(amount: int, to: str, *, note: str = "-", **more: int) -> str:
        paid.append((amount, to, note, more))
        return f"paid {amount}"

    task = asyncio.create_task(pay(900, to="bob", fee=1))
    request = await first(hitl)
    assert request.action.description == "Pay 900 to bob"
    assert request.details == {"amount": 900, "to": "bob", "note": "-", "fee": 1}
    assert not paid
    await hitl.approve(request.id, reviewer="alice", details={**request.details, "amount": 450})
    assert await task == "paid 450"
    assert paid == [(450, "bob", "-", {"fee": 1})]
    assert (await hitl.get(request.id)).result == "paid 450"


async def test_an_allowed_action_runs_at_once():
    """No request is made for what needs none."""
    office = Office(ALLOW)
    hitl = await office.open()

    @hitl.guard("payment")
    def pay(amount: int) -> int:
        return amount

    assert await pay(100) == 100
    assert await hitl.list_requests() == []
    assert hitl.evaluate("payment", {"amount": 100}).effect is Effect.ALLOW


async def test_a_denied_action_never_runs(hitl: Process):
    """Denied by the policy: no request, no run."""

    @hitl.guard("wipe")
    async def wipe() -> None:
        pytest.fail("it ran")

    with pytest.raises(Denied, match="never wipe"):
        await wipe()
    with pytest.raises(Denied):
        await hitl.request_approval("wipe", "", {})
    assert await hitl.list_requests() == []


async def test_what_is_not_approved_does_not_run(office: Office, hitl: Process):
    """Rejected and expired are errors of the call."""

    @hitl.guard("payment", timeout="1h")
    async def pay(amount: int) -> None:
        pytest.fail("it ran")

    task = asyncio.create_task(pay(1))
    await hitl.reject((await first(hitl)).id, reviewer="alice")
    with pytest.raises(Rejected):
        await task
    task = asyncio.create_task(pay(2))
    async with asyncio.timeout(10):
        while len(await hitl.list_requests()) < 2:
            await asyncio.sleep(0)
    office.clock.advance(3600)
    await hitl.timers.tick()
    with pytest.raises(Expired):
        await task


async def test_a_key_makes_it_run_once_for_ever(office: Office, hitl: Process):
    """Called again, in another process too, it returns the recorded result."""
    runs = []

    def guarded(process: Process):
        @process.guard("payment", key="invoice-{invoice}")
        async def pay(invoice: str) -> dict:
            runs.append(invoice)
            return {"paid": invoice}

        return pay

    task = asyncio.create_task(guarded(hitl)("A1"))
    twin = asyncio.create_task(guarded(hitl)("A1"))
    await hitl.approve((await first(hitl)).id, reviewer="alice")
    assert await task == await twin == {"paid": "A1"}
    other = await office.open()
    assert await guarded(other)("A1") == {"paid": "A1"}
    assert runs == ["A1"]
    assert len(await hitl.list_requests()) == 1


async def test_a_failed_action_is_not_run_again(office: Office, hitl: Process):
    """Under the same key the failure is reported, not repeated."""
    runs = []

    @hitl.guard("payment", key=lambda invoice: f"i-{invoice}")
    def pay(invoice: str) -> None:
        runs.append(invoice)
        raise ValueError("no money")

    task = asyncio.create_task(pay("A1"))
    await hitl.approve((await first(hitl)).id, reviewer="alice")
    with pytest.raises(ValueError, match="no money"):
        await task
    with pytest.raises(ExecutionFailed, match="no money"):
        await pay("A1")
    assert runs == ["A1"]


async def test_an_action_of_unknown_end_is_not_run_again(office: Office, hitl: Process):
    """Its process died in the middle: the next call says so."""
    started = asyncio.Event()

    def guarded(process: Process):
        @process.guard("payment", key="k")
        async def pay() -> None:
            started.set()
            await asyncio.Event().wait()

        return pay

    task = asyncio.create_task(guarded(hitl)())
    await hitl.approve((await first(hitl)).id, reviewer="alice")
    await started.wait()
    office.dead.add("process1")
    other = await office.open()
    with pytest.raises(OutcomeUnknown, match=r"hitl resolve \S+ executed\|failed"):
        await guarded(other)()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (await other.get((await first(other)).id)).status is Status.UNKNOWN


async def test_arguments_left_out_stay_the_callers(hitl: Process):
    """`ignore` keeps connections and secrets out of the note, and passes them on."""
    seen = []

    @hitl.guard("payment", ignore=["session", "token"])
    async def pay(session: object, *amounts: int, **more: object) -> None:
        seen.append((session, amounts, more))

    session = object()
    task = asyncio.create_task(pay(session, 1, 2, token="secret", to="bob"))
    request = await first(hitl)
    assert request.details == {"amounts": [1, 2], "to": "bob"}
    await hitl.approve(request.id, reviewer="alice")
    await task
    assert seen == [(session, (1, 2), {"token": "secret", "to": "bob"})]


async def test_what_cannot_be_guarded_is_told_early(hitl: Process):
    """Positional-only parameters have no name; a template that names nothing known is an error."""
    with pytest.raises(InvalidRequest, match="positional-only"):

        @hitl.guard("payment")
        async def pay(amount: int, /) -> None: ...

    @hitl.guard("payment", "Pay {sum}")
    async def other(amount: int) -> None: ...

    with pytest.raises(InvalidRequest, match="sum"):
        await other(1)

    @hitl.guard("payment")
    async def third(amount: object) -> None: ...

    with pytest.raises(InvalidRequest):
        await third(object())


async def test_a_generator_cannot_be_guarded(hitl: Process):
    """Calling one runs nothing of it: it is refused where it is decorated."""

    def steps(amount: int) -> Iterator[int]:
        yield amount

    async def later(amount: int) -> AsyncIterator[int]:
        yield amount

    class Steps:
        def __call__(self, amount: int) -> Iterator[int]:
            yield amount

    for function in (steps, later, functools.partial(steps, 1), Steps()):
        with pytest.raises(InvalidRequest, match="generator function"):
            hitl.guard("payment")(function)  # type: ignore[arg-type,type-var]


@dataclass
class Receipt:
    number: int
    at: datetime


AT = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("result", "same"),
    [
        ((1, "a"), [1, "a"]),
        ({"rows": ((1, 2), (3,))}, {"rows": [[1, 2], [3]]}),
        ({1: "one"}, {"1": "one"}),
        (Receipt(7, AT), {"number": 7, "at": "2026-11-21T00:00:00Z"}),
        (None, None),
        (1.5, 1.5),
        ("text", "text"),
    ],
    ids=repr,
)
async def test_with_a_key_every_call_returns_the_same(
    office: Office, hitl: Process, result, same, caplog
):
    """The call that ran and the call after a restart: one value, as JSON holds it."""

    def guarded(process: Process):
        @process.guard("payment", key="k")
        def pay():
            return result

        return pay

    task = asyncio.create_task(guarded(hitl)())
    await hitl.approve((await first(hitl)).id, reviewer="alice")
    ran = await task
    again = await guarded(await office.open())()
    assert ran == again == same
    assert type(ran) is type(again) is type(same)
    assert not caplog.records


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("result", "recorded"),
    [
        (float("nan"), "nan"),
        ([1.0, float("inf")], [1.0, "inf"]),
        ({"rate": float("nan"), "ok": True}, {"rate": "nan", "ok": True}),
        (2**60, "1152921504606846976"),
        ({"object": object}, {"object": "<class 'object'>"}),
        ("x" * 70_000, "x" * 1_000),
        (Broken(), "<Broken>"),
    ],
    ids=["nan", "inf", "nan inside", "2**60", "object", "large", "broken"],
)
async def test_a_result_json_cannot_hold_is_told_and_is_no_failure(
    office: Office, hitl: Process, result, recorded, caplog
):
    """It ran: executed is recorded, its caller gets all of it, later calls get its text."""

    def guarded(process: Process):
        @process.guard("payment", key="k")
        def pay():
            return result

        return pay

    task = asyncio.create_task(guarded(hitl)())
    request = await first(hitl)
    await hitl.approve(request.id, reviewer="alice")
    assert await task is result
    assert "JSON cannot hold its result" in caplog.text
    assert request.id in caplog.text
    assert (await hitl.get(request.id)).status is Status.EXECUTED
    again = await guarded(await office.open())()
    assert again.strip('"').startswith(recorded) if isinstance(again, str) else again == recorded


async def test_without_a_key_the_result_is_the_functions_own(hitl: Process):
    """No later call can return it, so nothing is made of it."""
    result = (1, object())

    @hitl.guard("payment")
    def pay():
        return result

    task = asyncio.create_task(pay())
    await hitl.approve((await first(hitl)).id, reviewer="alice")
    assert await task is result


async def test_a_key_returns_json_for_an_allowed_action_too():
    """Whether a person was asked changes nothing about what the caller gets."""
    hitl = await Office(ALLOW).open()

    @hitl.guard("payment", key="k-{amount}")
    def pay(amount: int) -> tuple[int, int]:
        return (amount, 1)

    assert await pay(100) == [100, 1]


async def test_a_method_is_told_to_leave_out_self(hitl: Process):
    """At once, with what to write; and with it, it works."""
    with pytest.raises(InvalidRequest, match=r'method.*ignore=\("self",\)'):

        class Bank:
            @hitl.guard("payment")
            async def pay(self, amount: int) -> None: ...

    class Right:
        @hitl.guard("payment", ignore=("self",))
        async def pay(self, amount: int) -> "Right":
            return self

    bank = Right()
    task = asyncio.create_task(bank.pay(5))
    request = await first(hitl)
    assert request.details == {"amount": 5}
    await hitl.approve(request.id, reviewer="alice")
    assert await task is bank


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"type": ""}, "type is empty"),
        ({"type": 5}, "type must be a text"),
        ({"description": None}, "description must be a text"),
        ({"key": ""}, "key is empty"),
        ({"key": 5}, "key must be a text"),
        ({"requested_by": 5}, "requested_by must be a text"),
        ({"ignore": "self"}, "ignore must be names"),
        ({"ignore": 5}, "ignore must be names"),
        ({"ignore": [5]}, "ignore must be names"),
        ({"ignore": ["sesion"]}, "ignore names sesion, but the function takes amount"),
    ],
)
async def test_a_guard_is_checked_where_it_is_written(hitl: Process, wrong, says):
    """Not at the first call in the night: when the module is loaded."""
    with pytest.raises(InvalidRequest, match=says):

        @hitl.guard(**({"type": "payment"} | wrong))
        async def pay(amount: int) -> None: ...


async def test_a_key_that_a_function_makes_is_a_text(hitl: Process):
    """Nothing is asked under None or an empty key."""

    @hitl.guard("payment", key=lambda amount: None)
    async def pay(amount: int) -> None: ...

    with pytest.raises(InvalidRequest, match="key must be a text"):
        await pay(1)
    assert await hitl.list_requests() == []
