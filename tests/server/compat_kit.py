"""What the tests of the other services' shapes have in common."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
from server_kit import Service, serving

from hitl_vault.cli.starting import make_vault
from hitl_vault.testing.clock import FakeClock

WHOLE_SECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
JSON = {"Content-Type": "application/json"}


@asynccontextmanager
async def open_desk(
    root: Path, policy: str = "", *, clock: FakeClock | None = None
) -> AsyncIterator[tuple[Service, httpx.AsyncClient]]:
    """Serve to anybody, under a policy of these rules; without any, under the one of `hitl init`."""
    settings = {} if clock is None else {"clock": clock}
    make_vault(root / "vault")
    if policy:
        rules = f"# Policy\n\n```yaml hitl-policy\ndefault: ask\nrules:\n{policy}```\n"
        (root / "vault" / "Policy.md").write_text(rules)
    async with serving(root / "vault", settings, open=True) as service:
        yield service, service.client()


def now_clock() -> FakeClock:
    """Return a clock that stands at the present time until a test moves it."""
    return FakeClock(datetime.now(UTC))


DENY = '  - {id: never, when: "true", effect: deny, reason: Never do this}\n'
ALLOW = '  - {id: always, when: "true", effect: allow, reason: It is harmless}\n'
TWO = '  - {id: two, when: "true", effect: ask, quorum: 2}\n'
EDIT = '  - {id: edits, when: "true", effect: ask, answers: [approve, reject, edit]}\n'
