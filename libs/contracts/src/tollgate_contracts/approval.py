"""What risk signs and execution verifies: the approval of one action, and the permit to act at all.

Both are signed over the exact bytes that travel, behind a tag that names what they are, so that a signature
over one can never stand for the other. Execution verifies before it parses.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from tollgate_contracts.envelope import Desk, Hash, Identifier, Symbol, TimeUs, Value
from tollgate_contracts.money import Price, Quantity
from tollgate_contracts.strategy import Action, ClientOrderId, OrderType, Protection, Side, TimeInForce

APPROVAL_DOMAIN = b"tollgate/approval/v3\n"
PERMIT_DOMAIN = b"tollgate/permit/v2\n"
# The longest a permit may live: silence of risk stops execution within this time.
PERMIT_LIFE_US_MAX = 1_000_000

KeyId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
"""The first 16 hexadecimal digits of the SHA-256 of the public key."""
Signature = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]
"""Ed25519, hexadecimal."""
Environment = Literal["simulated", "paper", "live"]


class Scope(StrEnum):
    """What a permit lets through, and what an approval counts as."""

    TRADE = "TRADE"
    """What passed the gates; nothing of it while the kill switch is engaged."""
    FLATTEN = "FLATTEN"
    """Reducing orders by which risk closes positions under an engaged kill switch."""


class Approval(Value):
    """All that binds execution; it may make the order smaller or its price better, and nothing else."""

    version: Literal[3] = 3
    scope: Scope
    environment: Environment
    desk: Desk
    venue: Identifier
    account: Identifier
    action: Action
    client_order_id: ClientOrderId
    intent_id: Identifier
    symbol: Symbol
    side: Side
    order_type: OrderType
    quantity: Quantity
    limit_price: Price | None
    """The price bound: a buy never pays more, a sell never takes less. Null only for ``CANCEL``."""
    time_in_force: TimeInForce
    post_only: bool
    reduce_only: bool
    issued_us: TimeUs
    expires_us: TimeUs
    good_until_us: TimeUs | None
    replaces: ClientOrderId | None
    protection: Protection | None
    """What execution may place for this order's fills, for as long as they are held."""
    policy_hash: Hash
    kill_epoch: Annotated[int, Field(ge=0)]
    key_id: KeyId


class SignedText(Value):
    """A JSON text and the signature over its UTF-8 bytes behind the tag of what it is."""

    text: Annotated[str, Field(max_length=4_096)]
    signature: Signature
    key_id: KeyId


class Permit(Value):
    """Risk's lease to execution: while it is fresh, approvals of this kill epoch may be acted upon."""

    version: Literal[2] = 2
    scope: Scope
    desk: Desk
    number: Annotated[int, Field(ge=1)]
    """Rises with each permit of one risk process."""
    kill_epoch: Annotated[int, Field(ge=0)]
    issued_us: TimeUs
    expires_us: TimeUs
    key_id: KeyId
