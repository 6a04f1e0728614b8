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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tollgate_chassis.tape import Record

FORMAT = "tollgate-run/2"
T = TypeVar("T")


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


class RunReader:
    """Reads a run line by line, so that a long one needs no more memory than a short one."""

    def __init__(self, path: Path, file: Iterable[str]) -> None:
        """Take an open file and read its first line; raises ``BadRecording`` when that is not a recording's."""
        self._path = path
        self._lines = enumerate(file, start=1)
        self._records = 0
        first = self._next(lambda _number, content: content)
        if first is None:
            raise BadRecording(f"{path} is empty; a first line with the format was expected")
        self.desk = _desk(path, first)

    def __iter__(self) -> Iterator[Record | bytes]:
        """Yield tape records in order, and market messages as bytes; raises ``BadRecording`` as ``load`` does."""
        while (item := self._next(self._item)) is not None:
            yield item

    def _next(self, convert: Callable[[int, dict[str, Any]], T]) -> T | None:
        try:
            number, line = next(self._lines, (0, ""))
            return convert(number, json.loads(line)) if number else None
        except (OSError, EOFError, ValueError, KeyError, binascii.Error) as error:
            if isinstance(error, BadRecording):
                raise
            raise BadRecording(f"{self._path} is not a whole recorded run: {error!r}") from error

    def _item(self, number: int, content: dict[str, Any]) -> Record | bytes:
        if "market" in content:
            return _bytes(content)
        self._records += 1
        return _record(self._path, number, content, self._records)


@contextmanager
def reading(path: Path) -> Iterator[RunReader]:
    """Open a recording; raises ``BadRecording`` when it cannot be read."""
    try:
        file = gzip.open(path, "rt", encoding="utf-8")  # noqa: SIM115 - what the block raises is not the file's fault
    except OSError as error:
        raise BadRecording(f"{path} is not a whole recorded run: {error!r}") from error
    with file:
        yield RunReader(path, file)


def load(path: Path) -> Run:
    """Read a recorded run; raises ``BadRecording`` when it is none, is cut short, or has a hole."""
    records: list[Record] = []
    market: list[bytes] = []
    with reading(path) as run:
        for item in run:
            if isinstance(item, bytes):
                market.append(item)
            else:
                records.append(item)
    return Run(run.desk, tuple(records), tuple(market))


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
