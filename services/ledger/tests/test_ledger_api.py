"""What the ledger answers to its readers: every row once, every digit, and nothing to anybody without a token."""

from dataclasses import fields
from decimal import Decimal
from types import SimpleNamespace

import pytest
from ledger_readers import (
    BEARERS,
    HOUR_US,
    START_US,
    SYMBOLS,
    archived,
    equity_point,
    reader,
    seed,
    trade_cost,
    trip,
)

from tollgate_chassis.tape import MemoryTape
from tollgate_contracts.codec import encode
from tollgate_contracts.execution import OrderState
from tollgate_contracts.money import plain
from tollgate_contracts.subjects import tape_subject
from tollgate_domain.attribution import By, grouped, whole
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
from tollgate_ledger.core import rows as core
from tollgate_ledger.reading import BooksReader

PAGES = {
    "positions": Page[PositionRow],
    "equity": Page[EquityPoint],
    "trades": Page[Trip],
    "fills": Page[TradeCost],
    "orders": Page[OrderRow],
    "attribution?by=signal": Page[Group],
    "days": Page[Day],
    "entries": Page[EntryRow],
}
# What is seeded for each of the tables that are paged alike, and by what its rows are told apart.
TABLES = {
    "equity": ("equity", equity_point, "tape_sequence"),
    "trades": ("trips", trip, "number"),
    "fills": ("trade_costs", trade_cost, "tape_sequence"),
}


@pytest.fixture
async def reading(database):
    made = BooksReader(database.dsn("tollgate_reader"))
    yield made
    made.close()


@pytest.fixture
def ask(tmp_path, reading):
    """Return a function that asks for a page, and checks that it is what the contract says."""
    caller = reader(tmp_path, reading)

    async def get(path, **parameters):
        answer = await caller.get(f"/{path}", params=parameters or None)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Cache-Control"] == "no-store"
        name = path if path in PAGES else "attribution?by=signal"
        PAGES[name].model_validate_json(answer.content, strict=True)
        return answer.json()

    return get


async def walk(ask, path, **parameters):
    """Return all rows of all pages, and the last cursor."""
    rows, more, after = [], True, {}
    while more:
        page = await ask(path, **parameters, **after)
        rows += page["rows"]
        more, after = page["more"], {"after": page["next"]}
    return rows, page["next"]


@pytest.mark.parametrize(
    ("row", "effect"),
    [(EquityPoint, core.EquityPoint), (Trip, core.TripEnded), (TradeCost, core.TradeCost), (Day, core.DayClosed)],
)
def test_everything_that_the_core_says_of_a_row_can_be_read(row, effect):
    assert sorted(row.model_fields) == sorted(field.name for field in fields(effect))


async def test_books_in_which_nothing_stands_are_empty_pages(ask):
    for path in PAGES:
        by = {"by": "signal"} if "?" in path else {}
        assert await ask(path.split("?")[0], **by) == {"rows": [], "next": None, "more": False}


@pytest.mark.parametrize("path", TABLES)
async def test_every_row_is_on_one_page_with_every_digit(ask, superuser, path):
    table, make, _ = TABLES[path]
    rows = [make(number) for number in range(1, 10)]
    await seed(superuser, table, rows)
    got, _ = await walk(ask, path, limit=4)
    assert got == [
        {name: plain(value) if isinstance(value, Decimal) else value for name, value in row.items()} for row in rows
    ]


@pytest.mark.parametrize("path", TABLES)
async def test_who_goes_on_from_the_last_cursor_gets_what_is_new_and_nothing_twice(ask, superuser, path):
    table, make, key = TABLES[path]
    await seed(superuser, table, [make(number) for number in range(1, 5)])
    first, after = await walk(ask, path, limit=4)
    assert await ask(path, after=after) == {"rows": [], "next": after, "more": False}
    await seed(superuser, table, [make(number) for number in range(5, 7)])
    second, _ = await walk(ask, path, after=after)
    assert [row[key] for row in first + second] == [make(number)[key] for number in range(1, 7)]


@pytest.mark.parametrize("path", TABLES)
async def test_the_newest_rows_may_come_first(ask, superuser, path):
    table, make, _ = TABLES[path]
    await seed(superuser, table, [make(number) for number in range(1, 8)])
    onward, _ = await walk(ask, path)
    back, _ = await walk(ask, path, newest_first=True, limit=3)
    assert back == onward[::-1]


@pytest.mark.parametrize("path", TABLES)
async def test_a_span_begins_with_its_first_microsecond_and_ends_before_its_last(ask, superuser, path):
    table, make, _ = TABLES[path]
    rows = [make(number) for number in range(1, 8)]
    await seed(superuser, table, rows)
    time = "closed_us" if path == "trades" else "ts_us"
    got, _ = await walk(ask, path, limit=2, from_us=rows[2][time], to_us=rows[5][time])
    assert [row[time] for row in got] == [row[time] for row in rows[2:5]]


async def test_a_late_row_with_an_old_time_is_not_missed_by_who_has_read_on(ask, superuser):
    """A service that was down says afterwards what happened before: pages follow the tape and not the time."""
    rows = [trade_cost(1), trade_cost(2), trade_cost(3, ts_us=START_US)]
    await seed(superuser, "trade_costs", rows[:2])
    _, after = await walk(ask, "fills")
    await seed(superuser, "trade_costs", rows[2:])
    assert [row["tape_sequence"] for row in (await ask("fills", after=after))["rows"]] == [6]


async def test_trips_come_in_the_order_in_which_they_ended_whatever_their_number(ask, superuser):
    """And of two that one fill has ended, none is lost between two pages."""
    ends = {1: 30, 2: 10, 3: 20, 4: 20, 5: 20}
    await seed(superuser, "trips", [trip(n, closed_sequence=end) for n, end in ends.items()])
    got, last = await walk(ask, "trades", limit=2)
    assert ([row["number"] for row in got], last) == ([2, 3, 4, 5, 1], "30.1")


async def test_rows_may_be_of_one_symbol_or_one_trip_only(ask, superuser):
    fills = [trade_cost(number) for number in range(1, 10)]
    await seed(superuser, "trade_costs", fills)
    got, _ = await walk(ask, "fills", symbol=SYMBOLS[1], limit=2)
    assert [row["tape_sequence"] for row in got] == [2, 8, 14]
    got, _ = await walk(ask, "fills", trip=2)
    assert [row["tape_sequence"] for row in got] == [8, 10, 12, 14]


SUMS = ("edge", "slippage", "gross", "fees", "funding", "net")


def shown(parts):
    return {"trips": parts.trips, **{name: plain(getattr(parts, name)) for name in SUMS}}


@pytest.mark.parametrize("by", By)
async def test_the_database_attributes_as_the_pure_functions_do_to_the_last_digit(ask, superuser, by):
    trips = [trip(number) for number in range(1, 200)]
    await seed(superuser, "trips", trips)
    rows = [SimpleNamespace(**one) for one in trips]
    got, _ = await walk(ask, "attribution", by=by.value, limit=30)
    assert got == [{"key": key, **shown(parts)} for key, parts in grouped(rows, by).items()]
    totals = {name: plain(sum(Decimal(group[name]) for group in got)) for name in SUMS}
    assert {"trips": sum(group["trips"] for group in got), **totals} == shown(whole(rows))


async def test_attribution_may_be_of_a_span(ask, superuser):
    await seed(superuser, "trips", [trip(number, symbol="BTC-USDT") for number in range(1, 9)])
    page = await ask("attribution", by="symbol", from_us=START_US + HOUR_US, to_us=START_US + 2 * HOUR_US)
    assert [(group["key"], group["trips"]) for group in page["rows"]] == [("BTC-USDT", 2)]


@pytest.fixture
def order(speak):
    """Return a function that makes what execution says of an order, by the order's number."""

    def make(number, state=OrderState.SUBMITTING, detail="", symbol=SYMBOLS[0]):
        said = speak.stop(speak.fill("BUY", "1", "100", trade_id="t"), "tg" + "f" * 30)
        named = {"client_order_id": f"tg{number:030x}", "to_state": state, "detail": detail, "symbol": symbol}
        return said.model_copy(update=named)

    return make


def at(sequence, message):
    return archived(sequence, tape_subject(message), encode(message), stored_us=sequence)


async def test_an_order_is_shown_in_its_last_state_and_comes_again_when_it_changes(ask, superuser, order):
    said = [
        order(1),
        order(2, detail='not "client_order_id":"tg' + "0" * 29 + '1"'),
        order(1, OrderState.ACKNOWLEDGED),
    ]
    await seed(superuser, "archive", [at(sequence, message) for sequence, message in enumerate(said, start=1)])
    seen, after = await walk(ask, "orders", limit=1)
    states = [(row["tape_sequence"], row["order"]["to_state"]) for row in seen]
    assert states == [(2, "SUBMITTING"), (3, "ACKNOWLEDGED")]
    assert seen[0]["order"]["detail"] == said[1].detail
    await seed(superuser, "archive", [at(4, order(2, OrderState.FILLED))])
    again = await ask("orders", after=after)
    assert [(row["tape_sequence"], row["order"]["to_state"]) for row in again["rows"]] == [(4, "FILLED")]


async def test_orders_may_be_of_one_symbol_or_of_a_span_and_the_newest_first(ask, superuser, order):
    rows = [at(sequence, order(sequence, symbol=SYMBOLS[sequence % 2])) for sequence in range(1, 8)]
    await seed(superuser, "archive", rows)
    of_symbol, _ = await walk(ask, "orders", symbol=SYMBOLS[1], newest_first=True, limit=2)
    assert [row["tape_sequence"] for row in of_symbol] == [7, 5, 3, 1]
    of_span, _ = await walk(ask, "orders", from_us=3, to_us=6, limit=2)
    assert [row["tape_sequence"] for row in of_span] == [3, 4, 5]
    assert (await ask("orders", symbol=SYMBOLS[2]))["rows"] == []


async def test_what_cannot_be_read_is_archived_all_the_same_and_hides_no_order(ask, superuser, order):
    """Without an id it is no order; with one it is told that there is something."""
    subject = tape_subject(order(1))
    bodies = (b"\x00\xff{", b'{"client_order_id":"', b'\x00\xff"client_order_id":"tg' + b"e" * 30)
    rows = [archived(sequence, subject, body) for sequence, body in enumerate(bodies, start=2)]
    await seed(superuser, "archive", [at(1, order(1)), *rows, at(5, order(2))])
    shown, _ = await walk(ask, "orders")
    assert [(row["tape_sequence"], row["order"] is None) for row in shown] == [
        (1, False),
        (3, True),
        (4, True),
        (5, False),
    ]


async def test_what_the_books_hold_and_have_booked_can_be_read(ask, ledger, put, speak, tmp_path, reading):
    """Through a ledger that runs: entries, their lines and the positions are those of the core."""
    tape = MemoryTape()
    running = await ledger(tape).start()
    await running.settle()
    bought = [
        speak.fill("BUY", "2", "100", "0.1", trade_id="t1", cause=1),
        speak.fill("BUY", "0.5", "2000.25", "0.2", trade_id="t2", cause=2, symbol="ETH-USDT"),
        speak.fill("SELL", "1", "110", "0.1", trade_id="t3", cause=3),
    ]
    quotes = [speak.quote("109", "111", number=1), speak.quote("1999", "2001", symbol="ETH-USDT", number=2)]
    put(tape, speak.policy(), speak.account(USDT="100000.000"), *quotes, *bought, speak.clock(1))
    await running.settle()
    first = await ask("positions", limit=1)
    second = await ask("positions", after=first["next"])
    shown = [row["position"] for row in first["rows"] + second["rows"]]
    said = running.core.status()
    assert shown == said["positions"]
    now = reader(tmp_path, reading, running.shell.books)
    books = BooksNow.model_validate_json((await now.get("/books")).content, strict=True)
    assert (books.as_of, books.cash, books.equity) == (running.core.sequence, said["cash"], said["equity"])
    assert (first["more"], second["more"]) == (True, False)
    entries, _ = await walk(ask, "entries", limit=2)
    assert [entry["id"] for entry in entries] == list(range(1, running.core.entries + 1))
    balances = {}
    for entry in entries:
        for line in entry["postings"]:
            key = line["account"], line["currency"]
            balances[key] = balances.get(key, Decimal(0)) + Decimal(line["amount"])
    assert {key: total for key, total in sorted(balances.items()) if total} == running.core.balances
    fills, _ = await walk(ask, "entries", kind="fill")
    assert [entry["trade_id"] for entry in fills] == ["t1", "t2", "t3"]
    await running.stop()


@pytest.fixture
def unread(tmp_path):
    """A caller of books that nobody can reach: whoever is turned away is turned away before."""
    return reader(tmp_path, BooksReader(f"postgresql://tollgate_reader@/none?host={tmp_path}"))


@pytest.mark.parametrize("path", [*PAGES, "books"])
@pytest.mark.parametrize(
    ("scope", "status"), [("", 401), ("kill", 403), ("release", 403), ("limits", 403), ("read", 503)]
)
async def test_only_a_token_for_reading_lets_one_read_and_no_answer_may_be_kept(unread, path, scope, status):
    answer = await unread.get(f"/{path}", headers=BEARERS[scope] if scope else {"Authorization": ""})
    assert answer.status_code == status
    assert answer.headers["Cache-Control"] == "no-store"


async def test_an_instance_that_does_not_keep_the_books_says_so_rather_than_that_they_are_empty(unread):
    answer = await unread.get("/books")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


async def test_nobody_learns_of_money_without_a_token(ledger, put, speak):
    """The open status says that the books are kept, and nothing of what stands in them."""
    tape = MemoryTape()
    running = await ledger(tape).start()
    put(tape, speak.policy(), speak.account(USDT="1000"), speak.fill("BUY", "2", "100", "0.1", trade_id="t1", cause=1))
    await running.settle()
    assert set(running.shell.status()) == {
        *("opened", "entries", "drifting", "alarms", "config_hash", "archived", "uncommitted")
    }
    assert running.shell.books()["cash"] == {"USDT": "799.9"}
    await running.stop()


@pytest.mark.parametrize(
    "query",
    [
        "trades?limit=0",
        "trades?limit=1001",
        "trades?after=-1",
        "trades?after=5",
        "equity?after=5.5",
        "equity?after=1e9",
        "equity?after=9999999999999999999",
        "equity?from_us=-1",
        "equity?to_us=soon",
        "fills?symbol=BTC-USDT'--",
        "fills?trip=0",
        "entries?kind=theft",
        "attribution",
        "attribution?by=net",
        "attribution?by=signal&after=" + "x" * 129,
        "positions?after=btc",
        "days?after=yesterday",
    ],
)
async def test_a_question_that_makes_no_sense_is_refused_and_names_the_parameter(unread, query):
    answer = await unread.get(f"/{query}")
    assert answer.status_code == 422
    parameter = query.split("?")[-1].split("=")[0].replace("attribution", "by").split("&")[0]
    assert parameter in answer.json()["detail"] or "after" in answer.json()["detail"]
