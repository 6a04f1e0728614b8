"""The one arithmetic of cash and positions."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate_contracts.execution import Fill, Liquidity, VenueTrade
from tollgate_contracts.reconciliation import Account, Balance, VenuePosition
from tollgate_contracts.strategy import Side
from tollgate_domain.holdings import Holding, signed
from tollgate_domain.portfolio import Booking, KindError, OversoldError, Portfolio

ENVELOPE = {"desk": "main", "run_id": "r1", "ts_us": 1, "cycle_id": 1}
CLIENT_ORDER_ID = "tg" + "0" * 30


def account(*positions: VenuePosition, **balances: str) -> Account:
    return Account(
        id="execution:simulated:1",
        cause=None,
        venue="simulated",
        account="main",
        balances=tuple(
            Balance(currency=currency, free=Decimal(free), locked=Decimal(0)) for currency, free in balances.items()
        ),
        positions=positions,
        maker_fee_bps=Decimal(10),
        taker_fee_bps=Decimal(20),
        venue_ts_us=1,
        **ENVELOPE,
    )


def fill(
    side: Side, price: Decimal | str, quantity: Decimal | str, fee: Decimal | str = "0", currency: str = "USDT"
) -> Fill:
    return Fill(
        id="execution:1:1",
        cause=1,
        client_order_id=CLIENT_ORDER_ID,
        symbol="BTC-USDT",
        side=side,
        trade=VenueTrade(
            trade_id="1",
            price=Decimal(price),
            quantity=Decimal(quantity),
            fee=Decimal(fee),
            fee_currency=currency,
            liquidity=Liquidity.TAKER,
            venue_ts_us=1,
        ),
        fee_rate=None,
        fee_rate_source="",
        config_hash="0" * 64,
        **ENVELOPE,
    )


def opened(cash: str = "1000") -> Portfolio:
    portfolio = Portfolio("USDT")
    portfolio.open(account(USDT=cash), ("BTC-USDT",))
    return portfolio


def test_only_the_first_account_message_opens():
    portfolio = opened()
    assert portfolio.open(account(USDT="5"), ("BTC-USDT",)) is False
    assert portfolio.cash == 1000


def test_what_was_held_before_is_opened_at_no_cost():
    portfolio = Portfolio("USDT")
    portfolio.open(account(USDT="1", BTC="2", DOGE="9"), ("BTC-USDT",))
    assert portfolio.holdings() == {"BTC-USDT": Holding(Decimal(2), Decimal(0))}


def test_what_open_orders_lock_is_held_too():
    """Free and locked are both ours."""
    balances = tuple(Balance(currency=c, free=Decimal(3), locked=Decimal(2)) for c in ("USDT", "BTC"))
    portfolio = Portfolio("USDT")
    portfolio.open(account().model_copy(update={"balances": balances}), ("BTC-USDT",))
    assert (portfolio.cash, portfolio.holding("BTC-USDT").quantity) == (5, 5)


def test_a_round_trip_realizes_the_price_difference_and_keeps_fees_apart():
    portfolio = opened()
    assert portfolio.apply(fill(Side.BUY, "100", "3", "0.6")) == Booking(Decimal(0), Decimal("0.6"))
    assert portfolio.apply(fill(Side.SELL, "110", "1", "0.22")).realized == 10
    assert portfolio.holding("BTC-USDT") == Holding(Decimal(2), Decimal(200))
    assert portfolio.apply(fill(Side.SELL, "90", "2", "0.36")).result == Decimal("-20.36")
    assert portfolio.holdings() == {}
    assert (portfolio.cash, portfolio.realized, portfolio.fees) == (
        Decimal("988.82"),
        Decimal(-10),
        Decimal("1.18"),
    )


def test_selling_more_than_is_held_is_refused_and_changes_nothing():
    portfolio = opened()
    portfolio.apply(fill(Side.BUY, "100", "1"))
    before = portfolio.snapshot()
    with pytest.raises(OversoldError, match="held 1"):
        portfolio.apply(fill(Side.SELL, "100", "1.1"))
    assert portfolio.snapshot() == before


def test_a_symbol_of_another_quote_currency_is_refused_and_changes_nothing():
    portfolio = opened()
    before = portfolio.snapshot()
    with pytest.raises(ValueError, match="fill 1 of BTC-EUR, expected a symbol in USDT"):
        portfolio.apply(fill(Side.BUY, "100", "1").model_copy(update={"symbol": "BTC-EUR"}))
    assert portfolio.snapshot() == before


MONEY = st.decimals(min_value="0.00000001", max_value="99999", places=8, allow_nan=False)


@given(st.lists(st.tuples(st.booleans(), MONEY, MONEY, MONEY), max_size=30))
def test_cash_plus_cost_is_what_was_opened_plus_realized_minus_fees(steps):
    """The sum holds exactly, however thirds and ninths fall when a part of a position is sold."""
    portfolio = opened()
    for buys, price, quantity, fee in steps:
        side = Side.BUY if buys else Side.SELL
        if side is Side.SELL:
            held = portfolio.holding("BTC-USDT").quantity
            if not held:
                continue
            quantity = min(quantity, held)  # noqa: PLW2901 - a sale is cut to what is held
        portfolio.apply(fill(side, price, quantity, fee))
        cost = sum((holding.cost for holding in portfolio.holdings().values()), Decimal(0))
        assert portfolio.cash + cost == Decimal(1000) + portfolio.realized - portfolio.fees
    again = Portfolio("USDT")
    again.restore(portfolio.snapshot())
    assert again.snapshot() == portfolio.snapshot()


LONG, SHORT, FLAT = Decimal(5), Decimal(-5), Decimal(0)


@pytest.mark.parametrize(
    ("held", "side", "quantity", "expected"),
    [
        pytest.param(FLAT, Side.BUY, "2", ("2", "220", "0"), id="opens a long"),
        pytest.param(FLAT, Side.SELL, "2", ("-2", "-220", "0"), id="opens a short"),
        pytest.param(LONG, Side.BUY, "2", ("7", "720", "0"), id="enlarges a long"),
        pytest.param(SHORT, Side.SELL, "2", ("-7", "-720", "0"), id="enlarges a short"),
        pytest.param(LONG, Side.SELL, "2", ("3", "300", "20"), id="reduces a long"),
        pytest.param(SHORT, Side.BUY, "2", ("-3", "-300", "-20"), id="reduces a short"),
        pytest.param(LONG, Side.SELL, "5", ("0", "0", "50"), id="closes a long"),
        pytest.param(SHORT, Side.BUY, "5", ("0", "0", "-50"), id="closes a short"),
        pytest.param(LONG, Side.SELL, "8", ("-3", "-330", "50"), id="flips a long"),
        pytest.param(SHORT, Side.BUY, "8", ("3", "330", "-50"), id="flips a short"),
    ],
)
def test_a_perpetual_moves_cash_only_by_results_and_fees(held, side, quantity, expected):
    """Five were entered at 100; the trade is at 110 and its fee 1."""
    portfolio = opened()
    if held:
        portfolio.apply(fill(Side.BUY if held > 0 else Side.SELL, "100", abs(held)), perpetual=True)
    assert portfolio.cash == 1000
    realized = portfolio.apply(fill(side, "110", quantity, "1"), perpetual=True).realized
    after = portfolio.holding("BTC-USDT")
    assert (after.quantity, after.cost, realized) == tuple(Decimal(text) for text in expected)
    assert portfolio.cash == 1000 + realized - 1


def test_a_position_is_opened_at_its_entry_price_and_a_balance_beside_it_is_no_holding():
    """What the venue states as a position of ours has a known cost; of a strange symbol nothing is taken in."""
    position = {"entry_price": Decimal(90), "liquidation_price": None}
    portfolio = Portfolio("USDT")
    stated = account(
        VenuePosition(symbol="BTC-USDT", quantity=Decimal(-2), **position),
        VenuePosition(symbol="DOGE-USDT", quantity=Decimal(7), **position),
        VenuePosition(symbol="SOL-USDT", quantity=Decimal(0), **position),
        USDT="1000",
        BTC="4",
        ETH="3",
        XRP="6",
    )
    portfolio.open(stated, ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT"), perpetuals=("XRP-USDT",))
    assert portfolio.holdings() == {
        "BTC-USDT": Holding(Decimal(-2), Decimal(-180), perpetual=True),
        "ETH-USDT": Holding(Decimal(3), Decimal(0)),
    }


@pytest.mark.parametrize(("first", "kind"), [(True, "a perpetual"), (False, "spot")])
def test_what_is_held_as_one_kind_is_not_traded_as_the_other(first, kind):
    """The two kinds move cash differently, so a fill of the wrong kind is refused and changes nothing."""
    portfolio = opened()
    portfolio.apply(fill(Side.BUY, "100", "1"), perpetual=first)
    before = portfolio.snapshot()
    with pytest.raises(KindError, match=f"held as {kind}"):
        portfolio.apply(fill(Side.BUY, "100", "1"), perpetual=not first)
    assert portfolio.snapshot() == before


@given(st.lists(st.tuples(st.sampled_from(Side), MONEY, MONEY, MONEY), max_size=30))
def test_a_perpetuals_cash_and_cost_obey_the_law_exactly(steps):
    """Whatever is traded: cash is what was opened and realized less fees, and cost is what was traded and realized."""
    portfolio, traded = opened(), Decimal(0)
    for side, price, quantity, fee in steps:
        enlarges = portfolio.holding("BTC-USDT").quantity * signed(side, quantity) >= 0
        realized = portfolio.apply(fill(side, price, quantity, fee), perpetual=True).realized
        assert realized == 0 or not enlarges
        traded += signed(side, quantity) * price
        held = portfolio.holding("BTC-USDT")
        assert portfolio.cash == Decimal(1000) + portfolio.realized - portfolio.fees
        assert held.cost == traded + portfolio.realized
        assert (held.cost > 0, held.cost < 0) == (held.quantity > 0, held.quantity < 0)
    again = Portfolio("USDT")
    again.restore(portfolio.snapshot())
    assert again.snapshot() == portfolio.snapshot()
    assert again.holdings() == portfolio.holdings()


@given(st.lists(st.tuples(st.sampled_from(Side), MONEY, MONEY), min_size=1, max_size=20), MONEY)
def test_a_short_is_a_long_with_every_sign_changed(steps, last):
    """The arithmetic does not know up from down."""
    ours, mirror = opened(), opened()
    for side, price, quantity in [*steps, (Side.BUY, last, Decimal(1))]:
        other = Side.SELL if side is Side.BUY else Side.BUY
        result = ours.apply(fill(side, price, quantity), perpetual=True).realized
        assert mirror.apply(fill(other, price, quantity), perpetual=True).realized == -result
