"""How much: from the wish to a size that the venue takes, every step on record."""

from decimal import ROUND_DOWN, Decimal

from tollgate_contracts.money import divide, plain
from tollgate_contracts.strategy import SizingStep
from tollgate_domain.instruments import InstrumentRules
from tollgate_strategy.core.parameters import Knobs, Tier

# As fine as any quantity on the wire; what is cut off here is lost in the step anyway.
_PLACES = 18


def entry_size(
    knobs: Knobs, tier: Tier, instrument: InstrumentRules, price: Decimal, free_cash: Decimal
) -> tuple[SizingStep, ...]:
    """Return the steps from the target notional to the quantity to buy; the last step's quantity is the size."""
    currency = instrument.quote
    wish = _quantity(knobs.target_notional, price)
    steps = [SizingStep(step=f"target {plain(knobs.target_notional)} {currency} at {plain(price)}", quantity=wish)]
    scaled = _quantity(knobs.target_notional * tier.multiple, price)
    steps.append(SizingStep(step=f"tier {tier.name} takes {plain(tier.multiple)} of it", quantity=scaled))
    bounds = (
        ("one order", knobs.order_notional_max),
        (f"{plain(knobs.cash_share_max)} of free cash", max(free_cash, Decimal(0)) * knobs.cash_share_max),
    )
    return _finish(steps, bounds, instrument, price)


def exit_size(knobs: Knobs, instrument: InstrumentRules, held: Decimal, worst_price: Decimal) -> tuple[SizingStep, ...]:
    """Return the steps from what is held to the quantity to sell, sliced so that one order stays below its cap."""
    steps = [SizingStep(step="all that is held", quantity=held)]
    return _finish(steps, (("one order", knobs.order_notional_max),), instrument, worst_price)


def _finish(
    steps: list[SizingStep], bounds: tuple[tuple[str, Decimal], ...], instrument: InstrumentRules, price: Decimal
) -> tuple[SizingStep, ...]:
    for name, most in bounds:
        bounded = _quantity(most, price)
        if bounded < steps[-1].quantity:
            steps.append(SizingStep(step=f"at most {name}: {plain(most)} {instrument.quote}", quantity=bounded))
    size = instrument.quantize_quantity(steps[-1].quantity)
    steps.append(SizingStep(step=f"down to a multiple of {plain(instrument.step)}", quantity=size))
    return tuple(steps)


def _quantity(amount: Decimal, price: Decimal) -> Decimal:
    return divide(amount, price, _PLACES, ROUND_DOWN)
