"""The journal against a real Postgres, as execution's own role: used once, fenced, and never deleted."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from execution_samples import signed_approval, submit_of

from tests.servers.postgres import Postgres
from tollgate_chassis.exits import BadConfiguration, Exit
from tollgate_execution.core import Submit
from tollgate_execution.core.placing import Leg, attempt_id
from tollgate_execution.store import Fenced, Journal, JournalLost, Settlement, WriteAhead

SQL = Path(__file__).parents[3] / "deploy" / "postgres" / "execution.sql"


def submit(number: int, **changes: Any) -> Submit:
    return submit_of(signed_approval(number, **changes), f"risk:{number}:0")


@pytest.fixture
async def journal(database: Any) -> AsyncIterator[Journal]:
    journal = await Journal.connect(database.dsn("tollgate_execution"), "main")
    await journal.take_lease("first")
    yield journal
    await journal.close()


@pytest.fixture
async def role(database: Any) -> AsyncIterator[Any]:
    """A connection as execution's role, past the store."""
    connection = await database.connect("tollgate_execution")
    yield connection
    await connection.close()


async def row_of(database: Any, number: int) -> Any:
    root = await database.connect("postgres")
    row = await root.fetchrow(
        "SELECT * FROM execution.journal WHERE client_order_id = $1", submit(number).approval.client_order_id
    )
    await root.close()
    return row


async def test_a_row_holds_the_whole_proof(journal: Journal, database: Any) -> None:
    sent = submit(1)
    assert await journal.prepare(sent) is WriteAhead.PREPARED
    row = await row_of(database, 1)
    assert (row["approval_text"], row["signature"], row["key_id"]) == (
        sent.signed.text,
        sent.signed.signature,
        sent.signed.key_id,
    )
    assert (row["epoch"], row["state"], row["answered_us"]) == (1, "PREPARED", None)


@pytest.mark.parametrize("same", ["client_order_id", "decision_id", "approval_hash"])
async def test_what_was_used_once_is_not_prepared_again(journal: Journal, same: str) -> None:
    """Each of the three columns alone is enough, for the same attempt of the same leg."""
    first = submit(1)
    assert await journal.prepare(first) is WriteAhead.PREPARED
    again = {
        "client_order_id": submit_of(signed_approval(1, quantity="1"), "risk:2:0"),
        "decision_id": submit_of(signed_approval(2), "risk:1:0"),
        "approval_hash": replace(submit(2), approval_hash=first.approval_hash),
    }[same]
    assert await journal.prepare(again) is WriteAhead.ALREADY_THERE


async def test_of_two_that_prepare_the_same_order_at_once_one_may_send(journal: Journal, database: Any) -> None:
    """Both hold the lease of the same epoch: only the row decides."""
    other = await Journal.connect(database.dsn("tollgate_execution"), "main")
    other.epoch = journal.epoch
    for number in range(1, 11):
        done = await asyncio.gather(journal.prepare(submit(number)), other.prepare(submit(number)))
        assert sorted(outcome.value for outcome in done) == ["already_there", "prepared"]
    await other.close()


async def test_who_has_lost_the_lease_writes_nothing_and_ends(journal: Journal, database: Any) -> None:
    newer = await Journal.connect(database.dsn("tollgate_execution"), "main")
    assert await newer.take_lease("second") == 2
    with pytest.raises(Fenced) as caught:
        await journal.prepare(submit(1))
    assert caught.value.code is Exit.RESTART
    assert await row_of(database, 1) is None
    assert await newer.prepare(submit(1)) is WriteAhead.PREPARED
    await newer.close()


async def test_who_has_never_taken_the_lease_writes_nothing(database: Any) -> None:
    journal = await Journal.connect(database.dsn("tollgate_execution"), "main")
    with pytest.raises(Fenced):
        await journal.prepare(submit(1))
    await journal.close()


async def test_the_lease_of_another_desk_is_no_lease_of_ours(journal: Journal, database: Any) -> None:
    other = await Journal.connect(database.dsn("tollgate_execution"), "second")
    other.epoch = journal.epoch
    with pytest.raises(Fenced):
        await other.prepare(submit(1))
    await other.close()


async def test_a_taking_of_the_lease_waits_for_the_row_in_flight_and_then_sees_it(journal: Journal, role: Any) -> None:
    """Between the check of the epoch and the commit nobody can slip in."""
    transaction = role.transaction()
    await transaction.start()
    await insert(role, submit(1), journal.epoch)
    taking = asyncio.create_task(journal.take_lease("second"))
    done, _ = await asyncio.wait({taking}, timeout=0.2)
    assert done == set()
    await transaction.commit()
    assert await taking == 2
    assert [*await journal.load_unsettled()] == [submit(1).approval.client_order_id]


async def test_a_row_in_flight_waits_for_a_taking_of_the_lease_and_is_then_fenced(journal: Journal, role: Any) -> None:
    transaction = role.transaction()
    await transaction.start()
    await role.execute("UPDATE execution.lease SET epoch = epoch + 1 WHERE desk = 'main'")
    preparing = asyncio.create_task(journal.prepare(submit(1)))
    done, _ = await asyncio.wait({preparing}, timeout=0.2)
    assert done == set()
    await transaction.commit()
    with pytest.raises(Fenced):
        await preparing


async def insert(role: Any, sent: Submit, epoch: int) -> None:
    await role.execute(
        "INSERT INTO execution.journal (client_order_id, decision_id, approval_hash, leg, attempt, approval_text,"
        " signature, key_id, desk, epoch, prepared_us) VALUES ($1, $2, $3, 'ORDER', 1, $4, $5, $6, 'main', $7, 1)",
        sent.approval.client_order_id,
        sent.decision_id,
        sent.approval_hash,
        sent.signed.text,
        sent.signed.signature,
        sent.signed.key_id,
        epoch,
    )


REFUSALS = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.RestrictViolationError,
    asyncpg.CheckViolationError,
    asyncpg.ObjectNotInPrerequisiteStateError,
)


# What the service's role itself, past its own code, cannot do.
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM execution.journal",
        "TRUNCATE execution.journal",
        "DELETE FROM execution.lease",
        "UPDATE execution.journal SET approval_text = 'x'",
        "UPDATE execution.journal SET client_order_id = 'tg000000000000000000000000000009'",
        "UPDATE execution.journal SET epoch = 9",
        "UPDATE execution.lease SET epoch = epoch",
        "UPDATE execution.lease SET epoch = epoch - 1",
        "UPDATE execution.lease SET desk = 'other'",
        "UPDATE execution.journal SET answered_us = 1",
        "INSERT INTO execution.schema_version VALUES (false, 2)",
        "CREATE TABLE execution.more (a int)",
        "DROP TABLE execution.journal",
        "ALTER TABLE execution.journal DISABLE TRIGGER ALL",
        """INSERT INTO execution.journal SELECT 'tg000000000000000000000000000009', 'risk:9:0', repeat('a', 64),
        'ORDER', 1, 1, '{}', repeat('0', 128), repeat('0', 16), 'main', 0, 'PREPARED', 1""",
        "UPDATE execution.journal SET sends = 3",
        "UPDATE execution.journal SET sends = 0",
        "UPDATE execution.journal SET sends = 2, epoch = 9",
        "UPDATE execution.journal SET attempt = 2",
        "UPDATE execution.journal SET leg = 'PROTECTION'",
        "UPDATE execution.journal SET ended_us = 1",
        """INSERT INTO execution.journal (client_order_id, decision_id, approval_hash, leg, attempt, approval_text,
        signature, key_id, desk, epoch, prepared_us) SELECT 'tg000000000000000000000000000009', decision_id,
        approval_hash, leg, 2, approval_text, signature, key_id, desk, epoch, 2 FROM execution.journal""",
    ],
)
async def test_the_database_refuses_what_would_undo_the_journal(journal: Journal, role: Any, statement: str) -> None:
    await journal.prepare(submit(1))
    with pytest.raises(REFUSALS):
        await role.execute(statement)


def settlement(number: int, state: str, *times: Any, answer: str = "{}", ended_us: int | None = None) -> Settlement:
    return Settlement(submit(number).placing.venue_id, state, *times, answer, ended_us)


async def test_a_row_is_settled_once_and_keeps_its_first_word(journal: Journal, database: Any) -> None:
    await journal.prepare(submit(1))
    await journal.prepare(submit(2))
    await journal.settle([settlement(1, "ACKNOWLEDGED", 5, 6, answer='{"kind":"report"}')])
    await journal.settle([settlement(1, "REJECTED", 7, 8)])
    row = await row_of(database, 1)
    assert (row["state"], row["sent_us"], row["answered_us"], row["ended_us"]) == ("ACKNOWLEDGED", 5, 6, None)
    await journal.settle([settlement(1, "FILLED", 9, 10, ended_us=10)])
    await journal.settle([settlement(1, "CANCELLED", 11, 12, ended_us=12)])
    row = await row_of(database, 1)
    assert (row["state"], row["sent_us"], row["answered_us"], row["ended_us"]) == ("FILLED", 5, 6, 10)
    assert json.loads(row["answer"]) == {"kind": "report"}


async def test_what_may_be_live_is_loaded_until_its_end_is_written(journal: Journal) -> None:
    """An acknowledged order may be live at the venue, however long ago it was answered."""
    await journal.prepare(submit(1))
    await journal.prepare(submit(2))
    await journal.settle([settlement(1, "ACKNOWLEDGED", 5, 6)])
    assert [*await journal.load_unsettled()] == [submit(number).placing.venue_id for number in (1, 2)]
    await journal.settle([settlement(1, "FILLED", 5, 6, ended_us=7)])
    assert [*await journal.load_unsettled()] == [submit(2).placing.venue_id]


def attempt(number: int, which: int, leg: Leg = Leg.ORDER) -> Submit:
    first = submit(number)
    venue_id = attempt_id(first.placing.client_order_id, which if leg is Leg.ORDER else which + 50)
    return replace(first, placing=replace(first.placing, attempt=which, venue_id=venue_id, leg=leg))


def end_of(sent: Submit) -> Settlement:
    return Settlement(sent.placing.venue_id, "REJECTED", 5, 6, "{}", 6)


async def test_another_attempt_is_written_only_when_every_earlier_one_is_over(journal: Journal) -> None:
    """At most one live venue order per approval: the database says so, whatever the code above it believes."""
    assert await journal.prepare(attempt(1, 2)) is WriteAhead.NOT_YET
    assert await journal.prepare(attempt(1, 1)) is WriteAhead.PREPARED
    assert await journal.prepare(attempt(1, 2)) is WriteAhead.NOT_YET
    await journal.settle([replace(end_of(attempt(1, 1)), state="ACKNOWLEDGED", ended_us=None)])
    assert await journal.prepare(attempt(1, 2)) is WriteAhead.NOT_YET
    await journal.settle([end_of(attempt(1, 1))])
    assert await journal.prepare(attempt(1, 3)) is WriteAhead.NOT_YET
    assert await journal.prepare(attempt(1, 2)) is WriteAhead.PREPARED
    assert await journal.prepare(attempt(1, 2)) is WriteAhead.ALREADY_THERE
    assert await journal.prepare(attempt(1, 3)) is WriteAhead.NOT_YET
    await journal.settle([end_of(attempt(1, 2))])
    assert await journal.prepare(attempt(1, 3)) is WriteAhead.PREPARED


@pytest.mark.parametrize("end", ["FILLED", "CANCELLED", "EXPIRED"])
async def test_an_approval_that_was_taken_by_the_venue_has_no_other_attempt(journal: Journal, end: str) -> None:
    """What ended any other way than by the venue's refusal may have filled: another attempt would fill it twice."""
    await journal.prepare(attempt(1, 1))
    await journal.settle([replace(end_of(attempt(1, 1)), state=end)])
    assert await journal.prepare(attempt(1, 2)) is WriteAhead.NOT_YET


async def test_a_stop_that_was_taken_back_may_be_placed_anew(journal: Journal) -> None:
    await journal.prepare(attempt(1, 1, Leg.PROTECTION))
    await journal.settle([replace(end_of(attempt(1, 1, Leg.PROTECTION)), state="CANCELLED")])
    assert await journal.prepare(attempt(1, 2, Leg.PROTECTION)) is WriteAhead.PREPARED


async def test_the_legs_of_an_approval_do_not_wait_for_each_other(journal: Journal) -> None:
    assert await journal.prepare(attempt(1, 1)) is WriteAhead.PREPARED
    assert await journal.prepare(attempt(1, 1, Leg.PROTECTION)) is WriteAhead.PREPARED
    assert await journal.prepare(attempt(1, 2, Leg.PROTECTION)) is WriteAhead.NOT_YET


async def test_of_two_that_prepare_the_next_attempt_at_once_one_may_send(journal: Journal, database: Any) -> None:
    await journal.prepare(attempt(1, 1))
    await journal.settle([end_of(attempt(1, 1))])
    other = await Journal.connect(database.dsn("tollgate_execution"), "main")
    other.epoch = journal.epoch
    done = await asyncio.gather(journal.prepare(attempt(1, 2)), other.prepare(attempt(1, 2)))
    assert sorted(outcome.value for outcome in done) == ["already_there", "prepared"]
    await other.close()


async def test_a_resend_is_allowed_once_and_in_order(journal: Journal, database: Any) -> None:
    await journal.prepare(submit(1))
    assert await journal.prepare_resend(replace(submit(1), resend=2)) is WriteAhead.ALREADY_THERE
    other = await Journal.connect(database.dsn("tollgate_execution"), "main")
    other.epoch = journal.epoch
    again = replace(submit(1), resend=1)
    done = await asyncio.gather(journal.prepare_resend(again), other.prepare_resend(again))
    assert sorted(outcome.value for outcome in done) == ["already_there", "prepared"]
    row = await row_of(database, 1)
    assert (row["sends"], row["attempt"], row["answered_us"]) == (2, 1, None)
    await other.close()


async def test_what_is_answered_or_was_never_prepared_is_not_sent_again(journal: Journal) -> None:
    assert await journal.prepare_resend(replace(submit(1), resend=1)) is WriteAhead.ALREADY_THERE
    await journal.prepare(submit(1))
    await journal.settle([settlement(1, "ACKNOWLEDGED", 5, 6)])
    assert await journal.prepare_resend(replace(submit(1), resend=1)) is WriteAhead.ALREADY_THERE


async def test_a_resend_is_fenced_and_names_the_lease_under_which_it_left(journal: Journal, database: Any) -> None:
    await journal.prepare(submit(1))
    newer = await Journal.connect(database.dsn("tollgate_execution"), "main")
    await newer.take_lease("second")
    with pytest.raises(Fenced):
        await journal.prepare_resend(replace(submit(1), resend=1))
    assert (await row_of(database, 1))["sends"] == 1
    assert await newer.prepare_resend(replace(submit(1), resend=1)) is WriteAhead.PREPARED
    row = await row_of(database, 1)
    assert (row["sends"], row["epoch"]) == (2, 2)
    await newer.close()


async def test_a_settled_row_cannot_be_opened_again_even_past_the_store(journal: Journal, role: Any) -> None:
    await journal.prepare(submit(1))
    await journal.settle([Settlement(submit(1).approval.client_order_id, "FILLED", None, 6, "{}")])
    with pytest.raises(asyncpg.RestrictViolationError, match="settled already"):
        await role.execute("UPDATE execution.journal SET answered_us = NULL, answer = NULL")


async def test_which_orders_have_a_row_is_told(journal: Journal) -> None:
    await journal.prepare(submit(1))
    ids = [submit(number).approval.client_order_id for number in (1, 2)]
    assert await journal.which_are_there(ids) == frozenset(ids[:1])
    assert await journal.which_are_there([]) == frozenset()


async def test_a_lost_connection_is_a_doubt_that_ends_the_process(journal: Journal, database: Any) -> None:
    root = await database.connect("postgres")
    await root.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE usename = 'tollgate_execution' AND datname = current_database()"
    )
    await root.close()
    with pytest.raises(JournalLost) as caught:
        await journal.prepare(submit(1))
    assert caught.value.code is Exit.RESTART
    with pytest.raises(JournalLost):
        await journal.load_unsettled()


async def test_a_database_that_is_not_there_is_said_clearly() -> None:
    with pytest.raises(JournalLost, match="journal:"):
        await Journal.connect("postgresql://nobody@127.0.0.1:1/none", "main")


async def test_a_schema_of_another_version_is_refused(database: Any) -> None:
    root = await database.connect("postgres")
    await root.execute("UPDATE execution.schema_version SET version = 4")
    await root.close()
    with pytest.raises(BadConfiguration, match="version 4, expected 3"):
        await Journal.connect(database.dsn("tollgate_execution"), "main")


async def test_a_restored_journal_is_doubted_until_it_is_trusted_again(journal: Journal, database: Any) -> None:
    assert not await journal.was_restored()
    root = await database.connect("postgres")
    await root.execute("INSERT INTO execution.restored VALUES ('main', 1), ('other', 1)")
    assert await journal.was_restored()
    await journal.trust_again()
    assert not await journal.was_restored()
    assert await root.fetchval("SELECT desk FROM execution.restored") == "other"
    await root.close()


async def test_a_journal_of_version_1_is_made_into_version_3_and_loses_nothing(postgres: Postgres) -> None:
    """Its rows stay, those that are over count as ended, and the first attempt of each is taken."""
    async with postgres.fresh("roles.sql") as database:
        old = await database.connect("postgres")
        await old.execute((Path(__file__).parent / "execution_v1.sql").read_text())
        await old.execute("INSERT INTO execution.lease VALUES ('main', 1, 'first', 1)")
        for number, state, answered in ((1, "FILLED", 6), (2, "ACKNOWLEDGED", 6), (3, "PREPARED", None)):
            sent = submit(number)
            await old.execute(
                "INSERT INTO execution.journal VALUES ($1, $2, $3, $4, $5, $6, 'main', 1, $7, 1, 1, $8, $9)",
                sent.placing.venue_id,
                sent.decision_id,
                sent.approval_hash,
                sent.signed.text,
                sent.signed.signature,
                sent.signed.key_id,
                state,
                answered,
                None if answered is None else "{}",
            )
        for _ in range(2):
            await old.execute(SQL.read_text())
        await old.close()
        journal = await Journal.connect(database.dsn("tollgate_execution"), "main")
        assert [*await journal.load_unsettled()] == [submit(number).placing.venue_id for number in (2, 3)]
        await journal.take_lease("second")
        assert await journal.prepare(submit(1)) is WriteAhead.ALREADY_THERE
        assert await journal.prepare(attempt(2, 2)) is WriteAhead.NOT_YET
        await journal.close()
