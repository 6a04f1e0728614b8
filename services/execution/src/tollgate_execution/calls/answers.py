"""What came of a call, in one form for those that return evidence and those that raise."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tollgate_contracts.execution import ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_venues.adapter import VenueUnavailable
from tollgate_venues.evidence import Evidence, Failure

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Held:
    """A call that was not made."""

    failure: Failure
    """As which the caller sees it."""
    reason: Reason
    why: str
    retry_after_us: int | None = None


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What came of a call that was made."""

    value: T | None
    """None where ``error`` is to be raised."""
    failure: Failure | None
    why: str = ""
    retry_after_us: int | None = None
    error: VenueUnavailable | None = None


async def say(making: Awaitable[Evidence]) -> Answer[Evidence]:
    """Make a call that returns evidence whatever happens."""
    evidence = await making
    failure = evidence.failure
    if failure is None and evidence.status is ReportStatus.NO_ANSWER:
        failure = Failure.NO_ANSWER
    return Answer(evidence, failure, evidence.detail, evidence.retry_after_us)


async def listen(making: Awaitable[T]) -> Answer[T]:
    """Make a call that raises ``VenueUnavailable`` when it fails."""
    try:
        return Answer(await making, None)
    except VenueUnavailable as error:
        return Answer(None, error.failure, str(error), error.retry_after_us, error)


def value_of(answer: Answer[T]) -> T:
    """Return what the venue said; raises what the call raised."""
    if answer.error is not None:
        raise answer.error
    assert answer.value is not None  # noqa: S101 - what holds no error holds a value
    return answer.value
