"""Evidence and configuration in the tape's envelope: execution's outside events."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from tollgate_contracts.config import Config, config_hash
from tollgate_contracts.execution import Account, Report, ReportSource, ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_venues.evidence import AccountEvidence, Evidence

_TEXT_MAX = 2_000


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

        The time is part of the id: the same words at another time are another report.
        """
        about_a_question = evidence.source is ReportSource.QUERY or evidence.status is ReportStatus.ABSENT
        ts_us = asked_us if asked_us is not None and about_a_question else self.now_us()
        fields = {
            "client_order_id": evidence.client_order_id,
            "source": evidence.source,
            "status": evidence.status,
            "venue_order_id": evidence.venue_order_id,
            "cumulative_quantity": evidence.cumulative_quantity,
            "trades": evidence.trades,
            "reason": evidence.reason,
            "detail": evidence.detail[:_TEXT_MAX],
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
        """Return balances and fees as a message."""
        ts_us = self.now_us()
        return Account(
            id=f"execution:{self.venue}:account-{ts_us}",
            desk=self.desk,
            run_id=self.run_id,
            ts_us=ts_us,
            cause=None,
            cycle_id=self.cycle_id(),
            venue=self.venue,
            account=self.account,
            balances=evidence.balances,
            positions=(),
            maker_fee_bps=evidence.maker_fee_bps,
            taker_fee_bps=evidence.taker_fee_bps,
            venue_ts_us=evidence.venue_ts_us,
        )

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
