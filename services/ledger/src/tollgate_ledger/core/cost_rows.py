"""What one booked trade has cost, beside what the model of costs says that it should have."""

from decimal import Decimal

from tollgate_contracts.execution import Bust, Fill, Liquidity
from tollgate_contracts.money import round_to_places
from tollgate_domain.costs import CostModel
from tollgate_domain.fees import AMOUNT_PLACES
from tollgate_domain.instruments import notional
from tollgate_domain.trip_log import Travelled
from tollgate_ledger.core.fee_check import FeeCheck
from tollgate_ledger.core.motives import Motive
from tollgate_ledger.core.rows import TradeCost


def cost_row(
    sequence: int, message: Fill | Bust, motive: Motive | None, travelled: Travelled, fees: FeeCheck, costs: CostModel
) -> TradeCost:
    """Return the row of a booked trade; fee and slippage stand beside what ``costs`` says of them."""
    made, sign = message.trade, -1 if isinstance(message, Bust) else 1
    reference, checked = motive.reference_price if motive else None, fees.check(message, costs)
    return TradeCost(
        tape_sequence=sequence,
        ts_us=message.ts_us,
        symbol=message.symbol,
        trade_id=made.trade_id,
        side=message.side.value,
        quantity=sign * made.quantity,
        price=made.price,
        reference_price=reference,
        reference_source=motive.reference_source if motive else None,
        slippage=travelled.cost.slippage,
        fee=sign * made.fee,
        fee_currency=made.fee_currency,
        fee_value=travelled.cost.fees,
        maker=made.liquidity is Liquidity.MAKER,
        client_order_id=message.client_order_id,
        trip=travelled.trip.number,
        purpose=motive.purpose if motive else None,
        signal=motive.signal if motive else None,
        regime=motive.regime if motive else None,
        tier=motive.tier if motive else None,
        strength=motive.strength if motive else None,
        confidence=motive.confidence if motive else None,
        strategy=motive.strategy if motive else None,
        cycle_id=motive.cycle_id if motive else message.cycle_id,
        config_hash=message.config_hash,
        fee_expected=checked.expected,
        fee_finding=checked.finding,
        slippage_expected=None if reference is None else _slippage_expected(message, costs),
    )


def _slippage_expected(message: Fill | Bust, costs: CostModel) -> Decimal:
    made = message.trade
    value = notional(made.price, -made.quantity if isinstance(message, Bust) else made.quantity)
    return round_to_places(costs.slippage(message.symbol, value, made.liquidity), AMOUNT_PLACES)
