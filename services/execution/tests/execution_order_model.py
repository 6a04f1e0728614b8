"""An order as a person would keep it on paper: an independent model of what every report must do to it.

It knows nothing of the tables or records of the core. One order of 2 BTC, trades of 1 BTC each, prices all alike; what
is impossible it takes from the grids that the table test is written in.
"""

from dataclasses import dataclass, field

from execution_samples import SECOND_US
from test_execution_order_states import COLUMNS, GRIDS

from tollgate_contracts.execution import ReportSource, ReportStatus

QUANTITY = 2
EXPIRES_US = 5 * SECOND_US
# A request can arrive for three seconds, and what arrived may be invisible for one more.
ARRIVES_US, VISIBLE_US = 3 * SECOND_US, SECOND_US
PROOF_US = ARRIVES_US + VISIBLE_US
FINAL = ("FILLED", "CANCELLED", "REJECTED", "EXPIRED")
_ROWS = {
    (source, line.split()[0]): dict(zip(COLUMNS, line.split()[1:], strict=True))
    for source, grid in GRIDS.items()
    for line in grid.splitlines()
    if line.strip()
}


@dataclass(frozen=True)
class Said:
    """One report."""

    status: ReportStatus
    source: ReportSource
    filled: int | None = None
    trades: tuple[int, ...] = ()
    busts: tuple[int, ...] = ()


@dataclass
class Order:
    """The order on paper; times in microseconds since its approval."""

    state: str = "SUBMITTING"
    shown: bool = False
    shown_us: int = 0
    sends: int = 1
    doubted_us: int | None = None
    booked: list[int] = field(default_factory=list)
    taken_back: dict[int, int] = field(default_factory=dict)
    counted: int = 0
    named_end: tuple[str, bool] | None = None
    cancel_until_us: int | None = None
    cancel_refused: bool = False
    before_cancel: str = ""

    def copy(self) -> "Order":
        """Return another like it."""
        return Order(**{**vars(self), "booked": [*self.booked], "taken_back": {**self.taken_back}})

    def cancel(self, now_us: int) -> None:
        """Have a cancel approved that may be asked for during five seconds."""
        self.cancel_until_us = max(now_us + EXPIRES_US, self.cancel_until_us or 0)
        self.cancel_refused = False
        if self.state not in {"UNKNOWN", "CANCELLING"}:
            self.before_cancel, self.state = self.state, "CANCELLING"

    def hear(self, said: Said, now_us: int) -> None:
        """Take a report that was asked for, and heard, at ``now_us``."""
        impossible = _ROWS[said.source, self.state][said.status] == "!"
        if self.state == "CANCELLING" and said.status is ReportStatus.NOT_SENT and not self.shown:
            # The grid stands for an order that the venue has shown.
            impossible = said.source not in {ReportSource.SUBMIT, ReportSource.JOURNAL, ReportSource.CANCEL}
        news = self._take(said)
        if not impossible:
            self._count(said)
        if self.state in FINAL:
            return
        if news or (not impossible and said.status.value in {"OPEN", "FILLED", "CANCELLED", "EXPIRED"}):
            self.shown_us = self.shown_us if self.shown else now_us
            self.shown = True
        if len(self.booked) == QUANTITY:
            self._become("FILLED")
        elif impossible:
            if not self._settle_claim():
                self._follow(now_us, news)
        else:
            getattr(self, f"_{said.status.value.lower()}")(said, now_us)
            to_cancel = said.source is ReportSource.CANCEL and said.status is ReportStatus.REJECTED
            if said.status.value in {"OPEN", "TRADED", "NO_ANSWER", "NOT_SENT"} or to_cancel:
                self._follow(now_us, news)

    def _take(self, said: Said) -> bool:
        for number in said.busts:
            if number not in self.taken_back:
                self.taken_back[number] = int(number in self.booked)
                self.booked = [each for each in self.booked if each != number]
        news = False
        for number in said.trades:
            if number in self.taken_back:
                self.taken_back[number] = 1
            elif number not in self.booked and len(self.booked) < QUANTITY:
                self.booked.append(number)
                news = True
        return news

    def _count(self, said: Said) -> None:
        count = len(self.booked) if said.filled is None else said.filled
        if said.status is ReportStatus.FILLED and (said.filled is None or not self.taken_back):
            count = QUANTITY
        fresh = bool(self.taken_back) and said.filled is not None and said.source is ReportSource.QUERY
        self.counted = max(min(count, QUANTITY), len(self.booked), 0 if fresh else self.counted)

    def _become(self, state: str) -> None:
        self.state = state
        if state in FINAL:
            self.named_end = self.cancel_until_us = None

    def _working(self) -> str:
        return "PARTIALLY_FILLED" if self.booked else "ACKNOWLEDGED"

    def _work(self, now_us: int) -> None:
        wanted = self.cancel_until_us is not None and not self.cancel_refused and now_us < self.cancel_until_us
        self.state = self.before_cancel = self._working()
        if wanted:
            self.state = "CANCELLING"
        else:
            self.cancel_until_us = None

    def _settle_claim(self) -> bool:
        if self.named_end is not None and self.named_end[1] and self.counted == len(self.booked):
            self._become(self.named_end[0])
            return True
        return False

    def _follow(self, now_us: int, news: bool) -> None:
        if news and self.state in {"SUBMITTING", "ACKNOWLEDGED", "UNKNOWN"}:
            self._work(now_us)
        elif self.state == "PARTIALLY_FILLED" and not self.booked:
            self.state = "ACKNOWLEDGED"

    def _open(self, said: Said, now_us: int) -> None:
        if self._settle_claim() or said.source is ReportSource.CANCEL:
            return
        if self.state != "CANCELLING":
            self._work(now_us)
            return
        gone = self.cancel_until_us is not None and now_us >= self.cancel_until_us + ARRIVES_US
        if said.source is ReportSource.QUERY and (self.cancel_refused or gone):
            self.state, self.cancel_until_us = self._working(), None

    def _traded(self, _said: Said, _now_us: int) -> None:
        self._settle_claim()

    def _filled(self, said: Said, _now_us: int) -> None:
        self._end("FILLED", said, counted=True)

    def _cancelled(self, said: Said, _now_us: int) -> None:
        self._named("CANCELLED", said)

    def _expired(self, said: Said, _now_us: int) -> None:
        self._named("EXPIRED", said)

    def _rejected(self, said: Said, _now_us: int) -> None:
        if said.source is ReportSource.CANCEL:
            if not self._settle_claim():
                self.cancel_refused = True
            return
        if said.source is ReportSource.OPERATOR or not self.counted:
            self._named("CANCELLED" if self.booked else "REJECTED", said)
            return
        self._named("CANCELLED", said)

    def _named(self, end: str, said: Said) -> None:
        if said.source is ReportSource.OPERATOR:
            self._become(end)
            return
        self._end(end, said, counted=said.filled is not None or end == "REJECTED")

    def _end(self, end: str, said: Said, *, counted: bool) -> None:
        look_up, whole = said.source is ReportSource.QUERY, self.counted == len(self.booked)
        if look_up and self.taken_back:
            whole = self.counted <= len(self.booked) + sum(self.taken_back.values())
        if whole and (counted or look_up):
            self._become(end)
            return
        self.named_end = (end, counted)
        if self.state != "CANCELLING":
            self.state = self._working()

    def _absent(self, said: Said, now_us: int) -> None:
        if self._settle_claim() or self.state in FINAL:
            return
        if self.shown:
            if now_us < self.shown_us + VISIBLE_US:
                return
            self.state = "UNKNOWN"
            return
        if now_us >= EXPIRES_US + PROOF_US:
            self._become("EXPIRED")
            return
        asked_late_enough = self.doubted_us is not None and now_us >= self.doubted_us + PROOF_US
        by_look_up = self.state == "UNKNOWN" and said.source is ReportSource.QUERY and self.cancel_until_us is None
        if asked_late_enough and by_look_up and self.sends == 1 and now_us < EXPIRES_US:
            self.state, self.sends, self.doubted_us = "SUBMITTING", 2, None

    def _no_answer(self, said: Said, now_us: int) -> None:
        if self._settle_claim():
            return
        if said.source is ReportSource.SUBMIT and self.state == "SUBMITTING" and not self.shown:
            self.state, self.doubted_us = "UNKNOWN", now_us

    def _not_sent(self, said: Said, _now_us: int) -> None:
        if self._settle_claim():
            return
        if said.source is ReportSource.CANCEL:
            if self.state == "CANCELLING":
                self.state = self.before_cancel if not self.shown else self._working()
                self.cancel_until_us = None
            return
        if not self.shown:
            self._become("REJECTED" if self.sends == 1 else "UNKNOWN")
