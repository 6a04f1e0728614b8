"""What is known of a stretch of measuring, of the platform and of the bare chain alike."""

from dataclasses import dataclass, field

from tests.bench.results import median, percentile

# From the venue's stamp of the quote to its stamp of the order; the broker's times are those of storing.
LEGS = (
    "venue quote to marketdata speaking",
    "speaking to quote stored",
    "quote stored to intent stored",
    "intent stored to decision stored",
    "decision stored to write-ahead begun",
    "write-ahead commit",
    "sent to received by the venue",
)


@dataclass(frozen=True, slots=True)
class Way:
    """One order's way, as moments in microseconds of the host's one clock; one more moment than there are legs."""

    moments_us: tuple[int, ...]

    @property
    def latency_ms(self) -> float:
        """From the quote's stamp to the order's."""
        return (self.moments_us[-1] - self.moments_us[0]) / 1_000

    def leg_ms(self, number: int) -> float:
        """How long one leg took."""
        return (self.moments_us[number + 1] - self.moments_us[number]) / 1_000


@dataclass(frozen=True, slots=True)
class Shape:
    """What the bare chain copies of the platform: message sizes in bytes, and how often an intent is written."""

    quote_bytes: int = 700
    intent_bytes: int = 1_000
    decision_bytes: int = 1_200
    intents_per_s: float = 15.0


@dataclass(slots=True)
class Segment:
    """All ways of one stretch."""

    ways: list[Way] = field(default_factory=list)
    messages_per_s: float = 0.0
    """On the tape, all writers together."""

    @property
    def latencies_ms(self) -> list[float]:
        """Quote-to-order latencies."""
        return [way.latency_ms for way in self.ways]

    def at(self, percent: float) -> float:
        """Return a percentile of the latency, in milliseconds."""
        return percentile(self.latencies_ms, percent)

    def leg_medians_ms(self) -> list[float]:
        """Return the median of each leg."""
        return [median([way.leg_ms(number) for way in self.ways]) for number in range(len(LEGS))]


def joined(segments: list[Segment]) -> Segment:
    """Return several stretches as one."""
    ways = [way for segment in segments for way in segment.ways]
    return Segment(ways, sum(segment.messages_per_s for segment in segments) / len(segments))
