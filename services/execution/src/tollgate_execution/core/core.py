"""Execution's state machine: approved decisions in, order states, fills and refusals out, and calls for the shell.

What may be here: the rules by which an approval is acted upon and evidence becomes state. What may not: a clock,
a connection, a key. Time is the largest ``ts_us`` on the tape so far. State is a function of the tape alone:
outputs of our own are ignored when they come back, our own outside events (``config``, ``report``, ``account``)
are stepped when they do, and until a ``config`` stands on the tape every approval is refused.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from tollgate_contracts.approval import Approval
from tollgate_contracts.config import Config, config_hash
from tollgate_contracts.core import NOTHING, Step
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Account, OrderState, Refusal, Report, ReportStatus, VenueTrade
from tollgate_contracts.money import plain
from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import Decision, KillLevel, KillSwitch, Outcome, Policy
from tollgate_contracts.strategy import Action
from tollgate_domain.portfolio import Portfolio
from tollgate_execution.core.approvals import Presented, Problem, Verify, problems
from tollgate_execution.core.approvals import read as read_approval
from tollgate_execution.core.effects import Cancel, Query, Settle, Submit
from tollgate_execution.core.evidence import Note, assess
from tollgate_execution.core.kill import Kill, reducible_by
from tollgate_execution.core.parameters import Parameters, Watch
from tollgate_execution.core.probes import probe, reschedule
from tollgate_execution.core.record import OrderRecord, text_hash
from tollgate_execution.core.shelf import NEVER_US, Shelf
from tollgate_execution.core.writing import TEXT_MAX, Writing

# Orders of ours that the venue reports and we do not hold are said once each, for this many of them.
STRANGERS_MAX = 1_000


class ExecutionCore:
    """The pure heart of execution; ``verify`` says what is wrong with a signature, and must be pure too."""

    def __init__(self, verify: Verify) -> None:
        self._verify = verify
        self.parameters: Parameters | None = None
        self.watch = Watch()
        """Of the last configuration that could be read: orders are watched whatever comes after it."""
        self.config_hash: str | None = None
        self.policy_hash: str | None = None
        self.kill = Kill()
        self.now_us = 0
        self.portfolio: Portfolio | None = None
        self.fills = 0
        self.refusals: Counter[str] = Counter()
        """Refused approvals by reason code."""
        self.orders = Shelf()
        self._strangers: dict[str, None] = {}
        self._handlers: dict[type[Message], Callable[[Writing, Any], None]] = {
            Config: self._on_config,
            Policy: self._on_policy,
            KillSwitch: self._on_kill_switch,
            Decision: self._on_decision,
            Report: self._on_report,
            Account: self._on_account,
        }

    def step(self, sequence: int, message: Message) -> Step:
        """Apply the message at ``sequence``; our own outputs were applied when their cause was."""
        if message.writer == "execution" and message.cause is not None:
            return NOTHING
        self.now_us = max(self.now_us, message.ts_us)
        handler = self._handlers.get(type(message))
        if handler is None and self.now_us < self.orders.due_us:
            return NOTHING
        writing = Writing(sequence, message)
        if handler is not None:
            handler(writing, message)
        if self.now_us >= self.orders.due_us:
            self._look(writing)
        return writing.step()

    def would_change(self, report: Report, pending: Sequence[Report] = ()) -> bool:
        """Say whether stepping ``report`` after ``pending`` ones of the same order would change or say anything.

        Reads only. Pending reports are on their way to the tape and not read back yet, in order.
        """
        order = self.orders.get(report.client_order_id)
        if order is None:
            return not pending and self._is_news_of_a_stranger(report)
        for earlier in pending:
            order = assess(order, earlier, self.watch.receive_window_us).record
        return assess(order, report, self.watch.receive_window_us).changes(order)

    def reducible(self, approval: Approval) -> Decimal:
        """Return how much an order like this one may take off what we hold ourselves, without it; base currency."""
        orders = self.orders.active()
        return reducible_by(self.portfolio, orders, approval.symbol, approval.side, but=approval.client_order_id)

    def has_open_orders(self) -> bool:
        """Say whether any order is not over, or not all of its trades are known."""
        return bool(self.orders.active())

    def _on_config(self, writing: Writing, message: Config) -> None:
        if message.writer != "execution":
            return
        parameters, wrong = None, ""
        try:
            parameters = Parameters.model_validate_json(message.text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            wrong = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        if config_hash(message.text) != message.hash:
            parameters, wrong = None, "the hash is not that of the text"
        if wrong:
            writing.note(Note("config", wrong, "every approval is refused"))
        self.parameters, self.config_hash = parameters, message.hash
        if parameters is None:
            return
        self.watch = parameters.watch
        if self.portfolio is None:
            self.portfolio = Portfolio(parameters.quote_currency)

    def _on_policy(self, _writing: Writing, message: Policy) -> None:
        self.policy_hash = message.hash

    def _on_kill_switch(self, _writing: Writing, message: KillSwitch) -> None:
        self.kill = Kill(message.engaged, message.level, message.epoch)

    def _on_account(self, _writing: Writing, message: Account) -> None:
        if self.parameters is None or self.portfolio is None:
            return
        if (message.venue, message.account) == (self.parameters.venue, self.parameters.account):
            self.portfolio.open(message, self.parameters.symbols)

    def _on_decision(self, writing: Writing, decision: Decision) -> None:
        signed = decision.approval
        if decision.outcome is not Outcome.APPROVED or signed is None:
            return
        read = read_approval(decision, signed, self.parameters, self._verify)
        if isinstance(read, Problem):
            self._refuse(writing, decision, (read,))
            return
        approval, parameters = read
        digest = text_hash(signed.text)
        order = self.orders.get(approval.client_order_id)
        presented = Presented(
            decision=decision,
            signed=signed,
            approval=approval,
            parameters=parameters,
            policy_hash=self.policy_hash,
            kill=self.kill,
            reducible=self.reducible(approval),
            now_us=self.now_us,
            used_text=self.orders.is_used(digest, self.now_us),
            used_id=order is not None or self.orders.is_used(approval.client_order_id, self.now_us),
            order=order,
        )
        found = problems(presented)
        if found:
            self._refuse(writing, decision, found)
            return
        until_us = approval.expires_us + parameters.remember_us
        self.orders.use(digest, until_us)
        if approval.action is Action.CANCEL and order is not None:
            self._cancel(writing, presented, order)
        else:
            self.orders.use(approval.client_order_id, until_us)
            self._plan(writing, presented, digest)

    def _refuse(self, writing: Writing, decision: Decision, found: tuple[Problem, ...]) -> None:
        codes = tuple(dict.fromkeys(problem.code for problem in found))
        self.refusals.update(code.value for code in codes)
        detail = "; ".join(problem.detail for problem in found)[:TEXT_MAX]
        writing.say(
            Refusal, decision_id=decision.id, client_order_id=decision.client_order_id, codes=codes, detail=detail
        )

    def _plan(self, writing: Writing, presented: Presented, digest: str) -> None:
        planned = OrderRecord(
            decision_id=presented.decision.id,
            signed=presented.signed,
            approval=presented.approval,
            state=OrderState.PLANNED,
            since_us=self.now_us,
            look_us=NEVER_US,
        )
        self._put(writing, planned, replace(planned, state=OrderState.SUBMITTING), None, "")
        writing.ask(Submit(planned.decision_id, planned.approval, planned.signed, digest))

    def _cancel(self, writing: Writing, presented: Presented, order: OrderRecord) -> None:
        expires_us = max(presented.approval.expires_us, order.cancel_expires_us)
        cancelling = replace(order, cancel_expires_us=expires_us, cancel_refused=False)
        # An order of unknown outcome stays so: only the venue's word leads out of that.
        if order.state not in {OrderState.UNKNOWN, OrderState.CANCELLING}:
            cancelling = replace(cancelling, state=OrderState.CANCELLING, before_cancel=order.state)
        self._put(writing, order, cancelling, None, "a cancel was approved")
        writing.ask(Cancel(presented.decision.id, presented.approval))

    def _on_report(self, writing: Writing, report: Report) -> None:
        order = self.orders.get(report.client_order_id)
        if order is None:
            self._on_stranger(writing, report)
            return
        assessment = assess(order, report, self.watch.receive_window_us)
        for trade in assessment.trades:
            self._book(writing, order, trade)
        self._put(writing, order, assessment.record, assessment.reason, report.detail)
        for note in assessment.notes:
            writing.note(note)
        if assessment.ask is not None:
            writing.ask(Query(report.client_order_id, assessment.ask))
        if assessment.record.send_is_settled and not order.send_is_settled:
            writing.ask(Settle(order.client_order_id, assessment.record.state))

    def _on_stranger(self, writing: Writing, report: Report) -> None:
        if not self._is_news_of_a_stranger(report):
            return
        self._strangers[report.client_order_id] = None
        if len(self._strangers) > STRANGERS_MAX:
            del self._strangers[next(iter(self._strangers))]
        differed = f"the venue reports {report.status.value} for an order that we do not hold"
        writing.note(Note(report.client_order_id, differed, "nothing; an operator must look"))

    def _is_news_of_a_stranger(self, report: Report) -> bool:
        shows = report.cumulative_quantity or report.trades or report.status is ReportStatus.OPEN
        return bool(shows) and report.client_order_id not in self._strangers

    def _book(self, writing: Writing, order: OrderRecord, trade: VenueTrade) -> None:
        fill = writing.fill(order, trade)
        self.fills += 1
        if self.portfolio is None:
            return
        try:
            self.portfolio.apply(fill, perpetual=self.portfolio.holding(fill.symbol).perpetual)
        except ValueError:
            # The words are ours: those of the error may print equal decimals differently after a restart.
            differed = f"the fill sells more than is held, or its fee is in {trade.fee_currency}"
            writing.note(Note(trade.trade_id, differed, "the fill stands; positions as execution shows them are off"))

    def _put(
        self, writing: Writing, before: OrderRecord, after: OrderRecord, reason: Reason | None, detail: str
    ) -> None:
        known = self.orders.get(after.client_order_id)
        after = reschedule(known, after, self.now_us, self.watch)
        self.orders.put(after, self.watch.finished_orders_max)
        if after.state is not before.state:
            writing.order(before.state, after, reason, detail)

    def _look(self, writing: Writing) -> None:
        for record in self.orders.due(self.now_us):
            looked, query, note = probe(record, self.now_us, self.watch)
            self.orders.put(looked, self.watch.finished_orders_max)
            if query is not None:
                writing.ask(query)
            if note is not None:
                writing.note(note)

    def status(self) -> dict[str, Any]:
        """Return what an operator sees of the state."""
        active = self.orders.active()
        holdings = self.portfolio.holdings() if self.portfolio is not None else {}
        return {
            "orders": self.orders.counts(),
            "fills": self.fills,
            "refusals": dict(sorted(self.refusals.items())),
            "positions": {symbol: plain(holding.quantity) for symbol, holding in holdings.items()},
            "unknown_orders": [record.client_order_id for record in active if record.state is OrderState.UNKNOWN],
            "policy_hash": self.policy_hash,
            "kill_switch": {
                "engaged": self.kill.engaged,
                "level": self.kill.level.value if self.kill.engaged else None,
                "epoch": self.kill.epoch,
            },
        }

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state as JSON-ready values."""
        return {
            "parameters": self.parameters and self.parameters.model_dump_json(),
            "watch": self.watch.model_dump(),
            "config_hash": self.config_hash,
            "policy_hash": self.policy_hash,
            "kill": [self.kill.engaged, self.kill.level.value, self.kill.epoch],
            "now_us": self.now_us,
            "portfolio": self.portfolio and [self.portfolio.quote_currency, self.portfolio.snapshot()],
            "fills": self.fills,
            "refusals": dict(self.refusals),
            "orders": self.orders.snapshot(),
            "strangers": list(self._strangers),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        text = state["parameters"]
        self.parameters = Parameters.model_validate_json(text) if text else None
        self.watch = Watch.model_validate(state["watch"])
        self.config_hash = state["config_hash"]
        self.policy_hash = state["policy_hash"]
        engaged, level, epoch = state["kill"]
        self.kill = Kill(engaged, KillLevel(level), epoch)
        self.now_us = state["now_us"]
        self.portfolio = None
        if state["portfolio"]:
            quote_currency, holdings = state["portfolio"]
            self.portfolio = Portfolio(quote_currency)
            self.portfolio.restore(holdings)
        self.fills = state["fills"]
        self.refusals = Counter(state["refusals"])
        self.orders.restore(state["orders"])
        self._strangers = dict.fromkeys(state["strangers"])
