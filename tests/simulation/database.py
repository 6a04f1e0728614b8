"""Execution's journal as the database keeps it, and one process's connection to it.

It answers as ``tollgate_execution.store.Journal`` does over Postgres; ``test_simulated_journal`` runs one script
against both and compares.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tests.simulation.network import Link, Lost, Network
from tollgate_contracts.execution import OrderState
from tollgate_execution.core import Submit
from tollgate_execution.core.placing import Leg
from tollgate_execution.store import Fenced, JournalLost, JournalRow, Settlement, WriteAhead
from tollgate_venues.adapter import OrderReference

T = TypeVar("T")


@dataclass(slots=True)
class Row:
    """One committed row."""

    submit: Submit
    epoch: int
    prepared_us: int
    state: str = "PREPARED"
    sends: int = 1
    answered_us: int | None = None
    ended_us: int | None = None

    @property
    def lets_another_follow(self) -> bool:
        """Say whether another attempt may be written: of an order only after the venue has refused this one."""
        is_refused = self.submit.placing.leg is not Leg.ORDER or self.state == "REJECTED"
        return self.ended_us is not None and is_refused

    @property
    def place(self) -> tuple[str, Leg, int]:
        """Return what of its approval it is: used once, for ever."""
        return self.submit.approval_hash, self.submit.placing.leg, self.submit.placing.attempt


class Database:
    """What is committed; it outlives every process."""

    def __init__(self) -> None:
        self.epoch = 0
        self.rows: dict[str, Row] = {}
        self.was_restored = False
        """Whether rows may be gone that were there once."""
        self._places: dict[tuple[str, Leg, int], Row] = {}
        self._decisions: set[tuple[str, Leg, int]] = set()

    def take_lease(self) -> int:
        """Raise the epoch."""
        self.epoch += 1
        return self.epoch

    def _check_lease(self, epoch: int) -> None:
        if epoch != self.epoch:
            raise Fenced(f"epoch {epoch} is not in force: {self.epoch} is")

    def prepare(self, submit: Submit, epoch: int, now_us: int) -> WriteAhead:
        """Insert the row of an attempt; raises ``Fenced``. The triggers speak before the unique columns do."""
        row = Row(submit, epoch, now_us)
        approval_hash, leg, attempt = row.place
        before = [self._places.get((approval_hash, leg, number)) for number in range(1, attempt)]
        # By name, as Postgres fires triggers: the attempts before the fence.
        if not all(each is not None and each.lets_another_follow for each in before):
            return WriteAhead.NOT_YET
        self._check_lease(epoch)
        decision = (submit.decision_id, leg, attempt)
        if submit.placing.venue_id in self.rows or row.place in self._places or decision in self._decisions:
            return WriteAhead.ALREADY_THERE
        self.rows[submit.placing.venue_id] = self._places[row.place] = row
        self._decisions.add(decision)
        return WriteAhead.PREPARED

    def prepare_resend(self, submit: Submit, epoch: int) -> WriteAhead:
        """Allow one more send of an unanswered row, once for each number; raises ``Fenced``."""
        row = self.rows.get(submit.placing.venue_id)
        if row is None or row.sends != submit.resend or row.answered_us is not None:
            return WriteAhead.ALREADY_THERE
        self._check_lease(epoch)
        row.sends, row.epoch = row.sends + 1, epoch
        return WriteAhead.PREPARED

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Keep the first answer, and after it only that the order is over; the last of several words counts."""
        for each in {settlement.client_order_id: settlement for settlement in settlements}.values():
            row = self.rows.get(each.client_order_id)
            if row is None or row.ended_us is not None or (row.answered_us is not None and each.ended_us is None):
                continue
            row.state, row.ended_us = each.state, each.ended_us
            if row.answered_us is None:
                row.answered_us = each.answered_us

    def load_unsettled(self) -> dict[str, OrderReference]:
        """Return the rows whose order may be live, oldest first."""
        return {key: _reference(key, row) for key, row in self._oldest_first() if row.ended_us is None}

    def which_are_there(self, client_order_ids: Sequence[str]) -> frozenset[str]:
        """Return those that have a row."""
        return frozenset(client_order_ids) & self.rows.keys()

    def trust_again(self) -> None:
        """Note that nothing is doubted any more."""
        self.was_restored = False

    def find(self, client_order_ids: Sequence[str]) -> tuple[JournalRow, ...]:
        """Return the rows of those that have one, oldest first."""
        return tuple(_whole(key, row) for key, row in self._oldest_first() if key in client_order_ids)

    def _oldest_first(self) -> list[tuple[str, Row]]:
        return sorted(self.rows.items(), key=lambda each: each[1].prepared_us)


class Journal:
    """One process's connection."""

    def __init__(self, network: Network, database: Database, link: Link, wall_us: Callable[[], int]) -> None:
        self.epoch = 0
        self._network = network
        self._database = database
        self._link = link
        self._wall_us = wall_us

    async def close(self) -> None:
        """Let go."""

    async def take_lease(self, holder: str) -> int:
        """Raise the desk's epoch and hold it."""
        self.epoch = await self._call(self._database.take_lease)
        return self.epoch

    async def prepare(self, submit: Submit) -> WriteAhead:
        """Commit the row of one order."""
        epoch, now_us = self.epoch, self._wall_us()
        return await self._call(lambda: self._database.prepare(submit, epoch, now_us))

    async def prepare_resend(self, submit: Submit) -> WriteAhead:
        """Commit that an order leaves once more."""
        epoch = self.epoch
        return await self._call(lambda: self._database.prepare_resend(submit, epoch))

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Write what became of prepared rows."""
        await self._call(lambda: self._database.settle(settlements))

    async def load_unsettled(self) -> dict[str, OrderReference]:
        """Return the orders that may be live at the venue."""
        return await self._call(self._database.load_unsettled)

    async def which_are_there(self, client_order_ids: Sequence[str]) -> frozenset[str]:
        """Return those of the ids that have a row."""
        return await self._call(lambda: self._database.which_are_there(client_order_ids))

    async def was_restored(self) -> bool:
        """Tell whether rows may be missing."""
        return await self._call(lambda: self._database.was_restored)

    async def trust_again(self) -> None:
        """Note that nothing is doubted any more."""
        await self._call(self._database.trust_again)

    async def find(self, client_order_ids: Sequence[str]) -> tuple[JournalRow, ...]:
        """Return the rows of those of the ids that have one."""
        return await self._call(lambda: self._database.find(client_order_ids))

    async def _call(self, act: Callable[[], T]) -> T:
        try:
            return await self._network.call(self._link, act)
        except Lost as error:
            raise JournalLost("journal: no answer") from error


def _reference(client_order_id: str, row: Row) -> OrderReference:
    return OrderReference(client_order_id, row.submit.approval.symbol, None, row.prepared_us)


def _whole(client_order_id: str, row: Row) -> JournalRow:
    submit = row.submit
    return JournalRow(
        client_order_id=client_order_id,
        decision_id=submit.decision_id,
        signed=submit.signed,
        leg=submit.placing.leg,
        attempt=submit.placing.attempt,
        ended_as=None if row.ended_us is None else OrderState(row.state),
    )
