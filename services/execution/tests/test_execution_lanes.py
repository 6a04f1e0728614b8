"""Calls in lanes: in order for each order, side by side for different ones, and the first failure is told."""

import asyncio

import pytest

from tollgate_chassis.exits import Restart
from tollgate_execution.lanes import Lanes, Track


async def test_jobs_of_one_lane_run_one_after_the_other_and_lanes_side_by_side() -> None:
    lanes, log, gate = Lanes(8), [], asyncio.Event()

    def job(name: str, *, wait: bool = False):  # type: ignore[no-untyped-def]
        async def run() -> None:
            if wait:
                await gate.wait()
            log.append(name)

        return run

    lanes.run("a", job("a1", wait=True))
    lanes.run("a", job("a2"))
    lanes.run("b", job("b1"))
    await asyncio.wait_for(_until(lambda: log == ["b1"]), 2)
    gate.set()
    await lanes.finish(2)
    assert log == ["b1", "a1", "a2"]


async def test_no_more_than_so_many_run_at_once() -> None:
    lanes, running, most = Lanes(12), 0, 0

    async def job() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    for number in range(150):
        lanes.run(str(number), job, list(Track)[number % 3])
    await lanes.finish(2)
    assert most == 12


@pytest.mark.parametrize("waits", list(Track))
async def test_however_many_of_one_track_wait_the_others_run(waits: Track) -> None:
    """Submits that wait for the venue's limit, or questions that it does not answer, keep no cancel waiting."""
    lanes, gate, ran = Lanes(16), asyncio.Event(), []

    async def waiting() -> None:
        await gate.wait()

    async def runs() -> None:
        ran.append(True)

    for number in range(100):
        lanes.run(str(number), waiting, waits)
    await asyncio.sleep(0)
    for track in Track:
        if track is not waits:
            lanes.run(track.name, runs, track)
    await asyncio.wait_for(_until(lambda: len(ran) == 2), 2)
    gate.set()
    await lanes.finish(2)


async def test_a_job_that_raises_is_told_and_the_rest_of_its_lane_does_not_run() -> None:
    lanes, log = Lanes(2), []

    async def breaks() -> None:
        raise ValueError("no")

    async def never() -> None:
        log.append("ran")

    lanes.run("a", breaks)
    lanes.run("a", never)
    with pytest.raises(ValueError, match="no"):
        await asyncio.wait_for(lanes.failure(), 2)
    await lanes.finish(1)
    assert log == []


async def test_finishing_cancels_what_takes_too_long() -> None:
    lanes, ended = Lanes(2), asyncio.Event()

    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    lanes.run("a", for_ever)
    await asyncio.sleep(0)
    await lanes.finish(0.01)
    assert ended.is_set()


async def _until(condition) -> None:  # type: ignore[no-untyped-def]
    while not condition():
        await asyncio.sleep(0.001)


async def test_a_job_that_is_cancelled_by_what_it_waits_for_is_a_failure_and_not_silence() -> None:
    """Nobody has cancelled the lane: without a word the jobs behind this one would be lost."""
    lanes, waited_for = Lanes(8), asyncio.get_running_loop().create_future()

    async def job() -> None:
        await waited_for

    lanes.run("a", job)
    await asyncio.sleep(0)
    waited_for.cancel()
    with pytest.raises(Restart, match="lane of a"):
        await asyncio.wait_for(lanes.failure(), 2)
    await lanes.finish(0)


async def test_a_lane_that_is_cancelled_at_the_end_is_no_failure() -> None:
    lanes = Lanes(8)
    lanes.run("a", asyncio.Event().wait)  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await lanes.finish(0)
    assert lanes._failed.cancelled()
