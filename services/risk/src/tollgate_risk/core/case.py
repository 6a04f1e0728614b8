"""What a gate judges: one intent, and what is known about it at its place on the tape."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from tollgate_contracts.money import ZERO, plain
from tollgate_contracts.reasons import Finding, Reason
from tollgate_contracts.strategy import Intent, Side
from tollgate_domain.instruments import InstrumentRules
from tollgate_risk.core.exposure import Exposure
from tollgate_risk.core.orders import OpenOrder
from tollgate_risk.core.policy import PolicyDocument, PolicyRules
from tollgate_risk.core.state import MarketQuote, RiskState

BPS = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class Case:
    """One intent before the gates; what several gates ask for is worked out once."""

    intent: Intent
    state: RiskState
    policy: PolicyDocument
    rules: PolicyRules
    instrument: InstrumentRules | None
    quote: MarketQuote | None
    price: Decimal | None
    """The bound of the order: its limit, for a market order the collar; none when there is neither."""
    exposure: Exposure
    """What is at risk in the symbol without this order."""
    total: Exposure
    """What is at risk in all symbols without this order."""
    value: Decimal
    """The worst value of the order, at its bound or the mark, whichever is higher, in quote currency."""
    exposure_after: Decimal
    """The worst size of the symbol's position with this order, in quote currency."""
    reducing_side: Side
    """The side that makes the position smaller: for spot always the sale."""
    reducible: Decimal
    """How much may be taken off: what is held less what open orders may still take off, in base currency.

    What the order replaces is over before it is sent, and a stop at the venue is taken back: neither counts.
    """
    replaced: OpenOrder | None
    """The open order that this one is to replace; none where it names none, or none that is open."""
    is_perpetual: bool
    """Whether the symbol is traded on margin."""
    fingerprint: str
    """What makes two orders the same: symbol, side, quantity and price."""
    reducing: bool
    """Whether the order can only make a position smaller, by its size and with open orders counted."""

    @property
    def bound(self) -> Decimal:
        """The order's price bound, zero where there is none."""
        return ZERO if self.price is None else self.price

    @property
    def base(self) -> str:
        """The currency in which the quantity counts."""
        return self.intent.symbol.partition("-")[0]

    @property
    def own_touch(self) -> Decimal | None:
        """The best price of our own open orders on the other side, none where there is none."""
        return self.exposure.own_ask if self.intent.side is Side.BUY else self.exposure.own_bid

    @property
    def repeated_us(self) -> int | None:
        """How long ago the same order was approved; none when it was not, within the longest time that counts."""
        last_us = self.state.pacing.last_same_us.get(self.fingerprint)
        return None if last_us is None else self.state.now_us - last_us


def _fingerprint(intent: Intent) -> str:
    price = "" if intent.limit_price is None else plain(intent.limit_price)
    return f"{intent.symbol} {intent.side} {plain(intent.quantity)} {price}"


class Measure(NamedTuple):
    """What one gate sees of a case: the rule, whether it is kept, the limit, the value, and the unit of both."""

    code: Reason
    is_kept: bool
    limit: object
    seen: object
    unit: str

    def finding(self) -> Finding:
        """Return the refusal that this measure is when the rule is not kept."""
        return Finding(code=self.code, limit=shown(self.limit), seen=shown(self.seen), unit=self.unit)


Gate = Callable[[Case], Measure | None]
"""Measures one rule; none where the rule does not concern the case, or another gate's lack hides it."""


def open_case(intent: Intent, state: RiskState, policy: PolicyDocument) -> Case:
    """Gather what the gates ask for; changes nothing."""
    symbol, side, quantity = intent.symbol, intent.side, intent.quantity
    instrument, quote = state.instruments.get(symbol), state.quotes.get(symbol)
    exposure, held = state.exposure(symbol), state.held(symbol)
    reducing_side = Side.BUY if held < ZERO else Side.SELL
    promised = exposure.buying if reducing_side is Side.BUY else exposure.selling
    replaced = None if intent.replaces is None else state.orders.by_id.get(intent.replaces)
    if replaced is not None and (replaced.symbol, replaced.side) == (symbol, reducing_side):
        promised -= replaced.remaining
    reducible = max(abs(held) - promised, ZERO)
    price = intent.limit_price or _collar_bound(side, policy.rules, instrument, quote)
    value = quantity * max(price or ZERO, ZERO if quote is None else quote.mark)
    after = exposure.high + value if side is Side.BUY else value - exposure.low
    return Case(
        intent=intent,
        state=state,
        policy=policy,
        rules=policy.rules,
        instrument=instrument,
        quote=quote,
        price=price,
        exposure=exposure,
        total=state.exposure_in_all(),
        value=value,
        exposure_after=max(exposure.worst, after),
        reducing_side=reducing_side,
        reducible=reducible,
        replaced=replaced,
        is_perpetual=state.is_perpetual(symbol),
        fingerprint=_fingerprint(intent),
        reducing=side is reducing_side and quantity <= reducible,
    )


def _collar_bound(
    side: Side, rules: PolicyRules, instrument: InstrumentRules | None, quote: MarketQuote | None
) -> Decimal | None:
    """Return the worst price that the collar allows, on the venue's grid and inside the collar."""
    if instrument is None or quote is None:
        return None
    reach = rules.price.collar_bps if side is Side.BUY else -rules.price.collar_bps
    bound = instrument.quantize_price(quote.mark * (BPS + reach) / BPS, side)
    return bound if bound > 0 else None


def shown(value: object) -> str:
    """Return a limit or a value as text: decimals without exponent, all else as it prints."""
    return plain(value) if isinstance(value, Decimal) else str(value)
