"""Typed configuration of market data."""

from typing import Annotated

from pydantic import Field

from tollgate_chassis.settings import DeskSettings, Section


class MarketDataSection(Section):
    """The ``marketdata`` section of the file."""

    cycle_ms: Annotated[int, Field(ge=50, le=60_000)] = 250
    """Length of a clock cycle."""
    conflation_ms: Annotated[int, Field(ge=0, le=1_000)] = 4
    """Least time between two quote messages; within it only the newest quote of each symbol survives."""
    stale_after_ms: Annotated[int, Field(ge=500, le=60_000)] = 3_000
    """The feed is STALE after this long without any frame; the venue's heartbeat comes each second."""
    metadata_interval_s: Annotated[int, Field(ge=1, le=3_600)] = 30
    """Between two questions for the instruments' metadata, seconds."""
    venue_url: str | None = None
    """Null: the simulated exchange on this host."""


class MarketDataSettings(DeskSettings):
    """What market data is started with."""

    marketdata: MarketDataSection = MarketDataSection()

    @property
    def venue_url(self) -> str:
        """Where the venue answers."""
        return self.marketdata.venue_url or f"http://{self.http_host}:{self.ports.simvenue}"
