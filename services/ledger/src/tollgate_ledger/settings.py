"""Typed configuration of the ledger."""

from typing import Annotated

from pydantic import Field

from tollgate_chassis.settings import DeskSettings, Section
from tollgate_contracts.envelope import Currency
from tollgate_contracts.money import NonNegative


class LedgerSection(Section):
    """The ``ledger`` section of the file."""

    dust: dict[Currency, NonNegative] = Field(default_factory=dict)
    """By currency, the largest difference from the venue that is not a drift; zero where none is named."""
    books_interval_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 1_000
    """Shortest time between two books messages that no fill asked for."""


class LedgerSettings(DeskSettings):
    """What the ledger is started with."""

    ledger: LedgerSection = Field(default_factory=LedgerSection)
