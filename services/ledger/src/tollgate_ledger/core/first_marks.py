"""At which marks risk takes in what the account held at opening.

The treasury must be risk's to the last digit, and so must the results that feed it: what was held at opening counts
from the first mark that risk has looked at since. Risk looks when the account opens, at a clock, at a policy and
when money moves, never at a quote; a trade of a symbol that was not looked at before is its own first mark, and the
rate of its fee is that of the fee's currency. It opens the account by the first account message once there is a
policy, which need not be when the books are opened: what has moved until then is a part of what it opens with.
"""

from dataclasses import dataclass, field

from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.marketdata import Clock
from tollgate_contracts.money import Exact
from tollgate_contracts.reconciliation import Account, Movement
from tollgate_contracts.risk import Policy
from tollgate_domain.fees import charge_of
from tollgate_ledger.core.motives import Mid


@dataclass(slots=True)
class FirstMarks:
    """Follows the tape; ``marks`` grows until every symbol has its first."""

    has_policy: bool = False
    account_us: int | None = None
    """The venue's time of the statement by which risk opens the account as soon as it has a policy."""
    opened_at: int | None = None
    """The tape sequence at which risk has opened the account."""
    opened_us: int = 0
    """The venue's time of the statement by which it has."""
    marks: dict[str, Exact] = field(default_factory=dict)

    def follow(self, sequence: int, message: Message, mids: dict[str, Mid]) -> None:
        """Take in the next message; ``mids`` are those of the last quotes, by symbol."""
        match message:
            case Policy():
                self.has_policy = True
                self._open(sequence)
            case Account() if self.opened_at is not None:
                return
            case Account():
                self.account_us = message.venue_ts_us if self.account_us is None else self.account_us
                self._open(sequence)
            case Movement() if self.opened_at is None:
                # The statement that was to open the account is out of date; the next one has the movement in it.
                self.account_us = None
            case Fill() | Bust():
                self.marks.setdefault(message.symbol, message.trade.price)
                charge = charge_of(message)
                if charge is not None and message.fee_rate is not None:
                    self.marks.setdefault(charge.symbol, message.fee_rate)
            case Clock():
                pass
            case _:
                return
        self.look(mids)

    def _open(self, sequence: int) -> None:
        if self.opened_at is None and self.has_policy and self.account_us is not None:
            self.opened_at, self.opened_us = sequence, self.account_us

    def has_in_opening(self, sequence: int, movement: Movement) -> bool:
        """Say whether a movement is a part of what risk has opened with, or will open with."""
        if self.opened_at is None or self.has_opened_after(sequence):
            return True
        return movement.venue_ts_us <= self.opened_us

    def has_opened_after(self, sequence: int) -> bool:
        """Say whether risk has opened later than at ``sequence``, of which the ledger books what has waited."""
        return self.opened_at is not None and sequence < self.opened_at

    def look(self, mids: dict[str, Mid]) -> None:
        """Look at the marks, as risk does when the quote currency has moved as well."""
        if self.opened_at is not None:
            for symbol in sorted(mids):
                self.marks.setdefault(symbol, mids[symbol].price)
