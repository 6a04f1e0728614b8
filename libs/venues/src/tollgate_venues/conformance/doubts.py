"""Calls that fail: what an adapter says then, that it says no more, and that it never tries again by itself."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tollgate_contracts.execution import ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_venues.adapter import OrderReference, VenueUnavailable
from tollgate_venues.conformance.bench import Bench
from tollgate_venues.conformance.verdict import NotConformant, expect, expect_equal
from tollgate_venues.conformance.world import Trouble
from tollgate_venues.evidence import Evidence, Failure


@dataclass(frozen=True, slots=True)
class Expected:
    """How a trouble must be told."""

    trouble: Trouble
    failure: Failure
    submit_status: ReportStatus = ReportStatus.NO_ANSWER
    """REJECTED where the venue has said that it did not take the order."""
    retry_after_s: int | None = None


TAXONOMY = (
    Expected(Trouble.BROKEN, Failure.NO_ANSWER),
    Expected(Trouble.SERVER_ERROR, Failure.NO_ANSWER),
    Expected(Trouble.MAINTENANCE, Failure.MAINTENANCE, retry_after_s=60),
    Expected(Trouble.RATE_LIMITED, Failure.RATE_LIMITED, ReportStatus.REJECTED, retry_after_s=2),
    Expected(Trouble.RATE_LIMITED, Failure.RATE_LIMITED, ReportStatus.REJECTED),
    Expected(Trouble.BANNED, Failure.BANNED, ReportStatus.REJECTED, retry_after_s=120),
    Expected(Trouble.UNAUTHORIZED, Failure.UNAUTHORIZED, ReportStatus.REJECTED),
    Expected(Trouble.UNREADABLE, Failure.UNREADABLE),
    Expected(Trouble.STRANGE_NOT_FOUND, Failure.UNREADABLE),
)
_LIMITED = frozenset({Failure.RATE_LIMITED, Failure.BANNED})


def failing(expected: Expected) -> Callable[[Bench], Awaitable[None]]:
    """Return the case that every call tells one trouble as expected, having made one request."""

    async def check(bench: Bench) -> None:
        order = bench.resting()
        reference = bench.named(order, await bench.place(order))
        await _submit_fails(bench, expected)
        for call in (bench.venue.query, bench.venue.cancel):
            for known in (reference, bench.named(order)):
                await _look_up_fails(bench, expected, call, known)
        for question in reads(bench):
            await _question_fails(bench, expected, question)
        asked = await bench.venue.query(reference)
        expect_equal(asked.status, ReportStatus.OPEN, "the order after calls that the venue did not act upon")

    return check


def reads(bench: Bench) -> tuple[Callable[[], Awaitable[Any]], ...]:
    """Return each call that only reads."""
    venue = bench.venue
    return (
        venue.open_orders,
        lambda: venue.recent_orders(1),
        lambda: venue.fills_since(""),
        lambda: venue.movements_since(""),
        venue.account,
    )


async def _submit_fails(bench: Bench, expected: Expected) -> None:
    order = bench.resting()
    said = await _once(bench, expected, lambda: bench.venue.submit(order))
    _tells(said, expected, expected.submit_status)
    if said.status is ReportStatus.REJECTED and said.failure in _LIMITED:
        expect_equal(said.reason, Reason.VENUE_RATE_LIMITED, "reason of a submit that came too fast")
    ids = {each.client_order_id for each in await bench.venue.open_orders()}
    expect(order.client_order_id not in ids, "what was not taken is not there, and was not sent again")


async def _look_up_fails(
    bench: Bench,
    expected: Expected,
    call: Callable[[OrderReference], Awaitable[Evidence]],
    reference: OrderReference,
) -> None:
    said = await _once(bench, expected, lambda: call(reference))
    _tells(said, expected, ReportStatus.NO_ANSWER)


async def _question_fails(bench: Bench, expected: Expected, question: Callable[[], Awaitable[Any]]) -> None:
    try:
        answer = await _once(bench, expected, question)
    except VenueUnavailable as error:
        expect_equal(error.failure, expected.failure, f"failure of a question ({error})")
        expect_equal(error.retry_after_us, _retry_after_us(expected), "retry after")
        return
    raise NotConformant(f"a question that met {expected.trouble} was answered: {answer}")


async def _once(bench: Bench, expected: Expected, call: Callable[[], Awaitable[Any]]) -> Any:
    """Make a call that meets trouble, and see that it was one request, and no more."""
    await bench.world.trouble(expected.trouble, expected.retry_after_s)
    before = bench.world.requests()
    try:
        return await call()
    finally:
        expect_equal(bench.world.requests() - before, 1, f"requests of one call that met {expected.trouble}")


def _tells(said: Evidence, expected: Expected, status: ReportStatus) -> None:
    expect_equal((said.status, said.failure), (status, expected.failure), f"the evidence ({said.detail})")
    expect_equal(said.retry_after_us, _retry_after_us(expected), "retry after")
    expect(bool(said.detail), "it says how the call failed")
    if status is ReportStatus.NO_ANSWER:
        expect_equal(said.reason, Reason.VENUE_UNKNOWN_OUTCOME, "reason of no answer")


def _retry_after_us(expected: Expected) -> int | None:
    return None if expected.retry_after_s is None else expected.retry_after_s * 1_000_000


def taken_and_not_told(trouble: Trouble) -> Callable[[Bench], Awaitable[None]]:
    """Return the case that a submit which the venue took, and did not say so, is found and is there once."""

    async def check(bench: Bench) -> None:
        order = bench.resting()
        await bench.world.trouble(trouble)
        before = bench.world.requests()
        said = await bench.venue.submit(order)
        expect_equal(bench.world.requests() - before, 1, "requests of one submit")
        expect_equal((said.status, said.failure), (ReportStatus.NO_ANSWER, Failure.NO_ANSWER), "the evidence")
        found = await bench.until(bench.named(order), lambda each: each.status is not ReportStatus.ABSENT)
        expect_equal(found.status, ReportStatus.OPEN, f"what became of it ({found.detail})")
        there = [each for each in await bench.venue.open_orders() if each.client_order_id == order.client_order_id]
        expect_equal(len(there), 1, "orders of this id at the venue")
        await bench.world.trouble(trouble)
        cancelled = await bench.venue.cancel(bench.named(order, found))
        expect_equal((cancelled.status, cancelled.failure), (ReportStatus.NO_ANSWER, Failure.NO_ANSWER), "the cancel")
        ended = await bench.ended(bench.named(order, found))
        expect_equal(ended.status, ReportStatus.CANCELLED, "a cancel that was taken and not answered")

    return check


async def a_call_is_one_request(bench: Bench) -> None:
    """When all goes well too: nothing is asked behind the caller's back, whose budget it would use up."""
    order = bench.resting()
    before = bench.world.requests()
    reference = bench.named(order, await bench.place(order))
    expect_equal(bench.world.requests() - before, 1, "requests of a submit")
    for call in (bench.venue.query, bench.venue.cancel):
        before = bench.world.requests()
        await call(reference)
        expect_equal(bench.world.requests() - before, 1, "requests of a call about one order")
    for question in reads(bench):
        before = bench.world.requests()
        await question()
        expect_equal(bench.world.requests() - before, 1, "requests of a question")


async def a_wrong_secret_is_told_as_such(bench: Bench) -> None:
    """Not as an order that is absent, and not as a venue that is silent: trying again would get us banned."""
    stranger = await bench.world.stranger()
    try:
        other = Bench(stranger, bench.world)
        said = await stranger.submit(other.resting())
        expect_equal((said.status, said.failure), (ReportStatus.REJECTED, Failure.UNAUTHORIZED), "a submit")
        asked = await stranger.query(other.named(other.resting()))
        expect_equal((asked.status, asked.failure), (ReportStatus.NO_ANSWER, Failure.UNAUTHORIZED), "a look-up")
        for question in reads(other):
            try:
                await question()
            except VenueUnavailable as error:
                expect_equal(error.failure, Failure.UNAUTHORIZED, "a question")
            else:
                raise NotConformant("a question under a wrong secret was answered")
    finally:
        await stranger.close()
