"""Execution's own kill door over HTTP: anybody may shut it, only the operator opens it, and a restart does not."""

import json
from pathlib import Path

import httpx
import pytest
from execution_samples import Desk, order_id, trade
from fastapi import FastAPI
from pydantic import SecretStr

from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_execution.api import build_router
from tollgate_execution.kill_door import KillDoor

TOKEN = "0123456789abcdef0123456789abcdef"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def door(tmp_path: Path) -> KillDoor:
    return KillDoor(tmp_path)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def client(door: KillDoor, desk: Desk) -> httpx.AsyncClient:
    app = FastAPI()
    app.include_router(build_router(desk.core, door, SecretStr(TOKEN)))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://execution")


async def test_a_bare_put_shuts_it(client: httpx.AsyncClient, door: KillDoor) -> None:
    answer = await client.put("/v1/kill-switch")
    assert answer.status_code == 200
    assert answer.json()["engaged"] is True
    assert answer.json()["on_disk"] is True
    assert door.is_shut


@pytest.mark.parametrize(("body", "status"), [(b"{", 422), (b'{"who":"x"}', 422), (b"x" * 5_000, 413), (b"[]", 422)])
async def test_a_body_that_cannot_be_read_shuts_it_all_the_same(
    client: httpx.AsyncClient, door: KillDoor, body: bytes, status: int
) -> None:
    """A caller in a hurry is told what was wrong, after the door is shut."""
    assert (await client.put("/v1/kill-switch", content=body)).status_code == status
    assert door.is_shut


async def test_who_and_why_are_kept_and_the_first_word_stands(client: httpx.AsyncClient) -> None:
    await client.put("/v1/kill-switch", json={"actor": "ann", "reason": "runaway"})
    await client.put("/v1/kill-switch", json={"actor": "bob", "reason": "late"})
    told = (await client.get("/v1/kill-switch")).json()
    assert (told["actor"], told["reason"]) == ("ann", "runaway")


async def test_it_holds_over_a_restart(client: httpx.AsyncClient, tmp_path: Path) -> None:
    await client.put("/v1/kill-switch", json={"actor": "ann", "reason": "runaway"})
    again = KillDoor(tmp_path)
    again.load()
    assert again.is_shut
    assert again.describe()["actor"] == "ann"


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\x00"])
async def test_a_damaged_latch_counts_as_shut(tmp_path: Path, content: str) -> None:
    (tmp_path / "kill-door.json").write_text(content)
    door = KillDoor(tmp_path)
    door.load()
    assert door.is_shut


async def test_it_shuts_even_where_nothing_can_be_written(tmp_path: Path) -> None:
    door = KillDoor(tmp_path / "not" / "there")
    door.shut("ann", "disk is gone", 1)
    assert door.is_shut
    assert door.describe()["on_disk"] is False


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}])
async def test_opening_it_needs_the_operator_s_token(
    client: httpx.AsyncClient, door: KillDoor, headers: dict[str, str]
) -> None:
    await client.put("/v1/kill-switch")
    answer = await client.request("DELETE", "/v1/kill-switch", headers=headers, json={"reason": "all clear"})
    assert answer.status_code == 401
    assert TOKEN not in answer.text
    assert door.is_shut


async def test_opening_it_needs_a_reason_and_lasts(client: httpx.AsyncClient, door: KillDoor, tmp_path: Path) -> None:
    await client.put("/v1/kill-switch")
    assert (await client.request("DELETE", "/v1/kill-switch", headers=AUTHORIZED)).status_code == 422
    assert door.is_shut
    answer = await client.request("DELETE", "/v1/kill-switch", headers=AUTHORIZED, json={"reason": "all clear"})
    assert answer.json() == {"engaged": False, "on_disk": True}
    again = KillDoor(tmp_path)
    again.load()
    assert not again.is_shut


async def test_orders_are_shown_newest_first_and_by_state(client: httpx.AsyncClient, desk: Desk) -> None:
    desk.approve(1)
    desk.hear(ReportStatus.FILLED, ReportSource.SUBMIT, filled="2", trades=(trade(1, "2", "99.5"),))
    desk.approve(2)
    orders = (await client.get("/v1/orders")).json()
    assert [order["client_order_id"] for order in orders] == [order_id(2), order_id(1)]
    filled = (await client.get("/v1/orders", params={"state": "FILLED"})).json()
    assert [(order["filled"], order["filled_quote"]) for order in filled] == [("2", "199")]
    assert (await client.get("/v1/orders", params={"limit": 1})).json() == orders[:1]
    assert (await client.get("/v1/orders", params={"limit": 0})).status_code == 422
    assert (await client.get(f"/v1/orders/{order_id(1)}")).json() == filled[0]
    assert (await client.get(f"/v1/orders/{order_id(9)}")).status_code == 404
    assert json.dumps(orders).count("signature") == 0
