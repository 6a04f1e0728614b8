"""Movements of a position's own currency: what position, result, trips and lots make of them, and that laws hold."""

from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate_contracts.execution import Fill, Liquidity, VenueTrade
from tollgate_contracts.money import ZERO
from tollgate_contracts.reconciliation import Account, Balance, Movement, MovementType, VenuePosition
from tollgate_contracts.strategy import Side
from tollgate_domain.lots import FifoBook
from tollgate_domain.movements import Carried
from tollgate_domain.portfolio import Portfolio
from tollgate_domain.round_trips import RoundTrips
from tollgate_domain.trip_log import Cost, Place, TripLog

BUY, SELL = Side.BUY, Side.SELL
BTC, ETH = "BTC-USDT", "ETH-USDT"
ENVELOPE = {"desk": "main", "run_id": "r1", "ts_us": 1, "cycle_id": 1}


def account(*positions: VenuePosition, **held: str) -> Account:
    balances = {"USDT": "1000", **held}
    return Account(
        id="execution:simulated:1",
        cause=None,
        venue="simulated",
        account="main",
        balances=tuple(Balance(currency=c, free=Decimal(a), locked=ZERO) for c, a in balances.items()),
        positions=positions,
        maker_fee_bps=Decimal(10),
        taker_fee_bps=Decimal(20),
        venue_ts_us=1,
        **ENVELOPE,
    )


def opened(**held: str) -> Portfolio:
    portfolio = Portfolio("USDT")
    portfolio.open(account(**held), (BTC, ETH))
    return portfolio


def fill(side: Side, quantity: str | Decimal, price: str | Decimal, symbol: str = BTC, name: str = "1") -> Fill:
    return Fill(
        id="execution:1:1",
        cause=1,
        client_order_id="tg" + "0" * 30,
        symbol=symbol,
        side=side,
        trade=VenueTrade(
            trade_id=name,
            price=Decimal(price),
            quantity=Decimal(quantity),
            fee=Decimal("0.5"),
            fee_currency="USDT",
            liquidity=Liquidity.TAKER,
            venue_ts_us=2,
        ),
        fee_rate=None,
        fee_rate_source="",
        config_hash="0" * 64,
        **ENVELOPE,
    )


def movement(amount: str | Decimal, rate: str | Decimal | None = None, currency: str = "BTC") -> Movement:
    return Movement(
        id="execution:simulated:movement:1",
        cause=None,
        venue="simulated",
        account="main",
        movement_id="1",
        movement=MovementType.WITHDRAWAL,
        currency=currency,
        amount=Decimal(amount),
        symbol=None,
        venue_ts_us=2,
        rate=None if rate is None else Decimal(rate),
        rate_source="" if rate is None else "quote:1",
        **ENVELOPE,
    )


@pytest.mark.parametrize(
    ("moves", "held", "sums", "beside"),
    [
        pytest.param([("-1", "110")], ("2", "200"), ("10", "-110"), "0", id="what goes is sold at its rate"),
        pytest.param([("-3", "110")], ("0", "0"), ("30", "-330"), "0", id="all of it"),
        pytest.param([("-4", "110")], ("0", "0"), ("30", "-330"), "-1", id="more than there is goes from beside"),
        pytest.param([("-1", None)], ("2", "200"), ("0", "-100"), "0", id="without a rate it goes at its cost"),
        pytest.param([("1", "110")], ("4", "410"), ("0", "110"), "0", id="what comes is bought at its rate"),
        pytest.param([("1", None)], ("3", "300"), ("0", "0"), "1", id="without a rate it lies beside"),
        pytest.param([("1", None), ("-1", "110")], ("3", "300"), ("0", "0"), "0", id="and goes from there first"),
        pytest.param([("1", None), ("-2", "110")], ("2", "200"), ("10", "-110"), "0", id="the rest from the holding"),
        pytest.param([("0", "110")], ("3", "300"), ("0", "0"), "0", id="nothing"),
    ],
)
def test_what_a_movement_makes_of_three_bitcoins_that_have_cost_300(moves, held, sums, beside):
    portfolio = opened()
    portfolio.apply(fill(BUY, "3", "100"))
    cash = portfolio.cash
    for amount, rate in moves:
        portfolio.move(movement(amount, rate))
    holding = portfolio.holding(BTC)
    assert (holding.quantity, holding.cost) == tuple(map(Decimal, held))
    assert (portfolio.realized, portfolio.moved) == tuple(map(Decimal, sums))
    assert (portfolio.beside("BTC"), portfolio.cash) == (Decimal(beside), cash)


def test_what_comes_in_of_a_symbol_of_the_desk_is_a_position_also_where_nothing_is_held():
    portfolio = opened()
    assert portfolio.move(movement("2", "50", "ETH")) == Carried(Decimal(100), ETH, Decimal(2), Decimal(100))
    assert portfolio.holding(ETH).quantity == 2
    again = Portfolio("USDT")
    again.restore(portfolio.snapshot())
    assert again.move(movement("1", "50", "BTC")) == Carried(Decimal(50), BTC, Decimal(1), Decimal(50))


def test_what_comes_in_of_no_symbol_of_the_desk_lies_beside_whatever_it_is_worth():
    portfolio = opened(BNB="5")
    assert portfolio.move(movement("2", "500", "BNB")) == Carried(ZERO)
    assert portfolio.move(movement("-6", "500", "BNB")) == Carried(ZERO)
    assert (portfolio.beside("BNB"), portfolio.moved, portfolio.realized) == (-4, ZERO, ZERO)


@pytest.mark.parametrize(
    ("moved", "lacks"),
    [
        (movement("1"), True),
        (movement("1", "100"), False),
        (movement("-1"), False),
        (movement("1", currency="BNB"), False),
        (movement("1", currency="USDT"), False),
    ],
)
def test_only_what_would_be_a_position_lacks_a_rate(moved: Movement, lacks: bool):
    assert opened().lacks_rate(moved) is lacks


def test_a_perpetual_does_not_follow_the_currency_that_it_is_named_for():
    portfolio = Portfolio("USDT")
    held = VenuePosition(symbol=BTC, quantity=Decimal(2), entry_price=Decimal(100), liquidation_price=None)
    portfolio.open(account(held), (BTC,), (BTC,))
    assert portfolio.move(movement("-1", "110")) == Carried(ZERO)
    assert portfolio.holding(BTC).quantity == 2


def test_a_withdrawal_of_all_ends_the_trip_with_what_it_was_worth():
    portfolio, trips, log = opened(), RoundTrips(), TripLog()
    bought = fill(BUY, "3", "100")
    booking = portfolio.apply(bought)
    trips.apply(bought, booking, 1)
    log.apply(bought, booking, Cost(fees=booking.fee), Place(1, 1))
    carried = portfolio.move(movement("-3", "110"))
    assert carried is not None
    ended = trips.carry(carried, 2).ended
    assert ended is not None
    assert (ended.result, ended.stopped, trips.open) == (Decimal("29.5"), False, {})
    [trip] = log.carry(carried, Place(2, 2)).ended
    assert (trip.net, trip.gross, trip.closed_sequence, trip.exit_price) == (Decimal("29.5"), 30, 2, None)


def test_a_trip_that_a_deposit_has_opened_began_without_a_trade():
    portfolio, log = opened(), TripLog()
    carried = portfolio.move(movement("2", "50", "ETH"))
    assert carried is not None
    trip = log.carry(carried, Place(1, 1)).opened
    assert trip is not None
    assert (trip.found_open, trip.entry_price, trip.quantity, trip.side) == (True, 50, 2, BUY)


AMOUNTS = st.decimals(min_value="0.00000001", max_value="9999", places=8, allow_nan=False)
TRADES = st.tuples(st.sampled_from(Side), AMOUNTS, AMOUNTS, st.sampled_from([BTC, ETH]))
MOVES = st.tuples(
    st.decimals(min_value="-99", max_value="99", places=8, allow_nan=False),
    st.one_of(st.none(), AMOUNTS),
    st.sampled_from(["BTC", "ETH", "BNB", "USDT"]),
)
EVENTS = st.lists(st.one_of(TRADES, MOVES), min_size=1, max_size=30)


@dataclass
class All:
    """One tape at average cost, by trips, and first in, first out."""

    portfolio: Portfolio = field(default_factory=opened)
    lots: FifoBook = field(default_factory=FifoBook)
    trips: RoundTrips = field(default_factory=RoundTrips)
    balances: dict[str, Decimal] = field(default_factory=lambda: {"USDT": Decimal(1_000)})
    results: Decimal = ZERO

    def trade(self, made: Fill) -> None:
        """Book a trade, unless it sells more than is held."""
        quantity = made.trade.quantity
        if made.side is SELL and quantity > self.portfolio.holding(made.symbol).quantity:
            return
        booking = self.portfolio.apply(made)
        self.lots.apply(made, booking)
        self.results += self.trips.apply(made, booking, 1).result
        base, sign = made.symbol.split("-")[0], 1 if made.side is BUY else -1
        self.change(base, sign * quantity)
        self.change("USDT", -sign * quantity * made.trade.price - made.trade.fee)

    def move(self, moved: Movement) -> None:
        """Book a movement."""
        carried = self.portfolio.move(moved)
        assert carried is not None
        self.lots.carry(carried, moved.movement_id, 1)
        if carried.symbol:
            self.results += self.trips.carry(carried, 1).result
        self.change(moved.currency, moved.amount)

    def change(self, currency: str, amount: Decimal) -> None:
        self.balances[currency] = self.balances.get(currency, ZERO) + amount

    def check(self) -> None:
        """Raise unless the laws hold."""
        portfolio, held = self.portfolio, self.portfolio.holdings()
        cost = sum((holding.cost for holding in held.values()), ZERO)
        assert portfolio.cash + cost == 1_000 + portfolio.realized - portfolio.fees + portfolio.moved
        assert {symbol: (trip.quantity, trip.cost) for symbol, trip in sorted(self.trips.open.items())} == {
            symbol: (holding.quantity, holding.cost) for symbol, holding in held.items()
        }
        assert self.results == portfolio.realized - portfolio.fees
        assert self.lots.symbols() == tuple(held)
        assert all(self.lots.quantity(symbol) == holding.quantity > 0 for symbol, holding in held.items())
        in_lots = sum((self.lots.cost(symbol) for symbol in held), ZERO)
        assert in_lots - self.lots.realized == cost - portfolio.realized
        assert portfolio.cash == self.balances["USDT"]
        for currency in ("BTC", "ETH", "BNB"):
            there = portfolio.holding(f"{currency}-USDT").quantity + portfolio.beside(currency)
            assert there == self.balances.get(currency, ZERO)


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_whatever_is_traded_and_moved_every_balance_is_there_and_no_law_breaks(events: list[tuple[object, ...]]):
    tape = All()
    for number, event in enumerate(events):
        if isinstance(event[0], Side):
            tape.trade(fill(*event, name=f"t{number}"))  # type: ignore[arg-type]
        else:
            tape.move(movement(*event))  # type: ignore[arg-type]
        tape.check()
    again = Portfolio("USDT")
    again.restore(tape.portfolio.snapshot())
    assert again.snapshot() == tape.portfolio.snapshot()
