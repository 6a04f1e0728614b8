"""The plots of the page: equity and its falls, days, hold times, and where the result came from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

from tollgate_research.report import svg
from tollgate_research.report.span import DAY_US, day_of, day_us
from tollgate_research.report.values import Attribution, CurvePoint, Day, HoldTimes
from tollgate_research.report.wording import MINUS, Wording, hold_bins, plural

_MINUTE_US, _HOUR_US = 60_000_000, 3_600_000_000
_TIME_STEPS_US = (
    *(count * _MINUTE_US for count in (1, 2, 5, 10, 15, 30)),
    *(count * _HOUR_US for count in (1, 2, 3, 6, 12)),
    *(count * DAY_US for count in (1, 2, 7, 14, 30, 91, 182, 365, 1_826)),
)
# Width of a label on the time axis with the room it needs, and height from one amount to the next.
_TIME_LABEL, _AMOUNT_LABEL = 90.0, 44.0
# Room for what stands under the plot.
_UNDER = 24.0
# From its end a bar's own amount stands off by this.
_BESIDE = 5.0
_LETTER = 6.8
# So that plots over the same time, one under the other, begin at the same place for most amounts.
_LEFT_MIN = 52.0
# Room for the name of a line.
_ASIDE = 110.0


@dataclass(frozen=True, slots=True)
class Size:
    """How large a plot is drawn; letters are the same on all."""

    width: float
    height: float


WIDE, HALF, NARROW = Size(960, 260), Size(450, 240), Size(340, 220)


@dataclass(frozen=True, slots=True)
class _Frame:
    """The part of a drawing that the data has, with its scale of amounts."""

    size: Size
    left: float
    amounts: svg.Scale
    marks: tuple[float, ...]
    labels: tuple[str, ...]

    @property
    def right(self) -> float:
        return self.size.width - 8

    @property
    def bottom(self) -> float:
        return self.amounts.start

    def grid(self) -> list[str]:
        """Return the lines of the amounts and what they are."""
        drawn = []
        for mark, label in zip(self.marks, self.labels, strict=True):
            y = self.amounts(mark)
            drawn.append(svg.line(self.left, y, self.right, y, "zero" if not mark else "grid"))
            drawn.append(svg.text(self.left - 6, y + 4, label, anchor="end"))
        return drawn


def _frame(size: Size, low: float, high: float, top: float = 12, *, whole: bool = False) -> _Frame:
    marks = svg.ticks(low, high, max(int((size.height - top - _UNDER) / _AMOUNT_LABEL), 2), whole=whole)
    step = marks[1] - marks[0]
    places = next((places for places in range(9) if abs(round(step, places) - step) < step / 1_000), 9)
    labels = tuple(f"{mark or 0.0:,.{places}f}".replace("-", MINUS) for mark in marks)
    scale = svg.Scale(marks[0], marks[-1], size.height - _UNDER, top)
    return _Frame(size, max(max(map(len, labels)) * _LETTER + 10, _LEFT_MIN), scale, tuple(marks), labels)


def equity(curve: Sequence[CurvePoint], wording: Wording, size: Size) -> str:
    """Draw the equity over time, and beside it what it would be without the transfers of the span, if any."""
    values = [float(point.equity) for point in curve]
    without = [float(point.equity - point.transfers + curve[0].transfers) for point in curve]
    frame = _frame(size, min(values + without), max(values + without))
    times = _times(curve, frame)
    line = _line(curve, values, times, frame)
    parts = [*frame.grid(), *_time_axis(times, frame)]
    if without != values:
        aside = _line(curve, without, times, frame)
        # Under the lowest of the stretch that the words are as long as.
        lowest = max(y for x, y in aside if x >= aside[-1][0] - _ASIDE)
        name = svg.text(aside[-1][0], min(lowest + 16, frame.bottom - 4), "without transfers", anchor="end")
        parts += [svg.path(aside, "without"), name]
    parts += [svg.path(line, "curve"), svg.element("circle", cx=line[-1][0], cy=line[-1][1], r=3.5, class_="end")]
    says = f"Equity from {wording.money(curve[0].equity)} to {wording.money(curve[-1].equity)}"
    return svg.picture(size.width, size.height, says, parts)


def _line(
    curve: Sequence[CurvePoint], values: Sequence[float], times: svg.Scale, frame: _Frame
) -> list[tuple[float, float]]:
    return [(times(point.ts_us), frame.amounts(value)) for point, value in zip(curve, values, strict=True)]


def drawdown(curve: Sequence[CurvePoint], wording: Wording, size: Size) -> str:
    """Draw how far the equity was below its highest, hanging down."""
    values = [-float(point.drawdown) for point in curve]
    frame = _frame(size, min(values), 0.0)
    times = _times(curve, frame)
    line = _line(curve, values, times, frame)
    zero = frame.amounts(0.0)
    parts = [
        *frame.grid(),
        *_time_axis(times, frame),
        svg.path(line, "fall-area", closed_at=zero),
        svg.path(line, "fall"),
    ]
    says = f"Deepest fall {wording.money(max(point.drawdown for point in curve))}"
    return svg.picture(size.width, size.height, says, parts)


def _times(curve: Sequence[CurvePoint], frame: _Frame) -> svg.Scale:
    return svg.Scale(curve[0].ts_us, max(curve[-1].ts_us, curve[0].ts_us + 1), frame.left + 2, frame.right - 4)


def _time_axis(times: svg.Scale, frame: _Frame) -> list[str]:
    room = max(int((frame.right - frame.left) / _TIME_LABEL), 2)
    spread_us = int(times.high - times.low)
    step_us = next((step for step in _TIME_STEPS_US if spread_us / step <= room), _TIME_STEPS_US[-1])
    first = -(-int(times.low) // step_us) * step_us
    drawn = []
    for moment_us in range(first, int(times.high) + 1, step_us):
        x = times(moment_us)
        # Half a label must be there on either side, or it is cut off.
        if frame.left + 14 <= x <= frame.right - 14:
            drawn.append(svg.line(x, frame.bottom, x, frame.bottom + 4, "grid"))
            drawn.append(svg.text(x, frame.bottom + 18, _moment(moment_us, step_us), anchor="middle"))
    return drawn


def _moment(ts_us: int, step_us: int) -> str:
    moment = datetime.fromtimestamp(ts_us // 1_000_000, UTC)
    if step_us >= 91 * DAY_US:
        return f"{moment:%b %Y}"
    if step_us >= DAY_US or ts_us % DAY_US == 0:
        return f"{moment.day} {moment:%b}"
    return f"{moment:%H:%M}"


def daily(days: Sequence[Day], wording: Wording, size: Size) -> str:
    """Draw the result of each day as a bar from zero."""
    values = [float(day.parts.net) for day in days]
    frame = _frame(size, min(*values, 0.0), max(*values, 0.0))
    first_us, last_us = day_us(days[0].day), day_us(days[-1].day)
    times = svg.Scale(first_us, last_us + DAY_US, frame.left + 2, frame.right - 4)
    width = (times.end - times.start) / ((last_us - first_us) / DAY_US + 1)
    # Three days side by side look better as bars than as blocks.
    thickness = min(width * 0.72, 36.0)
    bars = [
        _upright(frame, times(day_us(day.day)) + (width - thickness) / 2, thickness, value, _day_tip(day, wording))
        for day, value in zip(days, values, strict=True)
    ]
    middle = svg.Scale(times.low, times.high, times.start + width / 2, times.end + width / 2)
    parts = [*frame.grid(), *bars, *_day_axis(days, middle, frame)]
    won = sum(value > 0 for value in values)
    return svg.picture(size.width, size.height, f"Results of {plural(len(days), 'day')}, {won} of them gains", parts)


def _day_tip(day: Day, wording: Wording) -> str:
    return f"{day.day}: {wording.money(day.parts.net, signed=True)}"


def _day_axis(days: Sequence[Day], middle: svg.Scale, frame: _Frame) -> list[str]:
    room = max(int((frame.right - frame.left) / _TIME_LABEL), 1)
    first_us, last_us = day_us(days[0].day), day_us(days[-1].day)
    count = (last_us - first_us) // DAY_US + 1
    step_us = -(-count // room) * DAY_US
    shown = [day_of(moment_us) for moment_us in range(first_us, last_us + 1, step_us)]
    return [svg.text(middle(day_us(day)), frame.bottom + 18, f"{day.day} {day:%b}", anchor="middle") for day in shown]


def _upright(frame: _Frame, x: float, thickness: float, value: float, tip: str, begin: float = 0.0) -> str:
    top, bottom = sorted((frame.amounts(begin), frame.amounts(begin + value)))
    return svg.bar(x, top, thickness, bottom - top, "gain" if value >= 0 else "loss", tip)


def hold_times(times: HoldTimes, size: Size) -> str:
    """Draw how many trips were held how long."""
    bins = hold_bins(times)
    total = sum(count for _, count in bins)
    frame = _frame(size, 0.0, float(max(count for _, count in bins)), whole=True)
    width = (frame.right - frame.left) / len(bins)
    thickness = min(width * 0.72, 56.0)
    parts = frame.grid()
    # Where the names would run into each other, some of them are enough.
    every = math.ceil(max(len(name) for name, _ in bins) * _LETTER / width)
    for place, (name, count) in enumerate(bins):
        middle = frame.left + (place + 0.5) * width
        y = frame.amounts(count)
        tip = f"{name}: {plural(count, 'trip')}, {100 * count / total:.1f} %"
        if count:
            parts.append(svg.bar(middle - thickness / 2, y, thickness, frame.bottom - y, "plain", tip))
        if place % every == 0:
            parts.append(svg.text(middle, frame.bottom + 18, name, anchor="middle"))
    return svg.picture(size.width, size.height, f"Hold times of {plural(total, 'round trip')}", parts)


def waterfall(result: Attribution, wording: Wording, size: Size) -> str:
    """Draw how the price edge became the net result, step by step."""
    steps = [("Edge", result.edge), ("Slippage", -result.slippage), ("Fees", -result.fees), ("Funding", result.funding)]
    # Most desks have none of it, and then it is no step.
    if result.other:
        steps.append(("Other", result.other))
    levels = [0.0]
    for _, step in steps:
        levels.append(levels[-1] + float(step))
    frame = _frame(size, min(levels), max(levels), top=22)
    width = (frame.right - frame.left) / (len(steps) + 1)
    thickness = min(width * 0.62, 64.0)
    short = _fitting(wording, [amount for _, amount in (*steps, ("Net", result.net))], width)
    places = [frame.left + (place + 0.5) * width for place in range(len(steps) + 1)]
    parts = frame.grid()
    for (x, y), level in zip(pairwise(places), levels[1:], strict=True):
        parts.append(svg.line(x, frame.amounts(level), y, frame.amounts(level), "step"))
    for (name, step), x, begin in zip((*steps, ("Net", result.net)), places, (*levels[:-1], 0.0), strict=True):
        parts += _step(frame, x, thickness, (name, short.amount(step, signed=True)), step, begin, wording)
    says = f"Edge {wording.amount(result.edge)} became net {wording.money(result.net)}"
    return svg.picture(size.width, size.height, says, parts)


def _fitting(wording: Wording, amounts: Sequence[Decimal], width: float) -> Wording:
    """Return the wording with so many places less that no amount runs into the next; two less are enough to read."""
    for places in range(wording.places, max(wording.places - 2, 0), -1):
        fewer = replace(wording, places=places)
        longest = max(len(fewer.amount(amount, signed=True)) for amount in amounts)
        if (longest + 1) * _LETTER <= width:
            return fewer
    return replace(wording, places=max(wording.places - 2, 0))


def _step(
    frame: _Frame, x: float, thickness: float, words: tuple[str, str], step: Decimal, begin: float, wording: Wording
) -> list[str]:
    (name, amount), value = words, float(step)
    top = min(frame.amounts(begin), frame.amounts(begin + value))
    return [
        _upright(frame, x - thickness / 2, thickness, value, f"{name}: {wording.money(step, signed=True)}", begin),
        svg.text(x, top - _BESIDE, amount, class_="amount", anchor="middle"),
        svg.text(x, frame.bottom + 18, name, anchor="middle"),
    ]
