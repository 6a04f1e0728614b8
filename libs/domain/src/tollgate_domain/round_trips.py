"""Round trips: a symbol's way from flat to flat, and what it has brought after fees.

A position opens a trip, and the trade that takes it to zero ends it; a perpetual's trade that goes on to the other
side ends one and opens the next, and its fee is parted between them by quantity. What the account held at opening has
no known cost, or one from before our time: the desk takes it in at the first mark seen from opening on, and its trip
counts from there. The results of all trips, ended and open, are together what trading has realized since opening.

A fee in another currency costs the trip that it was charged to what it was worth; one without a rate costs nothing.
What of it a holding bears is a sale out of that holding's trip, of the fill's own symbol or of another. How much that
is says the portfolio; what it has cost is the trip's own, which counts what was held at opening from its mark.

Of spot a trip also ends when what is left is dust: less than the venue takes in one order, at the price of what has
left it so. Else no trip would ever end where fees are taken of what is bought. The dust is a rest of no trip, it does
not lose its cost, and whatever leaves it brings nobody a win or a loss: the next trip begins with it and its result.

A bust takes a trade out of the open trip. A trip that the trade had ended stays as it was counted, for what followed
from it has happened; what is held again opens another, which begins with what the ended one had too much. A bust ends
a trip only where nothing is left.

What comes in of a spot symbol's base without a trade joins its trip, or opens one, at its value; what goes out leaves
its trip at its value, and ends it where nothing is left.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NamedTuple

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import ZERO, Exact, divide
from tollgate_domain.fees import NO_SHARE, Share, at_own_cost, back_at_own_cost, charge_of
from tollgate_domain.holdings import EMPTY, Holding, closed, signed, trade, untrade, without
from tollgate_domain.instruments import InstrumentRules, notional
from tollgate_domain.movements import Carried, part_of_cost
from tollgate_domain.portfolio import COST_PLACES, Booking
from tollgate_domain.traces import Trace, drop_trace, find_trace, keep_trace

Rules = Mapping[str, InstrumentRules]
"""What the venue says of each symbol; of one that is not among them nothing is dust."""


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """One that has ended; ``result`` in quote currency, after fees."""

    symbol: str
    result: Decimal
    opened_us: int
    closed_us: int
    stopped: bool
    """Whether a stop ended it."""


class Aside(NamedTuple):
    """What a fee has brought to the trip of another symbol, which had its currency in hand."""

    symbol: str
    result: Decimal
    """The value of what was taken, less its cost; what it was worth is paid by the fill's own trip."""
    ended: RoundTrip | None


class Booked(NamedTuple):
    """What one fill has brought."""

    result: Decimal
    """Realized by it, less its fee, in quote currency, in all trips."""
    ended: RoundTrip | None
    """The trip of its symbol that it has ended."""
    aside: Aside | None = None
    """The part of the result that is another trip's."""


@dataclass(slots=True)
class OpenTrip:
    """One that has not ended; quantity and cost are below zero for a short."""

    quantity: Exact
    cost: Exact
    """At which the position was entered, in quote currency, fees excluded."""
    result: Exact
    """Realized so far, less fees."""
    opened_us: int
    perpetual: bool = False
    is_rest: bool = False
    """Whether it is what a trip that has ended has left, with which the next one begins; it may be nothing by now."""


class _Left(NamedTuple):
    """Of a trip something has left, at a time and at a price, which a stop has made if ``stopped``."""

    now_us: int
    price: Decimal
    rules: Rules
    stopped: bool = False

    def is_dust(self, symbol: str, quantity: Decimal) -> bool:
        rules = self.rules.get(symbol)
        return rules is not None and not rules.is_tradable(quantity, self.price)


NO_RULES: Rules = {}


@dataclass(slots=True)
class RoundTrips:
    """The open trips of one account, by symbol."""

    open: dict[str, OpenTrip] = field(default_factory=dict)
    """With what ended ones have left."""
    traces: list[Trace] = field(default_factory=list)
    """Of the newest fills, oldest first."""

    def take_in(self, symbol: str, quantity: Decimal, mark: Decimal, now_us: int, *, perpetual: bool = False) -> None:
        """Open a trip for what was held at opening, at ``mark``; ``quantity`` is below zero for a short."""
        self.open[symbol] = OpenTrip(quantity, notional(mark, quantity), ZERO, now_us, perpetual)

    def apply(
        self,
        fill: Fill,
        booking: Booking,
        now_us: int,
        *,
        stopped: bool = False,
        perpetual: bool = False,
        rules: Rules = NO_RULES,
    ) -> Booked:
        """Book one fill, as the portfolio has booked it, at tape time; a stop has made it if ``stopped``."""
        made, trip = fill.trade, self.open.get(fill.symbol)
        before = EMPTY if trip is None else Holding(trip.quantity, trip.cost)
        quantity = signed(fill.side, made.quantity)
        after, realized = trade(replace(before, perpetual=perpetual), quantity, made.price)
        own, share, aside = self._bear(fill, booking, after, now_us, rules)
        keep_trace(self.traces, fill, closed(before, quantity), realized, share)
        after, fee = without(after, own), booking.fee - own.realized
        booked = realized - fee
        left = _Left(now_us, made.price, rules, stopped)
        if trip is None or trip.is_rest:
            begun = OpenTrip(after.quantity, after.cost, booked, now_us, perpetual)
            if trip is not None:
                begun.result, begun.is_rest = booked + trip.result, before.quantity * quantity < ZERO
            return _booked(booked, self._keep(fill.symbol, begun, now_us, stopped=stopped), aside)
        if after.quantity * before.quantity > ZERO:
            trip.quantity, trip.cost, trip.result = after.quantity, after.cost, trip.result + booked
            shrinks = not perpetual and abs(after.quantity) < abs(before.quantity)
            return _booked(booked, self._end_at_dust(fill.symbol, trip, left) if shrinks else None, aside)
        # The part of the fee that belongs to what this fill opens; the rest belongs to what it has ended.
        opening_fee = divide(fee * abs(after.quantity), made.quantity, COST_PLACES)
        if after.quantity:
            self.open[fill.symbol] = OpenTrip(after.quantity, after.cost, -opening_fee, now_us, perpetual)
        else:
            del self.open[fill.symbol]
        result = trip.result + booked + opening_fee
        return _booked(booked, RoundTrip(fill.symbol, result, trip.opened_us, now_us, stopped), aside)

    def undo(
        self, bust: Bust, booking: Booking, now_us: int, *, perpetual: bool = False, rules: Rules = NO_RULES
    ) -> Booked:
        """Take one booked fill back at tape time; its result is what is then realized more, with the fee."""
        made, trip, trace = bust.trade, self.open.get(bust.symbol), find_trace(self.traces, bust)
        before = EMPTY if trip is None else Holding(trip.quantity, trip.cost)
        before = replace(before, perpetual=perpetual)
        own, _, aside = self._bear(bust, booking, before, now_us, rules)
        drop_trace(self.traces, bust)
        quantity = signed(bust.side, made.quantity)
        after, realized = untrade(without(before, own), quantity, made.price, trace and trace.realized)
        booked = realized - booking.fee + own.realized
        left = OpenTrip(after.quantity, after.cost, booked, now_us, perpetual)
        left.is_rest = bool(after.quantity) and not perpetual
        if trip is not None:
            left.result, left.opened_us, left.is_rest = trip.result + booked, trip.opened_us, trip.is_rest
        if left.is_rest and not _Left(now_us, made.price, rules).is_dust(bust.symbol, after.quantity):
            left.opened_us, left.is_rest = now_us, False
        return _booked(booked, self._keep(bust.symbol, left, now_us, stopped=False), aside)

    def carry(self, carried: Carried, now_us: int) -> Booked:
        """Let so much of a spot symbol come or go without a trade: bought or sold at its value, and never stopped."""
        trip = self.open.get(carried.symbol) or OpenTrip(ZERO, ZERO, ZERO, now_us)
        if trip.is_rest and carried.quantity > ZERO:
            trip.is_rest, trip.opened_us = False, now_us
        cost = carried.value
        if carried.quantity < ZERO:
            cost = -part_of_cost(trip.quantity, trip.cost, -carried.quantity)
        result = cost - carried.value
        trip.quantity, trip.cost = trip.quantity + carried.quantity, trip.cost + cost
        trip.result += result
        return Booked(result, self._keep(carried.symbol, trip, now_us, stopped=False))

    def _bear(
        self, message: Fill | Bust, booking: Booking, own: Holding, now_us: int, rules: Rules
    ) -> tuple[Share, Share, Aside | None]:
        """Return what the trip of the message's own symbol bears of its fee, what any does, and the other's aside.

        ``own`` is what is held of the own symbol when the fee is taken or given back.
        """
        charge, part = charge_of(message), booking.share
        if charge is None or not part.quantity:
            return NO_SHARE, NO_SHARE, None
        trip = self.open.get(charge.symbol) or OpenTrip(ZERO, ZERO, ZERO, now_us)
        is_own = charge.symbol == message.symbol
        held, cost = (own.quantity, own.cost) if is_own else (trip.quantity, trip.cost)
        if isinstance(message, Fill):
            share = at_own_cost(held, cost, part)
        else:
            trace = find_trace(self.traces, message)
            share = back_at_own_cost(held, cost, part, trace and trace.share)
        if is_own:
            return share, share, None
        rate = message.trade.price if message.fee_rate is None else message.fee_rate
        trip.quantity, trip.cost = held - share.quantity, cost - share.cost
        trip.result += share.realized
        left = _Left(now_us, rate, rules)
        if trip.is_rest and share.quantity < ZERO and not left.is_dust(charge.symbol, trip.quantity):
            trip.opened_us, trip.is_rest = now_us, False
        ended = self._keep(charge.symbol, trip, now_us, stopped=False)
        if share.quantity > ZERO and trip.quantity and not trip.is_rest:
            ended = self._end_at_dust(charge.symbol, trip, left)
        return NO_SHARE, share, Aside(charge.symbol, share.realized, ended)

    def _end_at_dust(self, symbol: str, trip: OpenTrip, left: _Left) -> RoundTrip | None:
        """End a spot trip that something has left, where nobody can sell what it still holds: that is a rest."""
        if not left.is_dust(symbol, trip.quantity):
            return None
        self.open[symbol] = OpenTrip(trip.quantity, trip.cost, ZERO, left.now_us, is_rest=True)
        return RoundTrip(symbol, trip.result, trip.opened_us, left.now_us, left.stopped)

    def _keep(self, symbol: str, trip: OpenTrip, now_us: int, *, stopped: bool) -> RoundTrip | None:
        """Keep a trip that holds anything; of one that holds nothing return how it ended, where it brought anything."""
        if trip.quantity or trip.is_rest:
            self.open[symbol] = trip
            return None
        self.open.pop(symbol, None)
        # A trip of which nothing is left has never been; one that had closed a part has brought what that part did.
        return RoundTrip(symbol, trip.result, trip.opened_us, now_us, stopped) if trip.result else None


def _booked(own: Decimal, ended: RoundTrip | None, aside: Aside | None) -> Booked:
    return Booked(own if aside is None else own + aside.result, ended, aside)
