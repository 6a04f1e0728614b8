"""Who called the operators' door: every call goes onto the tape, in order, by one task.

A call is kept in a file of the state directory until the tape has it, so that those that were made while the broker
was away are not lost with the process. What stops trading never waits for any of this.
"""

import asyncio
import os
import re
import time
from collections import deque
from pathlib import Path
from typing import Any, Literal

from tollgate_chassis.runner import Runner
from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.metrics import operators as metrics
from tollgate_contracts.codec import UnreadableMessage, decode, encode
from tollgate_contracts.risk import OperatorCall

Writer = Literal["risk", "execution", "ledger"]
"""Whose doors put calls on the tape."""
_FILE = "operator-calls.jsonl"
# At the tape's slowest, some hundred appends a second, this is written in a second or two.
WAITING_MAX = 256
_TEXT_MAX = 2_000
_TOKEN = re.compile(r"tgt_\w*")
_RUN_ID_MAX = 64


class OperatorTrail:
    """The calls that are still to be put onto the tape: so many, and whether there is room is known before a call."""

    def __init__(self, writer: Writer, desk: str, run_id: str, state_dir: Path) -> None:
        """Take up what an earlier process could not write."""
        self._writer: Writer = writer
        self._desk = desk
        self._run_id = run_id
        self._path = state_dir / _FILE
        self._waiting: deque[OperatorCall] = deque(_left_in(self._path))
        self._promised = 0
        self._last_us = 0
        self._wanted = asyncio.Event()
        self._runner: Runner | None = None

    def attach(self, runner: Runner) -> None:
        """Take the runner through which the tape is written."""
        self._runner = runner

    def promise(self) -> bool:
        """Keep room for one call that is about to be carried out; false when there is none."""
        if len(self._waiting) + self._promised >= WAITING_MAX:
            return False
        self._promised += 1
        return True

    def take_back(self) -> None:
        """Let go of the room that was promised."""
        self._promised -= 1

    def note(self, **call: Any) -> None:
        """Keep a call for the tape; without room it is only counted and logged.

        The fields are those of ``OperatorCall``. No token ever stands in them, whatever the caller has sent.
        """
        said = _said(call)
        logger().info("operator.call", outcome=said["status"], operator=said["token"], **_for_logs(said))
        if len(self._waiting) >= WAITING_MAX:
            self.count_unrecorded("no_room")
            return
        message = self._message(said)
        self._waiting.append(message)
        self._keep(message)
        self._wanted.set()

    def count_unrecorded(self, why: str) -> None:
        """Count a call that was answered and does not go onto the tape."""
        _count_unrecorded(why)

    def _message(self, said: dict[str, Any]) -> OperatorCall:
        # Named by its time: a number would begin anew with each process of one run.
        self._last_us = max(self._last_us + 1, time.time_ns() // 1_000)
        return OperatorCall(
            writer=self._writer,
            id=f"{self._writer}:operator-call:{self._run_id[:_RUN_ID_MAX]}.{self._last_us}",
            desk=self._desk,
            run_id=self._run_id,
            ts_us=self._last_us,
            cause=None,
            cycle_id=0 if self._runner is None else self._runner.cycle_id,
            **said,
        )

    def _keep(self, message: OperatorCall) -> None:
        try:
            with self._path.open("ab") as file:
                file.write(encode(message) + b"\n")
        except OSError as error:
            # It waits in memory all the same, and stands in the log.
            logger().error("operator.not_on_disk", outcome="failed", detail=str(error))

    async def run(self) -> None:
        """Put the calls onto the tape, for ever; raises ``ProcessEnd`` when the tape cannot take them."""
        runner = self._runner
        if runner is None:
            raise ValueError("attach comes before run")
        await runner.live.wait()
        while True:
            while self._waiting:
                await runner.observe(self._waiting[0])
                self._waiting.popleft()
            self._forget()
            self._wanted.clear()
            await self._wanted.wait()

    def _forget(self) -> None:
        # What is written twice, after a fall between the tape and this, has the same id and the same bytes. So a disk
        # that takes nothing any more is told, and is no ground to end the process that holds the kill switch.
        try:
            if self._path.exists():
                os.truncate(self._path, 0)
        except OSError as error:
            logger().error("operator.not_on_disk", outcome="failed", detail=str(error))


class CallLog:
    """The record of a door at which one can only read: the log, and not the tape.

    So a reader who asks all day long neither fills the tape nor stands in the way of what is written to it.
    """

    def promise(self) -> bool:
        """Say that there is room: the log takes everything."""
        return True

    def take_back(self) -> None:
        """Do nothing: no room was kept."""

    def note(self, **call: Any) -> None:
        """Log a call; no token ever stands in it, whatever the caller has sent."""
        said = _said(call)
        logger().info("operator.call", outcome=said["status"], operator=said["token"], **_for_logs(said))

    def count_unrecorded(self, why: str) -> None:
        """Count a call that was answered and does not stand in the log."""
        _count_unrecorded(why)


def _count_unrecorded(why: str) -> None:
    metrics.OPERATOR_CALLS_UNRECORDED.labels(why).inc()
    logger().warning("operator.unrecorded", outcome=why)


def _said(call: dict[str, Any]) -> dict[str, Any]:
    return {field: _safe(value) if isinstance(value, str) else value for field, value in call.items()}


def _left_in(path: Path) -> list[OperatorCall]:
    try:
        lines = path.read_bytes().splitlines() if path.exists() else []
    except OSError as error:
        logger().error("operator.unrecorded", outcome="unreadable", detail=str(error))
        return []
    left = []
    for line in lines:
        try:
            message = decode(line)
        except UnreadableMessage as error:
            # A line that was cut off in the writing; the log of the process that fell has the call.
            logger().warning("operator.unrecorded", outcome="cut_off", detail=error.detail[:200])
            continue
        if isinstance(message, OperatorCall):
            left.append(message)
    return left[-WAITING_MAX:]


def _for_logs(said: dict[str, Any]) -> dict[str, Any]:
    return {key: said[key] for key in ("remote", "method", "path", "actor", "reason", "detail") if said[key]}


def _safe(text: str) -> str:
    # Every character that JSON and people can read; a lone surrogate can be written to neither tape nor log.
    shown = text.encode("utf-8", "replace").decode()
    return _TOKEN.sub("tgt_[redacted]", shown)[:_TEXT_MAX]
