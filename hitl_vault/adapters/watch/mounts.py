"""Owns the knowledge of file systems whose changes come from elsewhere. Never writes."""

from __future__ import annotations

import os
import re
from pathlib import Path

# The kernel reports what this machine writes to such a folder and is silent about what the other
# side writes, where the reviewer sits: the self-test's own file would prove nothing.
_SHARED = frozenset(
    {
        *("9p", "drvfs", "cifs", "smb3", "smbfs", "nfs", "nfs4", "afs", "ceph", "glusterfs"),
        *("virtiofs", "vboxsf", "prl_fs", "vmhgfs", "osxfs", "grpcfuse", "fakeowner"),
        *("fuse.sshfs", "fuse.rclone", "fuse.grpcfuse", "fuse.vmhgfs-fuse", "fuse.glusterfs"),
    }
)
_ESCAPE = re.compile(r"\\([0-7]{3})")


def shared_filesystem(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """Return the type of the folder's file system if other machines write to it unseen.

    None means: not shared, or not known (every system but Linux).
    """
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    where = os.path.realpath(folder)
    best, found = "", ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:  # noqa: PLR2004 -- the mount point is the fifth field
            continue
        point = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4])
        # Of two mounts on one point the later one is on top.
        if len(point) >= len(best) and Path(where).is_relative_to(point):
            best, found = point, after.split(" ")[0]
    return found if found in _SHARED else None
