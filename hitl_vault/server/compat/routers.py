"""Owns the order of the other services' routes: fixed paths before ids. Never has a route itself."""

from hitl_vault.server.compat import approvals, decisions, shared, signatures, workflows

compat_routers = (
    workflows.router,
    decisions.router,
    approvals.router,
    signatures.router,
    shared.lists,
    shared.router,
)
