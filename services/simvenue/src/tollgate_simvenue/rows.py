"""Orders, fills, busts and movements as rows of the store, and back.

Amounts in atoms are text: they outgrow 64 bits.
"""

from typing import Any

from tollgate_contracts.execution import Liquidity
from tollgate_contracts.reconciliation import MovementType
from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_simvenue.core.model import Bust, Fill, Movement, Order, OrderReason, OrderRequest, OrderStatus

SCHEMA = """
CREATE TABLE venue (id INTEGER PRIMARY KEY CHECK (id = 1), session INTEGER NOT NULL, balances TEXT NOT NULL);
CREATE TABLE orders (
    venue_order_id TEXT PRIMARY KEY, client_order_id TEXT NOT NULL, symbol TEXT NOT NULL,
    side TEXT NOT NULL, order_type TEXT NOT NULL, quantity INTEGER NOT NULL, limit_price INTEGER,
    time_in_force TEXT NOT NULL, post_only INTEGER NOT NULL, received_us INTEGER NOT NULL,
    trigger_price INTEGER, good_until_us INTEGER,
    status TEXT NOT NULL, reason TEXT, cumulative_quantity INTEGER NOT NULL, cumulative_quote TEXT NOT NULL,
    busted_quantity INTEGER NOT NULL, triggered INTEGER NOT NULL, updated_us INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX orders_of_client ON orders (client_order_id);
CREATE TABLE fills (
    fill_sequence INTEGER PRIMARY KEY, trade_id TEXT NOT NULL, client_order_id TEXT NOT NULL,
    symbol TEXT NOT NULL, side TEXT NOT NULL, price INTEGER NOT NULL, quantity INTEGER NOT NULL,
    fee TEXT NOT NULL, fee_currency TEXT NOT NULL, liquidity TEXT NOT NULL,
    cumulative_quantity INTEGER NOT NULL, venue_ts_us INTEGER NOT NULL, venue_order_id TEXT NOT NULL);
CREATE INDEX fills_of_order ON fills (venue_order_id, fill_sequence);
CREATE TABLE busts (
    fill_sequence INTEGER PRIMARY KEY, trade_id TEXT NOT NULL UNIQUE, client_order_id TEXT NOT NULL,
    symbol TEXT NOT NULL, side TEXT NOT NULL, venue_ts_us INTEGER NOT NULL, venue_order_id TEXT NOT NULL);
CREATE TABLE movements (
    movement_sequence INTEGER PRIMARY KEY, movement_id TEXT NOT NULL, type TEXT NOT NULL, currency TEXT NOT NULL,
    amount TEXT NOT NULL, symbol TEXT, venue_ts_us INTEGER NOT NULL);
"""
PUT_ORDER = "INSERT OR REPLACE INTO orders VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
PUT_FILL = "INSERT INTO fills VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
PUT_BUST = "INSERT INTO busts VALUES (?,?,?,?,?,?,?)"
PUT_MOVEMENT = "INSERT INTO movements VALUES (?,?,?,?,?,?,?)"

Row = tuple[Any, ...]


def order_row(order: Order) -> Row:
    """Return an order as a row."""
    request = order.request
    return (
        order.venue_order_id,
        request.client_order_id,
        request.symbol,
        request.side,
        request.order_type,
        request.quantity,
        request.limit_price,
        request.time_in_force,
        request.post_only,
        request.received_us,
        request.trigger_price,
        request.good_until_us,
        order.status,
        order.reason,
        order.cumulative_quantity,
        str(order.cumulative_quote),
        order.busted_quantity,
        order.triggered,
        order.updated_us,
    )


def order_of(row: Row) -> Order:
    """Return the order in a row, without its fills."""
    request = OrderRequest(
        client_order_id=row[1],
        symbol=row[2],
        side=Side(row[3]),
        order_type=OrderType(row[4]),
        quantity=row[5],
        limit_price=row[6],
        time_in_force=TimeInForce(row[7]),
        post_only=bool(row[8]),
        received_us=row[9],
        trigger_price=row[10],
        good_until_us=row[11],
    )
    return Order(
        request=request,
        venue_order_id=row[0],
        status=OrderStatus(row[12]),
        reason=None if row[13] is None else OrderReason(row[13]),
        cumulative_quantity=row[14],
        cumulative_quote=int(row[15]),
        busted_quantity=row[16],
        triggered=bool(row[17]),
        updated_us=row[18],
    )


def fill_row(fill: Fill) -> Row:
    """Return a fill as a row."""
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
        fill.venue_order_id,
    )


def fill_of(row: Row) -> Fill:
    """Return the fill in a row."""
    sequence, trade_id, client_id, symbol, side, price, quantity, fee, currency, liquidity, total, ts_us, venue_id = row
    return Fill(
        sequence, trade_id, client_id, symbol, Side(side), price, quantity, int(fee), currency,
        Liquidity(liquidity), total, ts_us, venue_id,
    )  # fmt: skip


def bust_row(bust: Bust) -> Row:
    """Return a bust as a row."""
    return (
        bust.fill_sequence,
        bust.trade_id,
        bust.client_order_id,
        bust.symbol,
        bust.side,
        bust.venue_ts_us,
        bust.venue_order_id,
    )


def bust_of(row: Row) -> Bust:
    """Return the bust in a row."""
    sequence, trade_id, client_order_id, symbol, side, ts_us, venue_order_id = row
    return Bust(sequence, trade_id, client_order_id, symbol, Side(side), ts_us, venue_order_id)


def movement_row(movement: Movement) -> Row:
    """Return a movement as a row."""
    return (
        movement.movement_sequence,
        movement.movement_id,
        movement.type,
        movement.currency,
        str(movement.amount),
        movement.symbol,
        movement.venue_ts_us,
    )


def movement_of(row: Row) -> Movement:
    """Return the movement in a row."""
    sequence, movement_id, movement_type, currency, amount, symbol, ts_us = row
    return Movement(sequence, movement_id, MovementType(movement_type), currency, int(amount), symbol, ts_us)
