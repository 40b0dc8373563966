"""Gate a function: calling it asks, waits, runs once, and records the result.

Try it:  hitl init vault  &&  python examples/guarded_function.py vault
It says which note to answer. Run it again: the files are not deleted twice, the recorded result
comes back.
"""

import logging
import sys

from hitl_vault import Rejected
from hitl_vault.blocking import Orchestrator


def main(vault: str) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # says where the note is
    with Orchestrator(vault) as hitl:

        @hitl.guard(
            "file_delete",
            "Delete {pattern} older than {days} days",
            key="cleanup-{pattern}-{days}",
            requested_by="cleanup-agent",
        )
        def delete_old_files(pattern: str, days: int) -> dict[str, object]:
            """Stand in for the real deletion."""
            return {"deleted": 42, "pattern": pattern, "days": days}

        try:
            print("Done:", delete_old_files("*.log", 30))
        except Rejected as rejected:
            print("Nothing was deleted:", rejected)
            return rejected.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "vault"))
