"""The sentences of a note."""

from __future__ import annotations

from dataclasses import replace

import pytest
from document_samples import ALL, CASES, ID, ask

from hitl_vault.core.events import OF_THE_REGISTER, Event, Kind, Recorded
from hitl_vault.core.model import Answer, Assurance, Repeats, Requirement, Stage
from hitl_vault.core.statement import Envelope, envelope_text
from hitl_vault.document import wording


@pytest.mark.parametrize(
    ("need", "words"),
    [
        (
            Requirement(),
            "approval by one person; one rejection ends it; an answer in this note is enough",
        ),
        (Requirement(stages=(Stage(quorum=2),)), "approval by 2 different people"),
        (Requirement(stages=(Stage(approvers=("alice",)),)), "approval by alice;"),
        (
            Requirement(stages=(Stage(approvers=("alice", "finance"), quorum=2),)),
            "2 of alice, finance",
        ),
        (
            Requirement(stages=(Stage(approvers=("a", "b")), Stage(approvers=("cfo",)))),
            "one of a, b, then cfo",
        ),
        (Requirement(veto=False), "as many rejections as approvals"),
        (Requirement(repeats=Repeats.JOIN), "; a repeat joins it while it waits"),
        (Requirement(assurance=Assurance.AUTHENTICATED), "authenticated, in this note by a code"),
        (Requirement(assurance=Assurance.SIGNED), "signed, which a note cannot be"),
        (Requirement(stages=(Stage(approvers=("[[x]]",)),)), "approval by &#91;&#91;x"),
    ],
)
def test_the_requirement_in_words(need, words):
    """Who must approve, how many and how surely is said plainly."""
    assert words in wording.needed(need)


def test_how_to_answer_offers_what_counts():
    """Only the ways that lead to an allowed answer are named."""
    assert "approved or rejected; or move this note to Approved or Rejected" in wording.how(
        ask().request
    )
    only = wording.how(ask(answers=(Answer.REJECT,)).request)
    assert "rejected; or move this note to Rejected." in only
    assert "approved" not in only
    assert "or move" not in wording.how(ask(answers=(Answer.EDIT,)).request)


def test_how_to_answer_asks_for_what_the_rule_asks():
    """A required name or reason is asked for before the answer, not after."""
    assert "because this rule counts who answers" in wording.how(
        ask(stages=(Stage(approvers=("finance",)),)).request
    )
    text = wording.how(ask(require_reason=(Answer.REJECT, Answer.EDIT)).request)
    assert "a reason is required to reject or approve with changes" in text


def test_a_note_that_cannot_answer_says_which_command_can():
    """Where a signature is asked for, the note says so and names the command."""
    text = wording.how(ask(assurance=Assurance.SIGNED).request)
    assert f"`hitl approve {ID} --sign KEY` or `hitl reject {ID} --sign KEY`" in text
    assert "This note cannot answer" in text
    only = wording.how(ask(assurance=Assurance.SIGNED, answers=(Answer.EDIT,)).request)
    assert f"hitl approve {ID} --set NAME=VALUE --sign KEY" in only


def test_a_note_that_a_code_can_answer_says_so():
    """Where more than an edit is asked for, the note asks for the code and names the command."""
    text = wording.how(ask(assurance=Assurance.AUTHENTICATED).request)
    assert text.startswith("To answer: write the code you were sent in `code`, then tick one box")
    assert f"or run `hitl approve {ID}` or `hitl reject {ID}`" in text


def test_a_signed_vote_names_its_key():
    """The audit says by which key an answer was signed."""
    proof = envelope_text(Envelope(payload_type="t", payload=b"", key_id="hmac:k-1", signature=b""))
    line = fact(Kind.VOTED, answer="approve", assurance="signed", channel="cli", proof=proof)
    assert "approves (signed with hmac:k-1, over cli)" in line


def test_why_always_has_the_same_labels():
    """A reader finds the same lines in every note, and they never are empty."""
    lines = wording.why(ask(rules=(), reasons=(), run_id="", agent="helper").request)
    assert [line.split(":")[0] for line in lines] == [
        "- Reason",
        "- Rule",
        "- Risk",
        "- Needed",
        "- Answer by",
        "- Asked by",
        "- Agent",
    ]
    assert all(line.split(": ", 1)[1] for line in lines)


@pytest.mark.parametrize(
    ("type", "summary", "description", "title"),
    [
        ("payment", "S", "D", "# Payment: S"),
        ("database_delete", "", "D\nE", "# Database delete: D E"),
        ("payment", "", "", "# Payment"),
        ("", "", "", "# Action"),
        ("Decide", "", "", "# Decide"),
        ("p\u0430y", "S", "", '# P\u0430y ("p\\\\u0430y"): S'),
        ("# x", "", "[[y]]", "# \\# x: &#91;&#91;y&#93;&#93;"),
    ],
)
def test_the_title(type, summary, description, title):
    """The title says what kind of action it is and, in short, which."""
    assert wording.title(ask(type=type, summary=summary, description=description).request) == title


def fact(kind: Kind, actor: str = "bob", **data) -> str:
    event = Event(
        kind=kind, request_id=ID, rev=2, at=ask().request.created_at, actor=actor, data=data
    )
    return wording.audit_line(Recorded(seq=7, hash="0123456789abcdef", event=event))


def test_an_unproved_vote_is_never_called_a_persons():
    """What only a file says is said to be said by the file, and a bare call is called one."""
    vote = {"answer": "approve", "assurance": "edited", "reason": "ok"}
    assert fact(Kind.VOTED, channel="file", **vote) == (
        "- 2026-11-21 09:30:12 UTC · the file · the file says bob approves: ok · `01234567`"
    )
    assert "an unproved call over api says bob approves" in fact(Kind.VOTED, channel="api", **vote)
    assert "· bob · approves (signed, over cli)" in fact(
        Kind.VOTED, channel="cli", answer="approve", assurance="signed"
    )


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in OF_THE_REGISTER])
def test_every_event_has_its_line(kind):
    """No event is left out, with or without what it usually holds."""
    bare = fact(kind)
    assert bare.startswith("- 2026-11-21 09:30:12 UTC · ")
    assert bare.endswith(" · `01234567`")
    full = fact(
        kind,
        "x\n- [x] Approve ^approve",
        answer="edit",
        assurance="signed",
        reason="a\nb",
        channel="c",
        changes=[["/a", "1", '"[[x]]"']],
        use_by="t",
        error="e\nf",
        status="failed",
        to=["cfo"],
        text="%%",
    )
    assert "\n" not in full
    assert "[" not in full[2:]
    assert "%%" not in full


def test_the_outcome_in_words():
    """The outcome says when and who reported it, and what to do where nobody knows."""
    assert wording.outcome(ask().request) == ""
    assert "Outcome: not known (executor died)" in wording.outcome(CASES["unknown"].request)
    assert "Outcome: failed" in wording.outcome(CASES["resolved"].request)
    request = CASES["unknown"].request
    assert "not known. Find" in wording.outcome(
        replace(request, outcome=replace(request.outcome, error=""))
    )
    assert wording.boxes(ask(answers=ALL).request) == [wording.box(answer) for answer in ALL]
