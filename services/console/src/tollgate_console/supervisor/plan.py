"""What the platform consists of, as data: which processes, in which order, and what each is told."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from tollgate_console.layout import Layout
from tollgate_console.provision.broker import BrokerPlace
from tollgate_console.provision.database import DATABASE_SERVICES
from tollgate_console.provision.keys import NATS_SEED, POSTGRES_DSN
from tollgate_console.settings import ConsoleSettings
from tollgate_console.supervisor.child import ProcessSpec
from tollgate_contracts.envelope import SERVICES

VENUE = "simvenue"
# The exchange comes first, so that nobody begins with a failed connection to it.
PROCESSES: tuple[str, ...] = (VENUE, *SERVICES)
# Only these may be handed down from our own environment, besides the TOLLGATE_ keys themselves: what a Python process
# needs to run, to be measured, and to speak the operator's language.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE")
_INHERITED_PREFIXES = ("PYTHON", "COVERAGE_", "OTEL_", "TOLLGATE_")
# What only we may say; a value from outside would be another service's secret, or none.
_OURS = ("TOLLGATE_NATS_SEED_FILE", "TOLLGATE_POSTGRES_DSN_FILE", "TOLLGATE_SECRETS_DIR", "TOLLGATE_STATE_DIR")


@dataclass(frozen=True, slots=True)
class Replay:
    """A recorded market to play instead of the generated one."""

    recording: Path
    speed: Decimal | None


@dataclass(frozen=True, slots=True)
class Start:
    """One start of the platform."""

    settings: ConsoleSettings
    layout: Layout
    run_id: str
    replay: Replay | None = None


def default_commands() -> dict[str, tuple[str, ...]]:
    """Return how each process is run."""
    return {name: (sys.executable, "-m", f"tollgate_{name}") for name in PROCESSES}


def process_specs(start: Start, commands: Mapping[str, tuple[str, ...]]) -> list[ProcessSpec]:
    """Return the exchange and the services, in the order in which they are started."""
    return [
        ProcessSpec(name=name, command=command, log=start.layout.log(name), environment=environment(start, name))
        for name, command in commands.items()
    ]


def environment(start: Start, name: str) -> dict[str, str]:
    """Return what the process ``name`` is told: its own secrets and nobody else's."""
    settings, layout = start.settings, start.layout
    console = settings.console
    inherited = {
        key: value
        for key, value in os.environ.items()
        if (key in _INHERITED or key.startswith(_INHERITED_PREFIXES)) and key not in _OURS
    }
    secrets = layout.secrets(name).resolve()
    own = {
        "PYTHONUNBUFFERED": "1",
        "TOLLGATE_RUN_ID": start.run_id,
        "TOLLGATE_STATE_DIR": str(layout.service_state(name).resolve()),
        "TOLLGATE_SECRETS_DIR": str(secrets),
        **{f"TOLLGATE_PORTS__{service.upper()}": str(port) for service, port in settings.ports.model_dump().items()},
    }
    if name == VENUE:
        return {**inherited, **own, **_replay(start.replay)}
    own["TOLLGATE_NATS_URL"] = BrokerPlace(console.nats_port, console.nats_monitor_port, layout.broker_store).url
    own["TOLLGATE_NATS_SEED_FILE"] = str(secrets / NATS_SEED)
    if name in DATABASE_SERVICES:
        own["TOLLGATE_POSTGRES_DSN_FILE"] = str(secrets / POSTGRES_DSN)
    return {**inherited, **own}


def _replay(replay: Replay | None) -> dict[str, str]:
    if replay is None:
        return {}
    told = {"TOLLGATE_SIMVENUE__RECORDING": str(replay.recording.resolve())}
    if replay.speed is not None:
        told["TOLLGATE_SIMVENUE__SPEED"] = str(replay.speed)
    return told
