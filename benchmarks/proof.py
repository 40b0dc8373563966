"""Figure 9: what proving an answer costs a decision, by how it is proved."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.common import ACTION, Scale, Table, folder, median, ms, p50_p99, say, times, vault

TITLE = "Proof: one vote handed in, until it is committed, ms"
_POLICY = "```yaml hitl-policy\ndefault: ask\n```\n"
_SECRET = b"a secret of enough bytes for this"
_SSH = {"ed25519": ["-t", "ed25519"], "ecdsa": ["-t", "ecdsa"], "rsa 3072": ["-t", "rsa"]}


def _keys(where: Path, root: Path) -> dict[str, Path]:
    """Make a key of each kind and let alice sign with it."""
    keys, lines = {}, []
    for number, (kind, options) in enumerate(_SSH.items()):
        key = where / f"key{number}"
        argv = ["ssh-keygen", "-q", *options, "-N", "", "-f", str(key)]
        subprocess.run(argv, check=True)
        keys[kind] = key
        lines.append("alice " + " ".join(Path(f"{key}.pub").read_text().split()[:2]))
    (root / ".hitl" / "allowed_signers").write_text("\n".join([*lines, ""]))
    return keys


async def _measure(root: Path, keys: dict[str, Path], rounds: int) -> dict[str, list[float]]:
    from hitl_vault import Answer, Assurance, Orchestrator
    from hitl_vault.adapters.proof.hmac import HmacKeys
    from hitl_vault.adapters.proof.ssh import sign_with_ssh
    from hitl_vault.core.events import Kind
    from hitl_vault.core.statement import statement_bytes
    from hitl_vault.signatures import sign_statement

    taken: dict[str, list[float]] = {}
    made = HmacKeys(root / ".hitl" / "keys" / "hmac.toml").add(
        "alice", "alice-1", datetime.now(UTC), until=None, env="BENCH_SECRET"
    )
    import os

    os.environ["BENCH_SECRET"] = _SECRET.decode()

    async def code(hitl: Any, id: str) -> dict[str, Any]:
        await hitl.send_code(id, to="alice")
        issued = (await hitl.history(id))[-1].event
        assert issued.kind is Kind.CODE_ISSUED
        return {"code": hitl.code_for(issued)}

    async def shared(hitl: Any, id: str) -> dict[str, Any]:
        stated = await hitl.statement(id, Answer.APPROVE, reviewer="alice")
        return {"proof": sign_statement(stated, _SECRET, key_id=made.key_id)}

    async def ssh(hitl: Any, id: str, kind: str) -> dict[str, Any]:
        stated = await hitl.statement(id, Answer.APPROVE, reviewer="alice")
        start = time.perf_counter()
        proof = await asyncio.to_thread(sign_with_ssh, statement_bytes(stated), keys[kind])
        taken.setdefault(f"signing with ssh-keygen, {kind}", []).append(time.perf_counter() - start)
        return {"proof": proof}

    ways: dict[str, Any] = {
        "edited: nothing is proved": lambda *_: asyncio.sleep(0, {}),
        "authenticated: the caller's word": lambda *_: asyncio.sleep(
            0, {"assurance": Assurance.AUTHENTICATED}
        ),
        "a one-time code": code,
        "a shared key (HMAC-SHA256)": shared,
        **{f"SSH, {kind}": lambda *about, kind=kind: ssh(*about, kind) for kind in keys},
    }
    async with Orchestrator(root, watching=False) as hitl:
        for round in range(rounds):
            say(f"proof: round {round + 1} of {rounds}")
            for name, way in ways.items():
                request = await hitl.request_approval("payment", "Pay", ACTION | {"n": round})
                given = await way(hitl, request.id)
                start = time.perf_counter()
                done = await hitl.vote(request.id, Answer.APPROVE, reviewer="alice", **given)
                taken.setdefault(name, []).append(time.perf_counter() - start)
                assert done.status == "approved"
    return {name: taken[name] for name in [*ways, *(n for n in taken if n not in ways)]}


def run(scale: Scale) -> list[Table]:
    """Measure."""
    with vault(_POLICY) as root, folder("keys") as where:
        keys = _keys(where, root) if shutil.which("ssh-keygen") else {}
        taken = asyncio.run(_measure(root, keys, scale.pick(15, 60)))
    table = Table(title=TITLE, columns=["", "p50 / p99", "of edited"], raw=dict(taken))
    base = median(next(iter(taken.values())))
    for name, values in taken.items():
        ratio = "–" if name.startswith("signing") else times(median(values), base)
        table.add(name, p50_p99(values), ratio)
    table.notes.append(
        "Judged, chained, committed with an fsync, and shown in the note. An SSH signature costs one "
        f"run of ssh-keygen; an edited vote took {ms(base)} ms."
    )
    if not keys:
        table.notes.append("ssh-keygen is missing: SSH is left out.")
    return [table]
