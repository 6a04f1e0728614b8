"""May the desk, the intent, the symbol and the market be traded: each gate at its limit and a step either side."""

from decimal import Decimal
from typing import Any

from risk_rows import (
    HOLD_5,
    ID,
    OTHER_ID,
    SELL_5,
    act,
    at,
    check,
    kept,
    over,
    refused,
    silent,
    table,
    under,
)

from tollgate_contracts.marketdata import FeedState, InstrumentStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import OrderType, Purpose, TimeInForce
from tollgate_risk.core.policy import LIVE_ACKNOWLEDGEMENT

LIVE = {"environment": "live"}
ARMED = {"arming.live_trading": True, "arming.live_trading_ack": LIVE_ACKNOWLEDGEMENT}
DRY_RUN = Reason.GATE_DRY_RUN
NOT_ARMED = Reason.GATE_NOT_ARMED
KILL = Reason.GATE_KILL_SWITCH
REDUCE = Reason.GATE_REDUCE_ONLY
OBSERVE = Reason.GATE_OBSERVE_ONLY
INSUFFICIENT = Reason.CASH_INSUFFICIENT
REDUCE_MODE = {"mode": "REDUCE_ONLY"}
OBSERVE_MODE = {"mode": "OBSERVE_ONLY"}


def sell(quantity: str, **fields: Any) -> dict[str, Any]:
    return {"side": "SELL", "quantity": quantity, **fields}


@table(
    kept(DRY_RUN, "a simulated desk that is no dry run"),
    refused(DRY_RUN, "a dry run of a simulated desk", rules={"arming.dry_run": True}),
    refused(DRY_RUN, "a dry run of a paper desk", rules={"arming.dry_run": True}, identity={"environment": "paper"}),
    refused(DRY_RUN, "a live desk without live trading", identity=LIVE, rules={**ARMED, "arming.live_trading": False}),
    refused(DRY_RUN, "a live desk that is armed and a dry run", identity=LIVE, rules={**ARMED, "arming.dry_run": True}),
    refused(DRY_RUN, "a live desk of which nothing is said", NOT_ARMED, identity=LIVE),
    refused(DRY_RUN, "an exit in a dry run", ask=SELL_5, rules={"arming.dry_run": True}, acts=(HOLD_5,)),
    kept(NOT_ARMED, "a paper desk is armed by itself", identity={"environment": "paper"}),
    kept(NOT_ARMED, "a live desk that is armed", identity=LIVE, rules=ARMED),
    refused(NOT_ARMED, "no acknowledgement", identity=LIVE, rules={"arming.live_trading": True}),
    refused(
        NOT_ARMED,
        "an acknowledgement that is one letter short",
        identity=LIVE,
        rules={**ARMED, "arming.live_trading_ack": LIVE_ACKNOWLEDGEMENT[:-1]},
    ),
    refused(
        NOT_ARMED,
        "an acknowledgement with one letter more",
        identity=LIVE,
        rules={**ARMED, "arming.live_trading_ack": f"{LIVE_ACKNOWLEDGEMENT}."},
    ),
    refused(KILL, "the kill switch stops entries", acts=(act("kill", engaged=True, epoch=1),)),
    refused(KILL, "the kill switch stops exits too", ask=SELL_5, acts=(HOLD_5, act("kill", engaged=True, epoch=1))),
    kept(
        KILL,
        "a released kill switch lets through",
        acts=(act("kill", engaged=True, epoch=1), act("kill", engaged=False, epoch=1)),
    ),
    silent(REDUCE, "a plain buy in the normal mode"),
    refused(REDUCE, "reduce-only mode stops an entry", rules=REDUCE_MODE),
    at(REDUCE, "reduce-only mode lets all that is held go", ask=SELL_5, rules=REDUCE_MODE, acts=(HOLD_5,)),
    under(REDUCE, "reduce-only mode lets one step less go", ask=sell("4.999"), rules=REDUCE_MODE, acts=(HOLD_5,)),
    over(
        REDUCE,
        "reduce-only mode stops one step more",
        INSUFFICIENT,
        ask=sell("5.001"),
        rules=REDUCE_MODE,
        acts=(HOLD_5,),
    ),
    refused(
        REDUCE, "a buy that calls itself reduce-only", ask={"reduce_only": True, "purpose": Purpose.EXIT}
    ),
    at(REDUCE, "a sale that is reduce-only by size", ask={**SELL_5, "reduce_only": True}, acts=(HOLD_5,)),
    over(
        REDUCE,
        "reduce-only counts open sells",
        INSUFFICIENT,
        ask=sell("3.001", reduce_only=True),
        acts=(HOLD_5, act("ask", side="SELL", quantity="2")),
    ),
    at(
        REDUCE,
        "reduce-only counts what is left of open sells",
        ask=sell("3", reduce_only=True),
        acts=(HOLD_5, act("ask", side="SELL", quantity="2")),
    ),
    refused(OBSERVE, "observe-only mode stops entries", rules=OBSERVE_MODE),
    refused(OBSERVE, "observe-only mode stops exits", ask=SELL_5, rules=OBSERVE_MODE, acts=(HOLD_5,)),
    kept(OBSERVE, "normal mode"),
    kept(OBSERVE, "reduce-only mode", ask=SELL_5, rules=REDUCE_MODE, acts=(HOLD_5,)),
)  # fmt: skip
def test_arming_gates(desk, row):
    """Who may trade at all."""
    check(desk, row)


MARKET = {"order_type": OrderType.MARKET, "price": None}
ALLOW_MARKET = {"intents.allow_market_orders": True}
EXPIRED = Reason.INTENT_EXPIRED
DUPLICATE = Reason.INTENT_DUPLICATE
MALFORMED = Reason.INTENT_MALFORMED
REPEAT = {"intents.repeat_ms": 200}
SAME = act("ask")


def after(microseconds: int) -> tuple[str, dict[str, Any]]:
    return act("wait", microseconds=microseconds)


@table(
    under(EXPIRED, "expires in a microsecond", ask={"expires_in_us": 1}),
    at(EXPIRED, "expires now", EXPIRED, ask={"expires_in_us": 0}),
    over(EXPIRED, "expired a microsecond ago", ask={"expires_in_us": -1}),
    kept(DUPLICATE, "another order id", ask={"client_order_id": ID}, acts=(act("ask", client_order_id=OTHER_ID),)),
    refused(
        DUPLICATE,
        "the same order id after an approval",
        ask={"client_order_id": ID, "quantity": "2"},
        acts=(act("ask", client_order_id=ID),),
    ),
    refused(
        DUPLICATE,
        "the same order id after a rejection",
        ask={"client_order_id": ID},
        acts=(act("ask", client_order_id=ID, symbol="XRP-USDT"),),
    ),
    at(DUPLICATE, "the same order at the end of the time", rules=REPEAT, acts=(SAME, after(200_000))),
    under(DUPLICATE, "a microsecond later", rules=REPEAT, acts=(SAME, after(200_001))),
    over(DUPLICATE, "a microsecond too soon", rules=REPEAT, acts=(SAME, after(199_999))),
    kept(DUPLICATE, "another quantity", ask={"quantity": "1.001"}, rules=REPEAT, acts=(SAME,)),
    kept(DUPLICATE, "another price", ask={"price": "100.01"}, rules=REPEAT, acts=(SAME,)),
    kept(DUPLICATE, "another symbol", ask={"symbol": "ETH-USDT"}, rules=REPEAT, acts=(SAME,)),
    kept(DUPLICATE, "the other side", ask=sell("1", price="100.01"), rules=REPEAT, acts=(HOLD_5, SAME)),
    kept(DUPLICATE, "the same after a rejection", rules=REPEAT,
         acts=(act("feed", state=FeedState.GAP), SAME, act("feed", state=FeedState.UP))),
    refused(DUPLICATE, "the same written with a zero more", ask={"quantity": "1.0", "price": "100.00"}, rules=REPEAT,
            acts=(SAME,)),
    kept(MALFORMED, "the longest life", ask={"expires_in_us": 10_000_000}),
    refused(MALFORMED, "a life that is a microsecond longer", ask={"expires_in_us": 10_000_001}),
    refused(MALFORMED, "a limit order without a price", ask={"price": None}),
    refused(MALFORMED, "a market order", ask={**MARKET}),
    kept(MALFORMED, "a market order where the policy allows it", ask=MARKET, rules=ALLOW_MARKET),
    refused(MALFORMED, "a market order with a price", ask={**MARKET, "price": "100"}, rules=ALLOW_MARKET),
    refused(
        MALFORMED, "a resting market order", ask={**MARKET, "time_in_force": TimeInForce.GTC}, rules=ALLOW_MARKET
    ),
    refused(MALFORMED, "a post-only market order", ask={**MARKET, "post_only": True}, rules=ALLOW_MARKET),
    refused(MALFORMED, "post-only and IOC", ask={"post_only": True, "price": "99"}),
    refused(
        MALFORMED, "post-only and FOK", ask={"post_only": True, "price": "99", "time_in_force": TimeInForce.FOK}
    ),
    kept(MALFORMED, "post-only and GTC", ask={"post_only": True, "price": "99", "time_in_force": TimeInForce.GTC}),
    refused(MALFORMED, "for another desk", ask={"desk": "other"}),
    refused(MALFORMED, "an entry that is reduce-only", ask=sell("1", reduce_only=True, purpose=Purpose.ENTRY),
            acts=(HOLD_5,)),
)  # fmt: skip
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


HALTED = Reason.INSTRUMENT_HALTED
METADATA = Reason.INSTRUMENT_METADATA_STALE
PRECISION = Reason.INSTRUMENT_PRECISION
MIN_QUANTITY = Reason.INSTRUMENT_MIN_QUANTITY
MIN_NOTIONAL = Reason.INSTRUMENT_MIN_NOTIONAL
UNKNOWN = Reason.INSTRUMENT_UNKNOWN
FORGET = ("forget_instrument", {})
LEAST = instrument(min_quantity=Decimal("0.06"))
NO_PRICE = {"acts": (("forget_quote", {}),), "ask": {"price": None}}


@table(
    kept(Reason.UNIVERSE_NOT_ALLOWED, "an allowed symbol"),
    refused(
        Reason.UNIVERSE_NOT_ALLOWED,
        "a symbol of the desk that is not allowed",
        ask={"symbol": "XRP-USDT"},
        acts=(act("quote"), ("quote_xrp", {})),
    ),
    kept(Reason.UNIVERSE_EXCLUDED, "a symbol that is not excluded", rules={"universe.excluded": ["ETH-USDT"]}),
    refused(Reason.UNIVERSE_EXCLUDED, "an excluded symbol", rules={"universe.excluded": ["BTC-USDT"]}),
    kept(
        Reason.UNIVERSE_EXCLUDED,
        "an excluded symbol is sold",
        ask=SELL_5,
        rules={"universe.excluded": ["BTC-USDT"]},
        acts=(HOLD_5,),
    ),
    refused(UNKNOWN, "a symbol without metadata", acts=(FORGET,)),
    kept(UNKNOWN, "a symbol with metadata"),
    kept(HALTED, "open"),
    refused(HALTED, "cancel-only", acts=instrument(status=InstrumentStatus.CANCEL_ONLY)),
    refused(HALTED, "auction", acts=instrument(status=InstrumentStatus.AUCTION)),
    refused(HALTED, "halted", acts=instrument(status=InstrumentStatus.HALTED)),
    refused(HALTED, "halted for an exit", ask=SELL_5, acts=(HOLD_5, *instrument(status=InstrumentStatus.HALTED))),
    under(METADATA, "valid until a microsecond from now", acts=(("valid_for", {"microseconds": 1}),)),
    at(METADATA, "valid until now", acts=(("valid_for", {"microseconds": 0}),)),
    over(METADATA, "valid until a microsecond ago", acts=(("valid_for", {"microseconds": -1}),)),
    kept(PRECISION, "one tick", ask={"price": "100.01"}),
    refused(PRECISION, "half a tick", ask={"price": "100.005"}),
    kept(PRECISION, "one step", ask={"quantity": "1.001"}),
    refused(PRECISION, "half a step", ask={"quantity": "1.0005"}),
    refused(PRECISION, "neither on the grid", ask={"quantity": "1.0005", "price": "100.005"}),
    kept(PRECISION, "a value of eighteen places", acts=instrument(step=Decimal("0.0000000000000001"))),
    refused(PRECISION, "a value of nineteen", acts=instrument(step=Decimal("0.00000000000000001"))),
    at(MIN_QUANTITY, "the least quantity", ask={"quantity": "0.06"}, acts=LEAST),
    under(MIN_QUANTITY, "a step above it", ask={"quantity": "0.061"}, acts=LEAST),
    over(MIN_QUANTITY, "a step below it", ask={"quantity": "0.059"}, acts=LEAST),
    at(MIN_NOTIONAL, "the least notional", ask={"quantity": "0.05"}),
    under(MIN_NOTIONAL, "a step above the least notional", ask={"quantity": "0.051"}),
    over(MIN_NOTIONAL, "a step below the least notional", ask={"quantity": "0.049"}),
    *(
        silent(gate, f"{gate} without metadata", UNKNOWN, acts=(FORGET,))
        for gate in (HALTED, METADATA, PRECISION, MIN_QUANTITY, MIN_NOTIONAL)
    ),
    silent(MIN_NOTIONAL, "the notional of an order without any price", MALFORMED, Reason.DATA_NO_MARK, **NO_PRICE),
)
def test_universe_and_instrument_gates(desk, row):
    """May the symbol be traded, and would the venue take price and size."""
    desk.quote_xrp = lambda: desk.quote("XRP-USDT")
    desk.valid_for = lambda microseconds: desk.instrument(valid_until_us=desk.now_us + microseconds)
    desk.forget_instrument = lambda: desk.core.state.instruments.pop("BTC-USDT")
    desk.forget_quote = lambda: desk.core.state.quotes.pop("BTC-USDT")
    check(desk, row)


STALE = Reason.DATA_STALE
SKEW = Reason.DATA_CLOCK_SKEW
GAP = Reason.DATA_GAP
NO_MARK = Reason.DATA_NO_MARK
FEED = {state: (act("feed", state=state),) for state in FeedState}
COLLAR = Reason.PRICE_COLLAR
CROSSED = Reason.PRICE_CROSSED_POST_ONLY
SELF = Reason.PRICE_SELF_CROSS
POST = {"post_only": True, "time_in_force": TimeInForce.GTC}
UNQUOTED = (("forget_quote", {}),)
HOLD_AVAX = act("hold", quantity="1", symbol="AVAX-USDT")
OWN_SALE = act("ask", side="SELL", quantity="1", price="100.05")
OWN_BUY = act("ask", quantity="1", price="99.95")


@table(
    at(STALE, "a quote as old as allowed", acts=(act("wait", microseconds=2_000_000),)),
    under(STALE, "a microsecond younger", acts=(act("wait", microseconds=1_999_999),)),
    over(STALE, "a microsecond older", acts=(act("wait", microseconds=2_000_001),)),
    over(STALE, "an exit waits for a fresh quote too", ask=SELL_5,
         acts=(HOLD_5, act("wait", microseconds=2_000_001))),
    at(SKEW, "the venue as far behind as allowed", acts=(("skewed", {"microseconds": -1_000_000}),)),
    under(SKEW, "the venue a microsecond less behind", acts=(("skewed", {"microseconds": -999_999}),)),
    over(SKEW, "the venue a microsecond further behind", acts=(("skewed", {"microseconds": -1_000_001}),)),
    at(SKEW, "the venue as far ahead as allowed", acts=(("skewed", {"microseconds": 1_000_000}),)),
    over(SKEW, "the venue a microsecond further ahead", acts=(("skewed", {"microseconds": 1_000_001}),)),
    kept(GAP, "feed UP", acts=FEED[FeedState.UP]),
    kept(GAP, "feed RECOVERED", acts=FEED[FeedState.RECOVERED]),
    refused(GAP, "feed DEGRADED", acts=FEED[FeedState.DEGRADED]),
    refused(GAP, "feed STALE", acts=FEED[FeedState.STALE]),
    refused(GAP, "feed GAP", acts=FEED[FeedState.GAP]),
    kept(NO_MARK, "every symbol at risk is quoted", acts=(act("hold", quantity="1", symbol="ETH-USDT"),)),
    refused(NO_MARK, "the symbol itself was never quoted", acts=UNQUOTED),
    refused(NO_MARK, "another symbol that is held was never quoted", acts=(HOLD_AVAX,)),
    kept(NO_MARK, "an exit needs its own mark only", ask=SELL_5, acts=(HOLD_5, HOLD_AVAX)),
    at(COLLAR, "a buy at the collar", ask={"price": "101"}),
    under(COLLAR, "a buy a tick inside", ask={"price": "100.99"}),
    over(COLLAR, "a buy a tick outside", ask={"price": "101.01"}),
    at(COLLAR, "a buy at the collar's lower end", ask={"price": "99"}),
    over(COLLAR, "a buy a tick below it", ask={"price": "98.99"}),
    at(COLLAR, "a sale at the collar", ask={**SELL_5, "price": "99"}, acts=(HOLD_5,)),
    over(COLLAR, "a sale a tick outside", ask={**SELL_5, "price": "98.99"}, acts=(HOLD_5,)),
    under(CROSSED, "a post-only buy a tick below the ask", ask={**POST, "price": "100"}),
    at(CROSSED, "a post-only buy at the ask", CROSSED, ask={**POST, "price": "100.01"}),
    over(CROSSED, "a post-only buy above the ask", ask={**POST, "price": "100.02"}),
    under(CROSSED, "a post-only sale a tick above the bid", ask={**POST, **SELL_5, "price": "100"}, acts=(HOLD_5,)),
    at(CROSSED, "a post-only sale at the bid", CROSSED, ask={**POST, **SELL_5, "price": "99.99"}, acts=(HOLD_5,)),
    over(CROSSED, "a post-only sale below the bid", ask={**POST, **SELL_5, "price": "99.98"}, acts=(HOLD_5,)),
    silent(CROSSED, "an order that may take", ask={"price": "100.02"}),
    under(SELF, "a buy a tick below our own sale", ask={"price": "100.04"}, acts=(HOLD_5, OWN_SALE)),
    at(SELF, "a buy at our own sale", SELF, ask={"price": "100.05"}, acts=(HOLD_5, OWN_SALE)),
    over(SELF, "a buy a tick above our own sale", ask={"price": "100.06"}, acts=(HOLD_5, OWN_SALE)),
    under(SELF, "a sale a tick above our own buy", ask=sell("1", price="99.96"), acts=(HOLD_5, OWN_BUY)),
    at(SELF, "a sale at our own buy", SELF, ask=sell("1", price="99.95"), acts=(HOLD_5, OWN_BUY)),
    over(SELF, "a sale a tick below our own buy", ask=sell("1", price="99.94"), acts=(HOLD_5, OWN_BUY)),
    over(SELF, "the lowest of our own sales counts", ask={"price": "100.06"}, rules={"limits.open_orders_symbol": 3},
         acts=(HOLD_5, act("ask", side="SELL", quantity="1", price="100.5"), OWN_SALE)),
    silent(SELF, "our own buy on the same side", acts=(OWN_BUY,)),
    silent(SELF, "our own order in another symbol", ask={"symbol": "ETH-USDT", "price": "100.06"},
           acts=(HOLD_5, OWN_SALE)),
    *(silent(gate, f"{gate} without a quote", NO_MARK, acts=UNQUOTED) for gate in (STALE, SKEW, COLLAR, SELF)),
    silent(CROSSED, "post-only without a quote", NO_MARK, ask={**POST, "price": "100.02"}, acts=UNQUOTED),
    silent(COLLAR, "a price that is not there", MALFORMED, NO_MARK, ask={"price": None}, acts=UNQUOTED),
)  # fmt: skip
def test_market_gates(desk, row):
    """Is the market known well enough, and is the price near it."""
    desk.skewed = lambda microseconds: desk.quote(venue_ts_us=desk.now_us + microseconds)
    desk.forget_quote = lambda: desk.core.state.quotes.pop("BTC-USDT")
    check(desk, row)


def test_before_any_feed_message_there_is_a_gap_and_no_mark(desk):
    """A gate that has heard nothing of the market lets nothing through."""
    desk.policy()
    desk.account(USDT="100000")
    desk.instrument()
    assert desk.reasons() == [GAP, NO_MARK]
