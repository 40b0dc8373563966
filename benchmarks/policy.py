"""Figure 7: what judging one action costs, by the number of rules."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from benchmarks.common import ACTION, REPOSITORY, Scale, Table, median, say, times

TITLE = "Policy: one evaluation, microseconds"


def _text(rules: int) -> bytes:
    lines = ["default: ask", "rules:"]
    for number in range(rules):
        lines += [
            f"  - id: rule-{number}",
            f'    when: action.type in ["payment", "kind-{number}"] && details.amount >= {100 + number}',
            "    effect: ask",
            "    risk: high",
            f"    reason: Rule number {number}",
        ]
    return "\n".join(lines).encode()


def _microseconds(work: Callable[[], Any], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - start) / count * 1e6


def run(scale: Scale) -> list[Table]:
    """Measure."""
    from hitl_vault.core.model import Action
    from hitl_vault.core.policy import parse_policy

    action = Action(type="payment", description="Pay", details=ACTION, requested_by="agent")
    now, rounds = datetime.now(UTC), scale.pick(3, 9)
    shipped = (REPOSITORY / "vault" / "Policy.md").read_bytes()
    policies = {
        f"{count} rules, all match": parse_policy(_text(count), name="p.yaml")
        for count in (1, 20, 200)
    }
    starter = parse_policy(shipped, name="Policy.md")
    policies[f"the starter policy ({len(starter.rules)} rules, 2 match)"] = starter
    limits = [(100 + number, f"kind-{number}") for number in range(20)]

    def by_hand() -> list[bool]:
        details = action.details
        return [
            action.type in {"payment", kind} and details["amount"] >= limit
            for limit, kind in limits
        ]

    taken: dict[str, list[float]] = {name: [] for name in (*policies, "20 lines of Python")}
    for round in range(rounds):
        say(f"policy: round {round + 1} of {rounds}")
        for name, policy in policies.items():
            taken[name].append(
                _microseconds(lambda policy=policy: policy.evaluate(action, now), 200)
            )
        taken["20 lines of Python"].append(_microseconds(by_hand, 5000))
    table = Table(title=TITLE, columns=["", "median", "of 1 rule"], raw=dict(taken))
    base = median(next(iter(taken.values())))
    for name, values in taken.items():
        table.add(name, f"{median(values):.1f}", times(median(values), base))
    table.notes.append(
        "Policy.evaluate: every condition, the merged requirement, the verdict with its reasons. "
        "An `ask` adds this once; a claim only when the policy changed since the approval."
    )
    return [table]
