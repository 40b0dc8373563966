"""History, analytics, policy, audit; and what holds for every page."""

from __future__ import annotations

import sqlite3
import time

from inbox_kit import ask, browser, page_of, parse, send, use_policy
from server_kit import serving
from test_inbox_queue import fill

from hitl_vault.cli.starting import make_vault
from hitl_vault.core.access import Scope

PAGES = ["/inbox", "/inbox/history", "/inbox/analytics", "/inbox/policy", "/inbox/audit"]


async def test_every_page_has_landmarks_headings_labels_and_a_live_region(tmp_path):
    """For screen readers and keyboards: one main, one h1, names for everything that takes input."""
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service)
        alice = await browser(service, "alice", *Scope)
        for path in [*PAGES, f"/inbox/requests/{request.id}"]:
            page = await page_of(alice, path)
            assert page.one("html").attrs["lang"] == "en"
            assert page.one("a", class_="skip").attrs["href"] == "#main"
            assert len(page.all("h1")) == 1, path
            assert all(one.attrs.get("aria-label") for one in page.all("nav"))
            assert page.one(id="told").attrs["aria-live"] == "polite"
            labels = {one.attrs["for"] for one in page.all("label") if "for" in one.attrs}
            for tag in ("input", "textarea", "select"):
                for one in page.all(tag):
                    kind = one.attrs.get("type")
                    if kind == "hidden" or (one.parent and one.parent.tag == "label"):
                        continue
                    assert one.attrs["id"] in labels, (path, one.attrs)
            ids = [one.attrs["id"] for one in page.walk() if "id" in one.attrs]
            assert len(ids) == len(set(ids)), path
            current = [
                one
                for one in page.one("nav", aria_label="Pages").all("a")
                if "aria-current" in one.attrs
            ]
            assert len(current) == (0 if "requests" in path else 1), path


async def test_no_page_has_a_script_or_style_in_it(tmp_path):
    """What a strict content security policy forbids is not there to begin with."""
    async with serving(tmp_path / "vault") as service:
        await ask(service)
        alice = await browser(service, "alice", *Scope)
        for path in PAGES:
            answer = await alice.get(path)
            policy = answer.headers["content-security-policy"]
            assert "unsafe" not in policy
            assert "default-src 'none'" in policy
            page = parse(answer)
            assert all(one.attrs["src"] for one in page.all("script"))
            assert not page.all("style")
            assert not [one for one in page.walk() if "style" in one.attrs]
            for script in page.all("script"):
                loaded = await alice.get(script.attrs["src"])
                assert loaded.status_code == 200
                assert loaded.headers["content-type"].startswith("text/javascript")
        assert (await alice.get("/inbox/static/inbox.css")).status_code == 200
        assert (await alice.get("/inbox/static/pages.py")).status_code == 404


async def test_the_first_address_leads_to_the_queue(tmp_path):
    async with serving(tmp_path / "vault") as service:
        assert (await service.client().get("/")).headers["location"] == "/inbox"
        led = await service.client().get("/inbox")
        assert led.headers["location"] == "/sign-in?next=%2Finbox"


async def test_history_is_searched_filtered_and_read_page_by_page(tmp_path):
    async with serving(tmp_path / "vault", {"watching": False}) as service:
        for number in range(53):
            await ask(service, details={"amount": 600 + number, "to": "a"}, requested_by="bot")
        odd = await ask(service, "deploy", description="Ship the blue door", requested_by="ship")
        await service.hitl.reject(odd.id, reviewer="bob")
        alice = await browser(service)

        async def ids(path):
            page = await page_of(alice, path)
            return [one.attrs["data-id"] for one in page.all("tr", class_="row")], page

        first, page = await ids("/inbox/history")
        assert first[0] == odd.id
        assert len(first) == 50
        second, _ = await ids(page.one("a", rel="next").attrs["href"])
        assert len({*first, *second}) == 54
        for query in ("q=BLUE+door", "status=rejected", "type=deploy", "by=ship"):
            found, page = await ids(f"/inbox/history?{query}")
            assert found == [odd.id], query
        assert "bob" in page.one("tr", class_="row").text
        assert (await ids("/inbox/history?since=1d&by=bot&q=651"))[0]
        assert "Nothing was found" in (await page_of(alice, "/inbox/history?q=nowhere")).text
        wrong = await page_of(alice, "/inbox/history?status=odd", 422)
        assert "status" in wrong.one(role="alert").text


async def test_analytics_shows_charts_that_can_be_read_as_tables(tmp_path):
    async with serving(tmp_path / "vault") as service:
        requests = [
            await ask(service, details={"amount": 700 + n, "to": "a"}, requested_by=f"bot{n % 2}")
            for n in range(4)
        ]
        await service.hitl.approve(requests[0].id, reviewer="alice")
        await service.hitl.approve(requests[1].id, reviewer="alice")
        await service.hitl.reject(requests[2].id, reviewer="bob")
        page = await page_of(await browser(service), "/inbox/analytics?period=24h")
        tiles = {
            one.one("dt").text: one.one("dd").text
            for one in page.one("dl", class_="tiles").all("div")
        }
        assert (tiles["Asked"], tiles["Waiting now"]) == ("4", "1")
        assert (tiles["Approved"], tiles["Rejected"]) == ("67%", "33%")
        charts = page.all("svg", role="img")
        assert len(charts) == 2
        for chart in charts:
            named = {one.attrs["id"]: one for one in chart.walk() if "id" in one.attrs}
            title, desc = chart.attrs["aria-labelledby"].split()
            assert named[title].text
            assert named[desc].text
        took = page.all("table", class_="numbers")[1]
        assert took.all("tr")[1].text == "< 1 min3"
        agents = page.one("section", aria_labelledby="t2").one("tbody").all("tr")
        assert [row.one("th").text for row in agents] == ["bot0", "bot1"]
        reviewers = page.one("section", aria_labelledby="t3").one("tbody").all("tr")
        assert [cell.text for cell in reviewers[0].all("td")] == ["2", "100%", "0%"]
        odd = await page_of(await browser(service), "/inbox/analytics?period=<b>")
        assert odd.one("a", aria_current="true").text == "7d"


async def test_analytics_of_a_hundred_thousand_requests_are_there_soon(tmp_path):
    """A few seconds at the worst on a busy machine; the desk goes on meanwhile."""
    root = tmp_path / "vault"
    make_vault(root)
    fill(root / ".hitl" / "ledger.db", 100_000)
    async with serving(root, {"watching": False}) as service:
        alice = await browser(service)
        begun = time.monotonic()
        page = await page_of(alice, "/inbox/analytics")
        assert time.monotonic() - begun < 5
        assert page.one("dl", class_="tiles").all("dd")[0].text == "100,000"


async def test_the_policy_page_explains_every_rule(tmp_path):
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        alice = await browser(service)
        page = await page_of(alice, "/inbox/policy")
        assert [one.text for one in page.one("tbody").all("th")][:2] == ["reads", "payments"]
        head = await service.hitl.head()
        answer = await send(
            alice, page, "/policy#explained", type="deploy", details={"v": 1}, requested_by="bot"
        )
        page = parse(answer)
        rows = {row.one("th").text: row for row in page.one("tbody").all("tr")}
        assert rows["deploys"].text.startswith("yesdeploysaskits condition is true")
        assert rows["reads"].text.startswith("noreads")
        assert "one of alice, bob, then carol" in page.one(id="explained").text
        assert page.form("/policy#explained")["details"] == '{"v": 1}'
        assert await service.hitl.head() == head, "nothing is asked or recorded"
        broken = parse(await send(alice, page, "/policy#explained", details="{"), 422)
        assert "not JSON" in broken.one(role="alert").text


async def test_the_audit_page_proves_the_chain_and_says_where_it_breaks(tmp_path):
    root = tmp_path / "vault"
    async with serving(root, {"watching": False}) as service:
        request = await ask(service)
        alice = await browser(service, "alice", *Scope)
        page = await page_of(alice, "/inbox/audit")
        head = await service.hitl.head()
        assert head.hash in page.text
        assert request.id in page.one("ol", class_="timeline").text
        good = parse(await send(alice, page, "/audit"))
        assert "The chain holds" in good.one(role="status", class_="notice").text
        with sqlite3.connect(root / ".hitl" / "ledger.db") as forged:
            forged.execute(
                "UPDATE events SET body = replace(body, 'bot', 'bob') WHERE seq = ?", (head.seq,)
            )
        bad = parse(await send(alice, page, "/audit"))
        assert f"broken at event {head.seq}" in bad.one(role="alert").text


async def test_the_audit_is_for_who_runs_the_service(tmp_path):
    async with serving(tmp_path / "vault") as service:
        alice = await browser(service)
        page = await page_of(alice, "/inbox")
        assert not [one for one in page.all("a") if one.attrs["href"] == "/inbox/audit"]
        refused = await page_of(alice, "/inbox/audit", 403)
        assert "for who runs this service" in refused.one(role="alert").text


async def test_an_open_service_says_what_an_answer_is_worth(tmp_path):
    async with serving(tmp_path / "vault", open=True) as service:
        request = await ask(service)
        page = await page_of(service.client(), "/inbox")
        assert "proves nothing about who gave it" in page.one(class_="notice").text
        name = page.one("input", id=f"name-{request.id}")
        assert name.attrs["name"] == "reviewer"
        client = service.client()
        sent = await send(
            client,
            await page_of(client, "/inbox"),
            f"{request.id}/votes",
            answer="approve",
            reviewer=" ",
        )
        assert "put your name" in parse(sent, 422).one(role="alert").text
        sent = await send(
            client,
            await page_of(client, "/inbox"),
            f"{request.id}/votes",
            answer="approve",
            reviewer="dora",
        )
        assert sent.status_code == 303
        vote = (await service.hitl.get(request.id)).votes[0]
        assert (vote.reviewer, vote.assurance, vote.channel) == ("dora", "edited", "inbox")
