"""The exchange's core: money, ids, and what events say. Pure: time is an argument."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simvenue_samples import ATOM, MINUTE_US, ONE, SYMBOL, balances, exchange, place, request

from tollgate_contracts.execution import Liquidity
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_simvenue.core.exchange import Exchange
from tollgate_simvenue.core.market import HouseTook, LevelsSet, TopSet, TradePrinted
from tollgate_simvenue.core.model import (
    CandleClosed,
    OrderChanged,
    OrderFilled,
    OrderReason,
    OrderStatus,
    PublicTrade,
    QuoteChanged,
    Refusal,
    Refused,
)
from tollgate_simvenue.core.units import ATOMS_PER_UNIT


def test_a_resting_buy_locks_its_price_and_the_dearer_fee() -> None:
    venue = exchange()
    order = place(venue)
    assert order.status is OrderStatus.OPEN
    assert balances(venue)["USDT"] == ("900.802", "99.198")
    venue.cancel("a", 11)
    assert balances(venue)["USDT"] == ("1000", "0")
    assert (order.status, order.reason) == (OrderStatus.CANCELLED, OrderReason.USER)


def test_a_taking_buy_pays_the_makers_price_and_the_takers_fee() -> None:
    venue = exchange()
    order = place(venue, limit_price=105 * ONE)
    assert (order.status, order.fills[0].liquidity, order.fills[0].price) == (
        OrderStatus.FILLED,
        Liquidity.TAKER,
        101 * ONE,
    )
    assert balances(venue) == {"BTC": ("1", "0"), "USDT": ("898.798", "0")}


def test_a_resting_sell_earns_its_price_less_the_makers_fee() -> None:
    venue = exchange(btc=2)
    place(venue, side=Side.SELL, limit_price=102 * ONE, quantity=2 * ONE)
    assert balances(venue)["BTC"] == ("0", "2")
    events = venue.apply(SYMBOL, TradePrinted(Side.BUY, 103 * ONE, ONE), 20)
    assert balances(venue) == {"BTC": ("0", "1"), "USDT": ("1101.898", "0")}
    assert [type(event) for event in events] == [PublicTrade, OrderFilled, OrderChanged]


def test_a_market_buy_locks_what_the_book_asks_and_no_more() -> None:
    venue = exchange(usdt=2_100)
    order = place(
        venue, order_type=OrderType.MARKET, limit_price=None, time_in_force=TimeInForce.IOC, quantity=20 * ONE
    )
    assert (order.status, order.reason, order.cumulative_quantity) == (
        OrderStatus.CANCELLED,
        OrderReason.IOC_REST,
        10 * ONE,
    )
    assert balances(venue) == {"BTC": ("10", "0"), "USDT": ("1087.98", "0")}


@pytest.mark.parametrize(("side", "quantity"), [(Side.BUY, 11 * ONE), (Side.SELL, ONE)])
def test_what_cannot_be_paid_for_is_registered_as_rejected(side: Side, quantity: int) -> None:
    venue = exchange()
    order = place(venue, side=side, quantity=quantity)
    assert (order.status, order.reason) == (OrderStatus.REJECTED, OrderReason.INSUFFICIENT_BALANCE)
    assert balances(venue)["USDT"] == ("1000", "0")
    outcome, _ = venue.place(request("a"), 11)
    assert isinstance(outcome, Refused)
    assert outcome.code is Refusal.DUPLICATE_CLIENT_ORDER_ID


def test_the_last_coin_can_be_spent() -> None:
    """The lock is the limit plus the fee, to the last atom."""
    venue = exchange()
    cost = 101 * 1002 * ATOM // 1000
    venue.account.free["USDT"] = cost
    assert place(venue, limit_price=101 * ONE).status is OrderStatus.FILLED
    assert balances(venue)["USDT"] == ("0", "0")


REFUSED: list[tuple[dict[str, Any], Refusal, str]] = [
    ({"symbol": "NO-SUCH"}, Refusal.UNKNOWN_SYMBOL, "symbol"),
    ({"limit_price": 99 * ONE + 1}, Refusal.PRICE_OFF_TICK, "limit_price"),
    ({"quantity": ONE + 1}, Refusal.QUANTITY_OFF_STEP, "quantity"),
    ({"quantity": ONE // 200}, Refusal.BELOW_MIN_QUANTITY, "quantity"),
    ({"quantity": ONE // 100}, Refusal.BELOW_MIN_NOTIONAL, "quantity"),
    ({"limit_price": None}, Refusal.MISSING_FIELD, "limit_price"),
    ({"order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC}, Refusal.CONTRADICTION, "limit_price"),
    ({"order_type": OrderType.MARKET, "limit_price": None}, Refusal.CONTRADICTION, "time_in_force"),
    ({"post_only": True, "time_in_force": TimeInForce.IOC}, Refusal.CONTRADICTION, "post_only"),
]


@pytest.mark.parametrize(("changes", "code", "field"), REFUSED)
def test_each_rule_refuses_by_its_own_code_and_leaves_no_trace(
    changes: dict[str, Any], code: Refusal, field: str
) -> None:
    venue = exchange()
    outcome, events = venue.place(request(**changes), 10)
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.field, events) == (code, field, [])
    assert venue.order("a") is None
    assert place(venue, "a").status is OrderStatus.OPEN  # the id is still free


def test_the_least_notional_is_exactly_enough() -> None:
    assert place(exchange(min_notional=99)).status is OrderStatus.OPEN


@pytest.mark.parametrize("status", [InstrumentStatus.CANCEL_ONLY, InstrumentStatus.HALTED])
def test_an_instrument_that_is_not_open_takes_no_orders(status: InstrumentStatus) -> None:
    outcome, _ = exchange(status=status).place(request(), 10)
    assert isinstance(outcome, Refused)
    assert outcome.code is Refusal.INSTRUMENT_NOT_OPEN


def test_a_frame_says_how_an_order_stood_when_it_was_said() -> None:
    """The order moves on within one market event; what was said of it before does not."""
    venue = exchange()
    place(venue, limit_price=100 * ONE)
    place(venue, "b", limit_price=100 * ONE)
    events = venue.apply(SYMBOL, LevelsSet(((Side.BUY, 100 * ONE, 0), (Side.SELL, 100 * ONE, 2 * ONE))), 20)
    changed = [
        (event.order.request.client_order_id, event.status) for event in events if isinstance(event, OrderChanged)
    ]
    assert changed == [("a", OrderStatus.FILLED), ("b", OrderStatus.FILLED)]


def test_a_partial_fill_is_said_with_its_cumulative_quantity() -> None:
    venue = exchange()
    place(venue, limit_price=100 * ONE, quantity=3 * ONE)
    venue.apply(SYMBOL, LevelsSet(((Side.BUY, 100 * ONE, 0),)), 19)
    first = venue.apply(SYMBOL, HouseTook(Side.SELL, ONE), 20)
    second = venue.apply(SYMBOL, HouseTook(Side.SELL, 5 * ONE), 21)
    said = [
        (type(event).__name__, event.fill.cumulative_quantity if isinstance(event, OrderFilled) else event.status)
        for event in first + second
        if isinstance(event, OrderFilled | OrderChanged)
    ]
    assert said == [
        ("OrderFilled", ONE),
        ("OrderChanged", OrderStatus.OPEN),
        ("OrderFilled", 3 * ONE),
        ("OrderChanged", OrderStatus.FILLED),
    ]


def test_ids_carry_the_session_so_that_none_is_given_twice() -> None:
    order = place(exchange(), limit_price=101 * ONE)
    assert order.venue_order_id == "3-1"
    assert order.fills[0].trade_id.startswith("3-")


def test_quotes_are_said_only_when_they_change_and_numbered_upwards() -> None:
    venue = exchange()
    top = TopSet(100 * ONE, 10 * ONE, 101 * ONE, 10 * ONE)
    assert venue.apply(SYMBOL, top, 2) == []
    events = venue.apply(SYMBOL, TopSet(100 * ONE, 9 * ONE, 101 * ONE, 10 * ONE), 3)
    assert [event.sequence for event in events if isinstance(event, QuoteChanged)] == [1_002]
    one_sided = LevelsSet(((Side.BUY, 100 * ONE, 0),))
    assert venue.apply(SYMBOL, one_sided, 4) == []


def test_candles_close_by_the_clock_and_repeat_the_close_where_nothing_traded() -> None:
    venue = exchange()
    for ts_us, price in ((1, 100), (2, 104), (3, 98), (MINUTE_US - 1, 99)):
        venue.apply(SYMBOL, TradePrinted(Side.BUY, price * ONE, ONE), ts_us)
    (first, second) = [event.candle for event in venue.tick(2 * MINUTE_US) if isinstance(event, CandleClosed)]
    assert (first.open, first.high, first.low, first.close) == (100 * ONE, 104 * ONE, 98 * ONE, 99 * ONE)
    assert (first.volume, first.trades, first.open_us) == (4 * ONE, 4, 0)
    assert (second.open, second.close, second.volume, second.trades) == (99 * ONE, 99 * ONE, 0, 0)
    venue.apply(SYMBOL, TradePrinted(Side.BUY, 107 * ONE, ONE), 2 * MINUTE_US + 5)
    (third,) = [event.candle for event in venue.tick(3 * MINUTE_US) if isinstance(event, CandleClosed)]
    assert (third.open, third.low) == (107 * ONE, 107 * ONE)


def test_a_long_sleep_closes_at_most_the_candles_that_are_kept() -> None:
    venue = exchange()
    venue.apply(SYMBOL, TradePrinted(Side.BUY, 100 * ONE, ONE), 1)
    assert len(venue.tick(10**6 * MINUTE_US)) <= 502
    assert venue.tick(10**6 * MINUTE_US) == []


actions = st.one_of(
    st.tuples(
        st.just("place"),
        st.sampled_from(Side),
        st.integers(95, 106),
        st.integers(1, 40),
        st.sampled_from(TimeInForce),
        st.booleans(),
    ),
    st.tuples(st.just("market"), st.sampled_from(Side), st.integers(1, 40)),
    st.tuples(st.just("cancel"), st.integers(0, 40)),
    st.tuples(st.just("print"), st.sampled_from(Side), st.integers(95, 106), st.integers(1, 40)),
    st.tuples(st.just("top"), st.integers(95, 100), st.integers(1, 40), st.integers(101, 106), st.integers(1, 40)),
)


def act(venue: Exchange, number: int, action: tuple) -> None:  # type: ignore[type-arg]
    tenth = ONE // 10
    match action:
        case ("place", side, price, quantity, time_in_force, post_only):
            post_only = post_only and time_in_force is TimeInForce.GTC
            changes = {"side": side, "limit_price": price * ONE, "quantity": quantity * tenth}
            place(venue, f"o{number}", **changes, time_in_force=time_in_force, post_only=post_only)
        case ("market", side, quantity):
            changes = {"side": side, "limit_price": None, "quantity": quantity * tenth}
            place(venue, f"o{number}", **changes, time_in_force=TimeInForce.IOC, order_type=OrderType.MARKET)
        case ("cancel", which):
            venue.cancel(f"o{which}", number)
        case ("print", side, price, quantity):
            venue.apply(SYMBOL, TradePrinted(side, price * ONE, quantity * tenth), number)
        case ("top", bid, bid_quantity, ask, ask_quantity):
            venue.apply(SYMBOL, TopSet(bid * ONE, bid_quantity * tenth, ask * ONE, ask_quantity * tenth), number)


@settings(max_examples=200, deadline=None)
@given(st.lists(actions, max_size=40))
def test_money_is_never_made_or_lost(action_list: list[tuple]) -> None:  # type: ignore[type-arg]
    """Balances are the opening ones plus every fill, to the atom; locks are those of the open orders."""
    venue = exchange(usdt=500, btc=3, min_notional=0)
    usdt, btc = 500 * ATOM, 3 * ATOM
    for number, action in enumerate(action_list):
        act(venue, number, action)
        locked = {"USDT": 0, "BTC": 0}
        for order in venue.open_orders():
            locked["USDT" if order.request.side is Side.BUY else "BTC"] += order.locked
        assert venue.account.locked == locked
        assert min(venue.account.free.values()) >= 0
    orders = [venue.order(f"o{number}") for number in range(len(action_list))]
    for order in (order for order in orders if order is not None):
        assert order.cumulative_quantity == sum(fill.quantity for fill in order.fills) <= order.request.quantity
        assert (order.status is OrderStatus.FILLED) == (order.cumulative_quantity == order.request.quantity)
        for fill in order.fills:
            sign = 1 if fill.side is Side.BUY else -1
            usdt -= sign * fill.price * fill.quantity + fill.fee
            btc += sign * fill.quantity * ATOMS_PER_UNIT
    account = venue.account
    assert account.free["USDT"] + account.locked["USDT"] == usdt
    assert account.free["BTC"] + account.locked["BTC"] == btc
