"""The tape: one totally ordered, durable log per desk, and how it is read and written.

``records`` names what lies on it, ``nats`` is the broker's, ``memory`` the same in memory for tests, replay and
backtest, ``writer`` appends for one service, ``reading`` says what is applied of what lies there, ``duplicates``
remembers what was, ``archived`` and ``chain`` say how a record is kept elsewhere and proved to be the one it was.
"""

from tollgate_chassis.tape.memory import MemoryTape
from tollgate_chassis.tape.nats import NatsTape
from tollgate_chassis.tape.records import (
    Bounds,
    LostRace,
    NotActive,
    Record,
    Superseded,
    TakenId,
    TapeFull,
    TapeLostItsHead,
    TapeUnavailable,
    TapeWentBackwards,
    TooLarge,
)

Tape = MemoryTape | NatsTape

__all__ = [
    "Bounds",
    "LostRace",
    "MemoryTape",
    "NatsTape",
    "NotActive",
    "Record",
    "Superseded",
    "TakenId",
    "Tape",
    "TapeFull",
    "TapeLostItsHead",
    "TapeUnavailable",
    "TapeWentBackwards",
    "TooLarge",
]
