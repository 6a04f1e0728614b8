"""``docs/runbook.md``: the procedures in which the platform is stopped, each followed to its end."""

import asyncio
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.conftest import ASK, Platform, assert_everyone_agrees, settle
from tests.docs.procedures import PATIENCE_S, Desk, blocks, operator_of, trades
from tollgate_chassis.tape import NatsTape, TapeUnavailable

pytestmark = pytest.mark.platform
# Doors that credentials open; the database has a login for each of three.
ALL = {"broker": 1, "database": 3, "venue": 1, "risk": 1}
NONE = dict.fromkeys(ALL, 0)


def test_a_lost_database_is_restored_and_verified_before_it_is_traded_on(desk: Desk) -> None:
    *restore, backup = blocks("## The database is lost")
    shut, move, put_back, start, open_door = restore
    with operator_of(desk) as operator:
        operator.type(backup)
        trades(desk)
        desk.kill("postgres")
        shutil.rmtree(data_of(desk) / "global")
        log = desk.state / "logs" / "postgres.log"
        desk.wait_until(lambda: "could not" in log.read_text(), "the database does not start", PATIENCE_S)
        operator.type(shut, move)
        assert "every row is verified" in operator.type(put_back)
        said = operator.type(start)
        assert "The books hold." in said
        assert "Books and venue agree." in said
        fills = desk.fills()
        operator.type(open_door)
    desk.wait_until(lambda: desk.fills() >= fills + 2, "it trades", PATIENCE_S)
    settle(desk)
    assert_everyone_agrees(desk)
    assert desk.release(timeout_s=PATIENCE_S).is_success


def data_of(desk: Platform) -> Path:
    place = desk.state / "postgres-place"
    return (Path(place.read_text().strip()) if place.exists() else desk.state / "postgres") / "data"


@dataclass(frozen=True)
class Credentials:
    """What opened a desk's doors at one moment."""

    broker_seed: str
    database_dsns: list[str]
    venue_key: str
    approval_keys: list[str]
    seal_keys: list[str]
    token: str


def credentials(desk: Desk) -> Credentials:
    secrets = desk.state / "secrets"
    execution, reader = secrets / "execution", secrets / "reader"
    return Credentials(
        (execution / "nats_seed").read_text(),
        [(secrets / login / "postgres_dsn").read_text().strip() for login in ("execution", "ledger", "reader")],
        (secrets / "simvenue" / "venue_api_key").read_text().strip(),
        (execution / "approval_public_keys").read_text().split(),
        (reader / "seal_public_keys").read_text().split(),
        desk.operator("kill")["Authorization"],
    )


async def open_at_the_broker(desk: Desk, held: Credentials) -> bool:
    seed = desk.directory / "seed"
    seed.write_text(held.broker_seed)
    try:
        tape = await NatsTape.connect(f"nats://127.0.0.1:{desk.port('nats')}", seed, "main", "execution")
    except TapeUnavailable:
        return False
    await tape.close()
    return True


async def open_at_the_database(held: Credentials) -> int:
    """Return as how many the database lets in with these."""
    count = 0
    for dsn in held.database_dsns:
        with suppress(asyncpg.InvalidPasswordError):
            connection = await asyncpg.connect(dsn)
            await connection.close()
            count += 1
    return count


def open_at_the_venue(desk: Desk, held: Credentials) -> bool:
    """Say whether the exchange knows the key; nothing is signed, so it does not let anybody in."""
    headers = {"x-api-key": held.venue_key, "x-timestamp-us": "0", "x-signature": "0"}
    answer = ASK.get(f"{desk.url('simvenue')}/api/v1/account", headers=headers, timeout=10)
    return bool(answer.json()["code"] == "BAD_SIGNATURE")


def open_at_risk(desk: Desk, held: Credentials) -> bool:
    """Say whether risk knows the token, which is good for a kill and for nothing that is asked here."""
    headers = {"Authorization": held.token}
    answer = ASK.get(f"{desk.url('risk')}/v1/kill-switch", headers=headers, timeout=10)
    return answer.status_code == httpx.codes.FORBIDDEN


def doors(desk: Desk, held: Credentials) -> dict[str, int]:
    """Return which doors these credentials open, and how many of them."""
    return {
        "broker": asyncio.run(open_at_the_broker(desk, held)),
        "database": asyncio.run(open_at_the_database(held)),
        "venue": open_at_the_venue(desk, held),
        "risk": open_at_risk(desk, held),
    }


def test_each_kind_of_key_is_changed_and_what_was_good_before_opens_nothing(desk: Desk) -> None:
    stop, broker, database, venue, signing, sealing, tokens, start, withdraw, token = blocks("## Change of keys")
    old = credentials(desk)
    assert doors(desk, old) == ALL
    with operator_of(desk) as operator:
        operator.type(stop, broker, database, venue, signing, sealing, tokens)
        operator.type(start)
        new = credentials(desk)
        assert doors(desk, old) == NONE
        assert doors(desk, new) == ALL
        assert (new.approval_keys[:-1], new.seal_keys[:-1]) == (old.approval_keys, old.seal_keys)
        trades(desk)

        operator.type(withdraw)
        assert credentials(desk).approval_keys == new.approval_keys[-1:]
        trades(desk)

        operator.type(token)
    assert not open_at_risk(desk, new)
    assert desk.engage().is_success
    assert desk.release(timeout_s=PATIENCE_S).is_success
    trades(desk)


def test_a_desk_that_has_moved_goes_on_where_it_stood(desk: Desk) -> None:
    stop, copy, start, see = blocks("## Desk migration")
    old, new = desk.state, desk.directory / "moved-here"
    with operator_of(desk, NEW=str(new)) as operator:
        operator.type(stop)
        operator.type(copy)
        desk.state = new
        operator.type(start)
        said = operator.type(see)
        assert "The books hold." in said
        assert "Books and venue agree." in said
        assert said.splitlines()[-1] == "true", "the switch is engaged"
        assert not old.exists()
        operator.type(*blocks("### Release"))
    trades(desk)
