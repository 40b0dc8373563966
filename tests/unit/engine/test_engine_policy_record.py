"""The gate protects itself: each policy in force is on record, and one that loosens may need a hand."""

import hashlib

import pytest
from engine_kit import ASK, Office

from hitl_vault.core.events import Kind
from hitl_vault.core.model import Effect
from hitl_vault.core.register import REGISTER_ID
from hitl_vault.errors import Denied, StorageError

ALLOW = "default: ask\nrules:\n  - {id: fine, effect: allow}\n"
TWO = "default: ask\nrules:\n  - {id: two, effect: ask, quorum: 2, approvers: [a, b]}\n"
THREE = TWO + "  - {id: stop, when: action.type == 'wipe', effect: deny}\n"


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


async def recorded(office):
    """Return the data of the policies on record, in order."""
    events = await office.ledger.history(REGISTER_ID)
    return [r.event.data for r in events if r.event.kind is Kind.POLICY_CHANGED]


class Lock:
    """Says that these policies are signed."""

    def __init__(self):
        self.signed, self.asked = {}, 0

    def seen(self):
        return len(self.signed)

    def signed_by(self, policy_sha256):
        self.asked += 1
        return self.signed.get(policy_sha256, "")


@pytest.fixture
def locked():
    office = Office(TWO, kept=TWO)
    office.policy_lock = Lock()
    office.policy_lock.signed[sha(TWO)] = "anna"
    return office


async def test_the_first_policy_is_put_on_record_once():
    """By whichever process sees it first; another one adds nothing."""
    office = Office(ASK)
    await office.open()
    await office.open()
    (one,) = await recorded(office)
    assert one["policy_sha256"] == sha(ASK)
    assert one["loosens"] is False
    assert one["changes"] == ["the first on record: 0 rules, default ask"]
    await office.verify()


async def test_a_change_is_recorded_with_what_changed_and_whether_it_loosens():
    """By one of the processes that see it, not by each; stricter and looser are told apart."""
    office = Office(TWO)
    one, two = await office.open(), await office.open()
    office.policy.text = THREE
    for process in (one, two, one):
        await process.rounds(4)
    office.policy.text = ALLOW
    for process in (two, one):
        await process.rounds(4)
    first, stricter, looser = await recorded(office)
    assert first["before"] == ""
    assert stricter["loosens"] is False
    assert stricter["before"] == sha(TWO)
    assert any("+ stop: deny" in line for line in stricter["changes"])
    assert looser["loosens"] is True
    assert any("which says deny, is gone" in line for line in looser["changes"])
    assert office.policy.kept == ALLOW.encode()


async def test_a_looser_policy_names_what_waits_and_what_was_asked_lately():
    """A reader sees which requests would be judged less strictly."""
    office = Office(TWO)
    hitl = await office.open()
    asked = await hitl.request_approval("pay", "", {"n": 1})
    office.policy.text = ALLOW
    await hitl.rounds(4)
    assert (
        f"looser for {asked.id} (pending): ask would be allow"
        in (await recorded(office))[-1]["changes"]
    )


async def test_a_policy_whose_predecessor_is_not_kept_counts_as_looser():
    """What cannot be compared is not taken for harmless."""
    office = Office(TWO)
    (await office.open()).die()
    office.policy.text, office.policy.kept = THREE, None
    await office.open()
    last = (await recorded(office))[-1]
    assert last["loosens"] is True
    assert "cannot be told" in last["changes"][0]


async def test_what_cannot_be_recorded_is_recorded_later(caplog):
    """A full disk keeps no policy from being in force; it is put on record once there is room."""
    office = Office(TWO)
    real, office.ledger.record = office.ledger.record, None

    async def full(command):
        raise StorageError("the disk is full")

    office.ledger.record = full
    hitl = await office.open()
    await hitl.rounds(8)
    assert await recorded(office) == []
    assert caplog.text.count("could not be put on record") == 1
    office.ledger.record = real
    await hitl.rounds(4)
    assert len(await recorded(office)) == 1


# locked


async def test_an_unsigned_policy_that_loosens_does_not_come_into_force(locked, caplog):
    """The one before stays, loudly and once; a signature puts it in force, and is on record."""
    hitl = await locked.open()
    locked.policy.text = ALLOW
    await hitl.rounds(10)
    assert hitl.evaluate("read", {}).effect is Effect.ASK
    assert hitl.evaluate("read", {}).policy_sha256 == sha(TWO)
    assert "nobody has signed it" in str(hitl.policies.problem)
    assert caplog.text.count("nobody has signed it") == 1
    asked = locked.policy_lock.asked
    await hitl.rounds(10)
    assert locked.policy_lock.asked == asked  # it is not judged again while nothing changes
    assert len(await recorded(locked)) == 1
    locked.policy_lock.signed[sha(ALLOW)] = "anna"
    await hitl.rounds(4)
    assert hitl.policies.problem is None
    assert hitl.evaluate("read", {}).effect is Effect.ALLOW
    last = (await recorded(locked))[-1]
    assert (last["signed_by"], last["loosens"]) == ("anna", True)


async def test_a_stricter_policy_needs_no_signature(locked):
    """It is in force as soon as it has settled."""
    hitl = await locked.open()
    locked.policy.text = THREE
    await hitl.rounds(4)
    with pytest.raises(Denied):
        await hitl.request_approval("wipe", "", {})
    assert hitl.policies.problem is None
    assert (await recorded(locked))[-1]["signed_by"] == ""


async def test_what_is_stricter_in_an_unsigned_policy_counts_at_once(locked):
    """A deny rule beside a loosened one holds; requirements are merged; nobody may answer by it."""
    mixed = (
        "default: ask\nrules:\n"
        "  - {id: two, effect: ask, quorum: 1, approvers: [mallory], assurance: signed,"
        " escalate: [{after: 1s, to: [mallory]}]}\n"
        "  - {id: stop, when: action.type == 'wipe', effect: deny}\n"
    )
    hitl = await locked.open()
    asked = await hitl.request_approval("wipe", "", {})
    await hitl.approve(asked.id, reviewer="a")
    await hitl.approve(asked.id, reviewer="b")
    locked.policy.text = mixed
    await hitl.rounds(6)
    with pytest.raises(Denied, match="stop"):
        await hitl.execution(asked.id).claim()
    verdict = hitl.evaluate("read", {})
    need = verdict.requirement
    assert need.assurance.value == "signed"
    assert {stage.approvers: stage.quorum for stage in need.stages}["a", "b"] == 2
    assert need.escalate == ()
    assert verdict.policy_sha256 == sha(TWO)


async def test_after_a_restart_the_lock_still_holds(locked):
    """Neither a restart nor a changed copy of the last good policy lets a looser one in."""
    (await locked.open()).die()
    locked.policy.text = ALLOW
    hitl = await locked.open()
    assert hitl.evaluate("read", {}).effect is Effect.ASK
    hitl.die()
    locked.policy.kept = ALLOW.encode()
    hitl = await locked.open()
    assert hitl.evaluate("read", {}).effect is Effect.ASK
    assert hitl.policies.problem is not None
    assert [data["policy_sha256"] for data in await recorded(locked)] == [sha(TWO)]


async def test_a_first_policy_under_the_lock_waits_for_its_signature():
    """Until then everything asks; one that only demands more than that needs none."""
    office = Office(ALLOW)
    office.policy_lock = Lock()
    hitl = await office.open()
    assert hitl.evaluate("read", {}).effect is Effect.ASK
    office.policy_lock.signed[sha(ALLOW)] = "anna"
    await hitl.rounds(4)
    assert hitl.evaluate("read", {}).effect is Effect.ALLOW


async def test_taking_the_change_back_ends_the_complaint(locked):
    """The policy that was in force comes back: nothing waits any more."""
    hitl = await locked.open()
    locked.policy.text = ALLOW
    await hitl.rounds(4)
    locked.policy.text = TWO
    await hitl.rounds(4)
    assert hitl.policies.problem is None
    assert hitl.evaluate("read", {}).policy_sha256 == sha(TWO)
    assert len(await recorded(locked)) == 1
