"""Owns reading a trace context (W3C Trace Context): what may be stored of it. Never makes one."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MEMBER = re.compile(r"[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,256}")
_MAX_STATE_CHARS = 512
_MAX_MEMBERS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Which trace a request was asked in, exactly as it is passed on: two header values.

    It says where the asking was seen, never who asked: nothing is decided by it, and it is no part
    of the payload that an approval binds to.
    """

    traceparent: str
    tracestate: str = ""

    @property
    def trace_id(self) -> str:
        """The id of the whole trace, 32 hexadecimal digits."""
        return self.traceparent[3:35]

    @property
    def span_id(self) -> str:
        """The id of the span that asked, 16 hexadecimal digits."""
        return self.traceparent[36:52]

    @property
    def flags(self) -> int:
        """The flags; bit 0 says that the trace is sampled."""
        return int(self.traceparent[53:55], 16)


def trace_of(traceparent: str, tracestate: str = "") -> Trace | None:
    """Return a trace context, None if the standard says to act as if there was none.

    A wrong `tracestate` is left out, the trace stays. Later versions are read as version 00.
    """
    found = _PARENT.fullmatch(traceparent.strip())
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not trace_id.strip("0"):
        return None
    if not span_id.strip("0"):
        return None
    return Trace(traceparent=f"00-{trace_id}-{span_id}-{flags}", tracestate=_state_of(tracestate))


def _state_of(tracestate: str) -> str:
    members = [member.strip() for member in tracestate.split(",") if member.strip()]
    keys = [member.partition("=")[0] for member in members]
    kept = ",".join(members)
    right = len(keys) == len(set(keys)) <= _MAX_MEMBERS and len(kept) <= _MAX_STATE_CHARS
    return kept if right and all(map(_MEMBER.fullmatch, members)) else ""


def headers_of(trace: Trace | None) -> dict[str, str]:
    """Return the headers that pass a trace on, none for None."""
    if trace is None:
        return {}
    state = {"tracestate": trace.tracestate} if trace.tracestate else {}
    return {"traceparent": trace.traceparent, **state}
