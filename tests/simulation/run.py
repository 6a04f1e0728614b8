"""Run one plan to its end and say what was broken."""

import logging
from dataclasses import dataclass

import structlog

from tests.simulation.invariants import broken, unsettled
from tests.simulation.plan import Plan
from tests.simulation.world import World

# After the faults have stopped: the longest approval, its proof of absence, the slowest look, and as much again.
_REST_US = 12_000_000
# No multiple of the clock's beat: at the end of a slice what was written with a beat has been read.
_SLICE_US = 273_000
# Where trading is over, there may still be nothing left to wait for.
_MOST_SLICES = _REST_US // _SLICE_US


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one run."""

    command: str
    """Replays it exactly."""
    wrong: tuple[str, ...]
    trace: tuple[str, ...]
    process_steps: int
    """Steps of processes while faults were on: where a kill may be."""
    kills: int
    processes: int
    records: int
    submits: int
    fills: int
    rest_us: int
    """How long it took to come to rest after the faults had stopped."""

    def describe(self) -> str:
        """Say it in a line."""
        return (
            f"{self.process_steps} steps, {self.kills} kills, {self.processes} processes, {self.records} records, "
            f"{self.submits} submits, {self.fills} fills, at rest after {self.rest_us / 1_000_000:.3f} s"
        )


def run_plan(plan: Plan, *, traced: bool = False) -> Outcome:
    """Run a plan; the same plan gives the same outcome, traced or not."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    world = World(plan, traced=traced)
    try:
        world.begin()
        world.loop.run_until(plan.trading_us)
        process_steps = world.loop.steps_of_processes
        open_ends = come_to_rest(world)
        wrong = (*broken(world), *open_ends)
        if world.trace is not None:
            world.trace.extend(f"tape {record.sequence} {record.data.decode()}" for record in world.tape.records)
        return Outcome(
            command=f"make simulate {plan.name}",
            wrong=wrong,
            trace=tuple(world.trace or ()),
            process_steps=process_steps,
            kills=world.kills,
            processes=world.processes,
            records=world.tape.tip,
            submits=sum(world.sent.values()),
            fills=len(world.floor.rows),
            rest_us=world.loop.now_us - plan.trading_us,
        )
    finally:
        world.close()


def come_to_rest(world: World) -> list[str]:
    """Go on until everything has come to rest; returns what has not by then."""
    open_ends: list[str] = []
    for number in range(1, _MOST_SLICES + 1):
        world.loop.run_until(world.plan.trading_us + number * _SLICE_US)
        open_ends = unsettled(world)
        if not open_ends:
            break
    return open_ends
