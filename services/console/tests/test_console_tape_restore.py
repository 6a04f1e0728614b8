"""The tape put back by a real broker from an archive in a real database: whole, cut off, and contradicted."""

import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import nkeys  # type: ignore[import-untyped]  # - the package has no stubs
import pytest

from tollgate_chassis.tape import Record
from tollgate_chassis.tape.archived import archived_headers, archived_text
from tollgate_chassis.tape.chain import GENESIS, continued
from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import Layout
from tollgate_console.provision.broker import PROVISIONER
from tollgate_console.provision.database import DATABASE
from tollgate_console.provision.keys import broker_public_key
from tollgate_console.provision.logins import provision_logins
from tollgate_console.provision.permissions import DESK_ACCOUNT
from tollgate_console.recovery.database import Stopwatch
from tollgate_console.recovery.publishing import TapePublisher
from tollgate_console.recovery.tape import restore_tape
from tollgate_console.settings import load_settings
from tollgate_console.supervisor.alone import Desk, Guest, broker_running, database_running, held
from tollgate_contracts.codec import MESSAGE_BYTES_MAX

COUNT = 600
# Longer ago than the broker remembers ids, so the same id lay on the tape twice.
TWICE = {500: 100}
STORED_US = 1_700_000_000_000_000
# As it lay on the tape it was as large as the broker allows, its one header with it.
LARGEST = 9
LARGEST_BYTES = MESSAGE_BYTES_MAX - len(f"NATS/1.0\r\nNats-Msg-Id: m{LARGEST}\r\n\r\n")


def record(sequence: int, **changes: Any) -> Record:
    fields = {
        "sequence": sequence,
        "subject": f"tape.main.{'risk.mode' if sequence % 2 else 'execution.fill.BTC-USDT'}",
        "message_id": f"m{TWICE.get(sequence, sequence)}",
        "data": {7: b"\x00\xff", LARGEST: b"x" * LARGEST_BYTES}.get(sequence, f'{{"n":{sequence}}}'.encode()),
        "headers": {"traceparent": f'00-{sequence}"\0ü'} if sequence % 3 else {},
        "stored_us": STORED_US + sequence,
    }
    return Record(**{**fields, **changes})


async def archive(desk: Desk, records: list[Record]) -> None:
    """Make an archive of ``records`` in place of whatever is there."""
    await provision_logins(desk.layout, desk.database)
    connection = await asyncpg.connect(desk.superuser_dsn(DATABASE))
    await connection.execute("SET session_replication_role = replica")
    await connection.execute("DELETE FROM ledger.archive")
    chain, rows = GENESIS, []
    for each in records:
        chain = continued(chain, each)
        identity = (each.sequence, archived_text(each.message_id), archived_text(each.subject), each.data)
        rows.append((*identity, archived_headers(each.headers), each.stored_us, chain))
    await connection.executemany("INSERT INTO ledger.archive VALUES ($1, $2, $3, $4, $5, $6, $7)", rows)
    await connection.execute("UPDATE ledger.checkpoint SET desk = 'main', archived_sequence = $1", len(records))
    await connection.close()


@pytest.fixture
async def desk(layout: Layout, base_port: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """A desk whose database runs and has archived, and whose broker has nothing."""
    monkeypatch.setenv("TOLLGATE_CONSOLE__DISK_FLOOR_MIB", "1")
    with held(layout, load_settings(None, base_port)) as desk:
        async with database_running(desk):
            await archive(desk, [record(sequence) for sequence in range(1, COUNT + 1)])
            yield desk


async def test_everything_comes_back_as_it_was_and_lost_places_are_marked(desk: Desk) -> None:
    """Also an id that lay on the tape twice, the first time of storing, and the largest record: all is compared."""
    state = desk.layout.service_state("risk")
    state.mkdir(parents=True)
    (state / "high-water").write_bytes(struct.pack(">Q", COUNT + 3))
    done = await restore_tape(desk, Stopwatch())
    assert (done.found, done.restored, done.lost, done.beyond) == (0, COUNT, 3, 0)
    again = await restore_tape(desk, Stopwatch())
    assert (again.found, again.restored, again.lost, again.beyond) == (COUNT, 0, 0, 3)


async def test_a_restore_that_was_cut_off_is_taken_up_where_it_ended(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = TapePublisher.publish
    done: list[int] = []

    async def cut_off(self: TapePublisher, records: Any) -> None:
        if done:
            raise ConsoleError(ConsoleExit.TEMPORARY, "cut off")
        done.append(len(records))
        await publish(self, records)

    with monkeypatch.context() as patched:
        patched.setattr(TapePublisher, "publish", cut_off)
        with pytest.raises(ConsoleError, match="cut off"):
            await restore_tape(desk, Stopwatch())
    finished = await restore_tape(desk, Stopwatch())
    assert (finished.found, finished.restored) == (done[0], COUNT - done[0])


async def test_a_tape_that_has_something_else_is_left_alone(desk: Desk) -> None:
    await restore_tape(desk, Stopwatch())
    await archive(desk, [record(n, data=b"other") if n == 42 else record(n) for n in range(1, COUNT + 1)])
    with pytest.raises(ConsoleError, match="record 42 on the tape is another than the archived one"):
        await restore_tape(desk, Stopwatch())


async def test_no_tape_is_put_back_from_an_archive_that_was_changed(desk: Desk) -> None:
    connection = await asyncpg.connect(desk.superuser_dsn(DATABASE))
    await connection.execute("SET session_replication_role = replica")
    await connection.execute("UPDATE ledger.archive SET headers = '{}' WHERE tape_sequence = 8")
    await connection.close()
    with pytest.raises(ConsoleError, match="archive row 8 is missing or was changed"):
        await restore_tape(desk, Stopwatch())


async def test_nothing_is_put_back_where_nothing_is_archived(desk: Desk) -> None:
    await archive(desk, [])
    with pytest.raises(ConsoleError, match="nothing is archived"):
        await restore_tape(desk, Stopwatch())


async def test_the_broker_of_a_restore_knows_nobody_but_who_restores(desk: Desk) -> None:
    """A service that is started meanwhile gets no answer, with whatever key."""
    public = nkeys.from_seed(bytearray(nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_USER))).public_key.decode()
    guest = Guest("restorer", public, ("tape.main.>",))
    async with broker_running(desk, guest):
        config = json.loads(desk.layout.broker_config.with_name("nats-restoring.json").read_text())
    users = {name: [user["nkey"] for user in account["users"]] for name, account in config["accounts"].items()}
    assert users == {DESK_ACCOUNT: [broker_public_key(desk.layout, PROVISIONER), guest.public_key]}
