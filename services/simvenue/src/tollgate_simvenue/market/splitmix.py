"""Numbers that look random and are the same for ever: SplitMix64, in whole numbers.

Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators (2014). The standard library's generator gives
floats and promises its sequence for some of its methods only.
"""

_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15


class SplitMix:
    """A sequence of whole numbers that follows from ``seed`` alone."""

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def bits(self) -> int:
        """Return the next 64 bits."""
        self._state = (self._state + _GOLDEN) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31)

    def below(self, bound: int) -> int:
        """Return a number from 0 to ``bound`` - 1."""
        return self.bits() * bound >> 64

    def between(self, low: int, high: int) -> int:
        """Return a number from ``low`` to ``high``, both included."""
        return low + self.below(high - low + 1)

    def bell(self, deviation: int) -> int:
        """Return a number around zero with about this standard deviation: the sum of four even ones."""
        # Four even variables of half width w have the deviation w * sqrt(4 / 3); 866 / 1000 is its inverse.
        width = deviation * 866 // 1000
        return sum(self.between(-width, width) for _ in range(4))
