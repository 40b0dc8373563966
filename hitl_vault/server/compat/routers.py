"""Owns the order of the other services' routes: fixed paths before ids. Never a route."""

from hitl_vault.server.compat import approvals, decisions, shared, signatures, workflows

compat_routers = (
    workflows.router,
    decisions.router,
    approvals.router,
    signatures.router,
    shared.lists,
    shared.router,
)
