"""The words of a status."""

from __future__ import annotations

import pytest

from hitl_vault.core.model import Answer
from hitl_vault.document.words import (
    APPROVE_WORDS,
    PENDING_WORDS,
    REJECT_WORDS,
    clean,
    plain_word,
    read_status,
    shortened,
)


@pytest.mark.parametrize("word", sorted(APPROVE_WORDS))
@pytest.mark.parametrize(
    "shape",
    [
        "{}",
        " {} ",
        "“{}”",
        "‘{}’",
        "«{}»",
        "'{}'",
        '"{}"',
        "{}.",
        "{}!",
        "{} ✅",
        "✅ {}",
        "✔️ {}",
        "“{}.”",
        "{}✔\ufe0f",
        "{}\xa0",
    ],
)
def test_an_approval_may_be_dressed(word, shape):
    """Quotes, spaces, one stop and a tick around the word change nothing; nor do capitals."""
    for typed in (word, word.upper(), word.capitalize()):
        assert read_status(shape.format(typed)).answer is Answer.APPROVE


@pytest.mark.parametrize("word", sorted(REJECT_WORDS))
@pytest.mark.parametrize(
    "shape",
    ["{}", "“{}”", "{}!", "❌ {}", "{} ❌", "{}, too much", "{}: no", "{} - no", "{} — later"],
)
def test_a_rejection_may_give_its_reason(word, shape):
    """A rejecting word, alone or followed by a reason, rejects."""
    assert read_status(shape.format(word)).answer is Answer.REJECT


@pytest.mark.parametrize("word", sorted(PENDING_WORDS))
def test_waiting_words_wait(word):
    """A waiting word is no answer, and nothing to ask about."""
    assert read_status(word.upper()).answer is None


@pytest.mark.parametrize(
    "typed",
    [
        "yes",
        "no",
        "true",
        "false",
        "y",
        "1",
        "0",
        "done",
        "lgtm",
        "sure",
        "aapproved",
        "arejected",
        "exapproved",
        "approvedd",
        "app",
        "reject ed",
        "ap proved",
        "approved rejected",
        "approved, but only 500",
        "pending | approved",
        "pending -> approved",
        "~~pending~~ approved",
        "not approved",
        "approved?",
        "approved...",
        "approved!!",
        "approved…",
        "approved\u200b",
        "\u200dapproved",
        "approv\u0435d",
        "\u0430pproved",
        "approved\u00ad",
        "approved\u202e",
        "approved; rejected",
        "rejected, no: approved",
        "rejected, still pending",
        "rejected ok",
        "[approved]",
        "approved ❌",
        "✅ rejected",
        "✅",
        "❌",
        "**approved**",
        "`approved`",
        "#approved",
        "approved # yes",
        "executed",
        "expired",
        "approve reject",
        "approve_",
        "approved-",
        "approved,",
        "unapproved",
        "disapproved",
        "rejected by mistake",
        "𝐚pproved\u0301",
    ],
)
def test_anything_else_is_unclear(typed):
    """A near miss, a sentence, two words, or characters that do not show are never an answer."""
    assert read_status(typed) is None


def test_the_reason_of_a_rejection_is_kept():
    """The reason keeps its capitals."""
    assert read_status("Rejected — Too Expensive").reason == "Too Expensive"


def test_plain_word():
    """A status can be compared without its dress."""
    assert plain_word(" “Executed”. ") == "executed"


def test_clean():
    """A typed name is one line of visible characters, cut at the limit."""
    assert clean(" A\u202el\u200bi\x00ce\n Smith\u3164 ", limit=50) == "Alice Smith"
    assert clean("e\u0301", limit=5) == "é"
    assert clean("x" * 50, limit=5) == "xxxxx"


def test_shortened():
    """A typed text is repeated short, on one line, and shows what does not show."""
    assert shortened("a\nb\u200b") == "a b⟨U+200B⟩"
    assert shortened("x" * 100) == "x" * 40 + "…"
