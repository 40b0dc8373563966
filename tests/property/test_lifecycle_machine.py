"""Whatever is asked of a request, in whatever order and at whatever time, the promises hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hitl_vault.core import chain
from hitl_vault.core import commands as c
from hitl_vault.core.chain import Walked
from hitl_vault.core.events import Kind
from hitl_vault.core.lifecycle import apply, next_due
from hitl_vault.core.model import Answer, Assurance, Effect, Escalation, Requirement, Stage, Status
from hitl_vault.core.requirements import stricter_requirement
from hitl_vault.core.steps import TRANSITIONS, Refusal, Step, Why
from hitl_vault.core.voting import may_answer, tally
from hitl_vault.testing.clock import START
from hitl_vault.testing.samples import make_ask, make_claim, make_edit, make_finish, make_vote

ROLES = ("finance", "legal", "cfo")
PEOPLE = {
    "alice": ("finance",),
    "ALICE ": ("finance",),
    "bob": ("finance", "legal"),
    "carl": ("legal",),
    "dora": ("cfo",),
    "eve": (),
    "unnamed": (),
    "bot": ROLES,
    "Bot\u200b": ROLES,
}
SAME = {"ALICE ": "alice", "Bot\u200b": "bot"}  # our own book of who is who
stage = st.builds(
    Stage,
    approvers=st.sampled_from(
        [(), (), ("finance",), ("legal",), ("cfo",), ("finance", "legal"), ("bob",)]
    ),
    quorum=st.integers(1, 2),
)
stages = st.lists(stage, min_size=1, max_size=2).map(tuple) | st.sampled_from(
    [(Stage(),), (Stage(quorum=2),), (Stage(quorum=3),)]
)
often = lambda usual, *seldom: st.sampled_from([usual] * 4 + list(seldom))  # noqa: E731
pending = precondition(lambda self: self.request.status is Status.PENDING)


def once_in(*statuses):
    return precondition(lambda self: self.request.status in statuses)


requirements = st.builds(
    Requirement,
    stages=stages,
    timeout_s=often(500.0, 0.0, 1.0, 40.0),
    use_within_s=often(500.0, 0.0, 40.0),
    answers=often(tuple(Answer), (Answer.APPROVE, Answer.REJECT)),
    require_reason=often((), (Answer.REJECT,), (Answer.APPROVE,)),
    assurance=often(Assurance.EDITED, Assurance.SIGNED, Assurance.SIGNED),
    veto=st.booleans(),
    remind_s=st.sampled_from([(), (5.0, 20.0), (7.0,)]),
    escalate=st.sampled_from([(), (Escalation(after_s=10.0, to=("cfo",)),)]),
    hours=often((), ("Sat 09:00-09:30, Sat 09:31-24:00 UTC",)),  # time stands still for 48 s
    timeout_open_s=often(None, 30.0),
)
ENDINGS = (Status.EXECUTED, Status.FAILED, Status.UNKNOWN)


def can_be_met(need, approvals):
    """Say whether different people among the approvals (name, roles) can fill every stage."""
    seats = [stage.approvers for stage in need.stages for _ in range(stage.quorum)]

    def sits(person_, seat):
        name, roles = person_
        return not seat or name in seat or bool(set(roles) & set(seat))

    taken = {}

    def seated(seat, seen):
        for index, one in enumerate(approvals):
            if index not in seen and sits(one, seats[seat]):
                seen.add(index)
                if index not in taken or seated(taken[index], seen):
                    taken[index] = seat
                    return True
        return False

    return all(seated(seat, set()) for seat in range(len(seats)))


class Life(RuleBasedStateMachine):
    """Hands one request any commands, and keeps its own book of what must be true."""

    @initialize(need=requirements)
    def ask(self, need):
        self.now = START
        step = apply(
            None,
            make_ask(requested_by="bot", **{n: getattr(need, n) for n in need.__slots__}),
            START,
        )
        assert isinstance(step, Step)
        self.request, self.events, self.first = step.request, list(step.events), need
        self.needs = [need]
        self.approvals = {}
        self.claims = 0

    def somebody(self, who, anybody):
        """Pick one of those who may answer now, or anybody at all."""
        stage = self.request.requirement.stages[tally(self.request).stage]
        able = [
            name
            for name in sorted(PEOPLE)
            if may_answer(stage, make_vote(self.request, name, roles=PEOPLE[name]))
        ]
        names = sorted(PEOPLE) if anybody or not able else able
        return names[who % len(names)]

    def submit(self, command):
        before, now = self.request, self.now
        judged = apply(before, command, now)
        assert apply(before, command, now) == judged, "the same arguments, the same answer"
        step = judged if isinstance(judged, Step) else judged.step
        if step is not None:
            self.accepted(before, step)
        if isinstance(judged, Refusal):
            again = apply(self.request, command, now)
            assert isinstance(again, Refusal)
            assert again.step is None
            if step is not None:
                assert step.request.status is Status.EXPIRED
        elif not isinstance(command, c.Remind | c.Escalate):
            repeated = apply(self.request, command, now)
            assert isinstance(repeated, Refusal)
            if repeated.step is None:
                assert repeated.why is Why.DUPLICATE, (command, repeated)
        return judged

    def accepted(self, before, step):
        after = step.request
        assert after.rev == before.rev + 1
        assert {event.rev for event in step.events} == {after.rev}
        assert {event.at for event in step.events} == {after.updated_at}
        assert after.updated_at >= before.updated_at
        assert not before.status.is_terminal or after.status is before.status
        assert after.status is before.status or after.status in TRANSITIONS[before.status]
        assert after.expires_at <= before.expires_at
        kinds = [event.kind for event in step.events]
        if Kind.APPROVED in kinds or Kind.REJECTED in kinds or Kind.VOTED in kinds:
            assert after.updated_at < before.expires_at
        if Kind.REJECTED in kinds and not after.requirement.veto:
            against = [vote for vote in after.votes if vote.answer is Answer.REJECT]
            assert len(against) >= min(one.quorum for one in after.requirement.stages)
        if Kind.CLAIMED in kinds:
            assert before.status is Status.APPROVED
            assert after.updated_at < before.use_by
            assert after.claim.payload_sha256 == before.payload_in_force
        self.request = after
        self.events += step.events

    @rule(seconds=often(1, 0, 5, 10, 40, -20, -1000))
    def time(self, seconds):
        """Time passes, or somebody sets the clock back."""
        self.now += timedelta(seconds=seconds)

    @pending
    @rule(
        voters=st.lists(st.tuples(st.integers(0, 8), often(False, True)), min_size=1, max_size=4),
        answer=often(Answer.APPROVE, Answer.REJECT),
        reason=often("because", ""),
        weak=often(False, True),
        stale=often(False, False, False, True),
    )
    def vote(self, voters, answer, reason, weak, stale):
        """Some people answer what they saw."""
        for who, anybody in voters:
            name = self.somebody(who, anybody)
            vote = make_vote(
                self.request, name, answer, roles=PEOPLE[name], reason=reason,
                assurance=Assurance.EDITED if weak else Assurance.SIGNED,
                payload_sha256=self.request.payload_sha256 if stale else None,
            )  # fmt: skip
            before = self.request
            if isinstance(self.submit(vote), Step):
                assert vote.payload_sha256 == before.payload_in_force
                assert answer in before.requirement.answers
                self.book(vote)

    @pending
    @rule(
        who=st.integers(0, 8),
        anybody=often(False, True),
        amounts=st.sampled_from([(10,), (20,), (20.0,), (1500,), (10, 20, 10)]),
        need=requirements,
        effect=often(Effect.ASK, Effect.ALLOW, Effect.DENY),
        weak=st.booleans(),
        honest=often(True, True, True, False),
    )
    def edit(self, who, anybody, amounts, need, effect, weak, honest):
        """Somebody answers with other details, which the policy judges anew."""
        for turn, amount in enumerate(amounts):
            if self.request.status is Status.PENDING:
                self.edit_once(who + turn, anybody, amount, need, effect, weak, honest)

    def edit_once(self, who, anybody, amount, need, effect, weak, honest):
        name = self.somebody(who, anybody)
        edit = make_edit(self.request, effect=effect, requirement=need, amount=amount)
        assurance = Assurance.EDITED if weak else Assurance.SIGNED
        vote = make_vote(
            self.request, name, edit=edit, roles=PEOPLE[name], assurance=assurance, reason="so"
        )
        if not honest:
            vote = replace(vote, answer=Answer.APPROVE)
        old = self.request.payload_in_force
        allowed = Answer.EDIT in self.request.requirement.answers
        if isinstance(self.submit(vote), Step):
            assert honest
            assert allowed
            assert effect is not Effect.DENY
            assert self.request.payload_in_force == edit.payload_sha256 != old
            assert self.request.details["amount"] == amount
            self.approvals = {}
            if effect is Effect.ASK:
                self.needs.append(need)
            self.book(vote)

    def book(self, vote):
        name = SAME.get(vote.reviewer, vote.reviewer)
        self.approvals.pop(name, None)
        if vote.answer is not Answer.REJECT:
            self.approvals[name] = vote

    @once_in(Status.APPROVED, Status.EXECUTING, Status.UNKNOWN)
    @rule(
        claim_id=st.sampled_from(["c1", "c2"]), denied=often("", "a-rule"), stale=often(False, True)
    )
    def claim(self, claim_id, denied, stale):
        """An executor wants to run it."""
        command = make_claim(self.request, claim_id, denied_by=denied)
        if stale:
            command = c.Claim(
                id=command.id, claim_id=claim_id, executor="w", holder="h", payload_sha256="0" * 64
            )
        if isinstance(self.submit(command), Step):
            assert not denied
            assert not stale
            self.claims += 1

    @once_in(Status.EXECUTING, Status.UNKNOWN)
    @rule(
        claim_id=st.sampled_from(["c1", "c2"]), status=st.sampled_from([*ENDINGS, Status.APPROVED])
    )
    def finish(self, claim_id, status):
        """An executor reports, or somebody pretends to be one."""
        if isinstance(self.submit(make_finish(self.request, status, claim_id, result=1)), Step):
            assert claim_id == self.request.claim.claim_id

    @once_in(Status.EXECUTING, Status.UNKNOWN)
    @rule(status=st.sampled_from(ENDINGS))
    def resolve(self, status):
        """A person says how it ended."""
        before = self.request.status
        if isinstance(self.submit(c.Resolve(id=self.request.id, by="eve", status=status)), Step):
            assert before is Status.UNKNOWN

    @rule(seldom=st.integers(0, 25))
    def nonsense(self, seldom):
        """Any command at any time, the ending ones seldom."""
        commands = [
            make_claim(self.request),
            make_finish(self.request),
            c.Resolve(id=self.request.id, by="eve", status=Status.EXECUTED),
            make_vote(self.request, "bot", Answer.REJECT),
            make_vote(self.request, "eve", payload_sha256="0" * 64),
            c.Expire(id=self.request.id),
            c.Remind(id=self.request.id, number=self.request.reminded + 1),
            make_ask(requested_by="bot"),
            c.Cancel(id=self.request.id, by="bot"),
        ]
        command = commands[min(seldom // 3, 8)]
        claimable = self.request.status is Status.APPROVED and isinstance(command, c.Claim)
        if not claimable and not (isinstance(command, c.Finish | c.Resolve) and self.claims):
            self.submit(command)

    @pending
    @rule()
    def remind_or_escalate(self):
        """A timer does what is due next."""
        for _ in range(2):
            timed = next_due(self.request)
            if timed is not None and timed[0] <= self.now:
                assert isinstance(self.submit(timed[1]), Step)

    @rule(comment_id=st.sampled_from(["k1", "k2"]))
    def comment(self, comment_id):
        """Somebody says something."""
        self.submit(c.Comment(id=self.request.id, comment_id=comment_id, author="eve", text="Hm"))

    @invariant()
    def approved_only_by_enough_people(self):
        """What was approved was approved by enough different people, for these details."""
        if not self.request.status.was_approved:
            return
        assert "bot" not in self.approvals
        payloads = {
            vote.edit.payload_sha256 if vote.edit else vote.payload_sha256
            for vote in self.approvals.values()
        }
        assert payloads <= {self.request.payload_in_force}
        roles = {name: PEOPLE[vote.reviewer] for name, vote in self.approvals.items()}
        escalated = ("cfo",) if self.request.escalated else ()
        for need in self.needs:
            widened = Requirement(
                stages=tuple(
                    Stage(
                        approvers=(*s.approvers, *escalated) if s.approvers else (), quorum=s.quorum
                    )
                    for s in need.stages
                )
            )
            strong = [
                (name, roles[name])
                for name, vote in self.approvals.items()
                if vote.assurance.rank >= need.assurance.rank
            ]
            assert can_be_met(widened, strong), (need, strong)

    @invariant()
    def the_record_is_in_order(self):
        """Revisions and times never decrease, an execution starts once and after an approval."""
        revs = [event.rev for event in self.events]
        assert revs == sorted(revs)
        assert sorted(set(revs)) == list(range(1, self.request.rev + 1))
        times = [event.at for event in self.events]
        assert times == sorted(times)
        kinds = [event.kind for event in self.events]
        assert kinds.count(Kind.CLAIMED) == self.claims <= 1
        assert kinds.count(Kind.APPROVED) <= 1
        endings = (
            Kind.REJECTED,
            Kind.EXPIRED,
            Kind.CANCELLED,
            Kind.EXECUTED,
            Kind.FAILED,
            Kind.RESOLVED,
        )
        assert sum(kinds.count(kind) for kind in endings) == self.request.status.is_terminal
        if Kind.CLAIMED in kinds:
            assert Kind.APPROVED in kinds[: kinds.index(Kind.CLAIMED)]
        late = [e.at for e in self.events if e.kind in {Kind.APPROVED, Kind.VOTED}]
        assert all(at < START + timedelta(seconds=self.first.timeout_s) for at in late)

    @invariant()
    def the_ledger_can_hold_it(self):
        """State and events survive their stored form and chain together."""
        stored = chain.encode_request(self.request)
        assert chain.decode_request(stored) == self.request
        genesis = chain.genesis("v")
        links, head = chain.link(genesis, self.events, stored)
        walked = chain.verify(genesis, ((one.seq, one.body, one.hash) for one in links))
        assert isinstance(walked, Walked)
        assert walked.head == head


TestLife = Life.TestCase
TestLife.settings = settings(
    stateful_step_count=30, deadline=None, max_examples=6 * settings.default.max_examples
)


@given(stages, stages, st.lists(st.sampled_from(sorted(PEOPLE)), unique=True))
def test_a_merged_requirement_is_met_only_by_who_meets_both(one, two, names):
    """Merging never loosens: whoever fills the merged stages fills those of each."""
    people = [(name, PEOPLE[name]) for name in names]
    first, second = Requirement(stages=one), Requirement(stages=two)
    merged = stricter_requirement(first, second)
    if can_be_met(merged, people):
        assert can_be_met(first, people)
        assert can_be_met(second, people)
