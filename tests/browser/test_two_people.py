"""Two people at one request: what one types stays, what counts is what was seen."""

from __future__ import annotations

import pytest
from browser_kit import card_of, edit_note, person
from inbox_kit import ask
from playwright.async_api import expect

from hitl_vault.core.model import Answer, Assurance

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def changed(service, request, **details):
    """Bob approves with changes; the rule needs another person still."""
    return await service.hitl.vote(
        request.id,
        Answer.EDIT,
        reviewer="bob",
        details=request.details | details,
        assurance=Assurance.AUTHENTICATED,
    )


async def test_a_half_written_reason_survives_what_others_do(browser, service):
    """The cursor stays as well, in the queue and on the request's page."""
    request = await ask(service, "deploy", details={"version": 1})
    async with person(browser, service) as queue, person(browser, service, "carol") as page:
        await page.goto(f"/inbox/requests/{request.id}")
        mine = card_of(queue, request).get_by_label("Reason")
        hers = page.get_by_label("Reason", exact=True)
        for field in (mine, hers):
            await field.click()
            await field.press_sequentially("half a rea")
        await service.hitl.comment(request.id, "see the plan", author="bob")
        await ask(service, "email")
        await expect(card_of(queue, request)).to_contain_text("1 comment")
        await expect(page.get_by_role("region", name="Comments")).to_contain_text("see the plan")
        await expect(queue.locator(".card")).to_have_count(2)
        for field in (mine, hers):
            await expect(field).to_be_focused()
            await field.press_sequentially("son")
            await expect(field).to_have_value("half a reason")


async def test_who_comes_second_keeps_their_words_and_is_told(browser, service):
    request = await ask(service)
    async with person(browser, service) as mine, person(browser, service, "carol") as hers:
        for page in (mine, hers):
            await card_of(page, request).get_by_label("Reason").fill("from me")
        await card_of(hers, request).get_by_role("button", name="Reject").click()
        card = card_of(mine, request)
        await expect(card.locator(".decision")).to_contain_text("carol")
        await expect(card).to_contain_text("Your words were not sent: from me")
        await expect(card.get_by_role("button")).to_have_count(0)
        votes = (await service.hitl.get(request.id)).votes
        assert [(vote.reviewer, vote.answer) for vote in votes] == [("carol", "reject")]


async def test_a_stale_page_approves_nothing_and_says_why(browser, service):
    """It heard of no change, since it has no JavaScript: the digest in its form tells."""
    request = await ask(service, "deploy", details={"version": 1})
    async with person(
        browser, service, "carol", java_script_enabled=False, refused=[409, 403, 422]
    ) as page:
        await page.goto(f"/inbox/requests/{request.id}")
        await page.get_by_label("Reason", exact=True).fill("version 1 is fine")
        await changed(service, request, version=2)
        await page.get_by_role("button", name="Approve", exact=True).click()
        await expect(page.get_by_role("alert")).to_contain_text("changed")
        await expect(page.get_by_label("Reason", exact=True)).to_have_value("version 1 is fine")
        await expect(page.locator("#live .values")).to_contain_text("2")
        now = await service.hitl.get(request.id)
        assert [vote.reviewer for vote in now.votes] == ["bob"]


async def test_changed_details_show_live_and_an_old_answer_is_refused(browser, service):
    request = await ask(service, "deploy", details={"version": 1})
    async with person(browser, service, "carol", refused=[409, 403, 422]) as page:
        await page.goto(f"/inbox/requests/{request.id}")
        await page.get_by_label("Reason", exact=True).fill("version 1 is fine")
        await changed(service, request, version=2)
        await expect(page.locator("#stale")).to_contain_text("The details were changed")
        await expect(page.locator("#live .diff")).to_contain_text("2")
        await page.get_by_role("button", name="Approve", exact=True).click()
        await expect(page.get_by_role("alert")).to_contain_text("changed")
        await expect(page.get_by_label("Reason", exact=True)).to_have_value("version 1 is fine")
        votes = (await service.hitl.get(request.id)).votes
        assert [vote.reviewer for vote in votes] == ["bob"]
        await page.get_by_role("button", name="Approve", exact=True).click()  # seen now
        await expect(page.locator(".votes")).to_contain_text("carol")


async def test_a_click_meant_for_old_details_does_not_approve_new_ones(browser, service):
    """In the queue the form follows what is shown; its buttons rest until it has been seen."""
    request = await ask(service, "deploy", details={"version": 1})
    async with person(browser, service) as page:
        card = card_of(page, request)
        await card.get_by_label("Reason").fill("version 1 is fine")
        await page.evaluate(
            """(id) => new MutationObserver(() => {
                const card = document.getElementById(id);
                const told = card.textContent.includes("The details were changed just now");
                if (told && window.rested === undefined)
                    window.rested = [...card.querySelectorAll(".buttons button")].every((one) => one.disabled);
            }).observe(document.getElementById(id), { childList: true, subtree: true, attributes: true })""",
            f"card-{request.id}",
        )
        await changed(service, request, version=2)
        await expect(card).to_contain_text("look again before you answer")
        assert await page.evaluate("window.rested") is True
        await expect(card.get_by_role("button", name="Approve")).to_be_enabled()
        await expect(card.get_by_label("Reason")).to_have_value("version 1 is fine")


async def test_a_note_and_a_page_are_one_request(browser, service):
    """The note is answered first; the open page sends its own answer, which changes nothing."""
    request = await ask(service)
    async with person(browser, service, java_script_enabled=False, refused=[409]) as page:
        await page.goto(f"/inbox/requests/{request.id}")
        await page.get_by_label("Reason", exact=True).fill("yes")
        await edit_note(
            service,
            request.id,
            ("status: pending", "status: rejected"),
            ('reviewer: ""', "reviewer: bob"),
        )
        await service.hitl.wait_for_decision(request.id)
        await page.get_by_role("button", name="Approve", exact=True).click()
        await expect(page.get_by_role("alert")).to_be_visible()
        await expect(page.locator("#standing")).to_contain_text("rejected")
        await expect(page.get_by_label("Your words, which were not sent")).to_have_value("yes")
        assert (await service.hitl.get(request.id)).status == "rejected"


_UPDATE_AT_ONCE = """() => document.addEventListener("htmx:afterRequest", (event) => {
  if (!event.detail.pathInfo.requestPath.endsWith("/votes")) return;
  setTimeout(() => {
    const queue = document.getElementById("queue");
    const fresh = queue.cloneNode(true);
    fresh.querySelectorAll(".card").forEach((card) => card.remove());
    merge(queue, fresh);
    document.body.dataset.merged = "1";
  });
})"""


async def test_an_own_answer_stays_when_the_queue_is_brought_up_to_date_right_after_it(
    browser, service
):
    request = await ask(service)
    async with person(browser, service) as page:
        await page.evaluate(_UPDATE_AT_ONCE)
        await page.keyboard.press("j")
        await page.keyboard.press("r")
        await page.keyboard.press("Enter")
        await expect(page.locator("body[data-merged]")).to_be_attached()
        await expect(card_of(page, request).locator(".decision")).to_contain_text("ejected")
        await expect(card_of(page, request)).to_be_focused()
