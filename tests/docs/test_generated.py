"""The generated parts of the documentation say what the code says."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from hitl_vault import errors
from hitl_vault.core.steps import TRANSITIONS

ROOT = Path(__file__).parents[2]


def put(page: str, name: str, body: str) -> None:
    """Rewrite a generated part; fail if it was out of date, so that the fix is a commit."""
    path = ROOT / "docs" / page
    text = path.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    assert pattern.search(text), f"{page} has no part {name}"
    new = pattern.sub(lambda found: f"{found[1]}{body}\n{found[2]}", text)
    if new != text:
        path.write_text(new, encoding="utf-8")
        pytest.fail(f"docs/{page}, part {name}, was out of date and is rewritten: commit it")


def test_the_diagram_is_the_transition_table():
    """The state diagram shows exactly the legal moves of the code."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> pending"]
    for before, afters in TRANSITIONS.items():
        lines += [f"    {before} --> {after}" for after in sorted(afters)]
        if not afters:
            lines.append(f"    {before} --> [*]")
    put("architecture.md", "transitions", "\n".join([*lines, "```"]))


def test_the_layers_are_those_import_linter_keeps():
    """The layers shown are the ones the build enforces."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = contracts["contracts"][0]["layers"]
    put("architecture.md", "layers", "\n".join(["```text", *layers, "```"]))


def modules() -> list[Path]:
    return sorted(p for p in (ROOT / "hitl_vault").rglob("*.py") if p.name != "__init__.py")


def test_every_module_says_what_it_owns_and_what_it_never_does():
    """Each module's docstring opens with what it owns, and says what it never does."""
    for path in modules():
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        assert doc.startswith("Owns "), path


def test_the_map_names_every_module():
    """The map is made of the first sentences of the modules."""
    rows = ["| module | owns |", "|---|---|"]
    for path in modules():
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        first = re.split(r"(?<=[.:])\s", " ".join(doc.split()), maxsplit=1)[0].rstrip(".:")
        name = path.relative_to(ROOT / "hitl_vault").as_posix()
        rows.append(f"| `{name}` | {first.removeprefix('Owns ')} |")
    put("architecture.md", "map", "\n".join(rows))


def test_the_table_of_errors_is_the_error_tree():
    """Every error, its code, exit code and HTTP status are listed."""
    rows = ["| error | code | exit | HTTP | meaning |", "|---|---|---|---|---|"]
    for name, error in vars(errors).items():
        if isinstance(error, type) and issubclass(error, Exception):
            meaning = (error.__doc__ or "").partition("\n")[0]
            rows.append(
                f"| `{name}` | {error.code} | {error.exit_code} | {error.http_status} | {meaning} |"
            )
    put("api.md", "errors", "\n".join(rows))


def test_every_path_in_the_table_for_newcomers_exists():
    """The README's table 'I want to change' names only files that are there."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition("## I want to change")[2].partition("\n## ")[0]
    paths = re.findall(r"`((?:hitl_vault|tests|templates|vault|docs|benchmarks)/[^`]*)`", table)
    assert len(paths) >= 20
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing
