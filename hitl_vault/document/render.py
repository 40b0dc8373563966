"""Owns writing a whole note for a request as it stands. Never lets raw text of an agent through.

Templates get texts that are inert already, as opaque values: they place them, and cannot take them
apart. What a custom template makes of them is read back and refused unless it is a document that
shows exactly what would run and answers nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from hitl_vault.core.events import Recorded
from hitl_vault.core.model import Answer, Assurance, Request, Status
from hitl_vault.core.voting import UNNAMED
from hitl_vault.document import own_lines, wording
from hitl_vault.document.ballot import Folder, shows
from hitl_vault.document.frontmatter import CODE, KEYS, quoted, word_or_quoted
from hitl_vault.document.inert import action_json, fence, inert, one_line
from hitl_vault.document.outline import CHANGES, RESULT
from hitl_vault.document.own_ballot import read_answers
from hitl_vault.document.reading import (
    MAX_REASON,
    MAX_REVIEWER,
    Document,
    parse_document,
)
from hitl_vault.document.voters import NOBODY, Voters
from hitl_vault.document.words import clean
from hitl_vault.errors import DocumentError

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = "document.md.j2"

BUILT_IN_SHA256 = "a8a8bff4fbbf46765d39a2e55c86b27342c1ca1b72ac8f4b232a2cfa915a4841"
"""The digest of our own template. A test renders it in every shape, so it is not read back each
time, which would take three times as long as rendering; any other template is."""

MAX_RESULT = 20_000
MAX_VALUE = 200

_LINKING = re.compile(r":(?=//)|\[(?=\[)|\](?=\()")


class Renderer:
    """Makes notes. Templates are compiled once."""

    def __init__(self, templates: Mapping[str, str]) -> None:
        """Compile the templates.

        Args:
            templates: Jinja2 sources by name; `document.md.j2` must be among them.

        Raises:
            DocumentError: A template is missing or not Jinja2; `path` names it.
        """
        if TEMPLATE not in templates:
            raise DocumentError("the template is missing", path=TEMPLATE)
        digest = hashlib.sha256(templates[TEMPLATE].encode()).hexdigest()
        self._trusted = digest == BUILT_IN_SHA256
        self._fill = compiled(templates, TEMPLATE)

    def render(
        self, request: Request, history: Sequence[Recorded] = (), voters: Voters = NOBODY
    ) -> str:
        """Return the whole note, with line feeds, ending in the end marker's line.

        Args:
            request: The request as it stands.
            history: Its events in order, for the audit lines.
            voters: Who may answer, for lines of their own.

        Raises:
            DocumentError: A custom template does not make a document; `path` names the template.

        Guarantees:
            Deterministic: same arguments, same text. For a pending request the note is Untouched.
        """
        text = self._fill(context(request, history, voters))
        if not self._trusted:
            _check(text, request, voters)
        return text


def context(
    request: Request, history: Sequence[Recorded], voters: Voters = NOBODY
) -> dict[str, str | list[str]]:
    """Return what a template may place: inert texts and lists of inert lines, by name."""
    block = action_block(request)
    return {
        "front_matter": front_matter(request),
        "title": wording.title(request),
        "summary": wording.summary(request),
        "action": block,
        "why": wording.why(request),
        "boxes": own_lines.ballot(request, voters.people)
        if voters.own_lines
        else wording.boxes(request),
        "how": "" if voters.own_lines else wording.how(request),
        "changes": changes_section(request, block),
        "says": _quote(inert(request.action.description)) or "> (nothing)",
        "result": result_section(request),
        "audit": wording.audit(history),
        "end_marker": end_marker(request),
        "id": request.id,
        "status": request.status.value,
        "risk": request.verdict.risk.value,
    }


def front_matter(request: Request) -> str:
    """Return the properties with their fences: exactly `keys_of` the request, in their order."""
    values = {
        "id": quoted(request.id),
        "type": "approval_request",
        "status": request.status.value,
        "reviewer": quoted(reviewer(request), names=True),
        "reason": quoted(reason(request), names=True),
        CODE: '""',
        "action": _agent_value(request.action.type),
        "risk": request.verdict.risk.value,
        "requested_by": _agent_value(request.action.requested_by),
        "created": quoted(wording.stamp(request.created_at)),
        "expires": quoted(wording.stamp(request.expires_at)),
        "payload_sha256": quoted(request.payload_in_force),
        "tags": f"[{tag(request)}]",
    }
    lines = (f"{key}: {values[key]}" for key in keys_of(request))
    return "\n".join(("---", *lines, "---"))


def keys_of(request: Request) -> tuple[str, ...]:
    """Return the properties of a request's note; a code has one only where it can answer."""
    if request.requirement.assurance is not Assurance.AUTHENTICATED:
        return KEYS
    after = KEYS.index("reason") + 1
    return (*KEYS[:after], CODE, *KEYS[after:])


def _agent_value(text: str) -> str:
    return word_or_quoted(_unlinked(one_line(text[:MAX_VALUE])))


def _unlinked(text: str) -> str:
    # editors make links of addresses even in the values of properties
    return _LINKING.sub(r"\g<0> ", text)


def tag(request: Request) -> str:
    """Return our tag for the request's status."""
    return f"hitl/{request.status}"


def reviewer(request: Request) -> str:
    """Return who answered, "" while the request is pending."""
    if request.status is Status.PENDING:
        return ""
    names = [name for name in request.reviewers if name != UNNAMED]
    return _unlinked(clean(", ".join(names), limit=MAX_REVIEWER))


def reason(request: Request) -> str:
    """Return the reason of the decision, "" while the request is pending."""
    if request.status is Status.PENDING:
        return ""
    return as_reason(request.reason)


def as_reason(text: str) -> str:
    """Return a reason as it stands in the properties."""
    return _unlinked(clean(text, limit=MAX_REASON))


def action_block(request: Request) -> str:
    """Return the code block with the details in force."""
    return fence("json", action_json(request.details))


def changes_section(request: Request, block: str) -> str:
    """Return the part of the ballot for changed details, "" where they are not allowed.

    Args:
        block: The action's block, which is what may be changed.
    """
    if Answer.EDIT not in request.requirement.answers:
        return ""
    return (
        f"### {CHANGES}\n\nTo approve with changes, change values here (values only), then tick "
        f"that box.\n\n{block}\n"
    )


def result_section(request: Request) -> str:
    """Return the section on how the execution ended, "" before it did."""
    if request.outcome is None:
        return ""
    return f"## {RESULT}\n\n{outcome_lines(request)}\n"


def outcome_lines(request: Request) -> str:
    """Return what stands under the heading of the result."""
    ended = request.outcome
    said = wording.outcome(request)
    if ended is None or ended.status is Status.UNKNOWN:
        return said
    shown = {
        key: value
        for key, value in (("result", ended.result), ("error", ended.error))
        if value not in (None, "")
    }
    if not shown:
        return said
    body = action_json(shown)
    if len(body) <= MAX_RESULT:
        return f"{said}\n\n{fence('json', body)}"
    digest = hashlib.sha256(json.dumps(shown).encode()).hexdigest()
    cut = f"(cut: {MAX_RESULT:,} of {len(body):,} characters; sha256 of all {digest})"
    shortened = fence("text", f"{body[:MAX_RESULT]}\n{cut}")
    return f"{said}\n\n{shortened}"


def end_marker(request: Request) -> str:
    """Return the line that ends our part of the note."""
    return f"%% hitl:end {request.id} %%"


def _quote(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n")) if text else ""


def compiled(templates: Mapping[str, str], name: str) -> Callable[[dict[str, Any]], str]:
    """Return what fills one of the templates. Its values are opaque: it places them, no more.

    Raises:
        DocumentError: It is not Jinja2, or, when it is filled, asks for what there is not.
    """
    # imported here: most commands never write a note, and this import is slower than they are
    import jinja2
    from jinja2.runtime import LoopContext
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Opaque(ImmutableSandboxedEnvironment):
        """No attribute of a value can be reached: `says.replace(...)` would undo its escapes."""

        def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
            return isinstance(obj, LoopContext) and super().is_safe_attribute(obj, attr, value)

    environment: Environment = Opaque(
        # the name in the place of a file's, so that errors of a filled template say where
        loader=jinja2.FunctionLoader(
            lambda name: (templates[name], name, None) if name in templates else None
        ),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # Markdown, not HTML; every value is inert already
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters = {
        name: environment.filters[name] for name in ("join", "length", "default")
    }
    environment.globals = {}
    try:
        template = environment.get_template(name)
    except jinja2.TemplateError as error:
        _refuse(error, templates, name)

    def fill(values: dict[str, Any]) -> str:
        try:
            return template.render(values)
        except Exception as error:  # a template's expression may raise anything
            _refuse(error, templates, name)

    return fill


def _refuse(error: Exception, templates: Mapping[str, str], template: str) -> NoReturn:
    name, line = template, 0
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename in templates:
            name, line = frame.f_code.co_filename, number
    known = getattr(error, "name", None) or ""
    name = known if known in templates else name
    line = getattr(error, "lineno", None) or line
    raise DocumentError(f"the template cannot be used: {error}", path=name, line=line) from error


def _check(text: str, request: Request, voters: Voters) -> None:
    problem = ""
    try:
        document = parse_document(text.encode())
        problem = _problem(document, request, voters)
    except (DocumentError, UnicodeEncodeError) as error:
        problem = str(error)
    if problem:
        raise DocumentError(f"the template does not make a document: {problem}", path=TEMPLATE)


def _problem(document: Document, request: Request, voters: Voters) -> str:
    found = document.outline
    allowed = [answer for answer in wording.BOXES if answer in request.requirement.answers]
    marks = [voter.mark for voter in voters.people] if voters.own_lines else [""]
    if not document.text.startswith(f"{front_matter(request)}\n"):
        return "it must begin with front_matter, unchanged"
    if document.id != request.id or found.marker is None:
        return "it must end with end_marker"
    if document.text[found.marker.end :].strip():
        return "end_marker must be its last line"
    wanted = [(answer, mark) for mark in marks for answer in allowed]
    if [(box.answer, box.whose) for box in found.boxes] != wanted or any(
        box.ticked is not False or not box.in_ballot for box in found.boxes
    ):
        return "it must show the boxes, unticked, once, under `## Decide`"
    if not shows(document, document.action_fence, request.details):
        return "it must show action, and no other json block, under `## What will run`"
    if Answer.EDIT in allowed and not shows(document, document.changes_fence, request.details):
        return "it must show changes under `## Decide`"
    if "<%" in document.text:
        return "it must not hold `<%`, which runs programs in some editors"
    reading = read_answers(document, request, Folder.PENDING, voters, {})
    if request.status is Status.PENDING and (reading.answers or reading.sentences):
        return "it answers itself"
    return ""
