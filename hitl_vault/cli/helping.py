"""Owns how a command's arguments look in its help: by their names. Never their types in Python."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand


class PlainCommand(TyperCommand):
    """A command whose help says `ID`, where typer would say `{ID}` and `ID <list[str]>`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for parameter in self.params:
            if isinstance(parameter, TyperArgument):
                # versions of typer without these methods show the plain name anyway
                vars(parameter).update(
                    display_type_rich=lambda ctx: None,  # noqa: ARG005  as typer calls it
                    _usage_display_name=_Named(parameter),
                )


class _Named:
    """The name of an argument for the usage line."""

    def __init__(self, argument: TyperArgument) -> None:
        self._argument = argument

    def __call__(self) -> str:
        name = self._argument.metavar or str(self._argument.name).upper()
        name = name if self._argument.required else f"[{name}]"
        return name if self._argument.nargs == 1 else f"{name}..."


def make_plain(app: typer.Typer) -> None:
    """Show the help of every command of an application, and of its groups, in this way."""
    for command in app.registered_commands:
        command.cls = PlainCommand
    for group in app.registered_groups:
        if group.typer_instance is not None:
            make_plain(group.typer_instance)
