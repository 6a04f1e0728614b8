"""What another policy would have decided: the last intents on a tape, judged again under it.

Each is judged at the state as it was on the tape: orders, fills, counts and modes are those that came of the policy in
force then. What would have followed from deciding otherwise is not played.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from pydantic import ValidationError

from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.settings import explain
from tollgate_chassis.tape import Record
from tollgate_chassis.tape.reading import Duplicate, Reading, Refused
from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import Decision, Outcome
from tollgate_contracts.strategy import Intent
from tollgate_risk.core import RiskCore
from tollgate_risk.core.case import open_case
from tollgate_risk.core.exposure import ExposureBook
from tollgate_risk.core.gates import judge
from tollgate_risk.core.policy import PolicyDocument, PolicyRules
from tollgate_risk.core.tightening import Change, changes
from tollgate_risk.core.tightness import Tighter

# How a condition that is switched off is written.
_OFF = "null"


@dataclass(frozen=True, slots=True)
class Knob:
    """One knob that differs, with both values as text."""

    name: str
    old: str
    new: str
    effect: str
    """tighter, looser, or neither where no way is the safer one."""


@dataclass(frozen=True, slots=True)
class Rejudged:
    """One decision on the tape, and what the new rules add to its reasons or take away."""

    sequence: int
    """Of the intent."""
    ts_us: int
    intent_id: str
    client_order_id: str
    symbol: str
    side: str
    quantity: str
    outcome: Outcome
    """As it was decided."""
    new_outcome: Outcome
    appear: tuple[Reason, ...]
    vanish: tuple[Reason, ...]

    @property
    def differs(self) -> bool:
        """Whether anything would be otherwise, be it only a reason."""
        return bool(self.appear or self.vanish)


@dataclass(frozen=True, slots=True)
class Difference:
    """All that differs; empty when nothing does."""

    desk: str
    records: int
    policy_hash: str
    """Of the policy in force where the tape ends, against which the knobs are compared."""
    knobs: tuple[Knob, ...]
    judged: int
    """How many decisions were judged again."""
    unjudged: int
    """Decisions without a policy in force, or under one of another desk: there is nothing to judge them by."""
    recomputed_otherwise: int
    """Decisions that this version of the gate would not take under the policy of then either."""
    otherwise: tuple[Rejudged, ...]
    appear: dict[str, int]
    """How often each reason would have been there that was not."""
    vanish: dict[str, int]

    @property
    def is_none(self) -> bool:
        """Whether nothing differs."""
        return not self.knobs and not self.otherwise


class PolicyDiff:
    """Takes a tape record by record and keeps what became of the last intents."""

    def __init__(self, desk: str, rules: PolicyRules, last: int) -> None:
        self.desk = desk
        self.records = 0
        self._rules = rules
        self._core = RiskCore()
        self._reading = Reading(desk)
        self._in_force: PolicyDocument | None = None
        self._proposed: PolicyDocument | None = None
        self._judged: deque[Rejudged | None] = deque(maxlen=last)
        """None for what could not be judged."""
        self._answers: dict[str, tuple[Reason, ...]] = {}
        """What this version answers to the intents whose decisions are still to come."""
        self._unlike: deque[str] = deque(maxlen=last)
        self._last = last

    def take(self, record: Record) -> None:
        """Take the next record."""
        self.records += 1
        message = self._reading.read(record)
        if isinstance(message, Refused | Duplicate):
            return
        if isinstance(message, Intent):
            self._judge(record.sequence, message)
        elif isinstance(message, Decision):
            self._compare(message)
        self._core.step(record.sequence, message)
        if self._core.state.policy is not self._in_force:
            self._in_force = self._core.state.policy
            self._proposed = self._for_this_desk()

    def _for_this_desk(self) -> PolicyDocument | None:
        """Return the desk's policy with the new rules; none where they do not fit what the desk was then."""
        try:
            return None if self._in_force is None else _with_rules(self._in_force, self._rules)
        except BadConfiguration:
            return None

    def _judge(self, sequence: int, intent: Intent) -> None:
        # A core takes its time from the message before it judges; a copy does so here, and the core stays as it is.
        state = replace(self._core.state, now_us=max(self._core.state.now_us, intent.ts_us))
        if self._in_force is None or self._proposed is None:
            self._judged.append(None)
            return
        old = tuple(finding.code for finding in judge(open_case(intent, state, self._in_force)))
        # What is at risk is summed by the groups of a policy: under another one it is worked out from nothing.
        proposed = replace(state, policy=self._proposed, exposures=ExposureBook())
        new = tuple(finding.code for finding in judge(open_case(intent, proposed, self._proposed)))
        if len(self._answers) == self._last:
            del self._answers[next(iter(self._answers))]
        self._answers[intent.id] = old
        self._judged.append(
            Rejudged(
                sequence=sequence,
                ts_us=intent.ts_us,
                intent_id=intent.id,
                client_order_id=intent.client_order_id,
                symbol=intent.symbol,
                side=intent.side.value,
                quantity=format(intent.quantity, "f"),
                outcome=_outcome(old),
                new_outcome=_outcome(new),
                appear=tuple(code for code in new if code not in old),
                vanish=tuple(code for code in old if code not in new),
            )
        )

    def _compare(self, decision: Decision) -> None:
        answered = self._answers.pop(decision.intent_id, None)
        if answered is not None and answered != tuple(finding.code for finding in decision.findings):
            self._unlike.append(decision.intent_id)

    def finish(self) -> Difference:
        """Return what differs; raises ``BadConfiguration`` where the tape ends without a policy that fits the rules."""
        state = self._core.state
        if state.policy is None or state.policy_hash is None:
            raise BadConfiguration("no policy is in force where the tape ends: there is nothing to compare with")
        _with_rules(state.policy, self._rules)
        judged = [each for each in self._judged if each is not None]
        seen = {each.intent_id for each in judged}
        return Difference(
            desk=self.desk,
            records=self.records,
            policy_hash=state.policy_hash,
            knobs=knobs_between(state.policy.rules, self._rules),
            judged=len(judged),
            unjudged=len(self._judged) - len(judged),
            recomputed_otherwise=sum(1 for name in self._unlike if name in seen),
            otherwise=tuple(each for each in judged if each.differs),
            appear=_count(judged, lambda each: each.appear),
            vanish=_count(judged, lambda each: each.vanish),
        )


def knobs_between(old: PolicyRules, new: PolicyRules) -> tuple[Knob, ...]:
    """Return every knob that differs, in the order of the policy file."""
    is_looser = {change.knob: change.is_tighter for change in changes(new, old)}
    return tuple(
        Knob(change.knob, change.old, change.new, _effect(change, is_looser.get(change.knob, False)))
        for change in changes(old, new)
    )


def _effect(change: Change, is_looser: bool) -> str:
    if _OFF in {change.old, change.new}:
        # A condition that is switched on watches more; while the desk runs it is neither, for there it needs a restart.
        return "tighter" if change.old == _OFF else "looser"
    if change.direction is Tighter.NEVER or change.is_tighter == is_looser:
        return "neither"
    return "tighter" if change.is_tighter else "looser"


def _outcome(codes: tuple[Reason, ...]) -> Outcome:
    return Outcome.REJECTED if codes else Outcome.APPROVED


def _with_rules(document: PolicyDocument, rules: PolicyRules) -> PolicyDocument:
    """Return the desk's policy with other rules; raises ``BadConfiguration`` when they do not fit the desk."""
    try:
        return PolicyDocument.model_validate({**dict(document), "tightens": None, "rules": rules})
    except ValidationError as error:
        raise BadConfiguration(f"the new rules are not for this desk:\n{explain(error)}") from error


def _count(judged: list[Rejudged], reasons: Callable[[Rejudged], tuple[Reason, ...]]) -> dict[str, int]:
    """Count reasons, in the order of the taxonomy."""
    counts = Counter(reason for each in judged for reason in reasons(each))
    return {reason.value: counts[reason] for reason in Reason if counts[reason]}
