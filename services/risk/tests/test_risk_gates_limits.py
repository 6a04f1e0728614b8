"""The caps, the cash and the pace: each gate at its limit, one step above and one below."""

from decimal import Decimal
from typing import Any

import pytest
from risk_rows import HOLD_5, ID, SELL_5, act, at, check, kept, over, silent, table, under

from tollgate_contracts.execution import OrderState
from tollgate_contracts.marketdata import FeedState, MarginTerms
from tollgate_contracts.reasons import Reason

ORDER = Reason.LIMIT_ORDER_NOTIONAL
CYCLE_NOTIONAL = Reason.LIMIT_CYCLE_NOTIONAL
POSITION = Reason.LIMIT_POSITION_NOTIONAL
UNITS = Reason.LIMIT_POSITION_UNITS
GROSS = Reason.LIMIT_GROSS_EXPOSURE
NET = Reason.LIMIT_NET_EXPOSURE
GROUP = Reason.LIMIT_GROUP_EXPOSURE
SHARE = Reason.LIMIT_CONCENTRATION
OPEN = Reason.LIMIT_OPEN_ORDERS
OPEN_SYMBOL = Reason.LIMIT_OPEN_ORDERS_SYMBOL
CYCLE = Reason.LIMIT_ORDERS_PER_CYCLE
# Every mark is 100: a quantity of 1 is worth 100.
HOLD_60 = act("hold", quantity="60")
HOLD_20_ETH_100 = (act("hold", quantity="20"), act("hold", quantity="100", symbol="ETH-USDT"))
BUY_ETH = act("ask", symbol="ETH-USDT")
BUY_SOL = act("ask", symbol="SOL-USDT")
BUY_BTC = act("ask")
SELL_BTC = act("ask", side="SELL", quantity="1", price="100.01")


def buy(quantity: str, **fields: Any) -> dict[str, Any]:
    return {"quantity": quantity, **fields}


def sell(quantity: str, **fields: Any) -> dict[str, Any]:
    return {"side": "SELL", "quantity": quantity, **fields}


def unknown_buy(quantity: str) -> tuple[Any, ...]:
    return (
        act("ask", quantity=quantity, client_order_id=ID),
        act("order", client_order_id=ID, to_state=OrderState.UNKNOWN, quantity=quantity),
    )


@table(
    at(ORDER, "an order of the cap", ask=buy("50")),
    under(ORDER, "an order a step below", ask=buy("49.999")),
    over(ORDER, "an order a step above", ask=buy("50.001")),
    at(ORDER, "a sale of the cap", ask=sell("50"), acts=(HOLD_60,)),
    over(ORDER, "a sale a step above, which must come in slices", ask=sell("50.001"), acts=(HOLD_60,)),
    over(ORDER, "below the mark an order counts at the mark", ask=buy("50.001", price="99")),
    over(ORDER, "above the mark an order counts at its price", ask=buy("49.506", price="101")),
)
def test_order_notional(desk, row):
    """One order, at the worse of its bound and the mark; reducing orders too."""
    check(desk, row)


IN_CYCLE = {"limits.cycle_notional": "9000"}
CYCLE_50 = act("ask", symbol="ETH-USDT", quantity="50")


@table(
    at(CYCLE_NOTIONAL, "all of the cycle's cap", ask=buy("40"), rules=IN_CYCLE, acts=(CYCLE_50,)),
    under(CYCLE_NOTIONAL, "a step below", ask=buy("39.999"), rules=IN_CYCLE, acts=(CYCLE_50,)),
    over(CYCLE_NOTIONAL, "a step above", ask=buy("40.001"), rules=IN_CYCLE, acts=(CYCLE_50,)),
    under(CYCLE_NOTIONAL, "a new cycle begins to count anew", ask=buy("50"), rules=IN_CYCLE,
          acts=(CYCLE_50, act("next_cycle"))),
    over(CYCLE_NOTIONAL, "what was refused later still counts in its cycle", ask=buy("40.001"), rules=IN_CYCLE,
         acts=(act("ask", symbol="ETH-USDT", quantity="50", client_order_id=ID),
               act("order", client_order_id=ID, to_state=OrderState.REJECTED, quantity="50"))),
    at(CYCLE_NOTIONAL, "exits do not count", ask=buy("50"), rules={"limits.cycle_notional": "5000"},
       acts=(act("hold", quantity="5", symbol="ETH-USDT"), act("ask", symbol="ETH-USDT", **SELL_5))),
    silent(CYCLE_NOTIONAL, "an exit", ask=SELL_5, rules=IN_CYCLE, acts=(HOLD_5,)),
)  # fmt: skip
def test_cycle_notional(desk, row):
    """What one cycle of the clock approves, exits aside."""
    check(desk, row)


@table(
    at(POSITION, "a position of the cap", ask=buy("40"), acts=(HOLD_60,)),
    under(POSITION, "a position a step below", ask=buy("39.999"), acts=(HOLD_60,)),
    over(POSITION, "a position a step above", ask=buy("40.001"), acts=(HOLD_60,)),
    at(POSITION, "an open buy counts in full", ask=buy("30"), acts=(HOLD_60, act("ask", quantity="10"))),
    over(POSITION, "and a step above", ask=buy("30.001"), acts=(HOLD_60, act("ask", quantity="10"))),
    over(POSITION, "an open sell counts for nothing", ask=buy("40.001"),
         acts=(HOLD_60, act("ask", side="SELL", quantity="10", price="100.01"))),
    at(POSITION, "an UNKNOWN buy of the cap", ask=buy("30"), acts=(HOLD_60, *unknown_buy("10"))),
    over(POSITION, "an UNKNOWN buy counts in full", ask=buy("30.001"), acts=(HOLD_60, *unknown_buy("10"))),
    silent(POSITION, "a sale above the position cap", ask=sell("1"), acts=(act("hold", quantity="150"),)),
)  # fmt: skip
def test_position_notional(desk, row):
    """One position when everything open has traded."""
    check(desk, row)


CAPS = {"limits.position_units": [{"symbol": s, "units": "20"} for s in ("BTC-USDT", "ETH-USDT", "SOL-USDT")]}
NOT_ALLOWED = Reason.UNIVERSE_NOT_ALLOWED


@table(
    at(UNITS, "as many units as allowed", ask=buy("15"), rules=CAPS, acts=(HOLD_5,)),
    under(UNITS, "a step fewer", ask=buy("14.999"), rules=CAPS, acts=(HOLD_5,)),
    over(UNITS, "a step more", ask=buy("15.001"), rules=CAPS, acts=(HOLD_5,)),
    over(UNITS, "an UNKNOWN buy counts in full", ask=buy("5.001"), rules=CAPS, acts=(HOLD_5, *unknown_buy("10"))),
    at(UNITS, "an UNKNOWN buy and all the rest", ask=buy("5"), rules=CAPS, acts=(HOLD_5, *unknown_buy("10"))),
    silent(UNITS, "an exit above the cap", ask=sell("1"), rules=CAPS, acts=(act("hold", quantity="25"),)),
    silent(UNITS, "a symbol that is not allowed has no cap", NOT_ALLOWED, ask={"symbol": "XRP-USDT"}, rules=CAPS,
           acts=(("quote_xrp", {}),)),
)  # fmt: skip
def test_position_units(desk, row):
    """The same in units of the base currency."""
    desk.quote_xrp = lambda: desk.quote("XRP-USDT")
    check(desk, row)


TIGHT_GROSS = {"limits.gross_exposure": "16000"}
TIGHT_NET = {"limits.net_exposure": "16000"}


@table(
    at(GROSS, "gross of the cap", ask=buy("40"), rules=TIGHT_GROSS, acts=HOLD_20_ETH_100),
    under(GROSS, "gross a step below", ask=buy("39.999"), rules=TIGHT_GROSS, acts=HOLD_20_ETH_100),
    over(GROSS, "gross a step above", ask=buy("40.001"), rules=TIGHT_GROSS, acts=HOLD_20_ETH_100),
    over(GROSS, "gross counts open buys elsewhere", ask=buy("50"), rules={"limits.gross_exposure": "10001"},
         acts=(act("ask", symbol="ETH-USDT", quantity="50"), act("ask", symbol="SOL-USDT", quantity="1"))),
    silent(GROSS, "a sale above the gross cap", ask=sell("1"),
           acts=(act("hold", quantity="150"), act("hold", quantity="150", symbol="ETH-USDT"))),
    at(NET, "net of the cap", ask=buy("40"), rules=TIGHT_NET, acts=HOLD_20_ETH_100),
    under(NET, "net a step below", ask=buy("39.999"), rules=TIGHT_NET, acts=HOLD_20_ETH_100),
    over(NET, "net a step above", ask=buy("40.001"), rules=TIGHT_NET, acts=HOLD_20_ETH_100),
    over(NET, "net counts open buys elsewhere", ask=buy("50"), rules={"limits.net_exposure": "10001"},
         acts=(act("ask", symbol="ETH-USDT", quantity="50"), act("ask", symbol="SOL-USDT", quantity="1.01"))),
    silent(NET, "a sale above the net cap", ask=sell("1"), rules=TIGHT_NET,
           acts=(act("hold", quantity="150"), act("hold", quantity="50", symbol="ETH-USDT"))),
)  # fmt: skip
def test_gross_and_net_exposure(desk, row):
    """All positions together when everything open has traded."""
    check(desk, row)


def groups(**exposures: str) -> dict[str, Any]:
    symbols = {"pair": ["BTC-USDT", "ETH-USDT"], "all": ["BTC-USDT", "ETH-USDT", "SOL-USDT"]}
    return {"limits.groups": [{"name": n, "symbols": symbols[n], "exposure": e} for n, e in exposures.items()]}


PAIR = groups(pair="16000")
BOTH = groups(pair="16000", all="16500")
TEN_PERCENT = {"limits.concentration_bps": "1000", "limits.position_notional": "20000"}


@table(
    at(GROUP, "a group of its cap", ask=buy("40"), rules=PAIR, acts=HOLD_20_ETH_100),
    under(GROUP, "a group a step below", ask=buy("39.999"), rules=PAIR, acts=HOLD_20_ETH_100),
    over(GROUP, "a group a step above", ask=buy("40.001"), rules=PAIR, acts=HOLD_20_ETH_100),
    over(GROUP, "a wider group that is fuller", ask=buy("40"), rules=BOTH,
         acts=(*HOLD_20_ETH_100, act("hold", quantity="5.001", symbol="SOL-USDT"))),
    at(GROUP, "a wider group of its cap", ask=buy("40"), rules=groups(pair="16001", all="16500"),
       acts=(*HOLD_20_ETH_100, act("hold", quantity="5", symbol="SOL-USDT"))),
    over(GROUP, "a full group that stands before one with room", ask=buy("40.001"),
         rules=groups(pair="16000", all="20000"), acts=HOLD_20_ETH_100),
    over(GROUP, "a group counts open buys", ask=buy("40"), rules=PAIR,
         acts=(*HOLD_20_ETH_100, act("ask", quantity="0.06"))),
    silent(GROUP, "a symbol in no group", ask={"symbol": "SOL-USDT"}, rules=PAIR, acts=HOLD_20_ETH_100),
    silent(GROUP, "an exit from a full group", ask=sell("1"), rules=groups(pair="100"), acts=HOLD_20_ETH_100),
    at(SHARE, "a tenth of equity", ask=buy("40"), rules=TEN_PERCENT, acts=(HOLD_60,)),
    under(SHARE, "a step less than a tenth", ask=buy("39.999"), rules=TEN_PERCENT, acts=(HOLD_60,)),
    over(SHARE, "a step more than a tenth", ask=buy("40.001"), rules=TEN_PERCENT, acts=(HOLD_60,)),
    over(SHARE, "an open buy counts in full", ask=buy("30.001"), rules=TEN_PERCENT,
         acts=(HOLD_60, act("ask", quantity="10"))),
    silent(SHARE, "an exit from a position that is too large", ask=sell("1"), rules=TEN_PERCENT,
           acts=(act("hold", quantity="150"),)),
    silent(SHARE, "no equity is known while a mark is missing", Reason.DATA_NO_MARK, rules=TEN_PERCENT,
           acts=(act("hold", quantity="1", symbol="AVAX-USDT"),)),
)  # fmt: skip
def test_group_exposure_and_concentration(desk, row):
    """What moves together, and one position as a part of equity."""
    check(desk, row)


OPEN_3 = {"limits.open_orders": 3}
CYCLE_3 = {"limits.orders_per_cycle": 3}
REDUCING_2 = {"limits.reducing_orders_per_cycle": 2}


@table(
    at(OPEN, "the last open order", rules=OPEN_3, acts=(BUY_ETH, BUY_SOL)),
    under(OPEN, "the one before it", rules=OPEN_3, acts=(BUY_ETH,)),
    over(OPEN, "one open order too many", rules=OPEN_3, acts=(BUY_ETH, BUY_SOL, BUY_BTC)),
    silent(OPEN, "an exit beyond the open orders", ask=SELL_5, rules={"limits.open_orders": 2},
           acts=(HOLD_5, BUY_ETH, BUY_SOL)),
    at(OPEN_SYMBOL, "the last open order of a symbol", acts=(BUY_BTC,)),
    under(OPEN_SYMBOL, "orders of other symbols do not count", acts=(BUY_ETH,)),
    over(OPEN_SYMBOL, "one too many of a symbol", acts=(BUY_BTC, BUY_BTC)),
    silent(OPEN_SYMBOL, "an exit beyond the symbol's open orders", ask=sell("1", price="100.01"),
           acts=(HOLD_5, BUY_BTC, BUY_BTC)),
    at(CYCLE, "the last order of a cycle", rules=CYCLE_3, acts=(BUY_ETH, BUY_SOL)),
    under(CYCLE, "the one before it", rules=CYCLE_3, acts=(BUY_ETH,)),
    over(CYCLE, "one order too many in a cycle", rules=CYCLE_3, acts=(BUY_ETH, BUY_SOL, BUY_BTC)),
    at(CYCLE, "a new cycle begins to count anew", rules={"limits.orders_per_cycle": 1},
       acts=(BUY_ETH, act("next_cycle"))),
    under(CYCLE, "an exit has its own allowance", ask=SELL_5, rules={"limits.orders_per_cycle": 0}, acts=(HOLD_5,)),
    at(CYCLE, "the last exit of a cycle", ask=sell("1"), rules=REDUCING_2, acts=(HOLD_5, SELL_BTC)),
    over(CYCLE, "one exit too many in a cycle", ask=sell("1"), rules=REDUCING_2, acts=(HOLD_5, SELL_BTC, SELL_BTC)),
)  # fmt: skip
def test_numbers_of_orders(desk, row):
    """Open at once, open in one symbol, and approved within one cycle."""
    check(desk, row)


# 10 bought at 100 cost 1,000 and 2 in fees at 20 bps.
BUY_10 = {"quantity": "10"}
RESERVE = Reason.CASH_RESERVE
PAID = Reason.CASH_INSUFFICIENT
NO_RESERVE = {"cash.reserve": "0"}
PROMISED_2 = (HOLD_5, act("ask", side="SELL", quantity="2"))


@table(
    at(RESERVE, "the reserve stays whole", ask=BUY_10, cash="2002"),
    under(RESERVE, "a cent more", ask=BUY_10, cash="2002.01"),
    over(RESERVE, "a cent into the reserve", ask=BUY_10, cash="2001.99"),
    silent(RESERVE, "a sale", ask=SELL_5, cash="0", acts=(HOLD_5,)),
    at(PAID, "all the cash there is", ask=BUY_10, rules=NO_RESERVE, cash="1002"),
    under(PAID, "a cent more than it costs", ask=BUY_10, rules=NO_RESERVE, cash="1002.01"),
    over(PAID, "a cent short", RESERVE, ask=BUY_10, rules=NO_RESERVE, cash="1001.99"),
    at(PAID, "all that is held and not promised", ask=sell("3"), acts=PROMISED_2),
    under(PAID, "a step less", ask=sell("2.999"), acts=PROMISED_2),
    over(PAID, "a step more", ask=sell("3.001"), acts=PROMISED_2),
)
def test_cash_gates(desk, row):
    """A buy is paid with its fee from free cash above the reserve; a sale delivers what is held and not promised."""
    check(desk, row)


def test_open_buys_claim_their_cash_with_fees_until_they_are_over(new_desk):
    """Two orders cannot be paid with the same money."""
    desk = new_desk().open(cash="3003.99")
    first = desk.ask(**BUY_10)
    assert desk.reasons(**BUY_10) == [RESERVE]
    desk.order(first.client_order_id, OrderState.CANCELLED, quantity="10")
    assert desk.reasons(**BUY_10) == []


def test_a_buy_of_a_stranger_without_a_price_claims_its_cash_at_the_mark(new_desk):
    """An order that was never approved here is as real, and costs what the market asks."""
    desk = new_desk().open(cash="3003.99")
    desk.order("tg" + "e" * 30, OrderState.ACKNOWLEDGED, quantity="10", limit_price=None)
    assert desk.reasons(**BUY_10) == [RESERVE]


def test_a_buy_before_the_account_is_known_cannot_be_paid(desk):
    """What the venue holds for us is not known, so there is nothing to spend."""
    desk.policy()
    desk.feed(FeedState.UP)
    desk.instrument()
    desk.quote()
    assert desk.reasons() == [RESERVE, PAID]


SPACING = Reason.PACE_GLOBAL_SPACING
COOLDOWN = Reason.PACE_SYMBOL_COOLDOWN
HOURLY = Reason.PACE_HOURLY_CAP
DAILY = Reason.PACE_DAILY_CAP
RATE = Reason.PACE_RATE
PACED = {"pace.global_spacing_ms": 10, "pace.symbol_cooldown_ms": 100, "pace.reducing_symbol_cooldown_ms": 20}
EXIT = sell("5", price="100.01")
PER_HOUR = {"pace.orders_per_hour": 2}
PER_DAY = {"pace.orders_per_day": 2}
BUCKET = {"pace.burst": 2, "pace.rate_per_s": 1}


def after(microseconds: int) -> tuple[str, dict[str, Any]]:
    return act("wait", microseconds=microseconds)


@table(
    silent(SPACING, "the first order of all", rules=PACED),
    at(SPACING, "another symbol at the spacing", rules=PACED, acts=(BUY_ETH, after(10_000))),
    under(SPACING, "a microsecond later", rules=PACED, acts=(BUY_ETH, after(10_001))),
    over(SPACING, "a microsecond too soon", rules=PACED, acts=(BUY_ETH, after(9_999))),
    silent(SPACING, "an exit does not wait for other symbols", ask=SELL_5, rules=PACED, acts=(HOLD_5, BUY_ETH)),
    silent(COOLDOWN, "the symbol's first order", rules=PACED, acts=(BUY_ETH, after(10_000))),
    at(COOLDOWN, "the same symbol at its cooldown", rules=PACED, acts=(BUY_BTC, after(100_000))),
    under(COOLDOWN, "a microsecond after it", rules=PACED, acts=(BUY_BTC, after(100_001))),
    over(COOLDOWN, "a microsecond before it", rules=PACED, acts=(BUY_BTC, after(99_999))),
    over(COOLDOWN, "too soon for both", SPACING, rules=PACED, acts=(BUY_BTC, after(9_999))),
    at(COOLDOWN, "an exit at its own cooldown", ask=EXIT, rules=PACED, acts=(HOLD_5, BUY_BTC, after(20_000))),
    over(COOLDOWN, "an exit a microsecond too soon", ask=EXIT, rules=PACED, acts=(HOLD_5, BUY_BTC, after(19_999))),
    silent(COOLDOWN, "a rejected order starts no clock", rules=PACED, acts=(act("ask", quantity="1.0005"),)),
    at(HOURLY, "the last of an hour", rules=PER_HOUR, acts=(BUY_ETH,)),
    under(HOURLY, "the one before it", rules=PER_HOUR),
    over(HOURLY, "one too many in an hour", rules=PER_HOUR, acts=(BUY_ETH, BUY_SOL)),
    silent(HOURLY, "an exit", ask=SELL_5, rules={"pace.orders_per_hour": 0}, acts=(HOLD_5,)),
    at(DAILY, "the last of a day", rules=PER_DAY, acts=(BUY_ETH,)),
    under(DAILY, "the one before it", rules=PER_DAY),
    over(DAILY, "one too many in a day", rules=PER_DAY, acts=(BUY_ETH, BUY_SOL)),
    silent(DAILY, "an exit", ask=SELL_5, rules={"pace.orders_per_day": 0}, acts=(HOLD_5,)),
    under(RATE, "two tokens in the bucket", rules=BUCKET),
    at(RATE, "the last token", rules=BUCKET, acts=(BUY_ETH,)),
    over(RATE, "an empty bucket", rules=BUCKET, acts=(BUY_ETH, BUY_SOL)),
    over(RATE, "a microsecond before the next token", rules=BUCKET, acts=(BUY_ETH, BUY_SOL, after(999_999))),
    at(RATE, "the next token", rules=BUCKET, acts=(BUY_ETH, BUY_SOL, after(1_000_000))),
    silent(RATE, "an exit takes no token", ask=SELL_5, rules=BUCKET, acts=(HOLD_5, BUY_ETH, BUY_SOL)),
    kept(RATE, "a bucket holds no more than its burst", rules={**BUCKET, "pace.burst": 1}, acts=(after(2_000_000),)),
)
def test_pace_gates(desk, row):
    """Is it too soon after the last order, or too much."""
    check(desk, row)


@pytest.mark.parametrize("fee_bps", ["0", "-5"])
def test_a_rebate_is_not_counted_on(new_desk, fee_bps):
    """Cash that a venue may pay back is not cash before it has."""
    desk = new_desk().open(cash="2000")
    desk.account(USDT="2000", fee_bps=fee_bps)
    assert desk.reasons(**BUY_10) == []
    assert desk.core.state.fee_on(Decimal(1_000)) == 0


TIERED = {
    "fee_tiers": [
        {"volume_from": "0", "maker_bps": "10", "taker_bps": "20"},
        {"volume_from": "1000", "maker_bps": "-1", "taker_bps": "15"},
    ]
}


@pytest.mark.parametrize(
    ("stated_bps", "reckoned_bps"),
    [
        pytest.param(("10", "20"), "20", id="the venue states the first tier"),
        pytest.param(("-1", "15"), "15", id="the venue states the second tier"),
        pytest.param(("-1", "12"), "15", id="the venue states less than any tier"),
        pytest.param(("0", "15"), "20", id="the second tier says less to makers than the venue does"),
        pytest.param(("10", "17"), "20", id="the venue states less than the tier that it is of"),
        pytest.param(("10", "30.00001"), "30.0001", id="the venue states more than any tier"),
        pytest.param(("30", "25"), "30", id="the venue states more for making than for taking"),
    ],
)
def test_a_buy_is_reckoned_with_the_fee_of_the_stated_tier_and_never_with_less_than_is_stated(
    new_desk, stated_bps, reckoned_bps
):
    """By the model of costs that the policy carries: what it does not know of, the venue's word covers."""
    maker_bps, taker_bps = stated_bps
    desk = new_desk().open(cash="2000", costs=TIERED)
    desk.account(USDT="2000", fee_bps=taker_bps, maker_bps=maker_bps)
    assert desk.core.state.fee_on(Decimal(10_000)) == Decimal(reckoned_bps)


def test_a_policy_with_another_model_of_costs_is_reckoned_with_at_once(new_desk):
    """The statement that came before the policy is held against it."""
    desk = new_desk().open(cash="2000")
    desk.account(USDT="2000", fee_bps="12")
    assert desk.core.state.fee_on(Decimal(10_000)) == 12
    desk.policy(costs=TIERED)
    assert desk.core.state.fee_on(Decimal(10_000)) == 20


HALF = MarginTerms(initial_rate=Decimal("0.5"), maintenance_rate=Decimal("0.25"), leverage_max=Decimal(20))
WIDE = {
    "fee_tiers": [{"volume_from": "0", "maker_bps": "0", "taker_bps": "0"}],
    "markets": [
        {"name": "near", "symbols": ["ETH-USDT"], "half_spread_bps": "0", "slippage_bps": "0"},
        {"name": "far", "half_spread_bps": "60", "slippage_bps": "40"},
    ],
}


@pytest.mark.parametrize(
    ("symbol", "margin", "quantity", "is_too_much"),
    [
        pytest.param("BTC-USDT", HALF, "10", False, id="half the spread and slippage are 10 of 1,000"),
        pytest.param("BTC-USDT", HALF, "10.001", True, id="and a step more is too much"),
        pytest.param("ETH-USDT", HALF, "10.1", False, id="a symbol of another tier costs what that says"),
        pytest.param("BTC-USDT", None, "10.1", False, id="a spot buy pays no more than its bound"),
    ],
)
def test_a_position_on_margin_is_reckoned_with_the_spread_and_slippage_that_it_loses_at_once(
    new_desk, symbol, margin, quantity, is_too_much
):
    cash = "510" if margin else "1010"
    desk = new_desk().open({"cash.reserve": "0", "margin.initial_buffer_bps": "0"}, cash=cash, costs=WIDE)
    desk.account(fee_bps="0")
    if margin:
        desk.instrument(symbol=symbol, margin=margin)
    short_of = {Reason.MARGIN_INSUFFICIENT, Reason.CASH_INSUFFICIENT}
    assert bool(short_of.intersection(desk.reasons("BUY", quantity, symbol=symbol))) is is_too_much
