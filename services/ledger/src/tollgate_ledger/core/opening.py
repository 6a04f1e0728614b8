"""By which statement of the account the books are opened.

The law of this module is risk's, so that both open with the same money at the same place of the tape: the first
statement once a policy is in force, or, where the account came first, the policy itself, with the first statement
before it. The statement must be of the account that the policy names. A movement before the opening puts a statement
that waits for a policy out of date: the next one has the movement in it. A policy that cannot be read is none, and
puts the one before it out of force. What is said later of another account than that of the policy is not of the books.
"""

from typing import Any, NamedTuple

from tollgate_contracts.codec import decode, encode
from tollgate_contracts.reconciliation import Account, Movement
from tollgate_domain.policy_terms import PolicyTerms


class Statement(NamedTuple):
    """An account message, and where it lies on the tape."""

    sequence: int
    account: Account


class Opening:
    """Follows policies, and the account until it is opened; what is returned opens it, unless the books refuse it."""

    def __init__(self) -> None:
        self._owner: tuple[str, str] | None = None
        """Venue and account of the policy in force; none without one."""
        self._first: Statement | None = None
        """The first statement that came without a policy, as long as nothing has moved since."""

    def govern(self, terms: PolicyTerms | None) -> Statement | None:
        """Take in that a policy is in force from here on, none where it cannot be read."""
        self._owner = None if terms is None else (terms.venue, terms.account)
        if self._owner is None:
            return None
        first, self._first = self._first, None
        return first and self._of_the_owner(first)

    def state(self, statement: Statement) -> Statement | None:
        """Take in what the account holds."""
        if self._owner is not None:
            return self._of_the_owner(statement)
        self._first = self._first or statement
        return None

    def outdate(self) -> None:
        """Take in that money has moved."""
        self._first = None

    def _of_the_owner(self, statement: Statement) -> Statement | None:
        account = statement.account
        return None if self._owner is None or self.is_of_another(account) else statement

    def is_of_another(self, message: Account | Movement) -> bool:
        """Say whether a message is not of the account that the policy in force names: risk passes it by."""
        return self._owner is not None and (message.venue, message.account) != self._owner

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        first = self._first
        return {
            "owner": self._owner and list(self._owner),
            "first": first and [first.sequence, encode(first.account).decode()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        owner, first = state["owner"], state["first"]
        self._owner = owner and (owner[0], owner[1])
        self._first = first and Statement(first[0], _account(first[1]))


def _account(text: str) -> Account:
    message = decode(text.encode())
    if not isinstance(message, Account):
        raise TypeError(f"the books are opened by an account message, got {message.kind}")
    return message
