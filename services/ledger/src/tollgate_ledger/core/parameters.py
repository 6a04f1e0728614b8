"""What the ledger is configured with; it reaches the core by the tape, as the text of a config message."""

from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from tollgate_contracts.config import Config, canonical_json, config_hash
from tollgate_contracts.envelope import Currency, Symbol, Value
from tollgate_contracts.money import ZERO, NonNegative
from tollgate_domain.costs import CostModel


class Parameters(Value):
    """Every setting that the core's outputs depend on."""

    quote_currency: Currency
    symbols: Annotated[tuple[Symbol, ...], Field(min_length=1, max_length=64)]
    dust: dict[Currency, NonNegative] = Field(default_factory=dict)
    """By currency, the largest difference from the venue that is not a drift; zero where none is named."""
    books_interval_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 1_000
    """Shortest tape time between two books that no fill asked for."""
    mark_stale_ms: Annotated[int, Field(ge=1, le=86_400_000)] = 10_000
    """From what age on, in tape time, a mark is called stale in the books."""
    costs: CostModel = Field(default_factory=CostModel)
    """What trading is expected to cost."""

    @model_validator(mode="after")
    def _symbols_are_distinct_and_of_the_quote_currency(self) -> "Parameters":
        foreign = [symbol for symbol in self.symbols if symbol.split("-")[1] != self.quote_currency]
        if foreign:
            raise ValueError(f"symbols: {', '.join(foreign)} must be quoted in {self.quote_currency}")
        if len(set(self.symbols)) != len(self.symbols):
            raise ValueError("symbols: each may be named once")
        return self

    def text(self) -> str:
        """Return the canonical JSON that goes into the config message."""
        return canonical_json(self.model_dump(mode="json"))

    def dust_of(self, currency: str) -> NonNegative:
        """Return the largest difference in ``currency`` that counts as none."""
        return self.dust.get(currency, ZERO)


def parameters_of(config: Config) -> Parameters | str:
    """Return what a config message says, or in words why it cannot be used."""
    try:
        parameters = Parameters.model_validate_json(config.text)
    except ValidationError as error:
        return str(error)[:500]
    if config_hash(config.text) != config.hash:
        return f"the text's hash is {config_hash(config.text)}, the message says {config.hash}"
    return parameters
