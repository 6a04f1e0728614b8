"""What is taken back and what moves without an order: exact, and nothing is left of it but its record."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate_contracts.execution import Bust, Fill, Liquidity, VenueTrade
from tollgate_contracts.money import ZERO
from tollgate_contracts.reconciliation import Account, Balance, Movement, MovementType
from tollgate_contracts.strategy import Side
from tollgate_domain.holdings import Holding, signed
from tollgate_domain.portfolio import Booking, KindError, OversoldError, Portfolio
from tollgate_domain.round_trips import RoundTrips
from tollgate_domain.traces import REMEMBERED_MAX

BUY, SELL = Side.BUY, Side.SELL
BTC = "BTC-USDT"
ENVELOPE = {"desk": "main", "run_id": "r1", "ts_us": 1, "cycle_id": 1}
OPENED_US = 1_000
Steps = list[tuple[Side, Decimal, Decimal, Decimal]]


def opened() -> Portfolio:
    portfolio = Portfolio("USDT")
    portfolio.open(
        Account(
            id="execution:simulated:1",
            cause=None,
            venue="simulated",
            account="main",
            balances=(Balance(currency="USDT", free=Decimal(1_000), locked=Decimal(0)),),
            positions=(),
            maker_fee_bps=Decimal(10),
            taker_fee_bps=Decimal(20),
            venue_ts_us=OPENED_US,
            **ENVELOPE,
        ),
        (BTC,),
    )
    return portfolio


def trade(
    trade_id: str, price: Decimal | str, quantity: Decimal | str, fee: Decimal | str, currency: str
) -> VenueTrade:
    return VenueTrade(
        trade_id=trade_id,
        price=Decimal(price),
        quantity=Decimal(quantity),
        fee=Decimal(fee),
        fee_currency=currency,
        liquidity=Liquidity.TAKER,
        venue_ts_us=1,
    )


def fill(
    trade_id: str,
    side: Side,
    quantity: Decimal | str,
    price: Decimal | str,
    fee: Decimal | str = "1",
    currency: str = "USDT",
) -> Fill:
    return Fill(
        id="execution:1:1",
        cause=1,
        client_order_id="tg" + "0" * 30,
        symbol=BTC,
        side=side,
        trade=trade(trade_id, price, quantity, fee, currency),
        fee_rate=None,
        fee_rate_source="",
        config_hash="0" * 64,
        **ENVELOPE,
    )


def bust(of: Fill) -> Bust:
    return Bust(
        id="execution:2:1",
        cause=2,
        client_order_id=of.client_order_id,
        symbol=of.symbol,
        side=of.side,
        trade=of.trade,
        fee_rate=of.fee_rate,
        fee_rate_source=of.fee_rate_source,
        config_hash=of.config_hash,
        **ENVELOPE,
    )


def movement(amount: str, currency: str = "USDT", venue_ts_us: int = OPENED_US + 1) -> Movement:
    return Movement(
        id="execution:simulated:movement:1",
        cause=None,
        venue="simulated",
        account="main",
        movement_id="1",
        movement=MovementType.DEPOSIT,
        currency=currency,
        amount=Decimal(amount),
        symbol=None,
        venue_ts_us=venue_ts_us,
        **ENVELOPE,
    )


AMOUNTS = st.decimals(min_value="0.00000001", max_value="99999", places=8, allow_nan=False)
FEES = st.decimals(min_value="-9", max_value="9", places=18, allow_nan=False)
STEPS = st.lists(st.tuples(st.sampled_from(Side), AMOUNTS, AMOUNTS, FEES), min_size=1, max_size=30)


@given(STEPS)
def test_a_fill_and_its_bust_leave_nothing_behind(steps: Steps):
    """Whatever was traded before and however the costs of a part were rounded: every digit comes back."""
    portfolio, trips = opened(), RoundTrips()
    for number, (side, quantity, price, fee) in enumerate(steps):
        made = fill(str(number), side, quantity, price, fee)
        before = portfolio.snapshot()
        booked = portfolio.apply(made, perpetual=True)
        undone = portfolio.undo(bust(made), perpetual=True)
        assert undone == Booking(-booked.realized, -booked.fee)
        assert portfolio.snapshot() == before
        result = trips.apply(made, booked, number)
        assert trips.undo(bust(made), undone, number).result == -result.result
        portfolio.apply(made, perpetual=True)
        trips.apply(made, booked, number)


@given(STEPS, st.integers(min_value=0))
def test_the_law_of_cash_and_cost_survives_any_bust(steps: Steps, which: int):
    """Also when others have traded since: what is not in the cost is in what was realized."""
    portfolio, fills = opened(), []
    for number, (side, quantity, price, fee) in enumerate(steps):
        fills.append(fill(str(number), side, quantity, price, fee))
        portfolio.apply(fills[-1], perpetual=True)
    portfolio.undo(bust(fills.pop(which % len(fills))), perpetual=True)
    traded = sum((signed(each.side, each.trade.quantity) * each.trade.price for each in fills), ZERO)
    held = portfolio.holding(BTC)
    assert held.quantity == sum((signed(each.side, each.trade.quantity) for each in fills), ZERO)
    assert held.cost == traded + portfolio.realized
    assert held.cost * held.quantity >= ZERO
    assert portfolio.fees == sum((each.trade.fee for each in fills), ZERO)
    assert portfolio.cash == Decimal(1_000) + portfolio.realized - portfolio.fees


@given(STEPS, st.integers(min_value=0))
def test_the_results_of_all_trips_survive_any_bust(steps: Steps, which: int):
    """Ended and open trips together have brought the cash that came in, less what the open position has cost."""
    trips, results, finished, fills = RoundTrips(), ZERO, ZERO, []
    for number, (side, quantity, price, fee) in enumerate(steps):
        fills.append(fill(str(number), side, quantity, price, fee))
        booked = trips.apply(fills[-1], Booking(ZERO, fee), number)
        results += booked.result
        finished += ZERO if booked.ended is None else booked.ended.result
    made = fills.pop(which % len(fills))
    undone = trips.undo(bust(made), Booking(ZERO, -made.trade.fee), len(steps))
    results += undone.result
    finished += ZERO if undone.ended is None else undone.ended.result
    cash = -sum((signed(each.side, each.trade.quantity) * each.trade.price + each.trade.fee for each in fills), ZERO)
    running = trips.open.get(BTC)
    assert results == finished + (ZERO if running is None else running.result)
    assert results == cash + (ZERO if running is None else running.cost)


@pytest.mark.parametrize(
    ("trades", "busted", "expected"),
    [
        pytest.param(
            [(BUY, "1", "100"), (BUY, "1", "200")], 1, ("1", "100", "0"), id="a bought part goes at its price"
        ),
        pytest.param([(BUY, "2", "100"), (SELL, "1", "130")], 1, ("2", "200", "0"), id="a sold part comes at its cost"),
        pytest.param([(BUY, "1", "100"), (SELL, "1", "130")], 1, ("1", "100", "0"), id="and so does all of it"),
        pytest.param(
            [(BUY, "1", "100"), (BUY, "1", "200"), (SELL, "1", "130")],
            1,
            ("0", "0", "30"),
            id="what is left is realized once nothing is held: bought at 100, sold at 130",
        ),
        pytest.param(
            [(BUY, "2", "100"), (BUY, "0.9", "1000"), (SELL, "1.9", "400")],
            1,
            ("0.1", "37.931034482758620690", "597.931034482758620690"),
            id="a cost of the wrong sign is the average instead",
        ),
    ],
)
def test_the_cost_of_what_is_left_is_restored_as_well_as_can_be(trades, busted, expected):
    portfolio = opened()
    fills = [fill(str(number), side, quantity, price, "0") for number, (side, quantity, price) in enumerate(trades)]
    for each in fills:
        portfolio.apply(each)
    portfolio.undo(bust(fills[busted]))
    held = portfolio.holding(BTC)
    assert (held.quantity, held.cost, portfolio.realized) == tuple(map(Decimal, expected))


def test_an_old_sale_comes_back_at_the_average_cost_of_what_is_held():
    """What it had realized is forgotten after so many others; what is uncertain goes to the realized result."""
    portfolio = opened()
    portfolio.apply(fill("first", BUY, "1000", "100", "0"))
    old = fill("old", SELL, "1", "130", "0")
    portfolio.apply(old)
    for number in range(REMEMBERED_MAX):
        portfolio.apply(fill(str(number), SELL, "1", "100", "0"))
    portfolio.apply(fill("dear", BUY, "743", "200", "0"))
    assert portfolio.holding(BTC) == Holding(Decimal(1486), Decimal(222_900))
    portfolio.undo(bust(old))
    assert portfolio.holding(BTC) == Holding(Decimal(1487), Decimal(223_050))


def test_spot_that_was_sold_since_cannot_be_taken_back():
    portfolio = opened()
    bought = fill("1", BUY, "1", "100")
    portfolio.apply(bought)
    portfolio.apply(fill("2", SELL, "0.5", "100"))
    before = portfolio.snapshot()
    with pytest.raises(OversoldError, match=r"takes back 1 BTC-USDT, held 0\.5"):
        portfolio.undo(bust(bought))
    with pytest.raises(KindError, match="held as spot"):
        portfolio.undo(bust(bought), perpetual=True)
    with pytest.raises(ValueError, match="bust 1 of BTC-EUR, expected a symbol in USDT"):
        portfolio.undo(bust(bought).model_copy(update={"symbol": "BTC-EUR"}))
    assert portfolio.snapshot() == before


def test_a_movement_is_cash_and_no_position():
    portfolio = opened()
    portfolio.apply(fill("1", BUY, "1", "100", "0"))
    assert portfolio.move(movement("250"))
    assert portfolio.move(movement("-50.5"))
    assert portfolio.move(movement("0.25", "BTC"))
    assert (portfolio.cash, portfolio.moved, portfolio.realized) == (Decimal("1099.5"), Decimal("199.5"), ZERO)
    assert portfolio.holding(BTC).quantity == 1
    assert portfolio.beside("BTC") == Decimal("0.25")
    again = Portfolio("USDT")
    again.restore(portfolio.snapshot())
    assert again.snapshot() == portfolio.snapshot()
    assert portfolio.move(movement("-0.25", "BTC"))
    assert portfolio.snapshot()["beside"] == {}


def test_what_moved_before_the_opening_statement_is_in_it():
    """The venue lists all that ever moved; what the opening balances hold already is not counted again."""
    assert not Portfolio("USDT").move(movement("1"))
    portfolio = opened()
    assert not portfolio.move(movement("1", venue_ts_us=OPENED_US))
    assert portfolio.cash == 1_000
    assert portfolio.move(movement("1", venue_ts_us=OPENED_US + 1))
