"""The least a command line with typer and rich can do: print a table of the size `hitl list` does."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer()


@app.command()
def main(rows: int) -> None:
    """Print the table."""
    table = Table("id", "status", "risk", "action", "asked by", "left")
    for number in range(rows):
        table.add_row(
            f"20261121-093012-payment-{number:010x}", "pending", "high", "payment", "agent", "59m"
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    app()
