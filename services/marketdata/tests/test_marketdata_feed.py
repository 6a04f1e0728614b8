"""What market data says, given what it was told."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate_contracts.codec import decode, encode
from tollgate_contracts.envelope import Message
from tollgate_contracts.market import (
    BarLine,
    ConnectedFrame,
    Frame,
    Frames,
    HeartbeatFrame,
    InstrumentLine,
    LostFrame,
    QuoteLine,
    SpeakFrame,
    StartFrame,
    TickFrame,
    TradeLine,
)
from tollgate_contracts.marketdata import Bar, Clock, Feed, FeedState, Instrument, InstrumentStatus, Quote, SymbolQuote
from tollgate_contracts.strategy import Side
from tollgate_marketdata.core import FeedCore

SECOND_US = 1_000_000
SYMBOLS = ("BTC-USDT", "ETH-USDT")
START = StartFrame(ts_us=0, venue="simulated", symbols=SYMBOLS, epoch=41, cycle_id=9, stale_after_us=3 * SECOND_US)


def feed_core() -> FeedCore:
    return FeedCore("main", "r1", START)


def quote(number: int, symbol: str = "BTC-USDT", bid: int = 100, ts_us: int = 10) -> QuoteLine:
    line = SymbolQuote(
        symbol=symbol,
        bid=Decimal(bid),
        bid_quantity=Decimal(1),
        ask=Decimal(bid + 1),
        ask_quantity=Decimal(1),
        venue_ts_us=ts_us,
        venue_sequence=number,
    )
    return QuoteLine(ts_us=ts_us, quote=line)


def instrument(ts_us: int, tick: str = "0.01", valid_us: int = 60 * SECOND_US) -> InstrumentLine:
    return InstrumentLine(
        ts_us=ts_us,
        symbol="BTC-USDT",
        base="BTC",
        quote="USDT",
        tick=Decimal(tick),
        step=Decimal("0.001"),
        min_quantity=Decimal("0.001"),
        min_notional=Decimal(5),
        status=InstrumentStatus.OPEN,
        valid_until_us=ts_us + valid_us,
    )


def connected(ts_us: int = 1) -> ConnectedFrame:
    return ConnectedFrame(ts_us=ts_us)


def lost(gap: bool, ts_us: int = 20) -> LostFrame:
    return LostFrame(ts_us=ts_us, gap=gap, detail="closed")


def speak(ts_us: int = 50) -> SpeakFrame:
    return SpeakFrame(ts_us=ts_us)


def tick(ts_us: int) -> TickFrame:
    return TickFrame(ts_us=ts_us)


def said(core: FeedCore, *frames: Frame) -> list[Message]:
    return [message for frame in frames for message in core.take(frame)]


def states(messages: list[Message]) -> list[str]:
    return [message.state.value for message in messages if isinstance(message, Feed)]


def test_of_each_symbol_only_the_newest_quote_is_said_in_the_order_of_the_universe():
    core = feed_core()
    messages = said(core, quote(1, "ETH-USDT", 7), quote(2), quote(3, bid=101), speak())
    [spoken] = [message for message in messages if isinstance(message, Quote)]
    assert [(line.symbol, line.bid) for line in spoken.quotes] == [("BTC-USDT", 101), ("ETH-USDT", 7)]
    assert said(core, speak()) == []


def test_a_quote_older_than_the_last_one_is_not_said():
    core = feed_core()
    messages = said(core, quote(5, bid=105), quote(4, bid=104), speak())
    assert [line.bid for message in messages if isinstance(message, Quote) for line in message.quotes] == [105]


def test_a_symbol_outside_the_universe_is_not_said():
    assert said(feed_core(), quote(1, "DOGE-USDT"), speak()) == []


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([connected(), quote(1)], ["UP"]),
        ([connected(), quote(1), quote(2)], ["UP"]),
        ([connected(), quote(1), lost(gap=True), connected(), quote(2)], ["UP", "GAP", "RECOVERED", "UP"]),
        ([connected(), quote(1), lost(gap=False), connected(), quote(1)], ["UP", "STALE", "RECOVERED", "UP"]),
        ([connected(), lost(gap=False), lost(gap=False)], ["STALE"]),
        ([quote(1, ts_us=10), tick(3 * SECOND_US)], ["UP"]),
        ([quote(1, ts_us=10), tick(3 * SECOND_US + 11)], ["UP", "STALE"]),
        ([quote(1, ts_us=10), HeartbeatFrame(ts_us=2 * SECOND_US), tick(4 * SECOND_US)], ["UP"]),
        ([quote(1, ts_us=10), tick(4 * SECOND_US), quote(2, ts_us=5 * SECOND_US)], ["UP", "STALE", "UP"]),
        ([tick(10 * SECOND_US)], []),
    ],
)
def test_the_feed_turns_by_its_table(frames: list[Frame], expected: list[str]):
    assert states(said(feed_core(), *frames)) == expected


def test_what_was_not_said_when_the_feed_was_lost_is_never_said():
    core = feed_core()
    said(core, connected(), quote(1), lost(gap=True))
    assert not core.has_waiting_quotes
    assert core.feed is FeedState.GAP


def test_the_clock_goes_on_from_the_tapes_last_cycle():
    messages = said(feed_core(), tick(1), tick(2))
    assert [message.cycle_id for message in messages if isinstance(message, Clock)] == [10, 11]


def test_metadata_is_said_when_it_is_new_changed_or_half_run_out():
    core = feed_core()
    assert len(said(core, instrument(0))) == 1
    assert said(core, instrument(10 * SECOND_US)) == []
    assert len(said(core, instrument(11 * SECOND_US, tick="0.1"))) == 1
    again = said(core, instrument(42 * SECOND_US, tick="0.1"))
    assert [message.valid_until_us for message in again if isinstance(message, Instrument)] == [102 * SECOND_US]


def test_bars_pass_with_their_source_and_trades_are_recorded_only():
    bar = BarLine(
        ts_us=5, symbol="BTC-USDT", open_us=0, interval_us=60, open=Decimal(1), high=Decimal(2), low=Decimal(1),
        close=Decimal(2), volume=Decimal(3), trades=4,
    )  # fmt: skip
    trade = TradeLine(
        ts_us=5,
        symbol="BTC-USDT",
        trade_id="1",
        price=Decimal(1),
        quantity=Decimal(1),
        aggressor=Side.BUY,
        venue_ts_us=5,
    )
    [message] = said(feed_core(), trade, bar)
    assert isinstance(message, Bar)
    assert (message.source, message.quality, message.trades) == ("VENUE", "COMPLETE", 4)


def test_ids_rise_within_the_epoch_and_messages_are_the_vocabularys():
    messages = said(feed_core(), tick(1), connected(), quote(1), speak())
    assert [message.id for message in messages] == [f"marketdata:simulated:41.{n}" for n in range(1, len(messages) + 1)]
    assert all(encode(decode(encode(message))) == encode(message) for message in messages)


FRAMES = st.one_of(
    st.builds(quote, st.integers(0, 50), st.sampled_from([*SYMBOLS, "DOGE-USDT"]), st.integers(1, 10**6)),
    st.builds(tick, st.integers(0, 20 * SECOND_US)),
    st.builds(lost, st.booleans()),
    st.just(connected()),
    st.just(speak()),
)


@given(st.lists(FRAMES, max_size=60))
def test_the_recorded_frames_say_the_same_again(frames: list[Frame]):
    """The MARKET stream's own bytes are enough to derive every message."""
    first = [encode(message) for message in said(feed_core(), *frames)]
    if not frames:
        return
    recorded = Frames(desk="main", run_id="r1", epoch=41, first=1, frames=tuple(frames)).model_dump_json()
    again = said(feed_core(), *Frames.model_validate_json(recorded).frames)
    assert [encode(message) for message in again] == first
