"""People with a browser: signed in by a one-time link, and watched for what must never happen."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from client_kit import until
from playwright.async_api import Browser, BrowserContext, Page

from hitl_vault import connect
from hitl_vault.core.access import Scope

EVERYTHING = frozenset({Scope.READ, Scope.VOTE, Scope.OPERATE})
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
_PLAIN = (
    "The Cross-Origin-Opener-Policy header has been ignored"  # said of plain HTTP from elsewhere
)
_BESIDE = """() => {
    const width = document.documentElement.clientWidth;
    const found = [...document.body.querySelectorAll("*")].filter((one) =>
      one.getBoundingClientRect().right > width + 1 && !one.closest(".scroll, pre, nav"));
    const name = (one) => `${one.tagName}.${one.className} ${one.textContent.slice(0, 60)}`;
    return [document.documentElement.scrollWidth - width, found.slice(0, 3).map(name)];
}"""
_REPORT = """addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));"""


class Watch:
    """What a browser did that no page of ours may make it do.

    Args:
        refused: Statuses this test expects; Chromium reports each as an error of its console.
    """

    def __init__(self, context: BrowserContext, url: str, refused: Iterable[int] = ()) -> None:
        self._host, self.troubles = urlsplit(url).netloc, list[str]()
        self._expected = (_PLAIN, *(f"with a status of {status} " for status in refused))
        context.on("console", self._said)
        context.on("weberror", lambda error: self.troubles.append(f"error: {error.error}"))
        context.on("request", self._asked)
        context.on("page", lambda page: page.on("dialog", self._opened))

    def _said(self, message: Any) -> None:
        expected = any(words in message.text for words in self._expected)
        if message.type in {"error", "warning"} and not expected:
            self.troubles.append(f"console: {message.text}")

    def _asked(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme != "data" and parts.netloc != self._host:
            self.troubles.append(f"request to {request.url}")

    async def _opened(self, dialog: Any) -> None:
        self.troubles.append(f"dialog: {dialog.message}")
        await dialog.dismiss()


def sign_in_code(
    service: Any, name: str = "alice", scopes: frozenset[Scope] = EVERYTHING, valid_s: float = 600
) -> str:
    """Return what follows the # in a one-time link."""
    now = datetime.now(UTC)
    until_when = now + timedelta(seconds=valid_s)
    return str(service.serving.sessions.on_record.make_link(name, scopes, now, until_when)[1])


async def sign_in(page: Page, service: Any, name: str = "alice", *, plain: bool = False) -> None:
    """Sign in as a person does who was sent a link; `plain` is without JavaScript."""
    code = sign_in_code(service, name)
    await page.goto(f"/sign-in/link#{code}")
    if plain:
        await page.get_by_label("The code of your link").fill(code)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/inbox")


@asynccontextmanager
async def person(
    browser: Browser,
    service: Any,
    name: str = "alice",
    *,
    refused: Iterable[int] = (),
    signed_in: bool = True,
    elsewhere: bool = False,
    **options: Any,
) -> AsyncIterator[Page]:
    """Yield a page of somebody, and check at the end that nothing came of it but what is ours.

    Args:
        refused: Statuses that this test expects.
        elsewhere: They visit other sites too, which may do what they like.
        options: Of the browser's context: its size, its colours, no JavaScript.
    """
    context = await browser.new_context(base_url=service.url, **options)
    try:
        plain = options.get("java_script_enabled") is False
        if not plain:
            await context.add_init_script(_REPORT)
        watch = Watch(context, service.url, refused)
        page = await context.new_page()
        if signed_in:
            await sign_in(page, service, name, plain=plain)
        yield page
        assert elsewhere or not watch.troubles, watch.troubles
    finally:
        await context.close()


def agent_of(service: Any, name: str = "bot") -> Any:
    """Return the desk of an agent on another machine."""
    return connect(service.url, token=service.token("agent", name))


def card_of(page: Page, request: Any) -> Any:
    return page.locator(f"#card-{request.id}")


async def is_shown_whole(page: Page) -> None:
    """Nothing stands beside the page, on a desk or in a hand: it never scrolls to the side."""
    before = page.viewport_size
    assert before is not None
    for width in (1280, 390):
        await page.set_viewport_size({"width": width, "height": before["height"]})
        too_wide, what = await page.evaluate(_BESIDE)
        assert too_wide <= 0, (width, what)
        assert not what, (width, what)
    await page.set_viewport_size(before)


async def note_of(service: Any, id: str) -> Path:
    """Return the path of a request's note, as soon as there is one."""
    return Path(await until(lambda: service.hitl.document_path(id)))


async def note_says(service: Any, id: str, *words: str) -> str:
    """Wait until the note says all of this, and return its text."""

    async def text() -> str:
        note = await service.hitl.document_path(id)
        if note is None:
            return ""
        said = await asyncio.to_thread(Path(note).read_text, encoding="utf-8")
        return said if all(re.search(word, said) for word in words) else ""

    return str(await until(text))


async def edit_note(service: Any, id: str, *changes: tuple[str, str]) -> None:
    """Change a note as an editor does: read it, change words, save it."""
    note = await note_of(service, id)
    text = note.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, (old, text)
        text = text.replace(old, new, 1)
    note.write_text(text, encoding="utf-8")
