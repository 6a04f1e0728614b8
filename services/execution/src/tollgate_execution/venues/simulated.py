"""The private side of the simulated exchange: the calls that move money, in whichever of its manners it was started.

What it promises is in ``tollgate_venues.adapter``.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import TypeVar
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.money import plain
from tollgate_contracts.reasons import Reason
from tollgate_execution.venues.manners import CAPABILITIES, Manner
from tollgate_execution.venues.signed_calls import CallFailed, Problem, SignedCalls, VenueKey, wall_us
from tollgate_venues.adapter import (
    Capabilities,
    OrderReference,
    UserStreamLost,
    VenueOrder,
    VenueUnavailable,
)
from tollgate_venues.evidence import AccountEvidence, Evidence, Failure, FillPage, MovementPage, OrderPage
from tollgate_venues.scan import Scanner
from tollgate_venues.simulated import parse
from tollgate_venues.simulated.parse import UnreadableVenueData

__all__ = ["SimulatedVenue", "VenueKey"]

_OPEN_TIMEOUT_S = 3.0
_MESSAGE_BYTES_MAX = 8 * 1024 * 1024
_ORDERS = "/api/v1/orders"

# The library's log of a connection has each frame in it, and the first one is signed.
_STREAM_LOG = logging.getLogger("tollgate_execution.venues.simulated.stream")
_STREAM_LOG.setLevel(logging.INFO)

# After these, in the venue's own words, it has not taken the order.
_NOT_TAKEN = frozenset(
    {Failure.RATE_LIMITED, Failure.BANNED, Failure.UNAUTHORIZED, Failure.OUT_OF_TIME, Failure.REFUSED}
)
_UNKNOWN_ORDER = "UNKNOWN_ORDER"
# An order of this id is there: in the exchange's own words, and in those of the venue whose manners it takes on.
_DUPLICATE = frozenset({"DUPLICATE_CLIENT_ORDER_ID", "101481", "109201"})

_compact = json.JSONEncoder(separators=(",", ":")).encode
T = TypeVar("T")


class SimulatedVenue:
    """A client of the simulated exchange's private API."""

    def __init__(
        self,
        base_url: str,
        key: VenueKey,
        *,
        like: Manner | str = Manner.TOLLGATE,
        timeout_s: float = 2.0,
        silence_s: float = 3.0,
        now_us: Callable[[], int] = wall_us,
    ) -> None:
        self._calls = SignedCalls(base_url, key, timeout_s, now_us)
        self._manner = Manner(like)
        self._silence_s = silence_s
        self._scanner = Scanner(self, self._is_same_id)

    @property
    def capabilities(self) -> Capabilities:
        """Say what the simulated exchange offers in this manner."""
        return CAPABILITIES[self._manner]

    async def connect(self) -> None:
        """Open a connection, so that the first order does not pay for it; a failure is left to the first call."""
        try:
            await self._calls.call("GET", "/api/v1/time")
        except CallFailed:
            return

    async def close(self) -> None:
        """Close every connection."""
        await self._calls.close()

    async def submit(self, order: VenueOrder) -> Evidence:
        """Place ``order`` once; source ``SUBMIT``."""
        client_order_id = order.client_order_id
        try:
            body = await self._calls.call("POST", _ORDERS, _order_body(order))
            evidence = self._order_of(client_order_id, body, ReportSource.SUBMIT)
            if parse.is_order(body, order):
                return evidence
        except CallFailed as failed:
            return _not_placed(client_order_id, failed.problem)
        except UnreadableVenueData as error:
            return self._unreadable(client_order_id, ReportSource.SUBMIT, error)
        taken = Problem(Failure.REFUSED, f"another order has this id: {evidence.venue_order_id} is not what was asked")
        return _no_answer(client_order_id, ReportSource.SUBMIT, taken)

    async def cancel(self, reference: OrderReference) -> Evidence:
        """Cancel; source ``CANCEL``: the order as it stands after it, ``ABSENT`` or ``NO_ANSWER``.

        Where the venue's own id is needed and not known, the order is looked for first; what is not found open needs
        no cancel, and comes back as it was found.
        """
        target = self._target(reference)
        if target is None:
            found = await self._scanner.find(reference)
            target = self._target(replace(reference, venue_order_id=found.venue_order_id))
            if found.status is not ReportStatus.OPEN or target is None:
                return replace(found, source=ReportSource.CANCEL)
        return await self._act(reference.client_order_id, ReportSource.CANCEL, "DELETE", target)

    async def query(self, reference: OrderReference) -> Evidence:
        """Ask what became of an order, all its trades with it; source ``QUERY``: ``ABSENT`` when it is unknown."""
        target = self._target(reference)
        if target is None:
            return await self._scanner.find(reference)
        return await self._act(reference.client_order_id, ReportSource.QUERY, "GET", target)

    async def open_orders(self) -> list[Evidence]:
        """Return every open order; source ``QUERY``. Raises ``VenueUnavailable``."""
        return list(await self._ask(f"{_ORDERS}?open=true", parse.orders))

    async def recent_orders(self, since_us: int) -> OrderPage:
        """Return at most 500 orders that changed since then, oldest first. Raises ``VenueUnavailable``."""
        return await self._ask(f"{_ORDERS}?since_us={since_us}", parse.order_page)

    async def fills_since(self, cursor: str) -> FillPage:
        """Return at most 1000 fills after ``cursor``, oldest first. Raises ``VenueUnavailable``."""
        return await self._ask(f"/api/v1/fills?since={cursor or 0}", lambda body: parse.fill_page(body, cursor))

    async def movements_since(self, cursor: str) -> MovementPage:
        """Return at most 1000 movements after ``cursor``, oldest first. Raises ``VenueUnavailable``."""
        return await self._ask(f"/api/v1/movements?since={cursor or 0}", lambda body: parse.movement_page(body, cursor))

    async def account(self) -> AccountEvidence:
        """Return balances and fees. Raises ``VenueUnavailable``."""
        return await self._ask("/api/v1/account", parse.account)

    async def user_stream(self, listening: asyncio.Event | None = None) -> AsyncIterator[Evidence]:
        """Yield evidence (source ``STREAM``) from one connection until it is lost; raises ``UserStreamLost``.

        ``listening`` is set once the venue has accepted the signed request: whoever asks for all open orders
        after that can miss nothing in between.
        """
        try:
            async with connect(
                self._calls.stream_url,
                compression=None,
                logger=_STREAM_LOG,
                open_timeout=_OPEN_TIMEOUT_S,
                close_timeout=1,
                ping_interval=None,  # the venue's heartbeats say more than a pong of ours
                max_size=_MESSAGE_BYTES_MAX,
            ) as socket:
                await socket.send(self._calls.authentication())
                async for evidence in self._follow(socket, listening):
                    yield evidence
        except ConnectionClosed as error:
            raise UserStreamLost(self._calls.hide(f"closed: {error}")) from error
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise UserStreamLost(f"unreachable: {type(error).__name__}: {error}") from error

    async def _follow(self, socket: ClientConnection, listening: asyncio.Event | None) -> AsyncIterator[Evidence]:
        expected, is_accepted, began_s = 1, False, time.monotonic()
        while True:
            try:
                async with asyncio.timeout(self._silence_s):
                    message = await socket.recv()
            except TimeoutError as error:
                raise UserStreamLost(f"silent: no frame for {self._silence_s} s") from error
            try:
                for sequence, frame in parse.parse_frames(message):
                    if self._is_new(sequence, frame, expected):
                        expected += 1
                        if frame.get("type") == "authenticated":
                            is_accepted = True
                            if listening is not None:
                                listening.set()
                        evidence = parse.user_evidence(frame)
                        if evidence is not None:
                            yield evidence
            except UnreadableVenueData as error:
                raise UserStreamLost(self._calls.hide(f"unreadable: {error}")) from error
            # Heartbeats alone would keep for ever a connection on which nobody knows whether we are heard.
            if not is_accepted and time.monotonic() - began_s > self._silence_s:
                raise UserStreamLost(f"not accepted: no word of it for {self._silence_s} s")

    def _is_new(self, sequence: int, frame: parse.Json, expected: int) -> bool:
        """Say whether a frame is the next one or came before; raises ``UserStreamLost`` for a refusal or a gap."""
        if frame.get("type") == "error":
            raise UserStreamLost(self._calls.hide(f"refused: {frame.get('code')}: {frame.get('message')}"))
        if sequence > expected:
            raise UserStreamLost(f"gap: frame {expected} was expected, {sequence} came")
        return sequence == expected

    async def _act(self, client_order_id: str, source: ReportSource, method: str, target: str) -> Evidence:
        """Look up or cancel one order; whatever happens, say what is known."""
        try:
            return self._order_of(client_order_id, await self._calls.call(method, target), source)
        except CallFailed as failed:
            problem = failed.problem
            if problem.code == _UNKNOWN_ORDER:
                return Evidence(client_order_id, source, ReportStatus.ABSENT, detail=problem.detail)
            return _no_answer(client_order_id, source, problem)
        except UnreadableVenueData as error:
            return self._unreadable(client_order_id, source, error)

    async def _ask(self, target: str, reader: Callable[[parse.Json], T]) -> T:
        try:
            return reader(await self._calls.call("GET", target))
        except CallFailed as failed:
            problem = failed.problem
            raise VenueUnavailable(problem.detail, problem.failure, problem.retry_after_us) from failed
        except UnreadableVenueData as error:
            raise VenueUnavailable(self._calls.hide(f"{target}: {error}"), Failure.UNREADABLE) from error

    def _target(self, reference: OrderReference) -> str | None:
        """Return where the venue keeps an order; null where it wants an id of its own that we do not have."""
        if self.capabilities.looks_up_by_client_id:
            return f"{_ORDERS}/{quote(reference.client_order_id, safe='')}"
        if reference.venue_order_id is None:
            return None
        return f"{_ORDERS}/by-venue-id/{quote(reference.venue_order_id, safe='')}"

    def _order_of(self, client_order_id: str, body: parse.Json, source: ReportSource) -> Evidence:
        """Return what an answer says under our own spelling of the id; another order's is unreadable."""
        evidence = parse.order_evidence(body, source)
        if not self._is_same_id(evidence.client_order_id, client_order_id):
            raise UnreadableVenueData(f"client_order_id: the answer is about {evidence.client_order_id[:64]}")
        return replace(evidence, client_order_id=client_order_id)

    def _is_same_id(self, venues: str, ours: str) -> bool:
        return venues == (ours.lower() if self._manner is Manner.BINGX else ours)

    def _unreadable(self, client_order_id: str, source: ReportSource, error: UnreadableVenueData) -> Evidence:
        return _no_answer(client_order_id, source, Problem(Failure.UNREADABLE, self._calls.hide(str(error))[:500]))


def _order_body(order: VenueOrder) -> bytes:
    body = {
        "client_order_id": order.client_order_id,
        "symbol": order.symbol,
        "side": order.side,
        "order_type": order.order_type,
        "quantity": plain(order.quantity),
        "limit_price": None if order.limit_price is None else plain(order.limit_price),
        "time_in_force": order.time_in_force,
        "post_only": order.post_only,
    }
    if order.trigger_price is not None:
        body["trigger_price"] = plain(order.trigger_price)
    return _compact(body).encode()


def _not_placed(client_order_id: str, problem: Problem) -> Evidence:
    """Say what a failed submit means: a rejection only by the venue's own word that it did not take the order."""
    if problem.code is None or problem.code in _DUPLICATE or problem.failure not in _NOT_TAKEN:
        return _no_answer(client_order_id, ReportSource.SUBMIT, problem)
    return Evidence(
        client_order_id,
        ReportSource.SUBMIT,
        ReportStatus.REJECTED,
        reason=parse.refusal_reason(problem.code),
        detail=problem.detail,
        failure=problem.failure,
        retry_after_us=problem.retry_after_us,
    )


def _no_answer(client_order_id: str, source: ReportSource, problem: Problem) -> Evidence:
    return Evidence(
        client_order_id,
        source,
        ReportStatus.NO_ANSWER,
        reason=Reason.VENUE_UNKNOWN_OUTCOME,
        detail=problem.detail,
        failure=problem.failure,
        retry_after_us=problem.retry_after_us,
    )
