"""Owns choosing between the vault in a folder and a service far away. Never opens either."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hitl_vault.errors import ConfigError, InvalidRequest

_HOST_AND_PORT = re.compile(r"(localhost|[\w.-]+|\[[0-9A-Fa-f:]+\]):\d{1,5}(/.*)?")

if TYPE_CHECKING:
    from hitl_vault.client import RemoteDesk
    from hitl_vault.wiring import Orchestrator


def connect(
    place: str | os.PathLike[str] | None = None, *, token: str | None = None, **options: Any
) -> Orchestrator | RemoteDesk:
    """Return the approval desk of a vault or of a service; open it by `async with`.

    Args:
        place: The vault's folder (None finds it as the command line does), or the address of a
            service: `http://` or `https://`.
        token: For a service: what `hitl token create` printed; None takes `HITL_TOKEN`.
        options: What `Orchestrator` or `client.RemoteDesk` takes besides.

    Raises:
        ConfigError: The extra `client` is not installed, or the address cannot be used.
        VaultNotFound: There is no vault in the folder.
        InvalidRequest: A token is given for a vault, which takes none.
    """
    if is_address(place):
        return remote(place, token=token, **options)
    check_no_address(place)
    check_no_token(token)
    from hitl_vault.wiring import Orchestrator

    return Orchestrator(place, **options)


def is_address(place: object) -> bool:
    """True for the address of a service."""
    return isinstance(place, str) and place.lower().startswith(("http://", "https://"))


def check_no_address(place: object) -> None:
    """Raise ConfigError for the address of a service that lacks its beginning."""
    if isinstance(place, str) and _HOST_AND_PORT.fullmatch(place) and not Path(place).exists():
        raise ConfigError(
            f"{place!r:.80} is no folder; for the service there, write http:// (or https://) in "
            f"front: http://{place[:80]}"
        )


def check_no_token(token: str | None) -> None:
    """Raise InvalidRequest for a token that nobody would look at."""
    if token is not None:
        raise InvalidRequest("token is for a service; a vault on this machine takes none")


def remote(place: Any, *, token: str | None, **options: Any) -> RemoteDesk:
    """Return the desk of the service at an address."""
    try:
        from hitl_vault.client import RemoteDesk
    except ImportError as error:
        raise ConfigError(
            "a service needs an extra: python -m pip install 'hitl-vault[client]'"
        ) from error
    return RemoteDesk(place, token=token, **options)
