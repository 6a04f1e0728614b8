"""The real platform under measurement: started by its own command, read by its own doors."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from tests.bench.results import median
from tests.bench.segments import Segment, Shape, Way
from tests.conftest import Platform
from tests.policies import UNPACED
from tollgate_chassis.tape import NatsTape, Record
from tollgate_contracts.codec import decode
from tollgate_contracts.envelope import Message
from tollgate_contracts.marketdata import Quote
from tollgate_contracts.risk import Decision
from tollgate_contracts.strategy import Intent

# The first seconds are connections, caches, and quotes that waited: not what is asked for.
SETTLE_S = 3.0
_BATCH = 256
_BUSY = {
    "TOLLGATE_EXECUTION__MINUTE_NOTIONAL_MAX": "1000000000",
    "TOLLGATE_STRATEGY__FAST_MS": "200",
    "TOLLGATE_STRATEGY__SLOW_MS": "800",
    "TOLLGATE_STRATEGY__WARMUP_MS": "0",
    "TOLLGATE_STRATEGY__ENTRY_BPS": "0.001",
    "TOLLGATE_STRATEGY__EXIT_BPS": "0.001",
    "TOLLGATE_STRATEGY__COOLDOWN_MS": "0",
    "TOLLGATE_STRATEGY__REJECTION_BACKOFF_MS": "50",
}


def busy(quotes_per_s: int, hold_ms: int = 200) -> dict[str, str]:
    """Return the environment of a desk that trades all the time; ``hold_ms`` bounds how long it keeps what it buys."""
    return {
        **_BUSY,
        "TOLLGATE_SIMVENUE__QUOTES_PER_S": str(quotes_per_s),
        "TOLLGATE_STRATEGY__MAX_HOLD_MS": str(hold_ms),
    }


@contextmanager
def running(state: Path, environment: dict[str, str]) -> Iterator[Platform]:
    """Run a platform for the block."""
    platform = Platform(state, environment, policy=UNPACED)
    try:
        platform.start()
        yield platform
    finally:
        if platform.process is not None and platform.process.poll() is None:
            platform.stop()


def measure(platform: Platform, seconds: float) -> tuple[Segment, Shape]:
    """Let the platform trade for ``seconds`` and return what became of each order, and what the tape looked like."""
    time.sleep(SETTLE_S)
    return asyncio.run(_measure(platform, seconds))


async def _measure(platform: Platform, seconds: float) -> tuple[Segment, Shape]:
    tape = await connect(platform)
    try:
        first = (await tape.bounds()).last + 1
        began_us = time.time_ns() // 1_000
        await asyncio.sleep(seconds)
        received = _received_us(platform.state, began_us)
        records = await read(tape, first)
    finally:
        await tape.close()
    messages = {record.sequence: (record, decode(record.data)) for record in records}
    journal = await _journal(platform, began_us)
    decisions = {m.intent_id: record for record, m in messages.values() if isinstance(m, Decision)}
    ways = []
    for sequence, (record, message) in messages.items():
        if not isinstance(message, Intent) or message.client_order_id not in received or message.id not in decisions:
            continue
        cause = messages.get(message.cause or sequence)
        row = journal.get(message.client_order_id)
        if cause is None or row is None or not isinstance(cause[1], Quote):
            continue
        line = next(line for line in cause[1].quotes if line.symbol == message.symbol)
        quoted = (line.venue_ts_us, cause[1].ts_us, cause[0].stored_us)
        stored = (record.stored_us, decisions[message.id].stored_us)
        ways.append(Way((*quoted, *stored, *row, received[message.client_order_id])))
    return Segment(ways, len(records) / seconds), _shape(list(messages.values()), seconds)


def _shape(messages: list[tuple[Record, Message]], seconds: float) -> Shape:
    def sizes(kind: type[Message]) -> list[float]:
        return [len(record.data) for record, message in messages if isinstance(message, kind)]

    quotes, intents, decisions = sizes(Quote), sizes(Intent), sizes(Decision)
    return Shape(int(median(quotes)), int(median(intents)), int(median(decisions)), len(intents) / seconds)


async def connect(platform: Platform) -> NatsTape:
    """Connect to the platform's tape with the console's read-only key."""
    seed = platform.state / "secrets" / "console" / "nats_seed"
    return await NatsTape.connect(
        f"nats://127.0.0.1:{platform.port('nats')}", seed, platform.place()["desk"], "console"
    )


async def read(tape: NatsTape, first: int) -> list[Record]:
    """Return everything on the tape from ``first`` to its present end."""
    end = (await tape.bounds()).last
    records: list[Record] = []
    while first + len(records) <= end:
        records += await tape.read(first + len(records), _BATCH)
    return records


def _received_us(state: Path, since_us: int) -> dict[str, int]:
    """Return the venue's own time of receiving each order, by client order id, from the venue's own file."""
    file = state / "services" / "simvenue" / "simvenue.sqlite"
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        return dict(
            connection.execute("SELECT client_order_id, received_us FROM orders WHERE received_us >= ?", (since_us,))
        )
    finally:
        connection.close()


async def _journal(platform: Platform, since_us: int) -> dict[str, tuple[int, int]]:
    """Return when each order's write-ahead began and when it was sent, from execution's journal."""
    dsn = (platform.state / "secrets" / "execution" / "postgres_dsn").read_text().strip()
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT client_order_id, prepared_us, sent_us FROM execution.journal"
            " WHERE prepared_us >= $1 AND sent_us IS NOT NULL",
            since_us,
        )
    finally:
        await connection.close()
    return {row["client_order_id"]: (row["prepared_us"], row["sent_us"]) for row in rows}
