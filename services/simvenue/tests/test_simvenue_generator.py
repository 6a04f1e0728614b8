"""The generated market: the same for the same seed, alive, and with stretches that a strategy can trade."""

import hashlib
from decimal import Decimal
from itertools import islice
from statistics import mean

import pytest

from tollgate_contracts.strategy import Side
from tollgate_domain.costs import CostModel, MarketTier
from tollgate_simvenue.core.account import Account
from tollgate_simvenue.core.exchange import Exchange
from tollgate_simvenue.core.market import HouseTook, LevelsSet, MarketEvent
from tollgate_simvenue.core.model import QuoteChanged
from tollgate_simvenue.market.generator import generate
from tollgate_simvenue.market.splitmix import SplitMix
from tollgate_simvenue.settings import SimvenueSection

SECTION = SimvenueSection()
SEED_1 = "27d384010c834d475fad783dee683b9bd067a26f5d8163f665bb5a432913d2db"
"""The SHA-256 of the first 500 events of seed 1 with the settings that we ship."""
INSTRUMENTS = [line.instrument() for line in SECTION.instruments]


def events(seed: int, count: int, quotes_per_s: int = 50) -> list[tuple[str, MarketEvent]]:
    rules = SECTION.generator_rules(CostModel())
    return list(islice(generate(INSTRUMENTS, SECTION.start_prices(), rules, seed, quotes_per_s), count))


def play(seed: int, count: int, quotes_per_s: int = 50) -> list[QuoteChanged]:
    exchange = Exchange(
        INSTRUMENTS, Account({}), SECTION.fees(CostModel()), candle_interval_us=60_000_000, session=1, opened_us=0
    )
    said: list[QuoteChanged] = []
    for number, (symbol, event) in enumerate(events(seed, count, quotes_per_s)):
        said += [each for each in exchange.apply(symbol, event, number) if isinstance(each, QuoteChanged)]
    return said


def test_splitmix_gives_the_published_sequence() -> None:
    """The first values for seed 1234567, as the reference implementation prints them."""
    random = SplitMix(1234567)
    assert [random.bits() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_its_draws_stay_within_their_bounds_and_spread_as_asked() -> None:
    random = SplitMix(5)
    assert {random.between(-1, 1) for _ in range(200)} == {-1, 0, 1}
    draws = [random.bell(1_000_000) for _ in range(4_000)]
    assert abs(mean(draws)) < 60_000
    assert 0.95 < (mean(draw * draw for draw in draws) ** 0.5) / 1_000_000 < 1.05


def test_the_same_seed_is_the_same_market_and_another_is_another() -> None:
    assert events(3, 2_000) == events(3, 2_000)
    assert events(3, 2_000) != events(4, 2_000)


def test_the_sequence_is_the_same_for_ever() -> None:
    """Recorded runs and fingerprints rest on it: whoever changes the generator sees it here."""
    market = repr(events(1, 500)).encode()
    assert hashlib.sha256(market).hexdigest() == SEED_1


@pytest.mark.parametrize("quotes_per_s", [10, 100, 1_000])
def test_nearly_every_event_changes_a_quote_and_none_crosses(quotes_per_s: int) -> None:
    said = play(1, 5_000, quotes_per_s)
    assert len(said) > 4_900
    assert all(0 < quote.bid < quote.ask and quote.bid_quantity > 0 < quote.ask_quantity for quote in said)


def test_everything_lies_on_tick_and_step_and_there_are_several_levels() -> None:
    grid = {instrument.symbol: instrument for instrument in INSTRUMENTS}
    for symbol, event in events(1, 3_000):
        instrument = grid[symbol]
        if isinstance(event, LevelsSet):
            assert all(
                price % instrument.tick == 0 == quantity % instrument.step for _, price, quantity in event.levels
            )
        elif isinstance(event, HouseTook):
            assert event.quantity % instrument.step == 0
    first = next(event for _, event in events(1, 1) if isinstance(event, LevelsSet))
    assert sum(1 for side, _, quantity in first.levels if side is Side.BUY and quantity) == SECTION.generator.levels


@pytest.mark.parametrize("quotes_per_s", [10, 50])
def test_prices_trend_by_more_than_fees_cost_at_any_rate(quotes_per_s: int) -> None:
    """Over ten minutes of nominal time most symbols have run 40 basis points within half a minute, both ways."""
    quotes = play(2, 600 * quotes_per_s, quotes_per_s)
    ran_up = ran_down = 0
    for instrument in INSTRUMENTS:
        mids = [quote.bid + quote.ask for quote in quotes if quote.symbol == instrument.symbol]
        window = 30 * quotes_per_s // 5
        moves = [10_000 * (later - mid) // mid for mid, later in zip(mids, mids[window:], strict=False)]
        ran_up += max(moves, default=0) > 40
        ran_down += min(moves, default=0) < -40
    assert ran_up >= 3
    assert ran_down >= 3


def test_a_price_never_leaves_its_bounds() -> None:
    """However long a trend: the price stays within a factor of sixteen, and the book never empties."""
    wild = SimvenueSection.model_validate({"generator": {"drift_bps_per_s": "900", "stretch_ms": 100_000_000}})
    market = generate(INSTRUMENTS, wild.start_prices(), wild.generator_rules(CostModel()), 1, 5)
    prices = [
        price for _, event in islice(market, 4_000) if isinstance(event, LevelsSet) for _, price, _ in event.levels
    ]
    assert min(prices) > 0


def test_the_spread_is_the_cost_models_by_symbol_unless_the_exchange_is_told_otherwise() -> None:
    """What the desk expects to pay to the mid is what this exchange asks."""
    near = MarketTier(name="near", symbols=("BTC-USDT",), half_spread_bps=Decimal(2), slippage_bps=Decimal(0))
    far = MarketTier(name="far", half_spread_bps=Decimal(30), slippage_bps=Decimal(0))
    rules = SECTION.generator_rules(CostModel(markets=(near, far)))
    assert (rules["BTC-USDT"].spread_rate, rules["ETH-USDT"].spread_rate) == (4_000_000, 60_000_000)
    told = SimvenueSection.model_validate({"generator": {"spread_bps": "7"}})
    assert {each.spread_rate for each in told.generator_rules(CostModel(markets=(near, far))).values()} == {7_000_000}
    market = generate(INSTRUMENTS, SECTION.start_prices(), rules, 1, 5)
    shown = {symbol: event for symbol, event in islice(market, len(INSTRUMENTS)) if isinstance(event, LevelsSet)}
    assert 4 <= _spread_bps(shown["BTC-USDT"]) < 5
    assert 60 <= _spread_bps(shown["ETH-USDT"]) < 62


def _spread_bps(book: LevelsSet) -> float:
    bid = max(price for side, price, _ in book.levels if side is Side.BUY)
    ask = min(price for side, price, _ in book.levels if side is Side.SELL)
    return 20_000 * (ask - bid) / (ask + bid)
