"""What the ledger tells of the books, of what trading costs, and of its database."""

import asyncio
from contextlib import suppress
from decimal import Decimal

import pytest
from prometheus_client import REGISTRY

from tollgate_chassis.tape import Record
from tollgate_ledger.core import LedgerCore
from tollgate_ledger.core.rows import TradeCost
from tollgate_ledger.gauges import BooksGauges, tell_booked, tell_cost, watch_database
from tollgate_ledger.reading import NotRead

SECOND_US = 1_000_000


class Tape:
    """Steps one ledger."""

    def __init__(self, *messages):
        self.core = LedgerCore()
        self.put(*messages)

    def put(self, *messages):
        for message in messages:
            self.core.step(self.core.sequence + 1, message)


@pytest.fixture
def tape(speak):
    return Tape(speak.config(), speak.policy(), speak.account(USDT="1000"))


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"tollgate_{name}", labels)


def test_the_books_are_shown_as_they_stand_and_what_is_sold_is_shown_no_more(tape, speak):
    tape.put(speak.quote("109", "111"), speak.fill("BUY", "1", "100", trade_id="1"))
    BooksGauges().refresh(tape.core)
    said = tape.core.status()
    assert sample("ledger_books_open") == 1
    assert sample("books_cash", currency="USDT") == float(said["cash"]["USDT"])
    assert sample("books_position", symbol="BTC-USDT") == 1
    assert sample("books_open_positions") == 1
    for gauge, name in (("equity", "equity"), ("realized", "realized"), ("fees", "fees"), ("drawdown", "drawdown")):
        assert sample(f"books_{gauge}_quote") == float(said[name])
    assert sample("books_unrealized_quote") == float(said["positions"][0]["unrealized"])

    tape.put(speak.fill("SELL", "1", "100", trade_id="2"))
    BooksGauges().refresh(tape.core)
    assert sample("books_position", symbol="BTC-USDT") is None
    assert sample("books_open_positions") == 0


def test_books_that_wait_for_their_opening_say_so():
    BooksGauges().refresh(LedgerCore())
    assert sample("ledger_books_open") == 0


def test_the_gauges_are_not_set_with_every_record(tape, speak):
    gauges = BooksGauges()
    gauges.refresh(tape.core)
    before = sample("books_cash", currency="USDT")
    tape.put(speak.fill("BUY", "1", "100", trade_id="1"))
    gauges.refresh(tape.core)
    assert sample("books_cash", currency="USDT") == before


def cost(slippage: str, reference: str | None) -> TradeCost:
    told = {
        "symbol": "SLP-USDT",
        "quantity": Decimal(2),
        "price": Decimal(100),
        "slippage": Decimal(slippage),
        "reference_price": None if reference is None else Decimal(reference),
    }
    return TradeCost(**{**dict.fromkeys(TradeCost.__dataclass_fields__), **told})


def test_slippage_is_measured_against_the_price_at_the_decision():
    tell_cost(cost("0.1", "100"))
    tell_cost(cost("-0.02", "100"))
    tell_cost(cost("0", None))
    upto = {
        bound: sample("slippage_bps_bucket", symbol="SLP-USDT", le=bound) for bound in ("-2.0", "-1.0", "2.0", "5.0")
    }
    assert upto == {"-2.0": 0, "-1.0": 1, "2.0": 1, "5.0": 2}, "one basis point won and five lost, and one is not known"


def test_how_long_a_fill_waits_for_the_books_is_counted_from_the_tape():
    before = sample("ledger_booked_seconds_count") or 0, sample("ledger_booked_seconds_sum") or 0
    records = [
        Record(1, "tape.main.execution.fill.BTC-USDT", "execution:1:0", b"", {}, 5 * SECOND_US),
        Record(2, "tape.main.marketdata.quote", "marketdata:2", b"", {}, 1 * SECOND_US),
    ]
    tell_booked(records, 7 * SECOND_US)
    assert (sample("ledger_booked_seconds_count"), sample("ledger_booked_seconds_sum")) == (
        before[0] + 1,
        before[1] + 2,
    )


class Reading:
    """Answers once, and is away from then on."""

    def __init__(self) -> None:
        self.asked = 0

    async def fetch(self, query, who):
        self.asked += 1
        if self.asked > 1:
            raise NotRead("the ledger's database cannot be read now")
        return [{"bytes": 8_000_000, "connections": 7, "connections_max": 100}]


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr("tollgate_ledger.gauges._DATABASE_S", 0)


async def test_the_database_s_size_stays_shown_while_it_cannot_be_asked(at_once):
    reading = Reading()
    watching = asyncio.create_task(watch_database(reading))
    while reading.asked < 3:
        await asyncio.sleep(0)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    assert (sample("postgres_bytes"), sample("postgres_connections"), sample("postgres_connections_max")) == (
        8_000_000, 7, 100,
    )  # fmt: skip
