"""Where templates come from, and that a broken one costs no note."""

from __future__ import annotations

import os

import pytest

from hitl_vault.adapters.vault.templates import VaultRenderer, load_templates, shipped
from hitl_vault.cli.checks import Mark, templates
from hitl_vault.cli.sample import sample
from hitl_vault.document.render import TEMPLATE, Renderer
from hitl_vault.errors import DocumentError

SOURCE = (shipped("templates") / TEMPLATE).read_text("utf-8")
NOTE = Renderer({TEMPLATE: SOURCE}).render(sample())


def test_templates_are_read_by_name(workspace):
    """Other files are left out; a folder that is missing holds none."""
    assert load_templates(workspace / "missing") == {}
    (workspace / TEMPLATE).write_text("é {{ x }}", encoding="utf-8")
    (workspace / "extra.j2").write_text("more")
    (workspace / "README.md").write_text("no template")
    assert load_templates(workspace) == {TEMPLATE: "é {{ x }}", "extra.j2": "more"}


def test_a_template_that_cannot_be_read_is_named(workspace):
    """Not UTF-8, a folder in its place, a dead link, a file in the folder's place."""
    file = workspace / TEMPLATE
    for spoil, mend in (
        (lambda: file.write_bytes(b"\xff\xfe"), file.unlink),
        (file.mkdir, file.rmdir),
        (lambda: file.symlink_to(workspace / "nothing"), file.unlink),
    ):
        spoil()
        with pytest.raises(DocumentError, match=r"document\.md\.j2: the template cannot be read"):
            load_templates(workspace)
        mend()
    file.write_text("x")
    with pytest.raises(DocumentError, match="cannot be read"):
        load_templates(file)


def test_without_its_own_the_vault_uses_the_shipped_ones(workspace):
    """No folder and an empty one are the same, and no problem."""
    for folder in (workspace, workspace / "missing"):
        renderer = VaultRenderer(folder)
        assert renderer.render(sample()) == NOTE
        assert renderer.problem is None


def test_the_vaults_own_template_wins(workspace):
    """It may include others beside it."""
    (workspace / "more.j2").write_text("Ask Bob first.")
    (workspace / TEMPLATE).write_text(SOURCE.replace("{{ how }}", "{% include 'more.j2' %}"))
    renderer = VaultRenderer(workspace)
    assert "Ask Bob first." in renderer.render(sample())
    assert renderer.problem is None


BROKEN = {
    "syntax": (SOURCE.replace("{{ how }}", "{{ how"), r"document\.md\.j2:\d+: "),
    "block": (SOURCE + "{% if %}", r"document\.md\.j2:\d+: "),
    "variable": (SOURCE.replace("{{ how }}", "{{ hwo }}"), r"document\.md\.j2:25: .*'hwo'"),
    "included": ("{% include 'part.j2' %}", r"part\.j2:2: .*'nothing'"),
    "missing": ("{% include 'absent.j2' %}", r"document\.md\.j2.*absent\.j2"),
    "marker": (SOURCE.replace("{{ end_marker }}", ""), r"document\.md\.j2: .*end"),
    "action": (SOURCE.replace("{{ action }}", ""), r"document\.md\.j2: .*must show action"),
    "bytes": (b"\xff\xfe", r"document\.md\.j2: .*not UTF-8"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_template_gives_way_to_the_built_in_one(workspace, caplog, kind):
    """However it is broken: the note is written, the log says file and line once, so does doctor."""
    text, said = BROKEN[kind]
    folder = workspace / ".hitl" / "templates"
    folder.mkdir(parents=True)
    (folder / "part.j2").write_text("\n{{ nothing }}")
    (folder / TEMPLATE).write_bytes(text if isinstance(text, bytes) else text.encode())
    renderer = VaultRenderer(folder)
    for _ in range(3):
        assert renderer.render(sample()) == NOTE
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert str(folder) in record.getMessage()
    with pytest.raises(DocumentError, match=said):
        raise renderer.problem
    (check,) = templates(workspace)
    assert check.mark is Mark.WRONG
    assert check.found == str(renderer.problem)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_may_not_be_read_is_a_problem_too(workspace):
    """It is not taken for an empty one."""
    workspace.chmod(0)
    try:
        assert VaultRenderer(workspace).problem is not None
    finally:
        workspace.chmod(0o700)
