"""Owns which policy is in force. Never lets a broken one loosen anything.

A policy that cannot be read leaves the last good one in force; where there was none, everything
asks. Both are logged as errors and shown by `problem`. A changed text counts once it has been read
twice the same: the first half of a policy that is being saved is a policy too, and a looser one.

Where policies are locked, one that loosens comes into force only once somebody has signed it; what
of it is stricter counts at once.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from datetime import datetime

from hitl_vault.core.canonical import with_details
from hitl_vault.core.model import Action, Details, Effect, Request, Verdict
from hitl_vault.core.policy import Policy, ask_everything, parse_policy
from hitl_vault.core.policy_diff import compare
from hitl_vault.core.requirements import stricter
from hitl_vault.engine.parts import Options
from hitl_vault.errors import PolicyError
from hitl_vault.ports import Clock, PolicySource
from hitl_vault.ports_trust import PolicyLock

_log = logging.getLogger(__name__)
_SETTLE_S = 0.3  # how long a changed text must stay the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A policy that has come into force here and is not on record yet, and the one before it."""

    policy: Policy
    text: bytes
    before: Policy | None
    signed_by: str


class Policies:
    """The policy in force, read again when its file changes.

    Args:
        source: Where its text comes from.
        options: The times that hold where no rule says.
        clock: What tells how long a text has been the same.
        lock: Who says whether a policy is signed; None where policies are not locked.
        on_record: The digest of the policy that was last recorded to be in force, "" if none was.
    """

    def __init__(
        self,
        source: PolicySource,
        options: Options,
        clock: Clock,
        lock: PolicyLock | None = None,
        on_record: str = "",
    ) -> None:
        self._source, self._options, self._clock = source, options, clock
        self._lock, self._on_record = lock, on_record
        self._read: tuple[bytes | None, float] | None = None
        self._held: tuple[bytes, object] | None = None
        self._new: tuple[bytes, Policy] | None = None
        self._last, self._last_sha256 = b"", ""
        self.problem: PolicyError | None = None
        self.taken: Taken | None = None
        self.current = self._first()

    def _first(self) -> Policy:
        """Return what is in force at first. A text changed since the last good one counts as any
        change does: where it is stricter at once, where it loosens once it has settled.
        """
        kept = self._kept()
        try:
            text = self._source.load()
            policy = parse_policy(text, name=self._source.name)
        except PolicyError as error:
            self._complain(error)
        else:
            same = kept is not None and kept.sha256 == policy.sha256
            if kept is None or same or self._source.is_settled(_SETTLE_S):
                nothing = ask_everything(self._source.name, "none is on record or signed")
                return self._entered(policy, text, kept) or kept or nothing
            self._read = (text, self._clock.monotonic())
            return kept
        if kept is not None:
            _log.error("until it can be read the last good policy stays in force")
            return kept
        _log.error("until it can be read everything asks")
        return ask_everything(self._source.name, str(self.problem))

    def _kept(self) -> Policy | None:
        text = self._source.load_last_good()
        if text is None:
            return None
        try:
            kept = parse_policy(text, name=self._source.name)
        except PolicyError as error:
            _log.error("the last good policy cannot be read: %s", error)
            return None
        known = self._lock is None or kept.sha256 == self._on_record
        if known or (self._lock is not None and self._lock.signed_by(kept.sha256)):
            return kept
        _log.error("the copy of the last good policy is not the one on record; it does not count")
        return None

    def _entered(self, policy: Policy, text: bytes, before: Policy | None) -> Policy | None:
        """Take a policy, to be recorded; None, and the reason in `problem`, where it is locked."""
        same = before is not None and before.sha256 == policy.sha256
        signed_by = ""
        if self._lock is not None and not same and policy.sha256 != self._on_record:
            seen, signed_by = self._lock.seen(), self._lock.signed_by(policy.sha256)
            found = compare(
                before or ask_everything(policy.name, "none is on record or signed"),
                policy,
                timeout_s=self._options.timeout_s,
                use_within_s=self._options.use_within_s,
            )
            if found.loosens and not signed_by:
                self._held, self._read = (text, seen), (text, self._clock.monotonic())
                self._complain(_unsigned(policy.name, found.reasons))
                return None
        self.problem = self._held = None
        if not same or policy.sha256 != self._on_record:
            base = before if self.taken is None else self.taken.before
            self.taken = Taken(policy=policy, text=text, before=base, signed_by=signed_by)
        return policy

    def recorded(self, taken: Taken) -> None:
        """The policy taken is on record: keep a copy of it for a time when none can be read."""
        self._on_record = taken.policy.sha256
        if self.taken is taken:
            self.taken = None
        try:
            self._source.keep(taken.text)
        except OSError as error:
            _log.warning("cannot keep a copy of the policy: %s", error)

    def _is_unchanged(self, text: bytes) -> bool:
        if self.problem is not None:
            return False
        if text is not self._last:  # the source hands out the same object while nothing changes
            self._last, self._last_sha256 = text, hashlib.sha256(text).hexdigest()
        return self._last_sha256 == self.current.sha256

    def _complain(self, error: PolicyError) -> None:
        if str(error) != str(self.problem):
            _log.error("the policy cannot be used: %s", error)
        self.problem = error

    def reload(self) -> float | None:
        """Read the policy again; keep the one in force if that fails.

        Returns:
            Seconds after which to call it again, because the text has just changed; else None.
        """
        text, failure = self._text()
        if text is not None and self._is_unchanged(text):
            self._read = self._held = None
            return None
        if self._is_held(text):
            return None
        now = self._clock.monotonic()
        if self._read is None or self._read[0] != text:
            self._read = (text, now)
        left = self._read[1] + _SETTLE_S - now
        if left > 0:
            return left
        if failure is not None:
            self._complain(failure)
        elif text is not None:
            self._take(text)
        return None

    def _is_held(self, text: bytes | None) -> bool:
        """True while the same text waits for a signature and none can have come."""
        if self._held is None or self._lock is None:
            return False
        return self._held[0] == text and self._held[1] == self._lock.seen()

    def _text(self) -> tuple[bytes | None, PolicyError | None]:
        try:
            return self._source.load(), None
        except PolicyError as error:
            return None, error

    def _take(self, text: bytes) -> None:
        before = self.current
        try:
            policy = parse_policy(text, name=self._source.name)
        except PolicyError as error:
            self._held = None
            self._complain(error)
            return
        entered = self._entered(policy, text, before)
        if entered is None:
            return
        self._read, self.current = None, entered
        if entered.sha256 != before.sha256:
            _log.info("policy %s is in force", entered.sha256[:12])

    def text(self) -> bytes | None:
        """Return the text of the policy in force, None where it can no longer be read."""
        for text in (self._text()[0], self._source.load_last_good()):
            if text is not None and hashlib.sha256(text).hexdigest() == self.current.sha256:
                return text
        return None

    def evaluate(self, action: Action, now: datetime, timeout_s: float | None = None) -> Verdict:
        """Judge an action by the policy in force, or by one just read that says something stricter.

        A rule that asks or denies counts from its first reading on; what loosens waits until the
        text has settled and, where policies are locked, is signed.
        """
        verdict, *others = self.verdicts(action, now, timeout_s)
        for other in others:
            if other.effect.rank > verdict.effect.rank:
                verdict = other
            elif self._held is not None and other.effect is verdict.effect is Effect.ASK:
                verdict = _both(verdict, other)
        return verdict

    def verdicts(
        self, action: Action, now: datetime, timeout_s: float | None = None
    ) -> list[Verdict]:
        """Judge an action by the policy in force and by the one just read, if it is another."""
        policies = (self.current, *self._newly_read())
        return [self._judged(policy, action, now, timeout_s) for policy in policies]

    def _judged(
        self, policy: Policy, action: Action, now: datetime, timeout_s: float | None = None
    ) -> Verdict:
        return policy.evaluate(
            action,
            now,
            timeout_s=timeout_s,
            default_timeout_s=self._options.timeout_s,
            default_use_within_s=self._options.use_within_s,
        )

    def denied_by(self, action: Action, now: datetime, approved: Verdict | None = None) -> str:
        """Return the deny rules for an action, "" if none: they beat any approval.

        The policy is read for it, and a deny rule counts from its first reading on. `approved` is
        the verdict the action was approved under: while the same policy is in force and none of
        its rules looks at the time, it would say the same again.
        """
        self.reload()
        if (
            approved is not None
            and approved.effect is not Effect.DENY
            and self._read is None
            and self.problem is None
            and approved.policy_sha256 == self.current.sha256
            and not self.current.reads_clock
        ):
            return ""
        for policy in (self.current, *self._newly_read()):
            if self._judged(policy, action, now).effect is Effect.DENY:
                return ", ".join(_denying(policy, action, now)) or "the default"
        return ""

    def _newly_read(self) -> list[Policy]:
        text = self._read[0] if self._read is not None else None
        if text is None:
            return []
        if self._new is None or self._new[0] != text:
            try:
                self._new = (text, parse_policy(text, name=self._source.name))
            except PolicyError:
                return []
        return [self._new[1]]

    def evaluate_edited(self, request: Request, details: Details, now: datetime) -> Verdict:
        """Judge a request's action again with other details; only a rule shortens its time."""
        action = with_details(request.action, details)
        return self.evaluate(action, now, request.requirement.timeout_s)


def _denying(policy: Policy, action: Action, now: datetime) -> list[str]:
    found = policy.explain(action, now)
    return [each.rule.id for each in found if each.matched and each.rule.effect is Effect.DENY]


def _unsigned(name: str, reasons: tuple[str, ...]) -> PolicyError:
    more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return PolicyError(
        f"it loosens and nobody has signed it ({reasons[0]}{more}); the one before stays in force "
        "until: hitl policy lock --sign KEY",
        file=name,
    )


def _both(held: Verdict, other: Verdict) -> Verdict:
    """Return what meets both, where the other policy is not signed: nobody may answer by it."""
    both = stricter(held, other)
    return replace(
        both,
        policy_sha256=held.policy_sha256,
        summary=held.summary,
        requirement=replace(both.requirement, escalate=held.requirement.escalate),
    )
