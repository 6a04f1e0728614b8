"""Listening to the tape's echo as the read-only console; nothing is decoded before it is to be drawn."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import nats.errors
from faststream.nats import NatsBroker
from faststream.nats.security import NatsNKey
from nats.aio.client import Client

from tollgate_console.provision.broker import CONSOLE
from tollgate_contracts.codec import UnreadableMessage, decode
from tollgate_contracts.envelope import Message
from tollgate_contracts.subjects import live_subject, tape_stream

_RETRY_S = 0.25
_ANSWER_S = 2.0
# Between two draws, the newest quotes are enough; everything else is kept whole.
_QUOTES_KEPT = 32
# A view that cannot draw keeps this much and then forgets the oldest; the tape has it all.
_BACKLOG_MAX = 50_000
# What is in force, though it may have been said long ago.
_IN_FORCE = ("risk.kill_switch", "risk.mode", "marketdata.feed", "marketdata.quote", "ledger.books")


class LiveFeed:
    """What the broker has said since it was last asked for."""

    def __init__(self, url: str, seed_file: Path, desk: str) -> None:
        self._seed_file = seed_file
        self._desk = desk
        # A connection that is lost is not mended but made anew.
        self._connection: dict[str, Any] = {
            "servers": [url],
            "inbox_prefix": f"_INBOX_{CONSOLE}".encode(),
            "allow_reconnect": False,
            "connect_timeout": 2,
            "ping_interval": 2,
            "max_outstanding_pings": 2,
        }
        self._waiting: list[tuple[int, bool, bytes]] = []
        self._in_force: list[bytes] = []

    def take(self) -> list[tuple[int, Message]]:
        """Return what has come, oldest first, without the quotes that newer ones have overtaken."""
        waiting, self._waiting = self._waiting, []
        quotes = [index for index, (_, is_quote, _) in enumerate(waiting) if is_quote]
        overtaken = set(quotes[:-_QUOTES_KEPT])
        read = ((sequence, _read(data)) for index, (sequence, _, data) in enumerate(waiting) if index not in overtaken)
        return [(sequence, message) for sequence, message in read if message is not None]

    def take_in_force(self) -> list[Message]:
        """Return the last word on what is in force, once after each connecting."""
        found, self._in_force = self._in_force, []
        return [message for message in map(_read, found) if message is not None]

    async def run(self) -> None:
        """Listen for ever, connecting again whenever the connection is lost."""
        while True:
            # The broker may be starting, or starting again; the supervisor says so on the same screen.
            with suppress(OSError, TimeoutError, nats.errors.Error):
                await self._listen()
            await asyncio.sleep(_RETRY_S)

    async def _listen(self) -> None:
        lost = asyncio.Event()

        async def note_loss() -> None:
            lost.set()

        # Its own logger would write over the screen.
        broker = NatsBroker(
            **self._connection,
            security=NatsNKey.from_file(self._seed_file),
            name=CONSOLE,
            closed_cb=note_loss,
            error_cb=_ignore,
            logger=None,
            apply_types=False,
        )
        subject = f"{live_subject(self._desk)}.>"
        broker.subscriber(subject, no_reply=True, decoder=_undecoded)(self._hear)
        try:
            await broker.start()
            self._in_force = await self._fetch_in_force()
            await lost.wait()
        finally:
            await _stop(broker)

    async def _hear(self, delivery: tuple[Mapping[str, str], bytes]) -> None:
        headers, body = delivery
        if len(self._waiting) >= _BACKLOG_MAX:
            del self._waiting[: _BACKLOG_MAX // 2]
        is_quote = headers.get("Nats-Subject", "").endswith(".quote")
        self._waiting.append((int(headers["Nats-Sequence"]), is_quote, body))

    async def _fetch_in_force(self) -> list[bytes]:
        client = Client()
        await client.connect(**self._connection, nkeys_seed=str(self._seed_file), error_cb=_ignore)
        try:
            inbox = client.new_inbox()
            answers = await client.subscribe(inbox)
            subjects = [f"tape.{self._desk}.{name}" for name in _IN_FORCE]
            request = json.dumps({"multi_last": subjects, "batch": len(subjects)}).encode()
            await client.publish(f"$JS.API.DIRECT.GET.{tape_stream(self._desk)}", request, reply=inbox)
            found = []
            while "Status" not in ((answer := await answers.next_msg(timeout=_ANSWER_S)).headers or {}):
                found.append(answer.data)
            return found
        finally:
            await client.close()


async def _ignore(_error: Exception) -> None:
    """Say nothing: an error that matters closes the connection, and that is seen."""


async def _stop(broker: NatsBroker) -> None:
    try:
        await broker.stop()
    except ExceptionGroup as group:
        # FastStream cannot end a subscription on a connection that is gone; it is gone, which is what we want.
        _, others = group.split(nats.errors.Error)
        if others is not None:
            raise others from group


async def _undecoded(message: Any) -> tuple[Mapping[str, str], bytes]:
    return message.headers, message.body


def _read(data: bytes) -> Message | None:
    try:
        return decode(data)
    except UnreadableMessage:
        # The readers of the tape put it among the dead letters and say so; a view only leaves it out.
        return None
