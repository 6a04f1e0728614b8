"""What every private adapter of a venue can do, whatever the venue: the one interface that execution speaks to.

The law of this module: a call that may have changed something at the venue never raises; it returns evidence, and
"we do not know" is a piece of evidence (``NO_ANSWER``). Calls that only read raise ``VenueUnavailable``. Nothing is
sent twice: an adapter makes one request for each call and never tries again, because only its caller knows whether
it may.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_venues.evidence import AccountEvidence, Evidence, Failure, FillPage, MovementPage, OrderPage


class VenueUnavailable(Exception):
    """The venue did not answer a question as it should; the text says how."""

    def __init__(self, why: str, failure: Failure = Failure.NO_ANSWER, retry_after_us: int | None = None) -> None:
        super().__init__(why)
        self.failure = failure
        self.retry_after_us = retry_after_us
        """What the venue asks us to wait; none where it names nothing."""


class UserStreamLost(Exception):
    """The user stream ended, fell silent or missed a frame; connect again and reconcile."""


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """What is asked of the venue; ``limit_price`` is null for a market order and for nothing else."""

    client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    limit_price: Decimal | None
    time_in_force: TimeInForce
    post_only: bool
    reduce_only: bool
    trigger_price: Decimal | None = None
    """Of a stop; null for an order that works at once."""


@dataclass(frozen=True, slots=True)
class OrderReference:
    """An order to be asked after or cancelled: what of it the venue may need to find it."""

    client_order_id: str
    symbol: str
    venue_order_id: str | None
    """None while the venue has not told it: a venue that looks up by its own id alone is then scanned."""
    placed_us: int
    """A time before which it cannot have been placed: where a scan may begin."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the venue offers; where it does not, execution does without, in a way that is stated here."""

    looks_up_by_client_id: bool
    """Else the adapter scans open and recent orders, and ABSENT means that the whole scan did not find it."""
    refuses_duplicate_ids: bool
    """Else a client order id is no protection against a second order, and nothing is ever sent again in doubt."""
    cancels_at_once: bool
    """Else the answer to a cancel is that it was taken, and the end comes later."""
    has_post_only: bool
    has_stops: bool
    has_fill_cursor: bool
    visibility_us: int
    """An order that was taken is visible to look-ups after this at the latest: absence before it is no proof."""
    receive_window_us: int
    """A request that arrives later than this after it was signed is refused by the venue."""
    client_id_length_max: int
    client_id_pattern: str
    """Of the venue's charset, as a regular expression for the whole id."""
    numbers_its_stream: bool = True
    """Else a frame can be missing without anybody seeing it, and only reconciliation finds what it said."""
    tells_busts: bool = True
    """Else a trade that is taken back is seen in the balances alone."""


class VenueAdapter(Protocol):
    """One account at one venue."""

    @property
    def capabilities(self) -> Capabilities:
        """Say what the venue offers."""
        ...

    async def connect(self) -> None:
        """Open what can be opened beforehand; a failure is left to the first call."""
        ...

    async def close(self) -> None:
        """Let go of every connection."""
        ...

    async def submit(self, order: VenueOrder) -> Evidence:
        """Place ``order`` once; source ``SUBMIT``.

        ``REJECTED`` only where the venue has said that it did not take it; an order that it has registered and ended
        at once comes with that end. Timeouts, server errors and unreadable answers are ``NO_ANSWER``. A refused
        duplicate is ``NO_ANSWER`` too: an order of this id is there, and only a look-up tells how it stands.
        """
        ...

    async def cancel(self, reference: OrderReference) -> Evidence:
        """Ask for a cancel; source ``CANCEL``: the order as it stands after it, ``ABSENT`` or ``NO_ANSWER``."""
        ...

    async def query(self, reference: OrderReference) -> Evidence:
        """Ask what became of an order, all its trades with it; source ``QUERY``: ``ABSENT`` when it is unknown."""
        ...

    async def open_orders(self) -> list[Evidence]:
        """Return every open order, foreign ones too; source ``QUERY``. Raises ``VenueUnavailable``."""
        ...

    async def recent_orders(self, since_us: int) -> OrderPage:
        """Return orders that changed at or after ``since_us``; source ``QUERY``. Raises ``VenueUnavailable``."""
        ...

    async def fills_since(self, cursor: str) -> FillPage:
        """Return fills after ``cursor`` (empty for all), oldest first. Raises ``VenueUnavailable``.

        What a cursor has passed never comes again: of an order that is forgotten since, it would be booked twice.
        """
        ...

    async def movements_since(self, cursor: str) -> MovementPage:
        """Return money that moved without an order, oldest first. Raises ``VenueUnavailable``."""
        ...

    async def account(self) -> AccountEvidence:
        """Return balances, positions and fees. Raises ``VenueUnavailable``."""
        ...

    def user_stream(self, listening: asyncio.Event | None = None) -> AsyncIterator[Evidence]:
        """Yield evidence (source ``STREAM``) from one connection until it is lost; raises ``UserStreamLost``.

        ``listening`` is set once the venue has accepted us: whoever reconciles after that misses nothing in between.
        """
        ...
