"""Answering while the service is away, with a real browser: nothing typed is lost."""

from __future__ import annotations

import shutil

import pytest
from inbox_kit import ask, use_policy
from server_kit import serving

playwright = pytest.importorskip("playwright.async_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WORDS = "A long reason, typed with care"


@pytest.fixture
async def page():
    async with playwright.async_playwright() as driver:
        try:
            browser = await driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no browser here: {str(error).splitlines()[0]}")
        yield await browser.new_page()
        await browser.close()


@pytest.mark.parametrize("place", ["queue", "request"])
async def test_what_is_typed_while_the_service_is_away_stays_and_is_sent_later(
    tmp_path, page, place
):
    """The page is not left for the browser's error page; the same button then sends the words."""
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault") as service:
        request = await ask(service)
        await page.goto(f"{service.url}/sign-in")
        await page.get_by_label("Your token").fill(service.token("reviewer", "alice"))
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/inbox")
        if place == "request":
            await page.goto(f"{service.url}/inbox/requests/{request.id}")
        reason, approve = page.get_by_label("Reason"), page.locator("button[value=approve]")
        await reason.fill(WORDS)
        await page.context.set_offline(True)
        await approve.click()
        await page.get_by_text("Not connected: nothing was sent").first.wait_for()
        assert await reason.input_value() == WORDS
        assert (await service.hitl.get(request.id)).votes == ()
        await page.context.set_offline(False)
        await approve.click()
        await page.get_by_text(f"Approved by alice: {WORDS}").first.wait_for()
        assert (await service.hitl.get(request.id)).votes[0].reason == WORDS
