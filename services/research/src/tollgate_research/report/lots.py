"""What was sold lot by lot, first in, first out: beside the average cost of the books, for whoever must report so.

One pass over every booked trade up to the end of the span, from the archive, for which lot is sold depends on all that
was bought before. What is held in memory are the open lots and no more. The gains in the file sum exactly to what has
been realized in the span by this method.
"""

import csv
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from tollgate_contracts.codec import decode
from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import ZERO, plain
from tollgate_contracts.reconciliation import Account, Movement
from tollgate_domain.instruments import notional
from tollgate_domain.lots import FifoBook, Lot
from tollgate_domain.portfolio import OversoldError, Portfolio
from tollgate_research.books import Connection
from tollgate_research.report import statements
from tollgate_research.report.configurations import taken
from tollgate_research.report.values import Report

# Rows fetched at once; a fill has about a kilobyte.
_FETCHED = 1_000


@dataclass(frozen=True, slots=True)
class Sale:
    """One row: what of one lot was sold by one trade; without a lot, what a fee or a bust has realized."""

    symbol: str
    tape_sequence: int
    sold_us: int
    sold_by: str
    gain: Decimal
    what: str
    """sale, fee, bust or movement."""
    bought_us: int | None = None
    bought_by: str | None = None
    """The trade; empty for what was held at opening."""
    quantity: Decimal | None = None
    cost: Decimal | None = None
    proceeds: Decimal | None = None


class _Books(NamedTuple):
    """The portfolio says what of a fee or of a movement is of a position, and the lots follow it."""

    portfolio: Portfolio
    lots: FifoBook


class NoLots(Exception):
    """More was sold than any lot holds: lots are of spot, and a perpetual has none."""


async def write_lots(connection: Connection, report: Report, path: Path) -> Path:
    """Write what was sold in the span, a row for each lot or part of one; return the file. Raises ``NoLots``.

    A fee that was paid out of a holding is a row without a lot, and so are a trade that was taken back and what went of
    a position without an order.
    """
    span, books = report.asked, await _open(connection, report)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(each.name for each in fields(Sale))
        async for record in connection.cursor(statements.BOOKED, report.change.last.tape_sequence, prefetch=_FETCHED):
            message = decode(bytes(record["body"]))
            sales = _follow(books, record["tape_sequence"], message)
            if span.from_us <= message.ts_us < span.until_us:
                writer.writerows(map(_texts, sales))
    return path


async def _open(connection: Connection, report: Report) -> _Books:
    """Begin with what the books were opened with."""
    books = _Books(Portfolio(report.provenance.quote_currency), FifoBook())
    record = await connection.fetchrow(statements.OPENING)
    account = None if record is None else decode(bytes(record["body"]))
    if record is None or not isinstance(account, Account):
        return books
    configs = await taken(connection, report.provenance.desk, record["tape_sequence"], record["tape_sequence"])
    books.portfolio.open(account, configs[0].parameters.symbols if configs else ())
    for symbol, holding in books.portfolio.holdings().items():
        books.lots.open(symbol, holding.quantity, account.ts_us)
    return books


def _follow(books: _Books, sequence: int, message: object) -> list[Sale]:
    if isinstance(message, Movement):
        return _carry(books, sequence, message)
    if not isinstance(message, Fill | Bust):
        return []
    portfolio, lots = books
    before, sales, trade_id = lots.realized, [], message.trade.trade_id
    try:
        if isinstance(message, Fill):
            sales = [_sale(message, sequence, lot) for lot in lots.apply(message, portfolio.apply(message))]
        else:
            lots.undo(message, portfolio.undo(message))
    except OversoldError as error:
        raise NoLots(f"{message.symbol} has no lots at record {sequence}: {error}") from error
    rest = lots.realized - before - sum((sale.gain for sale in sales), ZERO)
    if rest:
        what = "fee" if isinstance(message, Fill) else "bust"
        sales.append(Sale(message.symbol, sequence, message.ts_us, trade_id, rest, what))
    return sales


def _carry(books: _Books, sequence: int, movement: Movement) -> list[Sale]:
    before, carried = books.lots.realized, books.portfolio.move(movement)
    if carried is None or not carried.symbol:
        return []
    books.lots.carry(carried, movement.movement_id, movement.ts_us)
    gain = books.lots.realized - before
    return [Sale(carried.symbol, sequence, movement.ts_us, movement.movement_id, gain, "movement")] if gain else []


def _sale(fill: Fill, sequence: int, lot: Lot) -> Sale:
    proceeds = notional(fill.trade.price, lot.quantity)
    return Sale(
        symbol=fill.symbol,
        tape_sequence=sequence,
        sold_us=fill.ts_us,
        sold_by=fill.trade.trade_id,
        gain=proceeds - lot.cost,
        what="sale",
        bought_us=lot.at_us,
        bought_by=lot.trade_id,
        quantity=lot.quantity,
        cost=lot.cost,
        proceeds=proceeds,
    )


def _texts(sale: Sale) -> list[object]:
    values = (getattr(sale, each.name) for each in fields(sale))
    return [plain(value) if isinstance(value, Decimal) else value for value in values]
