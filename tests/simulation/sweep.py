"""Many seeds by several processes, in an order and with results that do not depend on how many there are."""

import gc
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, fields
from functools import reduce
from multiprocessing import get_context

from tests.simulation.plan import draw
from tests.simulation.run import Outcome, run_plan
from tests.simulation.scenarios import scenario, standing

# A chunk takes a few seconds: long enough to be worth a process's while, short enough for a line of progress.
CHUNK = 250
# What a run leaves behind is in cycles; to look for them after every step costs a fifth of the time.
_COLLECT_EVERY = 25
# By then the order of that story is sent and answered; what comes after is the clock.
STEPS_UNTIL_STANDING = 200


@dataclass(frozen=True, slots=True)
class Sum:
    """What became of some runs, added up."""

    seeds: int = 0
    steps: int = 0
    records: int = 0
    submits: int = 0
    fills: int = 0
    kills: int = 0
    restarts: int = 0
    failed: tuple[tuple[str, str], ...] = ()
    """Command that replays it, and what was wrong."""

    def plus(self, other: "Sum") -> "Sum":
        """Add."""
        return Sum(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Sum)))

    def describe(self) -> str:
        """Say it in a line."""
        return (
            f"{self.seeds:,} seeds: {self.steps:,} steps, {self.records:,} records, {self.submits:,} submits, "
            f"{self.fills:,} fills, {self.kills:,} kills, {self.restarts:,} restarts, {len(self.failed):,} failed"
        )


def sum_of(outcome: Outcome) -> Sum:
    """Return one run as a sum."""
    failed = ((outcome.command, "; ".join(outcome.wrong)),) if outcome.wrong else ()
    return Sum(
        1,
        outcome.process_steps,
        outcome.records,
        outcome.submits,
        outcome.fills,
        outcome.kills,
        outcome.processes - 1,
        failed,
    )


def run_chunk(first: int, seeds: int) -> Sum:
    """Run some seeds here, one after the other."""
    # What is alive before the first run is there to stay.
    gc.collect()
    gc.freeze()
    gc.disable()
    total = Sum()
    for seed in range(first, first + seeds):
        total = total.plus(sum_of(run_plan(draw(seed))))
        if seed % _COLLECT_EVERY == 0:
            gc.collect()
    gc.enable()
    return total


def run_kills(name: str, first: int, kills: int) -> Sum:
    """Run a scenario once for each step before which it may be killed."""
    return total_of(sum_of(run_plan(scenario(name, (step,)))) for step in range(first, first + kills))


def run_stills(first: int, stills: int) -> Sum:
    """Run the story in which a process stands still, once for each of these steps."""
    return total_of(sum_of(run_plan(standing(step))) for step in range(first, first + stills))


def processes(jobs: int) -> ProcessPoolExecutor:
    """Return so many processes, each begun afresh."""
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))


def chunks(first: int, count: int, size: int) -> list[tuple[int, int]]:
    """Return (first, count) of each part of a range."""
    return [(start, min(size, first + count - start)) for start in range(first, first + count, size)]


def sweep(pool: ProcessPoolExecutor, first: int, seeds: int) -> Iterator[Sum]:
    """Yield sums of chunks of seeds as they are done."""
    begun = [pool.submit(run_chunk, *chunk) for chunk in chunks(first, seeds, CHUNK)]
    yield from (done.result() for done in as_completed(begun))


def sweep_kills(pool: ProcessPoolExecutor, name: str) -> Iterator[Sum]:
    """Yield sums of the kills of a scenario, all of them, as they are done."""
    steps = run_plan(scenario(name)).process_steps
    begun = [pool.submit(run_kills, name, *chunk) for chunk in chunks(1, steps, CHUNK // 5)]
    yield from (done.result() for done in as_completed(begun))


def sweep_stills(pool: ProcessPoolExecutor) -> Iterator[Sum]:
    """Yield sums of the story in which a process stands still, once for each step until its order is at rest."""
    begun = [pool.submit(run_stills, *chunk) for chunk in chunks(1, STEPS_UNTIL_STANDING, CHUNK // 10)]
    yield from (done.result() for done in as_completed(begun))


def total_of(parts: Iterable[Sum]) -> Sum:
    """Add sums up."""
    return reduce(Sum.plus, parts, Sum())
