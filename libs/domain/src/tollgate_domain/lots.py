"""What is held as lots, first in, first out: beside the average cost of the books, for whoever has to report so.

The law of this module: a lot is what one trade has bought, and what leaves is taken from the oldest lots. No lot is
ever below zero, and whatever is traded, at every moment and exactly::

    quantity of a symbol's lots       == the quantity that the portfolio holds
    cost of all lots - realized       == the portfolio's cost of all holdings - what it has realized

so the two methods differ in when a result is realized and never in how much, once everything is sold. Of a lot that
leaves in part the part's cost is rounded to ``COST_PLACES``, and what is left keeps the rest: no sum loses a digit.

There are as many lots as purchases of which something is still held. That is what the method is, and no bound can be
set to it: it is for one pass over what was booked, in a report, and not for the memory of a service. Spot only.

What was held at opening is a lot at no cost. What a holding bears of a fee leaves like a sale at its rate; how much
that is says the portfolio. With a bust of a purchase its own lot goes, and for what of it had left already the oldest
lots go, as if they had left instead; with a bust of a sale the lots that it took come back as they were.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import ZERO, divide
from tollgate_contracts.strategy import Side
from tollgate_domain.fees import Share, charge_of
from tollgate_domain.instruments import notional
from tollgate_domain.movements import Carried
from tollgate_domain.portfolio import COST_PLACES, Booking, OversoldError
from tollgate_domain.traces import REMEMBERED_MAX, name_of


@dataclass(frozen=True, slots=True)
class Lot:
    """What is left of one purchase."""

    number: int
    """Counts the purchases of all symbols from 0, in the order of the tape."""
    trade_id: str
    """Of what came in without a trade, its movement's id; empty for what was held at opening."""
    at_us: int
    """When it was bought, by the message."""
    quantity: Decimal
    cost: Decimal
    """In quote currency, fees excluded."""


class _Taken(NamedTuple):
    """Which lots a trade has taken; of a rebate what it has brought, with the sign turned."""

    sold: tuple[Lot, ...] = ()
    borne: tuple[Lot, ...] = ()
    """By its fee."""


class FifoBook:
    """The lots of one account in one quote currency; it follows what the portfolio has booked, and judges nothing."""

    def __init__(self) -> None:
        self.realized = ZERO
        """Sum of what left at its price, less what it had cost; before fees, in quote currency."""
        self._lots: dict[str, list[Lot]] = {}
        """By symbol, the oldest first."""
        self._held: dict[str, Decimal] = {}
        self._numbers = 0
        self._taken: dict[str, _Taken] = {}
        """Of the newest trades, by their names, the oldest first."""

    def lots(self, symbol: str) -> tuple[Lot, ...]:
        """Return the lots of a symbol, the oldest first."""
        return tuple(self._lots.get(symbol, ()))

    def symbols(self) -> tuple[str, ...]:
        """Return the symbols of which something is held, sorted."""
        return tuple(sorted(symbol for symbol, lots in self._lots.items() if lots))

    def open(self, symbol: str, quantity: Decimal, at_us: int) -> None:
        """Take in what was held at opening, at no cost."""
        self._add(symbol, "", quantity, ZERO, at_us)

    def apply(self, fill: Fill, booking: Booking) -> tuple[Lot, ...]:
        """Follow one fill, as the portfolio has booked it, and return what of older lots it has sold.

        Raises ``OversoldError`` for more than is held.
        """
        made, value = fill.trade, notional(fill.trade.price, fill.trade.quantity)
        charge = charge_of(fill)
        sold: tuple[Lot, ...] = ()
        if fill.side is Side.BUY:
            self._add(fill.symbol, made.trade_id, made.quantity, value, fill.ts_us)
        else:
            sold = self._take(fill.symbol, made.quantity)
            self.realized += value - _cost(sold)
        borne = () if charge is None else self._charge(charge.symbol, booking.share, fill)
        if sold or charge is not None:
            self._taken[name_of(fill)] = _Taken(sold, borne)
            if len(self._taken) > REMEMBERED_MAX:
                del self._taken[next(iter(self._taken))]
        return sold

    def undo(self, bust: Bust, booking: Booking) -> None:
        """Follow one bust, as the portfolio has booked it; raises ``OversoldError`` for more than is held."""
        made, value, charge = bust.trade, notional(bust.trade.price, bust.trade.quantity), charge_of(bust)
        known = self._taken.pop(name_of(bust), _Taken())
        if charge is not None:
            self._refund(charge.symbol, booking.share, bust, known.borne)
        if bust.side is Side.BUY:
            self.realized += value - _cost(self._take(bust.symbol, made.quantity, first=made.trade_id))
        elif known.sold:
            self._put_back(bust.symbol, known.sold)
            self.realized += _cost(known.sold) - value
        else:
            # Of a sale so long ago the lots are not known any more: what comes back has cost what it was sold for.
            self._add(bust.symbol, made.trade_id, made.quantity, value, bust.ts_us)

    def _charge(self, symbol: str, share: Share, fill: Fill) -> tuple[Lot, ...]:
        """Let the share leave, or a rebate come; return what has left, and of a rebate its lot below zero."""
        if share.quantity < ZERO:
            self._add(symbol, f"{fill.trade.trade_id} rebate", -share.quantity, -share.value, fill.ts_us)
            return (replace(self._lots[symbol][-1], quantity=share.quantity, cost=share.value),)
        borne = self._take(symbol, share.quantity)
        self.realized += share.value - _cost(borne)
        return borne

    def _refund(self, symbol: str, share: Share, bust: Bust, borne: tuple[Lot, ...]) -> None:
        """Let the share come back as it went, or at its value where that is not known; a rebate's goes."""
        if share.quantity > ZERO:
            gone = self._take(symbol, share.quantity, first=f"{bust.trade.trade_id} rebate")
            self.realized += share.value - _cost(gone)
        elif share.quantity and sum((lot.quantity for lot in borne), ZERO) == -share.quantity:
            self._put_back(symbol, borne)
            self.realized += share.value + _cost(borne)
        elif share.quantity:
            self._add(symbol, f"{bust.trade.trade_id} fee", -share.quantity, -share.value, bust.ts_us)

    def carry(self, carried: Carried, movement_id: str, at_us: int) -> tuple[Lot, ...]:
        """Follow what the portfolio has made of one movement, and return what of older lots has gone by it."""
        if carried.quantity > ZERO:
            self._add(carried.symbol, movement_id, carried.quantity, carried.value, at_us)
            return ()
        gone = self._take(carried.symbol, -carried.quantity) if carried.quantity else ()
        self.realized -= carried.value + _cost(gone) if carried.symbol else ZERO
        return gone

    def quantity(self, symbol: str) -> Decimal:
        """Return what is held of a symbol."""
        return self._held.get(symbol, ZERO)

    def cost(self, symbol: str) -> Decimal:
        """Return what the lots of a symbol have cost, in quote currency."""
        return _cost(self.lots(symbol))

    def _add(self, symbol: str, trade_id: str, quantity: Decimal, cost: Decimal, at_us: int) -> None:
        self._lots.setdefault(symbol, []).append(Lot(self._numbers, trade_id, at_us, quantity, cost))
        self._numbers += 1
        self._held[symbol] = self.quantity(symbol) + quantity

    def _take(self, symbol: str, quantity: Decimal, first: str | None = None) -> tuple[Lot, ...]:
        """Let so much leave, of the lots of the trade ``first`` and then of the oldest, and return what has left."""
        if quantity > self.quantity(symbol):
            raise OversoldError(f"{quantity} {symbol} are to leave, {self.quantity(symbol)} are held")
        self._held[symbol] = self.quantity(symbol) - quantity
        lots = self._lots.get(symbol, [])
        gone: list[Lot] = []
        own = next((place for place, lot in enumerate(lots) if lot.trade_id == first), None) if first else None
        if own is not None:
            quantity -= self._leave(lots, own, quantity, gone)
        while quantity:
            quantity -= self._leave(lots, 0, quantity, gone)
        return tuple(gone)

    @staticmethod
    def _leave(lots: list[Lot], place: int, quantity: Decimal, gone: list[Lot]) -> Decimal:
        """Let at most so much of one lot leave, and return how much did."""
        lot = lots[place]
        if quantity >= lot.quantity:
            gone.append(lots.pop(place))
            return lot.quantity
        cost = divide(lot.cost * quantity, lot.quantity, COST_PLACES)
        gone.append(replace(lot, quantity=quantity, cost=cost))
        lots[place] = replace(lot, quantity=lot.quantity - quantity, cost=lot.cost - cost)
        return quantity

    def _put_back(self, symbol: str, lots: Iterable[Lot]) -> None:
        """Let lots come back as they were; a part joins what is still there of the same purchase."""
        there = {lot.number: lot for lot in self.lots(symbol)}
        for lot in lots:
            rest = there.get(lot.number)
            quantity, cost = (rest.quantity, rest.cost) if rest else (ZERO, ZERO)
            there[lot.number] = replace(lot, quantity=lot.quantity + quantity, cost=lot.cost + cost)
        self._lots[symbol] = [there[number] for number in sorted(there)]
        self._held[symbol] = sum((lot.quantity for lot in self._lots[symbol]), ZERO)


def _cost(lots: Iterable[Lot]) -> Decimal:
    return sum((lot.cost for lot in lots), ZERO)
