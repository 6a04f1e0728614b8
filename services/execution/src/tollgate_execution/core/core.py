"""Execution's state machine: approved decisions in, order states, fills and refusals out, and calls for the shell.

What may be here: the rules by which an approval is acted upon and evidence becomes state. What may not: a clock,
a connection, a key. Time is the largest ``ts_us`` on the tape so far. State is a function of the tape alone:
outputs of our own change nothing when they come back (of a fill it is noted where it stands), our own outside events
(``config``, ``report``, ``account``) are stepped when they do, and until a ``config`` stands on the tape every
approval is refused.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import takewhile
from typing import Any

from pydantic import ValidationError

from tollgate_contracts.approval import Approval
from tollgate_contracts.config import Config, config_hash
from tollgate_contracts.core import NOTHING, Step
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Fill, OrderState, Refusal, Report
from tollgate_contracts.marketdata import Feed, Instrument, Quote
from tollgate_contracts.money import plain
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Account, Adoption, Difference, Movement, Repair, Sync
from tollgate_contracts.risk import Decision, KillLevel, KillSwitch, Outcome, Policy
from tollgate_contracts.safety import Breaker, SafeMode
from tollgate_contracts.strategy import Action
from tollgate_domain import amounts
from tollgate_domain.portfolio import Portfolio
from tollgate_execution.core.approvals import Presented, Problem, Verify, problems
from tollgate_execution.core.approvals import read as read_approval
from tollgate_execution.core.circuits import Circuits
from tollgate_execution.core.fee_rates import FeeRate, mid_of
from tollgate_execution.core.kill import Kill, reducible_by
from tollgate_execution.core.lifecycle import Lifecycle
from tollgate_execution.core.market import Market
from tollgate_execution.core.parameters import Parameters, Watch
from tollgate_execution.core.protecting import Protecting
from tollgate_execution.core.reconciling import Reconciling
from tollgate_execution.core.record import text_hash
from tollgate_execution.core.safety import Safety, is_unprotected
from tollgate_execution.core.shelf import Shelf
from tollgate_execution.core.strangers import Strangers
from tollgate_execution.core.sync import Agreement
from tollgate_execution.core.trades import Note
from tollgate_execution.core.writing import TEXT_MAX, Writing


class ExecutionCore:
    """The pure heart of execution; ``verify`` says what is wrong with a signature, and must be pure too."""

    def __init__(self, verify: Verify) -> None:
        self.verify = verify
        self.parameters: Parameters | None = None
        self.watch = Watch()
        """Of the last configuration that could be read: orders are watched whatever comes after it."""
        self.config_hash: str | None = None
        self.policy_hash: str | None = None
        self.kill = Kill()
        self.safety = Safety()
        """Safe mode as the tape has it."""
        self.now_us = 0
        self.portfolio: Portfolio | None = None
        self.fills = 0
        self.refusals: Counter[str] = Counter()
        """Refused approvals by reason code."""
        self.orders = Shelf()
        self.market = Market()
        """The newest quotes and instruments on the tape."""
        self.circuits = Circuits()
        self.agreement = Agreement()
        """What rounds of reconciliation have established."""
        self.strangers = Strangers()
        self.reconciling = Reconciling(self)
        self.protecting = Protecting(self)
        self.lifecycle = Lifecycle(self)
        self._handlers: dict[type[Message], Callable[[Writing, Any], None]] = {
            Config: self._on_config,
            Policy: self._on_policy,
            KillSwitch: self._on_kill_switch,
            Decision: self._on_decision,
            Report: self.lifecycle.on_report,
            Account: self.reconciling.on_account,
            Movement: self.reconciling.on_movement,
            Adoption: self.reconciling.on_adoption,
            Sync: self.reconciling.on_sync,
            SafeMode: self._on_safe_mode,
            Quote: lambda writing, message: self.market.on_quote(writing.sequence, message),
            Instrument: lambda _writing, message: self.market.on_instrument(message),
            Feed: lambda _writing, message: self.market.on_feed(message),
            Breaker: lambda _writing, message: self.circuits.on_breaker(message),
        }

    def step(self, sequence: int, message: Message) -> Step:
        """Apply the message at ``sequence``; our own outputs were applied when their cause was.

        Of a fill it is noted where it stands: what a strategy has read, it has read of the fill and not of its cause.
        """
        if message.writer == "execution" and message.cause is not None:
            if isinstance(message, Fill):
                self.orders.note_fill(message.client_order_id, message.trade.trade_id, sequence)
            return NOTHING
        self.now_us = max(self.now_us, message.ts_us)
        handler = self._handlers.get(type(message))
        if handler is None and self.now_us < min(self.orders.due_us, self.protecting.due_us):
            return NOTHING
        writing = Writing(sequence, message)
        if handler is not None:
            handler(writing, message)
        if self.now_us >= self.orders.due_us:
            self.lifecycle.look(writing)
        self.protecting.follow(writing)
        if writing.outputs:
            self.reconciling.follow(writing)
        return writing.step()

    def would_change(self, report: Report, pending: Sequence[Report] = ()) -> bool:
        """Say whether stepping ``report`` after ``pending`` ones of the same order would change or say anything.

        Reads only. Pending reports are on their way to the tape and not read back yet, in order.
        """
        return self.lifecycle.would_change(report, pending)

    def is_news(self, movement: Movement) -> bool:
        """Say whether stepping a movement of money would change anything; reads only."""
        return self.reconciling.is_news(movement)

    def rate_of(self, currency: str) -> FeeRate | None:
        """Return what a unit of a currency that moves is worth; none of the quote currency, or where nobody knows."""
        return None if self.portfolio is None else mid_of(self.market, currency, self.portfolio.quote_currency)

    def is_used(self, client_order_id: str) -> bool:
        """Say whether an order of this id was placed of late, held or forgotten."""
        return self.orders.is_used(client_order_id, self.now_us)

    def reducible(self, approval: Approval) -> Decimal:
        """Return how much an order like this one may take off what we hold ourselves, without it; base currency."""
        orders = self.orders.active()
        return reducible_by(self.portfolio, orders, approval.symbol, approval.side, but=approval.client_order_id)

    def open_before(self, client_order_id: str, symbol: str) -> tuple[int, int]:
        """Return how many orders were open before this one, and how many of them in ``symbol``."""
        # A stop takes no room: it only ever makes a position smaller.
        others = (record for record in self.orders.active() if record.protects is None)
        before = list(takewhile(lambda record: record.client_order_id != client_order_id, others))
        return len(before), sum(record.approval.symbol == symbol for record in before)

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
            writing.note(Note("config", Difference.CONFIGURATION, wrong, Repair.FLAGGED, "every approval is refused"))
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

    def _on_safe_mode(self, writing: Writing, message: SafeMode) -> None:
        self.safety = self.safety.after(message)
        if message.engaged:
            for client_order_id in [record.client_order_id for record in self.orders.active()]:
                # The end of one may have moved another.
                record = self.orders.get(client_order_id)
                if record is not None and is_unprotected(record):
                    self.lifecycle.end(writing, record, Reason.GATE_SAFE_MODE)

    def _on_decision(self, writing: Writing, decision: Decision) -> None:
        signed = decision.approval
        if decision.outcome is not Outcome.APPROVED or signed is None:
            return
        read = read_approval(decision, signed, self.parameters, self.verify)
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
            safety=self.safety,
            reducible=self.reducible(approval),
            now_us=self.now_us,
            used_text=self.orders.is_used(digest, self.now_us),
            used_id=order is not None or self._is_taken(approval.client_order_id),
            order=order,
            replaced=None if approval.replaces is None else self.orders.get(approval.replaces),
        )
        found = problems(presented)
        if found:
            self._refuse(writing, decision, found)
            return
        until_us = approval.expires_us + parameters.remember_us
        self.orders.use(digest, until_us)
        if approval.action is Action.CANCEL and order is not None:
            self.lifecycle.cancel(writing, order, approval.expires_us)
        else:
            self.orders.use(approval.client_order_id, until_us)
            self.lifecycle.plan(writing, presented)

    def _is_taken(self, client_order_id: str) -> bool:
        # The venue's lists and streams count, too: some venues would take a second order of the same id.
        return self.is_used(client_order_id) or self.strangers.knows(client_order_id)

    def _refuse(self, writing: Writing, decision: Decision, found: tuple[Problem, ...]) -> None:
        codes = tuple(dict.fromkeys(problem.code for problem in found))
        self.refusals.update(code.value for code in codes)
        detail = "; ".join(problem.detail for problem in found)[:TEXT_MAX]
        writing.say(
            Refusal, decision_id=decision.id, client_order_id=decision.client_order_id, codes=codes, detail=detail
        )

    def status(self) -> dict[str, Any]:
        """Return what an operator sees of the state."""
        active = self.orders.active()
        holdings = self.portfolio.holdings() if self.portfolio is not None else {}
        return {
            "orders": self.orders.counts(),
            "fills": self.fills,
            "refusals": dict(sorted(self.refusals.items())),
            "positions": {symbol: plain(holding.quantity) for symbol, holding in holdings.items()},
            "fees_without_rate": {} if self.portfolio is None else amounts.to_json(self.portfolio.without_rate()),
            "unknown_orders": [record.client_order_id for record in active if record.state is OrderState.UNKNOWN],
            "unprotected": list(self.protecting.unprotected),
            "drifting": list(self.agreement.drifting),
            "policy_hash": self.policy_hash,
            "kill_switch": {
                "engaged": self.kill.engaged,
                "level": self.kill.level.value if self.kill.engaged else None,
                "epoch": self.kill.epoch,
            },
            "safe_mode": {
                "engaged": self.safety.engaged,
                "degraded": [dependency.value for dependency in self.safety.degraded],
                "since_us": self.safety.since_us,
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
            "safety": self.safety.to_json(),
            "now_us": self.now_us,
            "portfolio": self.portfolio and [self.portfolio.quote_currency, self.portfolio.snapshot()],
            "fills": self.fills,
            "refusals": dict(self.refusals),
            "orders": self.orders.snapshot(),
            "covers": self.protecting.snapshot(),
            "market": self.market.snapshot(),
            "circuits": self.circuits.snapshot(),
            "strangers": self.strangers.snapshot(),
            "agreement": self.agreement.snapshot(),
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
        self.safety = Safety.from_json(state["safety"])
        self.now_us = state["now_us"]
        self.portfolio = None
        if state["portfolio"]:
            quote_currency, holdings = state["portfolio"]
            self.portfolio = Portfolio(quote_currency)
            self.portfolio.restore(holdings)
        self.fills = state["fills"]
        self.refusals = Counter(state["refusals"])
        self.orders.restore(state["orders"])
        self.protecting.restore(state["covers"])
        self.market.restore(state["market"])
        self.circuits.restore(state["circuits"])
        self.strangers.restore(state["strangers"])
        self.agreement.restore(state["agreement"])
