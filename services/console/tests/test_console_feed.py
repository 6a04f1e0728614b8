"""The view's ear on the real broker: read-only, quick, and back by itself."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from tollgate_console.provision.broker import CONSOLE, PROVISIONER, StreamSizes, provision_streams
from tollgate_console.provision.keys import NATS_SEED
from tollgate_console.view.feed import LiveFeed
from tollgate_console.view.state import ViewState
from tollgate_contracts.codec import encode
from tollgate_contracts.envelope import Message
from tollgate_contracts.marketdata import Clock
from tollgate_contracts.risk import KillLevel, KillSwitch
from tollgate_contracts.subjects import tape_subject

Until = Callable[..., Awaitable[None]]
MIB = 1_024 * 1_024
SIZES = StreamSizes(32 * MIB, 8 * MIB, 8 * MIB)
COMMON: dict[str, Any] = {"desk": "main", "run_id": "r", "ts_us": 1, "cause": None, "cycle_id": 1}


def kill_switch(engaged: bool, epoch: int) -> KillSwitch:
    switch = {"engaged": engaged, "level": KillLevel.HALT, "epoch": epoch}
    return KillSwitch(**COMMON, id=f"risk:operator:{epoch}", **switch, actor="ops", reason="drill")


async def append(broker: Any, message: Message) -> None:
    client = Client()
    seed = (broker.layout.secrets(message.writer) / NATS_SEED).read_text().strip()
    inbox = f"_INBOX_{message.writer}".encode()
    await client.connect(servers=[broker.place.url], nkeys_seed_str=seed, inbox_prefix=inbox)
    await client.request(tape_subject(message), encode(message), timeout=2)
    await client.close()


@pytest.fixture
async def feed(broker: Any) -> AsyncIterator[LiveFeed]:
    """The feed of a console, connected to a broker with streams and one engaged kill switch of long ago."""
    seed = (broker.layout.secrets(PROVISIONER) / NATS_SEED).read_text().strip()
    await provision_streams(broker.place.url, seed, "main", SIZES)
    await append(broker, kill_switch(True, 1))
    feed = LiveFeed(broker.place.url, broker.layout.secrets(CONSOLE) / NATS_SEED, "main")
    running = asyncio.create_task(feed.run())
    yield feed
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_it_shows_what_is_in_force_and_then_what_happens(broker: Any, feed: LiveFeed, until: Until) -> None:
    """What was said before it listened is fetched; what is said now is seen well within a second."""
    state = ViewState()

    def take() -> ViewState:
        for message in feed.take_in_force():
            state.remember(message)
        for sequence, message in feed.take():
            state.apply(sequence, message)
        return state

    await until(lambda: take().kill_engaged is True)
    await append(broker, kill_switch(False, 1))
    began = time.monotonic()
    await until(lambda: take().kill_engaged is False)
    assert time.monotonic() - began < 1
    assert [line.what for line in state.lines] == ["kill_switch"]


async def test_it_comes_back_after_the_broker_was_killed(broker: Any, feed: LiveFeed, until: Until) -> None:
    """kill -9 of the broker, which the supervisor starts again: the feed hears the new one."""
    await until(lambda: bool(feed.take_in_force()))
    os.kill(broker.child.running.pid, signal.SIGKILL)
    await until(lambda: broker.child.restarts == 1)
    heard: list[int] = []

    async def hears() -> bool:
        with suppress(OSError, TimeoutError):
            await append(broker, Clock(**COMMON, id=f"marketdata:clock:{time.monotonic_ns()}"))
        heard.extend(sequence for sequence, _ in feed.take())
        return bool(heard)

    await until(hears)


async def test_what_is_no_message_is_left_out(broker: Any, feed: LiveFeed, until: Until) -> None:
    """Readers of the tape put it among the dead letters; a view only goes on."""
    await until(lambda: bool(feed.take_in_force()))
    client = Client()
    seed = (broker.layout.secrets("risk") / NATS_SEED).read_text().strip()
    await client.connect(servers=[broker.place.url], nkeys_seed_str=seed, inbox_prefix=b"_INBOX_risk")
    await client.request("tape.main.risk.decision.X", b"not one of ours", timeout=2)
    await client.close()
    await append(broker, kill_switch(True, 2))
    taken: list[Message] = []
    await until(lambda: bool(taken.extend(message for _, message in feed.take()) or taken))
    assert [message.kind for message in taken] == ["kill_switch"]


def test_quotes_that_newer_ones_have_overtaken_are_not_decoded() -> None:
    """A thousand quotes between two draws cost what thirty do; nothing else is ever left out."""
    feed = LiveFeed("nats://127.0.0.1:1", Path("none"), "main")
    clock = encode(Clock(**COMMON, id="marketdata:clock:1"))
    feed._waiting = [(sequence, sequence % 10 != 0, clock) for sequence in range(1, 1_001)]
    taken = [sequence for sequence, _ in feed.take()]
    assert [sequence for sequence in taken if sequence % 10 == 0] == list(range(10, 1_001, 10))
    assert len(taken) == 100 + 32
    assert taken == sorted(taken)
