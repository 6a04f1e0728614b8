"""The last decisions, for those who ask over HTTP; the tape has them all."""

from collections import deque
from typing import Any

from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import Decision

DECISIONS_MAX = 500


class DecisionLog:
    """Decisions in the order in which they were made, bounded."""

    def __init__(self) -> None:
        self._decisions: deque[Decision] = deque(maxlen=DECISIONS_MAX)

    def note(self, decision: Decision) -> None:
        """Keep one more, and let the oldest go."""
        self._decisions.append(decision)

    def newest(self, limit: int, symbol: str | None = None, reason: Reason | None = None) -> list[dict[str, Any]]:
        """Return at most ``limit`` decisions, the newest first, of one symbol and with one reason when given."""
        chosen = (
            decision
            for decision in reversed(self._decisions)
            if (symbol is None or decision.symbol == symbol)
            and (reason is None or any(finding.code is reason for finding in decision.findings))
        )
        return [_shown(decision) for _, decision in zip(range(limit), chosen, strict=False)]


def _shown(decision: Decision) -> dict[str, Any]:
    # The signature stays on the tape: what is shown here is to be read, and not to be handed to execution.
    return decision.model_dump(mode="json", exclude={"approval", "writer", "kind", "version", "cause"})
