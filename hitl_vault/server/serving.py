"""Owns what the service is made of while it runs. Never knows a route."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec

from hitl_vault.adapters.access.tokens import AccessTokens
from hitl_vault.config import STATE_FOLDER
from hitl_vault.server.feed import Feed
from hitl_vault.server.limits import Limits
from hitl_vault.server.metrics import Metrics
from hitl_vault.server.readiness import Readiness
from hitl_vault.server.sessions import Sessions
from hitl_vault.server.stopping import Stopping
from hitl_vault.wiring import Orchestrator


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """How the service behaves.

    `open`: it asks for no token; whoever reaches it may ask and answer, and nothing is proved.
    `url` is where people reach it from outside, for links; "" for where it listens. `tls`: it is
    reached over TLS alone, its own or a proxy's. `hosts` are names it has besides those of `url`
    and of this machine to itself. For the rest see `gate_layer`, `limits` and `sessions`.
    A stream that has nothing to say says so every `heartbeat_s` seconds. `metrics_open`: programs
    on this machine read the metrics without a token.
    """

    open: bool = False
    url: str = ""
    tls: bool = False
    hosts: tuple[str, ...] = ()
    max_body_bytes: int = 1_000_000
    body_within_s: float = 30.0
    per_minute: int = 6000
    failures_per_minute: int = 20
    at_once: int = 100
    max_waits: int = 2000
    max_wait_s: float = 60.0
    max_streams: int = 10_000
    heartbeat_s: float = 15.0
    metrics_open: bool = False
    session_idle_s: float = 3600.0
    session_s: float = 12 * 3600.0

    @property
    def secure(self) -> bool:
        """True if browsers reach it over TLS."""
        return self.tls or self.url.startswith("https://")


class OidcSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Which identity provider says who somebody is.

    `claim` of its answer names the person; `reviewers` says whose name on record that is, where
    they differ. `domains`, if any are given, are those that an address in the claim must end in.
    `client_secret_env` names the environment variable the secret stands in.
    """

    issuer: str
    client_id: str
    client_secret_env: str = ""
    claim: str = "email"
    domains: tuple[str, ...] = ()
    reviewers: dict[str, str] = {}


@dataclass(slots=True, kw_only=True)
class Serving:
    """What every route works with: one open orchestrator, and who may call."""

    hitl: Orchestrator
    tokens: AccessTokens
    options: ServerOptions = field(default_factory=ServerOptions)
    now: Callable[[], datetime] = _now
    oidc: OidcSettings | None = None
    failure: Exception | None = None  # why it could not start
    stopping: Stopping = field(default_factory=Stopping)
    readiness: Readiness = field(init=False)
    feed: Feed = field(init=False)
    metrics: Metrics = field(init=False)
    sessions: Sessions = field(init=False)
    limits: Limits = field(init=False)

    @property
    def oidc_name(self) -> str:
        """Return how people know the identity provider, "" if there is none: its host."""
        return (urlsplit(self.oidc.issuer).hostname or "") if self.oidc else ""

    def __post_init__(self) -> None:
        """Put together what follows from the rest."""
        self.limits = Limits(
            per_minute=self.options.per_minute,
            failures_per_minute=self.options.failures_per_minute,
            at_once=self.options.at_once,
            max_waits=self.options.max_waits,
        )
        self.sessions = Sessions(
            self.hitl.root / STATE_FOLDER / "keys",
            self.tokens,
            lambda: self.now(),  # noqa: PLW0108 (the clock may be another one later)
            secure=self.options.secure,
            idle_s=self.options.session_idle_s,
            lasting_s=self.options.session_s,
        )
        self.feed = Feed(self.hitl)
        self.metrics = Metrics(self.feed, self.stopping)
        self.readiness = Readiness(self.hitl)
        self.stopping.then(self.feed.close)
