"""Orders that do not meet the book at once: stops, times, cancels that take a moment, instruments that are not open."""

from collections.abc import Callable
from typing import Any

import pytest
from simvenue_samples import ONE, SYMBOL, balances, exchange, place, request

from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_simvenue.core.exchange import Exchange
from tollgate_simvenue.core.flavours import Manners
from tollgate_simvenue.core.market import HouseTook, TopSet, TradePrinted
from tollgate_simvenue.core.model import (
    Event,
    InstrumentChanged,
    Order,
    OrderChanged,
    OrderReason,
    OrderStatus,
    PublicTrade,
    Refusal,
    Refused,
)

SELL_STOP: dict[str, Any] = {"side": Side.SELL, "trigger_price": 98 * ONE, "limit_price": 97 * ONE}
BUY_STOP: dict[str, Any] = {"side": Side.BUY, "trigger_price": 103 * ONE, "limit_price": 104 * ONE}


@pytest.mark.parametrize(
    ("stop", "before", "at", "locked"),
    [
        pytest.param(SELL_STOP, 98 * ONE + ONE // 100, 98 * ONE, ("0", "1"), id="a sell, touched from above"),
        pytest.param(SELL_STOP, 99 * ONE, 90 * ONE, ("0", "1"), id="a sell, jumped over"),
        pytest.param(BUY_STOP, 102 * ONE, 103 * ONE, ("895.792", "104.208"), id="a buy, touched from below"),
        pytest.param(BUY_STOP, 103 * ONE - ONE // 100, 110 * ONE, ("895.792", "104.208"), id="a buy, jumped over"),
    ],
)
def test_a_stop_waits_with_its_money_locked_until_a_trade_prints_at_or_through_its_trigger(
    stop: dict[str, Any], before: int, at: int, locked: tuple[str, str]
) -> None:
    venue = exchange(btc=1)
    order = place(venue, **stop)
    currency = "BTC" if order.request.side is Side.SELL else "USDT"
    assert (order.status, order.triggered, balances(venue)[currency]) == (OrderStatus.OPEN, False, locked)
    venue.apply(SYMBOL, TradePrinted(Side.BUY, before, ONE), 20)
    assert not order.triggered
    venue.apply(SYMBOL, TradePrinted(Side.BUY, at, ONE), 21)
    assert (order.triggered, order.status) == (True, OrderStatus.FILLED)  # the book is on its side of the limit
    assert order.updated_us == 21


def test_a_triggered_stop_works_as_a_limit_order_and_no_better() -> None:
    venue = exchange(btc=1)
    venue.apply(SYMBOL, TopSet(96 * ONE, 10 * ONE, 97 * ONE, 10 * ONE), 19)
    order = place(venue, **SELL_STOP)
    events = venue.apply(SYMBOL, TradePrinted(Side.SELL, 96 * ONE, ONE), 20)
    assert (order.triggered, order.status) == (True, OrderStatus.OPEN)
    assert [type(event) for event in events][:2] == [PublicTrade, OrderChanged]
    assert venue.depth(SYMBOL, 1)[1] == [(97 * ONE, 11 * ONE)]


def test_one_stop_can_set_off_the_next() -> None:
    venue = exchange(btc=2)
    second = place(venue, "second", **{**SELL_STOP, "trigger_price": 96 * ONE, "limit_price": 90 * ONE})
    first = place(venue, "first", **{**SELL_STOP, "limit_price": 90 * ONE})
    venue.apply(SYMBOL, TopSet(96 * ONE, ONE, 101 * ONE, ONE), 19)
    venue.apply(SYMBOL, TradePrinted(Side.SELL, 98 * ONE, ONE), 20)
    assert [first.triggered, second.triggered] == [True, True]
    assert first.fills[0].price == 96 * ONE


def test_a_stop_that_is_cancelled_never_works() -> None:
    venue = exchange(btc=1)
    order = place(venue, **SELL_STOP)
    venue.cancel("a", 11)
    venue.apply(SYMBOL, TradePrinted(Side.SELL, 90 * ONE, ONE), 20)
    assert (order.status, order.fills, balances(venue)["BTC"]) == (OrderStatus.CANCELLED, [], ("1", "0"))


REFUSED: list[tuple[dict[str, Any], Refusal, str]] = [
    ({**BUY_STOP, "post_only": True}, Refusal.CONTRADICTION, "trigger_price"),
    (
        {"trigger_price": ONE, "order_type": OrderType.MARKET, "limit_price": None, "time_in_force": TimeInForce.IOC},
        Refusal.CONTRADICTION,
        "trigger_price",
    ),
    ({**BUY_STOP, "trigger_price": 103 * ONE + 1}, Refusal.PRICE_OFF_TICK, "trigger_price"),
    ({"good_until_us": 5}, Refusal.GOOD_UNTIL_PASSED, "good_until_us"),
    ({"good_until_us": 99, "time_in_force": TimeInForce.IOC}, Refusal.CONTRADICTION, "good_until_us"),
]


@pytest.mark.parametrize(("changes", "code", "field"), REFUSED)
def test_what_makes_no_sense_for_a_waiting_order_is_refused(changes: dict[str, Any], code: Refusal, field: str) -> None:
    outcome, _ = exchange().place(request(**changes), 10)
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.field) == (code, field)


def test_an_order_ends_at_its_time_and_does_not_trade_after_it() -> None:
    venue = exchange()
    order = place(venue, limit_price=100 * ONE, good_until_us=50)
    assert venue.next_due_us == 50
    assert venue.advance(49) == []
    events = venue.apply(SYMBOL, TradePrinted(Side.SELL, 99 * ONE, 20 * ONE), 50)
    assert (order.status, order.reason, order.fills) == (OrderStatus.EXPIRED, OrderReason.GOOD_UNTIL, [])
    assert isinstance(events[0], OrderChanged)
    assert (balances(venue)["USDT"], venue.next_due_us) == (("1000", "0"), None)


def test_whatever_is_asked_tells_first_what_the_clock_has_made_due() -> None:
    asked: list[Callable[[Exchange, Order], list[Event]]] = [
        lambda venue, order: venue.place(request("c"), 60)[1],
        lambda venue, order: venue.place(request("c", quantity=1), 60)[1],
        lambda venue, order: venue.cancel_order(order, 60),
        lambda venue, order: venue.apply(SYMBOL, HouseTook(Side.BUY, ONE), 60),
        lambda venue, order: venue.set_status(SYMBOL, InstrumentStatus.HALTED, 60),
        lambda venue, order: venue.tick(60),
    ]
    for ask in asked:
        venue = exchange()
        due, other = place(venue, good_until_us=50), place(venue, "b")
        changed = [event for event in ask(venue, other) if isinstance(event, OrderChanged)]
        assert (changed[0].order, changed[0].status) == (due, OrderStatus.EXPIRED)


def test_an_order_that_is_over_leaves_no_timer() -> None:
    venue = exchange()
    place(venue, good_until_us=50)
    venue.cancel("a", 11)
    assert venue.next_due_us is None


def delayed(**options: Any) -> Exchange:
    return exchange(manners=Manners(cancel_delay_us=100), **options)


def test_a_cancel_that_is_only_taken_lets_the_order_trade_until_it_is_over() -> None:
    venue = delayed()
    order = place(venue, limit_price=100 * ONE, quantity=2 * ONE)
    venue.cancel("a", 20)
    assert (order.status, venue.next_due_us) == (OrderStatus.OPEN, 120)
    venue.apply(SYMBOL, TradePrinted(Side.SELL, 99 * ONE, ONE), 30)
    venue.advance(120)
    assert (order.status, order.cumulative_quantity) == (OrderStatus.CANCELLED, ONE)


def test_an_order_that_fills_before_its_cancel_is_over_is_filled() -> None:
    venue = delayed()
    order = place(venue, limit_price=100 * ONE)
    venue.cancel("a", 20)
    venue.apply(SYMBOL, TradePrinted(Side.SELL, 99 * ONE, ONE), 30)
    assert venue.advance(120) == []
    assert order.status is OrderStatus.FILLED


@pytest.mark.parametrize(("part", "status"), [(ONE // 2, OrderStatus.CANCELLED), (ONE, OrderStatus.FILLED)])
def test_a_cancel_can_let_a_part_trade_first_at_the_orders_own_price(part: int, status: OrderStatus) -> None:
    venue = exchange()
    order = place(venue)
    venue.cancel_later(order, 60, part)
    venue.advance(60)
    assert (order.status, order.fills[0].price, order.cumulative_quantity) == (status, 99 * ONE, part)
    assert balances(venue)["USDT"][1] == "0"


def test_a_stop_that_waits_does_not_trade_first() -> None:
    venue = exchange(btc=1)
    order = place(venue, **SELL_STOP)
    venue.cancel_order(order, 11, trades_first=ONE)
    assert (order.status, order.fills) == (OrderStatus.CANCELLED, [])


CLOSED = [InstrumentStatus.CANCEL_ONLY, InstrumentStatus.AUCTION, InstrumentStatus.HALTED]


@pytest.mark.parametrize("status", CLOSED)
def test_nothing_trades_while_an_instrument_is_not_open_and_what_rested_works_again_afterwards(
    status: InstrumentStatus,
) -> None:
    venue = exchange()
    order = place(venue, limit_price=100 * ONE)
    (changed, *_) = venue.set_status(SYMBOL, status, 20)
    assert isinstance(changed, InstrumentChanged)
    assert changed.instrument.status is status
    assert venue.apply(SYMBOL, TradePrinted(Side.SELL, 90 * ONE, 50 * ONE), 21) == []
    assert venue.apply(SYMBOL, HouseTook(Side.SELL, ONE), 22) == []
    assert (order.status, order.fills) == (OrderStatus.OPEN, [])
    venue.set_status(SYMBOL, InstrumentStatus.OPEN, 30)
    venue.apply(SYMBOL, TradePrinted(Side.SELL, 90 * ONE, 50 * ONE), 31)
    assert order.status is OrderStatus.FILLED


def test_an_auction_collects_orders_and_matches_them_in_their_order_when_it_opens() -> None:
    venue = exchange()
    venue.set_status(SYMBOL, InstrumentStatus.AUCTION, 20)
    first = place(venue, "first", limit_price=101 * ONE, quantity=ONE)
    second = place(venue, "second", limit_price=101 * ONE, quantity=ONE)
    shy = place(venue, "shy", limit_price=101 * ONE, post_only=True)
    impatient, _ = venue.place(request("ioc", time_in_force=TimeInForce.IOC), 21)
    assert isinstance(impatient, Refused)
    assert [order.status for order in (first, second, shy)] == [OrderStatus.OPEN] * 3
    venue.set_status(SYMBOL, InstrumentStatus.OPEN, 30)
    assert [order.status for order in (first, second)] == [OrderStatus.FILLED] * 2
    assert first.fills[0].fill_sequence < second.fills[0].fill_sequence
    # It was accepted before: it can be cancelled now, but not turned away.
    assert (shy.status, shy.reason) == (OrderStatus.CANCELLED, OrderReason.POST_ONLY_WOULD_TAKE)


def test_only_a_halt_refuses_cancels() -> None:
    venue = exchange()
    order = place(venue)
    for status in CLOSED:
        venue.set_status(SYMBOL, status, 20)
        refused = venue.refuses_cancel(order)
        assert (refused is not None) == (status is InstrumentStatus.HALTED), status
    venue.set_status(SYMBOL, InstrumentStatus.AUCTION, 21)
    venue.cancel("a", 22)
    assert order.status is OrderStatus.CANCELLED
    venue.set_status(SYMBOL, InstrumentStatus.OPEN, 23)
    assert venue.depth(SYMBOL, 5)[0] == [(100 * ONE, 10 * ONE)]


def test_a_partial_fill_before_the_halt_leaves_only_the_rest_to_trade() -> None:
    venue = exchange()
    order = place(venue, limit_price=101 * ONE - ONE // 100, quantity=2 * ONE)
    venue.apply(SYMBOL, TradePrinted(Side.SELL, 100 * ONE, ONE), 12)
    venue.set_status(SYMBOL, InstrumentStatus.HALTED, 20)
    venue.set_status(SYMBOL, InstrumentStatus.OPEN, 21)
    venue.apply(SYMBOL, TradePrinted(Side.SELL, 90 * ONE, 50 * ONE), 31)
    assert isinstance(order, Order)
    assert (order.status, order.cumulative_quantity) == (OrderStatus.FILLED, 2 * ONE)
