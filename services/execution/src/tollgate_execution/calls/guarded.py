"""The venue behind its budgets, retries and breakers: a ``VenueAdapter`` around any other one.

The law of this module: a submit leads to one request at most, whatever comes of it. Reads and cancels, which may be
made again without harm, are, within bounds. What is held back here says so in its answer, and never looks like
something that the venue has said.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from tollgate_chassis.clock import SYSTEM_CLOCK, Clock
from tollgate_chassis.telemetry.metrics import execution as metrics
from tollgate_chassis.telemetry.tracing import exemplar
from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.safety import BreakerState, EndpointGroup
from tollgate_execution.calls.answers import Answer, Held, listen, say, value_of
from tollgate_execution.calls.breaker import Breaker, BreakerRules, Pass, Role
from tollgate_execution.calls.budget import Budget, Budgets, Limits, Purpose
from tollgate_execution.calls.retry import Retries, RetryRules
from tollgate_venues.adapter import Capabilities, OrderReference, VenueAdapter, VenueOrder, VenueUnavailable
from tollgate_venues.evidence import AccountEvidence, Evidence, Failure, FillPage, MovementPage, OrderPage

T = TypeVar("T")

_SECOND_US = 1_000_000
# A venue that names a longer wait is not to be believed without an operator: a day.
_WAIT_US_MAX = 86_400 * _SECOND_US
# Where orders are found by the venue's id alone: open orders, recent orders and fills, a page of each.
_LISTS_OF_A_SCAN = 3
_DETAIL_MAX = 500
# Of moves that wait to be said: a tape that is so far behind needs only where the breakers stand in the end.
_MOVES_MAX = 64

_ROLES = {
    Purpose.CANCEL: Role.EXEMPT,
    Purpose.REDUCE: Role.EXEMPT,
    Purpose.LOOK_UP: Role.EXEMPT,
    Purpose.LIST: Role.PROBE,
    Purpose.ACCOUNT: Role.PROBE,
    Purpose.ENTRY: Role.ENTRY,
}


@dataclass(frozen=True, slots=True)
class CallRules:
    """All that bounds the calls to one venue."""

    limits: Limits = field(default_factory=Limits)
    retry: RetryRules = field(default_factory=RetryRules)
    breaker: BreakerRules = field(default_factory=BreakerRules)
    pause_us: int = 1_000_000
    """How long calls of a kind pause after a refusal for speed that names no time; doubles with each in a row."""
    pause_us_max: int = 30_000_000
    """No doubling beyond this."""
    ban_us: int = 60_000_000
    """How long everything rests after a ban that names no time."""


@dataclass(frozen=True, slots=True)
class Move:
    """A breaker's change of state."""

    group: EndpointGroup
    to_state: BreakerState
    why: str
    banned_until_us: int | None = None
    """Until when every call rests, on the wall clock; none where no ban is the reason."""


class GuardedVenue:
    """One account at one venue, called as often as the venue likes."""

    def __init__(self, adapter: VenueAdapter, rules: CallRules, clock: Clock = SYSTEM_CLOCK) -> None:
        self._adapter = adapter
        self._rules = rules
        self._clock = clock
        self._budgets = Budgets(rules.limits, clock)
        self._retries = {purpose: Retries(rules.retry, purpose) for purpose in Purpose}
        self._slowed = dict.fromkeys(Purpose, 0)
        """How often in a row calls of a purpose were refused for speed."""
        self._breakers = {group: Breaker(rules.breaker, partial(self._move, group)) for group in EndpointGroup}
        self._banned_until_us = 0
        self._reasons: dict[EndpointGroup, str] = {}
        self.moves: deque[Move] = deque(maxlen=_MOVES_MAX)
        """The breakers' moves that nobody has said yet, oldest first."""
        self.changed = asyncio.Event()
        """Set whenever a breaker has moved."""

    @property
    def capabilities(self) -> Capabilities:
        """Say what the venue offers."""
        return self._adapter.capabilities

    @property
    def breakers(self) -> Mapping[EndpointGroup, BreakerState]:
        """Return how each breaker stands."""
        return {group: breaker.state for group, breaker in self._breakers.items()}

    def resume(self, breakers: Mapping[EndpointGroup, BreakerState], banned_until_us: int = 0) -> None:
        """Begin with breakers and ban as they stand on the tape, and with budgets that others have drawn upon."""
        now_us = self._clock.monotonic_us()
        for group, state in breakers.items():
            self._breakers[group].resume(state, now_us)
        left_us = min(banned_until_us - self._clock.wall_us(), _WAIT_US_MAX)
        if left_us > 0:
            self._rest(left_us, now_us, "banned, as the process before this one was told")
        self._budgets.share_with_the_past()

    def note_feed(self, *, is_usable: bool, why: str) -> None:
        """Note how the feed of market data is now, as if it had been asked: its calls are made by another service."""
        breaker, now_us = self._breakers[EndpointGroup.MARKET_DATA], self._clock.monotonic_us()
        given = breaker.admit(Role.PROBE, now_us)
        if given is not None:
            breaker.note(given, None if is_usable else Failure.NO_ANSWER, now_us, why=why)

    def describe(self) -> dict[str, Any]:
        """Return breakers, the ban and pauses for an operator."""
        now_us = self._clock.monotonic_us()
        pauses = {purpose.value: self._budgets.of(purpose).paused_until_us - now_us for purpose in Purpose}
        return {
            "breakers": {group.value: state.value for group, state in self.breakers.items()},
            "banned_ms": max(0, self._banned_until_us - now_us) // 1_000,
            "paused_ms": {purpose: left_us // 1_000 for purpose, left_us in pauses.items() if left_us > 0},
        }

    async def connect(self) -> None:
        """Open what can be opened beforehand."""
        await self._adapter.connect()

    async def close(self) -> None:
        """Let go of every connection."""
        await self._adapter.close()

    def user_stream(self, listening: asyncio.Event | None = None) -> AsyncIterator[Evidence]:
        """Yield evidence from one connection until it is lost; it is no call, and nothing is held back."""
        return self._adapter.user_stream(listening)

    async def clearance(self, purpose: Purpose, until_us: int) -> Reason | None:
        """Wait until an order may be submitted, at most until ``until_us`` by the wall clock; say what is against it.

        With none, exactly one ``submit(order, cleared=purpose)`` may follow, at once.
        """
        held = self._held(purpose)
        if held is None:
            deadline_us = self._clock.monotonic_us() + until_us - self._clock.wall_us()
            began_us = self._clock.monotonic_us()
            is_let_in = await self._budgets.take(purpose, deadline_us)
            self._tell_wait("submit", began_us)
            held = self._held(purpose) if is_let_in else _too_fast(purpose)
        if held is None:
            return None
        metrics.VENUE_CALLS.labels(_group_of(purpose), "submit", f"held_{held.failure.value}").inc()
        return held.reason

    async def submit(self, order: VenueOrder, *, cleared: Purpose | None = None) -> Evidence:
        """Place ``order`` with one request, or say ``NOT_SENT``; never tries again.

        ``cleared`` is what clearance was given for; without it, it is waited for here, as long as a read would be.
        """
        purpose = cleared or (Purpose.REDUCE if order.reduce_only else Purpose.ENTRY)
        if cleared is None:
            until_us = self._clock.wall_us() + self._rules.retry.time_us_max
            reason = await self.clearance(purpose, until_us)
            if reason is not None:
                return _not_sent(order, reason)
        held = self._held(purpose)
        given = None if held is not None else self._breaker(purpose).admit(_ROLES[purpose], self._clock.monotonic_us())
        if given is None:
            return _not_sent(order, Reason.VENUE_BREAKER_OPEN if held is None else held.reason)
        budget = self._budgets.of(purpose)
        answer = await self._once("submit", purpose, given, budget, lambda: say(self._adapter.submit(order)))
        return value_of(answer)

    async def cancel(self, reference: OrderReference) -> Evidence:
        """Ask for a cancel, again where nothing was heard: cancelling twice is cancelling once."""
        return await self._ask(
            "cancel", Purpose.CANCEL, reference, ReportSource.CANCEL, lambda: self._adapter.cancel(reference)
        )

    async def query(self, reference: OrderReference) -> Evidence:
        """Ask what became of an order."""
        return await self._ask(
            "query", Purpose.LOOK_UP, reference, ReportSource.QUERY, lambda: self._adapter.query(reference)
        )

    async def open_orders(self) -> list[Evidence]:
        """Return every open order. Raises ``VenueUnavailable``."""
        return await self._read("open_orders", Purpose.LIST, self._adapter.open_orders)

    async def recent_orders(self, since_us: int) -> OrderPage:
        """Return orders that changed at or after ``since_us``. Raises ``VenueUnavailable``."""
        return await self._read("recent_orders", Purpose.LIST, lambda: self._adapter.recent_orders(since_us))

    async def fills_since(self, cursor: str) -> FillPage:
        """Return fills after ``cursor``. Raises ``VenueUnavailable``."""
        return await self._read("fills", Purpose.LIST, lambda: self._adapter.fills_since(cursor))

    async def movements_since(self, cursor: str) -> MovementPage:
        """Return movements of money after ``cursor``. Raises ``VenueUnavailable``."""
        return await self._read("movements", Purpose.ACCOUNT, lambda: self._adapter.movements_since(cursor))

    async def account(self) -> AccountEvidence:
        """Return balances, positions and fees. Raises ``VenueUnavailable``."""
        return await self._read("account", Purpose.ACCOUNT, self._adapter.account)

    async def _ask(
        self,
        call: str,
        purpose: Purpose,
        reference: OrderReference,
        source: ReportSource,
        make: Callable[[], Awaitable[Evidence]],
    ) -> Evidence:
        scans = reference.venue_order_id is None and not self._adapter.capabilities.looks_up_by_client_id
        came = await self._call(call, purpose, lambda: say(make()), lists=_LISTS_OF_A_SCAN if scans else 0)
        if isinstance(came, Answer):
            return value_of(came)
        return Evidence(
            reference.client_order_id,
            source,
            ReportStatus.NO_ANSWER,
            reason=came.reason,
            detail=f"not asked: {came.why}"[:_DETAIL_MAX],
            failure=came.failure,
            retry_after_us=came.retry_after_us,
        )

    async def _read(self, call: str, purpose: Purpose, make: Callable[[], Awaitable[T]]) -> T:
        came = await self._call(call, purpose, lambda: listen(make()))
        if isinstance(came, Held):
            raise VenueUnavailable(f"{call}: not asked: {came.why}", came.failure, came.retry_after_us)
        return value_of(came)

    async def _call(
        self, call: str, purpose: Purpose, make: Callable[[], Awaitable[Answer[T]]], *, lists: int = 0
    ) -> Answer[T] | Held:
        """Make a call that may be made again, as often as it may; the last answer counts."""
        deadline_us = self._clock.monotonic_us() + self._rules.retry.time_us_max
        # Of a look-up that scans, it is the lists that are asked for too fast.
        budget = self._budgets.lists if lists else self._budgets.of(purpose)
        last: Answer[T] | None = None
        attempts = 0
        while True:
            given = await self._admit(call, purpose, deadline_us, lists)
            if isinstance(given, Held):
                metrics.VENUE_CALLS.labels(_group_of(purpose), call, f"held_{given.failure.value}").inc()
                return last or given
            attempts += 1
            last = await self._once(call, purpose, given, budget, make)
            delay_us = self._delay_us(purpose, last, attempts)
            if delay_us is None or self._clock.monotonic_us() + delay_us > deadline_us:
                return last
            metrics.VENUE_RETRIES.labels(_group_of(purpose), call).inc()
            await self._clock.sleep(delay_us / _SECOND_US)

    def _delay_us(self, purpose: Purpose, answer: Answer[T], attempts: int) -> int | None:
        # A breaker that has opened meanwhile says that asking again is of no use.
        if answer.failure is None or self._breaker(purpose).state is not BreakerState.CLOSED:
            return None
        retries = self._retries[purpose]
        wanted_us = retries.delay_us(answer.failure, attempts, answer.retry_after_us, self._clock.random())
        return wanted_us if wanted_us is not None and retries.take(self._clock.monotonic_us()) else None

    async def _admit(self, call: str, purpose: Purpose, deadline_us: int, lists: int) -> Pass | Held:
        held = self._held(purpose)
        if held is not None:
            return held
        began_us = self._clock.monotonic_us()
        # A look-up that scans makes no call of its own kind.
        draws: list[Budget | None] = [self._budgets.lists] * lists
        if not lists or purpose is Purpose.CANCEL:
            draws.append(None)
        for budget in draws:
            if not await self._budgets.take(purpose, deadline_us, budget):
                return _too_fast(purpose)
        self._tell_wait(call, began_us)
        # What held nothing back before the wait may do so now.
        held = self._held(purpose)
        if held is not None:
            return held
        given = self._breaker(purpose).admit(self._role(purpose), self._clock.monotonic_us())
        return given or self._behind_breaker(purpose)

    async def _once(
        self, call: str, purpose: Purpose, given: Pass, budget: Budget, make: Callable[[], Awaitable[Answer[T]]]
    ) -> Answer[T]:
        breaker, group, began_us = self._breaker(purpose), _group_of(purpose), self._clock.monotonic_us()
        try:
            answer = await make()
        except BaseException:
            breaker.give_back(given)
            raise
        now_us = self._clock.monotonic_us()
        wait_us = None if answer.retry_after_us is None else min(answer.retry_after_us, _WAIT_US_MAX)
        metrics.VENUE_SECONDS.labels(group, call).observe((now_us - began_us) / _SECOND_US, exemplar())
        metrics.VENUE_CALLS.labels(group, call, answer.failure.value if answer.failure else "answered").inc()
        why = f"{call}: {answer.failure.value}: {answer.why}"[:_DETAIL_MAX] if answer.failure else ""
        self._slow_down(purpose, budget, answer.failure, wait_us, now_us)
        if answer.failure is Failure.BANNED:
            wait_us = self._rest(wait_us or self._rules.ban_us, now_us, why)
        breaker.note(given, answer.failure, now_us, retry_after_us=wait_us, why=why)
        return answer

    def _slow_down(
        self, purpose: Purpose, budget: Budget, failure: Failure | None, wait_us: int | None, now_us: int
    ) -> None:
        if failure is None:
            self._slowed[purpose] = 0
        if failure is not Failure.RATE_LIMITED:
            return
        # Calls that were under way together are refused together, and are one refusal.
        if now_us >= budget.paused_until_us:
            self._slowed[purpose] += 1
        if wait_us is None:
            # A call of another purpose may have begun the pause, and then this one has not slowed down itself.
            doublings = min(max(self._slowed[purpose] - 1, 0), 30)
            longest_us = min(self._rules.pause_us << doublings, self._rules.pause_us_max)
            # Half of it at least: a wait of nothing is what the venue has just refused.
            wait_us = longest_us // 2 + int(longest_us // 2 * self._clock.random())
        budget.slow_down(now_us, now_us + wait_us)

    def _rest(self, for_us: int, now_us: int, why: str) -> int:
        """Stop all calls of the account: under a ban every one of them makes it longer."""
        self._banned_until_us = max(self._banned_until_us, now_us + for_us)
        until_us = self._clock.wall_us() + self._banned_until_us - now_us
        metrics.VENUE_BANNED_UNTIL.set(until_us / _SECOND_US)
        for group in (EndpointGroup.ORDERS, EndpointGroup.ACCOUNT):
            self._breakers[group].trip(Failure.BANNED, now_us, for_us, why)
        # It is said even where the breaker is open already: the process after this one must know it.
        self._reasons[EndpointGroup.ORDERS] = why
        self._tell(Move(EndpointGroup.ORDERS, BreakerState.OPEN, why, until_us))
        return for_us

    def _held(self, purpose: Purpose) -> Held | None:
        now_us = self._clock.monotonic_us()
        if now_us < self._banned_until_us:
            left_us = self._banned_until_us - now_us
            why = f"banned for another {left_us // _SECOND_US} s"
            return Held(Failure.BANNED, Reason.VENUE_RATE_LIMITED, why, left_us)
        market = self._breakers[EndpointGroup.MARKET_DATA]
        if purpose is Purpose.ENTRY and market.state is not BreakerState.CLOSED:
            return Held(Failure.NO_ANSWER, Reason.VENUE_BREAKER_OPEN, "the breaker of MARKET_DATA is open")
        is_held = self._breaker(purpose).holds(self._role(purpose), now_us)
        return self._behind_breaker(purpose) if is_held else None

    def _behind_breaker(self, purpose: Purpose) -> Held:
        breaker, group = self._breaker(purpose), _group_of(purpose)
        left_us = max(0, breaker.open_until_us - self._clock.monotonic_us())
        why = f"the breaker of {group.value} is {breaker.state.value}: {self._reasons.get(group, 'since the start')}"
        return Held(Failure.NO_ANSWER, Reason.VENUE_BREAKER_OPEN, why, left_us)

    def _breaker(self, purpose: Purpose) -> Breaker:
        return self._breakers[_group_of(purpose)]

    def _role(self, purpose: Purpose) -> Role:
        # Every try with a refused key brings a ban nearer; a look-up can wait, taking risk back cannot.
        if purpose is Purpose.LOOK_UP and self._breaker(purpose).cause is Failure.UNAUTHORIZED:
            return Role.PROBE
        return _ROLES[purpose]

    def _move(self, group: EndpointGroup, _before: BreakerState, after: BreakerState, why: str) -> None:
        self._reasons[group] = why
        self._tell(Move(group, after, why))

    def _tell(self, move: Move) -> None:
        self.moves.append(move)
        self.changed.set()

    def _tell_wait(self, call: str, began_us: int) -> None:
        waited_us = self._clock.monotonic_us() - began_us
        metrics.VENUE_WAIT_SECONDS.labels(call).observe(waited_us / _SECOND_US)


def _group_of(purpose: Purpose) -> EndpointGroup:
    return EndpointGroup.ACCOUNT if purpose is Purpose.ACCOUNT else EndpointGroup.ORDERS


def _too_fast(purpose: Purpose) -> Held:
    return Held(Failure.RATE_LIMITED, Reason.PACE_RATE, f"no room in the budget of {purpose.value} in time")


def _not_sent(order: VenueOrder, reason: Reason) -> Evidence:
    return Evidence(
        order.client_order_id, ReportSource.SUBMIT, ReportStatus.NOT_SENT, reason=reason, detail=reason.value
    )
