"""The log of round trips: what each has bought and sold, brought and cost, from its first trade to its last.

``round_trips`` says when a trip begins and ends and what each trade has brought; here that is kept account of. For each
trip, open or ended, and so for any number of them together, exactly::

    gross == edge - slippage
    net == gross - fees + funding

Gross is what closing has realized over what opening has cost. Slippage is what the trades were worse than the prices at
which they were decided; edge is what the trip would have brought at these. The results of all trips together are what
all trades have brought, busts included: a trade that is taken back out of a trip that has ended, where it stays as it
was told, makes a trip of its own, which bears the difference.

A trip that has ended may have left a rest that nobody can sell. The next one begins with it, and with whatever a trade
or a fee has done to it meanwhile: so a trip may have a number, and trades, before the purchase that opens it.
"""

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from tollgate_contracts.execution import Bust, Fill, Liquidity
from tollgate_contracts.money import ZERO, Exact, divide, round_to_places
from tollgate_contracts.strategy import Side
from tollgate_domain.holdings import EMPTY, Holding, signed
from tollgate_domain.instruments import notional
from tollgate_domain.movements import Carried
from tollgate_domain.portfolio import COST_PLACES, Booking
from tollgate_domain.round_trips import NO_RULES, Booked, RoundTrips, Rules
from tollgate_domain.traces import name_of

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
    """Whether it began without a trade: it counts from the mark at which it was taken in, or the rate of what came."""
    is_begun: bool = True
    """Whether more is held than the rest of the one before."""
    closed_us: int | None = None
    """Null until it has ended."""
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
        trip = self._opened(symbol, Side.BUY, place, self._held(symbol))
        trip.found_open = True
        self._begun(trip, place)
        return trip

    def apply(
        self,
        fill: Fill,
        booking: Booking,
        cost: Cost,
        place: Place,
        *,
        stopped: bool = False,
        perpetual: bool = False,
        rules: Rules = NO_RULES,
    ) -> Travelled:
        """Count one fill, as the portfolio has booked it; ``stopped`` when a stop has made it."""
        made, before, rest = fill.trade, self.open.get(fill.symbol), self._held(fill.symbol)
        booked = self.trips.apply(fill, booking, place.now_us, stopped=stopped, perpetual=perpetual, rules=rules)
        gross = _own(booked) + cost.fees
        running = self.trips.open.get(fill.symbol)
        beside = self._aside(booked, place)
        if before is None or running is None or booked.ended is None or running.is_rest:
            trip = before or self._opened(fill.symbol, fill.side, place, rest)
            _count(trip, fill, made.quantity, cost, gross)
            self._remember(fill, trip, cost)
            opened = self._begun(trip, place)
            ended = self._ended(trip, place) if running is None or booked.ended is not None else ()
            return Travelled(booked.result, trip, (*beside, *ended), opened, cost)
        # It goes on to the other side: of what it cost, each of the two trips has the part of its quantity.
        onward = abs(running.quantity)
        slippage = divide(cost.slippage * onward, made.quantity, COST_PLACES)
        fees = divide(cost.fees * onward, made.quantity, COST_PLACES)
        theirs = cost._replace(slippage=slippage, fees=fees)
        ours = cost._replace(slippage=cost.slippage - slippage, fees=cost.fees - fees)
        _count(before, fill, made.quantity - onward, ours, gross - running.result - fees)
        ended = self._ended(before, place)
        trip = self._opened(fill.symbol, fill.side, place)
        self._begun(trip, place)
        _count(trip, fill, onward, theirs, running.result + fees)
        self._remember(fill, trip, cost)
        return Travelled(booked.result, trip, (*beside, *ended), trip, cost)

    def _aside(self, booked: Booked, place: Place) -> tuple[Trip, ...]:
        """Take what a fee has brought to the trip of another symbol into it; return it where that has ended it."""
        if booked.aside is None:
            return ()
        symbol, running = booked.aside.symbol, self.trips.open.get(booked.aside.symbol)
        trip = self.open.get(symbol) or self._opened(symbol, Side.BUY, place, self._held(symbol))
        trip.gross += booked.aside.result
        self._begun(trip, place)
        return self._ended(trip, place) if running is None or booked.aside.ended is not None else ()

    def trip_of(self, bust: Bust) -> int | None:
        """Return the number of the trip that has the trade which is taken back; none where that is not known."""
        found = self._remembered_of(bust)
        return None if found is None else found.trip

    def undo(
        self,
        bust: Bust,
        booking: Booking,
        place: Place,
        *,
        perpetual: bool = False,
        rules: Rules = NO_RULES,
    ) -> Travelled:
        """Take one booked fill back, as the portfolio has taken it back."""
        was = self._remembered_of(bust) or Remembered("", 0, bust.side, ZERO, None)
        self.remembered = deque(each for each in self.remembered if each is not was)
        cost = Cost(slippage=-was.slippage, fees=booking.fee, trigger=was.trigger)
        before = self.open.get(bust.symbol)
        booked = self.trips.undo(bust, booking, place.now_us, perpetual=perpetual, rules=rules)
        ended = self._aside(booked, place)
        is_in_before = before is not None and was.trip in {0, before.number}
        trip = before if is_in_before and before is not None else self._opened(bust.symbol, was.side, place, runs=False)
        _count(trip, bust, bust.trade.quantity, cost, _own(booked) + booking.fee)
        ended += () if trip is before else self._ended(trip, place)
        running = self.trips.open.get(bust.symbol)
        if running is None:
            ended += () if before is None else self._ended(before, place)
            return Travelled(booked.result, trip, ended, None, cost)
        if before is not None:
            return Travelled(booked.result, trip, ended, self._begun(before, place), cost)
        if running.is_rest:
            return Travelled(booked.result, trip, ended, None, cost)
        again = self._opened(bust.symbol, Side.BUY, place, self._held(bust.symbol))
        return Travelled(booked.result, trip, ended, self._begun(again, place), cost)

    def carry(self, carried: Carried, place: Place) -> Travelled:
        """Let so much of a spot symbol come or go without a trade."""
        before, held = self.open.get(carried.symbol), self._held(carried.symbol)
        booked = self.trips.carry(carried, place.now_us)
        trip = before or self._opened(carried.symbol, Side.BUY, place, held)
        trip.found_open |= before is None
        if carried.quantity > ZERO:
            trip.taken, trip.taken_for = trip.taken + carried.quantity, trip.taken_for + carried.value
        trip.gross += booked.result
        opened = self._begun(trip, place)
        ended = () if carried.symbol in self.trips.open else self._ended(trip, place)
        return Travelled(booked.result, trip, ended, opened, Cost())

    def fund(self, symbol: str | None, amount: Decimal) -> bool:
        """Take funding into the symbol's open trip; say whether there is one."""
        trip = None if symbol is None else self.open.get(symbol)
        if trip is None:
            return False
        trip.funding += amount
        return True

    def _held(self, symbol: str) -> Holding:
        """Return what the open trip of a symbol holds, or the rest of one that has ended."""
        running = self.trips.open.get(symbol)
        return EMPTY if running is None else Holding(running.quantity, running.cost)

    def _opened(self, symbol: str, side: Side, place: Place, held: Holding = EMPTY, *, runs: bool = True) -> Trip:
        """Open a trip that begins with what is ``held``, and by a trade of ``side`` where that is nothing."""
        self.count += 1
        if held.quantity:
            side = Side.BUY if held.quantity > ZERO else Side.SELL
        trip = Trip(self.count, symbol, side, place.now_us, place.sequence)
        trip.taken, trip.taken_for = held.quantity, held.cost
        if runs:
            trip.is_begun = False
            self.open[symbol] = trip
        return trip

    def _begun(self, trip: Trip, place: Place) -> Trip | None:
        """Let a trip begin as soon as it holds more than the rest of the one before; return it where it begins now."""
        running = self.trips.open.get(trip.symbol)
        if trip.is_begun or (running is not None and running.is_rest):
            return None
        trip.is_begun, trip.opened_us, trip.opened_sequence = True, place.now_us, place.sequence
        return trip

    def _ended(self, trip: Trip, place: Place) -> tuple[Trip, ...]:
        if self.open.get(trip.symbol) is trip:
            del self.open[trip.symbol]
        trip.closed_us, trip.closed_sequence = place.now_us, place.sequence
        return () if trip.is_nothing else (trip,)

    def _remember(self, fill: Fill, trip: Trip, cost: Cost) -> None:
        self.remembered.append(Remembered(name_of(fill), trip.number, trip.side, cost.slippage, cost.trigger))
        if len(self.remembered) > REMEMBERED_MAX:
            self.remembered.popleft()

    def _remembered_of(self, bust: Bust) -> Remembered | None:
        name = name_of(bust)
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
