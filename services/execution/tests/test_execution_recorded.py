"""A recording of a venue, and what a replay of it says and does not say."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from tollgate_contracts.execution import Liquidity, ReportSource, ReportStatus, VenueTrade
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Balance, MovementType, VenuePosition
from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_execution.venues.manners import CAPABILITIES, Manner
from tollgate_execution.venues.recorded import BadRecording, RecordingVenue, ReplayedVenue
from tollgate_venues.adapter import Capabilities, OrderReference, UserStreamLost, VenueOrder, VenueUnavailable
from tollgate_venues.evidence import (
    AccountEvidence,
    Evidence,
    Failure,
    FillEvidence,
    FillPage,
    MovementEvidence,
    MovementPage,
    OrderPage,
)

SMALL = Decimal("0.000000000000000001")
TRADE = VenueTrade(
    trade_id="1-7",
    price=Decimal("12345678901234567890.123456789012345678"),
    quantity=SMALL,
    fee=-SMALL,
    fee_currency="USDT",
    liquidity=Liquidity.MAKER,
    venue_ts_us=5,
)
ORDER = VenueOrder(
    client_order_id="tg-1",
    symbol="ETH-USDT",
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    quantity=Decimal("0.5"),
    limit_price=Decimal(1000),
    time_in_force=TimeInForce.GTC,
    post_only=False,
    reduce_only=False,
)
REFERENCE = OrderReference("tg-1", "ETH-USDT", None, 1)
OPEN = Evidence("tg-1", ReportSource.QUERY, ReportStatus.OPEN, "v-1", Decimal(0), venue_ts_us=4)
FILLED = replace(OPEN, status=ReportStatus.FILLED, cumulative_quantity=SMALL, trades=(TRADE,), busted=("1-6",))


class TalkativeVenue:
    """A venue that has an answer of every shape."""

    def __init__(self) -> None:
        self.queries = iter((OPEN, FILLED))
        self.may_go_on = asyncio.Event()

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES[Manner.BTCTURK]

    async def connect(self) -> None:
        return

    async def close(self) -> None:
        return

    async def submit(self, order: VenueOrder) -> Evidence:
        said = Evidence(order.client_order_id, ReportSource.SUBMIT, ReportStatus.REJECTED)
        limited = {"failure": Failure.RATE_LIMITED, "retry_after_us": 2_000_000}
        return replace(said, reason=Reason.VENUE_RATE_LIMITED, detail="zu schnell \u2603", **limited)

    async def cancel(self, reference: OrderReference) -> Evidence:
        return Evidence(reference.client_order_id, ReportSource.CANCEL, ReportStatus.ABSENT)

    async def query(self, reference: OrderReference) -> Evidence:
        return next(self.queries)

    async def open_orders(self) -> list[Evidence]:
        return [OPEN, FILLED]

    async def recent_orders(self, since_us: int) -> OrderPage:
        return OrderPage((FILLED,), is_complete=False)

    async def fills_since(self, cursor: str) -> FillPage:
        fill = FillEvidence("tg-1", "ETH-USDT", Side.BUY, TRADE, venue_order_id="v-1")
        return FillPage((fill, replace(fill, trade=None, busts="1-7")), f"{cursor}+2", is_last=False)

    async def movements_since(self, cursor: str) -> MovementPage:
        moved = MovementEvidence("m-1", MovementType.FUNDING, "USDT", -SMALL, "BTC-USDT", 3)
        return MovementPage((moved,), "7", is_last=True)

    async def account(self) -> AccountEvidence:
        balance = Balance(currency="USDT", free=TRADE.price, locked=SMALL)
        position = VenuePosition(
            symbol="BTC-USDT", quantity=-SMALL, entry_price=Decimal(60_000), liquidation_price=None
        )
        return AccountEvidence((balance,), -SMALL, Decimal(20), 9, (position,))

    async def user_stream(self, listening: asyncio.Event | None = None) -> AsyncIterator[Evidence]:
        assert listening is not None
        listening.set()
        yield replace(OPEN, source=ReportSource.STREAM)
        await self.may_go_on.wait()
        yield replace(FILLED, source=ReportSource.STREAM)
        raise UserStreamLost("gap: frame 3 was expected, 4 came")


class SilentVenue(TalkativeVenue):
    """A venue whose account cannot be asked for."""

    async def account(self) -> AccountEvidence:
        raise VenueUnavailable("banned", Failure.BANNED, 60_000_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "recording.jsonl"


async def test_every_answer_comes_back_as_it_was_to_the_last_digit(path: Path) -> None:
    venue, talkative = RecordingVenue(TalkativeVenue(), path), TalkativeVenue()
    said = [
        await venue.submit(ORDER),
        await venue.cancel(REFERENCE),
        await venue.query(REFERENCE),
        await venue.query(REFERENCE),
        await venue.open_orders(),
        await venue.recent_orders(3),
        await venue.fills_since("a"),
        await venue.movements_since(""),
        await venue.account(),
    ]
    await venue.close()
    replayed = ReplayedVenue(path)
    assert said == [
        await replayed.submit(ORDER),
        await replayed.cancel(REFERENCE),
        await replayed.query(REFERENCE),
        await replayed.query(replace(REFERENCE, venue_order_id="v-1", placed_us=8)),
        await replayed.open_orders(),
        await replayed.recent_orders(99),
        await replayed.fills_since("a"),
        await replayed.movements_since(""),
        await replayed.account(),
    ]
    assert replayed.capabilities == talkative.capabilities


async def test_what_was_never_recorded_is_no_answer(path: Path) -> None:
    """Another order, an order of another quantity, one look-up too many: the replay invents nothing."""
    venue = RecordingVenue(TalkativeVenue(), path)
    await venue.submit(ORDER)
    await venue.fills_since("a")
    await venue.close()
    replayed = ReplayedVenue(path)
    unknown = (ReportStatus.NO_ANSWER, Failure.NO_ANSWER, Reason.VENUE_UNKNOWN_OUTCOME)
    for said in (
        await replayed.submit(replace(ORDER, quantity=Decimal("0.6"))),
        await replayed.query(REFERENCE),
        await replayed.cancel(REFERENCE),
    ):
        assert (said.status, said.failure, said.reason) == unknown
    assert (await replayed.submit(ORDER)).status is ReportStatus.REJECTED
    assert (await replayed.submit(ORDER)).status is ReportStatus.NO_ANSWER
    for question in (replayed.account(), replayed.fills_since("b"), replayed.open_orders()):
        with pytest.raises(VenueUnavailable, match="never recorded"):
            await question
    with pytest.raises(UserStreamLost, match="no such connection was recorded"):
        await anext(aiter(replayed.user_stream()))


async def test_a_question_that_failed_fails_again_in_the_same_way(path: Path) -> None:
    venue = RecordingVenue(SilentVenue(), path)
    for asked in (venue, None):
        with pytest.raises(VenueUnavailable, match="banned") as unavailable:
            await (asked or ReplayedVenue(path)).account()
        assert (unavailable.value.failure, unavailable.value.retry_after_us) == (Failure.BANNED, 60_000_000)


async def test_a_frame_does_not_come_before_the_calls_that_were_made_before_it(path: Path) -> None:
    """What followed from a call must not be there before it; and the connection ends as it ended."""
    talkative = TalkativeVenue()
    venue, accepted = RecordingVenue(talkative, path), asyncio.Event()
    stream = aiter(venue.user_stream(accepted))
    recorded = [await anext(stream)]
    await venue.query(REFERENCE)
    talkative.may_go_on.set()
    recorded.append(await anext(stream))
    with pytest.raises(UserStreamLost, match="gap"):
        await anext(stream)
    await venue.close()

    replayed, accepted = ReplayedVenue(path), asyncio.Event()
    stream = aiter(replayed.user_stream(accepted))
    assert await anext(stream) == recorded[0]
    assert accepted.is_set()
    second = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    assert not second.done()
    await replayed.query(REFERENCE)
    assert await second == recorded[1]
    with pytest.raises(UserStreamLost, match="gap: frame 3 was expected, 4 came"):
        await anext(stream)


async def test_a_stream_whose_reader_left_stays_up_until_the_replay_ends(path: Path) -> None:
    venue = RecordingVenue(TalkativeVenue(), path)
    stream = venue.user_stream()
    await anext(stream)
    await stream.aclose()
    await venue.close()
    replayed = ReplayedVenue(path)
    again = aiter(replayed.user_stream())
    await anext(again)
    waiting = asyncio.ensure_future(anext(again))
    await asyncio.sleep(0)
    assert not waiting.done()
    await replayed.close()
    with pytest.raises(UserStreamLost, match="closed"):
        await waiting


async def test_a_recording_that_is_full_says_so_and_passes_on(path: Path) -> None:
    venue = RecordingVenue(TalkativeVenue(), path, bytes_max=2_000)
    for _ in range(20):
        assert len(await venue.open_orders()) == 2
    await venue.close()
    text = content(path)
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(text) < 2_100
    assert not venue.is_recording
    assert [line for line in lines if line.get("full")] == lines[-1:]
    assert await ReplayedVenue(path).open_orders() == [OPEN, FILLED]


async def test_a_disk_that_is_full_costs_the_recording_and_not_the_answer() -> None:
    venue = RecordingVenue(TalkativeVenue(), Path("/dev/full"))
    assert (await venue.submit(ORDER)).status is ReportStatus.REJECTED
    assert not venue.is_recording
    await venue.close()


def content(path: Path) -> str:
    return path.read_text()


def cut(path: Path) -> None:
    path.write_text(content(path)[:-20])


async def test_a_last_line_that_a_crash_cut_off_is_left_out(path: Path) -> None:
    venue = RecordingVenue(TalkativeVenue(), path)
    await venue.account()
    await venue.open_orders()
    cut(path)
    replayed = ReplayedVenue(path)
    assert (await replayed.account()).balances[0].locked == SMALL
    with pytest.raises(VenueUnavailable):
        await replayed.open_orders()


@pytest.mark.parametrize("text", ["", "\n", "nonsense\n", '{"capabilities":{}}\n', "[]\n", "7\n"])
def test_what_is_no_recording_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(BadRecording):
        ReplayedVenue(path)
