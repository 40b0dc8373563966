"""Signing in, with a real browser: what it sends is what the service was made for."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import pytest
from server_kit import serving

from hitl_vault.core.access import Scope

playwright = pytest.importorskip("playwright.async_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
async def browser():
    async with playwright.async_playwright() as driver:
        try:
            browser = await driver.chromium.launch(
                executable_path=CHROMIUM,
                args=["--no-sandbox", "--host-resolver-rules=MAP hitl.example 127.0.0.1"],
            )
        except playwright.Error as error:
            pytest.skip(f"no browser here: {str(error).splitlines()[0]}")
        yield browser
        await browser.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "hitl.example"])
async def test_a_person_signs_in_by_a_link(tmp_path, browser, host):
    """Also over plain HTTP from elsewhere, where a browser says less of where a form comes from."""
    async with serving(tmp_path / "vault", hosts=("hitl.example",)) as service:
        page, url = await browser.new_page(), service.url.replace("127.0.0.1", host)
        now = datetime.now(UTC)
        record = service.serving.sessions.on_record
        scopes = frozenset({Scope.READ, Scope.VOTE})
        _, code = record.make_link("alice", scopes, now, now + timedelta(minutes=10))
        troubles = []
        page.on(
            "console", lambda said: troubles.append(said.text) if said.type == "error" else None
        )
        await page.goto(f"{url}/sign-in/link#{code}")
        assert "#" not in page.url  # not left in the history
        assert record.links()  # looking at it spent nothing
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/inbox**")
        assert [one.name for one in record.sessions().values()] == ["alice"]
        await page.goto(f"{url}/sign-in")
        assert "/inbox" in page.url
        assert not [text for text in troubles if "Content Security Policy" in text]
        assert await page.evaluate("document.cookie") == ""
