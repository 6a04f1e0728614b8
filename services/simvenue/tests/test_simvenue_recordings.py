"""Recorded markets: our format, the readers for others, and how they are played."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pyarrow  # type: ignore[import-untyped]  # it has no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet  # as above
from websockets.asyncio.client import connect

from tollgate_contracts.strategy import Side
from tollgate_domain.costs import CostModel
from tollgate_simvenue.core.account import Account
from tollgate_simvenue.core.exchange import Exchange
from tollgate_simvenue.core.market import BookSnapshot, HouseTook, LevelsSet, MarketEvent, TopSet, TradePrinted
from tollgate_simvenue.core.model import QuoteChanged
from tollgate_simvenue.core.units import UNITS
from tollgate_simvenue.market import formats, recording
from tollgate_simvenue.market.depth import DepthMerger
from tollgate_simvenue.market.recording import RecordingError
from tollgate_simvenue.settings import SimvenueSection

DEV = Path("/work/shared/data/dev")
SPOT_RAW = DEV / "binance_spot_BTCUSDT_20240808.raw.gz"
SPOT_L2 = DEV / "binance_spot_BTCUSDT_l2_20240808.parquet"
FUTURES_L2 = DEV / "binance_usdm_BTCUSDT_l2_20240808.parquet"
BARS = DEV / "binance_spot_BTCUSDT_1m_2021.parquet"
needs_recordings = pytest.mark.skipif(not DEV.is_dir(), reason=f"the recordings of {DEV} are not on this machine")

whole = st.integers(1, 10**17)
pairs = st.lists(st.tuples(whole, whole), max_size=4).map(tuple)
tops = st.builds(
    lambda bid, spread, bid_quantity, ask_quantity: TopSet(bid, bid_quantity, bid + spread, ask_quantity),
    whole, whole, whole, whole,
)  # fmt: skip
levels = st.lists(st.tuples(whole, st.integers(0, 10**17)), max_size=4)
level_sets = st.builds(
    lambda bids, asks: LevelsSet(tuple((Side.BUY, *bid) for bid in bids) + tuple((Side.SELL, *ask) for ask in asks)),
    levels, levels,
)  # fmt: skip
recorded = st.one_of(
    tops,
    level_sets,
    st.builds(BookSnapshot, pairs, pairs),
    st.builds(TradePrinted, st.sampled_from(Side), whole, whole),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**16), recorded), max_size=8), st.sampled_from(["m.jsonl", "m.jsonl.gz"]))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[int, MarketEvent]], name: str
) -> None:
    path = tmp_path_factory.mktemp("recording") / name
    assert recording.write(path, events, symbol="BTC-USDT", source="a test") == len(events)
    assert list(recording.read(path)) == events


def test_the_generators_own_events_are_not_recorded(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="HouseTook"):
        recording.write(tmp_path / "m.jsonl", [(1, HouseTook(Side.BUY, 1))], symbol="X-Y", source="a test")


TOP = {"type": "top", "bid": "100", "bid_quantity": "1", "ask": "101", "ask_quantity": "1"}
BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"ts_us": 1, "type": "candle"}, "candle"),
    ({"type": "top"}, "ts_us"),
    ({"ts_us": "1", **TOP}, "whole number"),
    ({"ts_us": 1, **TOP, "bid": "101"}, "not below ask"),
    ({"ts_us": 1, **TOP, "bid": 100.5}, "TypeError"),
    ({"ts_us": 1, **TOP, "bid": "NaN"}, "NaN"),
    ({"ts_us": 1, **TOP, "ask_quantity": "0"}, "above zero"),
    ({"ts_us": 1, "type": "trade", "aggressor": "BOTH", "price": "1", "quantity": "1"}, "BOTH"),
    ({"ts_us": 1, "type": "levels", "bids": [["1", "-1"]], "asks": []}, "below zero"),
    ({"ts_us": 1, "type": "levels", "bids": [["1"]], "asks": []}, "ValueError"),
]


@pytest.mark.parametrize(("line", "expected"), BROKEN)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: dict[str, Any], expected: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"format":"tollgate-market","version":1}\n' + json.dumps(line) + "\n")
    with pytest.raises(RecordingError, match=expected) as raised:
        list(formats.read(path))
    assert "m.jsonl, line 2" in str(raised.value)


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"format":"tollgate-market","version":2}\n')
    with pytest.raises(RecordingError, match="version 2 is not known"):
        list(formats.read(path))


def test_a_part_of_a_recording_keeps_the_book_that_led_to_it(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    trade = TradePrinted(Side.BUY, UNITS, UNITS)
    events: list[tuple[int, MarketEvent]] = [
        (10, BookSnapshot(((UNITS, UNITS),), ())),
        (11, trade),
        (20, trade),
        (19, trade),
        (30, trade),
    ]
    recording.write(path, events, symbol="BTC-USDT", source="a test")
    assert list(formats.read(path, from_us=15, until_us=30)) == [(15, events[0][1]), (20, trade), (20, trade)]


def test_a_late_word_on_the_top_does_not_undo_a_newer_one() -> None:
    """Depth comes up to a tenth of a second after the best bid and ask; the update number says which is newer."""
    merger = DepthMerger()
    assert merger.depth(1, [(Side.BUY, 100, 1)]) is None  # no snapshot yet
    assert merger.top(1, 100, 1, 101, 1) is None
    merger.snapshot(10, [(Side.BUY, 100, 5), (Side.SELL, 101, 5)])
    assert merger.depth(10, [(Side.BUY, 100, 1)]) is None  # older than the snapshot
    assert merger.top(20, 99, 1, 101, 1) == TopSet(99, 1, 101, 1)
    late = merger.depth(15, [(Side.BUY, 100, 4), (Side.BUY, 98, 7), (Side.SELL, 101, 9), (Side.SELL, 105, 0)])
    assert late == LevelsSet(((Side.BUY, 98, 7), (Side.SELL, 105, 0)))
    assert merger.depth(21, [(Side.BUY, 99, 4)]) == LevelsSet(((Side.BUY, 99, 4),))
    assert merger.top(19, 98, 1, 101, 1) is None
    assert merger.top(30, 101, 1, 101, 1) is None


def test_a_bar_becomes_quotes_around_its_path(tmp_path: Path) -> None:
    """The path touches both extremes and ends at the close, and its trades add up to the volume."""
    path = tmp_path / "bars.parquet"
    columns = {
        "open_time_ms": [60_000],
        "open": [1000],
        "high": [1010],
        "low": [990],
        "close": [1004],
        "volume": [2400],
    }
    schema = pyarrow.schema([(name, pyarrow.int64()) for name in columns], {"price_scale": "10", "volume_scale": "100"})
    parquet.write_table(pyarrow.table(columns, schema=schema), path)
    events = list(formats.read(path))
    assert [ts_us for ts_us, _ in events] == sorted(ts_us for ts_us, _ in events)
    assert 60_000_000 <= events[0][0] <= events[-1][0] < 120_000_000
    trades = [event for _, event in events if isinstance(event, TradePrinted)]
    prices = [trade.price for trade in trades]
    assert (min(prices), max(prices), prices[-1]) == (99 * UNITS, 101 * UNITS, 1004 * UNITS // 10)
    assert sum(trade.quantity for trade in trades) == 24 * UNITS
    quotes = [event for _, event in events if isinstance(event, TopSet)]
    assert all(quote.bid < trade.price < quote.ask for quote, trade in zip(quotes, trades, strict=True))


@pytest.mark.parametrize("metadata", [{}, {"volume_scale": "7", "price_scale": "10"}, {"qty_scale": "10"}])
def test_a_parquet_file_of_another_kind_is_refused(tmp_path: Path, metadata: dict[str, str]) -> None:
    path = tmp_path / "other.parquet"
    parquet.write_table(pyarrow.table({"x": [1]}, schema=pyarrow.schema([("x", pyarrow.int64())], metadata)), path)
    with pytest.raises(RecordingError, match=r"other\.parquet"):
        list(formats.read(path))


def played(path: Path, count: int | None = None) -> tuple[Exchange, Counter[str]]:
    section = SimvenueSection()
    exchange = Exchange(
        [section.instruments[0].instrument()],
        Account({}),
        section.fees(CostModel()),
        candle_interval_us=60_000_000,
        session=1,
        opened_us=0,
    )
    counted: Counter[str] = Counter()
    for number, (ts_us, event) in enumerate(formats.read(path)):
        if number == count:
            break
        counted[type(event).__name__] += 1
        for said in exchange.apply("BTC-USDT", event, ts_us):
            counted[type(said).__name__] += 1
            assert not isinstance(said, QuoteChanged) or said.bid < said.ask
    return exchange, counted


@needs_recordings
def test_the_raw_capture_and_its_normalised_copy_are_the_same_market() -> None:
    assert list(formats.read(SPOT_RAW)) == list(formats.read(SPOT_L2))


@needs_recordings
def test_the_spot_recording_plays_through_the_book_as_it_was() -> None:
    """28,038 of 28,040 best bid and ask messages come after the snapshot, and each changes the quote once."""
    exchange, counted = played(SPOT_L2)
    assert counted["TopSet"] == 28_037
    assert counted["QuoteChanged"] == 28_038
    assert counted["PublicTrade"] == counted["TradePrinted"] == 9_756
    quote = exchange.quote("BTC-USDT")
    assert quote is not None
    assert (quote.bid, quote.ask) == (6168599 * UNITS // 100, 6168600 * UNITS // 100)


@needs_recordings
def test_the_futures_recording_plays_too() -> None:
    _, counted = played(FUTURES_L2, 20_000)
    assert counted["QuoteChanged"] > 10_000


@needs_recordings
def test_the_year_of_bars_plays() -> None:
    _, counted = played(BARS, 24_000)
    assert counted["TopSet"] == counted["TradePrinted"] == 12_000
    assert counted["CandleClosed"] == 999


def make_recording(path: Path, seconds: int, per_s: int) -> int:
    """A recording whose best bid rises by a cent each step."""
    interval = 1_000_000 // per_s
    events: list[tuple[int, MarketEvent]] = []
    for number in range(seconds * per_s):
        bid = (60_000 * 100 + number) * UNITS // 100
        events.append((number * interval, TopSet(bid, UNITS, bid + UNITS // 100, UNITS)))
    return recording.write(path, events, symbol="BTC-USDT", source="a test")


async def finished(client: Any) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while not (market := (await client.http.get("/api/v1/time")).json()["market"])["finished"]:
            await asyncio.sleep(0.02)
    return dict(market)


# The market was recorded over 100 s: played at its own speed it would not be over in time.
@pytest.mark.parametrize(("speed", "seconds_at_least"), [("200", 0.45), ("0", 0)])
async def test_a_recording_is_played_at_its_speed_and_says_when_it_is_over(
    start: Callable[..., Awaitable[Any]], tmp_path: Path, speed: str, seconds_at_least: float
) -> None:
    """The other symbols go on, and so does the venue."""
    count = make_recording(tmp_path / "m.jsonl.gz", seconds=100, per_s=2)
    client = await start(recording=tmp_path / "m.jsonl.gz", speed=speed)
    async with connect(f"ws://127.0.0.1:{client.port}/ws/market", close_timeout=0.1) as stream:
        started = asyncio.get_running_loop().time()
        await stream.send('{"type":"subscribe","symbols":["BTC-USDT"]}')
        market = await finished(client)
        elapsed = asyncio.get_running_loop().time() - started
    assert market == {"source": "recording:m.jsonl.gz", "started": True, "finished": True, "events": count}
    assert seconds_at_least <= elapsed
    book = (await client.http.get("/api/v1/book/BTC-USDT")).json()
    assert book["bids"][0][0] == "60001.99"
    assert (await client.http.get("/api/v1/book/ETH-USDT")).json()["bids"]


async def test_a_recording_waits_for_whom_it_is_played(start: Callable[..., Awaitable[Any]], tmp_path: Path) -> None:
    make_recording(tmp_path / "m.jsonl", seconds=1, per_s=10)
    client = await start(recording=tmp_path / "m.jsonl", speed="0")
    market = (await client.http.get("/api/v1/time")).json()["market"]
    assert (market["started"], market["finished"], market["events"]) == (False, False, 0)
