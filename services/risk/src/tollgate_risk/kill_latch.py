"""The kill switch's latch: engaged at once in memory, and in a file so that it holds over a restart.

It does not need the tape: while the broker is dead, a gate that was told to stop has stopped.
"""

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tollgate_chassis.telemetry.logs import logger
from tollgate_contracts.risk import KillLevel

_FILE = "kill-switch.json"


UNDATED = 2**62
"""The epoch of an order of which nobody knows when it was given: no release ends it but one made here, until it is on
the tape."""


@dataclass(frozen=True, slots=True)
class Order:
    """Who told the gate to stop, how far, why and when."""

    actor: str
    reason: str
    at_us: int
    level: KillLevel = KillLevel.HALT
    epoch: int = UNDATED
    """The engagement that it belongs to: a release of this epoch or a later one has ended it."""


class KillLatch:
    """Whether the gate was told to stop, apart from what the tape says."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / _FILE
        self.order: Order | None = None
        self.generation = 0
        """Rises with each order to stop, so that a release under way does not undo a newer one."""
        self.is_on_disk = True
        """Whether the latch would hold over a restart."""

    def load(self) -> None:
        """Take up what an earlier process left; a file that cannot be read counts as an order to stop."""
        if not self._path.exists():
            return
        try:
            content = json.loads(self._path.read_text())
            # A file from before there were levels says none: it stopped new orders.
            level = KillLevel(content.get("level", KillLevel.HALT))
            epoch = int(content.get("epoch", UNDATED))
            self.order = Order(str(content["actor"]), str(content["reason"]), int(content["at_us"]), level, epoch)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.order = Order("unknown", f"{self._path} cannot be read: {error}"[:500], 0)
        self.generation += 1
        self._tell("from_disk", self.order)

    @property
    def is_engaged(self) -> bool:
        """Say whether the gate was told to stop."""
        return self.order is not None

    def engage(self, order: Order) -> None:
        """Stop, at once in memory and then on disk; an order before this one keeps its word of who, why and how far."""
        self.generation += 1
        first = self.order or order
        self.order = replace(first, epoch=max(first.epoch, order.epoch))
        self._persist()
        self._tell("engaged", self.order)

    def explain(self, actor: str, reason: str, level: KillLevel) -> None:
        """Say who gave the order, why and how far, after the fact: stopping waits for nobody's words.

        A level above the one in force is an order of its own; a lower one changes nothing.
        """
        if self.order is None:
            return
        self.order = replace(self.order, actor=actor or self.order.actor, reason=reason or self.order.reason)
        if level.rank > self.order.level.rank:
            self.generation += 1
            self.order = replace(self.order, level=level)
            self._tell("raised", self.order)
        self._persist()

    def date(self, epoch: int, generation: int) -> None:
        """Note to which engagement on the tape the order belongs, unless a newer one than ``generation`` has come."""
        if self.order is None or generation != self.generation or self.order.epoch == epoch:
            return
        self.order = replace(self.order, epoch=epoch)
        self._persist()

    def forget_on_disk(self) -> None:
        """Remove the file; raises ``OSError``, and the latch still holds in memory until ``clear``."""
        self._path.unlink(missing_ok=True)

    def clear(self, generation: int) -> None:
        """Let go, unless a newer order than ``generation`` has come."""
        if generation == self.generation:
            self.order = None
            self.is_on_disk = True

    @staticmethod
    def _tell(outcome: str, order: Order) -> None:
        words = {"actor": order.actor, "reason": order.reason, "level": order.level.value}
        logger().warning("kill_switch.latched", outcome=outcome, **words)

    def _persist(self) -> None:
        try:
            self._write()
            self.is_on_disk = True
        except OSError as error:
            # It holds in memory all the same, and on the tape; the answer to the operator says what is missing.
            self.is_on_disk = False
            logger().error("kill_switch.not_on_disk", outcome="failed", detail=str(error))

    def _write(self) -> None:
        if self.order is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".new")
        with beside.open("w") as file:
            file.write(json.dumps(asdict(self.order)))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
