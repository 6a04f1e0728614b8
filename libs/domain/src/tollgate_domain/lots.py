"""What is held as lots, first in, first out: beside the average cost of the books, for whoever has to report so.

The law of this module: a lot is what one trade has bought, and what leaves is taken from the oldest lots. No lot is
ever below zero, and whatever is traded, at every moment and exactly::

    quantity of a symbol's lots       == the quantity that the portfolio holds
    cost of all lots - realized       == the portfolio's cost of all holdings - what it has realized

so the two methods differ in when a result is realized and never in how much, once everything is sold. Of a lot that
leaves in part the part's cost is rounded to ``COST_PLACES``, and what is left keeps the rest: no sum loses a digit.

There are as many lots as purchases of which something is still held. That is what the method is, and no bound can be
set to it: it is for one pass over what was booked, in a report, and not for the memory of a service. Spot only.

What was held at opening is a lot at no cost. A fee in a currency that is held leaves like a sale at its rate. With a
bust of a purchase its own lot goes, and for what of it had left already the oldest lots go, as if they had left
instead; with a bust of a sale the lots that it took come back as they were.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import ZERO, divide
from tollgate_contracts.strategy import Side
from tollgate_domain.fees import Charge, charge_of
from tollgate_domain.instruments import notional
from tollgate_domain.portfolio import COST_PLACES, OversoldError

# Of so many trades it is remembered which lots they, or their fees, took: a bust comes soon or never.
REMEMBERED_MAX = 128


@dataclass(frozen=True, slots=True)
class Lot:
    """What is left of one purchase."""

    number: int
    """Counts the purchases of all symbols from 0, in the order of the tape."""
    trade_id: str
    """Empty for what was held at opening."""
    at_us: int
    """When it was bought, by the message."""
    quantity: Decimal
    cost: Decimal
    """In quote currency, fees excluded."""


class FifoBook:
    """The lots of one account in one quote currency; it follows what the portfolio has booked, and judges nothing."""

    def __init__(self) -> None:
        self.realized = ZERO
        """Sum of what left at its price, less what it had cost; before fees, in quote currency."""
        self._lots: dict[str, list[Lot]] = {}
        """By symbol, the oldest first."""
        self._held: dict[str, Decimal] = {}
        self._numbers = 0
        self._taken: dict[str, tuple[Lot, ...]] = {}

    def lots(self, symbol: str) -> tuple[Lot, ...]:
        """Return the lots of a symbol, the oldest first."""
        return tuple(self._lots.get(symbol, ()))

    def symbols(self) -> tuple[str, ...]:
        """Return the symbols of which something is held, sorted."""
        return tuple(sorted(symbol for symbol, lots in self._lots.items() if lots))

    def open(self, symbol: str, quantity: Decimal, at_us: int) -> None:
        """Take in what was held at opening, at no cost."""
        self._add(symbol, "", quantity, ZERO, at_us)

    def apply(self, fill: Fill) -> tuple[Lot, ...]:
        """Follow one fill and return what of older lots it has sold; raises ``OversoldError`` for more than is held."""
        made, value = fill.trade, notional(fill.trade.price, fill.trade.quantity)
        sold: tuple[Lot, ...] = ()
        if fill.side is Side.BUY:
            self._add(fill.symbol, made.trade_id, made.quantity, value, fill.ts_us)
        else:
            sold = self._take(fill.symbol, made.quantity)
            self.realized += value - _cost(sold)
            self._remember(f"{fill.symbol} {made.trade_id}", sold)
        charge = charge_of(fill)
        if charge is not None and charge.value is not None:
            self._charge(fill, charge, charge.value)
        return sold

    def undo(self, bust: Bust) -> None:
        """Follow one bust; raises ``OversoldError`` when less is held than it takes back."""
        made, value = bust.trade, notional(bust.trade.price, bust.trade.quantity)
        charge = charge_of(bust)
        if charge is not None and charge.value is not None:
            self._refund(bust, charge, charge.value)
        if bust.side is Side.BUY:
            self.realized += value - _cost(self._take(bust.symbol, made.quantity, first=made.trade_id))
            return
        sold = self._taken.pop(f"{bust.symbol} {made.trade_id}", None)
        if sold is None:
            # Of a sale so long ago the lots are not known any more: what comes back has cost what it was sold for.
            self._add(bust.symbol, made.trade_id, made.quantity, value, bust.ts_us)
            return
        self._put_back(bust.symbol, sold)
        self.realized += _cost(sold) - value

    def _charge(self, fill: Fill, charge: Charge, value: Decimal) -> None:
        held = self.quantity(charge.symbol)
        borne: tuple[Lot, ...] = ()
        if held and charge.quantity < ZERO:
            self._add(charge.symbol, f"{fill.trade.trade_id} rebate", -charge.quantity, -value, fill.ts_us)
            borne = (replace(self._lots[charge.symbol][-1], quantity=charge.quantity, cost=value),)
        elif held and charge.quantity > ZERO:
            borne = self._take(charge.symbol, min(charge.quantity, held))
        self.realized += value - _cost(borne)
        self._remember(f"fee of {fill.symbol} {fill.trade.trade_id}", borne)

    def _refund(self, bust: Bust, charge: Charge, value: Decimal) -> None:
        held = self.quantity(charge.symbol)
        borne = self._taken.pop(f"fee of {bust.symbol} {bust.trade.trade_id}", None)
        if borne is None:
            borne = (Lot(0, "", bust.ts_us, charge.quantity, value),) if held and charge.quantity else ()
        quantity = sum((lot.quantity for lot in borne), ZERO)
        if quantity < ZERO:
            gone = self._take(charge.symbol, min(-quantity, held), first=f"{bust.trade.trade_id} rebate")
            self.realized -= value + _cost(gone)
            return
        self._put_back(charge.symbol, borne)
        self.realized -= value - _cost(borne)

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

    def _remember(self, key: str, lots: tuple[Lot, ...]) -> None:
        self._taken[key] = lots
        if len(self._taken) > REMEMBERED_MAX:
            del self._taken[next(iter(self._taken))]


def _cost(lots: Iterable[Lot]) -> Decimal:
    return sum((lot.cost for lot in lots), ZERO)
