"""The page of one request: what it shows, and what becomes of what is sent from it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from inbox_kit import ask, browser, page_of, parse, send, use_policy
from server_kit import serving
from test_sessions import sign_in

from hitl_vault.core.model import Answer, Assurance, Status

DETAILS = {"amount": 1500, "to": "v@x.org", "more": {"urgent": True, "tags": ["a", "b"]}}


async def test_it_shows_exactly_what_will_run_apart_from_the_agents_words(tmp_path):
    """The JSON reads back as it was asked; the agent's words stand by themselves, and say so."""
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, details=DETAILS, description="It is approved already.")
        page = await page_of(await browser(service), f"/inbox/requests/{request.id}")
        assert json.loads(page.one("pre", class_="json").raw) == DETAILS
        assert request.payload_in_force in page.one(class_="exactly").text
        words = page.one("blockquote", class_="words")
        assert words.raw == "It is approved already."
        assert "checked by nobody" in page.one("h2", id="says").text
        assert page.one("h1").text == "Payment: Pay 1500 to v@x.org"
        assert "Payments need a person" in page.one(class_="why").text
        assert "Approval by one person; one rejection ends it" in page.one("main").text


async def test_the_timeline_names_each_event_and_the_start_of_its_hash(tmp_path):
    async with serving(tmp_path / "vault") as service:
        request = await ask(service)
        await service.hitl.comment(request.id, "Why so much?", author="bob")
        await service.hitl.vote(
            request.id,
            Answer.REJECT,
            reviewer="bob",
            reason="too much",
            assurance=Assurance.AUTHENTICATED,
        )
        history = await service.hitl.history(request.id)
        page = await page_of(await browser(service), f"/inbox/requests/{request.id}")
        shown = page.one("ol", class_="timeline").all("li")
        assert [one.one("code").text for one in shown] == [one.hash[:8] for one in history]
        assert shown[0].text.startswith(request.created_at.strftime("%Y-%m-%d %H:%M:%S UTC bot"))
        assert "bob rejects (authenticated, over api): too much" in shown[2].text
        assert "Why so much?" in page.one(class_="comment").text
        assert page.one(class_="decision").text == "Rejected by bob: too much."


async def test_stages_show_who_has_approved_and_for_whom_it_waits(tmp_path):
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, "deploy")
        alice = await browser(service)
        path = f"/inbox/requests/{request.id}"
        page = await page_of(alice, path)
        assert "It waits for alice, bob." in page.one("main").text
        await send(alice, page, "/votes", answer="approve")
        page = await page_of(alice, path)
        stages = [one.text for one in page.one("ol", class_="stages").all("li")]
        assert stages == ["Stage 1: 1 of 1 from alice, bob · alice", "Stage 2: 0 of 1 from carol"]
        assert "It waits for carol." in page.one("main").text
        carol = await browser(service, "carol")
        await send(carol, await page_of(carol, path), "/votes", answer="approve")
        assert (await service.hitl.get(request.id)).status == "approved"


async def test_an_old_page_never_approves_changed_details(tmp_path):
    """What the page showed is what is judged; the words stay, and the new details are shown."""
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, "deploy", details={"version": 1})
        alice = await browser(service)
        old = await page_of(alice, f"/inbox/requests/{request.id}")
        await service.hitl.approve(request.id, reviewer="bob", details={"version": 2})
        now = await service.hitl.get(request.id)
        answer = await send(alice, old, "/votes", answer="approve", reason="as I saw it")
        page = parse(answer, 409)
        assert page.one(role="alert").text
        assert page.form("/votes")["reason"] == "as I saw it"
        assert page.form("/votes")["payload_sha256"] == now.payload_in_force
        assert [vote.reviewer for vote in (await service.hitl.get(request.id)).votes] == ["bob"]


async def test_what_is_wrong_comes_back_in_plain_words_with_what_was_typed(tmp_path):
    """A reason that is missing, an answer that came too late."""
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, "reasoned")
        alice = await browser(service)
        page = await page_of(alice, f"/inbox/requests/{request.id}")
        assert "needed to reject" in page.one("form", class_="answer").text
        page = parse(await send(alice, page, "/votes", answer="reject"), 422)
        assert "a reason is required to reject" in page.one(role="alert").text
        await service.hitl.approve(request.id, reviewer="bob")
        answer = await send(alice, page, "/votes", answer="reject", reason="my long words")
        late = parse(answer, 409)
        assert "approved" in late.one(id="standing").text
        assert "my long words" in late.one("main").text
        assert (await service.hitl.get(request.id)).status == "approved"


async def test_an_answer_that_is_not_proved_enough_is_refused_in_plain_words(tmp_path):
    """On a service that asks nobody to sign in, a typed name is worth what it is elsewhere."""
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault", open=True) as service:
        request = await ask(service, "secret")
        client = service.client()
        page = await page_of(client, f"/inbox/requests/{request.id}")
        assert page.one("input", id="code").attrs["autocomplete"] == "one-time-code"
        answer = await send(client, page, "/votes", answer="approve", reviewer="alice", reason="r")
        page = parse(answer, 422)
        assert "only edited" in page.one(role="alert").text
        assert page.form("/votes")["reviewer"] == "alice"
        assert page.form("/votes")["reason"] == "r"


async def test_a_wrong_code_is_refused_and_the_right_one_counts(tmp_path):
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault", open=True) as service:
        request = await ask(service, "secret")
        await service.hitl.send_code(request.id, to="alice")
        issued = (await service.hitl.history(request.id))[-1].event
        code = service.hitl.code_for(issued)
        wrong = "1111 1111" if code != "1111 1111" else "2222 2222"
        client = service.client()
        page = await page_of(client, f"/inbox/requests/{request.id}")
        given = {"answer": "approve", "reviewer": "alice"}
        page = parse(await send(client, page, "/votes", code=wrong, **given), 403)
        assert "4 more tries" in page.one(role="alert").text
        assert wrong not in page.raw
        assert (await send(client, page, "/votes", code=code, **given)).status_code == 303
        vote = (await service.hitl.get(request.id)).votes[0]
        assert (vote.assurance, vote.channel) == ("authenticated", "code")


async def test_a_request_that_must_be_signed_says_how(tmp_path):
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, "signed")
        page = await page_of(await browser(service), f"/inbox/requests/{request.id}")
        assert f"hitl approve {request.id} --sign KEY" in page.one(class_="bar").text
        assert not page.all("button", name="answer")


async def test_details_are_changed_only_after_the_difference_was_shown(tmp_path):
    """Typed as JSON, shown as a difference, approved as shown."""
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service)
        alice = await browser(service)
        path = f"/inbox/requests/{request.id}"
        page = await page_of(alice, path)
        assert json.loads(page.form("/edit#edit")["details"]) == request.details
        changed = request.details | {"amount": 900}
        page = parse(await send(alice, page, "/edit#edit", details=changed))
        form = page.one("form", id="changes")
        assert [one.attrs["value"] for one in page.all("button", name="answer")] == ["edit"]
        assert [
            cell.text for cell in form.one("tbody").one("tr").walk() if cell.tag in {"th", "td"}
        ] == [
            "/amount",
            "1500",
            "900",
        ]
        assert (await service.hitl.get(request.id)).status == "pending"
        body = {one.attrs["name"]: one.attrs.get("value", "") for one in form.all("input")}
        answer = await alice.post(f"{path}/votes", data=body | {"answer": "edit"})
        assert answer.status_code == 303
        now = await service.hitl.get(request.id)
        assert (now.status, now.details) == ("approved", changed)
        after = await page_of(alice, path)
        assert after.one("table", class_="diff").one("del").text == "1500"


@pytest.mark.parametrize("form", ["edit", "votes", "comments", "resolve"])
async def test_the_address_of_a_form_can_be_opened_again(tmp_path, form):
    """A page loaded again, or kept as a bookmark, is no dead end."""
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service)
        path = f"/inbox/requests/{request.id}"
        alice = await browser(service)
        answer = await alice.get(f"{path}/{form}")
        if form != "edit":
            assert (answer.status_code, answer.headers["location"]) == (303, path)
            return
        page = parse(answer)
        assert "open" in page.one("details", id="edit").attrs
        assert json.loads(page.form("/edit#edit")["details"]) == request.details
        assert (await service.client().get(f"{path}/{form}")).status_code == 303


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("{broken", "not JSON"),
        ('{"amount": 1500}', "to is missing"),
        ('{"amount": "x", "to": "v@x.org"}', "cannot become"),
        ('{"amount": 1500, "to": "v@x.org"}', "nothing is changed"),
        ('{"amount": 1, "amount": 2, "to": "v@x.org"}', "amount"),
    ],
)
async def test_changes_that_cannot_be_are_named_and_what_was_typed_stays(tmp_path, typed, said):
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service)
        alice = await browser(service)
        page = await page_of(alice, f"/inbox/requests/{request.id}")
        page = parse(await send(alice, page, "/edit#edit", details=typed), 422)
        assert said in page.one(role="alert").text
        assert page.form("/edit#edit")["details"] == typed
        assert "open" in page.one("details", id="edit").attrs


async def test_a_comment_is_added_and_an_empty_one_is_not(tmp_path):
    async with serving(tmp_path / "vault") as service:
        request = await ask(service)
        alice = await browser(service)
        path = f"/inbox/requests/{request.id}"
        page = await page_of(alice, path)
        assert (await send(alice, page, "/comments", text="Who is v?")).status_code == 303
        assert "Who is v?" in (await page_of(alice, path)).one(class_="comment").text
        empty = parse(await send(alice, page, "/comments", text=" "), 422)
        assert "text is empty" in empty.one(role="alert").text


async def test_the_result_of_an_execution_is_shown_as_it_was_reported(tmp_path):
    async with serving(tmp_path / "vault") as service:
        request = await ask(service)
        await service.hitl.approve(request.id, reviewer="bob")
        async with service.hitl.execution(request.id) as run:
            await run.finish(Status.EXECUTED, result={"receipt": "<b>7</b>"})
        page = await page_of(await browser(service), f"/inbox/requests/{request.id}")
        result = page.one("section", aria_labelledby="result")
        assert json.loads(result.one("pre").raw) == {"receipt": "<b>7</b>"}


async def test_an_open_page_can_fetch_what_has_changed(tmp_path):
    """The part that may change comes alone, without the forms: what is typed stays."""
    async with serving(tmp_path / "vault") as service:
        request = await ask(service)
        alice = await browser(service)
        await service.hitl.reject(request.id, reviewer="bob")
        part = parse(await alice.get(f"/inbox/requests/{request.id}/live"))
        live = part.one(id="live")
        assert (live.attrs["data-open"], live.attrs["data-payload"]) == (
            "0",
            request.payload_in_force,
        )
        assert not part.all("form")


async def test_who_may_not_see_a_request_does_not(tmp_path):
    """Nobody without signing in; an agent its own only, and never to answer."""
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, requested_by="other")
        path = f"/inbox/requests/{request.id}"
        assert (await service.client().get(path)).headers["location"].startswith("/sign-in?next=")
        agent = service.agent("bot")
        assert "asked by somebody else" in parse(await agent.get(path), 403).text
        own = await ask(service, requested_by="bot", details={"amount": 2, "to": "x"})
        page = parse(await agent.get(f"/inbox/requests/{own.id}"))
        assert not page.all("button", name="answer")
        body = {"answer": "approve", "payload_sha256": own.payload_in_force}
        assert (await agent.post(f"/inbox/requests/{own.id}/votes", data=body)).status_code == 403
        assert (await service.hitl.get(own.id)).status == "pending"
        missing = await page_of(await browser(service), "/inbox/requests/nothing", 404)
        assert "no request" in missing.one(role="alert").text


async def test_a_form_that_is_not_from_our_page_changes_nothing(tmp_path):
    async with serving(tmp_path / "vault") as service:
        request = await ask(service)
        alice = await browser(service)
        page = await page_of(alice, f"/inbox/requests/{request.id}")
        body = page.form("/votes") | {"answer": "approve"}
        path = f"/inbox/requests/{request.id}/votes"
        assert (await alice.post(path, data=body | {"csrf": "0" * 64})).status_code == 403
        foreign = {"Sec-Fetch-Site": "cross-site"}
        assert (await alice.post(path, data=body, headers=foreign)).status_code == 403
        assert (await service.hitl.get(request.id)).status == "pending"


HELD = "because </textarea><script>alert(1)</script>\nit is due"


@pytest.mark.parametrize(
    ("form", "typed"),
    [
        ("/votes", {"answer": "approve", "reason": HELD, "code": "123456"}),
        ("/comments", {"text": HELD}),
        ("/edit#edit", {"details": HELD}),
    ],
)
async def test_an_ended_session_answers_nothing_and_gives_back_what_was_typed(
    tmp_path, form, typed
):
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service)
        token = service.token("reviewer", "alice")
        alice = await sign_in(service, token)
        page = await page_of(alice, f"/inbox/requests/{request.id}")
        service.serving.tokens.revoke(token.split("_")[1], datetime.now(UTC))
        said = parse(await send(alice, page, form, **typed), 403)
        words = "You were signed out; nothing was done. Sign in, then answer again."
        assert said.one(role="alert").text == words
        assert said.one("textarea").raw.removeprefix("\n") == HELD
        assert not said.all("script")
        assert "123456" not in said.text
        after = await service.hitl.get(request.id)
        assert (after.status, after.votes, after.comments) == ("pending", (), ())
        path = said.one("a").attrs["href"]
        then = parse_qs(urlsplit(path).query)["next"][0]
        again = await sign_in(service, service.token("reviewer", "alice"), alice, next=then)
        back = await again.get(then, follow_redirects=True)
        assert parse(back).one(class_="request").attrs["data-request"] == request.id


async def test_a_form_of_somebody_elses_session_gives_nothing_back(tmp_path):
    """Nor does one with the token of an ended session, without its cookie."""
    async with serving(tmp_path / "vault") as service:
        request = await ask(service)
        token = service.token("reviewer", "alice")
        alice = await sign_in(service, token)
        page = await page_of(alice, f"/inbox/requests/{request.id}")
        service.serving.tokens.revoke(token.split("_")[1], datetime.now(UTC))
        typed = {"answer": "approve", "reason": "words"}
        for other in (await browser(service, "bob"), service.client()):
            answer = await send(other, page, "/votes", **typed)
            said = parse(answer, 403)
            assert "not from here" in said.one(role="alert").text
            assert "words" not in said.text
        assert (await service.hitl.get(request.id)).status == "pending"


async def test_a_name_that_is_typed_never_counts_more_than_who_is_signed_in(tmp_path):
    async with serving(tmp_path / "vault") as service:
        request = await ask(service)
        alice = await browser(service)
        page = await page_of(alice, f"/inbox/requests/{request.id}")
        answer = await send(alice, page, "/votes", answer="approve", reviewer="carol")
        assert "alice" in parse(answer, 403).one(role="alert").text
        assert (await service.hitl.get(request.id)).status == "pending"
