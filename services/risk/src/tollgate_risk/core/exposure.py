"""What is at risk, symbol by symbol and in all, at its worst: everything open has traded, at the worse price.

An order that works, whose outcome is UNKNOWN or whose fills are still to come counts in full. The sums are kept as
they change: a quote, an order or a fill touches its symbol, and a decision works out again only what was touched.
Exact decimals make that safe, for a sum that is carried on is the sum.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import PlainSerializer, PlainValidator

from tollgate_contracts.money import ZERO
from tollgate_contracts.strategy import Side
from tollgate_domain.instruments import InstrumentRules
from tollgate_domain.margin import funding_payment
from tollgate_risk.core.orders import OpenOrder

if TYPE_CHECKING:
    from tollgate_risk.core.state import RiskState


class Exposure(NamedTuple):
    """Of one symbol, or the sum of several; in quote currency where nothing else is said."""

    high: Decimal = ZERO
    """Value when every open buy has traded and no open sell has; below zero for a short."""
    low: Decimal = ZERO
    """Value when every open sell has traded and no open buy has."""
    worst: Decimal = ZERO
    """The larger of the two sizes; over several symbols their sum, which is the gross exposure."""
    equity: Decimal = ZERO
    """What the holding adds to equity: its value for spot, its unrealized result for a perpetual."""
    claimed: Decimal = ZERO
    """Cash that may still be taken before fees: by open spot buys, and by what perpetuals have lost unrealized."""
    fee_base: Decimal = ZERO
    """Notional on which open orders may still pay a fee out of cash: all but spot sells, which pay from proceeds."""
    initial_margin: Decimal = ZERO
    maintenance_margin: Decimal = ZERO
    leveraged: Decimal = ZERO
    """The worst size, where the symbol is a perpetual."""
    gained: Decimal = ZERO
    """What a perpetual has won unrealized; what it has lost is claimed."""
    orders: int = 0

    buying: Decimal = ZERO
    """Base currency that open buys may still bring; this and what follows is of one symbol and no sum."""
    selling: Decimal = ZERO
    """The same of open sells."""
    reducing: Decimal = ZERO
    """What of the two belongs to orders that were let through because they only make the position smaller."""
    own_bid: Decimal | None = None
    """The best price of our own open buys."""
    own_ask: Decimal | None = None
    """The best price of our own open sells."""
    funding: Decimal = ZERO
    """What a perpetual's next funding payment may cost."""
    funding_due_us: int = 0

    @property
    def net(self) -> Decimal:
        """The size of longs against shorts at its worst."""
        return max(self.high, -self.low, ZERO)


NOTHING_AT_RISK = Exposure()
# What is held of a perpetual before the venue has said how it margins it counts as if it were paid in full.
_WHOLE = Decimal(1)
_SUMMED = Exposure._fields.index("buying")
_NOT_SUMMED = NOTHING_AT_RISK[_SUMMED:]


class ExposureBook:
    """The exposures of all symbols; derived from the rest of the state, and rebuilt after a restore."""

    def __init__(self) -> None:
        self._unmarked: set[str] = set()
        self._by_symbol: dict[str, Exposure] = {}
        self._by_group: dict[str, Decimal] = {}
        self._funding: dict[int, Decimal] = {}
        """By when it is due, which is at the same time for many symbols."""
        self._total = NOTHING_AT_RISK
        self._touched: dict[str, None] | None = None
        """In the order of being touched; None when everything is to be worked out."""

    def touch(self, symbols: Iterable[str]) -> None:
        """Note that something about these symbols has changed."""
        if self._touched is not None:
            self._touched.update(dict.fromkeys(symbols))

    def touch_all(self) -> None:
        """Note that anything may have changed, such as the policy, which says what the groups are."""
        self._touched = None

    def of(self, state: "RiskState", symbol: str) -> Exposure:
        """Return the exposure of one symbol."""
        self.settle(state)
        return self._by_symbol.get(symbol, NOTHING_AT_RISK)

    def total(self, state: "RiskState") -> Exposure:
        """Return the sum over all symbols."""
        self.settle(state)
        return self._total

    def group(self, state: "RiskState", name: str) -> Decimal:
        """Return the sum of the worst sizes of a group of the policy."""
        self.settle(state)
        return self._by_group.get(name, ZERO)

    def funding(self, state: "RiskState", from_us: int, until_us: int) -> Decimal:
        """Return what the funding payments due from then to then, both included, may cost in all."""
        self.settle(state)
        return sum((cost for due_us, cost in self._funding.items() if from_us <= due_us <= until_us), ZERO)

    def symbols(self, state: "RiskState") -> list[str]:
        """Return every symbol at risk, sorted."""
        self.settle(state)
        return sorted(self._by_symbol)

    def unmarked_of(self, state: "RiskState") -> set[str]:
        """Return the symbols at risk that were never quoted."""
        self.settle(state)
        return self._unmarked

    def settle(self, state: "RiskState") -> None:
        """Work out what was touched; whoever asks for an exposure gets a settled one."""
        if self._touched is None:
            self._by_symbol.clear()
            self._by_group.clear()
            self._funding.clear()
            self._unmarked.clear()
            self._total = NOTHING_AT_RISK
            held = () if state.portfolio is None else state.portfolio.holdings()
            self._touched = dict.fromkeys((*held, *(order.symbol for order in state.orders.by_id.values())))
        if not self._touched:
            return
        orders: dict[str, list[OpenOrder]] = {symbol: [] for symbol in self._touched}
        for order in state.orders.by_id.values():
            if order.symbol in orders:
                orders[order.symbol].append(order)
        for symbol, open_orders in orders.items():
            self._replace(state, symbol, _measure(state, symbol, open_orders))
        self._touched = {}

    def _replace(self, state: "RiskState", symbol: str, now: Exposure) -> None:
        before = self._by_symbol.pop(symbol, NOTHING_AT_RISK)
        self._unmarked.discard(symbol)
        if now is NOTHING_AT_RISK:
            if before is NOTHING_AT_RISK:
                return
        else:
            self._by_symbol[symbol] = now
            if symbol not in state.quotes:
                self._unmarked.add(symbol)
        self._total = _changed(self._total, before, now)
        self._owe(before.funding_due_us, -before.funding)
        self._owe(now.funding_due_us, now.funding)
        if state.policy is not None:
            for group in state.policy.rules.limits.groups_of(symbol):
                self._by_group[group.name] = self._by_group.get(group.name, ZERO) + now.worst - before.worst

    def _owe(self, due_us: int, change: Decimal) -> None:
        if change:
            owed = self._funding.pop(due_us, ZERO) + change
            if owed:
                self._funding[due_us] = owed


def _changed(total: Exposure, before: Exposure, now: Exposure) -> Exposure:
    # A number that has not changed is most often the same object, such as the zeros of a spot desk's margins.
    numbers: zip[tuple[Any, Any, Any]] = zip(total[:_SUMMED], before[:_SUMMED], now[:_SUMMED], strict=True)
    return Exposure._make((*(old if new is gone else old + new - gone for old, gone, new in numbers), *_NOT_SUMMED))


def _measure(state: "RiskState", symbol: str, orders: list[OpenOrder]) -> Exposure:
    held = state.held(symbol)
    if not orders and not held:
        return NOTHING_AT_RISK
    quote = state.quotes.get(symbol)
    mark = ZERO if quote is None else quote.mark
    value = held * mark
    if not state.is_perpetual(symbol):
        return _with_orders(Exposure(high=value, low=value, worst=value, equity=value), orders, mark, spot=True)
    result = value - state.cost(symbol)
    loss = -result if result < 0 else ZERO
    on_margin = Exposure(high=value, low=value, worst=abs(value), equity=result, claimed=loss, gained=result + loss)
    at_risk = _margined(_with_orders(on_margin, orders, mark, spot=False), state.instruments.get(symbol))
    due = state.fundings.get(symbol)
    if due is None:
        return at_risk
    payment = funding_payment(at_risk.high, at_risk.low, due.rate)
    return at_risk._replace(funding=payment, funding_due_us=due.due_us)


def _with_orders(held: Exposure, orders: list[OpenOrder], mark: Decimal, *, spot: bool) -> Exposure:
    if not orders:
        return held
    high, low, claimed = held.high, held.low, held.claimed
    fee_base = buying = selling = reducing = ZERO
    own_bid: Decimal | None = None
    own_ask: Decimal | None = None
    for order in orders:
        remaining, price = order.remaining, order.price
        size = remaining * max(mark, price)
        if order.reducing:
            reducing += remaining
        if order.side is Side.BUY:
            buying += remaining
            high += size
            if remaining and (own_bid is None or price > own_bid):
                own_bid = price
            if spot:
                # Of a stranger without a price only the mark says what it may cost.
                cost = remaining * price if price else size
                claimed += cost
                fee_base += cost
        else:
            selling += remaining
            low -= size
            if remaining and (own_ask is None or price < own_ask):
                own_ask = price
        if not spot:
            fee_base += size
    return Exposure(
        high=high,
        low=low,
        worst=max(high, -low, ZERO),
        equity=held.equity,
        gained=held.gained,
        claimed=claimed,
        fee_base=fee_base,
        orders=len(orders),
        buying=buying,
        selling=selling,
        reducing=reducing,
        own_bid=own_bid,
        own_ask=own_ask,
    )


def _margined(exposure: Exposure, instrument: InstrumentRules | None) -> Exposure:
    terms = None if instrument is None else instrument.margin
    return exposure._replace(
        initial_margin=exposure.worst * (_WHOLE if terms is None else terms.initial_rate),
        maintenance_margin=exposure.worst * (_WHOLE if terms is None else terms.maintenance_rate),
        leveraged=exposure.worst,
    )


def _rebuilt(_value: Any) -> ExposureBook:
    return ExposureBook()


def _nothing(_book: ExposureBook) -> None:
    return None


DerivedBook = Annotated[ExposureBook, PlainValidator(_rebuilt), PlainSerializer(_nothing)]
"""The book as a field of the state: nothing of it stands in a snapshot."""
