"""Each fault over real connections: what a client of the exchange meets."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from simvenue_listening import authentication, has, market, read, until_heartbeat, user
from simvenue_samples import ONE, open_floor, request
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tollgate_contracts.strategy import Side
from tollgate_simvenue.core.market import HouseTook
from tollgate_simvenue.core.model import Order
from tollgate_simvenue.core.plan import FaultPlan
from tollgate_simvenue.hub import Connection

Start = Callable[..., Awaitable[Any]]
Build = Callable[..., dict[str, Any]]
ORDERS = "/api/v1/orders"
ONE_ORDER = f"{ORDERS}/tg-1"


def plan(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"rules": list(rules)}


async def start_standing(start: Start, *rules: dict[str, Any], **section: Any) -> Any:
    """Start an exchange, stop its clock, and put a plan in force."""
    client = await start(**section)
    client.stop_clock()
    assert (await client.call("PUT", "/sim/v1/faults", plan(*rules))).status_code == 200
    return client


async def status_of(client: Any, client_order_id: str = "tg-1") -> str:
    answer = (await client.call("GET", f"{ORDERS}/{client_order_id}")).json()
    return str(answer.get("status") or answer["code"])


async def test_an_order_is_accepted_and_never_answered(start: Start, order: Build) -> None:
    client = await start(faults=plan({"fault": "accept_then_timeout", "last": 1}))
    client.http.timeout = httpx.Timeout(5, read=0.3)
    with pytest.raises(httpx.ReadTimeout):
        await client.call("POST", ORDERS, order())
    client.http.timeout = httpx.Timeout(5)
    assert await status_of(client) == "OPEN"
    assert (await client.call("POST", ORDERS, order(client_order_id="b"))).status_code == 200


async def test_an_order_is_accepted_and_the_connection_dropped(start: Start, order: Build) -> None:
    client = await start(faults=plan({"fault": "accept_then_drop", "last": 1}))
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await client.call("POST", ORDERS, order())
    assert await status_of(client) == "OPEN"


async def test_a_cancel_is_carried_out_and_not_answered(start: Start, order: Build) -> None:
    client = await start(faults=plan({"fault": "accept_then_drop", "calls": ["cancel"]}))
    await client.call("POST", ORDERS, order())
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await client.call("DELETE", ONE_ORDER)
    assert await status_of(client) == "CANCELLED"


async def test_a_question_is_never_answered_not_even_with_a_refusal(start: Start) -> None:
    client = await start(faults=plan({"fault": "accept_then_timeout", "calls": ["query"]}))
    client.http.timeout = httpx.Timeout(5, read=0.3)
    with pytest.raises(httpx.ReadTimeout):
        await client.call("GET", f"{ORDERS}/never")


@pytest.mark.parametrize("retry_after_s", [None, 2])
async def test_a_rate_limit_with_and_without_retry_after_places_nothing(
    start: Start, order: Build, retry_after_s: int | None
) -> None:
    rule = {"fault": "rate_limit", "calls": ["place"], "retry_after_s": retry_after_s}
    client = await start(faults=plan(rule))
    refused = await client.call("POST", ORDERS, order())
    assert (refused.status_code, refused.json()["code"]) == (429, "RATE_LIMITED")
    assert refused.headers.get("retry-after") == (None if retry_after_s is None else "2")
    assert await status_of(client) == "UNKNOWN_ORDER"


async def test_who_goes_on_through_a_storm_of_429_is_banned_and_let_in_again(start: Start) -> None:
    rule = {"fault": "rate_limit_storm", "calls_max": 3, "ban_ms": 600, "for_ms": 300}
    client = await start_standing(start, rule)
    answers = [await client.call("GET", "/api/v1/account") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [429] * 3 + [418] * 3
    assert (answers[3].json()["code"], answers[3].headers["retry-after"]) == ("BANNED", "1")
    with pytest.raises(InvalidStatus) as refused:
        await user(client)
    assert refused.value.response.status_code == 418
    client.forward(600)
    assert (await client.call("GET", "/api/v1/account")).status_code == 200


@pytest.mark.parametrize(("accepts", "placed"), [("none", 0), ("all", 6), ("half", 3)])
async def test_a_server_error_has_accepted_none_all_or_half(
    start: Start, order: Build, accepts: str, placed: int
) -> None:
    client = await start(faults=plan({"fault": "server_error", "accepts": accepts}))
    answers = [await client.call("POST", ORDERS, order(client_order_id=f"o{number}")) for number in range(6)]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(500, "SERVER_ERROR")] * 6
    assert len((await client.call("GET", f"{ORDERS}?open=true")).json()["orders"]) == placed


async def test_an_order_cannot_be_seen_anywhere_for_a_while(start: Start, order: Build) -> None:
    client = await start_standing(start, {"fault": "late_visibility", "late_ms": 400, "last": 1})
    stream = await user(client)
    since_us = client.clock() - 1_000_000
    hidden = order(limit_price="9000", time_in_force="IOC")
    assert (await client.call("POST", ORDERS, hidden)).json()["status"] == "FILLED"
    await client.call("POST", ORDERS, order(client_order_id="seen", limit_price="9000", time_in_force="IOC"))
    recent = (await client.call("GET", f"{ORDERS}?since_us={since_us}")).json()
    assert ([each["client_order_id"] for each in recent["orders"]], recent["complete"]) == (["seen"], True)
    for method in ("GET", "DELETE"):
        assert (await client.call(method, ONE_ORDER)).json()["code"] == "UNKNOWN_ORDER"
    # Its fills were before the other's: none is listed, so that no cursor goes past them.
    assert (await client.call("GET", "/api/v1/fills?since=0")).json()["fills"] == []
    frames = await read(stream, lambda frames: any(frame.get("client_order_id") == "tg-1" for frame in frames))
    assert next(frame["client_order_id"] for frame in frames if frame["type"] == "order") == "seen"
    client.forward(400)
    assert (await client.call("GET", ONE_ORDER)).json()["trades"]
    fills = (await client.call("GET", "/api/v1/fills?since=0")).json()["fills"]
    assert {fill["client_order_id"] for fill in fills} == {"tg-1", "seen"}
    await stream.close()


async def fill_frames(start: Start, order: Build, rule: dict[str, Any], enough: int = 4) -> list[dict[str, Any]]:
    """Return the account's frames of two orders, each filled at once, and those up to the next heartbeat."""
    client = await start(faults=plan(rule))
    stream = await user(client)
    for name in ("a", "b"):
        await client.call("POST", ORDERS, order(client_order_id=name, limit_price="9000", time_in_force="IOC"))
    frames = await read(stream, lambda frames: sum(frame["type"] != "heartbeat" for frame in frames) >= enough)
    frames += await read(stream, has("heartbeat"))
    await stream.close()
    return frames


def told(frames: list[dict[str, Any]], kind: str = "trade") -> list[str]:
    return [frame["client_order_id"] for frame in frames if frame["type"] == kind]


def numbers(frames: list[dict[str, Any]]) -> list[int]:
    return [frame["sequence"] for frame in frames]


async def test_a_frame_comes_twice_with_numbers_of_its_own(start: Start, order: Build) -> None:
    frames = await fill_frames(start, order, {"fault": "duplicate_frames", "frames": ["user_trade"], "last": 1}, 5)
    assert told(frames) == ["a", "a", "b"]
    assert numbers(frames) == list(range(2, 2 + len(frames)))


async def test_a_frame_is_overtaken_by_the_next(start: Start, order: Build) -> None:
    rule = {"fault": "reorder_frames", "frames": ["user_order"], "late_ms": 5_000, "last": 1}
    frames = await fill_frames(start, order, rule)
    kinds = [frame["type"] for frame in frames if frame["type"] != "heartbeat"]
    assert kinds == ["trade", "trade", "order", "order"]
    assert numbers(frames) == list(range(2, 2 + len(frames)))


async def test_a_frame_that_nothing_overtakes_comes_after_its_time(start: Start, order: Build) -> None:
    rule = {"fault": "reorder_frames", "frames": ["user_order"], "late_ms": 50, "first": 2}
    assert told(await fill_frames(start, order, rule), "order") == ["a", "b"]


async def test_a_frame_comes_late(start: Start, order: Build) -> None:
    rule = {"fault": "delay_frames", "frames": ["user_trade"], "late_ms": 1_500, "last": 1}
    assert told(await fill_frames(start, order, rule)) == ["b", "a"]


async def test_a_fill_is_never_said_while_heartbeats_go_on_without_a_gap(start: Start, order: Build) -> None:
    frames = await fill_frames(start, order, {"fault": "drop_frames", "frames": ["user_trade"], "last": 1}, 3)
    assert (told(frames), told(frames, "order")) == (["b"], ["a", "b"])
    assert numbers(frames) == list(range(2, 2 + len(frames)))


async def test_a_number_is_missing(start: Start, order: Build) -> None:
    frames = await fill_frames(start, order, {"fault": "sequence_gap", "frames": ["user_trade"], "last": 1}, 3)
    assert (told(frames), numbers(frames)[0]) == (["b"], 3)


async def test_a_stream_says_nothing_and_stays_open(start: Start, order: Build) -> None:
    client = await start_standing(start, {"fault": "silent_stream", "stream": "user", "for_ms": 1_500})
    stream = await connect(f"ws://127.0.0.1:{client.port}/ws/user")
    await stream.send(authentication(client))
    other = await market(client, "ETH-USDT")
    await client.call("POST", ORDERS, order())
    await read(other, has("quote", "heartbeat"))
    await other.close()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await stream.recv()
    client.forward(1_500)
    frames = await read(stream, has("heartbeat"))
    assert [frame["type"] for frame in frames] == ["heartbeat"]
    await client.call("DELETE", ONE_ORDER)
    assert told(await until_heartbeat(stream), "order") == ["tg-1"]
    await stream.close()


@pytest.mark.parametrize(("fills", "status", "quantity"), [("half", "CANCELLED", "0.25"), ("all", "FILLED", "0.5")])
async def test_a_cancel_is_taken_and_then_a_fill_arrives(
    start: Start, order: Build, fills: str, status: str, quantity: str
) -> None:
    rule = {"fault": "cancel_then_fill", "cancel_answer": "taken", "fills": fills, "late_ms": 200}
    client = await start_standing(start, rule)
    await client.call("POST", ORDERS, order())
    taken = (await client.call("DELETE", ONE_ORDER)).json()
    assert (taken["status"], taken["cumulative_quantity"]) == ("OPEN", "0")
    client.forward(199)
    assert await status_of(client) == "OPEN"
    client.forward(1)
    ended = (await client.call("GET", ONE_ORDER)).json()
    assert ended["status"] == status
    assert (ended["cumulative_quantity"], [trade["price"] for trade in ended["trades"]]) == (quantity, ["1000"])


async def test_a_cancel_is_done_and_then_a_fill_arrives(start: Start, order: Build) -> None:
    rule = {"fault": "cancel_then_fill", "cancel_answer": "done", "fills": "half", "late_ms": 300}
    client = await start(faults=plan(rule))
    stream = await user(client)
    await client.call("POST", ORDERS, order())
    await read(stream, has("order"))
    asked_us = time.monotonic_ns() // 1_000
    done = (await client.call("DELETE", ONE_ORDER)).json()
    assert (done["status"], done["reason"], done["cumulative_quantity"], done["trades"]) == (
        "CANCELLED",
        "USER",
        "0",
        [],
    )
    (trade,) = [frame for frame in await read(stream, has("trade")) if frame["type"] == "trade"]
    assert time.monotonic_ns() // 1_000 - asked_us >= 300_000
    assert (trade["quantity"], trade["price"]) == ("0.25", "1000")
    assert (await client.call("GET", ONE_ORDER)).json()["cumulative_quantity"] == "0.25"
    await stream.close()


@pytest.mark.parametrize(("skew_ms", "code"), [(-1_500, "TIMESTAMP_IN_FUTURE"), (2_500, "TIMESTAMP_TOO_OLD")])
async def test_the_venues_clock_is_wrong_in_what_it_says_and_in_what_it_accepts(
    start: Start, skew_ms: int, code: str
) -> None:
    client = await start(faults=plan({"fault": "clock_skew", "skew_ms": skew_ms}))
    said_us = (await client.http.get("/api/v1/time")).json()["venue_ts_us"]
    assert abs(said_us - time.time_ns() // 1_000 - skew_ms * 1_000) < 500_000
    assert (await client.call("GET", "/api/v1/account")).json()["code"] == code
    assert (await client.call("GET", "/api/v1/account", age_us=-skew_ms * 1_000)).status_code == 200
    assert (await client.call("GET", "/sim/v1/faults")).status_code == 200


async def test_instruments_are_cancel_only_for_a_while_and_the_market_stream_says_so(
    start: Start, order: Build
) -> None:
    client = await start()
    client.stop_clock()
    stream = await market(client, "ETH-USDT")
    await read(stream, has("instruments", "book"))
    await client.call("POST", ORDERS, order())
    rule = {"fault": "instrument_status", "status": "CANCEL_ONLY", "for_ms": 600}
    assert (await client.call("PUT", "/sim/v1/faults", plan(rule))).status_code == 200
    refused = await client.call("POST", ORDERS, order(client_order_id="b"))
    assert (refused.status_code, refused.json()["code"]) == (422, "INSTRUMENT_NOT_OPEN")
    assert (await client.call("DELETE", ONE_ORDER)).json()["status"] == "CANCELLED"
    client.forward(600)
    frames = await read(stream, lambda frames: sum(frame["type"] == "instruments" for frame in frames) >= 2)
    changes = [frame["instruments"] for frame in frames if frame["type"] == "instruments"]
    assert [(only["symbol"], only["status"]) for (only,) in changes] == [
        ("ETH-USDT", "CANCEL_ONLY"),
        ("ETH-USDT", "OPEN"),
    ]
    assert (await client.call("POST", ORDERS, order(client_order_id="b"))).status_code == 200
    await stream.close()


async def test_maintenance_is_503_for_everyone_for_an_hour_and_closes_the_streams(start: Start, order: Build) -> None:
    client = await start()
    client.stop_clock()
    streams = [await user(client), await market(client, "ETH-USDT")]
    await client.call("POST", ORDERS, order())
    rule = {"fault": "maintenance", "for_ms": 3_600_000, "retry_after_s": 3_600}
    await client.call("PUT", "/sim/v1/faults", plan(rule))
    for stream in streams:
        with pytest.raises(ConnectionClosed) as closed:
            await read(stream, lambda _frames: False)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1013, "MAINTENANCE")
    for answer in (await client.call("GET", ONE_ORDER), await client.http.get("/api/v1/time")):
        assert (answer.status_code, answer.json()["code"]) == (503, "MAINTENANCE")
        assert answer.headers["retry-after"] == "3600"
    with pytest.raises(InvalidStatus) as refused:
        await market(client, "ETH-USDT")
    assert refused.value.response.status_code == 503
    assert (await client.http.get("/healthz")).status_code == 200
    client.forward(3_600_000)
    assert await status_of(client) == "OPEN"
    await (await user(client)).close()


async def test_the_account_states_wrong_balances_for_a_while_and_has_the_right_ones(start: Start) -> None:
    rules = (
        {"fault": "wrong_balances", "currency": "USDT", "amount": "-250.5", "for_ms": 400},
        {"fault": "wrong_balances", "currency": "DOGE", "amount": "7", "for_ms": 400},
    )
    client = await start_standing(start, *rules)
    assert (await client.call("GET", "/api/v1/account")).json()["balances"] == [
        {"currency": "DOGE", "free": "7", "locked": "0"},
        {"currency": "USDT", "free": "99749.5", "locked": "0"},
    ]
    client.forward(400)
    assert (await client.call("GET", "/api/v1/account")).json()["balances"] == [
        {"currency": "USDT", "free": "100000", "locked": "0"}
    ]


async def test_public_questions_fail_only_where_the_plan_names_them(start: Start) -> None:
    client = await start_standing(start, {"fault": "rate_limit", "calls": ["public"], "first": 2})
    assert [(await client.http.get("/api/v1/time")).status_code for _ in range(2)] == [200, 429]
    assert (await client.call("GET", "/api/v1/account")).status_code == 200


async def test_a_plan_without_rules_says_exactly_what_is_said_without_a_plan(tmp_path: Path) -> None:
    said = []
    for plan_in_force in (None, FaultPlan()):
        clock = count(1_000)
        floor = open_floor(tmp_path / f"{plan_in_force is None}.sqlite", clock=lambda clock=clock: next(clock))
        listener = Connection()
        floor.hub.follow_user(listener)
        floor.hub.follow_market(listener, frozenset({"BTC-USDT"}))
        if plan_in_force is not None:
            floor.put_faults(plan_in_force)
        for number, price in enumerate((99, 101, 100)):
            outcome = floor.place(request(f"o{number}", limit_price=price * ONE))
            assert isinstance(outcome, Order)
            floor.move("BTC-USDT", HouseTook(Side.SELL, ONE))
            floor.cancel(outcome)
        said.append([{**frame, "venue_ts_us": 0} for frame in json.loads(await listener.take())])
    assert len(said[0]) > 8
    assert said[0] == said[1]
