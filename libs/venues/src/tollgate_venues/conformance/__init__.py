"""The suite that every private adapter of a venue must pass; see docs/venue-adapters.md.

The law of this package: it speaks to ``VenueAdapter`` and to ``World`` alone, knows no venue, and needs no test
framework. A case that does not apply says why by the adapter's own ``Capabilities``.
"""

from tollgate_venues.conformance.bench import Bench
from tollgate_venues.conformance.suite import CASES, Case, run
from tollgate_venues.conformance.verdict import NotConformant
from tollgate_venues.conformance.world import Disturbance, Market, Trouble, World

__all__ = ["CASES", "Bench", "Case", "Disturbance", "Market", "NotConformant", "Trouble", "World", "run"]
