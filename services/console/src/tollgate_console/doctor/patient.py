"""What the doctor looks at: one state directory, and what could be found out about it before any check."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tollgate_chassis.settings import Ports
from tollgate_console.deployment import find_deployment
from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.health.collect import find_platform
from tollgate_console.layout import Layout
from tollgate_console.provision.broker import BrokerPlace
from tollgate_console.settings import ConsoleSettings, load_settings
from tollgate_console.supervisor.plan import PROCESSES, Start, environment
from tollgate_contracts.envelope import SERVICES

_PROBE = "tollgate_console.doctor.settings_probe"
_LOAD_S = 30.0
# What the configuration says of the clock where it cannot be read; the length as it is shipped.
_CYCLE_MS = 250


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one service makes of its configuration."""

    why: str | None
    """What it refuses; none where it would start."""
    desk: str | None = None
    cycle_ms: int | None = None


@dataclass(frozen=True)
class Patient:
    """One state directory with its configuration, and the platform that runs on it."""

    layout: Layout
    settings: ConsoleSettings | None
    """None where the configuration is refused; with the ports of the running platform where one runs."""
    refused: str
    """Why there are no settings; empty where there are."""
    platform: dict[str, Any] | None
    """What the supervisor has written about itself."""
    not_running: ConsoleError | None
    """Why there is no platform to look at."""
    deployment: Path
    loaded: dict[str, Loaded] = field(default_factory=dict)

    @property
    def desk(self) -> str | None:
        """The desk's name: of what runs, else as it is configured."""
        if self.platform is not None:
            return str(self.platform["desk"])
        return None if self.settings is None else self.settings.desk

    @property
    def services(self) -> dict[str, str]:
        """Where each service of the running platform answers; empty where none runs."""
        if self.platform is None:
            return {}
        host, ports = self.platform["host"], self.platform["ports"]
        return {name: f"http://{host}:{ports[name]}" for name in SERVICES}

    @property
    def broker(self) -> BrokerPlace:
        """Where the broker of the running platform listens."""
        ports = self._running["ports"]
        return BrokerPlace(ports["nats"], ports["nats-monitor"], self.layout.broker_store)

    @property
    def cycle_s(self) -> float:
        """Length of a cycle of the tape's clock."""
        of_clock = self.loaded.get("marketdata")
        return ((of_clock.cycle_ms if of_clock else None) or _CYCLE_MS) / 1_000

    @property
    def _running(self) -> dict[str, Any]:
        assert self.platform is not None, "asked only of a platform that runs"  # noqa: S101 - a programmer's error
        return self.platform


def find_patient(state_dir: Path, config: Path | None) -> Patient:
    """Return what is there, whether it runs or not; raises ``ConsoleError`` where nothing can be looked at."""
    layout, deployment = Layout(state_dir), find_deployment()
    platform, not_running = None, None
    try:
        platform = find_platform(layout)
    except ConsoleError as error:
        not_running = error
    except OSError as error:
        why = f"{state_dir} cannot be looked into: {error.strerror}; call the doctor as the user that runs the platform"
        raise ConsoleError(ConsoleExit.BAD_CONFIGURATION, why) from error
    try:
        settings, refused = _with_ports(load_settings(config), platform), ""
    except ConsoleError as error:
        settings, refused = None, error.what
    return Patient(layout, settings, refused, platform, not_running, deployment)


def _with_ports(settings: ConsoleSettings, platform: dict[str, Any] | None) -> ConsoleSettings:
    """Return settings with the ports that the platform really uses, which ``--base-port`` may have moved."""
    if platform is None:
        return settings
    used = platform["ports"]
    own = {"nats_port": "nats", "nats_monitor_port": "nats-monitor", "postgres_port": "postgres"}
    console = settings.console.model_copy(update={field: used[name] for field, name in own.items()})
    ports = Ports(**{name: used[name] for name in Ports.model_fields})
    return settings.model_copy(update={"console": console, "ports": ports})


async def load_services(patient: Patient) -> dict[str, Loaded]:
    """Load every service's configuration with the environment that the supervisor gives it; empty where it cannot."""
    if patient.settings is None:
        return {}
    run_id = patient.platform["run_id"] if patient.platform else "doctor"
    start = Start(patient.settings, patient.layout, run_id)
    asked = json.dumps({name: environment(start, name) for name in PROCESSES})
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", _PROBE),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(os.environ),
    )
    try:
        output, _ = await asyncio.wait_for(child.communicate(asked.encode()), _LOAD_S)
        return {name: Loaded(**said) for name, said in json.loads(output).items()}
    except (TimeoutError, ValueError):
        return {}
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
