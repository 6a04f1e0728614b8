"""What the venue names and we do not hold: foreign orders and fills, said once each, and our own taken back.

The law of this module: an order is ours by the journal and by risk's signature, and by nothing else. Only such a one
is adopted, and never one that was forgotten, because its trades are booked already.
"""

from pydantic import ValidationError

from tollgate_contracts.approval import Approval
from tollgate_contracts.execution import TERMINAL_STATES, OrderState, Report, ReportSource, ReportStatus
from tollgate_contracts.reconciliation import Adoption, Difference, Repair
from tollgate_contracts.strategy import Action
from tollgate_execution.core.approvals import Verify
from tollgate_execution.core.parameters import Parameters
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
            trades = ", ".join(trade.trade_id for trade in report.trades)
            differed = f"the venue lists {len(report.trades)} trade(s) of an order that we do not hold: {trades}"
            detail = "not booked; an operator must look"
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
    return all(trade.venue_ts_us <= opened_us for trade in report.trades)


def read_adoption(adoption: Adoption, parameters: Parameters | None, verify: Verify) -> Approval | None:
    """Return the approval by which an order was sent, or none where it is not one of ours."""
    signed = adoption.approval
    if parameters is None or signed.key_id not in parameters.trusted_keys or verify(signed) is not None:
        return None
    try:
        approval = Approval.model_validate_json(signed.text)
    except ValidationError:
        return None
    bound = (approval.client_order_id, approval.desk, approval.venue, approval.account, approval.action)
    ours = (adoption.client_order_id, parameters.desk, parameters.venue, parameters.account, Action.SUBMIT)
    return approval if bound == ours and approval.symbol in parameters.symbols else None


def adopted(approval: Approval) -> Note:
    """Return what is said of an order that is taken back."""
    differed = f"the journal shows that {approval.client_order_id} is ours, and the tape does not hold it"
    detail = f"watched from here on as {OrderState.UNKNOWN.value}, until the venue has said how it stands"
    return Note(approval.client_order_id, Difference.FOREIGN_ORDER, differed, Repair.ADOPTED, detail)
