"""Owns judging a past request again under another policy. Never changes the request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hitl_vault.core.model import Request, Verdict
    from hitl_vault.core.policy import Policy


def replayed(rules: Policy, request: Request) -> dict[str, Any] | None:
    """Return how a request would be judged now, None if as it was."""
    from hitl_vault.core.canonical import with_details
    from hitl_vault.core.requirements import stricter

    verdict = rules.evaluate(request.action, request.created_at)
    if request.edited is not None:
        edited = with_details(request.action, request.edited.details)
        verdict = stricter(verdict, rules.evaluate(edited, request.edited.at))
    was, would_be = _judged(request.verdict), _judged(verdict)
    if was == would_be:
        return None
    return {"id": request.id, "was": was, "would_be": would_be, "why": verdict.reason}


def _judged(verdict: Verdict) -> dict[str, Any]:
    return {
        "effect": verdict.effect.value,
        "risk": verdict.risk.value,
        "rules": sorted(verdict.rules),
        "quorum": sum(stage.quorum for stage in verdict.requirement.stages),
        "assurance": verdict.requirement.assurance.value,
    }


def in_words(judged: dict[str, Any]) -> str:
    """Return what a policy made of a request, short."""
    if judged["effect"] != "ask":
        return str(judged["effect"])
    return f"ask {judged['quorum']}, {judged['risk']}"
