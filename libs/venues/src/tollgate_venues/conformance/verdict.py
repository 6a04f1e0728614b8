"""How a case says that an adapter has failed it."""

from typing import Any


class NotConformant(AssertionError):
    """An adapter does not do what ``tollgate_venues.adapter`` promises; the text says what was seen."""


def expect(holds: bool, said: str) -> None:
    """Raise ``NotConformant`` with ``said`` unless it holds."""
    if not holds:
        raise NotConformant(said)


def expect_equal(seen: Any, expected: Any, what: str) -> None:
    """Raise ``NotConformant`` unless ``seen`` is what was expected."""
    expect(seen == expected, f"{what}: {expected!r} was expected, {seen!r} was seen")
