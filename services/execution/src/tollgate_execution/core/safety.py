"""Safe mode: while something that execution needs is degraded, nothing is entered and no entry rests at the venue.

Pure. The shell hands in how long each dependency has been bad; ``Watchman`` says which of them count, and what it
says goes on the tape before it counts for anything here: the core's safe mode is that of the last message.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tollgate_contracts.approval import Approval
from tollgate_contracts.execution import OrderState
from tollgate_contracts.safety import Dependency, SafeMode
from tollgate_execution.core.parameters import Watch
from tollgate_execution.core.record import OrderRecord

# So that equal findings are said in equal words.
_ORDER = tuple(Dependency)
# While one of these is bad, orders change at the venue without our seeing it.
_HIDES_ORDERS = frozenset({Dependency.VENUE_ORDERS, Dependency.USER_STREAM})


@dataclass(frozen=True, slots=True)
class Safety:
    """Safe mode as the tape has it."""

    engaged: bool = False
    degraded: tuple[Dependency, ...] = ()
    since_us: int = 0
    """When it was engaged or released; what is degraded may have changed since."""

    def after(self, message: SafeMode) -> "Safety":
        """Return the mode after ``message``."""
        since_us = self.since_us if message.engaged is self.engaged else message.ts_us
        return Safety(message.engaged, message.degraded, since_us)

    def to_json(self) -> list[Any]:
        """Return it as JSON-ready values."""
        return [self.engaged, [dependency.value for dependency in self.degraded], self.since_us]

    @classmethod
    def from_json(cls, state: list[Any]) -> "Safety":
        """Take back what ``to_json`` returned."""
        engaged, degraded, since_us = state
        return cls(engaged, tuple(Dependency(name) for name in degraded), since_us)


def reduces(approval: Approval, reducible: Decimal) -> bool:
    """Say whether an order makes a position smaller by our own count, and not only by what risk calls it."""
    return approval.reduce_only and approval.quantity <= reducible


def is_unprotected(record: OrderRecord) -> bool:
    """Say whether an order is one that safe mode takes back: open, and neither reducing nor protective."""
    return not record.is_over and not record.approval.reduce_only and record.protects is None


def is_escalated(record: OrderRecord, watch: Watch) -> bool:
    """Say whether the venue was asked in vain as often as it is, so that an operator must look."""
    return record.is_unsettled and record.probes >= watch.probes_max


def is_resolvable(record: OrderRecord, watch: Watch) -> bool:
    """Say whether an operator's word on an order counts: its outcome is unknown, or it was asked after in vain."""
    return record.state is OrderState.UNKNOWN or is_escalated(record, watch)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each dependency may be bad, microseconds; one that is not named is never judged."""

    bad_us: Mapping[Dependency, int]
    recover_us: int
    """How long it must have been well before it counts as well again."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What the shell sees at one moment; all times are monotonic microseconds."""

    now_us: int
    bad_for_us: Mapping[Dependency, int]
    """For how long each has been bad; one that is not named is well."""
    agreed_us: int | None = None
    """When the newest round of reconciliation began that found all in agreement; none when there was none."""


class Watchman:
    """Says which dependencies are degraded: at once when one has been bad for too long, and for a while after."""

    def __init__(self, limits: Limits, degraded: tuple[Dependency, ...] = ()) -> None:
        """``degraded`` is what an earlier process has said; it holds until it has been well for long enough here."""
        self._limits = limits
        self._bad_at_us: dict[Dependency, int | None] = {
            dependency: None for dependency in degraded if dependency in limits.bad_us
        }
        """When each degraded one was last seen bad; none when this process has not looked yet."""

    def judge(self, sight: Sight) -> tuple[Dependency, ...]:
        """Return what is degraded now, in the order of ``Dependency``."""
        for dependency, limit_us in self._limits.bad_us.items():
            if sight.bad_for_us.get(dependency, 0) > limit_us:
                self._bad_at_us[dependency] = sight.now_us
            elif dependency in self._bad_at_us:
                self._recover(dependency, sight)
        return tuple(dependency for dependency in _ORDER if dependency in self._bad_at_us)

    def _recover(self, dependency: Dependency, sight: Sight) -> None:
        bad_at_us = self._bad_at_us[dependency]
        if bad_at_us is None:
            self._bad_at_us[dependency] = sight.now_us
        elif sight.now_us - bad_at_us >= self._limits.recover_us and self._is_reconciled(dependency, bad_at_us, sight):
            del self._bad_at_us[dependency]

    def _is_reconciled(self, dependency: Dependency, bad_at_us: int, sight: Sight) -> bool:
        # What happened at the venue while we could not see it is read first, and trading goes on after that.
        if dependency not in _HIDES_ORDERS or Dependency.RECONCILIATION not in self._limits.bad_us:
            return True
        return sight.agreed_us is not None and sight.agreed_us > bad_at_us
