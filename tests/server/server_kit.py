"""A real server around a real vault, on a port of its own, and clients for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from hitl_vault import Orchestrator
from hitl_vault.adapters.access.tokens import FILE, AccessTokens
from hitl_vault.cli.starting import make_vault
from hitl_vault.core.access import Caller, Scope
from hitl_vault.server.app import create_app
from hitl_vault.server.listening import address_of, config_of, listen
from hitl_vault.server.serving import ServerOptions, Serving
from hitl_vault.server.settings import ServerSettings
from hitl_vault.server.stopping import Server


@dataclass
class Service:
    """A running service."""

    root: Path
    url: str
    serving: Serving
    server: Server
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    @property
    def hitl(self) -> Orchestrator:
        return self.serving.hitl

    def lease_clock(self, clock: Any) -> None:
        """Let this clock say how late it is for leases."""
        self.hitl._parts.presence.leases._clock = clock

    def leases(self) -> list[str]:
        """Return the names of the files of leases."""
        return [path.stem for path in (self.root / ".hitl" / "leases").glob("lease-*.json")]

    def token(self, caller: str, name: str, *scopes: Scope) -> str:
        """Make a token for `agent` or `reviewer`."""
        now = datetime.now(UTC)
        return self.serving.tokens.create(Caller(caller), name, now, scopes=scopes)[1]

    def client(self, token: str | None = None, **more: Any) -> httpx.AsyncClient:
        """Return a client that calls with this token; with none, as anybody."""
        headers = more.pop("headers", {})
        if token is not None:
            headers = {**headers, "Authorization": f"Bearer {token}"}
        made = httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30, **more)
        self.clients.append(made)
        return made

    def agent(self, name: str = "bot", *scopes: Scope) -> httpx.AsyncClient:
        return self.client(self.token("agent", name, *scopes))

    def reviewer(self, name: str = "alice", *scopes: Scope) -> httpx.AsyncClient:
        return self.client(self.token("reviewer", name, *scopes))


@asynccontextmanager
async def serving(
    root: Path,
    settings: Any = None,
    oidc: Any = None,
    *,
    head_within_s: float = 30,
    max_connections: int = 1000,
    **options: Any,
) -> AsyncIterator[Service]:
    """Serve the vault at `root`, made if there is none, until the block ends."""
    if not (root / ".hitl").is_dir():
        make_vault(root)
    serving = Serving(
        hitl=Orchestrator(root, settle_s=0, **(settings or {})),
        tokens=AccessTokens(root / ".hitl" / "keys" / FILE),
        options=ServerOptions(**options),
        oidc=oidc,
    )
    listening = listen("127.0.0.1", 0)
    config = config_of(
        create_app(serving),
        ServerSettings(max_connections=max_connections),
        head_within_s=head_within_s,
    )
    server = Server(config, serving.stopping)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            assert not running.done(), "it did not start"
            await asyncio.sleep(0.01)
        service = Service(root, address_of(listening, tls=False), serving, server)
        try:
            yield service
        finally:
            for client in service.clients:
                await client.aclose()
    finally:
        server.should_exit = True
        await running
