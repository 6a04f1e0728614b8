"""Writing an intent: its price bound, its derived order id, and why it was written."""

import hashlib
from dataclasses import dataclass
from decimal import Decimal

from tollgate_contracts.config import canonical_json
from tollgate_contracts.envelope import Message
from tollgate_contracts.marketdata import SymbolQuote
from tollgate_contracts.money import EXACT, ZERO, plain, round_to_places
from tollgate_contracts.strategy import (
    Action,
    Intent,
    OrderType,
    Protection,
    Purpose,
    Rationale,
    Side,
    SizingStep,
    TimeInForce,
)
from tollgate_domain.instruments import InstrumentRules
from tollgate_strategy.core.parameters import Knobs
from tollgate_strategy.core.signals import Signal

_BPS = Decimal(10_000)
_ONE = Decimal(1)
_MS = 1_000
_STRENGTH_PLACES = 4
_CONFIDENCE_PLACES = 2
# "tg" and 30 hexadecimal digits: 32 characters fit every venue we know.
_ID_DIGITS = 30


@dataclass(frozen=True, slots=True)
class Wish:
    """What the strategy would like for one symbol."""

    side: Side
    signal: Signal
    tier: str
    price: Decimal
    sizing: tuple[SizingStep, ...]
    spread_bps: Decimal
    protection: Protection | None = None

    @property
    def quantity(self) -> Decimal:
        """The size: where the sizing steps end."""
        return self.sizing[-1].quantity


def price_bound(knobs: Knobs, instrument: InstrumentRules, quote: SymbolQuote, side: Side) -> Decimal:
    """Return the limit that trades at the touch with some slippage allowed, on the grid, never beyond it.

    The grid may leave no room for slippage; the touch itself is always inside.
    """
    if side is Side.BUY:
        return max(quote.ask, instrument.quantize_price(_beyond(quote.ask, knobs.slippage_bps), side))
    return min(quote.bid, instrument.quantize_price(_beyond(quote.bid, -knobs.slippage_bps), side))


def protection_of(knobs: Knobs, instrument: InstrumentRules, entry_price: Decimal) -> Protection | None:
    """Return the stop below a long entered at ``entry_price`` at worst, on the grid; none where none is wanted.

    On a grid so coarse that the stop would lie at the entry's price or at nothing there is none either.
    """
    if knobs.protective_stop_bps is None:
        return None
    trigger = instrument.quantize_price(_beyond(entry_price, -knobs.protective_stop_bps), Side.SELL)
    limit = instrument.quantize_price(_beyond(trigger, -knobs.protective_limit_bps), Side.SELL)
    return Protection(trigger_price=trigger, limit_price=limit) if ZERO < limit <= trigger < entry_price else None


def _beyond(touch: Decimal, bps: Decimal) -> Decimal:
    return EXACT.divide(EXACT.multiply(touch, _BPS + bps), _BPS)


def write_intent(
    cause: Message, sequence: int, index: int, symbol: str, wish: Wish, knobs: Knobs, config_hash: str, now_us: int
) -> Intent:
    """Write the intent number ``index`` of the step that read ``cause`` at ``sequence``."""
    expires_us = now_us + knobs.intent_life_ms * _MS
    return Intent.caused_by(
        cause,
        sequence,
        index,
        strategy=knobs.name,
        action=Action.SUBMIT,
        purpose=_purpose(wish),
        client_order_id=_client_order_id(cause, symbol, wish, knobs, expires_us),
        symbol=symbol,
        side=wish.side,
        order_type=OrderType.LIMIT,
        quantity=wish.quantity,
        limit_price=wish.price,
        time_in_force=TimeInForce.IOC,
        post_only=False,
        reduce_only=wish.side is Side.SELL,
        expires_us=expires_us,
        good_until_us=None,
        replaces=None,
        protection=wish.protection,
        rationale=_rationale(wish, knobs),
        config_hash=config_hash,
    )


def _purpose(wish: Wish) -> Purpose:
    if wish.side is Side.BUY:
        return Purpose.ENTRY
    return Purpose.STOP if wish.signal is Signal.STOP_LOSS else Purpose.EXIT


def _client_order_id(cause: Message, symbol: str, wish: Wish, knobs: Knobs, expires_us: int) -> str:
    """Derive the id from strategy, cycle, symbol, side and content: the same wish has it again, another never."""
    protected = {} if wish.protection is None else {"protection": wish.protection.model_dump(mode="json")}
    content = canonical_json(
        {
            "desk": cause.desk,
            "expires_us": expires_us,
            "limit_price": plain(wish.price),
            "order_type": OrderType.LIMIT,
            "quantity": plain(wish.quantity),
            "time_in_force": TimeInForce.IOC,
            **protected,
        }
    )
    content_hash = hashlib.sha256(content.encode()).hexdigest()
    name = f"{knobs.name}|{cause.cycle_id}|{symbol}|{wish.side}|{content_hash}"
    return "tg" + hashlib.sha256(name.encode()).hexdigest()[:_ID_DIGITS]


def _rationale(wish: Wish, knobs: Knobs) -> Rationale:
    return Rationale(
        signal=wish.signal,
        regime="rising" if wish.spread_bps > 0 else "falling",
        strength=round_to_places(wish.spread_bps, _STRENGTH_PLACES),
        confidence=_confidence(wish, knobs),
        tier=wish.tier,
        sizing=wish.sizing,
    )


def _confidence(wish: Wish, knobs: Knobs) -> Decimal:
    """Return how far up its tiers the signal reaches, from 0 to 1; leaving is never a matter of confidence."""
    top = knobs.entry_bps + knobs.tiers[-1].above_entry_bps
    if wish.side is Side.SELL or top == ZERO:
        return _ONE
    reached = round_to_places(wish.spread_bps, _STRENGTH_PLACES)
    if reached >= top:
        return _ONE
    share = reached * 100 // top
    return share.scaleb(-_CONFIDENCE_PLACES)
