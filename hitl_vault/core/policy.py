"""Owns the door to the policy: one place to import it from. Never holds a rule of its own.

`policy_text` reads it, `policy_rules` judges by it, `policy_cases` tests it.
"""

from hitl_vault.core.durations import parse_duration
from hitl_vault.core.policy_blocks import Problem, Severity
from hitl_vault.core.policy_cases import Case, CaseResult, parse_cases, run_cases
from hitl_vault.core.policy_rules import Finding, Policy, Rule, ask_everything
from hitl_vault.core.policy_text import lint_policy, parse_policy

__all__ = [
    "Case",
    "CaseResult",
    "Finding",
    "Policy",
    "Problem",
    "Rule",
    "Severity",
    "ask_everything",
    "lint_policy",
    "parse_cases",
    "parse_duration",
    "parse_policy",
    "run_cases",
]
