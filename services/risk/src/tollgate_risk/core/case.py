"""What a gate judges: one intent, and what is known about it at its place on the tape."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from tollgate_contracts.money import ZERO
from tollgate_contracts.reasons import Finding, Reason
from tollgate_contracts.strategy import Intent, Side
from tollgate_domain.instruments import InstrumentRules
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
    reducible: Decimal
    """How much may be sold: what is held less what open sells may still take, in base currency."""
    reducing: bool
    """Whether the order can only make a position smaller, by its size and with open sells counted."""

    @property
    def bound(self) -> Decimal:
        """The order's price bound, zero where there is none."""
        return ZERO if self.price is None else self.price

    @property
    def value(self) -> Decimal:
        """The worst value of the order, in quote currency."""
        return self.state.value(self.intent.quantity, self.intent.symbol, self.bound)

    @property
    def base(self) -> str:
        """The currency in which the quantity counts."""
        return self.intent.symbol.partition("-")[0]


Gate = Callable[[Case], Finding | None]


def open_case(intent: Intent, state: RiskState, policy: PolicyDocument) -> Case:
    """Gather what the gates ask for."""
    instrument = state.instruments.get(intent.symbol)
    quote = state.quotes.get(intent.symbol)
    reducible = max(state.held(intent.symbol) - state.orders.selling_quantity(intent.symbol), ZERO)
    return Case(
        intent=intent,
        state=state,
        policy=policy,
        rules=policy.rules,
        instrument=instrument,
        quote=quote,
        price=intent.limit_price or _collar_bound(intent.side, policy.rules, instrument, quote),
        reducible=reducible,
        reducing=intent.side is Side.SELL and intent.quantity <= reducible,
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


def finding(code: Reason, limit: object, seen: object, unit: str) -> Finding:
    """Build a gate's refusal; limit and seen are already text, or numbers that print plainly."""
    return Finding(code=code, limit=str(limit), seen=str(seen), unit=unit)
