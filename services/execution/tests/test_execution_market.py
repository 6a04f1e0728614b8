"""What the core keeps of the market: the newest of everything, bounded, and the same after a restart."""

import json
from decimal import Decimal
from typing import Any

import pytest
from execution_samples import START_US

from tollgate_contracts.marketdata import (
    Feed,
    FeedState,
    FeedTransport,
    Instrument,
    InstrumentStatus,
    Quote,
    SymbolQuote,
)
from tollgate_execution.core.market import SYMBOLS_MAX, Market


def envelope(ts_us: int) -> dict[str, Any]:
    return {
        "id": f"marketdata:simulated:{ts_us}",
        "desk": "main",
        "run_id": "test",
        "ts_us": ts_us,
        "cause": None,
        "cycle_id": 1,
    }


def quote(ts_us: int, *symbols: str, bid: str = "99") -> Quote:
    sizes = {"bid_quantity": Decimal(1), "ask_quantity": Decimal(1), "venue_ts_us": ts_us, "venue_sequence": ts_us}
    quotes = tuple(SymbolQuote(symbol=each, bid=Decimal(bid), ask=Decimal(100), **sizes) for each in symbols)
    return Quote(quotes=quotes, **envelope(ts_us))


def instrument(ts_us: int, status: InstrumentStatus, symbol: str = "BTC-USDT") -> Instrument:
    amounts = {"tick": Decimal("0.01"), "step": Decimal(1), "min_quantity": Decimal(1), "min_notional": Decimal(0)}
    names = {"venue": "simulated", "symbol": symbol, "base": symbol[:3], "quote": "USDT"}
    fields = {**names, **amounts, "status": status, "valid_until_us": START_US, "margin": None}
    return Instrument(**fields, **envelope(ts_us))


def feed(ts_us: int, state: FeedState) -> Feed:
    return Feed(venue="simulated", state=state, transport=FeedTransport.WEBSOCKET, detail="", **envelope(ts_us))


def test_of_each_symbol_the_newest_quote_counts() -> None:
    market = Market()
    market.on_quote(1, quote(1, "BTC-USDT", "ETH-USDT"))
    market.on_quote(2, quote(2, "BTC-USDT", bid="98"))
    bitcoin, ether = market.quoted("BTC-USDT"), market.quoted("ETH-USDT")
    assert bitcoin is not None
    assert ether is not None
    assert (bitcoin.quote.bid, bitcoin.ts_us, ether.ts_us, market.newest_us) == (98, 2, 1, 2)
    assert market.quoted("SOL-USDT") is None


def test_no_more_symbols_are_kept_than_a_desk_may_trade_and_the_oldest_makes_room() -> None:
    market = Market()
    names = [f"A{number:02}-USDT" for number in range(SYMBOLS_MAX + 1)]
    for at_us, name in enumerate(names, start=1):
        market.on_quote(at_us, quote(at_us, name))
        market.on_instrument(instrument(at_us, InstrumentStatus.OPEN, name))
    assert [name for name in names if market.quoted(name) is None] == names[:1]
    assert [name for name in names if market.instrument(name) is None] == names[:1]


@pytest.mark.parametrize(
    ("statuses", "opened_us"),
    [
        (("OPEN",), 0),
        (("OPEN", "OPEN"), 0),
        (("HALTED",), 0),
        (("HALTED", "OPEN"), 2),
        (("OPEN", "CANCEL_ONLY", "AUCTION", "OPEN"), 4),
        (("OPEN", "HALTED", "OPEN", "OPEN"), 3),
    ],
)
def test_it_is_known_since_when_a_symbol_is_open_again(statuses: tuple[str, ...], opened_us: int) -> None:
    market = Market()
    for at_us, status in enumerate(statuses, start=1):
        market.on_instrument(instrument(at_us, InstrumentStatus(status)))
    assert market.opened_us("BTC-USDT") == opened_us


def test_it_is_known_since_when_the_feed_cannot_be_used() -> None:
    market, seen = Market(), []
    for at_us, state in enumerate(("UP", "STALE", "GAP", "RECOVERED", "DEGRADED", "GAP"), start=1):
        market.on_feed(feed(at_us, FeedState(state)))
        seen.append(market.feed_lost_us)
    assert seen == [None, 2, 2, None, None, 6]


def test_a_market_is_the_same_after_a_restart() -> None:
    market = Market()
    market.on_quote(1, quote(1, "BTC-USDT"))
    market.on_instrument(instrument(2, InstrumentStatus.HALTED))
    market.on_instrument(instrument(3, InstrumentStatus.OPEN))
    market.on_feed(feed(4, FeedState.GAP))
    again = Market()
    again.restore(json.loads(json.dumps(market.snapshot())))
    assert json.dumps(again.snapshot()) == json.dumps(market.snapshot())
    assert again.quoted("BTC-USDT") == market.quoted("BTC-USDT")
    assert again.opened_us("BTC-USDT") == 3
