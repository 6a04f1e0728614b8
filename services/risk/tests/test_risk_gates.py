"""Every gate at its limit, one step above and one below; a table per layer, one line per case."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from tollgate_contracts.execution import OrderState
from tollgate_contracts.marketdata import FeedState, InstrumentStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import Outcome
from tollgate_contracts.strategy import Action, OrderType, TimeInForce
from tollgate_risk.core.case import open_case
from tollgate_risk.core.gates import CANCEL_GATES, SUBMIT_GATES, judge
from tollgate_risk.core.policy import LIVE_ACKNOWLEDGEMENT

ID = "tg" + "a" * 30
OTHER_ID = "tg" + "b" * 30


@dataclass(frozen=True)
class Row:
    """Arrange a desk, ask, and expect exactly these reasons."""

    name: str
    expected: list[Reason]
    ask: dict[str, Any] = field(default_factory=dict)
    rules: dict[str, Any] = field(default_factory=dict)
    identity: dict[str, Any] = field(default_factory=dict)
    acts: tuple[tuple[str, dict[str, Any]], ...] = ()
    """Calls of the desk's methods before the intent."""


def act(name: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    return name, arguments


def table(*rows: Row) -> Any:
    return pytest.mark.parametrize("row", rows, ids=[row.name for row in rows])


def check(desk: Any, row: Row) -> None:
    desk.open(row.rules, **row.identity)
    for name, arguments in row.acts:
        getattr(desk, name)(**arguments)
    ask = dict(row.ask)
    if "expires_in_us" in ask:
        ask["expires_us"] = desk.now_us + ask.pop("expires_in_us")
    decision = desk.ask(**ask)
    assert [finding.code for finding in decision.findings] == row.expected
    assert (decision.outcome is Outcome.APPROVED) == (not row.expected)


SELL_5 = {"side": "SELL", "quantity": "5"}
LIVE = {"environment": "live"}
ARMED = {"arming.live_trading": True, "arming.acknowledgement": LIVE_ACKNOWLEDGEMENT}
HOLD_5 = act("hold", quantity="5")


@table(
    Row("a simulated desk is armed by itself", []),
    Row("a paper desk is armed by itself", [], identity={"environment": "paper"}),
    Row("a live desk without live trading is a dry run", [Reason.GATE_DRY_RUN], identity=LIVE),
    Row("a live desk that is armed", [], identity=LIVE, rules=ARMED),
    Row("no acknowledgement", [Reason.GATE_NOT_ARMED], identity=LIVE, rules={"arming.live_trading": True}),
    Row(
        "an acknowledgement that is one letter short",
        [Reason.GATE_NOT_ARMED],
        identity=LIVE,
        rules={**ARMED, "arming.acknowledgement": LIVE_ACKNOWLEDGEMENT[:-1]},
    ),
    Row(
        "the kill switch stops entries",
        [Reason.GATE_KILL_SWITCH],
        acts=(act("kill", engaged=True, epoch=1),),
    ),
    Row(
        "the kill switch stops exits too",
        [Reason.GATE_KILL_SWITCH],
        ask=SELL_5,
        acts=(HOLD_5, act("kill", engaged=True, epoch=1)),
    ),
    Row(
        "a released kill switch lets through",
        [],
        acts=(act("kill", engaged=True, epoch=1), act("kill", engaged=False, epoch=1)),
    ),
    Row("reduce-only mode stops an entry", [Reason.GATE_REDUCE_ONLY], rules={"mode": "REDUCE_ONLY"}),
    Row("reduce-only mode lets all that is held go", [], ask=SELL_5, rules={"mode": "REDUCE_ONLY"}, acts=(HOLD_5,)),
    Row("reduce-only mode lets one step less go", [], ask={"side": "SELL", "quantity": "4.999"}, acts=(HOLD_5,)),
    Row(
        "reduce-only mode stops one step more",
        [Reason.GATE_REDUCE_ONLY, Reason.CASH_INSUFFICIENT],
        ask={"side": "SELL", "quantity": "5.001"},
        rules={"mode": "REDUCE_ONLY"},
        acts=(HOLD_5,),
    ),
    Row("a buy that calls itself reduce-only", [Reason.GATE_REDUCE_ONLY], ask={"reduce_only": True}),
    Row("a sale that is reduce-only by size", [], ask={**SELL_5, "reduce_only": True}, acts=(HOLD_5,)),
    Row(
        "reduce-only counts open sells",
        [Reason.GATE_REDUCE_ONLY, Reason.CASH_INSUFFICIENT],
        ask={"side": "SELL", "quantity": "3.001", "reduce_only": True},
        acts=(HOLD_5, act("ask", side="SELL", quantity="2")),
    ),
    Row("observe-only mode stops entries", [Reason.GATE_OBSERVE_ONLY], rules={"mode": "OBSERVE_ONLY"}),
    Row(
        "observe-only mode stops exits",
        [Reason.GATE_OBSERVE_ONLY],
        ask=SELL_5,
        rules={"mode": "OBSERVE_ONLY"},
        acts=(HOLD_5,),
    ),
)
def test_arming_gates(desk, row):
    """Who may trade at all."""
    check(desk, row)


MARKET = {"order_type": OrderType.MARKET, "price": None}
ALLOW_MARKET = {"intents.allow_market_orders": True}
MALFORMED = [Reason.INTENT_MALFORMED]


@table(
    Row("expires in a microsecond", [], ask={"expires_in_us": 1}),
    Row("expires now", [Reason.INTENT_EXPIRED], ask={"expires_in_us": 0}),
    Row("expired a microsecond ago", [Reason.INTENT_EXPIRED], ask={"expires_in_us": -1}),
    Row("the longest life", [], ask={"expires_in_us": 10_000_000}),
    Row("a microsecond longer", MALFORMED, ask={"expires_in_us": 10_000_001}),
    Row("another order id before", [], ask={"client_order_id": ID}, acts=(act("ask", client_order_id=OTHER_ID),)),
    Row(
        "the same order id after an approval",
        [Reason.INTENT_DUPLICATE],
        ask={"client_order_id": ID},
        acts=(act("ask", client_order_id=ID),),
    ),
    Row(
        "the same order id after a rejection",
        [Reason.INTENT_DUPLICATE],
        ask={"client_order_id": ID},
        acts=(act("ask", client_order_id=ID, symbol="XRP-USDT"),),
    ),
    Row("a limit order without a price", MALFORMED, ask={"price": None}),
    Row("a market order", MALFORMED, ask={**MARKET}),
    Row("a market order where the policy allows it", [], ask=MARKET, rules=ALLOW_MARKET),
    Row("a market order with a price", MALFORMED, ask={**MARKET, "price": "100"}, rules=ALLOW_MARKET),
    Row("a resting market order", MALFORMED, ask={**MARKET, "time_in_force": TimeInForce.GTC}, rules=ALLOW_MARKET),
    Row("a post-only market order", MALFORMED, ask={**MARKET, "post_only": True}, rules=ALLOW_MARKET),
    Row("post-only and IOC", MALFORMED, ask={"post_only": True, "price": "99"}),
    Row("post-only and FOK", MALFORMED, ask={"post_only": True, "price": "99", "time_in_force": TimeInForce.FOK}),
    Row("post-only and GTC", [], ask={"post_only": True, "price": "99", "time_in_force": TimeInForce.GTC}),
    Row("for another desk", MALFORMED, ask={"desk": "other"}),
)
def test_intent_gates(desk, row):
    """Is the intent in time, new, and without contradiction."""
    check(desk, row)


def test_all_contradictions_are_named_in_one_finding(open_desk):
    """A malformed intent has one finding that names each of its faults."""
    decision = open_desk.ask(**MARKET, post_only=True, expires_us=open_desk.now_us + 60_000_000)
    (finding,) = decision.findings
    assert finding.seen == (
        "market orders are not allowed by the policy; market order cannot be post-only; "
        "post-only cannot be IOC; expires more than 10000 ms ahead"
    )


def instrument(**fields: Any) -> tuple[tuple[str, dict[str, Any]], ...]:
    return (act("instrument", **fields),)


HALTED = [Reason.INSTRUMENT_HALTED]


@table(
    Row("an allowed symbol", []),
    Row(
        "a symbol of the desk that is not allowed",
        [Reason.UNIVERSE_NOT_ALLOWED],
        ask={"symbol": "XRP-USDT"},
        acts=(act("quote"), ("quote_xrp", {})),
    ),
    Row("an excluded symbol", [Reason.UNIVERSE_EXCLUDED], rules={"universe.excluded": ["BTC-USDT"]}),
    Row("an excluded symbol is sold", [], ask=SELL_5, rules={"universe.excluded": ["BTC-USDT"]}, acts=(HOLD_5,)),
    Row("cancel-only", HALTED, acts=instrument(status=InstrumentStatus.CANCEL_ONLY)),
    Row("auction", HALTED, acts=instrument(status=InstrumentStatus.AUCTION)),
    Row("halted", HALTED, acts=instrument(status=InstrumentStatus.HALTED)),
    Row("valid until a microsecond from now", [], acts=(("valid_for", {"microseconds": 1}),)),
    Row("valid until now", [], acts=(("valid_for", {"microseconds": 0}),)),
    Row(
        "valid until a microsecond ago",
        [Reason.INSTRUMENT_METADATA_STALE],
        acts=(("valid_for", {"microseconds": -1}),),
    ),
    Row("one tick", [], ask={"price": "100.01"}),
    Row("half a tick", [Reason.INSTRUMENT_PRECISION], ask={"price": "100.005"}),
    Row("one step", [], ask={"quantity": "1.001"}),
    Row("half a step", [Reason.INSTRUMENT_PRECISION], ask={"quantity": "1.0005"}),
    Row("neither on the grid", [Reason.INSTRUMENT_PRECISION], ask={"quantity": "1.0005", "price": "100.005"}),
    Row("the least quantity", [], ask={"quantity": "0.06"}, acts=instrument(min_quantity=Decimal("0.06"))),
    Row("a step above it", [], ask={"quantity": "0.061"}, acts=instrument(min_quantity=Decimal("0.06"))),
    Row(
        "a step below it",
        [Reason.INSTRUMENT_MIN_QUANTITY],
        ask={"quantity": "0.059"},
        acts=instrument(min_quantity=Decimal("0.06")),
    ),
    Row("the least notional", [], ask={"quantity": "0.05"}),
    Row("a step above the least notional", [], ask={"quantity": "0.051"}),
    Row("a step below the least notional", [Reason.INSTRUMENT_MIN_NOTIONAL], ask={"quantity": "0.049"}),
)
def test_universe_and_instrument_gates(desk, row):
    """May the symbol be traded, and would the venue take price and size."""
    desk.quote_xrp = lambda: desk.quote("XRP-USDT")
    desk.valid_for = lambda microseconds: desk.instrument(valid_until_us=desk.now_us + microseconds)
    check(desk, row)


def test_a_symbol_without_metadata_is_unknown(desk):
    """Nothing is judged about grid or minimum where there is no metadata to judge by."""
    desk.policy()
    desk.account(USDT="100000")
    desk.feed(FeedState.UP)
    desk.quote()
    assert desk.reasons() == [Reason.INSTRUMENT_UNKNOWN]


STALE = [Reason.DATA_STALE]
GAP = [Reason.DATA_GAP]
FEED = {state: (act("feed", state=state),) for state in FeedState}
COLLAR = [Reason.PRICE_COLLAR]
CROSSED = [Reason.PRICE_CROSSED_POST_ONLY]
POST = {"post_only": True, "time_in_force": TimeInForce.GTC}


@table(
    Row("a quote as old as allowed", [], acts=(act("wait", microseconds=2_000_000),)),
    Row("a microsecond younger", [], acts=(act("wait", microseconds=1_999_999),)),
    Row("a microsecond older", STALE, acts=(act("wait", microseconds=2_000_001),)),
    Row("the venue as far behind as allowed", [], acts=(("skewed", {"microseconds": -1_000_000}),)),
    Row("the venue a microsecond less behind", [], acts=(("skewed", {"microseconds": -999_999}),)),
    Row("the venue a microsecond further behind", STALE, acts=(("skewed", {"microseconds": -1_000_001}),)),
    Row("the venue as far ahead as allowed", [], acts=(("skewed", {"microseconds": 1_000_000}),)),
    Row("the venue a microsecond further ahead", STALE, acts=(("skewed", {"microseconds": 1_000_001}),)),
    Row("feed UP", [], acts=FEED[FeedState.UP]),
    Row("feed RECOVERED", [], acts=FEED[FeedState.RECOVERED]),
    Row("feed DEGRADED", GAP, acts=FEED[FeedState.DEGRADED]),
    Row("feed STALE", GAP, acts=FEED[FeedState.STALE]),
    Row("feed GAP", GAP, acts=FEED[FeedState.GAP]),
    Row("a buy at the collar", [], ask={"price": "101"}),
    Row("a buy a tick inside", [], ask={"price": "100.99"}),
    Row("a buy a tick outside", COLLAR, ask={"price": "101.01"}),
    Row("a buy at the collar's lower end", [], ask={"price": "99"}),
    Row("a buy a tick below it", COLLAR, ask={"price": "98.99"}),
    Row("a sale at the collar", [], ask={**SELL_5, "price": "99"}, acts=(HOLD_5,)),
    Row("a sale a tick outside", COLLAR, ask={**SELL_5, "price": "98.99"}, acts=(HOLD_5,)),
    Row("a post-only buy a tick below the ask", [], ask={**POST, "price": "100"}),
    Row("a post-only buy at the ask", CROSSED, ask={**POST, "price": "100.01"}),
    Row("a post-only buy above the ask", CROSSED, ask={**POST, "price": "100.02"}),
    Row("a post-only sale a tick above the bid", [], ask={**POST, **SELL_5, "price": "100"}, acts=(HOLD_5,)),
    Row("a post-only sale at the bid", CROSSED, ask={**POST, **SELL_5, "price": "99.99"}, acts=(HOLD_5,)),
    Row("a post-only sale below the bid", CROSSED, ask={**POST, **SELL_5, "price": "99.98"}, acts=(HOLD_5,)),
)
def test_market_gates(desk, row):
    """Is the market known well enough, and is the price near it."""
    desk.skewed = lambda microseconds: desk.quote(venue_ts_us=desk.now_us + microseconds)
    check(desk, row)


def test_before_any_feed_message_there_is_a_gap_and_no_mark(desk):
    """A gate that has heard nothing of the market lets nothing through."""
    desk.policy()
    desk.account(USDT="100000")
    desk.instrument()
    assert desk.reasons() == [Reason.DATA_GAP, Reason.DATA_NO_MARK]


def test_a_held_symbol_without_a_mark_stops_buys_and_not_its_own_sale(desk):
    """Exposure cannot be summed without every mark, so buys wait; a sale needs its own mark only."""
    desk.open()
    desk.hold("1", symbol="AVAX-USDT")
    assert desk.reasons() == [Reason.DATA_NO_MARK]
    desk.hold("1")
    assert desk.reasons("SELL", "1") == []


ORDER = [Reason.LIMIT_ORDER_NOTIONAL]
POSITION = [Reason.LIMIT_POSITION_NOTIONAL]
GROSS = [Reason.LIMIT_GROSS_EXPOSURE]
OPEN = [Reason.LIMIT_OPEN_ORDERS]
OPEN_SYMBOL = [Reason.LIMIT_OPEN_ORDERS_SYMBOL]
CYCLE = [Reason.LIMIT_ORDERS_PER_CYCLE]
# Every mark is 100: a quantity of 1 is worth 100.
HOLD_60 = act("hold", quantity="60")
HOLD_ETH_100 = act("hold", quantity="100", symbol="ETH-USDT")
BUY_ETH = act("ask", symbol="ETH-USDT")
BUY_SOL = act("ask", symbol="SOL-USDT")
BUY_BTC = act("ask")
TIGHT_GROSS = {"limits.gross_exposure": "16000"}


@table(
    Row("an order of the cap", [], ask={"quantity": "50"}),
    Row("an order a step below", [], ask={"quantity": "49.999"}),
    Row("an order a step above", ORDER, ask={"quantity": "50.001"}),
    Row("a sale of the cap", [], ask={"side": "SELL", "quantity": "50"}, acts=(HOLD_60,)),
    Row("a sale a step above, which must come in slices", ORDER, ask={"side": "SELL", "quantity": "50.001"},
        acts=(HOLD_60,)),
    Row("below the mark an order counts at the mark", ORDER, ask={"quantity": "50.001", "price": "99"}),
    Row("a position of the cap", [], ask={"quantity": "40"}, acts=(HOLD_60,)),
    Row("a position a step below", [], ask={"quantity": "39.999"}, acts=(HOLD_60,)),
    Row("a position a step above", POSITION, ask={"quantity": "40.001"}, acts=(HOLD_60,)),
    Row("an open buy counts in full", [], ask={"quantity": "30"}, acts=(HOLD_60, act("ask", quantity="10"))),
    Row("and a step above", POSITION, ask={"quantity": "30.001"}, acts=(HOLD_60, act("ask", quantity="10"))),
    Row(
        "an open sell counts for nothing",
        POSITION,
        ask={"quantity": "40.001"},
        acts=(HOLD_60, act("ask", side="SELL", quantity="10")),
    ),
    Row(
        "an UNKNOWN buy counts in full",
        POSITION,
        ask={"quantity": "30.001"},
        acts=(
            HOLD_60,
            act("ask", quantity="10", client_order_id=ID),
            act("order", client_order_id=ID, to_state=OrderState.UNKNOWN, quantity="10"),
        ),
    ),
    Row("a sale above the position cap", [], ask={"side": "SELL", "quantity": "1"},
        acts=(act("hold", quantity="150"),)),
    Row("gross of the cap", [], ask={"quantity": "40"}, rules=TIGHT_GROSS,
        acts=(act("hold", quantity="20"), HOLD_ETH_100)),
    Row("gross a step below", [], ask={"quantity": "39.999"}, rules=TIGHT_GROSS,
        acts=(act("hold", quantity="20"), HOLD_ETH_100)),
    Row("gross a step above", GROSS, ask={"quantity": "40.001"}, rules=TIGHT_GROSS,
        acts=(act("hold", quantity="20"), HOLD_ETH_100)),
    Row("gross counts open buys elsewhere", GROSS, ask={"quantity": "50"},
        rules={"limits.gross_exposure": "10001"},
        acts=(act("ask", symbol="ETH-USDT", quantity="50"), act("ask", symbol="SOL-USDT", quantity="1"))),
    Row("a sale above the gross cap", [], ask={"side": "SELL", "quantity": "1"},
        acts=(act("hold", quantity="150"), act("hold", quantity="150", symbol="ETH-USDT"))),
    Row("the last open order", [], rules={"limits.open_orders": 3}, acts=(BUY_ETH, BUY_SOL)),
    Row("one open order too many", OPEN, rules={"limits.open_orders": 2}, acts=(BUY_ETH, BUY_SOL)),
    Row("an exit beyond the open orders", [], ask=SELL_5, rules={"limits.open_orders": 2},
        acts=(HOLD_5, BUY_ETH, BUY_SOL)),
    Row("the last open order of a symbol", [], acts=(BUY_BTC,)),
    Row("orders of other symbols do not count", [], acts=(BUY_BTC, BUY_ETH)),
    Row("one too many of a symbol", OPEN_SYMBOL, acts=(BUY_BTC, BUY_BTC)),
    Row("an exit beyond the symbol's open orders", [], ask=SELL_5, acts=(HOLD_5, BUY_BTC, BUY_BTC)),
    Row("the last order of a cycle", [], rules={"limits.orders_per_cycle": 2}, acts=(BUY_ETH,)),
    Row("one order too many in a cycle", CYCLE, rules={"limits.orders_per_cycle": 2}, acts=(BUY_ETH, BUY_SOL)),
    Row("a new cycle begins to count anew", [], rules={"limits.orders_per_cycle": 1},
        acts=(BUY_ETH, act("next_cycle"))),
    Row("an exit has its own allowance", [], ask=SELL_5, rules={"limits.orders_per_cycle": 0}, acts=(HOLD_5,)),
    Row("which is also counted", CYCLE, ask={"side": "SELL", "quantity": "1"},
        rules={"limits.reducing_orders_per_cycle": 1}, acts=(HOLD_5, act("ask", side="SELL", quantity="1"))),
)  # fmt: skip
def test_limit_gates(desk, row):
    """Is the order small enough, by itself and with everything that is held and may still trade."""
    check(desk, row)


# 10 bought at 100 cost 1,000 and 2 in fees at 20 bps.
BUY_10 = {"quantity": "10"}
RESERVE = [Reason.CASH_RESERVE]


@pytest.mark.parametrize(
    ("cash", "reserve", "expected"),
    [
        pytest.param("2002", "1000", [], id="the reserve stays whole"),
        pytest.param("2002.01", "1000", [], id="a cent more"),
        pytest.param("2001.99", "1000", RESERVE, id="a cent into the reserve"),
        pytest.param("1002", "0", [], id="all the cash there is"),
        pytest.param("1001.99", "0", [Reason.CASH_RESERVE, Reason.CASH_INSUFFICIENT], id="a cent short"),
    ],
)
def test_a_buy_is_paid_with_fees_from_free_cash_above_the_reserve(new_desk, cash, reserve, expected):
    """Price, quantity and the taker's fee are all paid from cash, and the reserve is not cash."""
    assert new_desk().open({"cash.reserve": reserve}, cash=cash).reasons(**BUY_10) == expected


def test_open_buys_claim_their_cash_with_fees_until_they_are_over(new_desk):
    """Two orders cannot be paid with the same money."""
    desk = new_desk().open(cash="3003.99")
    first = desk.ask(**BUY_10)
    assert desk.reasons(**BUY_10) == RESERVE
    desk.order(first.client_order_id, OrderState.CANCELLED, quantity="10")
    assert desk.reasons(**BUY_10) == []


def test_a_buy_before_the_account_is_known_cannot_be_paid(desk):
    """What the venue holds for us is not known, so there is nothing to spend."""
    desk.policy()
    desk.feed(FeedState.UP)
    desk.instrument()
    desk.quote()
    assert desk.reasons() == [Reason.CASH_RESERVE, Reason.CASH_INSUFFICIENT]


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        pytest.param("3", [], id="all that is not promised"),
        pytest.param("2.999", [], id="a step less"),
        pytest.param("3.001", [Reason.CASH_INSUFFICIENT], id="a step more"),
    ],
)
def test_a_sale_delivers_what_is_held_and_not_promised_to_another(open_desk, quantity, expected):
    """Of five held, two are promised to an open sell."""
    open_desk.hold("5")
    open_desk.ask("SELL", "2")
    assert open_desk.reasons("SELL", quantity) == expected


SPACING = [Reason.PACE_GLOBAL_SPACING]
COOLDOWN = [Reason.PACE_SYMBOL_COOLDOWN]
PACED = {"pace.global_spacing_ms": 10, "pace.symbol_cooldown_ms": 100, "pace.reducing_symbol_cooldown_ms": 20}


def after(microseconds: int) -> tuple[str, dict[str, Any]]:
    return act("wait", microseconds=microseconds)


@table(
    Row("another symbol at the spacing", [], rules=PACED, acts=(BUY_ETH, after(10_000))),
    Row("a microsecond later", [], rules=PACED, acts=(BUY_ETH, after(10_001))),
    Row("a microsecond too soon", SPACING, rules=PACED, acts=(BUY_ETH, after(9_999))),
    Row("an exit does not wait for other symbols", [], ask=SELL_5, rules=PACED, acts=(HOLD_5, BUY_ETH)),
    Row("the same symbol at its cooldown", [], rules=PACED, acts=(BUY_BTC, after(100_000))),
    Row("a microsecond after it", [], rules=PACED, acts=(BUY_BTC, after(100_001))),
    Row("a microsecond before it", COOLDOWN, rules=PACED, acts=(BUY_BTC, after(99_999))),
    Row("too soon for both", SPACING + COOLDOWN, rules=PACED, acts=(BUY_BTC, after(9_999))),
    Row("an exit at its own cooldown", [], ask=SELL_5, rules=PACED, acts=(HOLD_5, BUY_BTC, after(20_000))),
    Row("an exit a microsecond before it", COOLDOWN, ask=SELL_5, rules=PACED, acts=(HOLD_5, BUY_BTC, after(19_999))),
    Row("a rejected order starts no clock", [], rules=PACED, acts=(act("ask", quantity="1.0005"),)),
)
def test_pace_gates(desk, row):
    """Is it too soon after the last order."""
    check(desk, row)


def test_a_rejection_carries_every_reason_in_the_order_of_the_taxonomy(desk):
    """An intent against which nearly everything can be said hears nearly everything, in one fixed order."""
    rules = {
        "mode": "REDUCE_ONLY",
        "universe.allowed": ["ETH-USDT", "BTC-USDT"],
        "universe.excluded": ["BTC-USDT"],
        "limits.order_notional": "100",
        "limits.position_notional": "200",
        "limits.gross_exposure": "300",
        "limits.open_orders": 0,
        "limits.open_orders_symbol": 0,
        "limits.orders_per_cycle": 1,
        **PACED,
    }
    desk.open(rules, cash="10", environment="live")
    desk.core.state.pacing.count("BTC-USDT", desk.now_us, reducing=False)
    desk.kill(engaged=True, epoch=3)
    desk.instrument(
        status=InstrumentStatus.HALTED,
        valid_until_us=desk.now_us,
        min_quantity=Decimal(1_000),
        min_notional=Decimal(1_000_000),
    )
    desk.feed(FeedState.GAP)
    first = desk.intent("BUY", "10.0005", "150.005", post_only=True)
    desk.decide(first)
    desk.now_us += 3_000_000
    desk.core.state.pacing.last_entry_us = desk.now_us
    desk.core.state.pacing.last_order_us["BTC-USDT"] = desk.now_us
    seen = [finding.code for finding in desk.decide(first.model_copy(update={"ts_us": desk.now_us})).findings]
    never_together = {Reason.GATE_NOT_ARMED, Reason.GATE_OBSERVE_ONLY, Reason.UNIVERSE_NOT_ALLOWED,
                      Reason.INSTRUMENT_UNKNOWN, Reason.DATA_NO_MARK}  # fmt: skip
    ours = [reason for reason in Reason if reason in ALL_GATED and reason not in never_together]
    assert seen == ours


ALL_GATED = {
    Reason.GATE_DRY_RUN, Reason.GATE_NOT_ARMED, Reason.GATE_KILL_SWITCH, Reason.GATE_REDUCE_ONLY,
    Reason.GATE_OBSERVE_ONLY, Reason.INTENT_EXPIRED, Reason.INTENT_DUPLICATE, Reason.INTENT_MALFORMED,
    Reason.UNIVERSE_NOT_ALLOWED, Reason.UNIVERSE_EXCLUDED, Reason.INSTRUMENT_UNKNOWN, Reason.INSTRUMENT_HALTED,
    Reason.INSTRUMENT_METADATA_STALE, Reason.INSTRUMENT_PRECISION, Reason.INSTRUMENT_MIN_QUANTITY,
    Reason.INSTRUMENT_MIN_NOTIONAL, Reason.DATA_STALE, Reason.DATA_GAP, Reason.DATA_NO_MARK, Reason.PRICE_COLLAR,
    Reason.PRICE_CROSSED_POST_ONLY, Reason.LIMIT_ORDER_NOTIONAL, Reason.LIMIT_POSITION_NOTIONAL,
    Reason.LIMIT_GROSS_EXPOSURE, Reason.LIMIT_OPEN_ORDERS, Reason.LIMIT_OPEN_ORDERS_SYMBOL,
    Reason.LIMIT_ORDERS_PER_CYCLE, Reason.CASH_RESERVE, Reason.CASH_INSUFFICIENT, Reason.PACE_GLOBAL_SPACING,
    Reason.PACE_SYMBOL_COOLDOWN,
}  # fmt: skip


def test_there_is_one_gate_for_each_reason_of_this_slice():
    """No gate is missing from the pipeline, and none stands in it twice."""
    assert len(SUBMIT_GATES) == len(set(SUBMIT_GATES)) == len(ALL_GATED)
    assert all(gate.__doc__ for gate in SUBMIT_GATES + CANCEL_GATES)


def test_gates_change_nothing(open_desk):
    """To judge is not to act: the state after judging is the state before."""
    before = open_desk.core.snapshot()
    state = open_desk.core.state
    judge(open_case(open_desk.intent(), state, state.policy))
    assert open_desk.core.snapshot() == before


def cancel_of(desk: Any, client_order_id: str, **fields: Any) -> Any:
    given = {"symbol": "BTC-USDT", "side": "BUY", **fields}
    return desk.ask(action=Action.CANCEL, client_order_id=client_order_id, **given)


def test_a_cancel_of_an_open_order_passes_whatever_else_is_shut(open_desk):
    """It makes risk smaller: kill switch, mode, limits and a broken feed do not stand in its way."""
    order = open_desk.ask()
    open_desk.policy({"mode": "OBSERVE_ONLY", "limits.open_orders": 0})
    open_desk.kill(engaged=True, epoch=1)
    open_desk.feed(FeedState.GAP)
    open_desk.instrument(status=InstrumentStatus.CANCEL_ONLY)
    decision = cancel_of(open_desk, order.client_order_id)
    assert decision.outcome is Outcome.APPROVED
    assert decision.action is Action.CANCEL
    again = cancel_of(open_desk, order.client_order_id)
    assert again.outcome is Outcome.APPROVED, "a cancel that got lost may be asked for again"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, [], id="as it is"),
        pytest.param({"symbol": "ETH-USDT"}, MALFORMED, id="another symbol"),
        pytest.param({"side": "SELL"}, MALFORMED, id="another side"),
        pytest.param({"expires_us": 1}, [Reason.INTENT_EXPIRED], id="expired"),
    ],
)
def test_a_cancel_repeats_the_order_it_cancels(open_desk, fields, expected):
    """A cancel that names one order and describes another is a mistake."""
    order = open_desk.ask()
    assert [f.code for f in cancel_of(open_desk, order.client_order_id, **fields).findings] == expected


def test_a_cancel_of_an_order_that_is_over_or_unknown_is_refused(open_desk):
    """There is nothing to cancel."""
    order = open_desk.ask()
    open_desk.order(order.client_order_id, OrderState.CANCELLED)
    assert [f.code for f in cancel_of(open_desk, order.client_order_id).findings] == MALFORMED
    assert [f.code for f in cancel_of(open_desk, OTHER_ID).findings] == MALFORMED
