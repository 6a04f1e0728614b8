"""The part of the configuration that says how the venue is called."""

from typing import Annotated

from pydantic import Field

from tollgate_chassis.settings import Section
from tollgate_execution.calls.breaker import BreakerRules
from tollgate_execution.calls.budget import Limits, Window
from tollgate_execution.calls.guarded import CallRules
from tollgate_execution.calls.retry import RetryRules

Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]
Count = Annotated[int, Field(ge=1, le=100_000)]


class WindowSection(Section):
    """A limit of the venue."""

    calls: Count
    """Calls begun in any such time."""
    per_ms: Milliseconds
    """How long the time is."""


Windows = Annotated[tuple[WindowSection, ...], Field(max_length=4)]


class LimitsSection(Section):
    """The venue's limits by kind of call, each of any number of windows at once; none is no limit."""

    submits: Windows = (WindowSection(calls=100, per_ms=1_000),)
    """Orders sent; a fifth is kept for those that make a position smaller."""
    cancels: Windows = (WindowSection(calls=100, per_ms=1_000),)
    """Cancels."""
    look_ups: Windows = (WindowSection(calls=300, per_ms=1_000),)
    """Questions after one order."""
    lists: Windows = (WindowSection(calls=50, per_ms=1_000),)
    """Pages of orders and fills, as reconciliation reads them."""
    account: Windows = (WindowSection(calls=50, per_ms=1_000),)
    """Balances, positions and movements."""
    together: Windows = ()
    """All calls of the account, where the venue counts them together; each kind but entries has a share kept."""
    slack_ms: Annotated[int, Field(ge=0, le=60_000)] = 50
    """Added to each window: what leaves evenly may arrive in a bunch."""

    def to_limits(self) -> Limits:
        """Return the same in microseconds."""

        def of(windows: Windows) -> tuple[Window, ...]:
            return tuple(Window(each.calls, (each.per_ms + self.slack_ms) * 1_000) for each in windows)

        return Limits(
            submits=of(self.submits),
            cancels=of(self.cancels),
            look_ups=of(self.look_ups),
            lists=of(self.lists),
            account=of(self.account),
            together=of(self.together),
        )


class CallsSection(Section):
    """How the venue is called: budgets, retries and breakers."""

    limits: LimitsSection = LimitsSection()
    attempts_max: Annotated[int, Field(ge=1, le=10)] = 3
    """Calls made for one read or one cancel, the first included; an order is never sent again in doubt."""
    retry_delay_ms: Milliseconds = 100
    """Longest wait before the second attempt; doubles with each, and chance takes any part of it."""
    retry_delay_ms_max: Milliseconds = 2_000
    """No doubling beyond this."""
    # Longer, and a question would hold up the orders and rounds that wait for its answer.
    retry_time_ms_max: Annotated[int, Field(ge=1, le=10_000)] = 5_000
    """No attempt of a read or a cancel begins later than this after the first was wanted."""
    retries_per_10_s_max: Annotated[int, Field(ge=0, le=10_000)] = 20
    """Second and later attempts in any ten seconds, for each kind of call."""
    failures_max: Annotated[int, Field(ge=1, le=1_000)] = 5
    """Failures in a row that open a breaker."""
    failure_window_ms: Milliseconds = 30_000
    """How far back a breaker's rate of failures looks."""
    failure_calls_min: Annotated[int, Field(ge=1, le=256)] = 10
    """Calls in that time below which there is no rate."""
    failed_percent: Annotated[int, Field(ge=1, le=100)] = 50
    """Share of failed calls in that time that opens a breaker."""
    open_ms: Milliseconds = 1_000
    """How long a breaker stays open; doubles each time that a probe fails."""
    # Longer, and a venue that is well again would not be traded on for as long.
    open_ms_max: Annotated[int, Field(ge=1, le=600_000)] = 30_000
    """No doubling beyond this."""
    unauthorized_ms: Annotated[int, Field(ge=1, le=600_000)] = 30_000
    """How long a breaker stays open after a refused key."""
    probes_max: Annotated[int, Field(ge=1, le=100)] = 2
    """Probes under way at once while a breaker is half open, and successes in a row that close it."""
    pause_ms: Milliseconds = 1_000
    """Longest pause after a refusal for speed that names no time; doubles with each in a row."""
    pause_ms_max: Milliseconds = 30_000
    """No doubling beyond this."""
    ban_ms: Milliseconds = 60_000
    """How long everything rests after a ban that names no time."""

    def to_rules(self) -> CallRules:
        """Return the same in microseconds."""
        return CallRules(
            limits=self.limits.to_limits(),
            retry=RetryRules(
                attempts_max=self.attempts_max,
                delay_us=self.retry_delay_ms * 1_000,
                delay_us_max=self.retry_delay_ms_max * 1_000,
                time_us_max=self.retry_time_ms_max * 1_000,
                budget=Window(self.retries_per_10_s_max, 10_000_000),
            ),
            breaker=BreakerRules(
                failures_max=self.failures_max,
                window_us=self.failure_window_ms * 1_000,
                calls_min=self.failure_calls_min,
                failed_percent=self.failed_percent,
                open_us=self.open_ms * 1_000,
                open_us_max=self.open_ms_max * 1_000,
                unauthorized_us=self.unauthorized_ms * 1_000,
                probes_max=self.probes_max,
            ),
            pause_us=self.pause_ms * 1_000,
            pause_us_max=self.pause_ms_max * 1_000,
            ban_us=self.ban_ms * 1_000,
        )
