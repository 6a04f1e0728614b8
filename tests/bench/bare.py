"""A broker and a database as the platform's, and the bare chain over them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import nats
from nats.aio.client import Client

from tests.bench.bare_programs import DESK, ROLES, VARIABLE, Chain
from tests.bench.desk import SETTLE_S, read
from tests.bench.segments import Segment, Shape, Way
from tests.conftest import ROOT, free_base_port
from tollgate_chassis.tape import NatsTape
from tollgate_console.layout import Layout, write_private
from tollgate_console.provision.broker import BrokerPlace, StreamSizes, render_config, stream_configs
from tollgate_console.provision.database import DATABASE_LOGINS, SUPERUSER, DatabasePlace
from tollgate_console.provision.keys import POSTGRES_SUPERUSER, provision_secrets, read_password
from tollgate_console.supervisor.broker_process import find_server
from tollgate_console.supervisor.child import Child, ProcessSpec
from tollgate_console.supervisor.events import Events
from tollgate_console.supervisor.postgres_process import postgres_spec, prepare
from tollgate_marketdata.settings import MarketDataSection

_READY_S = 60.0
_SIZES = StreamSizes()
# Time for five interpreters to import and connect, on a machine that may be busy.
_START_S = 3.0
_JOURNAL = (
    "CREATE TABLE IF NOT EXISTS journal"
    " (client_order_id text PRIMARY KEY, prepared_us bigint NOT NULL, approval text NOT NULL)"
)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where broker and database listen."""

    nats_url: str
    postgres_dsn: str
    base_port: int
    directory: Path


@asynccontextmanager
async def ground(directory: Path) -> AsyncIterator[Ground]:
    """Run a broker and a database with the platform's own settings for durability, and nobody's permissions."""
    layout = Layout(directory)
    layout.prepare()
    provision_secrets(layout, (), DATABASE_LOGINS)
    base_port = free_base_port()
    broker = BrokerPlace(base_port, base_port + 1, layout.broker_store)
    database = DatabasePlace(base_port + 2)
    write_private(layout.broker_config, render_config(DESK, broker, _SIZES, {}))
    installation = await asyncio.to_thread(prepare, layout)
    events = Events(layout.log("supervisor"))
    server = (find_server(), "--config", str(layout.broker_config.resolve()))
    specs = (
        ProcessSpec(name="nats", command=server, log=layout.log("nats")),
        postgres_spec(layout, installation, database),
    )
    children = [Child(spec, events, lambda: None) for spec in specs]
    dsn = database.dsn(SUPERUSER, read_password(layout, POSTGRES_SUPERUSER), SUPERUSER)
    try:
        for child in children:
            await child.start()
        await _make_stream(broker)
        await _make_journal(dsn)
        yield Ground(broker.url, dsn, base_port, directory)
    finally:
        for child in children:
            await child.stop()


async def _make_stream(broker: BrokerPlace) -> None:
    await _until_healthy(broker.health_url)
    client = await nats.connect(broker.url)
    config = stream_configs(DESK, _SIZES)[0]
    if "error" in await _ask(client, f"$JS.API.STREAM.INFO.{config['name']}", b""):
        refused = (await _ask(client, f"$JS.API.STREAM.CREATE.{config['name']}", json.dumps(config).encode())).get(
            "error"
        )
        if refused is not None:
            raise RuntimeError(f"the bare broker refused the stream: {refused}")
    await client.close()


async def _ask(client: Client, subject: str, body: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((await client.request(subject, body, timeout=5)).data)
    return answer


async def _until_healthy(url: str) -> None:
    give_up = time.monotonic() + _READY_S
    async with httpx.AsyncClient() as client:
        while True:
            try:
                if (await client.get(url)).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError as error:
                if time.monotonic() > give_up:
                    raise RuntimeError(f"the bare broker at {url} did not start") from error
            await asyncio.sleep(0.05)


async def _make_journal(dsn: str) -> None:
    give_up = time.monotonic() + _READY_S
    while True:
        try:
            connection = await asyncpg.connect(dsn)
            break
        except (OSError, asyncpg.PostgresError) as error:
            if time.monotonic() > give_up:
                raise RuntimeError("the bare database did not start") from error
            await asyncio.sleep(0.05)
    await connection.execute(_JOURNAL)
    await connection.close()


async def run_chain(place: Ground, quotes_per_s: int, shape: Shape, seconds: float) -> Segment:
    """Run the five programs for ``seconds`` and return what became of each order."""
    ways_file = place.directory / "ways.json"
    ways_file.unlink(missing_ok=True)
    chain = Chain(
        place.nats_url,
        place.postgres_dsn,
        place.base_port + 3,
        place.base_port + 4,
        str(ways_file),
        quotes_per_s,
        MarketDataSection().conflation_ms,
        **asdict(shape),
    )
    tape = await NatsTape.connect(place.nats_url, None, DESK, "bench")
    environment = {**os.environ, VARIABLE: json.dumps(asdict(chain))}
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for role in ROLES:
            command = [sys.executable, "-m", "tests.bench.bare_programs", role]
            processes.append(subprocess.Popen(command, cwd=ROOT, env=environment))  # noqa: ASYNC220 - nothing else runs in this loop
            # The venue listens before anyone calls, and the readers read before anyone writes.
            await asyncio.sleep(_START_S / len(ROLES))
        await asyncio.sleep(SETTLE_S)
        first = (await tape.bounds()).last + 1
        began_us = time.time_ns() // 1_000
        await asyncio.sleep(seconds)
        records = await read(tape, first)
        ended = [role for role, process in zip(ROLES, processes, strict=True) if process.poll() is not None]
        if ended:
            raise RuntimeError(f"programs of the bare chain ended by themselves: {ended}")
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(10)
        await tape.close()
    stored = {record.sequence: record.stored_us for record in records}
    return Segment(_ways(json.loads(ways_file.read_text()), stored, began_us), len(records) / seconds)


def _ways(seen: list[list[int]], stored: dict[int, int], since_us: int) -> list[Way]:
    """Put the broker's times in the place of sequences, for the orders of the stretch."""
    ways = []
    for quoted, spoke, quote, intent, decision, begun, sent, received in seen:
        if received >= since_us and {quote, intent, decision} <= stored.keys():
            ways.append(Way((quoted, spoke, stored[quote], stored[intent], stored[decision], begun, sent, received)))
    return ways
