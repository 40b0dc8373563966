"""An identity provider of our own: OpenID Connect by its book, and as wrong as a test wants it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Route

CLIENT, SECRET = "hitl", "the client's secret"


def part(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


@dataclass
class OidcProvider:
    """What it says of whoever comes; `claims` are put over what is right."""

    url: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "RS256"
    other_key: bool = False
    keeps_nonce: bool = True
    key: Any = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)

    def app(self):
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.about),
                Route("/keys", self.keys),
                Route("/authorize", self.authorize),
                Route("/token", self.token, methods=["POST"]),
            ]
        )

    async def about(self, _):
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
            }
        )

    async def keys(self, _):
        return JSONResponse(KeySet([self.key]).as_dict(private=False))

    async def authorize(self, request):
        """Let everybody in, as whoever the claims say."""
        asked = dict(request.query_params)
        self.asked.append(asked)
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["client_id"] == CLIENT
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        back = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{back}", status_code=302)

    async def token(self, request):
        form = dict(await request.form())
        asked = self.codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        basic = request.headers["authorization"].removeprefix("Basic ")
        known = base64.b64decode(basic).decode().startswith(f"{CLIENT}:")
        if asked is None or not known or asked["code_challenge"] != challenge:
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": "1234",
            "iat": now,
            "exp": now + 300,
            "email": "alice@example.com",
            "email_verified": True,
            "nonce": asked["nonce"],
        } | self.claims
        if not self.keeps_nonce:
            claims["nonce"] = "of another sign-in"
        return JSONResponse(
            {"access_token": "x", "token_type": "Bearer", "id_token": self._signed(claims)}
        )

    def _signed(self, claims):
        header = {"alg": self.algorithm, "kid": "one"}
        if self.algorithm == "none":
            return f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}."
        key = self.key
        if self.algorithm.startswith("HS"):  # signed with what everybody knows: the public key
            said = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
            mac = hmac.digest(self.key.as_pem(private=False), said.encode(), "sha256")
            return f"{said}.{part(mac)}"
        if self.other_key:
            key = RSAKey.generate_key(2048, {"kid": "one"})
        return jwt.encode(header, claims, key, algorithms=[self.algorithm])


@asynccontextmanager
async def provider(**about: Any):
    """Run one until the block ends."""
    made = OidcProvider(**about)
    server = uvicorn.Server(uvicorn.Config(made.app(), port=0, log_level="warning"))
    running = asyncio.create_task(server.serve())
    try:
        while not server.started:
            assert not running.done()
            await asyncio.sleep(0.01)
        made.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield made
    finally:
        server.should_exit = True
        await running
