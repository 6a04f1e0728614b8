"""Fees in the base currency, and in a third one: what they are worth, and that no law of the books breaks on them."""

from decimal import Decimal
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate_contracts.execution import Bust, Fill, Liquidity, VenueTrade
from tollgate_contracts.money import ZERO
from tollgate_contracts.reconciliation import Account, Balance
from tollgate_contracts.strategy import Side
from tollgate_domain.fees import Share, lacks_rate
from tollgate_domain.holdings import Holding
from tollgate_domain.portfolio import Booking, Portfolio
from tollgate_domain.round_trips import Aside, RoundTrip, RoundTrips
from tollgate_domain.traces import REMEMBERED_MAX

BUY, SELL = Side.BUY, Side.SELL
BTC, BNB = "BTC-USDT", "BNB-USDT"
ENVELOPE = {"desk": "main", "run_id": "r1", "ts_us": 1, "cycle_id": 1}


def stated(**held: str) -> Account:
    """Return an account with 1,000 USDT and with ``held``."""
    balances = {"USDT": "1000", **held}
    return Account(
        id="execution:simulated:1",
        cause=None,
        venue="simulated",
        account="main",
        balances=tuple(Balance(currency=c, free=Decimal(a), locked=ZERO) for c, a in balances.items()),
        positions=(),
        maker_fee_bps=Decimal(10),
        taker_fee_bps=Decimal(20),
        venue_ts_us=1,
        **ENVELOPE,
    )


def opened(**held: str) -> Portfolio:
    """Return a portfolio that opens with 1,000 USDT and with ``held``."""
    portfolio = Portfolio("USDT")
    portfolio.open(stated(**held), (BTC, BNB))
    return portfolio


def fill(
    side: Side,
    quantity: Decimal | str,
    price: Decimal | str,
    fee: Decimal | str = "0",
    currency: str = "USDT",
    rate: Decimal | str | None = None,
    *,
    name: str = "1",
    symbol: str = BTC,
) -> Fill:
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


def bust(of: Fill) -> Bust:
    fields = of.model_dump(exclude={"kind", "version", "id", "trade"})
    return Bust(**{**fields, "id": "execution:2:1"}, trade=of.trade)


class After(NamedTuple):
    """What is there once the trades are booked."""

    held: tuple[str, str]
    """Quantity and cost of BTC."""
    sums: tuple[str, str, str]
    """Cash, realized, fees."""
    beside: dict[str, str]
    moved: str = "0"


@pytest.mark.parametrize(
    ("fills", "expected"),
    [
        pytest.param(
            [fill(BUY, "1", "100", "0.1", "BTC", "110")],
            After(("0.9", "90"), ("900", "1", "11"), {}),
            id="of what was bought: sold at the rate, at average cost",
        ),
        pytest.param(
            [fill(BUY, "1", "100", "-0.1", "BTC", "110")],
            After(("1.1", "111"), ("900", "0", "-11"), {}),
            id="a rebate in what was bought: bought at the rate",
        ),
        pytest.param(
            [fill(BUY, "2", "100"), fill(SELL, "1.9", "100", "0.1", "BTC", "100")],
            After(("0", "0"), ("990", "0", "10"), {}),
            id="the last of it",
        ),
        pytest.param(
            [fill(BUY, "2", "100"), fill(SELL, "1.9", "100", "0.15", "BTC", "100")],
            After(("0", "0"), ("990", "0", "15"), {"BTC": "-0.05"}, "5"),
            id="more than there is of it: the rest comes from beside, and has been brought in",
        ),
        pytest.param(
            [fill(BUY, "1", "100", "0.01", "BNB", "500")],
            After(("1", "100"), ("900", "0", "5"), {"BNB": "-0.01"}, "5"),
            id="in a currency that is not held",
        ),
        pytest.param(
            [fill(BUY, "1", "100", "-0.01", "BNB", "500")],
            After(("1", "100"), ("900", "0", "-5"), {"BNB": "0.01"}, "-5"),
            id="a rebate in a currency that is not held",
        ),
        pytest.param(
            [fill(BUY, "1", "100", "0.01", "BNB")],
            After(("1", "100"), ("900", "0", "0"), {"BNB": "-0.01"}),
            id="without a rate nothing is realized and nothing counted",
        ),
        pytest.param(
            [fill(BUY, "1", "100", "0.1", "BTC")],
            After(("1", "100"), ("900", "0", "0"), {"BTC": "-0.1"}),
            id="nor is anything taken from what is held",
        ),
        pytest.param(
            [fill(BUY, "1", "100", "0.000000000000000001", "BTC", "0.1")],
            After(("0.999999999999999999", "99.9999999999999999"), ("900", "-0.0000000000000001", "0"), {}),
            id="a value is rounded to what the books can hold",
        ),
    ],
)
def test_what_a_fee_is_taken_from_and_what_it_is_worth(fills, expected):
    """And once the trades are taken back, the newest first, there is what there was before."""
    portfolio = opened()
    before, snapshots = portfolio.snapshot(), []
    named = [each.model_copy(update={"trade": each.trade.model_copy(update={"trade_id": str(n)})})
             for n, each in enumerate(fills)]  # fmt: skip
    for each in named:
        snapshots.append(portfolio.snapshot())
        portfolio.apply(each)
    held = portfolio.holding(BTC)
    assert (held.quantity, held.cost) == tuple(map(Decimal, expected.held))
    assert (portfolio.cash, portfolio.realized, portfolio.fees) == tuple(map(Decimal, expected.sums))
    assert portfolio.snapshot()["beside"] == expected.beside
    assert portfolio.moved == Decimal(expected.moved)
    for each, snapshot in zip(reversed(named), reversed(snapshots), strict=True):
        portfolio.undo(bust(each))
        assert portfolio.snapshot() == snapshot
    assert portfolio.snapshot() == before


def test_a_fee_in_another_symbols_base_is_a_sale_of_that_symbol():
    portfolio = opened()
    portfolio.apply(fill(BUY, "2", "50", symbol=BNB))
    booking = portfolio.apply(fill(BUY, "1", "100", "0.5", "BNB", "60", name="2"))
    assert booking == Booking(ZERO, Decimal(30), Share(Decimal("0.5"), Decimal(25), Decimal(30)))
    assert booking.result == -25
    assert portfolio.holding(BNB) == Holding(Decimal("1.5"), Decimal(75))
    assert (portfolio.realized, portfolio.fees, portfolio.beside("BNB")) == (5, 30, 0)


def test_who_holds_a_part_of_the_account_leaves_the_fees_of_others_to_the_rest():
    """The strategy counts what it has bought alone: a fee that the account's other coins can pay is not taken of it."""
    portfolio = Portfolio("USDT")
    portfolio.open(stated(BNB="0.5"), ())
    portfolio.apply(fill(BUY, "2", "50", symbol=BNB))
    for name, held, beside in (("2", "2", "-0.4"), ("3", "1.6", "-0.4")):
        made = fill(BUY, "1", "100", "0.4", "BNB", "60", name=name)
        portfolio.apply(made)
        assert (portfolio.holding(BNB).quantity, portfolio.beside("BNB")) == (Decimal(held), Decimal(beside))
    portfolio.undo(bust(made))
    assert (portfolio.holding(BNB).quantity, portfolio.beside("BNB")) == (Decimal(2), Decimal("-0.4"))
    portfolio.apply(fill(BUY, "1", "50", "0.1", "BNB", "60", name="4", symbol=BNB))
    assert portfolio.holding(BNB).quantity == Decimal("2.9")


def test_what_was_opened_with_has_no_cost_so_its_whole_value_is_realized():
    portfolio = opened(BNB="3")
    booking = portfolio.apply(fill(BUY, "1", "100", "1", "BNB", "50"))
    assert booking == Booking(ZERO, Decimal(50), Share(Decimal(1), ZERO, Decimal(50)))
    assert portfolio.holding(BNB) == Holding(Decimal(2), ZERO)


def test_a_perpetuals_fee_in_its_base_currency_is_not_taken_from_the_position():
    """A position is a promise and no money."""
    portfolio = opened()
    made = fill(BUY, "1", "100", "0.01", "BTC", "100")
    portfolio.apply(made, perpetual=True)
    assert portfolio.holding(BTC) == Holding(Decimal(1), Decimal(100), perpetual=True)
    assert (portfolio.cash, portfolio.beside("BTC")) == (1000, Decimal("-0.01"))
    portfolio.undo(bust(made), perpetual=True)
    assert portfolio.snapshot() == opened().snapshot()


def test_what_has_no_known_value_is_told_apart():
    portfolio = opened()
    portfolio.apply(fill(BUY, "1", "100", "0.01", "BNB", "500"))
    unvalued = fill(BUY, "1", "100", "0.02", "BNB", name="3")
    portfolio.apply(unvalued)
    assert portfolio.without_rate() == {"BNB": Decimal("0.02")}
    portfolio.undo(bust(unvalued))
    assert portfolio.without_rate() == {}


@pytest.mark.parametrize(
    ("fee", "currency", "rate", "expected"),
    [
        ("1", "USDT", None, False),
        ("1", "BNB", "2", False),
        ("0", "BNB", None, False),
        ("1", "BNB", None, True),
        ("-1", "BTC", None, True),
    ],
)
def test_a_fee_lacks_a_rate_where_somebody_would_have_to_guess(fee, currency, rate, expected):
    made = fill(BUY, "1", "100", fee, currency, rate)
    assert lacks_rate(made) is expected
    assert lacks_rate(bust(made)) is expected


def test_an_old_fee_comes_back_at_the_average_cost_of_what_is_held():
    """What it was taken from is forgotten after so many others; the laws hold all the same."""
    portfolio = opened()
    portfolio.apply(fill(BUY, "1000", "100", name="first"))
    old = fill(BUY, "1", "100", "0.5", "BTC", "100", name="old")
    portfolio.apply(old)
    for number in range(REMEMBERED_MAX):
        portfolio.apply(fill(BUY, "1", "100", "0.1", "BNB", "1", name=str(number)))
    portfolio.apply(fill(BUY, "1256.5", "200", name="dear"))
    held = portfolio.holding(BTC)
    assert held == Holding(Decimal(2513), Decimal(376950))
    fees = portfolio.fees
    portfolio.undo(bust(old))
    # Half a coin comes back at 150, and the coin goes at the 100 that it was bought for.
    assert portfolio.holding(BTC) == Holding(Decimal("2512.5"), Decimal(376925))
    assert portfolio.fees == fees - 50


def test_a_rebate_that_was_spent_since_comes_from_beside():
    portfolio = opened()
    rebated = fill(BUY, "1", "100", "-0.5", "BNB", "60", name="rebated")
    portfolio.apply(fill(BUY, "1", "60", symbol=BNB))
    portfolio.apply(rebated)
    portfolio.apply(fill(SELL, "1.4", "60", name="sold", symbol=BNB))
    portfolio.undo(bust(rebated))
    assert portfolio.holdings() == {}
    assert portfolio.beside("BNB") == Decimal("-0.4")
    assert portfolio.cash == 1000 + portfolio.realized - portfolio.fees + portfolio.moved


AMOUNTS = st.decimals(min_value="0.00000001", max_value="99999", places=8, allow_nan=False)
FEES = st.decimals(min_value="-2", max_value="3", places=18, allow_nan=False)
RATES = st.none() | st.decimals(min_value="0.000000000000000001", max_value="99999", places=18, allow_nan=False)
TRADES = st.tuples(
    st.sampled_from((BTC, BNB)),
    st.sampled_from(Side),
    AMOUNTS,
    AMOUNTS,
    FEES,
    st.sampled_from(("USDT", "BTC", "BNB", "EUR")),
    RATES,
)
STEPS = st.lists(TRADES, min_size=1, max_size=25)


def booked_of(portfolio: Portfolio, steps: list[tuple]) -> list[tuple[Fill, Booking]]:
    """Book what was drawn, sales cut to what is held, and return the fills with what was booked."""
    booked = []
    for number, (symbol, side, quantity, price, *fee) in enumerate(steps):
        size = min(quantity, portfolio.holding(symbol).quantity) if side is SELL else quantity
        if size:
            made = fill(side, size, price, *fee, name=str(number), symbol=symbol)
            booked.append((made, portfolio.apply(made)))
    return booked


def fills_of(portfolio: Portfolio, steps: list[tuple]) -> list[Fill]:
    """Book what was drawn and return the fills."""
    return [made for made, _ in booked_of(portfolio, steps)]


def negative(booking: Booking) -> Booking:
    """Return a booking with every sign turned."""
    share = Share(*(-amount for amount in booking.share))
    return Booking(-booking.realized, -booking.fee, share, -booking.brought_in)


def assert_lawful(portfolio: Portfolio, fills: list[Fill], before: dict[str, Decimal]) -> None:
    """Assert every law of the portfolio after ``fills``, whatever was booked and taken back on the way."""
    holdings = portfolio.holdings()
    cost = sum((holding.cost for holding in holdings.values()), ZERO)
    assert portfolio.cash + cost == before["USDT"] + portfolio.realized - portfolio.fees + portfolio.moved
    for currency in ("BTC", "BNB", "EUR"):
        symbol = f"{currency}-USDT"
        traded = sum(
            (each.trade.quantity if each.side is BUY else -each.trade.quantity for each in fills
             if each.symbol == symbol), ZERO)  # fmt: skip
        charged = sum((each.trade.fee for each in fills if each.trade.fee_currency == currency), ZERO)
        there = portfolio.holding(symbol).quantity + portfolio.beside(currency)
        assert there == before.get(currency, ZERO) + traded - charged
        assert portfolio.holding(symbol).quantity >= 0
        assert portfolio.holding(symbol).cost >= 0
    unvalued = [each for each in fills if lacks_rate(each)]
    for currency in ("BTC", "BNB", "EUR"):
        fees = sum((each.trade.fee for each in unvalued if each.trade.fee_currency == currency), ZERO)
        assert portfolio.without_rate().get(currency, ZERO) == fees
    again = Portfolio("USDT")
    again.restore(portfolio.snapshot())
    assert again.snapshot() == portfolio.snapshot()


BEFORE = {"USDT": Decimal(1000), "BNB": Decimal(7)}


@given(STEPS)
def test_the_laws_hold_whatever_currency_fees_are_charged_in(steps):
    portfolio = opened(BNB="7")
    assert_lawful(portfolio, fills_of(portfolio, steps), BEFORE)


@given(STEPS, st.lists(st.integers(min_value=0, max_value=99), min_size=1, max_size=5))
def test_the_laws_hold_whatever_is_taken_back(steps, which):
    """What was bought and sold since cannot be taken back, and then nothing changes."""
    portfolio = opened(BNB="7")
    fills = fills_of(portfolio, steps)
    for number in which:
        if not fills:
            break
        undone = fills[number % len(fills)]
        before = portfolio.snapshot()
        try:
            portfolio.undo(bust(undone))
        except ValueError:
            assert portfolio.snapshot() == before
            continue
        fills.remove(undone)
        assert_lawful(portfolio, fills, BEFORE)


@given(STEPS)
def test_a_fill_and_its_bust_leave_nothing_behind_in_any_currency(steps):
    """Whatever was traded before, and whatever the fee was taken from: every digit comes back."""
    portfolio, trips = opened(BNB="7"), RoundTrips()
    trips.take_in(BNB, Decimal(7), Decimal(3), 0)
    *_, last = steps
    for made, booking in booked_of(portfolio, steps):
        trips.apply(made, booking, 1)
    symbol, side, quantity, price, *fee = last
    size = min(quantity, portfolio.holding(symbol).quantity) if side is SELL else quantity
    if size:
        made = fill(side, size, price, *fee, name="last", symbol=symbol)
        before = portfolio.snapshot()
        booked = portfolio.apply(made)
        undone = portfolio.undo(bust(made))
        assert undone == negative(booked)
        assert portfolio.snapshot() == before
        result = trips.apply(made, booked, 2).result
        assert trips.undo(bust(made), undone, 3).result == -result


@given(STEPS, st.none() | st.integers(min_value=0, max_value=99))
def test_all_trips_together_have_brought_what_the_portfolio_has(steps, which):
    """Ended and open ones, in whatever currency fees were: realized less fees, and what they hold is the same."""
    portfolio, trips = opened(), RoundTrips()
    results, told = ZERO, []
    booked_fills = booked_of(portfolio, steps)
    for number, (made, booking) in enumerate(booked_fills):
        booked = trips.apply(made, booking, number)
        results += booked.result
        told += [booked.ended, booked.aside and booked.aside.ended]
    if which is not None and booked_fills:
        undone = bust(booked_fills[which % len(booked_fills)][0])
        try:
            booking = portfolio.undo(undone)
        except ValueError:
            return
        booked = trips.undo(undone, booking, len(steps))
        results += booked.result
        told += [booked.ended, booked.aside and booked.aside.ended]
    ended = sum((trip.result for trip in told if trip is not None), ZERO)
    assert results == portfolio.realized - portfolio.fees
    assert results == ended + sum((trip.result for trip in trips.open.values()), ZERO)
    assert {symbol: Holding(trip.quantity, trip.cost) for symbol, trip in sorted(trips.open.items())} == (
        portfolio.holdings()
    )


def test_a_fee_may_end_the_trip_of_the_currency_that_it_takes():
    """What the fee was worth is the trip's that it was charged to; what spending it has won is the other's."""
    trips, portfolio = RoundTrips(), opened()
    for number, made in enumerate((fill(BUY, "0.5", "50", symbol=BNB), fill(BUY, "1", "100", name="2")), start=1):
        trips.apply(made, portfolio.apply(made), number)
    made = fill(SELL, "1", "110", "0.5", "BNB", "60", name="3")
    booked = trips.apply(made, portfolio.apply(made), 3)
    assert booked.result == 10 - 30 + 5
    assert booked.ended == RoundTrip(BTC, Decimal(-20), 2, 3, stopped=False)
    assert booked.aside == Aside(BNB, Decimal(5), RoundTrip(BNB, Decimal(5), 1, 3, stopped=False))
    assert trips.open == {}


def test_a_sale_and_its_fee_end_a_trip_together():
    """Most venues take a sale's fee in what it was sold for; one that takes it in what was sold must be sold less."""
    trips, portfolio = RoundTrips(), opened()
    bought, sold = fill(BUY, "1", "100", "0.1", "BTC", "100"), fill(SELL, "0.8", "110", "0.1", "BTC", "110", name="2")
    trips.apply(bought, portfolio.apply(bought), 1)
    booked = trips.apply(sold, portfolio.apply(sold), 2)
    assert booked.ended == RoundTrip(BTC, Decimal(-12), 1, 2, stopped=False)
    assert booked.aside is None
