"""The span of time that a report is of: UTC dates as people write them, microseconds as machines do."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from tollgate_contracts.envelope import TIME_US_MAX

DAY_US = 86_400_000_000
_EPOCH = date(1970, 1, 1)


class BadSpan(ValueError):
    """What was given is no span of time; the text says why."""


@dataclass(frozen=True, slots=True)
class Span:
    """From ``from_us`` up to and without ``until_us``, microseconds since the epoch, UTC."""

    from_us: int = 0
    until_us: int = TIME_US_MAX

    @property
    def whole_days(self) -> tuple[date, date]:
        """Return the first whole UTC day and the day after the last one; they are equal where there is none."""
        first = -(-self.from_us // DAY_US)
        return day_of(first * DAY_US), day_of(max(self.until_us // DAY_US, first) * DAY_US)


def day_of(ts_us: int) -> date:
    """Return the UTC day of a time."""
    return _EPOCH + timedelta(days=ts_us // DAY_US)


def day_us(day: date) -> int:
    """Return when a UTC day begins, in microseconds."""
    return (day - _EPOCH).days * DAY_US


def read_span(since: str | None, until: str | None) -> Span:
    """Return the span between two texts, each a UTC date or integer microseconds; none means without end.

    A date at the end is in the span with all its hours; raises ``BadSpan``.
    """
    from_us = 0 if since is None else _moment_us(since, "--from", is_end=False)
    until_us = TIME_US_MAX if until is None else _moment_us(until, "--to", is_end=True)
    if until_us <= from_us:
        raise BadSpan(f"--to must be after --from; got {since} and {until}")
    return Span(from_us, until_us)


def _moment_us(text: str, option: str, *, is_end: bool) -> int:
    moment_us = int(text) if text.isascii() and text.isdecimal() else _date_us(text, is_end=is_end)
    if moment_us is None or not 0 <= moment_us <= TIME_US_MAX:
        raise BadSpan(f"{option} takes a UTC date such as 2026-11-21, or microseconds since the epoch; got {text!r}")
    return moment_us


def _date_us(text: str, *, is_end: bool) -> int | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    # Python also reads weeks and dates without hyphens, which a typing error may look like.
    return day_us(day) + is_end * DAY_US if day.isoformat() == text else None


def time_text(ts_us: int) -> str:
    """Return date and time of day to the second, UTC."""
    return f"{datetime.fromtimestamp(ts_us // 1_000_000, UTC):%Y-%m-%d %H:%M:%S}"
