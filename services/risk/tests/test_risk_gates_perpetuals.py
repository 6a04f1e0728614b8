"""Perpetuals, long and short: what reduces, what a position is worth at its worst, and what it may cost."""

from decimal import Decimal
from typing import Any

import pytest
from risk_rows import act, at, check, kept, over, refused, silent, table, under

from tollgate_contracts.execution import OrderState
from tollgate_contracts.marketdata import MarginTerms
from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import Outcome
from tollgate_contracts.strategy import Purpose, Side

TERMS = MarginTerms(initial_rate=Decimal("0.1"), maintenance_rate=Decimal("0.05"), leverage_max=Decimal(10))
REDUCE = Reason.GATE_REDUCE_ONLY
POSITION = Reason.LIMIT_POSITION_NOTIONAL
UNITS = Reason.LIMIT_POSITION_UNITS
GROSS = Reason.LIMIT_GROSS_EXPOSURE
NET = Reason.LIMIT_NET_EXPOSURE
RESERVE = Reason.CASH_RESERVE
PAID = Reason.CASH_INSUFFICIENT
REDUCE_MODE = {"mode": "REDUCE_ONLY"}
# Both perpetuals; every mark is 100.
ON_MARGIN = (act("instrument", margin=TERMS), act("instrument", symbol="ETH-USDT", margin=TERMS))


def short(quantity: str, symbol: str = "BTC-USDT") -> tuple[str, dict[str, Any]]:
    return act("fill", client_order_id="tg" + "f" * 30, quantity=quantity, side="SELL", symbol=symbol)


def buy(quantity: str, price: str = "100", **fields: Any) -> dict[str, Any]:
    return {"quantity": quantity, "price": price, "purpose": Purpose.EXIT, **fields}


def sell(quantity: str, price: str = "100", **fields: Any) -> dict[str, Any]:
    return {"side": "SELL", "quantity": quantity, "price": price, **fields}


SHORT_5 = (*ON_MARGIN, short("5"))
LONG_5 = (*ON_MARGIN, act("hold", quantity="5"))
SHORT_60 = (*ON_MARGIN, short("60"))
BUYING_2 = act("ask", **buy("2", "99.99"))
SELLING_2 = act("ask", **sell("2", "100.01"))


@table(
    at(REDUCE, "all of a short is bought back", ask=buy("5"), rules=REDUCE_MODE, acts=SHORT_5),
    under(REDUCE, "a step less", ask=buy("4.999"), rules=REDUCE_MODE, acts=SHORT_5),
    over(REDUCE, "a step more would flip it", ask=buy("5.001"), rules=REDUCE_MODE, acts=SHORT_5),
    refused(REDUCE, "a sale enlarges a short", ask=sell("1", reduce_only=True), acts=SHORT_5),
    at(REDUCE, "open buys count", ask=buy("3", reduce_only=True), acts=(*SHORT_5, BUYING_2)),
    over(REDUCE, "and a step more", ask=buy("3.001", reduce_only=True), acts=(*SHORT_5, BUYING_2)),
    at(REDUCE, "all of a long is sold", ask=sell("5"), rules=REDUCE_MODE, acts=LONG_5),
    over(REDUCE, "a step more would flip the long", ask=sell("5.001"), rules=REDUCE_MODE, acts=LONG_5),
    silent(REDUCE, "an order may flip a position where nothing says otherwise", ask=sell("5.001"), acts=LONG_5),
    over(REDUCE, "but not from under an open reducing one", ask=sell("3.001"), acts=(*LONG_5, SELLING_2)),
    at(REDUCE, "what an open reducing one leaves", ask=sell("3"), acts=(*LONG_5, SELLING_2)),
    over(REDUCE, "nor a short", ask=buy("3.001"), acts=(*SHORT_5, BUYING_2)),
    silent(REDUCE, "the other side enlarges and takes nothing away", ask=buy("1", "99.9"), acts=(*LONG_5, SELLING_2)),
    kept(Reason.UNIVERSE_EXCLUDED, "a short in an excluded symbol is bought back", ask=buy("5"),
         rules={"universe.excluded": ["BTC-USDT"]}, acts=SHORT_5),
)  # fmt: skip
def test_what_reduces_a_perpetual(desk, row):
    """By size, with open orders counted, on either side of zero."""
    check(desk, row)


CAPS = {"limits.position_units": [{"symbol": s, "units": "70"} for s in ("BTC-USDT", "ETH-USDT", "SOL-USDT")]}
SHORT_60_ETH = (*SHORT_60, act("fill", client_order_id="tg" + "e" * 30, quantity="60", side="SELL", symbol="ETH-USDT"))
TIGHT_NET = {"limits.net_exposure": "5000"}


@table(
    at(POSITION, "a short of the cap", ask=sell("40"), acts=SHORT_60),
    under(POSITION, "a short a step below", ask=sell("39.999"), acts=SHORT_60),
    over(POSITION, "a short a step above", ask=sell("40.001"), acts=SHORT_60),
    over(POSITION, "an open sale counts in full", ask=sell("30.001"),
         acts=(*SHORT_60, act("ask", **sell("10", "100.01")))),
    under(POSITION, "a flip counts only what is beyond zero", ask=buy("50"), acts=(*ON_MARGIN, short("10"))),
    silent(POSITION, "a short above the cap is bought back", ask=buy("1"), acts=(*ON_MARGIN, short("150"))),
    at(UNITS, "as many units short as allowed", ask=sell("10"), rules=CAPS, acts=SHORT_60),
    under(UNITS, "a short of a step fewer", ask=sell("9.999"), rules=CAPS, acts=SHORT_60),
    over(UNITS, "a short of a step more", ask=sell("10.001"), rules=CAPS, acts=SHORT_60),
    at(GROSS, "shorts and longs are added", ask={"symbol": "ETH-USDT", "quantity": "40"},
       rules={"limits.gross_exposure": "10000"}, acts=SHORT_60),
    over(GROSS, "and a step more", ask={"symbol": "ETH-USDT", "quantity": "40.001"},
         rules={"limits.gross_exposure": "10000"}, acts=SHORT_60),
    under(NET, "a long against a short nets out", ask={"symbol": "ETH-USDT", "quantity": "50"},
          rules={"limits.net_exposure": "6001"}, acts=SHORT_60),
    at(NET, "shorts of the net cap", ask=sell("50", symbol="ETH-USDT"), rules={"limits.net_exposure": "11000"},
       acts=SHORT_60),
    over(NET, "and a step more", ask=sell("50", symbol="ETH-USDT"), rules={"limits.net_exposure": "10999.9"},
         acts=SHORT_60),
    over(NET, "an open buy that may not trade nets nothing out", ask=sell("20", symbol="ETH-USDT"),
         rules={"limits.net_exposure": "7000"}, acts=(*SHORT_60, act("ask", symbol="SOL-USDT", quantity="50"))),
)  # fmt: skip
def test_what_a_short_is_worth_at_its_worst(desk, row):
    """Caps bind shorts as they bind longs; longs and shorts meet only in what is held."""
    check(desk, row)


FEE_ONLY = {"cash.reserve": "0"}
LOSING = (*SHORT_5, ("quote_btc", {"bid": "109.99", "ask": "110.01"}))


@table(
    at(RESERVE, "an entry costs its fee and no more", ask=sell("10"), acts=ON_MARGIN, cash="1002"),
    under(RESERVE, "a cent more than that", ask=sell("10"), acts=ON_MARGIN, cash="1002.01"),
    over(RESERVE, "a cent into the reserve", ask=sell("10"), acts=ON_MARGIN, cash="1001.99"),
    at(RESERVE, "below the mark a sale pays its fee at the mark", ask=sell("10", "99.5"), acts=ON_MARGIN, cash="1002"),
    silent(RESERVE, "what reduces may pay from the reserve", ask=buy("5"), acts=SHORT_5, cash="1000"),
    silent(PAID, "and from whatever there is", ask=buy("5"), acts=SHORT_5, cash="1000"),
    at(RESERVE, "what a short has lost is claimed", ask={"symbol": "SOL-USDT", "quantity": "5"}, acts=LOSING,
       # 5 short at 100 have lost 50 at 110, and their initial margin is 55; 5 bought at 100 cost 501 with the fee.
       cash="1606"),
    over(RESERVE, "and a cent less is into the reserve", ask={"symbol": "SOL-USDT", "quantity": "5"}, acts=LOSING,
         cash="1605.99"),
)  # fmt: skip
def test_what_a_perpetual_costs(desk, row):
    """Fees, what it has lost so far, and for a spot buy the margin that perpetuals hold."""
    desk.quote_btc = lambda **prices: desk.quote("BTC-USDT", **prices)
    check(desk, row)


@pytest.mark.parametrize("first", ["reducing", "entry"])
def test_a_reducing_order_and_one_beside_it_never_flip_a_position(desk, first):
    """Whichever comes first and whichever trades first, what was to reduce stops at zero."""
    desk.open()
    for name, arguments in LONG_5:
        getattr(desk, name)(**arguments)
    asks = {"reducing": ("SELL", "5", "100.01"), "entry": ("SELL", "6", "100.02")}
    second = "entry" if first == "reducing" else "reducing"
    assert desk.ask(*asks[first]).outcome is Outcome.APPROVED
    flag = {"reduce_only": True} if second == "reducing" else {}
    assert desk.reasons(*asks[second], **flag) == [REDUCE]


def test_a_reducing_order_that_is_over_frees_its_side(desk):
    """Once it is cancelled there is nothing left to take from."""
    desk.open()
    for name, arguments in LONG_5:
        getattr(desk, name)(**arguments)
    order = desk.ask("SELL", "5", "100.01")
    assert desk.reasons("SELL", "6", "100.02") == [REDUCE]
    desk.order(order.client_order_id, OrderState.CANCELLED, quantity="5", side=Side.SELL)
    assert desk.reasons("SELL", "6", "100.02") == []


def test_a_position_that_was_stated_before_its_metadata_is_margined_in_full(desk):
    """Until the venue has said how it margins a perpetual, all of its worth counts as margin."""
    desk.open()
    for name, arguments in SHORT_5:
        getattr(desk, name)(**arguments)
    state = desk.core.state
    assert state.exposure_in_all().initial_margin == 50
    del state.instruments["BTC-USDT"]
    state.exposures.touch_all()
    assert state.exposure_in_all().initial_margin == state.exposure_in_all().maintenance_margin == 500
