"""The journal against a real Postgres, as execution's own role: used once, fenced, and never deleted."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from execution_samples import signed_approval, submit_of

from tollgate_chassis.exits import BadConfiguration, Exit
from tollgate_execution.core import Submit
from tollgate_execution.store import Fenced, Journal, JournalLost, Settlement, WriteAhead


def submit(number: int, **changes: Any) -> Submit:
    return submit_of(signed_approval(number, **changes), f"risk:{number}:0")


@pytest.fixture
async def journal(database: Any) -> AsyncIterator[Journal]:
    journal = await Journal.connect(database.service, "main")
    await journal.take_lease("first")
    yield journal
    await journal.close()


@pytest.fixture
async def role(database: Any) -> AsyncIterator[Any]:
    """A connection as execution's role, past the store."""
    connection = await asyncpg.connect(database.service)
    yield connection
    await connection.close()


async def row_of(database: Any, number: int) -> Any:
    root = await asyncpg.connect(database.superuser)
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
    """Each of the three columns alone is enough."""
    first = submit(1)
    assert await journal.prepare(first) is WriteAhead.PREPARED
    again = {
        "client_order_id": submit_of(signed_approval(1, quantity="1"), "risk:2:0"),
        "decision_id": submit_of(signed_approval(2), "risk:1:0"),
        "approval_hash": Submit("risk:2:0", submit(2).approval, submit(2).signed, first.approval_hash),
    }[same]
    assert await journal.prepare(again) is WriteAhead.ALREADY_THERE


async def test_of_two_that_prepare_the_same_order_at_once_one_may_send(journal: Journal, database: Any) -> None:
    """Both hold the lease of the same epoch: only the row decides."""
    other = await Journal.connect(database.service, "main")
    other.epoch = journal.epoch
    for number in range(1, 11):
        done = await asyncio.gather(journal.prepare(submit(number)), other.prepare(submit(number)))
        assert sorted(outcome.value for outcome in done) == ["already_there", "prepared"]
    await other.close()


async def test_who_has_lost_the_lease_writes_nothing_and_ends(journal: Journal, database: Any) -> None:
    newer = await Journal.connect(database.service, "main")
    assert await newer.take_lease("second") == 2
    with pytest.raises(Fenced) as caught:
        await journal.prepare(submit(1))
    assert caught.value.code is Exit.RESTART
    assert await row_of(database, 1) is None
    assert await newer.prepare(submit(1)) is WriteAhead.PREPARED
    await newer.close()


async def test_who_has_never_taken_the_lease_writes_nothing(database: Any) -> None:
    journal = await Journal.connect(database.service, "main")
    with pytest.raises(Fenced):
        await journal.prepare(submit(1))
    await journal.close()


async def test_the_lease_of_another_desk_is_no_lease_of_ours(journal: Journal, database: Any) -> None:
    other = await Journal.connect(database.service, "second")
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
    assert await journal.load_unsettled() == (submit(1).approval.client_order_id,)


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
        "INSERT INTO execution.journal (client_order_id, decision_id, approval_hash, approval_text, signature, key_id,"
        " desk, epoch, prepared_us) VALUES ($1, $2, $3, $4, $5, $6, 'main', $7, 1)",
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
        """INSERT INTO execution.journal SELECT 'tg000000000000000000000000000009', 'risk:9:0', repeat('a', 64), '{}',
        repeat('0', 128), repeat('0', 16), 'main', 0, 'PREPARED', 1""",
    ],
)
async def test_the_database_refuses_what_would_undo_the_journal(journal: Journal, role: Any, statement: str) -> None:
    await journal.prepare(submit(1))
    with pytest.raises(REFUSALS):
        await role.execute(statement)


async def test_a_row_is_settled_once_and_keeps_its_first_word(journal: Journal, database: Any) -> None:
    await journal.prepare(submit(1))
    await journal.prepare(submit(2))
    first = submit(1).approval.client_order_id
    await journal.settle([Settlement(first, "FILLED", 5, 6, '{"kind":"report"}')])
    await journal.settle([Settlement(first, "REJECTED", 7, 8, "{}")])
    row = await row_of(database, 1)
    assert (row["state"], row["sent_us"], row["answered_us"]) == ("FILLED", 5, 6)
    assert json.loads(row["answer"]) == {"kind": "report"}
    assert await journal.load_unsettled() == (submit(2).approval.client_order_id,)


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
    root = await asyncpg.connect(database.superuser)
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
    root = await asyncpg.connect(database.superuser)
    await root.execute("UPDATE execution.schema_version SET version = 2")
    await root.close()
    with pytest.raises(BadConfiguration, match="version 2, expected 1"):
        await Journal.connect(database.service, "main")
