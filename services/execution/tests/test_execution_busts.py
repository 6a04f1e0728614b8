"""Trades taken back, trades without counts, and orders that show up after their end: booked by what the venue lists."""

from decimal import Decimal

import pytest
from execution_samples import SECOND_US, Desk, order_id, trade

from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Difference, Repair
from tollgate_execution.core import Cancel, Query
from tollgate_execution.core.record import NOTED_MAX, Busted
from tollgate_execution.core.trades import BUSTED_MAX

R, FROM = ReportStatus, ReportSource


def working() -> Desk:
    desk = Desk()
    desk.approve(time_in_force="GTC")
    desk.hear(R.OPEN, FROM.SUBMIT, filled="0")
    return desk


def position(desk: Desk) -> dict[str, str]:
    positions: dict[str, str] = desk.core.status()["positions"]
    return positions


def test_trades_without_any_count_fill_an_order() -> None:
    """An incremental venue: it lists what traded, and never says how the order stands."""
    desk = Desk()
    desk.approve()
    for number, quantity in ((1, "0.5"), (2, "0.75"), (3, "0.75")):
        desk.hear(R.TRADED, FROM.FILLS, trades=(trade(number, quantity),))
        desk.hear(R.TRADED, FROM.STREAM, trades=(trade(number, quantity),))
    assert desk.state() == "FILLED"
    assert [fill.trade.trade_id for fill in desk.fills()] == ["t1", "t2", "t3"]
    assert desk.notes() == []


def test_a_count_and_a_list_of_trades_may_come_at_once_and_by_turns() -> None:
    desk = working()
    desk.hear(R.OPEN, FROM.STREAM, filled="1.5")
    desk.hear(R.TRADED, FROM.FILLS, trades=(trade(1, "0.5"),))
    assert desk.record().misses_trades
    desk.hear(R.TRADED, FROM.FILLS, trades=(trade(2, "1"),))
    assert not desk.record().misses_trades
    desk.hear(R.CANCELLED, FROM.STREAM, filled="1.5")
    assert desk.state() == "CANCELLED"


def test_a_look_up_that_counts_less_than_was_said_is_behind_and_takes_nothing_back() -> None:
    desk = working()
    desk.hear(R.OPEN, FROM.STREAM, filled="1.5")
    desk.hear(R.OPEN, FROM.QUERY, filled="1", trades=(trade(1, "1"),))
    assert desk.record().said == Decimal("1.5")
    assert desk.record().misses_trades


def test_the_venue_s_own_id_is_kept_from_the_first_report_that_has_one() -> None:
    desk = working()
    assert desk.record().venue_order_id is None
    desk.hear(R.OPEN, FROM.STREAM, filled="0", venue_order_id="v1")
    desk.hear(R.OPEN, FROM.STREAM, filled="0.5", trades=(trade(1, "0.5"),))
    assert desk.record().venue_order_id == "v1"


@pytest.mark.parametrize(
    ("side", "price", "worse"),
    [
        ("BUY", "100", False),
        ("BUY", "100.1", True),
        ("BUY", "99.9", False),
        ("SELL", "100", False),
        ("SELL", "100.1", False),
        ("SELL", "99.9", True),
    ],
)
def test_a_trade_beyond_its_order_s_limit_is_said_and_no_other(side: str, price: str, worse: bool) -> None:
    desk = Desk()
    desk.approve(side=side)
    desk.hear(R.OPEN, FROM.SUBMIT, filled="0.5", trades=(trade(1, "0.5", price),))
    assert (Difference.PRICE_DRIFT in {note.difference for note in desk.notes()}) is worse


def test_a_bust_takes_its_fill_back_once() -> None:
    desk = working()
    desk.hear(R.OPEN, filled="1", trades=(trade(1, "0.5", "99"), trade(2, "0.5")))
    before = desk.core.portfolio
    assert before is not None
    step = desk.hear(R.TRADED, FROM.STREAM, busted=("t1",))
    assert [message.kind for message in step.outputs] == ["bust", "reconcile"]
    for source in (FROM.STREAM, FROM.FILLS, FROM.QUERY):
        assert desk.hear(R.TRADED, source, busted=("t1",)).outputs == ()
    (bust,) = desk.busts()
    assert (bust.client_order_id, bust.trade) == (order_id(1), trade(1, "0.5", "99"))
    (note,) = desk.notes()
    assert (note.difference, note.repair) == (Difference.BUSTED_FILL, Repair.UNDONE)
    record = desk.record()
    assert [each.trade.trade_id for each in record.trades] == ["t2"]
    assert (record.booked, record.booked_quote) == (Decimal("0.5"), Decimal(50))
    assert position(desk) == {"BTC-USDT": "0.5"}
    assert desk.core.portfolio is not None
    assert desk.core.portfolio.cash == Decimal("99949.9")


def test_a_trade_that_was_taken_back_is_not_booked_again() -> None:
    desk = working()
    desk.hear(R.OPEN, filled="1", trades=(trade(1, "1"),))
    desk.hear(R.TRADED, busted=("t1",))
    for _ in range(2):
        desk.hear(R.OPEN, FROM.QUERY, filled="1", trades=(trade(1, "1"),))
    assert len(desk.fills()) == 1
    assert desk.record().booked == 0
    assert not desk.record().misses_trades


def test_a_bust_before_its_trade_is_remembered_and_the_trade_never_booked() -> None:
    desk = working()
    step = desk.hear(R.TRADED, FROM.FILLS, busted=("t1",))
    assert [message.kind for message in step.outputs] == ["reconcile"]
    assert desk.notes()[0].repair is Repair.IGNORED
    desk.hear(R.OPEN, filled="0.5", trades=(trade(1, "0.5"),))
    assert (desk.fills(), desk.busts()) == ([], [])
    assert not desk.record().misses_trades


def test_of_several_busts_each_is_of_its_own_trade() -> None:
    desk = working()
    desk.hear(R.TRADED, FROM.FILLS, busted=("t1", "t2"))
    desk.hear(R.OPEN, filled="0.5", trades=(trade(2, "0.5"),))
    assert desk.record().busted == (Busted("t1", Decimal(0)), Busted("t2", Decimal("0.5")))


def test_trade_and_bust_in_one_report_are_nothing() -> None:
    desk = working()
    desk.hear(R.OPEN, FROM.QUERY, filled="0", trades=(trade(1, "0.5"),), busted=("t1",))
    assert (desk.fills(), desk.busts()) == ([], [])
    assert desk.state() == "ACKNOWLEDGED"


def test_an_order_whose_only_trade_was_taken_back_is_not_partially_filled() -> None:
    desk = working()
    desk.hear(R.OPEN, filled="1", trades=(trade(1, "1"),))
    assert desk.state() == "PARTIALLY_FILLED"
    desk.hear(R.TRADED, busted=("t1",))
    assert desk.state() == "ACKNOWLEDGED"


@pytest.mark.parametrize("end", ["FILLED", "CANCELLED"])
def test_a_late_bust_of_an_order_that_is_over_is_undone_and_the_state_stays(end: str) -> None:
    desk = working()
    filled = "2" if end == "FILLED" else "1.5"
    desk.hear(R(end), filled=filled, trades=(trade(1, filled),))
    desk.hear(R.TRADED, FROM.FILLS, busted=("t1",))
    assert desk.state() == end
    assert len(desk.busts()) == 1
    assert position(desk) == {}
    assert desk.core.orders.active() == ()


@pytest.mark.parametrize("counts", [True, False])
def test_an_order_with_a_bust_is_over_when_a_look_up_shows_all_that_stands(counts: bool) -> None:
    """A venue may count what it has taken back as filled or not; a look-up lists every trade that stands."""
    desk = working()
    desk.hear(R.OPEN, filled="1", trades=(trade(1, "1"),))
    desk.hear(R.TRADED, busted=("t1",))
    filled = "2" if counts else "1"
    desk.hear(R.FILLED, FROM.STREAM, filled=filled, trades=(trade(2, "1"),))
    assert desk.state() == ("PARTIALLY_FILLED" if counts else "FILLED")
    desk.hear(R.FILLED, FROM.QUERY, filled=filled, trades=(trade(2, "1"),))
    assert desk.state() == "FILLED"
    assert desk.record().booked == 1


def test_a_count_from_before_the_bust_does_not_leave_trades_missing_for_ever() -> None:
    desk = working()
    desk.hear(R.TRADED, busted=("t1",))
    desk.hear(R.OPEN, FROM.STREAM, filled="1")
    assert desk.record().misses_trades
    desk.hear(R.OPEN, FROM.QUERY, filled="0")
    assert not desk.record().misses_trades


def test_a_bust_of_what_has_been_sold_since_stands_and_is_said() -> None:
    desk = working()
    desk.hear(R.FILLED, filled="2", trades=(trade(1, "2"),))
    desk.approve(2, side="SELL")
    desk.hear(R.FILLED, FROM.SUBMIT, number=2, filled="2", trades=(trade(2, "2"),))
    desk.hear(R.TRADED, busted=("t1",))
    assert len(desk.busts()) == 1
    assert {note.difference for note in desk.notes()} == {Difference.BUSTED_FILL, Difference.QUANTITY_DRIFT}


def test_a_venue_that_takes_trades_back_without_end_is_not_followed() -> None:
    desk = working()
    for first in (0, 1_000):
        desk.hear(R.TRADED, busted=tuple(f"b{first + number}" for number in range(1_000)))
    record = desk.record()
    assert len(record.busted) == BUSTED_MAX
    assert desk.notes()[-1].repair is Repair.FLAGGED


def test_a_venue_that_contradicts_itself_without_end_is_not_quoted_without_end() -> None:
    desk = working()
    desk.hear(R.OPEN, filled="1", trades=(trade(1, "1"),))
    for number in range(2 * NOTED_MAX):
        desk.hear(R.OPEN, filled="1", trades=(trade(1, "0.5", str(number + 1)),))
    assert len(desk.notes()) == NOTED_MAX


# An order that shows up after we held that it was never there.


def absent() -> Desk:
    """Return a desk whose order was held EXPIRED, because the venue did not know it when it could arrive no more."""
    desk = Desk()
    desk.approve(time_in_force="GTC")
    desk.hear(R.NO_ANSWER, FROM.SUBMIT)
    desk.now_us += 10 * SECOND_US
    desk.hear(R.ABSENT, FROM.QUERY)
    assert desk.state() == "EXPIRED"
    return desk


def test_a_late_order_is_adopted_cancelled_and_watched_until_it_is_gone() -> None:
    desk = absent()
    step = desk.hear(R.OPEN, FROM.STREAM, filled="0.5", trades=(trade(1, "0.5"),))
    assert Cancel(order_id(1), Reason.VENUE_UNKNOWN_OUTCOME, None) in step.effects
    assert [note.repair for note in desk.notes()] == [Repair.BOOKED, Repair.ADOPTED]
    assert "being cancelled" in desk.notes()[-1].detail
    assert desk.state() == "EXPIRED"
    assert desk.core.has_open_orders()
    step = desk.wait(SECOND_US)
    assert step.effects == (
        Cancel(order_id(1), Reason.VENUE_UNKNOWN_OUTCOME, None),
        Query(order_id(1), "EXPIRED at the time of looking"),
    )
    desk.hear(R.OPEN, FROM.QUERY, filled="0.5", trades=(trade(1, "0.5"),))
    desk.hear(R.REJECTED, FROM.CANCEL)
    assert desk.core.has_open_orders()
    desk.hear(R.CANCELLED, FROM.CANCEL, filled="0.75", trades=(trade(2, "0.25"),))
    assert not desk.core.has_open_orders()
    assert desk.state() == "EXPIRED"
    assert len(desk.fills()) == 2
    assert position(desk) == {"BTC-USDT": "0.75"}
    assert len([note for note in desk.notes() if note.repair is Repair.ADOPTED]) == 1
    # An old frame of it is no news any more.
    assert desk.hear(R.OPEN, FROM.STREAM, filled="0").effects == ()


def test_an_order_that_was_there_all_the_time_and_is_over_is_adopted_without_a_cancel() -> None:
    desk = absent()
    step = desk.hear(R.FILLED, FROM.QUERY, filled="2", trades=(trade(1, "2"),))
    assert not any(isinstance(effect, Cancel) for effect in step.effects)
    assert "being cancelled" not in desk.notes()[-1].detail
    assert desk.state() == "EXPIRED"
    assert len(desk.fills()) == 1
    assert not desk.core.has_open_orders()


def test_of_an_order_that_is_over_each_kind_of_late_news_is_said() -> None:
    """That it was there and had ended is one thing; that it is open after all is another, and an operator's to see."""
    desk = absent()
    desk.hear(R.CANCELLED, FROM.QUERY, filled="0")
    desk.now_us += 4 * SECOND_US
    step = desk.hear(R.OPEN, FROM.QUERY, filled="0")
    assert step.effects == (Cancel(order_id(1), Reason.VENUE_UNKNOWN_OUTCOME, None),)
    assert [note.difference for note in desk.notes()] == [Difference.FOREIGN_ORDER, Difference.STATE_DRIFT]


def test_an_old_frame_of_an_order_that_is_over_is_nothing_and_a_later_look_up_that_shows_it_open_is() -> None:
    desk = working()
    desk.hear(R.CANCELLED, filled="0")
    for source in (FROM.SUBMIT, FROM.STREAM, FROM.QUERY):
        assert desk.hear(R.OPEN, source, filled="0").outputs == ()
    desk.now_us += 4 * SECOND_US - 1
    assert desk.hear(R.OPEN, FROM.QUERY, filled="0").outputs == ()
    desk.now_us += 1
    step = desk.hear(R.OPEN, FROM.QUERY, filled="0")
    assert step.effects == (Cancel(order_id(1), Reason.VENUE_UNKNOWN_OUTCOME, None),)
    assert desk.notes()[0].difference is Difference.STATE_DRIFT
    assert desk.state() == "CANCELLED"


@pytest.mark.parametrize(
    ("filled", "word", "state"),
    [
        ("0", R.REJECTED, "REJECTED"),
        ("0", R.EXPIRED, "EXPIRED"),
        ("1", R.REJECTED, "CANCELLED"),
        ("1", R.CANCELLED, "CANCELLED"),
    ],
)
def test_an_operator_s_word_ends_an_order_of_unknown_outcome(filled: str, word: ReportStatus, state: str) -> None:
    desk = working()
    if filled != "0":
        desk.hear(R.OPEN, filled="1.5", trades=(trade(1, filled),))
    desk.now_us += SECOND_US
    desk.hear(R.ABSENT, FROM.QUERY)
    assert desk.state() == "UNKNOWN"
    desk.hear(word, FROM.OPERATOR)
    assert desk.state() == state
    assert desk.orders()[-1].reason is Reason.ORDER_OPERATOR
    assert not desk.core.has_open_orders()
    desk.hear(R.TRADED, FROM.FILLS, trades=(trade(9, "0.5"),))
    assert Difference.LATE_FILL in {note.difference for note in desk.notes()}
