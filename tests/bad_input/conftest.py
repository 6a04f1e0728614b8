"""One running platform for the tests of a module, and a hand that writes under a service's own name."""

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.conftest import BUSY, Platform
from tollgate_chassis.tape import LostRace, NatsTape, Record
from tollgate_chassis.tape.records import NO_HEADERS
from tollgate_contracts.codec import DeadLetter, decode
from tollgate_contracts.envelope import Message
from tollgate_contracts.subjects import writer_prefix

# Five services read on a busy machine, and the one whose name was used starts again.
PATIENCE_S = 60


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that trades all the time."""
    platform = Platform(tmp_path_factory.mktemp("bad_input") / "desk", BUSY)
    try:
        platform.start()
        platform.wait_until(lambda: platform.fills() >= 1, "a first fill", PATIENCE_S)
        yield platform
    finally:
        if platform.process is not None and platform.process.poll() is None:
            platform.process.send_signal(signal.SIGTERM)
            platform.process.wait(30)


class Hand:
    """Writes on the tape with one service's own key, and reads with it."""

    def __init__(self, tape: NatsTape, service: Any) -> None:
        self.tape = tape
        self._prefix = writer_prefix("main", service)

    async def put(self, subject: str, data: bytes, message_id: str, headers: Mapping[str, str] = NO_HEADERS) -> int:
        """Append after whatever the service itself wrote last; returns the sequence."""
        while True:
            try:
                last = await self.tape.last_of(self._prefix)
                return await self.tape.append(subject, data, message_id, last, headers)
            except LostRace:
                # The genuine service was faster; it has the same right as we.
                continue

    async def first(self, wanted: Callable[[Message], bool], start: int = 1) -> Message:
        """Return the first readable message from ``start`` on that is wanted."""
        async with asyncio.timeout(PATIENCE_S):
            async for batch in self.tape.follow(start):
                for record in batch:
                    message = readable(record)
                    if message is not None and wanted(message):
                        return message
        raise AssertionError("the tape ended")


def readable(record: Record) -> Message | None:
    """Return the message of a record, none when it has none."""
    try:
        return decode(record.data)
    except ValueError:
        return None


@asynccontextmanager
async def hand_of(desk: Platform, service: str) -> Any:
    """Connect with a service's own key."""
    url = f"nats://127.0.0.1:{desk.port('nats')}"
    tape = await NatsTape.connect(url, desk.state / "secrets" / service / "nats_seed", "main", service)
    try:
        yield Hand(tape, service)
    finally:
        await tape.close()


async def dead_letters(desk: Platform) -> list[DeadLetter]:
    """Return every dead letter so far, read with the console's key."""
    async with hand_of(desk, "console") as hand:
        request = {"seq": 1, "batch": 5_000, "next_by_subj": "dead.main.>"}
        return [DeadLetter.model_validate_json(m.data) async for m in hand.tape._direct_get("DEAD_main", request)]


def now_us() -> int:
    """Return the host's time."""
    return time.time_ns() // 1_000


def restarts(desk: Platform) -> dict[str, int]:
    """Return how often each process was started again."""
    return {name: process["restarts"] for name, process in desk.place()["processes"].items()}


def states(desk: Platform) -> dict[str, str]:
    """Return the state of each process as the supervisor sees it."""
    return {name: process["state"] for name, process in desk.place()["processes"].items()}


def changed(data: bytes, **changes: Any) -> bytes:
    """Return a message's bytes with other fields; what is given as bytes stands there without quotes."""
    content = json.loads(data)
    raw = {f"@{name}@": value for name, value in changes.items() if isinstance(value, bytes)}
    content |= {name: f"@{name}@" if isinstance(value, bytes) else value for name, value in changes.items()}
    text = json.dumps(content, separators=(",", ":"))
    for mark, value in raw.items():
        text = text.replace(f'"{mark}"', value.decode())
    return text.encode()
