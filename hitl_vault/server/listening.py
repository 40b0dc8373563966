"""Owns how the service listens: its port, TLS, what it believes of proxies, its start and end.

Never knows a route.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import uvicorn

from hitl_vault.errors import ConfigError
from hitl_vault.server import stopping
from hitl_vault.server.connections import Connection, Connections, most_connections
from hitl_vault.server.settings import ServerSettings

_MAX_HEAD_BYTES = 32_768  # the request line and all headers
_HEAD_S, _IDLE_S, _TO_END_S = 30, 20, 10


def config_of(
    app: Any, settings: ServerSettings, *, head_within_s: float = _HEAD_S
) -> uvicorn.Config:
    """Return how uvicorn is to serve the application.

    The head of a request must have come within `head_within_s` seconds.

    There is no log of addresses here: they say what people look at.

    Raises:
        ConfigError: The certificate or its key cannot be used.
    """
    kept = Connections(most=most_connections(settings.max_connections), within_s=head_within_s)
    config = uvicorn.Config(
        app,
        http=partial(Connection, kept=kept),  # type: ignore[arg-type] # called as the class is
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=_TO_END_S,
        proxy_headers=bool(settings.behind_proxy),
        forwarded_allow_ips=list(settings.behind_proxy),
        ssl_certfile=settings.tls_cert or None,
        ssl_keyfile=settings.tls_key or None,
    )
    logging.getLogger("uvicorn.access").disabled = True  # whoever sets up logs
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"tls_cert, tls_key: they cannot be used: {error}") from error
    return config


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        ConfigError: Something else listens there, or it is no address of this machine.
    """
    try:
        kind, _, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # with its protocol named: asyncio sets TCP_NODELAY on such sockets alone, and without it
        # every answer on a connection that is kept waits 40 ms for the acknowledgement before it
        listening = socket.socket(kind, socket.SOCK_STREAM, protocol)
    except OSError as error:
        raise ConfigError(f"host: {host!r}: {error.strerror}") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} of {host} is in use: end what listens there, or take another: --port"
            ) from error
        raise ConfigError(f"{host}, port {port}: {error.strerror}") from error
    return listening


def address_of(listening: socket.socket, *, tls: bool) -> str:
    """Return where this socket listens, as an address for a browser."""
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http{'s' if tls else ''}://{shown}:{port}"


class Server(stopping.Server):
    """uvicorn that says when it serves, and ends without a noise on Ctrl-C or SIGTERM."""

    def __init__(
        self, config: uvicorn.Config, ending: stopping.Stopping, started: Callable[[], None]
    ) -> None:
        super().__init__(config, ending)
        self._say_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the vault and serve."""
        log = logging.getLogger("uvicorn.error")
        log.disabled = True  # why it does not start is said by who started it
        try:
            await super().startup(sockets)
        finally:
            log.disabled = False
        if self.started:
            self._say_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let the first signal end it orderly, and another one at once."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)
