"""Trips end where nobody can sell what is left, and fees out of whatever is held break no sum over all of them."""

from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate_contracts.execution import Bust, Fill, Liquidity, VenueTrade
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.money import ZERO, round_down
from tollgate_contracts.reconciliation import Account, Balance
from tollgate_contracts.strategy import Side
from tollgate_domain.holdings import Holding
from tollgate_domain.instruments import InstrumentRules
from tollgate_domain.lots import FifoBook
from tollgate_domain.portfolio import OversoldError, Portfolio
from tollgate_domain.round_trips import RoundTrip, RoundTrips
from tollgate_domain.trip_log import Cost, Place, Travelled, Trip, TripLog

BUY, SELL = Side.BUY, Side.SELL
BTC, BNB = "BTC-USDT", "BNB-USDT"
STEP = Decimal("0.01")
ENVELOPE = {"desk": "main", "run_id": "r1", "ts_us": 1, "cycle_id": 1}


def rules_of(symbol: str, min_notional: str = "5") -> InstrumentRules:
    return InstrumentRules(
        symbol=symbol,
        base=symbol.split("-", maxsplit=1)[0],
        quote="USDT",
        tick=STEP,
        step=STEP,
        min_quantity=STEP,
        min_notional=Decimal(min_notional),
        status=InstrumentStatus.OPEN,
        valid_until_us=1,
        margin=None,
    )


RULES = {symbol: rules_of(symbol) for symbol in (BTC, BNB)}


@dataclass
class Desk:
    """One account that a portfolio, both logs of trips and the lots follow."""

    symbols: tuple[str, ...] = (BTC, BNB)
    held: dict[str, Decimal] = field(default_factory=dict)
    rules: dict[str, InstrumentRules] = field(default_factory=lambda: RULES)

    def __post_init__(self) -> None:
        self.portfolio, self.trips, self.log, self.lots = Portfolio("USDT"), RoundTrips(), TripLog(), FifoBook()
        balances = {"USDT": Decimal(100_000), **self.held}
        account = Account(
            id="execution:simulated:1",
            cause=None,
            venue="simulated",
            account="main",
            balances=tuple(Balance(currency=c, free=amount, locked=ZERO) for c, amount in balances.items()),
            positions=(),
            maker_fee_bps=Decimal(10),
            taker_fee_bps=Decimal(20),
            venue_ts_us=1,
            **ENVELOPE,
        )
        self.portfolio.open(account, self.symbols)
        self.now = self.fees = self.taken_in = self.results = ZERO
        self.fills: list[Fill] = []
        self.ended: list[RoundTrip] = []
        self.told: list[Trip] = []
        for symbol, holding in self.portfolio.holdings().items():
            self.trips.take_in(symbol, holding.quantity, Decimal(50), 0)
            self.log.take_in(symbol, holding.quantity, Decimal(50), Place(0, 0))
            self.lots.open(symbol, holding.quantity, 0)
            self.taken_in += holding.quantity * 50

    def trade(
        self,
        side: Side,
        quantity: Decimal | str,
        price: Decimal | str,
        fee: Decimal | str = "0",
        currency: str = "USDT",
        rate: Decimal | str | None = None,
        *,
        symbol: str = BTC,
    ) -> Travelled:
        self.now += 1
        made = Fill(
            id="execution:1:1",
            cause=1,
            client_order_id="tg" + "0" * 30,
            symbol=symbol,
            side=side,
            trade=VenueTrade(
                trade_id=str(self.now),
                price=Decimal(price),
                quantity=Decimal(quantity),
                fee=Decimal(fee),
                fee_currency=currency,
                liquidity=Liquidity.TAKER,
                venue_ts_us=1,
            ),
            fee_rate=None if rate is None else Decimal(rate),
            fee_rate_source="" if rate is None else "quote:1",
            config_hash="0" * 64,
            **ENVELOPE,
        )
        booking = self.portfolio.apply(made)
        self.lots.apply(made, booking)
        self.fills.append(made)
        self._count(self.trips.apply(made, booking, int(self.now), rules=self.rules))
        return self._tell(self.log.apply(made, booking, Cost(fees=booking.fee), self.place, rules=self.rules))

    def bust(self, which: int = -1) -> Travelled | None:
        """Take one of the fills back, unless what it bought is gone."""
        made = self.fills[which % len(self.fills) if which >= 0 else which]
        fields = made.model_dump(exclude={"kind", "version", "id", "trade"})
        undone = Bust(**{**fields, "id": "execution:2:1"}, trade=made.trade)
        self.now += 1
        try:
            booking = self.portfolio.undo(undone)
        except OversoldError:
            return None
        self.lots.undo(undone, booking)
        self.fills.remove(made)
        self._count(self.trips.undo(undone, booking, int(self.now), rules=self.rules))
        return self._tell(self.log.undo(undone, booking, self.place, rules=self.rules))

    @property
    def place(self) -> Place:
        return Place(int(self.now), int(self.now))

    def _count(self, booked) -> None:
        self.results += booked.result
        self.ended += [trip for trip in (booked.ended, booked.aside and booked.aside.ended) if trip is not None]

    def _tell(self, travelled: Travelled) -> Travelled:
        self.told += travelled.ended
        return travelled

    def check(self) -> None:
        """Raise unless all four tell of the same positions, and all trips together of the same results."""
        held = self.portfolio.holdings()
        running = {symbol: Holding(trip.quantity, trip.cost) for symbol, trip in self.trips.open.items()}
        assert {symbol: each.quantity for symbol, each in running.items() if each.quantity} == {
            symbol: each.quantity for symbol, each in held.items()
        }
        assert self.trips == self.log.trips
        assert {symbol: self.lots.quantity(symbol) for symbol in self.lots.symbols()} == {
            symbol: each.quantity for symbol, each in held.items()
        }
        cost, average = (sum((each.cost for each in of.values()), ZERO) for of in (running, held))
        result = self.portfolio.realized - self.portfolio.fees
        assert self.results == result - self.taken_in + cost - average
        assert self.results == total(self.ended, "result") + total(self.trips.open.values(), "result")
        assert self.results == total([*self.told, *self.log.open.values()], "net")
        begun = {symbol for symbol, trip in self.trips.open.items() if not trip.is_rest}
        assert {symbol for symbol, trip in self.log.open.items() if trip.is_begun} == begun
        assert set(self.log.open) <= set(self.trips.open)
        lots = sum((self.lots.cost(symbol) for symbol in held), ZERO)
        assert lots - self.lots.realized == average - self.portfolio.realized


def total(rows, name: str) -> Decimal:
    return sum((getattr(row, name) for row in rows), ZERO)


def test_a_trip_ends_when_the_venue_takes_no_order_for_what_is_left():
    """Nine tenths of a percent of a coin stay each time, and no trip would ever end; the fifth begins with four."""
    desk = Desk()
    for _ in range(5):
        desk.trade(BUY, "1", "100", "0.009", "BTC", "100")
        desk.trade(SELL, "0.99", "90")
    assert [trip.result for trip in desk.ended[:1]] == [Decimal("-0.9") - Decimal("9.9")]
    assert len(desk.ended) == len(desk.told) == 4 + 1
    assert [trip.taken for trip in desk.told] == [Decimal("0.001") * number for number in range(5)]
    assert desk.portfolio.holding(BTC).quantity == Decimal("0.005")
    assert desk.log.open == {}
    desk.check()


@pytest.mark.parametrize(
    ("left", "price", "ends"),
    [
        pytest.param("0.009", "1000", True, id="less than a step"),
        pytest.param("0.05", "99.99", True, id="less than the least notional, at the price of the trade"),
        pytest.param("0.05", "100", False, id="just enough"),
        pytest.param("0.059", "99.99", True, id="what is on the grid of it counts"),
    ],
)
def test_dust_is_what_the_venue_would_not_take(left, price, ends):
    desk = Desk()
    desk.trade(BUY, "1", "100")
    desk.trade(SELL, 1 - Decimal(left), price)
    assert (len(desk.ended) == 1) is ends
    assert desk.trips.open[BTC].is_rest is ends
    desk.check()


def test_what_the_tape_has_not_told_the_rules_of_is_no_dust():
    desk = Desk(rules={})
    desk.trade(BUY, "1", "100")
    desk.trade(SELL, "0.999999", "100")
    assert desk.ended == []


def test_a_purchase_ends_no_trip_however_small_its_first_part():
    desk = Desk()
    opened = desk.trade(BUY, "0.01", "100").opened
    assert desk.trade(BUY, "0.99", "100").trip is opened
    assert (desk.ended, desk.told) == ([], [])


def test_a_late_part_of_the_sale_is_the_next_trips_and_counts_as_none():
    """An order's last part may be less than the venue takes in an order; the trip has ended before it."""
    desk = Desk()
    desk.trade(BUY, "1", "100")
    desk.trade(SELL, "0.96", "90")
    late = desk.trade(SELL, "0.04", "80")
    assert (late.ended, late.opened, len(desk.ended)) == ((), None, 1)
    again = desk.trade(BUY, "1", "70")
    assert again.opened is again.trip is late.trip
    assert (again.trip.side, again.trip.opened_us, again.trip.taken) == (BUY, 4, Decimal("0.04"))
    (trip,) = desk.trade(SELL, "1", "75").ended
    assert trip.net == 5 + Decimal("0.04") * (80 - 100)
    assert [each.result for each in desk.ended] == [Decimal("-9.6"), trip.net]
    desk.check()


def test_a_rest_that_pays_a_fee_keeps_what_it_has_brought_for_the_next_trip():
    desk = Desk()
    desk.trade(BUY, "1", "100", symbol=BNB)
    desk.trade(SELL, "0.99", "100", symbol=BNB)
    desk.trade(BUY, "1", "100", "0.004", "BNB", "200")
    assert [trip.symbol for trip in desk.ended] == [BNB]
    assert desk.trips.open[BNB].result == Decimal("0.4")
    trip = desk.trade(BUY, "1", "100", symbol=BNB).opened
    assert (trip.side, trip.gross, trip.taken, trip.opened_us) == (BUY, Decimal("0.4"), Decimal("0.006"), 4)
    desk.check()


def test_a_fee_may_leave_of_another_trip_what_nobody_can_sell():
    desk = Desk()
    desk.trade(BUY, "0.06", "100", symbol=BNB)
    travelled = desk.trade(BUY, "1", "100", "0.02", "BNB", "100")
    assert [trip.symbol for trip in travelled.ended] == [BNB]
    assert desk.trips.open[BNB].is_rest
    desk.check()


def test_what_a_bust_gives_back_is_a_trip_again_as_soon_as_it_can_be_sold():
    desk = Desk()
    desk.trade(BUY, "1", "100")
    desk.trade(SELL, "0.96", "90")
    desk.trade(SELL, "0.01", "90")
    assert desk.bust().opened is None
    assert desk.trips.open[BTC].is_rest
    again = desk.bust().opened
    assert (again.side, desk.trips.open[BTC].is_rest) == (BUY, False)
    desk.check()


def test_the_bust_of_a_fill_whose_fee_was_all_that_was_held_opens_a_long():
    """The sale of one coin was charged in another, the last of it; what comes back is bought, and held."""
    desk = Desk()
    desk.trade(BUY, "1", "100")
    desk.trade(BUY, "0.5", "50", symbol=BNB)
    desk.trade(SELL, "1", "110", "0.5", "BNB", "60")
    assert desk.log.open == {}
    desk.bust()
    trip = desk.log.open[BNB]
    assert (trip.side, trip.quantity, trip.taken_for) == (BUY, Decimal("0.5"), 25)
    desk.check()


def test_who_leaves_a_fee_to_the_rest_of_the_account_takes_it_from_no_trip_and_no_lot():
    """Ten coins lie beside; of the one that was bought since nothing goes for a fee, and it can be sold whole."""
    desk = Desk(symbols=(BTC,), held={"BNB": Decimal(10)})
    desk.trade(BUY, "1", "10", symbol=BNB)
    desk.trade(BUY, "1", "100", "0.01", "BNB", "12")
    (trip,) = desk.trade(SELL, "1", "11", symbol=BNB).ended
    assert (trip.symbol, trip.net) == (BNB, 1)
    assert BNB not in desk.trips.open
    assert desk.portfolio.moved == Decimal("0.12")
    desk.check()


AMOUNTS = st.decimals(min_value="0.01", max_value="99", places=2, allow_nan=False)
FEES = st.decimals(min_value="-0.05", max_value="0.2", places=4, allow_nan=False)
CHARGED = st.sampled_from([("USDT", None), ("BTC", "100"), ("BNB", "60"), ("BNB", "60"), ("BNB", None), ("EUR", "2")])
SYMBOLS = st.sampled_from([BTC, BTC, BNB])
BUYS = st.tuples(st.just(BUY), SYMBOLS, AMOUNTS, AMOUNTS, FEES, CHARGED)
SALES = st.tuples(st.just(SELL), SYMBOLS, st.sampled_from([40, 97, 100, 100]), AMOUNTS, FEES, CHARGED)
STEPS = st.lists(st.one_of(BUYS, BUYS, SALES, SALES, st.integers(min_value=0, max_value=60)), max_size=40)
HELD = st.sampled_from([{}, {"BNB": Decimal("0.2")}, {"BNB": Decimal(10)}])


@given(STEPS, HELD, st.sampled_from([(BTC,), (BTC, BNB)]), st.sampled_from(["0", "5", "200"]))
@settings(max_examples=300, deadline=None)
def test_whatever_is_traded_taken_back_and_charged_all_tell_the_same(steps, held, symbols, min_notional):
    """With dust and without, and with coins that are no position beside those that were bought."""
    desk = Desk(symbols, held, {symbol: rules_of(symbol, min_notional) for symbol in (BTC, BNB)})
    for step in steps:
        if isinstance(step, int):
            if desk.fills:
                desk.bust(step)
        else:
            side, symbol, size, price, fee, (currency, rate) = step
            if side is SELL:
                size = round_down(desk.portfolio.holding(symbol).quantity * size / 100, STEP)
            if size:
                desk.trade(side, size, price, fee, currency, rate, symbol=symbol)
                left = desk.trips.open.get(symbol)
                if side is SELL and left is not None:
                    # A rest may be worth an order again by now: it is sold as one all the same.
                    assert left.is_rest or desk.rules[symbol].is_tradable(left.quantity, price)
        desk.check()
    assert all(trip.side is BUY for trip in [*desk.log.open.values()])
