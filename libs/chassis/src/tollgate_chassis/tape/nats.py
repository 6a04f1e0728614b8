"""The tape on NATS JetStream, read by sequence and without any consumer.

The broker republishes each message after it has stored it, with its sequence; a reader listens there and fetches
whatever it is missing by batched direct get. So a reader needs no state on the broker, a lost delivery is a hole
that is seen and filled, and services need no right to create anything (docs/decisions/0003).

There is no reconnecting: a connection that is lost ends the process, and starting again is the recovery.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from tollgate_chassis.tape.records import (
    NO_HEADERS,
    Bounds,
    LostRace,
    Record,
    TapeFull,
    TapeLostItsHead,
    TapeUnavailable,
    TooLarge,
)
from tollgate_chassis.tape.restored import STORED_US_HEADER, first_stored_us, restored_spans
from tollgate_contracts.subjects import live_subject, market_stream, market_subject, tape_stream

# One direct get answers at most this many records: enough to read 100,000 a second, small enough to stay in memory.
BATCH = 256
# After this long without a delivery the reader asks the broker whether there is a record: what does not wake it is
# read, a lost delivery is found, and a silent connection is noticed.
IDLE_S = 0.1
# An answer that takes longer is no answer; a healthy broker takes a hundredth of it.
ANSWER_S = 2.0
# Deliveries kept while the reader is busy; older ones are dropped and fetched again by sequence.
DELIVERIES_MAX = 8_192
_NO_MESSAGE = 10037
_WRONG_LAST_SEQUENCE = 10071
_TOO_LARGE = 10054
# The account's limit, the server's memory and storage, and the stream's own limit or a disk that takes no more.
_NO_ROOM = frozenset({10002, 10023, 10047, 10077})
_BROKER_HEADERS = frozenset(
    {
        "Nats-Msg-Id",
        "Nats-Subject",
        "Nats-Sequence",
        "Nats-Stream",
        "Nats-Time-Stamp",
        "Nats-Last-Sequence",
        "Nats-Num-Pending",
        "Nats-Expected-Stream",
        "Nats-Expected-Last-Subject-Sequence",
        "Nats-Expected-Last-Subject-Sequence-Subject",
        "Nats-Expected-Last-Sequence",
        STORED_US_HEADER,
    }
)


class NatsTape:
    """One service's connection to the tape of one desk."""

    def __init__(self, desk: str) -> None:
        self._desk = desk
        self._stream = tape_stream(desk)
        self._client = Client()
        self._deliveries: deque[Record] = deque(maxlen=DELIVERIES_MAX)
        self._delivered = asyncio.Event()
        self._lost: str | None = None
        self._last_error = "no error was given"
        self._restored: tuple[range, ...] | None = None
        self.tip = 0
        """The last sequence known to be on the tape."""

    @classmethod
    async def connect(cls, url: str, seed_file: Path | None, desk: str, service: str) -> Self:
        """Connect as ``service``; raises ``TapeUnavailable`` when the broker is not there or refuses."""
        tape = cls(desk)
        try:
            await tape._client.connect(
                servers=[url],
                name=service,
                nkeys_seed=str(seed_file) if seed_file else None,
                inbox_prefix=f"_INBOX_{service}".encode(),
                allow_reconnect=False,
                # nats-py tries the first connection again and again, whatever allow_reconnect says, and takes a limit
                # of 0 for none: with 1 it gives up after the second failure, and there is no pause between them.
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=2,
                ping_interval=2,
                max_outstanding_pings=2,
                error_cb=tape._note_error,
                closed_cb=tape._note_closed,
            )
        except (OSError, nats.errors.Error, TimeoutError) as error:
            raise TapeUnavailable(f"no connection to the broker at {url}: {tape._why(error)}") from error
        return tape

    @property
    def client(self) -> Client:
        """The connection itself, for what is not the tape."""
        return self._client

    async def _note_error(self, error: Exception) -> None:
        self._last_error = str(error)

    async def _note_closed(self) -> None:
        self._lost = f"the connection to the broker is closed: {self._last_error}"
        self._delivered.set()

    async def close(self) -> None:
        """Close the connection; nothing is left to flush, since every append was awaited."""
        self._lost = "closed by this process"
        await self._client.close()

    async def append(
        self, subject: str, data: bytes, message_id: str, expected_last: int, headers: Mapping[str, str] = NO_HEADERS
    ) -> int:
        """Append under the writer's prefix and return the sequence, once the broker has it on disk.

        Raises ``LostRace`` when the writer's last message is not the one at ``expected_last``, ``TapeFull`` when
        the broker has no room, ``TooLarge`` when it takes no message of this size, ``TakenId`` when another message
        has this id, and ``TapeUnavailable`` when the outcome is not known.
        """
        writer = ".".join(subject.split(".", 3)[:3])
        sequence, is_known = await self._publish(
            subject,
            data,
            self._stream,
            {
                **headers,
                "Nats-Msg-Id": message_id,
                "Nats-Expected-Last-Subject-Sequence": str(expected_last),
                "Nats-Expected-Last-Subject-Sequence-Subject": f"{writer}.>",
            },
        )
        if is_known:
            # The broker asks nobody whose an id is, and looks at nothing but the id.
            (await self.read(sequence, 1))[0].check_is(subject, data)
        self.tip = max(self.tip, sequence)
        return sequence

    async def append_dead_letter(self, subject: str, data: bytes, message_id: str) -> None:
        """Store a dead letter; the broker keeps the same id once within its window."""
        await self._publish(subject, data, None, {"Nats-Msg-Id": message_id})

    async def _publish(
        self, subject: str, data: bytes, stream: str | None, headers: dict[str, str]
    ) -> tuple[int, bool]:
        """Return where the message lies, and whether its id lay there before."""
        if stream:
            headers["Nats-Expected-Stream"] = stream
        try:
            answer = await self._client.request(subject, data, timeout=ANSWER_S, headers=headers)
        except nats.errors.MaxPayloadError as error:
            raise TooLarge(f"append to {subject}: {len(data)} bytes: {error}") from error
        except (OSError, nats.errors.Error, TimeoutError) as error:
            raise TapeUnavailable(
                f"append to {subject}: {self._why(error)}; if this goes on, look at the broker's log: when its disk is "
                "full it answers no more, even with room again, until it is started again"
            ) from error
        content = json.loads(answer.data)
        refusal = content.get("error")
        if refusal is None:
            return int(content["seq"]), bool(content.get("duplicate"))
        why = refusal.get("description", refusal)
        if refusal.get("err_code") == _WRONG_LAST_SEQUENCE:
            raise LostRace(f"append to {subject}: {why}")
        if refusal.get("err_code") == _TOO_LARGE:
            raise TooLarge(f"append to {subject}: {len(data)} bytes: {why}")
        if refusal.get("err_code") in _NO_ROOM:
            raise TapeFull(
                f"append to {subject}: the broker has no room ({why}); nothing is lost, and nothing is traded until "
                "there is: raise console.tape_mib_max, or free space on the broker's disk, and start again"
            )
        raise TapeUnavailable(f"append to {subject}: the broker refused: {why}")

    async def follow(self, start: int, wakes: Collection[str] | None = None) -> AsyncGenerator[list[Record], None]:
        """Yield batches of records from ``start`` on, gap-free, for ever.

        ``wakes`` names the kinds that the reader answers to. Others are not delivered to it: they are fetched before
        the next that is, or after ``IDLE_S``, so that a quote does not wake five services where one decides. All are
        delivered when it is null.

        An empty batch says that the broker was asked and has nothing further; it comes at least every ``IDLE_S``.

        Raises ``TapeLostItsHead`` when the next record is no longer on the tape, and ``TapeUnavailable`` when
        the broker does not answer.
        """
        live = [await self._client.subscribe(each, cb=self._deliver) for each in self._live_subjects(wakes)]
        position = start
        try:
            while True:
                batch = await self.read(position, BATCH)
                position += len(batch)
                yield batch
                if len(batch) == BATCH:
                    continue
                while records := await self._take_deliveries(position):
                    position = records[-1].sequence + 1
                    yield records
        finally:
            with suppress(nats.errors.Error):
                for each in live:
                    await each.unsubscribe()

    def _live_subjects(self, wakes: Collection[str] | None) -> list[str]:
        live = live_subject(self._desk)
        if wakes is None:
            return [f"{live}.>"]
        # Some kinds carry the symbol as a further token.
        return [f"{live}.*.{kind}{more}" for kind in sorted(wakes) for more in ("", ".>")]

    async def _deliver(self, message: Msg) -> None:
        record = _record(message, self._restored or ())
        self.tip = max(self.tip, record.sequence)
        self._deliveries.append(record)
        self._delivered.set()

    async def _take_deliveries(self, position: int) -> list[Record]:
        """Return the deliveries that continue at ``position``; none when one is missing or nothing came."""
        if not self._deliveries:
            self._delivered.clear()
            self._check_alive()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._delivered.wait(), IDLE_S)
            self._check_alive()
        taken: list[Record] = []
        while self._deliveries and self._deliveries[0].sequence <= position:
            record = self._deliveries.popleft()
            if record.sequence == position:
                taken.append(record)
                position += 1
        return taken

    def _check_alive(self) -> None:
        if self._lost:
            raise TapeUnavailable(self._lost)

    async def read(self, start: int, limit: int) -> list[Record]:
        """Return at most ``limit`` records from ``start`` on, by one batched direct get."""
        if self._restored is None:
            await self.describe()
        request = {"seq": start, "batch": limit, "next_by_subj": f"tape.{self._desk}.>"}
        restored = self._restored or ()
        records = [_record(message, restored) async for message in self._direct_get(self._stream, request)]
        for expected, record in enumerate(records, start):
            if record.sequence != expected:
                raise TapeLostItsHead(f"record {expected} is gone; the next on the tape is {record.sequence}")
        self.tip = max(self.tip, start + len(records) - 1)
        return records

    async def read_market(self, start: int, limit: int) -> list[Record]:
        """Return at most ``limit`` messages of the MARKET stream from ``start`` on; its head may be gone."""
        request = {"seq": start, "batch": limit, "next_by_subj": market_subject(self._desk)}
        return [_record(message) async for message in self._direct_get(market_stream(self._desk), request)]

    async def last_of(self, prefix: str) -> int:
        """Return the last sequence under a writer's prefix, 0 when there is none.

        The stream's leader is asked: of three copies any may answer a direct get, and one that is a little behind
        would deny what has just been written.
        """
        content = await self._ask(f"$JS.API.STREAM.MSG.GET.{self._stream}", {"last_by_subj": f"{prefix}.>"})
        error = content.get("error")
        if error is None:
            return int(content["message"]["seq"])
        if error.get("err_code") == _NO_MESSAGE:
            return 0
        raise TapeUnavailable(f"the last of {prefix}: {error.get('description')}")

    async def _direct_get(self, stream: str, request: dict[str, Any]) -> AsyncIterator[Msg]:
        """Yield the answers to a batched direct get, up to the end of the batch."""
        inbox = self._client.new_inbox()
        answers = await self._client.subscribe(inbox)
        try:
            await self._client.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(request).encode(), reply=inbox)
            while True:
                message = await answers.next_msg(timeout=ANSWER_S)
                status = (message.headers or {}).get("Status")
                if status in {"204", "404"}:
                    return
                if status is not None:
                    raise TapeUnavailable(f"direct get {request}: the broker answered status {status}")
                yield message
        except (OSError, nats.errors.Error, TimeoutError) as error:
            raise TapeUnavailable(f"direct get {request}: {self._why(error)}") from error
        finally:
            with suppress(nats.errors.Error):
                await answers.unsubscribe()

    async def bounds(self) -> Bounds:
        """Return the first and last sequence."""
        state = (await self.describe())["state"]
        self.tip = max(self.tip, state["last_seq"])
        return Bounds(state["first_seq"] or 1, state["last_seq"])

    async def describe(self) -> dict[str, Any]:
        """Return the broker's own description of the stream: configuration and state."""
        content = await self._ask(f"$JS.API.STREAM.INFO.{self._stream}", None)
        if "error" in content:
            raise TapeUnavailable(f"stream {self._stream}: {content['error'].get('description')}; was it provisioned?")
        self._restored = restored_spans(content)
        return content

    async def _ask(self, subject: str, request: dict[str, Any] | None) -> dict[str, Any]:
        body = b"" if request is None else json.dumps(request).encode()
        try:
            answer = await self._client.request(subject, body, timeout=ANSWER_S)
        except (OSError, nats.errors.Error, TimeoutError) as error:
            raise TapeUnavailable(f"stream {self._stream}: {self._why(error)}") from error
        content: dict[str, Any] = json.loads(answer.data)
        return content

    def _why(self, error: Exception) -> str:
        # A permission that is refused looks like silence to the caller; only the error callback was told.
        return f"{error or type(error).__name__} (last said by the broker: {self._last_error})"


def _record(message: Msg, restored: tuple[range, ...] = ()) -> Record:
    headers = message.headers or {}
    sequence = int(headers["Nats-Sequence"])
    stored_us = first_stored_us(sequence, headers, restored)
    return Record(
        sequence=sequence,
        subject=headers["Nats-Subject"],
        message_id=headers.get("Nats-Msg-Id", ""),
        data=message.data,
        headers={name: value for name, value in headers.items() if name not in _BROKER_HEADERS},
        stored_us=_microseconds(headers["Nats-Time-Stamp"]) if stored_us is None else stored_us,
    )


def _microseconds(timestamp: str) -> int:
    """Read RFC 3339 with up to nine digits of fraction."""
    whole, _, fraction = timestamp.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * 1_000_000 + int(fraction[:6].ljust(6, "0"))
