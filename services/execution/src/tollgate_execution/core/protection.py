"""Which stops should rest at the venue: what an order has filled is protected for as long as it is held.

Pure. The law: all stops of a symbol and all open orders that reduce it together never sell more than is held, and of
one order at most one stop is live. What is held belongs to the newest entries: an exit sells the oldest first. A stop
that has sold is not placed again for what it has sold. Its prices are those that risk has signed with the entry.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Self

from tollgate_contracts.approval import Approval, SignedText
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.money import ZERO, plain
from tollgate_contracts.risk import KillLevel
from tollgate_contracts.strategy import Protection, Side
from tollgate_domain.instruments import InstrumentRules, notional
from tollgate_domain.portfolio import Portfolio
from tollgate_execution.core.kill import Kill, outstanding
from tollgate_execution.core.market import Market
from tollgate_execution.core.orders import WORKING_STATES
from tollgate_execution.core.placing import Leg, Placing
from tollgate_execution.core.record import OrderRecord

# As many as the journal and the tape count for one order; the last ones come minutes apart.
STOPS_MAX = 100
# After a stop that the venue would not have, or that ended unasked: doubled with each in a row.
RETRY_US = 1_000_000
_DOUBLINGS_MAX = 6
# So many failures in a row are more than bad luck: an operator is called.
FAILURES_SAID = 3
_DIGITS = 30


@dataclass(frozen=True, slots=True)
class Cover:
    """What one order has filled and how it is protected; quantities in base currency."""

    entry_id: str
    decision_id: str
    signed: SignedText
    approval: Approval
    filled: Decimal = ZERO
    stopped: Decimal = ZERO
    """Sold by its own stops."""
    live: str | None = None
    """Its stop that is not gone."""
    number: int = 0
    """Of its last stop; part of that one's id."""
    attempt: int = 0
    """Of the last one that the journal may hold."""
    failures: int = 0
    """Stops in a row that did not come to rest, or ended unasked."""
    not_before_us: int = 0

    @property
    def symbol(self) -> str:
        """Return what it is that is held."""
        return self.approval.symbol

    @property
    def protection(self) -> Protection:
        """Return the terms that risk has signed."""
        assert self.approval.protection is not None  # noqa: S101 - without them there is no cover
        return self.approval.protection

    @property
    def side(self) -> Side:
        """Return the side of its stops."""
        return Side.SELL if self.approval.side is Side.BUY else Side.BUY

    @property
    def own(self) -> Decimal:
        """Return what it has filled and its stops have not sold."""
        return max(self.filled - self.stopped, ZERO)

    def closed(self) -> Self:
        """Return the cover of an order of which nothing is held; its stops keep their numbers."""
        return replace(self, stopped=self.filled, failures=0, not_before_us=0)

    def failed(self, now_us: int) -> Self:
        """Return the cover after a stop that failed."""
        delay_us = RETRY_US << min(self.failures, _DOUBLINGS_MAX)
        return replace(self, failures=self.failures + 1, not_before_us=now_us + delay_us)

    def to_json(self) -> dict[str, Any]:
        """Return the cover as JSON-ready values."""
        return {
            "entry_id": self.entry_id,
            "decision_id": self.decision_id,
            "signed": self.signed.model_dump(),
            "filled": plain(self.filled),
            "stopped": plain(self.stopped),
            "live": self.live,
            "number": self.number,
            "attempt": self.attempt,
            "failures": self.failures,
            "not_before_us": self.not_before_us,
        }

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Self:
        """Take back what ``to_json`` returned."""
        signed = SignedText.model_validate(state["signed"])
        return cls(
            entry_id=state["entry_id"],
            decision_id=state["decision_id"],
            signed=signed,
            approval=Approval.model_validate_json(signed.text),
            filled=Decimal(state["filled"]),
            stopped=Decimal(state["stopped"]),
            live=state["live"],
            number=state["number"],
            attempt=state["attempt"],
            failures=state["failures"],
            not_before_us=state["not_before_us"],
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Place a stop for so much of what an order has filled."""

    entry_id: str
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Cancel a stop."""

    stop_id: str


@dataclass(frozen=True, slots=True)
class Close:
    """Nothing of what the order has filled is held any more: its story is over, unless it fills more."""

    entry_id: str


Wish = Place | TakeBack | Close


def stop_id(entry_id: str, number: int) -> str:
    """Return the id of the stop number ``number`` of an order; derived, so that whoever reads the tape can name it."""
    return f"tg{hashlib.sha256(f'{entry_id}:protect:{number}'.encode()).hexdigest()[:_DIGITS]}"


def placing_of(cover: Cover, quantity: Decimal, now_us: int) -> Placing:
    """Return the next stop of a cover as it is asked of the venue."""
    own = stop_id(cover.entry_id, cover.number + 1)
    return Placing(
        client_order_id=own,
        venue_id=own,
        leg=Leg.PROTECTION,
        attempt=cover.attempt + 1,
        side=cover.side,
        quantity=quantity,
        limit_price=cover.protection.limit_price,
        # As long as the approval itself could be acted upon: after that time, what was not sent is not sent.
        until_us=now_us + cover.approval.expires_us - cover.approval.issued_us,
        trigger_price=cover.protection.trigger_price,
    )


def held_for(portfolio: Portfolio | None, symbol: str, side: Side) -> Decimal:
    """Return how much of what is held an order of ``side`` would take off; base currency."""
    held = ZERO if portfolio is None else portfolio.holding(symbol).quantity
    return max(held if side is Side.SELL else -held, ZERO)


def in_the_way(
    planned: OrderRecord, orders: Iterable[OrderRecord], portfolio: Portfolio | None
) -> tuple[OrderRecord, ...]:
    """Return the stops that hold what an order is to sell, oldest first; none where enough is free."""
    symbol, side = planned.approval.symbol, planned.placing.side
    others = [order for order in _reducing(orders, symbol, side) if order.client_order_id != planned.client_order_id]
    free = held_for(portfolio, symbol, side) - sum((outstanding(order) for order in others if _is_sent(order)), ZERO)
    stops = []
    for stop in (order for order in others if order.protects is not None):
        if free >= planned.quantity:
            break
        stops.append(stop)
        free += outstanding(stop)
    return tuple(stops)


def left_to_sell(planned: OrderRecord, orders: Iterable[OrderRecord], portfolio: Portfolio | None) -> Decimal:
    """Return how much of a planned order there still is to sell, all stops taken back; base currency."""
    symbol, side = planned.approval.symbol, planned.placing.side
    others = [order for order in _reducing(orders, symbol, side) if order.client_order_id != planned.client_order_id]
    exits = (outstanding(order) for order in others if order.protects is None and _is_sent(order))
    return min(planned.quantity, max(held_for(portfolio, symbol, side) - sum(exits, ZERO), ZERO))


def review(
    covers: Mapping[str, Cover],
    orders: Iterable[OrderRecord],
    portfolio: Portfolio | None,
    market: Market,
    kill: Kill,
    now_us: int,
) -> tuple[Wish, ...]:
    """Return what is to be done so that what is held is protected, in the order of the entries; changes nothing."""
    active = tuple(orders)
    held = _shares(covers, lambda symbol, side: held_for(portfolio, symbol, side))
    left = _shares(covers, lambda symbol, side: held_for(portfolio, symbol, side) - _promised(active, symbol, side))
    stops = {order.client_order_id: order for order in active if order.protects is not None}
    free: dict[tuple[str, Side], Decimal] = {}
    wishes: list[Wish] = []
    for entry_id, cover in covers.items():
        stop = None if cover.live is None else stops.get(cover.live)
        wanted = ZERO if _takes_all_back(kill) else _on_grid(cover, left[entry_id], market)
        if stop is not None:
            wishes += _about(stop, wanted, left[entry_id], may_grow=_may_place(cover, market, kill, now_us))
        elif held[entry_id] == ZERO:
            wishes.append(Close(entry_id))
        elif wanted > ZERO and _may_place(cover, market, kill, now_us):
            key = (cover.symbol, cover.side)
            # What an older stop still locks must be free before a newer one takes its part.
            free.setdefault(key, held_for(portfolio, *key) - _locked(active, *key))
            if wanted <= free[key]:
                free[key] -= wanted
                wishes.append(Place(entry_id, wanted))
    return tuple(wishes)


def _about(stop: OrderRecord, wanted: Decimal, left: Decimal, *, may_grow: bool) -> Iterator[TakeBack]:
    """Yield that a live stop is to go: it protects too much, or too little, or nothing."""
    rests = outstanding(stop)
    if stop.is_over or stop.cancel is not None or rests == wanted:
        return
    # Once triggered it sells; and a stop that could not be placed anew is better than none.
    too_little = rests < wanted and stop.booked == ZERO and may_grow
    if wanted == ZERO or (stop.state in WORKING_STATES and (too_little or rests > left)):
        yield TakeBack(stop.client_order_id)


def _takes_all_back(kill: Kill) -> bool:
    return kill.engaged and kill.level is not KillLevel.HALT


def _may_place(cover: Cover, market: Market, kill: Kill, now_us: int) -> bool:
    instrument = market.instrument(cover.symbol)
    is_open = instrument is not None and instrument.status is InstrumentStatus.OPEN
    # A kill switch voids every approval from before it, and what may be placed because of one.
    is_valid = not kill.engaged and cover.approval.kill_epoch == kill.epoch
    return is_open and is_valid and cover.attempt < STOPS_MAX and now_us >= cover.not_before_us


def _on_grid(cover: Cover, quantity: Decimal, market: Market) -> Decimal:
    """Return as much of ``quantity`` as the venue takes as a stop; zero where that is nothing."""
    instrument = market.instrument(cover.symbol)
    if instrument is None:
        return quantity
    size = InstrumentRules.of(instrument).quantize_quantity(quantity)
    is_taken = size >= instrument.min_quantity and notional(cover.protection.limit_price, size) >= (
        instrument.min_notional
    )
    return size if is_taken else ZERO


def _shares(covers: Mapping[str, Cover], available: Callable[[str, Side], Decimal]) -> dict[str, Decimal]:
    """Return what of the available quantity each order still has, the newest first."""
    left: dict[tuple[str, Side], Decimal] = {}
    shares = {}
    for entry_id, cover in reversed(tuple(covers.items())):
        key = (cover.symbol, cover.side)
        rest = left[key] if key in left else max(available(*key), ZERO)
        shares[entry_id] = min(cover.own, rest)
        left[key] = rest - shares[entry_id]
    return shares


def _promised(orders: Iterable[OrderRecord], symbol: str, side: Side) -> Decimal:
    """Return what the exits will sell, those that still wait for a stop's end too."""
    exits = (order for order in _reducing(orders, symbol, side) if order.protects is None)
    return sum((outstanding(order) for order in exits), ZERO)


def _locked(orders: Iterable[OrderRecord], symbol: str, side: Side) -> Decimal:
    """Return what exits and stops may still sell, those that are being taken back too."""
    return sum((outstanding(order) for order in _reducing(orders, symbol, side)), ZERO)


def _reducing(orders: Iterable[OrderRecord], symbol: str, side: Side) -> Iterator[OrderRecord]:
    return (order for order in orders if (order.approval.symbol, order.placing.side) == (symbol, side))


def _is_sent(order: OrderRecord) -> bool:
    return order.waits_for is None
