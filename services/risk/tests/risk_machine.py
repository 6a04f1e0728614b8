"""Random tapes: whatever the market, the strategy, the venue and the operators do, step by step."""

import json
from decimal import Decimal
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from risk_model import MS, NOTHING, STEP, SYMBOLS, TERMS, TICK, VenueOrder, World

from tollgate_contracts.codec import encode
from tollgate_contracts.execution import OrderState
from tollgate_contracts.marketdata import FeedState, InstrumentStatus
from tollgate_contracts.money import round_ceiling
from tollgate_contracts.strategy import Purpose, Side, TimeInForce
from tollgate_risk.core import RiskCore

CASH = ("5009", "9000", "100000")
PAIR = {"name": "pair", "symbols": ["BTC-USDT", "ETH-USDT"], "exposure": "8000"}
ALL = {"name": "all", "symbols": [*SYMBOLS], "exposure": "8500"}
# So tight that a random tape runs into every cap.
TIGHT: dict[str, Any] = {
    "limits.order_notional": "5000",
    "limits.cycle_notional": "9500",
    "limits.position_notional": "6000",
    "limits.position_units": [{"symbol": symbol, "units": "58"} for symbol in SYMBOLS],
    "limits.gross_exposure": "9000",
    "limits.net_exposure": "8800",
    "limits.groups": [PAIR, ALL],
    "limits.concentration_bps": "9000",
    "limits.open_orders": 4,
    "limits.open_orders_symbol": 3,
    "limits.orders_per_cycle": 4,
    "limits.reducing_orders_per_cycle": 4,
    "cash.treasury_share_bps": "2000",
}
POLICIES: tuple[dict[str, Any], ...] = (
    {},
    {"mode": "REDUCE_ONLY"},
    {"mode": "OBSERVE_ONLY"},
    {"arming.dry_run": True},
    {"universe.allowed": ["BTC-USDT", "ETH-USDT"], "universe.excluded": ["ETH-USDT"]},
    {
        "pace.global_spacing_ms": 10,
        "pace.symbol_cooldown_ms": 100,
        "pace.reducing_symbol_cooldown_ms": 20,
        "intents.repeat_ms": 200,
    },
    {"pace.burst": 2, "pace.rate_per_s": 1, "pace.orders_per_hour": 5, "pace.orders_per_day": 6},
    {"limits.order_notional": "2600", "limits.gross_exposure": "6000", "limits.net_exposure": "3000"},
    {"limits.concentration_bps": "3000", "limits.open_orders": 2, "cash.reserve": "3000"},
    {"loss.daily": "40", "loss.drawdown_bps": "100"},
    {"margin.leverage_max": "1", "margin.initial_buffer_bps": "5000", "margin.maintenance_buffer_bps": "20000"},
)
SYMBOL = st.sampled_from(SYMBOLS)
QUANTITY = st.sampled_from([Decimal(q) for q in ("0.004", "1", "10", "25", "28.5", "40", "50", "50.001")])
USUAL = st.sampled_from([Decimal(q) for q in ("1", "7.5", "10", "20", "25", "33.333")])
MOSTLY_BUY = st.sampled_from([Side.BUY, Side.BUY, Side.SELL])
SELDOM = st.sampled_from([True, False, False])
LEVEL = st.sampled_from(["HALT", "CANCEL", "FLATTEN", "FLATTEN"])
OFFSET = st.integers(-110, 110).map(lambda ticks: ticks * TICK)
NUMBER = st.integers(0, 11)
WAIT_US = st.sampled_from([0, 1, 9_999, 10_000, 99_999, 100_000, 200_000, 999_999, 2_000_000, 2_000_001])
ORDER_STATE = st.sampled_from([*OrderState, *[OrderState.FILLED] * 4, OrderState.UNKNOWN])
FLAGS = st.sampled_from(["", "", "", "", "reduce_only", "post_only", "expired", "long_life", "again"])


class GateMachine(RuleBasedStateMachine):
    """One tape: the gate on one side, and on the other a venue that keeps its own account of everything."""

    Desk: ClassVar[Any] = None
    changed: ClassVar[Any] = None
    counts: ClassVar[dict[str, int]] = {"sequences": 0, "steps": 0, "decisions": 0, "approvals": 0, "closings": 0}

    @initialize(
        cash=st.sampled_from(CASH),
        perpetuals=st.sampled_from([(), ("ETH-USDT", "SOL-USDT"), SYMBOLS]),
        snapshot_at=st.integers(0, 40),
    )
    def start(self, cash: str, perpetuals: tuple[str, ...], snapshot_at: int) -> None:
        self.counts["sequences"] += 1
        self.snapshot_at, self.snapshot, self.epoch = snapshot_at, "", 0
        self.is_plain = not perpetuals
        """Only spot, and nothing has been loosened or tightened: then cash can never be below the reserve."""
        desk = self.Desk()
        self.world = World(desk, self.changed(TIGHT), perpetuals, Decimal(cash))
        desk.policy(TIGHT)
        desk.account(USDT=cash)
        desk.feed(FeedState.UP)
        for symbol in SYMBOLS:
            desk.instrument(symbol, margin=TERMS if symbol in perpetuals else None)
        for symbol in SYMBOLS[:2]:
            self.quote(symbol, 10_000, 0)
        desk.next_cycle()

    def price(self, symbol: str, offset: Decimal) -> Decimal:
        return self.world.marks.get(symbol, Decimal(100)) + offset

    def ask(self, symbol: str, side: Side, quantity: Decimal, price: Decimal, flag: str) -> None:
        world, desk = self.world, self.world.desk
        fields: dict[str, Any] = {"symbol": symbol, "purpose": Purpose.EXIT if flag == "reduce_only" else Purpose.ENTRY}
        if flag == "reduce_only":
            fields["reduce_only"] = True
        if flag == "post_only":
            fields |= {"post_only": True, "time_in_force": TimeInForce.GTC}
        if flag in {"expired", "long_life"}:
            fields["expires_us"] = desk.now_us + (0 if flag == "expired" else 10_000_001)
        if flag == "again" and world.decided_us:
            fields["client_order_id"] = next(iter(world.decided_us))
        intent = desk.intent(side, str(quantity), str(price), **fields)
        decision = desk.decide(intent)
        world.take_decision(intent, decision)
        self.counts["decisions"] += 1
        self.counts["approvals"] += decision.approval is not None

    @rule(symbol=SYMBOL, quantity=QUANTITY, offset=OFFSET, flag=FLAGS)
    def buy(self, symbol: str, quantity: Decimal, offset: Decimal, flag: str) -> None:
        self.ask(symbol, Side.BUY, quantity, self.price(symbol, offset), flag)

    @rule(
        side=st.sampled_from([Side.BUY, Side.BUY, Side.SELL]), symbol=SYMBOL, quantity=USUAL, ticks=st.integers(-3, 3)
    )
    def enter(self, side: Side, symbol: str, quantity: Decimal, ticks: int) -> None:
        """Ask for what is mostly approved: a random tape on which everything is refused proves nothing."""
        self.quote(symbol, int(self.price(symbol, NOTHING) / TICK), 0)
        self.ask(symbol, side, quantity, self.price(symbol, ticks * TICK), "")

    @rule(symbol=SYMBOL, quantity=QUANTITY, offset=OFFSET, flag=FLAGS)
    def sell(self, symbol: str, quantity: Decimal, offset: Decimal, flag: str) -> None:
        self.ask(symbol, Side.SELL, quantity, self.price(symbol, offset), flag)

    @rule(number=NUMBER, percent=st.sampled_from([1, 30, 50, 100, 100, 101, 160]), offset=OFFSET, flag=FLAGS)
    def exit(self, number: int, percent: int, offset: Decimal, flag: str) -> None:
        held = [symbol for symbol in SYMBOLS if self.world.holding(symbol)]
        if held:
            symbol = held[number % len(held)]
            amount = self.world.holding(symbol)
            quantity = round_ceiling(abs(amount) * percent / 100, STEP)
            self.ask(symbol, Side.SELL if amount > 0 else Side.BUY, quantity, self.price(symbol, offset), flag)

    def pick(self, number: int) -> VenueOrder | None:
        alive = self.world.open()
        return alive[number % len(alive)] if alive else None

    @rule(number=NUMBER, state=ORDER_STATE, percent=st.sampled_from([0, 0, 33, 100]), tells=st.booleans())
    def venue(self, number: int, state: OrderState, percent: int, tells: bool) -> None:
        order = self.pick(number)
        if order is not None:
            self.world.advance(order, state, percent, tells=tells or order.final)

    @rule(number=NUMBER)
    def fill_all(self, number: int) -> None:
        order = self.pick(number)
        if order is not None:
            self.world.advance(order, OrderState.FILLED, 100, tells=True)

    @rule(number=NUMBER, tells=st.booleans())
    def refuse(self, number: int, tells: bool) -> None:
        order = self.pick(number)
        if order is None or order.decision is None:
            return
        # A refusal of the same decision after execution has taken it, or of another one, releases nothing.
        order.final = order.final or (tells and not order.known)
        self.world.desk.refuse(order.decision, None if tells else "risk:999999:0")

    @rule(symbol=SYMBOL, cents=st.integers(9_000, 11_000), skew_ms=st.sampled_from([0, 0, 0, 0, 1_000, -1_001]))
    def quote(self, symbol: str, cents: int, skew_ms: int) -> None:
        world, mark = self.world, cents * TICK
        world.marks[symbol] = mark
        world.quoted_us[symbol], world.skew_us[symbol] = world.desk.now_us, skew_ms * MS
        world.desk.quote(
            symbol, bid=str(mark - TICK), ask=str(mark + TICK), venue_ts_us=world.desk.now_us + skew_ms * MS
        )

    @rule(microseconds=WAIT_US)
    def wait(self, microseconds: int) -> None:
        self.world.desk.wait(microseconds)

    @rule()
    def cycle(self) -> None:
        self.world.desk.next_cycle()

    @rule(number=st.integers(0, 19), symbol=SYMBOL)
    def weather(self, number: int, symbol: str) -> None:
        """Change what is seldom changed: the feed, an instrument, the fees, somebody else's account."""
        world, desk = self.world, self.world.desk
        if number < 5:
            world.feed = (FeedState.GAP, FeedState.STALE, FeedState.DEGRADED, FeedState.UP, FeedState.RECOVERED)[number]
            desk.feed(world.feed)
        elif number < 9:
            world.status[symbol] = list(InstrumentStatus)[number - 5]
            desk.instrument(symbol, margin=TERMS if symbol in world.perpetuals else None, status=world.status[symbol])
        elif number < 11:
            world.fee_bps = Decimal(10 if number == 9 else 20)
            desk.account(USDT="1", fee_bps=str(world.fee_bps))
        elif number == 11:
            desk.account(USDT="1000000", venue="elsewhere")
        else:
            self.clear_up()

    def clear_up(self) -> None:
        """Let feed and instruments be as they should."""
        world = self.world
        world.feed = FeedState.UP
        world.desk.feed(world.feed)
        for symbol in [symbol for symbol in SYMBOLS if world.status.get(symbol)]:
            del world.status[symbol]
            world.desk.instrument(symbol, margin=TERMS if symbol in world.perpetuals else None)

    @rule(
        level=st.sampled_from(["HALT", "CANCEL", "FLATTEN", "FLATTEN"]), engaged=st.sampled_from([True, False, False])
    )
    def kill(self, level: str, engaged: bool) -> None:
        self.epoch += int(engaged)
        self.world.engaged = engaged
        before = len(self.world.orders)
        self.world.desk.kill(engaged=engaged, epoch=self.epoch, level=level)
        self.counts["closings"] += len(self.world.orders) - before

    @precondition(lambda self: self.world.engaged)
    @rule()
    def release(self) -> None:
        self.kill("HALT", False)

    @rule(number=st.integers(0, 3 * len(POLICIES)))
    def policy(self, number: int) -> None:
        changes = {**TIGHT, **(POLICIES[number] if number < len(POLICIES) else {})}
        world = self.world
        self.is_plain = self.is_plain and "cash.reserve" not in changes
        world.rules = self.changed(changes)
        world.policy_approvals = len(world.approved)
        world.desk.policy(changes)

    @invariant()
    def agrees(self) -> None:
        """The book of exposures is the naive account, exactly; what the gate holds open is what is open."""
        if not hasattr(self, "world"):
            return
        self.counts["steps"] += 1
        world, state = self.world, self.world.desk.core.state
        assert state.fault is None
        assert state.mode is world.mode
        assert set(state.orders.by_id) == {order.id for order in world.open()}
        assert {symbol: state.held(symbol) for symbol in SYMBOLS} == {s: world.holding(s) for s in SYMBOLS}
        assert state.portfolio.cash == world.real_cash()
        risks = {symbol: world.risk(symbol) for symbol in SYMBOLS}
        for symbol, risk in risks.items():
            self.compare(state.exposure(symbol), risk)
            assert (state.exposure(symbol).buying, state.exposure(symbol).selling) == (risk.buying, risk.selling)
        total = state.exposure_in_all()
        for name in ("high", "low", "worst", "equity", "claimed", "fee_base", "orders"):
            assert getattr(total, name) == sum((getattr(risk, name) for risk in risks.values()), NOTHING)
        on_margin = sum((risks[symbol].worst for symbol in world.perpetuals), NOTHING)
        assert total.leveraged == on_margin
        assert total.initial_margin == on_margin * TERMS.initial_rate
        assert total.maintenance_margin == on_margin * TERMS.maintenance_rate
        for group in world.rules["limits"]["groups"]:
            worst = sum((risks[symbol].worst for symbol in group["symbols"] if symbol in risks), NOTHING)
            assert state.exposures.group(state, group["name"]) == worst
        assert state.equity() == world.equity()
        if self.is_plain:
            assert state.portfolio.cash >= Decimal(world.rules["cash"]["reserve"])
        world.agreed = True
        if not self.snapshot and world.desk.sequence >= self.snapshot_at:
            self.snapshot_at = world.desk.sequence
            self.outputs_before = len(world.desk.outputs)
            self.snapshot = json.dumps(world.desk.core.snapshot())

    @staticmethod
    def compare(book: Any, risk: Any) -> None:
        for name in ("high", "low", "worst", "equity", "claimed", "fee_base", "orders"):
            assert getattr(book, name) == getattr(risk, name), name

    def teardown(self) -> None:
        if not hasattr(self, "world") or not self.world.agreed:
            return
        self.ends_with_nothing_reserved()
        if self.snapshot:
            self.goes_on_from_its_snapshot()

    def ends_with_nothing_reserved(self) -> None:
        """Once every order is over and its fills are told, nothing is reserved: the books alone are at risk."""
        world = self.world
        self.epoch += 1
        world.engaged = True
        world.desk.kill(engaged=True, epoch=self.epoch, level="HALT")
        while (order := self.pick(0)) is not None:
            if order.final:
                world.trade(order, order.remaining)
            else:
                world.say(order, OrderState.CANCELLED)
        state = world.desk.core.state
        total = state.exposure_in_all()
        assert len(state.orders) == total.orders == 0
        assert total.fee_base == 0
        assert total.worst == sum(abs(world.holding(s) * world.marks.get(s, NOTHING)) for s in SYMBOLS)
        assert all(
            not exposure.buying and not exposure.selling and not exposure.reducing
            for exposure in (state.exposure(symbol) for symbol in SYMBOLS)
        )

    def goes_on_from_its_snapshot(self) -> None:
        """A second gate, restored from JSON anywhere on the tape, writes the same bytes and ends in the same state."""
        desk, again = self.world.desk, RiskCore()
        again.restore(json.loads(self.snapshot))
        outputs = [
            output
            for sequence, message in enumerate(desk.taped[self.snapshot_at :], start=self.snapshot_at + 1)
            for output in again.step(sequence, message).outputs
        ]
        assert [encode(output) for output in outputs] == [encode(o) for o in desk.outputs[self.outputs_before :]]
        assert again.snapshot() == desk.core.snapshot()
