"""Fees in other currencies: each fill says what its fee was worth, and its bust says the same."""

import json
from decimal import Decimal

import pytest
from execution_samples import TRUSTED, Desk, trade

from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.reconciliation import Difference, Repair, Sync, SyncCause
from tollgate_execution.core import ExecutionCore
from tollgate_execution.verification import Verifier

FILLED, SUBMIT = ReportStatus.FILLED, ReportSource.SUBMIT


def bought(desk: Desk, fee: str, currency: str) -> None:
    """Buy two at 100 for such a fee."""
    desk.approve()
    desk.hear(FILLED, SUBMIT, filled="2", trades=(trade(1, "2", fee=Decimal(fee), fee_currency=currency),))


@pytest.mark.parametrize(
    ("currency", "rate", "source"),
    [
        pytest.param("USDT", None, "", id="in quote currency none is needed"),
        pytest.param("BTC", "100", "trade", id="in base currency it is what was traded at"),
        pytest.param("BNB", "500", "quote:6", id="in a third one it is the mid of the last quote"),
        pytest.param("EUR", None, "", id="in one that nobody quotes there is none"),
    ],
)
def test_a_fill_says_what_its_fee_is_worth(currency, rate, source):
    desk = Desk()
    desk.quote("90", "91")
    desk.quote("110", "111")
    desk.quote("499", "501", "BNB-USDT")
    bought(desk, "0.01", currency)
    (fill,) = desk.fills()
    assert (fill.fee_rate, fill.fee_rate_source) == (None if rate is None else Decimal(rate), source)


@pytest.mark.parametrize(
    ("age_us", "rate"), [pytest.param(600_000_000, 500, id="ten minutes"), pytest.param(600_000_001, None, id="older")]
)
def test_an_old_quote_says_nothing_of_what_a_fee_is_worth(age_us, rate):
    desk = Desk()
    desk.quote("499", "501", "BNB-USDT")
    desk.now_us += age_us
    bought(desk, "0.01", "BNB")
    (fill,) = desk.fills()
    assert fill.fee_rate == rate


def test_a_bust_says_what_the_fee_was_worth_when_it_was_charged():
    """The market has moved and the process has started again since."""
    desk = Desk()
    desk.quote("110", "111", "BNB-USDT")
    bought(desk, "0.01", "BNB")
    desk.quote("210", "211", "BNB-USDT")
    again = ExecutionCore(Verifier(TRUSTED).approval)
    again.restore(json.loads(json.dumps(desk.core.snapshot())))
    desk.core = again
    desk.hear(ReportStatus.TRADED, ReportSource.FILLS, busted=("t1",))
    (fill,), (bust,) = desk.fills(), desk.busts()
    assert (fill.fee_rate, fill.fee_rate_source) == (Decimal("110.5"), "quote:4")
    assert (bust.fee_rate, bust.fee_rate_source) == (fill.fee_rate, fill.fee_rate_source)
    assert desk.core.portfolio.holdings() == {}
    assert (desk.core.portfolio.fees, desk.core.portfolio.realized) == (0, 0)


def test_a_fee_of_which_nobody_knows_what_it_is_worth_is_said_and_stops_nothing():
    desk = Desk()
    bought(desk, "0.01", "EUR")
    (note,) = desk.notes()
    assert (note.difference, note.repair) == (Difference.FEE_DRIFT, Repair.BOOKED)
    assert "a fee in EUR, which nobody has quoted" in note.differed
    assert desk.core.status()["positions"] == {"BTC-USDT": "2"}
    assert desk.core.status()["fees_without_rate"] == {"EUR": "0.01"}


@pytest.mark.parametrize(
    ("fee", "drifts"),
    [pytest.param("0.004", [], id="20 bps of two"), pytest.param("0.003", ["FEE_DRIFT"], id="15 bps of two")],
)
def test_a_fee_in_base_currency_is_held_against_the_tier_too(fee, drifts):
    desk = Desk()
    desk.quote("110", "111")
    desk.account()
    bought(desk, fee, "BTC")
    round_of = {
        "sync_cause": SyncCause.SCHEDULE,
        "began_us": desk.now_us,
        "open_order_ids": (),
        "fill_cursor": "",
        "movement_cursor": "",
        "orders_read": 0,
        "fills_read": 0,
        "differences": 0,
        "open_differences": 0,
        "took_us": 0,
    }
    desk.step(Sync(id="execution:simulated:sync-1", **round_of, **desk.envelope()))
    assert [note.difference.value for note in desk.notes()] == drifts
