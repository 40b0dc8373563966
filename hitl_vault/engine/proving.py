"""Owns judging what shows that a reviewer answered, before the ledger judges the answer.

Never lets a proof count that was refused: each refusal is recorded, then raised as `TrustError`.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import NoReturn

from hitl_vault.core import codes, voting
from hitl_vault.core import commands as c
from hitl_vault.core.events import Kind
from hitl_vault.core.model import Assurance, Request
from hitl_vault.core.registering import guessing
from hitl_vault.core.statement import (
    PAYLOAD_TYPE,
    Envelope,
    Statement,
    differences,
    envelope_text,
    parse_envelope,
    parse_statement,
)
from hitl_vault.document.wording import stamp
from hitl_vault.engine.codes import code_secret, text_of_code
from hitl_vault.engine.parts import Parts
from hitl_vault.errors import NoSecondFactor, TrustError
from hitl_vault.ports import Kept
from hitl_vault.ports_trust import KeyInForce
from hitl_vault.signatures import DECISIONS, FORMULA_TYPE, approval_message, expiry_spellings

FACTOR = "totp"
"""The channel of answers that a time-based code proves."""

MAX_WRONG_FACTORS = 5

_DIFFERS = {
    "vault": "it was signed for another vault",
    "request": "it was signed for another request, {stated}",
    "payload_sha256": "it was signed for other details than those in force; read them again, then "
    "sign again",
    "answer": "it says {stated}, and this answer is {wanted}",
    "reviewer": "it was signed as {stated}, and this answer is {wanted}'s",
    "reason": "it was signed with another reason",
    "edited_sha256": "it was signed for other changes of the details",
    "schema": "it is a statement of another schema",
}


async def statement_of(parts: Parts, vote: c.Vote) -> Statement:
    """Return what the reviewer of this vote has to sign, as of now."""
    head = await parts.ledger.head()
    path = await parts.vault.find(vote.id)
    note = None if path is None else await parts.vault.load(path)
    return replace(
        _expected(parts, vote),
        at=stamp(parts.clock.now()),
        note_sha256="" if note is None else hashlib.sha256(note.data).hexdigest(),
        ledger_seq=head.seq,
        ledger_hash=head.hash,
    )


def _expected(parts: Parts, vote: c.Vote) -> Statement:
    return Statement(
        vault=parts.vault_id,
        request=vote.id,
        payload_sha256=vote.payload_sha256,
        answer=vote.answer.value,
        reviewer=vote.reviewer,
        at="",
        reason=vote.reason,
        edited_sha256="" if vote.edit is None else vote.edit.payload_sha256,
    )


# signatures


async def signed(parts: Parts, request: Request, vote: c.Vote, proof: str) -> c.Vote:
    """Return the vote as its signature proves it.

    Raises:
        TrustError: The proof does not show that this reviewer gave exactly this answer to exactly
            this payload of this vault, with a key that counts now; recorded.
        ConfigError: It cannot be judged here: a key file or a program is missing or broken.
    """
    try:
        envelope = parse_envelope(proof.strip())
        if envelope.payload_type == FORMULA_TYPE:
            level = Assurance.AUTHENTICATED  # it does not cover what was approved
            spelt = _spelt(request, vote, envelope)
        else:
            level = Assurance.SIGNED
            _check_statement(parts, vote, envelope)
            spelt = [envelope]
        known, key = await _signer(parts, vote, spelt)
    except TrustError as error:
        await refuse(parts, vote, str(error))
    proven = replace(
        vote,
        assurance=level,
        proof=envelope_text(replace(known, key_id=key.key_id)),
        proof_id=known.proof_id,
        valid_from=key.valid_from,
        valid_until=key.valid_until,
    )
    if _is_replayed(request, proven):
        await refuse(parts, vote, "this proof was used for an answer before; sign again")
    return proven


def _is_replayed(request: Request, vote: c.Vote) -> bool:
    """True if the proof was used and its vote is no longer the one in force."""
    spent = vote.proof_id in request.spent_proofs
    return spent and not (voting.is_repeat(request, vote) or voting.agrees(request, vote))


def _check_statement(parts: Parts, vote: c.Vote, envelope: Envelope) -> None:
    if envelope.payload_type != PAYLOAD_TYPE:
        raise TrustError("it was signed as something else than an answer")
    stated, wanted = parse_statement(envelope.payload), _expected(parts, vote)
    wrong = differences(stated, wanted)
    if wrong:
        name = wrong[0]
        shown = str(getattr(stated, name))[:120]
        raise TrustError(_DIFFERS[name].format(stated=shown, wanted=getattr(wanted, name)))


def _spelt(request: Request, vote: c.Vote, envelope: Envelope) -> list[Envelope]:
    """Return what may have been signed: the same approval, its deadline in each spelling in use."""
    decision = DECISIONS.get(vote.answer)
    if decision is None or vote.edit is not None:
        raise TrustError("this kind of signature can only approve or reject")
    if request.edited is not None or vote.payload_sha256 != request.payload_sha256:
        raise TrustError("the details were changed, and this kind of signature does not say which")
    wanted = [
        approval_message(request.id, decision, vote.reviewer, at)
        for at in expiry_spellings(request.expires_at)
    ]
    if envelope.payload not in wanted:
        raise TrustError("it was signed for another request, decision, approver or deadline")
    others = [payload for payload in wanted if payload != envelope.payload]
    return [envelope, *(replace(envelope, payload=payload) for payload in others)]


async def _signer(parts: Parts, vote: c.Vote, spelt: list[Envelope]) -> tuple[Envelope, KeyInForce]:
    """Return the one of these that was signed, and the key that did."""
    problem: TrustError | None = None
    for envelope in spelt:
        try:
            return envelope, await _key_of(parts, vote, envelope)
        except TrustError as error:
            problem = problem or error
    assert problem is not None
    raise problem


async def _key_of(parts: Parts, vote: c.Vote, envelope: Envelope) -> KeyInForce:
    kind = envelope.key_id.partition(":")[0]
    prover = parts.provers.get(kind)
    if prover is None:
        raise TrustError(f"keys of the kind {kind[:32]!r} are not known here")
    return await prover.key_of(envelope, vote.reviewer, parts.clock.now())


# one-time codes


async def by_code(parts: Parts, request: Request, vote: c.Vote, typed: str) -> c.Vote:
    """Return the vote as the one-time code that was typed proves it.

    A vote without a name is of the reviewer who was sent a code, if there is only one.

    Raises:
        TrustError: It is not the code this reviewer was sent last, for these details, in time;
            recorded, except for what cannot be a code at all.
    """
    vote = _named(parts, request, vote)
    digits = codes.typed_digits(typed)
    if not digits:
        raise TrustError(f"a code has {codes.DIGITS} digits, such as 4821 9375; look at it again")
    code = codes.latest(request, vote.reviewer)
    if code is None:
        await refuse(parts, vote, "no code was sent to you for this request")
    proven = replace(
        vote,
        assurance=max(vote.assurance, Assurance.AUTHENTICATED, key=lambda level: level.rank),
        channel=codes.CHANNEL,
        code_id=code.code_id,
    )
    repeated = voting.is_repeat(request, proven) or voting.agrees(request, proven)
    objection = codes.spent_or_over(request, code, parts.clock.now())
    guess = codes.guess_text(
        code_secret(parts), request=request.id, code_id=code.code_id, digits=digits
    )
    if objection and not repeated:
        await refuse(parts, vote, objection, code_id=code.code_id, guess=guess)
    right = codes.typed_digits(text_of_code(parts, request, code))
    if not hmac.compare_digest(right, digits):
        counted = codes.was_guessed(request, code.code_id, guess)
        left = codes.MAX_TRIES - code.tries - (not counted)
        problem = f"the code is not the one sent to {vote.reviewer}; " + (
            f"{left} more tries" if left else "no more tries, ask for a new one"
        )
        await refuse(parts, vote, problem, code_id=code.code_id, guess=guess)
    return proven


def _named(parts: Parts, request: Request, vote: c.Vote) -> c.Vote:
    if voting.person(vote.reviewer) != voting.UNNAMED:
        return vote
    known = {voting.person(code.reviewer): code.reviewer for code in request.codes}
    if len(known) != 1:
        raise TrustError("put your name with the code, so that it is known whose it is")
    (name,) = known.values()
    return replace(vote, reviewer=name, **parts.standing(name))


# time-based codes


async def by_factor(parts: Parts, vote: c.Vote, typed: str) -> c.Vote:
    """Return the vote as a time-based code proves it: for this request and answer, once.

    Raises:
        TrustError: It is wrong, was used before, or too many were wrong; recorded.
        NoSecondFactor: The reviewer has none.
    """
    if parts.second_factor is None:
        raise NoSecondFactor("this vault knows no second factors")
    step = parts.second_factor.step_of(vote.reviewer, typed, parts.clock.now())
    if problem := guessing(await parts.ledger.register(), vote.reviewer, parts.clock.now()):
        await refuse(parts, vote, problem, FACTOR)
    if await _wrong_factors(parts, vote) >= MAX_WRONG_FACTORS:
        await refuse(
            parts, vote, "too many wrong codes for this request; answer in another way", FACTOR
        )
    if step is None:
        await parts.ledger.record(c.MissFactor(reviewer=vote.reviewer))
        await refuse(
            parts, vote, "the code of the second factor is wrong; wait for the next one", FACTOR
        )
    payload = vote.payload_sha256 if vote.edit is None else vote.edit.payload_sha256
    use_id = f"{vote.id}:{payload}:{vote.answer.value}"
    spent = await parts.ledger.record(
        c.SpendFactor(reviewer=vote.reviewer, step=step, use_id=use_id)
    )
    if spent.kept not in {Kept.ACCEPTED, Kept.DUPLICATE}:
        await refuse(parts, vote, spent.message, FACTOR)
    level = max(vote.assurance, Assurance.AUTHENTICATED, key=lambda level: level.rank)
    until = parts.second_factor.ends_at(step)
    proven = replace(vote, assurance=level, channel=FACTOR, valid_until=until)
    if spent.kept is Kept.DUPLICATE and await _was_counted(parts, proven):
        problem = "this code was used for an answer before; wait for the next one"
        await refuse(parts, vote, problem, FACTOR)
    return proven


async def _was_counted(parts: Parts, vote: c.Vote) -> bool:
    """True if the answer of a spent code was counted, and is not the one in force any more: only a
    process that died between the two may give it again.
    """
    request = await parts.ledger.get(vote.id)
    if request is None or voting.is_repeat(request, vote) or voting.agrees(request, vote):
        return False
    name = voting.person(vote.reviewer)
    return any(
        known.event.kind is Kind.VOTED
        and known.event.data.get("channel") == FACTOR
        and known.event.data.get("payload_sha256") == vote.payload_sha256
        and voting.person(known.event.actor) == name
        for known in await parts.ledger.history(vote.id)
    )


async def _wrong_factors(parts: Parts, vote: c.Vote) -> int:
    history = await parts.ledger.history(vote.id)
    name = voting.person(vote.reviewer)
    return sum(
        event.event.kind is Kind.REFUSED
        and event.event.data.get("channel") == FACTOR
        and voting.person(event.event.actor) == name
        for event in history
    )


# refusing


async def refuse(
    parts: Parts,
    vote: c.Vote,
    problem: str,
    channel: str = "",
    *,
    code_id: str = "",
    guess: str = "",
) -> NoReturn:
    """Record that an answer is not what it claims to be, then raise TrustError saying so."""
    await parts.ledger.submit(
        c.Refuse(
            id=vote.id,
            reviewer=vote.reviewer,
            channel=channel or vote.channel,
            problem=problem,
            code_id=code_id,
            guess=guess,
        )
    )
    raise TrustError(problem)
