"""What trading has brought: the day's loss, the peak, streaks of losses, and what belongs to the treasury.

The law of this module: results change with fills, busts, movements, the clock, the account that opens them and a
policy, and with nothing else. Equity is cash and holdings at their marks. While a mark is missing it is not known: the
day and the peak then wait, and what was known last stands. A day is one of UTC by tape time, and opens at the first
moment of it at which equity is known. A policy whose revision is higher than any before begins the peak, the streaks
and the win rate anew; the day's loss it leaves alone, and so the times of the last outcomes.

Money that is transferred is neither won nor lost, in cash or in kind: the day's opening and the peak move with it. What
it brought over its cost is realized. Funding, dust, fees and rebates are results, and what nobody can explain is one as
far as it is missing in sum. A bust takes a trade's result back; a trip that it had ended stays counted as it was.
"""

from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import ZERO, Exact, divide
from tollgate_contracts.reconciliation import Movement
from tollgate_domain.fees import charge_of
from tollgate_domain.movements import Carried
from tollgate_domain.portfolio import Booking, Portfolio
from tollgate_domain.round_trips import Booked, RoundTrip, RoundTrips
from tollgate_domain.treasury import Capital
from tollgate_risk.core.policy import LossRules, PolicyRules

if TYPE_CHECKING:
    from tollgate_risk.core.state import RiskState

_BPS = Decimal(10_000)
_BPS_PLACES = 4
_DAY_US = 86_400_000_000
_MS = 1_000
# The largest number of trips that a policy may take the win rate of.
_OUTCOMES_MAX = 1_000


@dataclass(slots=True)
class Streak:
    """Losing round trips in a row."""

    losses: int = 0
    last_us: int = 0
    """When the last of them ended."""

    def count(self, trip: RoundTrip) -> None:
        """Take one more in; any that has not lost ends the streak."""
        self.losses = self.losses + 1 if trip.result < ZERO else 0
        self.last_us = trip.closed_us

    def now(self, limit: int, pause_ms: int, now_us: int) -> int:
        """Return how many count now: from ``limit`` on they pause entries, and none counts once the pause is over."""
        return 0 if self.losses >= limit and now_us >= self.pause_ends_us(pause_ms) else self.losses

    def pause_ends_us(self, pause_ms: int) -> int:
        """Return when a pause of this length is over; it runs from the last loss."""
        return self.last_us + pause_ms * _MS

    def paused_until_us(self, limit: int, pause_ms: int) -> int | None:
        """Return when the pause that the streak has led to is over; none while it has led to none."""
        return self.pause_ends_us(pause_ms) if self.losses >= limit else None


@dataclass(slots=True)
class SymbolResults:
    """What the round trips in one symbol have brought; times are when a trip ended, none where there was none."""

    streak: Streak = field(default_factory=Streak)
    last_win_us: int | None = None
    last_loss_us: int | None = None
    last_stop_us: int | None = None
    """Of the last that a stop has ended, whether it had won or lost."""

    def count(self, trip: RoundTrip) -> None:
        """Take one more in."""
        self.streak.count(trip)
        if trip.result > ZERO:
            self.last_win_us = trip.closed_us
        elif trip.result < ZERO:
            self.last_loss_us = trip.closed_us
        if trip.stopped:
            self.last_stop_us = trip.closed_us


# Only ever read.
_NO_TRIPS = SymbolResults()


@dataclass(slots=True)
class TripCounts:
    """How many round trips have ended how, since the tape began; one that brought exactly nothing is neither."""

    ended: int = 0
    won: int = 0
    lost: int = 0
    stopped: int = 0


@dataclass(frozen=True, slots=True)
class HeldBefore:
    """What the account held of a symbol at opening; its cost is that of a perpetual, and zero for spot."""

    quantity: Exact
    cost: Exact
    perpetual: bool = False


@dataclass(slots=True)
class Results:
    """What trading has brought, in quote currency where nothing else is said."""

    revision: int = 0
    """The highest of any policy so far; zero before the first."""
    share_bps: Exact = ZERO
    """What of a profit goes to the treasury, by the last policy that could be read."""
    day: int = -1
    """The UTC day that counts, since the epoch; -1 before the first."""
    day_opening: Exact | None = None
    """Equity when it was first known on that day."""
    equity: Exact | None = None
    """As it was last known, at a fill, the clock, an account or a policy."""
    peak: Exact | None = None
    """The highest equity."""
    capital: Capital = field(default_factory=Capital)
    """Split between trading and the treasury; by realized results, net of fees, booked with each fill."""
    trips: RoundTrips = field(default_factory=RoundTrips)
    not_taken_in: dict[str, HeldBefore] = field(default_factory=dict)
    """What the account held at opening, by symbol, as long as it had no mark since."""
    streak: Streak = field(default_factory=Streak)
    by_symbol: dict[str, SymbolResults] = field(default_factory=dict)
    outcomes: list[bool] = field(default_factory=list)
    """Whether each of the last round trips has won, oldest first."""
    counts: TripCounts = field(default_factory=TripCounts)

    @property
    def daily_loss(self) -> Decimal | None:
        """Loss since the day began, open and closed positions together, at the equity last known.

        Zero on a day of profit; none before equity is known on that day.
        """
        return self.daily_loss_at(None)

    @property
    def drawdown_bps(self) -> Decimal | None:
        """Fall from the peak to the equity last known, in basis points of the peak, rounded up to four places.

        None before equity is known, and without a peak above zero.
        """
        return self.drawdown_bps_at(None)

    @property
    def consecutive_losses(self) -> int:
        """Losing round trips in a row, over all symbols; begins anew when the pause that it has led to is over."""
        return self.streak.losses

    def win_rate_bps(self, trips: int) -> Decimal | None:
        """Return the winning ones among the last ``trips`` round trips, at most 1,000; none with fewer than that."""
        if len(self.outcomes) < trips:
            return None
        return divide(sum(self.outcomes[-trips:]) * _BPS, Decimal(trips), _BPS_PLACES)

    def daily_loss_at(self, equity: Decimal | None) -> Decimal | None:
        """Return the day's loss at ``equity``, or where that is none at the equity last known."""
        equity = self.equity if equity is None else equity
        if self.day_opening is None or equity is None:
            return None
        return max(self.day_opening - equity, ZERO)

    def drawdown_bps_at(self, equity: Decimal | None) -> Decimal | None:
        """Return the fall from the peak at ``equity``, or where that is none at the equity last known."""
        equity = self.equity if equity is None else equity
        if self.peak is None or equity is None or self.peak <= ZERO:
            return None
        return divide(max(self.peak - equity, ZERO) * _BPS, self.peak, _BPS_PLACES, ROUND_CEILING)

    def of(self, symbol: str) -> SymbolResults:
        """Return the results in one symbol; where no trip has ended there are none yet."""
        return self.by_symbol.get(symbol, _NO_TRIPS)

    def take_policy(self, rules: PolicyRules) -> None:
        """Follow a policy that could be read; a higher revision than any before begins counts anew."""
        self.share_bps = rules.cash.treasury_share_bps
        if rules.revision <= self.revision:
            return
        self.revision = rules.revision
        self.peak = None
        self.streak = Streak()
        for results in self.by_symbol.values():
            results.streak = Streak()
        self.outcomes.clear()

    def begin(self, portfolio: Portfolio) -> None:
        """Begin with what the account opens with: cash, and holdings that are taken in at their first marks."""
        self.capital = Capital(trading=portfolio.cash)
        self.not_taken_in = {
            symbol: HeldBefore(holding.quantity, holding.cost, holding.perpetual)
            for symbol, holding in portfolio.holdings().items()
        }

    def book(self, state: "RiskState", fill: Fill, booking: Booking, *, stopped: bool) -> None:
        """Book a fill as the portfolio has booked it; ``stopped`` when a stop has made it."""
        self._take_in_of(fill, state.now_us)
        if state.policy is not None:
            self._end_pauses(state.policy.rules.loss, state.now_us)
        perpetual, rules = state.is_perpetual(fill.symbol), state.instruments
        booked = self.trips.apply(fill, booking, state.now_us, stopped=stopped, perpetual=perpetual, rules=rules)
        self._book(booked, booking.brought_in)

    def undo(self, state: "RiskState", bust: Bust, booking: Booking) -> None:
        """Take back a fill as the portfolio has taken it back."""
        self._take_in_of(bust, state.now_us)
        perpetual, rules = state.is_perpetual(bust.symbol), state.instruments
        self._book(self.trips.undo(bust, booking, state.now_us, perpetual=perpetual, rules=rules), booking.brought_in)

    def _book(self, booked: Booked, brought_in: Decimal) -> None:
        """Take in what a trade has brought, and what was brought in beside it to pay its fee."""
        self.capital = self.capital.book(booked.result, self.share_bps).contribute(brought_in)
        self.day_opening = None if self.day_opening is None else self.day_opening + brought_in
        self.peak = None if self.peak is None else self.peak + brought_in
        for ended in (booked.ended, booked.aside and booked.aside.ended):
            if ended is not None:
                self._count(ended)

    def move(self, movement: Movement, carried: Carried, now_us: int) -> None:
        """Take in a movement, and what the portfolio has made of it: cash, or so much of a spot holding."""
        realized = self._carry(movement, carried, now_us)
        self.capital, transferred = self.capital.move(movement.movement, carried.value, self.share_bps, realized)
        self.equity = None if self.equity is None else self.equity + transferred
        self.day_opening = None if self.day_opening is None else self.day_opening + transferred
        self.peak = None if self.peak is None else self.peak + transferred

    def _carry(self, movement: Movement, carried: Carried, now_us: int) -> Decimal:
        """Take what came of a holding, or went, into its trip; return what that has brought."""
        symbol = carried.symbol
        if not symbol:
            return ZERO
        if symbol in self.not_taken_in and movement.rate is None:
            left = self.not_taken_in.pop(symbol)
            if left.quantity + carried.quantity:
                self.not_taken_in[symbol] = replace(left, quantity=left.quantity + carried.quantity)
            return ZERO
        if symbol in self.not_taken_in and movement.rate is not None:
            self._take_in(symbol, movement.rate, now_us)
        booked = self.trips.carry(carried, now_us)
        if booked.ended is not None:
            self._count(booked.ended)
        return booked.result

    def watch(self, state: "RiskState") -> None:
        """Bring day, peak and pauses to where the state is now."""
        for symbol in [symbol for symbol in self.not_taken_in if symbol in state.quotes]:
            self._take_in(symbol, state.quotes[symbol].mark, state.now_us)
        if state.policy is not None:
            self._end_pauses(state.policy.rules.loss, state.now_us)
        day = state.now_us // _DAY_US
        if day != self.day:
            self.day, self.day_opening = day, None
        equity = state.equity()
        if equity is None:
            return
        self.equity = equity
        self.day_opening = equity if self.day_opening is None else self.day_opening
        self.peak = equity if self.peak is None else max(self.peak, equity)

    def _take_in_of(self, message: Fill | Bust, now_us: int) -> None:
        """Take in what is held of a trade's symbol and of its fee's currency, at what the trade says of their worth."""
        if message.symbol in self.not_taken_in:
            self._take_in(message.symbol, message.trade.price, now_us)
        charge = charge_of(message)
        if charge is not None and charge.symbol in self.not_taken_in and message.fee_rate is not None:
            self._take_in(charge.symbol, message.fee_rate, now_us)

    def _take_in(self, symbol: str, mark: Decimal, now_us: int) -> None:
        held = self.not_taken_in.pop(symbol)
        self.trips.take_in(symbol, held.quantity, mark, now_us, perpetual=held.perpetual)
        self.capital = self.capital.contribute(held.quantity * mark - held.cost)

    def _count(self, trip: RoundTrip) -> None:
        won = trip.result > ZERO
        self.counts.ended += 1
        self.counts.won += won
        self.counts.lost += trip.result < ZERO
        self.counts.stopped += trip.stopped
        self.outcomes.append(won)
        del self.outcomes[:-_OUTCOMES_MAX]
        self.streak.count(trip)
        self.by_symbol.setdefault(trip.symbol, SymbolResults()).count(trip)

    def _end_pauses(self, rules: LossRules, now_us: int) -> None:
        self.streak.losses = self.streak.now(rules.consecutive, rules.consecutive_pause_ms, now_us)
        for results in self.by_symbol.values():
            streak = results.streak
            streak.losses = streak.now(rules.symbol_consecutive, rules.symbol_lockout_ms, now_us)
