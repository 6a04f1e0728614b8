"""Bytes to messages and back; what cannot be read is refused with a reason, never guessed."""

from enum import StrEnum
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError

from tollgate_contracts.config import Config
from tollgate_contracts.envelope import Identifier, Message, Sequence, Text, TimeUs, Value
from tollgate_contracts.execution import Bust, Fill, Order, Refusal, Report
from tollgate_contracts.ledger import Books, Correction, Drift
from tollgate_contracts.marketdata import Bar, Clock, Feed, Funding, Instrument, Quote
from tollgate_contracts.reconciliation import Account, Adoption, Movement, Reconcile, Sync
from tollgate_contracts.risk import Decision, KillSwitch, Mode, OperatorCall, Policy
from tollgate_contracts.safety import Breaker, SafeMode
from tollgate_contracts.strategy import Intent
from tollgate_contracts.tenure import Tenure

AnyMessage = Annotated[
    Instrument
    | Funding
    | Quote
    | Bar
    | Feed
    | Clock
    | Intent
    | Policy
    | Decision
    | Mode
    | KillSwitch
    | OperatorCall
    | Report
    | Order
    | Fill
    | Bust
    | Refusal
    | Account
    | Adoption
    | Movement
    | Reconcile
    | Sync
    | Breaker
    | SafeMode
    | Books
    | Drift
    | Correction
    | Config
    | Tenure,
    Field(discriminator="kind"),
]
_ADAPTER: TypeAdapter[Any] = TypeAdapter(AnyMessage)
KINDS: dict[str, type[Message]] = {
    kind.model_fields["kind"].default: kind for kind in get_args(get_args(AnyMessage)[0])
}

# Our largest message, an account with some hundred balances, is a tenth of this.
MESSAGE_BYTES_MAX = 262_144


class Unreadable(StrEnum):
    """Why bytes are not a message of ours."""

    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    UNKNOWN_KIND = "unknown_kind"
    UNKNOWN_VERSION = "unknown_version"
    INVALID = "invalid"


class UnreadableMessage(ValueError):
    """Bytes that are no message of ours; ``reason`` says which rule they break, ``detail`` where."""

    def __init__(self, reason: Unreadable, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def encode(message: Message) -> bytes:
    """Return the canonical bytes: fields in declared order, decimals as plain strings, no spaces."""
    return message.__pydantic_serializer__.to_json(message)


def decode(data: bytes) -> Message:
    """Return the message in ``data``; raises ``UnreadableMessage`` for anything that is not exactly one of ours."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise UnreadableMessage(Unreadable.TOO_LARGE, f"{len(data)} bytes, at most {MESSAGE_BYTES_MAX} expected")
    try:
        message: Message = _ADAPTER.validate_json(data)
    except ValidationError as error:
        raise _explain(error) from error
    return message


def _explain(error: ValidationError) -> UnreadableMessage:
    lines = []
    reason = Unreadable.INVALID
    for entry in error.errors(include_url=False):
        where = ".".join(str(part) for part in entry["loc"]) or "message"
        lines.append(f"{where}: {entry['msg']}, got {str(entry['input'])[:80]!r}")
        if entry["type"] == "json_invalid":
            reason = Unreadable.NOT_JSON
        elif entry["type"] in {"union_tag_invalid", "union_tag_not_found"}:
            reason = Unreadable.UNKNOWN_KIND
        elif entry["loc"][-1:] == ("version",):
            reason = Unreadable.UNKNOWN_VERSION
    return UnreadableMessage(reason, "; ".join(lines)[:2_000])


class DeadLetter(Value):
    """What a reader could not read, whole, with the reason; it goes to the dead-letter stream."""

    kind: Literal["dead_letter"] = "dead_letter"
    version: Literal[1] = 1
    reader: Identifier
    sequence: Sequence
    subject: Text
    message_id: Text
    reason: Unreadable | Literal["conflicting_duplicate", "foreign_writer"]
    detail: Text
    data_base64: Annotated[str, Field(max_length=1_500_000)]
    ts_us: TimeUs
