"""Sealed books in a real database without a platform, and a backup of them that was made while the ledger sealed on."""

import asyncio
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, free_base_port
from tollgate_console.layout import Layout
from tollgate_console.provision.keys import POSTGRES_DSN, SEAL_KEY
from tollgate_console.provision.logins import provision_logins
from tollgate_console.recovery import backup as backups
from tollgate_console.settings import load_settings
from tollgate_console.supervisor.alone import Desk, database_running, held
from tollgate_ledger.sealing import Sealer

# The books that the audit's own tests are made of.
sys.path.insert(0, str(ROOT / "services" / "research" / "tests"))

from audited_books import BATCH, Bookkeeper, audited_tape

_TRIPS = 2


@dataclass(frozen=True)
class Machine:
    """A state directory, and the ports that its commands use."""

    layout: Layout
    base_port: int

    @asynccontextmanager
    async def running(self) -> Any:
        """Run the database and nothing else."""
        with held(self.layout, load_settings(None, self.base_port)) as desk:
            async with database_running(desk):
                yield desk


@dataclass(frozen=True)
class Books:
    """Where books were made, and the backup of them."""

    origin: Machine
    backup: Path
    records: int
    """That were archived at the moment of the backup."""


def keeper_of(desk: Desk) -> Bookkeeper:
    """Return who keeps this desk's books and signs them with the desk's own key."""
    state = desk.layout.service_state("ledger")
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    keeper = Bookkeeper((desk.layout.secrets("ledger") / POSTGRES_DSN).read_text().strip(), state)
    keeper.sealer = Sealer.load(desk.layout.secrets("ledger") / SEAL_KEY, state)
    return keeper


@pytest.fixture(scope="session")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """Make books, and back them up; while the dump runs the ledger books on and makes another seal."""
    folder = tmp_path_factory.mktemp("origin")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TOLLGATE_CONSOLE__DISK_FLOOR_MIB", "1")
        yield asyncio.run(_made(Machine(Layout(folder / "state"), free_base_port()), folder / "backup", patched))


async def _made(origin: Machine, directory: Path, patched: pytest.MonkeyPatch) -> Books:
    tape = audited_tape(_TRIPS)
    before = len(tape) // 2 // BATCH * BATCH
    async with origin.running() as desk:
        await provision_logins(desk.layout, desk.database)
        keeper = keeper_of(desk)
        await keeper.keep(tape[:before], seal_every=1)
    dump = backups.dump_database

    async def sealed_meanwhile(*arguments: Any) -> None:
        await keeper.keep(tape[before:], seal_every=1)
        await dump(*arguments)

    patched.setattr(backups, "dump_database", sealed_meanwhile)
    await backups.backup_desk(origin.layout, None, origin.base_port, directory)
    patched.setattr(backups, "dump_database", dump)
    return Books(origin, directory, before)


_numbers = itertools.count(1)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Machine]:
    """Make machines that have nothing yet."""
    monkeypatch.setenv("TOLLGATE_CONSOLE__DISK_FLOOR_MIB", "1")
    return lambda: Machine(Layout(tmp_path / f"machine-{next(_numbers)}"), free_base_port())
