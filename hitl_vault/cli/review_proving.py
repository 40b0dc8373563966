"""Owns what `hitl review` asks for where a rule demands more than the terminal proves. Never keeps
a code, and never answers for want of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hitl_vault.cli.signing import Proof
from hitl_vault.cli.typing_in import ask_key, ask_line, ask_unseen
from hitl_vault.errors import InvalidRequest

if TYPE_CHECKING:
    from hitl_vault.core.model import Request

_NOTHING = Proof(None, None, None)
_WAYS = {"c": "code", "t": "totp"}


class ReviewProving:
    """What proves the answers of one walk.

    Args:
        sign: A key every answer is signed with, None to sign only what must be signed.
        code, totp: What to ask for where a rule demands that the reviewer be authenticated; neither
            lets the person choose.
        who: Who answers and how sure that is, as `answering_as` says.
    """

    def __init__(self, sign: str | None, *, code: bool, totp: bool, who: dict[str, Any]) -> None:
        from hitl_vault.core.model import Assurance

        if (sign is not None) + code + totp > 1:
            raise InvalidRequest("give one of --sign, --code and --totp, not several")
        self._always = None if sign is None else Proof(sign, None, None)
        self._way = "code" if code else "totp" if totp else ""
        self._sure: Assurance = who.get("assurance", Assurance.EDITED)
        self._signing: Proof | None = None

    def proof_for(self, request: Request) -> Proof | None:
        """Return what proves an answer to the request; None if nothing was given: do not answer."""
        from hitl_vault.core.model import Assurance

        if self._always is not None:
            return self._always
        need = request.requirement.assurance
        if need.rank <= self._sure.rank:
            return _NOTHING
        print(f"{request.id}: its rule asks for an answer that is {need}; here it is {self._sure}.")
        return self._signed() if need is Assurance.SIGNED else self._coded()

    def counted(self, proof: Proof) -> None:
        """Remember a key whose signature counted, for what else must be signed in this walk."""
        if proof.key:
            self._signing = proof

    def _signed(self) -> Proof | None:
        if self._signing is not None:
            print(f"signing with {self._signing.key}")
            return self._signing
        key = ask_line("sign with the key (its file, or hmac:ID; empty: do not answer)")
        return Proof(key, None, None) if key else None

    def _coded(self) -> Proof | None:
        way = self._way or _WAYS.get(
            ask_key("[c]ode you were sent, [t]ime-based code of a second factor, [n]o answer")
        )
        if way == "code":
            typed = ask_unseen("the one-time code you were sent (empty: do not answer)")
            return Proof(None, typed, None) if typed else None
        if way == "totp":
            typed = ask_unseen("the code of your second factor (empty: do not answer)")
            return Proof(None, None, typed) if typed else None
        return None
