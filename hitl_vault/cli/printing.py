"""Owns how the command line looks: tables and colours on a terminal, tabs in a pipe.

Never prints text from elsewhere as it came: `safe` names every character that could act or hide.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

from hitl_vault.document.sentences import safe as safe  # noqa: PLC0414  commands know it from here

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

STATUS_STYLES = {
    "pending": "yellow",
    "approved": "green",
    "executing": "cyan",
    "executed": "green",
    "rejected": "red",
    "failed": "red",
    "unknown": "bold magenta",
    "expired": "dim",
    "cancelled": "dim",
}
_NARROWEST = 24  # a wide column has at least so much room before spare columns go
RISK_STYLES = {"low": "dim", "medium": "yellow", "high": "red", "critical": "bold red"}


@dataclass(frozen=True, slots=True)
class Cell:
    """A text with a style on terminals; `tail` follows it dimmed."""

    text: str
    style: str = ""
    tail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column. Where it is narrow, a `wide` one shrinks, then `spare` ones go, the last first."""

    name: str
    wide: bool = False
    spare: bool = False
    right: bool = False


def stamp(at: datetime) -> str:
    """Return a time as people read it."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def is_terminal(stream: TextIO | None = None) -> bool:
    """True if a person looks at this stream."""
    return (stream or sys.stdout).isatty()


def console(stream: TextIO | None = None) -> Console:
    """Return rich's view of a stream. No markup is read, nothing is highlighted."""
    from rich.console import Console

    return Console(file=stream or sys.stdout, markup=False, highlight=False, emoji=False)


def remark(text: str) -> None:
    """Say something to the person, beside the output."""
    print(f"hitl: {text}", file=sys.stderr)


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
    """Print rows: a table on a terminal; in a pipe, columns with one tab between, nothing cut."""
    if is_terminal():
        console().print(rich_table(columns, rows))
        return
    print("\t".join(column.name.upper() for column in columns))
    for row in rows:
        print("\t".join(cell.text + cell.tail for cell in row))


def rich_table(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, width: int | None = None
) -> Table:
    """Return the table for a terminal. Where it is narrow, spare columns go, wide ones shrink."""
    from rich.table import Table

    width = width or console().width
    shown = _fitting(columns, rows, width)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    for number, size in shown.items():
        column = columns[number]
        table.add_column(
            column.name,
            no_wrap=True,
            overflow="ellipsis",
            width=size,
            justify="right" if column.right else "left",
        )
    for row in rows:
        table.add_row(*(rich_text(row[number]) for number in shown))
    return table


def _fitting(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int
) -> dict[int, int]:
    """Return which columns are shown, by number, and how wide each is."""
    from rich.cells import cell_len

    sizes = {
        number: max(
            [cell_len(column.name), *(cell_len(r[number].text + r[number].tail) for r in rows)]
        )
        for number, column in enumerate(columns)
    }
    wide = next((number for number, column in enumerate(columns) if column.wide), None)
    if wide is None:
        return sizes
    spare = [number for number, column in enumerate(columns) if column.spare]
    while True:
        room = width - sum(size + 2 for number, size in sizes.items() if number != wide)
        if room >= min(sizes[wide], _NARROWEST) or not spare:
            return sizes | {wide: max(1, min(sizes[wide], room))}
        del sizes[spare.pop()]


def rich_text(cell: Cell) -> Text:
    """Return a cell for a terminal; its text is never read as markup."""
    from rich.text import Text

    text = Text(cell.text, style=cell.style)
    return text.append(cell.tail, style="dim") if cell.tail else text


def print_lines(cells: Sequence[Cell]) -> None:
    """Print one cell a line, coloured on a terminal."""
    if not is_terminal():
        for cell in cells:
            print(cell.text + cell.tail)
        return
    out = console()
    for cell in cells:
        out.print(rich_text(cell), soft_wrap=True)


def print_fields(fields: Sequence[tuple[str, Cell]]) -> None:
    """Print names and values below each other; long values go on under themselves."""
    width = max((len(name) for name, _ in fields), default=0)
    if not is_terminal():
        for name, cell in fields:
            print(f"{name.ljust(width)}  {cell.text}{cell.tail}".rstrip())
        return
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, cell in fields:
        grid.add_row(name, rich_text(cell))
    console().print(grid)


def heading(text: str) -> None:
    """Print the heading of a part, after a blank line."""
    print()
    print_lines([Cell(text, "bold")])


def status_cell(status: str) -> Cell:
    """Return a status in its colour."""
    return Cell(status, STATUS_STYLES.get(status, ""))


def risk_cell(risk: str) -> Cell:
    """Return a risk in its colour."""
    return Cell(risk, RISK_STYLES.get(risk, ""))
