"""How many orders a second one account may place."""

_SECOND_US = 1_000_000


class TokenBucket:
    """``per_s`` a second on average, and as many at once."""

    def __init__(self, per_s: int) -> None:
        self.per_s = per_s
        # Counted in millionths of a token, so that each microsecond adds ``per_s`` of them exactly.
        self._full = per_s * _SECOND_US
        self._left = self._full
        self._last_us = 0

    def take(self, now_us: int) -> bool:
        """Take one token; say no, and take none, when there is none."""
        elapsed_us = max(now_us - self._last_us, 0)
        self._left = min(self._left + elapsed_us * self.per_s, self._full)
        self._last_us = max(now_us, self._last_us)
        if self._left < _SECOND_US:
            return False
        self._left -= _SECOND_US
        return True
