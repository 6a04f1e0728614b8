"""What execution was started with, as it stands on the tape: the core knows nothing that is not here."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tollgate_contracts.approval import Environment, KeyId
from tollgate_contracts.envelope import Currency, Desk, Identifier, Symbol, Value

Duration = Annotated[int, Field(gt=0, le=86_400_000_000)]
"""Microseconds, at most a day."""
PublicKey = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""Ed25519, hexadecimal."""


class Watch(Value):
    """How orders are watched, all on tape time: when to ask, when absence is proof, when to forget."""

    unknown_us: Duration = 500_000
    """First look at an order in ``UNKNOWN``, or one with trades missing; doubles with each look."""
    silent_us: Duration = 2_000_000
    """First look at a submit or a cancel that was not answered; doubles with each look."""
    delay_us_max: Duration = 8_000_000
    """No doubling beyond this."""
    probes_max: Annotated[int, Field(ge=1, le=100)] = 8
    """Looks before an operator is called."""
    slow_us: Duration = 60_000_000
    """Time between looks after that."""
    working_us: Duration = 30_000_000
    """Time between looks at a working order: fill frames can be missing while heartbeats are healthy."""
    receive_window_us: Duration = 3_000_000
    """How long after its approval's expiry a submit could still reach the venue: its receive window and a margin."""
    forget_after_us: Duration = 600_000_000
    """How long a finished order is kept for late evidence."""
    finished_orders_max: Annotated[int, Field(ge=0, le=100_000)] = 250
    """How many finished orders are kept at most: bounds the snapshot."""


class Parameters(Value):
    """The configuration of execution that decides anything; read from the text of its ``config`` message."""

    version: Literal[1] = 1
    environment: Environment
    desk: Desk
    venue: Identifier
    account: Identifier
    quote_currency: Currency
    symbols: Annotated[tuple[Symbol, ...], Field(min_length=1, max_length=64)]
    trusted_keys: Annotated[dict[KeyId, PublicKey], Field(min_length=1, max_length=16)]
    """Public keys of risk by key id, so that a replay can verify from the tape alone."""
    approval_life_us_max: Duration = 60_000_000
    """An approval that was issued to live longer than this is not one of ours."""
    remember_us: Duration = 60_000_000
    """How long past its expiry a used approval is remembered; the journal remembers it for ever."""
    watch: Watch = Watch()

    @model_validator(mode="after")
    def _symbols_are_different(self) -> Self:
        if len({*self.symbols}) != len(self.symbols):
            raise ValueError("each symbol may be named once")
        return self
