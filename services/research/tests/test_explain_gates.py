"""What is told of each gate is what the gate itself saw when it decided, for approvals and for rejections."""

from collections.abc import Callable

import pytest
from synthetic_tape import SyntheticDesk

from tollgate_contracts.risk import Decision, KillLevel, Outcome
from tollgate_contracts.strategy import Intent
from tollgate_research.explain import Explainer
from tollgate_research.explain_answer import answer_of
from tollgate_research.explain_values import Answer
from tollgate_risk.core import machine
from tollgate_risk.core.case import Case, Measure
from tollgate_risk.core.gates import look


def explained(desk: SyntheticDesk, asked: str) -> Answer:
    explainer = Explainer("main", asked)
    for record in desk.records:
        explainer.take(record)
    (story,) = explainer.matches
    return answer_of(story, explainer)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Measure, ...]]:
    """Note, while the desk trades, what the gate looks at in each decision, by intent."""
    noted: dict[str, tuple[Measure, ...]] = {}
    judge: Callable[[Case], object] = machine.judge

    def judged_and_noted(case: Case) -> object:
        noted[case.intent.id] = look(case)
        return judge(case)

    monkeypatch.setattr(machine, "judge", judged_and_noted)
    return noted


def test_every_gate_of_every_intent_is_told_as_it_was_at_that_time(seen: dict[str, tuple[Measure, ...]]):
    """Entries, exits, a killed desk, a tightened policy: each intent of the tape, both outcomes among them."""
    desk = SyntheticDesk().open()
    first = desk.policy({"limits.order_notional": "2000"})
    for mid in ("101", "103", "95", "96", "99"):
        desk.quote(mid)
    desk.kill(KillLevel.HALT)
    for mid in ("102", "104"):
        desk.quote(mid)
    desk.kill(KillLevel.HALT, engaged=False)
    desk.policy({"limits.order_notional": "400"}, tightens=first)
    for mid in ("90", "94", "99", "105"):
        desk.quote(mid)
    then = dict(seen)
    decisions = {m.intent_id: m for m in desk.messages if isinstance(m, Decision)}
    intents = [message for message in desk.messages if isinstance(message, Intent)]
    assert {decision.outcome for decision in decisions.values()} == {Outcome.APPROVED, Outcome.REJECTED}
    assert set(then) == {intent.id for intent in intents}
    for intent in intents:
        verdict = explained(desk, intent.id).verdict
        findings = [measure.finding() for measure in then[intent.id]]
        assert [(gate.code, gate.limit, gate.seen, gate.unit) for gate in verdict.gates] == [
            (finding.code, finding.limit, finding.seen, finding.unit) for finding in findings
        ]
        assert [gate.kept for gate in verdict.gates] == [measure.is_kept for measure in then[intent.id]]
        decision = decisions[intent.id]
        assert (verdict.decision_id, verdict.outcome) == (decision.id, decision.outcome)
        assert verdict.findings == decision.findings
        assert verdict.findings == tuple(measure.finding() for measure in then[intent.id] if not measure.is_kept)
        assert verdict.as_computed


def test_a_decision_that_this_gate_would_not_take_is_told_to_be_so():
    """As after an upgrade: the tape has what was decided, and what is shown of the gates does not lead there."""
    desk = SyntheticDesk().open({"limits.order_notional": "500"})
    rejected = desk.buy()
    place = next(n for n, m in enumerate(desk.messages) if isinstance(m, Decision) and m.intent_id == rejected.id)
    record = desk.records[place]
    other = record.data.replace(b'"limit":"500"', b'"limit":"501"')
    assert other != record.data
    desk.records[place] = type(record)(
        record.sequence, record.subject, record.message_id, other, record.headers, record.stored_us
    )
    verdict = explained(desk, rejected.id).verdict
    assert not verdict.as_computed
    assert verdict.findings[0].limit == "501"


def test_the_rules_and_the_standing_are_those_of_the_moment():
    """What was in force when risk was asked, whatever came after: policy, tightening, mode, switch."""
    desk = SyntheticDesk().open()
    before = desk.policy({"limits.order_notional": "400"})
    rejected = desk.buy()
    after = desk.policy({"limits.order_notional": "300"}, tightens=before)
    desk.kill(KillLevel.HALT, epoch=4)
    desk.wait(200)
    (killed,) = [m for m in desk.quote("104") if isinstance(m, Intent)]
    early, late = explained(desk, rejected.id), explained(desk, killed.id)
    assert (early.rules.hash, early.rules.tightens) == (before, None)
    assert (late.rules.hash, late.rules.tightens) == (after, before)
    assert (early.standing.kill_engaged, late.standing.kill_engaged) == (False, True)
    assert late.standing.kill_epoch == 4
