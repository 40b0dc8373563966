"""The tally on the command line: needed, who answered how surely, who may still answer."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "document"))

from document_samples import NOW
from lines_samples import THEN_CFO, desk, people

from hitl_vault.cli.tallying import load_people, tally_fields, tally_record
from hitl_vault.core.model import Answer, Assurance, Stage

SIGNED = {"assurance": Assurance.SIGNED, "proof": "p", "proof_id": "1", "channel": "cli"}
STAGED = desk(people({"alice": ["finance"], "bob": ["finance"], "carol": ["cfo"]}), stages=THEN_CFO)


def printed(one):
    fields = tally_fields(one.case.request, one.people, NOW)
    return {name: cell.text + cell.tail for name, cell in fields}


def test_each_stage_says_where_it_stands():
    """The open one who may still answer, a later one who may answer then, a closed one neither."""
    assert printed(STAGED.vote(**SIGNED)) == {
        "stage 1": "1 of 2 approved: alice (signed, over cli); may still answer: bob",
        "stage 2": "0 of 1 approved; may answer then: carol",
    }
    assert printed(STAGED.vote(**SIGNED).vote(reviewer="bob")) == {
        "stage 1": "2 of 2 approved: alice (signed, over cli), bob (edited, over note)",
        "stage 2": "0 of 1 approved; may still answer: carol",
    }


def test_rejections_are_named():
    """Where one does not end it, whoever rejected may still change their mind."""
    one = desk(veto=False).vote(Answer.REJECT, "bob")
    assert printed(one) == {
        "tally": "0 of 2 approved; rejected: bob (edited, over note); "
        "may still answer: alice, bob, carol"
    }
    done = desk().vote(Answer.REJECT, "bob")
    assert printed(done) == {"tally": "0 of 2 approved; rejected: bob (edited, over note)"}


def test_unknown_roles_stand_for_themselves_and_no_names_mean_anyone():
    """What nobody on record has is shown as the rule has it."""
    mixed = desk(stages=(Stage(approvers=("legal", "alice"), quorum=2),))
    assert printed(mixed)["tally"].endswith("may still answer: alice, legal")
    assert printed(desk(stages=(Stage(quorum=2),)))["tally"].endswith("may still answer: anyone")


def test_a_vote_for_other_details_is_no_part_of_it():
    """It was of a question that is no longer asked."""
    one = STAGED.vote().edit({"amount": 1, "to": "a", "memo": "b"})
    assert printed(one)["stage 1"].startswith("1 of 2 approved: bob (edited, over note); may still")


def test_the_record_is_the_same_in_json():
    """Names and roles; null for anyone, nothing once it is decided."""
    record = tally_record(STAGED.vote(**SIGNED).case.request, STAGED.people, NOW)
    alice = {"reviewer": "alice", "assurance": "signed", "channel": "cli"}
    assert record == [
        {"stage": 1, "needed": 2, "approved": [alice], "rejected": [], "open": True,
         "may_answer": ["bob"]},
        {"stage": 2, "needed": 1, "approved": [], "rejected": [], "open": False,
         "may_answer": ["carol"]},
    ]  # fmt: skip
    anyone = desk(stages=(Stage(quorum=2),))
    assert tally_record(anyone.case.request, anyone.people, NOW)[0]["may_answer"] is None


@pytest.mark.parametrize("text", ["[alice", "[alice]\nrank = 1"])
def test_a_record_that_cannot_be_read_is_told_and_shows_nobody(workspace, capsys, text):
    """Reading a request never fails for it."""
    (workspace / ".hitl").mkdir()
    (workspace / ".hitl" / "reviewers.toml").write_text(text)
    assert not load_people(workspace).reviewers
    assert "reviewers.toml" in capsys.readouterr().err
