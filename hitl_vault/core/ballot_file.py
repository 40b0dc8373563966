"""Owns ballot files: an answer to be signed on another machine, with all it is about. Never signs.

A ballot file is JSON: the statement to be signed, the action it names, and once it is signed, the
envelope. What the person is shown is proved to be what the statement names, so that nobody can show
one action and have another signed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from hitl_vault.core.canonical import parse_json_object, payload_sha256, with_details
from hitl_vault.core.model import Action, Answer, Details, Request
from hitl_vault.core.statement import SCHEMA as STATEMENT
from hitl_vault.core.statement import Statement, parse_envelope, statement_bytes
from hitl_vault.errors import InvalidRequest, TrustError

SCHEMA = "hitl-vault/ballot/1"
MAX_BYTES = 2_000_000
_KEYS = {"schema", "statement", "action", "changed", "envelope"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BallotFile:
    """An answer on its way. `action` is the one in force; `changed` the reviewer's own details, for
    an `edit`; `envelope` is "" until it is signed.
    """

    statement: Statement
    action: Action
    changed: Details | None = None
    envelope: str = ""

    @property
    def answer(self) -> Answer:
        """The answer it gives."""
        return Answer(self.statement.answer)

    @property
    def body(self) -> bytes:
        """The statement's bytes, which the envelope holds."""
        return statement_bytes(self.statement)

    def signed(self, envelope: str) -> BallotFile:
        """Return it with an envelope. Raises TrustError if that is one of something else."""
        if parse_envelope(envelope).payload != self.body:
            raise TrustError("this signs another answer than the ballot's")
        return replace(self, envelope=envelope)


def make_ballot_file(
    request: Request, statement: Statement, changed: Details | None = None
) -> BallotFile:
    """Return the ballot file of a statement about a request as it stands."""
    action = with_details(request.action, request.details)
    return BallotFile(statement=statement, action=action, changed=changed)


def ballot_text(ballot: BallotFile) -> str:
    """Return the file's text."""
    form: dict[str, Any] = {
        "schema": SCHEMA,
        "statement": asdict(ballot.statement),
        "action": asdict(ballot.action),
    }
    if ballot.changed is not None:
        form["changed"] = ballot.changed
    if ballot.envelope:
        form["envelope"] = json.loads(ballot.envelope)
    return json.dumps(form, indent=2, ensure_ascii=True) + "\n"


def parse_ballot_file(text: str, *, name: str) -> BallotFile:
    """Read a ballot file.

    Raises:
        InvalidRequest: It is not one; the message names it.
        TrustError: What it shows is not what its statement names.
    """
    try:
        ballot = _ballot(parse_json_object(text))
    except (InvalidRequest, TypeError, ValueError, KeyError, AttributeError) as error:
        raise InvalidRequest(f"{name}: this is no ballot file: {error}") from error
    _check(ballot, name)
    return ballot


def _ballot(form: Details) -> BallotFile:
    if form.get("schema") != SCHEMA or form.keys() - _KEYS:
        raise InvalidRequest(f"its schema is not {SCHEMA}, or it holds more")
    fields = {key: value for key, value in form["action"].items() if key != "details"}
    statement = Statement(**form["statement"])
    if not all(isinstance(value, str) for value in fields.values()):
        raise InvalidRequest("its action holds something else than texts")
    if statement.schema != STATEMENT or statement.answer not in set(Answer):
        raise InvalidRequest("its statement is of another schema")
    envelope = form.get("envelope")
    return BallotFile(
        statement=statement,
        action=Action(**fields, details=form["action"]["details"]),
        changed=form.get("changed"),
        envelope="" if envelope is None else json.dumps(envelope, separators=(",", ":")),
    )


def _check(ballot: BallotFile, name: str) -> None:
    stated = ballot.statement
    edited = ""
    if ballot.changed is not None:
        edited = payload_sha256(with_details(ballot.action, ballot.changed))
    if payload_sha256(ballot.action) != stated.payload_sha256 or edited != stated.edited_sha256:
        raise TrustError(f"{name}: what it shows is not what would be signed; do not sign it")
    if (ballot.answer is Answer.EDIT) != (ballot.changed is not None):
        raise TrustError(f"{name}: its changes do not go with its answer; do not sign it")
    if ballot.envelope:
        ballot.signed(ballot.envelope)
