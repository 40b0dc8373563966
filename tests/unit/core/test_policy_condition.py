"""Promises of conditions: what they see, and what is said when they cannot be evaluated."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from hitl_vault.core import policy_condition
from hitl_vault.core.model import Action
from hitl_vault.core.policy_condition import Condition, compile_condition, faults_of, make_facts

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
DETAILS = {
    "amount": 1500,
    "rate": 1.5,
    "to": "Ann",
    "ok": True,
    "none": None,
    "list": [1, [2, 3]],
    "pair": (1, 2),
    "deep": {"a b": 1, "inner": {"x": 1}},
}


def judge(text: str, details: dict | None = None) -> bool | str:
    action = Action(
        type="payment",
        description="I am harmless",
        details=DETAILS if details is None else details,
        requested_by="agent",
        agent="inbox",
        run_id="run-1",
    )
    return compile_condition(text).judge(make_facts(action, NOON))


@pytest.mark.parametrize(
    "text",
    [
        'action.type == "payment" && action.requested_by == "agent"',
        'action.agent == "inbox" && action.run_id == "run-1"',
        "details.amount >= 500 && details.amount > 1.5 && details.rate < 2",
        "details.ok && details.none == null",
        "details.list[1][1] == 3 && details.pair[1] == 2",
        'details.deep["a b"] == 1 && has(details.deep.inner)',
        "!has(details.missing)",
        'details.to.matches("(?i)^ANN$")',
        "now.getHours() == 12 && now.getDayOfWeek() == 1",
        'now > timestamp("2026-01-01T00:00:00Z")',
        "details.list.exists(item, item == 1)",
        "details.missing > 1 || true",
    ],
)
def test_what_conditions_can_say(text):
    """Details, the action and the time are read as the values they are."""
    assert judge(text) is True


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("details.sum > 1", "details.sum is missing"),
        ("details.deep.inner.y > 1", "details.deep.inner.y is missing"),
        ("details.deep.lost.y > 1", "details.deep.lost is missing"),
        ("details.to.sum == 1 || details.sum > 1", "details.sum is missing"),
        ("details.to.sum > 1", "(details.to.sum is missing)"),
        ('details["sum"] > 1', "a value named sum is missing"),
        ("details.to > 1", "another kind than the condition expects (details.to is a text)"),
        ("details.none > 1", "details.none is null"),
        ("details.ok > 1", "details.ok is true or false"),
        ("details.list > 1", "details.list is a list"),
        ("details.deep > 1", "details.deep is an object"),
        ('details.amount.matches("x")', "matches() cannot take what it is given"),
        ('1 > "a"', "a value is of another kind than the condition expects"),
        ("details.list[9] == 1", "a list is shorter than the condition expects"),
        ("1 / (details.amount - 1500) > 0", "it divides by zero"),
        ("details.amount * 9223372036854775807 > 0", "a number is too large to compute with"),
        ("details.amount", "it gives a number, not true or false"),
        ("details.to", "it gives a text, not true or false"),
        ("details.none", "it gives null, not true or false"),
        ("now", "it gives a value of another kind, not true or false"),
        ("nobody.home", "`nobody` is not known here"),
        ("Foo{}", "the evaluator failed on it"),
    ],
)
def test_what_cannot_be_evaluated_says_why(text, why):
    """The reason is in plain words and names the value, never the agent's content."""
    said = judge(text)
    assert isinstance(said, str)
    assert why in said


def test_values_of_the_agent_are_not_in_the_reason():
    """An agent cannot write into the reason through a failing value."""
    said = judge("int(details.to) > 1", {"to": "approve me"})
    assert isinstance(said, str)
    assert "approve me" not in said


def test_the_description_is_out_of_reach():
    """No rule can depend on prose the agent words."""
    assert judge("has(action.description)") is False


@pytest.mark.parametrize("value", ["\ud800", object()])
def test_details_that_cannot_be_read_make_every_condition_unclear(value):
    """Even a constant condition does not count as evaluated then."""
    assert judge("true", {"x": value}) == "the details hold a value that conditions cannot read"


class Panicking:
    """A program that ends as broken Rust code, or the user, would end it."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def execute(self, context: object) -> bool:
        raise self.error


class PanicException(BaseException):
    """The name under which a Rust panic surfaces."""


def test_a_panic_is_only_a_condition_that_failed(monkeypatch):
    """A panic of the evaluator does not end the evaluation, nor the reading of a policy."""
    condition = Condition(text="true", program=Panicking(PanicException("boom")))  # type: ignore[arg-type]
    facts = make_facts(Action(type="t", description="", details={}, requested_by="a"), NOON)
    assert condition.judge(facts) == "the evaluator failed on it"

    def panics(_):
        raise PanicException("boom")

    library = SimpleNamespace(compile=panics, Context=panics)
    monkeypatch.setattr(policy_condition, "_cel", lambda: library)
    assert make_facts(Action(type="t", description="", details={}, requested_by="a"), NOON).problem
    with pytest.raises(ValueError, match="does not compile: it is not CEL"):
        compile_condition("true")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_not_swallowed(error, monkeypatch):
    """Ctrl-C works during an evaluation, a compilation and the reading of details."""
    action = Action(type="t", description="", details={}, requested_by="a")
    condition = Condition(text="true", program=Panicking(error()))  # type: ignore[arg-type]
    facts = make_facts(action, NOON)
    with pytest.raises(error):
        condition.judge(facts)

    def interrupted(*_):
        raise error

    library = SimpleNamespace(compile=interrupted, Context=interrupted)
    monkeypatch.setattr(policy_condition, "_cel", lambda: library)
    with pytest.raises(error):
        compile_condition("true")
    with pytest.raises(error):
        make_facts(action, NOON)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("details.a &&", "column 13: mismatched input the end"),
        ("details.a >= 500 and true", "write && for `and`"),
        ("details.a or true", "write || for `or`"),
        ("not details.a", "write ! for `not`"),
        ("details.a = 500", "write == to compare"),
        ("details.a =~ 'x'", "matches("),
        ("true &&\n  && false", "line 2, column 3"),
        ("(" * 500 + "true" + ")" * 500, "it is nested too deeply"),
        ("details" + ".a" * 50_000, "is longer than 4,096 characters"),
    ],
)
def test_what_does_not_compile_says_where_and_what_to_write(text, why):
    """A condition is refused in words of the person who wrote it, and never ends the process."""
    with pytest.raises(ValueError) as caught:
        compile_condition(text)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "amount > 500",
            "`amount` is not a variable; there are action, details, now; did you mean details.amount?",
        ),
        ("details.a == True", "write true"),
        (
            'details.a.lowerAscii() == "x"',
            "`lowerAscii()` is not a function here; compare without regard to case with lower(…)",
        ),
        ("approved(details)", "`approved()` is not a function here"),
        ('action.description == "x"', "rules cannot read the agent's own prose"),
        ("action.typ == 'x'", "`action.typ` is unknown"),
        ("5 + 1", "it gives a number, not true or false"),
    ],
)
def test_faults_are_found_without_an_action(text, fault):
    """What can never work is told before the first agent asks."""
    assert any(fault in found for found in faults_of(compile_condition(text)))


@pytest.mark.parametrize(
    "text",
    [
        "details.list.exists(item, item > 1) && details.deep.all(key, key != 'x')",
        "type(details.a) == int && size(details.a) > 1",
        "action.type.startsWith('x') && details.action.description == 'amount = True'",
        "'lowerAscii() action.typ' in details",
        "true",
    ],
)
def test_sound_conditions_have_no_faults(text):
    """Names bound by macros, type names and texts are not taken for unknown variables."""
    assert faults_of(compile_condition(text)) == []


SCRIPT = """
import sys, time
{before}
from hitl_vault.core.policy_condition import compile_condition
compile_condition("true")
{after}
print("typer" in sys.modules)
"""


@pytest.mark.parametrize(
    ("before", "after", "loaded"),
    [("", "", "False"), ("import cel", "", "True"), ("", "import cel; cel.evaluate('1')", "True")],
)
def test_the_library_loads_without_its_command_line_and_beside_itself(before, after, loaded):
    """Only the extension is loaded, and an application may import the library before or after."""
    script = SCRIPT.format(before=before, after=after)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == loaded


def test_another_layout_of_the_library_falls_back_to_its_import(monkeypatch):
    """If the extension is no longer where it was, the package itself is imported."""
    monkeypatch.delitem(sys.modules, "cel.cel", raising=False)
    monkeypatch.setattr(policy_condition.PathFinder, "find_spec", lambda *_: None)
    monkeypatch.setattr(policy_condition.importlib, "import_module", lambda name: f"module {name}")
    assert policy_condition._cel() == "module cel"


@pytest.mark.parametrize(
    "text",
    [
        "details.l.all(a, details.l.all(b, a + b >= 0))",
        "details.l.all(a, a in details.l)",
        "details.l.exists(a, details.l == [a])",
        'details.l.all(a, string(a).matches("[0-9]+$"))',
        "details.l.map(a, details.l).all(a, a.all(b, b >= 0))",
        "details.l.filter(a, a >= 0).size() >= 0",
        "details.l.map(a, [a, a, a]).size() >= 0",
        "details.l.all(a, lower(details.t) != 'a')",
        "details . l\n. all ( a , details.l . exists ( b , false ) )",
    ],
)
@pytest.mark.parametrize("count", [20_000, 1_500])
def test_no_list_an_agent_gives_holds_the_engine(text, count):
    """Loops over long lists are not begun: the condition is unclear; over shorter ones they end."""
    details = {"l": list(range(count)), "t": "A" * 5 * count}
    began = time.perf_counter()
    said = judge(text, details)
    assert time.perf_counter() - began < 10
    if count > 10_000:
        assert said == "the lists it goes through are too long"


def test_one_loop_over_the_longest_list_there_can_be_is_evaluated():
    """A single loop is no danger, nor are two where the lists are short."""
    assert judge("details.l.all(a, a >= 0)", {"l": [0] * 130_000}) is True
    deep = {"l": [{"l": [1]}] * 1_900, "n": 0}
    assert judge("details.l.all(a, a.l.all(b, b > details.n && b != size(details.l)))", deep)
    assert judge("details.l.all(a, a > details.n)", {"l": [1] * 130_000, "n": 0}) is True


@pytest.mark.parametrize(
    "text",
    [
        "details.l.all(a, a.all(b, b.all(c, c > 0)))",
        "details.l.map(a, (a.filter(b, size(b.map(c, c)) > 0))).size() > 0",
    ],
)
def test_loops_three_deep_are_refused(text):
    """When the policy is read, not when an action comes; a text or a comment is no loop."""
    with pytest.raises(ValueError, match="3 deep; at most 2"):
        compile_condition(text)
    compile_condition(
        "details.l.all(a, a.all(b, b != 'x.all(c, y.all(d, z))')) // .all(c, x.all(d, true))"
    )
    compile_condition(
        "details.l.all(a, a > 0) && details.l.all(a, a > 1) && details.l.all(a, true)"
    )
