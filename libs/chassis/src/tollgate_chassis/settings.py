"""Typed configuration in layers: defaults, then the file, then the environment; every error at once.

One file holds the desk's shared keys and one section for each service. The environment overrides any key as
``TOLLGATE_<KEY>``, and a key of a section as ``TOLLGATE_<SECTION>__<KEY>``.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tollgate_chassis.exits import BadConfiguration, Exit
from tollgate_contracts.approval import Environment
from tollgate_contracts.envelope import Currency, Desk, Identifier, Symbol

# What trading costs is a section of its own, because several services reckon with it.
SECTIONS = ("marketdata", "strategy", "risk", "execution", "ledger", "simvenue", "console", "costs")
CONFIG_VARIABLE = "TOLLGATE_CONFIG"
SYMBOLS_EXPECTED = 5
_PLACEHOLDERS = ("changeme", "change-me", "placeholder", "example", "todo", "xxx", "<", "your-")
# A token of 16 random bytes has 32 hexadecimal digits; anything shorter was typed by hand.
_SECRET_LENGTH_MIN = 32

Port = Annotated[int, Field(ge=1, le=65_535)]


class Section(BaseModel):
    """A service's own part of the file; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Ports(Section):
    """Where each process listens on its host."""

    marketdata: Port = 8401
    """HTTP of market data."""
    strategy: Port = 8402
    """HTTP of the strategy."""
    risk: Port = 8403
    """HTTP of the gate, with its kill switch."""
    execution: Port = 8404
    """HTTP of execution, with its kill door."""
    ledger: Port = 8405
    """HTTP of the ledger."""
    simvenue: Port = 8410
    """REST and WebSocket of the simulated exchange."""


class DeskSettings(BaseSettings):
    """The keys that all services of a desk share; each service's settings add its own section."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="TOLLGATE_", env_nested_delimiter="__", env_ignore_empty=True
    )

    desk: Desk = "main"
    """Name of the desk; it is part of every subject and stream, so another name is another tape."""
    environment: Environment = "simulated"
    """``live`` needs the policy's arming; the others are armed by themselves."""
    run_id: Identifier = "manual"
    """Names one start of the platform in every message; ``tollgate up`` makes it."""
    symbols: tuple[Symbol, ...] = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT", "AVAX-USDT")
    """What the desk trades: exactly five different ones."""
    venue: Identifier = "simulated"
    """Name of the exchange in messages and approvals."""
    account: Identifier = "main"
    """Name of the account in messages and approvals."""
    quote_currency: Currency = "USDT"
    """The books' currency; every symbol must be quoted in it."""
    nats_url: str = "nats://127.0.0.1:4222"
    """Where the broker listens."""
    nats_seed_file: Path | None = None
    """File with the seed of the service's own broker key; null connects without one."""
    postgres_dsn_file: Path | None = None
    """File with the DSN of the service's own database role; execution and ledger need it."""
    secrets_dir: Path = Path(".tollgate/secrets")
    """Directory with the service's own secrets."""
    state_dir: Path = Path(".tollgate/state")
    """Where the service keeps its snapshot, its high-water mark and its latch."""
    http_host: str = "127.0.0.1"
    """Address on which every process listens."""
    ports: Ports = Ports()
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    """Least level that is written."""
    otlp_endpoint: str | None = None
    """Base URL of an OTLP/HTTP collector, such as ``http://127.0.0.1:4318``; null sends no spans."""
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the quotes whose way to the books is traced, from 0 to 1."""

    @field_validator("symbols")
    @classmethod
    def _exactly_five_different(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        if len(symbols) != SYMBOLS_EXPECTED or len(set(symbols)) != len(symbols):
            raise ValueError(f"exactly {SYMBOLS_EXPECTED} different symbols are expected")
        return symbols

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the names are pydantic-settings' own
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file over defaults; no other source."""
        return init_settings, env_settings, _File(settings_cls)


class _File(PydanticBaseSettingsSource):
    """The file named by ``TOLLGATE_CONFIG``, without the sections of other services."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Not used: the whole file is one value."""
        raise NotImplementedError(f"{field_name} is read with the whole file: {field}")

    def __call__(self) -> dict[str, Any]:
        name = os.environ.get(CONFIG_VARIABLE)
        if name is None:
            return {}
        content = read_yaml(Path(name))
        own = self.settings_cls.model_fields
        return {key: value for key, value in content.items() if key in own or key not in SECTIONS}


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; raises ``BadConfiguration`` when it is not one."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise BadConfiguration(f"{path} cannot be read: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise BadConfiguration(f"{path}: a mapping of keys was expected, got {type(content).__name__}")
    return content


S = TypeVar("S", bound=BaseSettings)


def load(settings_type: type[S]) -> S:
    """Return valid settings; raises ``BadConfiguration`` that names every field, its value and what was expected."""
    wrong = _misspelt_variables(settings_type)
    try:
        settings = settings_type()
    except ValidationError as error:
        wrong.append(explain(error))
        raise BadConfiguration("\n".join(wrong)) from error
    if wrong:
        raise BadConfiguration("\n".join(wrong))
    return settings


def _misspelt_variables(settings_type: type[BaseSettings]) -> list[str]:
    """Name the variables of ours that no setting would ever read; pydantic-settings passes over them in silence."""
    known = {CONFIG_VARIABLE, *(f"TOLLGATE_{name.upper()}" for name in (*settings_type.model_fields, *SECTIONS))}
    return [
        f"  {name}: no such variable; look for a misspelling"
        for name in sorted(os.environ)
        if name.startswith("TOLLGATE_") and name.partition("__")[0] not in known
    ]


def load_or_exit(settings_type: type[S]) -> S:
    """Return valid settings, or print every error and exit with ``Exit.BAD_CONFIGURATION``."""
    try:
        return load(settings_type)
    except BadConfiguration as error:
        sys.stderr.write(f"bad configuration, nothing was started:\n{error.why}\n")
        raise SystemExit(int(Exit.BAD_CONFIGURATION)) from error


def explain(error: ValidationError) -> str:
    """Return one line per error: field, what was expected, and the value unless it is a secret."""
    lines = []
    for entry in error.errors(include_url=False):
        where = ".".join(str(part) for part in entry["loc"])
        expected = "no such key; look for a misspelling" if entry["type"] == "extra_forbidden" else entry["msg"]
        shown = "" if entry["type"] == "missing" else f", got {_shown(where, entry['input'])}"
        lines.append(f"  {where}: {expected}{shown}")
    return "\n".join(lines)


def _shown(where: str, value: Any) -> str:
    hidden = any(word in where.lower() for word in ("secret", "token", "key", "password"))
    return "a value that is not shown" if hidden else repr(value)[:120]


def read_secret(path: Path) -> SecretStr:
    """Return the secret in a file; raises ``BadConfiguration`` when it is missing, too short or a placeholder."""
    try:
        value = path.read_text().strip()
    except OSError as error:
        raise BadConfiguration(f"secret {path} cannot be read: {error.strerror}") from error
    if len(value) < _SECRET_LENGTH_MIN or any(word in value.lower() for word in _PLACEHOLDERS):
        raise BadConfiguration(
            f"secret {path} is a placeholder or shorter than {_SECRET_LENGTH_MIN} characters; put the real one there"
        )
    return SecretStr(value)
