"""Owns the person of `hitl demo --auto`: a process of its own that edits a note as an editor would.

Never speaks to the engine: all it does is save the file.
"""

from __future__ import annotations

import sys
from pathlib import Path

NAME = "alice"


def ticked(note: str) -> str:
    """Return the note with the box for approving ticked, and a name."""
    return note.replace("- [ ] Approve ^", "- [x] Approve ^").replace(
        'reviewer: ""', f'reviewer: "{NAME}"'
    )


def refused(note: str) -> str:
    """Return the note with `status` set to rejected, and a reason."""
    return (
        note.replace("status: pending", "status: rejected")
        .replace('reviewer: ""', f'reviewer: "{NAME}"')
        .replace('reason: ""', 'reason: "Export them first"')
    )


def main() -> None:
    """Edit the note named on the command line: `tick` it in place, or `refuse` it by a rename."""
    file, gesture = Path(sys.argv[1]), sys.argv[2]
    note = file.read_text(encoding="utf-8")
    if gesture == "tick":
        with file.open("w", encoding="utf-8") as opened:  # truncated, then written: as VS Code does
            opened.write(ticked(note))
        return
    beside = file.with_name(f".{file.name}.tmp")
    beside.write_text(refused(note), encoding="utf-8")
    beside.replace(file)  # as vim and many others do


if __name__ == "__main__":
    main()
