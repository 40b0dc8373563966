"""Signing in with an identity provider."""

from __future__ import annotations

import html

import httpx
import pytest
from provider_kit import CLIENT, SECRET, provider
from server_kit import serving

from hitl_vault.errors import ConfigError, Forbidden
from hitl_vault.server.serving import OidcSettings
from hitl_vault.server.signing_in.oidc import Provider, name_in

REVIEWERS = '[alice]\nroles = ["finance"]\n'


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("OIDC_SECRET", SECRET)


def settings(made, **more):
    known = {"reviewers": {"alice@example.com": "alice"}}
    return OidcSettings(
        issuer=made.url, client_id=CLIENT, client_secret_env="OIDC_SECRET", **(known | more)
    )


@pytest.mark.parametrize("letter", ["\u212a", "\uff4b", "k\u200b"])
def test_letters_that_pass_for_others_are_nobodys_name(letter):
    """Names of reviewers are compared as people read them; an account elsewhere is not."""
    known = OidcSettings(
        issuer="https://x", client_id="h", claim="email", reviewers={"mike@x.org": "alice"}
    )

    def named(said):
        return name_in({"email": said, "email_verified": True}, known)

    assert named("mike@x.org") == named("Mike@X.org") == ("alice", True)
    with pytest.raises(Forbidden, match="letters"):
        named(f"mi{letter}e@x.org")


async def go(service, browser, next=""):
    """Go the whole way, as a browser does; return the last answer that is not a redirect to a page."""
    answer = await browser.get("/sign-in/oidc", params={"next": next})
    assert answer.status_code == 303, answer.text
    async with httpx.AsyncClient() as outside:
        back = (await outside.get(answer.headers["location"])).headers["location"]
    assert back.startswith(service.url)
    return await browser.get(back.removeprefix(service.url)), back


@pytest.fixture
async def desk(tmp_path):
    """A provider, and a service that asks it; changed by `said` before anybody signs in."""
    from hitl_vault.cli.starting import make_vault

    root = tmp_path / "vault"
    make_vault(root)
    (root / ".hitl/reviewers.toml").write_text(REVIEWERS)
    async with provider() as made, serving(root, oidc=settings(made)) as service:
        yield made, service


async def test_a_person_on_record_signs_in_and_goes_where_they_wanted(desk):
    made, service = desk
    browser = service.client()
    assert "Sign in with 127.0.0.1" in (await browser.get("/sign-in")).text
    answer, _ = await go(service, browser, "/inbox/requests/x")
    assert (answer.status_code, answer.headers["location"]) == (303, "/inbox/requests/x")
    [session] = service.serving.sessions.on_record.sessions().values()
    assert (session.name, session.way) == ("alice", "oidc")
    assert {str(scope) for scope in session.scopes} == {"read", "vote"}
    assert made.asked[0]["code_challenge"]


@pytest.mark.parametrize(
    ("claim", "said", "reviewers", "status"),
    [
        ("sub", "aB3", {"aB3": "alice"}, 303),
        ("sub", "ab3", {"aB3": "alice"}, 403),
        ("sub", "alice", {}, 303),
        ("sub", "Alice", {}, 403),
        ("sub", "Alice", {"aB3": "Alice"}, 403),
        ("sub", "aB3", {"aB3": "Alice"}, 303),
        ("email", "A.Miller@Example.com", {"a.miller@example.COM": "alice"}, 303),
        ("email", "JÖRG@example.com", {"jörg@example.com": "alice"}, 403),
    ],
)
async def test_a_claim_is_compared_to_the_letter_and_an_address_but_for_case(
    tmp_path, claim, said, reviewers, status
):
    """Two accounts at a provider may differ in the case of their `sub` alone."""
    from hitl_vault.cli.starting import make_vault

    make_vault(tmp_path / "vault")
    (tmp_path / "vault/.hitl/reviewers.toml").write_text(REVIEWERS)
    async with provider(claims={claim: said}) as made:
        wanted = settings(made, claim=claim, reviewers=reviewers)
        async with serving(tmp_path / "vault", oidc=wanted) as service:
            answer, _ = await go(service, service.client())
            assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"claims": {"email": "mallory@example.com"}}, "not on record"),
        ({"claims": {"email_verified": False}}, "verified"),
        ({"claims": {"email_verified": None}}, "verified"),
        ({"claims": {"email": None}}, "says no email"),
        ({"claims": {"aud": "another"}}, "does not count"),
        ({"claims": {"aud": [CLIENT, "another"], "azp": "another"}}, "somebody else"),
        ({"claims": {"iss": "https://evil.example"}}, "does not count"),
        ({"claims": {"exp": 1_700_000_000}}, "does not count"),
        ({"keeps_nonce": False}, "another sign-in"),
        ({"other_key": True}, "does not count"),
        ({"algorithm": "none"}, "does not count"),
        ({"algorithm": "HS256"}, "does not count"),
    ],
    ids=str,
)
async def test_nobody_else_signs_in(desk, said, why):
    made, service = desk
    for name, value in said.items():
        setattr(made, name, value)
    browser = service.client()
    answer, _ = await go(service, browser)
    assert answer.status_code in {401, 403}, answer.text
    assert why in html.unescape(answer.text)
    assert not service.serving.sessions.on_record.sessions()


async def test_an_answer_counts_once_and_only_in_the_browser_that_asked(desk):
    _, service = desk
    browser = service.client()
    asked = await browser.get("/sign-in/oidc")
    async with httpx.AsyncClient() as outside:
        back = (await outside.get(asked.headers["location"])).headers["location"]
    back = back.removeprefix(service.url)
    assert (await service.client().get(back)).status_code == 401  # a victim led to it
    assert (await browser.get(f"{back}&state=other")).status_code == 401
    again = await browser.get("/sign-in/oidc")
    assert again.status_code == 303
    assert (await browser.get(back)).status_code == 401  # of the sign-in before
    assert not service.serving.sessions.on_record.sessions()


async def test_who_is_taken_off_the_record_is_signed_out(desk):
    _, service = desk
    browser = service.client()
    await go(service, browser)
    assert (await browser.get("/sign-in")).status_code == 303
    (service.root / ".hitl/reviewers.toml").write_text("[bob]\n")
    assert (await browser.get("/sign-in")).status_code == 200


async def test_a_code_is_used_once(desk):
    _, service = desk
    browser = service.client()
    answer, back = await go(service, browser)
    assert answer.status_code == 303
    assert (await browser.get(back.removeprefix(service.url))).status_code == 401


async def test_people_of_other_domains_do_not_sign_in(tmp_path):
    async with provider(claims={"email": "alice@example.com.evil.example"}) as made:
        wanted = settings(made, domains=("example.com",))
        async with serving(tmp_path / "vault", oidc=wanted) as service:
            answer, _ = await go(service, service.client())
            assert (answer.status_code, "domain" in answer.text) == (403, True)


async def test_a_provider_that_does_not_answer_is_said_plainly(tmp_path):
    gone = OidcSettings(issuer="http://127.0.0.1:9", client_id=CLIENT)
    async with serving(tmp_path / "vault", oidc=gone) as service:
        answer = await service.client().get("/sign-in/oidc")
        assert (answer.status_code, "try again later" in answer.text) == (503, True)


def test_a_provider_is_asked_over_tls_and_its_secret_must_be_there():
    with pytest.raises(ConfigError, match="https"):
        Provider(OidcSettings(issuer="http://idp.example", client_id=CLIENT))
    with pytest.raises(ConfigError, match="NO_SUCH_NAME is not set"):
        Provider(
            OidcSettings(
                issuer="https://idp.example", client_id=CLIENT, client_secret_env="NO_SUCH_NAME"
            )
        )
