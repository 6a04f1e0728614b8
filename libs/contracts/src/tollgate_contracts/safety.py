"""What execution says of what it depends on: breakers around the venue's calls, and safe mode."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from tollgate_contracts.envelope import Message, Text, TimeUs


class BreakerState(StrEnum):
    """Whether calls of one kind are let through."""

    CLOSED = "CLOSED"
    """They are."""
    OPEN = "OPEN"
    """They are not: too many have failed."""
    HALF_OPEN = "HALF_OPEN"
    """A few are, to see whether they succeed again."""


class EndpointGroup(StrEnum):
    """Kinds of venue calls that fail together."""

    ORDERS = "ORDERS"
    ACCOUNT = "ACCOUNT"
    MARKET_DATA = "MARKET_DATA"


class Breaker(Message):
    """Calls of one kind to the venue were stopped or let through again."""

    writer: Literal["execution"] = "execution"
    kind: Literal["breaker"] = "breaker"
    version: Literal[2] = 2
    group: EndpointGroup
    from_state: BreakerState
    to_state: BreakerState
    detail: Text
    banned_until_us: TimeUs | None = None
    """Until when the venue takes no call of ours at all; null where it has not said so."""


class Dependency(StrEnum):
    """What execution cannot trade without."""

    VENUE_ORDERS = "VENUE_ORDERS"
    """The calls that place orders: their breaker is open, or the venue is unreachable."""
    VENUE_ACCOUNT = "VENUE_ACCOUNT"
    """The calls that state the account."""
    USER_STREAM = "USER_STREAM"
    """The venue's own stream of our orders."""
    MARKET_DATA = "MARKET_DATA"
    """Fresh quotes on the tape."""
    PERMIT = "PERMIT"
    """Risk's permits."""
    RECONCILIATION = "RECONCILIATION"
    """The last rounds did not agree, or none was completed in time."""
    STOPPING = "STOPPING"
    """This process has been told to stop."""


class SafeMode(Message):
    """Execution has gone into safe mode or left it: unprotected orders are cancelled and nothing new is entered."""

    writer: Literal["execution"] = "execution"
    kind: Literal["safe_mode"] = "safe_mode"
    version: Literal[1] = 1
    engaged: bool
    degraded: Annotated[tuple[Dependency, ...], Field(max_length=16)]
    """What is degraded, in the order of ``Dependency``; empty when released."""
    detail: Text
