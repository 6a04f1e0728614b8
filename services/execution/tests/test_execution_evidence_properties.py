"""Whatever order the venue's words come in, and however often: what must hold of every order."""

import json
import random
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

import pytest
from execution_samples import SECOND_US, TRUSTED, Desk, order_id, trade
from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate_contracts.codec import encode
from tollgate_contracts.execution import TERMINAL_STATES, OrderState, ReportSource, ReportStatus, VenueTrade
from tollgate_contracts.money import ZERO
from tollgate_execution.core import ExecutionCore
from tollgate_execution.verification import Verifier

QUANTITY = Decimal(2)
# Seven possible trades, one of them the same id with other content; together far more than the order.
TRADES = (
    trade(1, "0.5"),
    trade(2, "0.5"),
    trade(3, "0.75"),
    trade(4, "1"),
    trade(5, "0.25"),
    trade(6, "2"),
    trade(1, "0.25"),
)

words = st.tuples(
    st.sampled_from(ReportStatus),
    st.sampled_from(ReportSource),
    st.one_of(st.none(), st.sampled_from(["0", "0.5", "1", "1.75", "2", "3"])),
    st.lists(st.sampled_from(TRADES), max_size=3),
    st.sampled_from([0, 0, 1, 400_000, 9 * SECOND_US]),
    st.booleans(),
)
Word = tuple[ReportStatus, ReportSource, str | None, list[VenueTrade], int, bool]


def hear_all(said: Sequence[Word]) -> tuple[Desk, list[OrderState]]:
    desk = Desk()
    desk.approve(time_in_force="GTC")
    states: list[OrderState] = []
    for status, source, filled, trades, pause_us, cancel in said:
        desk.now_us += pause_us
        if cancel:
            desk.approve(action="CANCEL")
        desk.hear(status, source, filled=filled, trades=tuple(trades))
        record = desk.core.orders.get(order_id(1))
        assert record is not None
        states.append(record.state)
    return desk, states


@given(st.lists(words, max_size=12))
@settings(max_examples=300, deadline=None)
def test_what_always_holds(said: list[Word]) -> None:
    """Trades once, never beyond the quantity, terminal states final, and the record is the sum of its fills."""
    desk, states = hear_all(said)
    fills = desk.fills()
    record = desk.core.orders.get(order_id(1))
    assert record is not None
    assert len({fill.trade.trade_id for fill in fills}) == len(fills)
    assert sum((fill.trade.quantity for fill in fills), ZERO) == record.booked <= QUANTITY
    assert sum((fill.trade.quantity * fill.trade.price for fill in fills), ZERO) == record.booked_quote
    for earlier, later in pairwise(states):
        assert earlier not in TERMINAL_STATES or earlier is later
    if record.state is OrderState.FILLED:
        assert record.booked == QUANTITY
    if record.state is OrderState.REJECTED:
        assert all(
            order.to_state is not OrderState.REJECTED or order.cumulative_quantity == 0 for order in desk.orders()
        )


@given(st.lists(words, max_size=12))
@settings(max_examples=150, deadline=None)
def test_the_state_changes_said_are_a_chain(said: list[Word]) -> None:
    """Each change begins where the one before it ended, and the last one names the state."""
    desk, states = hear_all(said)
    chain = desk.orders()
    assert chain[0].from_state is OrderState.PLANNED
    for earlier, later in pairwise(chain):
        assert earlier.to_state is later.from_state
        assert earlier.to_state is not later.to_state
    if states:
        assert chain[-1].to_state is states[-1]


@given(st.lists(words, max_size=10), st.integers(min_value=0, max_value=40))
@settings(max_examples=100, deadline=None)
def test_a_snapshot_at_any_place_goes_on_as_if_nothing_had_been(said: list[Word], place: int) -> None:
    """Replay from a snapshot writes the same bytes as replay from the beginning."""
    desk, _ = hear_all(said)
    whole, resumed = ExecutionCore(Verifier(TRUSTED).approval), ExecutionCore(Verifier(TRUSTED).approval)
    for index, message in enumerate(desk.tape):
        sequence = index + 1
        if index == min(place, len(desk.tape) - 1):
            resumed.restore(_through_json(whole.snapshot()))
        expected = whole.step(sequence, message)
        if index >= min(place, len(desk.tape) - 1):
            got = resumed.step(sequence, message)
            assert [encode(output) for output in got.outputs] == [encode(output) for output in expected.outputs]
            assert got.effects == expected.effects
            assert resumed.snapshot() == whole.snapshot()


def _through_json(state: dict[str, object]) -> dict[str, object]:
    restored: dict[str, object] = json.loads(json.dumps(state))
    return restored


@pytest.mark.parametrize("seed", range(20))
def test_a_true_history_in_any_order_and_doubled_ends_as_it_happened(seed: int) -> None:
    """Frames of one real fill, shuffled and repeated, always end FILLED with each trade booked once."""
    history: list[tuple[ReportStatus, ReportSource, str, tuple[VenueTrade, ...]]] = [
        (ReportStatus.OPEN, ReportSource.SUBMIT, "0", ()),
        (ReportStatus.OPEN, ReportSource.STREAM, "0.5", (trade(1, "0.5"),)),
        (ReportStatus.OPEN, ReportSource.STREAM, "1", (trade(2, "0.5"),)),
        (ReportStatus.FILLED, ReportSource.STREAM, "2", (trade(4, "1"),)),
        (ReportStatus.FILLED, ReportSource.QUERY, "2", (trade(1, "0.5"), trade(2, "0.5"), trade(4, "1"))),
    ]
    shuffled = history * 2
    random.Random(seed).shuffle(shuffled)  # noqa: S311 - a test's order, nothing secret
    desk = Desk()
    desk.approve()
    for status, source, filled, trades in shuffled:
        desk.hear(status, source, filled=filled, trades=trades)
    assert desk.state() == "FILLED"
    assert sorted(fill.trade.trade_id for fill in desk.fills()) == ["t1", "t2", "t4"]
