"""Owns what an address and a token may be. Never sends either."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from hitl_vault.errors import ConfigError

_log = logging.getLogger(__name__)
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def checked(url: str) -> str:
    """Return the address without what the client adds itself. Raises ConfigError."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"{url!r:.80} is no address of a service, such as http://desk:8020")
    if parts.username or parts.password:
        raise ConfigError("an address takes no name and password; pass the token by itself")
    if parts.query or parts.fragment:
        raise ConfigError(f"{url!r:.80}: leave out what follows the path")
    return url.rstrip("/").removesuffix("/api/v1")


def sendable(token: str) -> str:
    """Return a token that can stand in a header. Raises ConfigError, which does not show it."""
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError("the token holds characters that no token has; copy it again")
    return token


def warn_in_the_open(url: str) -> None:
    """Say in the log where a token can be read on its way."""
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        _log.warning("the token goes to %s unencrypted; use https", parts.hostname)
