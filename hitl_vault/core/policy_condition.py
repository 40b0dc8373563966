"""Owns the conditions of rules: CEL texts, compiled once. Never lets one break an evaluation.

A condition is judged to true, to false, or to a sentence that says why it could not be evaluated.
It sees `action` (type, requested_by, agent, run_id), `details` and `now`; the agent's description
is left out, so that no rule depends on prose an agent is free to word.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from importlib.machinery import PathFinder
from typing import Any, Protocol

from hitl_vault.core.canonical import kind_of
from hitl_vault.core.model import Action, Details
from hitl_vault.core.policy_cost import MAX_DEPTH, MAX_STEPS, Loops, find_loops

VARIABLES = ("action", "details", "now")
ACTION_FIELDS = ("type", "requested_by", "agent", "run_id")
FUNCTIONS = frozenset(
    """
    bytes contains double duration dyn endsWith int lower matches size startsWith string timestamp
    type uint getDate getDayOfMonth getDayOfWeek getDayOfYear getFullYear getHours getMilliseconds
    getMinutes getMonth getSeconds
    """.split()  # noqa: SIM905 - a column of two dozen lines reads worse
)
_OURS = {"lower": str.lower}
"""What CEL lacks. A pattern with `(?i)` does the same, but is compiled at each evaluation: 30 to
150 microseconds against one."""
MAX_CHARS = 4096  # the evaluator overflows its stack, and ends the process, on far longer chains
_TYPES = frozenset({"bool", "bytes", "double", "int", "list", "map", "string", "type", "uint"})
_TEXT = re.compile(r"""(?:[rR]?("|')(?:\\.|(?!\1).)*\1)|//[^\n]*""", re.DOTALL)
_MISSING = object()
_LOADING = threading.Lock()
_BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|filter|map)\s*\(\s*([A-Za-z_]\w*)\s*,")
_PATH = re.compile(r"(?<![\w.])(?:details|action)(?:\s*\.\s*[A-Za-z_]\w*)+(?!\s*\(|\w)")


class Program(Protocol):
    """What the library compiles an expression to."""

    def execute(self, context: Any) -> Any:
        """Evaluate; raises whatever goes wrong."""
        ...

    def variables(self) -> list[str]:
        """Name the identifiers, those bound by macros among them."""
        ...

    def functions(self) -> list[str]:
        """Name the functions and operators."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What conditions may see of one action, in the evaluator's form.

    `problem` says why there is no such form; every condition then cannot be evaluated.
    """

    details: Details
    context: Any
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One compiled expression."""

    text: str
    program: Program
    loops: Loops = field(default_factory=Loops)

    def judge(self, facts: Facts) -> bool | str:
        """Return true, false, or in words why it could not be evaluated. Never raises."""
        if facts.problem:
            return facts.problem
        if self.loops.depth and self.loops.steps(facts.details) > MAX_STEPS:
            return "the lists it goes through are too long"
        try:
            result = self.program.execute(facts.context)
        except BaseException as error:
            if not _is_evaluation_error(error):
                raise
            return _in_words(self.text, error, facts.details)
        if isinstance(result, bool):
            return result
        return f"it gives {kind_of(result)}, not true or false"


def make_facts(action: Action, now: datetime) -> Facts:
    """Return what every condition of one evaluation shares. Never raises."""
    seen = {
        "type": action.type,
        "requested_by": action.requested_by,
        "agent": action.agent,
        "run_id": action.run_id,
    }
    try:
        variables = {"action": seen, "details": action.details, "now": now}
        context = _cel().Context(variables, _OURS)
    except BaseException as error:
        if not _is_evaluation_error(error):
            raise
        problem = "the details hold a value that conditions cannot read"
        return Facts(details={}, context=None, problem=problem)
    return Facts(details=action.details, context=context)


def compile_condition(text: str) -> Condition:
    """Compile an expression.

    Raises:
        ValueError: It is not CEL; the message says where and what to write instead.
    """
    if not text.strip():
        raise ValueError("is empty; leave it out where the rule always counts")
    if len(text) > MAX_CHARS:
        raise ValueError(f"is longer than {MAX_CHARS:,} characters")
    loops = find_loops(_TEXT.sub("''", text))
    if loops.depth > MAX_DEPTH:
        raise ValueError(
            f"has loops (all, exists, filter, map) {loops.depth} deep; at most {MAX_DEPTH} are "
            "accepted, since each multiplies the work with the length of a list"
        )
    try:
        return Condition(text=text, program=_cel().compile(text), loops=loops)
    except BaseException as error:
        if not _is_evaluation_error(error):
            raise
        raise ValueError(f"does not compile: {_syntax_error(text, str(error))}") from error


def faults_of(condition: Condition) -> list[str]:
    """Return what can never work in a condition that compiles: unknown names, a constant."""
    code = _TEXT.sub("''", condition.text)
    bound = set(_BOUND.findall(code))
    variables = set(condition.program.variables()) - bound
    faults = [
        f"`{name}` is not a variable; there are {', '.join(VARIABLES)}{_meant(name)}"
        for name in sorted(variables - set(VARIABLES) - _TYPES)
    ]
    names = {name for name in condition.program.functions() if name[0].isalpha()}
    faults += [
        f"`{name}()` is not a function here{_instead(name)}" for name in sorted(names - FUNCTIONS)
    ]
    read = re.findall(r"(?<![\w.])action\s*\.\s*([A-Za-z_]\w*)(?!\w|\s*\()", code)
    for name in sorted(set(read) - set(ACTION_FIELDS)):
        why = "rules cannot read the agent's own prose; " if name == "description" else ""
        faults.append(f"`action.{name}` is unknown; {why}there are {', '.join(ACTION_FIELDS)}")
    if not variables:
        constant = condition.judge(Facts(details={}, context=_cel().Context({}, _OURS)))
        if not isinstance(constant, bool):
            faults.append(constant)
    return faults


def _cel() -> Any:
    """Load the evaluator: only the extension module of the library, in about 15 ms.

    `import cel` takes 174 ms, because the package imports its own command line. The module is
    registered, under a lock, because loading it a second time panics.
    """
    with _LOADING:
        if "cel.cel" in sys.modules:
            return sys.modules["cel.cel"]
        package = importlib.util.find_spec("cel")
        inside = package.submodule_search_locations if package is not None else None
        found = PathFinder.find_spec("cel.cel", inside)
        if found is None or found.loader is None:
            return importlib.import_module("cel")
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        sys.modules["cel.cel"] = module
        return module


def _is_evaluation_error(error: BaseException) -> bool:
    # A panic of the Rust code is a BaseException of a class that cannot be imported by name.
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _in_words(text: str, error: BaseException, details: Details) -> str:
    """Say why an evaluation failed. Values are not shown: they are the agent's."""
    match error:
        case KeyError():
            return _missing(text, str(error.args[0]) if error.args else "a value", details)
        case IndexError():
            return "a list is shorter than the condition expects"
        case ZeroDivisionError():
            return "it divides by zero"
        case OverflowError():
            return "a number is too large to compute with"
        case TypeError():
            return _misfit(text, details)
    called = re.search(r"'(\w+)'", str(error))
    if called is not None and called[1] in FUNCTIONS:
        return f"{called[1]}() cannot take what it is given: {_misfit(text, details)}"
    if called is not None and str(error).startswith("Undefined"):
        return f"`{called[1]}` is not known here"
    return "the evaluator failed on it"


def _missing(text: str, key: str, details: Details) -> str:
    for path in _paths(text):
        steps = path.split(".")
        if steps[0] != "details" or key not in steps[1:]:
            continue
        value: Any = details
        for depth, step in enumerate(steps[1:], start=2):
            if not isinstance(value, dict):
                break
            if step not in value:
                return f"{'.'.join(steps[:depth])} is missing"
            value = value[step]
    return f"a value named {key} is missing"


def _misfit(text: str, details: Details) -> str:
    kinds = []
    for path in dict.fromkeys(_paths(text)):
        value: Any = details
        for step in path.split(".")[1:]:
            value = value.get(step, _MISSING) if isinstance(value, dict) else _MISSING
        if path.startswith("details."):
            kinds.append(f"{path} is {'missing' if value is _MISSING else kind_of(value)}")
    if not kinds:
        return "a value is of another kind than the condition expects"
    return f"a value is of another kind than the condition expects ({', '.join(kinds)})"


def _paths(text: str) -> Iterator[str]:
    for found in _PATH.findall(_TEXT.sub("''", text)):
        yield re.sub(r"\s", "", found)


def _syntax_error(text: str, message: str) -> str:
    found = re.search(r"<input>:(\d+):(\d+): (?:Syntax error: )?([^\n]*)", message)
    if "Recursion limit" in message:
        return "it is nested too deeply"
    if found is None:
        return "it is not CEL"
    line, column, what = found.groups()
    what = re.sub(r" expecting .*", "", what).replace("'<EOF>'", "the end")
    where = f"column {column}" if line == "1" else f"line {line}, column {column}"
    return f"{where}: {what}{_advice(_TEXT.sub('', text))}"


def _advice(code: str) -> str:
    for pattern, advice in (
        (r"\band\b", "write && for `and`"),
        (r"\bor\b", "write || for `or`"),
        (r"\bnot\b", "write ! for `not`"),
        (r"(?<![=!<>])=(?![=~])", "write == to compare"),
        (r"=~", "write details.x.matches('…')"),
    ):
        if re.search(pattern, code):
            return f" ({advice})"
    return ""


def _meant(name: str) -> str:
    constants = {"True": "true", "False": "false", "None": "null"}
    if name in constants:
        return f"; write {constants[name]}"
    return f"; did you mean details.{name}?"


def _instead(name: str) -> str:
    if name in {"lowerAscii", "upperAscii", "upper"}:
        return "; compare without regard to case with lower(…)"
    return ""
