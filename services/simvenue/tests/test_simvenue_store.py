"""What is kept, and what happens when it cannot be."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from simvenue_samples import OPENING, open_floor

from tollgate_contracts.reconciliation import MovementType
from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_simvenue.app import EXIT_RESTART
from tollgate_simvenue.core.flavours import MANNERS, VenueLike
from tollgate_simvenue.core.model import Bust, Fill, Order, OrderReason, OrderRequest, Refusal, Refused
from tollgate_simvenue.core.registry import FINAL_ORDERS_KEPT
from tollgate_simvenue.core.units import UNITS
from tollgate_simvenue.floor import Floor

DOCUMENT = Path(__file__).parents[3] / "docs" / "simulated-venue.md"


def place(floor: Floor, client_order_id: str, price: int = 101, **changes: Any) -> Order:
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
        **changes,
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


def test_busts_movements_and_stops_outlive_a_restart(tmp_path: Path) -> None:
    """A trade that was taken back is listed twice, once as made and once as undone, and counts no more."""
    floor = open_floor(tmp_path / "venue.sqlite")
    filled, kept = place(floor, "filled"), place(floor, "kept")
    stop = place(floor, "stop", trigger_price=105 * UNITS, good_until_us=10**15 + 5)
    bust = floor.bust(filled.fills[0].trade_id)
    moved = floor.move_money(MovementType.DUST, "USDT", -7, "BTC-USDT")
    assert isinstance(bust, Bust)
    before = floor.fills_since(0, 10)
    assert [type(row) for row in before] == [Fill, Fill, Bust]
    floor._store.close()
    again = open_floor(tmp_path / "venue.sqlite")
    assert again.fills_since(0, 10) == before
    assert again.fills_since(2, 10) == [bust]
    assert again.movements_since(0, 10) == [moved]
    assert again.movements_since(1, 10) == []
    assert (again.order("filled"), again.order("kept")) == (filled, kept)
    restored = again.order("stop")
    assert restored is not None
    assert (restored.request, restored.reason) == (stop.request, OrderReason.VENUE_RESTARTED)
    assert isinstance(again.bust(filled.fills[0].trade_id if filled.fills else bust.trade_id), Refused)
    later = again.bust(kept.fills[0].trade_id)
    assert isinstance(later, Bust)
    assert later.fill_sequence == 4
    assert again.exchange.account.free == {"USDT": OPENING["USDT"] - 7, "BTC": 0}


def test_recent_orders_come_from_memory_or_from_the_file_and_are_the_same(tmp_path: Path) -> None:
    floor = open_floor(tmp_path / "venue.sqlite")
    first = place(floor, "first")
    for number in range(3):
        place(floor, f"o{number}")
    since_us = first.updated_us
    assert since_us >= floor.exchange.remembers_from_us
    whole, complete = floor.orders_since(since_us, 10)
    assert (len(whole), complete) == (4, True)
    assert floor.orders_since(since_us, 3) == (whole[:3], False)
    floor._store.close()
    again = open_floor(tmp_path / "venue.sqlite", opened_us=since_us + 10**9)
    assert since_us < again.exchange.remembers_from_us
    assert again.orders_since(since_us, 10) == (whole, True)
    assert again.orders_since(since_us, 3) == (whole[:3], False)


def test_a_venue_that_answers_used_ids_does_so_after_a_restart_too(tmp_path: Path) -> None:
    floor = open_floor(tmp_path / "venue.sqlite")
    first = place(floor, "first")
    floor._store.close()
    again = open_floor(tmp_path / "venue.sqlite", manners=MANNERS[VenueLike.COINBASE])
    assert place(again, "first") == first


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
