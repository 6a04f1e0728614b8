"""One symbol: its book, what everyone may know of it, and the orders that stand outside the book.

Orders are matched while the instrument is open and at no other time. When it closes, what rested is taken out of
the book and collected; when it opens again, what was collected meets the market in the order of its coming. The
house's quotes go on meanwhile, as an indication; nothing trades.
"""

from collections import deque
from dataclasses import replace

from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.strategy import OrderType, Side
from tollgate_domain.matching import Book, Execution, NewOrder
from tollgate_simvenue.core.candles import Candles
from tollgate_simvenue.core.market import BookSnapshot, HouseTook, LevelsSet, MarketEvent, TopSet, TradePrinted
from tollgate_simvenue.core.model import Instrument, Order, PublicTrade, QuoteChanged
from tollgate_simvenue.core.settlement import OWNER
from tollgate_simvenue.core.stops import Stops

# Public trades that each symbol keeps for who asks by REST.
TRADES_KEPT = 500


class SymbolMarket:
    """The market in one symbol."""

    def __init__(self, instrument: Instrument, candle_interval_us: int, sequence: int) -> None:
        self.instrument = instrument
        self.book = Book()
        self.candles = Candles(instrument.symbol, candle_interval_us)
        self.trades: deque[PublicTrade] = deque(maxlen=TRADES_KEPT)
        self.quote: QuoteChanged | None = None
        self.sequence = sequence
        self.stops = Stops()
        self.collected: dict[str, Order] = {}
        """Open orders that would work if the instrument were open, in the order of their coming."""

    @property
    def is_open(self) -> bool:
        """Say whether orders are matched."""
        return self.instrument.status is InstrumentStatus.OPEN

    def set_status(self, status: InstrumentStatus) -> None:
        """Change what may be done with the instrument."""
        self.instrument = replace(self.instrument, status=status)

    def collect(self, order: Order) -> None:
        """Take an order out of the book, or keep it from it, until the instrument opens."""
        self.book.cancel(order.venue_order_id)
        self.collected[order.venue_order_id] = order

    def release_collected(self) -> list[Order]:
        """Return what was collected, and forget it."""
        orders = list(self.collected.values())
        self.collected.clear()
        return orders

    def drop(self, order: Order) -> None:
        """Take out an order that is over, wherever it stands."""
        self.book.cancel(order.venue_order_id)
        self.stops.drop(order)
        self.collected.pop(order.venue_order_id, None)

    def rests(self, order: Order) -> bool:
        """Say whether an open order can trade now."""
        waits = order.request.trigger_price is not None and not order.triggered
        return self.is_open and not waits

    def move(self, event: MarketEvent) -> tuple[Execution, ...]:
        """Let the house do something, and return what traded because of it."""
        trades = isinstance(event, TradePrinted | HouseTook)
        return () if trades and not self.is_open else _move(self.book, event)

    def new_quotes(self, now_us: int) -> list[QuoteChanged]:
        """Return the new quote where it differs from the last one said and both sides are there."""
        bid, ask = self.book.best(Side.BUY), self.book.best(Side.SELL)
        if bid is None or ask is None:
            return []
        last = self.quote
        if last is not None and (last.bid, last.bid_quantity) == bid and (last.ask, last.ask_quantity) == ask:
            return []
        self.sequence += 1
        self.quote = QuoteChanged(self.instrument.symbol, *bid, *ask, self.sequence, now_us)
        return [self.quote]


def book_order(order: Order) -> NewOrder:
    """Return what of an order can still trade, as the book takes it."""
    request = order.request
    limit_price = request.limit_price if request.order_type is OrderType.LIMIT else None
    return NewOrder(
        order.venue_order_id, OWNER, request.side, order.rest, limit_price, request.time_in_force, request.post_only
    )


def _move(book: Book, event: MarketEvent) -> tuple[Execution, ...]:
    match event:
        case TopSet(bid, bid_quantity, ask, ask_quantity):
            return book.set_top(Side.BUY, bid, bid_quantity) + book.set_top(Side.SELL, ask, ask_quantity)
        case LevelsSet(levels):
            executions: list[Execution] = []
            for side, price, quantity in levels:
                executions.extend(book.set_level(side, price, quantity))
            return tuple(executions)
        case TradePrinted(aggressor, price, quantity):
            return book.print_trade(aggressor, price, quantity)
        case HouseTook(aggressor, quantity):
            return book.house_order(aggressor, quantity, None)
        case BookSnapshot(bids, asks):
            book.clear_house(Side.BUY)
            book.clear_house(Side.SELL)
            levels = tuple((Side.BUY, *bid) for bid in bids) + tuple((Side.SELL, *ask) for ask in asks)
            return _move(book, LevelsSet(levels))
