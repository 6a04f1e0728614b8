"""Typed configuration of the console: the desk's shared keys, and the section ``console``."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.settings import CONFIG_VARIABLE, DeskSettings, Port, Ports, Section, load
from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.provision.broker import StreamSizes

_MIB = 1_024 * 1_024
# Room for the write-ahead log of the database and a day of logs, after the streams have taken theirs.
_DISK_FLOOR_MIB = 1_024
_LOG_MIB = 64


class ConsoleSection(Section):
    """The ``console`` section of the file: what ``tollgate up`` starts itself."""

    nats_port: Port = 8420
    """Where the broker listens for clients."""
    nats_monitor_port: Port = 8421
    """Where the broker answers about its health."""
    postgres_port: Port = 8422
    """Where the database listens."""
    disk_floor_mib: Annotated[int, Field(ge=0)] = _DISK_FLOOR_MIB
    """``up`` refuses to start with less free space than this."""
    log_mib_max: Annotated[int, Field(ge=1)] = _LOG_MIB
    """A log that grows beyond this is begun anew; the one before is kept beside it."""
    tape_mib_max: Annotated[int, Field(ge=1)] = StreamSizes().tape // _MIB
    """Room for the tape; full, it takes nothing more. It may be raised later and not lowered."""
    market_mib_max: Annotated[int, Field(ge=1)] = StreamSizes().market // _MIB
    """Room for the market frames; full, the oldest go."""
    dead_mib_max: Annotated[int, Field(ge=1)] = StreamSizes().dead // _MIB
    """Room for dead letters; full, the oldest go."""

    @property
    def stream_sizes(self) -> StreamSizes:
        """The same in bytes."""
        return StreamSizes(self.tape_mib_max * _MIB, self.market_mib_max * _MIB, self.dead_mib_max * _MIB)


class ConsoleSettings(DeskSettings):
    """What the console is started with."""

    console: ConsoleSection = ConsoleSection()

    def with_base_port(self, base: int) -> "ConsoleSettings":
        """Return the same with every port counted up from ``base``, in one fixed order."""
        console = self.console.model_copy(
            update={"nats_port": base, "nats_monitor_port": base + 1, "postgres_port": base + 2}
        )
        names = sorted(Ports.model_fields)
        ports = Ports(**{name: base + len(_OWN_PORTS) + index for index, name in enumerate(names)})
        return self.model_copy(update={"console": console, "ports": ports})

    def all_ports(self) -> dict[str, int]:
        """Return every port that the platform listens on, by process; the broker has two."""
        own = {name: getattr(self.console, field) for name, field in _OWN_PORTS.items()}
        return {**own, **self.ports.model_dump()}


_OWN_PORTS = {"nats": "nats_port", "nats-monitor": "nats_monitor_port", "postgres": "postgres_port"}


def load_settings(config: Path | None, base_port: int | None = None) -> ConsoleSettings:
    """Return valid settings from ``config``, when it is given, and the environment, with ports from ``base_port`` on.

    Raises ``ConsoleError`` that names every field that is wrong. The environment keeps the path, because the services
    read the same file.
    """
    if config is not None:
        os.environ[CONFIG_VARIABLE] = str(config.resolve())
    try:
        settings = load(ConsoleSettings)
    except BadConfiguration as error:
        where = f" in {config}" if config else ""
        raise ConsoleError(
            ConsoleExit.BAD_CONFIGURATION, f"bad configuration{where}, nothing was started:\n{error.why}"
        ) from error
    return settings if base_port is None else settings.with_base_port(base_port)
