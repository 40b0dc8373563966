"""Owns `hitl demo`: the whole story on real input, in one terminal. Never pretends: the engine, the
files, the watching and the person's process are the real ones.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer


def demo(
    auto: Annotated[
        bool, typer.Option("--auto", help="Let a second process answer, instead of you.")
    ] = False,
    vault: Annotated[
        str | None,
        typer.Option(
            "--vault",
            metavar="FOLDER",
            help="Where to make the vault.",
            show_default="demo-vault; with --auto a temporary one",
        ),
    ] = None,
) -> None:
    """See it at work: agents ask, you answer in a note."""
    import asyncio

    temporary = None
    if vault is None and auto:
        temporary = tempfile.mkdtemp(prefix="hitl-demo-")
    root = Path(vault or temporary or "demo-vault").expanduser().absolute()
    try:
        held = asyncio.run(_play(root, auto=auto))
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
    if not held:
        raise typer.Exit(1)


async def _play(root: Path, *, auto: bool) -> bool:
    from hitl_vault.cli.demo_scenes import Scenes
    from hitl_vault.cli.opening import desk
    from hitl_vault.cli.starting import make_vault

    made, _ = make_vault(root)
    async with desk(str(root), watching=True, archive_after_s=3600) as hitl:
        scenes = Scenes(hitl, root, auto=auto)
        scenes.opening(len(made))
        await scenes.payment()
        await scenes.rejection()
        await scenes.expiry()
        await scenes.allowed()
        return await scenes.proof()
