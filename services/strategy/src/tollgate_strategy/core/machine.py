"""The strategy's state machine: it decides only on a fresh quote, and only when it knows all it needs to.

Everything that is missing means no intent: no configuration, a feed that is not up, an instrument that is unknown,
not open or past its validity, an account that has not been seen, or an own intent that nobody has answered yet.

A protective stop is execution's order and no intent of ours: what it fills is an exit of the position, and nothing
else of it matters here.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tollgate_contracts.config import Config, config_hash
from tollgate_contracts.core import NOTHING, Step
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Bust, Fill, Order, Refusal
from tollgate_contracts.marketdata import Feed, FeedState, Instrument, InstrumentStatus, Quote, SymbolQuote
from tollgate_contracts.money import EXACT, ZERO
from tollgate_contracts.reconciliation import Account, Movement
from tollgate_contracts.risk import Decision, Outcome
from tollgate_contracts.strategy import Intent, Side
from tollgate_domain.instruments import InstrumentRules
from tollgate_domain.movements import Carried
from tollgate_domain.portfolio import Portfolio
from tollgate_strategy.core.averages import Averages
from tollgate_strategy.core.intents import Wish, price_bound, protection_of, write_intent
from tollgate_strategy.core.parameters import Knobs, Parameters
from tollgate_strategy.core.signals import Signal, entry_tier, exit_signal
from tollgate_strategy.core.sizing import entry_size, exit_size
from tollgate_strategy.core.state import StrategyState, SymbolState
from tollgate_strategy.core.working import Working

_USABLE = frozenset({FeedState.UP, FeedState.RECOVERED})
_HALF = Decimal("0.5")
_MS = 1_000
_STATE: TypeAdapter[StrategyState] = TypeAdapter(StrategyState)


class StrategyCore:
    """Momentum on the mids of a few symbols: long only, one order per symbol at a time, one intent per quote."""

    def __init__(self) -> None:
        self._state = StrategyState()
        self._handlers: dict[type[Message], Callable[[int, Any], Step]] = {
            Config: self._take_config,
            Instrument: self._take_instrument,
            Quote: self._take_quote,
            Feed: self._take_feed,
            Account: self._take_account,
            Decision: self._take_decision,
            Refusal: self._take_refusal,
            Order: self._take_order,
            Fill: self._take_fill,
            Bust: self._take_bust,
            Movement: self._take_movement,
        }

    @property
    def state(self) -> StrategyState:
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

    def _take_config(self, _sequence: int, message: Config) -> Step:
        if message.writer != "strategy":
            return NOTHING
        state = self._state
        state.configs += 1
        state.config_hash = message.hash
        state.parameters, state.fault = None, None
        try:
            parameters = Parameters.model_validate_json(message.text, strict=True)
        except ValidationError as error:
            state.fault = f"the configuration cannot be read: {error.error_count()} errors"
            return NOTHING
        if config_hash(message.text) != message.hash:
            state.fault = "the configuration's hash is not that of its text"
            return NOTHING
        state.parameters = parameters
        if state.first_account is not None:
            self._open_account(parameters, state.first_account)
        return NOTHING

    def _take_instrument(self, _sequence: int, message: Instrument) -> Step:
        self._state.instruments[message.symbol] = InstrumentRules.of(message)
        return NOTHING

    def _take_feed(self, _sequence: int, message: Feed) -> Step:
        self._state.feed = message.state
        return NOTHING

    def _take_account(self, _sequence: int, message: Account) -> Step:
        state = self._state
        if state.parameters is not None:
            self._open_account(state.parameters, message)
        elif state.first_account is None:
            state.first_account = message
        return NOTHING

    def _open_account(self, parameters: Parameters, message: Account) -> None:
        state = self._state
        state.first_account = None
        if state.portfolio is None and _is_account_of(parameters, message):
            state.portfolio = Portfolio(parameters.quote_currency)
            state.portfolio.open(message, ())

    def _take_decision(self, _sequence: int, message: Decision) -> Step:
        symbol = self._state.symbol(message.symbol)
        working = symbol.working
        if working is not None and working.intent_id == message.intent_id:
            if message.outcome is Outcome.REJECTED:
                self._back_off(symbol)
            else:
                working.decision_id = message.id
        return NOTHING

    def _take_refusal(self, _sequence: int, message: Refusal) -> Step:
        for symbol in self._state.symbols.values():
            working = symbol.working
            # A refusal of another decision about the same order, such as a replayed approval, changes nothing.
            if working is not None and working.state is None and working.decision_id == message.decision_id:
                self._back_off(symbol)
        return NOTHING

    def _back_off(self, symbol: SymbolState) -> None:
        symbol.working = None
        parameters = self._state.parameters
        if parameters is not None:
            symbol.not_before_us = self._state.now_us + parameters.knobs.rejection_backoff_ms * _MS

    def _take_order(self, _sequence: int, message: Order) -> Step:
        symbol = self._state.symbol(message.symbol)
        working = symbol.working
        if working is not None and working.client_order_id == message.client_order_id:
            working.follow(message)
            self._let_go(symbol, working)
        return NOTHING

    def _let_go(self, symbol: SymbolState, working: Working) -> None:
        if not working.over:
            return
        if working.fruitless:
            self._back_off(symbol)
        symbol.working = None

    def _take_fill(self, _sequence: int, message: Fill) -> Step:
        state = self._state
        symbol = state.symbol(message.symbol)
        if symbol.working is not None and symbol.working.client_order_id == message.client_order_id:
            symbol.working.filled += message.trade.quantity
            self._let_go(symbol, symbol.working)
        if state.portfolio is None:
            state.fault = f"fill {message.trade.trade_id} came before any account"
            return NOTHING
        try:
            state.portfolio.apply(message)
        except (ValueError, ArithmeticError) as error:
            state.fault = f"fill {message.trade.trade_id} cannot be booked: {error}"
            return NOTHING
        self._note_position(symbol, message)
        return NOTHING

    def _take_bust(self, _sequence: int, message: Bust) -> Step:
        state = self._state
        symbol = state.symbol(message.symbol)
        if symbol.working is not None and symbol.working.client_order_id == message.client_order_id:
            symbol.working.unfill(message.trade.quantity)
        if state.portfolio is None:
            state.fault = f"bust {message.trade.trade_id} came before any account"
            return NOTHING
        try:
            state.portfolio.undo(message)
        except (ValueError, ArithmeticError) as error:
            state.fault = f"bust {message.trade.trade_id} cannot be taken back: {error}"
            return NOTHING
        if not self._holds(message.symbol, state.instruments.get(message.symbol), message.trade.price):
            symbol.opened_us = None
        elif symbol.opened_us is None:
            symbol.opened_us = state.now_us
        return NOTHING

    def _take_movement(self, _sequence: int, message: Movement) -> Step:
        state = self._state
        if state.portfolio is None:
            # The statement that was to open the account is out of date; the next one has the movement in it.
            state.first_account = None
        elif state.parameters is None or _is_account_of(state.parameters, message):
            self._note_movement(state.portfolio.move(message), message)
        return NOTHING

    def _note_movement(self, carried: Carried | None, message: Movement) -> None:
        """Note when a position began or ended because its currency came or went."""
        if carried is None or not carried.symbol:
            return
        symbol, instrument = self._state.symbol(carried.symbol), self._state.instruments.get(carried.symbol)
        if not self._holds(carried.symbol, instrument, message.rate):
            symbol.opened_us = None
        elif symbol.opened_us is None:
            symbol.opened_us = self._state.now_us

    def _note_position(self, symbol: SymbolState, message: Fill) -> None:
        """Note when a position began, and when it ended for all that the venue would still take."""
        state = self._state
        if message.side is Side.BUY:
            if symbol.opened_us is None:
                symbol.opened_us = state.now_us
            return
        instrument, parameters = state.instruments.get(message.symbol), state.parameters
        if self._holds(message.symbol, instrument, message.trade.price):
            return
        symbol.opened_us = None
        if parameters is not None:
            symbol.no_entry_before_us = state.now_us + parameters.knobs.cooldown_ms * _MS

    def _holds(self, symbol: str, instrument: InstrumentRules | None, price: Decimal | None) -> bool:
        """Say whether more than dust is held; what has no price is no dust."""
        if self._state.portfolio is None:
            return False
        quantity = self._state.portfolio.holding(symbol).quantity
        return quantity > 0 and (instrument is None or price is None or instrument.is_tradable(quantity, price))

    def _take_quote(self, sequence: int, message: Quote) -> Step:
        state = self._state
        parameters = state.parameters
        if parameters is None or state.feed not in _USABLE:
            return NOTHING
        knobs = parameters.knobs
        fast_us, slow_us = knobs.fast_ms * _MS, knobs.slow_ms * _MS
        outputs: list[Message] = []
        for line in message.quotes:
            symbol = state.symbol(line.symbol)
            mid = EXACT.multiply(EXACT.add(line.bid, line.ask), _HALF)
            if symbol.averages is None:
                symbol.averages = Averages.start(mid, state.now_us)
                continue
            symbol.averages.update(mid, state.now_us, fast_us, slow_us)
            if symbol.working is None and state.now_us >= symbol.not_before_us:
                wish = self._wish(parameters, symbol, symbol.averages, line)
                if wish is not None:
                    outputs.append(self._want(sequence, len(outputs), message, line.symbol, wish, knobs))
        return Step(outputs=tuple(outputs)) if outputs else NOTHING

    def _wish(self, parameters: Parameters, symbol: SymbolState, averages: Averages, line: SymbolQuote) -> Wish | None:
        state = self._state
        instrument = state.instruments.get(line.symbol)
        if instrument is None or state.portfolio is None or state.fault is not None:
            return None
        if instrument.status is not InstrumentStatus.OPEN or state.now_us > instrument.valid_until_us:
            return None
        if self._holds(line.symbol, instrument, line.bid):
            return self._wish_to_leave(parameters.knobs, symbol, averages.spread_bps, instrument, line)
        if line.symbol not in parameters.symbols or state.now_us < symbol.no_entry_before_us:
            return None
        if state.now_us - averages.since_us < parameters.knobs.warmup_ms * _MS:
            return None
        return self._wish_to_enter(parameters.knobs, averages.spread_bps, instrument, line)

    def _wish_to_enter(
        self, knobs: Knobs, spread_bps: Decimal, instrument: InstrumentRules, line: SymbolQuote
    ) -> Wish | None:
        tier = entry_tier(knobs, spread_bps)
        if tier is None:
            return None
        price = price_bound(knobs, instrument, line, Side.BUY)
        sizing = entry_size(knobs, tier, instrument, price, self._free_cash())
        if not instrument.is_tradable(sizing[-1].quantity, price):
            return None
        protection = protection_of(knobs, instrument, price)
        return Wish(Side.BUY, Signal.MOMENTUM, tier.name, price, sizing, spread_bps, protection)

    def _wish_to_leave(
        self, knobs: Knobs, symbol: SymbolState, spread_bps: Decimal, instrument: InstrumentRules, line: SymbolQuote
    ) -> Wish | None:
        state = self._state
        if state.portfolio is None:
            return None
        holding = state.portfolio.holding(line.symbol)
        held_us = state.now_us - (state.now_us if symbol.opened_us is None else symbol.opened_us)
        signal = exit_signal(knobs, holding, line.bid, spread_bps, held_us)
        if signal is None:
            return None
        price = price_bound(knobs, instrument, line, Side.SELL)
        sizing = exit_size(knobs, instrument, holding.quantity, line.ask)
        if not instrument.is_tradable(sizing[-1].quantity, price):
            return None
        return Wish(Side.SELL, signal, "all", price, sizing, spread_bps)

    def _free_cash(self) -> Decimal:
        """Return the cash that no open buy may still claim."""
        portfolio = self._state.portfolio
        if portfolio is None:
            return ZERO
        working = (symbol.working for symbol in self._state.symbols.values())
        return portfolio.cash - sum((order.promised_cash for order in working if order is not None), ZERO)

    def _want(self, sequence: int, index: int, cause: Quote, symbol: str, wish: Wish, knobs: Knobs) -> Intent:
        state = self._state
        intent = write_intent(cause, sequence, index, symbol, wish, knobs, state.config_hash or "0" * 64, state.now_us)
        state.intents += 1
        state.symbol(symbol).working = Working(
            client_order_id=intent.client_order_id,
            intent_id=intent.id,
            side=wish.side,
            quantity=wish.quantity,
            price=wish.price,
        )
        return intent


def _is_account_of(parameters: Parameters, message: Account | Movement) -> bool:
    return (message.venue, message.account) == (parameters.venue, parameters.account)
