"""When a difference from the venue is a drift, and when it is only late."""

import pytest

from tollgate_contracts.ledger import Drift
from tollgate_ledger.core import LedgerCore

SECOND_US = 1_000_000


class Desk:
    """A desk opened with 1000 USDT, whose accounts come a second apart."""

    def __init__(self, speak, **config) -> None:
        self.speak = speak
        self.core = LedgerCore()
        self.sequence = 0
        self.now_us = speak.start_us
        self.step(speak.config(**config))
        self.step(speak.policy())
        self.account(USDT="1000")

    def step(self, message):
        self.sequence += 1
        return [output for output in self.core.step(self.sequence, message).outputs if isinstance(output, Drift)]

    def account(self, *, stated_ago_us: int = 0, **balances):
        self.now_us += SECOND_US
        return self.step(self.speak.account(ts_us=self.now_us, venue_ts_us=self.now_us - stated_ago_us, **balances))

    def fill(self, trade_id, *, traded_ago_us: int = 0):
        self.now_us += SECOND_US
        return self.step(
            self.speak.fill(
                "BUY", "1", "100", trade_id=trade_id, ts_us=self.now_us, venue_ts_us=self.now_us - traded_ago_us
            )
        )


def said(drifts):
    return [(drift.currency, str(drift.books), str(drift.venue), str(drift.difference)) for drift in drifts]


CASES = [
    ("agreement", ["1000"] * 5, [[], [], [], [], []]),
    ("two in a row", ["999", "999", "1000"], [[], [], []]),
    ("three in a row", ["999", "998", "997"], [[], [], ["-3"]]),
    ("said once", ["999"] * 5, [[], [], ["-1"], [], []]),
    ("the other way in between", ["999", "999", "1001", "999", "999"], [[], [], [], [], []]),
    ("ended once", ["999", "999", "999", "1000", "1000"], [[], [], ["-1"], ["0"], []]),
    ("turned over", ["999", "999", "999", "1001", "1001", "1001"], [[], [], ["-1"], [], [], ["1"]]),
]


@pytest.mark.parametrize(("balances", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_drift_is_three_differences_in_a_row_of_one_sign(speak, balances, expected):
    desk = Desk(speak)
    assert [[str(drift.difference) for drift in desk.account(USDT=balance)] for balance in balances] == expected


def test_a_difference_within_the_dust_is_none(speak):
    desk = Desk(speak, dust={"USDT": "0.5"})
    assert [desk.account(USDT="1000.5") for _ in range(4)] == [[], [], [], []]
    assert said([desk.account(USDT="1000.51") for _ in range(3)][2]) == [("USDT", "1000", "1000.51", "0.51")]
    assert said(desk.account(USDT="1000.5")) == [("USDT", "1000", "1000.5", "0")]


def test_a_currency_that_only_one_side_knows_counts(speak):
    desk = Desk(speak)
    desk.fill("t1")
    drifts = [desk.account(USDT="900", DOGE="3") for _ in range(3)][2]
    assert said(drifts) == [("BTC", "1", "0", "-1"), ("DOGE", "0", "3", "3")]
    assert desk.core.status()["drifting"] == ["BTC", "DOGE"]


def test_a_balance_stated_before_the_newest_booked_trade_is_not_compared(speak):
    desk = Desk(speak)
    for number in range(4):
        desk.fill(f"t{number}")
        assert desk.account(USDT="1000", stated_ago_us=2 * SECOND_US) == []
    assert desk.core.status()["drifting"] == []


def test_a_fill_that_traded_before_the_compared_balance_takes_the_comparison_back(speak):
    """The venue's balance reached us before the fills did, three times in a row; nothing was ever wrong."""
    desk = Desk(speak)
    for number in range(1, 6):
        assert desk.account(USDT=str(1000 - 100 * number), BTC=str(number)) == []
        desk.fill(f"t{number}", traded_ago_us=2 * SECOND_US)
    assert desk.account(USDT="500", BTC="5") == []


def test_a_trade_stamped_in_the_future_does_not_blind_the_comparison(speak):
    desk = Desk(speak)
    desk.fill("t1", traded_ago_us=-1_000_000 * SECOND_US)
    assert len([desk.account(USDT="899", BTC="1") for _ in range(3)][2]) == 1


def test_drift_state_survives_a_snapshot(speak):
    desk = Desk(speak)
    desk.account(USDT="999")
    desk.account(USDT="999")
    restored = LedgerCore()
    restored.restore(desk.core.snapshot())
    desk.core = restored
    assert len(desk.account(USDT="999")) == 1
