"""What changes after the fact: trades that are taken back, money that moves without an order, used client ids."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simvenue_samples import ATOM, FEE_TIERS, ONE, SYMBOL, balances, exchange, place, request

from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.reconciliation import MovementType
from tollgate_contracts.strategy import Side
from tollgate_domain.costs import FeeTier, FeeTiers
from tollgate_simvenue.core.exchange import Exchange
from tollgate_simvenue.core.flavours import MANNERS, VenueLike
from tollgate_simvenue.core.market import HouseTook, MarketEvent, TopSet, TradePrinted
from tollgate_simvenue.core.model import (
    Bust,
    MoneyMoved,
    Movement,
    Order,
    OrderBusted,
    OrderChanged,
    OrderReason,
    OrderRequest,
    OrderStatus,
    Refusal,
    Refused,
)
from tollgate_simvenue.core.units import ATOMS_PER_UNIT


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_bust_moves_the_money_and_the_fee_back_and_is_a_row_of_its_own(side: Side) -> None:
    venue = exchange(btc=1)
    before = balances(venue)
    order = place(venue, side=side, limit_price=(101 if side is Side.BUY else 100) * ONE)
    (fill,) = order.fills
    bust, events = venue.bust(order, fill.trade_id, 30)
    assert isinstance(bust, Bust)
    assert (bust.fill_sequence, bust.trade_id, bust.side) == (fill.fill_sequence + 1, fill.trade_id, side)
    assert [type(event) for event in events] == [OrderBusted, OrderChanged]
    assert balances(venue) == before
    # Nothing is traded any more, and the order is over all the same.
    assert (order.status, order.cumulative_quantity, order.cumulative_quote, order.fills) == (
        OrderStatus.FILLED,
        0,
        0,
        [],
    )


def test_a_trade_is_taken_back_once() -> None:
    venue = exchange()
    order = place(venue, limit_price=101 * ONE)
    trade_id = order.fills[0].trade_id
    venue.bust(order, trade_id, 30)
    for wanted in (trade_id, "never"):
        outcome, events = venue.bust(order, wanted, 31)
        assert isinstance(outcome, Refused)
        assert (outcome.code, events) == (Refusal.UNKNOWN_TRADE, [])


def test_what_was_taken_back_of_an_open_order_does_not_come_back_to_life() -> None:
    venue = exchange()
    order = place(venue, limit_price=100 * ONE, quantity=2 * ONE)
    venue.apply(SYMBOL, TradePrinted(Side.SELL, 99 * ONE, ONE), 12)
    venue.bust(order, order.fills[0].trade_id, 13)
    venue.apply(SYMBOL, TradePrinted(Side.SELL, 99 * ONE, 20 * ONE), 14)
    assert (order.status, order.cumulative_quantity) == (OrderStatus.FILLED, ONE)
    assert balances(venue)["USDT"][1] == "0"


def test_a_bust_cancels_the_orders_that_hold_what_it_takes_back() -> None:
    """A protective sell of what was bought cannot stand when the purchase did not happen."""
    venue = exchange(btc=1)
    bought = place(venue, limit_price=101 * ONE)
    older = place(venue, "older", side=Side.SELL, limit_price=110 * ONE)
    newer = place(venue, "newer", side=Side.SELL, limit_price=111 * ONE)
    outcome, _ = venue.bust(bought, bought.fills[0].trade_id, 30)
    assert isinstance(outcome, Bust)
    assert (newer.status, newer.reason) == (OrderStatus.CANCELLED, OrderReason.BUST)
    assert older.status is OrderStatus.OPEN
    assert balances(venue)["BTC"] == ("0", "1")


def test_a_trade_whose_money_is_gone_stands() -> None:
    venue = exchange()
    bought = place(venue, limit_price=101 * ONE)
    place(venue, "sold", side=Side.SELL, limit_price=100 * ONE)
    outcome, events = venue.bust(bought, bought.fills[0].trade_id, 30)
    assert isinstance(outcome, Refused)
    assert (outcome.code, events, bought.cumulative_quantity) == (Refusal.INSUFFICIENT_FUNDS, [], ONE)


def test_movements_are_numbered_change_what_is_free_and_are_no_fills() -> None:
    venue = exchange()
    first, events = venue.move_money(MovementType.DEPOSIT, "USDT", 5 * ATOM, None, 20)
    second, _ = venue.move_money(MovementType.FUNDING, "USDT", -2 * ATOM, SYMBOL, 21)
    assert isinstance(first, Movement)
    assert isinstance(second, Movement)
    assert [first.movement_sequence, second.movement_sequence] == [1, 2]
    assert first.movement_id != second.movement_id
    assert events == [MoneyMoved(first)]
    assert (balances(venue)["USDT"], venue.fill_sequence) == (("1003", "0"), 0)
    outcome, events = venue.move_money(MovementType.WITHDRAWAL, "USDT", -1_004 * ATOM, None, 22)
    assert isinstance(outcome, Refused)
    assert (outcome.code, events) == (Refusal.INSUFFICIENT_FUNDS, [])


def of(like: VenueLike) -> Exchange:
    return exchange(manners=MANNERS[like])


@pytest.mark.parametrize(
    ("like", "expected"),
    [
        (VenueLike.TOLLGATE, Refusal.DUPLICATE_CLIENT_ORDER_ID),
        (VenueLike.BINGX, Refusal.BINGX_DUPLICATE),
    ],
)
def test_a_used_id_is_refused_in_the_venues_own_words(like: VenueLike, expected: Refusal) -> None:
    venue = of(like)
    place(venue)
    outcome, _ = venue.place(request(), 11)
    assert isinstance(outcome, Refused)
    assert outcome.code is expected


def test_btcturk_takes_a_second_order_of_the_same_id() -> None:
    venue = of(VenueLike.BTCTURK)
    first, second = place(venue), place(venue)
    assert first.venue_order_id != second.venue_order_id
    assert venue.open_orders() == [first, second]
    assert venue.order("a") is second
    assert venue.order_of_venue_id(first.venue_order_id) is first
    venue.apply(SYMBOL, TradePrinted(Side.SELL, 90 * ONE, 50 * ONE), 12)
    assert [first.status, second.status] == [OrderStatus.FILLED] * 2


def test_coinbase_answers_a_used_id_with_the_order_that_has_it_whatever_is_asked_for() -> None:
    venue = of(VenueLike.COINBASE)
    first = place(venue)
    again, events = venue.place(request(quantity=5 * ONE), 11)
    assert again is first
    assert (events, len(venue.open_orders())) == ([], 1)


def test_bingx_lower_cases_ids_and_so_finds_duplicates_by_them() -> None:
    venue = of(VenueLike.BINGX)
    order = place(venue, "TG-Abc")
    assert order.request.client_order_id == "tg-abc"
    assert venue.order("TG-ABC") is order
    outcome, _ = venue.place(request("tg-aBC"), 11)
    assert isinstance(outcome, Refused)


TENTH = ONE // 10
actions = st.one_of(
    st.tuples(st.just("place"), st.sampled_from(Side), st.integers(95, 106), st.integers(1, 40), st.booleans()),
    st.tuples(st.just("stop"), st.sampled_from(Side), st.integers(95, 106), st.integers(1, 40)),
    st.tuples(st.just("cancel"), st.integers(0, 40), st.integers(0, 20)),
    st.tuples(st.just("print"), st.sampled_from(Side), st.integers(95, 106), st.integers(1, 40)),
    st.tuples(st.just("took"), st.sampled_from(Side), st.integers(1, 40)),
    st.tuples(st.just("top"), st.integers(95, 100), st.integers(1, 40), st.integers(101, 106), st.integers(1, 40)),
    st.tuples(st.just("bust"), st.integers(0, 40)),
    st.tuples(st.just("money"), st.sampled_from(["USDT", "BTC"]), st.integers(-300, 300)),
    st.tuples(st.just("status"), st.sampled_from(InstrumentStatus)),
)

REBATES = (FeeTier(volume_from=Decimal(0), maker_bps=Decimal(-2), taker_bps=Decimal(5)),)
# Enough for the fees of some trades, so that the others are charged in quote currency.
BNB_ATOMS = ATOM // 50


class Books:
    """What the events alone say of the account's money."""

    def __init__(self) -> None:
        self.total = {"USDT": 500 * ATOM, "BTC": 3 * ATOM, "BNB": BNB_ATOMS}
        self.fills: dict[str, tuple[Order, dict[str, int]]] = {}

    def take_in(self, events: list) -> None:  # type: ignore[type-arg]
        for event in events:
            match event:
                case OrderBusted(bust=bust):
                    _, moved = self.fills.pop(bust.trade_id)
                    self.move({currency: -amount for currency, amount in moved.items()})
                case MoneyMoved(movement):
                    self.total[movement.currency] += movement.amount
                case _ if hasattr(event, "fill"):
                    fill = event.fill
                    sign = 1 if fill.side is Side.BUY else -1
                    moved = {"BNB": 0, "BTC": sign * fill.quantity * ATOMS_PER_UNIT}
                    moved["USDT"] = -sign * fill.price * fill.quantity
                    moved[fill.fee_currency] -= fill.fee
                    self.fills[fill.trade_id] = (event.order, moved)
                    self.move(moved)

    def move(self, moved: dict[str, int]) -> None:
        for currency, amount in moved.items():
            self.total[currency] += amount


def act(venue: Exchange, books: Books, number: int, action: tuple) -> list:  # type: ignore[type-arg]
    match action:
        case ("place" | "stop", *_):
            return venue.place(asked(number, action), number)[1]
        case ("cancel", which, trades_first):
            order = venue.order(f"o{which}")
            return [] if order is None else venue.cancel_order(order, number, trades_first=trades_first * TENTH)
        case ("bust", which):
            known = list(books.fills.items())
            trade_id, (order, _) = known[which % len(known)] if known else ("", (None, None))
            return [] if order is None else venue.bust(order, trade_id, number)[1]
        case ("money", currency, amount):
            return venue.move_money(MovementType.TRANSFER, currency, amount * ATOM, None, number)[1]
        case ("status", status):
            return venue.set_status(SYMBOL, status, number)
    return venue.apply(SYMBOL, moved(action), number)


def asked(number: int, action: tuple) -> OrderRequest:  # type: ignore[type-arg]
    kind, side, price, quantity, *rest = action
    fields = {"side": side, "limit_price": price * ONE, "quantity": quantity * TENTH}
    if kind == "stop":
        return request(f"o{number}", **fields, trigger_price=price * ONE)
    return request(f"o{number}", **fields, good_until_us=number + 8 if rest[0] else None)


def moved(action: tuple) -> MarketEvent:  # type: ignore[type-arg]
    match action:
        case ("print", side, price, quantity):
            return TradePrinted(side, price * ONE, quantity * TENTH)
        case ("took", side, quantity):
            return HouseTook(side, quantity * TENTH)
        case ("top", bid, bid_quantity, ask, ask_quantity):
            return TopSet(bid * ONE, bid_quantity * TENTH, ask * ONE, ask_quantity * TENTH)
    raise AssertionError(action)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(actions, max_size=40),
    st.sampled_from(VenueLike),
    st.sampled_from(["quote", "base", "BTC", "BNB"]),
    st.sampled_from([FEE_TIERS, REBATES]),
)
def test_money_is_never_made_or_lost_whatever_is_taken_back_or_moved(
    action_list: list[tuple],  # type: ignore[type-arg]
    like: VenueLike,
    fee_currency: str,
    fee_tiers: FeeTiers,
) -> None:
    """Balances are what the events say, to the atom; locks are those of the open orders, and end with them."""
    fees = {"fee_tiers": fee_tiers, "fee_currency": fee_currency, "bnb_atoms": BNB_ATOMS}
    venue = exchange(usdt=500, btc=3, min_notional=0, manners=MANNERS[like], **fees)
    books = Books()
    for number, action in enumerate(action_list, start=6):
        books.take_in(act(venue, books, number, action))
        locked = {"USDT": 0, "BTC": 0, "BNB": 0}
        for order in venue.open_orders():
            locked["USDT" if order.request.side is Side.BUY else "BTC"] += order.locked
            assert order.cumulative_quantity == sum(fill.quantity for fill in order.fills)
        assert venue.account.locked == locked
        assert min(venue.account.free.values()) >= 0
        assert {name: venue.account.total(name) for name in books.total} == books.total
    for order in venue.open_orders():
        books.take_in(venue.cancel_order(order, 1_000))
    books.take_in(venue.set_status(SYMBOL, InstrumentStatus.OPEN, 10**6))
    books.take_in(venue.advance(10**6))
    assert venue.open_orders() == []
    assert venue.account.locked == {"USDT": 0, "BTC": 0, "BNB": 0}
