"""Owns the checks of `hitl doctor` of what surrounds a vault: the disk, sync tools, git, plugins.

Never changes a file.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hitl_vault.cli.checks import Check, Mark
from hitl_vault.config import STATE_FOLDER, Settings

_LITTLE_SPACE = 200_000_000
_NO_SPACE = 5_000_000
_SYNCED = (
    (".stfolder", "Syncthing"),
    (".dropbox", "Dropbox"),
    (".dropbox.cache", "Dropbox"),
    (".nextcloudsync.log", "Nextcloud"),
    (".owncloudsync.log", "ownCloud"),
)
_SYNCED_NAMES = re.compile(
    r"^(Dropbox|OneDrive|Google ?Drive|iCloud ?Drive|Mobile Documents|Nextcloud|Syncthing)\b",
    re.IGNORECASE,
)
_CONFLICTS = re.compile(
    r"\.sync-conflict-\d|conflicted copy|\(conflict|\.orig$|^\.#|~$|\.sw[opn]$", re.IGNORECASE
)
_RUN_CODE = {"templater-obsidian": "Templater", "dataview": "Dataview with JavaScript"}
_LISTED = 5


def disk(root: Path) -> Iterator[Check]:
    """Look at the space left, and at what kind of disk it is."""
    from hitl_vault.adapters.watch.mounts import shared_filesystem

    free = shutil.disk_usage(root).free
    mark = Mark.WRONG if free < _NO_SPACE else Mark.LOOK if free < _LITTLE_SPACE else Mark.GOOD
    advice = "" if mark is Mark.GOOD else "make room: nothing is recorded on a full disk"
    yield Check(mark, "disk", f"{free / 1e9:.1f} GB free", advice)
    shared = shared_filesystem(root)
    if shared is not None:
        yield Check(
            Mark.LOOK,
            "file system",
            f"{shared}: shared with other machines",
            f"keep {STATE_FOLDER} on a local disk; only notes may be shared",
        )


def neighbours(root: Path, settings: Settings) -> Iterator[Check]:
    """Look for programs that copy the vault elsewhere, and for what they leave behind."""
    synced = _synced_by(root)
    if synced:
        yield Check(
            Mark.LOOK,
            "sync",
            f"the vault lies in a folder of {synced}",
            f"let it leave {STATE_FOLDER} out: a ledger that is synced while open breaks",
        )
    if _git_tracks(root):
        yield Check(
            Mark.WRONG,
            "git",
            f"git tracks the ledger in {STATE_FOLDER}",
            f"git rm --cached -r {STATE_FOLDER}; {STATE_FOLDER}/.gitignore says what to leave out",
        )
    left = [
        file.relative_to(root).as_posix()
        for name in (settings.pending_folder, settings.approved_folder, settings.rejected_folder)
        for file in sorted((root / name).rglob("*"))
        if _CONFLICTS.search(file.name)
    ]
    if left:
        listed = ", ".join(left[:_LISTED])
        listed += f" and {len(left) - _LISTED} more" if len(left) > _LISTED else ""
        yield Check(
            Mark.LOOK,
            "left behind",
            f"by editors or sync tools: {listed}",
            "they are never read as answers; look whether anybody's answer is in one, then delete",
        )


def _synced_by(root: Path) -> str:
    for folder in (root, *root.parents):
        for marker, program in _SYNCED:
            if (folder / marker).exists():
                return program
        if _SYNCED_NAMES.match(folder.name):
            return folder.name
    plugins = _json(root / ".obsidian" / "core-plugins.json")
    on = plugins.get("sync") if isinstance(plugins, dict) else "sync" in (plugins or [])
    return "Obsidian Sync" if on else ""


def _git_tracks(root: Path) -> bool:
    git = shutil.which("git")
    if git is None:
        return False
    try:
        listed = subprocess.run(  # noqa: S603  a fixed command line
            [git, "-C", str(root), "ls-files", "--", f"{STATE_FOLDER}/ledger.db*"],
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and bool(listed.stdout.strip())


def obsidian(root: Path) -> Iterator[Check]:
    """Look for plugins that run programs found in notes."""
    enabled = _json(root / ".obsidian" / "community-plugins.json")
    for plugin in enabled if isinstance(enabled, list) else []:
        name = _RUN_CODE.get(plugin)
        if name is None:
            continue
        if plugin == "dataview":
            chosen = _json(root / ".obsidian" / "plugins" / plugin / "data.json")
            if not isinstance(chosen, dict) or not chosen.get("enableDataviewJs"):
                continue
        yield Check(
            Mark.LOOK,
            "Obsidian",
            f"{name} runs programs that stand in notes",
            "our notes hold none, but whoever can write to the vault can plant one",
        )


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
