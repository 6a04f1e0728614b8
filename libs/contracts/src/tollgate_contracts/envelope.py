"""The envelope that every message wears, and how ids are derived.

An output is named after its cause, ``<service>:<cause sequence>:<n>``, so that the same step always writes the
same id. An outside event is named after its source, ``<service>:<source>:<the source's own id>``.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Service = Literal["marketdata", "strategy", "risk", "execution", "ledger"]
SERVICES: tuple[Service, ...] = ("marketdata", "strategy", "risk", "execution", "ledger")

# The first microsecond of the year 2200: anything later is a clock in the wrong unit.
TIME_US_MAX = 7_258_118_400_000_000
TimeUs = Annotated[int, Field(ge=0, lt=TIME_US_MAX)]
"""Microseconds since the Unix epoch, UTC."""
Sequence = Annotated[int, Field(ge=1)]
"""A position on the tape; the first message has 1."""
Desk = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
Symbol = Annotated[str, Field(pattern=r"^[A-Z0-9]{2,15}-[A-Z0-9]{2,10}$")]
"""``BASE-QUOTE`` in capitals, such as ``BTC-USDT``."""
Currency = Annotated[str, Field(pattern=r"^[A-Z0-9]{2,15}$")]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9:._-]{1,128}$")]


def _without_zeros(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


Text = Annotated[str, Field(max_length=2_000), AfterValidator(_without_zeros)]
"""Free text for people; bounded, and never decided upon. A zero character, which no database can hold, is replaced."""
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 in lower-case hexadecimal."""


class Value(BaseModel):
    """A frozen part of a message: unknown fields and coerced types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Message(Value):
    """What every message on the tape carries; ``kind``, ``version`` and ``writer`` are fixed by each subclass."""

    writer: Service
    kind: str
    version: int
    id: Identifier
    desk: Desk
    run_id: Identifier
    ts_us: TimeUs
    cause: Sequence | None
    """Tape sequence of the message that made the writer write this; null for an outside event."""
    cycle_id: Annotated[int, Field(ge=0)]
    """The clock cycle in force; 0 before the first."""

    @classmethod
    def caused_by(cls, cause: "Message", sequence: int, index: int, **fields: Any) -> Self:
        """Build the output number ``index`` of the step that read ``cause`` at ``sequence``."""
        writer = cls.model_fields["writer"].default
        return cls(
            id=f"{writer}:{sequence}:{index}",
            desk=cause.desk,
            run_id=cause.run_id,
            ts_us=cause.ts_us,
            cause=sequence,
            cycle_id=cause.cycle_id,
            **fields,
        )
