"""The file of reviewers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hitl_vault.adapters.people.file import FilePeople, parse_people
from hitl_vault.core.people import Away, People, facts_of
from hitl_vault.errors import ConfigError


def test_people_are_read_by_name_in_any_case():
    people = parse_people('[Alice]\nroles = ["finance", "cfo"]\n[bob]\n', name="reviewers.toml")
    assert people.roles_of("ALICE") == {"finance", "cfo"}
    assert people.roles_of("bob") == frozenset()
    assert [found.name for found in people.holders("finance")] == ["Alice"]


def test_a_time_away_is_read_with_its_stand_in():
    text = '[alice]\naway = [{from = 2026-12-20, until = 2027-01-03T08:00:00+01:00, to = "bob"}]'
    alice = parse_people(text, name="reviewers.toml").find("alice")
    begins_at, ends_at = datetime(2026, 12, 20, tzinfo=UTC), datetime(2027, 1, 3, 7, tzinfo=UTC)
    assert alice.away == (Away(begins_at=begins_at, ends_at=ends_at, to="bob"),)
    assert alice.stand_in(begins_at) == "bob"
    assert alice.stand_in(ends_at) == ""


@pytest.mark.parametrize(
    "text",
    [
        'alice = ["finance"]',
        '[alice]\nroles = "finance"',
        "[alice]\nroles = [1]",
        "[alice",
        '[a]\n[A]\nroles=["x"]',
        '[alice]\nrole = ["finance"]',
        '[alice]\naway = [{from = 2027-01-03, until = 2026-12-20, to = "bob"}]',
        '[alice]\naway = [{from = 2026-12-20, to = "bob"}]',
        '[alice]\naway = [{from = 2026-12-20, until = 2027-01-03, to = ""}]',
        '["\u200b"]',
        '[alice]\naway = [{from = "soon", until = 2027-01-03, to = "bob"}]',
    ],
)
def test_what_cannot_be_read_is_named(text):
    with pytest.raises(ConfigError, match=r"reviewers\.toml"):
        parse_people(text, name="reviewers.toml")


def test_a_change_is_seen_and_without_a_file_there_is_nobody(tmp_path):
    file = tmp_path / "reviewers.toml"
    people = FilePeople(file)
    assert people.load() == People()
    file.write_text('[alice]\nroles = ["finance"]\n')
    assert people.load().roles_of("alice") == {"finance"}
    file.write_text('[alice]\nroles = ["finance", "cfo"]\n')
    assert people.load().roles_of("alice") == {"finance", "cfo"}


def test_a_change_of_the_shared_keys_is_a_change_of_the_record(tmp_path):
    """Added, given another secret, taken away; no secret is told."""
    (tmp_path / "keys").mkdir(mode=0o700)
    file = tmp_path / "keys" / "hmac.toml"
    people = FilePeople(tmp_path / "reviewers.toml")
    seen = [people.load()]
    key = '["a-1"]\nreviewer = "alice"\nfrom = 2026-11-21T09:00:00Z\nsecret = "{}"\n'
    secrets = ("QUFBQUFBQUFBQUFBQUFBQUFBQUE=", "QkJCQkJCQkJCQkJCQkJCQkJCQkI=")
    for secret in secrets:
        file.write_text(key.format(secret))
        file.chmod(0o600)
        seen.append(people.load())
    file.unlink()
    seen.append(people.load())
    digests = [found.sha256 for found in seen]
    assert digests[0] == digests[3] == ""
    assert len(set(digests)) == 3
    facts = [facts_of(found) for found in seen]
    assert facts[0] == facts[3] == frozenset()
    assert all("alice may answer with the shared key a-1" in str(found) for found in facts[1:3])
    assert facts[1] != facts[2]
    assert not any(secret in str(facts) for secret in secrets)
