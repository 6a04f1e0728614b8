"""What is kept, and what happens when it cannot be."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_simvenue.app import EXIT_RESTART
from tollgate_simvenue.core.account import Account
from tollgate_simvenue.core.exchange import FINAL_ORDERS_KEPT, Exchange
from tollgate_simvenue.core.market import BookSnapshot
from tollgate_simvenue.core.model import Order, OrderReason, OrderRequest, Refusal
from tollgate_simvenue.core.units import ATOMS_PER_UNIT, UNITS
from tollgate_simvenue.floor import Floor, MarketStatus
from tollgate_simvenue.hub import Hub
from tollgate_simvenue.settings import SimvenueSection
from tollgate_simvenue.store import Store

DOCUMENT = Path(__file__).parents[3] / "docs" / "simulated-venue.md"
OPENING = {"USDT": 10**9 * UNITS * ATOMS_PER_UNIT}


def open_floor(path: Path) -> Floor:
    section = SimvenueSection()
    store = Store(path)
    restored = store.open(OPENING, 1)
    exchange = Exchange(
        [section.instruments[0].instrument()],
        Account(restored.balances),
        section.fees(),
        candle_interval_us=60_000_000,
        session=restored.session,
        opened_us=1,
        known_ids=restored.known_ids,
        fill_sequence=restored.fill_sequence,
    )
    floor = Floor(exchange, store, Hub(), restored.session, MarketStatus("a test"))
    floor.move("BTC-USDT", BookSnapshot(((100 * UNITS, 10**6 * UNITS),), ((101 * UNITS, 10**6 * UNITS),)))
    return floor


def place(floor: Floor, client_order_id: str, price: int = 101) -> Order:
    request = OrderRequest(
        client_order_id=client_order_id,
        symbol="BTC-USDT",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=UNITS,
        limit_price=price * UNITS,
        time_in_force=TimeInForce.GTC,
        post_only=False,
        received_us=5,
    )
    order = floor.place(request)
    assert isinstance(order, Order)
    return order


def test_orders_that_memory_has_forgotten_are_still_known(tmp_path: Path) -> None:
    floor = open_floor(tmp_path / "venue.sqlite")
    first = place(floor, "first")
    for number in range(FINAL_ORDERS_KEPT):
        place(floor, f"o{number}")
    assert floor.exchange.order("first") is None
    assert floor.order("first") == first
    assert floor.order("never") is None
    assert [fill.fill_sequence for fill in floor.fills_since(9_998, 2)] == [9_999, 10_000]


def test_each_start_has_its_own_number_and_goes_on_from_the_last(tmp_path: Path) -> None:
    floor = open_floor(tmp_path / "venue.sqlite")
    filled, resting = place(floor, "filled"), place(floor, "resting", 99)
    floor._store.checkpoint()
    floor._store.close()
    again = open_floor(tmp_path / "venue.sqlite")
    assert again.order("filled") == filled
    cancelled = again.order("resting")
    assert cancelled is not None
    assert (cancelled.reason, cancelled.venue_order_id) == (OrderReason.VENUE_RESTARTED, resting.venue_order_id)
    later = place(again, "later")
    assert (later.venue_order_id, later.fills[0].fill_sequence) == ("2-1", 2)
    fee = 2 * filled.fills[0].fee
    assert again.exchange.account.free["USDT"] == OPENING["USDT"] - 2 * 101 * UNITS * UNITS - fee


async def test_an_exchange_that_cannot_store_ends_and_the_client_is_not_told_that_all_is_well(
    start: Callable[..., Awaitable[Any]], order: Callable[..., dict[str, Any]]
) -> None:
    """A full disk: the order that could not be stored is answered with 500, and the process asks to be restarted."""
    client = await start()
    client.application._store._database.execute("PRAGMA max_page_count=1")
    for number in range(200):
        response = await client.call("POST", "/api/v1/orders", order(client_order_id=f"o{number}", quantity="0.01"))
        if response.status_code != 200:
            break
    assert response.status_code == 500
    async with asyncio.timeout(5):
        assert await client.serving == EXIT_RESTART


def test_every_code_is_documented() -> None:
    text = DOCUMENT.read_text()
    assert [code for code in (*Refusal, *OrderReason) if code not in text] == []
