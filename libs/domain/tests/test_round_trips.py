"""From flat to flat: what each round trip has brought."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate_contracts.execution import Fill, Liquidity, VenueTrade
from tollgate_contracts.money import ZERO
from tollgate_contracts.strategy import Side
from tollgate_domain.holdings import signed
from tollgate_domain.portfolio import Booking
from tollgate_domain.round_trips import Booked, RoundTrip, RoundTrips

BUY, SELL = Side.BUY, Side.SELL
ONE_SHORT = Decimal(-1)


def fill(side: Side, quantity: Decimal | str, price: Decimal | str, fee: Decimal | str = "1") -> Fill:
    return Fill(
        id="execution:1:1",
        cause=1,
        desk="main",
        run_id="r1",
        ts_us=1,
        cycle_id=1,
        client_order_id="tg" + "0" * 30,
        symbol="BTC-USDT",
        side=side,
        trade=VenueTrade(
            trade_id="1",
            price=Decimal(price),
            quantity=Decimal(quantity),
            fee=Decimal(fee),
            fee_currency="USDT",
            liquidity=Liquidity.TAKER,
            venue_ts_us=1,
        ),
        fee_rate=None,
        fee_rate_source="",
        config_hash="0" * 64,
    )


def book(trips: RoundTrips, made: Fill, now_us: int, **how: bool) -> Booked:
    """Book a fill whose fee is in the quote currency, as a portfolio books it."""
    return trips.apply(made, Booking(ZERO, made.trade.fee), now_us, **how)


def ended(*fills: Fill) -> tuple[RoundTrips, list[RoundTrip]]:
    """Book the fills at 10, 20, 30 ... microseconds and return the trips that have ended."""
    trips = RoundTrips()
    booked = [book(trips, each, 10 * number) for number, each in enumerate(fills, start=1)]
    return trips, [each.ended for each in booked if each.ended is not None]


@pytest.mark.parametrize(
    ("fills", "expected"),
    [
        pytest.param([(BUY, "2", "100")], [], id="one that is open has no result"),
        pytest.param([(BUY, "2", "100"), (SELL, "1", "110")], [], id="nor has one that is half closed"),
        pytest.param([(BUY, "0.5", "100"), (SELL, "0.4", "110")], [], id="nor a small one"),
        pytest.param([(BUY, "2", "100"), (SELL, "2", "110")], [("18", 10, 20)], id="a long that wins, less two fees"),
        pytest.param([(BUY, "2", "100"), (SELL, "2", "101")], [("0", 10, 20)], id="that earns just its fees"),
        pytest.param([(SELL, "2", "100"), (BUY, "2", "110")], [("-22", 10, 20)], id="a short that loses"),
        pytest.param(
            [(BUY, "1", "100"), (BUY, "1", "120"), (SELL, "1", "130"), (SELL, "1", "90")],
            [("-4", 10, 40)],
            id="in two steps and out in two",
        ),
        pytest.param(
            [(BUY, "1", "100"), (SELL, "1", "90"), (BUY, "1", "80"), (SELL, "1", "90")],
            [("-12", 10, 20), ("8", 30, 40)],
            id="two, one after the other",
        ),
        pytest.param(
            [(BUY, "1", "100"), (SELL, "4", "110", "4"), (BUY, "3", "100", "3")],
            [("8", 10, 20), ("24", 20, 30)],
            id="a flip ends one and opens the next, and its fee is parted",
        ),
    ],
)
def test_a_round_trip_goes_from_flat_to_flat(fills, expected):
    """Its result is what its trades realized, less all their fees; it bears the times of its first and last trade."""
    _, trips = ended(*(fill(*each) for each in fills))
    assert [(format(trip.result.normalize(), "f"), trip.opened_us, trip.closed_us) for trip in trips] == expected


def test_what_was_held_at_opening_counts_from_the_mark_at_which_it_is_taken_in():
    """What it cost before is not known, or not ours to count."""
    trips = RoundTrips()
    trips.take_in("BTC-USDT", Decimal(2), Decimal(100), 5)
    booked = book(trips, fill(SELL, "2", "90"), 10)
    assert booked.result == -21
    assert booked.ended == RoundTrip("BTC-USDT", Decimal(-21), 5, 10, stopped=False)
    trips.take_in("BTC-USDT", ONE_SHORT, Decimal(100), 20)
    assert book(trips, fill(BUY, "1", "90"), 30).result == 9


@pytest.mark.parametrize("stopped", [True, False])
def test_the_trade_that_ends_a_trip_says_whether_a_stop_did(stopped):
    """A stop that only reduced the position has not ended it."""
    trips = RoundTrips()
    book(trips, fill(BUY, "2", "100"), 1)
    assert book(trips, fill(SELL, "1", "90"), 2, stopped=not stopped).ended is None
    last = book(trips, fill(SELL, "1", "90"), 3, stopped=stopped).ended
    assert last is not None
    assert last.stopped is stopped


AMOUNTS = st.decimals(min_value="0.00000001", max_value="99999", places=8, allow_nan=False)
FEES = st.decimals(min_value="-9", max_value="9", places=18, allow_nan=False)


@given(st.lists(st.tuples(st.sampled_from(Side), AMOUNTS, AMOUNTS, FEES), max_size=30))
def test_all_trips_together_have_brought_what_all_trades_have(steps):
    """Ended and open ones: cash that came in, less what the open position has cost, to the last digit."""
    trips, cash, results, finished = RoundTrips(), ZERO, ZERO, ZERO
    for number, (side, quantity, price, fee) in enumerate(steps):
        booked = book(trips, fill(side, quantity, price, fee), number)
        cash -= signed(side, quantity) * price + fee
        results += booked.result
        finished += ZERO if booked.ended is None else booked.ended.result
        running = trips.open.get("BTC-USDT")
        assert (running is None) == (sum(signed(s, q) for s, q, *_ in steps[: number + 1]) == 0)
        assert results == finished + (ZERO if running is None else running.result)
        assert results == cash + (ZERO if running is None else running.cost)
