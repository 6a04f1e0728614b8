"""What was already applied: longer than the broker's ten minutes, in bounded memory.

Ids that rise by themselves, those derived from a cause and those numbered by their source, need one high-water
mark a writer. The few others (reports, accounts, operator's commands) are remembered one by one with the digest
of their content, so that the same id with other content is seen.
"""

import hashlib
import re
from collections import OrderedDict
from enum import Enum
from typing import Any

from tollgate_contracts.envelope import Message

# At ten orders a minute with four reports each, this remembers well over an hour and a half of outside events.
REMEMBERED_MAX = 4_096
_NUMBERED = re.compile(r"^(?P<source>[a-z]+:[A-Za-z0-9_-]+):(?P<epoch>\d+)\.(?P<number>\d+)$")


class Verdict(Enum):
    """Whether a message is to be applied."""

    NEW = "new"
    DUPLICATE = "duplicate"
    CONFLICTING_DUPLICATE = "conflicting_duplicate"
    """The id is known and the content differs."""


class Duplicates:
    """The ids that one reader has applied."""

    def __init__(self) -> None:
        self._marks: dict[str, tuple[int, int]] = {}
        self._digests: OrderedDict[str, str] = OrderedDict()

    def judge(self, message: Message, data: bytes) -> Verdict:
        """Say whether ``message`` is new, and remember it."""
        if message.cause is not None:
            index = message.id.rpartition(":")[2]
            return self._judge_rising(message.writer, (message.cause, int(index)))
        numbered = _NUMBERED.match(message.id)
        if numbered:
            return self._judge_rising(numbered["source"], (int(numbered["epoch"]), int(numbered["number"])))
        digest = hashlib.sha256(data).hexdigest()[:32]
        known = self._digests.get(message.id)
        if known is not None:
            return Verdict.DUPLICATE if known == digest else Verdict.CONFLICTING_DUPLICATE
        self._digests[message.id] = digest
        if len(self._digests) > REMEMBERED_MAX:
            self._digests.popitem(last=False)
        return Verdict.NEW

    def _judge_rising(self, source: str, place: tuple[int, int]) -> Verdict:
        if place <= self._marks.get(source, (-1, -1)):
            return Verdict.DUPLICATE
        self._marks[source] = place
        return Verdict.NEW

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values.

        The digests stand oldest first, as the oldest is forgotten first; a JSON object would lose the order in a
        database.
        """
        digests = [list(pair) for pair in self._digests.items()]
        return {"marks": {source: list(mark) for source, mark in self._marks.items()}, "digests": digests}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        self._marks = {source: (mark[0], mark[1]) for source, mark in state["marks"].items()}
        self._digests = OrderedDict(state["digests"])
