"""Round trips in groups: every one in exactly one of them, and the groups sum to the whole."""

import datetime
from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate_contracts.money import ZERO
from tollgate_domain.attribution import By, Parts, date_of, grouped, key_of, whole

HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class Trip:
    symbol: str = "BTC-USDT"
    signal: str | None = "ema"
    regime: str | None = "trend"
    tier: str | None = None
    closed_us: int = 0
    edge: Decimal = ZERO
    slippage: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (By.SYMBOL, "BTC-USDT"),
        (By.SIGNAL, "ema"),
        (By.REGIME, "trend"),
        (By.TIER, ""),
        (By.HOUR, "09"),
        (By.DAY, "1970-01-02"),
    ],
)
def test_each_trip_has_one_key_and_an_empty_one_where_nothing_is_known(by, expected):
    assert key_of(Trip(closed_us=33 * HOUR_US + 59), by) == expected


def test_a_group_adds_up():
    trips = [
        Trip(edge=Decimal(10), slippage=Decimal(2), fees=Decimal(1), funding=Decimal("-0.5")),
        Trip(edge=Decimal(-4), slippage=Decimal(1), fees=Decimal(1), symbol="ETH-USDT"),
        Trip(edge=Decimal(1), fees=Decimal("0.1")),
    ]
    groups = grouped(trips, By.SYMBOL)
    assert list(groups) == ["BTC-USDT", "ETH-USDT"]
    assert groups["BTC-USDT"] == Parts(2, Decimal(11), Decimal(2), Decimal("1.1"), Decimal("-0.5"))
    assert (groups["BTC-USDT"].gross, groups["BTC-USDT"].net) == (9, Decimal("7.4"))
    assert whole(trips).net == Decimal("1.4")


amounts = st.decimals(min_value="-99999", max_value="99999", places=18)
names = st.sampled_from([None, "a", "b", "c"])
trips = st.builds(
    Trip,
    symbol=st.sampled_from(["BTC-USDT", "ETH-USDT"]),
    signal=names,
    regime=names,
    tier=names,
    closed_us=st.integers(min_value=0, max_value=100 * HOUR_US),
    edge=amounts,
    slippage=amounts,
    fees=amounts,
    funding=amounts,
)


@given(st.lists(trips, max_size=30), st.sampled_from(By))
def test_the_groups_sum_to_the_whole_to_the_last_digit(rows, by):
    together = Parts()
    for parts in grouped(rows, by).values():
        assert parts.net == parts.edge - parts.slippage - parts.fees + parts.funding
        together = together.plus(parts)
    assert together == whole(rows)
    assert together.net == sum((row.edge - row.slippage - row.fees + row.funding for row in rows), ZERO)


@given(st.integers(min_value=0, max_value=200_000))
def test_dates_are_those_of_the_calendar(day):
    expected = datetime.date(1970, 1, 1) + datetime.timedelta(days=day)
    assert date_of(day) == expected.isoformat()
