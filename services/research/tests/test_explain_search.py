"""Finding an order: by every id that anybody may have at hand, in memory that does not grow with the tape."""

from dataclasses import replace
from decimal import Decimal

import pytest
from synthetic_tape import SyntheticDesk, keeps_working

from tollgate_contracts.codec import encode
from tollgate_contracts.execution import (
    Fill,
    Order,
    OrderState,
    Report,
    ReportStatus,
)
from tollgate_contracts.risk import Decision
from tollgate_contracts.strategy import Action, Intent, Side
from tollgate_research import explain
from tollgate_research.explain import Explainer
from tollgate_research.explain_answer import answer_of


@pytest.fixture(scope="module")
def desk() -> SyntheticDesk:
    """Return a tape with a round trip of two orders, and an intent that was rejected."""
    desk = SyntheticDesk().open()
    desk.buy("101")
    desk.quote("103")
    desk.policy({"limits.order_notional": "100"})
    desk.wait(500)
    desk.quote("105")
    return desk


def searched(desk: SyntheticDesk, asked: str) -> Explainer:
    explainer = Explainer("main", asked)
    for record in desk.records:
        explainer.take(record)
    return explainer


def ids(desk: SyntheticDesk, kind: type) -> list:
    return [message for message in desk.messages if isinstance(message, kind)]


@pytest.mark.parametrize("what", ["order", "intent", "decision", "trade", "venue's order"])
def test_an_order_is_found_by_each_of_its_ids(desk: SyntheticDesk, what: str):
    fill = ids(desk, Fill)[1]
    decision = next(d for d in ids(desk, Decision) if d.client_order_id == fill.client_order_id)
    report = next(r for r in ids(desk, Report) if r.client_order_id == fill.client_order_id)
    asked = {
        "order": fill.client_order_id,
        "intent": decision.intent_id,
        "decision": decision.id,
        "trade": fill.trade.trade_id,
        "venue's order": report.venue_order_id,
    }[what]
    (story,) = searched(desk, asked).matches
    assert story.client_order_id == fill.client_order_id
    assert story.judged.decision is not None


@pytest.mark.parametrize("length", [8, 20, 31])
def test_the_beginning_of_an_id_will_do(desk: SyntheticDesk, length: int):
    wanted = ids(desk, Intent)[0].client_order_id
    (story,) = searched(desk, wanted[:length]).matches
    assert story.client_order_id == wanted


def test_a_beginning_that_several_have_brings_them_all_with_the_ids_that_match(desk: SyntheticDesk):
    explainer = searched(desk, "strategy:")
    assert list(explainer.begins_so) == [intent.id for intent in ids(desk, Intent)]
    assert [story.client_order_id for story in explainer.matches] == [i.client_order_id for i in ids(desk, Intent)]


def test_more_than_can_be_shown_are_counted_as_more(desk: SyntheticDesk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(explain, "MATCHES_MAX", 2)
    explainer = searched(desk, "strategy:")
    assert (len(explainer.matches), explainer.has_more) == (2, True)


def test_the_whole_id_is_meant_where_others_begin_with_it():
    """As trade 12 is not trade 123."""
    longer = SyntheticDesk(
        answer=lambda d, approval: [
            {
                "status": ReportStatus.FILLED,
                "cumulative_quantity": approval.quantity,
                "trades": (d.trade(approval, approval.quantity, "t1" if approval.side is Side.BUY else "t12"),),
            }
        ]
    ).open()
    longer.buy("101")
    longer.quote("103")
    (story,) = searched(longer, "t1").matches
    first, second = ids(longer, Fill)
    assert (first.trade.trade_id, second.trade.trade_id) == ("t1", "t12")
    assert story.client_order_id == first.client_order_id


@pytest.mark.parametrize("asked", ["tgffff", "risk:9999", "no such thing", "strategy:13:00"])
def test_what_is_not_on_the_tape_is_not_found(desk: SyntheticDesk, asked: str):
    explainer = searched(desk, asked)
    assert explainer.matches == []
    assert explainer.records == len(desk.records)


def test_an_id_that_was_asked_for_again_is_still_that_of_the_order_which_has_it():
    desk = SyntheticDesk().open()
    first = desk.buy()
    again = first.model_copy(update={"id": "strategy:14:1", "cause": 14})
    desk.append(again)
    explainer = searched(desk, first.client_order_id)
    assert [story.is_approved for story in explainer.exact] == [True, False]
    assert [len(story.trades) for story in explainer.exact] == [1, 0]
    (repeated,) = searched(desk, again.id).matches
    assert [finding.code for finding in repeated.judged.answer.findings] == ["intent.duplicate"]


def test_a_cancel_leads_to_the_order_that_it_names():
    desk = SyntheticDesk(answer=keeps_working).open()
    bought = desk.buy()
    cancel = bought.model_copy(update={"id": "strategy:14:1", "cause": 14, "action": Action.CANCEL})
    desk.append(cancel)
    explainer = searched(desk, cancel.id)
    (story,) = explainer.matches
    assert story.judged.origin == bought
    answer = answer_of(story, explainer)
    ((why, verdict),) = answer.cancels
    assert (why.id, verdict.outcome) == (cancel.id, "APPROVED")
    assert [gate.code for gate in verdict.gates] == ["intent.expired", "intent.malformed"]
    assert answer.what.state == "CANCELLED"


def test_a_tape_that_ends_before_the_decision_says_what_must_follow():
    desk = SyntheticDesk().open()
    intent = desk.buy()
    desk.records = desk.records[: next(n for n, m in enumerate(desk.messages) if m is intent) + 1]
    explainer = searched(desk, intent.id)
    (story,) = explainer.matches
    verdict = answer_of(story, explainer).verdict
    assert (verdict.outcome, verdict.decided_after_us, verdict.as_computed) == ("APPROVED", None, True)


def test_a_decision_that_nobody_asked_for_is_shown_for_what_it_is():
    """As a forged approval would lie there: under risk's name, for an order that no strategy wanted."""
    desk = SyntheticDesk().open()
    desk.buy()
    approved = next(d for d in ids(desk, Decision))
    forged = approved.model_copy(update={"id": "risk:14:9", "cause": 14, "client_order_id": "tg" + "f" * 30})
    desk.append(forged)
    explainer = searched(desk, "tgffff")
    (story,) = explainer.matches
    answer = answer_of(story, explainer)
    assert (answer.why.kind, answer.verdict.gates) == ("unknown", ())
    assert [line.what.split(":")[0] for line in answer.execution] == ["another decision, risk", "refused risk"]
    assert "approval.mismatch" in answer.execution[1].what


def test_an_order_of_which_the_tape_holds_only_the_end_is_told_so():
    """As on a tape whose writer of intents is gone: nothing is guessed."""
    desk = SyntheticDesk().open()
    desk.buy()
    order = ids(desk, Order)[0]
    alone = SyntheticDesk().open()
    alone.append(order.model_copy(update={"client_order_id": "tg" + "a" * 30, "id": "execution:12:0", "cause": 12}))
    explainer = searched(alone, "tgaaaa")
    (story,) = explainer.matches
    answer = answer_of(story, explainer)
    assert answer.what.state == "SUBMITTING"
    assert answer.what.shape.quantity == order.quantity
    assert answer.why.kind == "unknown"


def test_orders_that_are_over_are_forgotten_and_what_is_open_is_not(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(explain, "OVER_MAX", 3)
    desk = SyntheticDesk(answer=keeps_working).open()
    working = desk.buy("101")
    desk.policy({"limits.order_notional": "100"})
    for step in range(10):
        desk.quote(str(100 + step % 2 * 3), "ETH-USDT", milliseconds=500)
    rejected = [d.client_order_id for d in ids(desk, Decision) if d.findings]
    assert len(rejected) > 5
    explainer = searched(desk, "nothing")
    assert list(explainer._by_order) == [working.client_order_id, *rejected[-3:]]
    assert explainer._undecided == {}
    (kept,) = searched(desk, rejected[0]).matches
    assert kept.judged.decision is not None


def test_records_that_no_reader_applied_are_passed_over():
    desk = SyntheticDesk().open()
    bought = desk.buy()
    forged = encode(bought.model_copy(update={"quantity": Decimal(1)}))
    desk.records.append(replace(desk.records[13], sequence=len(desk.records) + 1, data=forged))
    explainer = searched(desk, bought.id)
    (story,) = explainer.matches
    assert story.judged.origin == bought


def test_an_order_in_a_state_that_is_over_is_over():
    desk = SyntheticDesk().open()
    (story,) = searched(desk, desk.buy().client_order_id).matches
    assert story.over
    assert ids(desk, Order)[-1].to_state is OrderState.FILLED
