"""Changing the reviewers' file: what a person wrote in it stays."""

from datetime import UTC, datetime

import pytest

from hitl_vault.adapters.people.file import parse_people
from hitl_vault.adapters.people.table import (
    with_away,
    with_reviewer,
    with_roles,
    without_away,
    without_reviewer,
)
from hitl_vault.core.people import Away
from hitl_vault.errors import ConfigError, InvalidRequest

MINE = """\
# my own words
[alice]  # the boss
roles = [
  "finance",  # since May
  'cfo',
]

# bob is new
[bob]
notify = ["x"]   # his own
# the end
"""
AWAY = Away(begins_at=datetime(2026, 12, 20, tzinfo=UTC), ends_at=datetime(2027, 1, 3, tzinfo=UTC))


def people(text):
    return parse_people(text, name="reviewers.toml")


def without(text, *lines):
    """Return what is left of a text without lines that hold these."""
    return [line for line in text.splitlines() if not any(part in line for part in lines)]


def test_a_new_person_comes_to_the_end_and_nothing_else_changes():
    text = with_reviewer(MINE, name="Carol D", roles=["cfo", "CFO", "legal"])
    assert text.startswith(MINE)
    assert people(text).roles_of("carol d") == {"cfo", "legal"}


def test_the_first_person_makes_the_file():
    text = with_reviewer("", name="alice", roles=[])
    assert people(text).find("alice").roles == frozenset()
    assert text.startswith("#")


def test_roles_change_and_the_comments_beside_them_stay():
    text = with_roles(MINE, name="ALICE", add=["legal"], remove=["CFO"])
    assert people(text).roles_of("alice") == {"finance", "legal"}
    assert without(text, "legal", "cfo") == without(MINE, "legal", "cfo")
    text = with_roles(text, name="bob", add=["Finance"], remove=[])
    assert people(text).roles_of("bob") == {"finance"}
    assert "# his own" in text


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_who_goes_takes_only_their_own_table(name):
    text = without_reviewer(MINE, name=name)
    assert set(people(text).reviewers) == {"alice", "bob"} - {name}
    for comment in ("# my own words", "# bob is new"):
        assert comment in text
    assert ("# the boss" in text) == (name == "bob")
    assert "# the end" in text


def test_a_middle_person_goes_and_both_neighbours_stay():
    text = with_reviewer(MINE, name="carol", roles=["cfo"])
    assert set(people(without_reviewer(text, name="bob")).reviewers) == {"alice", "carol"}


def test_a_time_away_is_written_and_forgotten():
    text = with_away(MINE, name="alice", away=Away(**_fields(AWAY, to="bob")))
    assert people(text).find("alice").away == (Away(**_fields(AWAY, to="bob")),)
    assert "2026-12-20, until = 2027-01-03" in text
    assert people(without_away(text, name="alice")).find("alice").away == ()
    assert without_away(MINE, name="bob") == MINE


def _fields(away, **more):
    return {"begins_at": away.begins_at, "ends_at": away.ends_at, "to": away.to} | more


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: with_reviewer(MINE, name="ALICE", roles=[]), "on record"),
        (lambda: with_reviewer(MINE, name="finance", roles=[]), "is a role"),
        (lambda: with_reviewer(MINE, name="zoe", roles=["bob"]), "is a person's name"),
        (lambda: with_reviewer(MINE, name=" zoe", roles=[]), "is no name"),
        (lambda: with_reviewer(MINE, name="z\u200boe", roles=[]), "is no name"),
        (lambda: with_reviewer(MINE, name="unnamed", roles=[]), "without a name"),
        (lambda: with_roles(MINE, name="alicia", add=["x"], remove=[]), "did you mean alice"),
        (lambda: with_roles(MINE, name="bob", add=[], remove=["cfo"]), "does not hold"),
        (lambda: with_away(MINE, name="alice", away=Away(**_fields(AWAY, to="eve"))), "on record"),
        (lambda: with_away(MINE, name="alice", away=Away(**_fields(AWAY, to="Alice"))), "themsel"),
        (lambda: without_reviewer(MINE, name="eve"), "not on record"),
    ],
)
def test_what_cannot_be_is_said(change, said):
    with pytest.raises(InvalidRequest, match=said):
        change()


def test_two_times_away_never_overlap():
    once = with_away(MINE, name="alice", away=AWAY)
    with pytest.raises(InvalidRequest, match="--clear"):
        with_away(once, name="alice", away=AWAY)


def test_a_file_in_a_form_that_cannot_be_changed_safely_is_left_alone():
    split = "[alice]\n[bob]\n[[alice.away]]\nfrom=2026-01-01\nuntil=2026-02-01\n"
    try:
        text = without_reviewer(split, name="alice")
    except ConfigError as error:
        assert "by hand" in str(error)
    else:
        assert set(people(text).reviewers) == {"bob"}
    with pytest.raises(ConfigError):
        with_reviewer("[alice", name="bob", roles=[])
