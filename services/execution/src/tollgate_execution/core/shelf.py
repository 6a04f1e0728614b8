"""The orders that the core holds: those still of interest, those finished, and the ids used up."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tollgate_execution.core.placing import attempt_id
from tollgate_execution.core.record import OrderRecord, record_from_json, record_to_json

# Nothing is due: later than any time on a tape.
NEVER_US = 1 << 62
# A finished order that may not be forgotten yet is looked at again so often.
_FORGET_EVERY_US = 1_000_000
# How often the used ids are looked through for those that may be forgotten; only memory depends on it.
_SWEEP_EVERY_US = 10_000_000


class Shelf:
    """Orders by client order id, with the time at which the next of them is due."""

    def __init__(self) -> None:
        self.due_us = NEVER_US
        self.ended: Counter[str] = Counter()
        """How many orders have ended in each terminal state, forgotten ones included."""
        self._active: dict[str, OrderRecord] = {}
        self._finished: dict[str, OrderRecord] = {}
        """Over and settled, in the order of finishing."""
        self._used: dict[str, int] = {}
        """Approval hashes and client order ids, each with the time until which it is remembered."""
        self._attempts: dict[str, str] = {}
        """Client order ids by the ids that the venue has for later attempts."""
        self._sweep_us = 0

    def get(self, client_order_id: str) -> OrderRecord | None:
        """Return the record of an order that is not forgotten."""
        return self._active.get(client_order_id) or self._finished.get(client_order_id)

    def find(self, venue_id: str) -> tuple[OrderRecord, int] | None:
        """Return the record of an order that is not forgotten, and which attempt the venue knows by ``venue_id``."""
        record = self.get(self._attempts.get(venue_id, venue_id))
        if record is None:
            return None
        if venue_id == record.placing.venue_id:
            return record, record.placing.attempt
        attempts = range(1, record.placing.attempt)
        return record, next(n for n in attempts if attempt_id(record.client_order_id, n) == venue_id)

    def waiting_for(self, client_order_id: str) -> tuple[OrderRecord, ...]:
        """Return the orders that are to replace this one once it is over; oldest first."""
        return tuple(record for record in self._active.values() if record.waits_for == client_order_id)

    def active(self) -> tuple[OrderRecord, ...]:
        """Return the orders that are not over, or that the venue still owes us word of; oldest first."""
        return tuple(self._active.values())

    def newest(self) -> Iterator[OrderRecord]:
        """Return every order that is held, those of interest first, each group the newest first."""
        yield from reversed(tuple(self._active.values()))
        yield from reversed(tuple(self._finished.values()))

    def counts(self) -> dict[str, int]:
        """Return how many orders are, or ended, in each state."""
        open_states = Counter(record.state.value for record in self._active.values() if not record.is_over)
        return dict(sorted((open_states + self.ended).items()))

    def put(self, record: OrderRecord, finished_max: int) -> None:
        """Keep ``record``; the oldest finished orders beyond ``finished_max`` make room."""
        known = self.get(record.client_order_id)
        if record.is_over and not record.reopened and (known is None or not known.is_over):
            self.ended[record.state.value] += 1
        if record.is_over and not record.is_unsettled:
            self._active.pop(record.client_order_id, None)
            self._finished[record.client_order_id] = record
            while len(self._finished) > finished_max:
                self._forget(next(iter(self._finished)))
        else:
            self._finished.pop(record.client_order_id, None)
            self._active[record.client_order_id] = record
        if record.placing.venue_id != record.client_order_id:
            self._attempts[record.placing.venue_id] = record.client_order_id
        self.due_us = min(self.due_us, record.look_us)

    def note_fill(self, client_order_id: str, trade_id: str, sequence: int) -> None:
        """Note where on the tape a fill of ours stands; nothing of an order that is forgotten."""
        for shelf in (self._active, self._finished):
            record = shelf.get(client_order_id)
            if record is not None:
                shelf[client_order_id] = record.with_fill(trade_id, sequence)

    def due(self, now_us: int, read_us: int) -> Iterator[OrderRecord]:
        """Forget what may be forgotten and yield the orders to be looked at; put each back before the next.

        ``read_us`` is when the last round of reconciliation began, 0 before the first. Only a process that makes one
        has surely written in the journal that an order before it is over: one that was forgotten earlier would be
        taken back from there, and its trades booked twice.
        """
        until_us = now_us if read_us == 0 else min(now_us, read_us)
        for client_order_id in [key for key, record in self._finished.items() if record.look_us <= until_us]:
            self._forget(client_order_id)
        if now_us >= self._sweep_us:
            self._used = {key: until_us for key, until_us in self._used.items() if until_us > now_us}
            self._sweep_us = now_us + _SWEEP_EVERY_US
        yield from [record for record in self._active.values() if record.look_us <= now_us]
        looks = [record.look_us for record in (*self._active.values(), *self._finished.values())]
        looks = [look_us if look_us > now_us else now_us + _FORGET_EVERY_US for look_us in looks]
        self.due_us = min(looks, default=NEVER_US)

    def _forget(self, client_order_id: str) -> None:
        record = self._finished.pop(client_order_id)
        for attempt in range(2, record.placing.attempt + 1):
            self._attempts.pop(attempt_id(client_order_id, attempt), None)

    def use(self, key: str, until_us: int) -> None:
        """Remember that an approval hash or a client order id was used."""
        self._used[key] = until_us

    def is_used(self, key: str, now_us: int) -> bool:
        """Say whether ``key`` was used and is still remembered."""
        return self._used.get(key, 0) > now_us

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "due_us": self.due_us,
            "ended": dict(self.ended),
            "active": [record_to_json(record) for record in self._active.values()],
            "finished": [record_to_json(record) for record in self._finished.values()],
            "used": dict(self._used),
            "attempts": dict(self._attempts),
            "sweep_us": self._sweep_us,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        self.due_us = state["due_us"]
        self.ended = Counter(state["ended"])
        self._active = {record.client_order_id: record for record in map(record_from_json, state["active"])}
        self._finished = {record.client_order_id: record for record in map(record_from_json, state["finished"])}
        self._used = dict(state["used"])
        self._attempts = dict(state["attempts"])
        self._sweep_us = state["sweep_us"]
