"""The gate's state machine: it reads the tape, answers every intent, and remembers what it has let through."""

import json
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tollgate_contracts.approval import SignedText
from tollgate_contracts.config import config_hash
from tollgate_contracts.core import NOTHING, Step
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Bust, Fill, Order, Refusal
from tollgate_contracts.ledger import Drift
from tollgate_contracts.marketdata import Clock, Feed, Funding, Instrument, Quote
from tollgate_contracts.reasons import Finding
from tollgate_contracts.reconciliation import Account, Movement, Reconcile
from tollgate_contracts.risk import Decision, KillSwitch, Outcome, Policy
from tollgate_contracts.safety import Breaker
from tollgate_contracts.strategy import Action, Intent, Purpose
from tollgate_domain.fees import charge_of
from tollgate_domain.instruments import InstrumentRules
from tollgate_domain.portfolio import Portfolio
from tollgate_risk.core import kill, modes, reconciliation
from tollgate_risk.core.approvals import unsigned_approval
from tollgate_risk.core.case import Case, open_case
from tollgate_risk.core.gates import judge
from tollgate_risk.core.gates.arming import no_policy
from tollgate_risk.core.orders import OpenOrder
from tollgate_risk.core.policy import PolicyDocument
from tollgate_risk.core.reply import Reply
from tollgate_risk.core.state import Kill, MarketQuote, NextFunding, RiskState

_NO_POLICY_HASH = "0" * 64
_MS = 1_000
# What may change the mode: time, money, data and their trust; and what lets the kill switch go on.
_REVIEWED = frozenset({Policy, KillSwitch, Clock, Fill, Bust, Account, Movement, Feed, Drift, Reconcile, Breaker})
_ACTED_UPON = frozenset({KillSwitch, Clock, Order, Fill, Bust, Refusal})
_STATE: TypeAdapter[RiskState] = TypeAdapter(RiskState)


class RiskCore:
    """The pure gate; ``step`` answers an intent with exactly one decision."""

    def __init__(self) -> None:
        self._state = RiskState()
        self._handlers: dict[type[Message], Callable[[Reply, Any], None]] = {
            Policy: self._take_policy,
            KillSwitch: self._take_kill_switch,
            Instrument: self._take_instrument,
            Quote: self._take_quote,
            Feed: self._take_feed,
            Clock: self._take_clock,
            Intent: self._decide,
            Account: self._take_account,
            Order: self._take_order,
            Fill: self._take_fill,
            Bust: self._take_bust,
            Movement: self._take_movement,
            Refusal: self._take_refusal,
            Funding: self._take_funding,
            Drift: self._take_drift,
            Reconcile: self._take_reconcile,
            Breaker: self._take_breaker,
        }

    @property
    def state(self) -> RiskState:
        """The state, to be read and never written by others."""
        return self._state

    def step(self, sequence: int, message: Message) -> Step:
        """Apply the message at ``sequence``; never raises for a well-formed message."""
        state = self._state
        state.now_us = max(state.now_us, message.ts_us)
        handler = self._handlers.get(type(message))
        if handler is None:
            return NOTHING
        reply = Reply(sequence, message)
        handler(reply, message)
        if type(message) in _REVIEWED:
            modes.review(state, reply)
        if type(message) in _ACTED_UPON and state.kill.engaged:
            kill.act(state, reply)
        return reply.step()

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state as JSON-ready values."""
        state: dict[str, Any] = _STATE.dump_python(self._state, mode="json")
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        # By way of JSON text, because strict models take tuples and enums only from there.
        self._state = _STATE.validate_json(json.dumps(state))

    def _take_policy(self, _reply: Reply, message: Policy) -> None:
        state = self._state
        if state.policy is not None:
            state.pacing.settle(state.policy.rules.pace, state.now_us)
        state.exposures.touch_all()
        state.policies += 1
        state.policy_hash = message.hash
        fault, state.fault = state.fault, None
        state.policy = None
        try:
            policy = PolicyDocument.model_validate_json(message.text)
        except ValidationError as error:
            state.fault = f"the policy cannot be read: {error.error_count()} errors"
            return
        if config_hash(message.text) != message.hash:
            state.fault = "the policy's hash is not that of its text"
            return
        state.policy = policy
        state.reckon_fees()
        if policy.tightens is not None:
            # A fault is over when a person has mended it and started the gate again, and not by a tighter limit.
            state.fault = fault
        state.activity.govern(policy.rules, state.now_us)
        state.results.take_policy(policy.rules)
        if state.first_account is not None:
            self._open_account(policy, state.first_account)
        state.results.watch(state)

    def _take_kill_switch(self, reply: Reply, message: KillSwitch) -> None:
        self._state.kill = Kill(
            engaged=message.engaged,
            level=message.level,
            epoch=max(self._state.kill.epoch, message.epoch),
            message_id=message.id,
            actor=message.actor,
            reason=message.reason,
            since_us=message.ts_us,
            sequence=reply.sequence,
        )

    def _take_instrument(self, _reply: Reply, message: Instrument) -> None:
        self._state.instruments[message.symbol] = InstrumentRules.of(message)
        self._state.exposures.touch((message.symbol,))

    def _take_funding(self, _reply: Reply, message: Funding) -> None:
        self._state.fundings[message.symbol] = NextFunding(message.rate, message.due_us)
        self._state.exposures.touch((message.symbol,))

    def _take_quote(self, _reply: Reply, message: Quote) -> None:
        for line in message.quotes:
            self._state.quotes[line.symbol] = MarketQuote(
                bid=line.bid,
                ask=line.ask,
                mark=(line.bid + line.ask) / 2,
                ts_us=message.ts_us,
                venue_ts_us=line.venue_ts_us,
            )
        self._state.exposures.touch(line.symbol for line in message.quotes)
        # Now, while the strategy makes up its mind, and not when its intent is waiting.
        self._state.exposures.settle(self._state)
        self._state.activity.note_quote(message)

    def _take_feed(self, _reply: Reply, message: Feed) -> None:
        self._state.feed = message.state
        self._state.activity.note_feed(message.state, self._state.now_us)

    def _take_clock(self, _reply: Reply, message: Clock) -> None:
        self._state.pacing.begin_cycle(message.cycle_id)
        self._state.results.watch(self._state)
        self._forget_decided()

    def _forget_decided(self) -> None:
        # In the order of decision, which is that of expiry but for the longest life of an intent: an id may be
        # remembered for that much longer than it must, and never for less.
        decided, now_us = self._state.decided, self._state.now_us
        while decided:
            oldest = next(iter(decided))
            if decided[oldest] >= now_us:
                return
            del decided[oldest]

    def _take_account(self, reply: Reply, message: Account) -> None:
        state = self._state
        if state.policy is None:
            if state.first_account is None:
                state.first_account = message
        else:
            self._open_account(state.policy, message)
        reconciliation.compare(state, reply.sequence, message)

    def _open_account(self, policy: PolicyDocument, message: Account) -> None:
        state = self._state
        state.first_account = None
        if (message.venue, message.account) != (policy.venue, policy.account):
            return
        if state.portfolio is None:
            state.portfolio = Portfolio(policy.quote_currency)
            perpetuals = [symbol for symbol, rules in state.instruments.items() if rules.margin is not None]
            state.portfolio.open(message, policy.symbols, perpetuals)
            state.exposures.touch_all()
            state.results.begin(state.portfolio)
            state.results.watch(state)
        state.activity.account_us = state.now_us
        state.maker_fee_bps, state.taker_fee_bps = message.maker_fee_bps, message.taker_fee_bps
        state.reckon_fees()

    def _take_order(self, _reply: Reply, message: Order) -> None:
        self._state.orders.follow(message)
        self._state.exposures.touch((message.symbol,))
        self._state.activity.note_order(message, self._state.now_us)

    def _take_fill(self, _reply: Reply, message: Fill) -> None:
        state = self._state
        stopped = state.orders.purpose_of(message.client_order_id) is Purpose.STOP
        state.orders.fill(message)
        state.activity.note_fill(state.now_us)
        reconciliation.note_fill(state, message)
        state.exposures.touch(_symbols_of(message))
        if state.portfolio is None:
            state.fault = f"fill {message.trade.trade_id} came before any account"
            return
        try:
            booking = state.portfolio.apply(message, perpetual=state.is_perpetual(message.symbol))
            state.results.book(state, message, booking, stopped=stopped)
        except (ValueError, ArithmeticError) as error:
            state.fault = f"fill {message.trade.trade_id} cannot be booked: {error}"
            return
        state.results.watch(state)

    def _take_bust(self, _reply: Reply, message: Bust) -> None:
        state = self._state
        state.orders.unfill(message)
        reconciliation.note_bust(state, message)
        state.exposures.touch(_symbols_of(message))
        if state.portfolio is None:
            state.fault = f"bust {message.trade.trade_id} came before any account"
            return
        try:
            booking = state.portfolio.undo(message, perpetual=state.is_perpetual(message.symbol))
            state.results.undo(state, message, booking)
        except (ValueError, ArithmeticError) as error:
            state.fault = f"bust {message.trade.trade_id} cannot be taken back: {error}"
            return
        state.results.watch(state)

    def _take_movement(self, _reply: Reply, message: Movement) -> None:
        state, policy = self._state, self._state.policy
        if state.portfolio is None:
            # The statement that was to open the account is out of date; the next one has the movement in it.
            state.first_account = None
            return
        if policy is not None and (message.venue, message.account) != (policy.venue, policy.account):
            return
        carried = state.portfolio.move(message)
        if carried is not None:
            reconciliation.note_movement(state, message)
            state.exposures.touch((carried.symbol,) if carried.symbol else ())
            state.results.move(message, carried, state.now_us)
            state.results.watch(state)

    def _take_refusal(self, _reply: Reply, message: Refusal) -> None:
        released = self._state.orders.refuse(message)
        if released is not None:
            self._state.exposures.touch((released.symbol,))

    def _take_drift(self, _reply: Reply, message: Drift) -> None:
        self._state.activity.note_drift(message)

    def _take_reconcile(self, _reply: Reply, message: Reconcile) -> None:
        self._state.activity.note_reconcile(message)

    def _take_breaker(self, _reply: Reply, message: Breaker) -> None:
        self._state.activity.note_breaker(message)

    def _decide(self, reply: Reply, intent: Intent) -> None:
        state = self._state
        state.counts.intents += 1
        if state.policy is None:
            self._reject(reply, intent, (no_policy(),))
            return
        case = open_case(intent, state, state.policy)
        findings = judge(case)
        self._remember(case)
        if findings:
            self._reject(reply, intent, findings)
        else:
            self._approve(reply, case)

    def _remember(self, case: Case) -> None:
        intent, rules, decided = case.intent, case.rules.intents, self._state.decided
        if intent.action is Action.CANCEL or intent.client_order_id in decided:
            return
        now_us = self._state.now_us
        expires_us = min(max(intent.expires_us, now_us), now_us + rules.life_ms_max * _MS)
        decided[intent.client_order_id] = expires_us + rules.duplicate_memory_ms * _MS

    def _reject(self, reply: Reply, intent: Intent, findings: tuple[Finding, ...]) -> None:
        counts = self._state.counts
        counts.rejected += 1
        self._state.activity.note_rejection(findings, self._state.now_us)
        for entry in findings:
            counts.by_reason[entry.code] = counts.by_reason.get(entry.code, 0) + 1
        self._answer(reply, intent, Outcome.REJECTED, findings, None)

    def _approve(self, reply: Reply, case: Case) -> None:
        state, intent = self._state, case.intent
        state.counts.approved += 1
        if intent.action is Action.SUBMIT:
            state.activity.note_approval(state.now_us)
            state.pacing.count(
                intent.symbol,
                case.fingerprint,
                case.value,
                case.rules.pace,
                state.now_us,
                reducing=case.reducing,
            )
            state.orders.add(
                OpenOrder(
                    client_order_id=intent.client_order_id,
                    decision_id=reply.next_id,
                    symbol=intent.symbol,
                    side=intent.side,
                    quantity=intent.quantity,
                    price=case.bound,
                    purpose=intent.purpose,
                    reducing=case.reducing,
                    strategy=intent.strategy,
                )
            )
            state.exposures.touch((intent.symbol,))
        approval = unsigned_approval(case, state.policy_hash or _NO_POLICY_HASH)
        self._answer(reply, intent, Outcome.APPROVED, (), approval)

    def _answer(
        self,
        reply: Reply,
        intent: Intent,
        outcome: Outcome,
        findings: tuple[Finding, ...],
        approval: SignedText | None,
    ) -> None:
        reply.say(
            Decision,
            intent_id=intent.id,
            action=intent.action,
            client_order_id=intent.client_order_id,
            symbol=intent.symbol,
            outcome=outcome,
            findings=findings,
            approval=approval,
            config_hash=self._state.policy_hash or _NO_POLICY_HASH,
        )


def _symbols_of(message: Fill | Bust) -> tuple[str, ...]:
    """Return the symbols of which a trade changes what is held: its own, and that of its fee's currency."""
    charge = charge_of(message)
    return (message.symbol,) if charge is None else (message.symbol, charge.symbol)
