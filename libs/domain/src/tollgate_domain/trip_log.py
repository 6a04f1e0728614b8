"""The log of round trips: what each has bought and sold, brought and cost, from its first trade to its last.

``round_trips`` says when a trip begins and ends and what each trade has brought; here that is kept account of. For each
trip, open or ended, and so for any number of them together, exactly::

    gross == edge - slippage
    net == gross - fees + funding

Gross is what closing has realized over what opening has cost. Slippage is what the trades were worse than the prices at
which they were decided; edge is what the trip would have brought at these. The results of all trips together are what
all trades have brought, busts included: a trade that is taken back out of a trip that has ended, where it stays as it
was told, makes a trip of its own, which bears the difference.
"""

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from tollgate_contracts.execution import Bust, Fill, Liquidity
from tollgate_contracts.money import ZERO, Exact, divide, round_to_places
from tollgate_contracts.strategy import Side
from tollgate_domain.instruments import notional
from tollgate_domain.portfolio import COST_PLACES, signed
from tollgate_domain.round_trips import Booked, RoundTrips

# A trip of more orders than this is told by their number.
ORDERS_MAX = 16
# A bust comes soon or never: of so many trades it is remembered of which trip they are and what they had slipped.
REMEMBERED_MAX = 256


class Place(NamedTuple):
    """Where on the tape something happens, and the tape's time there."""

    sequence: int
    now_us: int


@dataclass(slots=True)
class Trip:
    """One round trip so far; amounts in quote currency, quantities in base currency."""

    number: int
    """Counts the trips from 1, in the order in which they opened; one that came to nothing leaves a gap."""
    symbol: str
    side: Side
    """Of the trades that opened it: a buy for a long."""
    opened_us: int
    opened_sequence: int
    found_open: bool = False
    """Whether the position was there before: it counts from the mark at which it was taken in."""
    closed_us: int | None = None
    """Null while something is held."""
    closed_sequence: int | None = None
    orders: list[str] = field(default_factory=list)
    """Client order ids, in the order of their first fill; at most ``ORDERS_MAX``."""
    fills: int = 0
    taken: Exact = ZERO
    """Quantity that it began with without a trade of its own; below zero for a short."""
    taken_for: Exact = ZERO
    bought: Exact = ZERO
    sold: Exact = ZERO
    bought_for: Exact = ZERO
    sold_for: Exact = ZERO
    made: Exact = ZERO
    """What of the quantity traded made liquidity."""
    gross: Exact = ZERO
    slippage: Exact = ZERO
    """Above zero has cost us."""
    fees: Exact = ZERO
    """Above zero was paid by us."""
    foreign_fees: int = 0
    """Fills whose fee was taken in another currency at no known rate, and is not in ``fees``."""
    funding: Exact = ZERO
    """Above zero was received."""
    risked: Exact | None = None
    """What the stops of the orders that opened it would have lost at their triggers; null without one."""

    @property
    def edge(self) -> Decimal:
        """What it would have brought at the prices at which its trades were decided."""
        return self.gross + self.slippage

    @property
    def net(self) -> Decimal:
        """What it has brought after all."""
        return self.gross - self.fees + self.funding

    @property
    def is_nothing(self) -> bool:
        """Whether every trade of it was taken back, and it has neither brought nor cost anything."""
        return self.fills <= 0 and not (self.gross or self.slippage or self.fees or self.funding)

    @property
    def quantity(self) -> Decimal:
        """How much was opened in all."""
        return abs(self.taken) + (self.bought if self.side is Side.BUY else self.sold)

    @property
    def entry_price(self) -> Decimal | None:
        """Average at which it was opened, rounded to 18 places; none where nothing was."""
        entered_for = self.bought_for if self.side is Side.BUY else self.sold_for
        return _average(entered_for + abs(self.taken_for), self.quantity)

    @property
    def exit_price(self) -> Decimal | None:
        """Average at which it was closed so far, rounded to 18 places; none where nothing was."""
        closed, closed_for = (self.sold, self.sold_for) if self.side is Side.BUY else (self.bought, self.bought_for)
        return _average(closed_for, closed)

    @property
    def maker_share(self) -> Decimal:
        """The part of the quantity traded that made liquidity, from 0 to 1, rounded to 18 places."""
        return _average(self.made, self.bought + self.sold) or ZERO


class Cost(NamedTuple):
    """What one trade has cost beside its price, in quote currency, whatever its currency was."""

    slippage: Decimal = ZERO
    fees: Decimal = ZERO
    is_valued: bool = True
    """Whether the fee is known in quote currency; one that is not counts as zero here."""
    trigger: Decimal | None = None
    """Of a trade whose order had one, the price at which its protective stop would have worked."""


class Travelled(NamedTuple):
    """What one trade, or its bust, has done to the trips of its symbol."""

    result: Decimal
    """Realized more by it, less its fee."""
    trip: Trip
    """The one that has it: of a trade that ends one and opens the next, the next."""
    ended: tuple[Trip, ...]
    """Those that it has ended; one that came to nothing is not among them."""
    opened: Trip | None
    cost: Cost
    """What it has cost in all; of a bust with the signs turned."""


@dataclass(slots=True)
class Remembered:
    """Of a booked trade: which trip has it, and what it had slipped."""

    trade: str
    trip: int
    side: Side
    """Of the trip."""
    slippage: Exact
    trigger: Exact | None


@dataclass(slots=True)
class TripLog:
    """The open trips of one account, by symbol, with an account of each."""

    count: int = 0
    """How many have opened; the newest one's number."""
    trips: RoundTrips = field(default_factory=RoundTrips)
    open: dict[str, Trip] = field(default_factory=dict)
    remembered: deque[Remembered] = field(default_factory=deque)
    """The newest trades, oldest first."""

    def take_in(self, symbol: str, quantity: Decimal, mark: Decimal, place: Place) -> Trip:
        """Open a trip for what was held at opening, at ``mark``; ``quantity`` is below zero for a short."""
        self.trips.take_in(symbol, quantity, mark, place.now_us)
        trip = self._opened(symbol, Side.BUY if quantity > ZERO else Side.SELL, place)
        trip.found_open, trip.taken, trip.taken_for = True, quantity, notional(mark, quantity)
        return trip

    def apply(
        self, fill: Fill, cost: Cost, place: Place, *, stopped: bool = False, perpetual: bool = False
    ) -> Travelled:
        """Count one fill that the portfolio has taken; ``stopped`` when a stop has made it."""
        made, before = fill.trade, self.open.get(fill.symbol)
        booked = self.trips.apply(fill, place.now_us, stopped=stopped, perpetual=perpetual)
        gross = _own(booked) + cost.fees
        running = self.trips.open.get(fill.symbol)
        beside = self._aside(booked, fill, place)
        if before is None or running is None or booked.ended is None:
            trip = before or self._opened(fill.symbol, fill.side, place)
            _count(trip, fill, made.quantity, cost, gross)
            self._remember(fill, trip, cost)
            ended = self._ended(trip, place) if running is None else ()
            return Travelled(booked.result, trip, (*beside, *ended), trip if before is None else None, cost)
        # It goes on to the other side: of what it cost, each of the two trips has the part of its quantity.
        onward = abs(running.quantity)
        slippage = divide(cost.slippage * onward, made.quantity, COST_PLACES)
        fees = divide(cost.fees * onward, made.quantity, COST_PLACES)
        theirs = cost._replace(slippage=slippage, fees=fees)
        ours = cost._replace(slippage=cost.slippage - slippage, fees=cost.fees - fees)
        _count(before, fill, made.quantity - onward, ours, gross - running.result - fees)
        ended = self._ended(before, place)
        trip = self._opened(fill.symbol, fill.side, place)
        _count(trip, fill, onward, theirs, running.result + fees)
        self._remember(fill, trip, cost)
        return Travelled(booked.result, trip, (*beside, *ended), trip, cost)

    def _aside(self, booked: Booked, message: Fill | Bust, place: Place) -> tuple[Trip, ...]:
        """Take what a fee has brought to the trip of another symbol into it; return it where that has ended it."""
        if booked.aside is None:
            return ()
        symbol = booked.aside.symbol
        trip = self.open.get(symbol) or self._opened(symbol, message.side, place)
        trip.gross += booked.aside.result
        return () if symbol in self.trips.open else self._ended(trip, place)

    def trip_of(self, bust: Bust) -> int | None:
        """Return the number of the trip that has the trade which is taken back; none where that is not known."""
        found = self._remembered_of(bust)
        return None if found is None else found.trip

    def undo(self, bust: Bust, fees: Decimal, place: Place, *, perpetual: bool = False) -> Travelled:
        """Take one booked fill back; ``fees`` is what its fee was in quote currency."""
        was = self._remembered_of(bust) or Remembered("", 0, bust.side, ZERO, None)
        self.remembered = deque(each for each in self.remembered if each is not was)
        cost = Cost(slippage=-was.slippage, fees=-fees, trigger=was.trigger)
        before = self.open.get(bust.symbol)
        booked = self.trips.undo(bust, place.now_us, perpetual=perpetual)
        ended = self._aside(booked, bust, place)
        is_in_before = before is not None and was.trip in {0, before.number}
        trip = before if is_in_before and before is not None else self._opened(bust.symbol, was.side, place, runs=False)
        _count(trip, bust, bust.trade.quantity, cost, _own(booked) - fees)
        ended += () if trip is before else self._ended(trip, place)
        running = self.trips.open.get(bust.symbol)
        if running is None:
            ended += () if before is None else self._ended(before, place)
            return Travelled(booked.result, trip, ended, None, cost)
        opened = None
        if before is None:
            opened = self._opened(bust.symbol, Side.BUY if running.quantity > ZERO else Side.SELL, place)
            opened.taken, opened.taken_for = running.quantity, running.cost
        return Travelled(booked.result, trip, ended, opened, cost)

    def fund(self, symbol: str | None, amount: Decimal) -> bool:
        """Take funding into the symbol's open trip; say whether there is one."""
        trip = None if symbol is None else self.open.get(symbol)
        if trip is None:
            return False
        trip.funding += amount
        return True

    def _opened(self, symbol: str, side: Side, place: Place, *, runs: bool = True) -> Trip:
        self.count += 1
        trip = Trip(self.count, symbol, side, place.now_us, place.sequence)
        if runs:
            self.open[symbol] = trip
        return trip

    def _ended(self, trip: Trip, place: Place) -> tuple[Trip, ...]:
        if self.open.get(trip.symbol) is trip:
            del self.open[trip.symbol]
        trip.closed_us, trip.closed_sequence = place.now_us, place.sequence
        return () if trip.is_nothing else (trip,)

    def _remember(self, fill: Fill, trip: Trip, cost: Cost) -> None:
        name = f"{fill.symbol} {fill.trade.trade_id}"
        self.remembered.append(Remembered(name, trip.number, trip.side, cost.slippage, cost.trigger))
        if len(self.remembered) > REMEMBERED_MAX:
            self.remembered.popleft()

    def _remembered_of(self, bust: Bust) -> Remembered | None:
        name = f"{bust.symbol} {bust.trade.trade_id}"
        return next((each for each in self.remembered if each.trade == name), None)


def slipped(side: Side, quantity: Decimal, price: Decimal, reference: Decimal | None) -> Decimal:
    """Return what trading at ``price`` has cost against ``reference``, rounded half-even to 18 places.

    Zero without a reference; in quote currency, and below zero where the price was the better one.
    """
    if reference is None:
        return ZERO
    return round_to_places(notional(price - reference, signed(side, quantity)), COST_PLACES)


def _count(trip: Trip, message: Fill | Bust, quantity: Decimal, cost: Cost, gross: Decimal) -> None:
    """Count ``quantity`` of a trade into a trip, or of a bust out of it."""
    is_bust = isinstance(message, Bust)
    change = -quantity if is_bust else quantity
    value = notional(message.trade.price, change)
    trip.fills += -1 if is_bust else 1
    if not is_bust and message.client_order_id not in trip.orders and len(trip.orders) < ORDERS_MAX:
        trip.orders.append(message.client_order_id)
    if message.side is Side.BUY:
        trip.bought += change
        trip.bought_for += value
    else:
        trip.sold += change
        trip.sold_for += value
    if message.trade.liquidity is Liquidity.MAKER:
        trip.made += change
    trip.gross += gross
    trip.slippage += cost.slippage
    trip.fees += cost.fees
    if not cost.is_valued:
        trip.foreign_fees += -1 if is_bust else 1
    if cost.trigger is not None and message.side is trip.side:
        risk = signed(message.side, notional(message.trade.price - cost.trigger, change))
        trip.risked = (trip.risked or ZERO) + risk


def _own(booked: Booked) -> Decimal:
    """Return what a trade has brought to the trip of its own symbol."""
    return booked.result if booked.aside is None else booked.result - booked.aside.result


def _average(amount: Decimal, of: Decimal) -> Decimal | None:
    return divide(amount, of, COST_PLACES) if of else None
