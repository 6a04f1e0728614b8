"""Execution's composition root: everything is built here, and nowhere else."""

from functools import partial
from pathlib import Path

from tollgate_chassis.broker import fast_stream_broker
from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.operator_door import OperatorDoor
from tollgate_chassis.operator_trail import OperatorTrail
from tollgate_chassis.operators import TOKENS_FILE, OperatorTokens
from tollgate_chassis.service import Parts, run_service
from tollgate_chassis.settings import read_secret
from tollgate_execution.api import build_router
from tollgate_execution.core import ExecutionCore
from tollgate_execution.kill_door import KillDoor
from tollgate_execution.permits import PermitHolder
from tollgate_execution.settings import ExecutionSettings, config_text
from tollgate_execution.shell import ExecutionShell
from tollgate_execution.store import Journal
from tollgate_execution.venues.fit import misfits
from tollgate_execution.venues.simulated import SimulatedVenue, VenueKey
from tollgate_execution.verification import Verifier, read_public_keys
from tollgate_execution.write_behind import wall_us


def build(settings: ExecutionSettings) -> Parts:
    """Build the service from its settings and secrets; raises ``BadConfiguration`` naming what is missing."""
    trusted_keys = read_public_keys(settings.secrets_dir / "approval_public_keys")
    verifier = Verifier(trusted_keys)
    core = ExecutionCore(verifier.approval)
    door = KillDoor(settings.state_dir)
    door.load()
    tokens = OperatorTokens.open(settings.secrets_dir / TOKENS_FILE, wall_us())
    trail = OperatorTrail("execution", settings.desk, settings.run_id, settings.state_dir)
    shell = ExecutionShell(
        settings,
        core,
        config_text(settings, trusted_keys),
        partial(Journal.connect, _read_dsn(settings.postgres_dsn_file), settings.desk),
        _venue(settings),
        PermitHolder(settings.desk, verifier.permit),
        door,
        fast_stream_broker(settings, "execution"),
        trail,
    )
    router = build_router(core, door, OperatorDoor(tokens, trail), shell.resolve, shell.explain)
    return Parts(core=core, shell=shell, routers=(router,))


def _venue(settings: ExecutionSettings) -> SimulatedVenue:
    key = VenueKey(
        api_key=read_secret(settings.secrets_dir / "venue_api_key").get_secret_value(),
        secret=read_secret(settings.secrets_dir / "venue_api_secret").get_secret_value().encode(),
    )
    venue = SimulatedVenue(settings.venue_url, key, like=settings.execution.venue_like)
    complaints = misfits(settings.execution.watch.to_watch(), venue.capabilities)
    if complaints:
        raise BadConfiguration("\n".join(complaints))
    return venue


def _read_dsn(path: Path | None) -> str:
    if path is None:
        raise BadConfiguration("postgres_dsn_file: the file with the DSN of execution's own database role is expected")
    try:
        return path.read_text().strip()
    except OSError as error:
        raise BadConfiguration(f"postgres_dsn_file {path} cannot be read: {error.strerror}") from error


def main() -> None:
    """Run the execution service until it is told to stop."""
    run_service("execution", ExecutionSettings, build)
