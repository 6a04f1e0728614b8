"""Budgets: never more calls in a window than the venue allows, and each purpose has its share without waiting."""

import asyncio
from bisect import bisect_left

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import run_virtually, virtual_clock

from tollgate_execution.calls.budget import Budgets, Limits, Purpose, Window

SECOND_US = 1_000_000
WINDOWS = (Window(10, SECOND_US), Window(40, 10 * SECOND_US))


def most_in_any(times_us: list[int], span_us: int) -> int:
    """Return the most calls that begin within any stretch shorter than ``span_us``."""
    return max((bisect_left(times_us, begin + span_us) - at for at, begin in enumerate(times_us)), default=0)


wishes = st.lists(
    st.tuples(st.integers(0, 12 * SECOND_US), st.sampled_from(Purpose), st.integers(0, 5 * SECOND_US)), max_size=120
)
windows = st.lists(st.builds(Window, st.integers(1, 12), st.integers(1, 4 * SECOND_US)), max_size=2).map(tuple)
limits = st.builds(Limits, windows, windows, windows, windows, windows, windows)
OF = {
    Purpose.CANCEL: "cancels",
    Purpose.REDUCE: "submits",
    Purpose.LOOK_UP: "look_ups",
    Purpose.LIST: "lists",
    Purpose.ACCOUNT: "account",
    Purpose.ENTRY: "submits",
}


@settings(deadline=None, max_examples=150)
@given(limits, wishes)
def test_no_window_ever_holds_more_calls_than_it_allows_and_nobody_waits_past_a_deadline(limits, wishes):
    made: list[tuple[int, Purpose]] = []

    async def main() -> None:
        clock = virtual_clock()
        budgets = Budgets(limits, clock)

        async def one(at_us: int, purpose: Purpose, patience_us: int) -> None:
            await clock.sleep(at_us / SECOND_US)
            if patience_us % 10 == 1:
                budgets.of(purpose).slow_down(clock.monotonic_us(), clock.monotonic_us() + patience_us)
            deadline_us = clock.monotonic_us() + patience_us
            is_let_in = await budgets.take(purpose, deadline_us)
            # A timer's own grain.
            assert clock.monotonic_us() <= deadline_us + 2
            if is_let_in:
                made.append((clock.monotonic_us(), purpose))

        await asyncio.gather(*(one(*wish) for wish in wishes))
        assert not budgets._waiting

    run_virtually(main)
    by_name = {name: sorted(us for us, purpose in made if OF[purpose] == name) for name in {*OF.values()}}
    for name, times in by_name.items():
        for window in getattr(limits, name):
            assert most_in_any(times, window.span_us) <= window.calls
    for window in limits.together:
        assert most_in_any(sorted(us for us, _ in made), window.span_us) <= window.calls


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3 * SECOND_US), st.sampled_from(Purpose)), max_size=150))
def test_whoever_has_not_used_up_his_share_of_a_common_limit_never_waits(wishes):
    """Twenty a second together: four cancels and two look-ups of any second go at once, whatever the others do."""
    shares = {Purpose.CANCEL: 4, Purpose.REDUCE: 4, Purpose.LOOK_UP: 2, Purpose.LIST: 2, Purpose.ACCOUNT: 2}

    async def main() -> None:
        clock = virtual_clock()
        budgets = Budgets(Limits(together=(Window(20, SECOND_US),)), clock)
        used: dict[Purpose, list[int]] = {purpose: [] for purpose in Purpose}

        async def one(at_us: int, purpose: Purpose) -> None:
            await clock.sleep(at_us / SECOND_US)
            began_us = clock.monotonic_us()
            recent = sum(us > began_us - SECOND_US for us in used[purpose])
            waiting = any(each.purpose is purpose for each in budgets._waiting)
            assert await budgets.take(purpose, began_us + 60 * SECOND_US)
            if recent < shares.get(purpose, 0) and not waiting:
                assert clock.monotonic_us() == began_us
            used[purpose].append(clock.monotonic_us())

        await asyncio.gather(*(one(*wish) for wish in wishes))

    run_virtually(main)


def test_cancels_and_reducing_orders_never_wait_behind_entries():
    """A hundred entries wait for the same limit; a cancel goes at once, a reducing order too, while its share lasts."""

    async def main() -> None:
        clock = virtual_clock()
        budgets = Budgets(Limits(submits=WINDOWS, cancels=WINDOWS), clock)
        began_us = clock.monotonic_us()
        entries = [asyncio.create_task(budgets.take(Purpose.ENTRY, began_us + 600 * SECOND_US)) for _ in range(100)]
        await clock.sleep(0.01)
        asked_us = clock.monotonic_us()
        assert await budgets.take(Purpose.CANCEL, asked_us)
        assert await budgets.take(Purpose.REDUCE, asked_us)
        assert await budgets.take(Purpose.REDUCE, asked_us)
        assert clock.monotonic_us() == asked_us
        # Beyond its share it waits, and is the next one even so.
        assert await budgets.take(Purpose.REDUCE, asked_us + 60 * SECOND_US)
        (calls,) = (meter._calls for meter in budgets.of(Purpose.REDUCE)._meters if meter._window == WINDOWS[1])
        assert next(purpose for us, purpose in calls if us > asked_us) is Purpose.REDUCE
        await asyncio.gather(*entries)

    run_virtually(main)


def test_who_cannot_be_let_in_by_his_deadline_is_told_at_once_and_takes_nothing():
    async def main() -> None:
        clock = virtual_clock()
        budgets = Budgets(Limits(cancels=(Window(1, 10 * SECOND_US),)), clock)
        began_us = clock.monotonic_us()
        assert await budgets.take(Purpose.CANCEL, began_us)
        assert not await budgets.take(Purpose.CANCEL, began_us + 9 * SECOND_US)
        assert clock.monotonic_us() == began_us
        assert await budgets.take(Purpose.CANCEL, began_us + 10 * SECOND_US)
        assert clock.monotonic_us() - began_us >= 10 * SECOND_US

    run_virtually(main)


def test_one_that_waits_and_is_cancelled_leaves_its_place_to_the_next():
    async def main() -> None:
        clock = virtual_clock()
        budgets = Budgets(Limits(lists=(Window(1, SECOND_US),)), clock)
        deadline_us = clock.monotonic_us() + 60 * SECOND_US
        assert await budgets.take(Purpose.LIST, deadline_us)
        first = asyncio.create_task(budgets.take(Purpose.LIST, deadline_us))
        second = asyncio.create_task(budgets.take(Purpose.LIST, deadline_us))
        await clock.sleep(0.1)
        first.cancel()
        began_us = clock.monotonic_us()
        assert await second
        assert clock.monotonic_us() - began_us < SECOND_US

    run_virtually(main)


def test_a_pause_holds_its_own_kind_of_call_and_no_other():
    async def main() -> None:
        clock = virtual_clock()
        budgets = Budgets(Limits(), clock)
        began_us = clock.monotonic_us()
        budgets.of(Purpose.ENTRY).slow_down(began_us, began_us + 3 * SECOND_US)
        for purpose in (Purpose.CANCEL, Purpose.LOOK_UP, Purpose.LIST, Purpose.ACCOUNT):
            assert await budgets.take(purpose, began_us)
        assert not await budgets.take(Purpose.REDUCE, began_us + 2 * SECOND_US)
        assert await budgets.take(Purpose.ENTRY, began_us + 4 * SECOND_US)
        assert clock.monotonic_us() - began_us >= 3 * SECOND_US

    run_virtually(main)


def test_after_a_refusal_for_speed_half_of_a_window_is_used_and_all_of_it_again_after_a_minute_of_calm():
    async def main() -> None:
        clock = virtual_clock()
        budgets = Budgets(Limits(lists=(Window(8, SECOND_US),)), clock)

        async def in_one_second() -> int:
            now_us = clock.monotonic_us()
            taken = [await budgets.take(Purpose.LIST, now_us) for _ in range(20)]
            await clock.sleep(1)
            return sum(taken)

        counts = [await in_one_second()]
        for _ in range(2):
            now_us = clock.monotonic_us()
            budgets.lists.slow_down(now_us, now_us)
            counts.append(await in_one_second())
        for _ in range(2):
            await clock.sleep(60)
            counts.append(await in_one_second())
        # Of eight, three are kept for look-ups; of four and of two, one and none.
        assert counts == [5, 3, 2, 3, 5]

    run_virtually(main)


@pytest.mark.parametrize("halvings", [0, 1, 3, 9])
@pytest.mark.parametrize("calls", [1, 2, 3, 5, 8, 20])
def test_however_often_a_window_was_halved_there_is_room_for_one_call_of_any_purpose(calls: int, halvings: int):
    """What is kept for others is never all of it, and a window in which nothing is under way is never full."""
    windows = (Window(calls, SECOND_US),)

    async def main() -> None:
        clock = virtual_clock()
        for purpose in Purpose:
            budgets = Budgets(Limits(*[windows] * 6), clock)
            for _ in range(halvings):
                budgets.of(purpose).slow_down(clock.monotonic_us(), clock.monotonic_us())
            assert await budgets.take(purpose, clock.monotonic_us())

    run_virtually(main)


def test_memory_does_not_grow_with_what_was_called():
    async def main() -> None:
        clock = virtual_clock()
        budgets = Budgets(Limits(look_ups=WINDOWS), clock)
        for _ in range(500):
            assert await budgets.take(Purpose.LOOK_UP, clock.monotonic_us() + 60 * SECOND_US)
        assert [len(meter._calls) <= 40 for meter in budgets.of(Purpose.LOOK_UP)._meters] == [True, True]

    run_virtually(main)


def test_however_small_a_window_is_entries_leave_room_for_what_makes_a_position_smaller():
    async def main() -> None:
        budgets = Budgets(Limits(submits=(Window(2, SECOND_US),), together=(Window(6, SECOND_US),)), virtual_clock())
        assert await budgets.take(Purpose.ENTRY, 0)
        assert not await budgets.take(Purpose.ENTRY, 0)
        assert await budgets.take(Purpose.REDUCE, 0)
        assert await budgets.take(Purpose.CANCEL, 0)

    run_virtually(main)


def test_a_process_begins_with_half_of_every_window_and_has_all_of_it_a_window_later():
    async def main() -> None:
        clock = virtual_clock()
        budgets = Budgets(Limits(cancels=(Window(5, SECOND_US),), submits=(Window(10, SECOND_US),)), clock)
        budgets.share_with_the_past()
        assert [await budgets.take(Purpose.CANCEL, 0) for _ in range(4)] == [True, True, True, False]
        assert [await budgets.take(Purpose.REDUCE, 0) for _ in range(6)] == [True] * 5 + [False]
        await clock.sleep(1)
        assert [await budgets.take(Purpose.CANCEL, 0) for _ in range(6)] == [True] * 5 + [False]

    run_virtually(main)
