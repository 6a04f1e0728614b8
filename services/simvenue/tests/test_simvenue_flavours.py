"""The manners of real venues over a real connection."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

Start = Callable[..., Awaitable[Any]]
Build = Callable[..., dict[str, Any]]
ORDERS = "/api/v1/orders"


async def test_a_used_id_is_answered_as_each_venue_does(start: Start, order: Build) -> None:
    client = await start(venue_like="tollgate")
    await client.call("POST", ORDERS, order())
    again = await client.call("POST", ORDERS, order())
    assert (again.status_code, again.json()["code"]) == (409, "DUPLICATE_CLIENT_ORDER_ID")


async def test_bingx_refuses_a_used_id_with_a_code_of_its_own_under_status_200(start: Start, order: Build) -> None:
    client = await start(venue_like="bingx")
    placed = (await client.call("POST", ORDERS, order(client_order_id="TG-Abc"))).json()
    assert placed["client_order_id"] == "tg-abc"
    again = await client.call("POST", ORDERS, order(client_order_id="tg-aBC"))
    assert (again.status_code, again.json()["code"]) == (200, "101481")
    assert (await client.call("GET", f"{ORDERS}/TG-ABC")).json() == placed
    assert (await client.call("DELETE", f"{ORDERS}/Tg-Abc")).json()["status"] == "CANCELLED"


async def test_coinbase_answers_a_used_id_with_the_order_that_has_it(start: Start, order: Build) -> None:
    client = await start(venue_like="coinbase")
    placed = (await client.call("POST", ORDERS, order())).json()
    again = await client.call("POST", ORDERS, order(quantity="2"))
    assert (again.status_code, again.json()) == (200, placed)
    assert (await client.call("GET", f"{ORDERS}?open=true")).json()["orders"] == [placed]


async def test_btcturk_places_a_second_order_of_a_used_id(start: Start, order: Build) -> None:
    client = await start(venue_like="btcturk")
    ids = [(await client.call("POST", ORDERS, order())).json()["venue_order_id"] for _ in range(2)]
    listed = (await client.call("GET", f"{ORDERS}?open=true")).json()["orders"]
    assert [(each["client_order_id"], each["venue_order_id"]) for each in listed] == [("tg-1", each) for each in ids]


@pytest.mark.parametrize("like", ["btcturk", "coinbase"])
async def test_a_venue_that_finds_orders_by_its_own_id_alone(start: Start, order: Build, like: str) -> None:
    client = await start(venue_like=like)
    placed = (await client.call("POST", ORDERS, order())).json()
    for method in ("GET", "DELETE"):
        refused = await client.call(method, f"{ORDERS}/tg-1")
        assert (refused.status_code, refused.json()["code"]) == (404, "NOT_SUPPORTED")
    target = f"{ORDERS}/by-venue-id/{placed['venue_order_id']}"
    assert (await client.call("GET", target)).json() == placed
    cancelled = (await client.call("DELETE", target)).json()
    assert cancelled["status"] == ("OPEN" if like == "btcturk" else "CANCELLED")


async def test_btcturk_ends_a_cancelled_order_a_moment_later(start: Start, order: Build) -> None:
    client = await start(venue_like="btcturk")
    client.stop_clock()
    placed = (await client.call("POST", ORDERS, order())).json()
    target = f"{ORDERS}/by-venue-id/{placed['venue_order_id']}"
    assert (await client.call("DELETE", target)).json()["status"] == "OPEN"
    client.forward(199)
    assert (await client.call("GET", target)).json()["status"] == "OPEN"
    client.forward(1)
    ended = (await client.call("GET", target)).json()
    assert (ended["status"], ended["reason"]) == ("CANCELLED", "USER")
