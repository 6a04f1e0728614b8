"""May the desk, the intent, the symbol and the market be traded: each gate at its limit and a step either side."""

from decimal import Decimal
from typing import Any

from risk_rows import HOLD_5, ID, OTHER_ID, SELL_5, Row, act, check, table

from tollgate_contracts.marketdata import FeedState, InstrumentStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import OrderType, TimeInForce
from tollgate_risk.core.policy import LIVE_ACKNOWLEDGEMENT

LIVE = {"environment": "live"}
ARMED = {"arming.live_trading": True, "arming.acknowledgement": LIVE_ACKNOWLEDGEMENT}


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
