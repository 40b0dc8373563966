"""Signing in, with a real browser: what it sends is what the service was made for."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from browser_kit import card_of, person, sign_in_code
from inbox_kit import ask
from playwright.async_api import expect

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("host", ["127.0.0.1", "hitl.example"])
async def test_a_person_signs_in_by_a_link(browser, service, host):
    """Also over plain HTTP from elsewhere, where a browser says less of where a form comes from."""
    service.url = service.url.replace("127.0.0.1", host)
    record = service.serving.sessions.on_record
    async with person(browser, service, signed_in=False) as page:
        await page.goto(f"/sign-in/link#{sign_in_code(service)}")
        assert "#" not in page.url  # not left in the history
        assert record.links()  # looking at it spent nothing
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/inbox")
        assert [one.name for one in record.sessions().values()] == ["alice"]
        await page.goto("/sign-in")
        assert "/inbox" in page.url
        assert await page.evaluate("document.cookie") == ""


async def test_a_link_opened_twice_signs_in_once(browser, service):
    """The second one is told so, with what to do."""
    code = sign_in_code(service)
    async with (
        person(browser, service, signed_in=False) as first,
        person(browser, service, signed_in=False, refused=[401]) as second,
    ):
        for page in (first, second):
            await page.goto(f"/sign-in/link#{code}")
        await first.get_by_role("button", name="Sign in").click()
        await first.wait_for_url("**/inbox")
        await second.get_by_role("button", name="Sign in").click()
        await expect(second.get_by_role("alert")).to_contain_text("This link was used")
        await second.goto("/inbox")
        assert "/sign-in" in second.url
        assert len(service.serving.sessions.on_record.sessions()) == 1


async def test_forged_and_ended_links_sign_nobody_in(browser, service):
    real = sign_in_code(service)
    ended = sign_in_code(service, "bob", valid_s=-1)
    async with person(browser, service, signed_in=False, refused=[401]) as page:
        for code in (f"{real[:-4]}AAAA", "x", ended, "<script>alert(1)</script>"):
            await page.goto("/sign-in")  # another # alone would not load the page again
            await page.goto(f"/sign-in/link#{code}")
            await page.get_by_role("button", name="Sign in").click()
            await expect(page.get_by_role("alert")).to_contain_text("is not whole")
            assert f'"{code}"' not in await page.content()
        assert service.serving.sessions.on_record.sessions() == {}
        await page.goto("/sign-in")
        await page.goto(f"/sign-in/link#{real}")  # guesses spent nothing of it
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/inbox")


async def test_a_mail_scanner_that_opens_a_link_spends_nothing(browser, service):
    """It follows the link, with or without a browser of its own, before the person does."""
    code = sign_in_code(service)
    scanner = service.client()
    for method in ("GET", "HEAD", "OPTIONS"):
        await scanner.request(method, "/sign-in/link")
    async with person(browser, service, signed_in=False) as machine:
        await machine.goto(f"/sign-in/link#{code}")
    async with person(browser, service, signed_in=False) as page:
        await page.goto(f"/sign-in/link#{code}")
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/inbox")


async def test_signing_out_ends_it_in_every_window(browser, service):
    async with person(browser, service) as page:
        other = await page.context.new_page()
        await other.goto("/inbox")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
        await other.goto("/inbox/history")
        assert "/sign-in" in other.url


def end_every_session(service):
    record = service.serving.sessions.on_record
    for id in record.sessions():
        record.end(id, datetime.now(UTC))


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
async def test_a_session_that_ended_while_one_wrote_loses_no_word(browser, service, script):
    """The page says so, shows the words to be copied, and leads back to the request."""
    request = await ask(service)
    async with person(browser, service, refused=[401, 403], java_script_enabled=script) as page:
        await page.goto(f"/inbox/requests/{request.id}")
        await page.get_by_label("Reason", exact=True).fill("the invoice is due")
        end_every_session(service)
        await page.get_by_role("button", name="Approve", exact=True).click()
        await expect(page.get_by_role("alert")).to_contain_text("You were signed out; nothing was")
        await expect(page.get_by_label("Your words")).to_have_value("the invoice is due")
        await page.get_by_role("link", name="Sign in").click()
        await page.get_by_label("Your token").fill(service.token("reviewer", "alice"))
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url(f"**/inbox/requests/{request.id}")
        assert (await service.hitl.get(request.id)).status == "pending"


async def test_words_in_the_queue_stay_there_when_the_session_has_ended(browser, service):
    request = await ask(service)
    async with person(browser, service, refused=[401, 403]) as page:
        reason = card_of(page, request).get_by_label("Reason", exact=True)
        await reason.fill("the invoice is due")
        end_every_session(service)
        await card_of(page, request).get_by_role("button", name="Approve").click()
        told = page.locator("#link-state")  # by the answer, or by what the page fetches by itself
        await expect(told).to_contain_text(re.compile("You (were|are) signed out"))
        await expect(reason).to_have_value("the invoice is due")
        assert (await service.hitl.get(request.id)).status == "pending"
