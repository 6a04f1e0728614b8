"""Drawing primitives: scales, ticks and elements of an SVG that stands within a page; the page gives it colours."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

_NICE = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Scale:
    """A line from values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return where a value lies."""
        spread = self.high - self.low
        return self.start if not spread else self.start + (value - self.low) / spread * (self.end - self.start)


def ticks(low: float, high: float, count: int, *, whole: bool = False) -> list[float]:
    """Return about ``count`` round values that enclose the two; ``whole`` ones for what is counted."""
    if high <= low:
        pad = abs(low) * 0.01 or 1.0
        low, high = low - pad, high + pad
    rough = (high - low) / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(nice * power for nice in _NICE if nice * power >= rough * 0.999)
    step = math.ceil(step) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def element(name: str, content: str = "", **attributes: object) -> str:
    """Return an element; an underscore at an attribute's end is dropped, within it is a hyphen."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_plainly(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{content}</{name}>"


def _plainly(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def text(x: float, y: float, words: str, class_: str = "axis", anchor: str = "start") -> str:
    """Return words at a place."""
    return element("text", escape(words), x=x, y=y, class_=class_, text_anchor=anchor)


def bar(x: float, y: float, width: float, height: float, class_: str, tip: str) -> str:
    """Return an upright rectangle that says its value when pointed at."""
    shape = {"x": x, "y": y, "width": max(width, 0.5), "height": max(height, 0.5)}
    return element("rect", element("title", escape(tip)), **shape, class_=class_, rx=min(width / 4, 2.0))


def path(points: Sequence[tuple[float, float]], class_: str, closed_at: float | None = None) -> str:
    """Return a line through points; with ``closed_at`` the area between it and that height."""
    if not points:
        return ""
    steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    if closed_at is None:
        return element("path", d=f"M{steps}", class_=class_)
    return element(
        "path", d=f"M{points[0][0]:.1f} {closed_at:.1f}L{steps}L{points[-1][0]:.1f} {closed_at:.1f}Z", class_=class_
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """Return a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def picture(width: float, height: float, says: str, parts: Iterable[str]) -> str:
    """Return the whole drawing, which scales with its place and says to those who cannot see it what it shows."""
    return element("svg", "".join(parts), viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=says)
