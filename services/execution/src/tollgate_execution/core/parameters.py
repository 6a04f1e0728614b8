"""What execution was started with, as it stands on the tape: the core knows nothing that is not here."""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tollgate_contracts.approval import Environment, KeyId
from tollgate_contracts.envelope import Currency, Desk, Identifier, Symbol, Value
from tollgate_contracts.money import NonNegative

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
    stale_after_us: Duration | None = None
    """An order that has worked for longer is cancelled; null for never. One that only makes a position smaller is
    left alone: to take an exit back makes risk larger."""
    receive_window_us: Duration = 3_000_000
    """How long after its approval's expiry a submit could still reach the venue: its receive window and a margin."""
    visibility_us: Duration = 1_000_000
    """How long after the venue has taken an order a look-up may still not find it."""
    resends_max: Annotated[int, Field(ge=0, le=10)] = 1
    """How often an order may be sent again under the same id, once the venue has shown that its last send can arrive
    no more; 0 where the venue does not refuse a second order of the same id."""
    reprices_max: Annotated[int, Field(ge=0, le=20)] = 3
    """How often a post-only order that would have taken may be placed anew at a better price."""
    forget_after_us: Duration = 600_000_000
    """How long a finished order is kept for late evidence."""
    finished_orders_max: Annotated[int, Field(ge=0, le=100_000)] = 250
    """How many finished orders are kept at most: bounds the snapshot."""

    @property
    def proof_us(self) -> int:
        """Return how long after a submit can have left absence is proof: it arrives no more, and would be visible."""
        return self.receive_window_us + self.visibility_us


class SyncRules(Value):
    """What reconciliation takes for a difference."""

    statements: Annotated[int, Field(ge=1, le=100)] = 3
    """Account statements in a row that must differ, with the same sign, before a drift is said."""
    missed_after_us: Duration = 1_000_000
    """A trade that only the list of fills has told us of was missed if it is older than this; else it is on its way."""
    stale_after_us: Duration = 10_000_000
    """A submit or a cancel of which nothing was heard for this long is stale."""
    fee_tolerance_bps: NonNegative = Decimal(1)
    """By so much of a trade's value its fee may differ from the stated tier, as by the venue's rounding."""
    dust: dict[Currency, NonNegative] = Field(default_factory=dict)
    """By currency, the largest difference from the venue that is not a drift; zero where none is named."""


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
    slippage_bps_max: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """How far beyond the best opposite quote an order may trade that takes at once, within its bound; null for as far
    as its bound."""
    quote_age_us_max: Duration = 5_000_000
    """An older quote is not what the market is: nothing is priced by it."""
    watch: Watch = Watch()
    sync: SyncRules = SyncRules()

    @model_validator(mode="after")
    def _symbols_are_different(self) -> Self:
        if len({*self.symbols}) != len(self.symbols):
            raise ValueError("each symbol may be named once")
        return self
