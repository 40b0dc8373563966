"""Owns `hitl review`: shows what waits, one request after the other, and takes a key for each.

Never answers by accident: only `a`, `e` and `r` answer, anything else leaves the request waiting.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hitl_vault.cli.answering import AsOption
from hitl_vault.cli.options import VaultOption, complete_ids
from hitl_vault.cli.signing import SignOption
from hitl_vault.cli.typing_in import ask_key, ask_line, in_editor
from hitl_vault.errors import HitlVaultError

if TYPE_CHECKING:
    from pathlib import Path

    from hitl_vault.cli.review_proving import ReviewProving
    from hitl_vault.core.model import Answer, Details, Request
    from hitl_vault.wiring import Orchestrator


def review(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Only these.", autocompletion=complete_ids),
    ] = None,
    group: Annotated[
        bool,
        typer.Option("--group", "-g", help="Show like with like; one key answers each of them."),
    ] = False,
    name: AsOption = None,
    sign: SignOption = None,
    code: Annotated[
        bool,
        typer.Option("--code", help="Ask for a one-time code where the rule demands one."),
    ] = False,
    totp: Annotated[
        bool,
        typer.Option("--totp", help="Ask for a second factor's code where the rule demands one."),
    ] = False,
    vault: VaultOption = None,
) -> None:
    """Go through what waits, oldest first, with one key each.

    With --group, requests of one type by one requester under the same rules are shown together,
    with what differs between them. One key answers all of a group, with one vote each.

    With --sign, every answer is signed. Without it, where a rule demands more than your user name
    proves, you are asked for a key or a code before the answer is given.
    """
    import asyncio

    from hitl_vault.cli.answering import answering_as
    from hitl_vault.cli.opening import desk, full_ids
    from hitl_vault.cli.review_proving import ReviewProving
    from hitl_vault.errors import ConfigError

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("review needs a terminal; use hitl list, hitl show and hitl approve")
    who = answering_as(name, proved=sign is not None)
    proving = ReviewProving(sign, code=code, totp=totp, who=who)
    wanted = full_ids(vault, ids or [])

    async def go() -> None:
        async with desk(vault) as hitl:
            if not wanted:
                waiting = await hitl.list_requests(status="pending")
                wanted.extend(request.id for request in reversed(waiting))
            walk = _Review(hitl, wanted, who, proving)
            await (walk.run_groups() if group else walk.run())

    # the event loop's own way with Ctrl-C does not reach a question that waits for a key
    signal.signal(signal.SIGINT, _interrupt)
    asyncio.run(go())


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


class _Review:
    """One walk through requests."""

    def __init__(
        self, hitl: Orchestrator, ids: list[str], who: dict[str, Any], proving: ReviewProving
    ) -> None:
        self._hitl, self._ids = hitl, ids
        self._who, self._proving = who, proving
        self._answered = 0

    async def run(self) -> None:
        """Go through them one after the other."""
        shown = 0
        for number, id in enumerate(self._ids, 1):
            request = await self._hitl.get(id)
            if await self._hitl.check_status(id) != "pending":
                continue
            shown += 1
            if not await self._one(request, f"{number} of {len(self._ids)}"):
                break
        self._end(shown)

    async def run_groups(self) -> None:
        """Go through them like with like."""
        from hitl_vault.cli.grouping import groups_of

        waiting = [await self._hitl.get(id) for id in self._ids]
        groups = groups_of([one for one in waiting if one.status == "pending"])
        shown = 0
        for number, group in enumerate(groups, 1):
            left = [one for one in group if await self._hitl.check_status(one.id) == "pending"]
            shown += len(left)
            if left and not await self._some(left, f"{number} of {len(groups)}"):
                break
        self._end(shown)

    def _end(self, shown: int) -> None:
        if not shown:
            print("nothing waits for an answer")
        else:
            print(f"\n{self._answered} answered.")

    async def _some(self, group: Sequence[Request], place: str) -> bool:
        """Show requests that are alike and act on keys; False to stop."""
        from hitl_vault.cli.grouping import group_question, show_group

        if len(group) == 1:
            return await self._one(group[0], place)
        show_group(group, place)
        while True:
            match ask_key(group_question(group)):
                case "a" if "approve" in group[0].requirement.answers:
                    await self._answer_each(group, "approve")
                case "r" if "reject" in group[0].requirement.answers:
                    await self._answer_each(group, "reject")
                case "o":
                    for number, one in enumerate(group, 1):
                        if not await self._one(one, f"{place}, {number} of {len(group)}"):
                            return False
                case "q":
                    return False
                case "s" | "\r" | "\n" | " ":
                    print("skipped: they still wait")
                case _:
                    continue
            return True

    async def _answer_each(self, group: Sequence[Request], word: str) -> None:
        """Give each request of a group a vote of its own; what fails does not stop the others."""
        from hitl_vault.cli.exits import report
        from hitl_vault.core.model import Answer

        required = Answer(word) in group[0].requirement.require_reason
        reason = ask_line("reason, for each" if required else "reason, for each (may be empty)")
        for one in group:
            try:
                await self._vote(one, Answer(word), reason)
            except HitlVaultError as error:
                print(f"{one.id}:")
                report(error, as_json=False)

    async def _one(self, request: Request, place: str) -> bool:
        """Show a request and act on keys; False to stop."""
        _show(request, place, self._hitl.root)
        question = _question(request)
        while True:
            key = ask_key(question)
            try:
                match key:
                    case "a" | "r" | "e":
                        if not await self._decide(request, key):
                            continue
                    case "c":
                        await self._comment(request)
                        continue
                    case "q":
                        return False
                    case "s" | "\r" | "\n" | " ":
                        print("skipped: it still waits")
                    case _:
                        continue
            except HitlVaultError as error:
                from hitl_vault.cli.exits import report

                report(error, as_json=False)
                continue
            return True

    async def _decide(self, request: Request, key: str) -> bool:
        """Answer as the key says; False if no answer came of it."""
        if key == "e":
            return await self._edit(request)
        return await self._answer(request, "approve" if key == "a" else "reject")

    async def _answer(self, request: Request, word: str, edited: Details | None = None) -> bool:
        from hitl_vault.core.model import Answer

        answer = Answer.EDIT if edited is not None else Answer(word)
        required = answer in request.requirement.require_reason
        reason = ask_line("reason" if required else "reason (may be empty)")
        return await self._vote(request, answer, reason, edited)

    async def _vote(
        self, request: Request, answer: Answer, reason: str, edited: Details | None = None
    ) -> bool:
        """Answer with what proves it; False if nothing was given where the rule demands it."""
        from hitl_vault.document.sentences import decision_line

        proof = self._proving.proof_for(request)
        if proof is None:
            print("not answered: it still waits")
            return False
        said = {"reason": reason, "payload_sha256": request.payload_in_force, "details": edited}
        now = await proof.vote(self._hitl, request.id, answer, said, self._who)
        self._proving.counted(proof)
        self._answered += 1
        print(f"{now.id} {decision_line(now)}")
        return True

    async def _edit(self, request: Request) -> bool:
        from hitl_vault.cli.printing import safe
        from hitl_vault.core.canonical import changes_between, parse_json_object
        from hitl_vault.records import as_json

        text = in_editor(as_json(request.details) + "\n")
        details = parse_json_object(text)
        changes = changes_between(request.details, details)
        if not changes:
            print("nothing was changed")
            return False
        for change in changes:
            print(f"  {safe(change.path)}  {safe(change.before)} → {safe(change.after)}")
        if ask_key("approve it with these changes? [y/N]") != "y":
            print("not approved")
            return False
        return await self._answer(request, "edit", details)

    async def _comment(self, request: Request) -> None:
        text = ask_line("remark")
        if text:
            await self._hitl.comment(request.id, text, author=self._who["reviewer"])
            print("noted; it decides nothing")


def _show(request: Request, place: str, root: Path) -> None:
    from hitl_vault.cli.printing import Cell, console, heading, print_fields, print_lines, safe
    from hitl_vault.cli.reading import asked_fields
    from hitl_vault.cli.tallying import load_people, tally_fields
    from hitl_vault.document.sentences import headline, vote_line
    from hitl_vault.records import as_json

    print()
    console().rule(f"{place} · {request.id}", style="dim")
    print_lines([Cell(headline(request), "bold")])
    print()
    now = datetime.now(UTC)
    fields = [*asked_fields(request, now), *tally_fields(request, load_people(root), now)]
    fields += [("vote", Cell(vote_line(vote))) for vote in request.votes]
    fields += [("remark", Cell(f"{safe(c.author)}: {safe(c.text)}")) for c in request.comments]
    print_fields(fields)
    heading("What will run")
    print_lines([Cell(as_json(request.details), "cyan")])
    if request.action.description:
        heading("The agent says")
        print_lines([Cell(f"> {safe(line)}") for line in request.action.description.splitlines()])
    print()


def _question(request: Request) -> str:
    from hitl_vault.core.model import Answer

    allowed = request.requirement.answers
    keys = {
        "[a]pprove": Answer.APPROVE in allowed,
        "[r]eject": Answer.REJECT in allowed,
        "[e]dit": Answer.EDIT in allowed,
    }
    words = [word for word, offered in keys.items() if offered]
    return " ".join([*words, "[c]omment", "[s]kip", "[q]uit"])
