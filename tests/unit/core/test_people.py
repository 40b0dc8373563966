"""Who may answer, who stands in, and what is said when that changes."""

from datetime import timedelta

from hitl_vault.core.people import (
    Away,
    Key,
    People,
    Reviewer,
    after_changes,
    differences,
    facts_of,
)
from hitl_vault.testing.clock import START

WEEK = timedelta(days=7)


def people(**reviewers):
    """Return people by name: a name away to another, or a list of roles."""
    found = {}
    for name, given in reviewers.items():
        away = (Away(begins_at=START, ends_at=START + WEEK, to=given),)
        found[name] = (
            Reviewer(name=name, away=away, roles=frozenset({f"role-of-{name}"}))
            if isinstance(given, str)
            else Reviewer(name=name, roles=frozenset(given))
        )
    return People(reviewers=found, on_record=True)


def stands_for(found, name, at=START):
    return {who for who, _ in found.standing_for(name, at)}


def test_a_stand_in_stands_for_the_absent_with_the_roles_of_the_absent():
    found = people(alice="bob", bob=["team"])
    assert found.standing_for("Bob", START) == (("alice", frozenset({"role-of-alice"})),)
    assert stands_for(found, "bob", START + WEEK) == set()
    assert stands_for(found, "bob", START - timedelta(seconds=1)) == set()


def test_a_chain_of_stand_ins_ends_after_three():
    found = people(a="b", b="c", c="d", d="e", e=[])
    assert stands_for(found, "e") == {"d", "c", "b"}
    assert found.covering("a", START) == ""
    assert found.covering("b", START) == "e"


def test_a_ring_of_people_away_ends_and_nobody_stands_in_for_themselves():
    found = people(a="b", b="c", c="a")
    assert stands_for(found, "a") == {"b", "c"}
    assert found.covering("a", START) == ""
    assert stands_for(people(a="a"), "a") == set()


def test_who_is_no_longer_on_record_stands_in_for_nobody():
    assert stands_for(people(alice="bob"), "bob") == set()


def test_who_is_away_without_a_stand_in_is_covered_by_nobody():
    found = people(alice="")
    assert found.find("alice").is_away(START)
    assert found.covering("alice", START) == ""
    assert stands_for(found, "") == set()


def test_a_name_or_role_that_is_nobodys_is_named_with_the_nearest():
    found = people(alice=["finance"], bob=["cfo"])
    assert found.unheld(["finance", "ALICE", "CFO", "legal"]) == ("legal",)
    assert found.nearest("finanse") == "finance"
    assert found.nearest("alicia") == "alice"
    assert found.nearest("zzz") == ""
    assert People().unheld(["legal"]) == ()


def test_facts_say_names_roles_times_away_and_keys_but_no_addresses():
    away = (Away(begins_at=START, ends_at=START + WEEK, to="bob"),)
    alice = Reviewer(
        name="alice", roles=frozenset({"cfo"}), away=away, notify=("tgram://secret/1",)
    )
    key = Key(
        principals=("alice",), kind="ssh-ed25519", fingerprint="SHA256:abc", valid_before=START
    )
    facts = facts_of(People(reviewers={"alice": alice}, keys=(key,), on_record=True))
    assert len(facts) == 4
    assert not any("secret" in fact for fact in facts)
    assert any("SHA256:abc" in fact for fact in facts)


def test_the_changes_on_record_lead_back_to_the_facts():
    before, now = {"alice is a reviewer", "x"}, {"bob is a reviewer", "x"}
    changes = differences(before, now)
    assert changes == ("- alice is a reviewer", "+ bob is a reviewer")
    assert after_changes([*differences((), before), *changes]) == now
