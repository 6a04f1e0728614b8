"""The live view: the tape reduced to one screen, and the screen."""

import io
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from tollgate_console.view.notable import Line, Tone, notable
from tollgate_console.view.render import render
from tollgate_console.view.state import LINES_MAX, ViewState
from tollgate_console.view.words import clock_time, money, signed_money
from tollgate_contracts.approval import SignedText
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import (
    Bust,
    Fill,
    Liquidity,
    Order,
    OrderState,
    Refusal,
    VenueTrade,
)
from tollgate_contracts.ledger import Books, Cash, Drift, Position
from tollgate_contracts.marketdata import Clock, Feed, FeedState, FeedTransport, Quote, SymbolQuote
from tollgate_contracts.reasons import Finding, Reason
from tollgate_contracts.reconciliation import Difference, Movement, MovementType, Reconcile, Repair
from tollgate_contracts.risk import Decision, KillLevel, KillSwitch, Mode, Outcome, Policy, TradingMode
from tollgate_contracts.safety import Breaker, BreakerState, Dependency, EndpointGroup, SafeMode
from tollgate_contracts.strategy import Action, Intent, OrderType, Purpose, Rationale, Side, TimeInForce

NOW_US = 1_790_000_000_123_456
HASH = "a" * 64
ORDER_ID = "tg" + "0" * 30


def build(kind: type[Message], **fields: Any) -> Any:
    common = {"id": "x:1:0", "desk": "main", "run_id": "r", "ts_us": NOW_US, "cause": None, "cycle_id": 3}
    return kind(**{**common, **fields})


def quote(symbol: str, bid: str, ask: str) -> Quote:
    line = SymbolQuote(
        symbol=symbol,
        bid=Decimal(bid),
        bid_quantity=Decimal(1),
        ask=Decimal(ask),
        ask_quantity=Decimal(1),
        venue_ts_us=NOW_US,
        venue_sequence=1,
    )
    built: Quote = build(Quote, quotes=(line,))
    return built


def intent(action: Action = Action.SUBMIT) -> Intent:
    built: Intent = build(
        Intent,
        strategy="momentum",
        action=action,
        purpose=Purpose.ENTRY,
        client_order_id=ORDER_ID,
        symbol="BTC-USDT",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal("0.01"),
        limit_price=Decimal("60000.5"),
        time_in_force=TimeInForce.IOC,
        post_only=False,
        reduce_only=False,
        expires_us=NOW_US,
        good_until_us=None,
        replaces=None,
        protection=None,
        rationale=Rationale(
            signal="momentum", regime="trend", strength=Decimal("12.5"), confidence=Decimal(1), tier="full", sizing=()
        ),
        config_hash=HASH,
    )
    return built


def decision(*codes: Reason) -> Decision:
    findings = tuple(Finding(code=code, limit="500", seen="501", unit="USDT") for code in codes)
    approval = None if codes else SignedText(text="{}", signature="0" * 128, key_id="0" * 16)
    built: Decision = build(
        Decision,
        intent_id="x",
        action=Action.SUBMIT,
        client_order_id=ORDER_ID,
        symbol="BTC-USDT",
        outcome=Outcome.REJECTED if codes else Outcome.APPROVED,
        findings=findings,
        approval=approval,
        config_hash=HASH,
    )
    return built


def order(before: OrderState, after: OrderState, reason: Reason | None = None) -> Order:
    built: Order = build(
        Order,
        client_order_id=ORDER_ID,
        venue_order_id=None,
        intent_id="x",
        symbol="BTC-USDT",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.IOC,
        post_only=False,
        reduce_only=False,
        quantity=Decimal("0.01"),
        limit_price=Decimal(60000),
        attempt=1,
        protects=None,
        trigger_price=None,
        from_state=before,
        to_state=after,
        cumulative_quantity=Decimal(0),
        cumulative_quote=Decimal(0),
        reason=reason,
        detail="",
        config_hash=HASH,
    )
    return built


def fill(side: Side = Side.BUY) -> Fill:
    trade = VenueTrade(
        trade_id="1",
        price=Decimal(60000),
        quantity=Decimal("0.01"),
        fee=Decimal("1.2"),
        fee_currency="USDT",
        liquidity=Liquidity.TAKER,
        venue_ts_us=NOW_US,
    )
    rate = {"fee_rate": None, "fee_rate_source": ""}
    order = {"client_order_id": ORDER_ID, "symbol": "BTC-USDT", "side": side, "config_hash": HASH}
    built: Fill = build(Fill, trade=trade, **order, **rate)
    return built


def breaker(to_state: BreakerState) -> Breaker:
    fields = {"group": EndpointGroup.ORDERS, "from_state": BreakerState.HALF_OPEN, "to_state": to_state}
    return build(Breaker, detail="5 in a row", **fields)


def kill_switch(engaged: bool, epoch: int) -> KillSwitch:
    built: KillSwitch = build(
        KillSwitch, engaged=engaged, level=KillLevel.HALT, epoch=epoch, actor="ops", reason="drill"
    )
    return built


def feed(state: FeedState) -> Feed:
    built: Feed = build(Feed, venue="simulated", state=state, transport=FeedTransport.WEBSOCKET, detail="first quote")
    return built


def books() -> Books:
    position = Position(
        symbol="BTC-USDT",
        quantity=Decimal("0.01"),
        cost=Decimal(600),
        mark=Decimal(60100),
        mark_us=NOW_US,
        stale=False,
        unrealized=Decimal(1),
    )
    built: Books = build(
        Books,
        as_of=1,
        cash=(Cash(currency="USDT", amount=Decimal("99398.8")),),
        positions=(position,),
        equity=Decimal("99999.8"),
        realized=Decimal(0),
        unrealized=Decimal(1),
        fees=Decimal("1.2"),
        fees_by_currency=(Cash(currency="USDT", amount=Decimal("1.2")),),
        funding=Decimal(0),
        treasury=Decimal(0),
        suspense=(),
        peak_equity=Decimal(100000),
        drawdown=Decimal("0.2"),
        cost_model=HASH,
        config_hash=HASH,
    )
    return built


def mode() -> Mode:
    built: Mode = build(Mode, from_mode=None, to_mode=TradingMode.NORMAL, why="the policy says so", triggers=())
    return built


LINES: list[tuple[Message, str, Tone]] = [
    (intent(), "BUY 0.01 BTC-USDT at 60000.5: momentum 12.5 bps", Tone.PLAIN),
    (intent(Action.CANCEL), f"cancel BTC-USDT {ORDER_ID}", Tone.PLAIN),
    (decision(), f"approved BTC-USDT {ORDER_ID}", Tone.GOOD),
    (
        decision(Reason.LIMIT_ORDER_NOTIONAL),
        "rejected BTC-USDT: limit.order_notional (501 USDT, limit 500)",
        Tone.WARNING,
    ),
    (order(OrderState.PLANNED, OrderState.SUBMITTING), "BTC-USDT PLANNED → SUBMITTING", Tone.PLAIN),
    (
        order(OrderState.SUBMITTING, OrderState.REJECTED, Reason.VENUE_REJECTED),
        "BTC-USDT SUBMITTING → REJECTED: venue.rejected",
        Tone.BAD,
    ),
    (fill(), "bought 0.01 BTC-USDT at 60000, fee 1.2 USDT (TAKER)", Tone.GOOD),
    (fill(Side.SELL), "sold 0.01 BTC-USDT at 60000, fee 1.2 USDT (TAKER)", Tone.GOOD),
    (kill_switch(True, 1), "ENGAGED by ops: drill (epoch 1)", Tone.BAD),
    (kill_switch(False, 1), "released by ops: drill (epoch 1)", Tone.WARNING),
    (mode(), "none → NORMAL: the policy says so", Tone.WARNING),
    (build(Policy, text="{}", hash=HASH), "in force: aaaaaaaaaaaa", Tone.PLAIN),
    (
        build(SafeMode, engaged=True, degraded=(Dependency.PERMIT,), detail="PERMIT for 5.1 s"),
        "ENGAGED: PERMIT for 5.1 s",
        Tone.BAD,
    ),
    (build(SafeMode, engaged=False, degraded=(), detail=""), "released", Tone.GOOD),
    (breaker(BreakerState.OPEN), "ORDERS HALF_OPEN → OPEN: 5 in a row", Tone.BAD),
    (breaker(BreakerState.CLOSED), "ORDERS HALF_OPEN → CLOSED: 5 in a row", Tone.GOOD),
    (feed(FeedState.UP), "UP by WEBSOCKET: first quote", Tone.GOOD),
    (feed(FeedState.STALE), "STALE by WEBSOCKET: first quote", Tone.BAD),
    (
        build(
            Refusal,
            decision_id="risk:1:0",
            client_order_id=ORDER_ID,
            codes=(Reason.APPROVAL_BAD_SIGNATURE,),
            detail="forged",
        ),
        f"{ORDER_ID}: approval.bad_signature forged",
        Tone.BAD,
    ),
    (
        build(
            Reconcile,
            subject="1",
            difference=Difference.LATE_FILL,
            differed="late fill",
            evidence="",
            repair=Repair.BOOKED,
            detail="",
        ),
        "1: late fill; booked",
        Tone.WARNING,
    ),
    (
        build(
            Bust,
            **fill().model_dump(include={"client_order_id", "symbol", "side", "fee_rate", "fee_rate_source"}),
            trade=fill().trade,
            config_hash=HASH,
        ),
        "the venue has taken back BUY 0.01 BTC-USDT at 60000 (trade 1)",
        Tone.BAD,
    ),
    (
        build(
            Movement,
            venue="simulated",
            account="main",
            movement_id="m1",
            movement=MovementType.DEPOSIT,
            currency="USDT",
            amount=Decimal("250.5"),
            symbol=None,
            venue_ts_us=NOW_US,
        ),
        "DEPOSIT: 250.5 USDT",
        Tone.PLAIN,
    ),
    (
        order(OrderState.SUBMITTING, OrderState.ACKNOWLEDGED).model_copy(update={"protects": ORDER_ID}),
        "stop in BTC-USDT SUBMITTING → ACKNOWLEDGED",
        Tone.PLAIN,
    ),
    (
        build(Drift, currency="USDT", books=Decimal(1), venue=Decimal(3), difference=Decimal(2)),
        "USDT: venue minus books is 2",
        Tone.BAD,
    ),
    (
        build(Drift, currency="USDT", books=Decimal(1), venue=Decimal(1), difference=Decimal(0)),
        "USDT: venue minus books is 0",
        Tone.GOOD,
    ),
]


@pytest.mark.parametrize(("message", "text", "tone"), LINES, ids=[f"{m.kind}-{i}" for i, (m, _, _) in enumerate(LINES)])
def test_what_is_notable_is_said_in_one_line(message: Message, text: str, tone: Tone) -> None:
    """Each kind that an operator reads, its words and how it strikes the eye."""
    assert notable(message) == Line(NOW_US, message.kind, text, tone)


@pytest.mark.parametrize("message", [quote("BTC-USDT", "1", "2"), build(Clock), books()], ids=lambda m: m.kind)
def test_what_comes_all_the_time_is_not_notable(message: Message) -> None:
    """Quotes, clock and books are shown as figures."""
    assert notable(message) is None


def test_an_order_is_counted_in_the_state_in_which_it_is() -> None:
    """Each change leaves one count and joins another; an order of before this view leaves none."""
    state = ViewState()
    state.apply(1, order(OrderState.PLANNED, OrderState.SUBMITTING))
    assert +state.orders == {"SUBMITTING": 1}
    state.apply(2, order(OrderState.SUBMITTING, OrderState.ACKNOWLEDGED))
    state.apply(3, order(OrderState.ACKNOWLEDGED, OrderState.FILLED))
    assert +state.orders == {"FILLED": 1}
    state.apply(4, order(OrderState.UNKNOWN, OrderState.CANCELLED))
    assert +state.orders == {"FILLED": 1, "CANCELLED": 1}


def test_decisions_are_counted_with_every_reason() -> None:
    """One rejection may carry several."""
    state = ViewState()
    state.apply(1, decision())
    state.apply(2, decision(Reason.DATA_STALE, Reason.LIMIT_ORDER_NOTIONAL))
    state.apply(3, decision(Reason.DATA_STALE))
    assert (state.approved, state.rejected) == (1, 2)
    assert state.reasons == {"data.stale": 2, "limit.order_notional": 1}


def test_a_message_that_was_seen_before_changes_nothing() -> None:
    """After a reconnect the broker may say again what was heard."""
    state = ViewState()
    assert state.apply(5, fill()) is not None
    assert state.apply(5, fill()) is None
    assert state.apply(4, fill()) is None
    assert (state.fills, len(state.lines)) == (1, 1)


def test_what_was_said_before_the_view_began_is_shown_and_not_counted() -> None:
    """The kill switch may have been engaged last week."""
    state = ViewState()
    for message in (kill_switch(True, 4), mode(), feed(FeedState.UP), books(), quote("BTC-USDT", "1", "2")):
        state.remember(message)
    assert (state.kill_engaged, state.kill_epoch, state.mode) == (True, 4, "NORMAL")
    assert (state.sequence, len(state.lines)) == (0, 0)
    assert state.books is not None


def test_the_kill_switch_never_goes_back_in_epoch() -> None:
    """An answer that was under way when it was engaged does not release it on the screen."""
    state = ViewState()
    state.apply(1, kill_switch(True, 2))
    state.note_kill_switch(False, 1)
    assert state.kill_engaged is True
    state.apply(2, kill_switch(False, 2))
    assert state.kill_engaged is False


def test_the_view_stays_small() -> None:
    """However much happens, a screen's worth of lines is kept."""
    state = ViewState()
    for sequence in range(1, LINES_MAX * 3):
        state.apply(sequence, fill())
    assert len(state.lines) == LINES_MAX


def report(**processes: dict[str, Any]) -> dict[str, Any]:
    return {
        "processes": processes,
        "services": {"risk": {"up": True, "live": True, "lag": 3, "not_ready": []}},
        "kill_switch": {"engaged": True, "epoch": 9},
        "arming_missing": ["dry_run"],
    }


def draw(state: ViewState, width: int = 140, height: int = 45) -> str:
    console = Console(width=width, height=height, record=True, file=io.StringIO())
    console.print(render(state, "Tollgate · desk main", height))
    return console.export_text()


def test_the_screen_shows_what_an_operator_needs() -> None:
    """Feed, quotes, intents, decisions with reasons, orders, fills, positions, equity, kill switch, mode, processes."""
    state = ViewState()
    messages = [
        feed(FeedState.UP),
        mode(),
        quote("BTC-USDT", "59999.5", "60000.5"),
        intent(),
        decision(),
        decision(Reason.DATA_STALE),
        order(OrderState.PLANNED, OrderState.FILLED),
        fill(),
        books(),
        kill_switch(False, 1),
    ]
    for sequence, message in enumerate(messages, 1):
        state.apply(sequence, message)
    running = {"state": "running", "restarts": 1, "reason": "", "pid": 1}
    fallen = {"state": "waiting", "restarts": 2, "reason": "bang", "pid": None}
    state.note_report(report(risk=running, nats=fallen) | {"kill_switch": None})
    screen = draw(state)
    for words in (
        "feed UP",
        "mode NORMAL",
        "kill switch off",
        "59999.5",
        "data.stale",
        "filled",
        "99,999.80",
        "BTC-USDT  0.01",
        "lag 3, restarted 1",
        "waiting bang",
        "bought 0.01 BTC-USDT",
    ):
        assert words in screen, words


def test_an_engaged_kill_switch_cannot_be_overlooked() -> None:
    """Whether the tape says so, or risk itself while the tape is silent."""
    state = ViewState()
    state.note_report(report())
    assert "KILL SWITCH ENGAGED" in draw(state)
    state.apply(1, kill_switch(True, 10))
    assert "KILL SWITCH ENGAGED ops: drill" in draw(state)


@pytest.mark.parametrize(("width", "height"), [(60, 20), (80, 24), (200, 60)])
def test_any_terminal_gets_a_screen(width: int, height: int) -> None:
    """Before anything is known, and in a small window."""
    assert "quotes" in draw(ViewState(), width, height)


@pytest.mark.parametrize(
    ("amount", "words"),
    [("0", "0.00"), ("1234567.891", "1,234,567.89"), ("-0.5", "-0.50"), ("-1234.5", "-1,234.50"), ("99.995", "100.00")],
)
def test_money_is_written_for_people(amount: str, words: str) -> None:
    """Thousands parted, two decimals, the sign kept."""
    assert money(Decimal(amount)) == words


def test_a_gain_has_its_sign_and_a_time_its_milliseconds() -> None:
    """The small words."""
    assert signed_money(Decimal(2)) == "+2.00"
    assert clock_time(NOW_US) == "14:13:20.123"
