"""Quantization against the venue's own metadata, and never against constants."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from tollgate_contracts.marketdata import Instrument, InstrumentStatus, MarginTerms
from tollgate_contracts.money import EXACT, is_multiple, plain, round_ceiling, round_down, round_floor
from tollgate_contracts.strategy import Side


@dataclass(frozen=True, slots=True)
class InstrumentRules:
    """What the venue says about one symbol; prices in quote currency, quantities in base currency."""

    symbol: str
    base: str
    quote: str
    tick: Decimal
    step: Decimal
    min_quantity: Decimal
    min_notional: Decimal
    status: InstrumentStatus
    valid_until_us: int
    margin: MarginTerms | None
    """Of a perpetual; none for spot."""

    @classmethod
    def of(cls, message: Instrument) -> Self:
        """Take the rules from an instrument message."""
        return cls(
            symbol=message.symbol,
            base=message.base,
            quote=message.quote,
            tick=message.tick,
            step=message.step,
            min_quantity=message.min_quantity,
            min_notional=message.min_notional,
            status=message.status,
            valid_until_us=message.valid_until_us,
            margin=message.margin,
        )

    def quantize_quantity(self, quantity: Decimal) -> Decimal:
        """Round down to the step: an order never becomes larger than was wanted."""
        return round_down(quantity, self.step)

    def quantize_price(self, price: Decimal, side: Side) -> Decimal:
        """Round to the tick, a buy down and a sell up: the price never becomes worse than was wanted."""
        return round_floor(price, self.tick) if side is Side.BUY else round_ceiling(price, self.tick)

    def is_tradable(self, quantity: Decimal, price: Decimal) -> bool:
        """Say whether the venue would take the quantity, once on its grid, at the price; what it would not is dust."""
        size = self.quantize_quantity(quantity)
        return size > 0 and size >= self.min_quantity and notional(price, size) >= self.min_notional

    @property
    def value_places(self) -> int:
        """How many digits after the point the value of a trade on the venue's grid may have."""
        return places_of(self.tick) + places_of(self.step)

    def is_on_grid(self, price: Decimal | None, quantity: Decimal) -> bool:
        """Say whether the venue would take price and quantity as they are."""
        return is_multiple(quantity, self.step) and (price is None or is_multiple(price, self.tick))


def places_of(grid: Decimal) -> int:
    """Return how many digits after the point a multiple of ``grid`` may have."""
    return len(plain(grid).partition(".")[2])


def notional(price: Decimal, quantity: Decimal) -> Decimal:
    """Return price times quantity, exactly, in quote currency."""
    return EXACT.multiply(price, quantity)
