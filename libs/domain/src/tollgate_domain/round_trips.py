"""Round trips: a symbol's way from flat to flat, and what it has brought after fees.

A position opens a trip, and the trade that takes it to zero ends it; a perpetual's trade that goes on to the other
side ends one and opens the next, and its fee is parted between them by quantity. What the account held at opening has
no known cost, or one from before our time: the desk takes it in at the first mark seen from opening on, and its trip
counts from there. The results of all trips, ended and open, are together what trading has realized since opening.

A fee in another currency is what it was worth to the trip that it was charged to. Where a spot trip holds its currency,
that is a sale out of that trip, of the fill's own symbol or of another; a fee from beside the holdings costs nobody
anything, for what lies there has none, and neither does one without a rate.

A bust takes a trade out of the open trip. A trip that the trade had ended stays as it was counted, for what followed
from it has happened; what is held again opens another, which begins with what the ended one had too much.
"""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NamedTuple

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import ZERO, Exact, divide
from tollgate_domain.fees import (
    NO_SHARE,
    Charge,
    RememberedShare,
    Share,
    charge_of,
    drop_share,
    find_share,
    given_back,
    keep_share,
    taken,
)
from tollgate_domain.instruments import notional
from tollgate_domain.portfolio import COST_PLACES, EMPTY, Holding, recall, remember, signed, trade, untrade, without


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


@dataclass(slots=True)
class RoundTrips:
    """The open trips of one account, by symbol."""

    open: dict[str, OpenTrip] = field(default_factory=dict)
    remembered: list[tuple[str, Exact]] = field(default_factory=list)
    """What the newest trades that made a position smaller have realized, oldest first."""
    shares: list[RememberedShare] = field(default_factory=list)
    """What holdings have borne of the newest fees in other currencies, oldest first."""

    def take_in(self, symbol: str, quantity: Decimal, mark: Decimal, now_us: int, *, perpetual: bool = False) -> None:
        """Open a trip for what was held at opening, at ``mark``; ``quantity`` is below zero for a short."""
        self.open[symbol] = OpenTrip(quantity, notional(mark, quantity), ZERO, now_us, perpetual)

    def apply(self, fill: Fill, now_us: int, *, stopped: bool = False, perpetual: bool = False) -> Booked:
        """Book one fill at tape time, which a stop has made if ``stopped``."""
        made, charge = fill.trade, charge_of(fill)
        trip = self.open.get(fill.symbol)
        before = EMPTY if trip is None else Holding(trip.quantity, trip.cost, perpetual)
        after, realized = trade(replace(before, perpetual=perpetual), signed(fill.side, made.quantity), made.price)
        remember(self.remembered, before, fill, realized)
        fee, aside = made.fee, None
        if charge is not None:
            bears = self._bears(charge, fill.symbol, after)
            share = NO_SHARE if bears.perpetual else taken(bears.quantity, bears.cost, charge)
            keep_share(self.shares, fill, share)
            after = without(after, share) if charge.symbol == fill.symbol else after
            fee, aside = self._charge(fill.symbol, charge, 1, share, now_us)
        booked = realized - fee
        if trip is not None and after.quantity * before.quantity > ZERO:
            trip.quantity, trip.cost, trip.result = after.quantity, after.cost, trip.result + booked
            return _booked(booked, None, aside)
        if trip is None:
            opened = OpenTrip(after.quantity, after.cost, booked, now_us, perpetual)
            return _booked(booked, self._keep(fill.symbol, opened, now_us, stopped=stopped), aside)
        # The part of the fee that belongs to what this fill opens; the rest belongs to what it has ended.
        opening_fee = divide(fee * abs(after.quantity), made.quantity, COST_PLACES)
        if after.quantity:
            self.open[fill.symbol] = OpenTrip(after.quantity, after.cost, -opening_fee, now_us, perpetual)
        else:
            del self.open[fill.symbol]
        result = trip.result + booked + opening_fee
        return _booked(booked, RoundTrip(fill.symbol, result, trip.opened_us, now_us, stopped), aside)

    def undo(self, bust: Bust, now_us: int, *, perpetual: bool = False) -> Booked:
        """Take one booked fill back at tape time; its result is what is then realized more, with the fee."""
        made, charge = bust.trade, charge_of(bust)
        trip = self.open.get(bust.symbol)
        before = EMPTY if trip is None else Holding(trip.quantity, trip.cost)
        before = replace(before, perpetual=perpetual)
        fee, aside = -made.fee, None
        if charge is not None:
            bears, known = self._bears(charge, bust.symbol, before), find_share(self.shares, bust)
            share = NO_SHARE if bears.perpetual else given_back(bears.quantity, bears.cost, charge, known)
            drop_share(self.shares, bust)
            before = without(before, share) if charge.symbol == bust.symbol else before
            fee, aside = self._charge(bust.symbol, charge, -1, share, now_us)
        quantity = signed(bust.side, made.quantity)
        after, realized = untrade(before, quantity, made.price, recall(self.remembered, bust))
        booked = realized - fee
        opened_us, result = (now_us, ZERO) if trip is None else (trip.opened_us, trip.result)
        left = OpenTrip(after.quantity, after.cost, result + booked, opened_us, perpetual)
        return _booked(booked, self._keep(bust.symbol, left, now_us, stopped=False), aside)

    def _bears(self, charge: Charge, symbol: str, own: Holding) -> Holding:
        """Return what is held of a fee's currency; ``own`` is what is held of the fill's own symbol."""
        if charge.symbol == symbol:
            return replace(EMPTY, perpetual=True) if own.perpetual else own
        trip = self.open.get(charge.symbol)
        return EMPTY if trip is None else Holding(trip.quantity, trip.cost, trip.perpetual)

    def _charge(
        self, symbol: str, charge: Charge, sign: int, share: Share, now_us: int
    ) -> tuple[Decimal, Aside | None]:
        """Return what a fee costs the trip of ``symbol``, and what it brings to the trip that bears it."""
        if charge.symbol == symbol or not share.quantity or charge.value is None:
            return share.cost, None
        value = sign * charge.value
        trip = self.open.get(charge.symbol) or OpenTrip(ZERO, ZERO, ZERO, now_us)
        trip.quantity, trip.cost = trip.quantity - share.quantity, trip.cost - share.cost
        trip.result += value - share.cost
        ended = self._keep(charge.symbol, trip, now_us, stopped=False)
        return value, Aside(charge.symbol, value - share.cost, ended)

    def _keep(self, symbol: str, trip: OpenTrip, now_us: int, *, stopped: bool) -> RoundTrip | None:
        """Keep a trip that holds anything; of one that holds nothing return how it ended, where it brought anything."""
        if trip.quantity:
            self.open[symbol] = trip
            return None
        self.open.pop(symbol, None)
        # A trip of which nothing is left has never been; one that had closed a part has brought what that part did.
        return RoundTrip(symbol, trip.result, trip.opened_us, now_us, stopped) if trip.result else None


def _booked(own: Decimal, ended: RoundTrip | None, aside: Aside | None) -> Booked:
    return Booked(own if aside is None else own + aside.result, ended, aside)
