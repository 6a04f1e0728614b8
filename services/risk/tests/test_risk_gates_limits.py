"""The caps, the cash and the pace: each gate at its limit, one step above and one below."""

from typing import Any

import pytest
from risk_rows import HOLD_5, ID, SELL_5, Row, act, check, table

from tollgate_contracts.execution import OrderState
from tollgate_contracts.marketdata import FeedState
from tollgate_contracts.reasons import Reason

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
