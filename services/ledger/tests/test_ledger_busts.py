"""What the venue takes back, and what moves without an order: booked once, balanced, and exactly undone."""

from decimal import Decimal

import pytest

from tollgate_chassis.tape import MemoryTape
from tollgate_contracts.ledger import Books, Drift
from tollgate_contracts.reconciliation import MovementType, VenuePosition
from tollgate_ledger.core import Alarm, AlarmReason, EntryKind, JournalEntry, LedgerCore

ENTRY_ID = "tg" + "e" * 30
SECOND_US = 1_000_000


class Tape:
    """Steps one ledger and keeps what it booked."""

    def __init__(self, *messages):
        self.core = LedgerCore()
        self.effects = []
        self.outputs = []
        self.put(*messages)

    def put(self, *messages):
        for message in messages:
            step = self.core.step(self.core.sequence + 1, message)
            self.effects += step.effects
            self.outputs += step.outputs
        return self

    @property
    def entries(self):
        return [effect for effect in self.effects if isinstance(effect, JournalEntry)]

    @property
    def alarms(self):
        return [effect.reason for effect in self.effects if isinstance(effect, Alarm)]


@pytest.fixture
def tape(speak):
    return Tape(speak.config(), speak.policy(), speak.account(USDT="1000"))


def lines(entry):
    return [(posting.account, posting.currency, str(posting.amount)) for posting in entry.postings]


def test_a_bust_reverses_the_lines_of_its_fill(tape, speak):
    fill = speak.fill("BUY", "0.5", "100", "0.1", trade_id="1")
    before = tape.core.balances
    tape.put(fill, speak.bust(fill))
    booked, undone = tape.entries[-2:]
    assert undone.kind is EntryKind.BUST
    assert [(a, c, -Decimal(n)) for a, c, n in lines(undone)] == [(a, c, Decimal(n)) for a, c, n in lines(booked)]
    assert tape.core.balances == before
    assert (undone.symbol, undone.trade_id, undone.client_order_id) == ("BTC-USDT", "1", fill.client_order_id)


def test_a_busted_sale_takes_its_result_back(tape, speak):
    """The profit of 5 is undone, and the position costs again what it had cost."""
    bought, sold = speak.fill("BUY", "0.5", "100", trade_id="1"), speak.fill("SELL", "0.25", "120", "1", trade_id="2")
    tape.put(bought)
    before = tape.core.balances
    tape.put(sold, speak.bust(sold))
    assert tape.core.balances == before
    assert lines(tape.entries[-1]) == [
        ("asset:BTC", "BTC", "0.25"),
        ("trading:BTC-USDT", "BTC", "-0.25"),
        ("asset:USDT", "USDT", "-30.00"),
        ("trading:BTC-USDT", "USDT", "25.000000000000000000"),
        ("income:realized", "USDT", "5.000000000000000000"),
        ("expense:fees", "USDT", "-1"),
        ("asset:USDT", "USDT", "1"),
    ]
    books = [output for output in tape.outputs if isinstance(output, Books)][-1]
    assert (books.realized, books.fees) == (0, 0)


def test_a_rebate_is_taken_back_from_the_rebates(tape, speak):
    fill = speak.fill("BUY", "1", "100", "-0.5", trade_id="1")
    tape.put(fill, speak.bust(fill))
    assert ("income:rebates", "USDT", "0.5") in lines(tape.entries[-1])


def test_a_bust_is_booked_once_and_its_trade_never_again(tape, speak):
    fill = speak.fill("BUY", "1", "100", trade_id="1")
    tape.put(fill, speak.bust(fill), speak.bust(fill), fill)
    assert [entry.kind.value for entry in tape.entries] == ["opening", "fill", "bust"]
    assert tape.alarms == []


def test_a_bust_of_other_content_than_was_booked_is_an_alarm(tape, speak):
    fill = speak.fill("BUY", "1", "100", trade_id="1")
    tape.put(fill, speak.bust(fill, price=Decimal(99)))
    assert (tape.alarms, len(tape.entries)) == ([AlarmReason.TRADE_CONFLICT], 2)


def test_a_bust_of_what_was_sold_since_is_an_alarm_and_not_booked(tape, speak):
    fill = speak.fill("BUY", "1", "100", trade_id="1")
    tape.put(fill, speak.fill("SELL", "0.5", "100", trade_id="2"), speak.bust(fill))
    assert tape.alarms == [AlarmReason.OVERSOLD]
    assert tape.core.balances["asset:BTC", "BTC"] == Decimal("0.5")


@pytest.mark.parametrize(
    ("movement", "amount", "account"),
    [
        pytest.param(MovementType.DEPOSIT, "250", "equity:transfers", id="a deposit"),
        pytest.param(MovementType.WITHDRAWAL, "-250", "equity:transfers", id="a withdrawal"),
        pytest.param(MovementType.TRANSFER, "-1", "equity:transfers", id="a transfer"),
        pytest.param(MovementType.FUNDING, "-3", "income:funding", id="funding"),
        pytest.param(MovementType.DUST, "-0.1", "expense:dust", id="dust"),
        pytest.param(MovementType.FEE, "-2", "expense:charges", id="a fee"),
        pytest.param(MovementType.REBATE, "2", "expense:charges", id="a rebate"),
    ],
)
def test_every_movement_is_booked_against_the_account_of_its_type(tape, speak, movement, amount, account):
    tape.put(speak.movement(amount, movement))
    assert lines(tape.entries[-1]) == [("asset:USDT", "USDT", amount), (account, "USDT", str(-Decimal(amount)))]
    assert (tape.entries[-1].kind, tape.entries[-1].movement_id) == (EntryKind.MOVEMENT, "1")
    assert tape.core.status()["cash"] == {"USDT": str(1000 + Decimal(amount))}
    assert tape.core.status()["realized"] == "0"


@pytest.mark.parametrize(("movement", "drawdown"), [(MovementType.WITHDRAWAL, "0"), (MovementType.FEE, "250")])
def test_a_withdrawal_is_no_fall_from_the_peak_and_a_fee_is(tape, speak, movement, drawdown):
    tape.put(speak.movement("-250", movement))
    assert (tape.core.status()["equity"], tape.core.status()["drawdown"]) == ("750", drawdown)


def test_what_moves_in_another_currency_lies_beside_the_position(tape, speak):
    tape.put(speak.fill("BUY", "1", "100", trade_id="1"), speak.movement("0.25", currency="BTC"))
    status = tape.core.status()
    assert status["cash"] == {"BTC": "0.25", "USDT": "900"}
    assert [(position["symbol"], position["quantity"]) for position in status["positions"]] == [("BTC-USDT", "1")]


def test_a_movement_is_booked_once_and_not_with_other_content(tape, speak):
    tape.put(speak.movement("5"), speak.movement("5"), speak.movement("6"))
    assert (len(tape.entries), tape.alarms) == (2, [AlarmReason.MOVEMENT_CONFLICT])


@pytest.mark.parametrize("other", [{"account": "other"}, {"venue": "another"}])
def test_a_movements_id_is_booked_once_whatever_account_it_is_said_of(tape, speak, other):
    """The books are of one account, and the database refuses the id a second time, even if the policy names another."""
    again = speak.movement("5").model_copy(update={"id": "execution:simulated:movement:again", **other})
    tape.put(speak.movement("5"), again)
    assert (len(tape.entries), tape.alarms) == (2, []), "of another account than the policy's: not of these books"
    tape.put(speak.policy(**other), again)
    assert (len(tape.entries), tape.alarms) == (2, [AlarmReason.MOVEMENT_CONFLICT])


def test_what_moved_before_the_opening_is_in_it(tape, speak):
    """The venue lists all that ever moved, and the opening balances hold it already."""
    tape.put(speak.movement("5", ts_us=speak.start_us))
    assert (len(tape.entries), tape.alarms) == (1, [])
    late = Tape(speak.config(), speak.policy(), speak.movement("5"))
    late.put(speak.account(USDT="1000", ts_us=speak.start_us + SECOND_US))
    assert late.core.status()["cash"] == {"USDT": "1000"}


def test_a_movement_that_no_column_can_hold_is_an_alarm(tape, speak):
    tape.put(speak.movement("99999999999999999999"))
    assert (tape.alarms, len(tape.entries)) == ([AlarmReason.UNREPRESENTABLE], 1)


@pytest.mark.parametrize(
    ("opening", "moved", "booked"),
    [
        pytest.param("0", ["60000000000000000000"] * 2, 1, id="deposits of another currency"),
        pytest.param("60000000000000000000", ["60000000000000000000"], 0, id="on top of what was held at opening"),
        pytest.param("0", ["60000000000000000000", "-60000000000000000000"] * 2, 4, id="as long as it fits"),
    ],
)
def test_a_sum_that_no_column_can_hold_is_an_alarm_in_any_currency(speak, opening, moved, booked):
    """The step that says the books would end the ledger, and every one that starts after it."""
    tape = Tape(speak.config(), speak.policy(), speak.account(USDT="1000", PEPE=opening))
    for number, amount in enumerate(moved):
        tape.put(speak.movement(amount, currency="PEPE", movement_id=str(number)))
    assert [entry.kind for entry in tape.entries].count(EntryKind.MOVEMENT) == booked
    assert tape.alarms == [AlarmReason.UNREPRESENTABLE] * (len(moved) - booked)


def test_a_suspense_that_no_column_can_hold_is_an_alarm(speak):
    """Transfers take it out of the balance again, and never out of suspense."""
    tape = Tape(speak.config(), speak.policy(), speak.account(USDT="1000"))
    tape.put(speak.movement("60000000000000000000", MovementType.UNEXPLAINED, movement_id="1"))
    tape.put(speak.movement("-60000000000000000000", MovementType.WITHDRAWAL, movement_id="2"))
    tape.put(speak.movement("60000000000000000000", MovementType.UNEXPLAINED, movement_id="3"))
    assert tape.alarms == [AlarmReason.UNREPRESENTABLE]


def test_books_are_of_spot_and_stay_closed_while_a_position_in_a_perpetual_is_stated(speak):
    """They are opened by the first statement without one."""
    fields = {"entry_price": Decimal(100), "liquidation_price": None}
    position = VenuePosition(symbol="BTC-USDT", quantity=Decimal(-1), **fields)
    account = speak.account(USDT="1000")
    tape = Tape(speak.config(), speak.policy(), account.model_copy(update={"positions": (position,)}))
    assert (tape.alarms, tape.core.opened, tape.entries) == ([AlarmReason.PERPETUAL], False, [])
    flat = position.model_copy(update={"quantity": Decimal(0)})
    tape.put(account.model_copy(update={"positions": (flat,)}))
    assert (tape.core.opened, len(tape.entries)) == (True, 1)


def test_what_comes_before_the_configuration_is_booked_in_its_order(speak):
    fill = speak.fill("BUY", "1", "100", trade_id="1")
    waiting = [speak.policy(), speak.account(USDT="1000"), fill, speak.movement("5"), speak.bust(fill)]
    first, again = Tape(*waiting), LedgerCore()
    again.restore(first.core.snapshot())
    first.put(speak.config())
    again.step(len(waiting) + 1, speak.config())
    assert [entry.kind.value for entry in first.entries] == ["opening", "fill", "movement", "bust"]
    assert again.snapshot() == first.core.snapshot()


def test_venue_and_books_agree_on_what_both_were_told(tape, speak):
    """A statement that is older than the movement, or the bust, is not compared; a newer one shows no drift."""
    fill = speak.fill("BUY", "1", "100", trade_id="1", ts_us=speak.start_us + 1)
    tape.put(fill, speak.movement("50", ts_us=speak.start_us + 10), speak.bust(fill, ts_us=speak.start_us + 20))
    for number in range(5):
        tape.put(speak.account(USDT="900", BTC="1", ts_us=speak.start_us + 15 + number))
    for number in range(5):
        tape.put(speak.account(USDT="1050", ts_us=speak.start_us + 30 + number))
    assert [output for output in tape.outputs if isinstance(output, Drift)] == []
    for number in range(5):
        tape.put(speak.account(USDT="1000", ts_us=speak.start_us + 40 + number))
    assert [output.difference for output in tape.outputs if isinstance(output, Drift)] == [-50]


def test_a_protective_stops_trade_names_the_order_whose_position_it_ends(tape, speak):
    bought, sold = speak.fill("BUY", "1", "100", trade_id="1"), speak.fill("SELL", "1", "95", trade_id="2", cause=9)
    stop = speak.stop(sold, ENTRY_ID).model_copy(update={"client_order_id": "tg" + "5" * 30})
    sold = sold.model_copy(update={"client_order_id": stop.client_order_id})
    tape.put(bought, stop, sold, speak.bust(sold))
    assert [entry.protects for entry in tape.entries] == [None, None, ENTRY_ID, ENTRY_ID]
    again = LedgerCore()
    again.restore(tape.core.snapshot())
    assert again.snapshot() == tape.core.snapshot()


async def test_the_database_takes_busts_and_movements_and_gives_them_back(database, ledger, put, speak):
    """Recorded, read again, and equal; a crash in between changes nothing."""
    tape = MemoryTape()
    fill = speak.fill("BUY", "1", "100", "0.1", trade_id="1", cause=3)
    put(tape, speak.config(), speak.policy(), speak.account(USDT="1000"), fill, speak.movement("5"))
    first = await ledger(tape).start()
    await first.settle()
    await first.crash()
    # On a tape a cause is an earlier message.
    bust = speak.bust(fill).model_copy(update={"id": "execution:4:0", "cause": 4})
    put(tape, bust, speak.movement("-3", MovementType.FEE, movement_id="2"))
    second = await ledger(tape).start()
    await second.settle()
    connection = await database.connect("tollgate_ledger")
    rows = await connection.fetch("SELECT account, currency, amount FROM ledger.balances WHERE amount <> 0")
    kinds = [row["kind"] for row in await connection.fetch("SELECT kind FROM ledger.entries ORDER BY id")]
    await connection.close()
    assert {(row["account"], row["currency"]): row["amount"] for row in rows} == second.core.balances
    assert kinds == ["opening", "fill", "movement", "bust", "movement"]
    assert second.core.status()["cash"] == {"USDT": "1002"}


def test_a_bust_of_a_fill_that_was_refused_takes_nothing_back(tape, speak):
    """What never came into the books cannot leave them; the alarm was raised when the fill came."""
    fill = speak.fill("SELL", "5", "100", trade_id="t9", cause=9)
    tape.put(fill, speak.bust(fill))
    assert tape.alarms == [AlarmReason.OVERSOLD]
    assert [entry.kind for entry in tape.entries] == [EntryKind.OPENING]


def test_a_fill_that_was_refused_and_is_booked_later_can_be_taken_back(tape, speak):
    fill = speak.fill("SELL", "5", "100", trade_id="t9", cause=9)
    tape.put(fill, speak.fill("BUY", "5", "100", trade_id="t10", cause=10))
    before = tape.core.balances
    tape.put(fill)
    assert tape.core.balances != before
    tape.put(speak.bust(fill))
    assert tape.core.balances == before
