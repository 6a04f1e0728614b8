"""The money of orders: what each locks, what a trade moves, and what the taking back of one moves again."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tollgate_contracts.execution import Liquidity
from tollgate_contracts.strategy import Side
from tollgate_domain.matching import Book
from tollgate_simvenue.core.account import Account
from tollgate_simvenue.core.fees import IN_BASE, FeeSchedule
from tollgate_simvenue.core.model import Fill, Instrument, Order, PublicTrade
from tollgate_simvenue.core.units import ATOMS_PER_UNIT, fee_atoms, fee_atoms_ceiling

if TYPE_CHECKING:
    from tollgate_simvenue.core.books import SymbolMarket

OWNER = "account"


def spends(order: Order, instrument: Instrument) -> str:
    """Return the currency that the order would spend."""
    return instrument.quote if order.request.side is Side.BUY else instrument.base


class Settlement:
    """Moves the account's money for orders; nothing else does, but for movements without an order."""

    def __init__(self, account: Account, fees: FeeSchedule, markets: "Mapping[str, SymbolMarket]") -> None:
        self.account = account
        self.fees = fees
        self._markets = markets

    def lock(self, order: Order, instrument: Instrument, book: Book) -> bool:
        """Lock the most that the order can spend; say no, and lock nothing, when there is not enough."""
        amount = self._worst_case(order, book)
        if not self.account.lock(spends(order, instrument), amount):
            return False
        order.locked = amount
        return True

    def keep_for_rest(self, order: Order, instrument: Instrument, book: Book) -> None:
        """Unlock what the rest of an open order cannot spend any more."""
        self._release(order, instrument, self._worst_case(order, book))

    def release(self, order: Order, instrument: Instrument) -> None:
        """Unlock everything, because the order is over."""
        self._release(order, instrument, 0)

    def fill(
        self, order: Order, instrument: Instrument, trade: PublicTrade, liquidity: Liquidity, fill_sequence: int
    ) -> Fill:
        """Pay for a trade out of what the order has locked."""
        value = trade.price * trade.quantity
        in_force = self.fees.at(trade.venue_ts_us)
        rate = in_force.taker_rate if liquidity is Liquidity.TAKER else in_force.maker_rate
        self.fees.note_trade(trade.venue_ts_us, value)
        base = trade.quantity * ATOMS_PER_UNIT
        buys = order.request.side is Side.BUY
        fee_currency, fee = self._charge(instrument, base if buys else None, value, rate)
        in_quote = fee if fee_currency == instrument.quote else 0
        spent, earned = (value + in_quote, base) if buys else (base, value - in_quote)
        self.account.spend_locked(spends(order, instrument), spent)
        self.account.credit(instrument.base if buys else instrument.quote, earned)
        self.account.debit(fee_currency, fee - in_quote)
        order.locked -= spent
        order.cumulative_quantity += trade.quantity
        order.cumulative_quote += value
        fill = Fill(
            fill_sequence=fill_sequence,
            trade_id=trade.trade_id,
            client_order_id=order.request.client_order_id,
            symbol=trade.symbol,
            side=order.request.side,
            price=trade.price,
            quantity=trade.quantity,
            fee=fee,
            fee_currency=fee_currency,
            liquidity=liquidity,
            cumulative_quantity=order.cumulative_quantity,
            venue_ts_us=trade.venue_ts_us,
            venue_order_id=order.venue_order_id,
        )
        order.fills.append(fill)
        return fill

    def owed_by_bust(self, fill: Fill, instrument: Instrument) -> tuple[str, int]:
        """Return the currency and the atoms that the account gives back when a trade is undone."""
        if fill.side is Side.BUY:
            in_base = fill.fee if fill.fee_currency == instrument.base else 0
            return instrument.base, fill.quantity * ATOMS_PER_UNIT - in_base
        in_quote = fill.fee if fill.fee_currency == instrument.quote else 0
        return instrument.quote, fill.price * fill.quantity - in_quote

    def undo(self, order: Order, fill: Fill, instrument: Instrument) -> None:
        """Move a trade's money and its fee back; what the account owes must be free."""
        value = fill.price * fill.quantity
        owed_in, owed = self.owed_by_bust(fill, instrument)
        self.account.debit(owed_in, owed)
        if fill.side is Side.BUY:
            self.account.credit(instrument.quote, value)
        else:
            self.account.credit(instrument.base, fill.quantity * ATOMS_PER_UNIT)
        if fill.fee_currency != owed_in:
            self.account.credit(fill.fee_currency, fill.fee)
        self.fees.note_trade(fill.venue_ts_us, -value)
        order.fills.remove(fill)
        order.cumulative_quantity -= fill.quantity
        order.cumulative_quote -= value
        order.busted_quantity += fill.quantity

    def _charge(self, instrument: Instrument, bought: int | None, value: int, rate: int) -> tuple[str, int]:
        """Return the currency and the atoms of a fee, below zero for a rebate; ``bought`` is what a buy brings in base.

        Charged in base, a buy pays, or is paid, in what it has bought. In a currency by its name a trade pays; it pays
        in the quote currency where nobody quotes that, or less of it is free, and rebates are always paid in it.
        """
        currency, fee = self.fees.currency, fee_atoms(value, rate)
        if currency == IN_BASE and bought is not None:
            return instrument.base, fee_atoms(bought, rate)
        market = self._markets.get(f"{currency}-{instrument.quote}")
        if market is None or market.quote is None or fee <= 0:
            return instrument.quote, fee
        units = fee * 2 // (market.quote.bid + market.quote.ask)
        there = units * ATOMS_PER_UNIT <= self.account.free.get(currency, 0)
        return (currency, units * ATOMS_PER_UNIT) if there else (instrument.quote, fee)

    def _worst_case(self, order: Order, book: Book) -> int:
        """Return the most that the rest of the order can still spend, in atoms."""
        request = order.request
        if request.side is Side.SELL:
            return order.rest * ATOMS_PER_UNIT
        if request.limit_price is None:
            _, value = book.takeable(request.side, order.rest, None, OWNER)
        else:
            value = order.rest * request.limit_price
        return value + fee_atoms_ceiling(value, self.fees.dearest_rate)

    def _release(self, order: Order, instrument: Instrument, needed: int) -> None:
        """Unlock what the order has locked beyond ``needed``."""
        if order.locked > needed:
            self.account.unlock(spends(order, instrument), order.locked - needed)
            order.locked = needed
