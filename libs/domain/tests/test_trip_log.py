"""What each round trip has bought and sold, brought and cost, and that all of them together leave nothing out."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate_contracts.execution import Bust, Fill, Liquidity, VenueTrade
from tollgate_contracts.money import ZERO
from tollgate_contracts.strategy import Side
from tollgate_domain.holdings import signed
from tollgate_domain.portfolio import Booking
from tollgate_domain.trip_log import ORDERS_MAX, REMEMBERED_MAX, Cost, Place, TripLog, slipped

BUY, SELL = Side.BUY, Side.SELL
ENVELOPE = {"id": "execution:1:1", "cause": 1, "desk": "main", "run_id": "r1", "ts_us": 1, "cycle_id": 1}


def fill(
    side: Side,
    quantity: Decimal | str,
    price: Decimal | str,
    fee: Decimal | str = "1",
    *,
    trade_id: str = "1",
    order: int = 0,
    liquidity: Liquidity = Liquidity.TAKER,
) -> Fill:
    return Fill(
        **ENVELOPE,
        client_order_id=f"tg{order:030x}",
        symbol="BTC-USDT",
        side=side,
        trade=VenueTrade(
            trade_id=trade_id,
            price=Decimal(price),
            quantity=Decimal(quantity),
            fee=Decimal(fee),
            fee_currency="USDT",
            liquidity=liquidity,
            venue_ts_us=1,
        ),
        fee_rate=None,
        fee_rate_source="",
        config_hash="0" * 64,
    )


def bust(made: Fill) -> Bust:
    return Bust(
        **ENVELOPE,
        client_order_id=made.client_order_id,
        symbol=made.symbol,
        side=made.side,
        trade=made.trade,
        fee_rate=made.fee_rate,
        fee_rate_source=made.fee_rate_source,
        config_hash=made.config_hash,
    )


def paid(message: Fill | Bust) -> Booking:
    """Return what a portfolio says of a fee in the quote currency."""
    return Booking(ZERO, -message.trade.fee if isinstance(message, Bust) else message.trade.fee)


def at(number: int) -> Place:
    return Place(number, 10 * number)


def cost_of(made: Fill, reference: Decimal | str | None = None, trigger: str | None = None) -> Cost:
    reference = None if reference is None else Decimal(reference)
    trade = made.trade
    slippage = slipped(made.side, trade.quantity, trade.price, reference)
    return Cost(slippage, trade.fee, trigger=None if trigger is None else Decimal(trigger))


@pytest.mark.parametrize(
    ("side", "price", "reference", "expected"),
    [
        pytest.param(BUY, "101", "100", "2", id="a buy above the reference costs"),
        pytest.param(BUY, "99", "100", "-2", id="one below it is better"),
        pytest.param(SELL, "99", "100", "2", id="a sale below the reference costs"),
        pytest.param(SELL, "101", "100", "-2", id="one above it is better"),
        pytest.param(SELL, "100", None, "0", id="without a reference nothing has slipped"),
    ],
)
def test_what_a_trade_has_slipped_against_the_price_at_which_it_was_decided(side, price, reference, expected):
    reference = None if reference is None else Decimal(reference)
    assert slipped(side, Decimal(2), Decimal(price), reference) == Decimal(expected)


def test_a_trip_tells_all_that_belongs_to_it():
    """Two buys by one order, of which one made liquidity, and one sale."""
    log = TripLog()
    bought = fill(BUY, "2", "101", "1", trade_id="1", liquidity=Liquidity.MAKER)
    first = log.apply(bought, paid(bought), cost_of(bought, "100", "90"), at(1))
    assert (first.opened is first.trip, first.ended, first.result) == (True, (), -1)
    more = fill(BUY, "1", "104", "1", trade_id="2")
    assert log.apply(more, paid(more), cost_of(more, "100", "90"), at(2)).trip is first.trip
    sold = fill(SELL, "3", "120", "2", trade_id="3", order=1)
    (trip,) = log.apply(sold, paid(sold), cost_of(sold, "121"), at(3)).ended
    assert trip is first.trip
    assert (trip.number, trip.side, trip.opened_us, trip.closed_us, trip.fills) == (1, BUY, 10, 30, 3)
    assert (trip.opened_sequence, trip.closed_sequence, trip.found_open) == (1, 3, False)
    assert trip.orders == [bought.client_order_id, sold.client_order_id]
    assert (trip.bought, trip.sold, trip.bought_for, trip.sold_for) == (3, 3, 306, 360)
    assert (trip.entry_price, trip.exit_price, trip.quantity) == (102, 120, 3)
    assert (trip.gross, trip.slippage, trip.fees, trip.funding) == (54, 2 + 4 + 3, 4, 0)
    assert (trip.edge, trip.net) == (63, 50)
    assert trip.risked == 2 * 11 + 14
    assert trip.maker_share == Decimal("0.333333333333333333")
    assert log.open == {}


def test_what_was_held_at_opening_counts_from_its_mark():
    log = TripLog()
    opened = log.take_in("BTC-USDT", Decimal(2), Decimal(100), at(1))
    sold = fill(SELL, "2", "90")
    (trip,) = log.apply(sold, paid(sold), cost_of(sold), at(2)).ended
    assert trip is opened
    assert (trip.found_open, trip.entry_price, trip.quantity, trip.gross, trip.net) == (True, 100, 2, -20, -21)


def test_a_trade_that_goes_on_to_the_other_side_is_parted_between_two_trips():
    """A quarter of it ends the long, three quarters open the short; fee and slippage go with the quantity."""
    log = TripLog()
    bought, flipped = fill(BUY, "1", "100", "0"), fill(SELL, "4", "110", "8")
    log.apply(bought, paid(bought), cost_of(bought), at(1), perpetual=True)
    travelled = log.apply(flipped, paid(flipped), cost_of(flipped, "111"), at(2), perpetual=True)
    (long,), short = travelled.ended, travelled.trip
    assert travelled.opened is short
    assert (long.gross, long.fees, long.slippage, long.sold) == (10, 2, 1, 1)
    assert (short.gross, short.fees, short.slippage, short.sold, short.side) == (0, 6, 3, 3, SELL)


def test_funding_belongs_to_the_open_trip_of_its_symbol():
    log = TripLog()
    assert not log.fund("BTC-USDT", Decimal(1))
    made = fill(BUY, "1", "100", "0")
    trip = log.apply(made, paid(made), cost_of(made), at(1), perpetual=True).trip
    assert log.fund("BTC-USDT", Decimal("-0.5"))
    assert not log.fund(None, Decimal(1))
    assert (trip.funding, trip.net) == (Decimal("-0.5"), Decimal("-0.5"))


def test_a_bust_takes_its_trade_out_of_the_open_trip():
    log = TripLog()
    first, second = fill(BUY, "1", "100", trade_id="1"), fill(BUY, "1", "110", trade_id="2")
    log.apply(first, paid(first), cost_of(first, "99", "90"), at(1))
    log.apply(second, paid(second), cost_of(second, "109", "90"), at(2))
    undone = log.undo(bust(second), paid(bust(second)), at(3))
    trip = undone.trip
    assert (trip.fills, trip.bought, trip.fees, trip.slippage, trip.risked, trip.gross) == (1, 1, 1, 1, 10, 0)
    assert (undone.ended, undone.opened, undone.cost.slippage) == ((), None, -1)


def test_a_trip_whose_every_trade_was_taken_back_has_never_been():
    log = TripLog()
    made = fill(BUY, "1", "100")
    log.apply(made, paid(made), cost_of(made, "99"), at(1))
    assert log.undo(bust(made), paid(bust(made)), at(2)).ended == ()
    assert log.open == {}
    assert log.apply(made, paid(made), cost_of(made), at(3)).trip.number == 2


def test_the_bust_of_a_sale_that_had_ended_a_trip_makes_one_of_the_difference_and_opens_another():
    """The ended one was told; its profit less the fee is taken back beside it, and what is held begins anew."""
    log = TripLog()
    bought, sold = fill(BUY, "1", "100", trade_id="1"), fill(SELL, "1", "110", trade_id="2")
    log.apply(bought, paid(bought), cost_of(bought), at(1))
    (told,) = log.apply(sold, paid(sold), cost_of(sold, "112"), at(2)).ended
    undone = log.undo(bust(sold), paid(bust(sold)), at(3))
    (difference,) = undone.ended
    assert (told.net, told.slippage) == (8, 2)
    assert (difference.number, difference.side, difference.net, difference.slippage) == (2, BUY, -9, -2)
    assert undone.opened is not None
    assert (undone.opened.number, undone.opened.entry_price, undone.opened.gross) == (3, 100, 0)
    again = fill(SELL, "1", "120", trade_id="3")
    (last,) = log.apply(again, paid(again), cost_of(again), at(4)).ended
    assert told.net + difference.net + last.net == 18


def test_what_is_remembered_does_not_grow_with_history():
    log = TripLog()
    for number in range(REMEMBERED_MAX + ORDERS_MAX):
        made = fill(BUY, "1", "100", trade_id=str(number), order=number)
        log.apply(made, paid(made), cost_of(made), at(number))
    assert len(log.remembered) == REMEMBERED_MAX
    assert len(log.open["BTC-USDT"].orders) == ORDERS_MAX


AMOUNTS = st.decimals(min_value="0.00000001", max_value="99999", places=8, allow_nan=False)
FEES = st.decimals(min_value="-9", max_value="9", places=18, allow_nan=False)
TRADES = st.tuples(st.sampled_from(Side), AMOUNTS, AMOUNTS, FEES, st.none() | AMOUNTS)
BUSTS = st.integers(min_value=0, max_value=40)
FUNDING = st.tuples(FEES)


@given(st.lists(st.one_of(TRADES, TRADES, TRADES, BUSTS, FUNDING), max_size=40))
@settings(deadline=None)
def test_all_trips_together_have_brought_what_all_trades_have(steps):
    """Longs, shorts, flips, busts and funding: cash that came in, less what is open has cost, to the last digit."""
    log, cash, funding, slippage, fees, finished, standing = TripLog(), ZERO, ZERO, ZERO, ZERO, [], []
    for number, step in enumerate(steps, start=1):
        if isinstance(step, int):
            if standing:
                made, cost = standing.pop(step % len(standing))
                travelled = log.undo(bust(made), paid(bust(made)), at(number), perpetual=True)
                cash += signed(made.side, made.trade.quantity) * made.trade.price + made.trade.fee
                slippage, fees = slippage - cost.slippage, fees - made.trade.fee
                finished += travelled.ended
        elif len(step) == 1:
            funding += step[0] if log.fund("BTC-USDT", step[0]) else ZERO
        else:
            side, quantity, price, fee, reference = step
            made = fill(side, quantity, price, fee, trade_id=str(number))
            cost = cost_of(made, reference)
            travelled = log.apply(made, paid(made), cost, at(number), perpetual=True)
            standing.append((made, cost))
            cash -= signed(side, quantity) * price + fee
            slippage, fees = slippage + cost.slippage, fees + fee
            finished += travelled.ended
        running = log.trips.open.get("BTC-USDT")
        assert (running is None) == ("BTC-USDT" not in log.open)
        told = [*finished, *log.open.values()]
        assert all(trip.gross == trip.edge - trip.slippage for trip in told)
        assert sum((trip.net for trip in told), ZERO) == cash + funding + (ZERO if running is None else running.cost)
        assert sum((trip.slippage for trip in told), ZERO) == slippage
        assert sum((trip.fees for trip in told), ZERO) == fees


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS), min_size=1, max_size=12), AMOUNTS, AMOUNTS)
@settings(deadline=None)
def test_edge_is_what_the_trip_would_have_brought_at_the_prices_at_which_it_was_decided(buys, exit_price, exit_mid):
    """Counted from the references alone, without a look at what was paid."""
    log, at_references = TripLog(), ZERO
    for number, (quantity, price, mid) in enumerate(buys, start=1):
        made = fill(BUY, quantity, price, "0", trade_id=str(number))
        log.apply(made, paid(made), cost_of(made, mid), at(number))
        at_references -= quantity * mid
    quantity = sum((each[0] for each in buys), ZERO)
    sold = fill(SELL, quantity, exit_price, "0", trade_id="last")
    (trip,) = log.apply(sold, paid(sold), cost_of(sold, exit_mid), at(99)).ended
    assert trip.edge == at_references + quantity * exit_mid
