"""Pages of other sites, opened by somebody who is signed in here: they change and learn nothing."""

from __future__ import annotations

import asyncio
from html import escape

import pytest
from browser_kit import person
from inbox_kit import ask
from playwright.async_api import expect

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def visit(page, html):
    """Open a page of another site, and let it do what it was made for."""
    site = "http://evil.example:9999/"

    async def answer(route):
        await route.fulfill(body=html, content_type="text/html")

    await page.context.route(f"{site}*", answer)
    other = await page.context.new_page()
    await other.goto(site)
    return other


def form_to(url, **fields):
    """A page that posts a form at once, as if its reader had."""
    inputs = "".join(
        f'<input name="{name}" value="{escape(value)}">' for name, value in fields.items()
    )
    return (
        f'<form method="post" action="{escape(url)}">{inputs}</form>'
        "<script>document.forms[0].submit()</script>"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "hitl.example"])
async def test_a_form_of_another_site_changes_nothing(browser, service, host):
    """Its reader is signed in, and it knows every field but the one it cannot know."""
    request = await ask(service)
    service.url = service.url.replace("127.0.0.1", host)
    inbox = f"{service.url}/inbox/requests/{request.id}"
    common = {"payload_sha256": request.payload_in_force, "reason": "sent by another site"}
    async with person(browser, service, refused=[403, 404], elsewhere=True) as page:
        before = await service.hitl.head()
        for url, fields in {
            f"{inbox}/votes": common | {"answer": "approve"},
            f"{inbox}/votes?": common | {"answer": "approve", "csrf": "0" * 64},
            f"{inbox}/edit": common | {"details": "{}"},
            f"{inbox}/comments": {"text": "hello"},
            f"{service.url}/inbox/audit": {},
            f"{service.url}/sign-out": {},
        }.items():
            other = await visit(page, form_to(url, **fields))
            await expect(other.get_by_role("alert")).to_contain_text("nothing was done")
            await other.close()
        assert await service.hitl.head() == before
        await page.reload()
        await expect(page.get_by_role("button", name="Sign out")).to_be_visible()


async def test_a_script_of_another_site_reads_and_sends_nothing(browser, service):
    request = await ask(service)
    url = f"{service.url}/inbox/requests/{request.id}"
    html = f"""<script>
    const body = new URLSearchParams({{ answer: "approve", payload_sha256: "{request.payload_in_force}" }});
    const told = async (made) => {{ try {{ return (await (await made).text()).slice(0, 40) || "opaque"; }} catch {{ return "failed"; }} }};
    window.told = Promise.all([
      told(fetch("{url}", {{ credentials: "include" }})),
      told(fetch("{url}/votes", {{ method: "POST", body, credentials: "include" }})),
      told(fetch("{url}/votes", {{ method: "POST", body, credentials: "include", mode: "no-cors" }})),
      told(fetch("{service.url}/api/v1/requests/{request.id}/votes", {{ method: "POST", body: '{{"answer":"approve"}}', credentials: "include", mode: "no-cors" }})),
    ]);
    </script>"""
    async with person(browser, service, elsewhere=True) as page:
        before = await service.hitl.head()
        other = await visit(page, html)
        async with asyncio.timeout(10):
            told = await other.evaluate("window.told")
        assert told == ["failed"] * 4
        assert await service.hitl.head() == before


async def test_no_other_site_frames_a_page(browser, service):
    """Nobody is led to click on what they do not see."""
    async with person(browser, service, elsewhere=True) as page:
        other = await visit(page, f'<iframe src="{service.url}/inbox"></iframe>')
        await other.wait_for_load_state()
        frame = other.frames[1]
        assert await frame.locator("main").count() == 0
