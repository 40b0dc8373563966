"""hitl_vault: the approval desk between AI agents and the people who answer for them.

The public names are loaded when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hitl_vault.version import __version__

if TYPE_CHECKING:
    from hitl_vault.connecting import connect
    from hitl_vault.core.chain import Break, Head
    from hitl_vault.core.events import Event, Kind, Recorded
    from hitl_vault.core.model import (
        Action,
        Answer,
        Assurance,
        Effect,
        Request,
        Requirement,
        Risk,
        Stage,
        Status,
        Verdict,
    )
    from hitl_vault.core.register import Bound, Grant
    from hitl_vault.engine.approval_desk import ApprovalDesk
    from hitl_vault.engine.execution import Execution
    from hitl_vault.errors import (
        Cancelled,
        ConfigError,
        Conflict,
        Denied,
        DocumentError,
        ExecutionFailed,
        Expired,
        Forbidden,
        HitlVaultError,
        Incompatible,
        Indeterminate,
        InvalidRequest,
        LedgerCorrupt,
        LedgerLost,
        NewerFormat,
        NotApproved,
        NotOpen,
        OutcomeNotRecorded,
        OutcomeUnknown,
        PolicyError,
        Refused,
        Rejected,
        RequestNotFound,
        StorageError,
        TooFast,
        TooManyRequests,
        TrustError,
        Unauthenticated,
        VaultNotFound,
        WaitTimeout,
    )
    from hitl_vault.wiring import Orchestrator

_HOMES = {
    "Action": "core.model",
    "Answer": "core.model",
    "ApprovalDesk": "engine.approval_desk",
    "Assurance": "core.model",
    "Bound": "core.register",
    "Break": "core.chain",
    "Cancelled": "errors",
    "ConfigError": "errors",
    "Conflict": "errors",
    "Denied": "errors",
    "DocumentError": "errors",
    "Effect": "core.model",
    "Event": "core.events",
    "Execution": "engine.execution",
    "ExecutionFailed": "errors",
    "Expired": "errors",
    "Forbidden": "errors",
    "Grant": "core.register",
    "Head": "core.chain",
    "HitlVaultError": "errors",
    "Incompatible": "errors",
    "Indeterminate": "errors",
    "InvalidRequest": "errors",
    "Kind": "core.events",
    "LedgerCorrupt": "errors",
    "LedgerLost": "errors",
    "NewerFormat": "errors",
    "NotApproved": "errors",
    "NotOpen": "errors",
    "Orchestrator": "wiring",
    "OutcomeNotRecorded": "errors",
    "OutcomeUnknown": "errors",
    "PolicyError": "errors",
    "Recorded": "core.events",
    "Refused": "errors",
    "Rejected": "errors",
    "Request": "core.model",
    "RequestNotFound": "errors",
    "Requirement": "core.model",
    "Risk": "core.model",
    "Stage": "core.model",
    "Status": "core.model",
    "StorageError": "errors",
    "TooFast": "errors",
    "TooManyRequests": "errors",
    "TrustError": "errors",
    "Unauthenticated": "errors",
    "VaultNotFound": "errors",
    "Verdict": "core.model",
    "WaitTimeout": "errors",
    "connect": "connecting",
}

__all__ = [
    "Action",
    "Answer",
    "ApprovalDesk",
    "Assurance",
    "Bound",
    "Break",
    "Cancelled",
    "ConfigError",
    "Conflict",
    "Denied",
    "DocumentError",
    "Effect",
    "Event",
    "Execution",
    "ExecutionFailed",
    "Expired",
    "Forbidden",
    "Grant",
    "Head",
    "HitlVaultError",
    "Incompatible",
    "Indeterminate",
    "InvalidRequest",
    "Kind",
    "LedgerCorrupt",
    "LedgerLost",
    "NewerFormat",
    "NotApproved",
    "NotOpen",
    "Orchestrator",
    "OutcomeNotRecorded",
    "OutcomeUnknown",
    "PolicyError",
    "Recorded",
    "Refused",
    "Rejected",
    "Request",
    "RequestNotFound",
    "Requirement",
    "Risk",
    "Stage",
    "Status",
    "StorageError",
    "TooFast",
    "TooManyRequests",
    "TrustError",
    "Unauthenticated",
    "VaultNotFound",
    "Verdict",
    "WaitTimeout",
    "__version__",
    "connect",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'hitl_vault' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"hitl_vault.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
