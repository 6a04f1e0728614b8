"""Execution's own kill door: shut from outside, it holds without broker, risk or database, and over a restart.

It stops new orders and lets cancels through, as the kill switch does. What it has held back is on the tape, order by
order, as not sent.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tollgate_chassis.telemetry.logs import logger


class KillDoor:
    """A latch in memory and in a file; a damaged file counts as shut."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "kill-door.json"
        self._shut: dict[str, Any] | None = None
        self.is_on_disk = True
        """Whether the latch would hold over a restart."""
        self._when_shut: Callable[[], None] | None = None

    def load(self) -> None:
        """Take up the latch that an earlier process left."""
        if not self._path.exists():
            return
        try:
            content = json.loads(self._path.read_text())
        except (OSError, ValueError) as error:
            content = {"actor": "unknown", "reason": f"{self._path} cannot be read: {error}"}
        self._shut = content if isinstance(content, dict) else {"actor": "unknown", "reason": "unreadable"}
        logger().warning("kill_door.shut", outcome="from_disk", **self.describe())

    def attach(self, when_shut: Callable[[], None]) -> None:
        """Call this, too, whenever the door is shut from outside."""
        self._when_shut = when_shut

    @property
    def is_shut(self) -> bool:
        """Say whether nothing new may be sent."""
        return self._shut is not None

    def shut(self, actor: str, reason: str, at_us: int) -> None:
        """Shut it, at once in memory and then on disk; shutting it again keeps the first word of why."""
        if self._shut is None:
            self._shut = {"actor": actor, "reason": reason, "at_us": at_us}
        self._persist()
        logger().warning("kill_door.shut", outcome="shut", **self.describe())
        if self._when_shut is not None:
            self._when_shut()

    def explain(self, actor: str, reason: str) -> None:
        """Say who shut it and why, after the fact: shutting it waits for nobody's words."""
        if self._shut is not None:
            said = {"actor": actor, "reason": reason}
            self._shut = {**self._shut, **{key: text for key, text in said.items() if text}}
            self._persist()
            logger().warning("kill_door.explained", outcome="shut", **self.describe())

    def open(self, actor: str, reason: str) -> None:
        """Open it; raises ``OSError`` and stays shut when the file cannot be removed."""
        self._path.unlink(missing_ok=True)
        self._shut = None
        self.is_on_disk = True
        logger().warning("kill_door.opened", outcome="opened", actor=actor, reason=reason)

    def describe(self) -> dict[str, Any]:
        """Return the state for an operator."""
        return {"engaged": self.is_shut, "on_disk": self.is_on_disk, **(self._shut or {})}

    def _persist(self) -> None:
        try:
            self._write(json.dumps(self._shut))
            self.is_on_disk = True
        except OSError as error:
            # It holds in memory all the same; the answer to the operator says that it is not on disk.
            self.is_on_disk = False
            logger().error("kill_door.not_on_disk", outcome="failed", detail=str(error))

    def _write(self, text: str) -> None:
        beside = self._path.with_suffix(".new")
        with beside.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
        # Without this the new name itself can be lost with the power, and the door would be open again.
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
