"""Ids, and the words of the domain."""

from __future__ import annotations

import pytest

from hitl_vault.core.model import Assurance, Effect, Risk, Status, is_valid_id, make_id
from hitl_vault.testing.clock import START
from hitl_vault.testing.samples import make_ask


@pytest.mark.parametrize(
    "id", ["a", "INV-2024.001_x", "9", "a" * 120, "20261121-093012-payment-7f3ac91e04"]
)
def test_good_ids(id):
    """Letters, digits, dot, underscore and hyphen, at most 120 bytes."""
    assert is_valid_id(id)


@pytest.mark.parametrize(
    "id",
    [
        *(
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a.",
            "-a",
            "_a",
            "a/b",
            "a\\b",
            "/a",
            "a b",
            "a\n",
            "a\x00",
        ),
        *("é", "ａ", "\ud800", "\udcff", "a" * 121, "C:a", "a%2e", "~a", "a\u202e"),
    ],
)
def test_bad_ids(id):
    """No path trick, no character another system folds, no half character that raises."""
    assert not is_valid_id(id)


@pytest.mark.parametrize(
    ("slug", "part"),
    [
        ("Payment!", "payment"),
        ("", "action"),
        ("../..", "action"),
        ("é" * 50, "action"),
        ("a" * 99, "a" * 40),
        ("x-" * 40, "-".join("x" * 20)),
    ],
)
def test_made_ids_are_valid_and_sort_by_time(slug, part):
    """Whatever the slug, the id is valid."""
    id = make_id(START, slug, "7f3ac91e04")
    assert id == f"20261121-093012-{part}-7f3ac91e04"
    assert is_valid_id(id)


def test_ranks_follow_strictness():
    """The later member is the stronger."""
    assert [e.rank for e in (Effect.ALLOW, Effect.ASK, Effect.DENY)] == [0, 1, 2]
    assert Assurance.SIGNED.rank > Assurance.AUTHENTICATED.rank > Assurance.EDITED.rank
    assert Risk.CRITICAL.rank > Risk.LOW.rank


def test_was_approved_is_what_came_after_an_approval():
    """Expired and cancelled requests count as never approved: nothing may run."""
    assert {s for s in Status if s.was_approved} == {
        "approved",
        "executing",
        "executed",
        "failed",
        "unknown",
    }


def test_reasons_are_one_sentence():
    """A verdict's reasons are joined for people."""
    assert make_ask().verdict.reason == "Large payments need a person"
