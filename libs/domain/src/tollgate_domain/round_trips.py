"""Round trips: a symbol's way from flat to flat, and what it has brought after fees.

A position opens a trip, and the trade that takes it to zero ends it; a perpetual's trade that goes on to the other
side ends one and opens the next, and its fee is parted between them by quantity. What the account held at opening has
no known cost, or one from before our time: the desk takes it in at the first mark seen from opening on, and its trip
counts from there. The results of all trips, ended and open, are together what trading has realized since opening.

A bust takes a trade out of the open trip. A trip that the trade had ended stays as it was counted, for what followed
from it has happened; what is held again opens another, which begins with what the ended one had too much.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import ZERO, Exact, divide
from tollgate_domain.instruments import notional
from tollgate_domain.portfolio import COST_PLACES, EMPTY, Holding, recall, remember, signed, trade, untrade


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """One that has ended; ``result`` in quote currency, after fees."""

    symbol: str
    result: Decimal
    opened_us: int
    closed_us: int
    stopped: bool
    """Whether a stop ended it."""


class Booked(NamedTuple):
    """What one fill has brought."""

    result: Decimal
    """Realized by it, less its fee, in quote currency."""
    ended: RoundTrip | None
    """The trip that it has ended."""


@dataclass(slots=True)
class OpenTrip:
    """One that has not ended; quantity and cost are below zero for a short."""

    quantity: Exact
    cost: Exact
    """At which the position was entered, in quote currency, fees excluded."""
    result: Exact
    """Realized so far, less fees."""
    opened_us: int


@dataclass(slots=True)
class RoundTrips:
    """The open trips of one account, by symbol."""

    open: dict[str, OpenTrip] = field(default_factory=dict)
    remembered: list[tuple[str, Exact]] = field(default_factory=list)
    """What the newest trades that made a position smaller have realized, oldest first."""

    def take_in(self, symbol: str, quantity: Decimal, mark: Decimal, now_us: int) -> None:
        """Open a trip for what was held at opening, at ``mark``; ``quantity`` is below zero for a short."""
        self.open[symbol] = OpenTrip(quantity, notional(mark, quantity), ZERO, now_us)

    def apply(self, fill: Fill, now_us: int, *, stopped: bool = False) -> Booked:
        """Book one fill at tape time, which a stop has made if ``stopped``; its fee is in quote currency."""
        made = fill.trade
        trip = self.open.get(fill.symbol)
        before = EMPTY if trip is None else Holding(trip.quantity, trip.cost)
        quantity = signed(fill.side, made.quantity)
        after, realized = trade(before, quantity, made.price)
        remember(self.remembered, before, fill, realized)
        booked = realized - made.fee
        if trip is not None and after.quantity * before.quantity > ZERO:
            trip.quantity, trip.cost, trip.result = after.quantity, after.cost, trip.result + booked
            return Booked(booked, None)
        # The part of the fee that belongs to what this fill opens; the rest belongs to what it has ended.
        opening_fee = divide(made.fee * abs(after.quantity), made.quantity, COST_PLACES)
        if after.quantity:
            self.open[fill.symbol] = OpenTrip(after.quantity, after.cost, -opening_fee, now_us)
        if trip is None:
            return Booked(booked, None)
        if not after.quantity:
            del self.open[fill.symbol]
        result = trip.result + booked + opening_fee
        return Booked(booked, RoundTrip(fill.symbol, result, trip.opened_us, now_us, stopped))

    def undo(self, bust: Bust, now_us: int) -> Booked:
        """Take one booked fill back at tape time; its result is what is then realized more, with the fee."""
        made = bust.trade
        trip = self.open.get(bust.symbol)
        before = EMPTY if trip is None else Holding(trip.quantity, trip.cost)
        quantity = signed(bust.side, made.quantity)
        after, realized = untrade(before, quantity, made.price, recall(self.remembered, bust))
        booked = realized + made.fee
        if trip is None:
            self.open[bust.symbol] = OpenTrip(after.quantity, after.cost, booked, now_us)
            return Booked(booked, None)
        trip.quantity, trip.cost, trip.result = after.quantity, after.cost, trip.result + booked
        if after.quantity:
            return Booked(booked, None)
        del self.open[bust.symbol]
        # A trip of which nothing is left has never been; one that had closed a part has brought what that part did.
        ended = RoundTrip(bust.symbol, trip.result, trip.opened_us, now_us, stopped=False) if trip.result else None
        return Booked(booked, ended)
