"""What a caller passes is checked: each error names the argument and what is accepted."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from engine_kit import Office, Process

from hitl_vault.core.model import Assurance, Request, Status
from hitl_vault.errors import InvalidRequest, RequestNotFound, WaitTimeout

DIGEST = "0" * 64
NAIVE = datetime(2026, 11, 21)
WRONG_FILTERS = [
    ({"status": "done"}, "status must be one of pending, approved, .*, not 'done'"),
    ({"status": "aproved"}, "did you mean approved"),
    ({"status": ["pending", "x"]}, "status must be one of .* not 'x'"),
    ({"status": 5}, "status must be one of .* not 5"),
    ({"status": [None]}, "status must be one of .* not NoneType"),
    ({"type": 5}, "type must be a text, not int"),
    ({"requested_by": b"x"}, "requested_by must be a text, not bytes"),
    ({"run_id": "\ud800"}, "run_id holds half a character"),
    ({"since": "x"}, "since must be a datetime with a time zone, or .*7d.* not 'x'"),
    ({"since": NAIVE}, "since .* not a datetime without a time zone"),
    ({"since": 5}, "since .* not int"),
    ({"limit": -1}, "limit must be a whole number from 0 on, not -1"),
    ({"limit": True}, "limit .* not True"),
    ({"limit": 1.5}, "limit .* not 1.5"),
    ({"limit": "5"}, "limit .* not '5'"),
    ({"limit": 10**30}, "limit"),
    ({"limit": 10**6000}, "limit .* not this number"),
]


@pytest.mark.parametrize(("wrong", "says"), WRONG_FILTERS)
async def test_a_list_of_requests_names_the_argument_that_is_wrong(hitl: Process, wrong, says):
    """Nonsense is the caller's mistake, never a broken ledger, and never an empty list."""
    with pytest.raises(InvalidRequest, match=says):
        await hitl.list_requests(**wrong)


async def test_since_is_an_aware_time_or_how_long_ago(office: Office, hitl: Process):
    """Any time zone, or a text such as 7d; a limit of 0 gives none."""
    old = await hitl.request_approval("payment", "", {"n": 1})
    office.clock.advance(7200)
    new = await hitl.request_approval("payment", "", {"n": 2})

    async def found(**wanted) -> list[str]:
        return [request.id for request in await hitl.list_requests(**wanted)]

    east = timezone(timedelta(hours=9))
    assert await found(since="1h") == [new.id]
    assert await found(since="3h") == [new.id, old.id]
    assert await found(since=new.created_at.astimezone(east)) == [new.id]
    assert await found(since=datetime.min.replace(tzinfo=east)) == [new.id, old.id]
    assert await found(since=datetime.max.replace(tzinfo=UTC)) == []
    assert await found(limit=0) == []
    assert await found(status=["pending", Status.EXPIRED], limit=1) == [new.id]


REFUSED = ".* is (not a duration|longer than ten years)"
WRONG_TIMEOUTS = [-1, float("nan"), float("inf"), True, "soon", "-5m", [], 10**400]


@pytest.mark.parametrize("timeout", WRONG_TIMEOUTS, ids=repr)
async def test_a_timeout_is_a_duration(hitl: Process, asked: Request, timeout):
    """Negative, endless, not a number, a bool: refused before anything is asked or waited for."""
    for wait in (hitl.wait_for_decision, hitl.wait_for_approval, hitl.wait_for_outcome):
        with pytest.raises(InvalidRequest, match=f"timeout: {REFUSED}"):
            await wait(asked.id, timeout)
    with pytest.raises(InvalidRequest, match=f"timeout: {REFUSED}"):
        await hitl.request_approval("payment", "", {"n": 2}, timeout=timeout)
    with pytest.raises(InvalidRequest, match=f"timeout: {REFUSED}"):
        hitl.guard("payment", timeout=timeout)
    with pytest.raises(InvalidRequest, match=f"older_than_s: {REFUSED}"):
        await hitl.archive(timeout)
    assert await hitl.list_requests() == [asked]


async def test_no_time_at_all_is_a_look_for_a_waiter_and_an_error_for_a_request(
    hitl: Process, asked: Request
):
    """`timeout=0` waits for nothing; a request that nobody could answer is not made."""
    with pytest.raises(WaitTimeout):
        await hitl.wait_for_decision(asked.id, 0)
    with pytest.raises(InvalidRequest, match="timeout must be more than 0"):
        await hitl.request_approval("payment", "", {"n": 2}, timeout=0)
    with pytest.raises(InvalidRequest, match="timeout must be more than 0"):
        hitl.guard("payment", timeout="0s")


async def test_an_id_is_a_text(hitl: Process):
    """Every method that takes one says so; a text that names nothing is not found."""
    takes = [
        *(hitl.get, hitl.check_status, hitl.history, hitl.document_path, hitl.mark_executed),
        *(hitl.wait_for_decision, hitl.wait_for_approval, hitl.wait_for_outcome, hitl.cancel),
        lambda of: hitl.mark_failed(of, "x"),
        lambda of: hitl.approve(of, reviewer="alice"),
        lambda of: hitl.reject(of, reviewer="alice"),
        lambda of: hitl.comment(of, "x"),
        lambda of: hitl.resolve(of, Status.FAILED, by="alice"),
    ]
    for take in takes:
        for id in (None, 5, b"x", ["x"]):
            with pytest.raises(InvalidRequest, match="id must be a text"):
                await take(id)
        with pytest.raises(InvalidRequest, match="half a character"):
            await take("\ud800")
    for take in takes:
        if take != hitl.document_path:
            with pytest.raises(RequestNotFound):
                await take("")
    with pytest.raises(InvalidRequest, match="id must be a text"):
        hitl.execution(None)
    with pytest.raises(InvalidRequest, match="executor is empty"):
        hitl.execution("x", executor=" ")


async def test_an_id_of_ones_own_has_one_limit(hitl: Process):
    """Whatever its length, the message says 120."""
    for id in ("a" * 121, "a" * 500):
        with pytest.raises(InvalidRequest, match="at most 120 bytes"):
            await hitl.request_approval("payment", "", {}, id=id)
    assert (await hitl.request_approval("payment", "", {}, id="a" * 120)).id == "a" * 120


ANSWERS = [
    ({"answer": "maybe"}, "answer must be one of approve, reject, edit, not 'maybe'"),
    ({"answer": None}, "answer must be one of"),
    ({"assurance": "sworn"}, "assurance must be one of edited, authenticated, signed"),
    ({"reviewer": ""}, "reviewer is empty"),
    ({"reviewer": 5}, "reviewer must be a text, not int"),
    ({"reason": None}, "reason must be a text"),
    ({"channel": ""}, "channel is empty"),
    ({"channel": 5}, "channel must be a text"),
    ({"payload_sha256": ""}, "payload_sha256 must be 64 hexadecimal digits"),
    ({"payload_sha256": DIGEST[:12]}, "payload_sha256 must be 64"),
    ({"payload_sha256": 5}, "payload_sha256 must be 64"),
    ({"details": []}, "details must be an object"),
]


@pytest.mark.parametrize(("wrong", "says"), ANSWERS)
async def test_a_vote_is_checked_before_it_is_handed_in(hitl: Process, asked: Request, wrong, says):
    """An empty digest above all never counts as "whatever is in force"."""
    given = {"answer": "approve", "reviewer": "alice"} | wrong
    with pytest.raises(InvalidRequest, match=says):
        await hitl.vote(asked.id, **given)
    assert await hitl.get(asked.id) == asked


async def test_a_vote_may_be_named_by_plain_texts(hitl: Process, asked: Request):
    """The words of the record, as texts."""
    voted = await hitl.vote(asked.id, "approve", reviewer="alice", assurance="authenticated")
    assert voted.status is Status.APPROVED
    assert voted.votes[0].assurance is Assurance.AUTHENTICATED


async def test_who_and_what_are_never_empty(hitl: Process, asked: Request):
    """A remark without words, a withdrawal by nobody."""
    for call, says in (
        (hitl.cancel(asked.id, by=""), "by is empty"),
        (hitl.cancel(asked.id, by=5), "by must be a text"),
        (hitl.cancel(asked.id, reason=5), "reason must be a text"),
        (hitl.comment(asked.id, " "), "text is empty"),
        (hitl.comment(asked.id, 5), "text must be a text"),
        (hitl.comment(asked.id, "x", author=""), "author is empty"),
        (hitl.resolve(asked.id, Status.FAILED, by=""), "by is empty"),
        (hitl.resolve(asked.id, "done", by="a"), "status must be one of"),
        (hitl.resolve(asked.id, [], by="a"), "status must be one of"),
        (hitl.resolve(asked.id, "pending", by="a"), "executed or failed"),
        (hitl.mark_failed(asked.id, 5), "error must be a text"),
        (hitl.was_asked(""), "key is empty"),
        (hitl.was_asked(5), "key must be a text"),
        (hitl.request_approval("payment", "", {}, key=""), "key is empty"),
        (hitl.request_approval("payment", "", {}, requested_by=" "), "requested_by is empty"),
        (hitl.request_approval("payment", None, {}), "description must be a text"),
        (hitl.request_approval("payment", "", None), "details must be an object"),
    ):
        with pytest.raises(InvalidRequest, match=says):
            await call
    assert await hitl.get(asked.id) == asked
    for after in (-1, True, 1.5, "5", None):
        with pytest.raises(InvalidRequest, match="after must be a whole number"):
            hitl.subscribe(after)
    for type in ("", None, 5):
        with pytest.raises(InvalidRequest, match="type"):
            hitl.evaluate(type, {})


async def test_a_wait_says_once_where_to_answer(hitl: Process, asked: Request, caplog):
    """One line with the note's path and the command; none for a mere look."""
    caplog.set_level("INFO", logger="hitl_vault")
    with pytest.raises(WaitTimeout):
        await hitl.wait_for_decision(asked.id, 0)
    assert not caplog.messages
    waiting = asyncio.create_task(hitl.wait_for_approval(asked.id))
    await asyncio.sleep(0)
    await hitl.approve(asked.id, reviewer="alice")
    await waiting
    (line,) = [text for text in caplog.messages if "waiting for an answer" in text]
    assert hitl.office.path(asked) in line
    assert f"hitl review {asked.id}" in line


async def test_what_is_allowed_can_still_be_asked():
    """`request_approval` asks whatever the policy allows, and one approval decides it."""
    hitl = await Office("default: allow\n").open()
    assert not hitl.requires_approval("payment", {"amount": 1})
    asked = await hitl.request_approval("payment", "", {"amount": 1})
    assert asked.status is Status.PENDING
    assert (await hitl.approve(asked.id, reviewer="bob")).status is Status.APPROVED
