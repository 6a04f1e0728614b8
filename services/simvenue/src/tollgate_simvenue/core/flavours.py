"""The manners of real venues: what a client order id is worth, who may be asked after, and when a cancel is over.

The wire stays ours; what is imitated is what costs orders when a client takes it for granted. From the venues' own
documents: BtcTurk takes a second order of the same id and only accepts a cancel; Coinbase answers a used id with
the order that has it; BingX refuses it with a code of its own under status 200, and lower-cases every id.
"""

from dataclasses import dataclass
from enum import StrEnum

from tollgate_simvenue.core.model import Refusal, Refused

# About what BtcTurk takes from the answer to a cancel until its outcome is said.
_CANCEL_DELAY_US = 200_000


class VenueLike(StrEnum):
    """Whose manners the exchange has."""

    TOLLGATE = "tollgate"
    BTCTURK = "btcturk"
    COINBASE = "coinbase"
    BINGX = "bingx"


class Duplicates(StrEnum):
    """What becomes of a second order with a client order id that was used before."""

    REFUSED = "refused"
    ACCEPTED = "accepted"
    """As a second order."""
    ANSWERED = "answered"
    """With the order that has the id, as if it had been placed now."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How a venue treats client order ids and cancels."""

    duplicates: Duplicates = Duplicates.REFUSED
    duplicate_code: Refusal = Refusal.DUPLICATE_CLIENT_ORDER_ID
    looks_up_by_client_id: bool = True
    """Else look-ups and cancels go by the venue's own id alone."""
    lowers_ids: bool = False
    cancel_delay_us: int = 0
    """From the answer to a cancel until the order ends; it may trade meanwhile."""

    def client_order_id(self, given: str) -> str:
        """Return the id as the venue keeps it."""
        return given.lower() if self.lowers_ids else given

    def duplicate(self, client_order_id: str) -> Refused:
        """Return the refusal of an id that was used before."""
        return Refused(
            self.duplicate_code,
            f"an order {client_order_id} was registered before; ask for it by GET",
            "client_order_id",
        )


MANNERS = {
    VenueLike.TOLLGATE: Manners(),
    VenueLike.BTCTURK: Manners(
        duplicates=Duplicates.ACCEPTED, looks_up_by_client_id=False, cancel_delay_us=_CANCEL_DELAY_US
    ),
    VenueLike.COINBASE: Manners(duplicates=Duplicates.ANSWERED, looks_up_by_client_id=False),
    VenueLike.BINGX: Manners(duplicate_code=Refusal.BINGX_DUPLICATE, lowers_ids=True),
}
