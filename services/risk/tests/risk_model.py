"""A venue and a naive gate of the tests' own, written without the gate's code: what is approved is judged again here.

The law of this file: it works everything out anew from the list of orders and fills whenever it is asked, and calls
neither the gates nor the book of exposures. Only a perpetual's average cost is taken from the portfolio, whose own
properties are proved where it lives.
"""

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tollgate_contracts.execution import Fill, OrderState
from tollgate_contracts.marketdata import Clock, FeedState, InstrumentStatus, MarginTerms
from tollgate_contracts.money import round_down
from tollgate_contracts.reconciliation import Account
from tollgate_contracts.risk import Decision, Mode, Outcome, Policy, TradingMode
from tollgate_contracts.strategy import Action, Intent, Side

SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT")
TERMS = MarginTerms(initial_rate=Decimal("0.1"), maintenance_rate=Decimal("0.05"), leverage_max=Decimal(10))
NOTHING = Decimal(0)
BPS = Decimal(10_000)
STEP = Decimal("0.001")
TICK = Decimal("0.01")
MS = 1_000
OVER = frozenset({OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED})
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000


@dataclass
class VenueOrder:
    """An approved order as the venue and the tape know it; quantities in base currency."""

    id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    reducing: bool
    decision: Decision | None = None
    traded: Decimal = NOTHING
    told: Decimal = NOTHING
    """What of it the tape has been told as fills."""
    known: bool = False
    final: bool = False

    @property
    def remaining(self) -> Decimal:
        """What the gate must still expect: all that may trade, or the fills that are not told yet."""
        return max((self.traded if self.final else self.quantity) - self.told, NOTHING)


@dataclass
class Approved:
    """When an order was approved, and what counts for the pace."""

    at_us: int
    cycle: int
    symbol: str
    same: tuple[Any, ...]
    value: Decimal
    reducing: bool


@dataclass
class Risk:
    """What is at risk in one symbol, worked out from nothing but its orders and its holding."""

    high: Decimal
    low: Decimal
    equity: Decimal
    claimed: Decimal
    fee_base: Decimal
    buying: Decimal
    selling: Decimal
    orders: int

    @property
    def worst(self) -> Decimal:
        return max(abs(self.high), abs(self.low))


@dataclass
class World:
    """Everything that has happened, as somebody else would keep it."""

    desk: Any
    rules: dict[str, Any]
    perpetuals: tuple[str, ...]
    cash: Decimal
    """As if every trade were paid in full: cash and the cost of perpetuals are in it."""
    fee_bps: Decimal = Decimal(20)
    marks: dict[str, Decimal] = field(default_factory=dict)
    quoted_us: dict[str, int] = field(default_factory=dict)
    skew_us: dict[str, int] = field(default_factory=dict)
    held: dict[str, Decimal] = field(default_factory=dict)
    status: dict[str, InstrumentStatus] = field(default_factory=dict)
    feed: FeedState = FeedState.UP
    mode: TradingMode | None = None
    engaged: bool = False
    orders: list[VenueOrder] = field(default_factory=list)
    approved: list[Approved] = field(default_factory=list)
    decided_us: dict[str, int] = field(default_factory=dict)
    peak: Decimal | None = None
    """Highest equity at any fill, clock or policy, since the account was opened."""
    day: int = 0
    day_opening: Decimal = NOTHING
    agreed: bool = False
    """Whether gate and world have been compared since the last step."""
    policy_approvals: int = 0
    """How many had been approved when the policy came."""

    def __post_init__(self) -> None:
        step = self.desk.step

        def heard(message: Any) -> tuple[Any, ...]:
            self.agreed = False
            outputs: tuple[Any, ...] = step(message)
            self.hear(outputs)
            self.watch(message)
            return outputs

        self.desk.step = heard

    def watch(self, message: Any) -> None:
        """Note equity whenever results may have changed."""
        if isinstance(message, Account) if self.peak is None else isinstance(message, Fill | Clock | Policy):
            equity, day = self.equity(), self.desk.now_us // DAY_US
            self.peak = equity if self.peak is None else max(self.peak, equity)
            if day != self.day:
                self.day, self.day_opening = day, equity

    def hear(self, outputs: tuple[Any, ...]) -> None:
        """Follow what the gate has said: its mode, and the orders by which it closes positions itself."""
        for output in outputs:
            if isinstance(output, Mode):
                self.mode = output.to_mode
            if isinstance(output, Decision) and output.outcome is Outcome.APPROVED and self.engaged:
                self.hear_under_kill(output)

    def hear_under_kill(self, decision: Decision) -> None:
        """While the switch is engaged nothing is approved but cancels and what closes a position."""
        approval = json.loads(decision.approval.text)
        if decision.action is Action.CANCEL:
            assert decision.client_order_id in {order.id for order in self.open()}
            return
        assert approval["scope"] == "FLATTEN"
        assert approval["reduce_only"] is True
        order = VenueOrder(
            id=decision.client_order_id,
            symbol=decision.symbol,
            side=Side(approval["side"]),
            quantity=Decimal(approval["quantity"]),
            price=Decimal(approval["limit_price"]),
            reducing=True,
            decision=decision,
        )
        assert self.can_only_reduce(order.symbol, order.side, order.quantity)
        assert self.rules["arming"]["dry_run"] is False
        self.orders.append(order)

    def open(self) -> list[VenueOrder]:
        """Return the orders of which something may still come."""
        return [order for order in self.orders if not order.final or order.remaining]

    def open_in(self, symbol: str) -> list[VenueOrder]:
        """Return those of one symbol."""
        return [order for order in self.open() if order.symbol == symbol]

    def holding(self, symbol: str) -> Decimal:
        """Return what is held, below zero for a short."""
        return self.held.get(symbol, NOTHING)

    def cost(self, symbol: str) -> Decimal:
        """Return what a perpetual's position was entered at."""
        return self.desk.core.state.cost(symbol)

    def can_only_reduce(self, symbol: str, side: Side, quantity: Decimal) -> bool:
        """Say whether an order makes the position smaller, whichever of the open ones trade before it."""
        held = self.holding(symbol)
        if held == 0 or (held > 0) != (side is Side.SELL):
            return False
        promised = sum((order.remaining for order in self.open_in(symbol) if order.side is side), NOTHING)
        return promised + quantity <= abs(held)

    def risk(self, symbol: str) -> Risk:
        """Work out one symbol anew."""
        mark, held = self.marks.get(symbol, NOTHING), self.holding(symbol)
        is_perpetual = symbol in self.perpetuals
        buys = [order for order in self.open_in(symbol) if order.side is Side.BUY]
        sells = [order for order in self.open_in(symbol) if order.side is Side.SELL]
        worth = held * mark
        result = worth - self.cost(symbol)
        claimed = max(-result, NOTHING) if is_perpetual else sum((o.remaining * o.price for o in buys), NOTHING)
        paying = [(o, max(o.price, mark)) for o in buys + sells] if is_perpetual else [(o, o.price) for o in buys]
        return Risk(
            high=worth + sum((o.remaining * max(o.price, mark) for o in buys), NOTHING),
            low=worth - sum((o.remaining * max(o.price, mark) for o in sells), NOTHING),
            equity=result if is_perpetual else worth,
            claimed=claimed,
            fee_base=sum((order.remaining * price for order, price in paying), NOTHING),
            buying=sum((o.remaining for o in buys), NOTHING),
            selling=sum((o.remaining for o in sells), NOTHING),
            orders=len(buys) + len(sells),
        )

    def equity(self) -> Decimal:
        """Return cash and all holdings at their marks, whatever they are."""
        return self.cash + sum((self.holding(symbol) * self.marks.get(symbol, NOTHING) for symbol in SYMBOLS), NOTHING)

    def real_cash(self) -> Decimal:
        """Return the cash without what perpetuals were entered at, which nobody has paid."""
        return self.cash + sum((self.cost(symbol) for symbol in self.perpetuals), NOTHING)

    def fee(self, amount: Decimal) -> Decimal:
        """Return the most that trading for an amount may cost."""
        return amount * max(self.fee_bps, NOTHING) / BPS

    def trade(self, order: VenueOrder, quantity: Decimal) -> None:
        """Tell the tape of a fill, at the order's own price; what reduces must not enlarge and must not flip."""
        before = self.holding(order.symbol)
        signed = quantity if order.side is Side.BUY else -quantity
        value = signed * order.price
        fee = self.fee(abs(value))
        after = before + signed
        if order.reducing:
            assert abs(after) <= abs(before), "what was to reduce has enlarged"
            assert before * after >= 0, "what was to reduce has flipped"
        order.told += quantity
        self.held[order.symbol] = after
        self.cash -= value + fee
        self.desk.fill(
            order.id, str(quantity), str(order.price), order.side, f"{fee.normalize():f}", symbol=order.symbol
        )

    def say(self, order: VenueOrder, state: OrderState) -> None:
        """Tell the tape where an order stands."""
        order.known = True
        order.final = state in OVER
        self.desk.order(
            order.id,
            state,
            str(order.traded),
            str(order.quantity),
            symbol=order.symbol,
            side=order.side,
            limit_price=order.price,
        )

    def advance(self, order: VenueOrder, state: OrderState, percent: int, *, tells: bool) -> None:
        """Let the venue trade a part of an order and say a state; the fill follows at once, or later."""
        if not order.final:
            left = order.quantity - order.traded
            order.traded += left if state is OrderState.FILLED else round_down(left * percent / 100, STEP)
            self.say(order, state)
        if tells and order.traded > order.told:
            self.trade(order, order.traded - order.told)

    def take_decision(self, intent: Intent, decision: Decision) -> None:
        """Judge an approval anew, then keep its order."""
        is_new = intent.client_order_id not in self.decided_us
        if decision.outcome is Outcome.APPROVED:
            assert is_new or self.decided_us[intent.client_order_id] + 60_000_000 < self.desk.now_us
            self.keep(intent, decision)
        if is_new:
            self.decided_us[intent.client_order_id] = self.desk.now_us

    def keep(self, intent: Intent, decision: Decision) -> None:
        """Take an approved order in."""
        # Here and not above, for the rules import the model.
        from risk_rules import violations  # noqa: PLC0415 - the two halves of one model

        reducing = self.can_only_reduce(intent.symbol, intent.side, intent.quantity)
        assert violations(self, intent, reducing) == []
        value = intent.quantity * max(intent.limit_price, self.marks[intent.symbol])
        same = (intent.symbol, intent.side, intent.quantity, intent.limit_price)
        self.approved.append(Approved(self.desk.now_us, self.desk.cycle_id, intent.symbol, same, value, reducing))
        what = (intent.client_order_id, intent.symbol, intent.side, intent.quantity, intent.limit_price)
        self.orders.append(VenueOrder(*what, reducing, decision))
