"""Owns asking an identity provider who somebody is: OpenID Connect, the code flow with PKCE. Never
believes a name that is not in an ID token signed by the provider, for us, now, for this sign-in.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import time
import unicodedata
import warnings
from typing import Any
from urllib.parse import urlsplit

import httpx
from authlib.integrations.base_client import OAuthError
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from hitl_vault.core.voting import person
from hitl_vault.errors import ConfigError, Forbidden, Unauthenticated
from hitl_vault.server.gate_layer import LOOPBACK
from hitl_vault.server.serving import OidcSettings
from hitl_vault.server.sessions import Begun

with warnings.catch_warnings(record=True):  # it says which library it will use one day
    from authlib.integrations.httpx_client import AsyncOAuth2Client

_log = logging.getLogger(__name__)
_SIGNED_BY = ["RS256", "PS256", "ES256", "ES384", "EdDSA"]  # no shared secrets, and never "none"
_WITHIN_S, _LEEWAY_S = 10.0, 60
_FRESH_S, _AGAIN_S = 3600, 5


class ProviderAway(Unauthenticated):
    """The identity provider does not answer, or not as it should."""

    code = "provider_away"
    http_status = 503


class Provider:
    """One identity provider. Its addresses and keys are read when they are first needed."""

    def __init__(self, settings: OidcSettings) -> None:
        found = urlsplit(settings.issuer)
        if found.scheme != "https" and found.hostname not in LOOPBACK:
            raise ConfigError(f"oidc.issuer: {settings.issuer!r} must begin with https://")
        self._settings = settings
        self._secret = ""
        if settings.client_secret_env:
            self._secret = os.environ.get(settings.client_secret_env, "")
            if not self._secret:
                name = settings.client_secret_env
                raise ConfigError(f"oidc.client_secret_env: {name} is not set, or empty")
        self._known: dict[str, Any] = {}
        self._keys: KeySet | None = None
        self._read_at = self._again_at = 0.0
        self._reading = asyncio.Lock()

    @property
    def name(self) -> str:
        """Return how people know it: its host."""
        return urlsplit(self._settings.issuer).hostname or ""

    async def address(self, begun: Begun, back: str) -> str:
        """Return where a person goes to say who they are; they come back to `back`.

        Raises:
            ProviderAway: It does not answer.
        """
        await self._read()
        async with self._client(back) as client:
            url, _ = client.create_authorization_url(
                self._known["authorization_endpoint"],
                state=begun.state,
                nonce=begun.nonce,
                code_verifier=begun.verifier,
            )
        return str(url)

    async def claims(self, begun: Begun, back: str, code: str) -> dict[str, Any]:
        """Exchange a code, and return what the provider's ID token says of the person.

        Raises:
            ProviderAway: It does not answer.
            Unauthenticated: The code or the token does not count.
        """
        await self._read()
        try:
            async with self._client(back) as client:
                token = await client.fetch_token(
                    self._known["token_endpoint"],
                    code=code,
                    code_verifier=begun.verifier,
                    grant_type="authorization_code",
                )
        except OAuthError as error:
            _log.warning("the identity provider took no code: %s", error.error)
            raise Unauthenticated("The identity provider did not take this sign-in.") from error
        except (httpx.HTTPError, ValueError) as error:
            raise self._away(error) from error
        return await self._verified(str(token.get("id_token", "")), begun)

    async def _verified(self, id_token: str, begun: Begun) -> dict[str, Any]:
        try:
            claims = await self._decoded(id_token)
            jwt.JWTClaimsRegistry(
                leeway=_LEEWAY_S,
                iss={"essential": True, "value": self._settings.issuer},
                aud={"essential": True, "value": self._settings.client_id},
                exp={"essential": True},
                iat={"essential": True},
                sub={"essential": True},
            ).validate(claims)
        except (JoseError, ValueError, KeyError) as error:
            _log.warning("an ID token does not count: %s", type(error).__name__)
            raise Unauthenticated("What the identity provider said does not count.") from error
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if (several or "azp" in claims) and claims.get("azp") != self._settings.client_id:
            raise Unauthenticated("What the identity provider said was said to somebody else.")
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), begun.nonce.encode()):
            raise Unauthenticated("What the identity provider said belongs to another sign-in.")
        return claims

    async def _decoded(self, id_token: str) -> dict[str, Any]:
        assert self._keys is not None
        try:
            return dict(jwt.decode(id_token, self._keys, algorithms=_SIGNED_BY).claims)
        except (JoseError, ValueError, KeyError):
            await self._read(anew=True)  # its keys may have changed
            return dict(jwt.decode(id_token, self._keys, algorithms=_SIGNED_BY).claims)

    async def _read(self, *, anew: bool = False) -> None:
        async with self._reading:
            if self._keys is not None and not anew and time.monotonic() - self._read_at < _FRESH_S:
                return
            if time.monotonic() < self._again_at:  # who knocks now must not wait for it each
                raise ProviderAway(f"{self.name} does not answer as it should; try again later.")
            base = self._settings.issuer.rstrip("/")
            try:
                async with httpx.AsyncClient(timeout=_WITHIN_S) as client:
                    answer = await client.get(f"{base}/.well-known/openid-configuration")
                    known = answer.raise_for_status().json()
                    if known["issuer"] != self._settings.issuer:
                        raise ValueError("it names another issuer")  # noqa: TRY301
                    keys = await client.get(known["jwks_uri"])
                    self._keys = KeySet.import_key_set(keys.raise_for_status().json())
                    self._known = {
                        name: str(known[name])
                        for name in ("authorization_endpoint", "token_endpoint")
                    }
            except (httpx.HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
                self._again_at = time.monotonic() + _AGAIN_S
                raise self._away(error) from error
            self._read_at = time.monotonic()

    def _away(self, error: Exception) -> ProviderAway:
        _log.error("%s: %s: %s", self._settings.issuer, type(error).__name__, error)
        return ProviderAway(f"{self.name} does not answer as it should; try again later.")

    def _client(self, back: str) -> AsyncOAuth2Client:
        return AsyncOAuth2Client(
            self._settings.client_id,
            self._secret or None,
            token_endpoint_auth_method="client_secret_basic" if self._secret else "none",
            redirect_uri=back,
            scope="openid email profile",
            code_challenge_method="S256",
            timeout=_WITHIN_S,
        )


def name_in(claims: dict[str, Any], settings: OidcSettings) -> tuple[str, bool]:
    """Return the name that these claims say somebody has here, and whether the settings give it.

    Raises:
        Forbidden: They say none that may sign in.
    """
    said = claims.get(settings.claim)
    if not isinstance(said, str) or not said:
        raise Forbidden(f"The identity provider says no {settings.claim} of yours.")
    if settings.claim == "email" and claims.get("email_verified") is not True:
        raise Forbidden("The identity provider does not say that your address was verified.")
    if person(said) != said.casefold() or unicodedata.normalize("NFKC", said) != said:
        raise Forbidden(
            "Your name there has letters that pass for others; it signs in nobody here."
        )
    domain = said.rpartition("@")[2].casefold()
    if settings.domains and domain not in {one.casefold() for one in settings.domains}:
        raise Forbidden("People of your domain do not sign in here.")
    for one, name in settings.reviewers.items():
        if is_same(one, said, settings):
            return name, True
    return said, False


def is_same(name: str, said: str, settings: OidcSettings) -> bool:
    """True if what the provider says is this name: to the letter, as accounts there may differ in
    case alone; an address of e-mail whatever the case of its ASCII letters.
    """
    if settings.claim == "email":
        return _small(name) == _small(said)
    return name == said


def _small(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass").lower()  # of bytes, ASCII alone changes
