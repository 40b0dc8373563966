"""Owns the examples that the documentation of the API shows. Never used to answer anybody."""

from __future__ import annotations

from typing import Any

ID = "20261121-093012-payment-7f3ac91e04"
DETAILS = {"amount": 1500, "to": "vendor@example.com"}
_DIGEST = "9b2f0d6c8a51f0c3a1d7e4b69c35e27f84d10b9ae6f2c7583d40e1a6b95c8f27"
_POLICY = "4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce"
_ASKED, _ANSWERED = "2026-11-21T09:30:12.000000Z", "2026-11-21T09:34:40.000000Z"
_CLAIMED, _DONE = "2026-11-21T09:34:41.000000Z", "2026-11-21T09:34:44.000000Z"

ASK: dict[str, Any] = {
    "type": "payment",
    "description": "Pay the invoice INV-2024-001",
    "details": DETAILS,
    "key": "INV-2024-001",
    "timeout": "1h",
}
REQUIREMENT: dict[str, Any] = {
    "stages": [{"approvers": ["finance"], "quorum": 1}],
    "timeout_s": 3600.0,
    "use_within_s": 86400.0,
    "answers": ["approve", "reject"],
    "assurance": "authenticated",
}
PENDING: dict[str, Any] = {
    "id": ID,
    "rev": 1,
    "status": "pending",
    "type": "payment",
    "description": "Pay the invoice INV-2024-001",
    "details": DETAILS,
    "payload_sha256": _DIGEST,
    "requested_by": "invoice-agent",
    "agent": "",
    "run_id": "",
    "key": "INV-2024-001",
    "risk": "high",
    "summary": "Pay 1500 to vendor@example.com",
    "rules": ["large-payment"],
    "reasons": ["Large payments need a person"],
    "requirement": REQUIREMENT,
    "policy_sha256": _POLICY,
    "reviewers": [],
    "created_at": _ASKED,
    "updated_at": _ASKED,
    "expires_at": "2026-11-21T10:30:12.000000Z",
    "use_by": None,
    "decided_at": None,
    "reason": "",
    "votes": [],
    "edited": None,
    "claim": None,
    "outcome": None,
    "comments": [],
    "reminded": 0,
    "escalated": 0,
}
VOTE: dict[str, Any] = {
    "reviewer": "alice",
    "answer": "approve",
    "at": _ANSWERED,
    "payload_sha256": _DIGEST,
    "reason": "The invoice is right",
    "assurance": "authenticated",
    "channel": "http",
    "stage": 0,
    "proof": "",
    "on_behalf_of": "",
}
APPROVED = PENDING | {
    "rev": 2,
    "status": "approved",
    "updated_at": _ANSWERED,
    "use_by": "2026-11-22T09:34:40.000000Z",
    "decided_at": _ANSWERED,
    "reason": "The invoice is right",
    "votes": [VOTE],
    "reviewers": ["alice"],
}
COMMENT = {
    "comment_id": "comment-0f7c2b91aa",
    "author": "invoice-agent",
    "text": "The invoice is attached to ticket 4711.",
    "at": _ANSWERED,
}
COMMENTED = PENDING | {"rev": 2, "updated_at": _ANSWERED, "comments": [COMMENT]}
CANCELLED = PENDING | {
    "rev": 2,
    "status": "cancelled",
    "updated_at": _ANSWERED,
    "decided_at": _ANSWERED,
    "reason": "The invoice was paid by card",
}
CLAIM = {
    "claim_id": "worker-3.run-8a1f",
    "executor": "invoice-agent@worker-3",
    "holder": "lease-6a1f0c9be2d34475",
    "at": _CLAIMED,
    "payload_sha256": _DIGEST,
}
EXECUTING = APPROVED | {"rev": 3, "status": "executing", "updated_at": _CLAIMED, "claim": CLAIM}
EXECUTED = EXECUTING | {
    "rev": 4,
    "status": "executed",
    "updated_at": _DONE,
    "outcome": {
        "status": "executed",
        "at": _DONE,
        "by": "invoice-agent@worker-3",
        "result": {"receipt": "R-88123"},
        "error": "",
    },
}
LEASE: dict[str, Any] = {
    "id": ID,
    "claim_id": CLAIM["claim_id"],
    "again": False,
    "executor": CLAIM["executor"],
    "type": "payment",
    "details": DETAILS,
    "payload_sha256": _DIGEST,
    "lease_s": 3600.0,
    "lease_ends_at": "2026-11-21T10:34:41.000000Z",
    "request": EXECUTING,
}
CHECKED = {
    "valid": False,
    "why": "what would run is not what was approved",
    "id": ID,
    "status": "approved",
    "payload_sha256": _DIGEST,
    "use_by": "2026-11-22T09:34:40.000000Z",
}
EVENT: dict[str, Any] = {
    "seq": 17,
    "at": _ASKED,
    "id": ID,
    "rev": 1,
    "kind": "requested",
    "actor": "invoice-agent",
    "data": {"payload_sha256": _DIGEST, "type": "payment", "rules": ["large-payment"]},
    "hash": "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
}
STREAMED: dict[str, Any] = {
    "type": "APPROVAL_REQUESTED",
    "workflow_id": "wf-1",
    "approval_id": ID,
    "agent_id": "invoice-agent",
    "message": "Pay the invoice",
    "timestamp": _ASKED,
    "seq": 17,
    "payload": {
        "approval_id": ID,
        "run_id": "",
        "query": "Pay the invoice",
        "proposed_action": "payment",
        "reason": "Payments of 500 or more need a person",
        "metadata": DETAILS,
    },
}
NOTE = "---\nstatus: pending\n---\n# payment: Pay 1500 to vendor@example.com\n"
VERDICT: dict[str, Any] = {
    "effect": "ask",
    "rules": ["large-payment"],
    "reasons": ["Large payments need a person"],
    "risk": "high",
    "requirement": REQUIREMENT,
    "policy_sha256": _POLICY,
    "summary": "Pay 1500 to vendor@example.com",
}
POLICY = {
    "name": "Policy.md",
    "sha256": _POLICY,
    "text": "```yaml\ndefault: ask\nrules: []\n```\n",
    "problem": None,
}
STATS: dict[str, Any] = {
    "requests": 128,
    "pending": {"count": 2, "oldest_s": 840.25},
    "by_status": {"executed": 119, "rejected": 7, "pending": 2},
    "rates": {"approved": 0.9444, "rejected": 0.0556, "expired_unanswered": 0.0},
    "under_grants": 4,
    "decision_s": {"average": 311.2, "median": 95.5, "p90": 901.0},
    "by_type": {"payment": 128},
    "by_rule": {"large-payment": 128},
    "by_risk": {"high": 128},
    "by_requester": {"invoice-agent": 128},
    "by_reviewer": {"alice": {"approved": 119, "rejected": 7}},
}
ALERT = {
    "name": "pending",
    "message": "12 requests wait for an answer",
    "value": 12.0,
    "threshold": 10.0,
    "since": "2026-11-21T09:40:00+00:00",
}
VAULT = "c0ffee00c0ffee00c0ffee00c0ffee00"
CHAIN = {"ok": True, "vault": VAULT, "events": 412, "head": EVENT["hash"]}
HEAD = {"vault": VAULT, "seq": 412, "hash": EVENT["hash"]}
