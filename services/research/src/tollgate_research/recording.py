"""A recorded run in one file: the tape, and the market frames that market data was told.

Gzipped JSON lines. The first line is ``{"format": "tollgate-run/2", "desk": ...}``; each further line is a tape
record ``{"sequence", "subject", "id", "stored_us", "data"}`` or a message of the MARKET stream
``{"market", "data"}``. ``data`` is the message's exact text; bytes that are no UTF-8 stand as ``data_base64``
instead. ``stored_us`` is the broker's time of storing, by which a reader knows a writer's wrong clock.
"""

import base64
import binascii
import gzip
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tollgate_chassis.tape import Record

FORMAT = "tollgate-run/2"


class BadRecording(ValueError):
    """The file is not a recorded run; the message says where and what was expected."""


@dataclass(frozen=True, slots=True)
class Run:
    """One recorded run: the tape from its first record on, and the MARKET stream's messages."""

    desk: str
    records: tuple[Record, ...]
    market: tuple[bytes, ...] = field(default=())


class _Writer(Protocol):
    def write(self, data: str, /) -> int: ...


class RunWriter:
    """Writes a run line by line."""

    def __init__(self, file: _Writer, desk: str) -> None:
        self._file = file
        self._line({"format": FORMAT, "desk": desk})

    def tape(self, records: Iterable[Record]) -> None:
        """Write tape records, in order."""
        for record in records:
            place = {"sequence": record.sequence, "subject": record.subject, "id": record.message_id}
            self._line({**place, "stored_us": record.stored_us, **_data(record.data)})

    def market(self, number: int, data: bytes) -> None:
        """Write one message of the MARKET stream."""
        self._line({"market": number, **_data(data)})

    def _line(self, content: dict[str, Any]) -> None:
        self._file.write(json.dumps(content, ensure_ascii=False) + "\n")


@contextmanager
def writing(path: Path, desk: str) -> Iterator[RunWriter]:
    """Open a new recording; it is there whole or not at all."""
    beside = path.with_name(f"{path.name}.partial")
    with gzip.open(beside, "wt", encoding="utf-8", compresslevel=3) as file:
        yield RunWriter(file, desk)
    beside.replace(path)


def load(path: Path) -> Run:
    """Read a recorded run; raises ``BadRecording`` when it is none, is cut short, or has a hole."""
    records: list[Record] = []
    market: list[bytes] = []
    desk = None
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                content = json.loads(line)
                if number == 1:
                    desk = _desk(path, content)
                elif "market" in content:
                    market.append(_bytes(content))
                else:
                    records.append(_record(path, number, content, len(records) + 1))
    except (OSError, EOFError, ValueError, KeyError, binascii.Error) as error:
        if isinstance(error, BadRecording):
            raise
        raise BadRecording(f"{path} is not a whole recorded run: {error!r}") from error
    if desk is None:
        raise BadRecording(f"{path} is empty; a first line with the format was expected")
    return Run(desk, tuple(records), tuple(market))


def _desk(path: Path, content: dict[str, Any]) -> str:
    if content.get("format") != FORMAT:
        raise BadRecording(f"{path}: format {content.get('format')!r}, expected {FORMAT!r}")
    return str(content["desk"])


def _record(path: Path, number: int, content: dict[str, Any], expected: int) -> Record:
    if content["sequence"] != expected:
        raise BadRecording(f"{path} line {number}: tape sequence {content['sequence']}, expected {expected}")
    stored_us = content["stored_us"]
    if type(stored_us) is not int:
        raise BadRecording(f"{path} line {number}: stored_us {stored_us!r}, expected microseconds")
    return Record(expected, content["subject"], content["id"], _bytes(content), headers={}, stored_us=stored_us)


def _data(data: bytes) -> dict[str, str]:
    try:
        return {"data": data.decode()}
    except UnicodeDecodeError:
        return {"data_base64": base64.b64encode(data).decode()}


def _bytes(content: dict[str, Any]) -> bytes:
    if "data" in content:
        return str(content["data"]).encode()
    return base64.b64decode(content["data_base64"], validate=True)
