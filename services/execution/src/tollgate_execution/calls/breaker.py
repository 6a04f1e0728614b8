"""A breaker for one group of venue calls: after too many failures it stops what can wait, and then feels its way.

Pure: time is given, in monotonic microseconds. CLOSED lets everything through. OPEN holds entries and reads back until
its time is over. HALF_OPEN lets a few reads through as probes; when they succeed it closes, when one fails it opens for
twice as long. Cancels, reducing orders and look-ups are never held back here; their outcomes count like any other.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from tollgate_contracts.safety import BreakerState
from tollgate_venues.evidence import Failure


class Verdict(Enum):
    """What the outcome of a call says of the calls to come."""

    WELL = auto()
    """The venue does its work, even if it refuses."""
    FAILED = auto()
    """One of those that open the breaker when they are many."""
    TRIPS = auto()
    """The venue has said that others will fail too."""
    NEITHER = auto()
    """Says something of us, and not of the venue."""


VERDICTS: dict[Failure | None, Verdict] = {
    None: Verdict.WELL,
    Failure.REFUSED: Verdict.WELL,
    Failure.NO_ANSWER: Verdict.FAILED,
    Failure.UNREADABLE: Verdict.FAILED,
    # One that was late on its way is no reason to stop; a clock that is off refuses so many in a row at once.
    Failure.OUT_OF_TIME: Verdict.FAILED,
    Failure.RATE_LIMITED: Verdict.NEITHER,
    Failure.BANNED: Verdict.TRIPS,
    Failure.MAINTENANCE: Verdict.TRIPS,
    Failure.UNAUTHORIZED: Verdict.TRIPS,
}


class Role(StrEnum):
    """How a call stands to the breaker."""

    ENTRY = "entry"
    """Goes only while it is closed."""
    PROBE = "probe"
    """Goes while it is closed, and while it is half open as one of the probes."""
    EXEMPT = "exempt"
    """Goes always."""


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When it opens, for how long, and what closes it."""

    failures_max: int = 5
    """Failures in a row that open it."""
    window_us: int = 30_000_000
    """How far back the rate of failures looks."""
    calls_min: int = 10
    """Calls in the window below which there is no rate."""
    failed_percent: int = 50
    """Share of failed calls in the window that opens it."""
    open_us: int = 1_000_000
    """How long it stays open; doubles each time that a probe fails."""
    open_us_max: int = 30_000_000
    """No doubling beyond this, whatever the venue asks for apart."""
    unauthorized_us: int = 30_000_000
    """How long it stays open after a refused key: another try changes nothing, and many get us banned."""
    probes_max: int = 2
    """Probes under way at once while half open, and successes in a row that close it."""


# The calls that the rate looks at: more of them in a window tell nothing more.
_CALLS_MAX = 256


@dataclass(frozen=True, slots=True)
class Pass:
    """One call that was let through; its outcome is to be noted, or the pass given back."""

    turn: int
    """In which stretch between two changes of state it was let through: an older outcome tells nothing of this one."""
    is_probe: bool


Tell = Callable[[BreakerState, BreakerState, str], None]


class Breaker:
    """One group's breaker; ``tell`` hears of each change: from, to, and why in words."""

    def __init__(self, rules: BreakerRules, tell: Tell) -> None:
        self._rules = rules
        self._tell = tell
        self.state = BreakerState.CLOSED
        self.cause: Failure | None = None
        """What opened it; none while it is closed, and after a start."""
        self.open_until_us = 0
        self._turn = 0
        self._outcomes: deque[tuple[int, bool]] = deque(maxlen=_CALLS_MAX)
        self._in_a_row = 0
        self._probes = 0
        self._openings = 0
        self._closed_us = 0

    def resume(self, state: BreakerState, now_us: int) -> None:
        """Begin where the process before this one stopped: a restart is no reason to believe in the venue."""
        if state is not BreakerState.CLOSED:
            self.state = BreakerState.OPEN
            self.open_until_us = now_us + self._rules.open_us
            self._turn += 1

    def holds(self, role: Role, now_us: int) -> bool:
        """Say whether a call of this role is held back for longer than a probe takes; changes nothing."""
        if role is Role.ENTRY:
            return self.state is not BreakerState.CLOSED
        return role is Role.PROBE and self.state is BreakerState.OPEN and now_us < self.open_until_us

    def admit(self, role: Role, now_us: int) -> Pass | None:
        """Return a pass for a call that begins now; none when it is held back."""
        if self.state is BreakerState.OPEN and now_us >= self.open_until_us:
            self._become(BreakerState.HALF_OPEN, "its time is over: a few calls will show")
        if role is Role.EXEMPT or self.state is BreakerState.CLOSED:
            return Pass(self._turn, is_probe=False)
        if role is Role.ENTRY or self.state is BreakerState.OPEN or self._probes >= self._rules.probes_max:
            return None
        self._probes += 1
        return Pass(self._turn, is_probe=True)

    def give_back(self, given: Pass) -> None:
        """Note that a call was not made, or ended without any outcome."""
        if given.is_probe and given.turn == self._turn:
            self._probes -= 1

    def note(
        self, given: Pass, failure: Failure | None, now_us: int, *, retry_after_us: int | None = None, why: str = ""
    ) -> None:
        """Note the outcome of a call; ``retry_after_us`` is what the venue asked us to wait."""
        self.give_back(given)
        if given.turn != self._turn:
            return
        match VERDICTS[failure]:
            case Verdict.TRIPS:
                self.trip(failure, now_us, retry_after_us or 0, why)
            case Verdict.FAILED:
                self._fail(failure, now_us, why)
            case Verdict.WELL:
                self._succeed(now_us)
            case Verdict.NEITHER:
                pass

    def trip(self, failure: Failure | None, now_us: int, for_us: int, why: str) -> None:
        """Open it, or keep it open, for ``for_us`` at least, whatever came before."""
        wait_us = self._rules.unauthorized_us if failure is Failure.UNAUTHORIZED else self._next_open_us(now_us)
        self.open_until_us = max(self.open_until_us, now_us + max(wait_us, for_us))
        self.cause = failure
        if self.state is not BreakerState.OPEN:
            self._become(BreakerState.OPEN, why)

    def _next_open_us(self, now_us: int) -> int:
        if self.state is BreakerState.CLOSED and now_us - self._closed_us > self._rules.window_us:
            self._openings = 0
        if self.state is not BreakerState.OPEN:
            self._openings += 1
        return min(self._rules.open_us << min(max(self._openings - 1, 0), 30), self._rules.open_us_max)

    def _fail(self, failure: Failure | None, now_us: int, why: str) -> None:
        if self.state is BreakerState.OPEN:
            return
        if self.state is BreakerState.HALF_OPEN:
            self.trip(failure, now_us, 0, f"it failed again: {why}")
            return
        self._in_a_row += 1
        self._remember(now_us, failed=True)
        calls, failed = len(self._outcomes), sum(each for _, each in self._outcomes)
        if self._in_a_row >= self._rules.failures_max:
            self.trip(failure, now_us, 0, f"{self._in_a_row} calls in a row failed, the last: {why}")
        elif calls >= self._rules.calls_min and failed * 100 >= calls * self._rules.failed_percent:
            self.trip(failure, now_us, 0, f"{failed} of {calls} calls failed, the last: {why}")

    def _succeed(self, now_us: int) -> None:
        if self.state is BreakerState.OPEN:
            return
        if self.state is BreakerState.CLOSED:
            self._in_a_row = 0
            self._remember(now_us, failed=False)
            return
        self._in_a_row += 1
        if self._in_a_row >= self._rules.probes_max:
            self._closed_us, self.cause = now_us, None
            self._become(BreakerState.CLOSED, f"{self._in_a_row} calls in a row succeeded")

    def _remember(self, now_us: int, *, failed: bool) -> None:
        self._outcomes.append((now_us, failed))
        while self._outcomes[0][0] + self._rules.window_us <= now_us:
            self._outcomes.popleft()

    def _become(self, state: BreakerState, why: str) -> None:
        before, self.state = self.state, state
        self._turn += 1
        self._in_a_row = 0
        self._probes = 0
        self._outcomes.clear()
        self._tell(before, state, why)
