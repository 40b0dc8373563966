"""Owns examples of mounted file systems. Never asks the real kernel."""

from pathlib import Path

import pytest

from hitl_vault.adapters.watch.mounts import shared_filesystem

MOUNTS = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:44 / /nowhere/c rw,noatime - 9p C:\134 rw,aname=drvfs
31 22 0:45 / /nowhere/my\040share rw shared:5 master:2 - cifs //server/share rw
32 22 0:46 / /nowhere/c/fast rw - tmpfs tmpfs rw
33 22 0:47 / /nowhere/twice rw - ext4 /dev/vdb rw
34 22 0:48 / /nowhere/twice rw - nfs4 server:/x rw
broken line
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/nowhere/c", "9p"),
        ("/nowhere/c/Users/vault", "9p"),
        ("/nowhere/c/fast/vault", None),
        ("/nowhere/cold", None),
        ("/nowhere/my share/vault", "cifs"),
        ("/nowhere/twice/vault", "nfs4"),
        ("/", None),
    ],
)
def test_a_folder_others_write_to_is_known(folder: str, kind: str | None, tmp_path: Path) -> None:
    """The innermost, topmost mount says whether changes may come from elsewhere."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert shared_filesystem(Path(folder), mounts) == kind


def test_a_system_that_lists_no_mounts_shares_nothing_known(tmp_path: Path) -> None:
    """Without the list the self-test alone decides."""
    assert shared_filesystem(tmp_path, tmp_path / "missing") is None
