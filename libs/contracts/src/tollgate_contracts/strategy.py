"""What a strategy says: what it would like to do, and why."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from tollgate_contracts.envelope import Hash, Identifier, Message, Symbol, Text, TimeUs, Value
from tollgate_contracts.money import Amount, NonNegative, Price, Quantity


class Side(StrEnum):
    """Which way an order trades."""

    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """Whether an order has a worst price."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"


class TimeInForce(StrEnum):
    """How long an order works."""

    GTC = "GTC"
    """Until cancelled."""
    IOC = "IOC"
    """What trades at once trades; the rest is cancelled."""
    FOK = "FOK"
    """All at once or nothing."""


class Action(StrEnum):
    """What an intent, and the approval of it, asks for."""

    SUBMIT = "SUBMIT"
    CANCEL = "CANCEL"


class Purpose(StrEnum):
    """What an order is for, as far as the gate must know."""

    ENTRY = "ENTRY"
    """To open or to enlarge a position."""
    EXIT = "EXIT"
    """To make a position smaller."""
    STOP = "STOP"
    """To make a position smaller because it has lost as much as it may."""


ClientOrderId = Annotated[str, Field(pattern=r"^tg[0-9a-f]{30}$")]
"""Derived from strategy, cycle, symbol, side and the intent's content; 32 characters fit every venue we know."""


class SizingStep(Value):
    """One step from the wish to the size: what was done and what came out, in base currency."""

    step: Text
    quantity: NonNegative


class Rationale(Value):
    """Why the intent was written; for people and for attribution."""

    signal: Text
    regime: Text
    strength: Amount
    """The signal's value, in basis points."""
    confidence: NonNegative
    """From 0 to 1."""
    tier: Text
    sizing: Annotated[tuple[SizingStep, ...], Field(max_length=16)]


class Protection(Value):
    """A stop that rests at the venue for what an order has filled; it only ever makes the position smaller."""

    trigger_price: Price
    """A stop below a long works once the market trades at or below it; one above a short, at or above."""
    limit_price: Price
    """The worst price that it may trade at once triggered."""


class Intent(Message):
    """What a strategy would like done; risk decides whether it is.

    For ``CANCEL``, ``client_order_id`` names the order to cancel and the order's fields repeat it.
    """

    writer: Literal["strategy"] = "strategy"
    kind: Literal["intent"] = "intent"
    version: Literal[3] = 3
    strategy: Identifier
    action: Action
    purpose: Purpose
    client_order_id: ClientOrderId
    symbol: Symbol
    side: Side
    order_type: OrderType
    quantity: Quantity
    limit_price: Price | None
    """Null for a market order."""
    time_in_force: TimeInForce
    post_only: bool
    reduce_only: bool
    expires_us: TimeUs
    """Nothing is sent at or after it."""
    good_until_us: TimeUs | None
    """What still works then is cancelled; null for an order that works until it is cancelled."""
    replaces: ClientOrderId | None
    """An open order of this strategy to cancel first; what that one fills meanwhile is taken off this one."""
    protection: Protection | None
    rationale: Rationale
    config_hash: Hash
