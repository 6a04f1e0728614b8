"""Execution's typed configuration, and what of it decides anything: the text that stands on the tape."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from tollgate_chassis.settings import DeskSettings, Section
from tollgate_contracts.config import canonical_json
from tollgate_contracts.envelope import Currency
from tollgate_contracts.money import NonNegative
from tollgate_contracts.safety import Dependency
from tollgate_execution.calls.section import CallsSection
from tollgate_execution.core import Parameters, Watch
from tollgate_execution.core.parameters import SyncRules
from tollgate_execution.core.safety import Limits
from tollgate_execution.last_checks import Caps
from tollgate_execution.venues.manners import Manner

Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]
BadFor = Annotated[int, Field(ge=0, le=86_400_000)]
Count = Annotated[int, Field(ge=1, le=100_000)]


class WatchSection(Section):
    """How orders are watched; the meaning of each key is that of ``Watch``."""

    unknown_ms: Milliseconds = 500
    silent_ms: Milliseconds = 2_000
    delay_ms_max: Milliseconds = 8_000
    probes_max: Annotated[int, Field(ge=1, le=100)] = 8
    slow_ms: Milliseconds = 60_000
    working_ms: Milliseconds = 30_000
    stale_after_ms: Milliseconds | None = None
    receive_window_ms: Milliseconds = 3_000
    visibility_ms: Milliseconds = 1_000
    resends_max: Annotated[int, Field(ge=0, le=10)] = 1
    reprices_max: Annotated[int, Field(ge=0, le=20)] = 3
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
            stale_after_us=None if self.stale_after_ms is None else self.stale_after_ms * 1_000,
            receive_window_us=self.receive_window_ms * 1_000,
            visibility_us=self.visibility_ms * 1_000,
            resends_max=self.resends_max,
            reprices_max=self.reprices_max,
            forget_after_us=self.forget_after_ms * 1_000,
            finished_orders_max=self.finished_orders_max,
        )


class ForeignOrders(StrEnum):
    """What becomes of an open order at the venue that neither the tape nor the journal knows."""

    FLAG = "flag"
    """It is said, and an operator must look."""
    CANCEL = "cancel"
    """It is said and cancelled: for an account that nothing else trades on."""


class SyncSection(Section):
    """How reconciliation goes; the meaning of what it takes for a difference is that of ``SyncRules``."""

    interval_ms: Annotated[int, Field(ge=100, le=3_600_000)] = 5_000
    """Between two rounds; each is early or late by up to a tenth."""
    say_every_ms: Milliseconds = 30_000
    """A round in which nothing was new is on the tape this often at least."""
    overlap_ms: Milliseconds = 10_000
    """Orders that changed are read again from so long before the last round: a venue may list them late."""
    foreign_orders: ForeignOrders = ForeignOrders.FLAG
    """What becomes of an open order that is not ours."""
    statements: Annotated[int, Field(ge=1, le=100)] = 3
    """Account statements in a row that must differ, with the same sign, before a drift is said."""
    missed_after_ms: Milliseconds = 1_000
    """A trade that only the list of fills has told us of was missed if it is older than this."""
    stale_after_ms: Milliseconds = 10_000
    """A submit or a cancel of which nothing was heard for this long is stale."""
    fee_tolerance_bps: NonNegative = Decimal(1)
    """By so much of a trade's value its fee may differ from the stated tier."""
    dust: dict[Currency, NonNegative] = Field(default_factory=dict)
    """By currency, the largest difference from the venue that is not a drift; zero where none is named."""

    def to_rules(self) -> SyncRules:
        """Return what of it decides anything."""
        return SyncRules(
            statements=self.statements,
            missed_after_us=self.missed_after_ms * 1_000,
            stale_after_us=self.stale_after_ms * 1_000,
            fee_tolerance_bps=self.fee_tolerance_bps,
            dust=self.dust,
        )


class SafeModeSection(Section):
    """When execution goes into safe mode: how long each thing that it needs may be bad; null never judges it."""

    orders_ms: BadFor | None = 2_000
    """The breaker of the calls that place orders, open."""
    account_ms: BadFor | None = 30_000
    """The breaker of the account's calls, open, or the venue's statement of the account, overdue."""
    stream_ms: BadFor | None = 10_000
    """The venue's stream of our orders, down."""
    market_data_ms: BadFor | None = 30_000
    """No quote on the tape for any symbol, or the feed saying of itself that it is stale or has a gap."""
    permit_ms: BadFor | None = 5_000
    """No fresh permit, though the kill switch is not engaged."""
    reconciliation_ms: BadFor | None = 60_000
    """No round of reconciliation that found everything in agreement."""
    recover_ms: BadFor = 5_000
    """How long a thing must have been well again before it counts as well."""
    check_ms: Annotated[int, Field(ge=10, le=10_000)] = 250
    """Between two looks."""

    def to_limits(self) -> Limits:
        """Return the same for who judges."""
        bad_ms = {
            Dependency.VENUE_ORDERS: self.orders_ms,
            Dependency.VENUE_ACCOUNT: self.account_ms,
            Dependency.USER_STREAM: self.stream_ms,
            Dependency.MARKET_DATA: self.market_data_ms,
            Dependency.PERMIT: self.permit_ms,
            Dependency.RECONCILIATION: self.reconciliation_ms,
        }
        bad_us = {dependency: limit_ms * 1_000 for dependency, limit_ms in bad_ms.items() if limit_ms is not None}
        return Limits(bad_us, self.recover_ms * 1_000)


# Where no age is named for the caps, an order is still not priced by an older quote than this.
_QUOTE_AGE_MS = 10_000


class OnStop(StrEnum):
    """What becomes of entries that rest at the venue when execution is told to stop."""

    LEAVE = "leave"
    """They stay: the next process takes them up."""
    CANCEL = "cancel"
    """They are cancelled; protective and reducing orders stay."""


class ExecutionSection(Section):
    """What only execution is told."""

    venue_url: str | None = None
    """The private API of the venue; null for the simulated exchange on this host."""
    venue_like: Manner = Manner.TOLLGATE
    """Whose manners the simulated exchange has; the same as ``simvenue.venue_like``."""
    account_interval_ms: Annotated[int, Field(ge=100, le=3_600_000)] = 5_000
    """Between two account messages, which the ledger compares with the books."""
    order_notional_max: Decimal = Decimal(50_000)
    """Execution's own last cap of one order, in quote currency; risk's are tighter."""
    orders_per_s_max: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Orders sent in any second; one more is not sent and ends as ``pace.rate``."""
    minute_notional_max: Decimal | None = Decimal(200_000)
    """Execution's own cap of all entries in a minute together, in quote currency; beyond it ``pace.rate``."""
    open_orders_max: Count | None = 200
    """Execution's own cap of orders open at once; beyond it an entry is not sent: ``limit.open_orders``."""
    open_orders_symbol_max: Count | None = 50
    """The same for one symbol: ``limit.open_orders_symbol``."""
    collar_bps: Annotated[int, Field(ge=1, le=9_999)] | None = 200
    """How far beyond the best opposite quote an entry's price may lie: ``price.collar``."""
    exit_collar_bps: Annotated[int, Field(ge=1, le=9_999)] | None = 1_000
    """The same for what makes a position smaller: wide enough to get out, too narrow to give it away."""
    quote_age_ms_max: Milliseconds | None = 10_000
    """How old a quote may be for an entry to be held against it: ``data.stale``."""
    slippage_bps_max: Annotated[int, Field(ge=0, le=10_000)] | None = 50
    """How far beyond the best opposite quote an order that takes at once may trade, within its own bound; null for as
    far as its bound. Without a fresh quote such an order is not sent, unless it makes a position smaller."""
    trades_in_auction: bool = False
    """Whether limit orders that rest are sent while the venue is in auction; else they end as ``venue.not_open``."""
    on_stop: OnStop = OnStop.LEAVE
    """What becomes of entries that rest at the venue when execution is told to stop."""
    stop_ms_max: Annotated[int, Field(ge=100, le=6_000)] = 4_000
    """How long it may take to stop in order; the supervisor's own patience (8 s) must be longer by two seconds."""
    concurrency_max: Annotated[int, Field(ge=1, le=256)] = 16
    """Calls to the venue under way at once."""
    approval_life_ms_max: Milliseconds = 60_000
    """An approval that was issued to live longer than this is refused."""
    remember_ms: Milliseconds = 60_000
    """How long past its expiry the core remembers a used approval; the journal remembers it for ever."""
    watch: WatchSection = WatchSection()
    sync: SyncSection = SyncSection()
    safe_mode: SafeModeSection = SafeModeSection()
    calls: CallsSection = CallsSection()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Refuse, by name, keys of which one would undo what another is for."""
        complaints = [
            complaint
            for complaint in (
                self._safe_mode_for_ever(),
                self._exits_held_tighter(),
                self._rounds_cut_off(),
                self._called_too_early(),
            )
            if complaint
        ]
        if complaints:
            raise ValueError("; ".join(complaints))
        return self

    def _safe_mode_for_ever(self) -> str:
        limit_ms, longest_ms = self.safe_mode.reconciliation_ms, 2 * self.sync.interval_ms
        if limit_ms is None or limit_ms >= longest_ms:
            return ""
        # What was agreed is as old as a whole interval before the next round can say it again.
        return f"safe_mode.reconciliation_ms: at least twice sync.interval_ms ({longest_ms}) is expected, or null"

    def _exits_held_tighter(self) -> str:
        if self.collar_bps is None or self.exit_collar_bps is None or self.collar_bps <= self.exit_collar_bps:
            return ""
        return (
            "exit_collar_bps: no less than collar_bps is expected, or null: getting out is never harder than getting in"
        )

    def _rounds_cut_off(self) -> str:
        if self.calls.retry_delay_ms <= self.calls.retry_delay_ms_max <= self.calls.retry_time_ms_max:
            return ""
        return "calls: retry_delay_ms <= retry_delay_ms_max <= retry_time_ms_max is expected"

    def _called_too_early(self) -> str:
        if self.watch.silent_ms <= self.watch.delay_ms_max:
            return ""
        # An operator would be called, and believed, while the submit itself may still be answered.
        return "watch.delay_ms_max: no less than silent_ms is expected"

    @field_validator("order_notional_max", "minute_notional_max", mode="before")
    @classmethod
    def _is_exact(cls, value: object) -> object:
        if isinstance(value, float):
            raise ValueError('an amount is written as a quoted string, such as "50000"')  # noqa: TRY004 - pydantic's
        return value

    @field_validator("order_notional_max", "minute_notional_max")
    @classmethod
    def _is_an_amount(cls, value: Decimal | None) -> Decimal | None:
        if value is not None and (not value.is_finite() or value <= 0):
            raise ValueError("an amount above zero is expected")
        return value

    def to_caps(self) -> Caps:
        """Return execution's own caps."""
        return Caps(
            order_notional_max=self.order_notional_max,
            minute_notional_max=self.minute_notional_max,
            open_orders_max=self.open_orders_max,
            open_orders_symbol_max=self.open_orders_symbol_max,
            collar_bps=self.collar_bps,
            exit_collar_bps=self.exit_collar_bps,
            quote_age_us_max=None if self.quote_age_ms_max is None else self.quote_age_ms_max * 1_000,
            trades_in_auction=self.trades_in_auction,
        )


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
        slippage_bps_max=section.slippage_bps_max,
        quote_age_us_max=(section.quote_age_ms_max or _QUOTE_AGE_MS) * 1_000,
        watch=section.watch.to_watch(),
        sync=section.sync.to_rules(),
    )
    return canonical_json(parameters.model_dump(mode="json"))
