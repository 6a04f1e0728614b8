"""What perpetuals must leave free: each gate of margin at its limit, one step beyond and one short."""

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from risk_rows import act, at, check, over, silent, table, under

from tollgate_contracts.marketdata import MarginTerms
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import Purpose
from tollgate_risk.core.case import open_case
from tollgate_risk.core.exposure import ExposureBook
from tollgate_risk.core.gates import look
from tollgate_risk.core.gates.margin import margin_balance

INITIAL = Reason.MARGIN_INSUFFICIENT
MAINTENANCE = Reason.MARGIN_MAINTENANCE
LEVERAGE = Reason.MARGIN_LEVERAGE
FUNDING = Reason.MARGIN_FUNDING
DISTANCE = Reason.MARGIN_LIQUIDATION_DISTANCE
NO_MARK = Reason.DATA_NO_MARK
SHARE = Reason.LIMIT_CONCENTRATION
ALL_LOST = Reason.LOSS_DRAWDOWN
NOT_HELD = Reason.CASH_INSUFFICIENT


def terms(initial: str, maintenance: str, leverage: str) -> MarginTerms:
    return MarginTerms(
        initial_rate=Decimal(initial), maintenance_rate=Decimal(maintenance), leverage_max=Decimal(leverage)
    )


HALF = terms("0.5", "0.25", "20")
TENTH = terms("0.1", "0.05", "20")
WHOLE = terms("1", "1", "1")


def perpetual(margin: MarginTerms, symbol: str = "BTC-USDT") -> tuple[str, dict[str, Any]]:
    return act("instrument", symbol=symbol, margin=margin)


def rules(**margin: Any) -> dict[str, Any]:
    return {"cash.reserve": "0", **{f"margin.{name}": value for name, value in margin.items()}}


def buy(quantity: str, **fields: Any) -> dict[str, Any]:
    return {"quantity": quantity, **fields}


def sell(quantity: str, **fields: Any) -> dict[str, Any]:
    return {"side": "SELL", "quantity": quantity, "purpose": Purpose.ENTRY, **fields}


FREE = act("account", fee_bps="0")
SOLD_BEFORE = {"client_order_id": "tg" + "f" * 30, "side": "SELL"}
BTC, ETH = perpetual(HALF), perpetual(HALF, "ETH-USDT")
HOLD_10 = act("hold", quantity="10")
HOLD_ETH_10 = act("hold", quantity="10", symbol="ETH-USDT")
SHORT_ETH_10 = act("fill", quantity="10", symbol="ETH-USDT", **SOLD_BEFORE)
AT_110 = act("quote", bid="109.99", ask="110.01")
AT_90 = act("quote", bid="89.99", ask="90.01")
BUY_1_AT_110 = buy("1", price="110")
# AVAX is never quoted.
UNMARKED = act("hold", quantity="1", symbol="AVAX-USDT")
# Every mark is 100 and there are no fees: ten are worth 1,000, and half of it with this buffer is 2,000.
FOUR_TIMES = rules(initial_buffer_bps="30000")
PERPETUAL: dict[str, Any] = {"cash": "2000", "rules": FOUR_TIMES, "acts": (FREE, BTC)}
BESIDE_ETH: dict[str, Any] = {"cash": "4000", "rules": FOUR_TIMES, "acts": (FREE, BTC, ETH, HOLD_ETH_10)}
SPOT_BESIDE_ETH: dict[str, Any] = {"cash": "3000", "rules": FOUR_TIMES, "acts": (FREE, ETH, HOLD_ETH_10)}


@table(
    at(INITIAL, "the margin with its buffer is the balance", ask=buy("10"), **PERPETUAL),
    under(INITIAL, "a step less", ask=buy("9.999"), **PERPETUAL),
    over(INITIAL, "a step more", ask=buy("10.001"), **PERPETUAL),
    at(INITIAL, "a short needs the same", ask=sell("10"), **PERPETUAL),
    over(INITIAL, "and a step more of it is too much", ask=sell("10.001"), **PERPETUAL),
    at(INITIAL, "without a buffer it is the venue's margin", cash="1500", rules=rules(),
       acts=(FREE, perpetual(WHOLE)), ask=buy("15")),
    at(INITIAL, "a position elsewhere needs its part", ask=buy("10"), **BESIDE_ETH),
    over(INITIAL, "and a step more beside it is too much", ask=buy("10.001"), **BESIDE_ETH),
    at(INITIAL, "and so does an open order", cash="4000", rules=FOUR_TIMES, ask=buy("10"),
       acts=(FREE, BTC, ETH, act("ask", symbol="ETH-USDT", quantity="10"))),
    at(INITIAL, "of an open buy and a sale only one side can come to be", cash="2000", rules=FOUR_TIMES,
       acts=(FREE, BTC, act("ask", quantity="10", price="99.99")), ask=sell("10")),
    at(INITIAL, "what a long has won unrealized is balance", cash="2320", rules=FOUR_TIMES,
       acts=(FREE, BTC, ETH, HOLD_ETH_10, AT_110), ask=BUY_1_AT_110),
    at(INITIAL, "and what a short has lost is none", cash="2520", rules=FOUR_TIMES,
       acts=(FREE, BTC, ETH, SHORT_ETH_10, AT_110), ask=BUY_1_AT_110),
    at(INITIAL, "the treasury's part of a profit is no balance", cash="2000",
       rules={**FOUR_TIMES, "cash.treasury_share_bps": "10000"},
       acts=(FREE, BTC, act("trip", sold_at="110")), ask=buy("10")),
    under(INITIAL, "the rest of it is", cash="2000", rules={**FOUR_TIMES, "cash.treasury_share_bps": "9999"},
          acts=(FREE, BTC, act("trip", sold_at="110")), ask=buy("10")),
    at(INITIAL, "the order's own fee is paid first", cash="2002", rules=FOUR_TIMES, acts=(BTC,), ask=buy("10")),
    at(INITIAL, "a spot buy takes from the balance of what is held", ask=buy("10"), **SPOT_BESIDE_ETH),
    over(INITIAL, "and a step more would take too much", ask=buy("10.001"), **SPOT_BESIDE_ETH),
    silent(INITIAL, "spot that is held is no balance, but a desk without perpetuals needs none", ask=buy("10"),
           rules=FOUR_TIMES),
    silent(INITIAL, "a short may be bought back", ask=buy("10", symbol="ETH-USDT", purpose=Purpose.EXIT),
           cash="200", rules=FOUR_TIMES, acts=(FREE, ETH, SHORT_ETH_10)),
    silent(INITIAL, "spot may be sold beside a perpetual", ask=sell("5"), cash="2000", rules=FOUR_TIMES,
           acts=(FREE, HOLD_10, ETH, HOLD_ETH_10)),
    silent(INITIAL, "a sale of spot that is not held is another gate's matter", NOT_HELD, ask=sell("5"), cash="2000",
           rules=FOUR_TIMES, acts=(FREE, ETH, HOLD_ETH_10)),
    silent(INITIAL, "without a mark nothing is known", NO_MARK, ask=buy("10.001"), cash="2000", rules=FOUR_TIMES,
           acts=(FREE, BTC, UNMARKED)),
)  # fmt: skip
def test_initial_margin(desk, row):
    """All perpetuals at their worst, with this order and a buffer, against the margin balance."""
    check(desk, row)


# A quarter of 1,000 with this buffer is 2,000.
EIGHT_TIMES = rules(maintenance_buffer_bps="70000")
MAINTAINED: dict[str, Any] = {"cash": "2000", "rules": EIGHT_TIMES, "acts": (FREE, BTC)}


@table(
    at(MAINTENANCE, "the margin with its buffer is the balance", ask=buy("10"), **MAINTAINED),
    under(MAINTENANCE, "a step less", ask=buy("9.999"), **MAINTAINED),
    over(MAINTENANCE, "a step more", ask=buy("10.001"), **MAINTAINED),
    over(MAINTENANCE, "a short needs the same", ask=sell("10.001"), **MAINTAINED),
    at(MAINTENANCE, "a position elsewhere needs its part", cash="4000", rules=EIGHT_TIMES,
       acts=(FREE, BTC, ETH, SHORT_ETH_10), ask=buy("10")),
    over(MAINTENANCE, "and a step more beside it is too much", cash="4000", rules=EIGHT_TIMES,
         acts=(FREE, BTC, ETH, SHORT_ETH_10), ask=buy("10.001")),
    at(MAINTENANCE, "a spot buy takes from the balance of what is held", cash="3000", rules=EIGHT_TIMES,
       acts=(FREE, ETH, HOLD_ETH_10), ask=buy("10")),
    silent(MAINTENANCE, "spot alone", ask=buy("10"), rules=EIGHT_TIMES),
    silent(MAINTENANCE, "a long may be sold", ask=sell("10", purpose=Purpose.EXIT), cash="200", rules=EIGHT_TIMES,
           acts=(FREE, BTC, HOLD_10)),
    silent(MAINTENANCE, "without a mark nothing is known", NO_MARK, ask=buy("10.001"), cash="2000",
           rules=EIGHT_TIMES, acts=(FREE, BTC, UNMARKED)),
)  # fmt: skip
def test_maintenance_margin(desk, row):
    """The same with what the venue would liquidate at."""
    check(desk, row)


AT_MOST_HALF = rules(leverage_max="0.5")
LEVERED: dict[str, Any] = {"cash": "2000", "rules": AT_MOST_HALF, "acts": (FREE, perpetual(TENTH))}
VENUES_ONE: dict[str, Any] = {"cash": "1000", "rules": rules(), "acts": (FREE, perpetual(terms("0.1", "0.05", "1")))}
NOTHING_LEFT: dict[str, Any] = {
    "cash": "100",
    "acts": (FREE, perpetual(TENTH), perpetual(TENTH, "ETH-USDT"), HOLD_ETH_10, AT_90),
    "ask": buy("1", price="90"),
}


@table(
    at(LEVERAGE, "the policy's multiple of the balance", ask=buy("10"), **LEVERED),
    under(LEVERAGE, "a step less", ask=buy("9.999"), **LEVERED),
    over(LEVERAGE, "a step more", ask=buy("10.001"), **LEVERED),
    over(LEVERAGE, "a step more, short", ask=sell("10.001"), **LEVERED),
    at(LEVERAGE, "the venue's multiple where that is lower", ask=buy("10"), **VENUES_ONE),
    under(LEVERAGE, "a step less than the venue's", ask=buy("9.999"), **VENUES_ONE),
    over(LEVERAGE, "a step more than the venue's", SHARE, ask=buy("10.001"), **VENUES_ONE),
    at(LEVERAGE, "longs and shorts are added", cash="4000", rules=AT_MOST_HALF, ask=buy("10"),
       acts=(FREE, perpetual(TENTH), perpetual(TENTH, "ETH-USDT"), SHORT_ETH_10)),
    at(LEVERAGE, "a spot buy takes from the balance of what is held", cash="3000", rules=AT_MOST_HALF, ask=buy("10"),
       acts=(FREE, ETH, HOLD_ETH_10)),
    over(LEVERAGE, "and the venue's cap is not of spot", cash="2999.999", rules=AT_MOST_HALF, ask=buy("10"),
         acts=(FREE, ETH, HOLD_ETH_10)),
    over(LEVERAGE, "of nothing no multiple is small enough", SHARE, ALL_LOST, INITIAL, MAINTENANCE,
         rules=rules(), **NOTHING_LEFT),
    silent(LEVERAGE, "spot alone", ask=buy("10"), rules=AT_MOST_HALF),
    silent(LEVERAGE, "a short may be bought back", ask=buy("10", symbol="ETH-USDT", purpose=Purpose.EXIT),
           cash="200", rules=AT_MOST_HALF, acts=(FREE, ETH, SHORT_ETH_10)),
    silent(LEVERAGE, "without a mark nothing is known", NO_MARK, ask=buy("10.001"), cash="2000",
           rules=AT_MOST_HALF, acts=(FREE, perpetual(TENTH), UNMARKED)),
)  # fmt: skip
def test_leverage(desk, row):
    """The worst notional of all perpetuals against the margin balance."""
    check(desk, row)


# Ten pay 1 at this rate, which is 5 bps of 2,000.
FIVE_BPS = rules(funding_horizon_ms=1_000, funding_share_bps="5")
PAYS, RECEIVES = act("funding", rate="0.001"), act("funding", rate="-0.001")
PAYING: dict[str, Any] = {"cash": "2000", "rules": FIVE_BPS, "acts": (FREE, perpetual(TENTH), PAYS)}
RECEIVING: dict[str, Any] = {"cash": "2000", "rules": FIVE_BPS, "acts": (FREE, perpetual(TENTH), RECEIVES)}
BOTH: tuple[Any, ...] = (FREE, perpetual(TENTH), perpetual(TENTH, "ETH-USDT"))


def due(in_us: int, *later: Any) -> dict[str, Any]:
    acts = (FREE, perpetual(TENTH), act("funding", rate="0.001", due_in_us=in_us), *later)
    return {"cash": "2000", "rules": FIVE_BPS, "acts": acts}


@table(
    at(FUNDING, "the payment is the limit", ask=buy("10"), **PAYING),
    under(FUNDING, "a step less", ask=buy("9.999"), **PAYING),
    over(FUNDING, "a step more", ask=buy("10.001"), **PAYING),
    at(FUNDING, "a short pays where the rate is below zero", ask=sell("10"), **RECEIVING),
    over(FUNDING, "and a step more", ask=sell("10.001"), **RECEIVING),
    under(FUNDING, "a short receives where it is above", ask=sell("11"), **PAYING),
    under(FUNDING, "and a long where it is below", ask=buy("11"), **RECEIVING),
    at(FUNDING, "what a short receives is no cost at all", cash="2000", rules=rules(funding_share_bps="0"),
       ask=sell("11"), acts=(FREE, perpetual(TENTH), PAYS)),
    at(FUNDING, "nor is what a long receives", cash="2000", rules=rules(funding_share_bps="0"), ask=buy("11"),
       acts=(FREE, perpetual(TENTH), RECEIVES)),
    over(FUNDING, "due at the horizon", ask=buy("10.001"), **due(1_000_000)),
    under(FUNDING, "due a microsecond beyond it", ask=buy("10.001"), **due(1_000_001)),
    over(FUNDING, "due now", ask=buy("10.001"), **due(1, act("wait", microseconds=1))),
    under(FUNDING, "due a microsecond ago", ask=buy("10.001"), **due(1, act("wait", microseconds=2))),
    at(FUNDING, "an open order counts", cash="2000", rules=FIVE_BPS, ask=buy("4"),
       acts=(FREE, perpetual(TENTH), PAYS, act("ask", quantity="6"))),
    at(FUNDING, "an open sale takes nothing off", cash="2000", rules=FIVE_BPS, ask=buy("10"),
       acts=(FREE, perpetual(TENTH), PAYS, act("ask", side="SELL", quantity="5", price="100.01"))),
    at(FUNDING, "what a position elsewhere pays counts", cash="2000", rules=FIVE_BPS, ask=buy("1"),
       acts=(*BOTH, HOLD_ETH_10, act("funding", rate="0.001", symbol="ETH-USDT"))),
    at(FUNDING, "what it receives does not", cash="2000", rules=FIVE_BPS, ask=buy("10"),
       acts=(*BOTH, SHORT_ETH_10, PAYS, act("funding", rate="0.001", symbol="ETH-USDT"))),
    over(FUNDING, "of nothing every payment is too much", SHARE, ALL_LOST, INITIAL, MAINTENANCE, LEVERAGE,
         rules=FIVE_BPS, **{**NOTHING_LEFT, "acts": (*NOTHING_LEFT["acts"], PAYS)}),
    silent(FUNDING, "spot alone", ask=buy("10"), rules=FIVE_BPS, acts=(PAYS,)),
    silent(FUNDING, "what is held may be reduced", ask=sell("10", purpose=Purpose.EXIT), cash="200", rules=FIVE_BPS,
           acts=(FREE, perpetual(TENTH), HOLD_10, PAYS)),
    silent(FUNDING, "without a mark nothing is known", NO_MARK, ask=buy("10.001"), cash="2000", rules=FIVE_BPS,
           acts=(FREE, perpetual(TENTH), UNMARKED, PAYS)),
)  # fmt: skip
def test_funding(desk, row):
    """What is due within the horizon and ours to pay, against the margin balance."""
    check(desk, row)


# Eleven ETH that must be backed in full leave 810 of 1,910: 760 above ten BTC's maintenance margin of 50, while a
# fall of the whole mark takes 950 from it.
FOUR_FIFTHS = rules(liquidation_distance_bps="8000")
BACKED = (FREE, perpetual(TENTH), perpetual(WHOLE, "ETH-USDT"), act("hold", quantity="11", symbol="ETH-USDT"))
NEAR: dict[str, Any] = {"cash": "1910", "rules": FOUR_FIFTHS, "acts": BACKED}
# A rise of the whole mark takes 1,050 from 840.
NEAR_SHORT: dict[str, Any] = {"cash": "1990", "rules": FOUR_FIFTHS, "acts": BACKED}


@table(
    at(DISTANCE, "a long at the limit", ask=buy("10"), **NEAR),
    under(DISTANCE, "a step less is further away", ask=buy("9.999"), **NEAR),
    over(DISTANCE, "a step more is nearer", ask=buy("10.001"), **NEAR),
    at(DISTANCE, "a short at the limit", ask=sell("10"), **NEAR_SHORT),
    under(DISTANCE, "a step less of it", ask=sell("9.999"), **NEAR_SHORT),
    over(DISTANCE, "a step more of it", ask=sell("10.001"), **NEAR_SHORT),
    at(DISTANCE, "what is held counts", cash="1910", rules=FOUR_FIFTHS, ask=buy("4"),
       acts=(*BACKED, act("hold", quantity="6"))),
    at(DISTANCE, "an open order of its side counts", cash="1910", rules=FOUR_FIFTHS, ask=buy("4"),
       acts=(*BACKED, act("ask", quantity="6"))),
    at(DISTANCE, "and of a short's side too", cash="1990", rules=FOUR_FIFTHS, ask=sell("4"),
       acts=(*BACKED, act("ask", side="SELL", purpose=Purpose.ENTRY, quantity="6"))),
    at(DISTANCE, "an open order of the other side does not", cash="1910", rules=FOUR_FIFTHS, ask=buy("10"),
       acts=(*BACKED, act("ask", side="SELL", quantity="12", price="100.01"))),
    at(DISTANCE, "an order that flips counts with what it leaves", cash="1910", rules=FOUR_FIFTHS, ask=buy("15"),
       acts=(*BACKED, act("fill", quantity="5", **SOLD_BEFORE))),
    at(DISTANCE, "with nothing above the margins it is liquidated now", INITIAL, rules=rules(), cash="1150",
       ask=buy("10"), acts=BACKED),
    under(DISTANCE, "a long that is paid in full is never liquidated", rules=rules(liquidation_distance_bps="10000"),
          cash="2000", acts=(FREE, perpetual(TENTH)), ask=buy("10")),
    silent(DISTANCE, "spot alone", ask=buy("10"), rules=FOUR_FIFTHS),
    silent(DISTANCE, "a spot buy has nothing to liquidate", cash="3000", rules=FOUR_FIFTHS, ask=buy("1"),
           acts=(FREE, ETH, HOLD_ETH_10)),
    silent(DISTANCE, "what is held may be reduced", ask=sell("10", purpose=Purpose.EXIT), cash="1300",
           rules=FOUR_FIFTHS, acts=(*BACKED, HOLD_10)),
    silent(DISTANCE, "without a mark nothing is known", NO_MARK, cash="1910", rules=FOUR_FIFTHS,
           acts=(*BACKED, UNMARKED)),
)  # fmt: skip
def test_liquidation_distance(desk, row):
    """How far the mark may move against the position after this order."""
    check(desk, row)


def test_without_spot_orders_and_treasury_the_balance_is_equity(new_desk):
    """What was won and lost on longs and shorts is all in it; spot that is held is not."""
    desk = new_desk().open(cash="5000")
    desk.instrument(margin=TENTH)
    desk.instrument("ETH-USDT", margin=TENTH)
    desk.hold("10")
    desk.fill("tg" + "f" * 30, "7", side="SELL", symbol="ETH-USDT", fee="3")
    desk.quote(bid="109.99", ask="110.01")
    state = desk.core.state
    assert margin_balance(state) == state.equity() == 5000 - 3 + 100 - 70
    desk.hold("2", symbol="SOL-USDT", price="110")
    assert margin_balance(state) == state.equity() - 220


def test_the_largest_numbers_that_messages_can_carry_are_judged(desk):
    """No product of a price, a quantity, a rate and a buffer is too long for exact arithmetic."""
    nines = "9" * 20 + "." + "9" * 18
    least = "0." + "0" * 17 + "1"
    odd = terms("0." + "9" * 18, "0." + "3" * 18, nines)
    margin = {"margin.initial_buffer_bps": nines, "margin.maintenance_buffer_bps": nines}
    desk.open({**margin, "margin.liquidation_distance_bps": "0." + "7" * 18}, cash=nines)
    desk.account(fee_bps="0")
    for symbol in ("BTC-USDT", "ETH-USDT"):
        desk.instrument(symbol, margin=odd)
        desk.funding(nines, symbol=symbol)
    desk.quote(bid=least, ask=nines)
    desk.fill("tg" + "f" * 30, least, least, "SELL", symbol="ETH-USDT")
    for side in ("BUY", "SELL"):
        for quantity in (nines, least):
            for price in (nines, least):
                case = open_case(desk.intent(side, quantity, price), desk.core.state, desk.core.state.policy)
                measured = {measure.code for measure in look(case)}
                assert measured >= {INITIAL, MAINTENANCE, LEVERAGE, FUNDING, DISTANCE}


SYMBOLS = st.sampled_from(["BTC-USDT", "ETH-USDT"])
CHANGES = st.one_of(
    st.tuples(st.just("fill"), SYMBOLS, st.sampled_from(["BUY", "SELL"]), st.integers(1, 9)),
    st.tuples(st.just("funding"), SYMBOLS, st.integers(-3, 3), st.integers(0, 2)),
    st.tuples(st.just("quote"), SYMBOLS, st.integers(90, 110)),
    st.tuples(st.just("ask"), SYMBOLS, st.sampled_from(["BUY", "SELL"]), st.integers(1, 9)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(CHANGES, max_size=25))
def test_the_payments_that_are_carried_on_are_those_worked_out_anew(new_desk, changes):
    """However fills, orders, quotes and rates follow one another, and whenever the payments are due."""
    desk = new_desk().open()
    desk.instrument(margin=TENTH)
    desk.instrument("ETH-USDT", margin=TENTH)
    state = desk.core.state
    for change in changes:
        match change:
            case ("fill", symbol, side, quantity):
                desk.fill("tg" + "f" * 30, str(quantity), side=side, symbol=symbol)
            case ("funding", symbol, rate, later):
                desk.funding(f"{rate}.5", later, symbol)
            case ("quote", symbol, price):
                desk.quote(symbol, bid=f"{price}", ask=f"{price}.5")
            case ("ask", symbol, side, quantity):
                desk.ask(side, str(quantity), symbol=symbol)
        for until_us in range(desk.now_us, desk.now_us + 3):
            carried = state.exposures.funding(state, desk.now_us, until_us)
            assert carried == ExposureBook().funding(state, desk.now_us, until_us)
            assert carried == sum(
                max(
                    due.rate * (state.exposure(symbol).high if due.rate > 0 else state.exposure(symbol).low), Decimal(0)
                )
                for symbol, due in state.fundings.items()
                if due.due_us <= until_us
            )


def test_a_symbol_without_metadata_is_refused_and_not_stumbled_over_while_a_perpetual_is_held(desk):
    """The gates of margin ask for rates that nobody has stated."""
    desk.open(rules())
    for name, arguments in (BTC, HOLD_10):
        getattr(desk, name)(**arguments)
    reasons = desk.reasons(symbol="DOGE-USDT")
    assert {Reason.UNIVERSE_NOT_ALLOWED, Reason.INSTRUMENT_UNKNOWN} <= set(reasons)
