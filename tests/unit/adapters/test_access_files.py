"""The files of tokens and sessions: what has ended never counts again, and they stay small."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from hitl_vault.adapters.access import entries
from hitl_vault.adapters.access.sign_ins import SESSIONS, SESSIONS_EACH, SignIns
from hitl_vault.adapters.access.tokens import AccessTokens
from hitl_vault.adapters.proof.secret_files import MAX_BYTES, load_secret, load_toml, save_secret
from hitl_vault.core.access import Caller, Scope
from hitl_vault.core.sign_in import Way
from hitl_vault.errors import ConfigError, StorageError

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
READ = frozenset({Scope.READ})


@pytest.fixture
def path(workspace):
    return workspace / "keys" / "tokens.toml"


def begin(record, name="alice", at=NOW, **more):
    return record.begin(name, READ, Way.TOKEN, at, at + timedelta(hours=12), **more)


def test_a_file_above_the_measure_is_refused_and_not_cut(path):
    """A revoked token counted again where the cut fell before its last line."""
    tokens = AccessTokens(path)
    made, text = tokens.create(Caller.REVIEWER, "alice", NOW)
    tokens.revoke(made.token_id, NOW)
    block = path.read_bytes()
    for cut in range(len(block)):
        path.write_bytes(b"#" * (MAX_BYTES - cut - 1) + b"\n" + block)
        if path.stat().st_size <= MAX_BYTES:
            continue
        with pytest.raises(ConfigError, match=r"tokens\.toml: it is larger than 1,000,000 bytes"):
            AccessTokens(path).find(text, NOW)


def test_a_file_of_just_the_measure_is_read_and_a_larger_one_not_stored(path):
    save_secret(path, b"x" * MAX_BYTES)
    assert len(load_secret(path)) == MAX_BYTES
    with pytest.raises(StorageError, match="larger"):
        save_secret(path, b"x" * (MAX_BYTES + 1))
    assert len(load_secret(path)) == MAX_BYTES


def test_a_token_that_was_revoked_does_not_count_by_any_part_of_what_is_stored(path):
    tokens = AccessTokens(path)
    made, text = tokens.create(Caller.REVIEWER, "alice", NOW)
    tokens.revoke(made.token_id, NOW)
    whole = path.read_bytes()
    for end in range(len(whole)):
        save_secret(path, whole[:end])
        try:
            assert AccessTokens(path).find(text, NOW) is None
        except ConfigError:
            continue


def test_a_session_by_a_token_never_counts_without_it_by_any_part_of_what_is_stored(path):
    record = SignIns(path.parent)
    _, text = begin(record, token_id="3f9a1c7be2")
    stored = path.parent / SESSIONS
    whole = stored.read_bytes()
    for end in range(len(whole)):
        save_secret(stored, whole[:end])
        try:
            found = SignIns(path.parent).find_session(text, NOW)
        except ConfigError:
            continue
        assert found is None or found.token_id == "3f9a1c7be2"


def test_a_token_that_ended_stays_on_the_list_for_thirty_days(path):
    tokens = AccessTokens(path)
    old, _ = tokens.create(Caller.AGENT, "bot", NOW, until=NOW + timedelta(days=1))
    lasting, _ = tokens.create(Caller.AGENT, "bot", NOW)
    later, _ = tokens.create(Caller.AGENT, "bot", NOW + timedelta(days=30))
    assert set(tokens.load()) == {old.token_id, lasting.token_id, later.token_id}
    tokens.revoke(later.token_id, NOW + timedelta(days=31))
    assert set(tokens.load()) == {lasting.token_id, later.token_id}


def test_one_session_too_many_ends_the_oldest_of_that_person_alone(path):
    record = SignIns(path.parent)
    _, bobs = begin(record, "bob")
    texts = [
        begin(record, name, NOW + timedelta(seconds=second))[1]
        for second, name in enumerate(["alice", "Alice"] * (SESSIONS_EACH // 2) + ["ALICE"])
    ]
    now = NOW + timedelta(minutes=1)
    assert record.find_session(texts[0], now) is None
    assert all(record.find_session(text, now) for text in [*texts[1:], bobs])
    begin(record, "bob", NOW + timedelta(days=1))
    assert len(record.sessions()) == 1  # those that ended go at once


def test_however_many_tokens_there_are_each_can_be_revoked(path):
    tokens = AccessTokens(path)
    made, text = tokens.create(Caller.AGENT, "bot", NOW)
    entry = path.read_text()
    with pytest.raises(StorageError, match="none could be revoked"):
        for number in range(10):  # each fills a tenth of what may be
            many = MAX_BYTES // len(entry) // 10
            more = (entry.replace(made.token_id, f"{number}{n:09x}") for n in range(many))
            path.write_text("\n".join([path.read_text(), *more]))
            tokens.create(Caller.AGENT, "one more", NOW)
    tokens.revoke(made.token_id, NOW)
    assert tokens.find(text, NOW) is None


def test_of_two_threads_that_read_a_file_none_leaves_what_it_no_longer_holds(path, monkeypatch):
    """One has read the old file, the other the new one, and each stores what it knows in turn."""
    tokens = AccessTokens(path)
    made, text = tokens.create(Caller.AGENT, "bot", NOW)
    service = AccessTokens(path)
    has_read, may_store = threading.Event(), threading.Event()

    def slowly(path):
        found = load_toml(path)
        if threading.current_thread().name == "slow":
            has_read.set()
            may_store.wait(5)
        return found

    monkeypatch.setattr(entries, "load_toml", slowly)
    slow = threading.Thread(target=service.load, name="slow")
    slow.start()
    has_read.wait(5)
    tokens.revoke(made.token_id, NOW)

    class Stepped(entries.Entries):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if threading.current_thread().name != "slow":
                may_store.set()
                slow.join(5)

    service._entries.__class__ = Stepped
    service.load()
    assert service.find(text, NOW) is None
