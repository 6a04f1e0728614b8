"""What the exchange must still know after a restart: balances, orders and fills, in one SQLite file.

The law of this module: what an answer or a frame says is in the file before it is said, so that a killed process
takes nothing back. The file is not forced to disk with each order (``synchronous=NORMAL``): it outlives the
process, and a power cut may cost it the last moments.
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tollgate_contracts.execution import Liquidity
from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_simvenue.core.account import Account
from tollgate_simvenue.core.model import (
    Event,
    Fill,
    Order,
    OrderChanged,
    OrderFilled,
    OrderReason,
    OrderRequest,
    OrderStatus,
)

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE venue (id INTEGER PRIMARY KEY CHECK (id = 1), session INTEGER NOT NULL, balances TEXT NOT NULL);
CREATE TABLE orders (
    client_order_id TEXT PRIMARY KEY, venue_order_id TEXT NOT NULL UNIQUE, symbol TEXT NOT NULL,
    side TEXT NOT NULL, order_type TEXT NOT NULL, quantity INTEGER NOT NULL, limit_price INTEGER,
    time_in_force TEXT NOT NULL, post_only INTEGER NOT NULL, received_us INTEGER NOT NULL,
    status TEXT NOT NULL, reason TEXT, cumulative_quantity INTEGER NOT NULL, cumulative_quote TEXT NOT NULL,
    updated_us INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE fills (
    fill_sequence INTEGER PRIMARY KEY, trade_id TEXT NOT NULL, client_order_id TEXT NOT NULL,
    symbol TEXT NOT NULL, side TEXT NOT NULL, price INTEGER NOT NULL, quantity INTEGER NOT NULL,
    fee TEXT NOT NULL, fee_currency TEXT NOT NULL, liquidity TEXT NOT NULL,
    cumulative_quantity INTEGER NOT NULL, venue_ts_us INTEGER NOT NULL);
CREATE INDEX fills_of_order ON fills (client_order_id, fill_sequence);
"""
_PUT_ORDER = "INSERT OR REPLACE INTO orders VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_PUT_FILL = "INSERT INTO fills VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"


class StoreError(Exception):
    """The file is not one that this version can use."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What the exchange goes on from."""

    session: int
    """Which start of the exchange this is; the first is 1."""
    balances: dict[str, int]
    """In atoms, all free: no order is open after a restart."""
    known_ids: frozenset[str]
    fill_sequence: int
    cancelled: int
    """How many orders were open and are cancelled now."""


class Store:
    """The file, opened by one process."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        # Moving the log into the file waits for the disk; ``checkpoint`` does it outside the event loop.
        self._database.execute("PRAGMA wal_autocheckpoint=0")

    def open(self, opening_balances: dict[str, int], now_us: int) -> Restored:
        """Make or take up the file: number this start, and cancel what was open; raises ``StoreError``."""
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._database.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        elif version != SCHEMA_VERSION:
            raise StoreError(
                f"{self._path} has layout {version}, {SCHEMA_VERSION} is expected: move the file away to start anew"
            )
        self._database.execute("BEGIN IMMEDIATE")
        row = self._database.execute("SELECT session, balances FROM venue").fetchone()
        session, balances = (0, opening_balances) if row is None else (row[0], _all_free(row[1]))
        cancelled = self._database.execute(
            "UPDATE orders SET status=?, reason=?, updated_us=? WHERE status=?",
            (OrderStatus.CANCELLED, OrderReason.VENUE_RESTARTED, now_us, OrderStatus.OPEN),
        ).rowcount
        self._put_venue(session + 1, Account(balances))
        self._database.execute("COMMIT")
        known_ids = frozenset(name for (name,) in self._database.execute("SELECT client_order_id FROM orders"))
        (fill_sequence,) = self._database.execute("SELECT coalesce(max(fill_sequence), 0) FROM fills").fetchone()
        return Restored(session + 1, balances, known_ids, fill_sequence, cancelled)

    def save(self, session: int, account: Account, events: Iterable[Event]) -> None:
        """Store what events say of orders and fills, and the balances after them, all or nothing."""
        orders: dict[str, Order] = {}
        fills: list[Fill] = []
        for event in events:
            if isinstance(event, OrderChanged):
                orders[event.order.request.client_order_id] = event.order
            elif isinstance(event, OrderFilled):
                fills.append(event.fill)
        if not orders and not fills:
            return
        self._database.execute("BEGIN IMMEDIATE")
        for order in orders.values():
            self._database.execute(_PUT_ORDER, _order_row(order))
        for fill in fills:
            self._database.execute(_PUT_FILL, _fill_row(fill))
        self._put_venue(session, account)
        self._database.execute("COMMIT")

    def order(self, client_order_id: str) -> Order | None:
        """Return an order with its fills, however old."""
        row = self._database.execute("SELECT * FROM orders WHERE client_order_id=?", (client_order_id,)).fetchone()
        if row is None:
            return None
        order = _order(row)
        fills = self._database.execute(
            "SELECT * FROM fills WHERE client_order_id=? ORDER BY fill_sequence", (client_order_id,)
        )
        order.fills.extend(_fill(row) for row in fills)
        return order

    def fills_since(self, fill_sequence: int, limit: int) -> list[Fill]:
        """Return at most ``limit`` fills after ``fill_sequence``, oldest first."""
        rows = self._database.execute(
            "SELECT * FROM fills WHERE fill_sequence>? ORDER BY fill_sequence LIMIT ?", (fill_sequence, limit)
        )
        return [_fill(row) for row in rows]

    def checkpoint(self) -> None:
        """Move the log into the file; for a thread of its own, because it waits for the disk."""
        database = sqlite3.connect(self._path, isolation_level=None)
        try:
            database.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            database.close()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _put_venue(self, session: int, account: Account) -> None:
        balances = {name: [str(account.free[name]), str(account.locked[name])] for name in account.currencies()}
        self._database.execute("INSERT OR REPLACE INTO venue VALUES (1, ?, ?)", (session, json.dumps(balances)))


def _all_free(text: str) -> dict[str, int]:
    return {currency: int(free) + int(locked) for currency, (free, locked) in json.loads(text).items()}


def _order_row(order: Order) -> tuple[str | int | None, ...]:
    request = order.request
    return (
        request.client_order_id,
        order.venue_order_id,
        request.symbol,
        request.side,
        request.order_type,
        request.quantity,
        request.limit_price,
        request.time_in_force,
        request.post_only,
        request.received_us,
        order.status,
        order.reason,
        order.cumulative_quantity,
        str(order.cumulative_quote),
        order.updated_us,
    )


def _order(
    row: tuple[str, str, str, str, str, int, int | None, str, int, int, str, str | None, int, str, int],
) -> Order:
    request = OrderRequest(
        client_order_id=row[0],
        symbol=row[2],
        side=Side(row[3]),
        order_type=OrderType(row[4]),
        quantity=row[5],
        limit_price=row[6],
        time_in_force=TimeInForce(row[7]),
        post_only=bool(row[8]),
        received_us=row[9],
    )
    return Order(
        request=request,
        venue_order_id=row[1],
        status=OrderStatus(row[10]),
        updated_us=row[14],
        cumulative_quantity=row[12],
        cumulative_quote=int(row[13]),
        reason=None if row[11] is None else OrderReason(row[11]),
    )


def _fill_row(fill: Fill) -> tuple[str | int, ...]:
    return (
        fill.fill_sequence,
        fill.trade_id,
        fill.client_order_id,
        fill.symbol,
        fill.side,
        fill.price,
        fill.quantity,
        str(fill.fee),
        fill.fee_currency,
        fill.liquidity,
        fill.cumulative_quantity,
        fill.venue_ts_us,
    )


def _fill(row: tuple[int, str, str, str, str, int, int, str, str, str, int, int]) -> Fill:
    sequence, trade_id, client_order_id, symbol, side, price, quantity, fee, currency, liquidity, total, ts_us = row
    return Fill(
        sequence, trade_id, client_order_id, symbol, Side(side), price, quantity, int(fee), currency,
        Liquidity(liquidity), total, ts_us,
    )  # fmt: skip
