"""Owns time-based second factors, `.hitl/keys/totp.toml`. Never shows a secret after enrolment.

Its form: one table a reviewer, named as they are, with `secret` in base32.
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hitl_vault.adapters.proof.secret_files import load_toml, lock_of, save_secret, toml_text
from hitl_vault.core.voting import person
from hitl_vault.errors import ConfigError, NoSecondFactor

_STEP_S = 30
_AROUND = (0, -1, 1)  # a clock may be half a minute off
_DIGITS = 6
_ISSUER = "hitl-vault"


class TotpFactors:
    """The second factors in a file, read again at every use. Needs the extra `totp`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        """Return who has one. Raises ConfigError, naming the file."""
        return sorted(self._secrets())

    def step_of(self, reviewer: str, typed: str, at: datetime) -> int | None:
        """Return the time step whose code was typed, None if it is none of the near ones.

        Raises:
            NoSecondFactor: The reviewer has none.
            ConfigError: The file cannot be read, or the extra is not installed.
        """
        found = next(
            (
                secret
                for name, secret in self._secrets().items()
                if person(name) == person(reviewer)
            ),
            None,
        )
        if found is None:
            raise NoSecondFactor(f"{reviewer} has no second factor; make one with: hitl key totp")
        now = int(at.timestamp()) // _STEP_S
        maker = _pyotp().TOTP(found)
        given = "".join(typed.split()).encode("utf-8", "replace")
        steps = [
            now + off
            for off in _AROUND
            if hmac.compare_digest(maker.generate_otp(now + off).encode(), given)
        ]
        return steps[0] if steps else None

    def ends_at(self, step: int) -> datetime:
        """Return when the code of a step is near no more."""
        last = step - min(_AROUND)
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=(last + 1) * _STEP_S)

    def enrol(self, reviewer: str, vault: str) -> str:
        """Make a second factor and return its `otpauth://` address, which holds the secret.

        Raises:
            ConfigError: They have one already: take it away first.
        """
        secret = _pyotp().random_base32()
        with lock_of(self._path):
            known = self._secrets()
            if any(person(name) == person(reviewer) for name in known):
                raise ConfigError(
                    f"{reviewer} has a second factor already; end it with: "
                    f"hitl key retire totp:{reviewer}"
                )
            self._save({**known, reviewer: secret})
        address: str = (
            _pyotp().TOTP(secret).provisioning_uri(name=f"{reviewer}@{vault}", issuer_name=_ISSUER)
        )
        return address

    def retire(self, reviewer: str) -> None:
        """Take a second factor away. Raises ConfigError if there is none."""
        with lock_of(self._path):
            known = self._secrets()
            left = {n: secret for n, secret in known.items() if person(n) != person(reviewer)}
            if len(left) == len(known):
                raise ConfigError(f"{reviewer} has no second factor")
            self._save(left)

    def _secrets(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, entry in load_toml(self._path).items():
            secret = entry.get("secret") if isinstance(entry, dict) else None
            if not isinstance(secret, str) or not secret:
                raise ConfigError(f"{self._path}: [{name}] needs a secret in base32")
            found[name] = secret
        return found

    def _save(self, secrets: dict[str, str]) -> None:
        blocks = [
            f"[{toml_text(name)}]\nsecret = {toml_text(secret)}\n"
            for name, secret in secrets.items()
        ]
        save_secret(self._path, "\n".join(blocks).encode())


def _pyotp() -> Any:
    try:
        import pyotp
    except ImportError as error:
        raise ConfigError(
            "second factors need an extra: python -m pip install 'hitl-vault[totp]'"
        ) from error
    return pyotp
