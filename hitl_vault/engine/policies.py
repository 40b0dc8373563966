"""Owns which policy is in force. Never lets a broken one loosen anything.

A policy that cannot be read leaves the last good one in force; where there was none, everything
asks. Both are logged as errors and shown by `problem`.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime

from hitl_vault.core.canonical import with_details
from hitl_vault.core.model import Action, Details, Effect, Verdict
from hitl_vault.core.policy import Policy, ask_everything, parse_policy
from hitl_vault.engine.parts import Options
from hitl_vault.errors import PolicyError
from hitl_vault.ports import PolicySource

_log = logging.getLogger(__name__)


class Policies:
    """The policy in force, read again when its file changes."""

    def __init__(self, source: PolicySource, options: Options) -> None:
        self._source, self._options = source, options
        self.problem: PolicyError | None = None
        self.current = self._first()

    def _first(self) -> Policy:
        try:
            return self._loaded()
        except PolicyError as error:
            self._complain(error)
        kept = self._source.load_last_good()
        if kept is not None:
            try:
                policy = parse_policy(kept, name=self._source.name)
            except PolicyError as error:
                _log.error("the last good policy cannot be read either: %s", error)
            else:
                _log.error("the last good policy stays in force")
                return policy
        _log.error("everything asks until the policy can be read")
        return ask_everything(self._source.name, str(self.problem))

    def _loaded(self) -> Policy:
        text = self._source.load()
        policy = parse_policy(text, name=self._source.name)
        try:
            self._source.keep(text)
        except OSError as error:
            _log.warning("cannot keep a copy of the policy: %s", error)
        self.problem = None
        return policy

    def _is_unchanged(self, text: bytes) -> bool:
        return self.problem is None and hashlib.sha256(text).hexdigest() == self.current.sha256

    def _complain(self, error: PolicyError) -> None:
        if str(error) != str(self.problem):
            _log.error("the policy cannot be used: %s", error)
        self.problem = error

    def reload(self) -> None:
        """Read the policy again; keep the one in force if that fails."""
        try:
            if self._is_unchanged(self._source.load()):
                return
            policy = self._loaded()
        except PolicyError as error:
            self._complain(error)
            return
        if policy.sha256 != self.current.sha256:
            _log.info("policy %s is in force", policy.sha256[:12])
        self.current = policy

    def evaluate(self, action: Action, now: datetime, timeout_s: float | None = None) -> Verdict:
        """Judge an action by the policy in force."""
        return self.current.evaluate(
            action,
            now,
            timeout_s=timeout_s,
            default_timeout_s=self._options.timeout_s,
            default_use_within_s=self._options.use_within_s,
        )

    def denied_by(self, action: Action, now: datetime) -> str:
        """Return the deny rules in force for an action, "" if none: they beat any approval."""
        verdict = self.evaluate(action, now)
        return ", ".join(verdict.rules) or "the default" if verdict.effect is Effect.DENY else ""

    def evaluate_edited(self, action: Action, details: Details, now: datetime) -> Verdict:
        """Judge the action again with other details."""
        return self.evaluate(with_details(action, details), now)
