"""Execution's own kill door over HTTP: one call shuts it, another credential opens it, and a restart does not."""

import json
from pathlib import Path

import httpx
import pytest
from execution_operators import BEARERS, TOKENS, new_door
from execution_samples import Desk, order_id, trade
from fastapi import FastAPI

from tollgate_contracts.codec import decode
from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.risk import OperatorCall
from tollgate_execution.api import build_router
from tollgate_execution.explaining import Explainer
from tollgate_execution.kill_door import KillDoor
from tollgate_execution.resolving import Resolver


@pytest.fixture
def door(tmp_path: Path) -> KillDoor:
    return KillDoor(tmp_path)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def client(door: KillDoor, desk: Desk, tmp_path: Path) -> httpx.AsyncClient:
    app = FastAPI()
    words = (Resolver(desk.core, lambda: None).resolve, Explainer(desk.core, lambda: None).explain)
    app.include_router(build_router(desk.core, door, new_door(tmp_path), *words))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://execution")


async def test_a_bare_put_shuts_it(client: httpx.AsyncClient, door: KillDoor) -> None:
    answer = await client.put("/v1/kill-switch", headers=BEARERS["kill"])
    assert answer.status_code == 200
    assert answer.json()["engaged"] is True
    assert answer.json()["on_disk"] is True
    assert door.is_shut


@pytest.mark.parametrize(
    ("body", "said"),
    [(b"{", "body: "), (b'{"who":"x"}', "who: "), (b"x" * 20_000, "at most 16384 bytes"), (b"[]", "body: ")],
)
async def test_a_body_that_cannot_be_read_shuts_it_all_the_same(
    client: httpx.AsyncClient, door: KillDoor, body: bytes, said: str
) -> None:
    """A caller in a hurry is told what was wrong, after the door is shut."""
    answer = await client.put("/v1/kill-switch", headers=BEARERS["kill"], content=body)
    assert answer.status_code == 200
    assert said in answer.json()["note"]
    assert door.is_shut


async def test_who_and_why_are_kept_and_the_first_word_stands(client: httpx.AsyncClient) -> None:
    await client.put("/v1/kill-switch", headers=BEARERS["kill"], json={"actor": "ann", "reason": "runaway"})
    await client.put("/v1/kill-switch", headers=BEARERS["kill"], json={"actor": "bob", "reason": "late"})
    told = (await client.get("/v1/kill-switch", headers=BEARERS["read"])).json()
    assert (told["actor"], told["reason"]) == ("ann", "runaway")


async def test_it_holds_over_a_restart(client: httpx.AsyncClient, tmp_path: Path) -> None:
    await client.put("/v1/kill-switch", headers=BEARERS["kill"], json={"actor": "ann", "reason": "runaway"})
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


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKENS["release"]}])
async def test_opening_it_needs_the_operator_s_token(
    client: httpx.AsyncClient, door: KillDoor, headers: dict[str, str]
) -> None:
    await client.put("/v1/kill-switch", headers=BEARERS["kill"])
    answer = await client.request("DELETE", "/v1/kill-switch", headers=headers, json={"reason": "all clear"})
    assert answer.status_code == 401
    assert TOKENS["release"] not in answer.text
    assert door.is_shut


async def test_opening_it_needs_a_reason_and_lasts(client: httpx.AsyncClient, door: KillDoor, tmp_path: Path) -> None:
    await client.put("/v1/kill-switch", headers=BEARERS["kill"])
    assert (await client.request("DELETE", "/v1/kill-switch", headers=BEARERS["release"])).status_code == 422
    assert door.is_shut
    answer = await client.request("DELETE", "/v1/kill-switch", headers=BEARERS["release"], json={"reason": "all clear"})
    assert answer.json() == {"engaged": False, "on_disk": True}
    again = KillDoor(tmp_path)
    again.load()
    assert not again.is_shut


async def test_orders_are_shown_newest_first_and_by_state(client: httpx.AsyncClient, desk: Desk) -> None:
    desk.approve(1)
    desk.hear(ReportStatus.FILLED, ReportSource.SUBMIT, filled="2", trades=(trade(1, "2", "99.5"),))
    desk.approve(2)
    orders = (await client.get("/v1/orders", headers=BEARERS["read"])).json()
    assert [order["client_order_id"] for order in orders] == [order_id(2), order_id(1)]
    filled = (await client.get("/v1/orders", headers=BEARERS["read"], params={"state": "FILLED"})).json()
    assert [(order["filled"], order["filled_quote"]) for order in filled] == [("2", "199")]
    assert (await client.get("/v1/orders", headers=BEARERS["read"], params={"limit": 1})).json() == orders[:1]
    assert (await client.get("/v1/orders", headers=BEARERS["read"], params={"limit": 0})).status_code == 422
    assert (await client.get(f"/v1/orders/{order_id(1)}", headers=BEARERS["read"])).json() == filled[0]
    assert (await client.get(f"/v1/orders/{order_id(9)}", headers=BEARERS["read"])).status_code == 404
    assert json.dumps(orders).count("signature") == 0


ROUTES = (
    ("GET", "/v1/kill-switch", "read"),
    ("GET", "/v1/orders", "read"),
    ("GET", "/v1/orders/tg1", "read"),
    ("PUT", "/v1/kill-switch", "kill"),
    ("DELETE", "/v1/kill-switch", "release"),
)


@pytest.mark.parametrize("shown", ["", "read", "kill", "release", "limits"])
@pytest.mark.parametrize(("method", "path", "needs"), ROUTES)
async def test_every_route_refuses_every_scope_but_its_own(
    client: httpx.AsyncClient, door: KillDoor, method: str, path: str, needs: str, shown: str
) -> None:
    answer = await client.request(method, path, headers=BEARERS.get(shown, {}), json={"reason": "r"})
    if shown == needs:
        assert answer.status_code in {200, 404}
        return
    assert answer.status_code == (403 if shown else 401)
    assert not door.is_shut


async def test_its_calls_wait_for_the_tape_under_its_own_name(client: httpx.AsyncClient, tmp_path: Path) -> None:
    """The door needs no tape, and the record comes when there is one."""
    await client.put("/v1/kill-switch", headers=BEARERS["kill"], json={"actor": "ann", "reason": "runaway"})
    (line,) = (tmp_path / "operator-calls.jsonl").read_bytes().splitlines()
    call = decode(line)
    assert isinstance(call, OperatorCall)
    assert (call.writer, call.token, call.actor, call.reason, call.status) == (
        "execution",
        "kill",
        "ann",
        "runaway",
        200,
    )


async def test_whoever_waits_for_it_is_told_each_time_that_it_is_shut(tmp_path: Path) -> None:
    """An instance that stands by becomes the active one, so that the door stops the desk whichever was asked."""
    door, told = KillDoor(tmp_path), []
    door.attach(lambda: told.append("shut"))
    door.shut("ann", "", 1)
    assert told == ["shut"]
