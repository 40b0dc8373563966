"""The policy in force: reloaded when it changes, never loosened by a broken or half-saved one."""

import pytest
from engine_kit import ASK, Office

from hitl_vault.core.model import Action, Effect
from hitl_vault.errors import Conflict, Denied, InvalidRequest

ALLOW = "default: ask\nrules:\n  - {id: fine, effect: allow}\n"
DENY = "default: ask\nrules:\n  - {id: fine, effect: allow}\n  - {id: stop, effect: deny}\n"
BROKEN = "default: ask\nrules: [\n"


async def test_a_changed_policy_is_in_force_soon(office: Office):
    """Within a round of its being saved, without a restart."""
    hitl = await office.open()
    office.policy.text = ALLOW
    await hitl.rounds(4)
    assert hitl.evaluate("read", {}).effect is Effect.ALLOW
    assert hitl.policies.problem is None
    assert office.policy.kept == ALLOW.encode()


async def test_a_half_saved_policy_loosens_nothing():
    """The first half of a text is a policy too: it does not count while it is being written."""
    office = Office(DENY)
    hitl = await office.open()
    office.policy.text = ALLOW  # the editor has written this much
    for _ in range(3):
        hitl.policies.reload()
        assert hitl.evaluate("read", {}).effect is Effect.DENY
        office.clock.advance(0.05)
    office.policy.text = DENY.replace("stop", "halt")
    await hitl.rounds(4)
    assert hitl.evaluate("read", {}).rules == ("fine", "halt")
    assert office.policy.kept == office.policy.text.encode()


async def test_a_broken_policy_leaves_the_last_good_one_in_force(caplog: pytest.LogCaptureFixture):
    """Loud, and no looser."""
    office = Office(DENY)
    hitl = await office.open()
    office.policy.text = BROKEN
    await hitl.rounds(20)
    assert hitl.evaluate("read", {}).effect is Effect.DENY
    assert hitl.policies.problem is not None
    assert caplog.text.count("cannot be used") == 1
    office.policy.text = None
    await hitl.rounds(20)
    assert hitl.evaluate("read", {}).effect is Effect.DENY
    office.policy.text = ALLOW
    await hitl.rounds(4)
    assert hitl.policies.problem is None
    assert hitl.evaluate("read", {}).effect is Effect.ALLOW


async def test_the_policy_that_comes_back_unchanged_is_no_problem_any_more():
    """A problem ends with its cause."""
    office = Office(DENY)
    hitl = await office.open()
    for text in (None, BROKEN):
        office.policy.text = text
        await hitl.rounds(4)
        assert hitl.policies.problem is not None
        office.policy.text = DENY
        await hitl.rounds(4)
        assert hitl.policies.problem is None


async def test_a_start_with_a_broken_policy_uses_the_last_good_one(
    caplog: pytest.LogCaptureFixture,
):
    """The copy of the last one that could be read is in force, and the log says so."""
    hitl = await Office(BROKEN, kept=DENY).open()
    assert hitl.evaluate("read", {}).effect is Effect.DENY
    assert "the last good policy stays in force" in caplog.text


@pytest.mark.parametrize("kept", [None, BROKEN])
async def test_a_start_without_any_good_policy_asks_everything(
    kept: str | None, caplog: pytest.LogCaptureFixture
):
    """No policy: everything asks, and the log says just that."""
    hitl = await Office(None, kept=kept).open()
    verdict = hitl.evaluate("read", {})
    assert verdict.effect is Effect.ASK
    assert "cannot be read" in verdict.reason
    assert "everything asks" in caplog.text
    assert "stays in force" not in caplog.text
    assert hitl.requires_approval("read", {})


async def test_a_deny_rule_counts_from_its_first_reading():
    """A rule against what is about to run does not wait until its file has settled."""
    office = Office(ASK)
    hitl = await office.open()
    asked = await hitl.request_approval("wipe", "", {})
    await hitl.approve(asked.id, reviewer="alice")
    office.policy.text = DENY
    with pytest.raises(Denied, match="stop"):
        await hitl.execution(asked.id).claim()
    office.policy.text = ASK
    await hitl.execution(asked.id).claim()


async def test_the_policy_decides_the_default_time():
    """The shorter of the rule's and the caller's time to answer holds."""
    office = Office("default: ask\nrules:\n  - {id: quick, effect: ask, timeout: 10m}\n")
    hitl = await office.open()
    for timeout, wanted in ((None, 600), ("1h", 600), ("1m", 60), (30, 30)):
        asked = await hitl.request_approval("x", "", {"t": str(timeout)}, timeout=timeout)
        assert (asked.expires_at - asked.created_at).total_seconds() == wanted


# asking, which the policy gates


async def test_the_same_key_is_the_same_request(office: Office):
    """In any process, after any restart; another content is a conflict; the id is the first one's."""
    hitl = await office.open()
    one = await hitl.request_approval("pay", "first words", {"n": 1}, key="K")
    hitl.die()
    other = await office.open()
    two = await other.request_approval("pay", "other words", {"n": 1}, key="K")
    assert one.id == two.id
    with pytest.raises(Conflict, match="K"):
        await other.request_approval("pay", "", {"n": 2}, key="K")
    mine = await other.request_approval("pay", "", {"n": 3}, id="Mine.1")
    assert (await other.request_approval("pay", "", {"n": 3}, id="Mine.1")).rev == mine.rev
    with pytest.raises(Conflict):
        await other.request_approval("pay", "", {"n": 4}, id="Mine.1")
    assert len(office.vault.files) == 2


async def test_a_known_key_outlives_a_deny_rule(office: Office):
    """What was asked before it was forbidden can still be looked up by its key, not claimed."""
    hitl = await office.open()
    one = await hitl.request_approval("pay", "", {}, key="K")
    office.policy.text = DENY
    await hitl.rounds(4)
    assert (await hitl.request_approval("pay", "", {}, key="K")).id == one.id
    with pytest.raises(Denied):
        await hitl.request_approval("pay", "", {}, key="L")


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": ""}, {"type": 7}, {"requested_by": " "}, {"key": ""}, {"id": "../x"}, {"id": ""},
        {"timeout": "soon"}, {"timeout": -1}, {"description": "\ud800"}, {"details": {"a": {1}}},
        {"details": {"n": float("nan")}}, {"description": "x" * 2_000_000},
    ],
)  # fmt: skip
async def test_what_cannot_be_accepted_names_its_field(office: Office, wrong: dict):
    """Nothing is stored, and the error says which field and why."""
    hitl = await office.open()
    given = {"type": "pay", "description": "", "details": {}} | wrong
    with pytest.raises(InvalidRequest):
        await hitl.request_approval(**given)
    assert await hitl.list_requests() == []
    assert not office.vault.files


async def test_denied_by_reads_the_policy_once_more(office: Office):
    """The engine's word for it is empty where nothing forbids it."""
    hitl = await office.open()
    action = Action(type="x", description="", details={}, requested_by="agent")
    assert hitl.policies.denied_by(action, office.clock.now()) == ""
    office.policy.text = "default: deny\nrules:\n"
    assert hitl.policies.denied_by(action, office.clock.now()) == "the default"


async def test_denied_by_names_the_rules_that_deny(office: Office):
    """A rule that only asks or allows did not forbid it."""
    office = Office(DENY)
    hitl = await office.open()
    action = Action(type="read", description="", details={}, requested_by="agent")
    assert hitl.policies.denied_by(action, office.clock.now()) == "stop"
