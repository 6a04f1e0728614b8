"""The process as an operator meets it: starting, being killed, coming back, and refusing to start."""

import asyncio
import json
import signal
import socket
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Launch = Callable[..., Awaitable[Any]]
Build = Callable[..., dict[str, Any]]
ORDERS = "/api/v1/orders"


async def market_is_there(client: Any) -> None:
    async with asyncio.timeout(5):
        while not (await client.http.get("/api/v1/book/ETH-USDT")).json()["asks"]:
            await asyncio.sleep(0.05)


async def test_what_was_answered_outlives_a_kill(launch: Launch, client_of: Callable[[Any], Any], order: Build) -> None:
    """Balances, final orders, trades and used ids are there again; open orders come back cancelled."""
    process = await launch()
    client = client_of(process)
    await market_is_there(client)
    taken = order(client_order_id="taken", limit_price="9000", time_in_force="IOC")
    filled = (await client.call("POST", ORDERS, taken)).json()
    assert filled["status"] == "FILLED"
    await client.call("POST", ORDERS, order(client_order_id="open"))
    before = (await client.call("GET", "/api/v1/account")).json()["balances"]
    await process.end(signal.SIGKILL)

    process = await launch()
    assert any("simvenue.orders_cancelled" in line for line in process.said)
    client = client_of(process)
    assert (await client.call("GET", f"{ORDERS}/taken")).json() == filled
    cancelled = (await client.call("GET", f"{ORDERS}/open")).json()
    assert (cancelled["status"], cancelled["reason"]) == ("CANCELLED", "VENUE_RESTARTED")
    assert (await client.call("GET", f"{ORDERS}?open=true")).json()["orders"] == []
    after = {each["currency"]: each for each in (await client.call("GET", "/api/v1/account")).json()["balances"]}
    assert after["USDT"]["locked"] == "0"
    for balance in before:
        unlocked = after[balance["currency"]]["free"]
        assert float(unlocked) == pytest.approx(float(balance["free"]) + float(balance["locked"]))
    assert (await client.call("POST", ORDERS, order(client_order_id="open"))).status_code == 409
    assert (await client.call("GET", "/api/v1/fills?since=0")).json()["fills"] == filled["trades"]
    await market_is_there(client)
    again = (await client.call("POST", ORDERS, {**taken, "client_order_id": "again"})).json()
    assert again["trades"][0]["fill_sequence"] == filled["trades"][-1]["fill_sequence"] + 1
    assert again["trades"][0]["trade_id"] not in {trade["trade_id"] for trade in filled["trades"]}
    assert again["venue_order_id"] != filled["venue_order_id"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_cleanly_with_streams_open(launch: Launch, number: signal.Signals) -> None:
    process = await launch()
    async with connect(f"ws://127.0.0.1:{process.port}/ws/market") as stream:
        await stream.send('{"type":"subscribe","symbols":["ETH-USDT"]}')
        await stream.recv()
        async with asyncio.timeout(5):
            assert await process.end(number) == 0
        with pytest.raises(ConnectionClosed):
            await _read_to_the_end(stream)


async def _read_to_the_end(stream: ClientConnection) -> None:
    while True:
        await stream.recv()


async def test_a_taken_port_is_named(launch: Launch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = await launch(TOLLGATE_PORTS__SIMVENUE=port)
    assert process.process.returncode == 78
    assert f"127.0.0.1:{port} cannot be used" in "".join(process.said)


async def test_every_configuration_error_is_named_at_once(launch: Launch, tmp_path: Path) -> None:
    file = tmp_path / "tollgate.yaml"
    file.write_text(
        "symbols: [BTC-USDT, DOGE-USDT]\nnats_url: of no concern\n"
        "simvenue:\n  qoutes_per_s: 5\n  speed: '-1'\n"
        "costs: {fee_tiers: [{volume_from: '0', maker_bps: 1.5, taker_bps: '2'}]}\n"
    )
    process = await launch(TOLLGATE_CONFIG=str(file), TOLLGATE_SIMVENUE__SEED="minus one")
    said = "".join(process.said)
    assert process.process.returncode == 78
    for expected in ("simvenue.qoutes_per_s: no such key", "costs.fee_tiers.0.maker_bps", "speed", "simvenue.seed"):
        assert expected in said


async def test_a_symbol_without_an_instrument_is_named(launch: Launch) -> None:
    process = await launch(TOLLGATE_SYMBOLS='["BTC-USDT","DOGE-USDT"]')
    assert process.process.returncode == 78
    assert "a line is expected for each of DOGE-USDT" in "".join(process.said)


@pytest.mark.parametrize(
    ("content", "expected"), [("short", "at least 32 characters are expected"), (None, "cannot be read")]
)
async def test_a_missing_or_short_secret_is_named_and_not_shown(
    launch: Launch, tmp_path: Path, content: str | None, expected: str
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    if content is not None:
        (secrets / "venue_api_key").write_text(content)
    process = await launch(TOLLGATE_SECRETS_DIR=str(secrets))
    assert process.process.returncode == 78
    said = "".join(process.said)
    assert expected in said
    assert "short\n" not in said


async def test_a_file_of_another_layout_is_refused(launch: Launch, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "simvenue.sqlite") as database:
        database.execute("PRAGMA user_version=99")
    process = await launch()
    assert process.process.returncode == 78
    assert "layout 99, 2 is expected" in "".join(process.said)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("no-such.jsonl", None, "there is no such file"),
        ("empty.jsonl", "", "the first line is neither"),
        ("header-only.jsonl", '{"format":"tollgate-market","version":1}\n', "has no events"),
        ("other.parquet", "not parquet", "arquet"),
    ],
)
async def test_a_recording_that_cannot_be_read_stops_the_start(
    launch: Launch, tmp_path: Path, name: str, content: str | None, expected: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    process = await launch(TOLLGATE_SIMVENUE__RECORDING=str(tmp_path / name))
    assert process.process.returncode == 78
    assert expected in "".join(process.said)


async def test_a_recording_that_breaks_off_later_ends_the_process(launch: Launch, tmp_path: Path) -> None:
    """It is not played half and called a whole: the process says where it broke and is not started again."""
    file = tmp_path / "broken.jsonl"
    top = {"type": "top", "bid": "100", "bid_quantity": "1", "ask": "101", "ask_quantity": "1"}
    lines = ['{"format":"tollgate-market","version":1}', json.dumps({"ts_us": 1, **top}), '{"ts_us": 2, "type": "to']
    file.write_text("\n".join(lines))
    process = await launch(TOLLGATE_SIMVENUE__RECORDING=str(file), TOLLGATE_SIMVENUE__RECORDING_WAITS="false")
    async with asyncio.timeout(5):
        assert await process.process.wait() == 78
    assert process.process.stderr is not None
    assert b"broken.jsonl, line 3" in await process.process.stderr.read()
