"""How many calls the venue lets us make, and who may make them: exact windows with a share for each purpose.

The law of this module: in any stretch of time as long as a window no more calls are begun than the window allows,
and a purpose that has not used up its share of a window never waits for another one. Waiting is bounded by the
caller's deadline, and is given up at once when it cannot end before that.

A window is a log of the calls within it. A token bucket would let nearly twice the limit through in one window,
first the full bucket and then what runs in, and the venue counts windows.
"""

from bisect import insort
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tollgate_chassis.clock import Clock

_SECOND_US = 1_000_000


class Purpose(StrEnum):
    """What a call is for; of those that wait, the one that stands first here goes first."""

    CANCEL = "cancel"
    """Takes an order back: makes risk smaller."""
    REDUCE = "reduce"
    """Submits an order that makes a position smaller."""
    LOOK_UP = "look_up"
    """Asks what became of an order."""
    LIST = "list"
    """Reads orders or fills, as reconciliation does."""
    ACCOUNT = "account"
    """Reads balances, positions or movements."""
    ENTRY = "entry"
    """Submits any other order."""


# After a refusal for speed half of the windows is used, after another one a quarter; what was halved is doubled again
# each minute without a refusal, so that a limit that was wrong in our configuration costs a few refusals a minute.
_HALVINGS_MAX = 6
_DOUBLE_AFTER_US = 60 * _SECOND_US

_URGENCY = {purpose: rank for rank, purpose in enumerate(Purpose)}

# In percent of a window that several purposes share: so much of it the others leave alone. What they add up to less
# than a hundred is for whoever comes, so that entries, which have no share, are not shut out.
_OF_SUBMITS = {Purpose.REDUCE: 20}
_OF_LISTS = {Purpose.LOOK_UP: 40, Purpose.LIST: 40}
_OF_ALL = {Purpose.CANCEL: 20, Purpose.REDUCE: 20, Purpose.LOOK_UP: 10, Purpose.LIST: 10, Purpose.ACCOUNT: 10}


@dataclass(frozen=True, slots=True)
class Window:
    """At most ``calls`` in any ``span_us`` microseconds."""

    calls: int
    span_us: int


@dataclass(frozen=True, slots=True)
class Limits:
    """The venue's limits by kind of call, each with any number of windows; none means no limit."""

    submits: tuple[Window, ...] = ()
    cancels: tuple[Window, ...] = ()
    look_ups: tuple[Window, ...] = ()
    lists: tuple[Window, ...] = ()
    account: tuple[Window, ...] = ()
    together: tuple[Window, ...] = ()
    """Over all calls of the account, where the venue counts them so."""


class Meter:
    """The calls within one window; ``shares`` are the calls in it that are kept for a purpose."""

    def __init__(self, window: Window, shares: Mapping[Purpose, int]) -> None:
        self._window = window
        self._shares = dict(shares)
        self._calls: deque[tuple[int, Purpose]] = deque()
        self._used: Counter[Purpose] = Counter()

    def has_room(self, purpose: Purpose, now_us: int, halvings: int = 0) -> bool:
        """Say whether one more call of this purpose may begin now, with the window halved so many times."""
        self._forget(now_us)
        kept = sum(
            max(0, (share >> halvings) - self._used[other])
            for other, share in self._shares.items()
            if other is not purpose
        )
        room = max(1, self._window.calls >> halvings)
        # In a window that is halved often what is kept can be all of it: one call is for whoever comes.
        return len(self._calls) + min(kept, room - 1) < room

    def count(self, purpose: Purpose, now_us: int) -> None:
        """Note that a call begins now."""
        self._calls.append((now_us, purpose))
        self._used[purpose] += 1

    def share_with_the_past(self, now_us: int) -> None:
        """Take half of the window for used: what a process before this one has called within it is not known."""
        for _ in range(self._window.calls // 2):
            self.count(Purpose.ENTRY, now_us)

    def room_us(self) -> int:
        """Return the earliest time at which there can be more room than now."""
        return self._calls[0][0] + self._window.span_us

    def _forget(self, now_us: int) -> None:
        while self._calls and self._calls[0][0] + self._window.span_us <= now_us:
            _, purpose = self._calls.popleft()
            self._used[purpose] -= 1


class Budget:
    """One limit of the venue, with all its windows, and a pause when the venue has asked for one."""

    def __init__(self, windows: Iterable[Window], percent: Mapping[Purpose, int]) -> None:
        self._meters = [Meter(window, _shares(window.calls, percent)) for window in windows]
        self.paused_until_us = 0
        self._halvings = 0
        self._halved_us = 0

    def slow_down(self, now_us: int, until_us: int) -> None:
        """Pause until ``until_us``, and go on with half of the windows: the venue allows less than we were told."""
        # Calls that were under way together are refused together, and are one refusal.
        if now_us >= self.paused_until_us:
            self._halvings = min(self._halvings + 1, _HALVINGS_MAX)
        self._halved_us = now_us
        self.paused_until_us = max(self.paused_until_us, until_us)

    def has_room(self, purpose: Purpose, now_us: int) -> bool:
        """Say whether one more call of this purpose may begin now."""
        while self._halvings and now_us - self._halved_us >= _DOUBLE_AFTER_US:
            self._halvings -= 1
            self._halved_us += _DOUBLE_AFTER_US
        if now_us < self.paused_until_us:
            return False
        return all(meter.has_room(purpose, now_us, self._halvings) for meter in self._meters)

    def count(self, purpose: Purpose, now_us: int) -> None:
        """Note that a call begins now."""
        for meter in self._meters:
            meter.count(purpose, now_us)

    def share_with_the_past(self, now_us: int) -> None:
        """Begin with half of every window."""
        for meter in self._meters:
            meter.share_with_the_past(now_us)

    def room_us(self, purpose: Purpose, now_us: int) -> int:
        """Return the earliest time at which there can be room; not before ``now_us``."""
        full = [meter.room_us() for meter in self._meters if not meter.has_room(purpose, now_us, self._halvings)]
        return max(now_us, self.paused_until_us, *full)


def _shares(calls: int, percent: Mapping[Purpose, int]) -> dict[Purpose, int]:
    """Return how many of ``calls`` are kept for each purpose: one at least, the most urgent first, while one is left.

    Of a small window a fifth is nothing, and entries would have all of it.
    """
    shares = {purpose: calls * share // 100 for purpose, share in percent.items()}
    for purpose, share in shares.items():
        if not share and sum(shares.values()) + 1 < calls:
            shares[purpose] = 1
    return shares


@dataclass(order=True, slots=True)
class _Waiting:
    urgency: int
    number: int
    purpose: Purpose = field(compare=False)
    budgets: tuple[Budget, ...] = field(compare=False)
    is_let_in: bool = field(compare=False, default=False)


class Budgets:
    """All limits of one account at one venue."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._clock = clock
        submits = Budget(limits.submits, _OF_SUBMITS)
        self.lists = Budget(limits.lists, _OF_LISTS)
        self._own = {
            Purpose.CANCEL: Budget(limits.cancels, {}),
            Purpose.REDUCE: submits,
            Purpose.LOOK_UP: Budget(limits.look_ups, {}),
            Purpose.LIST: self.lists,
            Purpose.ACCOUNT: Budget(limits.account, {}),
            Purpose.ENTRY: submits,
        }
        self._together = Budget(limits.together, _OF_ALL)
        self._waiting: list[_Waiting] = []
        self._number = 0

    def of(self, purpose: Purpose) -> Budget:
        """Return the budget that calls of this purpose draw upon."""
        return self._own[purpose]

    def share_with_the_past(self) -> None:
        """Begin with half of every window: a process that has just ended may have used up the rest."""
        now_us = self._clock.monotonic_us()
        each_once = {id(budget): budget for budget in (*self._own.values(), self._together)}
        for budget in each_once.values():
            budget.share_with_the_past(now_us)

    async def take(self, purpose: Purpose, deadline_us: int, budget: Budget | None = None) -> bool:
        """Wait for room for one call and take it; false when there can be none by ``deadline_us``, monotonic.

        ``budget`` is another than the purpose's own, for a look-up that has to read lists.
        """
        now_us = self._clock.monotonic_us()
        self._number += 1
        budgets = (budget or self._own[purpose], self._together)
        ours = _Waiting(_URGENCY[purpose], self._number, purpose, budgets)
        insort(self._waiting, ours)
        try:
            self._let_in(now_us)
            while not ours.is_let_in:
                room_us = max(each.room_us(purpose, now_us) for each in budgets)
                if room_us > deadline_us:
                    return False
                await self._clock.sleep((room_us - now_us + 1) / _SECOND_US)
                now_us = self._clock.monotonic_us()
                self._let_in(now_us)
        finally:
            if not ours.is_let_in:
                self._waiting.remove(ours)
        return True

    def _let_in(self, now_us: int) -> None:
        """Let in whoever has room, the most urgent first; whoever wakes does it for all."""
        full: list[tuple[Purpose, Budget]] = []
        for waiting in list(self._waiting):
            own = (waiting.purpose, waiting.budgets[0])
            if own in full:
                continue
            if not all(budget.has_room(waiting.purpose, now_us) for budget in waiting.budgets):
                full.append(own)
                continue
            for budget in waiting.budgets:
                budget.count(waiting.purpose, now_us)
            waiting.is_let_in = True
            self._waiting.remove(waiting)
