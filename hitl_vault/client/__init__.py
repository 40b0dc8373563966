"""The desk of a service over HTTP, for agents and reviewers far from the vault. Extra `client`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hitl_vault.client.gateway import ApprovalClient, PolicyClient, PolicyDecision

if TYPE_CHECKING:
    from hitl_vault.client.desk import RemoteDesk

__all__ = ["ApprovalClient", "PolicyClient", "PolicyDecision", "RemoteDesk"]


def __getattr__(name: str) -> Any:
    if name != "RemoteDesk":  # the rest needs no extra: it speaks to any desk
        raise AttributeError(f"module 'hitl_vault.client' has no attribute {name!r}")
    from hitl_vault.client.desk import RemoteDesk

    return RemoteDesk
