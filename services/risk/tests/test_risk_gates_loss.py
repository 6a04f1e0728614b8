"""What was lost, and how the last round trip ended: each gate at its limit, one step beyond and one short."""

from decimal import Decimal
from typing import Any

import pytest
from risk_rows import SELL_5, act, at, check, over, silent, table, under

from tollgate_contracts.reasons import Reason

DAILY = Reason.LOSS_DAILY
DRAWDOWN = Reason.LOSS_DRAWDOWN
STREAK = Reason.LOSS_CONSECUTIVE
LOCKOUT = Reason.LOSS_SYMBOL_LOCKOUT
OUTCOME = Reason.PACE_OUTCOME_COOLDOWN
NO_MARK = Reason.DATA_NO_MARK
# Ten that cost 1,000: a cent of the mark is a tenth of equity's unit.
HOLD_10 = act("hold", quantity="10")
# AVAX is never quoted.
UNMARKED = act("hold", quantity="1", symbol="AVAX-USDT")
DAY_100 = {"loss.daily": "100"}
PEAK_10_BPS = {"loss.drawdown_bps": "10"}


def mark(price: str) -> tuple[tuple[str, dict[str, Any]], dict[str, Any]]:
    """Return a quote a cent around ``price``, and an order at it."""
    cent = Decimal("0.01")
    return act("quote", bid=str(Decimal(price) - cent), ask=str(Decimal(price) + cent)), {"price": price}


def after(microseconds: int) -> tuple[str, dict[str, Any]]:
    return act("wait", microseconds=microseconds)


AT_90, BUY_AT_90 = mark("90")
AT_90_01, BUY_AT_90_01 = mark("90.01")
AT_89_99, BUY_AT_89_99 = mark("89.99")
AT_110, BUY_AT_110 = mark("110")


@table(
    at(DAILY, "the loss is the limit", DAILY, ask=BUY_AT_90, rules=DAY_100, acts=(HOLD_10, AT_90)),
    under(DAILY, "a cent of the mark less", ask=BUY_AT_90_01, rules=DAY_100, acts=(HOLD_10, AT_90_01)),
    over(DAILY, "a cent of the mark more", ask=BUY_AT_89_99, rules=DAY_100, acts=(HOLD_10, AT_89_99)),
    at(DAILY, "what is lost and closed counts with what is open", DAILY, ask=BUY_AT_90,
       rules={"loss.daily": "150"}, acts=(HOLD_10, act("trip", quantity="10", sold_at="95"), AT_90)),
    at(DAILY, "and so do fees", DAILY, rules=DAY_100,
       acts=(act("fill", client_order_id="tg" + "f" * 30, quantity="1", fee="100"),)),
    under(DAILY, "what was won that day counts against it", ask=BUY_AT_89_99, rules=DAY_100,
          acts=(act("trip", sold_at="100.2"), HOLD_10, AT_89_99)),
    over(DAILY, "a limit that was reached stays so while a mark is missing", NO_MARK, ask=BUY_AT_89_99,
         rules=DAY_100, acts=(HOLD_10, AT_89_99, after(1), UNMARKED)),
    at(DAILY, "and one that was just reached too", DAILY, NO_MARK, ask=BUY_AT_90, rules=DAY_100,
       acts=(HOLD_10, AT_90, after(1), UNMARKED)),
    silent(DAILY, "without a mark nothing is known", NO_MARK, ask=BUY_AT_90_01, rules=DAY_100,
           acts=(HOLD_10, AT_90_01, after(1), UNMARKED)),
    silent(DAILY, "what is held may be reduced", ask={**SELL_5, **BUY_AT_89_99}, rules=DAY_100,
           acts=(HOLD_10, AT_89_99)),
)  # fmt: skip
def test_daily_loss(desk, row):
    """Since the day began, open and closed positions together."""
    check(desk, row)


@table(
    at(DRAWDOWN, "the fall is the limit", DRAWDOWN, ask=BUY_AT_90, rules=PEAK_10_BPS, acts=(HOLD_10, AT_90)),
    under(DRAWDOWN, "a cent of the mark less", ask=BUY_AT_90_01, rules=PEAK_10_BPS, acts=(HOLD_10, AT_90_01)),
    over(DRAWDOWN, "a cent of the mark more", ask=BUY_AT_89_99, rules=PEAK_10_BPS, acts=(HOLD_10, AT_89_99)),
    over(DRAWDOWN, "it is from the highest that the clock has seen", ask={}, rules={"loss.drawdown_bps": "9.99"},
         acts=(HOLD_10, AT_110, after(1), mark("100")[0])),
    over(DRAWDOWN, "a limit that was reached stays so while a mark is missing", NO_MARK, ask=BUY_AT_89_99,
         rules=PEAK_10_BPS, acts=(HOLD_10, AT_89_99, after(1), UNMARKED)),
    silent(DRAWDOWN, "without a mark nothing is known", NO_MARK, ask=BUY_AT_90_01, rules=PEAK_10_BPS,
           acts=(HOLD_10, AT_90_01, after(1), UNMARKED)),
    silent(DRAWDOWN, "what is held may be reduced", ask={**SELL_5, **BUY_AT_89_99}, rules=PEAK_10_BPS,
           acts=(HOLD_10, AT_89_99)),
)  # fmt: skip
def test_drawdown(desk, row):
    """From the highest equity, in parts of it."""
    check(desk, row)


def test_without_equity_there_is_no_drawdown_to_speak_of(desk):
    """A desk that has never owned anything has no peak to fall from, and lacks cash for anything else."""
    desk.open({**DAY_100, **PEAK_10_BPS}, cash="0")
    assert desk.reasons() == [Reason.LIMIT_CONCENTRATION, Reason.CASH_RESERVE, Reason.CASH_INSUFFICIENT]


LOSE = act("trip", sold_at="99")
WIN = act("trip", sold_at="101")
EVEN = act("trip", sold_at="100")
LOSE_ETH = act("trip", sold_at="99", symbol="ETH-USDT")
THREE = {"loss.consecutive": 3, "loss.consecutive_pause_ms": 1_000}


@table(
    at(STREAK, "as many as the limit", STREAK, rules=THREE, acts=(LOSE, LOSE_ETH, LOSE)),
    under(STREAK, "one less", rules=THREE, acts=(LOSE, LOSE_ETH)),
    over(STREAK, "one more, by an exit", rules=THREE, acts=(LOSE, LOSE_ETH, LOSE, LOSE)),
    under(STREAK, "a win breaks the row", rules=THREE, acts=(LOSE, LOSE, WIN, LOSE)),
    under(STREAK, "and so does a trip that brought nothing", rules=THREE, acts=(LOSE, LOSE, EVEN, LOSE)),
    at(STREAK, "a microsecond before the pause is over", STREAK, rules=THREE, acts=(LOSE, LOSE, LOSE, after(999_999))),
    under(STREAK, "when the pause is over", rules=THREE, acts=(LOSE, LOSE, LOSE, after(1_000_000))),
    under(STREAK, "the row then begins anew", rules=THREE, acts=(LOSE, LOSE, LOSE, after(1_000_000), LOSE, LOSE)),
    at(STREAK, "a tighter policy finds the row too long", STREAK, rules={},
       acts=(LOSE, LOSE, LOSE, act("policy", rules=THREE))),
    silent(STREAK, "what is held may be reduced", ask=SELL_5, rules=THREE, acts=(LOSE, LOSE, LOSE, HOLD_10)),
)  # fmt: skip
def test_consecutive_losses(desk, row):
    """Losing round trips in a row, over all symbols, pause the entries for a while."""
    check(desk, row)


TWO_IN_ONE = {"loss.symbol_consecutive": 2, "loss.symbol_lockout_ms": 1_000}


@table(
    at(LOCKOUT, "as many as the limit", LOCKOUT, rules=TWO_IN_ONE, acts=(LOSE, LOSE_ETH, LOSE)),
    under(LOCKOUT, "one less", rules=TWO_IN_ONE, acts=(LOSE, LOSE_ETH, LOSE_ETH)),
    over(LOCKOUT, "one more, by an exit", rules=TWO_IN_ONE, acts=(LOSE, LOSE, LOSE)),
    under(LOCKOUT, "a win elsewhere does not break it, one here does", rules=TWO_IN_ONE, acts=(LOSE, WIN, LOSE)),
    at(LOCKOUT, "a win elsewhere does not break the row", LOCKOUT, rules=TWO_IN_ONE,
       acts=(LOSE, act("trip", sold_at="101", symbol="ETH-USDT"), LOSE)),
    at(LOCKOUT, "a microsecond before the lockout is over", LOCKOUT, rules=TWO_IN_ONE,
       acts=(LOSE, LOSE, after(999_999))),
    under(LOCKOUT, "when the lockout is over", rules=TWO_IN_ONE, acts=(LOSE, LOSE, after(1_000_000))),
    silent(LOCKOUT, "what is held may be reduced", ask=SELL_5, rules=TWO_IN_ONE, acts=(LOSE, LOSE, HOLD_10)),
)  # fmt: skip
def test_symbol_lockout(desk, row):
    """Losing round trips in a row within one symbol lock it out, and no other."""
    check(desk, row)


COOL = {"pace.after_win_ms": 100, "pace.after_loss_ms": 200, "pace.after_stop_ms": 300}
STOP = act("stop", sold_at="99")


@table(
    at(OUTCOME, "as long as the wait after a win", rules=COOL, acts=(WIN, after(100_000))),
    under(OUTCOME, "a microsecond longer than after a win", rules=COOL, acts=(WIN, after(100_001))),
    over(OUTCOME, "a microsecond too soon after a win", rules=COOL, acts=(WIN, after(99_999))),
    at(OUTCOME, "as long as the wait after a loss", rules=COOL, acts=(LOSE, after(200_000))),
    over(OUTCOME, "a microsecond too soon after a loss", rules=COOL, acts=(LOSE, after(199_999))),
    at(OUTCOME, "as long as the wait after a stop", rules=COOL, acts=(STOP, after(300_000))),
    over(OUTCOME, "a stop that lost waits for the longer of the two", rules=COOL, acts=(STOP, after(299_999))),
    over(OUTCOME, "and so does a stop that won", rules=COOL, acts=(act("stop", sold_at="101"), after(299_999))),
    over(OUTCOME, "the longest that still applies, though a win came after it", rules=COOL,
         acts=(LOSE, after(50_000), WIN, after(149_999))),
    at(OUTCOME, "and ends when it ends", rules=COOL, acts=(LOSE, after(50_000), WIN, after(150_000))),
    over(OUTCOME, "a win whose wait is the longer, though a loss came shortly before it",
         rules={"pace.after_win_ms": 300, "pace.after_loss_ms": 100},
         acts=(LOSE, after(50_000), WIN, after(200_000))),
    under(OUTCOME, "zero switches a wait off", rules={**COOL, "pace.after_win_ms": 0}, acts=(WIN, after(1))),
    silent(OUTCOME, "after a trip that brought nothing", rules=COOL, acts=(EVEN,)),
    silent(OUTCOME, "after a loss in another symbol", rules=COOL, acts=(LOSE_ETH,)),
    silent(OUTCOME, "while the first trip is open", rules=COOL, acts=(HOLD_10,)),
    silent(OUTCOME, "what is held may be reduced", ask=SELL_5, rules=COOL, acts=(LOSE, HOLD_10)),
)  # fmt: skip
def test_outcome_cooldown(desk, row):
    """How the last round trips in a symbol ended says how long its next entry waits."""
    check(desk, row)


@pytest.mark.parametrize(("acts", "name"), [((WIN,), "win"), ((LOSE,), "loss"), ((STOP,), "stop")])
def test_the_cooldown_names_what_it_waits_after(desk, acts, name):
    """An operator reads which of the three rules has spoken."""
    desk.open(COOL)
    for call, arguments in acts:
        getattr(desk, call)(**arguments)
    (finding,) = desk.ask().findings
    assert finding.unit == f"us since a {name}"
