"""The structure stays what the design says it is."""

import subprocess
import sys
from pathlib import Path

import hitl_vault

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "hitl_vault"


def loaded_by(code: str) -> set[str]:
    """Return the modules a fresh interpreter has loaded after running `code`."""
    report = f"{code}\nimport sys; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


def test_public_names_are_exactly_those_exported_and_sorted():
    """`__all__` is sorted, complete, and every name in it can be imported."""
    assert hitl_vault.__all__ == sorted(hitl_vault.__all__)
    assert set(hitl_vault.__all__) == {*hitl_vault._HOMES, "__version__"}
    for name in hitl_vault.__all__:
        assert getattr(hitl_vault, name) is not None
    assert set(dir(hitl_vault)) == set(hitl_vault.__all__)


def test_importing_the_package_costs_next_to_nothing():
    """`import hitl_vault` loads no web framework, no pydantic, no watcher, no template engine."""
    loaded = loaded_by("import hitl_vault")
    heavy = {"asyncio", "fastapi", "jinja2", "pydantic", "rich", "starlette", "typer", "watchdog"}
    assert not loaded & heavy


def test_listing_loads_only_what_listing_needs():
    """Reading requests loads neither asyncio nor the readers of notes, templates and policies."""
    loaded = loaded_by("import hitl_vault.adapters.ledger.reader, hitl_vault.config")
    assert not loaded & {"asyncio", "cel", "frontmatter", "jinja2", "pydantic", "watchdog", "yaml"}


def test_the_pure_core_touches_nothing_outside():
    """core and document import no clock, no randomness, no files and no network."""
    forbidden = {"asyncio", "os", "random", "secrets", "socket", "subprocess", "time"}
    for folder in ("core", "document"):
        for path in (PACKAGE / folder).rglob("*.py"):
            words = {
                line.split()[1].partition(".")[0]
                for line in path.read_text(encoding="utf-8").splitlines()
                if line.startswith(("import ", "from "))
            }
            assert not words & forbidden, path


def test_files_stay_small_enough_to_read():
    """No module of the package has outgrown what one can read in a sitting."""
    sizes = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in PACKAGE.rglob("*.py")}
    too_long = {str(p.relative_to(ROOT)): n for p, n in sizes.items() if n > 550}
    assert not too_long
    assert sorted(sizes.values())[len(sizes) // 2] <= 250


def test_the_top_level_holds_nothing_unexpected():
    """The repository's top level is the one the README describes."""
    listed = subprocess.run(
        ["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    tops = {path.partition("/")[0] for path in listed if not path.startswith(".")}
    assert tops <= {
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "benchmarks",
        "docs",
        "examples",
        "hitl_vault",
        "pyproject.toml",
        "scripts",
        "templates",
        "tests",
        "vault",
    }
