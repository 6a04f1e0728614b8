"""The books' state machine, as a specification."""

from decimal import Decimal

import pytest

from tollgate_contracts.core import NOTHING
from tollgate_contracts.ledger import Books
from tollgate_contracts.reconciliation import MovementType
from tollgate_domain.costs import CostModel
from tollgate_ledger.core import Alarm, AlarmReason, EntryKind, JournalEntry, LedgerCore

SECOND_US = 1_000_000


class Desk:
    """A core and the tape in front of it."""

    def __init__(self) -> None:
        self.core = LedgerCore()
        self.sequence = 0

    def step(self, message):
        self.sequence += 1
        return self.core.step(self.sequence, message)


@pytest.fixture
def desk(speak):
    """A desk that is configured and opened with 1000 USDT."""
    desk = Desk()
    for message in (speak.config(), speak.policy(), speak.account(USDT="1000")):
        desk.step(message)
    return desk


def entries(step):
    return [effect for effect in step.effects if isinstance(effect, JournalEntry)]


def alarms(step):
    return [effect.reason for effect in step.effects if isinstance(effect, Alarm)]


def lines(entry):
    return [(posting.account, posting.currency, str(posting.amount)) for posting in entry.postings]


def books(step):
    return [output for output in step.outputs if isinstance(output, Books)]


def test_the_first_statement_under_a_policy_opens_the_books(speak):
    desk = Desk()
    desk.step(speak.config())
    desk.step(speak.policy())
    step = desk.step(speak.account(USDT="1000", DOGE="7", BTC="0"))
    [entry] = entries(step)
    assert entry.kind is EntryKind.OPENING
    assert (entry.number, entry.tape_sequence, entry.message_id) == (1, 3, step.effects[0].message_id)
    assert lines(entry) == [
        ("asset:DOGE", "DOGE", "7"),
        ("equity:opening", "DOGE", "-7"),
        ("asset:USDT", "USDT", "1000"),
        ("equity:opening", "USDT", "-1000"),
    ]
    [said] = books(step)
    assert (said.equity, said.peak_equity, said.as_of, said.cause) == (1000, 1000, 3, 3)
    assert [(cash.currency, cash.amount) for cash in said.cash] == [("DOGE", 7), ("USDT", 1000)]


def test_a_later_account_message_books_nothing(desk, speak):
    assert desk.step(speak.account(USDT="1000")) is NOTHING


def test_opening_with_nothing_books_no_entry_and_says_so(speak):
    desk = Desk()
    desk.step(speak.config())
    desk.step(speak.policy())
    step = desk.step(speak.account(USDT="0"))
    assert entries(step) == []
    assert books(step)[0].equity == 0
    assert desk.core.opened


def test_the_journal_reads_as_the_example_in_its_docstring(desk, speak):
    buy = desk.step(speak.fill("BUY", "0.5", "100", "0.1", trade_id="t1"))
    assert lines(entries(buy)[0]) == [
        ("asset:BTC", "BTC", "0.5"),
        ("trading:BTC-USDT", "BTC", "-0.5"),
        ("asset:USDT", "USDT", "-50.0"),
        ("trading:BTC-USDT", "USDT", "50.0"),
        ("expense:fees", "USDT", "0.1"),
        ("asset:USDT", "USDT", "-0.1"),
    ]
    sell = desk.step(speak.fill("SELL", "0.25", "120", trade_id="t2"))
    assert {(account, currency): Decimal(amount) for account, currency, amount in lines(entries(sell)[0])} == {
        ("asset:BTC", "BTC"): Decimal("-0.25"),
        ("trading:BTC-USDT", "BTC"): Decimal("0.25"),
        ("asset:USDT", "USDT"): Decimal(30),
        ("trading:BTC-USDT", "USDT"): Decimal(-25),
        ("income:realized", "USDT"): Decimal(-5),
    }


def test_a_rebate_is_income_and_a_loss_is_a_debit(desk, speak):
    desk.step(speak.fill("BUY", "1", "100", "-0.2", trade_id="t1"))
    desk.step(speak.fill("SELL", "1", "90", trade_id="t2"))
    assert desk.core.balances == {
        ("asset:USDT", "USDT"): Decimal("990.2"),
        ("equity:opening", "USDT"): Decimal(-1000),
        ("income:realized", "USDT"): Decimal(10),
        ("income:rebates", "USDT"): Decimal("-0.2"),
    }
    assert desk.core.status()["fees"] == "-0.2"


def test_an_entry_says_where_it_comes_from(desk, speak):
    fill = speak.fill("BUY", "1", "100", trade_id="t1")
    [entry] = entries(desk.step(fill))
    assert (entry.number, entry.tape_sequence, entry.message_id, entry.run_id) == (2, 4, fill.id, "r1")
    assert (entry.symbol, entry.trade_id, entry.client_order_id) == ("BTC-USDT", "t1", fill.client_order_id)
    assert entry.config_hash == fill.config_hash


def test_a_fill_that_comes_before_the_configuration_is_booked_when_it_arrives(speak):
    desk = Desk()
    opening, fill = speak.account(USDT="1000"), speak.fill("BUY", "1", "100", trade_id="t1")
    for message in (speak.policy(), opening, fill, speak.account(USDT="5")):
        assert desk.step(message) is NOTHING
    step = desk.step(speak.config())
    assert [(entry.kind, entry.tape_sequence, entry.number) for entry in entries(step)] == [
        (EntryKind.OPENING, 2, 1),
        (EntryKind.FILL, 3, 2),
    ]
    [said] = books(step)
    assert (said.as_of, said.equity) == (5, 1000)


def test_a_sequence_that_was_stepped_is_ignored_whatever_lies_there(desk, speak):
    """Another trade at each known sequence, the last one too: the memory of trades cannot be what stops it."""
    desk.step(speak.fill("BUY", "1", "100", trade_id="t1"))
    before = desk.core.snapshot()
    for sequence in range(1, desk.sequence + 1):
        assert desk.core.step(sequence, speak.fill("BUY", "1", "100", trade_id=f"other{sequence}")) is NOTHING
    assert desk.core.snapshot() == before


def test_the_same_trade_in_another_message_is_booked_once(desk, speak):
    desk.step(speak.fill("BUY", "1", "100", "0.1", trade_id="t1"))
    assert desk.step(speak.fill("BUY", "1.00", "100.0", "0.10", trade_id="t1")) is NOTHING
    assert desk.core.entries == 2


def test_the_same_trade_id_of_another_symbol_is_another_trade(desk, speak):
    desk.step(speak.fill("BUY", "1", "100", trade_id="t1"))
    assert len(entries(desk.step(speak.fill("BUY", "1", "10", trade_id="t1", symbol="ETH-USDT")))) == 1


@pytest.mark.parametrize(
    ("change", "value"), [("side", "SELL"), ("quantity", "2"), ("price", "101"), ("fee", "0.2"), ("venue_ts_us", 1)]
)
def test_the_same_trade_id_with_other_content_is_an_alarm_and_not_a_duplicate(desk, speak, change, value):
    fields = {"side": "BUY", "quantity": "1", "price": "100", "fee": "0.1"}
    desk.step(speak.fill(**fields, trade_id="t1"))
    before = desk.core.balances
    step = desk.step(speak.fill(**{**fields, change: value}, trade_id="t1"))
    assert alarms(step) == [AlarmReason.TRADE_CONFLICT]
    assert (entries(step), step.outputs, desk.core.balances) == ([], (), before)


HUGE = "99999999999999999999"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"side": "BUY", "symbol": "BTC-EUR"}, AlarmReason.FOREIGN_QUOTE),
        ({"side": "SELL"}, AlarmReason.OVERSOLD),
        ({"side": "BUY", "price": "0.0000000001", "quantity": "0.0000000001"}, AlarmReason.UNREPRESENTABLE),
        ({"side": "BUY", "price": HUGE, "quantity": "2"}, AlarmReason.UNREPRESENTABLE),
        ({"side": "BUY", "price": HUGE, "quantity": "1"}, AlarmReason.UNREPRESENTABLE),
        ({"side": "BUY", "fee": HUGE}, AlarmReason.UNREPRESENTABLE),
        ({"side": "BUY", "fee": HUGE, "fee_currency": "BNB", "fee_rate": "2"}, AlarmReason.UNREPRESENTABLE),
    ],
)
def test_what_cannot_be_booked_as_it_is_raises_an_alarm_and_changes_nothing(desk, speak, fields, reason):
    before = desk.core.balances, desk.core.status()["cash"]
    step = desk.step(speak.fill(**{"quantity": "1", "price": "100", "trade_id": "t9", **fields}))
    assert alarms(step) == [reason]
    assert (entries(step), step.outputs) == ([], ())
    assert (desk.core.balances, desk.core.status()["cash"]) == before
    assert desk.core.status()["alarms"] == {reason.value: 1}


def test_a_value_of_exactly_eighteen_places_is_booked(desk, speak):
    [entry] = entries(desk.step(speak.fill("BUY", "0.000000001", "0.000000001", trade_id="t1")))
    assert entry.postings[2].amount == Decimal("-0.000000000000000001")


def test_a_configuration_of_another_service_is_ignored(speak):
    desk = Desk()
    assert desk.step(speak.config(writer="strategy")) is NOTHING
    assert desk.core.config_hash == ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"text": "{"}, AlarmReason.CONFIG_INVALID),
        ({"text": '{"quote_currency":"USDT"}'}, AlarmReason.CONFIG_INVALID),
        ({"text": '{"quote_currency":"USDT","symbols":["BTC-EUR"]}'}, AlarmReason.CONFIG_INVALID),
        ({"hash_of": "another text"}, AlarmReason.CONFIG_INVALID),
        ({"quote_currency": "EUR", "symbols": ("BTC-EUR",)}, AlarmReason.CONFIG_OTHER_CURRENCY),
    ],
)
def test_a_bad_configuration_is_an_alarm_and_the_one_before_stays(desk, speak, changes, reason):
    before = desk.core.config_hash
    assert alarms(desk.step(speak.config(**changes))) == [reason]
    assert desk.core.config_hash == before


def test_a_new_configuration_takes_effect_without_touching_the_books(desk, speak):
    balances = desk.core.balances
    config = speak.config(books_interval_ms=5)
    assert desk.step(config) is NOTHING
    assert (desk.core.config_hash, desk.core.balances) == (config.hash, balances)


def test_books_follow_each_fill(desk, speak):
    desk.step(speak.quote("109", "111"))
    [said] = books(desk.step(speak.fill("BUY", "2", "100", "0.4", trade_id="t1")))
    assert (said.equity, said.realized, said.unrealized, said.fees) == (Decimal("1019.6"), 0, 20, Decimal("0.4"))
    [position] = said.positions
    assert (position.symbol, position.quantity, position.cost, position.mark) == ("BTC-USDT", 2, 200, 110)
    assert said.config_hash == desk.core.config_hash


def test_a_position_without_a_mark_is_worth_its_cost(desk, speak):
    [said] = books(desk.step(speak.fill("BUY", "2", "100", trade_id="t1")))
    assert (said.equity, said.unrealized, said.positions[0].mark) == (1000, 0, None)


def test_a_clock_says_books_when_equity_has_changed_and_only_then(desk, speak):
    desk.step(speak.fill("BUY", "1", "100", trade_id="t1"))
    assert desk.step(speak.clock(1)) is NOTHING
    assert desk.step(speak.quote("119", "121")) is NOTHING
    [said] = books(desk.step(speak.clock(2)))
    assert (said.equity, said.cycle_id) == (1020, 2)
    assert desk.step(speak.clock(3)) is NOTHING


def test_a_clock_waits_for_the_interval(desk, speak):
    desk.step(speak.config(books_interval_ms=2_000))
    desk.step(speak.fill("BUY", "1", "100", trade_id="t1"))
    desk.step(speak.quote("119", "121"))
    assert desk.step(speak.clock(1, ts_us=speak.start_us + 2 * SECOND_US - 1)) is NOTHING
    assert len(books(desk.step(speak.clock(2, ts_us=speak.start_us + 2 * SECOND_US)))) == 1


def test_a_mark_says_from_when_it_is_and_goes_stale_by_tape_time(desk, speak):
    """Books are said once when it has grown old, and once when a new one has come, though it is the same price."""
    second = lambda number: speak.start_us + number * SECOND_US  # noqa: E731 - a table's column
    venue_us = speak.start_us - 7
    quoted = speak.quote("109", "111", ts_us=venue_us)
    desk.step(quoted.model_copy(update={"ts_us": second(1)}))
    [said] = books(desk.step(speak.fill("BUY", "1", "110", trade_id="t1")))
    assert (said.positions[0].mark_us, said.positions[0].stale) == (venue_us, False)
    assert desk.step(speak.clock(11)) is NOTHING
    [said] = books(desk.step(speak.clock(12)))
    assert (said.positions[0].mark, said.positions[0].stale, said.equity) == (110, True, 1000)
    assert desk.step(speak.clock(30)) is NOTHING
    desk.step(speak.quote("109", "111", number=2, ts_us=second(31)))
    [said] = books(desk.step(speak.clock(32)))
    assert (said.positions[0].mark_us, said.positions[0].stale) == (second(31), False)


def test_a_position_that_was_never_quoted_is_stale(desk, speak):
    [said] = books(desk.step(speak.fill("BUY", "1", "110", trade_id="t1")))
    assert (said.positions[0].mark_us, said.positions[0].stale) == (None, True)


def test_books_say_fees_as_they_were_charged_and_what_is_not_explained(desk, speak):
    desk.step(speak.fill("BUY", "1", "100", "0.5", trade_id="t1"))
    desk.step(speak.fill("BUY", "1", "100", "0.002", trade_id="t2", fee_currency="BNB", fee_rate="300"))
    fill = speak.fill("BUY", "1", "100", "0.1", trade_id="t3", fee_currency="XYZ")
    [said] = books(desk.step(fill))
    assert [(line.currency, line.amount) for line in said.fees_by_currency] == [
        ("BNB", Decimal("0.002")),
        ("USDT", Decimal("0.5")),
        ("XYZ", Decimal("0.1")),
    ]
    assert said.fees == Decimal("1.1")
    assert [(line.currency, line.amount) for line in said.suspense] == [("XYZ", Decimal("0.1"))]
    desk.step(speak.movement("-7", MovementType.UNEXPLAINED))
    [said] = books(desk.step(speak.bust(fill)))
    assert [line.currency for line in said.fees_by_currency] == ["BNB", "USDT"]
    assert [(line.currency, line.amount) for line in said.suspense] == [("USDT", 7)]


def test_books_say_funding_and_the_model_of_costs(desk, speak):
    [said] = books(desk.step(speak.movement("-2", MovementType.FUNDING)))
    assert (said.funding, said.cost_model) == (-2, CostModel().fingerprint)


def test_what_is_unexplained_is_in_suspense_and_the_drift_ends(desk, speak):
    """It is no transfer: equity falls, and the peak stays where it was."""
    second = lambda number: speak.start_us + number * SECOND_US  # noqa: E731 - a table's column
    for number in (1, 2, 3):
        step = desk.step(speak.account(USDT="993", ts_us=second(number)))
    assert [(said.kind, said.difference) for said in step.outputs] == [("drift", -7)]
    said = speak.movement("-7", MovementType.UNEXPLAINED, ts_us=second(4), venue_ts_us=second(3))
    step = desk.step(said)
    [entry] = entries(step)
    assert lines(entry) == [("asset:USDT", "USDT", "-7"), ("suspense:drift", "USDT", "7")]
    assert (books(step)[0].equity, books(step)[0].drawdown) == (993, 7)
    step = desk.step(speak.account(USDT="993", ts_us=second(5)))
    assert [(said.kind, said.difference) for said in step.outputs] == [("drift", 0)]


def test_a_quote_of_what_is_not_held_changes_nothing_said(desk, speak):
    desk.step(speak.quote("9", "11", symbol="ETH-USDT"))
    assert desk.step(speak.clock(5)) is NOTHING


def test_drawdown_is_the_fall_from_the_peak_between_books_too(desk, speak):
    desk.step(speak.fill("BUY", "1", "100", trade_id="t1"))
    desk.step(speak.quote("149", "151", number=1))
    desk.step(speak.quote("89", "91", number=2))
    [said] = books(desk.step(speak.clock(2)))
    assert (said.equity, said.peak_equity, said.drawdown) == (990, 1050, 60)


def test_a_mid_with_too_many_places_is_rounded_half_even(desk, speak):
    desk.step(speak.fill("BUY", "1", "100", trade_id="t1"))
    desk.step(speak.quote("1.000000000000000001", "1.000000000000000002"))
    [said] = books(desk.step(speak.clock(2)))
    assert said.positions[0].mark == Decimal("1.000000000000000002")


def test_an_equity_that_the_wire_cannot_hold_is_an_alarm_instead_of_books(desk, speak):
    desk.step(speak.fill("BUY", "9", "100", trade_id="t1"))
    desk.step(speak.quote("99999999999999999998", "99999999999999999999"))
    step = desk.step(speak.clock(2))
    assert (alarms(step), step.outputs) == ([AlarmReason.UNREPRESENTABLE], ())


def test_a_snapshot_of_another_format_is_refused(desk):
    with pytest.raises(ValueError, match="format 9, expected 5"):
        LedgerCore().restore({**desk.core.snapshot(), "format": 9})
