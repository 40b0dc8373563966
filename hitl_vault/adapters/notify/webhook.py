"""Owns telling programs by webhooks, signed by the Standard Webhooks scheme. Never follows a
redirect, never reads what is answered, never shows an address or a key.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hitl_vault.adapters.notify.secrets import Secrets
from hitl_vault.core.tracing import headers_of
from hitl_vault.errors import ConfigError, NotSent
from hitl_vault.ports import Clock
from hitl_vault.ports_telling import Message

if TYPE_CHECKING:
    from ssl import SSLContext

    import standardwebhooks

_GONE = 410
_HERE = ("localhost", "127.0.0.1", "::1")


class WebhookNotifier:
    """Posts each message as JSON to one address.

    Args:
        url: Where to, or a reference to it.
        keys: References to secrets (`whsec_…`); the message carries one signature of each, so that
            one can take the place of another.
        limit_s: How long one message may take altogether.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str,
        keys: Sequence[str],
        secrets: Secrets,
        clock: Clock,
        limit_s: float,
    ) -> None:
        self.name = name
        self._url, self._keys, self._secrets = url, tuple(keys), secrets
        self._clock, self._limit_s = clock, limit_s

    async def send(
        self, message: Message, to: Sequence[str] = (), *, but: Collection[str] = ()
    ) -> None:
        """Post the message. A redirect, or any answer but 2xx, is not taken; 410 never will be."""
        httpx, standardwebhooks = libraries()
        del to, but  # the one address is the notifier's own
        url, signers = self.target(standardwebhooks)
        now = self._clock.now()
        body = json.dumps(payload(message, now.isoformat()), ensure_ascii=False)
        headers = {
            "content-type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(
                signer.sign(msg_id=message.id, timestamp=now, data=body) for signer in signers
            ),
            **headers_of(message.trace),
        }
        try:
            async with (
                asyncio.timeout(self._limit_s),
                httpx.AsyncClient(
                    verify=await asyncio.to_thread(_trusted),
                    timeout=self._limit_s,
                    follow_redirects=False,
                ) as client,
                client.stream("POST", url, content=body.encode(), headers=headers) as answer,
            ):
                status = answer.status_code
        except TimeoutError:
            raise NotSent(f"{_place(url)} did not answer in {self._limit_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # its text and its cause may hold the address
            raise NotSent(f"{_place(url)} cannot be reached ({type(error).__name__})") from None
        _judge(_place(url), status)

    def target(self, library: Any) -> tuple[str, list[standardwebhooks.Webhook]]:
        """Return the address and the signers. Raises NotSent if either cannot be read or used."""
        url = self._secrets.read(self._url)
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise NotSent("the address is not such as https://example.com/hook")
        if is_in_the_open(url):
            raise NotSent("the address must begin with https:// (http:// only to this machine)")
        signers = []
        for key in self._keys:
            try:
                signers.append(library.Webhook(self._secrets.read(key)))
            except NotSent:
                raise
            except Exception:  # binascii's and the library's own; their texts may hold the key
                raise NotSent("the secret is not such as whsec_ and base64") from None
        return url, signers


@cache
def _trusted() -> SSLContext:
    """Return whom to trust, read once: it takes so long that nothing else may wait for it."""
    import httpx

    return httpx.create_ssl_context()


def payload(message: Message, at: str) -> dict[str, Any]:
    """Return what is posted: a type, a time, and the facts."""
    events = message.facts.get("events", ())
    kinds = {event["kind"] for event in events}
    type = f"hitl.{kinds.pop()}" if len(kinds) == 1 else "hitl.digest" if kinds else "hitl.test"
    data = {"subject": message.subject, "text": message.body, **message.facts}
    return {"type": type, "timestamp": at, "data": data}


def _judge(place: str, status: int) -> None:
    if 200 <= status < 300:  # noqa: PLR2004
        return
    if 300 <= status < 400:  # noqa: PLR2004
        raise NotSent(f"{place} answered {status}; redirects are not followed, mend its address")
    raise NotSent(f"{place} answered {status}", again=status != _GONE)


def _place(url: str) -> str:
    """Return where an address leads, without what in it may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}"


def is_in_the_open(url: str) -> bool:
    """True if an address sends over a network what all on the way could read."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in _HERE


def libraries() -> tuple[Any, Any]:
    """Return httpx and standardwebhooks. Raises ConfigError naming the extra."""
    try:
        import httpx
        import standardwebhooks
    except ImportError as error:
        raise ConfigError(
            f"webhooks need {error.name}, which is not installed: pip install 'hitl-vault[notify]'"
        ) from error
    return httpx, standardwebhooks
