"""On a phone, in the dark, and without JavaScript: the same pages, and all of their use."""

from __future__ import annotations

import re

import pytest
from browser_kit import PHONE, card_of, is_shown_whole, person
from inbox_kit import ask
from playwright.async_api import expect

pytestmark = pytest.mark.asyncio(loop_scope="module")
PAGES = ("/inbox", "/inbox/history", "/inbox/analytics", "/inbox/policy", "/inbox/audit")
_SMALL = """() => [...document.querySelectorAll("main button, main .button, main input:not([type=hidden])")]
    .filter((one) => one.offsetParent && one.getBoundingClientRect().height < 44)
    .map((one) => one.outerHTML.slice(0, 120))"""
_BRIGHT = """() => {
    const of = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const [r, g, b] = of(getComputedStyle(document.body).backgroundColor);
    const found = [...document.querySelectorAll("body *")].filter((one) => {
        const [r, g, b, a] = of(getComputedStyle(one).backgroundColor);
        const box = one.getBoundingClientRect();
        return a !== 0 && r + g + b > 600 && box.width * box.height > 20000;
    });
    return r + g + b > 200 ? ["body"] : found.map((one) => one.outerHTML.slice(0, 120));
}"""


async def test_a_phone_lists_opens_and_answers_by_touch(browser, service):
    request = await ask(service)
    async with person(browser, service, **PHONE) as page:
        for path in (*PAGES, f"/inbox/requests/{request.id}"):
            await page.goto(path)
            await is_shown_whole(page)
            assert await page.evaluate(_SMALL) == [], path
        await page.goto("/inbox")
        await card_of(page, request).locator("h3 a").tap()
        await page.get_by_role("link", name="To your answer").tap()
        reason = page.get_by_label("Reason", exact=True)
        await expect(reason).to_be_in_viewport()
        title = await page.get_by_role("heading", name="Your answer").bounding_box()
        top = await page.locator(".top").bounding_box()
        assert title["y"] >= top["y"] + top["height"]  # not behind what stays at the top
        await reason.tap()
        await page.keyboard.type("on the train")
        await page.get_by_role("button", name="Approve", exact=True).tap()
        await expect(page.locator("#standing")).to_contain_text("approved")
        assert (await service.hitl.get(request.id)).votes[0].reason == "on the train"
        await is_shown_whole(page)


async def test_in_the_dark_nothing_large_is_bright(browser, service):
    request = await ask(service)
    async with person(browser, service, color_scheme="dark") as page:
        for path in (*PAGES, f"/inbox/requests/{request.id}"):
            await page.goto(path)
            assert await page.evaluate(_BRIGHT) == [], path


@pytest.mark.parametrize("size", [{}, PHONE], ids=["desk", "phone"])
async def test_without_javascript_one_lists_opens_approves_and_looks_back(browser, service, size):
    request = await ask(service)
    other = await ask(service, "email", details={"to": "x@y.org"})
    async with person(browser, service, java_script_enabled=False, **size) as page:
        await expect(card_of(page, request)).to_be_visible()
        await card_of(page, other).get_by_role("button", name="Reject").click()
        await expect(page.locator("#standing")).to_contain_text("rejected")
        await page.get_by_role("link", name=re.compile("^Queue")).click()
        await expect(card_of(page, other)).to_have_count(0)
        await card_of(page, request).locator("h3 a").click()
        await page.get_by_label("Reason", exact=True).fill("by a plain form")
        await page.get_by_role("button", name="Approve", exact=True).click()
        await expect(page.locator("#standing")).to_contain_text("approved")
        vote = (await service.hitl.get(request.id)).votes[0]
        assert (vote.reviewer, vote.reason, vote.channel) == ("alice", "by a plain form", "inbox")
        await page.get_by_label("A remark").fill("done")
        await page.get_by_role("button", name="Add the comment").click()
        await expect(page.get_by_role("region", name="Comments")).to_contain_text("done")
        await page.get_by_role("searchbox", name="Search all requests").fill("v@x.org")
        await page.get_by_role("searchbox", name="Search all requests").press("Enter")
        await expect(page.locator("tr.row")).to_have_count(1)
        for path in (*PAGES, f"/inbox/requests/{request.id}"):
            await page.goto(path)
            assert await page.get_by_role("heading", level=1).count() == 1, path


async def test_without_javascript_changes_are_shown_before_they_are_approved(browser, service):
    request = await ask(service)
    async with person(browser, service, java_script_enabled=False, refused=[422]) as page:
        await page.goto(f"/inbox/requests/{request.id}")
        await page.get_by_text("Approve with changes", exact=True).click()
        details = page.get_by_role("textbox", name="The details as JSON")
        await details.fill('{"amount": 900')
        await page.get_by_role("button", name="Show the difference").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        await expect(details).to_have_value('{"amount": 900')
        await details.fill('{"amount": 900, "to": "v@x.org"}')
        await page.get_by_role("button", name="Show the difference").click()
        await expect(page.get_by_role("table", name="What you change")).to_contain_text("900")
        await page.get_by_role("button", name="Approve with these changes").click()
        await expect(page.locator("#standing")).to_contain_text("approved")
        assert (await service.hitl.get(request.id)).details["amount"] == 900


async def test_every_page_is_reached_by_a_thumb(browser, service):
    """No link of the navigation is cut, also where most of them stand and something waits."""
    for _ in range(12):
        await ask(service)
    async with person(browser, service, **PHONE) as page:
        for path in PAGES:
            await page.goto(path)
            audit = await page.get_by_role("link", name="Audit", exact=True).bounding_box()
            assert audit["x"] + audit["width"] <= 390, (path, audit)
        await page.goto("/inbox/analytics")
        await is_shown_whole(page)
