"""Reading the policy's file again only where it may have changed."""

from __future__ import annotations

from hitl_vault.adapters.policy.file import FilePolicy


def test_a_save_right_after_a_look_is_seen(workspace):
    """Two saves of the same size within one step of the kernel's clock have the same times."""
    path = workspace / "Policy.md"
    policy = FilePolicy(path, workspace / "kept")
    for number in range(500):
        path.write_bytes(b"%03d a" % number)
        assert policy.load() == b"%03d a" % number
        path.write_bytes(b"%03d b" % number)
        assert policy.load() == b"%03d b" % number


def test_an_old_file_is_not_read_twice(workspace, monkeypatch):
    """It is asked for at every claim, so what cannot have changed is the same object."""
    path = workspace / "Policy.md"
    path.write_text("rules")
    policy = FilePolicy(path, workspace / "kept")
    after = path.stat().st_ctime_ns + 10_000_000_000
    monkeypatch.setattr("hitl_vault.adapters.policy.file.time.time_ns", lambda: after)
    assert policy.load() is policy.load()
