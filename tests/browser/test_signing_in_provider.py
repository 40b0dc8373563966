"""Signing in with an identity provider, with a real browser: what it lets a page do."""

from __future__ import annotations

import pytest
from provider_kit import CLIENT, SECRET, provider
from server_kit import serving

from hitl_vault.server.serving import OidcSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_person_signs_in_by_an_identity_provider(tmp_path, browser, monkeypatch):
    """The policy of the page, `form-action 'self'`, must not hold up the way to the provider."""
    monkeypatch.setenv("OIDC_SECRET", SECRET)
    async with provider() as made:
        known = OidcSettings(
            issuer=made.url,
            client_id=CLIENT,
            client_secret_env="OIDC_SECRET",
            reviewers={"alice@example.com": "alice"},
        )
        async with serving(tmp_path / "vault", oidc=known) as service:
            page = await browser.new_page()
            await page.goto(f"{service.url}/inbox/history?text=a+b&type=c")
            await page.get_by_role("link", name="Sign in with").click()
            await page.wait_for_url("**/inbox/history?text=a+b&type=c")
            [session] = service.serving.sessions.on_record.sessions().values()
            assert (session.name, session.way) == ("alice", "oidc")
