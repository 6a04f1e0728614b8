"""At which marks risk takes in what the account held at opening.

The treasury must be risk's to the last digit, and so must the results that feed it: what was held at opening counts
from the first mark that risk has looked at since. Risk looks when the account opens, at a clock, at a policy and
when money moves, never at a quote; a trade of a symbol that was not looked at before is its own first mark, and the
rate of its fee is that of the fee's currency. It opens the account by the first account message once there is a
policy, which need not be when the books are opened.
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
    has_account: bool = False
    is_open: bool = False
    marks: dict[str, Exact] = field(default_factory=dict)

    def follow(self, message: Message, mids: dict[str, Mid]) -> None:
        """Take in the next message; ``mids`` are those of the last quotes, by symbol."""
        match message:
            case Policy():
                self.has_policy = True
                self.is_open = self.is_open or self.has_account
            case Account() if self.is_open:
                return
            case Account():
                self.has_account = True
                self.is_open = self.has_policy
            case Movement() if not self.is_open:
                # The statement that was to open the account is out of date; the next one has the movement in it.
                self.has_account = False
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

    def look(self, mids: dict[str, Mid]) -> None:
        """Look at the marks, as risk does when the quote currency has moved as well."""
        if self.is_open:
            for symbol in sorted(mids):
                self.marks.setdefault(symbol, mids[symbol].price)
