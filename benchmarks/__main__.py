"""Owns the command: `python -m benchmarks [--quick] [--only NAME] [--json FILE] [--write]`."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks import common
from benchmarks.common import REPOSITORY, Scale, Table, commit, load, machine, today, versions

FIGURES = (
    *("wake", "cycles", "stress", "scale", "memory", "cold", "policy", "commit"),
    *("proof", "telling", "http", "http_scale"),
)
PAGE = REPOSITORY / "docs" / "performance.md"


def main() -> int:
    """Run the figures asked for and print their tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a rough run of about a minute")
    parser.add_argument("--only", action="append", choices=FIGURES, help="this figure; repeatable")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    parser.add_argument("--folder", type=Path, help="where the vaults go, instead of .cache/bench")
    options = parser.parse_args()
    if options.folder:
        os.environ["BENCH_FOLDER"] = str(
            options.folder.resolve()
        )  # its child processes read it too
        common.SCRATCH = options.folder.resolve()
    scale, console = (
        Scale(quick=options.quick),
        Console(width=140 if not sys.stdout.isatty() else None),
    )
    head = machine()
    known = ", ".join(f"{name} {version}" for name, version in versions().items())
    console.print(f"[bold]hitl_vault benchmarks[/]  {head}\n{known}\n")
    results: dict[str, list[Table]] = {}
    for name in options.only or FIGURES:
        start = time.perf_counter()
        try:
            stamp = f"{today()}, commit {commit() or 'unknown'}, load {load()} at the start"
            results[name] = importlib.import_module(f"benchmarks.{name}").run(scale)
            results[name][-1].notes.append(f"{stamp}{', a quick run' if scale.quick else ''}")
        except Exception:
            traceback.print_exc()
            console.print(f"[red]{name} could not be measured[/]\n")
            continue
        for table in results[name]:
            console.print(_rich(table))
            for note in table.notes:
                console.print(f"  {note}", style="dim", highlight=False)
        console.print(f"  ({time.perf_counter() - start:.0f} s, load {load()})\n", style="dim")
        if options.json:  # after each figure, so that a run that is stopped keeps what it found
            options.json.write_text(json.dumps(_plain(head, results), indent=1))
        if options.write:
            _write(head, known, {name: results[name]})
    if options.write:
        console.print(f"written to {PAGE.relative_to(REPOSITORY)}")
    return 0


def _rich(table: Table) -> RichTable:
    shown = RichTable(title=table.title, title_justify="left", title_style="bold")
    for number, column in enumerate(table.columns):
        shown.add_column(column, justify="left" if number == 0 else "right")
    for row in table.rows:
        shown.add_row(*row)
    return shown


def _plain(head: str, results: dict[str, list[Table]]) -> dict[str, object]:
    tables = {name: [vars(table) for table in tables] for name, tables in results.items()}
    return {"machine": head, "versions": versions(), "figures": tables}


def _write(head: str, known: str, results: dict[str, list[Table]]) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- /NAME -->` in the page."""
    page = PAGE.read_text(encoding="utf-8")
    parts = {name: "\n\n".join(map(_markdown, tables)) for name, tables in results.items()}
    parts["machine"] = f"{head}. {known}."
    for name, text in parts.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if found and closed:
            page = f"{before}{begin}\n\n{text}\n\n{end}{after}"
    PAGE.write_text(page, encoding="utf-8")


def _markdown(table: Table) -> str:
    lines = [f"**{table.title}**", "", f"| {' | '.join(table.columns)} |"]
    lines.append("|---" + "|--:" * (len(table.columns) - 1) + "|")
    lines += [f"| {' | '.join(row)} |" for row in table.rows]
    return "\n".join([*lines, "", *(f"{note.rstrip('.')}." for note in table.notes)])


if __name__ == "__main__":
    sys.exit(main())
