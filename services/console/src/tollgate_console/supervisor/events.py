"""What the supervisor has to say: kept in its own log, and given to whoever watches."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

Listener = Callable[["Event"], None]


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to a process of the platform."""

    service: str
    event: str
    outcome: str
    level: str = "info"


class Events:
    """Writes each event as a JSON line and tells the listeners."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Tell ``listener`` of every event from here on."""
        self._listeners.append(listener)

    def say(self, service: str, event: str, outcome: str = "", level: str = "info") -> None:
        """Note that ``event`` happened to ``service``."""
        line = {
            "timestamp": datetime.now(UTC).isoformat(timespec="microseconds"),
            "level": level,
            "service": "supervisor",
            "event": event,
            "process": service,
            "outcome": outcome,
        }
        with self._log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        for listener in self._listeners:
            listener(Event(service, event, outcome, level))
