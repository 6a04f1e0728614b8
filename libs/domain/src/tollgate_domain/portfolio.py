"""Cash and positions from what the venue opened with and every fill, bust and movement since, at average cost.

Strategy, risk and ledger use this one arithmetic, so that they can only agree. Spot is paid in full and long only.
A perpetual is a promise: its position is signed, what it has cost is the value at which it was entered, below zero
for a short, and cash moves only by results and fees. At every moment and exactly::

    cash + cost of spot positions == opening cash + opening cost of spot + realized - fees + moved

and for each symbol of either kind, where a buy's value counts above zero and a sale's below::

    cost == opening cost + value of all trades + realized

because whatever rounding takes from the cost of a part that is closed it gives to the realized result. A fee in the
base currency of a spot holding counts as a sale from it, at the rate that its fill bears. What of a fee comes from
beside the holdings, which no equity counts, has been brought in for it at that rate: it is moved, as a deposit is, and
paid. Of a fee without a rate nothing is realized or moved, and nothing counted but how much of the currency went.

A bust takes a trade back as if it had never been. What it had realized is remembered for the newest trades, and then
the cost comes back to the last digit; of an older one that had closed a part, the part comes back at the average cost
of what is held now, or at its own price where nothing is. The law above holds in every case, so what is uncertain is
only which of realized and unrealized has it. A movement is money without an order: of the quote currency it is cash.
Of a spot symbol's base it is a trade at the movement's rate, paid with money that is moved for that and never is cash
(``movements``); without a rate, and of any other currency, it lies beside the holdings.
"""

from collections.abc import Collection
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from pydantic import PlainSerializer, PlainValidator

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import ZERO, plain
from tollgate_contracts.reconciliation import Account, Movement
from tollgate_contracts.strategy import Side
from tollgate_domain import amounts
from tollgate_domain.amounts import Amounts
from tollgate_domain.fees import (
    AMOUNT_PLACES,
    NO_SHARE,
    Charge,
    Share,
    charge_of,
    given_back,
    taken,
)
from tollgate_domain.holdings import EMPTY, Holding, closed, signed, trade, untrade, without
from tollgate_domain.instruments import notional
from tollgate_domain.movements import NOTHING_CARRIED, Carried, carry_in, carry_out
from tollgate_domain.traces import Trace, drop_trace, find_trace, keep_trace, traces_from_json, traces_to_json

COST_PLACES = AMOUNT_PLACES


class OversoldError(ValueError):
    """More would be sold than is held, by a fill or for want of a bought one: we and the venue differ."""


class KindError(ValueError):
    """A fill trades as spot what is held as a perpetual, or the other way about."""


class Booking(NamedTuple):
    """What a fill or a bust has changed, in quote currency."""

    realized: Decimal
    """By the trade itself, before its fee."""
    fee: Decimal
    """What its fee is worth; zero where no rate is known, and below zero for a rebate or a fee that comes back."""
    share: Share = NO_SHARE
    """What of a fee in another currency a holding has borne."""
    brought_in: Decimal = ZERO
    """Value of what of such a fee came from beside the holdings, below zero of a rebate that went there: no result."""

    @property
    def result(self) -> Decimal:
        """Return what all of it has brought, after fees."""
        return self.realized + self.share.realized - self.fee


class Portfolio:
    """The holdings of one account in one quote currency."""

    def __init__(self, quote_currency: str) -> None:
        self.quote_currency = quote_currency
        self.opened = False
        self.opened_us = 0
        """The venue's time of the account message that opened it: what moved until then is in it."""
        self.cash = ZERO
        self.realized = ZERO
        """Sum of what closing positions has brought over their cost, by sales and by fees, before fees."""
        self.fees = ZERO
        """Sum of what fees were worth."""
        self.moved = ZERO
        """Sum of the movements of cash and of holdings, at their value, and of what fees have brought in."""
        self._symbols: tuple[str, ...] = ()
        """Of which spot is a holding without having been traded: nobody's who holds but a part of the account."""
        self._holdings: dict[str, Holding] = {}
        self._beside: Amounts = {}
        self._apart: Amounts = {}
        self._without_rate: Amounts = {}
        self._traces: list[Trace] = []

    def open(self, account: Account, symbols: tuple[str, ...], perpetuals: Collection[str] = ()) -> bool:
        """Take the opening balances and positions from the first account message; say whether this was it.

        What was held of spot is opened at no cost: its price is not known to us. A perpetual's position is opened
        at its entry price; of a symbol that is known to be one, no balance is a holding.
        """
        if self.opened:
            return False
        held = {balance.currency: balance.free + balance.locked for balance in account.balances}
        self.cash = held.get(self.quote_currency, ZERO)
        ours = (symbol for symbol in symbols if symbol.split("-")[1] == self.quote_currency)
        self._symbols = tuple(symbol for symbol in ours if symbol not in perpetuals)
        for symbol in self._symbols:
            base = symbol.split("-")[0]
            if held.get(base, ZERO) > 0:
                self._holdings[symbol] = Holding(held[base], ZERO)
        for position in account.positions:
            if position.symbol in symbols:
                entry_value = notional(position.entry_price, position.quantity)
                self._hold(position.symbol, Holding(position.quantity, entry_value, perpetual=True))
        others = {currency: amount for currency, amount in held.items() if currency != self.quote_currency and amount}
        self._apart = {
            currency: amount
            for currency, amount in others.items()
            if f"{currency}-{self.quote_currency}" not in self._holdings
        }
        self.opened, self.opened_us = True, account.venue_ts_us
        return True

    def holding(self, symbol: str) -> Holding:
        """Return what is held of ``symbol``; nothing is a holding of zero."""
        return self._holdings.get(symbol, EMPTY)

    def holdings(self) -> dict[str, Holding]:
        """Return every holding but those of zero, sorted by symbol."""
        return {symbol: self._holdings[symbol] for symbol in sorted(self._holdings)}

    def apply(self, fill: Fill, *, perpetual: bool = False) -> Booking:
        """Book one fill and return what it has realized, and what its fee was worth, in quote currency.

        Raises ``OversoldError`` when it sells more of spot than is held, ``KindError`` when what is held is of
        the other kind, and ``ValueError`` for a symbol of another quote currency.
        """
        made = fill.trade
        before = self._before(fill, perpetual=perpetual)
        if not perpetual and fill.side is Side.SELL and made.quantity > before.quantity:
            raise OversoldError(f"fill {made.trade_id} sells {made.quantity} {fill.symbol}, held {before.quantity}")
        quantity = signed(fill.side, made.quantity)
        after, realized = trade(before, quantity, made.price)
        self._hold(fill.symbol, after)
        self.cash += realized if perpetual else -notional(made.price, quantity)
        self.realized += realized
        charge = charge_of(fill)
        share = NO_SHARE if charge is None else self._taken(fill, charge)
        keep_trace(self._traces, fill, closed(before, quantity), realized, share)
        return self._pay(made.fee, realized) if charge is None else self._spend(charge, 1, share, realized)

    def undo(self, bust: Bust, *, perpetual: bool = False) -> Booking:
        """Take one booked fill back and return how much more is realized and paid in fees without it.

        Raises ``OversoldError`` when spot that it had bought has been sold since, ``KindError`` when what is held is
        of the other kind, and ``ValueError`` for a symbol of another quote currency.
        """
        made, charge, share = bust.trade, charge_of(bust), self._given_back(bust)
        before = self._before(bust, perpetual=perpetual)
        if charge is not None and charge.symbol == bust.symbol:
            before = without(before, share)
        if not perpetual and bust.side is Side.BUY and made.quantity > before.quantity:
            raise OversoldError(
                f"bust {made.trade_id} takes back {made.quantity} {bust.symbol}, held {before.quantity}"
            )
        quantity = signed(bust.side, made.quantity)
        trace = find_trace(self._traces, bust)
        drop_trace(self._traces, bust)
        after, realized = untrade(before, quantity, made.price, trace and trace.realized)
        self.cash += realized if perpetual else notional(made.price, quantity)
        self.realized += realized
        if charge is None:
            self._hold(bust.symbol, after)
            return self._pay(-made.fee, realized)
        booking = self._spend(charge, -1, share, realized)
        self._hold(bust.symbol, after)
        return booking

    def left_of(self, bust: Bust) -> Decimal:
        """Return how much of its symbol a bust may take back: what is held, with what of its fee comes back first."""
        charge, held = charge_of(bust), self.holding(bust.symbol)
        is_own = charge is not None and charge.symbol == bust.symbol
        return without(held, self._given_back(bust)).quantity if is_own else held.quantity

    def _taken(self, fill: Fill, charge: Charge) -> Share:
        bears, apart = self.holding(charge.symbol), self._apart.get(charge.currency, ZERO)
        # Who holds but a part of the account leaves it to the rest to pay for what was not bought with that part.
        rest_pays = apart and charge.symbol != fill.symbol and apart + self.beside(charge.currency) >= charge.quantity
        return NO_SHARE if bears.perpetual or rest_pays else taken(bears.quantity, bears.cost, charge)

    def _given_back(self, bust: Bust) -> Share:
        charge = charge_of(bust)
        if charge is None:
            return NO_SHARE
        bears, trace = self.holding(charge.symbol), find_trace(self._traces, bust)
        return NO_SHARE if bears.perpetual else given_back(bears.quantity, bears.cost, charge, trace and trace.share)

    def _before(self, message: Fill | Bust, *, perpetual: bool) -> Holding:
        name = f"{message.kind} {message.trade.trade_id}"
        if message.symbol.split("-")[1] != self.quote_currency:
            raise ValueError(f"{name} of {message.symbol}, expected a symbol in {self.quote_currency}")
        before = self._holdings.get(message.symbol, Holding(ZERO, ZERO, perpetual))
        if before.perpetual is not perpetual:
            kind = "a perpetual" if before.perpetual else "spot"
            raise KindError(f"{name} of {message.symbol}, which is held as {kind}")
        return before

    def _pay(self, fee: Decimal, realized: Decimal) -> Booking:
        self.cash -= fee
        self.fees += fee
        return Booking(realized, fee)

    def _spend(self, charge: Charge, sign: int, share: Share, realized: Decimal) -> Booking:
        """Pay a fee in another currency, or with ``sign`` -1 take it back, out of a holding and from beside it."""
        quantity = sign * charge.quantity
        if share.quantity:
            self._hold(charge.symbol, without(self.holding(charge.symbol), share))
        amounts.add(self._beside, charge.currency, share.quantity - quantity)
        if charge.value is None:
            amounts.add(self._without_rate, charge.currency, quantity)
            return Booking(realized, ZERO)
        fee = sign * charge.value
        brought_in = fee - share.value
        self.fees += fee
        self.realized += share.realized
        self.moved += brought_in
        return Booking(realized, fee, share, brought_in)

    def move(self, movement: Movement) -> Carried | None:
        """Take in money that came or went without an order; return what it changed, none where the opening has it."""
        if not self.opened or movement.venue_ts_us <= self.opened_us:
            return None
        if movement.currency == self.quote_currency:
            self.cash += movement.amount
            carried = Carried(movement.amount)
        else:
            carried = self._carry(movement)
            amounts.add(self._beside, movement.currency, movement.amount - carried.quantity)
        self.moved += carried.value
        self.realized += carried.realized
        return carried

    def lacks_rate(self, movement: Movement) -> bool:
        """Say whether a movement lies beside the holdings for want of a rate, and would be of one with it."""
        is_ours = f"{movement.currency}-{self.quote_currency}" in self._symbols
        return is_ours and movement.rate is None and movement.amount > ZERO

    def _carry(self, movement: Movement) -> Carried:
        symbol = f"{movement.currency}-{self.quote_currency}"
        holding = self.holding(symbol)
        if holding.perpetual:
            return NOTHING_CARRIED
        if movement.amount > ZERO:
            carried = carry_in(symbol, movement) if symbol in self._symbols else NOTHING_CARRIED
        else:
            lies = self._apart.get(movement.currency, ZERO) + self.beside(movement.currency)
            carried = carry_out(symbol, movement, lies, holding.quantity, holding.cost)
        self._hold(symbol, Holding(holding.quantity + carried.quantity, holding.cost + carried.cost))
        return carried

    def beside(self, currency: str) -> Decimal:
        """Return what has moved, or gone for fees, of a currency other than the quote currency, beside holdings."""
        return self._beside.get(currency, ZERO)

    def without_rate(self) -> Amounts:
        """Return what of the fees has no known value and is in no sum, by currency; to be looked at by somebody."""
        return amounts.in_order(self._without_rate)

    def _hold(self, symbol: str, holding: Holding) -> None:
        if holding.quantity:
            self._holdings[symbol] = holding
        else:
            self._holdings.pop(symbol, None)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "opened": self.opened,
            "opened_us": self.opened_us,
            "cash": plain(self.cash),
            "realized": plain(self.realized),
            "fees": plain(self.fees),
            "moved": plain(self.moved),
            "symbols": list(self._symbols),
            "beside": amounts.to_json(self._beside),
            "apart": amounts.to_json(self._apart),
            "without_rate": amounts.to_json(self._without_rate),
            "traces": traces_to_json(self._traces),
            "holdings": {
                symbol: [plain(holding.quantity), plain(holding.cost)] for symbol, holding in self.holdings().items()
            },
            "perpetuals": [symbol for symbol, holding in self.holdings().items() if holding.perpetual],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        self.opened = state["opened"]
        self.opened_us = state["opened_us"]
        self.cash = Decimal(state["cash"])
        self.realized = Decimal(state["realized"])
        self.fees = Decimal(state["fees"])
        self.moved = Decimal(state["moved"])
        self._symbols = tuple(state["symbols"])
        self._beside = amounts.from_json(state["beside"])
        self._apart = amounts.from_json(state["apart"])
        self._without_rate = amounts.from_json(state["without_rate"])
        self._traces = traces_from_json(state["traces"])
        self._holdings = {
            symbol: Holding(Decimal(quantity), Decimal(cost), symbol in state["perpetuals"])
            for symbol, (quantity, cost) in state["holdings"].items()
        }


def _state_of(portfolio: Portfolio | None) -> dict[str, Any] | None:
    if portfolio is None:
        return None
    return {"quote_currency": portfolio.quote_currency, "state": portfolio.snapshot()}


def _portfolio_of(state: dict[str, Any] | Portfolio | None) -> Portfolio | None:
    if not isinstance(state, dict):
        return state
    portfolio = Portfolio(state["quote_currency"])
    portfolio.restore(state["state"])
    return portfolio


OptionalPortfolio = Annotated[Portfolio | None, PlainValidator(_portfolio_of), PlainSerializer(_state_of)]
"""A core's portfolio as a field of its state, kept whole in a snapshot."""
