"""What leaves more than once, on the real journal: resends, later attempts, held stops, and what is taken back."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from execution_platform import Platform, _now_us
from execution_samples import SECOND_US, order_id, signed_approval, submit_of, trade
from prometheus_client import generate_latest
from protection_samples import PROTECTED

from tollgate_contracts.approval import Approval
from tollgate_contracts.execution import Fill, Order, ReportSource, ReportStatus
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.money import ZERO
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Adoption, Difference, Reconcile
from tollgate_contracts.strategy import Side
from tollgate_execution.core import Submit
from tollgate_execution.core.placing import Leg, Placing, attempt_id
from tollgate_execution.core.protection import stop_id
from tollgate_execution.core.record import text_hash
from tollgate_execution.settings import ForeignOrders, WatchSection
from tollgate_execution.store import Settlement
from tollgate_venues.adapter import VenueUnavailable
from tollgate_venues.evidence import Evidence, FillEvidence

SECOND = attempt_id(order_id(1), 2)
STOP = stop_id(order_id(1), 1)
# Absence is proof 200 ms after the last send was given up.
SOON = WatchSection(unknown_ms=50, silent_ms=100, delay_ms_max=200, receive_window_ms=150, visibility_ms=50)
RESTING: dict[str, Any] = {"post_only": True, "limit_price": "99"}


@pytest.fixture
async def platform(database: Any, nats_url: str, tmp_path: Path) -> AsyncIterator[Platform]:
    platform = Platform(database, nats_url, tmp_path)
    configure(platform)
    platform.arm()
    yield platform
    await platform.stop()


def configure(platform: Platform, watch: WatchSection | None = None, **sync: Any) -> None:
    section = platform.settings.execution
    changed = section.sync.model_copy(update={"interval_ms": 150, **sync})
    section = section.model_copy(update={"sync": changed, "watch": watch or WatchSection()})
    platform.settings = platform.settings.model_copy(update={"execution": section})


async def begin(platform: Platform) -> None:
    await platform.start()
    await platform.has_permit()


def pass_time(platform: Platform) -> bool:
    """Let the market go on: the tape's clock is that of its messages. Never true."""
    platform.quote()
    return False


def silent(client_order_id: str) -> Evidence:
    return Evidence(client_order_id, ReportSource.SUBMIT, ReportStatus.NO_ANSWER)


def absent(client_order_id: str) -> Evidence:
    return Evidence(client_order_id, ReportSource.QUERY, ReportStatus.ABSENT, venue_ts_us=_now_us())


def taken(client_order_id: str) -> Evidence:
    return Evidence(client_order_id, ReportSource.SUBMIT, ReportStatus.OPEN, f"v-{client_order_id}", ZERO)


def sent(platform: Platform) -> list[str]:
    return [order.client_order_id for order in platform.venue.submitted]


def said(platform: Platform) -> list[tuple[str, str, str]]:
    """Return every difference on the tape, but for that of the samples' fees."""
    words = [message for message in platform.messages() if isinstance(message, Reconcile)]
    notes = [note for note in words if note.subject != "fees"]
    return [(note.subject, note.difference.value, note.repair.value) for note in notes]


def booked(platform: Platform) -> list[str]:
    return [message.trade.trade_id for message in platform.messages() if isinstance(message, Fill)]


async def more_rounds(platform: Platform, count: int = 3) -> None:
    before = platform.venue.calls.count("open_orders")
    await platform.until(lambda: platform.venue.calls.count("open_orders") > before + count)


async def test_an_order_shown_absent_for_long_enough_leaves_once_more_under_its_id_and_never_a_third_time(
    platform: Platform,
) -> None:
    configure(platform, SOON)
    platform.venue.answers.update(submit=silent, query=absent)
    await begin(platform)
    platform.approve()
    await platform.until(lambda: len(sent(platform)) == 2 or pass_time(platform))
    assert sent(platform) == [order_id(1)] * 2
    row = (await platform.rows())[order_id(1)]
    assert (row["sends"], row["attempt"], row["answered_us"]) == (2, 1, None)
    for _ in range(10):
        pass_time(platform)
        await asyncio.sleep(0.05)
    assert len(sent(platform)) == 2
    assert platform.state() == "UNKNOWN"
    platform.venue.answers["query"] = lambda each: Evidence(each, ReportSource.QUERY, ReportStatus.OPEN, "v1", ZERO)
    await platform.until(lambda: platform.state() == "ACKNOWLEDGED" or pass_time(platform))


async def test_a_resend_waits_until_its_row_says_so_and_a_crash_after_that_sends_nothing_more(
    platform: Platform,
) -> None:
    """The second send is committed before its first byte, as the first was; what follows a crash is a question."""
    configure(platform, SOON)
    platform.venue.answers.update(submit=silent, query=absent)
    sends_at_the_call: list[int] = []
    hang = asyncio.Event()

    async def look() -> None:
        sends_at_the_call.append((await platform.rows())[order_id(1)]["sends"])
        if len(sends_at_the_call) == 2:
            await hang.wait()

    platform.venue.before_answering = look
    await begin(platform)
    platform.approve(expires_us=_now_us() + 2 * SECOND_US)
    await platform.until(lambda: len(sends_at_the_call) == 2 or pass_time(platform))
    assert sends_at_the_call == [1, 2]
    await platform.kill_9()
    platform.venue.before_answering = None
    await begin(platform)
    asked = len(platform.venue.queried)
    await platform.until(lambda: platform.state() == "EXPIRED" or pass_time(platform))
    assert len(platform.venue.queried) > asked
    assert len(sent(platform)) == 2


async def test_a_resend_whose_answer_came_meanwhile_is_a_question(platform: Platform) -> None:
    """The journal knows an answer that the core has not read: it takes no other send, and the venue is asked."""
    configure(platform, SOON)
    platform.venue.answers.update(submit=silent, query=absent)
    await begin(platform)
    platform.approve()
    await platform.until(lambda: platform.state() == "UNKNOWN")
    running = platform.shell._running
    assert running is not None
    await running.journal.settle([Settlement(order_id(1), "ACKNOWLEDGED", None, _now_us(), "{}")])
    await platform.until(lambda: _resent(platform) or pass_time(platform))
    before = len(platform.venue.queried)
    await platform.until(lambda: len(platform.venue.queried) > before)
    assert sent(platform) == [order_id(1)]
    assert (await platform.rows())[order_id(1)]["sends"] == 1


def _resent(platform: Platform) -> bool:
    record = platform.core.orders.get(order_id(1))
    return record is not None and record.sends == 2


async def test_a_second_attempt_leaves_once_the_journal_knows_that_the_first_was_refused(platform: Platform) -> None:
    rows_at_the_calls: list[dict[str, Any]] = []

    async def look() -> None:
        rows_at_the_calls.append(await platform.rows())

    def crossed_at_first(client_order_id: str) -> Evidence:
        if client_order_id == SECOND:
            return taken(client_order_id)
        crossed = Reason.PRICE_CROSSED_POST_ONLY
        return Evidence(client_order_id, ReportSource.SUBMIT, ReportStatus.REJECTED, reason=crossed)

    platform.venue.before_answering = look
    platform.venue.answers["submit"] = crossed_at_first
    await begin(platform)
    platform.quote("98", "98.5")
    platform.approve(1, **RESTING)
    await platform.until(lambda: platform.state() == "ACKNOWLEDGED")
    assert sent(platform) == [order_id(1), SECOND]
    assert [order.limit_price for order in platform.venue.submitted] == [99, 98]
    first, second = rows_at_the_calls[1][order_id(1)], rows_at_the_calls[1][SECOND]
    assert (first["state"], first["attempt"], first["ended_us"] is not None) == ("REJECTED", 1, True)
    assert (second["state"], second["attempt"], second["ended_us"]) == ("PREPARED", 2, None)
    assert first["approval_hash"] == second["approval_hash"]
    # It is cancelled and found by its own id.
    platform.approve(1, action="CANCEL")
    await platform.until(lambda: platform.state() == "CANCELLED")
    assert platform.venue.cancelled == [SECOND]


async def test_a_second_attempt_that_the_journal_does_not_take_is_not_sent_and_the_tape_says_so(
    platform: Platform,
) -> None:
    """By the journal, nobody has refused a first attempt of this approval: it may be live."""

    async def forget_the_first() -> None:
        root = await platform.database.connect("postgres")
        await root.execute("SET session_replication_role = replica")
        await root.execute("UPDATE execution.journal SET approval_hash = repeat('0', 64)")
        await root.close()

    def crossed(client_order_id: str) -> Evidence:
        reason = Reason.PRICE_CROSSED_POST_ONLY
        return Evidence(client_order_id, ReportSource.SUBMIT, ReportStatus.REJECTED, reason=reason)

    platform.venue.before_answering = forget_the_first
    platform.venue.answers["submit"] = crossed
    await begin(platform)
    platform.quote("98", "98.5")
    platform.approve(1, **RESTING)
    await platform.until(lambda: platform.state() == "REJECTED")
    assert sent(platform) == [order_id(1)]
    last = [message for message in platform.messages() if isinstance(message, Order)][-1]
    assert (last.attempt, last.reason) == (2, Reason.APPROVAL_REUSED)
    assert list(await platform.rows()) == [order_id(1)]


async def test_a_stop_held_back_at_start_goes_by_its_own_time_and_not_by_that_of_the_entry_s_approval(
    platform: Platform,
) -> None:
    await begin(platform)
    platform.instrument(InstrumentStatus.OPEN)
    platform.approve(1, expires_us=_now_us() + SECOND_US, issued_us=_now_us() - 3 * SECOND_US, **PROTECTED)
    await platform.until(lambda: platform.state() == "ACKNOWLEDGED")
    await asyncio.sleep(1.0)
    running = platform.shell._running
    assert running is not None
    # The process hangs right before the stop's commit, and is killed there.
    await running.journal._turn.acquire()
    await platform.venue.frames.put(_filled(order_id(1)))
    await platform.until(lambda: _state_of(platform, STOP) == "SUBMITTING")
    await platform.kill_9()
    platform.venue.failing["open_orders"] = VenueUnavailable("the connection broke")
    await begin(platform)
    await more_rounds(platform, 2)
    assert _state_of(platform, STOP) == "SUBMITTING"
    assert sent(platform) == [order_id(1)]
    platform.venue.failing.clear()
    platform.quote("98", "99")
    await platform.until(lambda: STOP in sent(platform))
    await platform.until(lambda: _state_of(platform, STOP) == "ACKNOWLEDGED")
    assert sent(platform) == [order_id(1), STOP]


def _filled(client_order_id: str) -> Evidence:
    trades = (trade(1, "2", venue_ts_us=_now_us()),)
    return Evidence(client_order_id, ReportSource.STREAM, ReportStatus.FILLED, "v1", Decimal(2), trades)


def _state_of(platform: Platform, venue_id: str) -> str | None:
    found = platform.core.orders.find(venue_id)
    return None if found is None else found[0].state.value


def placed(signed: Any, venue_id: str, leg: Leg, attempt: int) -> Submit:
    """Return what was sent of an approval as another attempt or leg of it."""
    approval = Approval.model_validate_json(signed.text)
    own = Placing.of(approval)
    protection = approval.protection
    if leg is Leg.ORDER or protection is None:
        placing = Placing(
            own.client_order_id, venue_id, leg, attempt, own.side, own.quantity, own.limit_price, own.until_us
        )
    else:
        prices = (protection.limit_price, own.until_us, protection.trigger_price)
        placing = Placing(venue_id, venue_id, leg, attempt, Side.SELL, own.quantity, *prices)
    return Submit("risk:of:old", approval, signed, text_hash(signed.text), placing)


def shown(client_order_id: str, status: ReportStatus = ReportStatus.OPEN, filled: str = "0") -> Evidence:
    return Evidence(client_order_id, ReportSource.QUERY, status, f"v-{client_order_id}", Decimal(filled))


def listed(client_order_id: str, number: int, quantity: str, side: Side = Side.BUY, price: str = "100") -> FillEvidence:
    made = trade(number, quantity, price, venue_ts_us=_now_us())
    return FillEvidence(client_order_id, "BTC-USDT", side, made)


async def test_a_second_attempt_that_only_the_journal_knows_is_taken_back_even_after_it_was_taken_for_foreign(
    platform: Platform,
) -> None:
    signed = signed_approval(1)
    await begin(platform)
    running = platform.shell._running
    assert running is not None
    first = submit_of(signed, "risk:of:old")
    await running.journal.prepare(first)
    await running.journal.settle([Settlement(order_id(1), "REJECTED", None, _now_us(), "{}", _now_us())])
    await running.journal.prepare(placed(signed, SECOND, Leg.ORDER, 2))
    # A frame of it comes before any round has looked into the journal.
    await platform.venue.frames.put(Evidence(SECOND, ReportSource.STREAM, ReportStatus.OPEN, "v2", ZERO))
    await platform.until(lambda: said(platform) == [(SECOND, "FOREIGN_ORDER", "FLAGGED")])
    platform.venue.open = [shown(SECOND)]
    await platform.until(lambda: platform.state() == "ACKNOWLEDGED")
    platform.venue.fills = [listed(SECOND, 1, "2")]
    await platform.until(lambda: platform.state() == "FILLED")
    assert booked(platform) == ["t1"]
    assert said(platform)[1:] == [(order_id(1), "FOREIGN_ORDER", "ADOPTED")]
    assert sent(platform) == []


async def test_a_stop_that_only_the_journal_knows_is_come_upon_by_the_order_that_it_protects(
    platform: Platform,
) -> None:
    """It is flagged until then, and never cancelled as a stranger's; no second one is sent."""
    configure(platform, foreign_orders=ForeignOrders.CANCEL)
    await begin(platform)
    platform.instrument(InstrumentStatus.OPEN)
    platform.approve(1, **PROTECTED)
    await platform.until(lambda: platform.state() == "ACKNOWLEDGED")
    platform.venue.open = [shown(order_id(1))]
    running = platform.shell._running
    assert running is not None
    signed = platform.core.orders.get(order_id(1)).signed  # type: ignore[union-attr]
    await running.journal.prepare(placed(signed, STOP, Leg.PROTECTION, 1))
    platform.venue.open = [shown(order_id(1)), shown(STOP)]
    await platform.until(lambda: said(platform) == [(STOP, "FOREIGN_ORDER", "FLAGGED")])
    await more_rounds(platform, 2)
    platform.venue.answers["query"] = shown
    platform.venue.open = [shown(STOP)]
    platform.venue.fills = [listed(order_id(1), 1, "2")]
    await platform.until(lambda: _state_of(platform, STOP) == "ACKNOWLEDGED")
    await more_rounds(platform, 2)
    assert sent(platform) == [order_id(1)]
    assert platform.venue.cancelled == []
    assert platform.core.protecting.covers[order_id(1)].live == STOP


async def forgotten(platform: Platform) -> None:
    """Let an order buy 1 of 2 and be forgotten, because others have ended since."""
    configure(platform, WatchSection(finished_orders_max=2))
    await begin(platform)
    fills = []
    for number in (1, 2, 3):
        fills.append(listed(order_id(number), number, "1"))
        made = fills[-1].trade
        assert made is not None
        platform.approve(number)
        await platform.until(lambda number=number: platform.state(number) == "ACKNOWLEDGED")
        ended = Evidence(order_id(number), ReportSource.STREAM, ReportStatus.CANCELLED, "v", Decimal(1), (made,))
        await platform.venue.frames.put(ended)
        await platform.until(lambda number=number: platform.state(number) == "CANCELLED")
    await platform.until(lambda: platform.state(1) is None)
    await _until_ended(platform)
    platform.venue.fills = fills


async def _until_ended(platform: Platform) -> None:
    async with asyncio.timeout(5):
        while (await platform.rows())[order_id(1)]["ended_us"] is None:
            await asyncio.sleep(0.02)


async def test_a_late_fill_of_a_forgotten_order_is_booked_because_its_row_proves_it_ours(platform: Platform) -> None:
    await forgotten(platform)
    await more_rounds(platform, 2)
    assert booked(platform) == ["t1", "t2", "t3"]
    # The lists fail after the fills were read, so that the same page is read again and again.
    platform.venue.failing["movements"] = VenueUnavailable("the connection broke")
    platform.venue.fills = [*platform.venue.fills, listed(order_id(1), 4, "0.5")]
    await platform.until(lambda: "t4" in booked(platform))
    await platform.until(lambda: platform.venue.calls.count("movements") > 5)
    platform.venue.failing.clear()
    await more_rounds(platform, 2)
    assert booked(platform) == ["t1", "t2", "t3", "t4"]
    assert (order_id(1), "LATE_FILL", "BOOKED") in said(platform)
    assert not [note for note in said(platform) if note[1] == "FOREIGN_FILL"]
    assert platform.core.status()["positions"] == {"BTC-USDT": "3.5"}
    adoptions = [message for message in platform.messages() if isinstance(message, Adoption)]
    assert [(each.client_order_id, each.ended_as) for each in adoptions] == [(order_id(1), "CANCELLED")]


async def test_an_order_that_is_forgotten_and_has_not_traded_since_is_left_alone(platform: Platform) -> None:
    await forgotten(platform)
    platform.venue.recent = [shown(order_id(1), ReportStatus.CANCELLED, "1")]
    await more_rounds(platform, 3)
    assert booked(platform) == ["t1", "t2", "t3"]
    assert said(platform) == []
    assert "adoption" not in platform.kinds()


async def test_every_class_of_difference_is_counted_from_nought_so_that_the_first_of_a_kind_is_seen_to_rise(
    platform: Platform,
) -> None:
    await begin(platform)
    shown_to_prometheus = generate_latest().decode()
    for difference in Difference:
        assert f'tollgate_reconcile_differences_total{{difference="{difference.value}"}}' in shown_to_prometheus
    assert "tollgate_unprotected_positions 0.0" in shown_to_prometheus
