"""Owns `hitl serve`: the desk over HTTP in the foreground. Never answers anything itself, and never
shows a link for signing in but on a terminal.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hitl_vault.cli.options import VaultOption
from hitl_vault.errors import ConfigError

if TYPE_CHECKING:
    import socket

    from hitl_vault.server.serving import Serving
    from hitl_vault.server.settings import ServerSettings

_LINK_S = 600


def serve(
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="ADDRESS", help="Where to listen; else 127.0.0.1."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", metavar="PORT", help="0 takes a free one; else 8020.", min=0, max=65535
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url", metavar="URL", help="Where people reach it, such as https://hitl.example.com."
        ),
    ] = None,
    open_to_all: Annotated[
        bool,
        typer.Option(
            "--open",
            help="Ask for no token: anybody may ask and answer. This machine only.",
        ),
    ] = False,
    tls_cert: Annotated[
        str | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate chain, PEM.")
    ] = None,
    tls_key: Annotated[
        str | None, typer.Option("--tls-key", metavar="FILE", help="Its private key, PEM.")
    ] = None,
    behind_proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--behind-proxy",
            metavar="ADDRESS",
            help="A proxy that speaks TLS; its X-Forwarded-For and -Proto count. Repeatable.",
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let tokens go over the network in plain text.")
    ] = False,
    log_format: Annotated[
        str | None,
        typer.Option("--log-format", metavar="text|json", help="How log lines are written."),
    ] = None,
    metrics_open: Annotated[
        bool,
        typer.Option("--metrics-open", help="Programs here read /metrics without a token."),
    ] = False,
    vault: VaultOption = None,
) -> None:
    """Serve the desk over HTTP: an API, and an inbox for people.

    Settings may also stand in .hitl/server.toml; docs/service.md lists them.
    """
    try:
        from hitl_vault.server.logs import log_to_stderr
        from hitl_vault.server.settings import FILE, check_exposure, load_server_settings
    except ImportError as error:
        raise ConfigError(
            "serving needs an extra: python -m pip install 'hitl-vault[server]'"
        ) from error
    import msgspec

    from hitl_vault.cli.opening import desk, locate
    from hitl_vault.config import STATE_FOLDER

    root, of_vault = locate(vault)
    said: dict[str, Any] = {
        "host": host,
        "port": port,
        "url": url,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "behind_proxy": tuple(behind_proxy) if behind_proxy else None,
        "insecure": insecure or None,
        "log_format": log_format,
        "metrics_open": metrics_open or None,
    }
    settings = msgspec.structs.replace(
        load_server_settings(root / STATE_FOLDER / FILE),
        **{name: value for name, value in said.items() if value is not None},
    )
    if not settings.url:  # links in messages lead there, whichever process sends them
        settings = msgspec.structs.replace(settings, url=of_vault.serve_url)
    check_exposure(settings, open=open_to_all)
    lines = settings.lines()
    hitl = desk(vault, watching=True)
    log_to_stderr(lines)
    _run(_made(hitl, settings, open=open_to_all), settings)


def _made(hitl: Any, settings: ServerSettings, *, open: bool) -> Serving:
    from hitl_vault.adapters.access.tokens import FILE, AccessTokens
    from hitl_vault.config import STATE_FOLDER
    from hitl_vault.server.serving import Serving

    return Serving(
        hitl=hitl,
        tokens=AccessTokens(hitl.root / STATE_FOLDER / "keys" / FILE),
        options=settings.options(open=open),
        oidc=settings.oidc,
    )


def _run(serving: Serving, settings: ServerSettings) -> None:
    import asyncio

    from hitl_vault.server.app import create_app
    from hitl_vault.server.listening import Server, config_of, listen

    config = config_of(create_app(serving), settings)
    with listen(settings.host, settings.port) as listening:
        server = Server(config, serving.stopping, lambda: _announce(serving, listening, settings))
        with contextlib.suppress(SystemExit):  # why it did not start is kept
            asyncio.run(server.serve(sockets=[listening]))
    if serving.failure is not None:
        raise serving.failure


def _announce(serving: Serving, listening: socket.socket, settings: ServerSettings) -> None:
    from hitl_vault.cli.printing import remark, safe
    from hitl_vault.server.listening import address_of

    here = address_of(listening, tls=bool(settings.tls_cert))
    url = serving.options.url or here
    remark(f"serving {safe(serving.hitl.root)} at {safe(here)}; Ctrl-C ends it")
    remark(f"inbox: {safe(url)}/inbox   API: {safe(url)}/api/v1")
    if serving.options.open:
        remark("it asks nobody who they are (--open): answers count as edited")
    if settings.insecure and not settings.is_loopback:
        remark("tokens go over the network in plain text (--insecure)")
    if not sys.stderr.isatty():  # whatever else it goes to may be kept
        remark("a link to sign in: hitl token link --reviewer NAME")
        return
    name, text = _own_link(serving)
    remark(f"sign in as {safe(name)}, once, within 10 minutes: {safe(url)}/sign-in/link#{text}")


def _own_link(serving: Serving) -> tuple[str, str]:
    """Make a link for who started it: they own the vault, so it lets them do everything."""
    from datetime import timedelta

    from hitl_vault.adapters.people.file import FilePeople
    from hitl_vault.config import STATE_FOLDER
    from hitl_vault.core.access import Scope
    from hitl_vault.wiring import os_user

    user, now = os_user(), serving.now()
    found = FilePeople(serving.hitl.root / STATE_FOLDER / "reviewers.toml").load().find(user)
    name = user if found is None else found.name
    scopes = frozenset({Scope.READ, Scope.VOTE, Scope.OPERATE})
    ends_at = now + timedelta(seconds=_LINK_S)
    return name, serving.sessions.on_record.make_link(name, scopes, now, ends_at)[1]
