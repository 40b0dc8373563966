"""Owns `.hitl/server.toml`: its keys, defaults and checks. Never opens a port.

What is said on the command line wins over the file.
"""

from __future__ import annotations

import ipaddress
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from hitl_vault.core.durations import parse_duration
from hitl_vault.engine.checks import word_of
from hitl_vault.errors import ConfigError
from hitl_vault.server.logs import LogFormat
from hitl_vault.server.serving import OidcSettings, ServerOptions

FILE = "server.toml"


class ServerSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Every key of the file. Durations are seconds or texts such as "12h"."""

    host: str = "127.0.0.1"
    port: int = 8020
    url: str = ""
    hosts: tuple[str, ...] = ()
    tls_cert: str = ""
    tls_key: str = ""
    behind_proxy: tuple[str, ...] = ()
    insecure: bool = False
    session: float | str = "12h"
    session_idle: float | str = "1h"
    max_body_bytes: int = 1_000_000
    max_wait: float | str = "60s"
    requests_per_minute: int = 6000
    failures_per_minute: int = 20
    at_once: int = 100
    max_waits: int = 2000
    max_connections: int = 12_000
    metrics_open: bool = False
    log_format: str = "text"
    oidc: OidcSettings | None = None

    @property
    def is_loopback(self) -> bool:
        """True if only this machine reaches it, and no proxy passes others on."""
        return not self.behind_proxy and is_loopback(self.host)

    def lines(self) -> LogFormat:
        """Return how lines of the log are written. Raises InvalidRequest, naming the key."""
        return word_of(self.log_format, LogFormat, "log_format")

    def options(self, *, open: bool) -> ServerOptions:
        """Return what the service itself needs of it. Raises ConfigError, naming the key."""
        named = (self.host,) if not is_any(self.host) else ()
        return ServerOptions(
            open=open,
            url=self.url.rstrip("/"),
            tls=bool(self.tls_cert),
            hosts=(*self.hosts, *named),
            max_body_bytes=self.max_body_bytes,
            max_wait_s=_seconds("max_wait", self.max_wait),
            per_minute=self.requests_per_minute,
            failures_per_minute=self.failures_per_minute,
            at_once=self.at_once,
            max_waits=self.max_waits,
            metrics_open=self.metrics_open,
            session_s=_seconds("session", self.session),
            session_idle_s=_seconds("session_idle", self.session_idle),
        )


def load_server_settings(path: Path) -> ServerSettings:
    """Return the settings in a file, the defaults if there is none.

    Raises:
        ConfigError: It cannot be read, or a key is wrong; the message names file and key.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        return msgspec.convert(found, ServerSettings)
    except FileNotFoundError:
        return ServerSettings()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error


def check_exposure(settings: ServerSettings, *, open: bool) -> None:
    """Refuse to be reached from elsewhere unless it was said how that is made safe.

    Raises:
        ConfigError: It was not; the message says what to do.
    """
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise ConfigError("tls_cert and tls_key: both are needed, or neither")
    for address in settings.behind_proxy:
        _check_address(address)
    url = urlsplit(settings.url)
    if settings.url and (url.scheme not in {"http", "https"} or not url.hostname or url.path != ""):
        raise ConfigError(
            f"url: {settings.url!r} must be such as https://hitl.example.com, without a path"
        )
    if settings.is_loopback:
        return
    if open:
        raise ConfigError(
            "--open asks nobody who they are, so it is for this machine alone: "
            "leave out --host, --behind-proxy or --open"
        )
    if not (settings.tls_cert or settings.behind_proxy or settings.insecure):
        raise ConfigError(
            f"{settings.host} is reached from other machines, and tokens would go there in plain "
            "text. Give --tls-cert and --tls-key; or put it behind a proxy that speaks TLS, "
            "--behind-proxy ADDRESS-OF-THE-PROXY; or say --insecure"
        )
    if not settings.url and (
        settings.behind_proxy or (is_any(settings.host) and not settings.hosts)
    ):
        raise ConfigError(
            "--url is needed, such as https://hitl.example.com: requests under any other name are "
            "refused (DNS rebinding)"
        )


def is_loopback(host: str) -> bool:
    """True if only this machine reaches what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_any(host: str) -> bool:
    """True if this stands for every address of the machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return not host


def _check_address(address: str) -> None:
    try:
        ipaddress.ip_network(address)
    except ValueError as error:
        raise ConfigError(
            f"behind_proxy: {address!r} is no address such as 127.0.0.1 or 10.0.0.0/8"
        ) from error


def _seconds(name: str, value: float | str) -> float:
    try:
        seconds = parse_duration(value) if isinstance(value, str) else float(value)
    except ValueError as error:
        raise ConfigError(f"{FILE}: {name}: {error}") from error
    if seconds <= 0:
        raise ConfigError(f"{FILE}: {name} must be above 0")
    return seconds
