"""The desk's round trips, followed beside the gate's own core as it is stepped over a tape."""

from decimal import Decimal
from typing import NamedTuple

from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import ZERO
from tollgate_contracts.reconciliation import Movement
from tollgate_domain.fees import charge_of, lacks_rate
from tollgate_domain.holdings import Holding
from tollgate_domain.portfolio import Portfolio
from tollgate_domain.trip_log import Cost, Place, Trip, TripLog
from tollgate_risk.core import RiskCore


class Before(NamedTuple):
    """What the gate knew before a message was stepped."""

    held: Decimal


class Travels:
    """Keeps the log of trips; call ``before`` and ``after`` around each step of the core."""

    def __init__(self, core: RiskCore) -> None:
        self._core = core
        self._log = TripLog()
        self._portfolio: Portfolio | None = None
        """What the core's is: it says what of a fee a holding has borne, which the core does not tell."""

    def before(self, sequence: int, message: Message) -> Before:
        """Take in what a trade is the first mark of, as the core is about to do, and say what is known before it."""
        portfolio = self._core.state.portfolio
        if portfolio is not None and isinstance(message, Movement):
            return self._before_movement(sequence, message, portfolio)
        if portfolio is None or not isinstance(message, Fill | Bust):
            return Before(ZERO)
        self._take_in(message.symbol, message.trade.price, sequence)
        charge = charge_of(message)
        if charge is not None and message.fee_rate is not None:
            self._take_in(charge.symbol, message.fee_rate, sequence)
        return Before(portfolio.holding(message.symbol).quantity)

    def after(self, sequence: int, message: Message, before: Before) -> tuple[Trip, ...]:
        """Follow what the core has taken and return the trips to which a fill belongs."""
        trips = self._follow(sequence, message, before) if isinstance(message, Fill | Bust) else ()
        if isinstance(message, Movement):
            self._carry(sequence, message, before)
        state = self._core.state
        if state.portfolio is not None and (self._portfolio is None or isinstance(message, Movement)):
            self._portfolio = Portfolio(state.portfolio.quote_currency)
            self._portfolio.restore(state.portfolio.snapshot())
        # Whatever the core has taken in meanwhile, it has taken in at the last quote.
        for symbol in [symbol for symbol in state.results.trips.open if symbol not in self._log.trips.open]:
            taken, quote = state.results.trips.open[symbol], state.quotes.get(symbol)
            if quote is not None:
                self._log.take_in(symbol, taken.quantity, quote.mark, Place(sequence, state.now_us))
        return trips

    def _before_movement(self, sequence: int, message: Movement, portfolio: Portfolio) -> Before:
        symbol = f"{message.currency}-{portfolio.quote_currency}"
        if message.rate is not None and portfolio.holding(symbol).quantity:
            self._take_in(symbol, message.rate, sequence)
        return Before(portfolio.holding(symbol).quantity)

    def _carry(self, sequence: int, message: Movement, before: Before) -> None:
        """Follow what has come of a holding, or gone, where the core has taken it and its trip is open."""
        state = self._core.state
        if state.portfolio is None or self._portfolio is None:
            return
        symbol = f"{message.currency}-{state.portfolio.quote_currency}"
        carried = self._portfolio.move(message)
        is_taken = state.portfolio.holding(symbol).quantity != before.held
        if carried is not None and carried.symbol and is_taken and symbol not in state.results.not_taken_in:
            self._log.carry(carried, Place(sequence, state.now_us))

    def _take_in(self, symbol: str, mark: Decimal, sequence: int) -> None:
        held = self._core.state.results.not_taken_in.get(symbol)
        if held is not None:
            self._log.take_in(symbol, held.quantity, mark, Place(sequence, self._core.state.now_us))

    def _follow(self, sequence: int, message: Fill | Bust, before: Before) -> tuple[Trip, ...]:
        state = self._core.state
        portfolio, place = state.portfolio, Place(sequence, state.now_us)
        if portfolio is None or self._portfolio is None or portfolio.holding(message.symbol).quantity == before.held:
            # The gate could not book it, and has said so.
            return ()
        perpetual, rules = state.is_perpetual(message.symbol), state.instruments
        if isinstance(message, Bust):
            booking = self._portfolio.undo(message, perpetual=perpetual)
            self._log.undo(message, booking, place, perpetual=perpetual, rules=rules)
            return ()
        booking = self._portfolio.apply(message, perpetual=perpetual)
        cost = Cost(fees=booking.fee, is_valued=not lacks_rate(message))
        travelled = self._log.apply(message, booking, cost, place, perpetual=perpetual, rules=rules)
        ended = tuple(trip for trip in travelled.ended if trip.symbol == message.symbol and trip is not travelled.trip)
        return (*ended, travelled.trip)

    def holding(self, symbol: str) -> Holding | None:
        """Return what the symbol's open trip holds, at what it was entered or taken in for; none where none is open."""
        trip = self._log.trips.open.get(symbol)
        return None if trip is None or trip.is_rest else Holding(trip.quantity, trip.cost, trip.perpetual)
