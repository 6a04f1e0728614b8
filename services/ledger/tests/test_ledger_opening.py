"""When the books open: by the statement and at the place by which risk opens, whenever their configuration comes."""

import json

import pytest

from tollgate_contracts.ledger import Books, Drift
from tollgate_contracts.reconciliation import MovementType
from tollgate_ledger.core import Alarm, AlarmReason, EntryKind, JournalEntry, LedgerCore

SECOND_US = 1_000_000
SHARE = "5000"


class Tape:
    """Steps one ledger over messages, and keeps what it books; each a second after the one before."""

    def __init__(self, speak):
        self.speak = speak
        self.core = LedgerCore()
        self.effects = []
        self.outputs = []

    def put(self, *messages):
        for message in messages:
            step = self.core.step(self.core.sequence + 1, message)
            self.effects += step.effects
            self.outputs += step.outputs
        return self

    @property
    def entries(self):
        return [(each.kind.value, each.tape_sequence) for each in self.effects if isinstance(each, JournalEntry)]

    @property
    def alarms(self):
        return [each.reason for each in self.effects if isinstance(each, Alarm)]

    @property
    def opened_with(self):
        return self.core.status()["cash"] if self.core.opened else None


@pytest.fixture
def tape(speak):
    return Tape(speak)


def at(speak, second):
    return speak.start_us + second * SECOND_US


def account(speak, second, cash, name="main"):
    stated = speak.account(USDT=cash, ts_us=at(speak, second))
    return stated.model_copy(update={"account": name, "id": f"{stated.id}.{name}"})


def said(speak, word):
    """Return what a word of the table stands for; a number is that of its second."""
    name, _, rest = word.partition(" ")
    match name:
        case "policy":
            return speak.policy(account=rest or "main")
        case "unreadable":
            return speak.policy(text="{}")
        case "misstated":
            return speak.policy().model_copy(update={"hash": "0" * 64})
        case "account":
            cash, _, owner = rest.partition(" ")
            return account(speak, int(cash), cash, owner or "main")
        case _:
            return speak.movement(rest, ts_us=at(speak, 1), movement_id=rest)


ORDERS = [
    ("policy first", ["policy", "account 1", "account 2"], "1", 2),
    ("account first", ["account 1", "account 2", "policy"], "1", 3),
    ("a movement between", ["account 1", "move 9", "policy", "account 2"], "2", 4),
    ("a movement before the policy, and a statement after it", ["account 1", "move 9", "account 2", "policy"], "2", 4),
    ("a movement before both", ["move 9", "account 1", "policy"], "1", 3),
    ("a movement under a policy", ["policy", "move 9", "account 1"], "1", 3),
    ("no policy", ["account 1", "account 2"], None, None),
    ("no account", ["policy"], None, None),
    ("a policy that cannot be read", ["unreadable", "account 1"], None, None),
    ("a policy that is not the one that was hashed", ["misstated", "account 1"], None, None),
    ("a policy again after one that cannot be read", ["unreadable", "account 1", "policy"], "1", 3),
    ("a policy put out of force", ["policy", "unreadable", "account 1"], None, None),
    ("a statement of another account", ["policy", "account 1 other", "account 2"], "2", 3),
    ("only the first is remembered", ["account 1 other", "account 2", "policy", "account 3"], "3", 4),
    ("a policy of another account", ["policy other", "account 1", "policy", "account 2"], "2", 4),
]


@pytest.mark.parametrize(("words", "cash", "place"), [case[1:] for case in ORDERS], ids=[case[0] for case in ORDERS])
def test_the_books_open_where_risk_opens(tape, speak, words, cash, place):
    tape.put(speak.config())
    opened_at = None
    for number, word in enumerate(words, start=1):
        tape.put(said(speak, word))
        if tape.core.opened and opened_at is None:
            opened_at = number
    assert (tape.opened_with, opened_at) == (cash and {"USDT": cash}, place)
    assert tape.alarms == []


@pytest.mark.parametrize(("words", "cash", "_place"), [case[1:] for case in ORDERS], ids=[case[0] for case in ORDERS])
@pytest.mark.parametrize("before", [0, 1, 2, 3, 4])
def test_they_open_the_same_whenever_their_configuration_comes(tape, speak, words, cash, _place, before):
    """A ledger that starts again at every step does the same."""
    messages = [said(speak, word) for word in words]
    for message in (*messages[:before], speak.config(), *messages[before:]):
        tape.put(message)
        state = json.loads(json.dumps(tape.core.snapshot(), sort_keys=True))
        tape.core = LedgerCore()
        tape.core.restore(state)
        assert json.loads(json.dumps(tape.core.snapshot(), sort_keys=True)) == state
    assert (tape.opened_with, tape.alarms) == (cash and {"USDT": cash}, [])


def test_the_opening_is_booked_by_the_statement_at_its_own_place(tape, speak):
    """The books say so at the policy that opens them; who looks the entry up finds the statement."""
    tape.put(speak.config(), account(speak, 1, "1000"), speak.policy())
    assert tape.entries == [("opening", 2)]
    assert [(said.as_of, said.cause) for said in tape.outputs if isinstance(said, Books)] == [(3, 3)]


@pytest.mark.parametrize("is_config_last", [False, True])
def test_a_trade_before_the_books_are_open_is_an_alarm(tape, speak, is_config_last):
    fill, config = speak.fill("BUY", "1", "100", trade_id="t1"), speak.config()
    stated = [account(speak, 1, "1000"), fill, speak.bust(fill), speak.policy()]
    tape.put(*([*stated, config] if is_config_last else [config, *stated]))
    assert tape.alarms == [AlarmReason.NOT_OPENED] * 2
    assert [kind for kind, _ in tape.entries] == [EntryKind.OPENING.value]


def test_what_waits_is_booked_under_the_policy_and_at_the_marks_of_its_own_time(speak):
    """The share of a later policy, and a quote that nobody had looked at, change nothing of it."""
    config, sold = speak.config(), speak.fill("SELL", "1", "130", trade_id="t1", ts_us=at(speak, 3))
    messages = [
        speak.policy(SHARE),
        speak.account(USDT="1000", BTC="2"),
        speak.quote("89", "91", number=1),
        speak.movement("-0.5", MovementType.WITHDRAWAL, "BTC", rate="100", ts_us=at(speak, 1)),
        speak.quote("109", "111", number=2),
        speak.clock(2),
        speak.quote("119", "121", number=3),
        sold,
        speak.movement("10", MovementType.REBATE, movement_id="2", ts_us=at(speak, 4)),
        speak.policy("0"),
        speak.clock(5),
    ]
    first, last = Tape(speak).put(config, *messages), Tape(speak).put(*messages, config)
    assert first.core.balances["equity:treasury", "USDT"] == -20
    assert last.core.balances == first.core.balances
    capital = [tape.core.snapshot()["trade_log"]["capital"] for tape in (first, last)]
    assert capital[0] == capital[1]


def test_what_waits_is_no_longer_than_what_has_moved(tape, speak):
    """Whoever starts days later finds quotes, clocks and statements by the million before the configuration."""
    tape.put(speak.policy(), speak.account(USDT="1000", BTC="1"))
    tape.put(speak.clock(1))
    for number in range(2, 50):
        tape.put(speak.quote("99", "101", number=number), speak.clock(number), account(speak, number, "1000"))
    assert len(tape.core.snapshot()["waiting"]) == 3
    tape.put(speak.quote("9", "11", symbol="ETH-USDT", number=60), speak.clock(60))
    tape.put(speak.fill("BUY", "1", "100", trade_id="t1"), speak.clock(61), speak.clock(62))
    assert len(tape.core.snapshot()["waiting"]) == 5


def test_what_is_said_of_another_account_than_the_policys_is_not_of_the_books(tape, speak):
    """Risk passes it by: a statement of it is no drift, and what moves there changes nothing."""
    tape.put(speak.config(), speak.policy(), account(speak, 1, "1000"))
    tape.put(*(account(speak, second, "7", "other") for second in range(2, 7)))
    moved = speak.movement("50", MovementType.REBATE, ts_us=at(speak, 8))
    tape.put(moved.model_copy(update={"account": "other"}))
    assert [output for output in tape.outputs if isinstance(output, Drift)] == []
    assert tape.opened_with == {"USDT": "1000"}
    tape.put(*(account(speak, second, "7") for second in range(9, 12)))
    assert [output.currency for output in tape.outputs if isinstance(output, Drift)] == ["USDT"]
