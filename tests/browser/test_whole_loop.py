"""From the question to the result: an agent far away, a person with a browser, and the vault."""

from __future__ import annotations

import asyncio
import json

import pytest
from browser_kit import agent_of, card_of, edit_note, note_says, person
from inbox_kit import ask
from playwright.async_api import expect

pytestmark = pytest.mark.asyncio(loop_scope="module")
PAYMENT = {"amount": 1500, "to": "v@x.org"}


async def pays(agent, **more):
    """Ask, wait, run what was approved, and return what was run."""
    request = await agent.request_approval("payment", "Pay it", PAYMENT, **more)
    decided = await agent.wait_for_decision(request.id)
    if decided.status != "approved":
        return decided, None
    async with agent.execution(request.id) as execution:
        execution.result = {"paid": execution.details["amount"]}
        return decided, execution.details


async def test_a_request_appears_is_approved_runs_and_shows_its_result(browser, service):
    """No page is loaded again by hand; the note in the vault tells the same."""
    async with person(browser, service) as page, agent_of(service) as agent:
        await expect(page.get_by_text("Nothing waits for an answer.")).to_be_visible()
        running = asyncio.create_task(pays(agent))
        card = page.locator(".card")
        await expect(card).to_contain_text("Pay 1500 to v@x.org")
        await expect(page).to_have_title("(1) Queue · hitl")
        await card.get_by_role("link", name="Pay 1500 to v@x.org").click()
        await page.get_by_label("Reason", exact=True).fill("as agreed with Carol")
        await page.get_by_role("button", name="Approve", exact=True).click()
        decided, details = await running
        assert details == PAYMENT
        vote = decided.votes[0]
        assert (vote.reviewer, vote.channel, vote.assurance) == ("alice", "inbox", "authenticated")
        result = page.get_by_role("region", name="Result")
        await expect(result).to_contain_text('"paid": 1500', timeout=5_000)
        await expect(page.locator("#standing")).to_contain_text("executed")
        note = await note_says(service, decided.id, "status: executed", '"paid": 1500')
        assert 'reviewer: "alice"' in note
        assert "as agreed with Carol" in note


async def test_an_answer_in_the_queue_moves_on_to_what_is_left(browser, service):
    async with person(browser, service) as page, agent_of(service) as agent:
        running = asyncio.create_task(pays(agent))
        card = page.locator(".card")
        await card.get_by_label("Reason").fill("fine")
        await card.get_by_role("button", name="Approve").click()
        decided, _ = await running
        assert decided.votes[0].reason == "fine"
        await expect(card_of(page, decided).locator(".decision")).to_contain_text("alice")
        await expect(page).to_have_title("Queue · hitl")


async def test_a_rejection_ends_it_and_the_agent_hears_why(browser, service):
    async with person(browser, service) as page, agent_of(service) as agent:
        running = asyncio.create_task(pays(agent))
        card = page.locator(".card")
        await card.get_by_label("Reason").fill("not this vendor")
        await card.get_by_role("button", name="Reject").click()
        decided, ran = await running
        assert (decided.status, decided.reason, ran) == ("rejected", "not this vendor", None)
        await note_says(service, decided.id, "status: rejected", "not this vendor")


async def test_changes_are_shown_before_they_are_approved_and_only_they_run(browser, service):
    async with person(browser, service) as page, agent_of(service) as agent:
        running = asyncio.create_task(pays(agent))
        await page.locator(".card h3 a").click()
        await page.get_by_text("Approve with changes", exact=True).click()
        await page.get_by_role("textbox", name="The details as JSON").fill(
            json.dumps(PAYMENT | {"amount": 900})
        )
        await page.get_by_role("button", name="Show the difference").click()
        table = page.get_by_role("table", name="What you change")
        await expect(table).to_contain_text("1500")
        await expect(table).to_contain_text("900")
        assert (await service.hitl.list_requests())[0].status == "pending"
        await page.get_by_role("button", name="Approve with these changes").click()
        _, details = await running
        assert details == PAYMENT | {"amount": 900}
        await expect(page.get_by_role("region", name="Result")).to_contain_text('"paid": 900')
        await expect(page.get_by_role("table", name="What was changed")).to_contain_text("900")


async def test_a_comment_is_added_and_decides_nothing(browser, service):
    request = await ask(service)
    async with person(browser, service) as page:
        await page.goto(f"/inbox/requests/{request.id}")
        await page.get_by_label("A remark").fill("which invoice is it?")
        await page.get_by_role("button", name="Add the comment").click()
        comments = page.get_by_role("region", name="Comments")
        await expect(comments).to_contain_text("which invoice is it?")
        await expect(comments).to_contain_text("alice")
        assert (await service.hitl.get(request.id)).status == "pending"
        await page.get_by_role("button", name="Reject").click()
        await note_says(
            service, request.id, "status: rejected", r"alice · commented: which invoice"
        )


async def test_an_answer_in_the_note_shows_on_every_open_page(browser, service):
    request = await ask(service)
    async with person(browser, service) as queue, person(browser, service, "carol") as page:
        await page.goto(f"/inbox/requests/{request.id}")
        await expect(card_of(queue, request)).to_be_visible()
        await edit_note(
            service,
            request.id,
            ("- [ ] Approve ^approve", "- [x] Approve ^approve"),
            ('reviewer: ""', "reviewer: bob"),
            ('reason: ""', "reason: seen on paper"),
        )
        await expect(page.locator("#standing")).to_contain_text("approved")
        await expect(page.locator(".votes")).to_contain_text("bob")
        await expect(page.locator(".votes")).to_contain_text("seen on paper")
        await expect(page.locator("form.answer button.approve").first).to_be_disabled()
        await expect(card_of(queue, request)).to_have_count(0)
        assert (await service.hitl.get(request.id)).votes[0].assurance == "edited"


async def test_what_happens_while_a_page_loads_is_on_it(browser, service):
    """It was asked after the page was made, and before the page listened."""
    asked = []

    async def late(route):
        if not asked:
            asked.append(await ask(service))
        await route.continue_()

    async with person(browser, service) as page:
        await page.route("**/inbox/live", late)
        await page.goto("/inbox")
        await expect(page.locator(".card")).to_have_count(1)
        await expect(page.locator("#waiting")).to_contain_text("1")


async def test_a_page_that_is_cut_off_says_so_and_catches_up(browser, service):
    asked = []

    async def cut(route):
        if asked:
            await route.continue_()
        else:
            asked.append(await ask(service))
            await route.abort()

    async with person(browser, service, elsewhere=True) as page:  # Chromium reports the cut
        await page.route("**/inbox/live", cut)
        await page.goto("/inbox")
        await expect(page.get_by_text("Not connected; trying again.").first).to_be_visible()
        await expect(page.locator(".card")).to_have_count(1)
        await expect(page.locator("#link-state")).to_be_hidden()
