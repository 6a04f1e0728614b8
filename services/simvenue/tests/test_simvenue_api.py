"""The REST side over a real connection: what is answered, and how each bad request is refused."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from simvenue_listening import has, read, user

from tollgate_simvenue.auth import ApiKey

Start = Callable[..., Awaitable[Any]]
Build = Callable[..., dict[str, Any]]
ORDERS = "/api/v1/orders"


async def test_public_questions_are_answered_without_a_key(start: Start) -> None:
    client = await start()
    time_answer = (await client.http.get("/api/v1/time")).json()
    assert time_answer["market"]["source"] == "generator"
    assert time_answer["market"]["finished"] is False
    instruments = (await client.http.get("/api/v1/instruments")).json()["instruments"]
    assert [each["symbol"] for each in instruments][:2] == ["BTC-USDT", "ETH-USDT"]
    assert instruments[0]["tick"] == "0.01"
    assert instruments[0]["valid_until_us"] > time_answer["venue_ts_us"]
    book = (await client.http.get("/api/v1/book/ETH-USDT?levels=3")).json()
    assert len(book["bids"]) == 3
    assert float(book["bids"][0][0]) < float(book["asks"][0][0])
    for target in ("/api/v1/trades/ETH-USDT", "/api/v1/candles/ETH-USDT", "/healthz", "/readyz"):
        assert (await client.http.get(target)).status_code == 200


async def test_an_order_is_placed_queried_listed_and_cancelled(start: Start, order: Build) -> None:
    client = await start()
    placed = (await client.call("POST", ORDERS, order())).json()
    assert (placed["status"], placed["cumulative_quantity"], placed["trades"]) == ("OPEN", "0", [])
    assert 0 < placed["received_us"] <= placed["venue_ts_us"]
    assert (await client.call("GET", f"{ORDERS}/tg-1")).json() == placed
    assert (await client.call("GET", f"{ORDERS}?open=true")).json()["orders"] == [placed]
    account = (await client.call("GET", "/api/v1/account")).json()
    assert account["balances"] == [{"currency": "USDT", "free": "99499", "locked": "501"}]
    assert (account["maker_fee_bps"], account["taker_fee_bps"]) == ("10", "20")
    cancelled = (await client.call("DELETE", f"{ORDERS}/tg-1")).json()
    assert (cancelled["status"], cancelled["reason"]) == ("CANCELLED", "USER")
    again = await client.call("DELETE", f"{ORDERS}/tg-1")
    assert (again.status_code, again.json()["status"]) == (200, "CANCELLED")


async def test_an_order_that_takes_is_answered_with_its_trades(start: Start, order: Build) -> None:
    client = await start()
    filled = (await client.call("POST", ORDERS, order(limit_price="9000", time_in_force="IOC"))).json()
    assert filled["status"] == "FILLED"
    assert sum(float(trade["quantity"]) for trade in filled["trades"]) == 0.5
    fills = (await client.call("GET", "/api/v1/fills?since=0")).json()["fills"]
    assert fills == filled["trades"]
    assert (await client.call("GET", f"/api/v1/fills?since={fills[-1]['fill_sequence']}")).json()["fills"] == []


async def test_a_rejection_can_come_with_status_200(start: Start, order: Build) -> None:
    client = await start()
    crossing = (await client.call("POST", ORDERS, order(limit_price="9000", post_only=True))).json()
    assert (crossing["status"], crossing["reason"]) == ("REJECTED", "POST_ONLY_WOULD_TAKE")
    unpaid = (await client.call("POST", ORDERS, order(client_order_id="b", quantity="500"))).json()
    assert (unpaid["status"], unpaid["reason"]) == ("REJECTED", "INSUFFICIENT_BALANCE")


BAD_ORDERS: list[tuple[dict[str, Any], int, str, str]] = [
    ({"symbol": "NO-SUCH"}, 422, "UNKNOWN_SYMBOL", "symbol"),
    ({"symbol": 5}, 400, "INVALID_FIELD", "symbol"),
    ({"symbol": ...}, 400, "MISSING_FIELD", "symbol"),
    ({"client_order_id": ...}, 400, "MISSING_FIELD", "client_order_id"),
    ({"client_order_id": "no spaces"}, 400, "INVALID_FIELD", "client_order_id"),
    ({"client_order_id": "x" * 65}, 400, "INVALID_FIELD", "client_order_id"),
    ({"client_order_id": "x\n"}, 400, "INVALID_FIELD", "client_order_id"),
    ({"side": "buy"}, 400, "INVALID_FIELD", "side"),
    ({"side": []}, 400, "INVALID_FIELD", "side"),
    ({"time_in_force": "GTD"}, 400, "INVALID_FIELD", "time_in_force"),
    ({"order_type": "STOP"}, 400, "INVALID_FIELD", "order_type"),
    ({"post_only": "yes"}, 400, "INVALID_FIELD", "post_only"),
    ({"leverage": "5"}, 400, "UNKNOWN_FIELD", "leverage"),
    ({"quantity": 0.5}, 400, "NUMBER_NOT_STRING", "quantity"),
    ({"quantity": 1}, 400, "NUMBER_NOT_STRING", "quantity"),
    ({"limit_price": 1000.0}, 400, "NUMBER_NOT_STRING", "limit_price"),
    ({"quantity": "NaN"}, 400, "INVALID_NUMBER", "quantity"),
    ({"quantity": "Infinity"}, 400, "INVALID_NUMBER", "quantity"),
    ({"quantity": "1e3"}, 400, "INVALID_NUMBER", "quantity"),
    ({"quantity": "99999999999"}, 400, "INVALID_NUMBER", "quantity"),
    ({"quantity": "-0.5"}, 400, "NOT_POSITIVE", "quantity"),
    ({"quantity": "0"}, 400, "NOT_POSITIVE", "quantity"),
    ({"limit_price": "0"}, 400, "NOT_POSITIVE", "limit_price"),
    ({"quantity": "0.123456789"}, 400, "TOO_PRECISE", "quantity"),
    ({"quantity": "0.00001"}, 422, "QUANTITY_OFF_STEP", "quantity"),
    ({"limit_price": "1000.001"}, 422, "PRICE_OFF_TICK", "limit_price"),
    ({"quantity": "0.0001"}, 422, "BELOW_MIN_NOTIONAL", "quantity"),
    ({"limit_price": ...}, 400, "MISSING_FIELD", "limit_price"),
    ({"trigger_price": 5}, 400, "NUMBER_NOT_STRING", "trigger_price"),
    ({"trigger_price": "900", "post_only": True}, 422, "CONTRADICTION", "trigger_price"),
    ({"good_until_us": "5"}, 400, "INVALID_FIELD", "good_until_us"),
    ({"good_until_us": 0}, 400, "INVALID_FIELD", "good_until_us"),
    ({"good_until_us": 5}, 422, "GOOD_UNTIL_PASSED", "good_until_us"),
    ({"order_type": "MARKET", "limit_price": None}, 422, "CONTRADICTION", "time_in_force"),
    ({"time_in_force": "FOK", "post_only": True}, 422, "CONTRADICTION", "post_only"),
]


async def test_each_bad_order_has_its_own_code_and_names_the_field(start: Start, order: Build) -> None:
    client = await start()
    for changes, status, code, field in BAD_ORDERS:
        response = await client.call("POST", ORDERS, order(**changes))
        answer = response.json()
        assert (response.status_code, answer["code"], answer["field"]) == (status, code, field), changes
        assert answer["message"]
    assert (await client.call("GET", f"{ORDERS}?open=true")).json()["orders"] == []
    assert (await client.call("GET", f"{ORDERS}/tg-1")).status_code == 404


BAD_BODIES = [
    (b"", 400, "INVALID_JSON"),
    (b'{"client_order_id": "tg-1", "sy', 400, "INVALID_JSON"),
    (b"\xff\xfe", 400, "INVALID_JSON"),
    (b"[" * 4_000, 400, "INVALID_JSON"),
    (b"[]", 400, "NOT_AN_OBJECT"),
    (b'"order"', 400, "NOT_AN_OBJECT"),
    (b'{"client_order_id":"tg-1"}', 400, "MISSING_FIELD"),
    (json.dumps({"client_order_id": "x" * 5_000}).encode(), 413, "BODY_TOO_LARGE"),
]


async def test_a_body_that_is_no_order_is_refused(start: Start) -> None:
    client = await start()
    for body, status, code in BAD_BODIES:
        response = await client.call("POST", ORDERS, body)
        assert (response.status_code, response.json()["code"]) == (status, code), body[:40]


BAD_SIGNATURES: list[tuple[dict[str, Any], int, str]] = [
    ({"without": "x-api-key"}, 401, "MISSING_HEADER"),
    ({"without": "x-timestamp-us"}, 401, "MISSING_HEADER"),
    ({"without": "x-signature"}, 401, "MISSING_HEADER"),
    ({"key": ApiKey("n" * 32, b"s" * 32)}, 401, "UNKNOWN_API_KEY"),
    ({"key": ApiKey("k" * 32, b"n" * 32)}, 401, "BAD_SIGNATURE"),
    ({"signature": "0" * 64}, 401, "BAD_SIGNATURE"),
    ({"signature": "not hexadecimal"}, 401, "BAD_SIGNATURE"),
    ({"timestamp": "yesterday"}, 400, "INVALID_TIMESTAMP"),
    ({"timestamp": "-5"}, 400, "INVALID_TIMESTAMP"),
    ({"timestamp": "9" * 17}, 400, "INVALID_TIMESTAMP"),
    ({"age_us": 2_500_000}, 400, "TIMESTAMP_TOO_OLD"),
    ({"age_us": -1_500_000}, 400, "TIMESTAMP_IN_FUTURE"),
]


async def test_who_asks_and_when_is_checked_before_anything_is_read(start: Start, order: Build) -> None:
    """A late request is refused too: an order that was delayed can never become one."""
    client = await start()
    for options, status, code in BAD_SIGNATURES:
        response = await client.call("POST", ORDERS, order(), **options)
        assert (response.status_code, response.json()["code"]) == (status, code), options
    assert (await client.call("GET", f"{ORDERS}/tg-1")).json()["code"] == "UNKNOWN_ORDER"


async def test_a_signature_holds_for_its_own_method_target_and_body_only(start: Start, order: Build) -> None:
    client = await start()
    signed = (await client.call("GET", "/api/v1/fills?since=0")).request.headers
    headers = {name: signed[name] for name in ("x-api-key", "x-timestamp-us", "x-signature")}
    for method, target, body in (
        ("GET", "/api/v1/fills?since=1", b""),
        ("GET", "/api/v1/account", b""),
        ("DELETE", "/api/v1/fills?since=0", b""),
        ("GET", "/api/v1/fills?since=0", b"{}"),
    ):
        response = await client.http.request(method, target, content=body, headers=headers)
        assert response.status_code in {401, 405}


async def test_a_client_order_id_is_unique_for_ever(start: Start, order: Build) -> None:
    client = await start()
    await client.call("POST", ORDERS, order())
    await client.call("DELETE", f"{ORDERS}/tg-1")
    again = await client.call("POST", ORDERS, order())
    assert (again.status_code, again.json()["code"]) == (409, "DUPLICATE_CLIENT_ORDER_ID")


async def test_the_same_order_sent_twice_at_once_is_registered_once(start: Start, order: Build) -> None:
    client = await start()
    answers = await asyncio.gather(*(client.call("POST", ORDERS, order()) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7


async def test_too_many_orders_a_second_are_refused(start: Start, order: Build) -> None:
    client = await start(orders_per_s_max=2)
    answers = [await client.call("POST", ORDERS, order(client_order_id=f"r{number}")) for number in range(4)]
    assert [answer.status_code for answer in answers[:2]] == [200, 200]
    assert answers[3].json()["code"] == "RATE_LIMITED"
    assert answers[3].status_code == 429


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "NOT_FOUND"),
        ("PUT", "/api/v1/time", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/api/v1/book/NO-SUCH", 422, "UNKNOWN_SYMBOL"),
        ("GET", "/api/v1/book/BTC-USDT?levels=101", 400, "INVALID_FIELD"),
        ("GET", "/api/v1/book/BTC-USDT?levels=-1", 400, "INVALID_FIELD"),
        ("GET", "/api/v1/fills?since=x", 400, "INVALID_FIELD"),
        ("GET", ORDERS, 400, "MISSING_FIELD"),
        ("GET", f"{ORDERS}?since_us=x", 400, "INVALID_FIELD"),
        ("GET", f"{ORDERS}/by-venue-id/never", 404, "UNKNOWN_ORDER"),
        ("GET", "/api/v1/movements?since=x", 400, "INVALID_FIELD"),
        ("DELETE", f"{ORDERS}/never", 404, "UNKNOWN_ORDER"),
    ],
)
async def test_wrong_questions_are_answered_with_a_code(
    start: Start, method: str, target: str, status: int, code: str
) -> None:
    client = await start()
    response = await client.call(method, target)
    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_a_request_that_breaks_off_places_nothing(start: Start, order: Build) -> None:
    """The headers are right and announce the whole body; the connection ends in the middle of it."""
    client = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    body = json.dumps(order()).encode()
    writer.write(b"POST /api/v1/orders HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body[:-9])
    await writer.drain()
    writer.close()
    await reader.read()
    assert (await client.call("GET", f"{ORDERS}/tg-1")).status_code == 404


async def test_a_stop_waits_and_an_order_ends_at_its_time(start: Start, order: Build) -> None:
    client = await start()
    stop = order(side="BUY", limit_price="2000", trigger_price="9000", client_order_id="stop")
    placed = (await client.call("POST", ORDERS, stop)).json()
    assert (placed["status"], placed["trigger_price"], placed["triggered"]) == ("OPEN", "9000", False)
    client.stop_clock()
    until_us = client.clock() + 1_000
    timed = (await client.call("POST", ORDERS, order(good_until_us=until_us))).json()
    assert (timed["good_until_us"], timed["trigger_price"]) == (until_us, None)
    client.forward(1)
    ended = (await client.call("GET", f"{ORDERS}/tg-1")).json()
    assert (ended["status"], ended["reason"]) == ("EXPIRED", "GOOD_UNTIL")


async def test_an_order_that_ends_by_itself_does_so_without_being_asked_after(start: Start, order: Build) -> None:
    client = await start()
    until_us = client.clock() + 1_000_000
    await client.call("POST", ORDERS, order(good_until_us=until_us))
    async with asyncio.timeout(5):
        while (await client.call("GET", f"{ORDERS}/tg-1")).json()["status"] == "OPEN":
            await asyncio.sleep(0.01)
    assert (await client.call("GET", f"{ORDERS}/tg-1")).json()["venue_ts_us"] >= until_us


async def test_recent_orders_are_those_that_changed_since_with_their_trades(start: Start, order: Build) -> None:
    client = await start()
    filled = (
        await client.call("POST", ORDERS, order(client_order_id="f", limit_price="9000", time_in_force="IOC"))
    ).json()
    rested = (await client.call("POST", ORDERS, order())).json()
    recent = (await client.call("GET", f"{ORDERS}?since_us={filled['venue_ts_us']}")).json()
    assert (recent["orders"], recent["complete"]) == ([filled, rested], True)
    later = (await client.call("GET", f"{ORDERS}?since_us={rested['venue_ts_us'] + 1}")).json()
    assert (later["orders"], later["complete"]) == ([], True)


async def test_an_order_is_asked_after_and_cancelled_by_the_exchanges_own_id(start: Start, order: Build) -> None:
    client = await start()
    placed = (await client.call("POST", ORDERS, order())).json()
    target = f"{ORDERS}/by-venue-id/{placed['venue_order_id']}"
    assert (await client.call("GET", target)).json() == placed
    assert (await client.call("DELETE", target)).json()["status"] == "CANCELLED"


async def test_a_bust_is_a_frame_and_a_row_and_movements_are_listed(start: Start, order: Build) -> None:
    client = await start()
    stream = await user(client)
    taking = order(limit_price="9000", time_in_force="IOC")
    filled = (await client.call("POST", ORDERS, taking)).json()
    trade = filled["trades"][0]
    bust = (await client.call("POST", "/sim/v1/busts", {"trade_id": trade["trade_id"]})).json()
    assert (bust["busts"], bust["client_order_id"], bust["side"]) == (trade["trade_id"], "tg-1", "BUY")
    (frame,) = [frame for frame in await read(stream, has("bust")) if frame["type"] == "bust"]
    assert {name: frame[name] for name in ("trade_id", "client_order_id", "symbol")} == {
        "trade_id": trade["trade_id"],
        "client_order_id": "tg-1",
        "symbol": "ETH-USDT",
    }
    rows = (await client.call("GET", "/api/v1/fills?since=0")).json()["fills"]
    assert rows[-1] == bust
    after = (await client.call("GET", f"{ORDERS}/tg-1")).json()
    assert (after["status"], trade in after["trades"]) == ("FILLED", False)
    moved = (
        await client.call("POST", "/sim/v1/movements", {"type": "FUNDING", "currency": "USDT", "amount": "-1.5"})
    ).json()
    listed = (await client.call("GET", "/api/v1/movements?since=0")).json()["movements"]
    assert listed == [moved]
    assert (moved["movement_sequence"], moved["type"], moved["amount"], moved["symbol"]) == (1, "FUNDING", "-1.5", None)
    assert (await client.call("GET", "/api/v1/movements?since=1")).json()["movements"] == []
    await stream.close()
