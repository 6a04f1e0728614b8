"""What the core does for positions that are to be protected: it keeps the covers and does what the review wishes."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tollgate_contracts.execution import (
    TERMINAL_STATES,
    Bust,
    Fill,
    Order,
    OrderState,
    Report,
    ReportSource,
)
from tollgate_contracts.marketdata import Instrument
from tollgate_contracts.money import ZERO
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Difference, Repair
from tollgate_contracts.risk import KillSwitch
from tollgate_domain.instruments import InstrumentRules
from tollgate_execution.core.protection import (
    FAILURES_SAID,
    STOPS_MAX,
    Close,
    Cover,
    Place,
    TakeBack,
    in_the_way,
    left_to_sell,
    placing_of,
    review,
)
from tollgate_execution.core.record import OrderRecord
from tollgate_execution.core.shelf import NEVER_US
from tollgate_execution.core.trades import Note
from tollgate_execution.core.writing import Writing

if TYPE_CHECKING:
    from tollgate_execution.core.core import ExecutionCore

# A desk has as many as it has entries whose position is still held; beyond it no stop is placed, and that is said.
COVERS_MAX = 1_000


class Protecting:
    """Keeps stops at the venue for one core."""

    def __init__(self, core: "ExecutionCore") -> None:
        self._core = core
        self.covers: dict[str, Cover] = {}
        """By client order id of the order that has filled, oldest first."""

    @property
    def due_us(self) -> int:
        """Return when a stop that failed is to be tried again; never while all is as it should be."""
        waiting = (cover.not_before_us for cover in self.covers.values() if cover.failures and cover.live is None)
        return min(waiting, default=NEVER_US)

    @property
    def unprotected(self) -> tuple[str, ...]:
        """Return the orders whose stops have failed so often that an operator is called; oldest first."""
        return tuple(
            entry_id
            for entry_id, cover in self.covers.items()
            if cover.own > ZERO
            and (cover.failures >= FAILURES_SAID or (cover.live is None and cover.attempt >= STOPS_MAX))
        )

    def follow(self, writing: Writing) -> None:
        """Take note of what a step has booked and ended, and do what follows from it for the stops."""
        is_asked = isinstance(writing.message, KillSwitch | Instrument) or self._core.now_us >= self.due_us
        if not writing.outputs and not is_asked:
            return
        for output in tuple(writing.outputs):
            match output:
                case Fill() | Bust():
                    self._count(writing, output)
                case Order(protects=str()):
                    self._note_state(writing, output)
                case _:
                    pass
        if self.covers:
            self._let_go()
            self._carry_out(writing)

    def in_the_way(self, planned: OrderRecord) -> tuple[OrderRecord, ...]:
        """Return the stops that must be gone before an order is placed; empty for most."""
        return in_the_way(planned, self._core.orders.active(), self._core.portfolio) if self.covers else ()

    def released(self, waiting: OrderRecord) -> OrderRecord:
        """Return an order that has waited for a stop's end: ready to be placed for what is left, or over."""
        core = self._core
        free = replace(waiting, waits_for=None)
        if core.now_us >= waiting.placing.until_us:
            return replace(free, state=OrderState.EXPIRED)
        left = left_to_sell(waiting, core.orders.active(), core.portfolio)
        instrument = core.market.instrument(waiting.approval.symbol)
        if left < waiting.quantity and instrument is not None:
            left = InstrumentRules.of(instrument).quantize_quantity(left)
        if left <= ZERO:
            return replace(free, state=OrderState.CANCELLED)
        return replace(free, placing=replace(waiting.placing, quantity=left))

    def _count(self, writing: Writing, output: Fill | Bust) -> None:
        record = self._core.orders.get(output.client_order_id)
        if record is None:
            return
        quantity = output.trade.quantity if isinstance(output, Fill) else -output.trade.quantity
        cover = self.covers.get(record.protects or record.client_order_id)
        if record.protects is not None:
            if cover is not None:
                self.covers[cover.entry_id] = replace(cover, stopped=cover.stopped + quantity)
            return
        if record.approval.protection is None or record.approval.reduce_only:
            return
        if cover is None and record.reopened:
            # The numbers of its stops are forgotten too, and one that was used brings its old trades with it.
            writing.note(_unprotected(record.client_order_id, "it has filled after it was forgotten"))
            return
        if cover is None:
            cover = self._begin(writing, record)
        if cover is not None:
            self.covers[cover.entry_id] = replace(cover, filled=cover.filled + quantity)

    def _begin(self, writing: Writing, record: OrderRecord) -> Cover | None:
        if len(self.covers) < COVERS_MAX:
            return Cover(record.client_order_id, record.decision_id, record.signed, record.approval)
        differed = f"{COVERS_MAX} positions are protected already"
        writing.note(_unprotected(record.client_order_id, differed))
        return None

    def _note_state(self, writing: Writing, output: Order) -> None:
        cover = self.covers.get(output.protects or "")
        if cover is None or cover.live != output.client_order_id:
            return
        if output.to_state is OrderState.ACKNOWLEDGED:
            self.covers[cover.entry_id] = replace(cover, failures=0)
        was_asked = output.from_state is OrderState.CANCELLING
        if output.to_state not in TERMINAL_STATES or output.to_state is OrderState.FILLED or was_asked:
            return
        failed = cover.failed(self._core.now_us)
        if _left_no_row(writing, output):
            failed = replace(failed, attempt=failed.attempt - 1)
        self.covers[cover.entry_id] = failed
        if failed.failures == FAILURES_SAID or failed.attempt == STOPS_MAX:
            differed = f"stop {failed.number} of the order is {output.to_state.value}: {failed.failures} in a row"
            writing.note(_unprotected(cover.entry_id, differed))

    def _let_go(self) -> None:
        """Forget the stops that are gone; the next one may be placed."""
        for entry_id, cover in self.covers.items():
            record = None if cover.live is None else self._core.orders.get(cover.live)
            if cover.live is not None and (record is None or record.is_gone):
                self.covers[entry_id] = replace(cover, live=None)

    def _carry_out(self, writing: Writing) -> None:
        core = self._core
        for wish in review(self.covers, core.orders.active(), core.portfolio, core.market, core.kill, core.now_us):
            match wish:
                case TakeBack():
                    stop = core.orders.get(wish.stop_id)
                    if stop is not None:
                        core.lifecycle.end(writing, stop, Reason.ORDER_PROTECTION)
                case Close():
                    self._close(wish.entry_id)
                case Place():
                    self._place(writing, self.covers[wish.entry_id], wish)

    def _close(self, entry_id: str) -> None:
        # While the order is remembered it may fill late, and its next stop must not have an id that was used.
        if self._core.orders.get(entry_id) is None:
            del self.covers[entry_id]
        else:
            self.covers[entry_id] = self.covers[entry_id].closed()

    def _place(self, writing: Writing, cover: Cover, wish: Place) -> None:
        core = self._core
        placing = placing_of(cover, wish.quantity, core.now_us)
        planned = OrderRecord(
            decision_id=cover.decision_id,
            signed=cover.signed,
            approval=cover.approval,
            placing=placing,
            state=OrderState.PLANNED,
            since_us=core.now_us,
            look_us=NEVER_US,
            placed_us=core.now_us,
            protects=cover.entry_id,
        )
        self.covers[cover.entry_id] = replace(
            cover, live=placing.client_order_id, number=cover.number + 1, attempt=placing.attempt
        )
        core.lifecycle.place(writing, planned)

    def snapshot(self) -> list[dict[str, Any]]:
        """Return the state as JSON-ready values."""
        return [cover.to_json() for cover in self.covers.values()]

    def restore(self, state: list[dict[str, Any]]) -> None:
        """Take back what ``snapshot`` returned."""
        self.covers = {cover.entry_id: cover for cover in map(Cover.from_json, state)}


def _left_no_row(writing: Writing, output: Order) -> bool:
    """Say whether a stop ended before the journal had a row of it: then its number in the journal is still free."""
    report = writing.message
    is_of_the_journal = isinstance(report, Report) and report.source is ReportSource.JOURNAL
    return is_of_the_journal or output.reason is Reason.APPROVAL_REUSED


def _unprotected(entry_id: str, differed: str) -> Note:
    detail = "what it has filled has no stop at the venue; an operator must look"
    return Note(entry_id, Difference.UNPROTECTED, differed, Repair.FLAGGED, detail)
