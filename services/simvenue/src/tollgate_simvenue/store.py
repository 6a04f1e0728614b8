"""What the exchange must still know after a restart: balances, orders, fills, busts and movements, in one SQLite file.

The law of this module: what an answer or a frame says is in the file before it is said, so that a killed process
takes nothing back. The file is not forced to disk with each order (``synchronous=NORMAL``): it outlives the
process, and a power cut may cost it the last moments.
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tollgate_domain.costs import DAY_US, VOLUME_DAYS, TradedVolume
from tollgate_simvenue import rows
from tollgate_simvenue.core.account import Account
from tollgate_simvenue.core.model import (
    Bust,
    Event,
    Fill,
    MoneyMoved,
    Movement,
    Order,
    OrderBusted,
    OrderChanged,
    OrderFilled,
    OrderReason,
    OrderStatus,
)
from tollgate_simvenue.core.units import notional_value

SCHEMA_VERSION = 2
_STANDING = " AND trade_id NOT IN (SELECT trade_id FROM busts)"


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
    movement_sequence: int
    cancelled: int
    """How many orders were open and are cancelled now."""
    traded: TradedVolume
    """What the tier of the fees follows from."""


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
            self._database.executescript(f"BEGIN;{rows.SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
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
        fill_sequence = max(self._newest("fill_sequence", "fills"), self._newest("fill_sequence", "busts"))
        movement_sequence = self._newest("movement_sequence", "movements")
        traded = self._traded(now_us)
        return Restored(session + 1, balances, known_ids, fill_sequence, movement_sequence, cancelled, traded)

    def save(self, session: int, account: Account, events: Iterable[Event]) -> None:
        """Store what events say of the account, and the balances after them, all or nothing."""
        orders: dict[str, Order] = {}
        news: list[tuple[str, rows.Row]] = []
        for event in events:
            match event:
                case OrderChanged(order=order):
                    orders[order.venue_order_id] = order
                case OrderFilled(fill=fill):
                    news.append((rows.PUT_FILL, rows.fill_row(fill)))
                case OrderBusted(bust=bust):
                    news.append((rows.PUT_BUST, rows.bust_row(bust)))
                case MoneyMoved(movement):
                    news.append((rows.PUT_MOVEMENT, rows.movement_row(movement)))
        if not orders and not news:
            return
        self._database.execute("BEGIN IMMEDIATE")
        for order in orders.values():
            self._database.execute(rows.PUT_ORDER, rows.order_row(order))
        for statement, row in news:
            self._database.execute(statement, row)
        self._put_venue(session, account)
        self._database.execute("COMMIT")

    def order(self, client_order_id: str) -> Order | None:
        """Return an order with its fills, however old; the newest where several have the id."""
        # Ids of one start have no order as text, so the row says which came last.
        return self._order("client_order_id=? ORDER BY received_us DESC, updated_us DESC", client_order_id)

    def order_of_venue_id(self, venue_order_id: str) -> Order | None:
        """Return an order with its fills by the exchange's own id, however old."""
        return self._order("venue_order_id=?", venue_order_id)

    def order_of_trade(self, trade_id: str) -> Order | None:
        """Return the order that a trade filled; it looks at every fill."""
        found = self._database.execute("SELECT venue_order_id FROM fills WHERE trade_id=?", (trade_id,)).fetchone()
        return None if found is None else self.order_of_venue_id(found[0])

    def orders_since(self, since_us: int, limit: int) -> list[Order]:
        """Return at most ``limit`` orders that changed at or after ``since_us``, oldest first; it reads them all."""
        found = self._database.execute(
            "SELECT * FROM orders WHERE updated_us>=? ORDER BY updated_us LIMIT ?", (since_us, limit)
        ).fetchall()
        return [self._with_fills(rows.order_of(row)) for row in found]

    def fills_since(self, fill_sequence: int, limit: int) -> list[Fill | Bust]:
        """Return at most ``limit`` fills and busts after ``fill_sequence``, oldest first."""
        where = "WHERE fill_sequence>? ORDER BY fill_sequence LIMIT ?"
        fills = self._database.execute(f"SELECT * FROM fills {where}", (fill_sequence, limit))  # noqa: S608 - a constant
        found: list[Fill | Bust] = [rows.fill_of(row) for row in fills]
        busts = self._database.execute(f"SELECT * FROM busts {where}", (fill_sequence, limit))  # noqa: S608 - a constant
        found += [rows.bust_of(row) for row in busts]
        return sorted(found, key=lambda each: each.fill_sequence)[:limit]

    def movements_since(self, movement_sequence: int, limit: int) -> list[Movement]:
        """Return at most ``limit`` movements after ``movement_sequence``, oldest first."""
        found = self._database.execute(
            "SELECT * FROM movements WHERE movement_sequence>? ORDER BY movement_sequence LIMIT ?",
            (movement_sequence, limit),
        )
        return [rows.movement_of(row) for row in found]

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

    def _traded(self, now_us: int) -> TradedVolume:
        """Add up the trades that stand, newest first, as far back as any tier looks."""
        traded = TradedVolume()
        oldest_us = (now_us // DAY_US - VOLUME_DAYS) * DAY_US
        found = self._database.execute(
            f"SELECT venue_ts_us, price, quantity FROM fills WHERE TRUE{_STANDING} ORDER BY fill_sequence DESC"  # noqa: S608 - a constant
        )
        for venue_ts_us, price, quantity in found:
            if venue_ts_us < oldest_us:
                break
            traded.add(venue_ts_us, notional_value(price * quantity))
        found.close()
        return traded

    def _order(self, where: str, value: str) -> Order | None:
        row = self._database.execute(f"SELECT * FROM orders WHERE {where}", (value,)).fetchone()  # noqa: S608 - a constant
        return None if row is None else self._with_fills(rows.order_of(row))

    def _with_fills(self, order: Order) -> Order:
        """Add the trades that stand."""
        found = self._database.execute(
            f"SELECT * FROM fills WHERE venue_order_id=?{_STANDING} ORDER BY fill_sequence",  # noqa: S608 - a constant
            (order.venue_order_id,),
        )
        order.fills.extend(rows.fill_of(row) for row in found)
        return order

    def _newest(self, column: str, table: str) -> int:
        (newest,) = self._database.execute(f"SELECT coalesce(max({column}), 0) FROM {table}").fetchone()  # noqa: S608 - constants
        return int(newest)

    def _put_venue(self, session: int, account: Account) -> None:
        balances = {name: [str(account.free[name]), str(account.locked[name])] for name in account.currencies()}
        self._database.execute("INSERT OR REPLACE INTO venue VALUES (1, ?, ?)", (session, json.dumps(balances)))


def _all_free(text: str) -> dict[str, int]:
    return {currency: int(free) + int(locked) for currency, (free, locked) in json.loads(text).items()}
