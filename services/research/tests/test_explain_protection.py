"""What is told of a protected entry: its stop, what the stop sold, and what the venue took back."""

from decimal import Decimal

import pytest
from synthetic_tape import SyntheticDesk

from tollgate_contracts.execution import (
    Bust,
    Fill,
    Liquidity,
    Order,
    OrderState,
    ReportSource,
    ReportStatus,
    VenueTrade,
)
from tollgate_contracts.money import ZERO
from tollgate_contracts.strategy import Side
from tollgate_research.explain import Explainer
from tollgate_research.explain_answer import answer_of


def opened() -> SyntheticDesk:
    """Return a desk that has bought at 101.01, with a stop at the venue."""
    desk = SyntheticDesk().open(protective_stop_bps="100")
    desk.buy("101")
    return desk


def stops_of(desk: SyntheticDesk) -> list[Order]:
    return [message for message in desk.messages if isinstance(message, Order) and message.protects is not None]


def stop_trades(desk: SyntheticDesk, price: str = "100") -> Order:
    stop = stops_of(desk)[-1]
    trade = VenueTrade(
        trade_id="stop-1",
        price=Decimal(price),
        quantity=stop.quantity,
        fee=Decimal("0.1"),
        fee_currency="USDT",
        liquidity=Liquidity.TAKER,
        venue_ts_us=desk.now_us,
    )
    fields = {"status": ReportStatus.FILLED, "cumulative_quantity": stop.quantity, "trades": (trade,)}
    desk.append(desk.report(stop.client_order_id, ReportSource.STREAM, fields))
    return stop


def told(desk: SyntheticDesk, asked: str) -> tuple:
    explainer = Explainer("main", asked)
    for record in desk.records:
        explainer.take(record)
    (story,) = explainer.matches
    return story, answer_of(story, explainer)


def held(desk: SyntheticDesk) -> set:
    """What each core believes is held of BTC."""
    portfolios = (desk.cores["strategy"].state.portfolio, desk.cores["risk"].state.portfolio)
    return {each.holding("BTC-USDT") for each in (*portfolios, desk.cores["execution"].portfolio)}


@pytest.mark.parametrize("asked", ["entry", "stop", "trade"])
def test_the_stop_is_told_in_the_entrys_story(asked):
    """By whichever id it is asked for; what the entry itself filled, and its state, stay its own."""
    desk = opened()
    entry = next(message for message in desk.messages if isinstance(message, Fill))
    stop = stop_trades(desk)
    ids = {"entry": entry.client_order_id, "stop": stop.client_order_id, "trade": "stop-1"}
    story, answer = told(desk, ids[asked])
    assert story.client_order_id == entry.client_order_id
    assert (answer.what.state, answer.what.shape.side, answer.result.filled) == (
        "FILLED",
        Side.BUY,
        entry.trade.quantity,
    )
    lines = [(line.what, line.detail) for line in answer.execution]
    assert (f"stop of {stop.quantity} at {stop.trigger_price}: SUBMITTING -> ACKNOWLEDGED", "") in lines
    assert (f"stop traded: SELL {stop.quantity} at 100", "trade stop-1") in lines
    (trip,) = answer.result.trips
    assert (trip.held, trip.orders) == (ZERO, (entry.client_order_id, stop.client_order_id))


def test_all_books_agree_when_a_stop_ends_a_position():
    """Strategy, risk and execution hold nothing, and the gate has booked a stop."""
    desk = opened()
    stop_trades(desk)
    assert [holding.quantity for holding in held(desk)] == [ZERO]
    assert desk.cores["risk"].state.results.counts.stopped == 1
    assert desk.cores["risk"].state.orders.protective == {}


def test_an_exit_takes_the_stop_back_and_sells_all():
    """The strategy's own exit comes first: the stop is cancelled, then the exit is sent, and no stop returns."""
    desk = opened()
    desk.quote("103")
    states = [(order.to_state, order.reason) for order in stops_of(desk)]
    assert [state for state, _ in states] == [
        OrderState.SUBMITTING,
        OrderState.ACKNOWLEDGED,
        OrderState.CANCELLING,
        OrderState.CANCELLED,
    ]
    assert [holding.quantity for holding in held(desk)] == [ZERO]


def test_a_busted_trade_is_told_and_counts_no_more():
    desk = opened()
    entry = next(message for message in desk.messages if isinstance(message, Fill))
    fields = {"status": ReportStatus.TRADED, "busted": (entry.trade.trade_id,)}
    desk.append(desk.report(entry.client_order_id, ReportSource.STREAM, fields))
    assert [message.trade for message in desk.messages if isinstance(message, Bust)] == [entry.trade]
    _, answer = told(desk, entry.client_order_id)
    assert (answer.result.filled, answer.trades) == (ZERO, ())
    words = f"taken back by the venue: BUY {entry.trade.quantity} at {entry.trade.price}"
    assert words in [line.what for line in answer.execution]
    assert [(holding.quantity, holding.cost) for holding in held(desk)] == [(ZERO, ZERO)]
    assert stops_of(desk)[-1].to_state is OrderState.CANCELLED
