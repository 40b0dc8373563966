"""Owns every error this package raises. Never catches one.

HitlVaultError
    NotApproved
        Rejected             a reviewer said no
        Expired              nobody answered, or nobody claimed, in time
        Cancelled            withdrawn before it ran
        Denied               the policy forbids it
    WaitTimeout              the caller's own patience ended; the request still waits
    Conflict                 contradicts what is already recorded
    Refused                  a rule of the lifecycle says no; nothing changed
    ExecutionFailed          it ran before, under the same key, and failed
    OutcomeUnknown           the executor died; a person must resolve it
        OutcomeNotRecorded   it ran here, and how it ended could not be stored yet
    TooManyRequests          the requester asks for more than it may at a time
    TooFast                  the caller sends more than the service takes from one caller
    Unauthenticated          nobody said who calls the service, or the token does not count
    Forbidden                the caller is known to the service, and may not do this
    RequestNotFound
    InvalidRequest           the action, id or option cannot be accepted
    ConfigError              a setting is wrong
        VaultNotFound
        NoSecondFactor       a code was given for a second factor that there is not
        Incompatible         what answers is no service that this client can talk to
    PolicyError              the policy cannot be read; names file and line
    DocumentError            a note cannot be read; names path and line
    StorageError             not stored, nothing changed
        NewerFormat          written by a newer version of hitl_vault
        LedgerCorrupt        the ledger contradicts itself, or its file is damaged
        LedgerLost           there was a ledger, and its file is gone, empty or an older copy
        NotOpen              used before it was opened, or after it was closed
        Indeterminate        may have happened; retry with the same id
    TrustError               what should prove an answer does not
    NotSent                  people could not be told, for now or for ever

Each class carries `code` (stable, for JSON), `exit_code` (command line) and `http_status`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from hitl_vault.core.model import Request


class HitlVaultError(Exception):
    """The root of every error raised on purpose by hitl_vault."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500


class NotApproved(HitlVaultError):
    """The action must not run. `request` is None only where no request was made (Denied)."""

    code = "not_approved"
    http_status = 409

    def __init__(self, message: str, request: Request | None = None) -> None:
        super().__init__(message)
        self.request = request


class Rejected(NotApproved):
    """A reviewer rejected the request."""

    code = "rejected"
    exit_code = 3


class Expired(NotApproved):
    """The deadline to answer, or to claim what was approved, has passed."""

    code = "expired"
    exit_code = 4


class Cancelled(NotApproved):
    """The request was withdrawn."""

    code = "cancelled"
    exit_code = 5


class Denied(NotApproved):
    """The policy forbids the action; no approval can permit it."""

    code = "denied"
    exit_code = 7
    http_status = 403


class WaitTimeout(HitlVaultError):
    """The caller stopped waiting. The request is unchanged: waiting again loses nothing."""

    code = "wait_timeout"
    exit_code = 6
    http_status = 408


class Conflict(HitlVaultError):
    """Contradicts what is recorded; `current` is the request as it stands."""

    code = "conflict"
    exit_code = 8
    http_status = 409

    def __init__(self, message: str, current: Request | None = None) -> None:
        super().__init__(message)
        self.current = current


class Refused(HitlVaultError):
    """A rule of the lifecycle refused the command; nothing changed."""

    code = "refused"
    http_status = 422

    def __init__(self, message: str, current: Request | None = None) -> None:
        super().__init__(message)
        self.current = current


class TooManyRequests(HitlVaultError):
    """The requester has too much waiting, or asks too often; nothing was asked."""

    code = "too_many"
    exit_code = 10
    http_status = 429


class TooFast(HitlVaultError):
    """The caller sends more than the service takes from one caller; `after_s` seconds later."""

    code = "too_fast"
    exit_code = 10
    http_status = 429

    def __init__(self, message: str, after_s: float = 1.0) -> None:
        super().__init__(message)
        self.after_s = after_s


class Unauthenticated(HitlVaultError):
    """Nobody said who calls, or the token does not count."""

    code = "unauthenticated"
    http_status = 401


class Forbidden(HitlVaultError):
    """The caller is known, and may not do this."""

    code = "forbidden"
    http_status = 403


class OutcomeUnknown(HitlVaultError):
    """The action was started and its end was not recorded. It must not run again by itself."""

    code = "outcome_unknown"
    http_status = 409

    def __init__(self, message: str, request: Request | None = None) -> None:
        super().__init__(message)
        self.request = request


class OutcomeNotRecorded(OutcomeUnknown):
    """The action has run here, and how it ended could not be stored. It must not run again.

    It is stored as soon as it can be, while this process lives; afterwards a person resolves it.
    `sentence` says so without the reason, which may name files of this machine.
    """

    code = "outcome_not_recorded"
    http_status = 503

    def __init__(self, message: str, request: Request | None = None, sentence: str = "") -> None:
        super().__init__(message, request)
        self.sentence = sentence or message


class ExecutionFailed(HitlVaultError):
    """The action ran before, under the same key, and failed. It does not run again by itself."""

    code = "execution_failed"

    def __init__(self, message: str, request: Request | None = None) -> None:
        super().__init__(message)
        self.request = request


class RequestNotFound(HitlVaultError):
    """No request has this id (or more than one starts with this prefix)."""

    code = "not_found"
    exit_code = 9
    http_status = 404


class InvalidRequest(HitlVaultError):
    """The action, id or option cannot be accepted; the message names the field."""

    code = "invalid"
    exit_code = 2
    http_status = 422


class ConfigError(HitlVaultError):
    """A setting is wrong; the message names the key and where it came from."""

    code = "config"
    exit_code = 2


class VaultNotFound(ConfigError):
    """There is no vault at the given place."""

    code = "vault_not_found"


class NoSecondFactor(ConfigError):
    """The reviewer has no second factor whose code could prove an answer."""

    code = "no_second_factor"
    http_status = 422


class Incompatible(ConfigError):
    """What answers at the address is no service that this client can talk to; the message says
    which of the two is older.
    """

    code = "incompatible"


class PolicyError(HitlVaultError):
    """The policy cannot be used. `file` and `line` (1-based, 0 if unknown) say where."""

    code = "policy"

    def __init__(self, message: str, *, file: str = "", line: int = 0) -> None:
        where = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(f"{where}{message}")
        self.problem, self.file, self.line = message, file, line


class DocumentError(HitlVaultError):
    """A note cannot be read as a document. `line` is 1-based, 0 if unknown."""

    code = "document"

    def __init__(self, message: str, *, path: str = "", line: int = 0) -> None:
        where = f"{path}:{line}: " if path and line else f"{path}: " if path else ""
        super().__init__(f"{where}{message}")
        self.problem, self.path, self.line = message, path, line


class StorageError(HitlVaultError):
    """Nothing was stored and nothing changed; the message says why."""

    code = "storage"


class NewerFormat(StorageError):
    """The ledger was written by a newer version of hitl_vault; upgrade to open it."""

    code = "newer_format"


class LedgerCorrupt(StorageError):
    """The ledger contradicts itself, or its file is damaged; `hitl audit verify` says where."""

    code = "ledger_corrupt"


class LedgerLost(StorageError):
    """The vault had a ledger whose file is gone, empty or older than what the notes show. Nothing
    goes on unless told to.
    """

    code = "ledger_lost"

    @classmethod
    def older(cls, known: int, ends: int) -> LedgerLost:
        """Return the error for a ledger that ends before what the notes show, as event numbers."""
        return cls(
            f"the notes show what happened up to event {known}, and the ledger ends at {ends}: it "
            "is an older copy. What was decided and run since is not in it, and could run again: "
            "look through the notes that changed since, move them out of the vault, then delete "
            ".hitl/documents.db to go on"
        )


class NotOpen(StorageError, RuntimeError):
    """Used before it was opened, or closed meanwhile. What was asked still waits."""

    code = "not_open"


class Indeterminate(StorageError):
    """The change may or may not have been stored; repeating it with the same id is safe."""

    code = "indeterminate"
    http_status = 503


class TrustError(HitlVaultError):
    """What should prove an answer does not prove it."""

    code = "trust"
    http_status = 403


class NotSent(HitlVaultError):
    """A message was not taken. `again` says whether a later try may succeed.

    `taken` are tags of those of its addresses that did take it, to be left out then.
    """

    code = "not_sent"

    def __init__(
        self, message: str, *, again: bool = True, taken: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(message)
        self.again, self.taken = again, taken
