"""Typed configuration of the ledger."""

from typing import Annotated

from pydantic import Field

from tollgate_chassis.settings import DeskSettings, Section
from tollgate_contracts.envelope import Currency
from tollgate_contracts.money import NonNegative
from tollgate_domain.costs import CostModel
from tollgate_ledger.seal import SEAL_INTERVAL_S


class LedgerSection(Section):
    """The ``ledger`` section of the file."""

    dust: dict[Currency, NonNegative] = Field(default_factory=dict)
    """By currency, the largest difference from the venue that is not a drift; zero where none is named."""
    books_interval_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 1_000
    """Shortest time between two books messages that no fill asked for."""
    mark_stale_ms: Annotated[int, Field(ge=1, le=86_400_000)] = 10_000
    """From what age on a mark is called stale in the books."""
    seal_interval_s: Annotated[int, Field(ge=1, le=86_400)] = SEAL_INTERVAL_S
    """Time between two signed seals of the books; one is also made on start and on stop."""


class LedgerSettings(DeskSettings):
    """What the ledger is started with."""

    ledger: LedgerSection = Field(default_factory=LedgerSection)
    costs: CostModel = CostModel()
