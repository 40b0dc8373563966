"""Owns `hitl policy`: lint, explain, test and replay. Never puts a policy in force."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hitl_vault.cli import policy_lock
from hitl_vault.cli.options import (
    DetailOption,
    DetailsOption,
    JsonOption,
    SinceOption,
    TextOption,
    TypeOption,
    VaultOption,
    parse_details,
    parse_since,
)
from hitl_vault.errors import PolicyError

if TYPE_CHECKING:
    from hitl_vault.core.model import Requirement, Verdict
    from hitl_vault.core.policy import Policy, Problem

policy = typer.Typer(help="Check, explain, test and replay the policy.", no_args_is_help=True)
_CASES = "policy_tests.yaml"

FileArgument = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="A policy; else the vault's.")
]
FileOption = Annotated[
    Path | None, typer.Option("--policy", metavar="FILE", help="A policy; else the vault's.")
]


def _file(given: Path | None, vault: str | None) -> Path:
    from hitl_vault.cli.opening import locate

    if given is not None:
        return given
    root, settings = locate(vault)
    return root / settings.policy


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise PolicyError(f"cannot be read: {error.strerror}", file=str(file)) from error


def _parse(file: Path) -> Policy:
    from hitl_vault.core.policy import parse_policy

    return parse_policy(_read(file), name=str(file))


@policy.command()
def check(file: FileArgument = None, vault: VaultOption = None, json: JsonOption = False) -> None:
    """Say what is wrong with a policy, by line.

    Where reviewers are on record, a name that is nobody's is an error.
    """
    from hitl_vault.cli.printing import Cell, print_lines, safe
    from hitl_vault.core.policy import Severity, lint_policy
    from hitl_vault.records import as_json

    path = _file(file, vault)
    problems = lint_policy(_read(path), name=path.name)
    if not any(problem.severity is Severity.ERROR for problem in problems):
        problems = [*problems, *_unknown(path, vault)]
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if json:
        listed = [
            {"line": p.line, "severity": p.severity.value, "message": p.message} for p in problems
        ]
        print(as_json({"file": str(path), "ok": not errors, "problems": listed}))
    else:
        styles = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.HINT: "dim"}
        print_lines(
            [
                Cell(f"{path}:{p.line}: {p.severity}: {safe(p.message)}", styles[p.severity])
                for p in problems
            ]
        )
        if not errors:
            count = len(_parse(path).rules)
            rules = "1 rule" if count == 1 else f"{count} rules"
            look = sum(problem.severity is Severity.WARNING for problem in problems)
            warnings = f", {look} to look at" if look else ""
            print_lines([Cell(f"✓ {path}: {rules}{warnings}", "green")])
    if errors or (file is None and _waits(vault)):
        raise typer.Exit(1)


def _unknown(path: Path, vault: str | None) -> list[Problem]:
    """Return the names in a policy that nobody on record is; none for a policy of no vault."""
    from hitl_vault.adapters.people.file import FilePeople
    from hitl_vault.cli.naming import unknown_names
    from hitl_vault.cli.opening import locate
    from hitl_vault.config import STATE_FOLDER
    from hitl_vault.errors import VaultNotFound

    try:
        root, _ = locate(vault)
    except VaultNotFound:
        return []
    people = FilePeople(root / STATE_FOLDER / "reviewers.toml").load()
    return unknown_names(_read(path), people, name=path.name)


def _waits(vault: str | None) -> bool:
    """Say on stderr if the policy waits for a signature, or something else keeps it from force."""
    from hitl_vault.cli.opening import locate

    root, settings = locate(vault)
    found = policy_lock.standing(root, settings).waits if settings.policy_lock else ""
    if found:
        print(f"hitl: {found}", file=sys.stderr)
    return bool(found)


@policy.command()
def explain(
    type: TypeOption,
    detail: DetailOption = None,
    text: TextOption = None,
    details: DetailsOption = None,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who asks.")] = "agent",
    agent: Annotated[str, typer.Option("--agent", metavar="NAME", help="Which agent.")] = "",
    run: Annotated[str, typer.Option("--run", metavar="RUN", help="Which run.")] = "",
    file: FileOption = None,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Say what the policy makes of an action, and why."""
    import msgspec

    from hitl_vault.core.canonical import check_details
    from hitl_vault.core.model import Action
    from hitl_vault.records import as_json

    wanted = parse_details(details, detail, text)
    check_details(wanted)
    action = Action(
        type=type, description="", details=wanted, requested_by=by, agent=agent, run_id=run
    )
    rules, now = _parse(_file(file, vault)), datetime.now(UTC)
    verdict, findings = rules.evaluate(action, now), rules.explain(action, now)
    if json:
        listed = [
            {
                "rule": found.rule.id,
                "line": found.rule.line,
                "effect": found.rule.effect.value,
                "matched": found.matched,
                "why": found.why,
            }
            for found in findings
        ]
        print(as_json({"verdict": msgspec.to_builtins(verdict), "rules": listed}))
        return
    _print_explained(verdict, findings)


def _print_explained(verdict: Verdict, findings: Sequence[Any]) -> None:
    from hitl_vault.cli.printing import Cell, Column, heading, print_fields, print_table, safe
    from hitl_vault.document.sentences import needed

    styles = {"allow": "green", "ask": "yellow", "deny": "red"}
    fields = [
        ("verdict", Cell(verdict.effect, f"bold {styles[verdict.effect]}")),
        ("why", Cell(safe(verdict.reason))),
    ]
    if verdict.effect == "ask":
        fields += [
            ("risk", Cell(verdict.risk)),
            ("needed", Cell(needed(verdict.requirement))),
            ("time to answer", Cell(_time_to_answer(verdict.requirement))),
        ]
    if verdict.summary:
        fields.append(("summary", Cell(safe(verdict.summary))))
    print_fields(fields)
    if not findings:
        return
    heading("Rules")
    columns = [Column(name=name) for name in ("", "rule", "line", "effect")]
    print_table(
        [*columns, Column(name="why", wide=True)],
        [
            [
                Cell("✓" if found.matched else "·", "green" if found.matched else "dim"),
                Cell(found.rule.id, "" if found.matched else "dim"),
                Cell(str(found.rule.line), "dim"),
                Cell(found.rule.effect, styles[found.rule.effect] if found.matched else "dim"),
                Cell(safe(found.why), "" if found.matched else "dim"),
            ]
            for found in findings
        ],
    )


def _time_to_answer(need: Requirement) -> str:
    from hitl_vault.core.durations import MAX_S, show_duration

    told = [] if need.timeout_s >= MAX_S else [show_duration(need.timeout_s)]
    if need.timeout_open_s is not None:
        told.append(f"{show_duration(need.timeout_open_s)} of {', '.join(need.hours)}")
    return ", or sooner ".join(told) or show_duration(need.timeout_s)


@policy.command("test")
def run_table(
    cases: Annotated[
        Path | None, typer.Argument(metavar="FILE", help=f"Cases; else {_CASES} by the policy.")
    ] = None,
    file: FileOption = None,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Run the table tests that stand beside the policy."""
    from hitl_vault.cli.printing import Cell, print_lines, safe
    from hitl_vault.core.policy import run_cases
    from hitl_vault.records import as_json

    path = _file(file, vault)
    table = cases or path.with_name(_CASES)
    results = run_cases(_parse(path), _read(table), str(table))
    failed = [result for result in results if not result.passed]
    if json:
        listed = [
            {"name": r.case.name, "line": r.case.line, "ok": r.passed, "failures": list(r.failures)}
            for r in results
        ]
        print(as_json({"ok": not failed, "cases": listed}))
    else:
        for result in failed:
            print_lines([Cell(f"✗ {table}:{result.case.line}: {safe(result.case.name)}", "red")])
            print_lines([Cell(f"    {safe(failure)}") for failure in result.failures])
        passed = len(results) - len(failed)
        mark = "✗" if failed else "✓"
        print_lines(
            [Cell(f"{mark} {passed} of {len(results)} passed", "red" if failed else "green")]
        )
    if failed:
        raise typer.Exit(1)


@policy.command()
def replay(
    file: FileOption = None,
    since: SinceOption = None,
    vault: VaultOption = None,
    json: JsonOption = False,
) -> None:
    """Judge past requests again, and show what would differ.

    Only what was asked is recorded: actions that were allowed without asking, or denied, are not.
    """
    from hitl_vault.cli.opening import reading
    from hitl_vault.cli.printing import Cell, Column, print_lines, print_table, safe
    from hitl_vault.cli.replaying import in_words, replayed
    from hitl_vault.ports import Filter
    from hitl_vault.records import as_json

    rules, after = _parse(_file(file, vault)), parse_since(since)
    with reading(vault) as opened:
        found = opened.ledger.find(Filter(since=after, oldest_first=True))
    differing = [change for request in found if (change := replayed(rules, request))]
    if json:
        print(as_json({"judged": len(found), "differing": differing}))
        return
    if differing:
        print_table(
            [
                Column(name="id"),
                Column(name="was"),
                Column(name="would be"),
                Column(name="why", wide=True),
            ],
            [
                [
                    Cell(change["id"]),
                    Cell(in_words(change["was"])),
                    Cell(in_words(change["would_be"]), "yellow"),
                    Cell(safe(change["why"])),
                ]
                for change in differing
            ],
        )
    print_lines([Cell(f"{len(differing)} of {len(found)} requests would be judged otherwise")])


policy.command("lock")(policy_lock.lock)
