"""Owns what of one request is hidden where it leaves the vault: in its state, events and prose.
Never changes what is recorded.

`redaction` says which details are hidden; here the same values are found again in what was made
from them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from hitl_vault.core.redaction import (
    HIDDEN,
    Redaction,
    hidden_places,
    hidden_texts,
    redact_pointer,
    redact_text,
    redact_value,
    redacted_at,
    redacted_details,
    split_pointer,
)

_OURS = frozenset(
    {"answer", "assurance", "expires_at", "payload_sha256", "policy_sha256", "use_by"}
)
"""What no agent wrote in an event: a short hidden value that occurs in it spoils nothing."""


@dataclass(slots=True, kw_only=True)
class Hider:
    """Says what of one request is hidden, from the details it asked for and those in force."""

    redaction: Redaction
    state: dict[str, Any]
    texts: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.texts = frozenset().union(
            *(hidden_texts(details, self.redaction) for details in self._all_details())
        )

    def _all_details(self) -> list[dict[str, Any]]:
        edited = self.state.get("edited")
        return [self.state["action"]["details"], *([edited["details"]] if edited else [])]

    def hides_event(self, body: bytes) -> bool:
        """True if an event's text holds a hidden value: only its digest may be shown."""
        event = json.loads(body)
        data = event["data"]
        if event["kind"] == "edited" and any(self._hides(*change) for change in data["changes"]):
            return True
        if redact_value(data.get("result"), self.redaction, self.texts) != data.get("result"):
            return True
        said = [event["actor"], data]
        return bool(redact_value(said, Redaction(), self.texts) != said)

    def _shown_details(self, details: dict[str, Any]) -> dict[str, Any]:
        """Return details without hidden values, wherever in them those stand again."""
        shown = redacted_details(details, self.redaction)
        return cast("dict[str, Any]", redact_value(shown, Redaction(), self.texts))

    def hidden_places(self) -> list[str]:
        """Return the pointers of what is hidden by a rule in the details in force."""
        places = hidden_places(self._all_details()[-1], self.redaction)
        return [redact_pointer(place, self.texts) for place in places]

    def shown_data(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return what an event says, without hidden values."""
        shown = {
            name: value if name in _OURS else self._shown(name, value)
            for name, value in data.items()
        }
        if "proof" in shown and shown.get("reason") != data.get("reason"):
            shown["proof"] = HIDDEN  # the reason stands in what was signed, too
        return shown

    def _shown(self, name: str, value: Any) -> Any:
        if name == "changes":
            value = [
                (redact_pointer(path, self.texts), HIDDEN, HIDDEN)
                if self._hides(path, before, after)
                else (redact_pointer(path, self.texts), before, after)
                for path, before, after in value
            ]
        rules = self.redaction if name == "result" else Redaction()
        return redact_value(value, rules, self.texts)

    def _hides(self, path: str, before: str, after: str) -> bool:
        """True if a change is of a hidden value, or of a list with one in it."""
        steps = split_pointer(path)
        values = [json.loads(text) for text in (before, after) if text]
        return any(redacted_at(value, self.redaction, steps) != value for value in values)

    def shown_state(self) -> dict[str, Any]:
        """Return the state without hidden values: in the details, and in what people wrote."""
        shown: dict[str, Any] = copy.deepcopy(self.state)
        for place in (shown["action"], shown.get("edited")):
            if place is not None:
                place["details"] = self._shown_details(place["details"])
        for change in (shown.get("edited") or {}).get("changes", ()):
            if self._hides(change["path"], change["before"], change["after"]):
                change["before"] = change["after"] = HIDDEN
        for place, name in self._said(shown):
            place[name] = redact_value(place[name], Redaction(), self.texts)
        for vote in shown["votes"]:
            if HIDDEN in vote["reason"]:
                vote["proof"] = HIDDEN  # the reason stands in what was signed, too
        if shown.get("outcome"):
            ended = shown["outcome"]
            ended["result"] = redact_value(ended["result"], self.redaction, self.texts)
            for name in ("by", "error"):
                ended[name] = redact_text(ended[name], self.texts)
        return shown

    @staticmethod
    def _said(state: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
        """Yield the places of a state that hold prose, which may repeat a value."""
        yield state["action"], "description"
        yield state, "key"
        yield state, "reason"
        yield from ((state["verdict"], name) for name in ("summary", "reasons"))
        yield from ((vote, "reason") for vote in state["votes"])
        yield from ((comment, "text") for comment in state["comments"])

    def rules_that_hit(self) -> list[str]:
        """Return the rules that hide something of this request."""
        shown = [redacted_details(details, self.redaction) for details in self._all_details()]
        if shown == self._all_details() and self.shown_state() == self.state:
            return []
        return list(self.redaction.rules)


def grant_is_hidden(body: bytes, redaction: Redaction) -> bool:
    """True if an event of the register names a hidden value: what a grant allows one to be."""
    bounds = json.loads(body)["data"].get("bounds") or ()
    return any(redaction.hides(split_pointer(bound[0])) for bound in bounds)


def shown_grant(data: dict[str, Any], redaction: Redaction) -> dict[str, Any]:
    """Return what an event of the register says, without the bounds around hidden values."""
    bounds = data.get("bounds") or ()
    hidden = [bound for bound in bounds if redaction.hides(split_pointer(bound[0]))]
    if not hidden:
        return data
    shown = [
        [bound[0], HIDDEN, None, False] if bound in hidden else list(bound) for bound in bounds
    ]
    return data | {"bounds": shown}
