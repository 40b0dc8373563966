"""Every page judged by axe-core, in the light and in the dark, wide and narrow."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from browser_kit import agent_of, person
from inbox_kit import ask
from playwright.async_api import expect
from test_inbox_links import linked

from hitl_vault.core.model import Answer

pytestmark = pytest.mark.asyncio(loop_scope="module")
_FOUND = """async (rules) => {
    const runOnly = rules ? { type: "rule", values: rules } : undefined;
    const { violations } = await axe.run(document, { resultTypes: ["violations"], runOnly });
    return violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
        .flatMap(({ id, impact, nodes }) => nodes.slice(0, 3).map((node) =>
            `${impact} ${id}: ${node.target} ${node.html.slice(0, 150)} ${node.any.map((one) => one.message).join("; ")}`));
}"""
_COLOURS = ["color-contrast", "link-in-text-block"]
_SIZES = [*_COLOURS, "scrollable-region-focusable", "target-size"]
_WIDE, _NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@cache
def _axe() -> str:
    return (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")


async def judged(page, what: str) -> None:
    """No finding that keeps somebody from using the page, however they see it."""
    await page.evaluate(_axe())
    found = [("light", one) for one in await page.evaluate(_FOUND)]
    await page.emulate_media(color_scheme="dark")
    found += [("dark", one) for one in await page.evaluate(_FOUND, _COLOURS)]
    await page.set_viewport_size(_NARROW)
    found += [("narrow", one) for one in await page.evaluate(_FOUND, _SIZES)]
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size(_WIDE)
    assert not found, (what, found)


async def all_sorts(service):
    """Ask what shows every part of the pages, and return it by name."""
    asked = {kind: await ask(service, kind) for kind in ("payment", "deploy", "secret", "signed")}
    await service.hitl.comment(asked["payment"].id, "which invoice?", author="bob")
    await service.hitl.approve(asked["deploy"].id, reviewer="bob", reason="fine")
    long = await ask(service, "email", details={"text": "line\n" * 400}, description="w " * 9000)
    await service.hitl.comment(long.id, "c\n" * 90, author="bob")
    rejected = await ask(service, "email")
    await service.hitl.reject(rejected.id, reviewer="bob", reason="no")
    edited = await ask(service, details={"amount": 1, "to": "v\u043e@x.org"})
    changes = {"amount": 2, "to": "v@x.org"}
    await service.hitl.vote(edited.id, Answer.EDIT, reviewer="bob", details=changes)
    async with agent_of(service) as agent, agent.execution(edited.id) as execution:
        execution.result = {"paid": "x" * 4000}
    return asked | {"long": long, "rejected": rejected, "executed": edited}


async def test_no_page_keeps_anybody_out(browser, service):
    asked = await all_sorts(service)
    path = await linked(service, asked["secret"].id)
    async with person(browser, service) as page:
        for name in ("", "/history", "/analytics", "/policy", "/audit"):
            await page.goto(f"/inbox{name}")
            await judged(page, name)
        for name, request in asked.items():
            await page.goto(f"/inbox/requests/{request.id}")
            await judged(page, f"request: {name}")
        await page.goto(path)
        await judged(page, "a link")


async def test_nor_do_forms_with_problems_help_and_signing_in(browser, service):
    request = await ask(service)
    refused = [401, 404, 422]
    async with person(browser, service, refused=refused) as page:
        await page.goto("/inbox/no-such-page")
        await judged(page, "a problem")
        await page.goto("/inbox")
        await page.keyboard.press("?")
        await judged(page, "the help")
        await page.goto(f"/inbox/requests/{request.id}")
        await page.get_by_text("Approve with changes", exact=True).click()
        details = page.get_by_role("textbox", name="The details as JSON")
        await details.fill("{")
        await page.get_by_role("button", name="Show the difference").click()
        await judged(page, "a problem in a form")
        await details.fill('{"amount": 900, "to": "v@x.org"}')
        await page.get_by_role("button", name="Show the difference").click()
        await judged(page, "the difference")
        await page.goto("/inbox/policy")
        await page.get_by_label("Kind of action").fill("payment")
        await page.get_by_role("button", name="Explain").click()
        await expect(page.get_by_role("heading", name="What the policy says of it")).to_be_visible()
        await judged(page, "explained")
        await page.goto("/inbox/audit")
        await page.get_by_role("button", name="Check the whole chain").click()
        await judged(page, "checked")
        await page.goto("/inbox")
        await page.locator(".card").get_by_role("button", name="Reject").click()
        await expect(page.locator(".card .decision")).to_be_visible()
        await judged(page, "an answered card")
        await page.get_by_role("button", name="Sign out").click()
        await judged(page, "signed out")
        for path in ("/sign-in", "/sign-in/link#x"):
            await page.goto(path)
            await judged(page, path)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        await judged(page, "not signed in")
