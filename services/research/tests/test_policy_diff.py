"""What another policy would have decided: nothing for an equal one, and each reason that appears or vanishes."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from synthetic_tape import SyntheticDesk, rules_with

from tollgate_chassis.exits import BadConfiguration
from tollgate_contracts.codec import encode
from tollgate_contracts.execution import Fill
from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import Decision, Outcome
from tollgate_contracts.strategy import Intent
from tollgate_research.policy_diff import Difference, PolicyDiff
from tollgate_risk.core.policy import PolicyRules
from tollgate_risk.rules_file import read_rules


@pytest.fixture(scope="module")
def desk() -> SyntheticDesk:
    """Return a tape with approvals of some 1,000 and some 500 USDT, and the exits after them."""
    desk = SyntheticDesk().open({"limits.order_notional": "800"})
    for mid in ("100.25", "101.6", "103", "100", "100.25"):
        desk.quote(mid)
    decisions = [m for m in desk.messages if isinstance(m, Decision)]
    assert {decision.outcome for decision in decisions} == {Outcome.APPROVED, Outcome.REJECTED}
    return desk


@pytest.fixture
def rules(tmp_path: Path) -> Any:
    """Return the tape's rules with changes, read from a file as risk reads them."""

    def changed(changes: dict[str, Any]) -> PolicyRules:
        path = tmp_path / "new.yaml"
        path.write_text(yaml.safe_dump(rules_with({"limits.order_notional": "800", **changes})))
        return read_rules(path)

    return changed


def difference(desk: SyntheticDesk, rules: PolicyRules, last: int = 1_000) -> Difference:
    diff = PolicyDiff("main", rules, last)
    for record in desk.records:
        diff.take(record)
    return diff.finish()


def test_an_equal_file_differs_in_nothing(desk: SyntheticDesk, rules: Any):
    found = difference(desk, rules({}))
    assert found.is_none
    assert found.judged == sum(isinstance(message, Intent) for message in desk.messages)
    assert (found.unjudged, found.recomputed_otherwise) == (0, 0)


def test_a_tightened_cap_rejects_what_was_approved(desk: SyntheticDesk, rules: Any):
    found = difference(desk, rules({"limits.order_notional": "300"}))
    (knob,) = found.knobs
    assert (knob.name, knob.old, knob.new, knob.effect) == ("limits.order_notional", "800", "300", "tighter")
    approved = [d.intent_id for d in desk.messages if isinstance(d, Decision) and d.outcome is Outcome.APPROVED]
    moved = [each for each in found.otherwise if each.outcome is Outcome.APPROVED]
    assert {each.intent_id for each in moved} <= set(approved)
    assert moved
    assert all(each.new_outcome is Outcome.REJECTED for each in moved)
    assert all(each.appear == (Reason.LIMIT_ORDER_NOTIONAL,) for each in moved)
    assert found.appear == {"limit.order_notional": len(moved)}
    assert found.vanish == {}


def test_a_loosened_cap_approves_what_was_rejected(desk: SyntheticDesk, rules: Any):
    found = difference(desk, rules({"limits.order_notional": "5000"}))
    assert [knob.effect for knob in found.knobs] == ["looser"]
    rejected = [d.intent_id for d in desk.messages if isinstance(d, Decision) and d.outcome is Outcome.REJECTED]
    assert [each.intent_id for each in found.otherwise] == rejected
    assert {(each.outcome, each.new_outcome) for each in found.otherwise} == {(Outcome.REJECTED, Outcome.APPROVED)}
    assert found.vanish == {"limit.order_notional": len(rejected)}


def test_a_reason_beside_others_is_told_though_the_outcome_stays(desk: SyntheticDesk, rules: Any):
    found = difference(desk, rules({"limits.position_notional": "900"}))
    stays = [each for each in found.otherwise if each.outcome is each.new_outcome is Outcome.REJECTED]
    assert stays
    assert all(each.appear == (Reason.LIMIT_POSITION_NOTIONAL,) for each in stays)


def test_a_group_that_only_the_new_policy_names_counts_what_is_held_in_it(rules: Any):
    """The gate that wrote the tape knew of no such group, and kept no sum of it."""
    desk = SyntheticDesk().open({"limits.order_notional": "5000"})
    for symbol in ("BTC-USDT", "ETH-USDT"):
        assert any(isinstance(message, Fill) for message in desk.quote("101", symbol))
    pair = {"name": "pair", "symbols": ["BTC-USDT", "ETH-USDT"], "exposure": "1500"}
    changes = {"limits.order_notional": "5000", "limits.groups": [pair]}
    (second,) = difference(desk, rules(changes)).otherwise
    assert (second.symbol, second.appear) == ("ETH-USDT", (Reason.LIMIT_GROUP_EXPOSURE,))


def test_only_the_last_decisions_are_judged(desk: SyntheticDesk, rules: Any):
    every = difference(desk, rules({"limits.order_notional": "5000"})).otherwise
    last = difference(desk, rules({"limits.order_notional": "5000"}), last=1)
    intents = [message.id for message in desk.messages if isinstance(message, Intent)]
    assert last.judged == 1
    assert last.otherwise == tuple(each for each in every if each.intent_id == intents[-1])


def test_a_knob_without_a_safer_way_is_neither(desk: SyntheticDesk, rules: Any):
    found = difference(desk, rules({"universe.allowed": ["BTC-USDT"], "cash.treasury_share_bps": "5"}))
    effects = {knob.name: knob.effect for knob in found.knobs}
    assert effects == {"universe.allowed": "tighter", "cash.treasury_share_bps": "neither"}


def test_switching_a_condition_on_is_tighter_and_off_is_looser(desk: SyntheticDesk, rules: Any):
    (off,) = difference(desk, rules({"modes.conditions.drawdown": None})).knobs
    assert (off.name, off.new, off.effect) == ("modes.conditions.drawdown", "null", "looser")
    before = SyntheticDesk().open({"limits.order_notional": "800", "modes.conditions.drawdown": None})
    (on,) = difference(before, rules({})).knobs
    assert (on.old, on.effect) == ("null", "tighter")


def test_what_was_decided_under_no_policy_or_another_desks_is_not_judged(rules: Any):
    desk = SyntheticDesk().open({"limits.order_notional": "800"})
    intent = desk.buy()
    early = intent.model_copy(update={"id": "strategy:1:0", "cause": 1})
    bare = SyntheticDesk()
    bare.wait(0)
    bare.append(early)
    bare.policy({"limits.order_notional": "800"})
    found = difference(bare, rules({}))
    assert (found.judged, found.unjudged, found.is_none) == (0, 1, True)


def test_rules_for_another_desk_are_refused_and_name_what_is_wrong(desk: SyntheticDesk, rules: Any):
    caps = [{"symbol": "DOGE-USDT", "units": "1"}]
    strange = rules({"universe.allowed": ["DOGE-USDT"], "limits.position_units": caps, "limits.groups": []})
    with pytest.raises(BadConfiguration, match=r"not for this desk(.|\n)*DOGE-USDT"):
        difference(desk, strange)


def test_a_tape_without_a_policy_cannot_be_compared(rules: Any):
    with pytest.raises(BadConfiguration, match="no policy is in force"):
        difference(SyntheticDesk(), rules({}))


def test_a_decision_that_another_version_took_is_counted_as_such(rules: Any):
    desk = SyntheticDesk().open({"limits.order_notional": "800"})
    desk.buy()
    place = next(n for n, m in enumerate(desk.messages) if isinstance(m, Decision))
    decision, record = desk.messages[place], desk.records[place]
    assert isinstance(decision, Decision)
    finding = decision.findings[0].model_copy(update={"code": Reason.PACE_RATE})
    other = encode(decision.model_copy(update={"findings": (finding,)}))
    desk.records[place] = type(record)(
        record.sequence, record.subject, record.message_id, other, record.headers, record.stored_us
    )
    assert difference(desk, rules({})).recomputed_otherwise == 1
