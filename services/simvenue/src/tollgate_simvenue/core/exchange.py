"""The exchange: one account's orders against the house, in every symbol of the instruments table.

The law of this module: every call is given the time, changes the state, and returns what happened as events, in
the order in which it happened. The shell stores and sends events; it never changes the state.
"""

from collections.abc import Iterable
from dataclasses import replace

from tollgate_contracts.execution import Liquidity
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.reconciliation import MovementType
from tollgate_contracts.strategy import Side
from tollgate_domain.matching import Execution, Outcome, Result, opposite
from tollgate_simvenue.core.account import Account
from tollgate_simvenue.core.books import SymbolMarket, book_order
from tollgate_simvenue.core.checks import check
from tollgate_simvenue.core.fees import FeeSchedule
from tollgate_simvenue.core.flavours import Duplicates, Manners
from tollgate_simvenue.core.market import MarketEvent
from tollgate_simvenue.core.model import (
    Bust,
    CandleClosed,
    Event,
    Instrument,
    InstrumentChanged,
    MoneyMoved,
    Movement,
    Order,
    OrderBusted,
    OrderChanged,
    OrderFilled,
    OrderReason,
    OrderRequest,
    OrderStatus,
    PublicTrade,
    QuoteChanged,
    Refusal,
    Refused,
)
from tollgate_simvenue.core.registry import Registry
from tollgate_simvenue.core.settlement import Settlement, spends
from tollgate_simvenue.core.timers import Due, Purpose, Timers

_STATUS = {
    Outcome.RESTING: OrderStatus.OPEN,
    Outcome.FILLED: OrderStatus.FILLED,
    Outcome.CANCELLED: OrderStatus.CANCELLED,
    Outcome.REJECTED: OrderStatus.REJECTED,
}
_ENDS = {
    Purpose.EXPIRE: (OrderStatus.EXPIRED, OrderReason.GOOD_UNTIL),
    Purpose.CANCEL: (OrderStatus.CANCELLED, OrderReason.USER),
}


class Exchange:
    """The whole exchange; ``session`` numbers its starts, so that no id is ever given twice."""

    def __init__(
        self,
        instruments: Iterable[Instrument],
        account: Account,
        fees: FeeSchedule,
        *,
        candle_interval_us: int,
        session: int,
        opened_us: int,
        known_ids: Iterable[str] = (),
        fill_sequence: int = 0,
        movement_sequence: int = 0,
        manners: Manners | None = None,
    ) -> None:
        # Quotes are numbered from the microsecond of opening: higher than in any session before.
        self._markets = {
            instrument.symbol: SymbolMarket(instrument, candle_interval_us, opened_us) for instrument in instruments
        }
        self.account = account
        self.fees = fees
        self.manners = manners or Manners()
        self.fill_sequence = fill_sequence
        self.movement_sequence = movement_sequence
        self._session = session
        self._orders_registered = 0
        self._trades_made = 0
        self._known_ids = set(known_ids)
        # What was cancelled by the start itself has changed at its very microsecond, and is in the store.
        self._orders = Registry(opened_us + 1)
        self._settlement = Settlement(account, fees, self._markets)
        self._timers = Timers()

    @property
    def next_due_us(self) -> int | None:
        """Return when the clock alone will change something, or null."""
        return self._timers.next_us

    @property
    def remembers_from_us(self) -> int:
        """Return since when every change of an order is in memory."""
        return self._orders.remembers_from_us

    def instruments(self) -> list[Instrument]:
        """Return the instruments in the order of the table."""
        return [market.instrument for market in self._markets.values()]

    def knows(self, symbol: str) -> bool:
        """Say whether ``symbol`` is traded here."""
        return symbol in self._markets

    def quote(self, symbol: str) -> QuoteChanged | None:
        """Return the newest quote, or null before the first."""
        return self._markets[symbol].quote

    def depth(self, symbol: str, levels: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return bids and asks as (price, quantity), best first."""
        book = self._markets[symbol].book
        return book.depth(Side.BUY, levels), book.depth(Side.SELL, levels)

    def sequence(self, symbol: str) -> int:
        """Return the number of the newest quote."""
        return self._markets[symbol].sequence

    def trades(self, symbol: str) -> list[PublicTrade]:
        """Return the newest public trades, oldest first."""
        return list(self._markets[symbol].trades)

    def candles(self, symbol: str) -> list[CandleClosed]:
        """Return the newest closed candles, oldest first."""
        closed = self._markets[symbol].candles.closed
        return [CandleClosed(candle, candle.open_us + candle.interval_us) for candle in closed]

    def order(self, client_order_id: str) -> Order | None:
        """Return an open or lately finished order; the newest where several have the id."""
        return self._orders.by_client(self.manners.client_order_id(client_order_id))

    def order_of_venue_id(self, venue_order_id: str) -> Order | None:
        """Return an open or lately finished order by the exchange's own id."""
        return self._orders.by_venue(venue_order_id)

    def open_orders(self) -> list[Order]:
        """Return every open order, oldest first."""
        return list(self._orders.open.values())

    def changed_since(self, since_us: int) -> list[Order]:
        """Return orders that changed at or after ``since_us``, oldest change first; see ``remembers_from_us``."""
        return self._orders.changed_since(since_us)

    def place(self, request: OrderRequest, now_us: int) -> tuple[Order | Refused, list[Event]]:
        """Register and match an order, or refuse it; a refused request leaves no trace."""
        if self.manners.lowers_ids:
            request = replace(request, client_order_id=self.manners.client_order_id(request.client_order_id))
        if request.client_order_id in self._known_ids and self.manners.duplicates is not Duplicates.ACCEPTED:
            return self._duplicate(request), []
        market = self._markets.get(request.symbol)
        if market is None:
            return Refused(Refusal.UNKNOWN_SYMBOL, f"{request.symbol} is not traded here", "symbol"), []
        events = self.advance(now_us)
        best = market.book.best(opposite(request.side))
        refused = check(request, market.instrument, best[0] if best else None)
        if refused is not None:
            return refused, events
        self._orders_registered += 1
        order = Order(request, f"{self._session}-{self._orders_registered}", OrderStatus.OPEN, now_us)
        self._known_ids.add(request.client_order_id)
        self._orders.add(order)
        if not self._settlement.lock(order, market.instrument, market.book):
            return order, [*events, self._finish(order, OrderStatus.REJECTED, OrderReason.INSUFFICIENT_BALANCE, now_us)]
        self._orders.open[order.venue_order_id] = order
        events.extend(self._take_up(order, market, now_us))
        return order, events

    def cancel(self, client_order_id: str, now_us: int) -> list[Event]:
        """Cancel an order if it is open; an order that is final, or not known, stays what it is."""
        order = self.order(client_order_id)
        return [] if order is None else self.cancel_order(order, now_us)

    def cancel_order(
        self, order: Order, now_us: int, reason: OrderReason = OrderReason.USER, *, trades_first: int = 0
    ) -> list[Event]:
        """Cancel an order if it is open, or take the cancel where the venue's manner is to end it later.

        ``trades_first`` of it trade with the house before that, at its own price.
        """
        events = self.advance(now_us)
        if order.status is not OrderStatus.OPEN:
            return events
        if self.manners.cancel_delay_us and reason is OrderReason.USER:
            self.cancel_later(order, now_us + self.manners.cancel_delay_us, trades_first)
            return events
        return events + self._end(order, OrderStatus.CANCELLED, reason, now_us, trades_first)

    def cancel_later(self, order: Order, due_us: int, trades_first: int = 0) -> None:
        """Let the clock cancel an open order; it may trade until then."""
        if order.status is OrderStatus.OPEN:
            self._timers.put(Due(due_us, Purpose.CANCEL, order.venue_order_id, trades_first))

    def refuses_cancel(self, order: Order) -> Refused | None:
        """Return why an order cannot be cancelled now, or null."""
        instrument = self._markets[order.request.symbol].instrument
        if instrument.status is not InstrumentStatus.HALTED or order.status is not OrderStatus.OPEN:
            return None
        return Refused(Refusal.INSTRUMENT_NOT_OPEN, f"{instrument.symbol} is HALTED: no cancels", "symbol")

    def apply(self, symbol: str, event: MarketEvent, now_us: int) -> list[Event]:
        """Let the market do something."""
        market = self._markets[symbol]
        events = self.advance(now_us)
        executions = market.move(event)
        events.extend(self._settle(market, executions, now_us))
        events.extend(self._trigger(market, executions, now_us))
        events.extend(market.new_quotes(now_us))
        return events

    def tick(self, now_us: int) -> list[Event]:
        """Close the candles whose time is over."""
        events = self.advance(now_us)
        for market in self._markets.values():
            events.extend(CandleClosed(candle, now_us) for candle in market.candles.close_until(now_us))
        return events

    def advance(self, now_us: int) -> list[Event]:
        """Do what the clock has made due: expiries, and cancels that were taken before."""
        events: list[Event] = []
        while self._timers.next_us is not None and self._timers.next_us <= now_us:
            for due in self._timers.take(now_us):
                order = self._orders.open.get(due.venue_order_id)
                if order is None:
                    continue
                events.extend(self._end(order, *_ENDS[due.purpose], now_us, due.trades_first))
        return events

    def set_status(self, symbol: str, status: InstrumentStatus, now_us: int) -> list[Event]:
        """Change what may be done with an instrument; opening it lets what was collected meet the market."""
        market = self._markets[symbol]
        events = self.advance(now_us)
        if market.instrument.status is status:
            return events
        market.set_status(status)
        events.append(InstrumentChanged(market.instrument, now_us))
        if market.is_open:
            for order in market.release_collected():
                events.extend(self._work(order, market, now_us))
        else:
            for order in self._orders.open.values():
                if order.request.symbol == symbol and (order.request.trigger_price is None or order.triggered):
                    market.collect(order)
        events.extend(market.new_quotes(now_us))
        return events

    def bust(self, order: Order, trade_id: str, now_us: int) -> tuple[Bust | Refused, list[Event]]:
        """Take a trade of ``order`` back: its money and its fee move back, and it is as if it had not been.

        Where the account has locked what the trade brought it, the newest orders that lock it are cancelled; where
        it is gone, the trade stands. The order's status stays, and what was undone does not come back to life.
        """
        fill = next((fill for fill in order.fills if fill.trade_id == trade_id), None)
        if fill is None:
            return Refused(Refusal.UNKNOWN_TRADE, "no trade of this id stands", "trade_id"), []
        instrument = self._markets[order.request.symbol].instrument
        currency, owed = self._settlement.owed_by_bust(fill, instrument)
        if self.account.total(currency) < owed:
            return Refused(Refusal.INSUFFICIENT_FUNDS, f"the account no longer has this {currency}", "trade_id"), []
        events = self._free(currency, owed, now_us)
        self._settlement.undo(order, fill, instrument)
        order.updated_us = now_us
        self.fill_sequence += 1
        bust = Bust(
            self.fill_sequence, trade_id, fill.client_order_id, fill.symbol, fill.side, now_us, fill.venue_order_id
        )
        events.extend((OrderBusted(order, bust), OrderChanged.now(order)))
        return bust, events

    def move_money(
        self, movement_type: MovementType, currency: str, amount: int, symbol: str | None, now_us: int
    ) -> tuple[Movement | Refused, list[Event]]:
        """Let ``amount`` atoms come in, or go out where it is below zero; what is not free cannot go."""
        if self.account.free.get(currency, 0) + amount < 0:
            return Refused(Refusal.INSUFFICIENT_FUNDS, f"the account has less {currency} than this free", "amount"), []
        self.account.credit(currency, amount)
        self.movement_sequence += 1
        number = self.movement_sequence
        movement = Movement(number, f"{self._session}-m{number}", movement_type, currency, amount, symbol, now_us)
        return movement, [MoneyMoved(movement)]

    def _duplicate(self, request: OrderRequest) -> Order | Refused:
        existing = self._orders.by_client(request.client_order_id)
        if existing is not None and self.manners.duplicates is Duplicates.ANSWERED:
            return existing
        return self.manners.duplicate(request.client_order_id)

    def _take_up(self, order: Order, market: SymbolMarket, now_us: int) -> list[Event]:
        """Let a registered order wait, be collected, or meet the book."""
        request = order.request
        if request.good_until_us is not None:
            self._timers.put(Due(request.good_until_us, Purpose.EXPIRE, order.venue_order_id))
        if request.trigger_price is not None:
            market.stops.put(order)
        elif not market.is_open:
            market.collect(order)
        else:
            return [*self._work(order, market, now_us, is_new=True), *market.new_quotes(now_us)]
        return [OrderChanged.now(order)]

    def _work(self, order: Order, market: SymbolMarket, now_us: int, *, is_new: bool = False) -> list[Event]:
        """Match an order as it comes to the book."""
        result = market.book.submit(book_order(order))
        events = self._settle(market, result.executions, now_us, taker=order)
        events.extend(self._conclude(order, market, result, now_us, is_new=is_new))
        events.extend(self._trigger(market, result.executions, now_us))
        return events

    def _trigger(self, market: SymbolMarket, executions: tuple[Execution, ...], now_us: int) -> list[Event]:
        """Set the stops to work that these trades have reached."""
        events: list[Event] = []
        if executions and market.stops:
            for order in market.stops.take([execution.price for execution in executions]):
                order.triggered, order.updated_us = True, now_us
                events.extend(self._work(order, market, now_us))
        return events

    def _end(
        self, order: Order, status: OrderStatus, reason: OrderReason, now_us: int, trades_first: int
    ) -> list[Event]:
        """End an open order, after ``trades_first`` of it have traded at its own price where it can trade."""
        market = self._markets[order.request.symbol]
        quantity = min(trades_first, order.rest) if market.rests(order) else 0
        market.drop(order)
        events: list[Event] = []
        price = order.request.limit_price
        if quantity and price is not None:
            execution = Execution(price, quantity, opposite(order.request.side), order.venue_order_id, None)
            events.extend(self._settle(market, (execution,), now_us))
            events.extend(self._trigger(market, (execution,), now_us))
        if order.status is OrderStatus.OPEN:
            events.append(self._finish(order, status, reason, now_us))
        events.extend(market.new_quotes(now_us))
        return events

    def _free(self, currency: str, owed: int, now_us: int) -> list[Event]:
        """Cancel orders that lock ``currency``, newest first, until ``owed`` atoms of it are free."""
        events: list[Event] = []
        for order in reversed(self.open_orders()):
            if self.account.free.get(currency, 0) >= owed:
                break
            if spends(order, self._markets[order.request.symbol].instrument) == currency:
                events.extend(self.cancel_order(order, now_us, OrderReason.BUST))
        return events

    def _settle(
        self, market: SymbolMarket, executions: tuple[Execution, ...], now_us: int, taker: Order | None = None
    ) -> list[Event]:
        events: list[Event] = []
        for execution in executions:
            self._trades_made += 1
            trade_id = f"{self._session}-{self._trades_made}"
            trade = PublicTrade(
                market.instrument.symbol, trade_id, execution.price, execution.quantity, execution.aggressor, now_us
            )
            market.trades.append(trade)
            events.append(trade)
            closed = market.candles.add(execution.price, execution.quantity, now_us)
            events.extend(CandleClosed(candle, now_us) for candle in closed)
            if taker is not None:
                events.append(self._fill(taker, market, trade, Liquidity.TAKER))
            if execution.maker_id is not None:
                events.extend(self._fill_maker(self._orders.open[execution.maker_id], market, trade))
        return events

    def _fill_maker(self, order: Order, market: SymbolMarket, trade: PublicTrade) -> list[Event]:
        filled = self._fill(order, market, trade, Liquidity.MAKER)
        if not order.rest:
            return [filled, self._finish(order, OrderStatus.FILLED, None, trade.venue_ts_us)]
        self._settlement.keep_for_rest(order, market.instrument, market.book)
        order.updated_us = trade.venue_ts_us
        return [filled, OrderChanged.now(order)]

    def _fill(self, order: Order, market: SymbolMarket, trade: PublicTrade, liquidity: Liquidity) -> OrderFilled:
        self.fill_sequence += 1
        return OrderFilled(order, self._settlement.fill(order, market.instrument, trade, liquidity, self.fill_sequence))

    def _conclude(
        self, order: Order, market: SymbolMarket, result: Result, now_us: int, *, is_new: bool
    ) -> list[Event]:
        """Give an order that came to the book the status that the matching ended with."""
        status = _STATUS[result.outcome]
        if status is not OrderStatus.OPEN:
            reason = None if result.cause is None else OrderReason(result.cause.value)
            # What was accepted before can be cancelled, but no longer turned away.
            refused_late = status is OrderStatus.REJECTED and not is_new
            return [self._finish(order, OrderStatus.CANCELLED if refused_late else status, reason, now_us)]
        self._settlement.keep_for_rest(order, market.instrument, market.book)
        order.updated_us = now_us
        return [OrderChanged.now(order)]

    def _finish(self, order: Order, status: OrderStatus, reason: OrderReason | None, now_us: int) -> OrderChanged:
        order.status, order.reason, order.updated_us = status, reason, now_us
        self._settlement.release(order, self._markets[order.request.symbol].instrument)
        self._timers.drop(order.venue_order_id)
        self._orders.finish(order)
        return OrderChanged.now(order)
