"""What must be so when the world has come to rest, each as a sentence about what is not."""

import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from tests.simulation import desk
from tests.simulation.world import World
from tollgate_contracts.codec import decode, encode
from tollgate_contracts.execution import TERMINAL_STATES, Bust, Fill, OrderState, Report
from tollgate_execution.core import ExecutionCore
from tollgate_execution.core.placing import attempt_id
from tollgate_execution.core.record import OrderRecord
from tollgate_simvenue.core import model as venue
from tollgate_simvenue.core.model import OrderStatus
from tollgate_simvenue.core.plan import CancelAnswer, FaultType
from tollgate_simvenue.core.units import atoms_text, units_text

# Between reading a record and writing what follows from it, the journal is waited for as long as this at most.
_STEP_US_MAX = 60_000
# From a statement to its place on the tape.
_ANSWER_US = 400_000
_WORKING = {OrderState.ACKNOWLEDGED, OrderState.PARTIALLY_FILLED}
_AGREES = {
    OrderStatus.OPEN: _WORKING,
    OrderStatus.FILLED: {OrderState.FILLED},
    OrderStatus.CANCELLED: {OrderState.CANCELLED},
    OrderStatus.EXPIRED: {OrderState.EXPIRED},
    OrderStatus.REJECTED: {OrderState.REJECTED},
}


def unsettled(world: World) -> list[str]:
    """Return what is still to come to rest; empty in the end."""
    return list(_unsettled(world))


def _unsettled(world: World) -> Iterator[str]:
    process = world.process
    if process is None or not process.runner.live.is_set():
        yield "no process is live"
        return
    is_fresh = world.tape.records[-1].stored_us > world.wall_us() - _STEP_US_MAX
    if process.runner.position < world.tape.tip or process.tape.appends_under_way or is_fresh:
        yield "the tape is not written and read to its end"
        return
    for client_order_id in world.approvals:
        yield from _order(world, process.core, client_order_id)
    yield from _open_rows(world)
    yield from _money(world)


def _order(world: World, core: ExecutionCore, client_order_id: str) -> Iterator[str]:
    record = core.orders.get(client_order_id)
    if record is None:
        if client_order_id in world.floor.registered:
            yield f"{client_order_id} is at the venue and execution does not hold it"
        return
    attempts = [attempt_id(client_order_id, number) for number in range(1, record.placing.attempt + 1)]
    orders = [order for each in attempts for order in world.floor.registered.get(each, ())]
    newest = next((order for order in orders if order.request.client_order_id == record.placing.venue_id), None)
    if record.is_unsettled:
        yield f"{client_order_id} is {record.state.value} and unsettled"
    elif newest is None and record.state not in TERMINAL_STATES:
        yield f"{client_order_id} is {record.state.value} and the venue never had it"
    elif newest is not None and record.state not in _AGREES[newest.status] and not _may_differ(world, record, newest):
        yield f"{client_order_id} is {record.state.value}, at the venue {newest.status.value}"
    filled = Decimal(units_text(sum(order.cumulative_quantity for order in orders)))
    if record.booked != filled:
        yield f"{client_order_id} has booked {record.booked}, the venue {filled}"


def _may_differ(world: World, record: OrderRecord, order: venue.Order) -> bool:
    # An operator's word stands, and what the venue still had open is cancelled.
    if order.status is not OrderStatus.OPEN and record.is_over and _was_resolved(world, record):
        return True
    # A venue that has called an order cancelled and then fills it does not bring it back to life.
    lies = any(rule.cancel_answer is CancelAnswer.DONE for rule in world.plan.faults.rules)
    return lies and record.state is OrderState.CANCELLED


def _was_resolved(world: World, record: OrderRecord) -> bool:
    if not world.plan.words:
        return False
    spoken = (decode(each.data) for each in world.tape.records if b'"source":"OPERATOR"' in each.data)
    return any(isinstance(each, Report) and each.client_order_id == record.placing.venue_id for each in spoken)


def _open_rows(world: World) -> Iterator[str]:
    for venue_id, row in world.database.rows.items():
        if row.ended_us is None and not world.is_live(venue_id):
            yield f"the row of {venue_id} is open, and its order is over"


def _money(world: World) -> Iterator[str]:
    assert world.process is not None
    portfolio, account = world.process.core.portfolio, world.floor.exchange.account
    if portfolio is None or not portfolio.opened:
        yield "the account was never stated"
        return
    if _opened_wrong(world):
        return
    base, quote = desk.SYMBOL.split("-")
    cash = Decimal(atoms_text(account.free[quote] + account.locked[quote]))
    held = Decimal(atoms_text(account.free[base] + account.locked[base]))
    if portfolio.cash != cash:
        yield f"cash {portfolio.cash}, the venue has {cash}"
    ours = portfolio.holding(desk.SYMBOL).quantity + portfolio.beside(base)
    if ours != held:
        yield f"holds {ours}, the venue has {held}"


def _opened_wrong(world: World) -> bool:
    """Say whether the very first statement was a wrong one: by nothing can that be known."""
    first = next(record for record in world.tape.records if b'"kind":"account"' in record.data)
    asked_us = first.stored_us - desk.START_US
    wrong = [rule for rule in world.plan.faults.rules if rule.fault is FaultType.WRONG_BALANCES]
    return any(rule.after_us <= asked_us <= rule.after_us + (rule.for_us or 0) + _ANSWER_US for rule in wrong)


def broken(world: World) -> list[str]:
    """Return what must never be, whatever happened."""
    return [*world.violations, *world.loop.failures, *_fills(world), *_dead_letters(world), *_replay(world)]


def _fills(world: World) -> Iterator[str]:
    booked: Counter[str] = Counter()
    undone: Counter[str] = Counter()
    for record in world.tape.records:
        if b'"kind":"fill"' in record.data and isinstance(message := decode(record.data), Fill):
            booked[message.trade.trade_id] += 1
        elif b'"kind":"bust"' in record.data and isinstance(message := decode(record.data), Bust):
            undone[message.trade.trade_id] += 1
    made = Counter(row.trade_id for row in world.floor.rows if isinstance(row, venue.Fill))
    busted = Counter(row.trade_id for row in world.floor.rows if isinstance(row, venue.Bust))
    for trade_id in sorted({*booked, *made}):
        # One that was taken back before we had heard of it need not be booked at all.
        is_made_up = made[trade_id] == 1 and busted[trade_id] == 1 and (booked[trade_id], undone[trade_id]) == (0, 0)
        if (booked[trade_id], undone[trade_id]) != (made[trade_id], busted[trade_id]) and not is_made_up:
            yield (
                f"trade {trade_id} was made {made[trade_id]} and busted {busted[trade_id]} times, "
                f"booked {booked[trade_id]} and undone {undone[trade_id]} times"
            )


def _dead_letters(world: World) -> Iterator[str]:
    for _subject, message_id, data in world.tape.dead_letters:
        yield f"dead letter {message_id}: {data[:200]!r}"


def _replay(world: World) -> Iterator[str]:
    """Step the tape anew: the same outputs, and the same state."""
    core = ExecutionCore(desk.RememberedVerifier.approval)
    regenerated: dict[str, bytes] = {}
    for record in world.tape.records:
        message = decode(record.data)
        if message.writer == "execution" and message.cause is not None:
            again = regenerated.pop(message.id, None)
            if again != record.data:
                yield f"record {record.sequence} is {record.data[:200]!r}, replayed {again and again[:200]!r}"
        for output in core.step(record.sequence, message).outputs:
            regenerated[output.id] = encode(output)
    yield from (f"{message_id} is not on the tape" for message_id in regenerated)
    process = world.process
    if process is not None and json.dumps(core.snapshot()) != json.dumps(process.core.snapshot()):
        yield "the replayed state differs from the state that was lived"
