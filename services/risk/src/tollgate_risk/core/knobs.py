"""The kinds of numbers that the policy's knobs are."""

from typing import Annotated

from pydantic import Field

from tollgate_contracts.money import NonNegative

# No limit reaches further back or ahead than a day, on tape time.
DAY_MS = 86_400_000
_WHOLE = 10_000

Milliseconds = Annotated[int, Field(ge=0, le=DAY_MS)]
PositiveMilliseconds = Annotated[int, Field(ge=1, le=DAY_MS)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
PositiveCount = Annotated[int, Field(ge=1, le=1_000_000)]
Bps = Annotated[NonNegative, Field(le=_WHOLE)]
"""Basis points of a whole: at most 10,000."""
