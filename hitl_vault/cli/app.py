"""Owns the shape of the command line: which commands there are, in which order. Never acts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from hitl_vault.cli import (
    answering,
    asking,
    audit,
    balloting,
    codes,
    counting,
    demo,
    doctor,
    exits,
    grant,
    helping,
    keys,
    outbox,
    policy,
    reading,
    reviewer,
    reviewing,
    running,
    serving,
    starting,
    token,
    watching,
)
from hitl_vault.errors import HitlVaultError

app = typer.Typer(
    name="hitl",
    help="The approval desk between AI agents and people.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)


def _version(asked: bool) -> None:
    if asked:
        from hitl_vault.version import __version__

        print(f"hitl {__version__}")
        raise typer.Exit


@app.callback()
def hitl(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Put an approval desk between AI agents and people: agents ask, people answer in notes."""


app.command()(starting.init)
app.command()(demo.demo)
app.command("list")(reading.list_requests)
app.command()(reading.show)
app.command()(asking.request)
app.command()(asking.wait)
app.command(options_metavar="[OPTIONS] --")(running.run)
app.command()(answering.approve)
app.command()(answering.reject)
app.command()(reviewing.review)
app.command()(answering.cancel)
app.command()(answering.comment)
app.command()(answering.resolve)
app.add_typer(grant.grant, name="grant")
app.command()(watching.watch)
app.command()(watching.archive)
app.add_typer(policy.policy, name="policy")
app.add_typer(reviewer.reviewer, name="reviewer")
app.add_typer(balloting.ballot, name="ballot")
app.add_typer(codes.code, name="code")
app.add_typer(keys.key, name="key")
app.add_typer(audit.audit, name="audit")
app.add_typer(outbox.outbox, name="outbox")
app.command()(serving.serve)
app.add_typer(token.token, name="token")
app.command()(counting.stats)
app.command("alerts")(counting.print_alerts)
app.command()(doctor.doctor)
helping.make_plain(app)


def run_command_line(arguments: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    as_json = exits.wants_json(arguments)
    try:
        code = app(args=list(arguments), prog_name="hitl", standalone_mode=False)
        sys.stdout.flush()
    except HitlVaultError as error:
        return exits.report(error, as_json=as_json)
    except (typer.Abort, KeyboardInterrupt):
        return exits.INTERRUPTED
    except BrokenPipeError:
        exits.give_up_stdout()
        return exits.BROKEN_PIPE
    except Exception as error:
        show = getattr(error, "show", None)
        if show is None:
            raise
        show()  # the usage, and what is wrong with it
        if as_json:
            exits.print_error("usage", str(error))
        return exits.USAGE
    return code if isinstance(code, int) else 0
