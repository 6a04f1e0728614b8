"""What was sold lot by lot, first in, first out: beside the average cost of the books, for whoever must report so.

One pass over every booked trade up to the end of the span, from the archive, for which lot is sold depends on all that
was bought before. What is held in memory are the open lots and no more. The gains in the file sum exactly to what has
been realized in the span by this method.
"""

import csv
import json
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path

from tollgate_contracts.codec import decode
from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import ZERO, plain
from tollgate_contracts.subjects import writer_prefix
from tollgate_domain.instruments import notional
from tollgate_domain.lots import FifoBook, Lot
from tollgate_domain.portfolio import OversoldError
from tollgate_research.report import statements
from tollgate_research.report.reading import Connection
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
    """sale, fee or bust."""
    bought_us: int | None = None
    bought_by: str | None = None
    """The trade; empty for what was held at opening."""
    quantity: Decimal | None = None
    cost: Decimal | None = None
    proceeds: Decimal | None = None


class NoLots(Exception):
    """More was sold than any lot holds: lots are of spot, and a perpetual has none."""


async def write_lots(connection: Connection, report: Report, path: Path) -> Path:
    """Write what was sold in the span, a row for each lot or part of one; return the file. Raises ``NoLots``.

    A fee that was paid out of a holding is a row without a lot, and so is a trade that was taken back.
    """
    span, book = report.asked, FifoBook()
    await _open(connection, report, book)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(each.name for each in fields(Sale))
        async for record in connection.cursor(statements.TRADES, report.change.last.tape_sequence, prefetch=_FETCHED):
            message = decode(bytes(record["body"]))
            sales = _follow(book, record["tape_sequence"], message)
            if span.from_us <= message.ts_us < span.until_us:
                writer.writerows(map(_texts, sales))
    return path


async def _open(connection: Connection, report: Report, book: FifoBook) -> None:
    """Begin with what was held of the desk's symbols at opening."""
    subject = f"{writer_prefix(report.provenance.desk, 'ledger')}.config"
    body = await connection.fetchval(statements.FIRST_CONFIG, subject)
    symbols = {} if body is None else dict.fromkeys(json.loads(json.loads(body)["text"]).get("symbols", ()))
    for row in await connection.fetch(statements.OPENING):
        symbol = f"{row['currency']}-{report.provenance.quote_currency}"
        if symbol in symbols:
            book.open(symbol, row["amount"], row["ts_us"])


def _follow(book: FifoBook, sequence: int, message: object) -> list[Sale]:
    if not isinstance(message, Fill | Bust):
        return []
    before, sales, trade_id = book.realized, [], message.trade.trade_id
    try:
        if isinstance(message, Fill):
            sales = [_sale(message, sequence, lot) for lot in book.apply(message)]
        else:
            book.undo(message)
    except OversoldError as error:
        raise NoLots(f"{message.symbol} has no lots at record {sequence}: {error}") from error
    rest = book.realized - before - sum((sale.gain for sale in sales), ZERO)
    if rest:
        what = "fee" if isinstance(message, Fill) else "bust"
        sales.append(Sale(message.symbol, sequence, message.ts_us, trade_id, rest, what))
    return sales


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
