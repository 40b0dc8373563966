"""Owns the decorator that gates a function: evaluate, ask, wait, claim, run once, record.

The action's details are the function's arguments by name. The function gets the approved ones,
which a reviewer may have changed. An action that was executed before (same key) is not run again:
its recorded result is returned. So that the call that ran returns the same as the calls that come
after it, a guard with a key returns JSON values: see `Guard`.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from hitl_vault.core.model import Details, Effect, Request, Status
from hitl_vault.core.steps import resolving
from hitl_vault.engine.checks import MAX_NAME_BYTES, MAX_TEXT_BYTES, name_of, seconds_of, text_of
from hitl_vault.engine.execution import as_json, exact_json
from hitl_vault.errors import Conflict, Denied, ExecutionFailed, InvalidRequest, OutcomeUnknown

if TYPE_CHECKING:
    from hitl_vault.engine.approval_desk import ApprovalDesk

_P = ParamSpec("_P")
_R = TypeVar("_R")
_log = logging.getLogger(__name__)


class Guard:
    """The decorator made by `Orchestrator.guard`.

    `description` and `key` may name arguments in braces: `"Pay {amount} to {to}"`. `ignore` names
    arguments that are no part of the action, such as `self` of a method.

    Returns (calling the guarded function):
        Without a key: what the function returned; every call is an action of its own.
        With a key: the result as JSON values, the same from the call that ran it and from every
        later one: a tuple comes as a list, a dataclass as a dict, a datetime as its text. What JSON
        cannot hold (NaN, other objects, more than 64 KiB) comes as it is from the call that ran,
        which warns in the log, and as its text from later calls. It never counts as a failure.
    """

    def __init__(
        self,
        hitl: ApprovalDesk,
        *,
        type: str,
        description: str,
        key: str | Callable[..., str] | None,
        who: dict[str, Any],
        timeout: float | str | None,
        ignore: Iterable[str],
    ) -> None:
        name_of(type, "type")
        text_of(description, "description", MAX_TEXT_BYTES)
        for name, value in who.items():
            text_of(value, name, MAX_NAME_BYTES)
        if key is not None and not callable(key):
            name_of(key, "key")
        seconds_of(timeout, above_zero=True)
        self._hitl, self._type, self._description = hitl, type, description
        self._key, self._who, self._timeout = key, who, timeout
        self._ignore = _names(ignore)

    def __call__(self, function: Callable[_P, Awaitable[_R]]) -> Callable[_P, Awaitable[_R]]:
        """Gate an async function; a plain one runs in a thread. Generators cannot be gated."""
        if not callable(function):
            raise InvalidRequest(f"a guard needs a function, not {function.__class__.__name__}")
        _check_runs_when_called(function)
        signature = inspect.signature(function)
        _check_parameters(signature, self._ignore)

        @functools.wraps(function)
        async def gated(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return await self._run(function, signature, bound)

        return gated

    async def _run(
        self,
        function: Callable[..., Awaitable[_R]],
        signature: inspect.Signature,
        bound: inspect.BoundArguments,
    ) -> _R:
        details = _details(signature, bound, self._ignore)
        verdict = await self._hitl.verdict_on(self._type, details, **self._who)
        key = self._key_for(details)
        # what was asked under this key stays bound to it, whatever the policy says by now
        asked = key is not None and await self._hitl.was_asked(key)
        if verdict.effect is Effect.DENY and not asked:
            raise Denied(f"the policy forbids this: {verdict.reason}")
        if verdict.effect is Effect.ALLOW and not asked:
            return self._returned(await _call(function, bound))
        request = await self._hitl.request_approval(
            self._type,
            self._filled(self._description, details) or _fallback(function),
            details,
            key=key,
            timeout=self._timeout,
            **self._who,
        )
        request = await self._hitl.wait_for_approval(request.id)
        return await self._run_once(function, signature, bound, request)

    async def _run_once(
        self,
        function: Callable[..., Awaitable[_R]],
        signature: inspect.Signature,
        bound: inspect.BoundArguments,
        request: Request,
    ) -> _R:
        run = self._hitl.execution(request.id)
        try:
            await run.claim()
        except Conflict as conflict:
            if conflict.current is None or not conflict.current.status.was_approved:
                raise
            return await self._outcome(request)  # type: ignore[no-any-return]
        async with run:
            _put(signature, bound, run.details, self._ignore)
            result = await _call(function, bound)
            run.result = result
        return self._returned(result, request)

    def _returned(self, result: _R, request: Request | None = None) -> _R:
        """Return what every call with this key returns; the function's own result without one."""
        if self._key is None:
            return result
        try:
            same: _R = exact_json(result)
        except Exception as error:  # the action ran: whatever its result is, it is no failure
            if request is not None:
                _log.warning(
                    "%s ran, but JSON cannot hold its result (%s): another call with the same key "
                    "returns %.80r",
                    request.id,
                    str(error) or type(error).__name__,
                    as_json(result),
                )
            return result
        return same

    async def _outcome(self, request: Request) -> Any:
        """Return what another run of the same action recorded."""
        ended = await self._hitl.wait_for_outcome(request.id)
        if ended.status is Status.EXECUTED:
            _log.info("%s ran before; its result is returned, nothing runs again", ended.id)
            return ended.result
        if ended.status is Status.FAILED:
            why = ended.outcome.error if ended.outcome else ""
            raise ExecutionFailed(f"{ended.id} ran before and failed: {why}")
        raise OutcomeUnknown(
            f"{ended.id} was started and its end is not known, so it does not run again; "
            f"{resolving(ended.id)}",
            ended,
        )

    def _key_for(self, details: Details) -> str | None:
        if callable(self._key):
            return name_of(self._key(**details), "key")
        return None if self._key is None else self._filled(self._key, details)

    def _filled(self, template: str, details: Details) -> str:
        try:
            return template.format_map(details)
        except (KeyError, IndexError, AttributeError, ValueError) as error:
            raise InvalidRequest(
                f"{template!r} cannot be filled from the arguments: {error}"
            ) from error


def _names(ignore: Iterable[str]) -> frozenset[str]:
    """Return the names to leave out. One text is most likely one name, so it is refused."""
    names = None if isinstance(ignore, str) or not isinstance(ignore, Iterable) else list(ignore)
    if names is None or not all(isinstance(name, str) for name in names):
        raise InvalidRequest(
            f'ignore must be names of arguments, such as ("self",), not {ignore!r}'
        )
    return frozenset(names)


def _check_runs_when_called(function: Callable[..., Any]) -> None:
    """Refuse a generator: calling one runs nothing of it, and would be recorded as executed."""
    for called in (function, getattr(function, "__call__", None)):  # noqa: B004
        if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
            raise InvalidRequest(
                "this is a generator function, and calling it runs nothing of it yet: guard a "
                "function that does the whole action and returns"
            )


def _check_parameters(signature: inspect.Signature, ignore: frozenset[str]) -> None:
    parameters = signature.parameters.values()
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise InvalidRequest(f"{parameter.name} is positional-only; a guard needs its name")
    first = next(iter(signature.parameters), "")
    if first in {"self", "cls"} and first not in ignore:
        raise InvalidRequest(
            f"this is a method, and {first} is no part of the action: leave it out with "
            f'guard(…, ignore=("{first}",))'
        )
    open_ended = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    unknown = ignore - signature.parameters.keys()
    if unknown and not open_ended:
        raise InvalidRequest(
            f"ignore names {', '.join(sorted(unknown))}, but the function takes "
            f"{', '.join(signature.parameters) or 'no arguments'}"
        )


def _fallback(function: Callable[..., Any]) -> str:
    first = (inspect.getdoc(function) or "").partition("\n")[0]
    return first or getattr(function, "__qualname__", "a guarded function")


def _details(
    signature: inspect.Signature, bound: inspect.BoundArguments, ignore: frozenset[str]
) -> Details:
    details: Details = {}
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        if name in ignore:
            continue
        if kind is inspect.Parameter.VAR_KEYWORD:
            details.update((key, item) for key, item in value.items() if key not in ignore)
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            details[name] = list(value)
        else:
            details[name] = value
    return details


def _put(
    signature: inspect.Signature,
    bound: inspect.BoundArguments,
    details: Details,
    ignore: frozenset[str],
) -> None:
    """Put the approved details in place of the arguments."""
    rest = dict(details)
    for name, parameter in signature.parameters.items():
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD and name in rest:
            value = rest.pop(name)
            many = parameter.kind is inspect.Parameter.VAR_POSITIONAL
            bound.arguments[name] = tuple(value) if many else value
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            kept = {k: v for k, v in bound.arguments.get(name, {}).items() if k in ignore}
            bound.arguments[name] = kept | rest


async def _call(function: Callable[..., Awaitable[_R]], bound: inspect.BoundArguments) -> _R:
    if inspect.iscoroutinefunction(function):
        return await function(*bound.args, **bound.kwargs)
    returned: Any = await asyncio.to_thread(_called, function, bound)
    result: _R = await returned if inspect.isawaitable(returned) else returned
    return result


def _called(function: Callable[..., Any], bound: inspect.BoundArguments) -> Any:
    try:
        return function(*bound.args, **bound.kwargs)
    except StopIteration as error:  # no future can hold one: who waits for it would wait for ever
        raise RuntimeError("the function raised StopIteration") from error
