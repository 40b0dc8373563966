"""The queue: what waits, live, and answering in place."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
from inbox_kit import ask, browser, page_of, parse, send, use_policy
from server_kit import serving

from hitl_vault.adapters.ledger import sqlite_file
from hitl_vault.adapters.ledger import sqlite_rows as rows
from hitl_vault.adapters.ledger.cas import decide
from hitl_vault.cli.starting import make_vault
from hitl_vault.core.access import Scope
from hitl_vault.core.chain import Head
from hitl_vault.core.model import Status
from hitl_vault.testing.samples import make_ask

HX = {"HX-Request": "true"}


async def until(fact, timeout_s=5.0):
    """Wait for a fact, not for a time; return how long it took."""
    begun = time.monotonic()
    async with asyncio.timeout(timeout_s):
        while not await fact():
            await asyncio.sleep(0.02)
    return time.monotonic() - begun


async def test_a_card_says_the_risk_and_why_first_then_exactly_what_will_run(tmp_path):
    """Risk and reason stand before the details, the details before the form; all have names."""
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, details={"amount": 1500, "to": "v@x.org", "list": [1, 2]})
        page = await page_of(await browser(service), "/inbox")
        card = page.one(id=f"card-{request.id}")
        said = card.text
        order = ["high risk", "Payments need a person", "amount1500", "[1, 2]", "Reject"]
        assert [said.index(words) for words in order] == sorted(said.index(w) for w in order)
        assert card.one("h3").text == "Payment: Pay 1500 to v@x.org"
        due = card.one("time", class_="due")
        assert due.attrs["datetime"] == request.expires_at.isoformat()
        assert due.text.endswith("left")
        assert {one.attrs["value"] for one in card.all("button", name="answer")} == {
            "approve",
            "reject",
        }
        assert page.form(f"{request.id}/votes")["payload_sha256"] == request.payload_in_force


async def test_how_many_wait_stands_in_the_title_and_in_the_navigation(tmp_path):
    async with serving(tmp_path / "vault") as service:
        alice = await browser(service)
        empty = await page_of(alice, "/inbox")
        assert empty.one("title").text == "Queue · hitl"
        assert "Nothing waits for an answer" in empty.one("main").text
        for _ in range(2):
            await ask(service)
        page = await page_of(alice, "/inbox/history")
        assert page.one("title").text == "(2) History · hitl"
        assert page.one(id="waiting").attrs["data-waiting"] == "2"
        part = parse(await alice.get("/inbox/waiting", headers=HX))
        assert part.one(id="waiting").text.endswith("2")


async def test_what_ends_soon_comes_first_and_the_rest_by_age(tmp_path):
    async with serving(tmp_path / "vault") as service:
        first = await ask(service, details={"amount": 501, "to": "a"}, timeout="50m")
        second = await ask(service, details={"amount": 502, "to": "a"}, timeout="50m")
        soonest = await ask(service, details={"amount": 503, "to": "a"}, timeout="5m")
        soon = await ask(service, details={"amount": 504, "to": "a"}, timeout="10m")
        page = await page_of(await browser(service), "/inbox")
        shown = [one.attrs["data-id"] for one in page.all("li", class_="card")]
        assert shown == [soonest.id, soon.id, first.id, second.id]
        assert page.all("h2")[0].text == "Ends within 15 minutes"


async def test_an_answer_in_place_brings_back_the_card_as_it_then_stands(tmp_path):
    """With the script the card alone comes back; the note says the same."""
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service)
        alice = await browser(service)
        page = await page_of(alice, "/inbox")
        body = page.form(f"{request.id}/votes") | {"answer": "approve", "reason": "agreed"}
        answer = await alice.post(f"/inbox/requests/{request.id}/votes", data=body, headers=HX)
        card = parse(answer).one(id=f"card-{request.id}")
        assert "settled" in card.attrs["class"]
        assert card.one(class_="decision").text == "Approved by alice: agreed"
        now = await service.hitl.get(request.id)
        assert (now.votes[0].channel, now.votes[0].assurance) == ("inbox", "authenticated")


async def test_a_wrong_answer_in_place_says_so_and_keeps_the_words(tmp_path):
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, "deploy")
        carol = await browser(service, "carol")
        page = await page_of(carol, "/inbox")
        body = page.form(f"{request.id}/votes") | {"answer": "approve", "reason": "two words"}
        answer = await carol.post(f"/inbox/requests/{request.id}/votes", data=body, headers=HX)
        card = parse(answer, 422).one(id=f"card-{request.id}")
        assert "carol" in card.one(role="alert").text
        assert card.one("textarea").raw == "two words"
        assert (await service.hitl.get(request.id)).status == "pending"


async def test_the_queue_works_without_any_script(tmp_path):
    """A plain form leads to the request's page, which says what was decided."""
    async with serving(tmp_path / "vault") as service:
        request = await ask(service)
        alice = await browser(service)
        answer = await send(
            alice, await page_of(alice, "/inbox"), f"{request.id}/votes", answer="reject"
        )
        assert answer.status_code == 303
        page = await page_of(alice, answer.headers["location"].partition("#")[0])
        assert page.one(class_="decision").text == "Rejected by alice."


async def test_a_vote_in_the_page_changes_the_note_within_a_second(tmp_path):
    async with serving(tmp_path / "vault") as service:
        request = await ask(service)
        alice = await browser(service)
        await send(alice, await page_of(alice, "/inbox"), f"{request.id}/votes", answer="approve")

        async def is_shown():
            path = await service.hitl.document_path(request.id)
            with open(path, encoding="utf-8") as note:
                text = note.read()
            return "status: approved" in text and "· alice · approves" in text

        assert await until(is_shown) < 1


async def test_an_edit_of_the_note_reaches_an_open_page_within_a_second(tmp_path):
    """The page is told that something happened, and what it then fetches says what."""
    async with serving(tmp_path / "vault", {"rescan_s": 0.2}) as service:
        request = await ask(service)
        alice = await browser(service)
        path = await service.hitl.document_path(request.id)
        async with alice.stream("GET", "/inbox/live") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.aiter_lines()
            await begun_to_listen(lines)
            with open(path, encoding="utf-8") as note:
                text = note.read()
            begun = time.monotonic()
            with open(path, "w", encoding="utf-8") as note:
                note.write(text.replace("status: pending", "status: rejected"))
            assert await told(lines) == "news"
            assert time.monotonic() - begun < 1
        queue = parse(await alice.get("/inbox/queue", headers=HX))
        assert not queue.all("li", class_="card")
        page = await page_of(alice, f"/inbox/requests/{request.id}")
        assert "rejected" in page.one(id="standing").text


async def test_a_new_request_reaches_an_open_page_within_a_second(tmp_path):
    async with serving(tmp_path / "vault") as service:
        alice = await browser(service)
        async with alice.stream("GET", "/inbox/live") as stream:
            lines = stream.aiter_lines()
            await begun_to_listen(lines)
            request = await ask(service)
            begun = time.monotonic()
            assert await told(lines) == "news"
            queue = parse(await alice.get("/inbox/queue", headers=HX))
            assert time.monotonic() - begun < 1
        assert queue.one(id=f"card-{request.id}").attrs["data-rev"] == "1"
        assert queue.one(id="queue").attrs["data-waiting"] == "1"


async def begun_to_listen(lines):
    """Return once the stream is open."""
    async with asyncio.timeout(5):
        async for line in lines:
            if line.startswith(":"):
                return


async def told(lines):
    """Return the name of the next event of a stream."""
    async with asyncio.timeout(5):
        async for line in lines:
            if line.startswith("event:"):
                return line.partition(":")[2].strip()
    raise AssertionError("the stream ended")


async def test_a_stream_is_only_for_who_may_look(tmp_path):
    async with serving(tmp_path / "vault") as service:
        assert (await service.client().get("/inbox/live")).status_code == 303
        assert (await service.agent().get("/inbox/live")).status_code == 403


async def test_more_than_a_page_goes_on_from_the_last_one(tmp_path):
    """Every request is on one page, whatever is answered in between."""
    async with serving(tmp_path / "vault", {"watching": False}) as service:
        asked = [
            (await ask(service, details={"amount": 600 + n, "to": "a"}, timeout="1h")).id
            for n in range(53)
        ]
        alice = await browser(service)
        page = await page_of(alice, "/inbox")
        shown = [one.attrs["data-id"] for one in page.all("li", class_="card")]
        following = await page_of(alice, page.one("a", rel="next").attrs["href"])
        shown += [one.attrs["data-id"] for one in following.all("li", class_="card")]
        assert shown == asked
        damaged = await page_of(alice, "/inbox?after=nonsense", 422)
        assert "damaged" in damaged.one(role="alert").text


async def test_who_asked_sees_that_somebody_else_must_answer(tmp_path):
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, requested_by="alice")
        card = (await page_of(await browser(service), "/inbox")).one(id=f"card-{request.id}")
        assert "somebody else must answer" in card.text
        assert not card.all("form")


async def test_details_too_long_for_a_card_are_answered_where_all_of_them_stand(tmp_path):
    """Nobody approves in the queue what the queue does not show."""
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, details={f"name{n}": n for n in range(40)})
        alice = await browser(service)
        card = (await page_of(alice, "/inbox")).one(id=f"card-{request.id}")
        assert "Not all of it is shown here" in card.text
        assert not card.all("form")
        page = await page_of(alice, f"/inbox/requests/{request.id}")
        assert "name39" in page.one("dl", class_="values").text
        assert page.all("button", value="approve")


async def test_who_may_only_look_has_nothing_to_press(tmp_path):
    async with serving(tmp_path / "vault") as service:
        request = await ask(service)
        looker = await browser(service, "eve", Scope.READ)
        page = await page_of(looker, "/inbox")
        assert not page.one(id=f"card-{request.id}").all("button")
        signed = page.one("input", name="csrf", type="hidden")
        body = {
            "csrf": signed.attrs["value"],
            "answer": "approve",
            "payload_sha256": request.payload_in_force,
        }
        answer = await looker.post(f"/inbox/requests/{request.id}/votes", data=body)
        assert "may look here, and not answer" in parse(answer, 403).one(role="alert").text.lower()


async def test_the_first_page_of_ten_thousand_takes_less_than_300_ms(tmp_path):
    """Only the page's own requests are read; how many wait is counted by the ledger."""
    root = tmp_path / "vault"
    make_vault(root)
    fill(root / ".hitl" / "ledger.db", 10_000)
    async with serving(root, {"watching": False}) as service:
        alice = await browser(service)
        best = 9.0
        for _ in range(7):
            begun = time.monotonic()
            answer = await alice.get("/inbox")
            best = min(best, time.monotonic() - begun)
        page = parse(answer)
        assert page.one("title").text == "(10000) Queue · hitl"
        assert len(page.all("li", class_="card")) == 50
        assert best < 0.3


def fill(path, number):
    """Put so many pending requests into a new ledger, at once."""
    connection, _ = sqlite_file.open_ledger(path, str)
    now = datetime.now(UTC)
    head = Head(seq=0, hash="")
    _, write, _ = decide(None, head, make_ask("r-0"), now, None)
    connection.execute("BEGIN")
    for at in range(number):
        request = replace(write.request, id=f"r-{at}")
        connection.execute(rows.NEW.of(1), rows.request_row(request, msgspec.json.encode(request)))
    connection.execute("COMMIT")
    connection.close()


async def lost(service, **more):
    """Ask, approve and run something whose end then is not known."""
    request = await ask(service, **more)
    await service.hitl.approve(request.id, reviewer="bob")
    run = service.hitl.execution(request.id, executor="worker")
    await run.claim()
    await run.finish(Status.UNKNOWN, error="interrupted by SIGTERM")
    return await service.hitl.get(request.id)


async def test_what_ended_unknown_is_shown_apart_from_what_waits_for_an_answer(tmp_path):
    """Somebody must look: it stands in the queue with its number, and the badge does not count it."""
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        alice = await browser(service)
        assert "hidden" in (await page_of(alice, "/inbox")).one("section", id="unclear").attrs
        found = [await lost(service), await lost(service, details={"amount": 9, "to": "w"})]
        page = await page_of(alice, "/inbox")
        section = page.one("section", id="unclear")
        assert "hidden" not in section.attrs
        assert section.one("h2").text == "Somebody must look how 2 ended is not known"
        assert [one.attrs["href"] for one in section.all("a")] == [
            f"/inbox/requests/{one.id}#unclear" for one in found
        ]
        assert "started by worker" in section.text
        assert page.one("title").text == "Queue · hitl"
        assert page.one(id="waiting").attrs["data-waiting"] == "0"
        part = parse(await alice.get("/inbox/queue", headers=HX))
        assert len(part.one("section", id="unclear").all("li")) == 2


async def test_who_operates_says_how_it_ended_and_others_are_told_who_can(tmp_path):
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await lost(service)
        path = f"/inbox/requests/{request.id}"
        alice = await browser(service)
        page = await page_of(alice, path)
        said = page.one("section", id="unclear")
        assert "worker started it" in said.text
        assert "interrupted by SIGTERM" in said.text
        assert f"hitl resolve {request.id} executed|failed" in said.text
        assert not said.all("form")
        csrf = page.form("/comments")["csrf"]
        body = {"csrf": csrf, "status": "executed", "reason": "seen"}
        refused = parse(await alice.post(f"{path}/resolve", data=body), 403)
        assert "who operates this service" in refused.one(role="alert").text
        olga = await browser(service, "olga", Scope.READ, Scope.VOTE, Scope.OPERATE)
        page = await page_of(olga, path)
        answer = await olga.post(f"{path}/resolve", data={"status": "failed", "reason": "x"})
        assert answer.status_code == 403, "a form of another site"
        wrong = await send(olga, page, "/resolve", status="approved", reason="my words")
        page = parse(wrong, 422)
        assert "executed or failed" in page.one(role="alert").text
        assert page.form("/resolve")["reason"] == "my words"
        assert (await service.hitl.get(request.id)).status == "unknown"
        answer = await send(olga, page, "/resolve", status="failed", reason="the bank has nothing")
        assert answer.status_code == 303
        now = await service.hitl.get(request.id)
        assert (now.status, now.outcome.by) == ("failed", "olga")
        assert now.outcome.error == "the bank has nothing"
        again = parse(await send(olga, page, "/resolve", status="executed", reason="late"), 409)
        assert again.one(role="alert").text
        assert "late" in again.text
