"""One pass over a tape: of a recorded run, or of the platform that runs."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from tollgate_chassis.tape import Record
from tollgate_research import recording
from tollgate_research.record import BATCH, connected


class Taker(Protocol):
    """Something that is told each record of a tape, in order."""

    def take(self, record: Record) -> None:
        """Take the next record."""
        ...


T = TypeVar("T", bound=Taker)


def pass_over(make: Callable[[str], T], run: Path | None, state_dir: Path) -> T:
    """Make a taker for the tape's desk, tell it every record up to the tape's present end, and return it.

    Reads the recorded ``run`` where one is named, else the platform in ``state_dir``. Raises ``BadRecording`` and
    ``NotRunning``.
    """
    if run is None:
        return asyncio.run(_pass_over_platform(make, state_dir))
    with recording.reading(run) as reader:
        taker = make(reader.desk)
        for item in reader:
            if isinstance(item, Record):
                taker.take(item)
    return taker


async def _pass_over_platform(make: Callable[[str], T], state_dir: Path) -> T:
    async with connected(state_dir) as (desk, tape):
        taker = make(desk)
        end, done = (await tape.bounds()).last, 0
        while done < end:
            for record in await tape.read(done + 1, min(BATCH, end - done)):
                taker.take(record)
                done = record.sequence
    return taker
