"""The venue behind budgets, retries and breakers: one request for a submit, few for the rest, none when it says so."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from calls_samples import CAPABILITIES, SECOND_US, CountingVenue, a_reference, an_order
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import run_virtually, virtual_clock

from tollgate_chassis.clock import Clock
from tollgate_contracts.execution import ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.safety import BreakerState, EndpointGroup
from tollgate_execution.calls import BreakerRules, CallRules, GuardedVenue, Limits, Purpose, RetryRules, Window
from tollgate_venues.adapter import VenueUnavailable
from tollgate_venues.evidence import Evidence, Failure

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
ORDERS, ACCOUNT, MARKET_DATA = EndpointGroup.ORDERS, EndpointGroup.ACCOUNT, EndpointGroup.MARKET_DATA
# A breaker that nothing but the venue's own word opens.
PATIENT = BreakerRules(failures_max=1_000, failed_percent=101)

Calls = dict[str, Callable[[], Awaitable[object]]]


class Bench:
    """A guarded venue in virtual time."""

    def __init__(self, rules: CallRules | None = None, **options: object) -> None:
        self.clock = virtual_clock()
        self.venue = CountingVenue(self.clock, **options)  # type: ignore[arg-type]
        self.guarded = GuardedVenue(self.venue, rules or CallRules(), self.clock)

    def reads(self) -> Calls:
        """Return every call that only reads or cancels, by its name."""
        return {
            "cancel": lambda: self.guarded.cancel(a_reference()),
            "query": lambda: self.guarded.query(a_reference()),
            "open_orders": self.guarded.open_orders,
            "recent_orders": lambda: self.guarded.recent_orders(0),
            "fills": lambda: self.guarded.fills_since(""),
            "movements": lambda: self.guarded.movements_since(""),
            "account": self.guarded.account,
        }

    async def try_call(self, name: str) -> object:
        """Make a call; returns what it returns, or the error that it raises."""
        try:
            return await self.reads()[name]()
        except VenueUnavailable as error:
            return error

    async def submit(self, number: int = 1, *, reduce_only: bool = False) -> Evidence:
        """Submit an order."""
        return await self.guarded.submit(an_order(number, reduce_only=reduce_only))

    async def trip(self, failure: Failure = Failure.MAINTENANCE, call: str = "open_orders") -> None:
        """Open the breaker of the call's group."""
        self.venue.next[call].append((failure, None))
        await self.try_call(call)


READS = ("cancel", "query", "open_orders", "recent_orders", "fills", "movements", "account")
# How a read or a cancel fails each time, and how many requests it makes.
ATTEMPTS = [
    (Failure.NO_ANSWER, 3),
    (Failure.RATE_LIMITED, 3),
    (Failure.BANNED, 1),
    (Failure.MAINTENANCE, 1),
    (Failure.UNAUTHORIZED, 1),
    (Failure.REFUSED, 1),
    (Failure.UNREADABLE, 1),
]


@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize(("failure", "attempts"), ATTEMPTS)
def test_reads_and_cancels_are_tried_again_only_after_what_passes_and_a_few_times(
    call: str, failure: Failure, attempts: int
):
    async def main() -> None:
        bench = Bench()
        bench.venue.always[call] = (failure, None)
        began_us = bench.clock.monotonic_us()
        came = await bench.try_call(call)
        assert bench.venue.calls[call] == attempts
        assert isinstance(came, VenueUnavailable | Evidence)
        assert came.failure is failure
        assert bench.clock.monotonic_us() - began_us <= 5 * SECOND_US + 20_000

    run_virtually(main)


@pytest.mark.parametrize("failure", list(Failure))
def test_a_submit_is_one_request_whatever_comes_of_it(failure: Failure):
    async def main() -> None:
        bench = Bench()
        bench.venue.always["submit"] = (failure, None)
        evidence = await bench.submit()
        assert evidence.failure is failure
        assert bench.venue.calls["submit"] == 1

    run_virtually(main)


outcomes = st.tuples(st.sampled_from([None, *Failure]), st.sampled_from([None, 0, SECOND_US, 7 * SECOND_US]))


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.tuples(st.sampled_from(("submit", *READS)), outcomes, st.integers(0, 2 * SECOND_US)), max_size=60),
    st.booleans(),
)
def test_never_a_second_submit_never_too_many_attempts_and_never_more_than_the_windows_hold(told, reduce_only):
    """Whatever the venue answers; a hundred orders are wanted as fast as they can be."""
    limit = Window(7, SECOND_US)
    rules = CallRules(limits=Limits(*[(limit,)] * 5), retry=RetryRules(budget=Window(10, 10 * SECOND_US)))

    async def main() -> None:
        bench = Bench(rules)
        submits = 0
        for call, outcome, wait_us in told:
            bench.venue.next[call].append(outcome)
            before = bench.venue.calls.copy()
            if call == "submit":
                evidence = await bench.submit(reduce_only=reduce_only)
                submits += evidence.status is not ReportStatus.NOT_SENT
                assert bench.venue.calls["submit"] == submits
            else:
                await bench.try_call(call)
                assert (bench.venue.calls - before)[call] <= rules.retry.attempts_max
            await bench.clock.sleep(wait_us / SECOND_US)
        for times_us in bench.venue.times_us.values():
            assert all(later - earlier >= limit.span_us for earlier, later in zip(times_us, times_us[7:], strict=False))

    run_virtually(main)


def test_delays_grow_with_each_attempt_and_chance_takes_any_part_of_them():
    async def delays(chance: float) -> list[int]:
        clock = replace(virtual_clock(), random=lambda: chance)
        venue = CountingVenue(clock, call_s=0)
        rules = CallRules(retry=RetryRules(attempts_max=6, delay_us_max=700_000), breaker=PATIENT)
        venue.always["query"] = (Failure.NO_ANSWER, None)
        await GuardedVenue(venue, rules, clock).query(a_reference())
        times = venue.times_us["query"]
        return [later - earlier for earlier, later in pairwise(times)]

    assert run_virtually(lambda: delays(0.0)) == [0] * 5
    for delay_us, longest_us in zip(
        run_virtually(lambda: delays(0.5)), (100_000, 200_000, 400_000, 700_000, 700_000), strict=True
    ):
        assert abs(delay_us - longest_us // 2) < 10


def test_second_attempts_have_a_budget_of_their_own_so_that_a_failing_venue_is_not_asked_three_times_as_much():
    async def main() -> None:
        bench = Bench(CallRules(breaker=PATIENT))
        bench.venue.always["query"] = (Failure.NO_ANSWER, None)
        for _ in range(100):
            await bench.guarded.query(a_reference())
        span_s = (bench.venue.times_us["query"][-1] - bench.venue.times_us["query"][0]) / SECOND_US
        assert bench.venue.calls["query"] <= 100 + 20 * (1 + span_s // 10)

    run_virtually(main)


@pytest.mark.parametrize("call", READS)
def test_retry_after_is_obeyed(call: str):
    async def main() -> None:
        bench = Bench()
        bench.venue.next[call].append((Failure.RATE_LIMITED, 2 * SECOND_US))
        await bench.try_call(call)
        first_us, second_us = bench.venue.times_us[call]
        assert second_us - first_us >= 2 * SECOND_US

    run_virtually(main)


def test_a_wait_longer_than_a_read_may_take_is_left_to_the_caller_who_is_told_of_it():
    async def main() -> None:
        bench = Bench()
        bench.venue.always["account"] = (Failure.RATE_LIMITED, 60 * SECOND_US)
        first = await bench.try_call("account")
        again = await bench.try_call("account")
        assert bench.venue.calls["account"] == 1
        assert isinstance(first, VenueUnavailable)
        assert first.retry_after_us == 60 * SECOND_US
        assert isinstance(again, VenueUnavailable)
        assert again.failure is Failure.RATE_LIMITED
        await bench.clock.sleep(60)
        await bench.try_call("account")
        assert bench.venue.calls["account"] == 2

    run_virtually(main)


def test_a_refusal_for_speed_pauses_its_own_kind_ever_longer_and_leaves_the_others_alone():
    async def main() -> None:
        bench = Bench(CallRules(retry=RetryRules(attempts_max=1)))
        bench.venue.always["submit"] = (Failure.RATE_LIMITED, None)
        pauses_us = []
        for _ in range(8):
            assert await bench.guarded.clearance(Purpose.ENTRY, bench.clock.wall_us() + 60 * SECOND_US) is None
            await bench.guarded.submit(an_order(), cleared=Purpose.ENTRY)
            pauses_us.append(bench.guarded._budgets.of(Purpose.ENTRY).paused_until_us - bench.clock.monotonic_us())
            for other in READS:
                began_us = bench.clock.monotonic_us()
                await bench.try_call(other)
                assert bench.clock.monotonic_us() - began_us < 100_000
        longest_us = [min(SECOND_US << step, 30 * SECOND_US) for step in range(8)]
        assert all(most // 2 <= each <= most for each, most in zip(pauses_us, longest_us, strict=True))

    run_virtually(main)


def test_an_entry_and_a_reducing_order_that_are_refused_together_are_one_refusal_of_their_common_limit():
    async def main() -> None:
        bench = Bench()
        bench.venue.always["submit"] = (Failure.RATE_LIMITED, None)
        began_us = bench.clock.monotonic_us()
        both = await asyncio.gather(bench.submit(1), bench.submit(2, reduce_only=True))
        assert [evidence.failure for evidence in both] == [Failure.RATE_LIMITED] * 2
        paused_us = bench.guarded._budgets.of(Purpose.ENTRY).paused_until_us - began_us
        assert SECOND_US // 2 <= paused_us <= SECOND_US + 10_000

    run_virtually(main)


def test_half_open_it_lets_as_many_reads_through_at_once_as_are_probes():
    async def main() -> None:
        bench = Bench(call_s=1)
        bench.guarded.resume({ORDERS: OPEN})
        await bench.clock.sleep(1)
        came = await asyncio.gather(*(bench.try_call("fills") for _ in range(5)))
        assert bench.venue.calls["fills"] == 2
        assert sum(isinstance(each, VenueUnavailable) for each in came) == 3
        assert bench.guarded.breakers[ORDERS] is CLOSED

    run_virtually(main)


def test_a_clearance_for_an_exit_lets_no_entry_through_an_open_breaker():
    """An order that made a position smaller when it began to wait may be an entry by now."""

    async def main() -> None:
        bench = Bench()
        await bench.trip()
        assert await bench.guarded.clearance(Purpose.REDUCE, bench.clock.wall_us()) is None
        evidence = await bench.guarded.submit(an_order(), cleared=Purpose.ENTRY)
        assert (evidence.status, evidence.reason) == (ReportStatus.NOT_SENT, Reason.VENUE_BREAKER_OPEN)
        assert bench.venue.calls["submit"] == 0

    run_virtually(main)


def test_a_clearance_does_not_outlive_a_ban():
    async def main() -> None:
        bench = Bench()
        assert await bench.guarded.clearance(Purpose.REDUCE, bench.clock.wall_us()) is None
        await bench.trip(Failure.BANNED)
        evidence = await bench.guarded.submit(an_order(), cleared=Purpose.REDUCE)
        assert (evidence.status, evidence.reason) == (ReportStatus.NOT_SENT, Reason.VENUE_RATE_LIMITED)
        assert bench.venue.calls["submit"] == 0

    run_virtually(main)


def test_a_ban_that_the_process_before_this_one_was_told_of_is_kept_to():
    async def main() -> None:
        bench = Bench()
        bench.guarded.resume({ORDERS: OPEN}, bench.clock.wall_us() + 5 * SECOND_US)
        for name in READS:
            await bench.try_call(name)
        await bench.submit(reduce_only=True)
        assert not bench.venue.calls
        await bench.clock.sleep(5)
        assert isinstance(await bench.try_call("cancel"), Evidence)
        assert bench.venue.calls["cancel"] == 1

    run_virtually(main)


def test_a_ban_of_the_past_holds_nothing_back():
    async def main() -> None:
        bench = Bench()
        bench.guarded.resume({}, bench.clock.wall_us())
        await bench.submit()
        assert bench.venue.calls["submit"] == 1

    run_virtually(main)


def test_a_ban_is_told_with_its_end_though_the_breaker_is_open_already():
    async def main() -> None:
        bench = Bench()
        await bench.trip()
        bench.guarded.moves.clear()
        bench.venue.always["cancel"] = (Failure.BANNED, 7 * SECOND_US)
        await bench.try_call("cancel")
        move = bench.guarded.moves[-1]
        assert (move.group, move.to_state) == (ORDERS, OPEN)
        assert move.banned_until_us == bench.clock.wall_us() + 7 * SECOND_US

    run_virtually(main)


def test_one_request_that_was_late_on_its_way_stops_no_entry_and_a_clock_that_is_off_does():
    async def main() -> None:
        bench = Bench()
        bench.venue.next["query"].append((Failure.OUT_OF_TIME, None))
        await bench.try_call("query")
        assert bench.venue.calls["query"] == 2, "asked again, with a new stamp"
        assert (await bench.submit()).status is ReportStatus.OPEN
        bench.venue.always["query"] = (Failure.OUT_OF_TIME, None)
        for _ in range(2):
            await bench.try_call("query")
        assert bench.guarded.breakers[ORDERS] is OPEN

    run_virtually(main)


def test_without_any_retries_nothing_is_asked_twice():
    async def main() -> None:
        bench = Bench(CallRules(retry=RetryRules(budget=Window(0, SECOND_US))))
        bench.venue.always["query"] = (Failure.NO_ANSWER, None)
        await bench.try_call("query")
        assert bench.venue.calls["query"] == 1

    run_virtually(main)


def test_a_clearance_does_not_outlive_the_breaker_s_opening():
    async def main() -> None:
        bench = Bench()
        assert await bench.guarded.clearance(Purpose.ENTRY, bench.clock.wall_us()) is None
        await bench.trip()
        evidence = await bench.guarded.submit(an_order(), cleared=Purpose.ENTRY)
        assert (evidence.status, evidence.reason) == (ReportStatus.NOT_SENT, Reason.VENUE_BREAKER_OPEN)
        assert bench.venue.calls["submit"] == 0

    run_virtually(main)


def test_a_ban_stops_everything_until_it_is_over_and_then_it_goes_on():
    async def main() -> None:
        bench = Bench()
        await bench.guarded.account()
        bench.venue.next["query"].append((Failure.BANNED, 120 * SECOND_US))
        await bench.guarded.query(a_reference())
        before = bench.venue.calls.copy()
        assert {bench.guarded.breakers[ORDERS], bench.guarded.breakers[ACCOUNT]} == {OPEN}
        while bench.clock.monotonic_us() < bench.venue.times_us["query"][0] + 120 * SECOND_US:
            for reduce_only in (False, True):
                evidence = await bench.submit(reduce_only=reduce_only)
                assert (evidence.status, evidence.reason) == (ReportStatus.NOT_SENT, Reason.VENUE_RATE_LIMITED)
            for call in READS:
                came = await bench.try_call(call)
                assert isinstance(came, Evidence | VenueUnavailable)
                assert came.failure is Failure.BANNED
                assert came.retry_after_us is not None
                assert isinstance(came, VenueUnavailable) or came.status is ReportStatus.NO_ANSWER
            await bench.clock.sleep(9)
        assert bench.venue.calls == before
        await bench.clock.sleep(1)
        for _ in range(2):
            await bench.guarded.account()
            await bench.guarded.open_orders()
        assert {*bench.guarded.breakers.values()} == {CLOSED}
        assert (await bench.submit()).status is ReportStatus.OPEN

    run_virtually(main)


def test_a_ban_that_names_no_time_lasts_as_long_as_is_configured():
    async def main() -> None:
        bench = Bench(CallRules(ban_us=7 * SECOND_US))
        await bench.trip(Failure.BANNED)
        assert bench.guarded.describe()["banned_ms"] == 7_000

    run_virtually(main)


def test_while_orders_fail_no_entry_goes_and_cancels_look_ups_and_reducing_orders_still_try():
    async def main() -> None:
        bench = Bench()
        await bench.trip()
        evidence = await bench.submit()
        assert (evidence.status, evidence.reason) == (ReportStatus.NOT_SENT, Reason.VENUE_BREAKER_OPEN)
        for list_call in ("open_orders", "recent_orders", "fills"):
            before = bench.venue.calls[list_call]
            assert "not asked" in str(await bench.try_call(list_call))
            assert bench.venue.calls[list_call] == before
        assert (await bench.submit(reduce_only=True)).status is ReportStatus.OPEN
        assert isinstance(await bench.try_call("cancel"), Evidence)
        assert isinstance(await bench.try_call("query"), Evidence)
        assert [bench.venue.calls[call] for call in ("submit", "cancel", "query")] == [1, 1, 1]
        # The account's calls are another group.
        assert not isinstance(await bench.try_call("account"), VenueUnavailable)

    run_virtually(main)


def test_while_orders_fail_nothing_is_tried_a_second_time():
    async def main() -> None:
        bench = Bench()
        await bench.trip()
        bench.venue.always["query"] = (Failure.NO_ANSWER, None)
        await bench.try_call("query")
        assert bench.venue.calls["query"] == 1

    run_virtually(main)


def test_once_probes_have_succeeded_entries_go_again():
    async def main() -> None:
        bench = Bench()
        await bench.trip()
        await bench.clock.sleep(1)
        await bench.try_call("open_orders")
        assert bench.guarded.breakers[ORDERS] is HALF_OPEN
        assert (await bench.submit()).reason is Reason.VENUE_BREAKER_OPEN
        await bench.try_call("fills")
        assert bench.guarded.breakers[ORDERS] is CLOSED
        assert (await bench.submit()).status is ReportStatus.OPEN

    run_virtually(main)


def test_with_a_refused_key_look_ups_rest_too_because_many_tries_get_us_banned():
    async def main() -> None:
        bench = Bench()
        await bench.trip(Failure.UNAUTHORIZED)
        assert isinstance(await bench.try_call("query"), Evidence)
        assert bench.venue.calls["query"] == 0
        await bench.try_call("cancel")
        await bench.submit(reduce_only=True)
        assert (bench.venue.calls["cancel"], bench.venue.calls["submit"]) == (1, 1)

    run_virtually(main)


def test_while_the_account_is_not_answered_its_calls_rest_and_entries_are_risk_s_to_stop():
    async def main() -> None:
        bench = Bench()
        await bench.trip(call="account")
        before = bench.venue.calls["account"]
        assert isinstance(await bench.try_call("account"), VenueUnavailable)
        assert bench.venue.calls["account"] == before
        assert (await bench.submit()).status is ReportStatus.OPEN

    run_virtually(main)


def test_a_feed_that_is_away_holds_entries_back_and_nothing_else():
    async def main() -> None:
        bench = Bench()
        for _ in range(5):
            bench.guarded.note_feed(is_usable=False, why="the feed is not usable")
            await bench.clock.sleep(1)
        assert bench.guarded.breakers == {ORDERS: CLOSED, ACCOUNT: CLOSED, MARKET_DATA: OPEN}
        assert (await bench.submit()).reason is Reason.VENUE_BREAKER_OPEN
        assert (await bench.submit(reduce_only=True)).status is ReportStatus.OPEN
        for _ in range(2):
            bench.guarded.note_feed(is_usable=True, why="")
        assert bench.guarded.breakers[MARKET_DATA] is CLOSED
        assert (await bench.submit()).status is ReportStatus.OPEN

    run_virtually(main)


def test_a_submit_waits_for_room_no_longer_than_its_deadline():
    async def main() -> None:
        bench = Bench(CallRules(limits=Limits(submits=(Window(1, 10 * SECOND_US),))))
        wall_us = bench.clock.wall_us()
        assert await bench.guarded.clearance(Purpose.ENTRY, wall_us + SECOND_US) is None
        assert await bench.guarded.clearance(Purpose.ENTRY, wall_us + 9 * SECOND_US) is Reason.PACE_RATE
        assert bench.clock.wall_us() == wall_us
        assert await bench.guarded.clearance(Purpose.ENTRY, wall_us + 11 * SECOND_US) is None
        assert bench.clock.wall_us() - wall_us >= 10 * SECOND_US

    run_virtually(main)


def test_a_breaker_that_opens_while_an_entry_waits_holds_it_back():
    async def main() -> None:
        bench = Bench(CallRules(limits=Limits(submits=(Window(1, 3 * SECOND_US),))))
        until_us = bench.clock.wall_us() + 60 * SECOND_US
        assert await bench.guarded.clearance(Purpose.ENTRY, until_us) is None
        waiting = asyncio.create_task(bench.guarded.clearance(Purpose.ENTRY, until_us))
        await bench.clock.sleep(1)
        await bench.trip()
        assert await waiting is Reason.VENUE_BREAKER_OPEN

    run_virtually(main)


def test_a_breaker_that_opens_while_a_read_waits_holds_it_back_too():
    async def main() -> None:
        bench = Bench(CallRules(limits=Limits(lists=(Window(1, 3 * SECOND_US),))))
        await bench.guarded.fills_since("")
        waiting = asyncio.create_task(bench.try_call("fills"))
        await bench.clock.sleep(1)
        await bench.trip(Failure.UNAUTHORIZED, "query")
        assert "the breaker of ORDERS is OPEN" in str(await waiting)
        assert bench.venue.calls["fills"] == 1

    run_virtually(main)


@pytest.mark.parametrize(("venue_order_id", "lists"), [(None, 3), ("v1", 0)])
def test_a_look_up_that_has_to_scan_draws_on_the_lists(venue_order_id: str | None, lists: int):
    async def main() -> None:
        bench = Bench(
            CallRules(limits=Limits(lists=(Window(10, SECOND_US),), look_ups=(Window(10, SECOND_US),))),
            capabilities=replace(CAPABILITIES, looks_up_by_client_id=False),
        )
        await bench.guarded.query(a_reference(1, venue_order_id))
        (listed,) = bench.guarded._budgets.lists._meters
        (asked,) = bench.guarded._budgets.of(Purpose.LOOK_UP)._meters
        assert (len(listed._calls), len(asked._calls)) == (lists, 0 if lists else 1)

    run_virtually(main)


def test_a_call_that_is_cancelled_gives_its_probe_back():
    async def main() -> None:
        bench = Bench(call_s=100)
        bench.guarded.resume({ORDERS: OPEN})
        await bench.clock.sleep(1)
        for _ in range(5):
            call = asyncio.create_task(bench.try_call("fills"))
            await bench.clock.sleep(0.1)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        assert bench.venue.calls["fills"] == 5

    run_virtually(main)


def test_the_stream_and_what_the_venue_offers_pass_through():
    async def main() -> None:
        bench = Bench()
        await bench.guarded.connect()
        assert bench.venue.is_connected
        assert bench.guarded.capabilities is CAPABILITIES
        listening = asyncio.Event()
        assert [each.client_order_id async for each in bench.guarded.user_stream(listening)] == ["tg1"]
        assert listening.is_set()
        await bench.guarded.close()
        assert not bench.venue.is_connected

    run_virtually(main)


class StrictVenue(CountingVenue):
    """Allows half of what we are configured for, refuses the rest, and bans whoever was refused too often."""

    ALLOWED = Window(5, SECOND_US)
    REFUSED_MAX = 30

    def __init__(self, clock: Clock, retry_after_us: int | None) -> None:
        super().__init__(clock)
        self._retry_after_us = retry_after_us
        self._taken: dict[str, list[int]] = {}
        self._refused_us: list[int] = []
        self.has_banned = False

    async def decide(self, call: str) -> tuple[Failure | None, int | None]:
        await super().decide(call)
        now_us = self._clock.monotonic_us()
        taken = [us for us in self._taken.get(call, []) if us > now_us - self.ALLOWED.span_us]
        self._taken[call] = taken
        if len(taken) < self.ALLOWED.calls:
            taken.append(now_us)
            return None, None
        self._refused_us = [us for us in self._refused_us if us > now_us - 60 * SECOND_US] + [now_us]
        self.has_banned = self.has_banned or len(self._refused_us) > self.REFUSED_MAX
        return Failure.BANNED if self.has_banned else Failure.RATE_LIMITED, self._retry_after_us


@pytest.mark.parametrize("retry_after_us", [None, SECOND_US])
def test_in_a_storm_of_refusals_cancels_and_reconciliation_are_not_starved_and_no_ban_follows(
    retry_after_us: int | None,
):
    """Two minutes of fifty entries a second against a venue that takes five, beside cancels, look-ups and lists."""
    ten = (Window(10, SECOND_US),)

    async def main() -> None:
        clock = virtual_clock()
        venue = StrictVenue(clock, retry_after_us)
        guarded = GuardedVenue(venue, CallRules(limits=Limits(ten, ten, ten, ten, ten)), clock)
        end_us = clock.monotonic_us() + 120 * SECOND_US
        # As many as the lanes let wait at once.
        gate = asyncio.Semaphore(8)
        slow_us: list[int] = []
        sent = 0

        async def enter(number: int) -> None:
            nonlocal sent
            async with gate:
                if await guarded.clearance(Purpose.ENTRY, clock.wall_us() + 5 * SECOND_US) is None:
                    evidence = await guarded.submit(an_order(number), cleared=Purpose.ENTRY)
                    sent += evidence.status is ReportStatus.OPEN

        async def entries() -> None:
            entering = []
            while clock.monotonic_us() < end_us:
                entering.append(asyncio.create_task(enter(len(entering))))
                await clock.sleep(0.02)
            for task in entering:
                task.cancel()
            await asyncio.gather(*entering, return_exceptions=True)

        async def beside(call: Callable[[], Awaitable[object]], every_s: float) -> None:
            while clock.monotonic_us() < end_us:
                began_us = clock.monotonic_us()
                await call()
                slow_us.append(clock.monotonic_us() - began_us)
                await clock.sleep(every_s)

        await asyncio.gather(
            entries(),
            beside(lambda: guarded.cancel(a_reference()), 0.3),
            beside(lambda: guarded.query(a_reference()), 0.3),
            beside(guarded.open_orders, 1.0),
            beside(lambda: guarded.fills_since(""), 1.0),
            beside(guarded.account, 1.0),
        )
        assert not venue.has_banned
        assert max(slow_us) < SECOND_US
        assert sent > 120
        assert {*guarded.breakers.values()} == {CLOSED}

    run_virtually(main)
