"""An operator's word on a drift: what the venue states and no fill and no movement explains is booked as such.

It is the way out of a difference that no evidence will ever explain. The word is a movement of its own type on the
tape, so that all who keep balances follow it alike; the books keep it in suspense. It can only make an open drift
smaller, never begin one or turn it round: the operator says why, the venue has said how much. So nothing is taken on a
drift that evidence has touched since it was judged, be it a late fill or an earlier word, until the venue has stated it
again as often as it takes to begin one; nor on one of which an earlier word is on its way.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, unique

from tollgate_chassis.clock import SYSTEM_CLOCK, Clock
from tollgate_chassis.runner import Runner
from tollgate_chassis.telemetry.logs import logger
from tollgate_contracts.money import ZERO, plain
from tollgate_execution.core import ExecutionCore
from tollgate_execution.core.sync import OpenDrift
from tollgate_execution.reports import Reporter

# An append and its way back take milliseconds.
_READ_BACK_S, _LOOK_EVERY_S = 2.0, 0.01


@unique
class Explanation(Enum):
    """What became of an operator's word on a drift."""

    BOOKED = "booked"
    """It is on the tape and counts; the drift ends with the venue's next statement that agrees."""
    SAID = "said"
    """It is on the tape, and was not read back yet."""
    NOT_ACTIVE = "not_active"
    """This instance is not the active one."""
    NO_DRIFT = "no_drift"
    """No drift of the currency is open."""
    NOT_OF_IT = "not_of_it"
    """The amount has the other sign than the drift, or is larger than what is left of it."""
    NOT_JUDGED = "not_judged"
    """A fill, a movement or an earlier word has changed the drift, and the venue has not stated it again since."""


@dataclass(frozen=True, slots=True)
class Explained:
    """What became of it, and why in words."""

    explanation: Explanation
    words: str


class Explainer:
    """Takes operators' words on drifts, one at a time."""

    def __init__(
        self,
        core: ExecutionCore,
        find_active: Callable[[], tuple[Runner, Reporter] | None],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """``find_active`` returns whom to tell while this instance is the active one, and none else."""
        self._core = core
        self._find_active = find_active
        self._clock = clock
        # A second word must see what the first has left of the drift.
        self._one_at_a_time = asyncio.Lock()
        self._said: dict[str, str] = {}
        """By currency the movement that was said last; it may not be read back yet."""

    async def explain(self, currency: str, amount: Decimal, words: str) -> Explained:
        """Book ``amount`` of ``currency`` as unexplained, by the ``words`` of who says so and why."""
        async with self._one_at_a_time:
            active = self._find_active()
            if active is None:
                return Explained(Explanation.NOT_ACTIVE, "this instance is not the active one")
            refused = self._refuse(currency, amount)
            if refused is not None:
                return refused
            runner, reporter = active
            # As of the statement that has shown it: an older one is in it, a newer one is yet to be judged.
            as_of_us = max(self._core.agreement.compared_us, self._opened_us + 1)
            logger().warning("drift.explained", currency=currency, amount=plain(amount), detail=words)
            drift, rate = OpenDrift(self._left(currency), as_of_us), self._core.rate_of(currency)
            movement = reporter.unexplained(currency, drift, amount, words, rate)
            self._said[currency] = movement.movement_id
            await runner.observe(movement)
            return await self._read_back(currency, drift.off - amount)

    def _refuse(self, currency: str, amount: Decimal) -> Explained | None:
        """Return why the word does not count; none when it does."""
        if currency not in self._core.agreement.differences:
            return Explained(Explanation.NO_DRIFT, f"no drift of {currency} is open")
        if not self._is_read_back(currency) or not self._is_judged(currency):
            words = f"evidence has come since the drift was judged; the venue must state its {currency} again first"
            return Explained(Explanation.NOT_JUDGED, words)
        left = self._left(currency)
        if amount * left <= ZERO or abs(amount) > abs(left):
            words = f"the venue has {plain(left)} {currency} more than is expected, {plain(amount)} is not a part of it"
            return Explained(Explanation.NOT_OF_IT, words)
        return None

    def _left(self, currency: str) -> Decimal:
        return self._core.agreement.differences.get(currency, ZERO)

    @property
    def _opened_us(self) -> int:
        portfolio = self._core.portfolio
        return 0 if portfolio is None else portfolio.opened_us

    def _is_read_back(self, currency: str) -> bool:
        said = self._said.get(currency)
        return said is None or self._core.agreement.has_moved(said)

    def _is_judged(self, currency: str) -> bool:
        parameters = self._core.parameters
        return parameters is not None and self._core.agreement.is_judged(currency, parameters.sync)

    async def _read_back(self, currency: str, left: Decimal) -> Explained:
        with suppress(TimeoutError):
            async with asyncio.timeout(_READ_BACK_S):
                while not self._is_read_back(currency):
                    await self._clock.sleep(_LOOK_EVERY_S)
                words = f"booked in suspense; {plain(left)} {currency} of the drift is left"
                return Explained(Explanation.BOOKED, words)
        return Explained(Explanation.SAID, "it is on the tape; look at the drift in a moment")
