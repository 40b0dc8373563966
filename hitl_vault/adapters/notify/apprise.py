"""Owns telling people by Apprise: mail, Slack, Telegram, ntfy, the desktop, and a hundred more.

Never shows an address: of most, every part may be a secret. Apprise blocks, and knows no limit for
a whole message; so each is sent by a thread of its own, left behind where it takes too long.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

from hitl_vault.adapters.notify.secrets import Secrets
from hitl_vault.errors import ConfigError, NotSent
from hitl_vault.ports_telling import Message

_MOST_LEFT = 8  # threads of one notifier that hang; more would only hang too
_STATUS = re.compile(r"error=(\d{3})\b")


class AppriseNotifier:
    """Sends each message to Apprise addresses: its own, or those of a person.

    Args:
        urls: Addresses, or references to them; several in one, on lines of their own.
        limit_s: How long one message may take altogether.
    """

    def __init__(self, name: str, *, urls: Sequence[str], secrets: Secrets, limit_s: float) -> None:
        self.name = name
        self._urls, self._secrets, self._limit_s = tuple(urls), secrets, limit_s
        self._left = 0

    async def send(self, message: Message, to: Sequence[str] = ()) -> None:
        """Send the message to `to`, or to the notifier's own addresses."""
        if self._left >= _MOST_LEFT:
            raise NotSent(f"{self._left} earlier messages still hang; waiting for them to end")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[str]] = loop.create_future()

        def tell(problems: list[str] | Exception) -> None:
            self._left -= 1
            if done.done():
                return
            if isinstance(problems, Exception):
                done.set_exception(problems)
            else:
                done.set_result(problems)

        def work() -> None:
            problems: list[str] | Exception
            try:
                problems = _send_all(self.services(to), message)
            except Exception as error:
                problems = error
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(tell, problems)

        self._left += 1
        threading.Thread(target=work, name=f"hitl-notify-{self.name}", daemon=True).start()
        try:
            async with asyncio.timeout(self._limit_s):
                problems = await done
        except TimeoutError:
            raise NotSent(f"it took longer than {self._limit_s:g} s") from None
        if problems:
            raise NotSent("; ".join(dict.fromkeys(problems)))

    def services(self, to: Sequence[str] = ()) -> list[Any]:
        """Return Apprise's services for the addresses. Raises NotSent if one cannot be used."""
        library = load()
        asset = _asset(library)
        found = []
        for reference in to or self._urls:
            for url in self._secrets.read(reference).split():
                service = None
                with contextlib.suppress(Exception):  # its text may hold the address
                    service = library.Apprise.instantiate(url, asset=asset)
                if service is not None:
                    found.append(service)
                else:
                    raise NotSent(f"an address ({_kind(url)}) is none that Apprise knows")
        if not found:
            raise NotSent("there is no address to send to")
        for service in found:
            service.redirects = False  # an address is answered from there, or not at all
            wait_s = max(1.0, self._limit_s / 2)
            service.socket_connect_timeout = min(service.socket_connect_timeout, wait_s)
            service.socket_read_timeout = min(service.socket_read_timeout, wait_s)
        return found


def _send_all(services: Sequence[Any], message: Message) -> list[str]:
    """Send to each service; return what went wrong, in words that hold no secret."""
    problems, library = [], load()
    for service in services:
        sender = library.Apprise(asset=service.asset)
        sender.add(service)
        heard = _Heard()
        heard.listen()
        try:
            kind = library.NotifyType.WARNING if message.urgent else library.NotifyType.INFO
            taken = sender.notify(
                title=message.subject,
                body=message.body,
                body_format=library.NotifyFormat.TEXT,
                notify_type=kind,
            )
        except Exception as error:  # whatever a plugin raises; its text may hold the address
            problems.append(f"{_kind_of(service)}: {type(error).__name__}")
            continue
        finally:
            heard.end()
        if not taken:
            status = f", it answered {heard.status}" if heard.status else ""
            problems.append(f"{_kind_of(service)} did not take it{status}")
    return problems


class _Heard(logging.Handler):
    """Hears the status of an answer in what Apprise logs in this thread, and nothing else of it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.status = ""
        self._thread = threading.get_ident()

    def listen(self) -> None:
        logging.getLogger("apprise").addHandler(self)

    def end(self) -> None:
        logging.getLogger("apprise").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        found = _STATUS.search(record.getMessage())
        if found and record.thread == self._thread:
            self.status = found[1]


def _kind(url: str) -> str:
    kind = url.partition("://")[0]
    return kind if "://" in url and kind.isalnum() else "without a kind such as mailto://"


def _kind_of(service: Any) -> str:
    return str(getattr(service, "service_name", "") or "Apprise")


def load() -> Any:
    """Return the library, silenced: what it logs may hold addresses. Raises ConfigError naming the
    extra.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its plugins, about modules Python will drop
            import apprise

            _load_plugins()
    except ImportError as error:
        raise ConfigError(
            f"Apprise needs {error.name}, which is not installed: pip install 'hitl-vault[notify]'"
        ) from error
    log = logging.getLogger("apprise")
    log.propagate = False
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    return apprise


def _asset(library: Any) -> Any:
    """Return settings that keep Apprise in the thread that sends: its own ones outlive a program
    that ends while a target hangs.
    """
    try:
        return library.AppriseAsset(async_mode=False, service_timeout=0)
    except (AttributeError, TypeError):  # older versions have no threads for time limits
        return library.AppriseAsset(async_mode=False)


@cache
def _load_plugins() -> None:
    import apprise

    apprise.Apprise.instantiate("json://localhost")  # the first address loads them all
