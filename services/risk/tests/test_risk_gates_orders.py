"""What an intent may ask for beyond its own sending: how long it works, what it replaces, and what protects it."""

from decimal import Decimal
from typing import Any

import pytest
from risk_rows import HOLD_5, ID, OTHER_ID, SELL_5, act, check, kept, refused, silent, table

from tollgate_contracts.execution import OrderState
from tollgate_contracts.marketdata import MarginTerms
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import Action, OrderType, Protection, Purpose, TimeInForce

MALFORMED = Reason.INTENT_MALFORMED
PRECISION = Reason.INSTRUMENT_PRECISION
RESTING = {"time_in_force": TimeInForce.GTC}
OPEN_BUY = act("ask", client_order_id=OTHER_ID, price="99", **RESTING)
OPEN_SALE = act("ask", side="SELL", quantity="5", client_order_id=OTHER_ID, price="100.5", **RESTING)
REPLACES = {"replaces": OTHER_ID, **RESTING}
ALLOW_MARKET = {"intents.allow_market_orders": True}
TERMS = MarginTerms(initial_rate=Decimal("0.1"), maintenance_rate=Decimal("0.05"), leverage_max=Decimal(10))
MARKET = {"price": None, "order_type": OrderType.MARKET}


def stop(trigger: str, limit: str | None = None) -> dict[str, Any]:
    return {"protection": Protection(trigger_price=Decimal(trigger), limit_price=Decimal(limit or trigger))}


def works_for(microseconds: int) -> dict[str, Any]:
    return {**RESTING, "good_for_us": microseconds}


@table(
    kept(MALFORMED, "works a microsecond longer than it may be sent", ask=works_for(2_000_001)),
    refused(MALFORMED, "works no longer than it may be sent", ask=works_for(2_000_000)),
    kept(MALFORMED, "works as long as the policy lets it", ask=works_for(3_600_000_000)),
    refused(MALFORMED, "works a microsecond longer than the policy lets it", ask=works_for(3_600_000_001)),
    kept(MALFORMED, "replaces an open order", ask={**REPLACES, "price": "99.5"}, acts=(OPEN_BUY,)),
    refused(MALFORMED, "replaces what is not open", ask=REPLACES),
    refused(MALFORMED, "replaces what is over", ask=REPLACES,
            acts=(OPEN_BUY, act("order", client_order_id=OTHER_ID, to_state=OrderState.CANCELLED))),
    refused(MALFORMED, "replaces an order in another symbol", ask={**REPLACES, "symbol": "ETH-USDT"}, acts=(OPEN_BUY,)),
    refused(MALFORMED, "replaces another strategy's order", ask={**REPLACES, "strategy": "other"}, acts=(OPEN_BUY,)),
    refused(MALFORMED, "replaces an order that nobody asked for", ask=REPLACES,
            acts=(act("order", client_order_id=OTHER_ID, to_state=OrderState.ACKNOWLEDGED),)),
    refused(MALFORMED, "replaces an order of the other side", ask=REPLACES, acts=(HOLD_5, OPEN_SALE)),
    kept(MALFORMED, "an exit replaces the exit that has promised all", ask={**SELL_5, **REPLACES, "price": "100.2"},
         acts=(HOLD_5, OPEN_SALE)),
    kept(MALFORMED, "a stop below a buy", ask=stop("98", "97.5")),
    kept(MALFORMED, "a stop a tick below a buy", ask=stop("99.99")),
    refused(MALFORMED, "a stop at the price of a buy", ask=stop("100")),
    refused(MALFORMED, "a stop above a buy", ask=stop("100.01", "99")),
    refused(MALFORMED, "a stop that would sell for more than its trigger", ask=stop("98", "98.01")),
    kept(MALFORMED, "a stop as far away as the policy lets it", ask=stop("98", "95")),
    refused(MALFORMED, "a stop a tick further away", ask=stop("98", "94.99")),
    refused(MALFORMED, "a stop for an exit", ask={**SELL_5, **stop("102")}, acts=(HOLD_5,)),
    refused(MALFORMED, "a stop for what says that it reduces", ask={**SELL_5, "reduce_only": True, **stop("102")},
            acts=(HOLD_5,)),
    kept(MALFORMED, "a stop of a market order lies below the collar", ask={**MARKET, **stop("99")}, rules=ALLOW_MARKET),
    kept(PRECISION, "a stop on the grid", ask=stop("98.01", "97.99")),
    refused(PRECISION, "a trigger off the grid", ask=stop("98.005", "97.99")),
    refused(PRECISION, "a stop's limit off the grid", ask=stop("98.01", "97.995")),
    silent(PRECISION, "a stop without metadata", Reason.INSTRUMENT_UNKNOWN, ask=stop("98"), acts=(("forget", {}),)),
)  # fmt: skip
def test_what_an_intent_asks_for_besides(desk, row):
    """Each fault is named in the one finding; the grid is the gate of precision's matter."""
    desk.forget = lambda: desk.core.state.instruments.pop("BTC-USDT")
    plain_intent = desk.intent

    def intent(*arguments: Any, good_for_us: int | None = None, **fields: Any) -> Any:
        until_us = None if good_for_us is None else desk.now_us + good_for_us
        return plain_intent(*arguments, **{"good_until_us": until_us, **fields})

    desk.intent = intent
    check(desk, row)


@pytest.mark.parametrize(
    ("trigger", "limit", "faults"),
    [
        pytest.param("104", "105", [], id="above it"),
        pytest.param("100", "105", ["a stop at 100, 105 at worst, does not end a loss from 100"], id="at its price"),
        pytest.param("104", "103", ["a stop at 104, 103 at worst, does not end a loss from 100"], id="a limit below"),
        pytest.param("104", "105.01", ["a stop 501 bps away at worst, at most 500"], id="too far above it"),
    ],
)
def test_the_stop_of_a_short_lies_above_it(desk, trigger, limit, faults):
    """A perpetual that is sold to open is protected the other way round."""
    desk.open()
    desk.instrument(margin=TERMS)
    findings = desk.ask("SELL", "1", purpose=Purpose.ENTRY, **stop(trigger, limit)).findings
    assert [finding.seen for finding in findings] == faults


def test_a_replacement_counts_beside_what_it_replaces_until_that_is_over(open_desk):
    """Both may trade until the venue has ended the first, so both are reserved in full."""
    open_desk.ask(client_order_id=ID, price="99", quantity="10", **RESTING)
    open_desk.ask(client_order_id=OTHER_ID, price="99.5", quantity="10", replaces=ID, **RESTING)
    assert open_desk.core.state.exposure("BTC-USDT").buying == 20
    assert open_desk.reasons(action=Action.CANCEL, client_order_id=ID) == []
    open_desk.order(ID, OrderState.CANCELLED, quantity="10")
    assert open_desk.core.state.exposure("BTC-USDT").buying == 10
