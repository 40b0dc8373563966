"""The files of reviewers and keys on the disk."""

import os
import stat
import threading

import pytest
from filelock import FileLock

from hitl_vault.adapters.people import keeping
from hitl_vault.adapters.people.file import FilePeople
from hitl_vault.adapters.people.keeping import PeopleFiles
from hitl_vault.adapters.people.table import with_reviewer
from hitl_vault.errors import ConfigError, StorageError


def add(state, name):
    def change(text, signers):
        return with_reviewer(text, name=name, roles=[]), signers, None

    PeopleFiles(state).change(change)


def test_two_commands_at_once_both_count(tmp_path):
    """Each reads what the other wrote."""
    names = [f"person{number}" for number in range(12)]
    threads = [threading.Thread(target=add, args=(tmp_path, name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(FilePeople(tmp_path / "reviewers.toml").load().reviewers) == set(names)


def test_nobody_else_may_read_or_write_them_whatever_they_were(tmp_path):
    file = tmp_path / "reviewers.toml"
    file.write_text("")
    file.chmod(0o666)
    add(tmp_path, "alice")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".new"] == []


def test_a_link_to_a_file_kept_elsewhere_stays_a_link(tmp_path):
    kept = tmp_path / "kept.toml"
    kept.write_text("# mine\n[bob]\n")
    state = tmp_path / ".hitl"
    state.mkdir()
    (state / "reviewers.toml").symlink_to(kept)
    add(state, "alice")
    assert (state / "reviewers.toml").is_symlink()
    assert kept.read_text().startswith("# mine\n[bob]\n")


def test_a_failed_write_changes_nothing_and_leaves_nothing(tmp_path, monkeypatch):
    add(tmp_path, "alice")
    before = (tmp_path / "reviewers.toml").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        add(tmp_path, "bob")
    assert (tmp_path / "reviewers.toml").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"reviewers.toml", "reviewers.lock"}


def test_who_waits_too_long_for_another_command_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "_WAIT_S", 0.05)
    with (
        FileLock(tmp_path / "reviewers.lock"),
        pytest.raises(StorageError, match="another command"),
    ):
        add(tmp_path, "alice")


def test_a_broken_file_is_not_changed(tmp_path):
    (tmp_path / "reviewers.toml").write_text("[alice")
    with pytest.raises(ConfigError):
        add(tmp_path, "bob")
    assert (tmp_path / "reviewers.toml").read_text() == "[alice"
