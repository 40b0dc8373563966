"""What is printed cannot act on a terminal, and tables fit it."""

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_vault.cli import printing
from hitl_vault.cli.printing import Cell, Column, rich_table, safe


@given(st.text())
def test_safe_text_shows_every_character_on_one_line(text):
    """No control, format, private or unassigned character leaves `safe`."""
    shown = safe(text)
    assert all(
        unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} for char in shown
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "⟨U+001B⟩[31mred"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a\u200bb", "a⟨U+200B⟩b"),
        ("a\x9bb", "a⟨U+009B⟩b"),
        ("two\nlines\ttab", "two lines tab"),
        ("[red]x[/red]", "[red]x[/red]"),
        ("Grüße, 日本 ✓", "Grüße, 日本 ✓"),
    ],
)
def test_what_could_act_or_hide_is_named(text, shown):
    """Escapes, bidi marks and zero-width characters become visible; plain text stays as it is."""
    assert safe(text) == shown


def test_long_text_is_cut_with_a_mark():
    """A cut is shown."""
    assert safe("x" * 3000) == "x" * 2000 + "…"


def lines(columns, rows, width):
    from rich.console import Console

    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=False, color_system=None)
    console.print(rich_table(columns, rows, width=width))
    return out.getvalue().splitlines()


COLUMNS = [
    Column(name="id"),
    Column(name="risk", spare=True),
    Column(name="action", wide=True),
    Column(name="by", spare=True),
]
ROW = [Cell("2026", "bold", "-tail"), Cell("critical"), Cell("x" * 200), Cell("agent-with-a-name")]


@pytest.mark.parametrize("width", range(20, 200, 7))
def test_a_table_never_wraps(width):
    """Whatever the width: two lines, none too long, the id whole."""
    shown = lines(COLUMNS, [ROW], width)
    assert len(shown) == 2
    assert all(len(line.rstrip()) <= width for line in shown)
    assert shown[1].startswith("2026-tail")


def test_a_narrow_table_gives_up_spare_columns_the_last_first():
    """First `by` goes, then `risk`."""
    assert "by" in lines(COLUMNS, [ROW], 90)[0]
    assert "by" not in lines(COLUMNS, [ROW], 60)[0]
    assert "risk" in lines(COLUMNS, [ROW], 60)[0]
    assert "risk" not in lines(COLUMNS, [ROW], 40)[0]


def test_markup_in_a_cell_is_text():
    """Square brackets are shown, not obeyed."""
    assert "[bold]x[/bold]" in lines([Column(name="a")], [[Cell("[bold]x[/bold]")]], 80)[1]


def test_in_a_pipe_columns_are_whole_and_stand_between_tabs(capsys):
    """Nothing is cut or padded, however wide another row is: `cut -f2` and awk read it."""
    short = [Cell("2027"), Cell("low"), Cell("y"), Cell("bob")]
    printing.print_table(COLUMNS, [ROW, short])
    assert capsys.readouterr().out.splitlines() == [
        "ID\tRISK\tACTION\tBY",
        f"2026-tail\tcritical\t{'x' * 200}\tagent-with-a-name",
        "2027\tlow\ty\tbob",
    ]
