"""What the core does with the messages of reconciliation: a whole round, a movement of money, an order taken back.

All of it is evidence of the venue, or of our own journal; none of it is a decision, and none of it sends anything.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from tollgate_contracts.approval import Approval
from tollgate_contracts.execution import OrderState, Report, VenueTrade
from tollgate_contracts.reconciliation import Account, Adoption, Movement, Sync
from tollgate_execution.core.effects import Cancel, Query
from tollgate_execution.core.parameters import SyncRules
from tollgate_execution.core.placing import Placing
from tollgate_execution.core.record import OrderRecord, text_hash
from tollgate_execution.core.shelf import NEVER_US
from tollgate_execution.core.strangers import adopted, read_adoption
from tollgate_execution.core.sync import stale
from tollgate_execution.core.trades import Note
from tollgate_execution.core.writing import Writing

if TYPE_CHECKING:
    from tollgate_execution.core.core import ExecutionCore

_NO_RULES = SyncRules()


class Reconciling:
    """Takes the messages of reconciliation into one core."""

    def __init__(self, core: "ExecutionCore") -> None:
        self._core = core

    @property
    def _rules(self) -> SyncRules:
        parameters = self._core.parameters
        return _NO_RULES if parameters is None else parameters.sync

    def on_account(self, writing: Writing, account: Account) -> None:
        """Open the portfolio with the first statement, and hold every later one against it."""
        core = self._core
        parameters, portfolio = core.parameters, core.portfolio
        if parameters is None or portfolio is None:
            return
        if (account.venue, account.account) != (parameters.venue, parameters.account):
            return
        if portfolio.open(account, parameters.symbols):
            core.agreement.open(account, portfolio)
        in_flight = any(record.is_unsettled for record in core.orders.active())
        for note in core.agreement.compare(account, portfolio, in_flight=in_flight, rules=self._rules):
            writing.note(note)

    def on_movement(self, _writing: Writing, movement: Movement) -> None:
        """Take in money that came or went without an order."""
        if self.is_news(movement) and self._core.portfolio is not None:
            self._core.agreement.move(movement, self._core.portfolio)

    def is_news(self, movement: Movement) -> bool:
        """Say whether a movement would change anything; reads only."""
        parameters = self._core.parameters
        if parameters is None or (movement.venue, movement.account) != (parameters.venue, parameters.account):
            return False
        return self._core.agreement.is_news(movement, self._core.portfolio)

    def on_sync(self, writing: Writing, sync: Sync) -> None:
        """Take a round as read, and ask after what was pending for longer than it may be."""
        core = self._core
        for note in core.agreement.close_round(sync):
            writing.note(note)
        for record in core.orders.active():
            found = stale(record, sync.began_us, self._rules)
            if found is not None:
                noted, note = found
                core.orders.put(noted, core.watch.finished_orders_max)
                writing.note(note)
                writing.ask(Query(record.placing.venue_id, note.differed))

    def on_adoption(self, writing: Writing, adoption: Adoption) -> None:
        """Take back an order that is ours by the journal: its outcome is unknown until the venue has said it."""
        core = self._core
        read = read_adoption(adoption, core.parameters, core.verify)
        if read is None:
            return
        approval, placing = read
        held = core.orders.get(placing.client_order_id)
        if held is not None:
            self._move_on(writing, held, placing)
            return
        record = OrderRecord(
            decision_id=adoption.decision_id,
            signed=adoption.approval,
            approval=approval,
            placing=placing,
            state=adoption.ended_as or OrderState.PLANNED,
            since_us=core.now_us,
            look_us=NEVER_US,
            placed_us=approval.issued_us,
            protects=adoption.protects,
            reopened=adoption.ended_as is not None,
        )
        if record.reopened:
            core.lifecycle.keep_silently(record)
        elif not core.is_used(placing.client_order_id):
            self._take_back(writing, record, approval)

    def _take_back(self, writing: Writing, planned: OrderRecord, approval: Approval) -> None:
        core = self._core
        core.orders.use(text_hash(planned.signed.text), approval.expires_us + self._remember_us())
        core.strangers.forget(planned.placing.venue_id)
        core.lifecycle.put(writing, planned, replace(planned, state=OrderState.UNKNOWN), None, "taken back")
        writing.note(adopted(planned.placing))

    def _move_on(self, writing: Writing, held: OrderRecord, placing: Placing) -> None:
        """Go over to a later attempt of an order that is held: it was sent only because the one before was refused."""
        if placing.attempt <= held.placing.attempt or held.protects is not None:
            return
        core = self._core
        core.strangers.forget(placing.venue_id)
        moved = replace(
            held,
            placing=replace(placing, quantity=held.quantity),
            state=held.state if held.is_over else OrderState.UNKNOWN,
            waits_for=None,
            venue_order_id=None,
            acknowledged=False,
            sends=1,
            doubted_us=0,
            before_cancel=None,
        )
        core.lifecycle.put(writing, held, moved, None, "taken back")
        if held.cancel is not None and held.cancel.holds(core.now_us):
            writing.ask(Cancel(placing.venue_id, held.cancel.why, held.cancel.until_us))
        writing.note(adopted(placing))

    def _remember_us(self) -> int:
        parameters = self._core.parameters
        return 0 if parameters is None else parameters.remember_us

    def is_accounted(self, symbol: str, trade: VenueTrade) -> bool:
        """Say whether a trade is booked already, as far as that is remembered, or is in the opening balances."""
        portfolio = self._core.portfolio
        opened_us = portfolio.opened_us if portfolio is not None else 0
        return trade.venue_ts_us <= opened_us or self._core.agreement.has_booked(symbol, trade.trade_id)

    def on_stranger(self, writing: Writing, report: Report) -> None:
        """Say, once, what the venue reports of an order that we do not hold."""
        note = self.of_stranger(report)
        if note is not None:
            self._core.strangers.remember(report)
            writing.note(note)

    def of_stranger(self, report: Report) -> Note | None:
        """Return what is to be said of a report on an order that we do not hold; reads only."""
        portfolio = self._core.portfolio
        opened_us = portfolio.opened_us if portfolio is not None and portfolio.opened else None
        return self._core.strangers.assess(report, opened_us)

    def follow(self, writing: Writing) -> None:
        """Take note of the trades that a step has booked or undone."""
        for note in self._core.agreement.follow(writing.message, writing.outputs, self._rules):
            writing.note(note)
