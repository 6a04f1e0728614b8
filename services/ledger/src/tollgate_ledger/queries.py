"""The SQL of whoever reads the books, so that every statement that a reader may cause stands on one page.

The database itself writes the rows as JSON: what is read is passed on and not looked into, so a long page costs the
process that books next to nothing. Pages follow a key that only grows; what is committed later comes later.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum, unique
from typing import get_type_hints

from tollgate_domain.attribution import By
from tollgate_ledger.answers import Day, EntryRow, EquityPoint, Group, Plain, Row, TradeCost, Trip

# The largest bigint: before every key when one goes back, after every time.
KEY_MAX = 2**63 - 1


class BadCursor(Exception):
    """A cursor that no page of this table has given."""


@unique
class Lane(Enum):
    """By which connections a statement goes, and so what it waits for and how long it may take."""

    PAGES = "pages"
    """A page: milliseconds."""
    SUMS = "sums"
    """Over as many rows as there are."""
    WORDS = "words"
    """For an operator's word."""


@dataclass(frozen=True, slots=True)
class Query:
    """One statement; that of a page returns rows of ``cursor`` and ``row``, the row as JSON text."""

    name: str
    """By which its time is measured."""
    sql: str
    arguments: tuple[object, ...]
    lane: Lane = Lane.PAGES


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which page of a table is wanted; at most ``limit`` rows, and one more if there is one."""

    limit: int
    after: str | None = None
    """The cursor of the last row of the page before."""
    newest_first: bool = False
    from_us: int = 0
    to_us: int = KEY_MAX


@dataclass(frozen=True, slots=True)
class Table:
    """What is paged through: its rows, the keys that together only grow, and the time by which a span is chosen."""

    name: str
    columns: str
    keys: tuple[str, ...]
    time: str
    only: str = "true"
    """What must hold of a row of ``found``; looked at row by row in the order of the keys, until the page is full."""


def _columns(row: type[Row], special: Mapping[str, str] | None = None) -> str:
    """Return a select list that yields the fields of ``row`` in their order; ``special`` are expressions by field."""
    expressions = special or {}
    fields = get_type_hints(row, include_extras=True)
    exact = {name for name, hint in fields.items() if hint in (Plain, Plain | None)}
    return ", ".join(
        f"{expressions.get(name, _text(name) if name in exact else name)} AS {name}" for name in row.model_fields
    )


def _text(expression: str) -> str:
    return f"trim_scale({expression})::text"


_POSTINGS = f"""
(SELECT json_agg(json_build_object('account', account, 'currency', currency, 'amount', {_text("amount")})
                 ORDER BY line) FROM ledger.postings WHERE entry_id = found.id)
"""  # noqa: S608 - put together from our own words
# No later state of the same order lies in the archive.
_LAST_STATE = """
found.tape_sequence = (SELECT later.tape_sequence FROM ledger.order_states AS later
                       WHERE later.order_key = found.order_key ORDER BY later.tape_sequence DESC LIMIT 1)
"""

EQUITY = Table("ledger.equity", _columns(EquityPoint), ("tape_sequence",), "ts_us")
# Not by number: a trip that was opened later may end sooner. And one fill may end two, where its fee ends another.
TRADES = Table("ledger.trips", _columns(Trip), ("closed_sequence", "number"), "closed_us")
FILLS = Table("ledger.trade_costs", _columns(TradeCost), ("tape_sequence",), "ts_us")
# The expression of an index; every subject of ours is shorter.
SUBJECT = "left(subject, 200)"
ORDERS = Table(
    "ledger.order_states",
    'tape_sequence, stored_us, ledger.readable(body) AS "order"',
    ("tape_sequence",),
    "stored_us",
    _LAST_STATE,
)
ENTRIES = Table(
    "ledger.entries",
    _columns(EntryRow, {"chain_hash": "encode(chain_hash, 'hex')", "postings": _POSTINGS}),
    ("id",),
    "ts_us",
)


def page_of(name: str, table: Table, wanted: Wanted, **equal: object) -> Query:
    """Return the query for one page; of ``equal``, what is not None must be the column's value.

    Raises ``BadCursor`` when the page before was another table's.
    """
    sign, direction, beginning = ("<", "DESC", KEY_MAX) if wanted.newest_first else (">", "ASC", -1)
    after = [beginning] * len(table.keys) if wanted.after is None else [int(key) for key in wanted.after.split(".")]
    if len(after) != len(table.keys):
        raise BadCursor(f"after: {wanted.after} is no cursor of {name}")
    keys, order = ", ".join(table.keys), ", ".join(f"{key} {direction}" for key in table.keys)
    places = ", ".join(f"${place}::bigint" for place in range(2, 2 + len(table.keys)))
    asked = [
        (f"{table.time} >=", wanted.from_us or None),
        (f"{table.time} <", None if wanted.to_us == KEY_MAX else wanted.to_us),
        *((f"{column} =", value) for column, value in equal.items()),
    ]
    # OFFSET keeps the two apart: the rows come in order, and ``only`` is asked of no more of them than are needed,
    # whatever the database believes of how many there are.
    # Only what was asked for stands in the statement, so that the database plans for that.
    narrowing = [(comparison, value) for comparison, value in asked if value is not None]
    conditions = "".join(
        f" AND {comparison} ${place}" for place, (comparison, _) in enumerate(narrowing, start=2 + len(table.keys))
    )
    sql = f"""
        WITH page AS (SELECT {table.columns}
                      FROM (SELECT * FROM {table.name} WHERE ({keys}) {sign} ({places}){conditions}
                            ORDER BY {order} OFFSET 0) AS found
                      WHERE {table.only} LIMIT $1)
        SELECT concat_ws('.', {keys}) AS cursor, row_to_json(page)::text AS row FROM page ORDER BY {order}
    """  # noqa: S608 - put together from our own words; what a caller says is a parameter
    return Query(name, sql, (wanted.limit + 1, *after, *(value for _, value in narrowing)))


_TO_CORRECT = f"""
SELECT id AS number, desk, venue, kind, tape_sequence, message_id, ts_us, run_id, cycle_id,
       symbol, trade_id, client_order_id, config_hash, protects, movement_id, fee_rate, fee_rate_source, reverses,
       chain_hash, (SELECT chain_hash FROM ledger.entries AS before WHERE before.id = found.id - 1) AS previous,
       {_POSTINGS}::text AS postings,
       EXISTS (SELECT FROM ledger.entries AS later WHERE later.reverses = found.id) AS is_corrected
FROM ledger.entries AS found WHERE id = $1
"""  # noqa: S608 - put together from our own words


def entry_to_correct(number: int) -> Query:
    """Return the query for one entry with its lines, and whether it was taken back already; no row where it is none."""
    return Query("correction", _TO_CORRECT, (number,), Lane.WORDS)


# What the books were said to hold last, as it was said.
_POSITIONS = """
WITH books AS (SELECT convert_from(body, 'UTF8')::json AS message FROM ledger.archive
               WHERE left(subject, 200) = $1 ORDER BY tape_sequence DESC LIMIT 1),
     page AS (SELECT message -> 'as_of' AS as_of, message -> 'ts_us' AS ts_us, held AS "position"
              FROM books, json_array_elements(message -> 'positions') AS held
              WHERE (held ->> 'symbol') COLLATE "C" > $2 ORDER BY (held ->> 'symbol') COLLATE "C" LIMIT $3)
SELECT page."position" ->> 'symbol' AS cursor, row_to_json(page)::text AS row
FROM page ORDER BY (page."position" ->> 'symbol') COLLATE "C"
"""

# The same groups as those of ``tollgate_domain.attribution``.
_KEY_OF = {
    By.SIGNAL: "coalesce(signal, '')",
    By.SYMBOL: "symbol",
    By.REGIME: "coalesce(regime, '')",
    By.TIER: "coalesce(tier, '')",
    By.HOUR: "lpad((closed_us / 3600000000 % 24)::text, 2, '0')",
    By.DAY: "(date '1970-01-01' + (closed_us / 86400000000)::integer)::text",
}
# Gross and net follow from the others in each row, by a constraint of the table, and so in each sum.
_GROSS = "sum(edge) - sum(slippage)"
_SUMS = {
    **{name: _text(f"sum({name})") for name in ("edge", "slippage", "fees", "funding")},
    "gross": _text(_GROSS),
    "net": _text(f"{_GROSS} - sum(fees) + sum(funding)"),
}


def positions_page(subject: str, limit: int, after: str) -> Query:
    """Return the query for the positions in the last message of ``subject``, by symbol."""
    return Query("positions", _POSITIONS, (subject, after, limit + 1))


def attribution_page(by: By, wanted: Wanted) -> Query:
    """Return the query for the sums over the round trips that ended in the span, by key."""
    sql = f"""
        WITH page AS (SELECT {_columns(Group, {"key": "key", "trips": "count(*)", **_SUMS})}
                      FROM (SELECT ({_KEY_OF[by]}) COLLATE "C" AS key, trips.* FROM ledger.trips) AS keyed
                      WHERE closed_us >= $1 AND closed_us < $2 AND ($3::text IS NULL OR key > $3::text)
                      GROUP BY key ORDER BY key LIMIT $4)
        SELECT key AS cursor, row_to_json(page)::text AS row FROM page ORDER BY key
    """  # noqa: S608 - put together from our own words; what a caller says is a parameter
    return Query("attribution", sql, (wanted.from_us, wanted.to_us, wanted.after, wanted.limit + 1), Lane.SUMS)


# A day before all days.
_NO_DAY = date(1970, 1, 1)
_DAYS = f"""
WITH page AS (SELECT {_columns(Day)} FROM ledger.days WHERE day > $1 ORDER BY day LIMIT $2)
SELECT day::text AS cursor, row_to_json(page)::text AS row FROM page ORDER BY day
"""  # noqa: S608 - put together from our own words


def days_page(limit: int, after: date | None) -> Query:
    """Return the query for the days that have ended."""
    return Query("days", _DAYS, (after or _NO_DAY, limit + 1))
