"""One table: how an order's fate becomes unclear, what the tape says of it, and what it comes to in the end."""

from dataclasses import dataclass, replace

import pytest

from tests.simulation import desk
from tests.simulation.invariants import broken
from tests.simulation.matrix import MATRIX, Row, Terminal
from tests.simulation.plan import Plan
from tests.simulation.run import come_to_rest
from tests.simulation.world import World
from tollgate_contracts.codec import decode
from tollgate_contracts.execution import TERMINAL_STATES, Fill, Order
from tollgate_contracts.reconciliation import Movement, Reconcile

ORDER_ID = desk.order_id(1)
_MILLISECOND_US = 1_000


@dataclass(frozen=True)
class Told:
    """What a run has come to."""

    terminal: Terminal
    states: str
    differences: frozenset[str]
    sent: int
    fills: int
    movements: int


def play(row: Row) -> Told:
    """Play a story to where it is looked at; what must never be is asserted here, whatever the row expects."""
    plan = replace(row.plan, kills=(first_step_after_sending(row.plan),)) if row.killed else row.plan
    world = World(plan)
    try:
        world.begin()
        if row.before_calm:
            world.loop.run_until(plan.trading_us - _MILLISECOND_US)
        else:
            world.loop.run_until(plan.trading_us)
            assert come_to_rest(world) == []
        assert broken(world) == []
        assert world.kills == row.killed
        return told(world)
    finally:
        world.close()


def first_step_after_sending(plan: Plan) -> int:
    """Return the step of the process before which the order has just left."""
    world = World(plan)
    try:
        world.begin()
        while not world.sent:
            world.loop.run_until(world.loop.now_us + _MILLISECOND_US)
        return world.loop.steps_of_processes + 1
    finally:
        world.close()


def told(world: World) -> Told:
    messages = [decode(record.data) for record in world.tape.records]
    differences = (each for each in messages if isinstance(each, Reconcile))
    return Told(
        terminal=terminal(world),
        states=" ".join(each.to_state for each in messages if isinstance(each, Order)),
        differences=frozenset(f"{each.difference}:{each.repair}" for each in differences),
        sent=sum(world.sent.values()),
        fills=sum(isinstance(each, Fill) for each in messages),
        movements=sum(isinstance(each, Movement) for each in messages),
    )


def terminal(world: World) -> Terminal:
    assert world.process is not None
    record = world.process.core.orders.get(ORDER_ID)
    assert record is not None
    if record.acknowledged:
        return Terminal.COMMITTED
    return Terminal.FAILED if record.state in TERMINAL_STATES else Terminal.UNKNOWN


@pytest.mark.parametrize("story", MATRIX)
def test_every_story_ends_as_it_must_and_the_tape_tells_it(story: str) -> None:
    row = MATRIX[story]
    assert play(row) == Told(row.terminal, row.states, row.differences, row.sent, row.fills, row.movements)


def test_the_table_knows_every_outcome() -> None:
    assert {row.terminal for row in MATRIX.values()} == set(Terminal)


def test_no_story_ends_in_a_rejection_that_nobody_has_said() -> None:
    """Silence is never taken for no: REJECTED is there only where the venue, or a check before sending, said so."""
    rejected = {story for story, row in MATRIX.items() if "REJECTED" in row.states}
    assert rejected == {"too fast for as long as the approval lives", "a venue that takes cancels alone"}
