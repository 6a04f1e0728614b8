"""The account: what is free and what open orders have locked, in atoms of each currency."""


class Account:
    """Balances by currency. No balance is ever below zero: whoever would take more raises ``ValueError``."""

    def __init__(self, balances: dict[str, int]) -> None:
        self.free = dict(balances)
        self.locked = dict.fromkeys(balances, 0)

    def lock(self, currency: str, atoms: int) -> bool:
        """Move ``atoms`` from free to locked; say no, and change nothing, when there is not enough."""
        if self.free.get(currency, 0) < atoms:
            return False
        self._move(self.free, currency, -atoms)
        self._move(self.locked, currency, atoms)
        return True

    def unlock(self, currency: str, atoms: int) -> None:
        """Move ``atoms`` from locked back to free."""
        self._move(self.locked, currency, -atoms)
        self._move(self.free, currency, atoms)

    def spend_locked(self, currency: str, atoms: int) -> None:
        """Pay ``atoms`` out of what is locked."""
        self._move(self.locked, currency, -atoms)

    def credit(self, currency: str, atoms: int) -> None:
        """Add ``atoms`` to what is free."""
        self._move(self.free, currency, atoms)

    def debit(self, currency: str, atoms: int) -> None:
        """Take ``atoms`` from what is free."""
        self._move(self.free, currency, -atoms)

    def total(self, currency: str) -> int:
        """Return what is free and what is locked together."""
        return self.free.get(currency, 0) + self.locked.get(currency, 0)

    def currencies(self) -> list[str]:
        """Return every currency that was ever held, sorted."""
        return sorted(self.free)

    def _move(self, purse: dict[str, int], currency: str, atoms: int) -> None:
        self.free.setdefault(currency, 0)
        self.locked.setdefault(currency, 0)
        left = purse[currency] + atoms
        if left < 0:
            raise ValueError(f"{currency}: {left} atoms")
        purse[currency] = left
