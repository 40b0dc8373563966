"""Owns what the service is made of while it runs. Never knows a route."""

from __future__ import annotations

from dataclasses import dataclass, field

from hitl_vault.adapters.access.tokens import AccessTokens
from hitl_vault.wiring import Orchestrator


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """How the service behaves.

    `open`: it asks for no token; whoever reaches it may ask and answer, and nothing is proved.
    `url` is where people reach it from outside, for links; "" for where it listens.
    """

    open: bool = False
    url: str = ""
    max_body_bytes: int = 1_000_000
    max_wait_s: float = 60.0


@dataclass(slots=True, kw_only=True)
class Serving:
    """What every route works with: one open orchestrator, and who may call."""

    hitl: Orchestrator
    tokens: AccessTokens
    options: ServerOptions = field(default_factory=ServerOptions)
