"""The trade log: what each trade has cost, what each round trip and each day has brought, and why; and the treasury.

It follows the whole tape, for the reasons of a trade lie long before it: the intent, the quote at which it was decided,
the stop's trigger. What it is told to have been booked it turns into rows; nothing in the books rests on them. The
split of what trading brings is risk's own arithmetic over the same tape, so the treasury here and there is one number.
"""

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Bust, Fill, Order, Refusal
from tollgate_contracts.marketdata import Instrument, Quote
from tollgate_contracts.money import EXACT, ZERO, Exact
from tollgate_contracts.reconciliation import Account, Movement, MovementType
from tollgate_contracts.risk import Decision
from tollgate_contracts.strategy import Intent, Purpose
from tollgate_domain.costs import CostModel
from tollgate_domain.fees import charge_of, lacks_rate
from tollgate_domain.instruments import InstrumentRules, notional
from tollgate_domain.movements import Carried
from tollgate_domain.portfolio import Booking, Portfolio
from tollgate_domain.treasury import Capital
from tollgate_domain.trip_log import Cost, Place, Travelled, Trip, TripLog, slipped
from tollgate_ledger.core.cost_rows import cost_row
from tollgate_ledger.core.days import DAY_US, Day, Moved, Worth, worth_of
from tollgate_ledger.core.fee_check import FeeCheck
from tollgate_ledger.core.journal import FUNDING, TRANSFERS, moved_to
from tollgate_ledger.core.motives import FLATTEN, PROTECTION, Mid, Motive, Motives
from tollgate_ledger.core.rows import EquityPoint, Row, TripEnded, TripTrigger
from tollgate_ledger.core.valuation import Valuation

# A bust comes soon or never: of so many trips that have ended it is remembered why they were opened.
_ENDED_MAX = 64
_HALF = Decimal("0.5")
_TRIGGERS = {
    Purpose.ENTRY.value: TripTrigger.SIGNAL,
    Purpose.EXIT.value: TripTrigger.SIGNAL,
    Purpose.STOP.value: TripTrigger.STOP,
    PROTECTION: TripTrigger.PROTECTION,
    FLATTEN: TripTrigger.FLATTEN,
}


class BooksView(NamedTuple):
    """The books as they are when something is said about them."""

    portfolio: Portfolio
    valuation: Valuation


@dataclass(frozen=True, slots=True)
class _Story:
    """Why a trip was opened, and what the books were worth before."""

    motive: Motive | None
    config_hash: str | None
    entry_order: str | None
    equity_before: Exact


@dataclass(slots=True)
class _State:
    """The whole memory; every field is a function of the tape so far."""

    now_us: int = 0
    """The highest time that any message on the tape has borne."""
    share_bps: Exact = ZERO
    """What of a profit goes to the treasury, by the last policy that could be read."""
    capital: Capital = field(default_factory=Capital)
    mids: dict[str, Mid] = field(default_factory=dict)
    motives: Motives = field(default_factory=Motives)
    instruments: dict[str, InstrumentRules] = field(default_factory=dict)
    not_taken_in: dict[str, Exact] = field(default_factory=dict)
    """What was held at opening, by symbol, as long as nobody has looked at a mark of it since."""
    log: TripLog = field(default_factory=TripLog)
    stories: dict[int, _Story] = field(default_factory=dict)
    """By the number of the trip: of open ones, and of the newest that have ended."""
    ended: list[int] = field(default_factory=list)
    """The newest trips that have ended, oldest first."""
    fee_check: FeeCheck = field(default_factory=FeeCheck)
    moved: Moved = field(default_factory=Moved)
    day: Day | None = None
    """None before the books are open."""
    point: int = 0
    """The tape sequence of the newest equity point."""


_STATE: TypeAdapter[_State] = TypeAdapter(_State)


class TradeLog:
    """Follows the tape and the books beside it; each call returns the rows that follow, in order."""

    def __init__(self) -> None:
        self._state = _State()

    @property
    def treasury(self) -> Decimal:
        """What of the cash belongs to the treasury, in quote currency; it never falls."""
        return self._state.capital.treasury

    def follow(self, sequence: int, message: Message, books: BooksView) -> list[Row]:
        """Take in the next message of the tape, before anything is booked because of it."""
        state = self._state
        rows = self._turn_day(sequence, message.ts_us // DAY_US, books)
        state.now_us = max(state.now_us, message.ts_us)
        match message:
            case Quote():
                for line in message.quotes:
                    state.mids[line.symbol] = Mid(EXACT.multiply(line.bid + line.ask, _HALF), sequence)
                return rows
            case Instrument():
                state.instruments[message.symbol] = InstrumentRules.of(message)
                return rows
            case Intent():
                state.motives.ask(message, state.mids.get(message.symbol))
            case Decision():
                state.motives.decide(message, state.mids.get(message.symbol))
            case Order():
                state.motives.follow(sequence, message)
            case Refusal():
                state.motives.refuse(message)
            case Account():
                state.fee_check.take(message)
            case _:
                pass
        return rows

    def govern(self, share_bps: Decimal) -> None:
        """Take in what of a profit goes to the treasury from here on."""
        self._state.share_bps = share_bps

    def opened(self, books: BooksView) -> None:
        """Begin with what the books were opened with."""
        state = self._state
        state.capital = Capital(trading=books.portfolio.cash)
        state.not_taken_in = {symbol: holding.quantity for symbol, holding in books.portfolio.holdings().items()}
        state.day = Day.begin(state.now_us // DAY_US, self._worth(books), state.moved)

    @property
    def marks(self) -> dict[str, Decimal]:
        """The mids of the last quotes, by symbol."""
        return {symbol: mid.price for symbol, mid in self._state.mids.items()}

    def look(self, sequence: int, books: BooksView, marks: dict[str, Decimal] | None = None) -> None:
        """Take in what was held at opening and has a mark by now; the marks are those of now, where none are named.

        Risk looks when the account opens, at a clock, at a policy and when money has moved, and never at a quote.
        """
        if self._state.not_taken_in:
            marks = self.marks if marks is None else marks
            for symbol in sorted(marks.keys() & self._state.not_taken_in.keys()):
                self._take_in(symbol, marks[symbol], sequence, books)

    def _take_in(self, symbol: str, mark: Decimal, sequence: int, books: BooksView) -> None:
        state, quantity = self._state, self._state.not_taken_in.pop(symbol)
        trip = state.log.take_in(symbol, quantity, mark, Place(sequence, state.now_us))
        state.stories[trip.number] = _Story(None, None, None, books.valuation.equity)
        value = notional(mark, quantity)
        state.capital = state.capital.contribute(value)
        state.moved.take(TRANSFERS, value)

    def _take_in_of(self, sequence: int, message: Fill | Bust, books: BooksView) -> None:
        """Take in what is held of a trade's symbol and of its fee's currency, at what the trade says of their worth."""
        if message.symbol in self._state.not_taken_in:
            self._take_in(message.symbol, message.trade.price, sequence, books)
        charge = charge_of(message)
        if charge is not None and charge.symbol in self._state.not_taken_in and message.fee_rate is not None:
            self._take_in(charge.symbol, message.fee_rate, sequence, books)

    def booked(
        self,
        sequence: int,
        message: Fill | Bust,
        booking: Booking,
        equity_before: Decimal,
        books: BooksView,
        venue: str,
        costs: CostModel,
    ) -> list[Row]:
        """Take in a fill or a bust that is booked; its fee is held against that of ``costs``."""
        state, motive, fees = self._state, self._state.motives.of(message.client_order_id), booking.fee
        self._take_in_of(sequence, message, books)
        of = None if isinstance(message, Fill) else state.log.trip_of(message)
        travelled = self._travel(message, booking, motive, Place(sequence, state.now_us))
        origin = state.stories.get(of) if of is not None else None
        self._tell_why(travelled, message, motive, origin, equity_before)
        state.capital = state.capital.book(travelled.result, state.share_bps).contribute(booking.brought_in)
        state.moved.take(TRANSFERS, booking.brought_in)
        if state.day is not None:
            state.day.gross += travelled.result + fees
            state.day.slippage += travelled.cost.slippage
            state.day.fees += fees
        rows: list[Row] = [cost_row(sequence, message, motive, travelled, state.fee_check, costs)]
        trigger = TripTrigger.UNKNOWN if motive is None else _TRIGGERS[motive.purpose]
        trigger = TripTrigger.BUST if isinstance(message, Bust) else trigger
        rows += [self._ended(trip, trigger, message.client_order_id, books, venue) for trip in travelled.ended]
        if isinstance(message, Bust):
            # A trip that came to nothing has no row, and no story either.
            open_now = {trip.number for trip in state.log.open.values()}
            for number in [number for number in state.stories if number not in {*open_now, *state.ended}]:
                del state.stories[number]
        return rows

    def _travel(self, message: Fill | Bust, booking: Booking, motive: Motive | None, place: Place) -> Travelled:
        log, rules = self._state.log, self._state.instruments
        if isinstance(message, Bust):
            return log.undo(message, booking, place, rules=rules)
        made, reference = message.trade, None if motive is None else motive.reference_price
        cost = Cost(
            slippage=slipped(message.side, made.quantity, made.price, reference),
            fees=booking.fee,
            is_valued=not lacks_rate(message),
            trigger=None if motive is None else motive.protection,
        )
        stopped = motive is not None and motive.purpose == Purpose.STOP.value
        return log.apply(message, booking, cost, place, stopped=stopped, rules=rules)

    def _tell_why(
        self,
        travelled: Travelled,
        message: Fill | Bust,
        motive: Motive | None,
        origin: _Story | None,
        equity_before: Decimal,
    ) -> None:
        """Keep the story of each trip that is new; one that a bust has made has that of the trip it is about."""
        stories = self._state.stories
        for trip in (*travelled.ended, *((travelled.opened,) if travelled.opened else ())):
            if trip.number in stories:
                continue
            if isinstance(message, Fill):
                story = _Story(motive, message.config_hash, message.client_order_id, equity_before)
            elif origin is not None:
                story = _Story(origin.motive, origin.config_hash, origin.entry_order, equity_before)
            else:
                story = _Story(None, None, None, equity_before)
            stories[trip.number] = story

    def _ended(
        self, trip: Trip, trigger: TripTrigger, exit_order: str | None, books: BooksView, venue: str
    ) -> TripEnded:
        state = self._state
        story = state.stories.get(trip.number) or _Story(None, None, None, books.valuation.equity)
        state.ended.append(trip.number)
        while len(state.ended) > _ENDED_MAX:
            state.stories.pop(state.ended.pop(0), None)
        why = story.motive
        return TripEnded(
            number=trip.number,
            symbol=trip.symbol,
            venue=venue,
            side=trip.side.value,
            opened_us=trip.opened_us,
            closed_us=state.now_us,
            opened_sequence=trip.opened_sequence,
            closed_sequence=trip.closed_sequence or 0,
            entry_price=trip.entry_price,
            exit_price=trip.exit_price,
            quantity=trip.quantity,
            fills=trip.fills,
            gross=trip.gross,
            edge=trip.edge,
            slippage=trip.slippage,
            fees=trip.fees,
            funding=trip.funding,
            net=trip.net,
            risked=trip.risked,
            trigger=trigger,
            signal=why.signal if why else None,
            regime=why.regime if why else None,
            tier=why.tier if why else None,
            strength=why.strength if why else None,
            confidence=why.confidence if why else None,
            strategy=why.strategy if why else None,
            cycle_id=why.cycle_id if why else None,
            config_hash=story.config_hash,
            equity_before=story.equity_before,
            equity_after=books.valuation.equity,
            maker_share=trip.maker_share,
            entry_order=story.entry_order,
            exit_order=exit_order,
            found_open=trip.found_open,
        )

    def transferred(self, movement: Movement, carried: Carried) -> Decimal:
        """Return how much of what a movement is worth is neither won nor lost; reads only."""
        return self._state.capital.move(movement.movement, carried.value, ZERO)[1]

    def moved(
        self, sequence: int, movement: Movement, carried: Carried, equity_before: Decimal, books: BooksView, venue: str
    ) -> list[Row]:
        """Take in a movement that is booked, and what the portfolio has made of it."""
        state, account = self._state, moved_to(movement.movement)
        travelled = self._carry(sequence, movement, carried, equity_before, books)
        realized = ZERO if travelled is None else travelled.result
        state.capital, _ = state.capital.move(movement.movement, carried.value, state.share_bps, realized)
        if account == FUNDING:
            state.log.fund(movement.symbol, carried.value)
        state.moved.take(account, carried.value)
        if state.day is not None:
            state.day.gross += realized
        ended = () if travelled is None else travelled.ended
        return [self._ended(trip, TripTrigger.MOVEMENT, None, books, venue) for trip in ended]

    def _carry(
        self, sequence: int, movement: Movement, carried: Carried, equity_before: Decimal, books: BooksView
    ) -> Travelled | None:
        """Take what came of a position, or went, into its trip; none where it has none, and did not get one."""
        state, symbol = self._state, carried.symbol
        if not symbol:
            return None
        if symbol in state.not_taken_in:
            if movement.rate is None:
                left = state.not_taken_in.pop(symbol) + carried.quantity
                state.not_taken_in.update({symbol: left} if left else {})
                return None
            self._take_in(symbol, movement.rate, sequence, books)
        travelled = state.log.carry(carried, Place(sequence, state.now_us))
        if travelled.opened is not None:
            state.stories[travelled.opened.number] = _Story(None, None, None, equity_before)
        return travelled

    def renamed(self, account: str, booked_as: MovementType, amount: Decimal) -> None:
        """Take in that so much of the quote currency is not what ``account`` says, but what ``booked_as`` names.

        The treasury keeps what it has been given: it never falls.
        """
        self._state.moved.take(account, -amount)
        self._state.moved.take(moved_to(booked_as), amount)

    def point(self, sequence: int, ts_us: int, books: BooksView) -> EquityPoint:
        """Return what the books are worth after ``sequence``."""
        portfolio, valuation = books
        worth, moved = self._worth(books), self._state.moved
        self._state.point = sequence
        cost = sum((holding.cost for holding in portfolio.holdings().values()), ZERO)
        return EquityPoint(
            ts_us=ts_us,
            tape_sequence=sequence,
            equity=valuation.equity,
            cash=portfolio.cash,
            cost=cost,
            unrealized=valuation.equity - portfolio.cash - cost,
            realized=portfolio.realized,
            fees=portfolio.fees,
            moved=portfolio.moved,
            funding=moved.funding,
            peak=valuation.peak,
            drawdown=valuation.drawdown,
            exposure=worth.exposure,
            treasury=self.treasury,
            transfers=moved.transfers + worth.pending,
            charges=moved.charges,
            other=moved.other,
        )

    def _worth(self, books: BooksView) -> Worth:
        return worth_of(books.portfolio, books.valuation, self._state.log.trips)

    def _turn_day(self, sequence: int, number: int, books: BooksView) -> list[Row]:
        """Close the day when the tape has passed its end; a day on which nothing was said has no row."""
        state = self._state
        if state.day is None or number <= state.day.number:
            return []
        worth = self._worth(books)
        rows: list[Row] = [state.day.closed(worth, state.moved)]
        if state.point < sequence - 1:
            ends_us = (state.day.number + 1) * DAY_US
            rows.append(self.point(sequence - 1, ends_us - 1, books))
        state.day = Day.begin(number, worth, state.moved)
        return rows

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state as JSON-ready values."""
        state: dict[str, Any] = _STATE.dump_python(self._state, mode="json")
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        # By way of JSON text, because strict models take tuples and enums only from there.
        self._state = _STATE.validate_json(json.dumps(state))
        self._state.motives.in_order()
