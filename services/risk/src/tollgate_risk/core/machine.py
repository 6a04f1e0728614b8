"""The gate's state machine: it reads the tape, answers every intent, and remembers what it has let through."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tollgate_contracts.approval import SignedText
from tollgate_contracts.config import config_hash
from tollgate_contracts.core import NOTHING, Step
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Account, Fill, Order, Refusal
from tollgate_contracts.marketdata import Clock, Feed, Instrument, Quote
from tollgate_contracts.money import round_ceiling
from tollgate_contracts.reasons import Finding
from tollgate_contracts.risk import Decision, KillSwitch, Mode, Outcome, Policy, TradingMode
from tollgate_contracts.strategy import Action, Intent
from tollgate_domain.instruments import InstrumentRules
from tollgate_domain.portfolio import Portfolio
from tollgate_risk.core.approvals import unsigned_approval
from tollgate_risk.core.case import Case, open_case
from tollgate_risk.core.gates import judge
from tollgate_risk.core.gates.arming import no_policy
from tollgate_risk.core.orders import OpenOrder
from tollgate_risk.core.policy import PolicyDocument
from tollgate_risk.core.state import Kill, MarketQuote, RiskState

_NO_POLICY_HASH = "0" * 64
_FEE_GRID_BPS = Decimal("0.0001")
_MS = 1_000
_STATE: TypeAdapter[RiskState] = TypeAdapter(RiskState)


class RiskCore:
    """The pure gate; ``step`` answers an intent with exactly one decision."""

    def __init__(self) -> None:
        self._state = RiskState()
        self._handlers: dict[type[Message], Callable[[int, Any], Step]] = {
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
            Refusal: self._take_refusal,
        }

    @property
    def state(self) -> RiskState:
        """The state, to be read and never written by others."""
        return self._state

    def step(self, sequence: int, message: Message) -> Step:
        """Apply the message at ``sequence``; never raises for a well-formed message."""
        self._state.now_us = max(self._state.now_us, message.ts_us)
        handler = self._handlers.get(type(message))
        return NOTHING if handler is None else handler(sequence, message)

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state as JSON-ready values."""
        state: dict[str, Any] = _STATE.dump_python(self._state, mode="json")
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        # By way of JSON text, because strict models take tuples and enums only from there.
        self._state = _STATE.validate_json(json.dumps(state))

    def _take_policy(self, sequence: int, message: Policy) -> Step:
        state = self._state
        state.policies += 1
        state.policy_hash = message.hash
        state.fault = None
        try:
            state.policy = PolicyDocument.model_validate_json(message.text)
        except ValidationError as error:
            return self._shut(sequence, message, f"the policy cannot be read: {error.error_count()} errors")
        if config_hash(message.text) != message.hash:
            return self._shut(sequence, message, "the policy's hash is not that of its text")
        if state.first_account is not None:
            self._open_account(state.policy, state.first_account)
        return self._change_mode(sequence, message, state.policy.rules.mode, "the policy says so")

    def _shut(self, sequence: int, message: Message, why: str) -> Step:
        """Close the gate until the next policy: what would be judged by, or counted with, is wrong."""
        self._state.fault = why
        if isinstance(message, Policy):
            self._state.policy = None
        return self._change_mode(sequence, message, TradingMode.OBSERVE_ONLY, why)

    def _change_mode(self, sequence: int, message: Message, mode: TradingMode, why: str) -> Step:
        before, self._state.mode = self._state.mode, mode
        if before is mode:
            return NOTHING
        return Step(outputs=(Mode.caused_by(message, sequence, 0, from_mode=before, to_mode=mode, why=why),))

    def _take_kill_switch(self, _sequence: int, message: KillSwitch) -> Step:
        self._state.kill = Kill(
            engaged=message.engaged,
            epoch=max(self._state.kill.epoch, message.epoch),
            actor=message.actor,
            reason=message.reason,
            since_us=message.ts_us,
        )
        return NOTHING

    def _take_instrument(self, _sequence: int, message: Instrument) -> Step:
        self._state.instruments[message.symbol] = InstrumentRules.of(message)
        return NOTHING

    def _take_quote(self, _sequence: int, message: Quote) -> Step:
        for line in message.quotes:
            self._state.quotes[line.symbol] = MarketQuote(
                bid=line.bid,
                ask=line.ask,
                mark=(line.bid + line.ask) / 2,
                ts_us=message.ts_us,
                venue_ts_us=line.venue_ts_us,
            )
        return NOTHING

    def _take_feed(self, _sequence: int, message: Feed) -> Step:
        self._state.feed = message.state
        return NOTHING

    def _take_clock(self, _sequence: int, message: Clock) -> Step:
        self._state.pacing.begin_cycle(message.cycle_id)
        self._forget_decided()
        return NOTHING

    def _forget_decided(self) -> None:
        # In the order of decision, which is that of expiry but for the longest life of an intent: an id may be
        # remembered for that much longer than it must, and never for less.
        decided, now_us = self._state.decided, self._state.now_us
        while decided:
            oldest = next(iter(decided))
            if decided[oldest] >= now_us:
                return
            del decided[oldest]

    def _take_account(self, _sequence: int, message: Account) -> Step:
        state = self._state
        if state.policy is None:
            if state.first_account is None:
                state.first_account = message
        else:
            self._open_account(state.policy, message)
        return NOTHING

    def _open_account(self, policy: PolicyDocument, message: Account) -> None:
        state = self._state
        state.first_account = None
        if (message.venue, message.account) != (policy.venue, policy.account):
            return
        if state.portfolio is None:
            state.portfolio = Portfolio(policy.quote_currency)
            state.portfolio.open(message, policy.symbols)
        # Rounded up, so that fees on the largest order a message can carry still fit the exact context.
        state.taker_fee_bps = round_ceiling(message.taker_fee_bps, _FEE_GRID_BPS)

    def _take_order(self, _sequence: int, message: Order) -> Step:
        self._state.orders.follow(message)
        return NOTHING

    def _take_fill(self, sequence: int, message: Fill) -> Step:
        self._state.orders.fill(message)
        if self._state.portfolio is None:
            return self._shut(sequence, message, f"fill {message.trade.trade_id} came before any account")
        try:
            self._state.portfolio.apply(message)
        except (ValueError, ArithmeticError) as error:
            return self._shut(sequence, message, f"fill {message.trade.trade_id} cannot be booked: {error}")
        return NOTHING

    def _take_refusal(self, _sequence: int, message: Refusal) -> Step:
        self._state.orders.refuse(message)
        return NOTHING

    def _decide(self, sequence: int, intent: Intent) -> Step:
        state = self._state
        state.counts.intents += 1
        if state.policy is None:
            return self._reject(sequence, intent, (no_policy(),))
        case = open_case(intent, state, state.policy)
        findings = judge(case)
        self._remember(case)
        return self._reject(sequence, intent, findings) if findings else self._approve(sequence, case)

    def _remember(self, case: Case) -> None:
        intent, rules, decided = case.intent, case.rules.intents, self._state.decided
        if intent.action is Action.CANCEL or intent.client_order_id in decided:
            return
        now_us = self._state.now_us
        expires_us = min(max(intent.expires_us, now_us), now_us + rules.life_ms_max * _MS)
        decided[intent.client_order_id] = expires_us + rules.duplicate_memory_ms * _MS

    def _reject(self, sequence: int, intent: Intent, findings: tuple[Finding, ...]) -> Step:
        counts = self._state.counts
        counts.rejected += 1
        for entry in findings:
            counts.by_reason[entry.code] = counts.by_reason.get(entry.code, 0) + 1
        return self._answer(sequence, intent, Outcome.REJECTED, findings, None)

    def _approve(self, sequence: int, case: Case) -> Step:
        state, intent = self._state, case.intent
        state.counts.approved += 1
        if intent.action is Action.SUBMIT:
            state.pacing.count(intent.symbol, state.now_us, reducing=case.reducing)
            state.orders.add(
                OpenOrder(
                    client_order_id=intent.client_order_id,
                    decision_id=f"risk:{sequence}:0",
                    symbol=intent.symbol,
                    side=intent.side,
                    quantity=intent.quantity,
                    price=case.bound,
                )
            )
        approval = unsigned_approval(case, state.policy_hash or _NO_POLICY_HASH)
        return self._answer(sequence, intent, Outcome.APPROVED, (), approval)

    def _answer(
        self,
        sequence: int,
        intent: Intent,
        outcome: Outcome,
        findings: tuple[Finding, ...],
        approval: SignedText | None,
    ) -> Step:
        decision = Decision.caused_by(
            intent,
            sequence,
            0,
            intent_id=intent.id,
            action=intent.action,
            client_order_id=intent.client_order_id,
            symbol=intent.symbol,
            outcome=outcome,
            findings=findings,
            approval=approval,
            config_hash=self._state.policy_hash or _NO_POLICY_HASH,
        )
        return Step(outputs=(decision,))
