"""docs/cli.md is the help of the commands themselves, and the exit codes of the errors."""

import re

import pytest
from cli_support import ROOT, Cli

from hitl_vault.cli import exits

PAGE = ROOT / "docs" / "cli.md"


def put(name, body):
    """Rewrite a generated part; fail if it was out of date, so that the fix is a commit."""
    text = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    assert pattern.search(text), f"cli.md has no part {name}"
    new = pattern.sub(lambda found: f"{found[1]}{body}\n{found[2]}", text)
    if new != text:
        PAGE.write_text(new, encoding="utf-8")
        pytest.fail(f"docs/cli.md, part {name}, was out of date and is rewritten: commit it")


def names():
    """Return every command, groups spelt out, as the command line itself lists them."""
    from hitl_vault.cli.app import app

    found = []
    for command in app.registered_commands:
        found.append([command.name or command.callback.__name__])
    for group in app.registered_groups:
        for command in group.typer_instance.registered_commands:
            found.append([group.name, command.name or command.callback.__name__])
    return sorted(found)


@pytest.mark.parametrize("command", [[], *names()], ids=" ".join)
def test_the_reference_shows_the_help_of_each_command(command, workspace):
    """Each command's help stands in the reference, word for word."""
    help = Cli(workspace).ok(*command, "--help", env={"COLUMNS": "90", "TERM": "dumb"})
    put(" ".join(["hitl", *command]), f"```text\n{help.rstrip()}\n```")


def test_the_table_of_exit_codes_is_that_of_the_errors():
    """One table, made from the error classes."""
    rows = ["| code | meaning | errors |", "|---|---|---|"]
    for code, meaning, errors in exits.table():
        rows.append(f"| {code} | {meaning} | {errors} |")
    put("exit codes", "\n".join(rows))


def test_every_error_has_an_exit_code_in_the_table():
    """No error ends with a code the table does not explain."""
    from hitl_vault import errors

    codes = {code for code, _, _ in exits.table()}
    classes = [found for found in vars(errors).values() if isinstance(found, type)]
    raised = [found for found in classes if issubclass(found, errors.HitlVaultError)]
    assert {found.exit_code for found in raised} <= codes


def test_no_summary_of_a_command_is_cut(workspace):
    """The list of commands fits a terminal of 80 columns, each summary whole."""
    for group in ([], ["policy"], ["audit"], ["ballot"], ["code"], ["key"], ["outbox"], ["token"]):
        text = Cli(workspace).ok(*group, "--help", env={"COLUMNS": "80", "TERM": "dumb"})
        assert "..." not in text.split("Commands:")[1], text
