"""The last decisions, for those who ask over HTTP; the tape has them all."""

import base64
from collections import deque
from dataclasses import dataclass
from typing import Any

from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import Decision, Outcome

DECISIONS_MAX = 500
PAGE_MAX = 200


class BadCursor(ValueError):
    """A cursor that no page of ours has named."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which decisions are asked for; what is none asks for all."""

    reason: Reason | None = None
    symbol: str | None = None
    outcome: Outcome | None = None
    from_us: int | None = None
    """At this time or later."""
    to_us: int | None = None
    """Before this time."""

    def fits(self, decision: Decision) -> bool:
        """Say whether ``decision`` is one of them."""
        return (
            (self.symbol is None or decision.symbol == self.symbol)
            and (self.outcome is None or decision.outcome is self.outcome)
            and (self.from_us is None or decision.ts_us >= self.from_us)
            and (self.to_us is None or decision.ts_us < self.to_us)
            and (self.reason is None or any(finding.code is self.reason for finding in decision.findings))
        )


class DecisionLog:
    """Decisions in the order in which they were made, bounded."""

    def __init__(self) -> None:
        self._decisions: deque[Decision] = deque(maxlen=DECISIONS_MAX)

    def note(self, decision: Decision) -> None:
        """Keep one more, and let the oldest go."""
        self._decisions.append(decision)

    def page(self, limit: int, wanted: Wanted, before: str | None = None) -> dict[str, Any]:
        """Return at most ``limit`` decisions, the newest first, and the cursor of the page that follows.

        A cursor names a place on the tape, so it stays good when decisions are added, and after a restart. The answer
        says how far back this log reaches; the tape has what is older. Raises ``BadCursor``.
        """
        end = None if before is None else _read_cursor(before)
        found = [
            decision
            for decision in reversed(self._decisions)
            if (end is None or _place(decision) < end) and wanted.fits(decision)
        ]
        shown = found[:limit]
        return {
            "decisions": [_shown(decision) for decision in shown],
            "next": _cursor(shown[-1]) if len(found) > limit else None,
            "reaches_back_to_us": self._decisions[0].ts_us if self._decisions else None,
            "held": len(self._decisions),
            "note": "the last decisions of this process; the tape has all of them",
        }


def _place(decision: Decision) -> tuple[int, int]:
    return decision.cause or 0, int(decision.id.rpartition(":")[2])


def _cursor(decision: Decision) -> str:
    sequence, number = _place(decision)
    return base64.urlsafe_b64encode(f"{sequence}:{number}".encode()).decode()


def _read_cursor(text: str) -> tuple[int, int]:
    try:
        sequence, _, number = base64.urlsafe_b64decode(text.encode()).decode().partition(":")
        return int(sequence), int(number)
    except ValueError as error:
        raise BadCursor("before: expected the `next` of an earlier answer") from error


def _shown(decision: Decision) -> dict[str, Any]:
    # The signature stays on the tape: what is shown here is to be read, and not to be handed to execution.
    return decision.model_dump(mode="json", exclude={"approval", "writer", "kind", "version", "cause"})
