"""What holds for every tape: caps, cash, reservations, and the same answers again."""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate_contracts.codec import encode
from tollgate_contracts.execution import OrderState
from tollgate_contracts.marketdata import FeedState
from tollgate_contracts.money import round_ceiling, round_down
from tollgate_contracts.risk import Outcome
from tollgate_contracts.strategy import Side
from tollgate_risk.core import RiskCore
from tollgate_risk.core.gates.cash import free_cash
from tollgate_risk.core.gates.limits import gross_exposure_of

SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT")
RESERVE = Decimal(1_000)
ORDER_CAP, POSITION_CAP, GROSS_CAP = Decimal(5_000), Decimal(6_000), Decimal(9_000)
OPEN_CAP, OPEN_SYMBOL_CAP, CYCLE_CAP = 3, 2, 3
# So tight that a random tape runs into every cap.
RULES = {
    "limits.order_notional": str(ORDER_CAP),
    "limits.position_notional": str(POSITION_CAP),
    "limits.gross_exposure": str(GROSS_CAP),
    "limits.open_orders": OPEN_CAP,
    "limits.open_orders_symbol": OPEN_SYMBOL_CAP,
    "limits.orders_per_cycle": CYCLE_CAP,
    "cash.reserve": str(RESERVE),
}
FEE = Decimal("0.002")
PROFILE = settings(max_examples=40, deadline=None)

SYMBOL = st.sampled_from(SYMBOLS)
PERCENT = st.integers(1, 110)
BUY = st.tuples(
    st.just("buy"),
    SYMBOL,
    st.sampled_from([Decimal(1), Decimal(10), Decimal(25), Decimal("28.5"), Decimal(40), Decimal(50)]),
    st.integers(-100, 110).map(lambda ticks: Decimal(ticks).scaleb(-2)),
)
SELL = st.tuples(st.just("sell"), SYMBOL, PERCENT, st.integers(-90, 90).map(lambda ticks: Decimal(ticks).scaleb(-2)))
VENUE_SAYS = st.sampled_from([*OrderState, OrderState.FILLED, OrderState.FILLED, OrderState.FILLED])
VENUE = st.tuples(st.just("venue"), st.integers(0, 9), VENUE_SAYS, st.integers(0, 100))
RARE = st.one_of(
    st.tuples(st.just("quote"), SYMBOL, st.integers(9_000, 11_000).map(lambda cents: Decimal(cents).scaleb(-2))),
    st.tuples(st.just("refuse"), st.integers(0, 9)),
    st.tuples(st.just("kill"), st.sampled_from([False] * 9 + [True])),
    st.tuples(st.just("cycle")),
    st.tuples(st.just("cycle")),
    st.tuples(st.just("wait"), st.integers(0, 3_000_000)),
)
# Mostly what trades: a random tape on which everything is refused proves nothing.
STEP = st.sampled_from([BUY] * 4 + [SELL] * 2 + [VENUE] * 3 + [RARE]).flatmap(lambda step: step)
STEPS = st.lists(STEP, min_size=40, max_size=120)
CASH = st.sampled_from(["5009", "7000", "100000"])


@dataclass
class VenueOrder:
    """An approved order as the test's own venue keeps it."""

    decision: Any
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    filled: Decimal = Decimal(0)
    over: bool = False
    known: bool = False

    @property
    def remaining(self) -> Decimal:
        return Decimal(0) if self.over else self.quantity - self.filled


class World:
    """An independent account of what happened: the test's own venue, written without the gate's code."""

    def __init__(self, desk: Any, cash: str) -> None:
        self.desk = desk.open(RULES, cash=cash)
        self.desk.next_cycle()
        self.marks = dict.fromkeys(SYMBOLS, Decimal(100))
        self.cash = Decimal(cash)
        self.held = dict.fromkeys(SYMBOLS, Decimal(0))
        self.orders: list[VenueOrder] = []
        self.cycle_entries = 0
        self.epoch = 0

    def play(self, step: tuple[Any, ...]) -> None:
        name, *arguments = step
        getattr(self, name)(*arguments)

    def quote(self, symbol: str, mark: Decimal) -> None:
        self.marks[symbol] = mark
        self.desk.quote(symbol, bid=str(mark - Decimal("0.01")), ask=str(mark + Decimal("0.01")))

    def kill(self, engaged: bool) -> None:
        self.epoch += int(engaged)
        self.desk.kill(engaged=engaged, epoch=self.epoch)

    def cycle(self) -> None:
        self.cycle_entries = 0
        self.desk.next_cycle()

    def wait(self, microseconds: int) -> None:
        self.desk.wait(microseconds)
        self.desk.feed(FeedState.UP)

    def buy(self, symbol: str, quantity: Decimal, offset: Decimal) -> None:
        self.ask(symbol, Side.BUY, quantity, self.marks[symbol] + offset)

    def sell(self, symbol: str, percent: int, offset: Decimal) -> None:
        if self.held[symbol]:
            quantity = round_ceiling(self.held[symbol] * percent / 100, Decimal("0.001"))
            self.ask(symbol, Side.SELL, quantity, self.marks[symbol] + offset)

    def ask(self, symbol: str, side: Side, quantity: Decimal, price: Decimal) -> None:
        decision = self.desk.ask(side, str(quantity), str(price), symbol=symbol)
        if decision.outcome is Outcome.REJECTED:
            return
        self.orders.append(VenueOrder(decision, symbol, side, quantity, price))
        self.check_caps(side, symbol, quantity * max(price, self.marks[symbol]))

    def check_caps(self, side: Side, symbol: str, value: Decimal) -> None:
        assert value <= ORDER_CAP
        selling = sum((o.remaining for o in self.orders if o.symbol == symbol and o.side is Side.SELL), Decimal(0))
        assert selling <= self.held[symbol]
        if side is Side.SELL:
            return
        self.cycle_entries += 1
        exposure = {s: self.held[s] * self.marks[s] for s in SYMBOLS}
        promised = Decimal(0)
        for order in self.orders:
            if order.side is Side.BUY:
                exposure[order.symbol] += order.remaining * max(order.price, self.marks[order.symbol])
                promised += order.remaining * order.price * (1 + FEE)
        working = [order for order in self.orders if not order.over]
        assert exposure[symbol] <= POSITION_CAP
        assert sum(exposure.values()) <= GROSS_CAP
        assert self.cash - promised >= RESERVE
        assert len(working) <= OPEN_CAP
        assert sum(order.symbol == symbol for order in working) <= OPEN_SYMBOL_CAP
        assert self.cycle_entries <= CYCLE_CAP

    def pick(self, number: int) -> VenueOrder | None:
        alive = [order for order in self.orders if not order.over]
        return alive[number % len(alive)] if alive else None

    def refuse(self, number: int) -> None:
        order = self.pick(number)
        if order is not None and not order.known:
            order.over = True
            self.desk.refuse(order.decision)

    def venue(self, number: int, state: OrderState, percent: int) -> None:
        order = self.pick(number)
        if order is None:
            return
        order.known = True
        share = Decimal(100) if state is OrderState.FILLED else Decimal(percent)
        traded = round_down(order.remaining * share / 100, Decimal("0.001"))
        if state is OrderState.FILLED:
            traded = order.remaining
        over = state in {OrderState.FILLED, OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED}
        said_first = number % 2 == 0
        order.filled += traded
        if said_first:
            self.say(order, state)
        if traded:
            self.trade(order, traded)
        if not said_first:
            self.say(order, state)
        order.over = over

    def say(self, order: VenueOrder, state: OrderState) -> None:
        self.desk.order(
            order.decision.client_order_id,
            state,
            str(order.filled),
            str(order.quantity),
            symbol=order.symbol,
            side=order.side,
            limit_price=order.price,
        )

    def trade(self, order: VenueOrder, traded: Decimal) -> None:
        value = traded * order.price
        sign = 1 if order.side is Side.BUY else -1
        self.held[order.symbol] += sign * traded
        self.cash -= sign * value + value * FEE
        self.desk.fill(
            order.decision.client_order_id,
            str(traded),
            str(order.price),
            order.side,
            str((value * FEE).normalize()),
            symbol=order.symbol,
        )


@PROFILE
@given(steps=STEPS, cash=CASH)
def test_no_approved_order_violates_a_cap(new_desk, steps, cash):
    """Counted by a venue of the test's own: caps hold at each approval, and cash never falls below the reserve."""
    world = World(new_desk(), cash)
    for step in steps:
        world.play(step)
        state = world.desk.core.state
        assert state.fault is None
        assert world.cash >= RESERVE
        assert state.portfolio.cash == world.cash
        assert {symbol: state.held(symbol) for symbol in SYMBOLS} == world.held
        assert set(state.orders.by_id) == {o.decision.client_order_id for o in world.orders if not o.over}


@PROFILE
@given(steps=STEPS, cash=CASH)
def test_nothing_is_reserved_when_no_order_is_open(new_desk, steps, cash):
    """However the orders went, once all are over cash and exposure are those of the books alone."""
    world = World(new_desk(), cash)
    for step in steps:
        world.play(step)
    while (order := world.pick(0)) is not None:
        order.known = True
        world.say(order, OrderState.CANCELLED)
        order.over = True
    state = world.desk.core.state
    assert len(state.orders) == 0
    assert free_cash(state) == state.portfolio.cash
    assert gross_exposure_of(state) == sum(world.held[s] * world.marks[s] for s in SYMBOLS)


@PROFILE
@given(steps=STEPS, cash=CASH, at=st.integers(0, 80))
def test_the_same_tape_gives_the_same_bytes_also_from_a_snapshot(new_desk, steps, cash, at):
    """State is a function of the tape: a second gate, restored from JSON half-way, writes the same outputs."""
    world = World(new_desk(), cash)
    for step in steps:
        world.play(step)
    again = RiskCore()
    outputs = []
    for sequence, message in enumerate(world.desk.taped, start=1):
        if sequence == at:
            state = json.loads(json.dumps(again.snapshot()))
            again = RiskCore()
            again.restore(state)
        outputs.extend(again.step(sequence, message).outputs)
    assert [encode(o) for o in outputs] == [encode(o) for o in world.desk.outputs]
    assert again.snapshot() == world.desk.core.snapshot()
