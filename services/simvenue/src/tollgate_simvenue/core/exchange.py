"""The exchange: one account's orders against the house, in every symbol of the instruments table.

The law of this module: every call is given the time, changes the state, and returns what happened as events, in
the order in which it happened. The shell stores and sends events; it never changes the state.
"""

from collections import deque
from collections.abc import Iterable

from tollgate_contracts.execution import Liquidity
from tollgate_contracts.strategy import OrderType, Side
from tollgate_domain.matching import Book, Execution, NewOrder, Outcome, Result
from tollgate_simvenue.core.account import Account
from tollgate_simvenue.core.candles import Candles
from tollgate_simvenue.core.checks import check
from tollgate_simvenue.core.market import BookSnapshot, HouseTook, LevelsSet, MarketEvent, TopSet, TradePrinted
from tollgate_simvenue.core.model import (
    CandleClosed,
    Event,
    Fees,
    Fill,
    Instrument,
    Order,
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
from tollgate_simvenue.core.units import ATOMS_PER_UNIT, fee_atoms, fee_atoms_ceiling

# Final orders that stay in memory to be asked after; older ones are in the store.
FINAL_ORDERS_KEPT = 10_000
# Public trades that each symbol keeps for who asks by REST.
TRADES_KEPT = 500
OWNER = "account"

_STATUS = {
    Outcome.RESTING: OrderStatus.OPEN,
    Outcome.FILLED: OrderStatus.FILLED,
    Outcome.CANCELLED: OrderStatus.CANCELLED,
    Outcome.REJECTED: OrderStatus.REJECTED,
}


class _Market:
    """One symbol's book and what everyone may know of it."""

    def __init__(self, instrument: Instrument, candle_interval_us: int, sequence: int) -> None:
        self.instrument = instrument
        self.book = Book()
        self.candles = Candles(instrument.symbol, candle_interval_us)
        self.trades: deque[PublicTrade] = deque(maxlen=TRADES_KEPT)
        self.quote: QuoteChanged | None = None
        self.sequence = sequence


class Exchange:
    """The whole exchange; ``session`` numbers its starts, so that no id is ever given twice."""

    def __init__(
        self,
        instruments: Iterable[Instrument],
        account: Account,
        fees: Fees,
        *,
        candle_interval_us: int,
        session: int,
        opened_us: int,
        known_ids: Iterable[str] = (),
        fill_sequence: int = 0,
    ) -> None:
        # Quotes are numbered from the microsecond of opening: higher than in any session before.
        self._markets = {
            instrument.symbol: _Market(instrument, candle_interval_us, opened_us) for instrument in instruments
        }
        self.account = account
        self.fees = fees
        self.fill_sequence = fill_sequence
        self._session = session
        self._orders_registered = 0
        self._trades_made = 0
        self._known_ids = set(known_ids)
        self._open: dict[str, Order] = {}
        self._final: dict[str, Order] = {}

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
        return [
            CandleClosed(candle, candle.open_us + candle.interval_us) for candle in self._markets[symbol].candles.closed
        ]

    def order(self, client_order_id: str) -> Order | None:
        """Return an open or lately finished order."""
        return self._open.get(client_order_id) or self._final.get(client_order_id)

    def open_orders(self) -> list[Order]:
        """Return every open order, oldest first."""
        return list(self._open.values())

    def place(self, request: OrderRequest, now_us: int) -> tuple[Order | Refused, list[Event]]:
        """Register and match an order, or refuse it; a refused request leaves no trace."""
        if request.client_order_id in self._known_ids:
            return _duplicate(request), []
        market = self._markets.get(request.symbol)
        if market is None:
            return Refused(Refusal.UNKNOWN_SYMBOL, f"{request.symbol} is not traded here", "symbol"), []
        best = market.book.best(Side.SELL if request.side is Side.BUY else Side.BUY)
        refused = check(request, market.instrument, best[0] if best else None)
        if refused is not None:
            return refused, []
        self._orders_registered += 1
        order = Order(request, f"{self._session}-{self._orders_registered}", OrderStatus.OPEN, now_us)
        self._known_ids.add(request.client_order_id)
        if not self._lock(order, market):
            return order, [self._finish(order, OrderStatus.REJECTED, OrderReason.INSUFFICIENT_BALANCE, now_us)]
        self._open[request.client_order_id] = order
        result = market.book.submit(_book_order(request))
        events = self._settle(market, result.executions, now_us, taker=order)
        events.extend(self._conclude(order, result, now_us))
        events.extend(self._quote_events(market, now_us))
        return order, events

    def cancel(self, client_order_id: str, now_us: int, reason: OrderReason = OrderReason.USER) -> list[Event]:
        """Cancel an order if it is open; an order that is final, or not known, stays what it is."""
        order = self._open.get(client_order_id)
        if order is None:
            return []
        market = self._markets[order.request.symbol]
        market.book.cancel(client_order_id)
        return [
            self._finish(order, OrderStatus.CANCELLED, reason, now_us),
            *self._quote_events(market, now_us),
        ]

    def apply(self, symbol: str, event: MarketEvent, now_us: int) -> list[Event]:
        """Let the market do something."""
        market = self._markets[symbol]
        events = self._settle(market, _move(market.book, event), now_us)
        events.extend(self._quote_events(market, now_us))
        return events

    def tick(self, now_us: int) -> list[Event]:
        """Close the candles whose time is over."""
        events: list[Event] = []
        for market in self._markets.values():
            events.extend(CandleClosed(candle, now_us) for candle in market.candles.close_until(now_us))
        return events

    def _lock(self, order: Order, market: _Market) -> bool:
        """Lock the most that the order can spend."""
        amount = self._worst_case(order, market)
        if not self.account.lock(_spends(order, market), amount):
            return False
        order.locked = amount
        return True

    def _worst_case(self, order: Order, market: _Market) -> int:
        """Return the most that the rest of the order can still spend, in atoms."""
        request = order.request
        rest = request.quantity - order.cumulative_quantity
        if request.side is Side.SELL:
            return rest * ATOMS_PER_UNIT
        if request.limit_price is None:
            _, value = market.book.takeable(request.side, rest, None, OWNER)
        else:
            value = rest * request.limit_price
        return value + fee_atoms_ceiling(value, max(self.fees.maker_rate, self.fees.taker_rate))

    def _settle(
        self, market: _Market, executions: tuple[Execution, ...], now_us: int, taker: Order | None = None
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
                events.extend(self._fill_maker(self._open[execution.maker_id], market, trade))
        return events

    def _fill_maker(self, order: Order, market: _Market, trade: PublicTrade) -> list[Event]:
        filled = self._fill(order, market, trade, Liquidity.MAKER)
        if order.cumulative_quantity == order.request.quantity:
            return [filled, self._finish(order, OrderStatus.FILLED, None, trade.venue_ts_us)]
        self._release(order, self._worst_case(order, market))
        order.updated_us = trade.venue_ts_us
        return [filled, OrderChanged.now(order)]

    def _fill(self, order: Order, market: _Market, trade: PublicTrade, liquidity: Liquidity) -> OrderFilled:
        value = trade.price * trade.quantity
        rate = self.fees.taker_rate if liquidity is Liquidity.TAKER else self.fees.maker_rate
        fee = fee_atoms(value, rate)
        base = trade.quantity * ATOMS_PER_UNIT
        buys = order.request.side is Side.BUY
        spent, earned = (value + fee, base) if buys else (base, value - fee)
        self.account.spend_locked(_spends(order, market), spent)
        self.account.credit(market.instrument.base if buys else market.instrument.quote, earned)
        order.locked -= spent
        order.cumulative_quantity += trade.quantity
        order.cumulative_quote += value
        self.fill_sequence += 1
        fill = Fill(
            fill_sequence=self.fill_sequence,
            trade_id=trade.trade_id,
            client_order_id=order.request.client_order_id,
            symbol=trade.symbol,
            side=order.request.side,
            price=trade.price,
            quantity=trade.quantity,
            fee=fee,
            fee_currency=market.instrument.quote,
            liquidity=liquidity,
            cumulative_quantity=order.cumulative_quantity,
            venue_ts_us=trade.venue_ts_us,
        )
        order.fills.append(fill)
        return OrderFilled(order, fill)

    def _conclude(self, order: Order, result: Result, now_us: int) -> list[Event]:
        """Give an incoming order the status that the matching ended with."""
        status = _STATUS[result.outcome]
        if status is not OrderStatus.OPEN:
            reason = None if result.cause is None else OrderReason(result.cause.value)
            return [self._finish(order, status, reason, now_us)]
        self._release(order, self._worst_case(order, self._markets[order.request.symbol]))
        return [OrderChanged.now(order)]

    def _finish(self, order: Order, status: OrderStatus, reason: OrderReason | None, now_us: int) -> OrderChanged:
        order.status, order.reason, order.updated_us = status, reason, now_us
        self._release(order, 0)
        self._open.pop(order.request.client_order_id, None)
        self._final[order.request.client_order_id] = order
        if len(self._final) > FINAL_ORDERS_KEPT:
            del self._final[next(iter(self._final))]
        return OrderChanged.now(order)

    def _release(self, order: Order, needed: int) -> None:
        """Unlock what the order has locked beyond ``needed``."""
        if order.locked > needed:
            currency = _spends(order, self._markets[order.request.symbol])
            self.account.unlock(currency, order.locked - needed)
            order.locked = needed

    def _quote_events(self, market: _Market, now_us: int) -> list[Event]:
        """Say the new quote when it differs from the last one said and both sides are there."""
        bid, ask = market.book.best(Side.BUY), market.book.best(Side.SELL)
        if bid is None or ask is None:
            return []
        last = market.quote
        if last is not None and (last.bid, last.bid_quantity) == bid and (last.ask, last.ask_quantity) == ask:
            return []
        market.sequence += 1
        market.quote = QuoteChanged(market.instrument.symbol, *bid, *ask, market.sequence, now_us)
        return [market.quote]


def _duplicate(request: OrderRequest) -> Refused:
    return Refused(
        Refusal.DUPLICATE_CLIENT_ORDER_ID,
        f"an order {request.client_order_id} was registered before; ask for it by GET",
        "client_order_id",
    )


def _spends(order: Order, market: _Market) -> str:
    return market.instrument.quote if order.request.side is Side.BUY else market.instrument.base


def _book_order(request: OrderRequest) -> NewOrder:
    limit_price = request.limit_price if request.order_type is OrderType.LIMIT else None
    return NewOrder(
        request.client_order_id,
        OWNER,
        request.side,
        request.quantity,
        limit_price,
        request.time_in_force,
        request.post_only,
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
