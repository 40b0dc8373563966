"""Which requests are shown together."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hitl_vault.cli.grouping import MOST, groups_of
from hitl_vault.core.lifecycle import apply
from hitl_vault.core.model import Comment, Requirement, Risk
from hitl_vault.testing.clock import START
from hitl_vault.testing.samples import make_ask


def alike(number, **changes):
    step = apply(None, make_ask(f"r-{number:03}"), START)
    request = step.request
    details = {"amount": number, "to": "v"}
    action = replace(request.action, details=details, description="", **changes)
    return replace(request, action=action, created_at=START + timedelta(seconds=number))


def ids(groups):
    return [[request.id for request in group] for group in groups]


def test_like_is_shown_with_like_the_oldest_first():
    other = alike(2, requested_by="other")
    assert ids(groups_of([alike(3), other, alike(1)])) == [["r-001", "r-003"], ["r-002"]]


@pytest.mark.parametrize(
    "change",
    [
        lambda r: replace(r, action=replace(r.action, type="other")),
        lambda r: replace(r, verdict=replace(r.verdict, rules=("other",))),
        lambda r: replace(r, verdict=replace(r.verdict, risk=Risk.CRITICAL)),
        lambda r: replace(r, verdict=replace(r.verdict, requirement=Requirement(timeout_s=7))),
        lambda r: replace(r, action=replace(r.action, description="x" * 301)),
        lambda r: replace(r, action=replace(r.action, description="one\ntwo")),
        lambda r: replace(r, action=replace(r.action, details={"note": "x" * 301})),
        lambda r: replace(
            r, comments=(Comment(comment_id="c", author="a", text="wait", at=START),)
        ),
    ],
)
def test_what_differs_in_more_than_values_stands_alone(change):
    assert ids(groups_of([alike(1), change(alike(2)), alike(3)])) == [["r-001", "r-003"], ["r-002"]]


def test_no_group_is_larger_than_a_screen():
    groups = groups_of([alike(number) for number in range(MOST + 2)])
    assert [len(group) for group in groups] == [MOST, 2]
