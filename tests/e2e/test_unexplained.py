"""The way out of a drift that nothing explains: an operator says so, everybody agrees again, and trading goes on."""

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal

import asyncpg
import pytest

from tests.conftest import BUSY, Platform, assert_everyone_agrees, drill, settle

pytestmark = pytest.mark.platform
FILLS = 10
GONE = {"fault": "wrong_balances", "currency": "USDT", "amount": "-7.5"}
QUICK = {
    "TOLLGATE_EXECUTION__SYNC__INTERVAL_MS": "1000",
    "TOLLGATE_EXECUTION__ACCOUNT_INTERVAL_MS": "1000",
}
JOURNAL = """
SELECT kind, movement_id, account, currency, amount FROM ledger.entries JOIN ledger.postings ON entry_id = entries.id
WHERE account LIKE 'suspense:%' OR reverses IS NOT NULL OR movement_id LIKE '%/corrected-%' ORDER BY entries.id, line
"""
# What operators have said to the ledger, refused or not.
CALLS = "SELECT body FROM ledger.archive WHERE subject = 'tape.main.ledger.operator_call' ORDER BY tape_sequence"


def test_what_is_gone_without_a_reason_is_booked_in_suspense_and_called_by_its_name_later(
    platform: Callable[..., Platform],
):
    """The venue states 7.5 USDT less than everything explains, for good."""
    desk = platform(BUSY | QUICK)
    desk.start()
    desk.wait_until(lambda: desk.fills() >= FILLS, f"{FILLS} fills", 120)
    # While orders are under way nothing is compared; what is at rest can be judged.
    settle(desk)
    drill(desk, "PUT", "faults", {"rules": [GONE]})
    for service in ("execution", "ledger"):
        desk.wait_until(lambda each=service: desk.status(each)["drifting"] == ["USDT"], f"drift in {service}", 60)
    desk.wait_until(lambda: desk.status("risk")["mode"] == "OBSERVE_ONLY", "risk lets nothing through", 30)

    word = ("--reason", "lost in a migration", "--actor", "ann", "--state-dir", str(desk.state))
    too_much = desk.run("resolve", "--drift", "USDT", "--amount", "-8", *word)
    assert (too_much.returncode, "is not a part of it" in too_much.stderr) == (1, True), too_much.stderr
    taken = desk.run("resolve", "--drift", "USDT", "--amount", "-7.5", *word)
    assert (taken.returncode, taken.stdout.strip()) == (0, "USDT: booked in suspense; 0 USDT of the drift is left")
    for service in ("execution", "ledger"):
        desk.wait_until(lambda each=service: desk.status(each)["drifting"] == [], f"no drift in {service}", 60)
    assert desk.books()["suspense"] == {"USDT": "7.5"}
    assert_everyone_agrees(desk)

    [(_, movement_id, account, currency, amount)] = asyncio.run(journal(desk))
    assert (account, currency, amount) == ("suspense:drift", "USDT", Decimal("7.5"))
    number = asyncio.run(entry_of(desk, movement_id))
    refused = desk.run("correct", "1", "--as", "WITHDRAWAL", *word)
    assert (refused.returncode, "entry 1 is of kind opening" in refused.stderr) == (1, True), refused.stderr
    corrected = desk.run("correct", str(number), "--as", "WITHDRAWAL", *word)
    assert corrected.stdout.strip() == f"entry {number}: taken back, and booked as WITHDRAWAL", corrected.stderr
    desk.wait_until(lambda: desk.books().get("suspense") == {}, "nothing in suspense")
    # A call is put on the tape behind what it has brought about.
    desk.wait_until(lambda: len(asyncio.run(fetch(desk, CALLS))) >= 2, "both calls in the archive")
    kinds = [row["kind"] for row in asyncio.run(journal(desk))]
    assert kinds == ["movement", "correction", "correction", "movement", "movement"]
    said = [json.loads(row["body"]) for row in asyncio.run(fetch(desk, CALLS))]
    assert [(call["token"], call["actor"], call["status"]) for call in said] == [
        ("books", "ann", 409),
        ("books", "ann", 200),
    ]
    assert_everyone_agrees(desk)
    assert desk.release(timeout_s=60).is_success, "what was explained does not stand in the way"
    before = desk.fills()
    desk.wait_until(lambda: desk.fills() > before, "trading goes on", 120)
    settle(desk)
    assert_everyone_agrees(desk)
    verified = desk.run("audit", "verify", "--state-dir", str(desk.state))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert desk.stop() == 0


async def journal(desk: Platform) -> list[asyncpg.Record]:
    return await fetch(desk, JOURNAL)


async def entry_of(desk: Platform, movement_id: str) -> int:
    [row] = await fetch(desk, "SELECT id FROM ledger.entries WHERE movement_id = $1", movement_id)
    number: int = row["id"]
    return number


async def fetch(desk: Platform, query: str, *arguments: object) -> list[asyncpg.Record]:
    dsn = (desk.state / "secrets" / "reader" / "postgres_dsn").read_text().strip()
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(query, *arguments)
    finally:
        await connection.close()
