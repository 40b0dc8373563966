"""Owns checkpoints sent to a URL: a plain POST of the line. Never waits longer than seconds, and
never shows the URL: it may hold a secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hitl_vault.errors import ConfigError, NotSent

_GIVE_UP_S = 10.0
_MOST_BYTES = 50_000_000


class WebhookCheckpoints:
    """A URL that takes checkpoints. `remembered` keeps the last one it took, None keeps none."""

    def __init__(self, url: str, remembered: Path | None = None) -> None:
        self._url, self._remembered = url, remembered
        self.name = host_of(url)

    async def note(self, line: str) -> None:
        """POST the line; any 2xx is a yes."""
        httpx = _httpx()
        try:
            async with asyncio.timeout(_GIVE_UP_S):
                async with httpx.AsyncClient(timeout=_GIVE_UP_S) as client:
                    answer = await client.post(
                        self._url, content=line, headers={"content-type": "application/json"}
                    )
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise NotSent(f"{self.name} could not be told: {type(error).__name__}") from error
        if not answer.is_success:
            raise NotSent(f"{self.name} answered {answer.status_code}")
        if self._remembered is not None:
            with contextlib.suppress(OSError):  # it is then told again sooner than it need be
                temporary = self._remembered.with_name(f"{self._remembered.name}.{os.getpid()}")
                temporary.touch(0o600)
                temporary.write_text(line, encoding="utf-8")
                temporary.replace(self._remembered)

    async def newest(self) -> str:
        """Return the last line it took."""
        try:
            return "" if self._remembered is None else self._remembered.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""


def fetch_lines(url: str) -> list[str]:
    """Return the lines at a URL. Raises NotSent."""
    httpx = _httpx()
    try:
        with httpx.stream("GET", url, timeout=_GIVE_UP_S) as answer:
            if not answer.is_success:
                raise NotSent(f"{host_of(url)} answered {answer.status_code}")
            text = b""
            for piece in answer.iter_bytes():
                text += piece
                if len(text) > _MOST_BYTES:
                    raise NotSent(f"{host_of(url)} sends more than {_MOST_BYTES:,} bytes")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise NotSent(f"{host_of(url)} gave no lines: {type(error).__name__}") from error
    return text.decode(errors="replace").splitlines()


def host_of(url: str) -> str:
    """Return the host of a URL: what of it may be shown."""
    try:
        return urlsplit(url).hostname or "the URL"
    except ValueError:
        return "the URL"


def _httpx() -> Any:
    try:
        import httpx
    except ImportError as error:
        raise ConfigError(
            "checkpoints to a URL need httpx: pip install hitl-vault[notify]"
        ) from error
    return httpx
