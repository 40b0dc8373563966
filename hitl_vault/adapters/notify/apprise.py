"""Owns telling people by Apprise: mail, Slack, Telegram, ntfy, the desktop, and a hundred more.

Never shows an address: of most, every part may be a secret. Apprise blocks, and knows no limit for
a whole message; so each is sent to each address by a thread of its own, left behind where it takes
too long.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, TypeVar

from hitl_vault.adapters.notify.secrets import Secrets
from hitl_vault.errors import ConfigError, NotSent
from hitl_vault.ports_telling import Message

_MOST_LEFT = 8  # threads of one address that hang; more would only hang too
_MOST_READING = 64
_ROUNDS = 100_000
_T = TypeVar("_T")
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
        self._left: Counter[str] = Counter()

    async def send(
        self, message: Message, to: Sequence[str] = (), *, but: Collection[str] = ()
    ) -> None:
        """Send the message to `to`, or to the notifier's own addresses, to all at once: one that
        fails or hangs keeps no other from being told.
        """
        until = asyncio.get_running_loop().time() + self._limit_s
        targets = await self._apart("", until, lambda: self._targets(to, message.id, but))
        told = [target for target in targets if not target.took]
        problems = await asyncio.gather(*(self._tell(target, message, until) for target in told))
        failed = [problem for problem in problems if problem]
        if not failed:
            return
        took = [target for target in targets if target.took]
        took += [one for one, problem in zip(told, problems, strict=True) if not problem]
        said = "; ".join(dict.fromkeys(failed))
        if not took:
            raise NotSent(said)
        tags = await asyncio.to_thread(lambda: {_tag(one.address, message.id) for one in took})
        raise NotSent(
            f"{said} ({len(took)} of {len(targets)} addresses took it)", taken=frozenset(tags)
        )

    async def _tell(self, target: _Target, message: Message, until: float) -> str:
        """Send to one address; return what went wrong, in words that hold no secret."""
        if target.service is None:
            return target.problem
        try:
            return await self._apart(target.address, until, lambda: _send(target.service, message))
        except NotSent as error:
            return str(error)

    async def _apart(self, what: str, until: float, work: Callable[[], _T]) -> _T:
        """Do blocking work about an address ("" for all) in a thread of its own, left behind where
        it takes too long. Raises NotSent then, and where too many threads of that address hang.
        """
        if self._left[what] >= (_MOST_LEFT if what else _MOST_READING):
            raise NotSent(f"{self._left[what]} earlier messages still hang; waiting for them")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_T] = loop.create_future()

        def tell(set_result: Callable[[], None]) -> None:
            self._left[what] -= 1
            if not done.done():
                set_result()

        def run() -> None:
            try:
                found = work()
                set_result = partial(done.set_result, found)
            except Exception as error:
                set_result = partial(done.set_exception, error)
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(tell, set_result)

        self._left[what] += 1
        threading.Thread(target=run, name=f"hitl-notify-{self.name}", daemon=True).start()
        try:
            async with asyncio.timeout_at(until):
                return await done
        except TimeoutError:
            raise NotSent(f"it took longer than {self._limit_s:g} s") from None

    def services(self, to: Sequence[str] = ()) -> list[Any]:
        """Return Apprise's services for the addresses. Raises NotSent if one cannot be used."""
        targets = self._targets(to)
        problem = next((target.problem for target in targets if target.problem), "")
        if problem:
            raise NotSent(problem)
        return [target.service for target in targets]

    def _targets(self, to: Sequence[str], id: str = "", but: Collection[str] = ()) -> list[_Target]:
        """Return each address once, those that cannot be used with why. Raises NotSent if there is
        none.
        """
        library = load()
        asset = _asset(library)
        found: dict[str, _Target] = {}
        for reference in to or self._urls:
            try:
                urls = self._secrets.read(reference).split()
            except NotSent as error:
                found[reference] = _Target(address=reference, problem=str(error))
                continue
            for url in urls:
                took = bool(but) and _tag(url, id) in but
                found[url] = replace(self._target(library, url, asset), took=took)
        if not found:
            raise NotSent("there is no address to send to")
        return list(found.values())

    def _target(self, library: Any, url: str, asset: Any) -> _Target:
        service = None
        with contextlib.suppress(Exception):  # its text may hold the address
            service = library.Apprise.instantiate(url, asset=asset)
        if service is None:
            problem = f"an address ({_kind(url)}) is none that Apprise knows"
            return _Target(address=url, problem=problem)
        service.redirects = False  # an address is answered from there, or not at all
        wait_s = max(1.0, self._limit_s / 2)
        service.socket_connect_timeout = min(service.socket_connect_timeout, wait_s)
        service.socket_read_timeout = min(service.socket_read_timeout, wait_s)
        return _Target(address=url, service=service)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """One address, what sends to it or why nothing can, and whether it took the message before."""

    address: str = field(repr=False)
    service: Any = field(default=None, repr=False)
    problem: str = ""
    took: bool = False


def _tag(address: str, id: str) -> str:
    """Return what an address is remembered by for one message. It takes a while to compute: who
    reads the outbox should not be able to guess the password in an address by it.
    """
    return hashlib.pbkdf2_hmac("sha256", address.encode(), id.encode(), _ROUNDS, 8).hex()


def _send(service: Any, message: Message) -> str:
    """Send by one service; return what went wrong, in words that hold no secret."""
    library = load()
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
        return f"{_kind_of(service)}: {type(error).__name__}"
    finally:
        heard.end()
    if taken:
        return ""
    status = f", it answered {heard.status}" if heard.status else ""
    return f"{_kind_of(service)} did not take it{status}"


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
