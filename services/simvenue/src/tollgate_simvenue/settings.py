"""What the exchange is started with: its section of the platform's file, and the few shared keys that concern it.

The exchange is somebody else's house: it takes nothing from the platform but the file's and the environment's
convention, so it has its own small loader and no broker library anywhere near it.
"""

import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tollgate_contracts.envelope import Currency, Symbol, TimeUs
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.money import NonNegative, Price, Quantity, is_multiple, plain
from tollgate_domain.costs import CostModel, FeeTiers, TradedVolume
from tollgate_simvenue.auth import ApiKey
from tollgate_simvenue.core.fees import IN_BASE, IN_QUOTE, FeeSchedule
from tollgate_simvenue.core.flavours import VenueLike
from tollgate_simvenue.core.model import Instrument
from tollgate_simvenue.core.units import FEE_RATE_PER_BPS, UNIT_PLACES, parse_atoms, parse_units
from tollgate_simvenue.fault_settings import FaultsSection
from tollgate_simvenue.market.generator import GeneratorRules
from tollgate_simvenue.section import Section

EXIT_BAD_CONFIGURATION = 78
_SECRET_LENGTH_MIN = 32
_OPENING_BALANCES = {"USDT": Decimal(100_000)}
_SMALLEST_UNIT = Decimal(1).scaleb(-UNIT_PLACES)


class BadConfiguration(Exception):
    """The configuration cannot be used; the text names every field, its value, and what was expected."""


class InstrumentLine(Section):
    """One instrument: its metadata and where the generator starts its price."""

    symbol: Symbol
    """``BASE-QUOTE``."""
    tick: Price
    """Smallest price step, in quote currency."""
    step: Quantity
    """Smallest quantity step, in base currency."""
    min_quantity: Quantity
    """In base currency."""
    min_notional: NonNegative
    """Smallest price times quantity, in quote currency."""
    start_price: Price
    """Where a generated price begins."""
    status: InstrumentStatus = InstrumentStatus.OPEN
    """Orders are taken only while OPEN."""

    @model_validator(mode="after")
    def _fits_the_grid(self) -> "InstrumentLine":
        for name in ("tick", "step", "min_quantity", "start_price"):
            value = getattr(self, name)
            if not is_multiple(value, _SMALLEST_UNIT):
                raise ValueError(f"{name} {plain(value)}: at most {UNIT_PLACES} decimal places are expected")
        return self

    def instrument(self) -> Instrument:
        """Return the line in units."""
        base, quote = self.symbol.split("-")
        return Instrument(
            symbol=self.symbol,
            base=base,
            quote=quote,
            tick=parse_units(plain(self.tick)),
            step=parse_units(plain(self.step)),
            min_quantity=parse_units(plain(self.min_quantity)),
            min_notional=parse_atoms(plain(self.min_notional)),
            status=self.status,
        )


def _line(symbol: str, tick: str, step: str, start_price: str) -> InstrumentLine:
    return InstrumentLine.model_validate(
        {
            "symbol": symbol,
            "tick": tick,
            "step": step,
            "min_quantity": step,
            "min_notional": "5",
            "start_price": start_price,
        }
    )


class GeneratorSection(Section):
    """How the generated markets move."""

    stretch_ms: Annotated[int, Field(ge=1)] = 20_000
    """How long a trend or a range lasts on average."""
    drift_bps_per_s: NonNegative = Decimal(2)
    """How fast the price runs in a trend."""
    noise_bps: NonNegative = Decimal("1.5")
    """Standard deviation of the price over one second, without the drift."""
    spread_bps: NonNegative | None = None
    """Between best bid and best ask; null takes it from the section ``costs``, by symbol."""
    levels: Annotated[int, Field(ge=1, le=50)] = 10
    """Book levels on each side."""
    level_spacing_bps: Quantity = Decimal(2)
    """Between two levels of the book."""
    top_notional: Quantity = Decimal(20_000)
    """About what stands at the best price, in quote currency; half to one and a half times it."""
    trade_every: Annotated[int, Field(ge=2)] = 5
    """One event in so many is a trade."""


class SimvenueSection(Section):
    """The section ``simvenue``."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Of the generated markets: the same seed makes the same events."""
    quotes_per_s: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Quote changes a second, all generated symbols together."""
    generator: GeneratorSection = GeneratorSection()
    recording: Path | None = None
    """A recorded market to play instead of one generated symbol; null generates all."""
    recording_symbol: Symbol = "BTC-USDT"
    """As which symbol the recording is played."""
    recording_from_us: TimeUs | None = None
    """Leave out what was recorded before this; the book that it led to is kept."""
    recording_until_us: TimeUs | None = None
    """Leave out what was recorded from this on."""
    speed: NonNegative = Decimal(1)
    """1 plays a recording as fast as it was recorded, 10 ten times as fast, 0 as fast as possible."""
    recording_waits: bool = True
    """Start the recording with the first market subscriber, so that nobody misses its beginning."""
    opening_balances: dict[Currency, NonNegative] = _OPENING_BALANCES
    """By currency; used once, for a new state directory."""
    fee_tiers: FeeTiers | None = None
    """What it charges where that is to be something else than ``costs`` says, by volume; null for what it says."""
    fee_currency: Annotated[str, Field(pattern=r"^(quote|base|[A-Z0-9]{2,15})$")] = IN_QUOTE
    """In which it charges: quote, base (a buy in what it bought, a sale in quote), or a currency, while it is there."""
    candle_interval_ms: Annotated[int, Field(ge=100)] = 60_000
    """Length of a candle, by the wall clock."""
    orders_per_s_max: Annotated[int, Field(ge=1)] = 1_000
    """Private requests beyond this are answered with 429."""
    venue_like: VenueLike = VenueLike.TOLLGATE
    """Whose manners it has: what becomes of a used client order id, who can be asked after, when a cancel is over."""
    faults: FaultsSection = FaultsSection()
    instruments: Annotated[tuple[InstrumentLine, ...], Field(min_length=1, max_length=64)] = (
        _line("BTC-USDT", "0.01", "0.00001", "60000"),
        _line("ETH-USDT", "0.01", "0.0001", "3000"),
        _line("SOL-USDT", "0.01", "0.001", "150"),
        _line("XRP-USDT", "0.0001", "0.1", "0.6"),
        _line("AVAX-USDT", "0.01", "0.01", "30"),
    )
    """What the exchange trades; each of the desk's symbols needs a line."""

    @model_validator(mode="after")
    def _instruments_are_one_table(self) -> "SimvenueSection":
        symbols = [line.symbol for line in self.instruments]
        if len(set(symbols)) != len(symbols):
            raise ValueError("instruments: each symbol is expected once")
        if self.recording is not None and self.recording_symbol not in symbols:
            raise ValueError(f"recording_symbol: {self.recording_symbol} is not in the instruments table")
        bases = {symbol.split("-")[0] for symbol in symbols}
        if self.fee_currency not in {IN_QUOTE, IN_BASE, *bases}:
            raise ValueError(f"fee_currency: {self.fee_currency} is not traded here, so that it has no price")
        return self

    def fees(self, costs: CostModel, traded: TradedVolume | None = None) -> FeeSchedule:
        """Return the fees of an account that has ``traded`` so much already."""
        return FeeSchedule(self.fee_tiers or costs.fee_tiers, traded, self.fee_currency)

    def opening_atoms(self) -> dict[str, int]:
        """Return the opening balances in atoms."""
        return {currency: parse_atoms(plain(amount)) for currency, amount in self.opening_balances.items()}

    def start_prices(self) -> dict[str, int]:
        """Return where each generated price starts, in units."""
        return {line.symbol: parse_units(plain(line.start_price)) for line in self.instruments}

    def generator_rules(self, costs: CostModel) -> dict[str, GeneratorRules]:
        """Return the generator's section in whole numbers, for each symbol; the spread is that of ``costs``."""
        return {line.symbol: self._rules_of(line.symbol, costs) for line in self.instruments}

    def _rules_of(self, symbol: str, costs: CostModel) -> GeneratorRules:
        section = self.generator
        spread_bps = 2 * costs.market_of(symbol).half_spread_bps if section.spread_bps is None else section.spread_bps
        return GeneratorRules(
            stretch_us=section.stretch_ms * 1_000,
            drift_rate_per_s=_rate(section.drift_bps_per_s),
            noise_rate=_rate(section.noise_bps),
            spread_rate=_rate(spread_bps),
            levels=section.levels,
            spacing_rate=_rate(section.level_spacing_bps),
            top_notional=parse_atoms(plain(section.top_notional)),
            trade_every=section.trade_every,
        )


def _rate(bps: Decimal) -> int:
    """Return basis points in millionths."""
    return int(bps * FEE_RATE_PER_BPS)


class Ports(BaseModel):
    """The one port of the shared table that is ours."""

    simvenue: Annotated[int, Field(ge=0, le=65_535)] = 8410
    """0 takes any free port."""


class Settings(BaseSettings):
    """The shared keys that concern the exchange, and its section."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_prefix="TOLLGATE_", env_nested_delimiter="__", env_ignore_empty=True
    )

    symbols: tuple[Symbol, ...] = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT", "AVAX-USDT")
    http_host: str = "127.0.0.1"
    ports: Ports = Ports()
    state_dir: Path = Path(".tollgate/state")
    secrets_dir: Path = Path(".tollgate/secrets")
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    costs: CostModel = CostModel()
    simvenue: SimvenueSection = SimvenueSection()

    @model_validator(mode="after")
    def _symbols_are_traded(self) -> "Settings":
        traded = {line.symbol for line in self.simvenue.instruments}
        missing = [symbol for symbol in self.symbols if symbol not in traded]
        if missing:
            raise ValueError(f"simvenue.instruments: a line is expected for each of {', '.join(missing)}")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes them by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file over defaults; no other source."""
        return init_settings, env_settings, _File(settings_cls)


class _File(PydanticBaseSettingsSource):
    """The file named by ``TOLLGATE_CONFIG``."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Not used: the whole file is one value."""
        raise NotImplementedError(f"{field_name} is read with the whole file: {field}")

    def __call__(self) -> dict[str, Any]:
        name = os.environ.get("TOLLGATE_CONFIG")
        if name is None:
            return {}
        try:
            content = yaml.safe_load(Path(name).read_text())
        except (OSError, yaml.YAMLError) as error:
            raise BadConfiguration(f"{name} cannot be read: {error}") from error
        if content is None:
            return {}
        if not isinstance(content, dict):
            raise BadConfiguration(f"{name}: a mapping of keys was expected, got {type(content).__name__}")
        return content


def load() -> Settings:
    """Return valid settings; raises ``BadConfiguration`` with every error at once."""
    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for entry in error.errors(include_url=False):
            where = ".".join(str(part) for part in entry["loc"]) or "settings"
            expected = "no such key; look for a misspelling" if entry["type"] == "extra_forbidden" else entry["msg"]
            lines.append(f"  {where}: {expected}, got {entry['input']!r:.120}")
        raise BadConfiguration("\n".join(lines)) from error


def load_or_exit() -> Settings:
    """Return valid settings, or print every error and exit with 78."""
    try:
        return load()
    except BadConfiguration as error:
        sys.stderr.write(f"bad configuration, nothing was started:\n{error}\n")
        raise SystemExit(EXIT_BAD_CONFIGURATION) from error


def read_key(secrets_dir: Path) -> ApiKey:
    """Return the account's API key from the secrets directory; raises ``BadConfiguration``."""
    return ApiKey(_secret(secrets_dir / "venue_api_key"), _secret(secrets_dir / "venue_api_secret").encode())


def _secret(path: Path) -> str:
    try:
        value = path.read_text().strip()
    except OSError as error:
        raise BadConfiguration(f"secret {path} cannot be read: {error.strerror}") from error
    if len(value) < _SECRET_LENGTH_MIN:
        raise BadConfiguration(f"secret {path}: at least {_SECRET_LENGTH_MIN} characters are expected")
    return value
