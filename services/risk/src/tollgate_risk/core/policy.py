"""The policy: every knob of the gate, and whom it binds.

The operator writes the rules; the desk's identity and the public half of the signing key are put beside them by
the shell. The whole goes onto the tape as one canonical text, so a replay of the gate needs nothing else. No knob
has a default: a limit that nobody wrote down is a limit that nobody chose. Each says which way is tighter.
"""

import hashlib
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tollgate_contracts.approval import Environment, KeyId
from tollgate_contracts.envelope import Currency, Desk, Hash, Identifier, Symbol, Text, Value
from tollgate_contracts.money import NonNegative, Quantity
from tollgate_contracts.risk import TradingMode
from tollgate_domain.costs import CostModel
from tollgate_risk.core.caps import Limits
from tollgate_risk.core.knobs import DAY_MS, Bps, Count, Milliseconds, PositiveCount, PositiveMilliseconds
from tollgate_risk.core.tightness import Tighter

LIVE_ACKNOWLEDGEMENT = "I understand that this desk trades real money and that losses are mine"
"""What an operator must write, letter for letter, before a live desk is armed."""


class Arming(Value):
    """Whether this desk may trade; ``live_trading`` and the acknowledgement are asked of a live desk only."""

    dry_run: Annotated[bool, Tighter.ON]
    """Everything is judged and nothing is approved."""
    live_trading: Annotated[bool, Tighter.OFF]
    """Without it a live desk is a dry run."""
    live_trading_ack: Annotated[Text, Tighter.NEVER]
    """``LIVE_ACKNOWLEDGEMENT``."""

    def missing(self, environment: Environment) -> tuple[str, ...]:
        """Return what keeps a desk of ``environment`` from trading, as the names of these keys."""
        is_live = environment == "live"
        asked = (
            ("dry_run", self.dry_run),
            ("live_trading", is_live and not self.live_trading),
            ("live_trading_ack", is_live and self.live_trading_ack != LIVE_ACKNOWLEDGEMENT),
        )
        return tuple(name for name, is_missing in asked if is_missing)


class IntentRules(Value):
    """What an intent may look like."""

    life_ms_max: Annotated[PositiveMilliseconds, Tighter.LOWER]
    """How far ahead an expiry may lie."""
    duplicate_memory_ms: Annotated[int, Field(ge=1_000, le=DAY_MS), Tighter.HIGHER]
    """How long after its expiry a decided client order id is remembered."""
    repeat_ms: Annotated[Milliseconds, Tighter.HIGHER]
    """Within this time an approved order of the same symbol, side, quantity and price is a repetition; 0 allows it."""
    allow_market_orders: Annotated[bool, Tighter.OFF]
    """A market order is approved with the collar as its price bound."""
    working_ms_max: Annotated[PositiveMilliseconds, Tighter.LOWER]
    """How far ahead the time may lie until which an order works."""
    protection_bps_max: Annotated[Bps, Field(gt=0), Tighter.LOWER]
    """How far from the order's price its protective stop may trade at worst."""


class Universe(Value):
    """What may be traded."""

    allowed: Annotated[tuple[Symbol, ...], Field(min_length=1, max_length=64), Tighter.FEWER]
    """The symbols that may be traded; a part of the desk's."""
    excluded: Annotated[tuple[Symbol, ...], Field(max_length=64), Tighter.MORE]
    """Taken out for now: no entries; what is held may still be reduced."""

    @model_validator(mode="after")
    def _excluded_is_part_of_allowed(self) -> Self:
        strangers = [symbol for symbol in self.excluded if symbol not in self.allowed]
        if strangers:
            raise ValueError(f"excluded names {', '.join(strangers)}, expected only symbols that allowed names")
        return self


class DataRules(Value):
    """How fresh the market must be."""

    quote_age_ms_max: Annotated[PositiveMilliseconds, Tighter.LOWER]
    """Tape time since the symbol's last quote."""
    clock_skew_ms_max: Annotated[PositiveMilliseconds, Tighter.LOWER]
    """Between the venue's time of a quote and ours, either way."""


class PriceRules(Value):
    """How far a price may be from the market."""

    collar_bps: Annotated[NonNegative, Field(gt=0, le=5_000), Tighter.LOWER]
    """From the mark, either way."""


class CashRules(Value):
    """The desk finances itself: what must stay in cash, and what of its profits it may not trade with."""

    reserve: Annotated[NonNegative, Tighter.HIGHER]
    """Quote currency that no buy may touch."""
    treasury_share_bps: Annotated[Bps, Tighter.NEVER]
    """The part of realized profit that goes to the treasury, once earlier losses are made good."""


class Pace(Value):
    """How fast orders may follow one another, on tape time; 0 switches a spacing off.

    What makes a position smaller waits only for ``reducing_symbol_cooldown_ms``.
    """

    rate_per_s: Annotated[PositiveCount, Tighter.LOWER]
    """Tokens that the bucket gains in a second; each order takes one."""
    burst: Annotated[PositiveCount, Tighter.LOWER]
    """What the bucket holds."""
    global_spacing_ms: Annotated[Milliseconds, Tighter.HIGHER]
    """Between two orders."""
    symbol_cooldown_ms: Annotated[Milliseconds, Tighter.HIGHER]
    """Between any order in a symbol and the next that is not reducing."""
    reducing_symbol_cooldown_ms: Annotated[Milliseconds, Tighter.HIGHER]
    """Between any order in a symbol and the next that is reducing."""
    after_win_ms: Annotated[Milliseconds, Tighter.HIGHER]
    """After a round trip in the symbol that has won."""
    after_loss_ms: Annotated[Milliseconds, Tighter.HIGHER]
    """After one that has lost."""
    after_stop_ms: Annotated[Milliseconds, Tighter.HIGHER]
    """After one that a stop has ended."""
    orders_per_hour: Annotated[Count, Tighter.LOWER]
    """Within any 60 minutes, to the minute."""
    orders_per_day: Annotated[Count, Tighter.LOWER]
    """Within any 24 hours, to the half hour."""


class LossRules(Value):
    """How much may be lost before entries stop; what is held may still be reduced.

    A policy with a higher ``revision`` starts the peak and the counts of losses anew.
    """

    daily: Annotated[Quantity, Tighter.LOWER]
    """Since the day began (UTC), open and closed positions together, in quote currency."""
    drawdown_bps: Annotated[Bps, Field(gt=0), Tighter.LOWER]
    """From the highest equity."""
    consecutive: Annotated[PositiveCount, Tighter.LOWER]
    """Losing round trips in a row."""
    consecutive_pause_ms: Annotated[PositiveMilliseconds, Tighter.HIGHER]
    """How long entries then stop; the count begins anew after it."""
    symbol_consecutive: Annotated[PositiveCount, Tighter.LOWER]
    """The same within one symbol."""
    symbol_lockout_ms: Annotated[PositiveMilliseconds, Tighter.HIGHER]
    """How long the symbol is then locked out."""


class MarginRules(Value):
    """What perpetuals must leave free; a desk without any never meets these."""

    leverage_max: Annotated[NonNegative, Field(gt=0, le=125), Tighter.LOWER]
    """Worst notional of all perpetuals over equity; the venue's own cap binds too."""
    initial_buffer_bps: Annotated[NonNegative, Tighter.HIGHER]
    """What equity must have on top of the initial margin, as a part of it."""
    maintenance_buffer_bps: Annotated[NonNegative, Tighter.HIGHER]
    """What equity must have on top of the maintenance margin, as a part of it."""
    liquidation_distance_bps: Annotated[Bps, Tighter.HIGHER]
    """How far the mark must be from where the position would be liquidated."""
    funding_horizon_ms: Annotated[Milliseconds, Tighter.HIGHER]
    """A funding payment due within this time counts."""
    funding_share_bps: Annotated[Bps, Tighter.LOWER]
    """The most that such payments may cost, as a part of equity."""


class ConditionRule(Value):
    """When a condition begins to hold, when it has ended, and the mode that it asks for; all in its own unit."""

    enter: Annotated[NonNegative, Tighter.LOWER]
    """It holds from here on: at or beyond."""
    leave: Annotated[NonNegative, Tighter.LOWER]
    """It has ended here: at or short of."""
    response: Annotated[TradingMode, Tighter.SEVERER]
    """The mode that it asks for while it holds."""

    @model_validator(mode="after")
    def _leaves_before_it_enters(self) -> Self:
        if self.leave >= self.enter:
            raise ValueError(f"leave is {self.leave}, expected less than enter, which is {self.enter}")
        return self


class FloorRule(Value):
    """The same for what must not fall."""

    enter: Annotated[NonNegative, Tighter.HIGHER]
    """It holds from here on: at or below."""
    leave: Annotated[NonNegative, Tighter.HIGHER]
    """It has ended here: at or above."""
    response: Annotated[TradingMode, Tighter.SEVERER]
    """As for the others."""

    @model_validator(mode="after")
    def _leaves_above_where_it_enters(self) -> Self:
        if self.leave <= self.enter:
            raise ValueError(f"leave is {self.leave}, expected more than enter, which is {self.enter}")
        return self


Rule = Annotated[ConditionRule | None, Tighter.NEVER]
"""Null switches the condition off."""


class ConditionRules(Value):
    """One rule for each ``Condition`` but the policy itself and a fault, in that order."""

    daily_loss: Rule
    """Loss since midnight UTC, in quote currency."""
    drawdown: Rule
    """Fall from the highest equity, in basis points of it."""
    consecutive_losses: Rule
    """Losing round trips in a row."""
    feed: Rule
    """Milliseconds without a usable feed."""
    clock_skew: Rule
    """Milliseconds between the venue's time of its newest quote and ours."""
    rejection_spike: Rule
    """Rejected intents within the window."""
    trade_spike: Rule
    """Fills within the window."""
    venue_errors: Rule
    """Orders within the window that the venue rejected, or of which it did not say what became."""
    breaker_open: Rule
    """Groups of venue calls that execution has stopped."""
    no_fills: Rule
    """Approved orders since the last fill."""
    win_rate: Annotated[FloorRule | None, Tighter.NEVER]
    """Winning round trips among the last ones, in basis points; too few is what counts."""
    ledger_drift: Rule
    """Currencies in which books and venue differ, and perpetuals of which execution and venue do."""
    reconciliation_lag: Rule
    """Milliseconds since the venue last stated the account."""


class ModeRules(Value):
    """What moves the mode, and how it comes back."""

    cool_off_ms: Annotated[PositiveMilliseconds, Tighter.HIGHER]
    """The shortest stay in a mode before the step back to the next one, once no condition asks for it any more."""
    window_ms: Annotated[PositiveMilliseconds, Tighter.NEVER]
    """Over which spikes and errors are counted."""
    win_rate_trips: Annotated[int, Field(ge=2, le=1_000), Tighter.NEVER]
    """How many of the last round trips the win rate is of; with fewer there is none."""
    conditions: ConditionRules


class KillRules(Value):
    """How the kill switch cancels and flattens."""

    retry_ms: Annotated[PositiveMilliseconds, Tighter.NEVER]
    """Between two cancels of one order, and two closing orders of one symbol."""
    flatten_collar_bps: Annotated[NonNegative, Field(gt=0, le=5_000), Tighter.NEVER]
    """How far from the mark a closing order may trade."""


class ReconciliationRules(Value):
    """When the venue and the gate agree."""

    tolerance_quote: Annotated[NonNegative, Tighter.LOWER]
    """The largest difference in one currency, valued at the mark, that is no difference."""


class PolicyRules(Value):
    """What the operator decides, as it stands in the policy file."""

    revision: Annotated[int, Field(ge=1), Tighter.NEVER]
    """Raised by the operator to put a policy in force anew, such as after a fault, or to begin new counts of losses."""
    mode: Annotated[TradingMode, Tighter.SEVERER]
    """NORMAL: what passes the gates; REDUCE_ONLY: only what makes a position smaller; OBSERVE_ONLY: nothing."""
    approval_life_ms: Annotated[int, Field(ge=1, le=60_000), Tighter.LOWER]
    """How long execution may act upon an approval."""
    arming: Arming
    intents: IntentRules
    universe: Universe
    data: DataRules
    price: PriceRules
    limits: Limits
    cash: CashRules
    pace: Pace
    loss: LossRules
    margin: MarginRules
    modes: ModeRules
    kill: KillRules
    reconciliation: ReconciliationRules

    @model_validator(mode="after")
    def _unit_caps_name_what_is_allowed(self) -> Self:
        capped = {cap.symbol for cap in self.limits.position_units}
        bare = [symbol for symbol in self.universe.allowed if symbol not in capped]
        if bare:
            raise ValueError(f"limits.position_units lacks {', '.join(bare)}, expected every symbol that is allowed")
        return self


class PolicyDocument(Value):
    """The policy message's text: the rules, whom they bind, and the key that signs under them."""

    version: Literal[3] = 3
    environment: Environment
    desk: Desk
    venue: Identifier
    account: Identifier
    quote_currency: Currency
    symbols: Annotated[tuple[Symbol, ...], Field(min_length=1, max_length=64)]
    public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Ed25519, hexadecimal."""
    key_id: KeyId
    tightens: Hash | None
    """Hash of the policy of which this is a tightening at run time; null for the operator's file as it stands."""
    costs: CostModel
    """By which the gate reckons what an order may cost in fees."""
    rules: PolicyRules

    @model_validator(mode="after")
    def _key_id_belongs_to_the_key(self) -> Self:
        expected = key_id_of(bytes.fromhex(self.public_key))
        if self.key_id != expected:
            raise ValueError(f"key_id is {self.key_id}, expected {expected} for this public key")
        return self

    @model_validator(mode="after")
    def _allowed_is_part_of_the_desk(self) -> Self:
        strangers = [symbol for symbol in self.rules.universe.allowed if symbol not in self.symbols]
        if strangers:
            raise ValueError(f"universe.allowed names {', '.join(strangers)}, expected only {', '.join(self.symbols)}")
        return self

    @model_validator(mode="after")
    def _all_symbols_are_in_the_quote_currency(self) -> Self:
        strangers = [symbol for symbol in self.symbols if not symbol.endswith(f"-{self.quote_currency}")]
        if strangers:
            raise ValueError(f"symbols names {', '.join(strangers)}, expected only pairs in {self.quote_currency}")
        return self


def key_id_of(public_key: bytes) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the 32 raw bytes of a public key."""
    return hashlib.sha256(public_key).hexdigest()[:16]
