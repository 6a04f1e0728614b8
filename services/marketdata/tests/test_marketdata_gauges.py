"""What market data tells of the feed: its state, and for each cycle of the clock whether a symbol's quote is fresh."""

from decimal import Decimal

import pytest
from prometheus_client import REGISTRY

from tollgate_contracts.marketdata import FeedState, Quote, SymbolQuote
from tollgate_marketdata.app import next_boundary_us
from tollgate_marketdata.gauges import FeedGauges

START_US = 1_800_000_000_000_000
STALE_US = 3_000_000


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"tollgate_{name}", labels) or 0.0


def cycles(symbol: str) -> dict[str, float]:
    return {data: sample("data_cycles_total", symbol=symbol, data=data) for data in ("fresh", "stale", "none")}


def quote(symbol: str, ts_us: int, late_us: int = 0) -> Quote:
    line = SymbolQuote(
        symbol=symbol,
        bid=Decimal(99),
        bid_quantity=Decimal(1),
        ask=Decimal(101),
        ask_quantity=Decimal(1),
        venue_ts_us=ts_us - late_us,
        venue_sequence=1,
    )
    return Quote(
        id=f"marketdata:{ts_us}", desk="main", run_id="r1", ts_us=ts_us, cause=None, cycle_id=1, quotes=(line,)
    )


def test_each_cycle_counts_once_for_each_symbol_by_the_age_of_its_quote():
    gauges = FeedGauges(("AAA-USDT", "BBB-USDT"), STALE_US)
    gauges.ticked(START_US, FeedState.UP)
    gauges.quoted(quote("AAA-USDT", START_US))
    gauges.ticked(START_US + STALE_US, FeedState.UP)
    gauges.ticked(START_US + STALE_US + 1, FeedState.UP)
    assert cycles("AAA-USDT") == {"fresh": 1, "stale": 1, "none": 1}
    assert cycles("BBB-USDT") == {"fresh": 0, "stale": 0, "none": 3}


def test_a_quote_shows_when_it_came_and_how_old_it_was_by_the_venue_s_clock():
    before = sample("quote_age_seconds_sum")
    FeedGauges(("CCC-USDT",), STALE_US).quoted(quote("CCC-USDT", START_US, late_us=250_000))
    assert sample("last_quote_timestamp_seconds", symbol="CCC-USDT") == START_US / 1_000_000
    assert round(sample("quote_age_seconds_sum") - before, 6) == 0.25


def test_the_status_says_how_old_each_quote_is_and_which_has_never_come():
    gauges = FeedGauges(("AAA-USDT", "BBB-USDT"), STALE_US)
    gauges.quoted(quote("AAA-USDT", START_US))
    assert gauges.ages_ms(START_US + 1_500_999) == {"AAA-USDT": 1_500, "BBB-USDT": None}


@pytest.mark.parametrize("state", [*FeedState, None])
def test_exactly_the_state_of_the_feed_is_shown(state: FeedState | None):
    FeedGauges((), STALE_US).ticked(START_US, state)
    assert {each: sample("feed_state", state=each.value) for each in FeedState} == {
        each: float(each is state) for each in FeedState
    }


@pytest.mark.parametrize(
    ("began_us", "boundary_us"),
    [(0, 250_000), (1, 250_000), (124_999, 250_000), (249_700, 500_000), (250_000, 500_000), (251_000, 500_000)],
)
def test_a_cycle_that_begins_a_little_early_does_not_begin_twice(began_us: int, boundary_us: int):
    """A timer may end some tenths of a millisecond before its time, and the boundary would come again."""
    assert next_boundary_us(began_us, 250_000) == boundary_us
