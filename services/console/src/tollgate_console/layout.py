"""What lies where in the state directory: data, secrets, logs, and who runs."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

# Raised when what lies in the state directory is no longer understood by the version before.
LAYOUT_VERSION = 2
# What only its owner may enter: everything here is data, keys or logs of a trading desk.
PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths below one state directory."""

    root: Path

    @property
    def version_file(self) -> Path:
        """Says which layout the directory has."""
        return self.root / "layout-version"

    @property
    def lock_file(self) -> Path:
        """Held by the supervisor for as long as it lives; its content names the holder."""
        return self.root / "lock"

    @property
    def processes_file(self) -> Path:
        """The children of the supervisor, for the clean-up after a supervisor that was killed."""
        return self.root / "processes.json"

    @property
    def platform_file(self) -> Path:
        """What runs, on which ports; there only while the platform runs."""
        return self.root / "platform.json"

    @property
    def new_desk_file(self) -> Path:
        """There from the making of a new desk's keys on, until something was restored into it."""
        return self.root / "new-desk"

    @property
    def postgres_place_file(self) -> Path:
        """Names the database's directory when it could not lie below this one."""
        return self.root / "postgres-place"

    @property
    def broker_config(self) -> Path:
        """The rendered configuration of the broker."""
        return self.root / "nats" / "nats-server.json"

    @property
    def broker_store(self) -> Path:
        """Where the broker keeps its streams."""
        return self.root / "nats" / "data"

    def secrets(self, name: str) -> Path:
        """Return the directory that holds the secrets of one process, and no other's."""
        return self.root / "secrets" / name

    @property
    def operator(self) -> Path:
        """The desk's list of operators' tokens, and the texts of the first ones."""
        return self.root / "operator"

    def service_state(self, name: str) -> Path:
        """Return the directory in which one process keeps its own state."""
        return self.root / "services" / name

    def log(self, name: str) -> Path:
        """Return a process's log; only our own processes write JSON lines."""
        return self.root / "logs" / f"{name}{'.log' if name in {'nats', 'postgres'} else '.jsonl'}"

    def prepare(self) -> None:
        """Make the directories, for the owner's eyes only."""
        self.root.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        for name in ("nats", "secrets", "services", "logs"):
            (self.root / name).mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, replacing an older one whole."""
    path.parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, PRIVATE_FILE)
        file.write(text)
    beside.replace(path)


def write_json(path: Path, content: object) -> None:
    """Write readable JSON the same way."""
    write_private(path, json.dumps(content, indent=2) + "\n")
