"""Putting records back onto the tape: the same sequences, subjects, ids, headers and bytes.

Each record names the sequence that must come before it, so none is put in another's place, and a run that was cut off
is taken up where it ended. The broker's memory of ids is made as short as it can be meanwhile: where the archive has
the same id twice, because it lay on the tape twice, it is put there twice.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import nats.errors
from nats.aio.client import Client

from tollgate_chassis.tape import Record
from tollgate_chassis.tape.restored import METADATA, STORED_US_HEADER, restored_spans, restored_text
from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.provision.broker import DUPLICATE_WINDOW_NS
from tollgate_contracts.codec import MESSAGE_BYTES_MAX
from tollgate_contracts.subjects import tape_stream

# The shortest that the broker allows.
_WINDOW_NS = 100_000_000
_WINDOW_S = 0.15
# A record that is put back has three headers more than it had, and the largest must still find room.
_HEADERS_BYTES = 1_024
_RESTORING = {"duplicate_window": _WINDOW_NS, "max_msg_size": MESSAGE_BYTES_MAX + _HEADERS_BYTES}
_USUAL = {"duplicate_window": DUPLICATE_WINDOW_NS, "max_msg_size": MESSAGE_BYTES_MAX}
_ANSWER_S = 10.0
# Records in flight: enough that the way there and back does not count.
IN_FLIGHT = 256
_TRIES = 5
_WRONG_LAST_SEQUENCE = 10071


class TapePublisher:
    """Writes records at the end of the desk's tape, under whatever subject they had."""

    def __init__(self, client: Client, desk: str) -> None:
        self._client = client
        self._stream = tape_stream(desk)

    async def mend(self) -> None:
        """Undo what a run that was cut off has left of ``begin``; a stream that is not there needs nothing."""
        answer = await self._ask(f"$JS.API.STREAM.INFO.{self._stream}", b"")
        if "error" not in answer and answer["config"]["duplicate_window"] == _WINDOW_NS:
            await self._update(_USUAL)

    async def begin(self, restored: range) -> None:
        """Shorten the broker's memory of ids, make room for headers, and note which records are put back.

        No platform starts on a stream that is left so.
        """
        config = await self._config()
        spans = [span for span in restored_spans({"config": config}) if not _holds(restored, span)]
        metadata = {**(config.get("metadata") or {}), METADATA: restored_text((*spans, restored))}
        await self._update({**_RESTORING, "metadata": metadata})

    async def finish(self) -> None:
        """Make the stream again what services expect."""
        await self._update(_USUAL)

    async def publish(self, records: Sequence[Record]) -> None:
        """Append ``records``, which must follow the tape's end; raises ``ConsoleError`` when the broker refuses."""
        waiting, tries = list(records), 0
        while waiting:
            answers = await asyncio.gather(*(self._append(record) for record in waiting[:IN_FLIGHT]))
            done, why = 0, ""
            for record, answer in zip(waiting, answers, strict=False):
                why = _refusal(record, answer)
                if why:
                    break
                done += 1
            tries = 0 if done else tries + 1
            if tries == _TRIES:
                raise ConsoleError(ConsoleExit.TEMPORARY, f"the broker does not take the tape back: {why}")
            del waiting[:done]
            if why:
                # Its id is still remembered, because the one before with the same id was put there just now.
                await asyncio.sleep(_WINDOW_S)

    async def _append(self, record: Record) -> dict[str, Any]:
        headers = {
            **record.headers,
            "Nats-Expected-Stream": self._stream,
            "Nats-Expected-Last-Sequence": str(record.sequence - 1),
            STORED_US_HEADER: str(record.stored_us),
        }
        if record.message_id:
            headers["Nats-Msg-Id"] = record.message_id
        return await self._ask(record.subject, record.data, headers)

    async def _config(self) -> dict[str, Any]:
        answer = await self._ask(f"$JS.API.STREAM.INFO.{self._stream}", b"")
        config: dict[str, Any] = answer["config"]
        return config

    async def _update(self, changes: dict[str, Any]) -> None:
        config = {**await self._config(), **changes}
        answer = await self._ask(f"$JS.API.STREAM.UPDATE.{self._stream}", json.dumps(config).encode())
        if "error" in answer:
            raise ConsoleError(ConsoleExit.TEMPORARY, f"the broker refuses: {answer['error'].get('description')}")

    async def _ask(self, subject: str, body: bytes, headers: dict[str, str] | None = None) -> dict[str, Any]:
        try:
            answer = await self._client.request(subject, body, timeout=_ANSWER_S, headers=headers)
        except (OSError, nats.errors.Error, TimeoutError) as error:
            what = f"the broker does not answer: {error or type(error).__name__}"
            raise ConsoleError(ConsoleExit.TEMPORARY, what) from error
        content: dict[str, Any] = json.loads(answer.data)
        return content


def _holds(span: range, other: range) -> bool:
    return bool(span) and span.start <= other.start and other.stop <= span.stop


def _refusal(record: Record, answer: dict[str, Any]) -> str:
    """Say why ``record`` does not lie at its place now; empty where it does."""
    error = answer.get("error")
    if error is not None and error.get("err_code") != _WRONG_LAST_SEQUENCE:
        raise ConsoleError(
            ConsoleExit.TEMPORARY,
            f"the broker does not take record {record.sequence}: {error.get('description')}; if it has no room, raise "
            "console.tape_mib_max or free space, and run the command again",
        )
    if error is not None:
        return str(error.get("description"))
    if answer.get("duplicate") or answer["seq"] != record.sequence:
        return f"record {record.sequence} is taken for {answer['seq']}, which has the same id"
    return ""
