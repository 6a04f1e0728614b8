"""Bad messages on the tape of a running platform, written with a service's own key: told, put aside, and no more."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.bad_input.conftest import PATIENCE_S, changed, dead_letters, hand_of, now_us, restarts, states
from tests.conftest import SERVICES, Platform, assert_everyone_agrees, settle
from tollgate_chassis.tape import TooLarge
from tollgate_contracts.codec import MESSAGE_BYTES_MAX, DeadLetter, encode
from tollgate_contracts.envelope import Message
from tollgate_contracts.marketdata import Quote, SymbolQuote
from tollgate_contracts.risk import Decision, Outcome
from tollgate_contracts.strategy import Action, Intent, OrderType, Purpose, Side, TimeInForce
from tollgate_research.recording import load
from tollgate_research.replay import Replay

pytestmark = pytest.mark.platform
HOUR_US = 3_600_000_000
SUBJECT = "tape.main.strategy.intent.BTC-USDT"
# What is wrong, and what the dead letter says: its reason and a word of its detail.
LETTERS: dict[str, tuple[dict[str, Any] | bytes, str, str]] = {
    "a negative quantity": ({"quantity": "-1"}, "invalid", "quantity"),
    "a quantity of zero": ({"quantity": "0"}, "invalid", "quantity"),
    "a quantity that is no number": ({"quantity": "NaN"}, "invalid", "quantity"),
    "a literal NaN": ({"quantity": b"NaN"}, "invalid", "quantity"),
    "an infinite price": ({"limit_price": "Infinity"}, "invalid", "limit_price"),
    "a float": ({"quantity": 0.5}, "invalid", "quantity"),
    "an exponent": ({"quantity": "1E+3"}, "invalid", "quantity"),
    "nineteen places": ({"quantity": "0.1234567890123456789"}, "invalid", "quantity"),
    "twenty-one digits": ({"limit_price": "100000000000000000000"}, "invalid", "limit_price"),
    "a symbol in small letters": ({"symbol": "btc-usdt"}, "invalid", "symbol"),
    "a field too many": ({"leverage": 10}, "invalid", "leverage"),
    "an unknown kind": ({"kind": "rumour"}, "unknown_kind", "rumour"),
    "an unknown version": ({"version": 99}, "unknown_version", "version"),
    "a time in the year 9999": ({"ts_us": 253_402_300_799_000_000}, "invalid", "ts_us"),
    "a time in seconds and a half": ({"ts_us": 1.5}, "invalid", "ts_us"),
    "a cycle that no database holds": ({"cycle_id": 2**63}, "invalid", "cycle_id"),
    "another desk": ({"desk": "other"}, "foreign_writer", "tape.other.strategy"),
    "another symbol than its subject": ({"symbol": "ETH-USDT"}, "foreign_writer", "tape.main.strategy.intent.ETH-USDT"),
    "the writer of another": ({"writer": "risk"}, "invalid", "writer"),
    "an id of risk": ({"id": "risk:operator:1-engaged"}, "invalid", "id, cause"),
    "an output with a word for a number": ({"id": "strategy:1:x", "cause": 1}, "invalid", "id, cause"),
    "an output of a cause to come": ({"id": "strategy:999999999:0", "cause": 999_999_999}, "invalid", "id, cause"),
    "cut short": (b'{"writer":"strategy","kind":"intent","ver', "not_json", "EOF"),
    "nothing at all": (b"", "not_json", "EOF"),
    "no text": (b"\xff\xfe\x00", "not_json", "message"),
    "a list": (b"[1,2]", "invalid", "message"),
    "nested without end": (b"[" * 100_000, "not_json", "recursion"),
}
AHEAD = "a clock an hour ahead"
# The broker carries it, and no text of a database can hold it; the books are kept all the same.
ZERO = "a\0b"


@pytest.fixture(scope="module")
def letters(desk: Platform) -> dict[str, list[DeadLetter]]:
    """Append every bad message with strategy's key; return the letters of all five readers to each."""
    return asyncio.run(append_all(desk))


async def append_all(desk: Platform) -> dict[str, list[DeadLetter]]:
    placed: dict[int, str] = {}
    async with hand_of(desk, "strategy") as hand:
        genuine = encode(await hand.first(lambda message: isinstance(message, Intent)))
        cases = {name: case[0] for name, case in LETTERS.items()} | {AHEAD: {"ts_us": now_us() + HOUR_US}}
        for number, (name, case) in enumerate(cases.items()):
            own = {"id": f"strategy:bad:{number}", "cause": None, "symbol": "BTC-USDT", "run_id": "forged"}
            data = case if isinstance(case, bytes) else changed(genuine, **(own | case))
            placed[await hand.put(SUBJECT, data, f"strategy:bad:{number}:{ZERO}", {"tracestate": ZERO})] = name
    found: dict[str, list[DeadLetter]] = {}
    async with asyncio.timeout(PATIENCE_S):
        while sum(len(each) for each in found.values()) < len(placed) * len(SERVICES):
            found = {name: [] for name in placed.values()}
            for letter in await dead_letters(desk):
                if letter.sequence in placed:
                    found[placed[letter.sequence]].append(letter)
            await asyncio.sleep(0.2)
    return found


@pytest.mark.parametrize("name", [*LETTERS, AHEAD])
def test_every_reader_puts_it_aside_with_the_reason(letters: dict[str, list[DeadLetter]], name: str) -> None:
    _, reason, word = LETTERS.get(name, (b"", "invalid", "ahead of the broker's clock; mend the clock of strategy"))
    assert sorted(letter.reader for letter in letters[name]) == sorted(SERVICES)
    for letter in letters[name]:
        assert letter.reason == reason, letter.detail
        assert word in letter.detail
        assert letter.subject == SUBJECT


def test_nobody_falls_but_the_one_whose_name_was_used_and_trading_goes_on(
    desk: Platform, letters: dict[str, list[DeadLetter]]
) -> None:
    assert letters
    desk.wait_until(desk.all_live, "all live", PATIENCE_S)
    assert {name: count for name, count in restarts(desk).items() if count and name != "strategy"} == {}
    fills = desk.fills()
    desk.wait_until(lambda: desk.fills() > fills, "fills after the bad messages", PATIENCE_S)


def test_a_message_that_is_too_large_is_refused_by_the_broker_and_the_appender_is_told(desk: Platform) -> None:
    async def append(size: int) -> None:
        async with hand_of(desk, "strategy") as hand:
            await hand.put(SUBJECT, b"x" * size, f"strategy:large:{size}")

    for size, said in ((MESSAGE_BYTES_MAX + 1, "message size exceeds maximum allowed"), (600_000, "maximum payload")):
        with pytest.raises(TooLarge, match=f"append to {SUBJECT}: {size} bytes: .*{said}"):
            asyncio.run(append(size))


def intent(number: int, price: Decimal, **changes: Any) -> Intent:
    """Return an intent that would be approved, but for what is changed."""
    fields: dict[str, Any] = {
        "id": f"strategy:forged:{number}",
        "desk": "main",
        "run_id": "forged",
        "ts_us": now_us(),
        "cause": None,
        "cycle_id": 0,
        "strategy": "momentum",
        "action": Action.SUBMIT,
        "client_order_id": f"tg{number:030x}",
        "symbol": "AVAX-USDT",
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "quantity": Decimal(1),
        "limit_price": price,
        "time_in_force": TimeInForce.IOC,
        "post_only": False,
        "reduce_only": False,
        "purpose": Purpose.ENTRY,
        "expires_us": now_us() + 5_000_000,
        "good_until_us": None,
        "replaces": None,
        "protection": None,
        "rationale": {
            "signal": "none",
            "regime": "none",
            "strength": "0",
            "confidence": "0",
            "tier": "none",
            "sizing": (),
        },
        "config_hash": "0" * 64,
    }
    return Intent(**(fields | changes))


async def decide(desk: Platform, message: Intent) -> Decision:
    """Append an intent with strategy's key and return risk's decision."""
    async with hand_of(desk, "strategy") as hand:
        subject = f"tape.main.strategy.intent.{message.symbol}"
        sequence = await hand.put(subject, encode(message), message.id)

        def answers(found: Message) -> bool:
            return isinstance(found, Decision) and found.intent_id == message.id

        decision = await hand.first(answers, sequence)
        assert isinstance(decision, Decision)
        return decision


def codes(decision: Decision) -> set[str]:
    return {str(found.code) for found in decision.findings}


INTENTS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "an unknown symbol": ({"symbol": "DOGE-USDT"}, {"universe.not_allowed", "instrument.unknown"}),
    "a quantity between two steps": ({"quantity": Decimal("1.000000000000000001")}, {"instrument.precision"}),
    "a price between two ticks": ({"limit_price": Decimal("30.000000000000000001")}, {"instrument.precision"}),
    "the largest quantity there is": ({"quantity": Decimal("9" * 20)}, {"limit.order_notional", "cash.insufficient"}),
    "the smallest quantity there is": ({"quantity": Decimal("1E-18")}, {"instrument.min_quantity"}),
    "a price from another world": ({"limit_price": Decimal("9" * 20)}, {"price.collar"}),
    "an expiry an hour ago": ({"expires_us": 1_700_000_000_000_000}, {"intent.expired"}),
    "an expiry in a hundred years": ({"expires_us": 5_000_000_000_000_000}, {"intent.malformed"}),
    "a limit order without a price": ({"limit_price": None}, {"intent.malformed"}),
}


@pytest.mark.parametrize("name", INTENTS)
def test_an_intent_that_can_be_read_and_makes_no_sense_is_rejected_with_its_reasons(desk: Platform, name: str) -> None:
    changes, expected = INTENTS[name]
    number = 100 + list(INTENTS).index(name)
    decision = asyncio.run(decide(desk, intent(number, Decimal(30), **changes)))
    assert decision.outcome is Outcome.REJECTED
    assert expected <= codes(decision)


def quote(number: int, ts_us: int, venue_ts_us: int) -> Quote:
    line = SymbolQuote(
        symbol="AVAX-USDT", bid=Decimal("29.99"), bid_quantity=Decimal(100), ask=Decimal(30),
        ask_quantity=Decimal(100), venue_ts_us=venue_ts_us, venue_sequence=number,
    )  # fmt: skip
    return Quote(
        id=f"marketdata:forged:quote-{number}", desk="main", run_id="forged", ts_us=ts_us, cause=None, cycle_id=0,
        quotes=(line,),
    )  # fmt: skip


@contextmanager
def silenced(desk: Platform, service: str) -> Iterator[None]:
    """Stop a process where it stands, so that only the test speaks under its name."""
    pid = desk.pid(service)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


CLOCKS = {
    "behind": (-HOUR_US, -HOUR_US, False),
    "ahead": (HOUR_US, HOUR_US, False),
    "right, the venue's ahead": (0, HOUR_US, False),
    "right, the venue's behind": (0, -HOUR_US, False),
    "right": (0, 0, True),
}


def test_no_intent_is_approved_on_a_quote_of_a_wrong_clock_and_one_good_quote_mends_it(desk: Platform) -> None:
    with silenced(desk, "marketdata"):
        outcomes = asyncio.run(decide_by_clocks(desk))
    for name, (_, _, is_good) in CLOCKS.items():
        is_seen = bool({"data.stale", "data.clock_skew"} & outcomes[name])
        assert is_seen is not is_good, f"{name}: {outcomes}"
    fills = desk.fills()
    desk.wait_until(desk.all_live, "all live with market data's own voice again", PATIENCE_S)
    desk.wait_until(lambda: desk.fills() > fills, "fills after the wrong clocks", PATIENCE_S)


async def decide_by_clocks(desk: Platform) -> dict[str, set[str]]:
    """Return the reasons against the same intent on quotes of each clock; each begins with no quote that is fresh."""
    await asyncio.sleep(3.5)
    outcomes = {}
    async with hand_of(desk, "marketdata") as hand:
        for number, (name, (ahead_us, venue_ahead_us, _)) in enumerate(CLOCKS.items()):
            message = quote(number, now_us() + ahead_us, now_us() + venue_ahead_us)
            await hand.put("tape.main.marketdata.quote", encode(message), message.id)
            # The largest cycle there is, too.
            wanted = intent(200 + number, Decimal(30), cycle_id=2**63 - 1)
            outcomes[name] = codes(await decide(desk, wanted))
    return outcomes


def test_an_output_of_a_service_that_another_has_named_first_halts_it_and_nothing_is_lost_in_silence(
    desk: Platform, letters: dict[str, list[DeadLetter]], tmp_path: Path
) -> None:
    """Last, because it ends risk: the id of its next operator's message is taken, which the broker does not prevent."""
    settle(desk)
    view = assert_everyone_agrees(desk)
    assert view.fills
    run_file = tmp_path / "run.jsonl.gz"
    assert desk.run("record", str(run_file), "--state-dir", str(desk.state)).returncode == 0
    run = load(run_file)
    report = Replay(run.desk).run(run)
    assert report.differences == []
    # The quote of a clock that is ahead too, where that test has run on this desk before.
    buried = {letter.sequence for letter in asyncio.run(dead_letters(desk))}
    assert report.refused == len(buried) >= len(letters)
    asyncio.run(take_next_kill_id(desk))
    answer = desk.release()
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert "lies on the tape at" in answer.text
    desk.wait_until(lambda: states(desk)["risk"] == "ended", "risk halts", PATIENCE_S)
    told = desk.run("status", "--json", "--state-dir", str(desk.state))
    assert told.returncode == 1
    assert "lies on the tape at" in json.loads(told.stdout)["processes"]["risk"]["reason"]


async def take_next_kill_id(desk: Platform) -> None:
    """Publish under strategy's own subject with the id that risk will give to the release of its kill switch."""
    epoch = desk.status("risk")["kill_switch"]["epoch"]
    async with hand_of(desk, "strategy") as hand:
        await hand.put(SUBJECT, b"{}", f"risk:operator:{epoch}-released")
