"""The money of orders: what each locks, what a trade moves, and what the taking back of one moves again."""

from tollgate_contracts.execution import Liquidity
from tollgate_contracts.strategy import Side
from tollgate_domain.matching import Book
from tollgate_simvenue.core.account import Account
from tollgate_simvenue.core.model import Fees, Fill, Instrument, Order, PublicTrade
from tollgate_simvenue.core.units import ATOMS_PER_UNIT, fee_atoms, fee_atoms_ceiling

OWNER = "account"


def spends(order: Order, instrument: Instrument) -> str:
    """Return the currency that the order would spend."""
    return instrument.quote if order.request.side is Side.BUY else instrument.base


class Settlement:
    """Moves the account's money for orders; nothing else does, but for movements without an order."""

    def __init__(self, account: Account, fees: Fees) -> None:
        self.account = account
        self.fees = fees

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
        fee = fee_atoms(value, self.fees.taker_rate if liquidity is Liquidity.TAKER else self.fees.maker_rate)
        base = trade.quantity * ATOMS_PER_UNIT
        buys = order.request.side is Side.BUY
        spent, earned = (value + fee, base) if buys else (base, value - fee)
        self.account.spend_locked(spends(order, instrument), spent)
        self.account.credit(instrument.base if buys else instrument.quote, earned)
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
            fee_currency=instrument.quote,
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
            return instrument.base, fill.quantity * ATOMS_PER_UNIT
        return instrument.quote, fill.price * fill.quantity - fill.fee

    def undo(self, order: Order, fill: Fill, instrument: Instrument) -> None:
        """Move a trade's money and its fee back; what the account owes must be free."""
        value = fill.price * fill.quantity
        self.account.debit(*self.owed_by_bust(fill, instrument))
        if fill.side is Side.BUY:
            self.account.credit(instrument.quote, value + fill.fee)
        else:
            self.account.credit(instrument.base, fill.quantity * ATOMS_PER_UNIT)
        order.fills.remove(fill)
        order.cumulative_quantity -= fill.quantity
        order.cumulative_quote -= value
        order.busted_quantity += fill.quantity

    def _worst_case(self, order: Order, book: Book) -> int:
        """Return the most that the rest of the order can still spend, in atoms."""
        request = order.request
        if request.side is Side.SELL:
            return order.rest * ATOMS_PER_UNIT
        if request.limit_price is None:
            _, value = book.takeable(request.side, order.rest, None, OWNER)
        else:
            value = order.rest * request.limit_price
        return value + fee_atoms_ceiling(value, max(self.fees.maker_rate, self.fees.taker_rate))

    def _release(self, order: Order, instrument: Instrument, needed: int) -> None:
        """Unlock what the order has locked beyond ``needed``."""
        if order.locked > needed:
            self.account.unlock(spends(order, instrument), order.locked - needed)
            order.locked = needed
