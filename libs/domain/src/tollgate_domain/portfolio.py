"""Cash and positions from what the venue opened with and every fill, bust and movement since, at average cost.

Strategy, risk and ledger use this one arithmetic, so that they can only agree. Spot is paid in full and long only.
A perpetual is a promise: its position is signed, what it has cost is the value at which it was entered, below zero
for a short, and cash moves only by results and fees. At every moment and exactly::

    cash + cost of spot positions == opening cash + opening cost of spot + realized - fees + moved

and for each symbol of either kind, where a buy's value counts above zero and a sale's below::

    cost == opening cost + value of all trades + realized

because whatever rounding takes from the cost of a part that is closed it gives to the realized result. A fee in the
base currency of a spot holding counts as a sale from it, at the rate that its fill bears; one in a currency that is
not held comes from beside the holdings, where nothing has a cost, so that its whole value is realized and paid. Of
a fee without a rate nothing is realized, and nothing counted but how much of the currency went.

A bust takes a trade back as if it had never been. What it had realized is remembered for the newest trades, and then
the cost comes back to the last digit; of an older one that had closed a part, the part comes back at the average cost
of what is held now, or at its own price where nothing is. The law above holds in every case, so what is uncertain is
only which of realized and unrealized has it. A movement is money without an order: of the quote currency it is cash,
of any other it lies beside the holdings, and no position follows from it.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from pydantic import PlainSerializer, PlainValidator

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import ZERO, divide, plain
from tollgate_contracts.reconciliation import Account, Movement
from tollgate_contracts.strategy import Side
from tollgate_domain import amounts
from tollgate_domain.amounts import Amounts
from tollgate_domain.fees import (
    AMOUNT_PLACES,
    NO_SHARE,
    Charge,
    RememberedShare,
    Share,
    charge_of,
    drop_share,
    find_share,
    given_back,
    keep_share,
    taken,
)
from tollgate_domain.instruments import notional

COST_PLACES = AMOUNT_PLACES
# Of how many trades that made a position smaller it is remembered what they realized: a bust comes soon or never.
REMEMBERED_MAX = 128


class OversoldError(ValueError):
    """More would be sold than is held, by a fill or for want of a bought one: we and the venue differ."""


class KindError(ValueError):
    """A fill trades as spot what is held as a perpetual, or the other way about."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What is held of one symbol: quantity in base currency, its whole cost in quote currency, fees excluded.

    Both are below zero for a short, which only a perpetual can be.
    """

    quantity: Decimal
    cost: Decimal
    perpetual: bool = False


EMPTY = Holding(ZERO, ZERO)


class Booking(NamedTuple):
    """What a fill or a bust has changed, in quote currency."""

    realized: Decimal
    """By the trade itself, before its fee."""
    fee: Decimal
    """What its fee is worth; zero where no rate is known, and below zero for a rebate or a fee that comes back."""
    fee_cost: Decimal = ZERO
    """What the part of a fee in another currency that a holding has borne had cost."""
    fee_realized: Decimal = ZERO
    """By the spending of another currency for the fee: its value less its cost."""

    @property
    def result(self) -> Decimal:
        """Return what all of it has brought, after fees."""
        return self.realized + self.fee_realized - self.fee


def signed(side: Side, quantity: Decimal) -> Decimal:
    """Return ``quantity`` as it changes a position: above zero for a buy, below for a sale."""
    return quantity if side is Side.BUY else -quantity


def trade(before: Holding, quantity: Decimal, price: Decimal) -> tuple[Holding, Decimal]:
    """Return the holding after a trade of signed ``quantity``, and what was realized, before fees.

    A trade may open, enlarge, reduce, close, or close and open the other way.
    """
    held = before.quantity
    if held * quantity >= ZERO:
        return Holding(held + quantity, before.cost + notional(price, quantity), before.perpetual), ZERO
    closed = min(abs(held), abs(quantity))
    # The part of the position that ends, with its own sign, and what is left of the trade to open anew.
    ended = closed if held > ZERO else -closed
    cost = before.cost if closed == abs(held) else divide(before.cost * closed, abs(held), COST_PLACES)
    after = Holding(held + quantity, before.cost - cost + notional(price, quantity + ended), before.perpetual)
    return after, notional(price, ended) - cost


def untrade(before: Holding, quantity: Decimal, price: Decimal, realized: Decimal | None) -> tuple[Holding, Decimal]:
    """Return the holding without a trade of signed ``quantity``, and how much more is then realized, before fees.

    ``realized`` is what the trade itself had brought, none where that is not known any more.
    """
    left, value = before.quantity - quantity, notional(price, quantity)
    had_closed = left * quantity < ZERO
    if not left:
        cost = ZERO
    elif had_closed and realized is None:
        cost = _at_average(before, left, price)
    else:
        cost = before.cost - value - (realized or ZERO)
        # What was traded since has mixed the costs: what is left never has one of the other sign.
        cost = _at_average(before, left, price) if cost * left < ZERO else cost
    return replace(before, quantity=left, cost=cost), cost - before.cost + value


def _at_average(before: Holding, left: Decimal, price: Decimal) -> Decimal:
    if before.quantity * left <= ZERO:
        return notional(price, left)
    return divide(before.cost * left, before.quantity, COST_PLACES)


class Portfolio:
    """The holdings of one account in one quote currency."""

    def __init__(self, quote_currency: str) -> None:
        self.quote_currency = quote_currency
        self.opened = False
        self.opened_us = 0
        """The venue's time of the account message that opened it: what moved until then is in it."""
        self.cash = ZERO
        self.realized = ZERO
        """Sum of what closing positions has brought over their cost, and spending other currencies, before fees."""
        self.fees = ZERO
        """Sum of what fees were worth."""
        self.moved = ZERO
        """Sum of the movements in the quote currency."""
        self._holdings: dict[str, Holding] = {}
        self._beside: Amounts = {}
        self._apart: Amounts = {}
        self._without_rate: Amounts = {}
        self._remembered: list[tuple[str, Decimal]] = []
        self._shares: list[RememberedShare] = []

    def open(self, account: Account, symbols: tuple[str, ...], perpetuals: Collection[str] = ()) -> bool:
        """Take the opening balances and positions from the first account message; say whether this was it.

        What was held of spot is opened at no cost: its price is not known to us. A perpetual's position is opened
        at its entry price; of a symbol that is known to be one, no balance is a holding.
        """
        if self.opened:
            return False
        held = {balance.currency: balance.free + balance.locked for balance in account.balances}
        self.cash = held.get(self.quote_currency, ZERO)
        for symbol in symbols:
            base, quote = symbol.split("-")
            if quote == self.quote_currency and held.get(base, ZERO) > 0 and symbol not in perpetuals:
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
        remember(self._remembered, before, fill, realized)
        self._hold(fill.symbol, after)
        self.cash += realized if perpetual else -notional(made.price, quantity)
        self.realized += realized
        charge = charge_of(fill)
        if charge is None:
            return self._pay(made.fee, realized)
        share = self._taken(fill, charge)
        keep_share(self._shares, fill, share)
        return self._spend(charge, 1, share, realized)

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
        after, realized = untrade(before, quantity, made.price, recall(self._remembered, bust))
        self.cash += realized if perpetual else notional(made.price, quantity)
        self.realized += realized
        if charge is None:
            self._hold(bust.symbol, after)
            return self._pay(-made.fee, realized)
        drop_share(self._shares, bust)
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
        bears, known = self.holding(charge.symbol), find_share(self._shares, bust)
        return NO_SHARE if bears.perpetual else given_back(bears.quantity, bears.cost, charge, known)

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
        value = sign * charge.value
        self.fees += value
        self.realized += value - share.cost
        return Booking(realized, value, share.cost, value - share.cost)

    def move(self, movement: Movement) -> bool:
        """Take in money that came or went without an order; say whether it was news and not in the opening."""
        if not self.opened or movement.venue_ts_us <= self.opened_us:
            return False
        if movement.currency == self.quote_currency:
            self.cash += movement.amount
            self.moved += movement.amount
            return True
        amounts.add(self._beside, movement.currency, movement.amount)
        return True

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
            "beside": amounts.to_json(self._beside),
            "apart": amounts.to_json(self._apart),
            "without_rate": amounts.to_json(self._without_rate),
            "remembered": [[trade, plain(realized)] for trade, realized in self._remembered],
            "shares": [[trade, plain(quantity), plain(cost)] for trade, quantity, cost in self._shares],
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
        self._beside = amounts.from_json(state["beside"])
        self._apart = amounts.from_json(state["apart"])
        self._without_rate = amounts.from_json(state["without_rate"])
        self._remembered = [(trade, Decimal(realized)) for trade, realized in state["remembered"]]
        self._shares = [(trade, Decimal(quantity), Decimal(cost)) for trade, quantity, cost in state["shares"]]
        self._holdings = {
            symbol: Holding(Decimal(quantity), Decimal(cost), symbol in state["perpetuals"])
            for symbol, (quantity, cost) in state["holdings"].items()
        }


def without(before: Holding, share: Share) -> Holding:
    """Return the holding after it has borne its share of a fee."""
    return replace(before, quantity=before.quantity - share.quantity, cost=before.cost - share.cost)


def remember(remembered: list[tuple[str, Decimal]], before: Holding, fill: Fill, realized: Decimal) -> None:
    """Remember what a trade that made the position smaller has realized; the oldest makes room."""
    if before.quantity * signed(fill.side, fill.trade.quantity) < ZERO:
        remembered.append((f"{fill.symbol} {fill.trade.trade_id}", realized))
        del remembered[:-REMEMBERED_MAX]


def recall(remembered: list[tuple[str, Decimal]], bust: Bust) -> Decimal | None:
    """Return what the trade that is taken back had realized, and forget it; none where that is not known."""
    name = f"{bust.symbol} {bust.trade.trade_id}"
    for number, (trade_name, realized) in enumerate(remembered):
        if trade_name == name:
            del remembered[number]
            return realized
    return None


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
