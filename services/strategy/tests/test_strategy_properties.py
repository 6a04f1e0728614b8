"""What holds on every tape: one order per symbol, nothing sold that is not held, and the same answers again."""

import json
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate_contracts.codec import decode, encode
from tollgate_contracts.execution import OrderState
from tollgate_contracts.marketdata import FeedState
from tollgate_contracts.money import round_down
from tollgate_contracts.strategy import Side
from tollgate_strategy.core import StrategyCore

SYMBOLS = ("BTC-USDT", "ETH-USDT")
SYMBOL = st.sampled_from(SYMBOLS)
QUOTE = st.tuples(st.just("quote"), SYMBOL, st.integers(-300, 300), st.integers(0, 2_000))
ANSWER = st.tuples(st.just("answer"), SYMBOL, st.sampled_from(["reject", "refuse", *OrderState]), st.integers(0, 100))
FEED = st.tuples(st.just("feed"), st.sampled_from([FeedState.UP, FeedState.UP, FeedState.GAP]))
STEP = st.sampled_from([QUOTE] * 5 + [ANSWER] * 4 + [FEED]).flatmap(lambda step: step)
STEPS = st.lists(STEP, min_size=20, max_size=100)
TERMINAL = {OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED}
PROFILE = settings(max_examples=60, deadline=None)


class World:
    """Plays the rest of the platform, and keeps its own account of orders and holdings."""

    def __init__(self, market: Any) -> None:
        self.market = market.open(exit_bps="20", rejection_backoff_ms=1, cooldown_ms=0, max_hold_ms=5_000)
        self.mids = dict.fromkeys(SYMBOLS, Decimal(100))
        self.held = dict.fromkeys(SYMBOLS, Decimal(0))
        self.out: dict[str, tuple[Any, str | None, Decimal]] = {}
        self.intents: list[Any] = []

    def play(self, step: tuple[Any, ...]) -> None:
        name, *arguments = step
        getattr(self, name)(*arguments)

    def feed(self, state: FeedState) -> None:
        self.market.feed(state)

    def quote(self, symbol: str, change_bps: int, milliseconds: int) -> None:
        mid = self.mids[symbol] * (10_000 + change_bps) / 10_000
        self.mids[symbol] = max(round_down(mid, Decimal("0.01")), Decimal(1))
        for intent in self.market.quote(str(self.mids[symbol]), symbol, milliseconds=milliseconds):
            assert intent.symbol not in self.out, "one order per symbol"
            assert intent.symbol == symbol
            assert decode(encode(intent)) == intent
            if intent.side is Side.SELL:
                assert intent.reduce_only
                assert intent.quantity <= self.held[symbol]
            self.out[symbol] = (intent, None, Decimal(0))
            self.intents.append(intent)

    def answer(self, symbol: str, what: str, percent: int) -> None:
        if symbol not in self.out:
            return
        intent, decision_id, filled = self.out[symbol]
        if what == "reject" and decision_id is None:
            self.market.reject(intent)
            del self.out[symbol]
            return
        decision_id = decision_id or self.market.approve(intent)
        self.out[symbol] = (intent, decision_id, filled)
        if what in {"reject", "refuse"}:
            return
        self.trade(intent, decision_id, filled, OrderState(what), percent)

    def trade(self, intent: Any, decision_id: str, filled: Decimal, state: OrderState, percent: int) -> None:
        left = intent.quantity - filled
        share = 100 if state is OrderState.FILLED else percent
        traded = round_down(left * share / 100, Decimal("0.001"))
        if state is OrderState.FILLED:
            traded = left
        self.market.order(intent, state, filled + traded)
        if traded:
            self.market.fill(intent, traded)
            self.held[intent.symbol] += traded if intent.side is Side.BUY else -traded
        self.out[intent.symbol] = (intent, decision_id, filled + traded)
        if state in TERMINAL:
            del self.out[intent.symbol]


@PROFILE
@given(steps=STEPS)
def test_one_order_per_symbol_and_nothing_sold_that_is_not_held(new_market, steps):
    """However orders go, what the strategy believes to hold is what was traded."""
    world = World(new_market())
    for step in steps:
        world.play(step)
        state = world.market.core.state
        assert state.fault is None
        assert {symbol: state.portfolio.holding(symbol).quantity for symbol in SYMBOLS} == world.held
        assert {name for name, symbol in state.symbols.items() if symbol.working is not None} == set(world.out)
    ids = [intent.client_order_id for intent in world.intents]
    assert len(ids) == len(set(ids))


@PROFILE
@given(steps=STEPS, at=st.integers(1, 120))
def test_the_same_tape_gives_the_same_bytes_also_from_a_snapshot(new_market, steps, at):
    """State is a function of the tape: a second strategy, restored from JSON half-way, writes the same intents."""
    world = World(new_market())
    for step in steps:
        world.play(step)
    again, outputs = StrategyCore(), []
    for sequence, message in enumerate(world.market.taped, start=1):
        if sequence == at:
            state = json.loads(json.dumps(again.snapshot()))
            again = StrategyCore()
            again.restore(state)
        outputs.extend(again.step(sequence, message).outputs)
    assert [encode(output) for output in outputs] == [encode(output) for output in world.market.outputs]
    assert again.snapshot() == world.market.core.snapshot()
