"""Where templates come from."""

from __future__ import annotations

import pytest

from hitl_vault.adapters.vault.templates import load_templates, shipped
from hitl_vault.errors import ConfigError


def test_the_shipped_templates_are_there(workspace):
    """Without overrides, and without their folder, the package's own are used."""
    found = load_templates(workspace / "missing")
    assert "document.md.j2" in found
    assert found == {
        path.name: path.read_text("utf-8") for path in shipped("templates").glob("*.j2")
    }


def test_the_vaults_own_template_wins(workspace):
    """Each by its name; others and other files are left as they are."""
    (workspace / "document.md.j2").write_text("é {{ x }}", encoding="utf-8")
    (workspace / "extra.j2").write_text("more")
    (workspace / "README.md").write_text("no template")
    found = load_templates(workspace)
    assert (found["document.md.j2"], found["extra.j2"]) == ("é {{ x }}", "more")
    assert "README.md" not in found


def test_a_template_that_cannot_be_read_is_named(workspace):
    """Not UTF-8, and a folder in its place."""
    (workspace / "document.md.j2").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"document\.md\.j2"):
        load_templates(workspace)
    (workspace / "document.md.j2").unlink()
    (workspace / "document.md.j2").mkdir()
    with pytest.raises(ConfigError, match=r"document\.md\.j2"):
        load_templates(workspace)
