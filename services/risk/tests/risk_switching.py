"""A tape that can die or wait, and the kill switch running on it: for the tests of the switch."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tollgate_chassis.runner import Identity, Runner
from tollgate_chassis.shell import Shell
from tollgate_chassis.snapshots import FileSnapshots, HighWaterMark
from tollgate_chassis.tape import MemoryTape, Record, TapeUnavailable
from tollgate_chassis.telemetry.tracing import Tracing
from tollgate_contracts.codec import encode
from tollgate_contracts.envelope import Message
from tollgate_contracts.subjects import tape_subject
from tollgate_risk.core import RiskCore
from tollgate_risk.kill_switch import KillSwitchControl


class DeadTape(MemoryTape):
    """Takes no append once it is told to be dead, and waits with one while it is told to hold."""

    def __init__(self) -> None:
        super().__init__()
        self.dead = False
        self.hold: asyncio.Event | None = None
        self.held = asyncio.Event()

    async def append(self, *arguments: Any, **named: Any) -> int:
        if self.hold is not None:
            self.held.set()
            await self.hold.wait()
        if self.dead:
            raise TapeUnavailable("the broker is gone")
        return await super().append(*arguments, **named)


class ControlShell(Shell):
    """The part of risk's shell that the switch needs."""

    def __init__(self, control: KillSwitchControl) -> None:
        self._control = control

    async def start(self, runner: Runner) -> None:
        self._control.attach(runner)

    async def settled(self, record: Record) -> None:
        self._control.note_applied(record.sequence)


def put(tape: MemoryTape, message: Message) -> None:
    """Append a message as its writer would."""
    tape.insert(tape_subject(message), encode(message), message.id)


@asynccontextmanager
async def running(directory: Path, tape: MemoryTape, core: RiskCore, control: KillSwitchControl) -> AsyncIterator[Any]:
    shell = ControlShell(control)
    identity = Identity("risk", "main", "r1")
    mark = HighWaterMark(directory)
    runner = Runner(identity, core, shell, tape, FileSnapshots(directory), mark, Tracing("risk", "r1", None))
    await shell.start(runner)
    reading = asyncio.create_task(runner.run())
    switching = asyncio.create_task(control.run())
    live = asyncio.create_task(runner.live.wait())
    await asyncio.wait({reading, live}, return_when=asyncio.FIRST_COMPLETED)
    live.cancel()
    if reading.done():
        reading.result()
    try:
        yield runner, switching
    finally:
        runner.stop()
        await reading
        switching.cancel()
        with suppress(asyncio.CancelledError, TapeUnavailable):
            await switching
        mark.close()
