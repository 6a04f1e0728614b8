"""The ledger's routes for readers: the books, read-only and by the page; what is asked here changes nothing.

Each answer is one statement's view of the books. Amounts are exact and stand as text.
"""

import json
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse

from tollgate_chassis.operator_door import Answer, OperatorDoor, Refused, caller
from tollgate_contracts.envelope import Symbol, TimeUs
from tollgate_contracts.subjects import writer_prefix
from tollgate_domain.attribution import By
from tollgate_ledger import queries
from tollgate_ledger.answers import (
    BooksNow,
    Day,
    EntryRow,
    EquityPoint,
    Group,
    OrderRow,
    Page,
    PositionRow,
    TradeCost,
    Trip,
)
from tollgate_ledger.core import EntryKind
from tollgate_ledger.queries import KEY_MAX, BadCursor, Wanted
from tollgate_ledger.reading import BooksReader, NotRead, TooLong, Unanswerable

# A thousand of our widest rows are a megabyte.
ROWS_MAX = 1_000
_FAULTS: dict[int | str, dict[str, Any]] = {
    422: {"model": Answer, "description": "A parameter is not as expected, or the answer takes too long to find."},
    500: {"model": Answer, "description": "The database did not take the question; the log says why."},
    503: {
        "model": Answer,
        "description": "The list of tokens or the database cannot be read now, or too many read at once.",
    },
}

_AFTER = "The `next` of the page before."
# One or two keys of at most as many digits as a bigint surely holds.
_CURSOR = r"^[0-9]{1,18}(\.[0-9]{1,18})?$"

Limit = Annotated[int, Query(ge=1, le=ROWS_MAX, description="How many rows at most.")]
From = Annotated[TimeUs, Query(description="At this time or later, in µs since 1970 UTC.")]
To = Annotated[TimeUs | None, Query(description="Before this time, in µs since 1970 UTC.")]
Who = Annotated[str, Depends(caller)]
"""The name of the token with which is asked."""
OfSymbol = Annotated[Symbol | None, Query(description="Of this symbol only.")]


async def _wanted(
    limit: Limit = 100,
    after: Annotated[str | None, Query(pattern=_CURSOR, description=_AFTER)] = None,
    newest_first: Annotated[bool, Query(description="Go back from the newest row, instead of on.")] = False,
    from_us: From = 0,
    to_us: To = None,
) -> Wanted:
    return Wanted(limit, after, newest_first, from_us, KEY_MAX if to_us is None else to_us)


Span = Annotated[Wanted, Depends(_wanted)]


def build_router(reading: BooksReader, door: OperatorDoor, desk: str) -> APIRouter:
    """Build the routes; the door guards each, and all of them need the scope ``read``."""
    router = door.router()
    _add_positions(router, reading, f"{writer_prefix(desk, 'ledger')}.books")
    _add_equity(router, reading)
    _add_trades(router, reading)
    _add_orders(router, reading, f"{writer_prefix(desk, 'execution')}.order")
    _add_attribution(router, reading)
    _add_entries(router, reading)
    return router


def add_books(router: APIRouter, books: Callable[[], dict[str, Any] | None]) -> None:
    """Add what the books say now, of which ``books`` returns the fields, or none where they are not kept."""

    @router.get("/books", response_model=BooksNow, responses=_FAULTS)
    async def get_books() -> Response:
        """Return cash, positions and worth as the active instance knows them now."""
        said = books()
        if said is None:
            raise Refused(503, "this instance is not the active one, or is catching up", retry_after_s=1)
        return JSONResponse(said)


def _add_positions(router: APIRouter, reading: BooksReader, subject: str) -> None:
    @router.get("/positions", response_model=Page[PositionRow], responses=_FAULTS)
    async def get_positions(
        who: Who, limit: Limit = 100, after: Annotated[Symbol | None, Query(description=_AFTER)] = None
    ) -> Response:
        """Return what is held, by symbol, as the books were last said and archived."""
        return await _page(reading, who, queries.positions_page(subject, limit, after or ""), limit, after)


def _add_equity(router: APIRouter, reading: BooksReader) -> None:
    @router.get("/equity", response_model=Page[EquityPoint], responses=_FAULTS)
    async def get_equity(who: Who, wanted: Span) -> Response:
        """Return what the desk was worth: a row for each time that the books were said, and for each day's end."""
        return await _rows(reading, who, "equity", queries.EQUITY, wanted)


def _add_trades(router: APIRouter, reading: BooksReader) -> None:
    @router.get("/trades", response_model=Page[Trip], responses=_FAULTS)
    async def get_trades(who: Who, wanted: Span, symbol: OfSymbol = None) -> Response:
        """Return the round trips that have ended, in the order in which they did; the span is of their end."""
        return await _rows(reading, who, "trades", queries.TRADES, wanted, symbol=symbol)

    @router.get("/fills", response_model=Page[TradeCost], responses=_FAULTS)
    async def get_fills(
        who: Who,
        wanted: Span,
        symbol: OfSymbol = None,
        trip: Annotated[int | None, Query(ge=1, le=KEY_MAX, description="Of this round trip only.")] = None,
    ) -> Response:
        """Return the booked fills and what each cost, in tape order; a bust is a row that takes one back."""
        return await _rows(reading, who, "fills", queries.FILLS, wanted, symbol=symbol, trip=trip)


def _add_orders(router: APIRouter, reading: BooksReader, subject: str) -> None:
    @router.get("/orders", response_model=Page[OrderRow], responses=_FAULTS)
    async def get_orders(who: Who, wanted: Span, symbol: OfSymbol = None) -> Response:
        """Return the last state of each order, in the order in which the tape took it; the span is of that time.

        An order that changes comes again, after all others: whoever goes on from `next` hears of every change.
        """
        one = None if symbol is None else f"{subject}.{symbol}"
        return await _rows(reading, who, "orders", queries.ORDERS, wanted, **{queries.SUBJECT: one})


def _add_attribution(router: APIRouter, reading: BooksReader) -> None:
    @router.get("/attribution", response_model=Page[Group], responses=_FAULTS)
    async def get_attribution(
        who: Who,
        by: By,
        limit: Limit = 100,
        after: Annotated[str | None, Query(max_length=128, description=_AFTER)] = None,
        from_us: From = 0,
        to_us: To = None,
    ) -> Response:
        """Return what the round trips that ended in the span have brought, summed by what they have in common."""
        wanted = await _wanted(limit, after, False, from_us, to_us)
        return await _page(reading, who, queries.attribution_page(by, wanted), limit, after)

    @router.get("/days", response_model=Page[Day], responses=_FAULTS)
    async def get_days(
        who: Who, limit: Limit = 100, after: Annotated[date | None, Query(description=_AFTER)] = None
    ) -> Response:
        """Return where the result of each UTC day came from, of the days that have ended."""
        page = queries.days_page(limit, after)
        return await _page(reading, who, page, limit, None if after is None else after.isoformat())


def _add_entries(router: APIRouter, reading: BooksReader) -> None:
    @router.get("/entries", response_model=Page[EntryRow], responses=_FAULTS)
    async def get_entries(
        who: Who, wanted: Span, kind: Annotated[EntryKind | None, Query(description="Of this kind only.")] = None
    ) -> Response:
        """Return the journal's entries with their postings, by number."""
        return await _rows(reading, who, "entries", queries.ENTRIES, wanted, kind=kind)


async def _rows(
    reading: BooksReader, who: str, name: str, table: queries.Table, wanted: Wanted, **equal: object
) -> Response:
    try:
        query = queries.page_of(name, table, wanted, **equal)
    except BadCursor as error:
        raise Refused(422, str(error)) from error
    return await _page(reading, who, query, wanted.limit, wanted.after)


async def _page(reading: BooksReader, who: str, query: queries.Query, limit: int, after: str | None) -> Response:
    try:
        found = await reading.fetch(query, who)
    except NotRead as error:
        raise Refused(503, str(error), retry_after_s=1) from error
    except TooLong as error:
        raise Refused(422, str(error)) from error
    except Unanswerable as error:
        raise Refused(500, str(error)) from error
    shown = found[:limit]
    last = json.dumps(shown[-1]["cursor"] if shown else after)
    more = json.dumps(len(found) > limit)
    # The rows are JSON already, as the database wrote them.
    rows = ",".join(row["row"] for row in shown)
    return Response(f'{{"rows":[{rows}],"next":{last},"more":{more}}}', media_type="application/json")
