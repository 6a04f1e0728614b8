"""What the exchange charges: by tiers of what the account has traded, rebates among them."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simvenue_samples import ATOM, FEE_TIERS, ONE, SYMBOL, balances, exchange, open_floor, place, request

from tollgate_contracts.execution import Liquidity
from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_domain.costs import DAY_US, CostModel, FeeTier, tier_at
from tollgate_simvenue.core.exchange import Exchange
from tollgate_simvenue.core.market import HouseTook
from tollgate_simvenue.core.model import Bust, Fees, Order, OrderRequest
from tollgate_simvenue.core.units import FEE_RATE_PER_BPS, UNITS, notional_value
from tollgate_simvenue.settings import Settings, SimvenueSection


def tier(volume_from: int, maker_bps: str, taker_bps: str) -> FeeTier:
    return FeeTier(volume_from=Decimal(volume_from), maker_bps=Decimal(maker_bps), taker_bps=Decimal(taker_bps))


TIERS = (tier(0, "10", "20"), tier(200, "5", "15"), tier(300, "-1.5", "15"))


def fees(maker_bps: str, taker_bps: str) -> Fees:
    return Fees(int(Decimal(maker_bps) * FEE_RATE_PER_BPS), int(Decimal(taker_bps) * FEE_RATE_PER_BPS))


def buy(venue: Exchange, client_order_id: str, now_us: int, **changes: object) -> Order:
    wanted = {"limit_price": 101 * ONE, "received_us": now_us, **changes}
    order, _ = venue.place(request(client_order_id, **wanted), now_us)
    assert isinstance(order, Order)
    return order


def test_a_tier_is_reached_by_trading_and_applies_from_midnight_on() -> None:
    venue = exchange(fee_tiers=TIERS)
    (first,), (second,) = buy(venue, "a", 10).fills, buy(venue, "b", DAY_US - 1).fills
    assert (first.fee, second.fee) == (101 * ATOM * 20 // 10_000,) * 2
    assert venue.fees.at(DAY_US - 1) == fees("10", "20")
    assert venue.fees.at(DAY_US) == fees("5", "15")
    (third,) = buy(venue, "c", DAY_US).fills
    assert third.fee == 101 * ATOM * 15 // 10_000
    assert venue.fees.at(2 * DAY_US) == fees("-1.5", "15")


def test_a_tier_is_lost_again_when_its_trades_are_older_than_thirty_days() -> None:
    venue = exchange(fee_tiers=TIERS)
    buy(venue, "a", 10), buy(venue, "b", 11)
    assert venue.fees.at(30 * DAY_US) == fees("5", "15")
    assert venue.fees.at(31 * DAY_US) == fees("10", "20")


def test_an_order_that_rests_while_the_tier_is_lost_has_locked_enough() -> None:
    """What is locked covers the dearest tier: fees that rise with time are no reason to overdraw an account."""
    venue = exchange(fee_tiers=TIERS)
    buy(venue, "a", 10), buy(venue, "b", 11)
    resting = buy(venue, "c", 30 * DAY_US, limit_price=99 * ONE)
    assert resting.locked == 99 * ATOM + 99 * ATOM * 20 // 10_000
    venue.apply(SYMBOL, HouseTook(Side.SELL, 11 * ONE), 31 * DAY_US)
    (fill,) = resting.fills
    assert (fill.fee, resting.locked) == (99 * ATOM * 10 // 10_000, 0)


def test_a_rebate_is_paid_to_who_makes_liquidity() -> None:
    venue = exchange(fee_tiers=(tier(0, "-1.5", "15"),))
    order = place(venue, limit_price=100 * ONE, post_only=True)
    venue.apply(SYMBOL, HouseTook(Side.SELL, 11 * ONE), 20)
    (fill,) = order.fills
    assert (fill.liquidity, fill.fee) == (Liquidity.MAKER, -100 * ATOM * 15 // 100_000)
    assert balances(venue)["USDT"] == ("900.015", "0")


def test_a_trade_that_is_taken_back_no_longer_counts_towards_a_tier() -> None:
    venue = exchange(fee_tiers=TIERS)
    first, second = buy(venue, "a", 10), buy(venue, "b", 11)
    assert venue.fees.at(DAY_US) == fees("5", "15")
    bust, _ = venue.bust(second, second.fills[0].trade_id, DAY_US + 5)
    assert isinstance(bust, Bust)
    assert first.fills
    assert venue.fees.at(DAY_US + 5) == fees("10", "20")


def test_what_was_traded_outlives_a_restart_but_for_what_was_taken_back(tmp_path: Path) -> None:
    now_us = [50 * DAY_US]
    floor = open_floor(tmp_path / "venue.sqlite", now_us[0], clock=lambda: now_us[0])
    for number, day in enumerate((50, 80)):
        now_us[0] = day * DAY_US + number
        outcome = floor.place(_whole_book(f"o{number}", now_us[0]))
        assert isinstance(outcome, Order)
    assert isinstance(floor.bust(outcome.fills[0].trade_id), Bust)
    floor._store.close()
    first, second, *_ = FEE_TIERS
    for day, expected in ((50, first), (51, second), (80, second), (81, first)):
        again = open_floor(tmp_path / "venue.sqlite", day * DAY_US, clock=lambda: now_us[0])
        assert again.exchange.fees.at(day * DAY_US).taker_rate == expected.taker_bps * FEE_RATE_PER_BPS, day
        again._store.close()


def _whole_book(client_order_id: str, now_us: int) -> OrderRequest:
    """Ten to twenty millions: enough for the second tier of those that ship."""
    return OrderRequest(
        client_order_id, SYMBOL, Side.BUY, OrderType.LIMIT, 150_000 * UNITS, 101 * UNITS, TimeInForce.GTC, False, now_us
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3 * 86_400), st.sampled_from(Side), st.integers(1, 9)), max_size=40))
def test_the_exchange_charges_what_the_model_says(trades: list[tuple[int, Side, int]]) -> None:
    """Whatever is traded when: each fee is the model's for the tier of that day, but for rounding to eight places."""
    venue = exchange(usdt=10_000, btc=1_000, fee_tiers=TIERS)
    model = CostModel(fee_tiers=TIERS, fee_dust=Decimal("0.00000001"), fee_tolerance_bps=Decimal(0))
    by_day: dict[int, Decimal] = {}
    for number, (at_s, side, tenths) in enumerate(sorted(trades)):
        now_us = 1_000 + at_s * 1_000_000
        price = 101 if side is Side.BUY else 100
        order = buy(venue, f"o{number}", now_us, side=side, quantity=tenths * ONE // 10, limit_price=price * ONE)
        today = now_us // DAY_US
        before = sum((value for day, value in by_day.items() if day < today), Decimal(0))
        for fill in order.fills:
            value = notional_value(fill.price * fill.quantity)
            expected = tier_at(TIERS, before).fee(value, fill.liquidity)
            assert model.tolerates(notional_value(fill.fee), expected, value)
            by_day[today] = by_day.get(today, Decimal(0)) + value


def test_the_exchange_charges_by_the_desks_model_unless_it_is_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLGATE_COSTS__FEE_TIERS", '[{"volume_from":"0","maker_bps":"1","taker_bps":"3"}]')
    told = Settings()
    assert told.simvenue.fees(told.costs).at(0) == fees("1", "3")
    monkeypatch.setenv("TOLLGATE_SIMVENUE__FEE_TIERS", '[{"volume_from":"0","maker_bps":"2","taker_bps":"4"}]')
    told = Settings()
    assert told.simvenue.fees(told.costs).at(0) == fees("2", "4")
    assert SimvenueSection().fees(CostModel()).at(0) == fees("10", "20")
