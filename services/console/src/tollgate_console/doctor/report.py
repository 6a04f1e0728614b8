"""What the doctor says: the shape that ``--json`` promises. Keys are added here, never renamed."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tollgate_console.exits import ConsoleExit


class Outcome(StrEnum):
    """How one thing that was looked at is."""

    PASS = "pass"  # noqa: S105 - a word, and no secret
    """As it must be."""
    WARN = "warn"
    """It works, and will not for long, or not if something else fails."""
    FAIL = "fail"
    """Not as it must be."""
    SKIPPED = "skipped"
    """It could not be looked at, and why is said."""
    NO_DATA = "no_data"
    """Of an objective: too little happened to judge it."""


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ObjectiveResult(_Shape):
    """One objective of one service."""

    name: str
    service: str
    kind: Literal["latency", "ratio", "level", "none"]
    outcome: Outcome
    value: float | None
    """The share that was as promised, from 0 to 1; of kind ``none`` what there was. Null where nothing was observed."""
    target: float
    """The least such share; of kind ``none`` the 0 that is wanted."""
    bound: float | None
    """What an observation may be at most, in ``unit``; null where only the share counts."""
    unit: str
    observations: int
    said: str
    """What is promised, or why it was not judged."""
    runbook: str


class CheckResult(_Shape):
    """One thing that was looked at."""

    area: str
    name: str
    outcome: Outcome
    said: str
    """What was expected and what was found, in a sentence."""
    do: str = ""
    """What to do about it; empty where there is nothing to do."""


class Measurement(_Shape):
    """What the objectives were judged by."""

    source: Literal["metrics", "prometheus"]
    cycles_wanted: int
    cycles_seen: int | None
    """By how much the tape's clock went on meanwhile; null where it did not answer."""
    seconds: float


class Report(_Shape):
    """All of it."""

    version: Literal[1] = 1
    desk: str | None
    """Null where neither a platform nor a configuration says it."""
    state_dir: str
    at_us: int
    running: bool
    """Whether a platform runs on the state directory."""
    healthy: bool
    """Whether nothing failed, and there was something to look at; what exit code 0 says."""
    exit_code: int
    took_s: float
    measured: Measurement | None
    """Null with ``--only checks``, and where nothing runs."""
    objectives: tuple[ObjectiveResult, ...]
    checks: tuple[CheckResult, ...]


def exit_code(
    objectives: tuple[ObjectiveResult, ...], checks: tuple[CheckResult, ...], not_running: ConsoleExit | None
) -> ConsoleExit:
    """Return how the command ends; ``not_running`` says why there was no platform to look at, none where there was."""
    if not_running is not None:
        return not_running
    outcomes = [each.outcome for each in objectives] + [each.outcome for each in checks]
    return ConsoleExit.NOT_HEALTHY if Outcome.FAIL in outcomes else ConsoleExit.OK
