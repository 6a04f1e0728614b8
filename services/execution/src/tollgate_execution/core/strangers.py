"""What the venue names and we do not hold: foreign orders and fills, said once each, and our own taken back.

The law of this module: an order is ours by the journal and by risk's signature, and by nothing else. Only such a one
is adopted. What was forgotten is not watched again, because its trades are booked already; one that comes late is.
"""

from dataclasses import replace

from pydantic import ValidationError

from tollgate_contracts.approval import Approval
from tollgate_contracts.execution import TERMINAL_STATES, OrderState, Report, ReportSource, ReportStatus
from tollgate_contracts.reconciliation import Adoption, Difference, Repair
from tollgate_contracts.strategy import Action, Side
from tollgate_execution.core.approvals import Verify
from tollgate_execution.core.parameters import Parameters
from tollgate_execution.core.placing import Leg, Placing, attempt_id
from tollgate_execution.core.trades import Note

# What the venue reports and we do not hold is said once each, for this many of them.
STRANGERS_MAX = 1_000
_ENDS = frozenset(state.value for state in TERMINAL_STATES)


class Strangers:
    """Foreign orders and fills that were said already."""

    def __init__(self) -> None:
        self._said: dict[str, None] = {}

    def knows(self, client_order_id: str) -> bool:
        """Say whether a foreign order was said already."""
        return client_order_id in self._said

    def assess(self, report: Report, opened_us: int | None) -> Note | None:
        """Return what is to be said of a report on an order that we do not hold; reads only.

        ``opened_us`` is the venue's time of the account's opening statement: what was over by then is its history.
        """
        shows = report.cumulative_quantity or report.trades or report.busted or report.status is ReportStatus.OPEN
        if not shows or _key(report) in self._said or _is_history(report, opened_us):
            return None
        if report.status is ReportStatus.TRADED:
            trades = ", ".join(
                [trade.trade_id for trade in report.trades] + [f"{each} taken back" for each in report.busted]
            )
            differed = f"the venue lists trades of an order that we do not hold: {trades}"
            detail = "neither booked nor undone; an operator must look"
            return Note(report.client_order_id, Difference.FOREIGN_FILL, differed, Repair.FLAGGED, detail)
        differed = f"the venue reports {report.status.value} for an order that we do not hold"
        detail = "an operator must look"
        return Note(report.client_order_id, Difference.FOREIGN_ORDER, differed, Repair.FLAGGED, detail)

    def remember(self, report: Report) -> None:
        """Note that it was said; the oldest make room."""
        self._said[_key(report)] = None
        if len(self._said) > STRANGERS_MAX:
            del self._said[next(iter(self._said))]

    def forget(self, client_order_id: str) -> None:
        """Take an order for a stranger no more."""
        self._said.pop(client_order_id, None)

    def snapshot(self) -> list[str]:
        """Return the state as JSON-ready values."""
        return list(self._said)

    def restore(self, state: list[str]) -> None:
        """Take back what ``snapshot`` returned."""
        self._said = dict.fromkeys(state)


def _key(report: Report) -> str:
    # A fill of a foreign order is another thing to be said than the order itself; no order id holds a space.
    by_list = report.source is ReportSource.FILLS
    return f"fills of {report.client_order_id}" if by_list else report.client_order_id


def _is_history(report: Report, opened_us: int | None) -> bool:
    """Say whether it is all over before the account's opening: it is in the balances that we began with."""
    if opened_us is None or report.status is ReportStatus.OPEN:
        return False
    if report.status.value in _ENDS:
        return report.venue_ts_us is not None and report.venue_ts_us <= opened_us
    return not report.busted and all(trade.venue_ts_us <= opened_us for trade in report.trades)


def read_adoption(adoption: Adoption, parameters: Parameters | None, verify: Verify) -> tuple[Approval, Placing] | None:
    """Return the approval by which an order was sent and what was placed by it, or none where it is not ours."""
    signed = adoption.approval
    if parameters is None or signed.key_id not in parameters.trusted_keys or verify(signed) is not None:
        return None
    try:
        approval = Approval.model_validate_json(signed.text)
    except ValidationError:
        return None
    bound = (approval.environment, approval.desk, approval.venue, approval.account, approval.action)
    ours = (parameters.environment, parameters.desk, parameters.venue, parameters.account, Action.SUBMIT)
    placing = _placing_of(adoption, approval)
    # Its symbol may be one that is traded no more: it is ours all the same.
    if placing is None or bound != ours:
        return None
    return approval, placing


def _placing_of(adoption: Adoption, approval: Approval) -> Placing | None:
    """Return what was asked of the venue as far as the approval tells it; its price and quantity are bounds."""
    own, at_venue, ended_as = Placing.of(approval), adoption.client_order_id, adoption.ended_as
    if ended_as is not None and ended_as not in TERMINAL_STATES:
        return None
    if adoption.protects is None:
        is_ours = at_venue == attempt_id(own.client_order_id, adoption.attempt)
        return replace(own, venue_id=at_venue, attempt=adoption.attempt) if is_ours else None
    signed = approval.protection
    if signed is None or adoption.protects != own.client_order_id or ended_as is None:
        # A stop that may be live is come upon by the order that it protects, under the id that it has there.
        return None
    return replace(
        own,
        client_order_id=at_venue,
        venue_id=at_venue,
        leg=Leg.PROTECTION,
        attempt=adoption.attempt,
        side=Side.SELL if own.side is Side.BUY else Side.BUY,
        limit_price=signed.limit_price,
        trigger_price=signed.trigger_price,
    )


def adopted(placing: Placing) -> Note:
    """Return what is said of an order that is taken back."""
    attempt = "" if placing.attempt == 1 else f"attempt {placing.attempt} of "
    differed = f"the journal shows that {attempt}{placing.client_order_id} is ours, and the tape does not hold it"
    detail = f"watched from here on as {OrderState.UNKNOWN.value}, until the venue has said how it stands"
    return Note(placing.client_order_id, Difference.FOREIGN_ORDER, differed, Repair.ADOPTED, detail)
