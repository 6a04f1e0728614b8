"""When the alerts of what every service has fire, and when they do not."""

from tests.deploy.prometheus.cases import Case, Series, firing, histogram, live, scraped, silent, standing_by

SERVICES = ("marketdata", "strategy", "risk", "execution", "ledger")


def all_live(*services: str) -> Series:
    """Return that these services are live."""
    return {name: values for service in services for name, values in live(service).items()}


def risk(metric: str, values: str | float, instance: int = 1, **labels: str) -> Series:
    """Return a series of risk, which stands here for any service."""
    return scraped(metric, "risk", values, instance, **labels)


def quantiles(metric: str, below_half: str) -> Series:
    """Return how many of a hundred with each scrape took less than half a second; the others took longer than two."""
    buckets = {"0.5": below_half, "2.5": below_half, "5.0": "0+100x60", "+Inf": "0+100x60"}
    return histogram(metric, "risk", buckets)


def tape(used: float, room: float) -> Series:
    """Return how full the tape is."""
    return {**risk(USED, used), **risk(ROOM, room)}


def stood_by(values: str) -> Series:
    """Return when a second risk stood by; the active one is another."""
    return {**risk(BY, values, 2), **risk(LIVE, values.replace("1x", "0x"), 2)}


def snapshot(kept: float, read: float) -> Series:
    """Return where the newest snapshot and the reader are."""
    return {**risk("tollgate_snapshot_sequence", kept), **risk("tollgate_tape_position", read)}


LIVE, BY, STARTED = "tollgate_live", "tollgate_standing_by", "process_start_time_seconds"
USED, ROOM = "tollgate_tape_bytes", "tollgate_tape_bytes_max"
LAG = "tollgate_tape_lag_messages"
CYCLE = "tollgate_cycle_timestamp_seconds"
DEAD, UNRECORDED = "tollgate_dead_letters_total", "tollgate_operator_calls_unrecorded_total"
FREE = "tollgate_state_free_bytes"
GIB = 1 << 30
TWO_READERS = (live("risk"), risk(CYCLE, 300), live("ledger"), scraped(CYCLE, "ledger", "0+15x60"))

THERE = (
    Case("TollgateNothingScraped", "nothing but other jobs is scraped", {'up{job="prometheus"}': "1x40"}, ({},)),
    silent("TollgateNothingScraped", "something is scraped", live("risk")),
    silent("TollgateNothingScraped", "something is scraped and does not answer", risk("up", 0)),
    firing("TollgateServiceMissing", "four of five", all_live(*SERVICES[:4])),
    silent("TollgateServiceMissing", "five", all_live(*SERVICES)),
    silent(
        "TollgateServiceMissing", "one of five does not answer", all_live(*SERVICES[:4]), scraped("up", "ledger", 0)
    ),
    firing("TollgateServiceNotLive", "it catches up", risk("up", 1), risk(LIVE, 0), service="risk"),
    firing("TollgateServiceNotLive", "it does not answer", risk("up", 0), service="risk"),
    firing("TollgateServiceNotLive", "two stand by", standing_by("risk", 1), standing_by("risk", 2), service="risk"),
    silent("TollgateServiceNotLive", "live", live("risk")),
    silent("TollgateServiceNotLive", "one of two is live", live("risk"), standing_by("risk")),
    silent("TollgateServiceNotLive", "one of two is live, the other is gone", live("risk"), risk("up", 0, 2)),
    silent("TollgateServiceNotLive", "a start of some seconds", risk("up", 1), risk(LIVE, "1x37 0x1 1x20")),
    firing("TollgateTargetDown", "it does not answer", risk("up", 0), service="risk"),
    firing(
        "TollgateTargetDown",
        "the one that stands by does not answer",
        live("risk"),
        risk("up", 0, 2),
        instance="risk-2.@",
    ),
    silent("TollgateTargetDown", "it answers", live("risk")),
    firing(
        "TollgateRestartsRepeatedly", "each minute", risk(STARTED, "1x4 60x4 120x4 180x4 240x4 300x40"), service="risk"
    ),
    firing(
        "TollgateRestartsRepeatedly",
        "two instances in turn",
        risk(STARTED, "1x4 60x4 120x60"),
        risk(STARTED, "1x8 90x8 150x60", 2),
        service="risk",
    ),
    silent(
        "TollgateRestartsRepeatedly", "a rolling restart", risk(STARTED, "1x20 300x40"), risk(STARTED, "1x22 330x40", 2)
    ),
    silent("TollgateRestartsRepeatedly", "never", risk(STARTED, 1)),
    firing(
        "TollgateStandbyLost", "it stood by for long", live("risk"), stood_by("1x200 stale"), at="58m", service="risk"
    ),
    firing(
        "TollgateStandbyLost",
        "the active one still says that it stands by",
        *(risk(LIVE, 1), risk(BY, 1), stood_by("1x200 stale")),
        at="58m",
        service="risk",
    ),
    silent("TollgateStandbyLost", "it still does", live("risk"), standing_by("risk"), at="58m"),
    silent("TollgateStandbyLost", "there never was one", live("risk"), at="58m"),
    silent("TollgateStandbyLost", "the only one still says that it stands by", risk(LIVE, 1), risk(BY, 1), at="58m"),
    silent("TollgateStandbyLost", "a rolling restart", live("risk"), stood_by("_x100 1x4 0x200"), at="58m"),
    silent(
        "TollgateStandbyLost",
        "they have changed places",
        *(risk(LIVE, "1x200 0x200"), risk(BY, "0x200 1x200")),
        *(risk(LIVE, "0x200 1x200", 2), risk(BY, "1x200 0x200", 2)),
        at="70m",
    ),
    firing("TollgateFileDescriptorsLow", "nearly all", risk("process_open_fds", 950), risk("process_max_fds", 1000)),
    silent("TollgateFileDescriptorsLow", "a few", risk("process_open_fds", 25), risk("process_max_fds", 1000)),
)
TAPE = (
    firing("TollgateTapeFilling", "at 75 %", tape(75, 100)),
    silent("TollgateTapeFilling", "at 60 %", tape(60, 100)),
    silent("TollgateTapeFilling", "not measured yet", tape(0, 0)),
    silent("TollgateTapeFilling", "without a maximum", tape(75, -1)),
    firing("TollgateTapeNearlyFull", "at 90 %", tape(90, 100)),
    silent("TollgateTapeNearlyFull", "at 75 %", tape(75, 100)),
    firing(
        "TollgateTapeNearlyFull",
        "whichever service says so",
        tape(90, 100),
        scraped(USED, "strategy", 0),
        scraped(ROOM, "strategy", 0),
    ),
    firing(
        "TollgateTapeSlow",
        "a tenth is slow",
        quantiles("tollgate_tape_append_seconds", "0+90x60"),
        at="12m",
        service="risk",
    ),
    silent(
        "TollgateTapeSlow",
        "one of a thousand is slow",
        quantiles("tollgate_tape_append_seconds", "0+99.9x60"),
        at="12m",
    ),
    firing(
        "TollgateTapeLag",
        "it does not keep up",
        *(live("risk"), risk(LAG, 5000)),
        *(live("ledger"), scraped(LAG, "ledger", 0)),
        service="risk",
    ),
    silent("TollgateTapeLag", "some messages", live("risk"), risk(LAG, 50)),
    silent(
        "TollgateTapeLag",
        "one that is not live catches up",
        *(standing_by("risk"), risk(LAG, 5000, 2)),
    ),
    firing("TollgateReaderStuck", "one of two services", *TWO_READERS, service="risk"),
    silent("TollgateReaderStuck", "it follows", live("risk"), risk(CYCLE, "0+15x60")),
    silent("TollgateReaderStuck", "there was no cycle yet", live("risk"), risk(CYCLE, 0)),
    silent("TollgateReaderStuck", "the ledger that stands by does not read", standing_by("ledger"), risk(CYCLE, 0, 2)),
    silent("TollgateReaderStuck", "it catches up", standing_by("risk"), risk(CYCLE, 300, 2)),
    firing("TollgateCycleStopped", "for minutes", risk(CYCLE, 300), scraped(CYCLE, "ledger", 302)),
    silent("TollgateCycleStopped", "it beats", risk(CYCLE, "0+15x60")),
    silent("TollgateCycleStopped", "one reader is behind", risk(CYCLE, 300), scraped(CYCLE, "ledger", "0+15x60")),
    silent("TollgateCycleStopped", "it has never beaten", risk(CYCLE, 0)),
    firing(
        "TollgateCycleLag",
        "a tenth is late",
        quantiles("tollgate_cycle_lag_seconds", "0+90x60"),
        at="12m",
        service="risk",
    ),
    silent(
        "TollgateCycleLag", "one of a thousand is late", quantiles("tollgate_cycle_lag_seconds", "0+99.9x60"), at="12m"
    ),
    firing("TollgateSnapshotOld", "none is taken", snapshot(1_000, 50_000), at="20m", service="risk"),
    silent("TollgateSnapshotOld", "they are taken", snapshot(49_000, 50_000), at="20m"),
    silent("TollgateSnapshotOld", "just started on a long tape", snapshot(0, 50_000), at="10m"),
    firing("TollgateDeadLetters", "the very first one", risk(DEAD, "_x20 1x20", reason="invalid"), reason="invalid"),
    firing(
        "TollgateDeadLetters",
        "another one later",
        risk(DEAD, "1x300 2x100", reason="invalid"),
        at="80m",
        reason="invalid",
    ),
    silent("TollgateDeadLetters", "more than an hour ago", risk(DEAD, 1, reason="invalid"), at="90m"),
)
HOSTS = (
    firing("TollgateDiskLow", "at half a GiB", risk(FREE, GIB // 2), live("risk"), service="risk"),
    silent("TollgateDiskLow", "at 50 GiB", risk(FREE, 50 * GIB), live("risk")),
    silent(
        "TollgateDiskLow",
        "one that stands by has not measured",
        live("risk"),
        risk(FREE, 50 * GIB),
        standing_by("risk"),
        risk(FREE, 0, 2),
    ),
    firing("TollgateDiskNearlyFull", "nothing at all", risk(FREE, 0), live("risk"), service="risk"),
    silent("TollgateDiskNearlyFull", "one that stands by has not measured", standing_by("risk"), risk(FREE, 0, 2)),
    silent("TollgateDiskNearlyFull", "at half a GiB", risk(FREE, GIB // 2), live("risk")),
    firing("TollgateClockAhead", "by five seconds", risk(CYCLE, "5+15x60"), service="risk"),
    silent("TollgateClockAhead", "by nothing", risk(CYCLE, "0+15x60")),
    silent("TollgateClockAhead", "it has never beaten", risk(CYCLE, 0)),
    firing(
        "TollgateOperatorCallsUnrecorded", "the very first one", risk(UNRECORDED, "_x20 1x20", why="flood"), why="flood"
    ),
    silent("TollgateOperatorCallsUnrecorded", "long ago", risk(UNRECORDED, 1, why="flood"), at="20m"),
)
CASES = THERE + TAPE + HOSTS
