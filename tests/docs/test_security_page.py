"""docs/security.md names the tests that show what it says: each must be there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_is_named_exists():
    """Every row of its tables names one, or says that none can show it."""
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    folders = (ROOT / "tests" / name for name in ("security", "integration"))
    source = "".join(file.read_text() for folder in folders for file in folder.glob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 30
    assert [name for name in sorted(named) if f"def {name}(" not in source] == []
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    headers = [row for row in rows if row.endswith("| shown by |")]
    assert len(headers) == 4
    for row in rows:
        assert row in headers or "`test_" in row or "no test can" in row, row
