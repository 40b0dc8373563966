"""Owns `hitl serve`: the desk over HTTP in the foreground. Never answers anything itself."""

from __future__ import annotations

from typing import Annotated

import typer

from hitl_vault.cli.options import VaultOption
from hitl_vault.errors import ConfigError


def serve(
    host: Annotated[str, typer.Option("--host", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0 takes a free one.")] = 8020,
    open_to_all: Annotated[
        bool,
        typer.Option("--open", help="Ask for no token: whoever reaches it may ask and answer."),
    ] = False,
    vault: VaultOption = None,
) -> None:
    """Serve the desk over HTTP: an API for agents, an inbox for people."""
    try:
        import uvicorn

        from hitl_vault.server.app import create_app
    except ImportError as error:
        raise ConfigError(
            "serving needs an extra: python -m pip install 'hitl-vault[server]'"
        ) from error
    from hitl_vault.adapters.access.tokens import FILE, AccessTokens
    from hitl_vault.cli.opening import desk
    from hitl_vault.config import STATE_FOLDER
    from hitl_vault.server.serving import ServerOptions, Serving

    hitl = desk(vault, watching=True)
    serving = Serving(
        hitl=hitl,
        tokens=AccessTokens(hitl.root / STATE_FOLDER / "keys" / FILE),
        options=ServerOptions(open=open_to_all),
    )
    uvicorn.run(create_app(serving), host=host, port=port, log_level="warning")
