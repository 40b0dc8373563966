"""Bending the rules instead of the answer: the policy, its lock, and standing grants."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace

import pytest
from forgery_kit import Target, fails, unmoved
from ssh_kit import needs_ssh, public

from hitl_vault.adapters.policy.lock import FilePolicyLock
from hitl_vault.adapters.ssh.keygen import sign
from hitl_vault.adapters.ssh.signing import AllowedSigners
from hitl_vault.core import commands as c
from hitl_vault.core.events import Kind
from hitl_vault.core.model import Answer, Assurance, GrantLimit, Status
from hitl_vault.core.policy_lock import PAYLOAD_TYPE as POLICY_TYPE
from hitl_vault.core.policy_lock import PolicyStatement, lock_bytes, signed_bytes
from hitl_vault.core.register import REGISTER_ID, Bound
from hitl_vault.core.statement import Envelope, envelope_text
from hitl_vault.errors import Denied, InvalidRequest, Refused
from hitl_vault.ports import Kept

pytestmark = needs_ssh
STRICT = """\
default: ask
rules:
  - {id: two, effect: ask, quorum: 2, assurance: authenticated, approvers: [alice, bob]}
"""
LOOSE = "default: ask\nrules:\n  - {id: open, effect: ask}\n"
NEVER = "default: ask\nrules:\n  - {id: never, when: details.n > 1, effect: deny}\n  - {id: open, effect: ask}\n"
WHO = {"requested_by": "bot"}


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


async def settled(target, hitl, policy):
    """Save another policy, and let the desk read it until it has settled."""
    target.policy.text = policy
    await hitl.rounds(4)


def quorum(asked):
    return asked.requirement.stages[0].quorum


# a policy that is loosened


async def test_a_policy_loosened_while_it_waits_does_not_loosen_what_was_asked(workspace):
    """A request is answered by the rule it was asked under."""
    target = Target(workspace, STRICT)
    hitl = await target.open()
    asked = await hitl.request_approval("x", "", {"n": 1}, **WHO)
    await settled(target, hitl, LOOSE)
    attack = hitl.approve(asked.id, reviewer="eve")
    await fails(target, hitl, asked, attack, "authenticated", error=Refused, recorded=False)
    fresh = await hitl.request_approval("x", "", {"n": 2}, **WHO)
    assert (quorum(asked), quorum(fresh)) == (2, 1)
    assert (await hitl.approve(fresh.id, reviewer="eve")).status is Status.APPROVED
    recorded = [r.event.data for r in await target.ledger.history(REGISTER_ID)]
    assert recorded[-1]["loosens"] is True


async def test_asking_again_under_a_looser_policy_gives_the_same_request(workspace):
    """The key still means what it meant, with the demands it was asked under."""
    target = Target(workspace, STRICT)
    hitl = await target.open()
    asked = await hitl.request_approval("x", "", {"n": 1}, key="k", **WHO)
    await settled(target, hitl, LOOSE)
    again = await hitl.request_approval("x", "", {"n": 1}, key="k", **WHO)
    assert (again.id, quorum(again)) == (asked.id, 2)
    await unmoved(target, hitl, asked)


async def test_a_deny_rule_added_after_the_approval_stops_it(workspace):
    """What was approved and has not begun is judged by the rules in force when it begins."""
    target = Target(workspace, LOOSE)
    hitl = await target.open()
    one, two = [await hitl.request_approval("x", "", {"n": n}, **WHO) for n in (1, 2)]
    for asked in (one, two):
        await hitl.approve(asked.id, reviewer="alice")
    target.policy.text = NEVER
    two = await hitl.get(two.id)
    attack = hitl.execution(two.id).claim()
    await fails(target, hitl, two, attack, "forbids it now", error=Denied, recorded=False)
    async with hitl.execution(one.id):
        pass


async def test_details_cannot_be_changed_into_what_is_denied(workspace):
    """Approved with a change is judged as if it had been asked so."""
    target = Target(
        workspace,
        NEVER.replace(
            "{id: open, effect: ask}", "{id: open, effect: ask, answers: [approve, reject, edit]}"
        ),
    )
    hitl = await target.open()
    asked = await hitl.request_approval("x", "", {"n": 1}, **WHO)
    attack = hitl.approve(asked.id, reviewer="alice", details={"n": 2})
    await fails(target, hitl, asked, attack, "forbids the changed", error=Refused, recorded=False)
    done = await hitl.approve(asked.id, reviewer="alice", details={"n": 0})
    assert done.status is Status.APPROVED


# the lock


class Locked(Target):
    """A vault whose policy is locked: STRICT is signed; alice may sign policies, bob may not."""

    def __init__(self, folder):
        super().__init__(folder, STRICT, kept=STRICT)
        self.file = folder / "policy.lock"
        key = {name: public(self.ssh[name]) for name in self.ssh}
        self.allow(
            f'alice namespaces="hitl-vault-policy" {key["alice"]}',
            f'bob namespaces="hitl-vault" {key["bob"]}',
        )
        self.policy_lock = FilePolicyLock(self.file, self.vault_id, AllowedSigners(self.signers))
        self.lock(STRICT)

    def lock(self, text, by="alice", **changes):
        """Put a signed lock of a policy in place."""
        namespace = changes.pop("namespace", "hitl-vault-policy")
        name = changes.pop("name", by)
        stated = PolicyStatement(
            vault=self.vault_id, policy_sha256=sha(text), at="2026-11-21T09:00:00Z"
        )
        stated = replace(stated, **changes)
        made = sign(namespace, signed_bytes(stated), self.ssh[by])
        envelope = Envelope(
            payload_type=POLICY_TYPE, payload=lock_bytes(stated), key_id=name, signature=made
        )
        self.file.write_text(envelope_text(envelope) + "\n")


async def loosening_fails(target, hitl, restart=True):
    """Show that the looser policy is not in force: now, and for a process that starts now."""
    await settled(target, hitl, LOOSE)
    for process in (hitl, await target.open()) if restart else (hitl,):
        asked = await process.request_approval("x", "", {"n": 1}, **WHO)
        assert quorum(asked) == 2
        assert "nobody has signed it" in str(process.policies.problem)
        attack = process.approve(asked.id, reviewer="eve")
        await fails(target, process, asked, attack, "authenticated", error=Refused, recorded=False)
    assert all(
        not r.event.data["loosens"]
        for r in await target.ledger.history(REGISTER_ID)
        if r.event.kind is Kind.POLICY_CHANGED
    )


async def loosening_works(target, hitl):
    """Show that the same policy comes into force once alice has signed it."""
    target.lock(LOOSE)
    await settled(target, hitl, LOOSE)
    asked = await hitl.request_approval("x", "", {"n": 5}, **WHO)
    assert quorum(asked) == 1


LOCKS = {
    "no lock": lambda target: target.file.unlink(),
    "the lock of the policy before": lambda target: target.lock(STRICT),
    "the lock of another vault": lambda target: target.lock(LOOSE, vault="vault-2"),
    "a stranger's key": lambda target: target.lock(LOOSE, by="eve"),
    "a stranger's key in alice's name": lambda target: target.lock(LOOSE, by="eve", name="alice"),
    "a key for answers only": lambda target: target.lock(LOOSE, by="bob"),
    "an answer's namespace": lambda target: target.lock(LOOSE, namespace="hitl-vault"),
    "a commit's namespace": lambda target: target.lock(LOOSE, namespace="git"),
    "another schema": lambda target: target.lock(LOOSE, schema="hitl-vault/policy/0"),
    "prose": lambda target: target.file.write_text("signed, alice"),
    "nothing": lambda target: target.file.write_text(""),
}


@pytest.mark.parametrize("name", LOCKS)
async def test_a_lock_that_is_not_for_this_policy_opens_nothing(workspace, name):
    """Another policy's, another vault's, another purpose's, a stranger's, a torn one."""
    target = Locked(workspace)
    hitl = await target.open()
    LOCKS[name](target)
    await loosening_fails(target, hitl)
    await loosening_works(target, hitl)


async def test_a_lock_whose_digest_was_put_in_afterwards_opens_nothing(workspace):
    """The signature covers the digest: another one in its place is not signed."""
    target = Locked(workspace)
    hitl = await target.open()
    target.lock(STRICT)
    form = json.loads(target.file.read_text())
    import base64

    body = base64.b64decode(form["payload"]).replace(sha(STRICT).encode(), sha(LOOSE).encode())
    form["payload"] = base64.b64encode(body).decode()
    target.file.write_text(json.dumps(form))
    await loosening_fails(target, hitl)
    await loosening_works(target, hitl)


async def test_a_key_taken_off_the_list_locks_no_policy(workspace):
    """Signed rightly, by who may no longer."""
    target = Locked(workspace)
    hitl = await target.open()
    kept = target.signers.read_text()
    target.lock(LOOSE)
    target.allow()
    await loosening_fails(target, hitl)
    target.signers.write_text(kept)
    await loosening_works(target, hitl)


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\r"])
async def test_a_key_hidden_in_a_comment_locks_no_policy(workspace, end):
    """A line ends where OpenSSH ends it: nothing else makes a line of its own out of a comment."""
    target = Locked(workspace)
    hitl = await target.open()
    line = f'# old keys{end}eve namespaces="hitl-vault-policy" {public(target.ssh["eve"])}'
    kept = target.signers.read_text()
    with target.signers.open("w", newline="") as file:
        file.write(f"{kept}{line}\n")
    target.lock(LOOSE, by="eve")
    await loosening_fails(target, hitl)
    await loosening_works(target, hitl)


async def test_the_copy_of_the_last_policy_is_no_way_in(workspace):
    """A looser text put where the last good one is kept, and a broken policy, loosen nothing."""
    target = Locked(workspace)
    hitl = await target.open()
    assert quorum(await hitl.request_approval("x", "", {"n": 1}, **WHO)) == 2
    target.policy.kept, target.policy.text = LOOSE.encode(), "rules: ["
    process = await target.open()
    asked = await process.request_approval("x", "", {"n": 2}, **WHO)
    assert asked.status is Status.PENDING
    assert process.policies.current.sha256 != sha(LOOSE)
    target.policy.text = STRICT
    assert quorum(await (await target.open()).request_approval("x", "", {"n": 3}, **WHO)) == 2


# grants


GRANTED = """\
default: ask
rules:
  - {id: small, when: action.type == "payment", effect: ask, answers: [approve, reject, edit],
     grant: {uses: 5, within: 7d}}
"""
BOUNDS = (
    Bound(path="/amount", at_most=400),
    Bound(path="/to", equals='"v"'),
    Bound(path="/n", equals="1"),
    Bound(path="/urgent", equals="true"),
    Bound(path="/note", anything=True),
)
RIGHT = {"amount": 100, "to": "v", "n": 1, "urgent": True, "note": "x"}


@pytest.fixture
async def desk(workspace):
    target = Target(workspace, GRANTED)
    yield target
    await target.verify()


async def grant(hitl, **changes):
    made = {"type": "payment", "requested_by": "bot", "bounds": BOUNDS, "uses": 3, "until": "1d"}
    return await hitl.make_grant(**(made | {"by": "alice"} | changes))


async def pay(hitl, details=None, type="payment", **options):
    details = RIGHT if details is None else details
    return await hitl.request_approval(type, "Pay", details, **(WHO | options))


async def waits(target, hitl, asked, uses=0):
    """Assert that a request waits for a person, and that no use of the grant is gone."""
    assert asked.status is Status.PENDING
    await unmoved(target, hitl, asked)
    assert [len(known.used_for) for known in await hitl.grants()] == [uses]


BEYOND = {
    "more than the bound": {"amount": 400.01},
    "less than nothing": {"amount": -1},
    "a huge number": {"amount": 1e308},
    "a truth value for a number": {"amount": True},
    "a text for a number": {"amount": "100"},
    "nothing for a number": {"amount": None},
    "a list for a number": {"amount": [100]},
    "an object for a number": {"amount": {"value": 100}},
    "a number for a truth value": {"urgent": 1},
    "a text for a truth value": {"urgent": "true"},
    "a truth value for a one": {"n": True},
    "a fraction for a whole": {"n": 1.5},
    "a text for a whole": {"n": "1"},
    "another text": {"to": "w"},
    "another case": {"to": "V"},
    "an unseen letter": {"to": "v\u200b"},
    "a list around it": {"to": ["v"]},
    "an object around it": {"to": {"": "v"}},
    "a list for anything": {"note": ["x"]},
    "an object for anything": {"note": {"x": 1}},
    "an empty object for anything": {"note": {}},
    "one more value": {"cc": "w"},
    "one more value of nothing": {"cc": None},
    "one more empty object": {"cc": {}},
    "a name that looks like a path": {"a/b": 1},
    "a name that hides another": {"amount ": 1},
}


@pytest.mark.parametrize("name", BEYOND)
async def test_what_is_beyond_the_bounds_waits_for_a_person(desk, name):
    """Values, kinds of values, and values that no bound is for."""
    hitl = await desk.open()
    await grant(hitl)
    await waits(desk, hitl, await pay(hitl, RIGHT | BEYOND[name]))
    assert (await pay(hitl)).status is Status.APPROVED


@pytest.mark.parametrize("name", sorted(RIGHT))
async def test_what_leaves_a_value_out_waits_for_a_person(desk, name):
    """A missing value might mean anything to whoever runs it."""
    hitl = await desk.open()
    await grant(hitl)
    await waits(desk, hitl, await pay(hitl, {key: RIGHT[key] for key in RIGHT if key != name}))
    assert (await pay(hitl)).status is Status.APPROVED


@pytest.mark.parametrize(
    "more",
    [
        {"requested_by": "other"},
        {"requested_by": "Bot"},
        {"requested_by": "bot\u200b"},
        {"type": "Payment"},
        {"type": "deploy"},
        {"agent": "alice"},
    ],
)
async def test_a_grant_is_for_one_requester_and_type(desk, more):
    """By exact name: another agent, another case, another type wait; its maker does not act."""
    hitl = await desk.open()
    await grant(hitl)
    await waits(desk, hitl, await pay(hitl, **more))
    assert (await pay(hitl)).status is Status.APPROVED


async def test_a_grant_ends_with_its_uses_its_time_and_its_taking_back(desk):
    """One use too many, one second too late, after it was revoked: each waits."""
    hitl = await desk.open()
    await grant(hitl, uses=2)
    assert [(await pay(hitl, key=f"a{n}")).status for n in range(2)] == [Status.APPROVED] * 2
    await waits(desk, hitl, await pay(hitl, key="a2"), uses=2)
    second = await grant(hitl)
    assert (await pay(hitl, key="b0")).status is Status.APPROVED
    await hitl.revoke_grant(second.grant_id, by="bob")
    assert (await pay(hitl, key="b1")).status is Status.PENDING
    await grant(hitl, until="60s")
    assert (await pay(hitl, key="c0")).status is Status.APPROVED
    desk.clock.advance(60)
    assert (await pay(hitl, key="c1")).status is Status.PENDING


async def test_a_grant_used_for_a_request_is_not_used_for_another(desk):
    """By hand, with the commands themselves: one request, one use, within the narrower limit."""
    hitl = await desk.open()
    made = await grant(hitl, uses=1)
    asked = await pay(hitl)
    assert asked.status is Status.APPROVED
    other = await pay(hitl, key="other")
    use = c.UseGrant(grant_id=made.grant_id, request_id=other.id, limit=GrantLimit(uses=99))
    receipt = await desk.ledger.record(use)
    assert receipt.kept is Kept.REFUSED
    assert "used up" in receipt.message
    await waits(desk, hitl, other, uses=1)


async def test_a_grant_is_not_widened_by_changing_what_is_asked(desk):
    """Details changed beyond the bounds are answered by people, and no grant is made around them."""
    hitl = await desk.open()
    asked = await pay(hitl, RIGHT | {"amount": 500}, key="k")
    changed = await hitl.approve(asked.id, reviewer="alice", details=RIGHT | {"amount": 300})
    assert changed.status is Status.APPROVED
    with pytest.raises(InvalidRequest, match="not between 0 and 200"):
        await hitl.grant_like(asked.id, uses=1, until="1d", by="alice", at_most={"amount": 200})
    with pytest.raises(Refused, match="at most 5 uses"):
        await hitl.grant_like(asked.id, uses=6, until="1d", by="alice")
    with pytest.raises(Refused, match="not approved by bob"):
        await hitl.grant_like(asked.id, uses=1, until="1d", by="bob")
    assert await hitl.grants() == []
    made = await hitl.grant_like(asked.id, uses=1, until="1d", by="alice")
    assert made.bounds[0] == Bound(path="/amount", equals="300")
    await waits(desk, hitl, await pay(hitl, RIGHT | {"amount": 500}, key="again"))
    assert (await pay(hitl, RIGHT | {"amount": 300}, key="same")).status is Status.APPROVED


async def test_a_vote_in_the_name_of_a_grant_is_no_surer_than_any_other(desk):
    """Naming the channel `grant` and a grant's id by hand gives nothing that a typed name does not."""
    policy = GRANTED.replace("grant:", "assurance: authenticated, grant:")
    desk.policy.text = policy
    hitl = await desk.open()
    made = await grant(hitl, uses=1, assurance=Assurance.AUTHENTICATED)
    assert (await pay(hitl)).status is Status.APPROVED
    asked = await pay(hitl, key="more")
    attack = hitl.vote(
        asked.id, Answer.APPROVE, reviewer="alice", channel="grant", reason=made.grant_id
    )
    await fails(desk, hitl, asked, attack, "authenticated", error=Refused, recorded=False)
    known = hitl.vote(
        asked.id,
        Answer.APPROVE,
        reviewer="alice",
        channel="grant",
        assurance=Assurance.AUTHENTICATED,
    )
    await fails(desk, hitl, asked, known, "needs the grant", error=Refused, recorded=False)


@pytest.mark.parametrize(
    "bounds",
    [
        (Bound(path="/amount", at_most=math.inf),),
        (Bound(path="/amount", at_most=math.nan),),
        (Bound(path="/amount", at_most=True),),
        (Bound(path="/amount", at_most=-1),),
        (Bound(path="amount", at_most=1),),
        (Bound(path="/amount"),),
        (Bound(path="/amount", at_most=1, anything=True),),
        (Bound(path="/amount", at_most=1), Bound(path="/amount", anything=True)),
    ],
    ids=[
        "endless",
        "no number",
        "truth",
        "below zero",
        "no pointer",
        "empty",
        "two kinds",
        "twice",
    ],
)
async def test_a_bound_that_means_nothing_makes_no_grant(desk, bounds):
    """Endless, doubled, empty or of the wrong kind: refused when it is made."""
    hitl = await desk.open()
    with pytest.raises((Refused, InvalidRequest)) as caught:
        await grant(hitl, bounds=bounds)
    assert str(caught.value)
    assert await hitl.grants() == []
    assert (await grant(hitl)).uses == 3
