"""Rounds of reconciliation against a venue that loses, invents and delays: it converges, and nothing is guessed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from execution_platform import Platform, ScriptedVenue, _now_us
from execution_samples import SECOND_US, order_id, signed_approval, submit_of, trade

from tollgate_contracts.execution import Bust, Order, Report, ReportSource, ReportStatus, VenueTrade
from tollgate_contracts.money import ZERO
from tollgate_contracts.reconciliation import Balance, Movement, MovementType, Reconcile, Sync
from tollgate_contracts.strategy import Side
from tollgate_execution.reports import known_by
from tollgate_execution.settings import ForeignOrders
from tollgate_venues.adapter import UserStreamLost, VenueUnavailable
from tollgate_venues.evidence import Evidence, FillEvidence, MovementEvidence

OPEN, QUERY = ReportStatus.OPEN, ReportSource.QUERY
LOST = VenueUnavailable("the connection broke")


@pytest.fixture
async def platform(database: Any, nats_url: str, tmp_path: Path) -> AsyncIterator[Platform]:
    platform = Platform(database, nats_url, tmp_path)
    configure(platform)
    platform.arm()
    yield platform
    await platform.stop()


def configure(platform: Platform, **sync: Any) -> None:
    """Make rounds often; whatever is given of ``sync`` too."""
    section = platform.settings.execution
    changed = section.sync.model_copy(update={"interval_ms": 150, **sync})
    section = section.model_copy(update={"sync": changed})
    platform.settings = platform.settings.model_copy(update={"execution": section})


def shown(number: int, status: ReportStatus = OPEN, filled: str = "0", *trades: VenueTrade) -> Evidence:
    """Return what a list of the venue says of an order."""
    return Evidence(order_id(number), QUERY, status, f"v-{order_id(number)}", Decimal(filled), trades)


def made(number: int, quantity: str = "2", **changes: Any) -> VenueTrade:
    """Return a trade of some seconds ago, with the fee of the stated tier."""
    fee = Decimal(quantity) * Decimal("0.2")
    return trade(number, quantity, **{"venue_ts_us": _now_us() - 5 * SECOND_US, "fee": fee, **changes})


def listed(number: int, one: VenueTrade | None, *, busts: str | None = None) -> FillEvidence:
    """Return a row of the list of fills."""
    return FillEvidence(order_id(number), "BTC-USDT", Side.BUY, one, busts)


def balances_after(*bought: VenueTrade) -> tuple[Balance, ...]:
    """Return what the venue holds after these: else some rounds later there is a drift to be said, too."""
    paid = sum((each.price * each.quantity + each.fee for each in bought), ZERO)
    quantity = sum((each.quantity for each in bought), ZERO)
    return (
        Balance(currency="BTC", free=quantity, locked=ZERO),
        Balance(currency="USDT", free=100_000 - paid, locked=ZERO),
    )


def said(platform: Platform) -> list[tuple[str, str, str]]:
    """Return every difference on the tape."""
    notes = [message for message in platform.messages() if isinstance(message, Reconcile)]
    return [(note.subject, note.difference.value, note.repair.value) for note in notes]


def syncs(platform: Platform) -> list[Sync]:
    """Return every round on the tape."""
    return [message for message in platform.messages() if isinstance(message, Sync)]


def rounds(platform: Platform) -> int:
    """Return how many rounds were begun."""
    return platform.venue.calls.count("open_orders")


async def more_rounds(platform: Platform, count: int = 3) -> None:
    """Wait for so many whole rounds."""
    before = rounds(platform)
    await platform.until(lambda: rounds(platform) > before + count)


async def working(platform: Platform, *numbers: int, **changes: Any) -> None:
    """Let orders be accepted, and the venue list them as open from then on."""

    async def list_it() -> None:
        sent = platform.venue.submitted[-1].client_order_id
        platform.venue.open += [shown(number) for number in numbers if order_id(number) == sent]

    await platform.start()
    await platform.has_permit()
    # A first round that is still under way would ask this mute venue about each, and the breaker would open.
    await platform.until(lambda: syncs(platform))
    platform.venue.before_answering = list_it
    for number in numbers:
        platform.approve(number, **changes)
    await platform.until(lambda: all(platform.state(number) == "ACKNOWLEDGED" for number in numbers))


def status(platform: Platform) -> dict[str, Any]:
    found: dict[str, Any] = platform.shell.status()["reconciliation"]
    return found


async def test_the_first_round_is_said_before_anything_is_sent(platform: Platform) -> None:
    said_by_then: list[str] = []

    async def note() -> None:
        said_by_then.extend(platform.kinds())

    platform.venue.before_answering = note
    await platform.start()
    await platform.has_permit()
    platform.approve()
    await platform.until(lambda: platform.state() == "ACKNOWLEDGED")
    assert syncs(platform)[0].sync_cause.value == "START"
    assert said_by_then.index("account") < said_by_then.index("sync")
    assert platform.shell.not_ready() == []


@pytest.mark.parametrize("call", ["open_orders", "recent_orders", "fills", "movements"])
async def test_until_the_first_round_is_complete_nothing_is_sent_and_then_it_is(platform: Platform, call: str) -> None:
    platform.venue.failing[call] = LOST
    await platform.start()
    await platform.has_permit()
    platform.approve(1)
    await platform.until(lambda: platform.state() == "SUBMITTING" and status(platform)["failed"])
    assert platform.venue.submitted == []
    assert any("first round" in reason for reason in platform.shell.not_ready())
    sent_at: list[int] = []

    async def note() -> None:
        sent_at.append(len(syncs(platform)))

    platform.venue.before_answering = note
    del platform.venue.failing[call]
    # The breaker may not trust the venue yet when the first round is complete: then it is refused, and the next goes.
    await platform.until(lambda: platform.state() in {"ACKNOWLEDGED", "REJECTED"} and platform.shell.not_ready() == [])
    await platform.until(lambda: platform.shell.status()["calls"]["breakers"]["ORDERS"] == "CLOSED")
    platform.approve(2)
    await platform.until(lambda: platform.state(2) == "ACKNOWLEDGED")
    assert min(sent_at) >= 1


async def test_an_approval_that_expires_before_the_first_round_is_never_sent(platform: Platform) -> None:
    platform.venue.failing["open_orders"] = LOST
    await platform.start()
    await platform.has_permit()
    platform.approve(1, expires_us=_now_us() + SECOND_US // 4)
    await platform.until(lambda: platform.state() == "REJECTED")
    last = [message for message in platform.messages() if isinstance(message, Order)][-1]
    assert last.reason == "approval.expired"
    assert platform.venue.submitted == []
    assert await platform.rows() == {}


async def test_a_cancel_does_not_wait_for_the_first_round(platform: Platform) -> None:
    await working(platform, 1)
    await platform.kill_9()
    platform.venue.failing["open_orders"] = LOST
    await platform.start()
    platform.approve(1, action="CANCEL")
    await platform.until(lambda: platform.venue.cancelled == [order_id(1)])


async def test_hummingbot_8457_an_exception_in_a_look_up_is_not_not_found(platform: Platform) -> None:
    """Six accepted sells, and a venue whose every list and look-up fails: all six are still held, and none is sent."""
    await working(platform, *range(1, 7), side="SELL")
    for call in ("open_orders", "recent_orders", "fills", "account"):
        platform.venue.failing[call] = LOST
    await platform.venue.frames.put(UserStreamLost("closed"))
    await platform.until(lambda: status(platform)["failed"] and platform.venue.streams == 2)
    await asyncio.sleep(0.5)
    assert [platform.state(number) for number in range(1, 7)] == ["ACKNOWLEDGED"] * 6
    platform.venue.failing.clear()
    await platform.until(lambda: status(platform)["failed"] == "")
    await more_rounds(platform)
    assert [platform.state(number) for number in range(1, 7)] == ["ACKNOWLEDGED"] * 6
    assert len(platform.venue.submitted) == 6
    assert said(platform) == []


async def test_nautilus_4958_a_submit_that_was_not_answered_is_not_rejected(platform: Platform) -> None:
    """The venue took it and lists it: it is acknowledged by its list, and was never anything but unknown."""
    platform.venue.answers["submit"] = lambda each: Evidence(each, ReportSource.SUBMIT, ReportStatus.NO_ANSWER)
    await platform.start()
    await platform.has_permit()
    # A first round under way would ask the mute venue about each, or never end.
    await platform.until(lambda: platform.shell.not_ready() == [])
    platform.venue.failing["open_orders"] = LOST
    platform.approve(1)
    await platform.until(lambda: platform.state() == "UNKNOWN")
    await asyncio.sleep(0.3)
    assert platform.state() == "UNKNOWN"
    platform.venue.open = [shown(1)]
    platform.venue.failing.clear()
    await platform.until(lambda: platform.state() == "ACKNOWLEDGED")
    states = [each.to_state.value for each in platform.messages() if isinstance(each, Order)]
    assert states == ["SUBMITTING", "UNKNOWN", "ACKNOWLEDGED"]
    assert len(platform.venue.submitted) == 1


async def test_nautilus_3493_only_the_venue_s_own_trades_are_booked(platform: Platform) -> None:
    """The order is gone from the open ones and counted as filled: nothing is booked until its trades are listed."""
    await working(platform, 1)
    platform.venue.open = []
    platform.venue.recent = [shown(1, ReportStatus.FILLED, "2")]
    await more_rounds(platform)
    assert platform.kinds().count("fill") == 0
    assert platform.state() == "ACKNOWLEDGED"
    trades = (made(1, "0.5"), made(2, "1.5"))
    platform.venue.fills = [listed(1, each) for each in trades]
    platform.venue.balances = balances_after(*trades)
    await platform.until(lambda: platform.state() == "FILLED")
    await more_rounds(platform)
    fills = [message for message in platform.messages() if message.kind == "fill"]
    assert [fill.trade.trade_id for fill in fills] == ["t1", "t2"]  # type: ignore[attr-defined]
    assert said(platform) == [("t1", "MISSED_FILL", "BOOKED"), ("t2", "MISSED_FILL", "BOOKED")]


async def test_nautilus_3176_a_restart_sends_nothing_again(platform: Platform) -> None:
    await working(platform, 1, 2, 3)
    for _ in range(2):
        await platform.kill_9()
        await platform.start()
        await more_rounds(platform, 1)
    assert len(platform.venue.submitted) == 3
    assert [platform.state(number) for number in (1, 2, 3)] == ["ACKNOWLEDGED"] * 3
    assert said(platform) == []
    assert [sync.sync_cause.value for sync in syncs(platform)].count("START") == 3


def moved(number: int, kind: MovementType, amount: str, currency: str = "USDT") -> MovementEvidence:
    return MovementEvidence(f"m{number}", kind, currency, Decimal(amount), None, _now_us())


async def test_nautilus_4937_funding_is_no_fill_and_a_deposit_no_drift(platform: Platform) -> None:
    configure(platform, statements=1)
    platform.venue.page_rows = 2
    await platform.start()
    kinds = (MovementType.FUNDING, MovementType.DEPOSIT, MovementType.FEE)
    platform.venue.balances = (Balance(currency="USDT", free=Decimal(100_047), locked=ZERO),)
    amounts = ("-2", "50", "-1")
    platform.venue.movements = [
        moved(n, kind, amount) for n, (kind, amount) in enumerate(zip(kinds, amounts, strict=True))
    ]
    await platform.until(lambda: platform.kinds().count("movement") == 3)
    await more_rounds(platform)
    movements = [message for message in platform.messages() if isinstance(message, Movement)]
    assert [(each.movement, each.amount) for each in movements] == [
        (kind, Decimal(amount)) for kind, amount in zip(kinds, amounts, strict=True)
    ]
    assert platform.kinds().count("fill") == 0
    assert platform.core.portfolio is not None
    assert platform.core.portfolio.cash == 100_047
    assert platform.core.agreement.drifting == ()


async def test_what_moves_of_a_symbols_currency_bears_what_it_is_worth(platform: Platform) -> None:
    configure(platform, statements=1)
    await platform.start()
    platform.quote("99", "102")
    await platform.until(lambda: (mid := platform.core.rate_of("BTC")) is not None and mid.rate == Decimal("100.5"))
    usdt, btc = (Balance(currency=each, free=Decimal(n), locked=ZERO) for each, n in (("USDT", 100_005), ("BTC", 2)))
    platform.venue.balances = (usdt, btc)
    platform.venue.movements = [moved(1, MovementType.DEPOSIT, "2", "BTC"), moved(2, MovementType.DEPOSIT, "5")]
    await platform.until(lambda: platform.kinds().count("movement") == 2)
    await more_rounds(platform)
    coins, cash = [message for message in platform.messages() if isinstance(message, Movement)]
    assert (coins.rate, coins.rate_source.partition(":")[0]) == (Decimal("100.5"), "quote")
    assert (cash.rate, cash.rate_source) == (None, "")
    assert platform.core.portfolio is not None
    assert platform.core.portfolio.holding("BTC-USDT").quantity == 2
    assert platform.core.agreement.drifting == ()


async def test_nautilus_3622_it_converges_and_then_is_quiet(platform: Platform) -> None:
    """A missing order, a foreign one, a missed fill and a balance: each said once, and then nothing for ever."""
    configure(platform, statements=2)
    platform.venue.answers["query"] = lambda each: Evidence(each, QUERY, ReportStatus.ABSENT, venue_ts_us=_now_us())
    await working(platform, 1, 2)
    platform.venue.open = [shown(2, OPEN, "1"), shown(9)]
    platform.venue.fills = [listed(2, made(1, "1"))]
    platform.venue.balances = (Balance(currency="USDT", free=Decimal(7), locked=ZERO),)
    await platform.until(lambda: len(said(platform)) >= 3 and platform.state(1) == "UNKNOWN")
    await platform.until(lambda: status(platform)["open_differences"] is not None)
    await more_rounds(platform, 2)
    once = said(platform)
    assert sorted(once) == sorted(set(once))
    assert {difference for _, difference, _ in once} >= {"MISSING_ORDER", "FOREIGN_ORDER", "MISSED_FILL"}
    before = len(platform.messages())
    await more_rounds(platform, 4)
    assert said(platform) == once
    new = [message.kind for message in platform.messages()[before:]]
    assert set(new) <= {"account"}, f"a quiet venue costs the tape nothing but statements: {new}"


async def test_from_the_first_difference_to_the_first_clean_round_is_measured(platform: Platform) -> None:
    await working(platform, 1)
    assert status(platform)["converged_in_ms"] is None
    platform.venue.fills = [listed(1, made(1))]
    await platform.until(lambda: platform.state() == "FILLED")
    await platform.until(lambda: status(platform)["converged_in_ms"] is not None)
    assert 0 < status(platform)["converged_in_ms"] < 5_000
    assert status(platform)["differences"] == {"MISSED_FILL": 1}
    assert status(platform)["differs_for_ms"] is None


async def test_an_order_that_is_working_here_and_missing_there_is_asked_about_and_held(platform: Platform) -> None:
    await working(platform, 1, 2)
    platform.venue.answers["query"] = lambda each: Evidence(each, QUERY, ReportStatus.ABSENT, venue_ts_us=_now_us())
    platform.venue.open = [shown(2)]
    await platform.until(lambda: platform.state(1) == "UNKNOWN")
    await more_rounds(platform)
    assert said(platform) == [(order_id(1), "MISSING_ORDER", "HELD")]
    assert platform.state(2) == "ACKNOWLEDGED"
    assert status(platform)["open_differences"] == 1
    assert platform.venue.submitted[0].client_order_id == order_id(1)
    assert len(platform.venue.submitted) == 2


async def test_an_order_that_ended_while_nobody_listened_ends_by_the_list_of_recent_orders(platform: Platform) -> None:
    await working(platform, 1)
    platform.venue.open = []
    platform.venue.recent = [shown(1, ReportStatus.CANCELLED)]
    await platform.until(lambda: platform.state() == "CANCELLED")
    assert order_id(1) not in platform.venue.queried


@pytest.mark.parametrize(("policy", "cancelled"), [("flag", 0), ("cancel", 1)])
async def test_a_foreign_order_is_flagged_and_cancelled_only_if_so_configured(
    platform: Platform, policy: str, cancelled: int
) -> None:
    configure(platform, foreign_orders=ForeignOrders(policy))
    await working(platform, 1)
    # Whatever else trades on the account names its orders as it likes.
    foreign = Evidence("web order 7", QUERY, OPEN, "v7", ZERO)
    platform.venue.open = [*platform.venue.open, foreign]
    await platform.until(lambda: said(platform))
    await more_rounds(platform)
    assert said(platform) == [(known_by("web order 7", "v7"), "FOREIGN_ORDER", "FLAGGED")]
    assert set(platform.venue.cancelled) == ({"web order 7"} if cancelled else set())
    assert platform.state() == "ACKNOWLEDGED"
    reports = [
        message for message in platform.messages() if isinstance(message, Report) and "web order" in message.detail
    ]
    assert len(reports) == 1


async def test_a_fill_of_a_foreign_order_is_flagged_and_not_booked(platform: Platform) -> None:
    await platform.start()
    platform.venue.fills = [listed(9, trade(1, "1", venue_ts_us=_now_us()))]
    await platform.until(lambda: said(platform))
    await more_rounds(platform)
    assert said(platform) == [(order_id(9), "FOREIGN_FILL", "FLAGGED")]
    assert platform.kinds().count("fill") == 0


async def test_the_account_s_history_is_read_past_in_silence(platform: Platform) -> None:
    platform.venue.page_rows = 3
    platform.venue.fills = [listed(50 + n, made(n, "1")) for n in range(10)]
    platform.venue.movements = [replace(moved(1, MovementType.DEPOSIT, "5"), venue_ts_us=_now_us() - SECOND_US)]
    await platform.start()
    await platform.until(lambda: syncs(platform))
    assert syncs(platform)[0].fill_cursor == "10"
    assert syncs(platform)[0].movement_cursor == "1"
    assert set(platform.kinds()) & {"report", "movement", "reconcile"} == set()


async def test_an_order_that_only_the_journal_knows_is_taken_back_from_the_list_of_open_orders(
    platform: Platform,
) -> None:
    await platform.start()
    running = platform.shell._running
    assert running is not None
    await running.journal.prepare(submit_of(signed_approval(1), "risk:of:old"))
    bought = made(1, "1")
    platform.venue.open = [shown(1, OPEN, "1", bought)]
    platform.venue.balances = balances_after(bought)
    await platform.until(lambda: platform.state() == "PARTIALLY_FILLED")
    await more_rounds(platform)
    assert said(platform) == [(order_id(1), "FOREIGN_ORDER", "ADOPTED")]
    assert platform.kinds().count("fill") == 1
    assert platform.venue.submitted == []


async def test_a_page_of_fills_is_read_only_once_its_round_is_on_the_tape(platform: Platform) -> None:
    """Killed after the fills and before the round was closed, they are read again, and booked once."""
    await working(platform, 1)
    reading = platform.venue.movements_since

    async def hang(_cursor: str) -> Any:
        await asyncio.Event().wait()

    # A call that fails would be made again, and then the round be said without it.
    platform.venue.movements_since = hang  # type: ignore[method-assign]
    platform.venue.fills = [listed(1, made(1, "0.5")), listed(1, made(2, "1.5"))]
    await platform.until(lambda: platform.state() == "FILLED")
    assert platform.core.agreement.fill_cursor == ""
    await platform.kill_9()
    platform.venue.movements_since = reading  # type: ignore[method-assign]
    platform.venue.open = []
    await platform.start()
    await platform.until(lambda: platform.core.agreement.fill_cursor == "2")
    assert platform.kinds().count("fill") == 2
    assert [sync.fill_cursor for sync in syncs(platform)][-1] == "2"


async def test_a_bust_in_the_list_of_fills_undoes_the_fill(platform: Platform) -> None:
    await working(platform, 1)
    platform.venue.fills = [listed(1, made(1, "0.5"))]
    await platform.until(lambda: platform.state() == "PARTIALLY_FILLED")
    platform.venue.fills = [*platform.venue.fills, listed(1, None, busts="t1")]
    await platform.until(lambda: "bust" in platform.kinds())
    await more_rounds(platform)
    busts = [message for message in platform.messages() if isinstance(message, Bust)]
    assert [bust.trade.trade_id for bust in busts] == ["t1"]
    assert platform.core.status()["positions"] == {}


async def test_balances_that_are_wrong_for_a_while_are_said_and_said_again_when_they_are_right(
    platform: Platform,
) -> None:
    await platform.start()
    right = platform.venue.balances
    platform.venue.balances = (Balance(currency="USDT", free=Decimal(7), locked=ZERO),)
    await platform.until(lambda: said(platform) == [("USDT", "BALANCE_DRIFT", "FLAGGED")])
    await more_rounds(platform)
    assert status(platform)["open_differences"] == 1
    platform.venue.balances = right
    await platform.until(lambda: len(said(platform)) == 2)
    assert said(platform)[-1] == ("USDT", "BALANCE_DRIFT", "IGNORED")
    await platform.until(lambda: status(platform)["open_differences"] == 0)


async def test_a_stream_that_was_lost_and_is_back_asks_for_a_round_at_once(platform: Platform) -> None:
    configure(platform, interval_ms=3_600_000)
    await working(platform, 1)
    await platform.until(lambda: rounds(platform) == 1)
    platform.venue.open = [shown(1, OPEN, "1", made(1, "1"))]
    await platform.venue.frames.put(UserStreamLost("a frame was missed"))
    await platform.until(lambda: platform.state() == "PARTIALLY_FILLED")
    # The interval is an hour: only the lost stream can have asked for another round.
    await platform.until(lambda: status(platform)["cause"] != "START")
    assert status(platform)["cause"] in {"STREAM", "DOUBT"}


async def test_a_quiet_round_is_not_on_the_tape_until_it_is_time_to_say_that_it_was_made(platform: Platform) -> None:
    configure(platform, say_every_ms=2_000)
    await platform.start()
    await more_rounds(platform, 2)
    assert len(syncs(platform)) == 1
    await platform.until(lambda: len(syncs(platform)) == 2)
    assert rounds(platform) >= 3


class SlowVenue(ScriptedVenue):
    """Takes its time, and counts how often its list is read side by side."""

    side_by_side = 0
    at_most = 0

    async def open_orders(self) -> list[Evidence]:
        """Answer later."""
        self.side_by_side += 1
        self.at_most = max(self.at_most, self.side_by_side)
        await asyncio.sleep(0.05)
        self.side_by_side -= 1
        return await super().open_orders()


async def test_there_are_never_two_rounds_at_once(platform: Platform) -> None:
    platform.venue = venue = SlowVenue()
    await working(platform, 1)
    for _ in range(3):
        await platform.venue.frames.put(UserStreamLost("closed"))
        await asyncio.sleep(0.1)
    await more_rounds(platform)
    assert venue.at_most == 1


@pytest.mark.parametrize("has_cursor", [True, False])
async def test_a_venue_without_a_list_of_fills_is_read_by_its_orders_alone(
    platform: Platform, has_cursor: bool
) -> None:
    platform.venue.capabilities = replace(platform.venue.capabilities, has_fill_cursor=has_cursor)
    await working(platform, 1)
    platform.venue.open = [shown(1, OPEN, "1", made(1, "1"))]
    await platform.until(lambda: platform.state() == "PARTIALLY_FILLED")
    assert ("fills" in platform.venue.calls) is has_cursor


async def test_a_page_that_never_ends_does_not_keep_a_round_from_ending(platform: Platform) -> None:
    """A venue that says there is more and gives nothing is not asked for ever."""
    platform.venue.fills = [listed(9, made(1, "1"))]
    platform.venue.page_rows = 0
    await platform.start()
    await platform.until(lambda: syncs(platform))
    assert platform.venue.calls.count("fills") <= rounds(platform) + 1


def test_ids_that_no_message_of_ours_can_hold_get_a_stand_in_that_is_always_the_same() -> None:
    assert known_by(order_id(1), "v1") == order_id(1)
    same: Callable[[str, str | None], str] = known_by
    assert same("web", "v1") == same("web", "v1")
    assert len({same("web", "v1"), same("web", "v2"), same("", None), same("", "v1")}) == 4
