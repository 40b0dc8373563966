"""Without a mouse: every step has a key, and one always sees where one is."""

from __future__ import annotations

import pytest
from browser_kit import card_of, person
from inbox_kit import ask
from playwright.async_api import expect

pytestmark = pytest.mark.asyncio(loop_scope="module")

_MARKED = """() => {
    const one = document.activeElement;
    if (!one || one === document.body) return "";
    const look = getComputedStyle(one);
    const marked = look.boxShadow !== "none" || (look.outlineStyle !== "none" && parseFloat(look.outlineWidth) >= 1);
    const box = one.getBoundingClientRect();
    const top = document.querySelector(".top").getBoundingClientRect().bottom;
    const seen = box.bottom > 0 && box.top < innerHeight && (box.bottom > top || !!one.closest(".top, .skip, dialog"));
    return marked && seen ? one.textContent.trim().slice(0, 40) || one.id : `UNSEEN ${one.outerHTML.slice(0, 200)}`;
}"""


async def focused(page) -> str:
    """Return what has the focus; it is marked, and in sight."""
    name = await page.evaluate(_MARKED)
    assert name, "the focus was lost"
    assert not name.startswith("UNSEEN"), name
    return str(name)


async def test_the_whole_loop_by_keys(browser, service):
    first = await ask(service, details={"amount": 1500, "to": "a@x.org"})
    second = await ask(service, details={"amount": 1600, "to": "b@x.org"})
    third = await ask(service, details={"amount": 1700, "to": "c@x.org"})
    async with person(browser, service) as page:
        press = page.keyboard.press
        await press("j")
        await expect(card_of(page, first)).to_be_focused()
        await press("j")
        await press("j")
        await press("j")  # the last one: it stays
        await expect(card_of(page, third)).to_be_focused()
        await press("k")
        await expect(card_of(page, second)).to_be_focused()
        await press("r")
        assert "Reject" in await focused(page)
        await press("Enter")
        await expect(card_of(page, second).locator(".decision")).to_contain_text("ejected")
        await expect(card_of(page, second)).to_be_focused()
        await press("j")
        await expect(card_of(page, third)).to_be_focused()
        await press("Enter")
        await page.wait_for_url(f"**/{third.id}")
        await press("c")
        await expect(page.get_by_label("A remark")).to_be_focused()
        await page.keyboard.type("jkar? all of it")  # keys are letters here
        await expect(page.get_by_label("A remark")).to_have_value("jkar? all of it")
        await press("Escape")
        await expect(page.get_by_label("A remark")).not_to_be_focused()
        await press("a")
        assert "Approve" in await focused(page)
        await press("Shift+Tab")
        await press("Shift+Tab")
        await expect(page.get_by_label("Reason", exact=True)).to_be_focused()
        await page.keyboard.type("by keys alone")
        await press("Tab")
        assert await focused(page) == "Reject"
        await press("Tab")
        assert await focused(page) == "Approve"
        await press("Enter")
        await expect(page.locator("#standing")).to_contain_text("approved")
        decided = await service.hitl.get(third.id)
        assert decided.votes[0].reason == "by keys alone"
        assert (await service.hitl.get(first.id)).status == "pending"


async def test_help_opens_and_closes_and_gives_the_focus_back(browser, service):
    request = await ask(service)
    async with person(browser, service) as page:
        await page.keyboard.press("j")
        await page.keyboard.press("?")
        help = page.get_by_role("dialog", name="Keyboard")
        await expect(help).to_be_visible()
        await focused(page)
        await page.keyboard.press("a")  # no key reaches what is behind it
        await page.keyboard.press("Escape")
        await expect(help).to_be_hidden()
        await expect(card_of(page, request)).to_be_focused()


async def test_one_tab_after_another_is_seen_and_in_the_order_of_reading(browser, service):
    request = await ask(service)
    async with person(browser, service) as page:
        for path in ("/inbox", f"/inbox/requests/{request.id}", "/inbox/history", "/inbox/policy"):
            await page.goto(path)
            await page.keyboard.press("Tab")
            assert await focused(page) == "Skip to the content"
            seen = []
            for _ in range(40):
                await page.keyboard.press("Tab")
                if await page.evaluate("document.activeElement === document.body"):
                    break
                seen.append(await focused(page))
            else:
                raise AssertionError(seen)
            assert "Sign out" in seen


async def test_keys_do_nothing_while_one_types_and_can_be_switched_off(browser, service):
    request = await ask(service)
    async with person(browser, service) as page:
        search = page.get_by_role("searchbox", name="Search all requests")
        await page.keyboard.press("/")
        await expect(search).to_be_focused()
        await page.keyboard.type("ajrk/?")
        await expect(search).to_have_value("ajrk/?")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await page.keyboard.press("Escape")
        await page.keyboard.press("?")
        await page.get_by_label("Switch single-key shortcuts off").press("Space")
        await page.keyboard.press("Escape")
        await page.keyboard.press("j")
        await expect(card_of(page, request)).not_to_be_focused()
        await page.reload()
        await page.keyboard.press("a")
        assert await page.evaluate("document.activeElement === document.body")


async def test_the_focus_stays_where_it_is_when_news_come(browser, service):
    """Other requests appear and go above and below; the one that is looked at keeps the focus."""
    first = await ask(service, details={"amount": 1500, "to": "a@x.org"})
    second = await ask(service, details={"amount": 1600, "to": "b@x.org"})
    async with person(browser, service) as page:
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        await expect(card_of(page, second)).to_be_focused()
        await service.hitl.reject(first.id, reviewer="bob")
        await expect(card_of(page, first)).to_have_count(0)
        third = await ask(service, details={"amount": 1700, "to": "c@x.org"})
        await expect(card_of(page, third)).to_be_visible()
        await expect(card_of(page, second)).to_be_focused()
        await service.hitl.approve(second.id, reviewer="bob")
        await expect(card_of(page, second).locator(".decision")).to_contain_text("bob")
        await expect(card_of(page, second)).to_be_focused()


async def test_the_focus_stays_in_a_request_that_is_brought_up_to_date(browser, service):
    request = await ask(service)
    async with person(browser, service) as page:
        await page.goto(f"/inbox/requests/{request.id}")
        words = page.get_by_label("The agent's own words", exact=True)
        await words.focus()
        await service.hitl.approve(request.id, reviewer="bob")
        await expect(page.locator("#standing")).to_contain_text("approved")
        await expect(words).to_be_focused()
