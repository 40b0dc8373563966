"""Owns `hitl init`: making a vault, or adding one to a folder of notes. Never overwrites a file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hitl_vault.config import STATE_FOLDER
from hitl_vault.errors import StorageError

if TYPE_CHECKING:
    from hitl_vault.config import Settings

_TYPES = Path(".obsidian/types.json")
_SKIPPED = {".gitkeep", ".DS_Store"}

_CONFIG = """\
# Settings of this vault. Every line is a default: take the # away to change one.
# Times are seconds, or such as "45s", "30m", "1h30m", "2d".

# The folders of notes, and the file with the rules.
# pending_folder = "{pending_folder}"
# approved_folder = "{approved_folder}"
# rejected_folder = "{rejected_folder}"
# done_folder = "{done_folder}"
# policy = "{policy}"

# A note counts as answered once nobody has changed it for so long.
# settle_s = {settle_s:g}

# Time to answer, and time to start what was approved, where no rule says otherwise.
# timeout_s = {timeout_s:g}
# use_within_s = {use_within_s:g}

# Codes by which a person proves an answer in a note: for how long one counts, and whether they are
# sent by themselves ("auto") to named reviewers with an address, or only by hitl code send ("off").
# code_valid_s = {code_valid_s:g}
# codes = "{codes}"

# Notes of finished requests move to the Done folder after this.
# archive_after_s = {archive_after_s:g}

# How changes of notes are seen: "auto", "events" or "polling". Besides, all notes are looked at
# every rescan_s.
# watch = "{watch}"
# rescan_s = {rescan_s:g}

# A note that is missing is written again, and one that cannot be read is reported, after this.
# missing_after_s = {missing_after_s:g}
# unreadable_after_s = {unreadable_after_s:g}

# Details that are hidden wherever they leave the vault: keys at any depth, or paths.
# Such as ["card", "/customer/email"].
# redact = []

# A policy that loosens anything waits for a signature: hitl policy lock --sign KEY
# policy_lock = false

# The head of the chain is noted there, so that a ledger cut or made anew later is found: a file
# outside of the vault, a URL, or env:NAME for a URL in an environment variable.
# checkpoint_to = ""
# checkpoint_every_s = {checkpoint_every_s:g}

# Where people reach `hitl serve`, for the links in messages, such as https://desk.example.com.
# serve_url = ""

# How much one agent (`requested_by`) may have waiting, and may ask for within a minute; 0 is no
# limit.
# max_pending_per_agent = {max_pending_per_agent}
# max_requests_per_minute = {max_requests_per_minute}

# What `hitl alerts` tells of: more waiting than this, something waiting for longer than this; and
# of what was asked within alert_within_s, more rejected in per cent, more expired.
# alert_pending = {alert_pending}
# alert_oldest_s = {alert_oldest_s:g}
# alert_rejected_percent = {alert_rejected_percent}
# alert_expired = {alert_expired}
# alert_within_s = {alert_within_s:g}
"""

_IGNORE = """\
# The ledger is a database that programs hold open: back it up, do not commit or sync it.
# keys/ holds secrets.
# config.toml, reviewers.toml, allowed_signers, policy.lock and templates/ are yours, and may be
# committed.
ledger.db*
documents.db*
outbox.*
keys/
policy.last-good*
reviewers.lock
checkpoint.last*
keys/
run/
bell
"""


def init(
    folder: Annotated[
        str | None,
        typer.Argument(
            metavar="FOLDER",
            help="Where: a new folder, or one of notes; else this one if it is an Obsidian vault, "
            "else vault.",
            show_default=False,
        ),
    ] = None,
    new_ledger: Annotated[
        bool,
        typer.Option(
            "--new-ledger",
            help="Where the ledger was lost and there is no backup: begin an empty one, without "
            "any request or decision made before.",
        ),
    ] = False,
) -> None:
    """Make a vault, or add one to a folder of notes."""
    from hitl_vault.cli.printing import Cell, print_lines, safe

    root = Path(folder or _usual()).expanduser().absolute()
    made, kept = make_vault(root, new_ledger=new_ledger)
    for name in made:
        print_lines([Cell(f"  made  {name}", "green")])
    for name in kept:
        print_lines([Cell(f"  kept  {name}", "dim")])
    here = "" if root == Path.cwd() else f" --vault {_quoted(folder or _usual())}"
    print_lines(
        [
            Cell(f"\nThe vault is ready: {safe(root)}", "bold"),
            Cell("\nNext:"),
            Cell("  1. Read Policy.md, the rules of what needs a person. Check it after a change:"),
            Cell(f"       hitl policy check{here}", "cyan"),
            Cell("  2. Keep the desk open, so that answers in notes are read:"),
            Cell(f"       hitl watch{here}", "cyan"),
            Cell("  3. In another terminal, ask for something; answer it in Pending_Approval/:"),
            Cell(f"       hitl request --type payment --detail amount=1500{here} --wait", "cyan"),
        ]
    )


def _usual() -> str:
    return "." if Path(".obsidian").is_dir() else "vault"


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)


def make_vault(root: Path, *, new_ledger: bool = False) -> tuple[list[str], list[str]]:
    """Make what is missing; return the names of what was made and of what was there and kept.

    Raises:
        LedgerLost: The ledger is missing though there was one, and `new_ledger` is not set.
        StorageError: A file or folder cannot be made; or `new_ledger` is set, and there is a
            ledger, or a part of one.
    """
    if root.exists() and not root.is_dir():
        raise StorageError(f"cannot make {root}: it is there, and is no folder")
    try:
        return _made(root, new_ledger=new_ledger)
    except OSError as error:
        where = error.filename or root
        raise StorageError(f"cannot make {where}: {error.strerror or error}") from error


def _made(root: Path, *, new_ledger: bool) -> tuple[list[str], list[str]]:
    from hitl_vault.adapters.vault.templates import shipped
    from hitl_vault.cli.opening import ledger_of
    from hitl_vault.config import load_settings

    made: list[str] = []
    kept: list[str] = []
    root.mkdir(parents=True, exist_ok=True)
    state = root / STATE_FOLDER
    if not state.is_dir():
        state.mkdir(mode=0o700)
    state.chmod(0o700)
    settings = load_settings(root, {}, {})
    for name in _folders(settings):
        if not (root / name).is_dir():
            (root / name).mkdir(parents=True)
            made.append(f"{name}/")
    for source, name in _starters(shipped("vault"), settings):
        _place(root / name, source.read_bytes(), name, made, kept)
    _merge_types(shipped("vault") / _TYPES, root / _TYPES, made, kept)
    _place(state / "config.toml", _commented(settings), f"{STATE_FOLDER}/config.toml", made, kept)
    _place(state / ".gitignore", _IGNORE.encode(), f"{STATE_FOLDER}/.gitignore", made, kept)
    known = (state / "ledger.db").exists()
    if new_ledger:
        _begin_ledger(state)
    ledger_of(root).close()
    (kept if known and not new_ledger else made).append(f"{STATE_FOLDER}/ledger.db")
    return made, kept


def _begin_ledger(state: Path) -> None:
    """Begin an empty ledger where one was lost. What the notes showed of it is forgotten first."""
    from hitl_vault.adapters.ledger.reader import LedgerReader

    for name in ("ledger.db", "ledger.db-wal"):
        file = state / name
        if file.exists() and file.stat().st_size:
            raise StorageError(f"{file} is not empty; to begin a new ledger, move it away first")
    for file in state.glob("documents.db*"):
        file.unlink()
    LedgerReader(state / "ledger.db").close()


def _folders(settings: Settings) -> list[str]:
    return [
        settings.pending_folder,
        settings.approved_folder,
        settings.rejected_folder,
        settings.done_folder,
    ]


def _commented(settings: Settings) -> bytes:
    values: dict[str, Any] = {name: getattr(settings, name) for name in type(settings).__slots__}
    return _CONFIG.format(**values).encode()


def _starters(source: Path, settings: Settings) -> Iterator[tuple[Path, str]]:
    """Yield the files of the starter vault and where they go."""
    for file in sorted(source.rglob("*")):
        name = file.relative_to(source)
        if file.is_dir() or file.name in _SKIPPED or name == _TYPES:
            continue
        yield file, settings.policy if str(name) == "Policy.md" else name.as_posix()


def _place(file: Path, content: bytes, name: str, made: list[str], kept: list[str]) -> None:
    if file.exists():
        kept.append(name)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("xb") as new:
        if file.parent.name == STATE_FOLDER:  # whatever the umask says
            os.fchmod(new.fileno(), 0o600)
        new.write(content)
    made.append(name)


def _merge_types(source: Path, file: Path, made: list[str], kept: list[str]) -> None:
    """Tell Obsidian the types of our properties; what it knows already stays."""
    if not source.is_file():
        return
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, file)
        made.append(str(_TYPES))
        return
    ours = json.loads(source.read_text(encoding="utf-8"))["types"]
    try:
        present = json.loads(file.read_text(encoding="utf-8"))
        known = present.setdefault("types", {})
        missing = {name: kind for name, kind in ours.items() if name not in known}
    except (ValueError, AttributeError, TypeError):
        kept.append(f"{_TYPES} (it cannot be read as JSON)")
        return
    if not missing:
        kept.append(str(_TYPES))
        return
    known.update(missing)
    temporary = file.with_name("types.json.new")
    temporary.write_text(json.dumps(present, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    shutil.copymode(file, temporary)
    temporary.replace(file)
    made.append(f"{_TYPES} ({len(missing)} more types)")
