"""Safe mode, the last caps, the venue's states, the operator's word and the end, in the running process."""

import asyncio
import random
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from execution_operators import BEARERS, new_door
from execution_platform import Platform, ScriptedVenue, _now_us
from execution_samples import order_id, trade
from fastapi import FastAPI

from tollgate_contracts.execution import Order, ReportSource, ReportStatus
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.safety import Breaker, BreakerState, Dependency, EndpointGroup, SafeMode
from tollgate_contracts.strategy import Side
from tollgate_execution.api import build_router
from tollgate_execution.resolving import Verdict
from tollgate_execution.settings import ExecutionSection, SafeModeSection, SyncSection, WatchSection
from tollgate_venues.adapter import UserStreamLost, VenueOrder, VenueUnavailable
from tollgate_venues.evidence import Evidence

D = Dependency
OFF = dict.fromkeys(("orders_ms", "account_ms", "stream_ms", "market_data_ms", "permit_ms", "reconciliation_ms"), None)


class DeafVenue(ScriptedVenue):
    """A venue whose user stream can be kept from coming up."""

    def __init__(self) -> None:
        super().__init__()
        self.hears = asyncio.Event()
        self.hears.set()

    async def user_stream(self, listening: asyncio.Event | None = None) -> AsyncIterator[Evidence]:
        """Wait until it may come up."""
        await self.hears.wait()
        async for evidence in super().user_stream(listening):
            yield evidence


@pytest.fixture
async def platform(database: Any, nats_url: str, tmp_path: Path) -> AsyncIterator[Platform]:
    platform = Platform(database, nats_url, tmp_path)
    platform.venue = DeafVenue()
    platform.arm()
    yield platform
    await platform.stop()


def configure(platform: Platform, safe_mode: dict[str, Any] | None = None, **section: Any) -> None:
    """Configure execution; of safe mode only what is named is judged, every 10 ms, and well again after 100."""
    modes = SafeModeSection(**{**OFF, "check_ms": 10, "recover_ms": 100, **(safe_mode or {})})
    settings = platform.settings
    platform.settings = settings.model_copy(update={"execution": ExecutionSection(safe_mode=modes, **section)})


def modes(platform: Platform) -> list[tuple[Dependency, ...]]:
    """Return what was degraded by each word of safe mode on the tape."""
    return [message.degraded for message in platform.messages() if isinstance(message, SafeMode)]


async def quote_until_well(platform: Platform) -> None:
    """Let quotes come until safe mode is over."""
    async with asyncio.timeout(20):
        while modes(platform)[-1] != ():
            platform.quote()
            await asyncio.sleep(0.02)


def reason_of(platform: Platform, number: int) -> str | None:
    """Return the reason of an order's last state."""
    ours = order_id(number)
    last = [
        message for message in platform.messages() if isinstance(message, Order) and message.client_order_id == ours
    ]
    return last[-1].reason and last[-1].reason.value


async def work(platform: Platform, number: int, **changes: Any) -> None:
    """Have an order rest at the venue."""
    platform.approve(number, limit_price="99", **changes)
    await platform.until(lambda: platform.state(number) == "ACKNOWLEDGED")


async def test_a_stream_that_stays_down_cancels_entries_and_holds_back_new_ones_until_a_round_agrees(
    platform: Platform,
) -> None:
    configure(platform, {"stream_ms": 50, "reconciliation_ms": 60_000})
    await platform.start()
    await platform.has_permit()
    await work(platform, 1)
    assert isinstance(platform.venue, DeafVenue)
    platform.venue.hears.clear()
    await platform.venue.frames.put(UserStreamLost("closed"))
    await platform.until(lambda: modes(platform) == [(D.USER_STREAM,)])
    await platform.until(lambda: platform.state(1) == "CANCELLED")
    assert reason_of(platform, 1) == "gate.safe_mode"
    platform.approve(2)
    await platform.until(lambda: "refusal" in platform.kinds())
    assert len(platform.venue.submitted) == 1
    platform.venue.hears.set()
    await platform.until(lambda: modes(platform)[-1] == ())
    platform.approve(3)
    await platform.until(lambda: platform.state(3) == "ACKNOWLEDGED")


async def test_silence_of_risk_takes_entries_back_once_it_has_lasted(platform: Platform) -> None:
    configure(platform, {"permit_ms": 200})
    await platform.start()
    await platform.has_permit()
    await work(platform, 1)
    platform.permits_on.clear()
    await platform.until(lambda: platform.state(1) == "CANCELLED")
    assert modes(platform) == [(D.PERMIT,)]
    platform.permits_on.set()
    await platform.until(lambda: modes(platform)[-1] == ())


async def test_under_the_kill_switch_missing_permits_are_not_an_outage_and_its_level_says_what_is_cancelled(
    platform: Platform,
) -> None:
    configure(platform, {"permit_ms": 200})
    await platform.start()
    await platform.has_permit()
    await work(platform, 1)
    platform.kill(1, engaged=True, level="HALT")
    await platform.until(lambda: platform.core.kill.engaged)
    platform.permits_on.clear()
    await platform.until(lambda: platform.shell.status()["permit"]["epoch"] is None)
    await asyncio.sleep(0.4)
    assert modes(platform) == []
    assert platform.state(1) == "ACKNOWLEDGED"


async def test_without_quotes_entries_are_taken_back_and_with_them_taken_again(platform: Platform) -> None:
    configure(platform, {"market_data_ms": 300})
    await platform.start()
    await platform.has_permit()
    await platform.until(lambda: modes(platform) == [(D.MARKET_DATA,)])
    await quote_until_well(platform)
    assert modes(platform) == [(D.MARKET_DATA,), ()]


async def test_a_breaker_that_is_open_by_the_tape_means_safe_mode(platform: Platform) -> None:
    configure(platform, {"orders_ms": 20})
    await platform.start()
    envelope = platform.shell._started().reporter
    for state in (BreakerState.OPEN, BreakerState.CLOSED):
        await platform.runner.observe(
            Breaker(
                id=f"execution:simulated:breaker-{state.value}",
                desk="main",
                run_id="test",
                ts_us=envelope.now_us(),
                cause=None,
                cycle_id=0,
                group=EndpointGroup.ORDERS,
                from_state=BreakerState.CLOSED if state is BreakerState.OPEN else BreakerState.OPEN,
                to_state=state,
                detail="",
            )
        )
        expected = (D.VENUE_ORDERS,) if state is BreakerState.OPEN else ()
        await platform.until(lambda expected=expected: modes(platform) and modes(platform)[-1] == expected)


async def test_safe_mode_holds_over_a_restart_until_the_new_process_has_seen_that_it_is_over(
    platform: Platform,
) -> None:
    configure(platform, {"market_data_ms": 300, "recover_ms": 500})
    await platform.start()
    await platform.until(lambda: modes(platform) == [(D.MARKET_DATA,)])
    await platform.kill_9()
    platform.quote()
    started_us = _now_us()
    await platform.start()
    assert platform.core.safety.engaged
    await quote_until_well(platform)
    assert modes(platform) == [(D.MARKET_DATA,), ()]
    released = [message for message in platform.messages() if isinstance(message, SafeMode)][-1]
    assert released.ts_us - started_us >= 500_000, "it has been well for long enough"


def fill_at_the_worst(platform: Platform) -> list[VenueOrder]:
    """Have the venue fill what is sent, in full and at the price that costs us most; it sells nothing we do not hold.

    Returns the orders filled, as they come.
    """
    filled: list[VenueOrder] = []

    def answer(client_order_id: str) -> Evidence:
        order = platform.venue.submitted[-1]
        if order.side is Side.SELL and order.quantity > held_by(filled):
            return Evidence(client_order_id, ReportSource.SUBMIT, ReportStatus.REJECTED)
        filled.append(order)
        fill = trade(1, str(order.quantity), str(order.limit_price), trade_id=f"t-{client_order_id}", fee=Decimal(0))
        venue_id = f"v-{client_order_id}"
        return Evidence(client_order_id, ReportSource.SUBMIT, ReportStatus.FILLED, venue_id, order.quantity, (fill,))

    platform.venue.answers["submit"] = answer
    platform.venue.answers["query"] = lambda each: Evidence(each, ReportSource.QUERY, ReportStatus.ABSENT)
    return filled


def held_by(orders: list[VenueOrder]) -> Decimal:
    """Return what is held after orders that were filled in full."""
    return sum((order.quantity if order.side is Side.BUY else -order.quantity for order in orders), Decimal(0))


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_signed_with_risk_s_own_key_loses_no_more_than_the_last_caps_allow(
    platform: Platform, seed: int
) -> None:
    """The gate is in other hands: it signs orders of any size, side and price, and calls them what it likes.

    The market stands at 99 to 100. The venue fills everything at the worst price that the order allows.
    """
    caps = {
        "order_notional_max": Decimal(500),
        "minute_notional_max": Decimal(2_000),
        "collar_bps": 100,
        "exit_collar_bps": 1_000,
        "orders_per_s_max": 20,
        # The core's own limit on slippage would hide what the collar does.
        "slippage_bps_max": None,
    }
    configure(platform, **caps)
    filled = fill_at_the_worst(platform)
    await platform.start()
    await platform.has_permit()
    chance = random.Random(seed)  # noqa: S311 - the same each time is what is wanted
    for number in range(1, 151):
        platform.approve(
            number,
            side=chance.choice(("BUY", "SELL")),
            quantity=str(chance.choice((1, 2, 4, 5, 50, 100_000))),
            limit_price=chance.choice(("0.01", "50", "89", "90", "95", "99", "100", "100.5", "101", "110", "9999")),
            reduce_only=chance.random() < 0.5,
            time_in_force=chance.choice(("GTC", "IOC")),
            scope="FLATTEN" if chance.random() < 0.05 else "TRADE",
        )
        if number % 25 == 0:
            await asyncio.sleep(0.3)
    await platform.until(lambda: platform.kinds().count("refusal") + _ended(platform) >= 150)
    sent = platform.venue.submitted
    entries = [order for at, order in enumerate(filled) if not takes_off(order, held_by(filled[:at]))]
    assert len(entries) >= 4 < len(filled), "or nothing was shown"
    assert all(worth(order) <= 500 for order in sent)
    assert sum(worth(order) for order in entries) <= 2_000
    assert all(order.limit_price <= 101 for order in sent if order.side is Side.BUY)
    assert all(order.limit_price >= Decimal("89.1") for order in sent if order.side is Side.SELL)
    assert all(order.limit_price >= Decimal("98.01") for order in entries if order.side is Side.SELL)
    paid = sum(worth(order) if order.side is Side.BUY else -worth(order) for order in filled)
    loss = paid - held_by(filled) * Decimal(99)
    assert loss <= 2_000 * Decimal("0.02") + 2_000 * Decimal("0.1"), "the bound that docs/operators.md names"


def takes_off(order: VenueOrder, held: Decimal) -> bool:
    return order.reduce_only and order.side is Side.SELL and order.quantity <= held


def worth(order: Any) -> Decimal:
    return Decimal(order.quantity * order.limit_price)


def _ended(platform: Platform) -> int:
    return sum(platform.core.orders.ended.values())


async def test_too_many_orders_open_hold_back_the_next_entry_and_no_exit(platform: Platform) -> None:
    configure(platform, open_orders_max=3, open_orders_symbol_max=2)
    await platform.start()
    await platform.has_permit()
    fill_at_the_worst(platform)
    platform.approve(9)
    await platform.until(lambda: platform.state(9) == "FILLED")
    del platform.venue.answers["submit"]
    await work(platform, 1)
    await work(platform, 2)
    platform.approve(3, limit_price="99")
    await platform.until(lambda: platform.state(3) == "REJECTED")
    assert reason_of(platform, 3) == "limit.open_orders_symbol"
    await work(platform, 4, symbol="ETH-USDT")
    platform.approve(5, limit_price="99", symbol="SOL-USDT")
    await platform.until(lambda: platform.state(5) == "REJECTED")
    assert reason_of(platform, 5) == "limit.open_orders"
    platform.approve(6, side="SELL", reduce_only=True, limit_price="120")
    await platform.until(lambda: platform.state(6) == "ACKNOWLEDGED")


async def test_a_venue_that_takes_cancels_only_gets_cancels_only(platform: Platform) -> None:
    configure(platform)
    await platform.start()
    await platform.has_permit()
    await work(platform, 1)
    platform.instrument(InstrumentStatus.CANCEL_ONLY)
    platform.approve(2, limit_price="99")
    await platform.until(lambda: platform.state(2) == "REJECTED")
    assert reason_of(platform, 2) == "venue.not_open"
    platform.approve(1, action="CANCEL", limit_price="99")
    await platform.until(lambda: platform.state(1) == "CANCELLED")
    assert len(platform.venue.submitted) == 1


async def test_a_venue_that_is_halted_gets_look_ups_only_and_is_read_before_it_is_traded_on_again(
    platform: Platform,
) -> None:
    sync = SyncSection(interval_ms=300)
    configure(platform, watch=WatchSection(silent_ms=50, delay_ms_max=50, working_ms=200), sync=sync)
    await platform.start()
    await platform.has_permit()
    await work(platform, 1)
    platform.instrument(InstrumentStatus.HALTED)
    await platform.until(lambda: platform.core.market.instrument("BTC-USDT") is not None)
    platform.approve(1, action="CANCEL", limit_price="99")
    await platform.until(lambda: platform.state(1) == "CANCELLING")
    platform.approve(2, limit_price="99")
    await platform.until(lambda: platform.state(2) == "REJECTED")
    assert reason_of(platform, 2) == "venue.not_open"
    assert platform.venue.cancelled == []
    platform.venue.failing["open_orders"] = VenueUnavailable("no answer")
    platform.instrument(InstrumentStatus.OPEN)
    platform.approve(3, limit_price="99")
    await platform.until(lambda: platform.state(3) == "REJECTED")
    assert reason_of(platform, 3) == "venue.not_open", "its orders were not read since it is open again"
    platform.venue.failing.clear()
    look = platform.shell._started().look
    await platform.until(lambda: look.read_us() > platform.core.market.opened_us("BTC-USDT"))
    platform.quote()
    await work(platform, 4)
    assert len(platform.venue.submitted) == 2


async def escalate(platform: Platform) -> None:
    """Have an order of unknown outcome that the venue was asked about in vain as often as it is."""
    platform.venue.answers["submit"] = lambda each: Evidence(each, ReportSource.SUBMIT, ReportStatus.NO_ANSWER)
    await platform.start()
    await platform.has_permit()
    platform.approve()
    await platform.until(lambda: platform.state() == "UNKNOWN")


async def pass_time(platform: Platform, ms: int) -> None:
    """Let the tape's time go on."""
    for _ in range(max(1, ms // 10)):
        platform.quote()
        await asyncio.sleep(0.01)


async def test_an_operator_s_word_is_not_taken_while_the_venue_is_still_being_asked(platform: Platform) -> None:
    configure(platform)
    await escalate(platform)
    resolution = await platform.shell.resolve(order_id(1), ReportStatus.CANCELLED, "ann: saw it")
    assert resolution.verdict is Verdict.NOT_ESCALATED
    assert platform.state() == "UNKNOWN"


async def test_an_operator_s_word_ends_an_order_that_escalated_and_stands_on_the_tape(platform: Platform) -> None:
    configure(platform, watch=WatchSection(unknown_ms=10, probes_max=2))
    await escalate(platform)
    await pass_time(platform, 300)
    asked = len(platform.venue.queried)
    resolution = await platform.shell.resolve(order_id(1), ReportStatus.CANCELLED, "ann: saw it cancelled")
    assert resolution.verdict is Verdict.ENDED
    assert len(platform.venue.queried) > asked, "the venue is asked once more first"
    assert platform.state() == "CANCELLED"
    assert reason_of(platform, 1) == Reason.ORDER_OPERATOR.value
    words = [message for message in platform.messages() if getattr(message, "source", None) is ReportSource.OPERATOR]
    assert [word.detail for word in words] == ["ann: saw it cancelled; the venue says NO_ANSWER"]
    again = await platform.shell.resolve(order_id(1), ReportStatus.EXPIRED, "bob: no")
    assert again.verdict is Verdict.NOT_UNKNOWN


async def test_an_operator_s_word_counts_for_nothing_once_the_venue_shows_the_order(platform: Platform) -> None:
    configure(platform, watch=WatchSection(unknown_ms=10, probes_max=2))
    await escalate(platform)
    await pass_time(platform, 300)
    platform.venue.answers["query"] = lambda each: Evidence(
        each, ReportSource.QUERY, ReportStatus.OPEN, "v1", Decimal(0)
    )
    resolution = await platform.shell.resolve(order_id(1), ReportStatus.CANCELLED, "ann: saw it")
    assert resolution.verdict is Verdict.SHOWN
    await platform.until(lambda: platform.state() == "ACKNOWLEDGED")


async def test_no_word_is_taken_for_an_order_that_nobody_holds_or_by_an_instance_that_is_not_active(
    platform: Platform,
) -> None:
    configure(platform)
    await platform.start()
    gone = await platform.shell.resolve(order_id(7), ReportStatus.CANCELLED, "ann: saw it")
    assert gone.verdict is Verdict.NO_ORDER
    platform.runner.live.clear()
    assert (await platform.shell.resolve(order_id(7), ReportStatus.CANCELLED, "x")).verdict is Verdict.NOT_ACTIVE
    platform.runner.live.set()


async def test_stopping_holds_back_what_is_approved_meanwhile_and_settles_what_is_under_way(platform: Platform) -> None:
    configure(platform)
    await platform.start()
    await platform.has_permit()
    await work(platform, 1)
    going = asyncio.Event()
    platform.venue.before_answering = going.wait
    platform.approve(2, limit_price="99")
    await platform.until(lambda: len(platform.venue.submitted) == 2)
    draining = asyncio.create_task(platform.shell.drain())
    await asyncio.sleep(0.05)
    platform.venue.before_answering = None
    platform.approve(3, limit_price="99")
    await platform.until(lambda: platform.state(3) == "REJECTED")
    assert reason_of(platform, 3) == "gate.safe_mode"
    assert not draining.done()
    going.set()
    await draining
    assert platform.state(1) == platform.state(2) == "ACKNOWLEDGED", "what rests is left"
    assert (await platform.rows())[order_id(2)]["answered_us"] is not None, "its row is settled"
    assert platform.venue.cancelled == []
    assert modes(platform) == [], "the next process trades on at once"


async def test_stopping_cancels_entries_if_so_configured_and_leaves_exits(platform: Platform) -> None:
    configure(platform, on_stop="cancel")
    await platform.start()
    await platform.has_permit()
    fill_at_the_worst(platform)
    platform.approve(9)
    await platform.until(lambda: platform.state(9) == "FILLED")
    del platform.venue.answers["submit"]
    await work(platform, 1)
    platform.approve(2, side="SELL", reduce_only=True, limit_price="120")
    await platform.until(lambda: platform.state(2) == "ACKNOWLEDGED")
    await platform.shell.drain()
    assert platform.state(1) == "CANCELLED"
    assert platform.state(2) == "ACKNOWLEDGED"
    assert modes(platform) == [(D.STOPPING,)]
    await platform.kill_9()
    await platform.start()
    await platform.until(lambda: modes(platform)[-1] == ())


def client_of(platform: Platform, directory: Path) -> httpx.AsyncClient:
    """Return a client at the operators' door of the running process."""
    app = FastAPI()
    router = build_router(
        platform.core, platform.door, new_door(directory), platform.shell.resolve, platform.shell.explain
    )
    app.include_router(router)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://execution")


async def test_the_route_takes_an_operator_s_word_with_a_reason_and_with_the_right_to_release_and_not_else(
    platform: Platform, tmp_path: Path
) -> None:
    configure(platform, watch=WatchSection(unknown_ms=10, probes_max=2))
    await escalate(platform)
    path, word = (
        f"/v1/orders/{order_id(1)}",
        {"outcome": "EXPIRED", "reason": "the venue's desk says so", "actor": "ann"},
    )
    client = client_of(platform, tmp_path)

    async def call(content: dict[str, str], scope: str = "release", to: str = path) -> int:
        return (await client.request("DELETE", to, headers=BEARERS[scope], json=content)).status_code

    assert await call(word) == 409, "the venue is still being asked"
    await pass_time(platform, 300)
    assert (await client.get(path, headers=BEARERS["read"])).json()["escalated"] is True
    for scope in ("read", "kill", "limits"):
        assert await call(word, scope) == 403
    assert await call({**word, "reason": " "}) == 422
    assert await call({**word, "outcome": "FILLED"}) == 422
    assert await call({"reason": "r"}) == 422
    assert await call(word, to=f"/v1/orders/{order_id(7)}") == 404
    assert platform.state() == "UNKNOWN"
    answer = await client.request("DELETE", path, headers=BEARERS["release"], json=word)
    assert (answer.status_code, answer.json()["order"]["state"]) == (200, "EXPIRED")
    (said,) = [message for message in platform.messages() if getattr(message, "source", None) is ReportSource.OPERATOR]
    assert said.detail.startswith("ann (release): the venue's desk says so")
    assert await call(word) == 409, "its outcome is known"
    await client.aclose()
