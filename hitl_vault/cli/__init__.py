"""Owns the command line. Never decides anything: it asks the engine, or reads the ledger.

A module a topic; `app` puts them together. Commands import what they need inside, so that listing
loads neither an event loop nor a template engine.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its code."""
    import sys

    from hitl_vault.cli.app import run_command_line

    sys.exit(run_command_line(sys.argv[1:]))
