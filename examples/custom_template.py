"""Change how a vault's notes look, with a template of its own.

Try it:  hitl init vault  &&  python examples/custom_template.py vault
The format that a template must keep is templates/README.md. What agents say stays inert: a template
only ever gets harmless text, and one that breaks the format is refused by name.
"""

import asyncio
import sys
from pathlib import Path

from hitl_vault import Orchestrator
from hitl_vault.adapters.vault.templates import shipped

BANNER = "> [!tip] Finance desk: compare the invoice before you answer. Ask if in doubt.\n"


def add_banner(vault: Path) -> Path:
    """Copy the shipped template into the vault and put a banner above the decision."""
    original = (shipped("templates") / "document.md.j2").read_text(encoding="utf-8")
    own = vault / ".hitl" / "templates" / "document.md.j2"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text(original.replace("## Decide", BANNER + "\n## Decide", 1), encoding="utf-8")
    return own


async def main(vault: str) -> int:
    print("Template:", add_banner(Path(vault)))
    async with Orchestrator(vault) as hitl:
        request = await hitl.request_approval(
            "payment",
            "A note with the finance desk's banner",
            {"amount": 2500, "currency": "USD", "recipient": "vendor@example.com"},
            requested_by="invoice-agent",
        )
        note = await hitl.document_path(request.id)
        print(await asyncio.to_thread(Path(str(note)).read_text, encoding="utf-8"))
        await hitl.cancel(request.id, by="invoice-agent", reason="only an example")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "vault")))
