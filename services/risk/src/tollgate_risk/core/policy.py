"""The policy: every knob of the gate, and whom it binds.

The operator writes the rules; the desk's identity and the public half of the signing key are put beside them by
the shell. The whole goes onto the tape as one canonical text, so a replay of the gate needs nothing else. No knob
has a default: a limit that nobody wrote down is a limit that nobody chose.
"""

import hashlib
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tollgate_contracts.approval import Environment, KeyId
from tollgate_contracts.envelope import Currency, Desk, Identifier, Symbol, Text, Value
from tollgate_contracts.money import NonNegative, Quantity
from tollgate_contracts.risk import TradingMode

LIVE_ACKNOWLEDGEMENT = "I understand that this desk trades real money and that losses are mine"
"""What an operator must write, letter for letter, before a live desk is armed."""

# An hour: no limit in this file is meant to reach further back or ahead, except the memory of decided ids.
_HOUR_MS = 3_600_000
Milliseconds = Annotated[int, Field(ge=0, le=_HOUR_MS)]
PositiveMilliseconds = Annotated[int, Field(ge=1, le=_HOUR_MS)]
Count = Annotated[int, Field(ge=0, le=100_000)]


class Arming(Value):
    """Whether a live desk may trade; a simulated or paper desk is armed by itself."""

    live_trading: bool
    """Must be true on a live desk."""
    acknowledgement: Text
    """``LIVE_ACKNOWLEDGEMENT`` on a live desk; not read on any other."""


class IntentRules(Value):
    """What an intent may look like."""

    life_ms_max: PositiveMilliseconds
    """How far ahead an expiry may lie."""
    duplicate_memory_ms: Annotated[int, Field(ge=1_000, le=24 * _HOUR_MS)]
    """How long after its expiry a decided client order id is remembered."""
    allow_market_orders: bool
    """A market order is approved with the collar as its price bound."""


class Universe(Value):
    """What may be traded."""

    allowed: Annotated[tuple[Symbol, ...], Field(min_length=1, max_length=64)]
    """The symbols that may be traded; a part of the desk's."""
    excluded: Annotated[tuple[Symbol, ...], Field(max_length=64)]
    """Taken out for now: no entries; what is held may still be sold."""

    @model_validator(mode="after")
    def _excluded_is_part_of_allowed(self) -> Self:
        strangers = [symbol for symbol in self.excluded if symbol not in self.allowed]
        if strangers:
            raise ValueError(f"excluded names {', '.join(strangers)}, expected only symbols that allowed names")
        return self


class DataRules(Value):
    """How fresh the market must be."""

    quote_age_ms_max: PositiveMilliseconds
    """Tape time since the symbol's last quote."""
    venue_skew_ms_max: PositiveMilliseconds
    """Between the venue's time of a quote and ours, either way."""


class PriceRules(Value):
    """How far a price may be from the market."""

    collar_bps: Annotated[NonNegative, Field(gt=0, le=5_000)]
    """From the mark, either way."""


class Limits(Value):
    """Caps in quote currency and in numbers of orders; orders that work or are UNKNOWN count in full."""

    order_notional: Quantity
    """One order."""
    position_notional: Quantity
    """One symbol's position with its working orders."""
    gross_exposure: Quantity
    """All positions with their working orders."""
    open_orders: Count
    """Orders that are open at once."""
    open_orders_symbol: Count
    """The same within one symbol."""
    orders_per_cycle: Count
    """Orders approved within one cycle of the clock that are not reducing."""
    reducing_orders_per_cycle: Count
    """The same for orders that make a position smaller, which have their own allowance."""

    @model_validator(mode="after")
    def _caps_nest(self) -> Self:
        if not self.order_notional <= self.position_notional <= self.gross_exposure:
            raise ValueError(
                f"got {self.order_notional}, {self.position_notional}, {self.gross_exposure}; "
                "expected order_notional <= position_notional <= gross_exposure"
            )
        return self


class CashRules(Value):
    """What must stay in cash."""

    reserve: NonNegative
    """Quote currency that no buy may touch."""


class Pace(Value):
    """How fast orders may follow one another, on tape time; 0 switches a rule off."""

    global_spacing_ms: Milliseconds
    """Between two orders that are not reducing."""
    symbol_cooldown_ms: Milliseconds
    """Between any order in a symbol and the next that is not reducing."""
    reducing_symbol_cooldown_ms: Milliseconds
    """Between any order in a symbol and the next that is reducing."""


class PolicyRules(Value):
    """What the operator decides, as it stands in the policy file."""

    revision: Annotated[int, Field(ge=1)]
    """Raised by the operator to put a policy in force anew, such as after a mode that the gate took by itself."""
    mode: TradingMode
    """NORMAL: what passes the gates; REDUCE_ONLY: only what makes a position smaller; OBSERVE_ONLY: nothing."""
    approval_life_ms: Annotated[int, Field(ge=1, le=60_000)]
    """How long execution may act upon an approval."""
    arming: Arming
    intents: IntentRules
    universe: Universe
    data: DataRules
    price: PriceRules
    limits: Limits
    cash: CashRules
    pace: Pace


class PolicyDocument(Value):
    """The policy message's text: the rules, whom they bind, and the key that signs under them."""

    version: Literal[1] = 1
    environment: Environment
    desk: Desk
    venue: Identifier
    account: Identifier
    quote_currency: Currency
    symbols: Annotated[tuple[Symbol, ...], Field(min_length=1, max_length=64)]
    public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Ed25519, hexadecimal."""
    key_id: KeyId
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
