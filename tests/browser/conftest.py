"""One browser a file, in which each person has a profile of their own; one service a test.

Tests, browser and service share the event loop of the file: each has
`pytestmark = pytest.mark.asyncio(loop_scope="module")`.
"""

from __future__ import annotations

import shutil

import pytest
import pytest_asyncio
from inbox_kit import use_policy
from server_kit import serving

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser():
    """Chromium, as the system has it; what ends in `.example` is this machine."""
    driver_of = pytest.importorskip("playwright.async_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed")
    driver_of.expect.set_options(timeout=10_000)
    async with driver_of.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium, args=ARGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def service(tmp_path):
    """A running service whose vault has the rules of `inbox_kit`."""
    use_policy(tmp_path / "vault")
    async with serving(tmp_path / "vault", hosts=("hitl.example",)) as service:
        yield service
