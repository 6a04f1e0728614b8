"""Rows to read, as many as a test wants, and somebody with a token who asks for them."""

import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import httpx
from fastapi import FastAPI

from tollgate_chassis.operator_door import OperatorDoor
from tollgate_chassis.operator_trail import CallLog
from tollgate_chassis.operators import TOKENS_FILE, OperatorTokens, TokenList, TokenScope, mint
from tollgate_ledger.api import add_books, build_router
from tollgate_ledger.reading import BooksReader

MINTED = {scope: mint(scope.value, (scope,), time.time_ns() // 1_000, 30) for scope in TokenScope}
BEARERS = {scope.value: {"Authorization": f"Bearer {text}"} for scope, (_, text) in MINTED.items()}
SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT")
HOUR_US = 3_600_000_000
# A day's first microsecond, so that hours and days can be counted from it.
START_US = 1_700_006_400_000_000


def reader(
    directory: Path, reading: BooksReader, books: Callable[[], dict[str, Any] | None] = lambda: None
) -> httpx.AsyncClient:
    """Return a caller with the scope ``read``; a header of another scope may be given with a call."""
    path = directory / TOKENS_FILE
    path.write_text(TokenList(tokens=tuple(entry for entry, _ in MINTED.values())).model_dump_json())
    path.chmod(0o600)
    door = OperatorDoor(OperatorTokens.open(path, time.time_ns() // 1_000, needs=()), CallLog())
    app = FastAPI()
    router = build_router(reading, door, "main")
    add_books(router, books)
    app.include_router(router)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://ledger/v1", headers=BEARERS[TokenScope.READ.value]
    )


def amount(random: Random) -> Decimal:
    """Return an amount of any sign, of up to 36 digits after the point, often with zeros at its end."""
    digits = random.choice((0, 2, 18, 36))
    return Decimal(random.randint(-(10 ** (digits + 5)), 10 ** (digits + 5))).scaleb(-digits)


def _chance(number: int) -> Random:
    return Random(number)  # noqa: S311 - the same rows in every run


def trip(number: int, **changes: Any) -> dict[str, Any]:
    """Return a round trip that adds up; it ends at sequence 2 x ``number``, half an hour after the one before."""
    random = _chance(number)
    edge, slippage, fees, funding = (amount(random) for _ in range(4))
    row = {
        "number": number,
        "symbol": random.choice(SYMBOLS),
        "venue": "simulated",
        "side": "BUY",
        "opened_us": START_US,
        "closed_us": START_US + number * HOUR_US // 2,
        "opened_sequence": 1,
        "closed_sequence": 2 * number,
        "entry_price": abs(amount(random)),
        "exit_price": None,
        "quantity": abs(amount(random)),
        "fills": 2,
        "gross": edge - slippage,
        "edge": edge,
        "slippage": slippage,
        "fees": fees,
        "funding": funding,
        "net": edge - slippage - fees + funding,
        "risked": None,
        "trigger": "signal",
        "signal": random.choice(("momentum", "breakout", None)),
        "regime": random.choice(("calm", "wild", None)),
        "tier": random.choice(("a", "b", None)),
        "strength": Decimal("0.5"),
        "confidence": None,
        "strategy": "momentum",
        "cycle_id": 7,
        "config_hash": "a" * 64,
        "equity_before": amount(random),
        "equity_after": amount(random),
        "maker_share": Decimal("0.25"),
        "entry_order": "tg" + "0" * 30,
        "exit_order": None,
        "found_open": False,
    }
    return {**row, **changes}


def trade_cost(number: int, **changes: Any) -> dict[str, Any]:
    """Return what a fill at sequence 2 x ``number`` has cost."""
    random = _chance(number)
    row = {
        "tape_sequence": 2 * number,
        "ts_us": START_US + number,
        "symbol": SYMBOLS[number % 3],
        "trade_id": f"t{number}",
        "side": "SELL",
        "quantity": abs(amount(random)),
        "price": abs(amount(random)),
        "reference_price": None,
        "reference_source": None,
        "slippage": amount(random),
        "fee": amount(random),
        "fee_currency": random.choice(("USDT", "BNB")),
        "fee_value": amount(random),
        "maker": number % 2 == 0,
        "client_order_id": "tg" + "0" * 30,
        "trip": number // 4 + 1,
        "purpose": None,
        "signal": None,
        "regime": None,
        "tier": None,
        "strength": None,
        "confidence": None,
        "strategy": None,
        "cycle_id": 7,
        "config_hash": None,
        "fee_expected": None,
        "fee_finding": None,
        "slippage_expected": None,
    }
    return {**row, **changes}


_WORTH = (
    *("equity", "cash", "cost", "unrealized", "realized", "fees"),
    *("moved", "funding", "peak", "drawdown", "exposure", "treasury", "transfers", "charges", "other"),
)


def equity_point(number: int, **changes: Any) -> dict[str, Any]:
    """Return what the desk was worth at sequence 2 x ``number``."""
    random = _chance(number)
    row = {"ts_us": START_US + number, "tape_sequence": 2 * number, **{name: amount(random) for name in _WORTH}}
    return {**row, **changes}


async def seed(superuser: asyncpg.Connection, table: str, rows: list[dict[str, Any]]) -> None:
    """Put rows into a table of the ledger that name records which are not there; no trigger looks."""
    await superuser.execute("SET session_replication_role = replica")
    await superuser.copy_records_to_table(
        table, schema_name="ledger", columns=list(rows[0]), records=[tuple(row.values()) for row in rows]
    )
    await superuser.execute("SET session_replication_role = origin")


def archived(sequence: int, subject: str, body: bytes, stored_us: int = 0) -> dict[str, Any]:
    """Return a row of the archive whose chain nobody checks."""
    return {
        "tape_sequence": sequence,
        "message_id": f"m{sequence}",
        "subject": subject,
        "body": body,
        "headers": "{}",
        "stored_us": stored_us,
        "chain_hash": bytes(32),
    }
