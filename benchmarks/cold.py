"""Figure 6: how long a command takes from start to end, as a whole process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.common import (
    ACTION,
    REPOSITORY,
    Scale,
    Table,
    median,
    ms,
    percentile,
    say,
    times,
    vault,
    whole_process,
)

TITLE = "Cold start: whole process, ms"
_SHOWN = 50


def command(root: Path, *words: str) -> list[str]:
    """Return the argv of a command of ours on a vault, not installed."""
    return [sys.executable, "-m", "hitl_vault", *words]


def environment(root: Path) -> dict[str, str]:
    """Return the environment that names the vault."""
    return os.environ | {"HITL_VAULT": str(root), "COLUMNS": "120"}


def works(root: Path, *words: str) -> bool:
    """Say whether our command line knows these words yet."""
    done = subprocess.run(
        command(root, *words),
        capture_output=True,
        check=False,
        env=environment(root),
        cwd=REPOSITORY,
    )
    return done.returncode == 0


async def _fill(root: Path) -> str:
    from hitl_vault import Orchestrator

    async with Orchestrator(root, watching=False) as hitl:
        for number in range(_SHOWN):
            request = await hitl.request_approval("payment", f"Pay invoice {number}", ACTION)
    return request.id


def run(scale: Scale) -> list[Table]:
    """Measure, one run of each in turn."""
    runs = scale.pick(5, 25)
    with vault() as root:
        id = asyncio.run(_fill(root))
        ways = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "bare typer + rich, a table of 50": [
                sys.executable,
                "-m",
                "benchmarks.bare_list",
                str(_SHOWN),
            ],
            f"hitl list ({_SHOWN} pending)": command(root, "list"),
            "hitl list --json": command(root, "list", "--json"),
            "hitl show ID": command(root, "show", id),
        }
        absent = {
            name for name in ways if name.startswith("hitl") and not works(root, *ways[name][3:])
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(runs):
            say(f"cold: run {number + 1} of {runs}")
            for name, argv in ways.items():
                if name not in absent:
                    taken[name] += whole_process(argv, 1, env=environment(root))
    table = Table(
        title=TITLE, columns=["", "median", "p90", "of the bare program"], raw=dict(taken)
    )
    bare = median(taken["bare typer + rich, a table of 50"])
    for name, values in taken.items():
        if name in absent:
            table.add(name, "not there yet", "–", "–")
        else:
            table.add(
                name, ms(median(values)), ms(percentile(values, 0.9)), times(median(values), bare)
            )
    table.notes.append(
        f"{runs} runs of each in turn, output into a pipe. Ours opens a ledger and reads it."
    )
    return [table]
