"""What happens around the gate, counted over windows: what the conditions of the mode look at.

The law of this module: it only counts. Whether a count is too many is for ``conditions``, and what follows from it
for ``modes``.
"""

from dataclasses import dataclass, field

from tollgate_contracts.execution import Order, OrderState
from tollgate_contracts.ledger import Drift
from tollgate_contracts.marketdata import FeedState, Quote
from tollgate_contracts.money import Exact
from tollgate_contracts.reasons import Finding, Reason
from tollgate_contracts.reconciliation import Difference, Reconcile, Repair
from tollgate_contracts.safety import Breaker, BreakerState, EndpointGroup
from tollgate_risk.core.policy import PolicyRules
from tollgate_risk.core.windows import RollingCount

_MS = 1_000
# An event leaves a count at most a sixtieth of the window late, and a count is at most sixty-one numbers.
_SLICES = 60
# The window before the first policy has named one.
_SLICE_US = 1_000_000

# After RECOVERED a fresh snapshot has closed the gap, and quotes may be used again.
USABLE = frozenset({FeedState.UP, FeedState.RECOVERED})
# What our own switches refuse or keep back says nothing of the strategy or the venue, and must not hold itself up.
_SWITCHES = frozenset(
    {
        Reason.GATE_DRY_RUN,
        Reason.GATE_NOT_ARMED,
        Reason.GATE_KILL_SWITCH,
        Reason.GATE_REDUCE_ONLY,
        Reason.GATE_OBSERVE_ONLY,
    }
)
_KEPT_BACK = ("gate.", "approval.", "limit.", "pace.", Reason.VENUE_BREAKER_OPEN.value)


def _window() -> RollingCount:
    return RollingCount(_SLICE_US, _SLICES)


@dataclass(slots=True)
class Activity:
    """Counts and times; each is a function of the tape so far."""

    began_us: int | None = None
    """When the first policy came: what has not been heard by then is late from then on."""
    revision: int = 0
    """The highest that any policy has had."""
    rejections: RollingCount = field(default_factory=_window)
    fills: RollingCount = field(default_factory=_window)
    venue_errors: RollingCount = field(default_factory=_window)
    unfilled: int = 0
    """Orders approved since the last fill, or since an operator has raised the policy's revision."""
    approved_us: int | None = None
    """When an order was approved last."""
    feed_lost_us: int | None = None
    """Since when the feed is not usable; none while it is, and before it has said anything."""
    skew_us: int | None = None
    """Between the venue's time of its newest quote and ours, either way."""
    account_us: int | None = None
    """When the venue stated our account last."""
    breakers: dict[EndpointGroup, BreakerState] = field(default_factory=dict)
    """What execution said last of each group of venue calls that it has said anything of."""
    drifts: dict[str, Exact] = field(default_factory=dict)
    """By currency in which books and venue differ: venue minus books. As many as the venue has currencies."""
    position_drifts: dict[str, str] = field(default_factory=dict)
    """By symbol of a perpetual of which execution and venue differ: how, in execution's words."""

    def govern(self, rules: PolicyRules, now_us: int) -> None:
        """Take over what a policy says of windows, and begin anew where its revision says so."""
        if self.began_us is None:
            self.began_us = now_us
        if rules.revision > self.revision:
            self.revision = rules.revision
            self.unfilled = 0
        # Rounded up: a count may last longer than its window, and never shorter.
        slice_us = -(-rules.modes.window_ms * _MS // _SLICES)
        if slice_us != self.fills.slice_us:
            self.rejections = _sliced(self.rejections, slice_us, now_us)
            self.fills = _sliced(self.fills, slice_us, now_us)
            self.venue_errors = _sliced(self.venue_errors, slice_us, now_us)

    def note_approval(self, now_us: int) -> None:
        """Count an approved order."""
        self.unfilled += 1
        self.approved_us = now_us

    def note_rejection(self, findings: tuple[Finding, ...], now_us: int) -> None:
        """Count a rejection, unless our own switches alone have refused."""
        if any(finding.code not in _SWITCHES for finding in findings):
            self.rejections.add(now_us)

    def note_fill(self, now_us: int) -> None:
        """Count a fill."""
        self.fills.add(now_us)
        self.unfilled = 0

    def note_order(self, message: Order, now_us: int) -> None:
        """Count an order that the venue would not take, or of which it did not say what became."""
        if _is_venue_error(message):
            self.venue_errors.add(now_us)

    def note_feed(self, feed: FeedState, now_us: int) -> None:
        """Note since when the feed is not usable."""
        if feed in USABLE:
            self.feed_lost_us = None
        elif self.feed_lost_us is None:
            self.feed_lost_us = now_us

    def note_quote(self, message: Quote) -> None:
        """Note how far the venue's newest stamp is from ours."""
        self.skew_us = abs(message.ts_us - max(line.venue_ts_us for line in message.quotes))

    def note_breaker(self, message: Breaker) -> None:
        """Note whether calls of a group are let through."""
        self.breakers[message.group] = message.to_state

    def note_drift(self, message: Drift) -> None:
        """Note a difference in one currency, or its end."""
        if message.difference:
            self.drifts[message.currency] = message.difference
        else:
            self.drifts.pop(message.currency, None)

    def note_reconcile(self, message: Reconcile) -> None:
        """Note a difference in a position, or its end; no other difference that execution finds is told when it ends.

        The trades behind one that is not told show in the balance, of which the books speak.
        """
        if message.difference is not Difference.POSITION_DRIFT:
            return
        self.position_drifts.pop(message.subject, None)
        if message.repair is Repair.FLAGGED:
            self.position_drifts[message.subject] = message.differed


def _is_venue_error(message: Order) -> bool:
    if message.to_state is not OrderState.REJECTED:
        return message.to_state is OrderState.UNKNOWN
    # What execution's own last checks have kept back never reached the venue.
    return message.reason is None or not message.reason.value.startswith(_KEPT_BACK)


def _sliced(count: RollingCount, slice_us: int, now_us: int) -> RollingCount:
    """Return the same events in slices of another width; each as late as it can have been, so that none is lost."""
    sliced = RollingCount(slice_us, _SLICES)
    for number, events in count.counts.items():
        sliced.add(min((number + 1) * count.slice_us - 1, now_us), events)
    return sliced
