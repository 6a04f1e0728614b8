"""What a conformance test must be able to bring about on the venue's side, whatever the venue.

The law of this module: a world stands between the adapter and a venue, or is the venue. It counts each request that
reaches it, and what it is asked to bring about happens to the next request, or to the open stream, and to no other.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from tollgate_venues.adapter import VenueAdapter


class Trouble(StrEnum):
    """What happens to the next request; unless its name says so, the venue does not act upon it."""

    TAKEN_SILENT = "taken_silent"
    """The venue acts, and never answers."""
    TAKEN_BROKEN = "taken_broken"
    """The venue acts, and the connection breaks."""
    TAKEN_SERVER_ERROR = "taken_server_error"
    """The venue acts, and answers with a server error."""
    BROKEN = "broken"
    """A connection that was in use already breaks."""
    SERVER_ERROR = "server_error"
    RATE_LIMITED = "rate_limited"
    BANNED = "banned"
    MAINTENANCE = "maintenance"
    UNAUTHORIZED = "unauthorized"
    """As the venue says it of a wrong key."""
    UNREADABLE = "unreadable"
    """Success, and a body that is nothing of the venue's."""
    STRANGE_NOT_FOUND = "strange_not_found"
    """Not found, but not in the venue's words: a wrong path, or something in between."""
    ECHO = "echo"
    """A refusal that repeats everything it was sent, credentials too."""


class Disturbance(StrEnum):
    """What happens to the open user stream."""

    LOST = "lost"
    """The connection ends."""
    SILENT = "silent"
    """Nothing comes any more, and the connection stays open."""
    MISSING = "missing"
    """The next message about an order is left out, and the stream goes on."""
    REPEATED = "repeated"
    """The next message about an order comes twice, the same number on it where the venue numbers."""


@dataclass(frozen=True, slots=True)
class Market:
    """What the suite trades: a symbol that is open, with a market in it, and prices that are sure to do something."""

    symbol: str
    base: str
    quote: str
    tick: Decimal
    step: Decimal
    quantity: Decimal
    """That is allowed, and that both prices below can pay for with plenty left."""
    far_price: Decimal
    """A buy at this price rests."""
    crossing_price: Decimal
    """A buy at this price trades all of ``quantity`` at once; as a trigger it is never reached."""
    beyond_quantity: Decimal
    """More than the account can pay for at ``far_price``."""
    smallest_amount: Decimal
    """Of the quote currency, in which the venue keeps balances."""


class World(Protocol):
    """The venue's side of one test."""

    @property
    def market(self) -> Market:
        """Return what may be traded."""
        ...

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return every text that must not be seen anywhere."""
        ...

    def new_id(self) -> str:
        """Return a client order id that was never used, of the adapter's charset."""
        ...

    def requests(self) -> int:
        """Return how many requests of the adapter have come so far; streams do not count."""
        ...

    async def stranger(self) -> VenueAdapter:
        """Return an adapter to the same venue whose secret is wrong."""
        ...

    async def trouble(self, trouble: Trouble, retry_after_s: int | None = None) -> None:
        """Let this happen to the next request."""
        ...

    async def disturb(self, disturbance: Disturbance) -> None:
        """Let this happen to the open user stream."""
        ...

    async def bust(self, trade_id: str) -> None:
        """Let the venue take back a trade of ours."""
        ...

    async def move(self, currency: str, amount: Decimal) -> None:
        """Let money come in (above zero) or go out, without an order."""
        ...

    async def set_open(self, is_open: bool) -> None:
        """Open the market's symbol for new orders, or let it take cancels alone."""
        ...
