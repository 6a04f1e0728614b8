"""Evidence and configuration in the tape's envelope: execution's outside events."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import ValidationError

from tollgate_contracts.approval import Approval
from tollgate_contracts.config import Config, config_hash
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Report, ReportSource, ReportStatus
from tollgate_contracts.money import plain
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Account, Adoption, Movement, MovementType, Sync, SyncCause
from tollgate_execution.core.fee_rates import FeeRate
from tollgate_execution.core.placing import Leg
from tollgate_execution.core.sync import OpenDrift
from tollgate_execution.store import JournalRow
from tollgate_venues.adapter import VenueUnavailable
from tollgate_venues.evidence import AccountEvidence, Evidence, Failure, MovementEvidence

_TEXT_MAX = 2_000
_OURS = re.compile("tg[0-9a-f]{30}")

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class RoundRead:
    """What one round of reconciliation has read from the venue."""

    cause: SyncCause
    began_us: int
    took_us: int
    open_order_ids: tuple[str, ...]
    fill_cursor: str
    movement_cursor: str
    orders_read: int
    fills_read: int
    differences: int
    open_differences: int
    unread: VenueUnavailable | None = None
    """Why movements or the account were not read; none where they were."""


def known_by(client_order_id: str, venue_order_id: str | None) -> str:
    """Return the id under which the tape names an order of the venue: its own, or a stand-in where it is not ours.

    Whoever else trades on the account gives ids that no message of ours can hold, or none at all.
    """
    if _OURS.fullmatch(client_order_id):
        return client_order_id
    text = f"foreign {client_order_id} {venue_order_id or ''}"
    return f"tg{hashlib.sha256(_clean(text).encode()).hexdigest()[:30]}"


def _clean(text: str) -> str:
    # JSON from a venue may hold what neither UTF-8 nor the journal's database can; it must not end the process.
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def _read(kind: type[M], **fields: Any) -> M:
    try:
        return kind(**fields)
    except ValidationError as error:
        raise VenueUnavailable(f"{kind.__name__.lower()}: {_words(error)}", Failure.UNREADABLE) from error


def _rated(rate: FeeRate | None) -> dict[str, Any]:
    return {} if rate is None else {"rate": rate.rate, "rate_source": rate.source}


def _words(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


@dataclass(frozen=True, slots=True)
class Reporter:
    """Builds what execution observes; ids come from content, so that an append can be tried again."""

    desk: str
    run_id: str
    venue: str
    account: str
    now_us: Callable[[], int]
    """The wall clock."""
    cycle_id: Callable[[], int]

    def report(self, evidence: Evidence, asked_us: int | None = None) -> Report:
        """Return the report; an answer to a question is stamped with the time of asking, because absence is proof.

        The time is part of the id: the same words at another time are another report. What no message can hold, such
        as a time in the wrong unit, is no answer: the venue has said nothing that could be read.
        """
        try:
            return self._report(evidence, asked_us)
        except ValidationError as error:
            silent = Evidence(evidence.client_order_id, evidence.source, ReportStatus.NO_ANSWER)
            return self._report(replace(silent, detail=f"unreadable: {_words(error)}"), asked_us)

    def _report(self, evidence: Evidence, asked_us: int | None) -> Report:
        about_a_question = evidence.source is ReportSource.QUERY or evidence.status is ReportStatus.ABSENT
        ts_us = asked_us if asked_us is not None and about_a_question else self.now_us()
        known = known_by(evidence.client_order_id, evidence.venue_order_id)
        foreign = "" if known == evidence.client_order_id else f"named {evidence.client_order_id!r} by the venue. "
        fields = {
            "client_order_id": known,
            "source": evidence.source,
            "status": evidence.status,
            "venue_order_id": evidence.venue_order_id,
            "cumulative_quantity": evidence.cumulative_quantity,
            "trades": evidence.trades,
            "busted": evidence.busted,
            "reason": evidence.reason,
            "detail": _clean(f"{foreign}{evidence.detail}")[:_TEXT_MAX],
            "venue_ts_us": evidence.venue_ts_us,
        }
        draft = Report(
            id="draft",
            desk=self.desk,
            run_id=self.run_id,
            ts_us=ts_us,
            cause=None,
            cycle_id=self.cycle_id(),
            **fields,  # type: ignore[arg-type]
        )
        digest = hashlib.sha256(draft.model_dump_json().encode()).hexdigest()[:32]
        return draft.model_copy(update={"id": f"execution:{self.venue}:{digest}"})

    def not_sent(self, client_order_id: str, source: ReportSource, reasons: tuple[Reason, ...]) -> Report:
        """Return the report that not one byte left, and why; the first reason is the one that counts."""
        detail = ", ".join(reason.value for reason in reasons)
        return self.report(
            Evidence(
                client_order_id=client_order_id,
                source=source,
                status=ReportStatus.NOT_SENT,
                reason=reasons[0],
                detail=detail,
            )
        )

    def account_message(self, evidence: AccountEvidence) -> Account:
        """Return balances and fees as a message; raises ``VenueUnavailable`` for what no message can hold."""
        ts_us = self.now_us()
        return _read(
            Account,
            id=f"execution:{self.venue}:account-{ts_us}",
            desk=self.desk,
            run_id=self.run_id,
            ts_us=ts_us,
            cause=None,
            cycle_id=self.cycle_id(),
            venue=self.venue,
            account=self.account,
            balances=evidence.balances,
            positions=evidence.positions,
            maker_fee_bps=evidence.maker_fee_bps,
            taker_fee_bps=evidence.taker_fee_bps,
            venue_ts_us=evidence.venue_ts_us,
        )

    def movement(self, evidence: MovementEvidence, rate: FeeRate | None = None) -> Movement:
        """Return money that moved without an order as a message; the core takes each of the venue's ids once.

        ``rate`` is what a unit of its currency is worth, none where that is the quote currency or nobody knows.

        Raises ``VenueUnavailable`` for what no message can hold, and for what only an operator says.
        """
        if evidence.movement is MovementType.UNEXPLAINED:
            raise VenueUnavailable(f"movement {evidence.movement_id}: no venue says this", Failure.UNREADABLE)
        ts_us = self.now_us()
        digest = hashlib.sha256(f"{self.run_id} {ts_us} {evidence.movement_id}".encode()).hexdigest()[:32]
        return _read(
            Movement,
            id=f"execution:{self.venue}:movement-{digest}",
            desk=self.desk,
            run_id=self.run_id,
            ts_us=ts_us,
            cause=None,
            cycle_id=self.cycle_id(),
            venue=self.venue,
            account=self.account,
            movement_id=evidence.movement_id,
            movement=evidence.movement,
            currency=evidence.currency,
            amount=evidence.amount,
            symbol=evidence.symbol,
            venue_ts_us=evidence.venue_ts_us,
            **_rated(rate),
        )

    def unexplained(
        self, currency: str, drift: OpenDrift, amount: Decimal, detail: str, rate: FeeRate | None
    ) -> Movement:
        """Return what an operator says is there or gone without evidence, as a message: one for each drift as it is.

        ``rate`` is what a unit of the currency is worth, none where that is the quote currency or nobody knows.
        """
        # Whoever says it, and whenever: of one drift it can be said once until it has changed.
        name = f"unexplained-{currency}-{drift.as_of_us}-{hashlib.sha256(plain(drift.off).encode()).hexdigest()[:8]}"
        return Movement(
            id=f"execution:{self.venue}:{name}",
            desk=self.desk,
            run_id=self.run_id,
            ts_us=self.now_us(),
            cause=None,
            cycle_id=self.cycle_id(),
            venue=self.venue,
            account=self.account,
            movement_id=name,
            movement=MovementType.UNEXPLAINED,
            currency=currency,
            amount=amount,
            symbol=None,
            venue_ts_us=drift.as_of_us,
            detail=_clean(detail)[:_TEXT_MAX],
            **_rated(rate),
        )

    def adoption(self, row: JournalRow) -> Adoption:
        """Return an order that only the journal knows as a message."""
        own = Approval.model_validate_json(row.signed.text).client_order_id
        ts_us = self.now_us()
        return Adoption(
            id=f"execution:{self.venue}:adoption-{row.client_order_id}-{ts_us}",
            desk=self.desk,
            run_id=self.run_id,
            ts_us=ts_us,
            cause=None,
            cycle_id=self.cycle_id(),
            client_order_id=row.client_order_id,
            attempt=row.attempt,
            protects=None if row.leg is Leg.ORDER else own,
            ended_as=row.ended_as,
            decision_id=row.decision_id,
            approval=row.signed,
        )

    def sync(self, read: RoundRead) -> Sync:
        """Return a whole round as a message: only with it on the tape is what it read really read."""
        draft = Sync(
            id="draft",
            desk=self.desk,
            run_id=self.run_id,
            ts_us=self.now_us(),
            cause=None,
            cycle_id=self.cycle_id(),
            sync_cause=read.cause,
            began_us=read.began_us,
            open_order_ids=read.open_order_ids,
            fill_cursor=read.fill_cursor,
            movement_cursor=read.movement_cursor,
            orders_read=read.orders_read,
            fills_read=read.fills_read,
            differences=read.differences,
            open_differences=read.open_differences,
            took_us=read.took_us,
        )
        digest = hashlib.sha256(draft.model_dump_json().encode()).hexdigest()[:32]
        return draft.model_copy(update={"id": f"execution:{self.venue}:sync-{digest}"})

    def config(self, text: str) -> Config:
        """Return the configuration as a message; the run is in the id, so that an old one can come back."""
        digest = config_hash(text)
        return Config(
            writer="execution",
            id=f"execution:config:{self.run_id}:{digest[:16]}"[:128],
            desk=self.desk,
            run_id=self.run_id,
            ts_us=self.now_us(),
            cause=None,
            cycle_id=self.cycle_id(),
            text=text,
            hash=digest,
        )
