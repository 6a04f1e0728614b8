"""Fees in other currencies: which lines they have, that these balance, and that nothing is dropped."""

from decimal import Decimal

import pytest

from tollgate_contracts.ledger import Books
from tollgate_contracts.money import ZERO
from tollgate_ledger.core import Alarm, AlarmReason, JournalEntry, LedgerCore


class Tape:
    """Steps one ledger, which opens with 1,000 USDT, two BNB and one EUR."""

    def __init__(self, speak):
        self.core = LedgerCore()
        self.effects = []
        self.books = []
        self.put(
            speak.config(symbols=("BTC-USDT", "BNB-USDT")), speak.policy(), speak.account(USDT="1000", BNB="2", EUR="1")
        )

    def put(self, *messages):
        for message in messages:
            step = self.core.step(self.core.sequence + 1, message)
            self.effects += step.effects
            self.books += [output for output in step.outputs if isinstance(output, Books)]
        return self

    @property
    def entry(self):
        return [effect for effect in self.effects if isinstance(effect, JournalEntry) and effect.trade_id][-1]

    @property
    def alarms(self):
        return [effect.reason for effect in self.effects if isinstance(effect, Alarm)]


@pytest.fixture
def tape(speak):
    return Tape(speak)


def fee_lines(entry):
    """Return the lines behind those of the trade itself, which are four where it closes nothing."""
    return [(posting.account, posting.currency, posting.amount) for posting in entry.postings[4:]]


@pytest.mark.parametrize(
    ("fee", "currency", "rate", "expected", "fees"),
    [
        pytest.param(
            "0.001",
            "BTC",
            "110",
            [
                ("asset:BTC", "BTC", "-0.001"),
                ("trading:BTC-USDT", "BTC", "0.001"),
                ("trading:BTC-USDT", "USDT", "-0.1"),
                ("income:realized", "USDT", "-0.01"),
                ("expense:fees", "USDT", "0.11"),
            ],
            "0.11",
            id="of what was bought: as the example in the journal's docstring",
        ),
        pytest.param(
            "-0.001",
            "BTC",
            "110",
            [
                ("asset:BTC", "BTC", "0.001"),
                ("trading:BTC-USDT", "BTC", "-0.001"),
                ("trading:BTC-USDT", "USDT", "0.11"),
                ("income:rebates", "USDT", "-0.11"),
            ],
            "-0.11",
            id="a rebate in what was bought",
        ),
        pytest.param(
            "0.01",
            "BNB",
            "500",
            [
                ("asset:BNB", "BNB", "-0.01"),
                ("trading:BNB-USDT", "BNB", "0.01"),
                ("income:realized", "USDT", "-5"),
                ("expense:fees", "USDT", "5"),
            ],
            "5",
            id="of what was held at opening, at no cost",
        ),
        pytest.param(
            "0.5",
            "EUR",
            "1.1",
            [
                ("asset:EUR", "EUR", "-0.5"),
                ("trading:EUR-USDT", "EUR", "0.5"),
                ("equity:transfers", "USDT", "-0.55"),
                ("expense:fees", "USDT", "0.55"),
            ],
            "0.55",
            id="of a currency that is no position: brought in for it",
        ),
        pytest.param(
            "-0.5",
            "EUR",
            "1.1",
            [
                ("asset:EUR", "EUR", "0.5"),
                ("trading:EUR-USDT", "EUR", "-0.5"),
                ("equity:transfers", "USDT", "0.55"),
                ("income:rebates", "USDT", "-0.55"),
            ],
            "-0.55",
            id="a rebate in one: won, and gone there",
        ),
        pytest.param(
            "0.5",
            "EUR",
            None,
            [("asset:EUR", "EUR", "-0.5"), ("suspense:fees", "EUR", "0.5")],
            "0",
            id="without a rate it is in suspense",
        ),
        pytest.param("0", "EUR", None, [], "0", id="no fee has no lines"),
    ],
)
def test_a_fee_in_another_currency_has_lines_of_its_own(tape, speak, fee, currency, rate, expected, fees):
    """A bust has the same lines with every sign changed, and leaves the books as they were."""
    before = tape.core.balances
    fill = speak.fill("BUY", "1", "100", fee, trade_id="t1", fee_currency=currency, fee_rate=rate)
    tape.put(fill)
    assert fee_lines(tape.entry) == [(account, code, Decimal(amount)) for account, code, amount in expected]
    assert tape.books[-1].fees == Decimal(fees)
    lacks = [AlarmReason.FEE_CURRENCY] if rate is None and fee != "0" else []
    assert tape.alarms == lacks
    assert (tape.entry.fee_rate, tape.entry.fee_rate_source) == (fill.fee_rate, fill.fee_rate_source or None)
    booked = fee_lines(tape.entry)
    tape.put(speak.bust(fill))
    assert fee_lines(tape.entry) == [(account, code, -amount) for account, code, amount in booked]
    assert tape.core.balances == before
    assert (tape.books[-1].fees, tape.books[-1].realized) == (ZERO, ZERO)
    assert tape.alarms == 2 * lacks


def test_a_bust_needs_only_what_is_left_of_what_its_fee_was_taken_from(tape, speak):
    """Bought one, a tenth went for the fee: nine tenths are there, and they are enough to take it back."""
    fill = speak.fill("BUY", "1", "100", "0.1", trade_id="t1", fee_currency="BTC", fee_rate="100")
    tape.put(fill)
    assert tape.books[-1].positions[-1].quantity == Decimal("0.9")
    tape.put(speak.bust(fill))
    assert tape.alarms == []
    assert [position.symbol for position in tape.books[-1].positions] == ["BNB-USDT"]


def test_the_same_trade_at_another_rate_is_an_alarm_and_not_a_duplicate(tape, speak):
    fields = {"side": "BUY", "quantity": "1", "price": "100", "fee": "1", "fee_currency": "EUR", "trade_id": "t1"}
    tape.put(speak.fill(**fields, fee_rate="1.1"), speak.fill(**fields, fee_rate="1.2"))
    assert tape.alarms == [AlarmReason.TRADE_CONFLICT]


def test_what_is_in_suspense_is_said_in_the_books(tape, speak):
    tape.put(speak.fill("BUY", "1", "100", "0.5", trade_id="t1", fee_currency="EUR"))
    said = tape.books[-1]
    assert [(line.currency, line.amount) for line in said.suspense] == [("EUR", Decimal("0.5"))]
    assert [(line.currency, line.amount) for line in said.fees_by_currency] == [("EUR", Decimal("0.5"))]


def test_a_drift_watch_waits_for_the_currency_of_a_fee_too(tape, speak):
    """A balance from before the trade does not know of its fee, and is not compared."""
    now_us = speak.start_us + 10_000_000
    fill = speak.fill("BUY", "1", "100", "0.5", trade_id="t1", fee_currency="EUR", fee_rate="1.1", ts_us=now_us)
    tape.put(fill)
    for number in range(3):
        tape.put(speak.account(USDT="900", BTC="1", BNB="2", EUR="1", ts_us=now_us - 3 + number))
    assert tape.core.status()["drifting"] == []
    for number in range(3):
        tape.put(speak.account(USDT="900", BTC="1", BNB="2", EUR="1", ts_us=now_us + 1 + number))
    assert tape.core.status()["drifting"] == ["EUR"]
