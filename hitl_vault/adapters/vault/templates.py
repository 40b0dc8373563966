"""Owns where templates and the starter vault come from: the package, or the vault's own folder."""

from __future__ import annotations

from pathlib import Path

from hitl_vault.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[2]


def shipped(name: str) -> Path:
    """Return a folder that ships with the package: `templates` or `vault`.

    In a wheel it lies inside the package; in a checkout, beside it.
    """
    inside = _PACKAGE / f"_{name}"
    return inside if inside.is_dir() else _PACKAGE.parent / name


def load_templates(overrides: Path) -> dict[str, str]:
    """Return every template by name; those in the vault's own folder win.

    Raises:
        ConfigError: One cannot be read as UTF-8.
    """
    found: dict[str, str] = {}
    for folder in (shipped("templates"), overrides):
        for file in sorted(folder.glob("*.j2")):
            try:
                found[file.name] = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"the template {file} cannot be read: {error}") from error
    return found
