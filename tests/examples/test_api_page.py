"""What docs/api-http.md tells people to type works as it says."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from server_kit import serving

PAGE = (Path(__file__).parents[2] / "docs" / "api-http.md").read_text(encoding="utf-8")


def _blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


async def test_every_example_of_the_page_runs_as_it_is_written(tmp_path):
    """In their order, in one shell; the request ends executed, with the result that is reported."""
    blocks = _blocks("sh")
    assert len(blocks) >= 12
    async with serving(tmp_path / "vault") as service:
        env = os.environ | {
            "HITL": service.url,
            "AGENT": service.token("agent", "invoice-agent"),
            "ALICE": service.token("reviewer", "alice"),
        }
        script = "set -eu\n" + "\necho\n".join(blocks)
        shell = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            script,
            cwd=tmp_path,
            env=env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, err = await shell.communicate()
        assert shell.returncode == 0, out.decode()[-2000:] + err.decode()
        done = await service.hitl.get("pay-inv-1")
        assert (done.status, done.result) == ("executed", {"receipt": "R-88123"})
        assert (await service.hitl.get("pay-inv-2")).status == "cancelled"
        assert len(await service.hitl.list_requests()) == 3
        assert (tmp_path / "evidence.zip").read_bytes()[:2] == b"PK"
        assert out.decode().splitlines()[-1] == json.dumps(
            json.loads(_blocks("json")[-1]), ensure_ascii=False, separators=(",", ":")
        )


async def test_every_path_of_the_page_is_a_route(tmp_path):
    async with serving(tmp_path / "vault") as service:
        document = (await service.client().get("/api/v1/openapi.json")).json()
    routes = {path.replace("{id}", "pay-inv-1") for path in document["paths"]}
    named = {
        path.partition("?")[0].rstrip("`,;.)").replace("pay-inv-2", "pay-inv-1")
        for path in re.findall(r"/api/v1/[a-z0-9/_.-]+", PAGE)
    }
    assert named - {"/api/v1/openapi.json"} <= routes
