"""The clients in examples/http talk to a real server as they did when they were recorded."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from compat_kit import open_desk

from hitl_vault.adapters.proof.hmac import HmacKeys

EXAMPLES = Path(__file__).parents[2] / "examples" / "http"
CLIENTS = sorted(path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".sh"})
SECRET = "a-secret-of-the-recorded-session"

_SAME = {
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}": "<workflow_id>",
    r"appr_[0-9a-f]{16}": "<id>",
    r"\d{8}-\d{6}-terminate-[0-9a-f]+": "<id>",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z": "<time>",
    r'(?<=")[0-9a-f]{64}': "<signature>",
}


def comparable(text: str) -> str:
    """Leave out what is another one every time."""
    for pattern, name in _SAME.items():
        text = re.sub(pattern, name, text)
    return text


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_recorded_session_is_the_same_today(tmp_path, monkeypatch, name):
    """A session that is not is recorded again, so that the difference is seen in a commit."""
    monkeypatch.setenv("HMAC_SECRET", SECRET)
    async with open_desk(tmp_path) as (service, _):
        keys = HmacKeys(service.root / ".hitl" / "keys" / "hmac.toml")
        now = datetime.now(UTC)
        keys.add("user@company.com", "shared", now, until=None, env="HMAC_SECRET")
        command = [sys.executable] if name.endswith(".py") else ["sh"]
        running = await asyncio.create_subprocess_exec(
            *command,
            str(EXAMPLES / name),
            service.url,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        )
        said, complained = (part.decode() for part in await running.communicate())
    assert (running.returncode, complained) == (0, "")
    record = (EXAMPLES / name).with_suffix(".txt")
    recorded = record.read_text(encoding="utf-8") if record.exists() else ""
    if comparable(said) != comparable(recorded):
        record.write_text(said, encoding="utf-8")
        pytest.fail(f"{record.name} was out of date and is recorded again: commit it")


def test_every_service_has_a_recorded_session():
    assert [Path(name).stem for name in CLIENTS] == [
        "approvals", "decisions", "signatures", "workflows",
    ]  # fmt: skip
