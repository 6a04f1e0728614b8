"""When a question is asked again: only after failures that pass, a bounded number of times, ever later, with jitter.

What may be asked again is decided by the caller, and a submit is not: only its sender knows whether it may.
"""

from dataclasses import dataclass, field

from tollgate_execution.calls.budget import Meter, Purpose, Window
from tollgate_venues.evidence import TRANSIENT, Failure


@dataclass(frozen=True, slots=True)
class RetryRules:
    """How often, how soon and how long a read or a cancel is tried again."""

    attempts_max: int = 3
    """Calls made for one question, the first one included."""
    delay_us: int = 100_000
    """Longest wait before the second attempt; doubles with each, and chance takes any part of it."""
    delay_us_max: int = 2_000_000
    """No doubling beyond this."""
    time_us_max: int = 5_000_000
    """No attempt begins later than this after the question was put, waits for a budget included."""
    budget: Window = field(default_factory=lambda: Window(20, 10_000_000))
    """Second and later attempts of each purpose: a venue that fails is not asked three times as much."""


class Retries:
    """Second attempts of one purpose."""

    def __init__(self, rules: RetryRules, purpose: Purpose) -> None:
        self._rules = rules
        self._purpose = purpose
        self._meter = Meter(rules.budget, {})

    def delay_us(self, failure: Failure, attempts: int, retry_after_us: int | None, chance: float) -> int | None:
        """Return how long to wait before trying again after ``attempts`` calls; none where it is over.

        ``chance`` is from 0 up to but not including 1; what the venue asks us to wait is waited on top of it.
        """
        if failure not in TRANSIENT or attempts >= self._rules.attempts_max:
            return None
        # After so many doublings any delay is at its bound, and shifts stay small whatever is configured.
        longest_us = min(self._rules.delay_us << min(attempts - 1, 30), self._rules.delay_us_max)
        return (retry_after_us or 0) + int(longest_us * chance)

    def take(self, now_us: int) -> bool:
        """Take one second attempt from the budget; false when it is used up."""
        if not self._rules.budget.calls or not self._meter.has_room(self._purpose, now_us):
            return False
        self._meter.count(self._purpose, now_us)
        return True
