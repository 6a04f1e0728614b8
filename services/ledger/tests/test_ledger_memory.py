"""What the books remember of what they have booked, and what they do about that which they may have forgotten."""

import json

import pytest

from tollgate_contracts.core import NOTHING
from tollgate_ledger.core import Alarm, AlarmReason, JournalEntry, LedgerCore
from tollgate_ledger.core.trades import OTHERS_MAX, TRADES_MAX

SMALL = 3


class Desk:
    """Books that remember very little, and the tape in front of them; each trade a second after the one before."""

    def __init__(self, speak):
        self.speak = speak
        self.core = LedgerCore(SMALL, SMALL)
        self.step(speak.config())
        self.step(speak.policy())
        self.step(speak.account(USDT="100000"))

    def step(self, message):
        return self.core.step(self.core.sequence + 1, message)

    def at(self, second):
        return self.speak.start_us + second * 1_000_000

    def fill(self, second, name=None, **fields):
        named = {"trade_id": name or f"t{second}", "venue_ts_us": self.at(second)}
        return self.speak.fill("BUY", "1", "100", **named, **fields)

    def buy(self, *seconds, **fields):
        for second in seconds:
            assert kinds(self.step(self.fill(second, **fields))) == ["fill"]


@pytest.fixture
def desk(speak):
    return Desk(speak)


def kinds(step):
    return [effect.kind.value for effect in step.effects if isinstance(effect, JournalEntry)]


def alarms(step):
    return [effect.reason for effect in step.effects if isinstance(effect, Alarm)]


def test_what_is_remembered_is_a_duplicate_and_nothing_is_said(desk):
    desk.buy(1, 2, 3)
    assert desk.step(desk.fill(1)) is NOTHING


def test_what_may_be_booked_and_is_forgotten_is_an_alarm_and_never_booked_again(desk):
    """The database has it, and would refuse it: the ledger would halt, and halt again on every start."""
    desk.buy(1, 2, 3, 4)
    before = desk.core.balances
    step = desk.step(desk.fill(1))
    assert (alarms(step), kinds(step), desk.core.balances) == ([AlarmReason.TRADE_TOO_OLD], [], before)


def test_a_late_trade_that_is_newer_than_all_that_is_forgotten_is_booked(desk):
    """Long after newer ones: a fill that the venue lists hours later has its place."""
    desk.buy(1, 5, 6, 7)
    desk.buy(2)
    assert alarms(desk.step(desk.fill(2))) == [AlarmReason.TRADE_TOO_OLD], "it was the oldest, and is forgotten"
    desk.buy(8)
    assert desk.step(desk.fill(7)) is NOTHING


def test_a_trade_at_the_very_time_of_a_forgotten_one_cannot_be_told_from_it(desk):
    desk.buy(1, 2, 3, 4)
    assert alarms(desk.step(desk.fill(1, "another"))) == [AlarmReason.TRADE_TOO_OLD]


def test_a_busy_symbol_does_not_make_another_ones_trades_too_old(desk):
    """What is forgotten is forgotten by symbol: a first trade is never too old."""
    desk.buy(5, 6, 7, 8)
    desk.buy(1, symbol="ETH-USDT")
    assert alarms(desk.step(desk.fill(1, symbol="ETH-USDT"))) == [AlarmReason.TRADE_TOO_OLD]


def test_a_bust_of_a_forgotten_trade_is_booked_and_one_that_may_have_been_is_not(desk):
    """Busts have a memory of their own: what counts is whether the bust was booked, however old its trade is."""
    desk.buy(*range(1, 9))
    for second in (5, 1, 2, 3):
        assert kinds(desk.step(desk.speak.bust(desk.fill(second)))) == ["bust"]
    assert desk.step(desk.speak.bust(desk.fill(5))) is NOTHING
    assert alarms(desk.step(desk.speak.bust(desk.fill(1)))) == [AlarmReason.TRADE_TOO_OLD]


def test_a_movement_that_may_be_booked_and_is_forgotten_is_an_alarm(desk):
    moved = [desk.speak.movement("5", movement_id=f"m{second}", ts_us=desk.at(second)) for second in range(1, 6)]
    for movement in moved:
        assert kinds(desk.step(movement)) == ["movement"]
    assert alarms(desk.step(moved[0])) == [AlarmReason.MOVEMENT_TOO_OLD]
    assert desk.step(moved[4]) is NOTHING
    assert desk.core.balances["asset:USDT", "USDT"] == 100_025


def test_the_memory_survives_a_restart_and_forgets_the_same_afterwards(desk):
    desk.buy(3, 1, 2, 9, symbol="ETH-USDT")
    desk.buy(4, 5)
    again = LedgerCore(SMALL, SMALL)
    again.restore(json.loads(json.dumps(desk.core.snapshot(), sort_keys=True)))
    assert again.snapshot() == desk.core.snapshot()
    for second in (6, 4, 1, 5, 7):
        for symbol in ("BTC-USDT", "ETH-USDT"):
            message = desk.fill(second, symbol=symbol)
            assert again.step(again.sequence + 1, message) == desk.step(message)
    assert again.snapshot() == desk.core.snapshot()


def test_what_a_ledger_remembers_is_bounded(speak):
    core = LedgerCore()
    for sequence, message in enumerate((speak.config(), speak.policy(), speak.account(USDT="100000")), start=1):
        core.step(sequence, message)
    for number in range(TRADES_MAX + 10):
        fill = speak.fill("BUY", "0.001", "1", trade_id=f"t{number}", venue_ts_us=speak.start_us + number)
        core.step(core.sequence + 1, fill)
    for number in range(OTHERS_MAX + 10):
        core.step(core.sequence + 1, speak.movement("1", movement_id=f"m{number}", ts_us=speak.start_us + 1 + number))
        core.step(core.sequence + 1, speak.fill("SELL", "99", "1", trade_id=f"s{number}"))
    trades = core.snapshot()["trades"]
    assert len(trades["fills"]["booked"]["BTC-USDT"].split()) == TRADES_MAX
    assert trades["fills"]["forgotten_us"] == {"BTC-USDT": speak.start_us + 9}
    assert len(trades["movements"]["booked"]["account"].split()) == OTHERS_MAX
    assert len(trades["refused"]) == 0, "what may have been booked was never refused"
    assert len(json.dumps(core.snapshot())) < 1_000_000
