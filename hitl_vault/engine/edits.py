"""Owns how changed details become part of an answer. Never stores or decides."""

from __future__ import annotations

import copy
from datetime import datetime

from hitl_vault.core.canonical import (
    changes_between,
    check_details,
    check_same_shape,
    payload_sha256,
    with_details,
)
from hitl_vault.core.commands import ProposedEdit
from hitl_vault.core.model import Details, Request
from hitl_vault.engine.policies import Policies


def propose(request: Request, details: Details, policies: Policies, now: datetime) -> ProposedEdit:
    """Return the edit a reviewer proposes.

    Raises:
        InvalidRequest: The details are no exact JSON, or of another shape than those asked for.
    """
    check_details(details)
    details = copy.deepcopy(details)  # what is judged is what is stored, whatever the caller does
    policies.reload()
    check_same_shape(request.action.details, details)
    return ProposedEdit(
        details=details,
        payload_sha256=payload_sha256(with_details(request.action, details)),
        changes=changes_between(request.action.details, details),
        verdict=policies.evaluate_edited(request, details, now),
    )
