"""The last look before the first byte leaves: what may have changed since the approval was read from the tape.

Pure: the shell hands in what it sees at that moment, and sends if and only if nothing comes back. The caps here are
execution's own. They hold whatever risk has signed, so that a gate that is mistaken, or in other hands, can lose no
more than they allow (docs/operators.md, "What a signed order can still do").
"""

from collections import deque
from dataclasses import dataclass
from decimal import Decimal

from tollgate_contracts.approval import Approval, Permit
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.money import EXACT, ZERO
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import Side, TimeInForce
from tollgate_domain.instruments import notional
from tollgate_execution.core import Kill, held_back
from tollgate_execution.core.market import Quoted
from tollgate_venues.adapter import VenueOrder

_SECOND_US = 1_000_000
_MINUTE_S = 60
_BPS = 10_000
_EXITS_PART = 5


class Pace:
    """Execution's own speed limit: at most so many orders in any second of the monotonic clock.

    A fifth of them is left to what makes a position smaller: a flood of entries must not keep us from getting out.
    """

    def __init__(self, orders_per_s_max: int) -> None:
        self._sent_us: deque[int] = deque(maxlen=orders_per_s_max)
        self._entered_us: deque[int] = deque(maxlen=orders_per_s_max - orders_per_s_max // _EXITS_PART)

    def is_used_up(self, monotonic_us: int, *, is_exit: bool) -> bool:
        """Say whether one more order now would be one too many."""
        counted = (self._sent_us,) if is_exit else (self._sent_us, self._entered_us)
        return any(len(sent) == sent.maxlen and monotonic_us - sent[0] < _SECOND_US for sent in counted)

    def count(self, monotonic_us: int, *, is_exit: bool) -> None:
        """Note that an order leaves now."""
        self._sent_us.append(monotonic_us)
        if not is_exit:
            self._entered_us.append(monotonic_us)


class Turnover:
    """What entries were worth in the last minute, in quote currency: by whole seconds, and never less than it was."""

    def __init__(self) -> None:
        self._by_second: dict[int, Decimal] = {}

    def count(self, monotonic_us: int, value: Decimal) -> None:
        """Note that an entry worth ``value`` leaves now."""
        second = monotonic_us // _SECOND_US
        self._by_second[second] = self._by_second.get(second, ZERO) + value
        for old in [each for each in self._by_second if each < second - _MINUTE_S]:
            del self._by_second[old]

    def of_last_minute(self, monotonic_us: int) -> Decimal:
        """Return what has left in the last sixty seconds, and in the part of the second before them."""
        since = monotonic_us // _SECOND_US - _MINUTE_S
        return sum((value for second, value in self._by_second.items() if second >= since), ZERO)


@dataclass(frozen=True, slots=True)
class Caps:
    """Execution's own caps; risk's are tighter. None switches one off."""

    order_notional_max: Decimal
    minute_notional_max: Decimal | None = None
    open_orders_max: int | None = None
    open_orders_symbol_max: int | None = None
    collar_bps: int | None = None
    """How far an entry's price may lie beyond the best opposite quote."""
    exit_collar_bps: int | None = None
    """The same for what makes a position smaller: wider, so that one can get out of a falling market."""
    quote_age_us_max: int | None = None
    """How old a quote may be for an entry to be held against it; an exit is held against the last one there was."""
    trades_in_auction: bool = False
    """Whether limit orders that rest are sent into an auction."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the tape says of the symbol at that moment."""

    status: InstrumentStatus | None = None
    """As the venue last stated it; none where it never did."""
    is_reconciled: bool = True
    """Whether the venue's orders were read since it was opened again."""
    quoted: Quoted | None = None
    waits_in_vain: bool = False
    """Whether it was opened again so long ago that an exit waits no longer for that."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What the shell sees when it is about to send."""

    wall_us: int
    door_is_shut: bool
    """The kill door of this process."""
    kill: Kill
    """By the tape, as far as it has been read."""
    permit: Permit | None
    """The fresh permit; none without one."""
    reducible: Decimal
    """How much such an order may take off what execution itself knows to be held, in base currency."""
    pace_is_used_up: bool
    caps: Caps
    is_stopping: bool = False
    """This process has been told to stop."""
    is_safe_mode: bool = False
    """By what this process sees, or by the tape."""
    open_before: int = 0
    """Orders that were open before this one."""
    open_in_symbol: int = 0
    """Those of them in the same symbol."""
    minute_notional: Decimal = ZERO
    """What entries of the last minute were worth."""
    place: Place = Place()


def reasons_not_to_send(approval: Approval, order: VenueOrder, moment: Moment) -> tuple[Reason, ...]:
    """Return every reason against sending ``order`` now, in the order of the taxonomy; none means send.

    ``order`` is what would be sent: what was approved, or less, or at a better price; or the stop that protects it.
    """
    permit, caps, place = moment.permit, moment.caps, moment.place
    is_of_another_epoch = permit is not None and permit.kill_epoch != approval.kill_epoch
    is_held_back = any(held_back(approval, moment.kill, moment.reducible))
    protects = is_protective(approval, order)
    is_exit = protects or is_reducing(approval, order, moment.reducible)
    value = worth(order)
    spent = moment.minute_notional + (value or ZERO)
    checks = (
        (Reason.GATE_KILL_SWITCH, moment.door_is_shut or is_of_another_epoch or is_held_back),
        # A permit to close positions lets no trade through, nor one to trade a closing order.
        (Reason.GATE_NO_PERMIT, permit is None or permit.scope is not approval.scope),
        (Reason.GATE_SAFE_MODE, (moment.is_stopping and not protects) or (moment.is_safe_mode and not is_exit)),
        (Reason.DATA_STALE, not is_exit and _is_stale(place.quoted, moment.wall_us, caps)),
        (Reason.DATA_NO_MARK, place.quoted is None and _reach_bps(caps, is_exit=is_exit) is not None and not protects),
        (Reason.PRICE_COLLAR, _is_outside_collar(order, place.quoted, _reach_bps(caps, is_exit=is_exit))),
        (Reason.LIMIT_ORDER_NOTIONAL, value is None or value > caps.order_notional_max),
        # What makes a position smaller is bounded by the position, and waits for no room.
        (Reason.LIMIT_OPEN_ORDERS, not is_exit and _is_full(caps.open_orders_max, moment.open_before)),
        (Reason.LIMIT_OPEN_ORDERS_SYMBOL, not is_exit and _is_full(caps.open_orders_symbol_max, moment.open_in_symbol)),
        (Reason.PACE_RATE, moment.pace_is_used_up or (not is_exit and _exceeds(spent, caps.minute_notional_max))),
        # What protects a position was approved for as long as it is held.
        (Reason.APPROVAL_EXPIRED, approval.expires_us <= moment.wall_us and not protects),
        (Reason.APPROVAL_MISMATCH, not (protects or _is_within(approval, order))),
        (Reason.VENUE_NOT_OPEN, not takes_order(order, place, caps, is_exit=is_exit)),
    )
    return tuple(reason for reason, applies in checks if applies)


def worth(order: VenueOrder) -> Decimal | None:
    """Return the most that an order can cost or bring, in quote currency; none for one without a price."""
    return None if order.limit_price is None else notional(order.limit_price, order.quantity)


def is_protective(approval: Approval, order: VenueOrder) -> bool:
    """Say whether an order is the stop that risk has signed together with the entry."""
    signed = approval.protection
    if signed is None or order.trigger_price is None or not order.reduce_only:
        return False
    is_opposite = order.symbol == approval.symbol and order.side is not approval.side
    is_as_signed = (order.trigger_price, order.limit_price) == (signed.trigger_price, signed.limit_price)
    return is_opposite and is_as_signed and order.quantity <= approval.quantity


def is_reducing(approval: Approval, order: VenueOrder, reducible: Decimal) -> bool:
    """Say whether an order makes a position smaller by our own count, and not only by what risk calls it."""
    return approval.reduce_only and order.quantity <= reducible


def takes_order(order: VenueOrder, place: Place, caps: Caps, *, is_exit: bool) -> bool:
    """Say whether the venue is open for such an order, as the tape has it; one that was never stated is left to it."""
    if place.status is None:
        return True
    if place.status is InstrumentStatus.AUCTION:
        rests = order.time_in_force is TimeInForce.GTC and order.limit_price is not None
        return caps.trades_in_auction and rests
    is_read = place.is_reconciled or (is_exit and place.waits_in_vain)
    return place.status is InstrumentStatus.OPEN and is_read


def takes_cancel(status: InstrumentStatus | None) -> bool:
    """Say whether the venue takes a cancel: in every state but ``HALTED``."""
    return status is not InstrumentStatus.HALTED


def _is_within(approval: Approval, order: VenueOrder) -> bool:
    bound, price = approval.limit_price, order.limit_price
    if bound is None or price is None or order.trigger_price is not None:
        return False
    is_no_worse = price <= bound if approval.side is Side.BUY else price >= bound
    is_the_same = (order.symbol, order.side) == (approval.symbol, approval.side)
    return is_the_same and is_no_worse and order.quantity <= approval.quantity


def _reach_bps(caps: Caps, *, is_exit: bool) -> int | None:
    return caps.exit_collar_bps if is_exit else caps.collar_bps


def _is_stale(quoted: Quoted | None, wall_us: int, caps: Caps) -> bool:
    return quoted is not None and caps.quote_age_us_max is not None and wall_us - quoted.ts_us > caps.quote_age_us_max


def _is_outside_collar(order: VenueOrder, quoted: Quoted | None, reach_bps: int | None) -> bool:
    """Say whether an order could trade further through the market than it may; on the other side it can only wait."""
    reference = _reference(order, quoted)
    if reach_bps is None or reference is None or order.limit_price is None:
        return False
    worst = EXACT.multiply(reference, Decimal(_BPS + reach_bps if order.side is Side.BUY else _BPS - reach_bps))
    price = EXACT.multiply(order.limit_price, Decimal(_BPS))
    return price > worst if order.side is Side.BUY else price < worst


def _reference(order: VenueOrder, quoted: Quoted | None) -> Decimal | None:
    """Return the price from which the collar reaches: of a stop, where the market will be when it works."""
    if quoted is None:
        return order.trigger_price
    best = quoted.quote.ask if order.side is Side.BUY else quoted.quote.bid
    if order.trigger_price is None:
        return best
    return max(best, order.trigger_price) if order.side is Side.BUY else min(best, order.trigger_price)


def _exceeds(value: Decimal, limit: Decimal | None) -> bool:
    return limit is not None and value > limit


def _is_full(limit: int | None, count: int) -> bool:
    return limit is not None and count >= limit
