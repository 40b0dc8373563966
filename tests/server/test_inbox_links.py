"""Links in messages: one answer each, without signing in."""

from __future__ import annotations

import re

import pytest
from inbox_kit import ask, page_of, parse, use_policy
from server_kit import serving

from hitl_vault.core.model import Answer, Assurance
from hitl_vault.engine.codes import link_of_code
from hitl_vault.errors import StorageError

REVIEWERS = """[reviewers.alice]
notify = ["mailto:alice@example.com"]
"""


PERSONAL = """[mail]
via = "apprise"
people = true
redact = ["/customer/email"]
"""


async def linked(service, id, to="alice"):
    """Send a code, and return the address of the link that goes with it."""
    request = await service.hitl.send_code(id, to=to)
    return f"/link/{id}/{link_of_code(service.hitl._parts, request, request.codes[-1])}"


async def post(client, path, page, answer="approve", **typed):
    digest = page.one("input", name="payload_sha256").attrs["value"]
    return await client.post(path, data={"payload_sha256": digest, "answer": answer, **typed})


async def test_looking_uses_nothing_up_and_answering_uses_the_link_up(tmp_path):
    """Mail programs follow links, any number of times; the person answers once."""
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, "secret")
        path = await linked(service, request.id)
        client = service.client()
        before = await service.hitl.head()
        for _ in range(8):
            page = await page_of(client, path)
        assert (await client.head(path)).status_code in {200, 405}
        assert await service.hitl.head() == before
        assert page.one("h2", id="answer-title").text == "Your answer, as alice"
        done = parse(await post(client, path, page, reason="fine"))
        assert "Your answer was counted" in done.one(role="status", class_="notice").text
        now = await service.hitl.get(request.id)
        assert now.status == "approved"
        vote = now.votes[0]
        assert (vote.reviewer, vote.assurance, vote.channel) == ("alice", "authenticated", "code")
        again = await page_of(client, path)
        assert "used before" in again.one(role="alert").text
        assert not again.all("button", name="answer")


async def test_a_used_link_answers_nothing_else(tmp_path):
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, "deploy")
        path = await linked(service, request.id)
        client = service.client()
        page = await page_of(client, path)
        await post(client, path, page)
        answer = await post(client, path, page, "reject")
        assert "used before" in parse(answer, 403).one(role="alert").text
        assert (await service.hitl.get(request.id)).votes[0].answer == "approve"


@pytest.mark.parametrize("wrong", ["a" * 32, "48219375", "x", "%C3%A9", "A" * 3000])
async def test_a_forged_link_shows_nothing_and_records_nothing(tmp_path, wrong):
    """It is too long to be guessed, so a wrong one uses up no try of the real code's."""
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, "secret", details={"hidden": "s3same"})
        await linked(service, request.id)
        client = service.client()
        before = await service.hitl.head()
        for answer in (
            await client.get(f"/link/{request.id}/{wrong}"),
            await client.post(
                f"/link/{request.id}/{wrong}",
                data={"payload_sha256": request.payload_in_force, "answer": "approve"},
            ),
            await client.get(f"/link/no-such-request/{wrong}"),
        ):
            page = parse(answer, 403)
            assert "not whole, or not of this service" in page.one(role="alert").text
            assert "s3same" not in page.text
        assert await service.hitl.head() == before


async def test_who_tries_links_is_held_up(tmp_path):
    """What does not count is counted for its address, as wrong tokens are; a good link goes on."""
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault", failures_per_minute=3) as service:
        request = await ask(service, "secret")
        path = await linked(service, request.id)
        client = service.client()
        tried = [(await client.get(f"/link/{request.id}/{'a' * 32}")).status_code for _ in range(5)]
        assert tried == [403, 403, 403, 429, 429]
        assert (await client.get(path)).status_code == 200


async def test_an_answer_by_a_link_is_to_what_its_page_showed(tmp_path):
    """A form that names other details than those in force answers nothing, and spends nothing."""
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, "secret")
        path = await linked(service, request.id)
        client = service.client()
        body = {"payload_sha256": "0" * 64, "answer": "approve"}
        refused = parse(await client.post(path, data=body), 409)
        assert refused.one(role="alert").text
        assert (await service.hitl.get(request.id)).votes == ()
        page = await page_of(client, path)
        assert "Your answer was counted" in parse(await post(client, path, page)).text


async def test_a_link_is_of_one_request_and_one_person(tmp_path):
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        one = await ask(service, "secret", details={"n": 1})
        two = await ask(service, "secret", details={"n": 2})
        text = (await linked(service, one.id)).rpartition("/")[2]
        await linked(service, two.id)
        assert (await service.client().get(f"/link/{two.id}/{text}")).status_code == 403


async def test_an_expired_link_says_so(tmp_path):
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault", {"code_valid_s": 0.05}) as service:
        request = await ask(service, "secret")
        path = await linked(service, request.id)
        client = service.client()
        page = await page_of(client, path)
        while "expired" not in page.text:  # the code ends by the clock
            page = await page_of(client, path)
        assert "this code has expired" in page.one(role="alert").text
        body = {"payload_sha256": request.payload_in_force, "answer": "approve"}
        answer = parse(await client.post(path, data=body), 403)
        assert "expired" in answer.one(role="alert").text
        assert (await service.hitl.get(request.id)).status == "pending"


async def test_a_newer_link_and_changed_details_end_a_link(tmp_path):
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, "deploy", details={"version": 1})
        old, new = await linked(service, request.id), await linked(service, request.id)
        client = service.client()
        assert "a newer code was sent" in (await page_of(client, old)).one(role="alert").text
        page = await page_of(client, new)
        await service.hitl.vote(
            request.id,
            Answer.EDIT,
            reviewer="bob",
            details={"version": 2},
            assurance=Assurance.AUTHENTICATED,
        )
        changed = parse(await post(client, new, page), 403)
        assert "the details were changed" in changed.one(role="alert").text
        assert [vote.reviewer for vote in (await service.hitl.get(request.id)).votes] == ["bob"]


async def test_what_is_missing_is_said_and_the_link_still_counts(tmp_path):
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, "reasoned")
        path = await linked(service, request.id)
        client = service.client()
        page = parse(await post(client, path, await page_of(client, path), "reject"), 422)
        assert "a reason is required" in page.one(role="alert").text
        assert (
            "Your answer was counted"
            in parse(await post(client, path, page, "reject", reason="no")).text
        )


async def test_a_page_of_a_link_leads_nowhere_and_tells_nobody_where_it_is(tmp_path):
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, "secret")
        answer = await service.client().get(await linked(service, request.id))
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        page = parse(answer)
        assert [one.attrs["href"] for one in page.all("a")] == ["#main"]
        assert "data-live" not in page.one("body").attrs


async def test_messages_carry_the_link_where_a_service_is_set_up(tmp_path):
    """The one who is sent a code gets its link; everybody else is led to the request's page."""
    root = tmp_path / "vault"
    use_policy(root)
    out = tmp_path / "out"
    out.mkdir()
    (root / ".hitl" / "reviewers.toml").write_text(REVIEWERS, encoding="utf-8")
    from hitl_vault.core.events import Kind
    from hitl_vault.document.message import MessageRenderer, News, facts
    from hitl_vault.engine.outbox import OutboxRunner
    from hitl_vault.wiring import VaultMessages

    async with serving(root, {"serve_url": "https://desk.example.com"}) as service:
        request = await ask(service, "secret")
        path = await linked(service, request.id)
        runner = service.hitl._outbox
        assert isinstance(runner, OutboxRunner)
        now = await service.hitl.get(request.id)
        code = now.codes[-1]
        with_code, without = runner._link(now, code), runner._link(now, None)
        assert with_code == f"https://desk.example.com{path}"
        assert without == f"https://desk.example.com/inbox/requests/{request.id}"
        issued = (await service.hitl.history(request.id))[-1]
        assert issued.event.kind is Kind.CODE_ISSUED
        renderer = VaultMessages(root / ".hitl" / "templates")
        assert isinstance(renderer, MessageRenderer)
        news = News(recorded=issued, request=now, code="4821 9375", link=with_code)
        body = renderer.render([news], request.created_at)[1]
        assert re.search(rf"^Or answer on this page, which uses it up: {with_code}$", body, re.M)
        assert with_code not in str(facts(news)), "facts never hold a secret"
        asked = News(recorded=issued, request=now, link=without)
        assert f"· on its page: {without}" in renderer.render([asked], request.created_at)[1]
        assert with_code not in repr(news)
        several = renderer.render([asked, asked], request.created_at)[1]
        assert several.count(f"To answer: on its page, {without}") == 2


@pytest.mark.parametrize("error", [RuntimeError("odd"), StorageError("the disk is full")])
async def test_a_fault_never_writes_a_link_to_the_log(tmp_path, monkeypatch, caplog, error):
    """What went wrong is logged with the route, not with the address that was followed."""
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service, "secret")
        path = await linked(service, request.id)

        async def fail(*_):
            raise error

        monkeypatch.setattr(service.hitl, "linked", fail)
        page = await page_of(service.client(), path, 500)
        assert page.one(role="alert").text
        assert "/link/{id}/{text}" in caplog.text
        assert path.rpartition("/")[2] not in caplog.text


@pytest.mark.parametrize("by", ["vault", "way"])
async def test_a_link_shows_no_more_than_its_message_and_approves_only_what_is_shown(tmp_path, by):
    """Who holds the link has not signed in: what the message hid is hidden, and may be rejected."""
    use_policy(tmp_path / "vault")
    rules = ("card", "/customer/email") if by == "vault" else ("card",)
    if by == "way":
        (tmp_path / "vault" / ".hitl" / "notify.toml").write_text(PERSONAL, encoding="utf-8")
    async with serving(tmp_path / "vault", settings={"redact": rules}) as service:
        details = {"card": "4111-1111", "customer": {"email": "vip@example.com"}, "amount": 7}
        request = await ask(service, "secret", description="Of vip@example.com", details=details)
        path = await linked(service, request.id)
        client = service.client()
        answer = await client.get(path)
        assert "4111-1111" not in answer.text
        assert "vip@example.com" not in answer.text
        page = parse(answer)
        said = page.one(id="hidden")
        assert [one.text for one in said.all("code")] == ["/card", "/customer/email"]
        leads = said.one("a").attrs["href"]
        assert leads == f"/sign-in?next=/inbox/requests/{request.id}"
        assert [one.attrs["value"] for one in page.all("button", name="answer")] == ["reject"]
        refused = await post(client, path, page, "approve", reason="go")
        assert "4111-1111" not in refused.text
        assert "vip@example.com" not in refused.text
        page = parse(refused, 403)
        assert "cannot be approved here" in page.one(role="alert").text
        assert (await service.hitl.get(request.id)).votes == ()
        done = await post(client, path, page, "reject", reason="not vip@example.com")
        assert "Your answer was counted" in done.text
        assert "vip@example.com" not in done.text
        assert (await service.hitl.get(request.id)).status == "rejected"
