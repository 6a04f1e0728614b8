"""A venue's answers, written down while execution runs against it and given again afterwards.

The law of this module: one JSON line for each answer, in the order in which they came, with what was asked and the
evidence that came back: exact decimals, no key and no signature. A replayed venue says what was recorded and nothing
else; what was never recorded is ``NO_ANSWER``, or ``VenueUnavailable`` for a question.

A recording is for running execution again over what a real venue once said: it knows no new order, and its time is
that of the recording.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_venues.adapter import (
    Capabilities,
    OrderReference,
    UserStreamLost,
    VenueAdapter,
    VenueOrder,
    VenueUnavailable,
)
from tollgate_venues.evidence import AccountEvidence, Evidence, Failure, FillPage, MovementPage, OrderPage

# Some 200,000 answers, which a replay holds in memory; what comes after is passed on and not written, and the
# recording says so in its last line.
RECORDING_BYTES_MAX = 64 * 1024 * 1024
_FULL = "full"
_STREAM = "user_stream"

T = TypeVar("T")
_Line = dict[str, Any]

_CAPABILITIES = TypeAdapter(Capabilities)
_ORDER = TypeAdapter(VenueOrder)
_EVIDENCE = TypeAdapter(Evidence)
_OPEN_ORDERS = TypeAdapter(list[Evidence])
_ORDER_PAGE = TypeAdapter(OrderPage)
_FILL_PAGE = TypeAdapter(FillPage)
_MOVEMENT_PAGE = TypeAdapter(MovementPage)
_ACCOUNT = TypeAdapter(AccountEvidence)


class BadRecording(ValueError):
    """A recording cannot be read; the text says which line of it, and why."""


class RecordingVenue:
    """Passes everything on to an adapter, and writes down what came back."""

    def __init__(self, adapter: VenueAdapter, path: Path, *, bytes_max: int = RECORDING_BYTES_MAX) -> None:
        self._adapter = adapter
        self._bytes_left = bytes_max
        self._file = path.open("w", encoding="utf-8")
        self._calls = 0
        self._connections = 0
        self._write({"capabilities": _CAPABILITIES.dump_python(adapter.capabilities, mode="json")})

    @property
    def capabilities(self) -> Capabilities:
        """Say what the recorded venue offers."""
        return self._adapter.capabilities

    async def connect(self) -> None:
        """Connect the adapter."""
        await self._adapter.connect()

    async def close(self) -> None:
        """Close the adapter and the recording."""
        await self._adapter.close()
        with suppress(OSError):
            self._file.close()

    @property
    def is_recording(self) -> bool:
        """Say whether answers are still written down; no longer once the recording, or the disk, is full."""
        return self._bytes_left > 0

    async def submit(self, order: VenueOrder) -> Evidence:
        """Pass on, and write down."""
        return await self._asked("submit", _submit_key(order), self._adapter.submit(order), _EVIDENCE)

    async def cancel(self, reference: OrderReference) -> Evidence:
        """Pass on, and write down."""
        return await self._asked("cancel", reference.client_order_id, self._adapter.cancel(reference), _EVIDENCE)

    async def query(self, reference: OrderReference) -> Evidence:
        """Pass on, and write down."""
        return await self._asked("query", reference.client_order_id, self._adapter.query(reference), _EVIDENCE)

    async def open_orders(self) -> list[Evidence]:
        """Pass on, and write down."""
        return await self._asked("open_orders", "", self._adapter.open_orders(), _OPEN_ORDERS)

    async def recent_orders(self, since_us: int) -> OrderPage:
        """Pass on, and write down."""
        return await self._asked("recent_orders", "", self._adapter.recent_orders(since_us), _ORDER_PAGE)

    async def fills_since(self, cursor: str) -> FillPage:
        """Pass on, and write down."""
        return await self._asked("fills_since", cursor, self._adapter.fills_since(cursor), _FILL_PAGE)

    async def movements_since(self, cursor: str) -> MovementPage:
        """Pass on, and write down."""
        return await self._asked("movements_since", cursor, self._adapter.movements_since(cursor), _MOVEMENT_PAGE)

    async def account(self) -> AccountEvidence:
        """Pass on, and write down."""
        return await self._asked("account", "", self._adapter.account(), _ACCOUNT)

    async def user_stream(self, listening: asyncio.Event | None = None) -> AsyncIterator[Evidence]:
        """Pass on, and write down each piece of evidence with the number of calls that were made before it."""
        self._connections += 1
        connection, accepted = self._connections, listening or asyncio.Event()
        lost: str | None = None
        try:
            async for evidence in self._adapter.user_stream(accepted):
                self._frame(connection, {"answer": _EVIDENCE.dump_python(evidence, mode="json")})
                yield evidence
        except UserStreamLost as error:
            lost = str(error)
            raise
        finally:
            self._frame(connection, {"end": {"lost": lost, "listening": accepted.is_set()}})

    def _frame(self, connection: int, what: _Line) -> None:
        self._write({"call": _STREAM, "connection": connection, "after": self._calls, **what})

    async def _asked(self, call: str, key: str, answer: Awaitable[T], adapter: TypeAdapter[T]) -> T:
        self._calls += 1
        try:
            evidence = await answer
        except VenueUnavailable as error:
            unavailable = {"why": str(error), "failure": error.failure, "retry_after_us": error.retry_after_us}
            self._write({"call": call, "key": key, "unavailable": unavailable})
            raise
        self._write({"call": call, "key": key, "answer": adapter.dump_python(evidence, mode="json")})
        return evidence

    def _write(self, line: _Line) -> None:
        """Append a line, or say once that there is no room for any more.

        A disk that fails ends the recording and nothing else: the answer to an order is not lost for its sake.
        """
        if self._bytes_left <= 0 or self._file.closed:
            return
        text = json.dumps(line, separators=(",", ":"), ensure_ascii=True)
        self._bytes_left -= len(text) + 1
        if self._bytes_left <= 0:
            text = json.dumps({_FULL: True})
        try:
            self._file.write(text + "\n")
            self._file.flush()
        except OSError:
            self._bytes_left = 0


class ReplayedVenue:
    """Answers as a recorded venue did: the n-th call of a kind about the same thing gets its n-th answer."""

    def __init__(self, path: Path) -> None:
        lines = _read(path)
        self._capabilities = _parsed(_CAPABILITIES, lines.popleft().get("capabilities"))
        self._answers: dict[tuple[str, str], deque[_Line]] = {}
        self._frames: dict[int, deque[_Line]] = {}
        for line in lines:
            if line.get("call") == _STREAM:
                self._frames.setdefault(line["connection"], deque()).append(line)
            elif "call" in line:
                self._answers.setdefault((line["call"], line["key"]), deque()).append(line)
        self._connections = 0
        self._calls = 0
        self._called = asyncio.Event()
        self._is_closed = False

    @property
    def capabilities(self) -> Capabilities:
        """Say what the recorded venue offered."""
        return self._capabilities

    async def connect(self) -> None:
        """Do nothing: there is nobody to connect to."""

    async def close(self) -> None:
        """End the user stream."""
        self._is_closed = True
        self._called.set()

    async def submit(self, order: VenueOrder) -> Evidence:
        """Say what was recorded of exactly this order."""
        return self._about(ReportSource.SUBMIT, "submit", _submit_key(order), order.client_order_id)

    async def cancel(self, reference: OrderReference) -> Evidence:
        """Say what was recorded of a cancel of this order."""
        return self._about(ReportSource.CANCEL, "cancel", reference.client_order_id, reference.client_order_id)

    async def query(self, reference: OrderReference) -> Evidence:
        """Say what was recorded of a look-up of this order."""
        return self._about(ReportSource.QUERY, "query", reference.client_order_id, reference.client_order_id)

    async def open_orders(self) -> list[Evidence]:
        """Return the next recorded list. Raises ``VenueUnavailable``."""
        return self._read("open_orders", "", _OPEN_ORDERS)

    async def recent_orders(self, since_us: int) -> OrderPage:  # noqa: ARG002 - the recording's time is another one
        """Return the next recorded list, whenever it is asked from. Raises ``VenueUnavailable``."""
        return self._read("recent_orders", "", _ORDER_PAGE)

    async def fills_since(self, cursor: str) -> FillPage:
        """Return the recorded page after ``cursor``. Raises ``VenueUnavailable``."""
        return self._read("fills_since", cursor, _FILL_PAGE)

    async def movements_since(self, cursor: str) -> MovementPage:
        """Return the recorded page after ``cursor``. Raises ``VenueUnavailable``."""
        return self._read("movements_since", cursor, _MOVEMENT_PAGE)

    async def account(self) -> AccountEvidence:
        """Return the next recorded account. Raises ``VenueUnavailable``."""
        return self._read("account", "", _ACCOUNT)

    async def user_stream(self, listening: asyncio.Event | None = None) -> AsyncIterator[Evidence]:
        """Yield what one recorded connection brought, none of it before the calls that had been made by then."""
        self._connections += 1
        frames = self._frames.pop(self._connections, None)
        if frames is None:
            raise UserStreamLost("unreachable: no such connection was recorded")
        end = frames[-1].get("end", {"lost": None, "listening": True})
        if listening is not None and end["listening"]:
            listening.set()
        while frames:
            frame = frames.popleft()
            await self._until_called(frame["after"])
            if "answer" in frame:
                yield _parsed(_EVIDENCE, frame["answer"])
        if end["lost"] is None:
            await self._until_closed()
        raise UserStreamLost(end["lost"])

    async def _until_called(self, calls: int) -> None:
        while self._calls < calls:
            await self._until_something()

    async def _until_closed(self) -> None:
        """Wait as a stream does that was up when the recording ended, or when its reader left."""
        while True:
            await self._until_something()

    async def _until_something(self) -> None:
        if self._is_closed:
            raise UserStreamLost("closed: this replay has ended")
        self._called.clear()
        await self._called.wait()

    def _next(self, call: str, key: str) -> _Line | None:
        self._calls += 1
        self._called.set()
        answers = self._answers.get((call, key))
        return answers.popleft() if answers else None

    def _about(self, source: ReportSource, call: str, key: str, client_order_id: str) -> Evidence:
        line = self._next(call, key)
        if line is not None:
            return _parsed(_EVIDENCE, line["answer"])
        return Evidence(
            client_order_id,
            source,
            ReportStatus.NO_ANSWER,
            reason=Reason.VENUE_UNKNOWN_OUTCOME,
            detail=f"{call}: never recorded",
            failure=Failure.NO_ANSWER,
        )

    def _read(self, call: str, key: str, adapter: TypeAdapter[T]) -> T:
        line = self._next(call, key)
        if line is None:
            raise VenueUnavailable(f"{call}: never recorded")
        unavailable = line.get("unavailable")
        if unavailable is not None:
            failure = Failure(unavailable["failure"])
            raise VenueUnavailable(unavailable["why"], failure, unavailable["retry_after_us"])
        return _parsed(adapter, line["answer"])


def _submit_key(order: VenueOrder) -> str:
    return json.dumps(_ORDER.dump_python(order, mode="json"), sort_keys=True)


def _read(path: Path) -> deque[_Line]:
    """Return the lines of a recording; a last line that was cut off by a crash is left out."""
    if path.stat().st_size > RECORDING_BYTES_MAX:
        raise BadRecording(f"{path}: more than {RECORDING_BYTES_MAX} bytes")
    texts = path.read_text(encoding="utf-8").split("\n")
    lines: deque[_Line] = deque()
    for number, text in enumerate(texts[:-1], start=1):
        try:
            line = json.loads(text)
        except ValueError as error:
            raise BadRecording(f"{path}: line {number} is not JSON: {error}") from error
        if not isinstance(line, dict):
            raise BadRecording(f"{path}: line {number} is not an object")
        lines.append(line)
    if not lines:
        raise BadRecording(f"{path}: nothing was recorded")
    return lines


def _parsed(adapter: TypeAdapter[T], value: Any) -> T:
    """Return what a line holds; its values are strict, so they are read as the JSON that they were written as."""
    try:
        return adapter.validate_json(json.dumps(value))
    except ValidationError as error:
        raise BadRecording(f"{str(value)[:80]}: {error.errors(include_url=False)[0]['msg']}") from error
