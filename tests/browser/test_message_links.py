"""Links in messages: one answer, from any browser, by whoever the message was for."""

from __future__ import annotations

import pytest
from browser_kit import PHONE, person
from inbox_kit import ask, use_policy
from playwright.async_api import expect
from server_kit import serving
from test_inbox_links import linked

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_scanner_looks_a_person_answers_and_the_link_is_used_up(browser, service):
    request = await ask(service, "secret", details={"name": "db-password"})
    path = await linked(service, request.id)
    async with person(browser, service, signed_in=False) as scanner:
        await scanner.goto(path)
        await scanner.reload()
    assert (await service.hitl.get(request.id)).votes == ()
    async with person(browser, service, signed_in=False, **PHONE) as page:
        await page.goto(path)
        await expect(page.get_by_role("heading", name="Your answer, as alice")).to_be_visible()
        await page.get_by_label("Reason").fill("on the phone")
        await page.get_by_role("button", name="Approve").tap()
        await expect(page.get_by_role("status").first).to_contain_text("Your answer was counted")
        vote = (await service.hitl.get(request.id)).votes[0]
        assert (vote.reviewer, vote.channel, vote.reason) == ("alice", "code", "on the phone")
        await page.goto(path)
        await expect(page.get_by_role("alert")).to_contain_text("used before")
        await expect(page.get_by_role("button", name="Approve")).to_have_count(0)


async def test_a_link_open_in_two_windows_answers_once(browser, service):
    """The second window says that it was used, and changes nothing."""
    request = await ask(service, "deploy")
    path = await linked(service, request.id)
    async with (
        person(browser, service, signed_in=False) as first,
        person(browser, service, signed_in=False, refused=[403]) as second,
    ):
        for page in (first, second):
            await page.goto(path)
        await first.get_by_role("button", name="Approve").click()
        await expect(first.get_by_role("status").first).to_contain_text("was counted")
        await second.get_by_role("button", name="Reject").click()
        await expect(second.get_by_role("alert")).to_contain_text("used before")
    votes = (await service.hitl.get(request.id)).votes
    assert [(vote.reviewer, vote.answer) for vote in votes] == [("alice", "approve")]


async def test_a_forged_link_shows_nothing_of_the_request(browser, service):
    request = await ask(service, "secret", details={"hidden": "s3same"})
    path = await linked(service, request.id)
    async with person(browser, service, signed_in=False, refused=[403]) as page:
        await page.goto(path[:-6] + "aaaaaa")
        await expect(page.get_by_role("alert")).to_contain_text("not whole, or not of this service")
        assert "s3same" not in await page.content()
        await expect(page.get_by_role("button")).to_have_count(0)


async def test_an_expired_link_says_so(tmp_path, browser):
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault", {"code_valid_s": 0.05}) as service:
        request = await ask(service, "secret")
        path = await linked(service, request.id)
        async with person(browser, service, signed_in=False) as page:
            await page.goto(path)
            while await page.get_by_role("alert").count() == 0:  # it ends by the clock
                await page.reload()
            await expect(page.get_by_role("alert")).to_contain_text("has expired")
            await expect(page.get_by_role("button")).to_have_count(0)
