"""Execution's typed configuration, and what of it decides anything: the text that stands on the tape."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field, field_validator

from tollgate_chassis.settings import DeskSettings, Section
from tollgate_contracts.config import canonical_json
from tollgate_execution.core import Parameters, Watch

Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]


class WatchSection(Section):
    """How orders are watched; the meaning of each key is that of ``Watch``."""

    unknown_ms: Milliseconds = 500
    silent_ms: Milliseconds = 2_000
    delay_ms_max: Milliseconds = 8_000
    probes_max: Annotated[int, Field(ge=1, le=100)] = 8
    slow_ms: Milliseconds = 60_000
    working_ms: Milliseconds = 30_000
    receive_window_ms: Milliseconds = 3_000
    forget_after_ms: Milliseconds = 600_000
    finished_orders_max: Annotated[int, Field(ge=0, le=100_000)] = 250

    def to_watch(self) -> Watch:
        """Return the same on the tape's clock."""
        return Watch(
            unknown_us=self.unknown_ms * 1_000,
            silent_us=self.silent_ms * 1_000,
            delay_us_max=self.delay_ms_max * 1_000,
            probes_max=self.probes_max,
            slow_us=self.slow_ms * 1_000,
            working_us=self.working_ms * 1_000,
            receive_window_us=self.receive_window_ms * 1_000,
            forget_after_us=self.forget_after_ms * 1_000,
            finished_orders_max=self.finished_orders_max,
        )


class ExecutionSection(Section):
    """What only execution is told."""

    venue_url: str | None = None
    """The private API of the venue; null for the simulated exchange on this host."""
    account_interval_ms: Annotated[int, Field(ge=100, le=3_600_000)] = 5_000
    """Between two account messages, which the ledger compares with the books."""
    order_notional_max: Decimal = Decimal(50_000)
    """Execution's own last cap of one order, in quote currency; risk's are tighter."""
    orders_per_s_max: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Orders sent in any second; one more is not sent and ends as ``pace.rate``."""
    concurrency_max: Annotated[int, Field(ge=1, le=256)] = 16
    """Calls to the venue under way at once."""
    approval_life_ms_max: Milliseconds = 60_000
    """An approval that was issued to live longer than this is refused."""
    remember_ms: Milliseconds = 60_000
    """How long past its expiry the core remembers a used approval; the journal remembers it for ever."""
    watch: WatchSection = WatchSection()

    @field_validator("order_notional_max", mode="before")
    @classmethod
    def _is_exact(cls, value: object) -> object:
        if isinstance(value, float):
            raise ValueError('an amount is written as a quoted string, such as "50000"')  # noqa: TRY004 - pydantic's
        return value

    @field_validator("order_notional_max")
    @classmethod
    def _is_an_amount(cls, value: Decimal) -> Decimal:
        if not value.is_finite() or value <= 0:
            raise ValueError("an amount above zero is expected")
        return value


class ExecutionSettings(DeskSettings):
    """The desk's keys and execution's section."""

    execution: ExecutionSection = ExecutionSection()

    @property
    def venue_url(self) -> str:
        """Return where the venue's private API answers."""
        return self.execution.venue_url or f"http://127.0.0.1:{self.ports.simvenue}"


def config_text(settings: ExecutionSettings, trusted_keys: dict[str, str]) -> str:
    """Return the canonical text of what decides anything; ``trusted_keys`` are risk's public keys by key id."""
    section = settings.execution
    parameters = Parameters(
        environment=settings.environment,
        desk=settings.desk,
        venue=settings.venue,
        account=settings.account,
        quote_currency=settings.quote_currency,
        symbols=settings.symbols,
        trusted_keys=trusted_keys,
        approval_life_us_max=section.approval_life_ms_max * 1_000,
        remember_us=section.remember_ms * 1_000,
        watch=section.watch.to_watch(),
    )
    return canonical_json(parameters.model_dump(mode="json"))
