"""The core against the order on paper: every history of four reports, and random ones of thirty."""

from dataclasses import replace
from decimal import Decimal

from execution_order_model import EXPIRES_US, FINAL, Order, Said
from execution_samples import SECOND_US, START_US, Desk, order_id, trade
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tollgate_contracts.execution import Report, ReportSource, ReportStatus
from tollgate_execution.core.evidence import Hearing, assess
from tollgate_execution.core.parameters import Watch
from tollgate_execution.core.probes import wish_cancel
from tollgate_execution.core.record import CancelWish, OrderRecord

R, FROM = ReportStatus, ReportSource
TRADES = {number: trade(number, "1") for number in (1, 2, 3)}
DEPTH = 4
# Each with how long after the one before it it is heard. Longer than five seconds and absence is proof.
ALPHABET: tuple[tuple[Said | str, int], ...] = (
    ("cancel", 0),
    (Said(R.OPEN, FROM.SUBMIT, 0), 0),
    (Said(R.NO_ANSWER, FROM.SUBMIT), 0),
    (Said(R.REJECTED, FROM.SUBMIT), 0),
    (Said(R.NOT_SENT, FROM.SUBMIT), 0),
    (Said(R.TRADED, FROM.STREAM, trades=(1,)), 0),
    (Said(R.OPEN, FROM.STREAM, 1, (2,)), 0),
    (Said(R.FILLED, FROM.STREAM), 0),
    (Said(R.CANCELLED, FROM.STREAM, 1), 0),
    (Said(R.TRADED, FROM.FILLS, busts=(1,)), 0),
    (Said(R.OPEN, FROM.QUERY, 1, (1,)), 9 * SECOND_US),
    (Said(R.CANCELLED, FROM.QUERY, None, (1,)), 0),
    (Said(R.ABSENT, FROM.QUERY), 4 * SECOND_US + SECOND_US // 2),
    (Said(R.REJECTED, FROM.CANCEL), 0),
    (Said(R.NOT_SENT, FROM.CANCEL), 0),
    (Said(R.CANCELLED, FROM.OPERATOR), 0),
)


def report_of(said: Said, now_us: int) -> Report:
    return Report.model_construct(
        client_order_id=order_id(1),
        ts_us=START_US + now_us,
        source=said.source,
        status=said.status,
        venue_order_id=None,
        cumulative_quantity=None if said.filled is None else Decimal(said.filled),
        trades=tuple(TRADES[number] for number in said.trades),
        busted=tuple(f"t{number}" for number in said.busts),
        reason=None,
        detail="",
        venue_ts_us=None,
    )


def after(record: OrderRecord, event: Said | str, now_us: int) -> OrderRecord:
    """Return the record after an event, as the core's pure rules have it."""
    if isinstance(event, str):
        until_us = START_US + now_us + EXPIRES_US
        before_us = record.cancel.until_us if record.cancel is not None and record.cancel.until_us else 0
        return record if record.is_over else wish_cancel(record, CancelWish(None, max(until_us, before_us)))
    hearing = Hearing(Watch(), START_US + now_us)
    moved = assess(record, report_of(event, now_us), hearing).record
    return moved if moved.state is record.state else replace(moved, since_us=START_US + now_us)


def on_paper(order: Order, event: Said | str, now_us: int) -> Order:
    noted = order.copy()
    if not isinstance(event, str):
        noted.hear(event, now_us)
    elif noted.state not in FINAL:
        noted.cancel(now_us)
    return noted


def said_of(record: OrderRecord) -> tuple[str, list[str], list[str], Decimal]:
    booked = [each.trade.trade_id for each in record.trades]
    return record.state.value, booked, sorted(each.trade_id for each in record.busted), record.booked


def noted_of(order: Order) -> tuple[str, list[str], list[str], Decimal]:
    booked = [f"t{number}" for number in order.booked]
    return order.state, booked, sorted(f"t{number}" for number in order.taken_back), Decimal(len(booked))


def test_every_history_of_four_reports_ends_as_on_paper() -> None:
    """Sixteen reports in every order and with every repetition: 69,904 histories, each compared after each report."""
    desk = Desk()
    desk.approve(time_in_force="GTC")
    count = 0
    open_ends: list[tuple[OrderRecord, Order, int, tuple[Said | str, ...]]] = [(desk.record(), Order(), 0, ())]
    while open_ends:
        record, order, now_us, history = open_ends.pop()
        for event, pause_us in ALPHABET:
            told = (*history, event)
            then_us = now_us + pause_us
            moved, noted = after(record, event, then_us), on_paper(order, event, then_us)
            assert said_of(moved) == noted_of(noted), [str(each) for each in told]
            count += 1
            if len(told) < DEPTH:
                open_ends.append((moved, noted, then_us, told))
    assert count == sum(len(ALPHABET) ** depth for depth in range(1, DEPTH + 1)) == 69_904


class Histories(RuleBasedStateMachine):
    """Any report by anybody at any time, through the whole core and over the wire's form."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self.desk.approve(time_in_force="GTC")
        self.order = Order()

    @property
    def now_us(self) -> int:
        return self.desk.now_us - START_US

    @rule(
        status=st.sampled_from(R),
        source=st.sampled_from(FROM),
        filled=st.sampled_from([None, None, 0, 1, 2]),
        trades=st.lists(st.sampled_from([1, 2, 3]), max_size=2),
        busts=st.sampled_from([(), (), (), (1,), (2,), (1, 3)]),
    )
    def hear(
        self,
        status: ReportStatus,
        source: ReportSource,
        filled: int | None,
        trades: list[int],
        busts: tuple[int, ...],
    ) -> None:
        said = Said(status, source, filled, tuple(trades), busts)
        self.order.hear(said, self.now_us)
        self.desk.hear(
            status,
            source,
            filled=None if filled is None else str(filled),
            trades=tuple(TRADES[number] for number in trades),
            busted=tuple(f"t{number}" for number in busts),
        )

    @rule(pause_us=st.sampled_from([1, SECOND_US, 4 * SECOND_US, 9 * SECOND_US]))
    def wait(self, pause_us: int) -> None:
        self.desk.wait(pause_us)

    @precondition(lambda self: self.order.state not in FINAL)
    @rule()
    def cancel(self) -> None:
        self.order.cancel(self.now_us)
        self.desk.approve(action="CANCEL", intent_id=f"strategy:{self.desk.sequence}:0")

    @invariant()
    def it_is_as_on_paper(self) -> None:
        assert said_of(self.desk.record()) == noted_of(self.order)

    @invariant()
    def each_fill_and_each_bust_is_said_once_and_the_money_is_theirs(self) -> None:
        fills = [fill.trade.trade_id for fill in self.desk.fills()]
        busts = [bust.trade.trade_id for bust in self.desk.busts()]
        assert len({*fills}) == len(fills)
        assert len({*busts}) == len(busts)
        assert {*busts} <= {*fills}
        assert sorted({*fills} - {*busts}) == sorted(each.trade.trade_id for each in self.desk.record().trades)
        assert self.desk.core.portfolio is not None
        spent = Decimal("100.1") * (len(fills) - len(busts))
        assert self.desk.core.portfolio.cash == Decimal(100_000) - spent


Histories.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestHistories = Histories.TestCase
