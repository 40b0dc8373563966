"""Owns the settings: their names, defaults, sources and checks. Read once; never changed later.

Sources, the later wins: the defaults here, `.hitl/config.toml` in the vault, `HITL_*` environment
variables, overrides in code or on the command line. Durations are seconds or texts such as "1h30m".
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import permutations
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hitl_vault.adapters.watch.names import is_ignored
from hitl_vault.core.durations import parse_duration
from hitl_vault.core.redaction import parse_redaction
from hitl_vault.errors import ConfigError, InvalidRequest, VaultNotFound

STATE_FOLDER = ".hitl"
_ENVIRONMENT = "HITL_"
_NOT_SETTINGS = {"HITL_VAULT"}  # says where the vault is, not how it works
_NEAR = 0.84  # HITL_SETLE_S is near HITL_SETTLE_S, HITL_WATCH_DOG is not near HITL_WATCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of a vault. Names end in `_s` for seconds."""

    pending_folder: str = "Pending_Approval"
    approved_folder: str = "Approved"
    rejected_folder: str = "Rejected"
    done_folder: str = "Done"
    policy: str = "Policy.md"
    settle_s: float = 1.0
    timeout_s: float = 3600.0
    use_within_s: float = 86400.0
    archive_after_s: float = 3600.0
    rescan_s: float = 2.0
    missing_after_s: float = 5.0
    unreadable_after_s: float = 30.0
    code_valid_s: float = 3600.0
    codes: str = "auto"
    watch: str = "auto"
    redact: tuple[str, ...] = ()
    policy_lock: bool = False
    checkpoint_to: str = ""
    checkpoint_every_s: float = 86400.0
    serve_url: str = ""
    max_pending_per_agent: int = 0
    max_requests_per_minute: int = 0
    alert_pending: int = 10
    alert_oldest_s: float = 7200.0
    alert_rejected_percent: int = 30
    alert_expired: int = 0
    alert_within_s: float = 86400.0

    def __post_init__(self) -> None:
        folders = [
            self.pending_folder,
            self.approved_folder,
            self.rejected_folder,
            self.done_folder,
        ]
        for one, two in permutations(folders, 2):
            if f"{two}/".casefold().startswith(f"{one}/".casefold()):
                raise ConfigError(
                    "pending_folder, approved_folder, rejected_folder and done_folder must be "
                    f"four different folders, none inside another, not {one!r} and {two!r}"
                )


_ABOVE_ZERO = {
    *("timeout_s", "use_within_s", "rescan_s"),
    *("checkpoint_every_s", "code_valid_s", "alert_within_s"),
}
_MAY_BE_EMPTY = {"checkpoint_to", "serve_url"}
_MOST = 1_000_000
_CHOICES = {"watch": ("auto", "events", "polling"), "codes": ("auto", "off")}


def find_vault(start: Path, named: str | None) -> Path:
    """Return the vault: the one named, else the nearest parent of `start` with `.hitl/`.

    Raises:
        VaultNotFound: There is none; the message says how to make one.
    """
    if named is not None:
        root = Path(os.path.expanduser(named))  # noqa: PTH111  Path's raises for an unknown user
        if not (root / STATE_FOLDER).is_dir():
            raise VaultNotFound(f"{root} is not a vault; make it one with: hitl init {root}")
        return root.resolve()
    for folder in (start, *start.parents):
        if (folder / STATE_FOLDER).is_dir():
            return folder.resolve()
    raise VaultNotFound(
        f"no vault here ({start}) or above; name one with --vault or HITL_VAULT, "
        "or make one with: hitl init vault"
    )


def load_settings(
    root: Path, environment: Mapping[str, str], overrides: Mapping[str, Any]
) -> Settings:
    """Read the settings of the vault at `root`.

    Raises:
        ConfigError: A key is unknown or its value wrong; the message names both and the source.
    """
    values: dict[str, Any] = {}
    file = root / STATE_FOLDER / "config.toml"
    for source, found in (
        (str(file), _from_file(file)),
        ("the environment", _from_environment(environment)),
        ("the call", overrides),
    ):
        for key, value in found.items():
            checked = _checked(key, value, source)
            if key == "policy_lock" and values.get(key):
                continue  # only the vault's file takes it off: agents set their own environment
            values[key] = checked
    return Settings(**values)


def _from_file(file: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from error


def _from_environment(environment: Mapping[str, str]) -> Mapping[str, Any]:
    ours = {f"{_ENVIRONMENT}{name.upper()}": name for name in _names()}
    found: dict[str, Any] = {}
    for name, value in environment.items():
        if not name.startswith(_ENVIRONMENT) or name in _NOT_SETTINGS:
            continue
        if name.upper() in ours:
            found[ours[name.upper()]] = value
            continue
        known = [*ours, *_NOT_SETTINGS]
        # what is not nearly one of ours belongs to another program
        near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=_NEAR)
        if near:
            raise ConfigError(
                f"the environment: {name} is no setting; did you mean {near[0]}? Unset or rename it"
            )
    return found


def _whole_numbers() -> set[str]:
    return {field.name for field in fields(Settings) if field.type == "int"}


def _names() -> list[str]:
    return [field.name for field in fields(Settings)]


def _checked(key: str, value: Any, source: str) -> Any:
    if key not in _names():
        near = difflib.get_close_matches(key, _names(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(_names())}"
        raise ConfigError(f"{source}: unknown setting {key!r}{hint}")
    if key.endswith("_s"):
        return _seconds(key, value, source)
    if key == "redact":
        return _rules(value, source)
    if key == "policy_lock":
        return _flag(key, value, source)
    if key in _whole_numbers():
        return _whole_number(key, value, source)
    if not isinstance(value, str) or not (value.strip() or key in _MAY_BE_EMPTY):
        raise ConfigError(f"{source}: {key} must be a text, not {value!r}")
    choices = _CHOICES.get(key, (value,))
    if value not in choices:
        raise ConfigError(f"{source}: {key} must be one of {', '.join(choices)}, not {value!r}")
    if key == "serve_url":
        return _url(value, source)
    if key.endswith("_folder") or key == "policy":
        _check_relative(key, value.split("/"), source)
    return value


def _url(text: str, source: str) -> str:
    """Return an address without its last slash; links are made of it, so nothing may follow."""
    try:
        found = urlsplit(text.strip())
        good = found.scheme in {"http", "https"} and bool(found.hostname) and found.port != 0
    except ValueError:
        good = False
    plain = text.strip().isascii() and text.strip().isprintable() and " " not in text.strip()
    more = good and (found.path.strip("/") or found.query or found.fragment)
    if text.strip() and not (good and plain and not more):
        raise ConfigError(
            f"{source}: serve_url must be where people reach hitl serve, such as "
            f"https://desk.example.com, not {text[:200]!r}"
        )
    return text.strip().rstrip("/")


def _check_relative(key: str, parts: Sequence[str], source: str) -> None:
    for part in parts:
        plain = part.isprintable() and not {"\\", ":"}.intersection(part)
        if not part or part != part.strip() or is_ignored(part) or not plain:
            raise ConfigError(
                f"{source}: {key} must be a plain path inside the vault, without dot folders and "
                f"names that are never looked at, not {'/'.join(parts)!r}"
            )


def _rules(value: Any, source: str) -> tuple[str, ...]:
    items = [item for item in value.split(",") if item.strip()] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ConfigError(
            f'{source}: redact must be a list of texts, such as ["card", "/customer/email"]'
        )
    try:
        return parse_redaction(items).rules
    except InvalidRequest as error:
        raise ConfigError(f"{source}: {error}") from error


def _flag(key: str, value: Any, source: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    flag = known.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(flag, bool):
        raise ConfigError(f"{source}: {key} must be true or false, not {value!r}")
    return flag


def _seconds(key: str, value: Any, source: str) -> float:
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise ConfigError(f"{source}: {key}: {error}") from error
    if seconds == 0 and key in _ABOVE_ZERO:
        raise ConfigError(f"{source}: {key} must be more than 0")
    return seconds


def _whole_number(key: str, value: Any, source: str) -> int:
    text = str(value).strip()
    if isinstance(value, bool | float) or not (text.isascii() and text.isdigit()):
        raise ConfigError(f"{source}: {key} must be a whole number, 0 or more, not {value!r}")
    if len(text) > len(str(_MOST)) or int(text) > _MOST:
        raise ConfigError(f"{source}: {key} must be at most {_MOST:,}")
    return int(text)
