"""The private client: against the real exchange, and against a venue that fails in every way."""

import asyncio
import contextlib
import importlib.util
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket

from tollgate_contracts.execution import Liquidity, ReportSource, ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_execution.venue import SimulatedVenue, UserStreamLost, VenueKey, VenueOrder, VenueUnavailable
from tollgate_venues.evidence import Evidence

KEY = VenueKey("k" * 32, b"s" * 32)
_numbers = count(1)


def order(**changes: Any) -> VenueOrder:
    """An order far from the market, under an id of its own."""
    fields: dict[str, Any] = {
        "client_order_id": f"tg{next(_numbers):030x}",
        "symbol": "ETH-USDT",
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "quantity": Decimal("0.5"),
        "limit_price": Decimal(1000),
        "time_in_force": TimeInForce.GTC,
        "post_only": False,
        **changes,
    }
    return VenueOrder(**fields)


TAKING = {"limit_price": Decimal(9000), "time_in_force": TimeInForce.IOC}


@pytest.fixture
async def exchange(tmp_path: Path) -> AsyncIterator[str]:
    """The real exchange as a process, with a market in every symbol."""
    if importlib.util.find_spec("tollgate_simvenue") is None:
        pytest.skip("tollgate-simvenue is not installed here")
    (tmp_path / "venue_api_key").write_text(KEY.api_key)
    (tmp_path / "venue_api_secret").write_bytes(KEY.secret)
    environment = {
        "TOLLGATE_STATE_DIR": str(tmp_path),
        "TOLLGATE_SECRETS_DIR": str(tmp_path),
        "TOLLGATE_PORTS__SIMVENUE": "0",
        "TOLLGATE_SIMVENUE__QUOTES_PER_S": "200",
        "TOLLGATE_SIMVENUE__ORDERS_PER_S_MAX": "50",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tollgate_simvenue", env={**os.environ, **environment}, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    address = f"http://127.0.0.1:{json.loads(await process.stderr.readline())['port']}"
    await asyncio.sleep(0.2)  # at 200 quotes a second every symbol has its market within 25 ms
    yield address
    process.kill()
    await process.wait()


@pytest.fixture
async def venue(exchange: str) -> AsyncIterator[SimulatedVenue]:
    """A connected client."""
    client = SimulatedVenue(exchange, KEY)
    await client.connect()
    yield client
    await client.close()


async def test_a_resting_order_is_open_until_it_is_cancelled(venue: SimulatedVenue) -> None:
    placed = order()
    evidence = await venue.submit(placed)
    assert (evidence.source, evidence.status) == (ReportSource.SUBMIT, ReportStatus.OPEN)
    assert (evidence.client_order_id, evidence.cumulative_quantity) == (placed.client_order_id, Decimal(0))
    assert evidence.venue_order_id
    assert evidence.venue_ts_us
    assert [each.client_order_id for each in await venue.open_orders()] == [placed.client_order_id]
    asked = await venue.query(placed.client_order_id)
    assert (asked.source, asked.status) == (ReportSource.QUERY, ReportStatus.OPEN)
    cancelled = await venue.cancel(placed.client_order_id)
    assert (cancelled.source, cancelled.status) == (ReportSource.CANCEL, ReportStatus.CANCELLED)
    assert await venue.open_orders() == []


async def test_an_order_that_takes_comes_back_with_its_trades(venue: SimulatedVenue) -> None:
    placed = order(**TAKING)
    evidence = await venue.submit(placed)
    assert (evidence.status, evidence.cumulative_quantity) == (ReportStatus.FILLED, Decimal("0.5"))
    assert sum(trade.quantity for trade in evidence.trades) == Decimal("0.5")
    assert {trade.liquidity for trade in evidence.trades} == {Liquidity.TAKER}
    fills = await venue.fills_since(0)
    assert tuple(fill.trade for fill in fills) == evidence.trades
    assert {fill.client_order_id for fill in fills} == {placed.client_order_id}
    assert await venue.fills_since(fills[-1].fill_sequence) == []
    asked = await venue.query(placed.client_order_id)
    assert (asked.trades, asked.status) == (evidence.trades, evidence.status)


async def test_the_account_is_what_the_trades_have_made_of_it(venue: SimulatedVenue) -> None:
    before = await venue.account()
    assert [(each.currency, each.free, each.locked) for each in before.balances] == [
        ("USDT", Decimal(100_000), Decimal(0))
    ]
    assert (before.maker_fee_bps, before.taker_fee_bps) == (Decimal(10), Decimal(20))
    evidence = await venue.submit(order(**TAKING))
    spent = sum((trade.price * trade.quantity + trade.fee for trade in evidence.trades), Decimal(0))
    free = {each.currency: each.free for each in (await venue.account()).balances}
    assert free == {"ETH": Decimal("0.5"), "USDT": 100_000 - spent}


async def test_what_an_immediate_order_could_not_trade_is_cancelled(venue: SimulatedVenue) -> None:
    evidence = await venue.submit(order(time_in_force=TimeInForce.IOC))
    assert (evidence.status, evidence.detail, evidence.trades) == (ReportStatus.CANCELLED, "IOC_REST", ())


REJECTED: list[tuple[dict[str, Any], Reason, str]] = [
    ({"limit_price": Decimal(9000), "post_only": True}, Reason.PRICE_CROSSED_POST_ONLY, "POST_ONLY_WOULD_TAKE"),
    ({"quantity": Decimal(500)}, Reason.CASH_INSUFFICIENT, "INSUFFICIENT_BALANCE"),
    ({"symbol": "NO-SUCH"}, Reason.VENUE_REJECTED, "UNKNOWN_SYMBOL"),
    ({"limit_price": Decimal("1000.001")}, Reason.VENUE_REJECTED, "PRICE_OFF_TICK"),
    ({"quantity": Decimal(-1)}, Reason.VENUE_REJECTED, "NOT_POSITIVE"),
    ({"quantity": Decimal("0.0001")}, Reason.VENUE_REJECTED, "BELOW_MIN_NOTIONAL"),
]


@pytest.mark.parametrize(("changes", "reason", "detail"), REJECTED)
async def test_a_rejection_says_why(
    venue: SimulatedVenue, changes: dict[str, Any], reason: Reason, detail: str
) -> None:
    evidence = await venue.submit(order(**changes))
    assert (evidence.status, evidence.reason) == (ReportStatus.REJECTED, reason)
    assert detail in evidence.detail


async def test_an_order_that_nobody_placed_is_absent(venue: SimulatedVenue) -> None:
    absent = order().client_order_id
    for evidence in (await venue.query(absent), await venue.cancel(absent)):
        assert (evidence.status, evidence.venue_order_id) == (ReportStatus.ABSENT, None)


async def test_a_second_submit_of_the_same_id_is_not_a_rejection(venue: SimulatedVenue) -> None:
    """An order of this id is alive: calling the second one rejected would free what the first one holds."""
    placed = order()
    await venue.submit(placed)
    again = await venue.submit(placed)
    assert (again.status, again.reason) == (ReportStatus.NO_ANSWER, Reason.VENUE_UNKNOWN_OUTCOME)
    assert "DUPLICATE_CLIENT_ORDER_ID" in again.detail
    assert (await venue.query(placed.client_order_id)).status is ReportStatus.OPEN


async def test_sending_too_fast_is_a_rejection_because_the_venue_says_so(venue: SimulatedVenue) -> None:
    evidence = [await venue.submit(order(symbol="NO-SUCH")) for _ in range(120)]
    assert evidence[-1].status is ReportStatus.REJECTED
    assert Reason.VENUE_RATE_LIMITED in {each.reason for each in evidence}


async def test_a_wrong_key_is_refused_everywhere(exchange: str) -> None:
    stranger = SimulatedVenue(exchange, VenueKey(KEY.api_key, b"n" * 32))
    evidence = await stranger.submit(order())
    assert (evidence.status, evidence.reason) == (ReportStatus.REJECTED, Reason.VENUE_REJECTED)
    assert "BAD_SIGNATURE" in evidence.detail
    assert (await stranger.query("tg-1")).status is ReportStatus.NO_ANSWER
    with pytest.raises(VenueUnavailable, match="BAD_SIGNATURE"):
        await stranger.account()
    with pytest.raises(UserStreamLost, match="refused: BAD_SIGNATURE"):
        await anext(aiter(stranger.user_stream()))
    await stranger.close()


async def test_the_user_stream_tells_what_happens_to_orders(venue: SimulatedVenue) -> None:
    listening = asyncio.Event()
    heard: list[Evidence] = []

    async def listen() -> None:
        async for evidence in venue.user_stream(listening):
            heard.append(evidence)  # noqa: PERF401 - the test looks at the list while it grows

    task = asyncio.create_task(listen())
    async with asyncio.timeout(5):
        await listening.wait()
        resting, taking = order(), order(**TAKING)
        await venue.submit(resting)
        answer = await venue.submit(taking)
        await venue.cancel(resting.client_order_id)
        while not any(evidence.status is ReportStatus.CANCELLED for evidence in heard):
            await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert {evidence.source for evidence in heard} == {ReportSource.STREAM}
    assert [each.status for each in heard if each.client_order_id == resting.client_order_id] == ["OPEN", "CANCELLED"]
    of_taking = [evidence for evidence in heard if evidence.client_order_id == taking.client_order_id]
    assert tuple(trade for evidence in of_taking for trade in evidence.trades) == answer.trades
    assert of_taking[-1].status is ReportStatus.FILLED


async def test_a_secret_is_not_in_the_repr() -> None:
    assert "s" * 32 not in repr(KEY)


Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def failing_venue(answer: bytes, *, hang: bool = False, timeout_s: float = 2.0) -> AsyncIterator[SimulatedVenue]:
    """A client of a venue that reads each request, says ``answer``, and then closes or hangs."""
    held: list[asyncio.StreamWriter] = []

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        held.append(writer)
        if not hang:
            writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    client = SimulatedVenue(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", KEY, timeout_s=timeout_s)
    try:
        yield client
    finally:
        await client.close()
        server.close()
        for writer in held:
            writer.close()


def http(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


OTHER = b'{"client_order_id":"other","venue_order_id":"1","status":"OPEN","cumulative_quantity":"0","venue_ts_us":1}'
UNKNOWN_OUTCOMES = {
    "no answer at all": b"",
    "half an answer": b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{",
    "not http": b"nonsense\r\n\r\n",
    "500": http("500 Internal Server Error", b'{"code":"INTERNAL","message":"x","field":null}'),
    "503": http("503 Service Unavailable", b""),
    "408": http("408 Request Timeout", b'{"code":"TIMEOUT","message":"x","field":null}'),
    "a proxy's 403": http("403 Forbidden", b"<html>blocked</html>"),
    "a redirect": http("302 Found", b""),
    "200 without json": http("200 OK", b"OK"),
    "200 with half the json": http("200 OK", b'{"client_order_id":"tg'),
    "200 of another order": http("200 OK", OTHER),
    "200 with a status that we do not know": http("200 OK", OTHER.replace(b"OPEN", b"SLEEPING")),
}


@pytest.mark.parametrize("answer", UNKNOWN_OUTCOMES.values(), ids=UNKNOWN_OUTCOMES)
async def test_whatever_does_not_tell_the_outcome_is_no_answer(answer: bytes) -> None:
    """Never an exception, and never a rejection: the order may well be alive."""
    async with failing_venue(answer) as client:
        for call in (client.submit(order()), client.cancel("tg-1"), client.query("tg-1")):
            evidence = await call
            assert (evidence.status, evidence.reason) == (ReportStatus.NO_ANSWER, Reason.VENUE_UNKNOWN_OUTCOME)
            assert evidence.detail
        for question in (client.account(), client.fills_since(0), client.open_orders()):
            with pytest.raises(VenueUnavailable):
                await question


async def test_silence_ends_at_the_deadline() -> None:
    async with failing_venue(b"", hang=True, timeout_s=0.1) as client, asyncio.timeout(2):
        assert (await client.submit(order())).status is ReportStatus.NO_ANSWER
        with pytest.raises(VenueUnavailable, match="TimeoutError"):
            await client.account()


async def test_a_dripping_answer_ends_at_the_deadline_too() -> None:
    """The deadline is for the whole call, not for each byte of it."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            for byte in http("200 OK", OTHER):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    client = SimulatedVenue(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", KEY, timeout_s=0.2)
    async with asyncio.timeout(2):
        assert (await client.submit(order())).status is ReportStatus.NO_ANSWER
    server.close()


async def test_nobody_there_is_no_answer_and_connecting_does_not_raise() -> None:
    client = SimulatedVenue("http://127.0.0.1:1", KEY)
    await client.connect()
    assert (await client.submit(order())).status is ReportStatus.NO_ANSWER
    with pytest.raises(UserStreamLost, match="unreachable"):
        await anext(aiter(client.user_stream()))


def frames(*numbers: int) -> str:
    return json.dumps([{"sequence": number, "type": "heartbeat", "venue_ts_us": 1} for number in numbers])


STREAMS = [
    ([frames(1, 2), frames(4)], "gap: frame 3 was expected, 4 came"),
    (['[{"sequence":1,"type":"order"}]'], "unreadable: status: missing"),
    (['[{"sequence":1}]'], "unreadable: type: missing"),
    (["nonsense"], "unreadable: not JSON"),
    ([frames(1), None], "closed"),
    ([frames(1)], "silent: no frame for 0.2 s"),
]


@pytest.mark.parametrize(("messages", "why"), STREAMS)
async def test_a_user_stream_that_misbehaves_is_lost(messages: list[str | None], why: str) -> None:
    async def misbehave(socket: ServerConnection) -> None:
        await socket.recv()
        for message in messages:
            if message is None:
                return
            await socket.send(message)
        await socket.wait_closed()

    async with serve_websocket(misbehave, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        client = SimulatedVenue(f"http://127.0.0.1:{port}", KEY, silence_s=0.2)
        with pytest.raises(UserStreamLost, match=why):
            await anext(aiter(client.user_stream()))
