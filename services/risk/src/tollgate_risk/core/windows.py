"""Counts over a sliding window of tape time, in a fixed amount of memory.

The window is cut into slices; an event counts until its whole slice has left the window, so a count is never
lower than the true one, and higher by at most the events of one slice.
"""

from dataclasses import dataclass, field


@dataclass(slots=True)
class RollingCount:
    """How many events lie within the last ``slices`` times ``slice_us``, rounded up to whole slices."""

    slice_us: int
    slices: int
    counts: dict[int, int] = field(default_factory=dict)
    """By number of the slice since the epoch, in that order; only slices that have an event."""
    events: int = 0
    """Sum of the counts."""

    def add(self, now_us: int, events: int = 1) -> None:
        """Count ``events`` that happen now; time never runs back."""
        self._forget(now_us)
        number = now_us // self.slice_us
        self.counts[number] = self.counts.get(number, 0) + events
        self.events += events

    def total(self, now_us: int) -> int:
        """Return how many events lie within the window that ends now; changes nothing."""
        total, oldest = self.events, self._oldest(now_us)
        for number, count in self.counts.items():
            if number >= oldest:
                break
            total -= count
        return total

    def _forget(self, now_us: int) -> None:
        oldest = self._oldest(now_us)
        while self.counts and (number := next(iter(self.counts))) < oldest:
            self.events -= self.counts.pop(number)

    def _oldest(self, now_us: int) -> int:
        # The slice in which the window begins, of which some events have left the window and some have not.
        return now_us // self.slice_us - self.slices
