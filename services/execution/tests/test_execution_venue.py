"""The private client: against the real exchange, and against a venue that fails in every way."""

import asyncio
import contextlib
import importlib.util
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from execution_venue_world import KEY, exchange_process

from tollgate_contracts.execution import Liquidity, ReportSource, ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_execution.venues.manners import Manner
from tollgate_execution.venues.simulated import SimulatedVenue, VenueKey
from tollgate_venues.adapter import OrderReference, UserStreamLost, VenueOrder, VenueUnavailable
from tollgate_venues.evidence import Evidence, Failure

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
        "reduce_only": False,
        **changes,
    }
    return VenueOrder(**fields)


def named(placed: VenueOrder) -> OrderReference:
    """What is known of an order that the venue has not answered about."""
    return OrderReference(placed.client_order_id, placed.symbol, None, 0)


SOME = OrderReference("tg-1", "ETH-USDT", None, 0)
TAKING = {"limit_price": Decimal(9000), "time_in_force": TimeInForce.IOC}


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[str]:
    """The real exchange as a process, with a market in every symbol."""
    if importlib.util.find_spec("tollgate_simvenue") is None:
        pytest.skip("tollgate-simvenue is not installed here")
    with exchange_process(tmp_path, Manner.TOLLGATE, TOLLGATE_SIMVENUE__ORDERS_PER_S_MAX="50") as running:
        yield running.url


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
    asked = await venue.query(named(placed))
    assert (asked.source, asked.status) == (ReportSource.QUERY, ReportStatus.OPEN)
    cancelled = await venue.cancel(named(placed))
    assert (cancelled.source, cancelled.status) == (ReportSource.CANCEL, ReportStatus.CANCELLED)
    assert await venue.open_orders() == []


async def test_an_order_that_takes_comes_back_with_its_trades(venue: SimulatedVenue) -> None:
    placed = order(**TAKING)
    evidence = await venue.submit(placed)
    assert (evidence.status, evidence.cumulative_quantity) == (ReportStatus.FILLED, Decimal("0.5"))
    assert sum(trade.quantity for trade in evidence.trades) == Decimal("0.5")
    assert {trade.liquidity for trade in evidence.trades} == {Liquidity.TAKER}
    page = await venue.fills_since("")
    fills = page.fills
    assert tuple(fill.trade for fill in fills) == evidence.trades
    assert {fill.client_order_id for fill in fills} == {placed.client_order_id}
    assert (await venue.fills_since(page.cursor)).fills == ()
    asked = await venue.query(named(placed))
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
    absent = named(order())
    for evidence in (await venue.query(absent), await venue.cancel(absent)):
        assert (evidence.status, evidence.venue_order_id) == (ReportStatus.ABSENT, None)


async def test_a_second_submit_of_the_same_id_is_not_a_rejection(venue: SimulatedVenue) -> None:
    """An order of this id is alive: calling the second one rejected would free what the first one holds."""
    placed = order()
    await venue.submit(placed)
    again = await venue.submit(placed)
    assert (again.status, again.reason) == (ReportStatus.NO_ANSWER, Reason.VENUE_UNKNOWN_OUTCOME)
    assert "DUPLICATE_CLIENT_ORDER_ID" in again.detail
    assert (await venue.query(named(placed))).status is ReportStatus.OPEN


async def test_sending_too_fast_is_a_rejection_because_the_venue_says_so(venue: SimulatedVenue) -> None:
    evidence = [await venue.submit(order(symbol="NO-SUCH")) for _ in range(120)]
    limited = [each for each in evidence if each.reason is Reason.VENUE_RATE_LIMITED]
    assert {(each.status, each.failure) for each in limited} == {(ReportStatus.REJECTED, Failure.RATE_LIMITED)}


async def test_a_wrong_key_is_refused_everywhere(exchange: str) -> None:
    stranger = SimulatedVenue(exchange, VenueKey(KEY.api_key, b"n" * 32))
    evidence = await stranger.submit(order())
    assert (evidence.status, evidence.reason) == (ReportStatus.REJECTED, Reason.VENUE_REJECTED)
    assert "BAD_SIGNATURE" in evidence.detail
    assert evidence.failure is Failure.UNAUTHORIZED
    assert (await stranger.query(named(order()))).status is ReportStatus.NO_ANSWER
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
        await venue.cancel(named(resting))
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
async def failing_venue(answer: bytes, *, hang: bool = False, **client_settings: Any) -> AsyncIterator[SimulatedVenue]:
    """A client of a venue that reads each request, says ``answer``, and then closes or hangs."""
    held: list[asyncio.StreamWriter] = []

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        held.append(writer)
        if not hang:
            writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    client = SimulatedVenue(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", KEY, **client_settings)
    try:
        yield client
    finally:
        await client.close()
        server.close()
        for writer in held:
            writer.close()


def http(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


OTHER = b'{"client_order_id":"other","venue_order_id":"1","status":"OPEN","cumulative_quantity":"0","venue_ts_us":1}'
SAID = b'{"code":"%s","message":"x","field":null}'
UNKNOWN_OUTCOMES = {
    "no answer at all": (b"", Failure.NO_ANSWER),
    "half an answer": (b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{", Failure.NO_ANSWER),
    "not http": (b"nonsense\r\n\r\n", Failure.NO_ANSWER),
    "500": (http("500 Internal Server Error", SAID % b"INTERNAL"), Failure.NO_ANSWER),
    "503": (http("503 Service Unavailable", b""), Failure.NO_ANSWER),
    "maintenance": (http("503 Service Unavailable", SAID % b"MAINTENANCE"), Failure.MAINTENANCE),
    "408": (http("408 Request Timeout", SAID % b"TIMEOUT"), Failure.NO_ANSWER),
    "a proxy's 403": (http("403 Forbidden", b"<html>blocked</html>"), Failure.UNAUTHORIZED),
    "a proxy's 429": (http("429 Too Many Requests", b"<html>slowly</html>"), Failure.RATE_LIMITED),
    "a proxy's 404": (http("404 Not Found", b"<html>nothing here</html>"), Failure.UNREADABLE),
    "a redirect": (http("302 Found", b""), Failure.UNREADABLE),
    "200 without json": (http("200 OK", b"OK"), Failure.UNREADABLE),
    "200 with half the json": (http("200 OK", b'{"client_order_id":"tg'), Failure.UNREADABLE),
    "200 of another order": (http("200 OK", OTHER), Failure.UNREADABLE),
    "200 with a status that we do not know": (http("200 OK", OTHER.replace(b"OPEN", b"SLEEPING")), Failure.UNREADABLE),
    "200 without end": (http("200 OK", b"[" + b" " * 5_000_000), Failure.UNREADABLE),
}


@pytest.mark.parametrize(("answer", "failure"), UNKNOWN_OUTCOMES.values(), ids=UNKNOWN_OUTCOMES)
async def test_whatever_does_not_tell_the_outcome_is_no_answer(answer: bytes, failure: Failure) -> None:
    """Never an exception, and never a rejection: the order may well be alive."""
    async with failing_venue(answer) as client:
        for call in (client.submit(order()), client.cancel(SOME), client.query(SOME)):
            evidence = await call
            assert (evidence.status, evidence.reason) == (ReportStatus.NO_ANSWER, Reason.VENUE_UNKNOWN_OUTCOME)
            assert (evidence.failure, bool(evidence.detail)) == (failure, True)
        for question in (client.account(), client.fills_since(""), client.open_orders()):
            with pytest.raises(VenueUnavailable) as unavailable:
                await question
            assert unavailable.value.failure is failure


REFUSALS = [
    ("422 Unprocessable Entity", "INSTRUMENT_NOT_OPEN", Reason.VENUE_NOT_OPEN, Failure.REFUSED),
    ("422 Unprocessable Entity", "INSUFFICIENT_BALANCE", Reason.CASH_INSUFFICIENT, Failure.REFUSED),
    ("422 Unprocessable Entity", "PRICE_OFF_TICK", Reason.VENUE_REJECTED, Failure.REFUSED),
    ("422 Unprocessable Entity", "POST_ONLY_WOULD_TAKE", Reason.PRICE_CROSSED_POST_ONLY, Failure.REFUSED),
    ("200 OK", "101204", Reason.VENUE_REJECTED, Failure.REFUSED),
    ("429 Too Many Requests", "RATE_LIMITED", Reason.VENUE_RATE_LIMITED, Failure.RATE_LIMITED),
    ("418 I'm a teapot", "BANNED", Reason.VENUE_RATE_LIMITED, Failure.BANNED),
    ("401 Unauthorized", "UNKNOWN_API_KEY", Reason.VENUE_REJECTED, Failure.UNAUTHORIZED),
    ("400 Bad Request", "TIMESTAMP_TOO_OLD", Reason.VENUE_REJECTED, Failure.OUT_OF_TIME),
]


@pytest.mark.parametrize(("status", "code", "reason", "failure"), REFUSALS)
async def test_a_refusal_in_the_venues_own_words_is_a_rejection_of_a_submit_and_of_nothing_else(
    status: str, code: str, reason: Reason, failure: Failure
) -> None:
    """A cancel or a look-up that was refused says nothing of the order, under whichever status it comes."""
    async with failing_venue(http(status, SAID % code.encode())) as client:
        said = await client.submit(order())
        assert (said.status, said.reason, said.failure) == (ReportStatus.REJECTED, reason, failure)
        for evidence in (await client.cancel(SOME), await client.query(SOME)):
            assert (evidence.status, evidence.failure) == (ReportStatus.NO_ANSWER, failure)


@pytest.mark.parametrize(("status", "code"), [("409 Conflict", "DUPLICATE_CLIENT_ORDER_ID"), ("200 OK", "101481")])
async def test_a_duplicate_is_no_rejection_in_any_manner(status: str, code: str) -> None:
    async with failing_venue(http(status, SAID % code.encode())) as client:
        said = await client.submit(order())
        assert (said.status, said.failure) == (ReportStatus.NO_ANSWER, Failure.REFUSED)


async def test_a_look_up_that_the_venue_does_not_offer_is_not_an_absent_order() -> None:
    async with failing_venue(http("404 Not Found", SAID % b"NOT_SUPPORTED")) as client:
        for evidence in (await client.cancel(SOME), await client.query(SOME)):
            assert (evidence.status, evidence.failure) == (ReportStatus.NO_ANSWER, Failure.REFUSED)


async def test_a_date_to_wait_for_is_a_wait_from_now() -> None:
    """By the clock that the requests are signed by."""
    answer = http("429 Too Many Requests", SAID % b"RATE_LIMITED")
    dated = answer.replace(b"\r\n\r\n", b"\r\nretry-after: Thu, 01 Jan 1970 00:01:40 GMT\r\n\r\n", 1)
    async with failing_venue(dated, now_us=lambda: 90_000_000) as client:
        assert (await client.submit(order())).retry_after_us == 10_000_000
        with pytest.raises(VenueUnavailable) as unavailable:
            await client.account()
        assert unavailable.value.retry_after_us == 10_000_000


async def test_a_client_that_is_closed_sends_nothing_and_says_so() -> None:
    client = SimulatedVenue("http://127.0.0.1:1", KEY)
    await client.close()
    assert "not sent" in (await client.submit(order())).detail


async def test_an_amount_leaves_as_it_is_to_the_eighteenth_place() -> None:
    """In plain notation, and only with the fields that the order has."""
    sent: list[bytes] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent.append(await reader.readuntil(b"}"))
        writer.close()

    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    client = SimulatedVenue(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", KEY)
    big = Decimal("12345678901234567890.123456789012345678")
    await client.submit(order(quantity=Decimal("1E-18"), limit_price=big, trigger_price=Decimal("1E+3")))
    await client.submit(order(quantity=Decimal("0.50")))
    bodies = [json.loads(each.split(b"\r\n\r\n")[1]) for each in sent]
    assert [body["quantity"] for body in bodies] == ["0.000000000000000001", "0.5"]
    assert (bodies[0]["limit_price"], bodies[0]["trigger_price"]) == (str(big), "1000")
    assert "trigger_price" not in bodies[1]
    await client.close()
    server.close()


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
