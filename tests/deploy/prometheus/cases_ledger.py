"""When the alerts of the books fire, and when they do not."""

from tests.deploy.prometheus.cases import Series, firing, histogram, live, scraped, silent, standing_by


def ledger(metric: str, values: str | float, instance: int = 1, **labels: str) -> Series:
    """Return a series of the ledger."""
    return scraped(metric, "ledger", values, instance, **labels)


def alarms(reason: str, values: str | float) -> Series:
    """Return how often the books could not take a message for this reason."""
    return ledger("tollgate_ledger_alarms", values, reason=reason)


def fees(values: str | float, finding: str = "dearer") -> Series:
    """Return how many fees were not what the model says."""
    return ledger("tollgate_ledger_fee_findings_total", values, finding=finding)


def connections(used: float, room: float) -> Series:
    """Return how many connections the database has, and takes."""
    return {**ledger("tollgate_postgres_connections", used), **ledger(ROOM, room)}


def booked(below_one_s: str) -> Series:
    """Return how many of the fills, a hundred with each scrape, were booked within a second."""
    return histogram(
        "tollgate_ledger_booked_seconds", "ledger", {"1.0": below_one_s, "5.0": "0+100x60", "+Inf": "0+100x60"}
    )


def slippage(below_ten: str, all_of_them: str) -> Series:
    """Return how many fills slipped less than ten basis points, and how many there were."""
    buckets = {"-1.0": "0x400", "10.0": below_ten, "50.0": all_of_them, "+Inf": all_of_them}
    return histogram("tollgate_slippage_bps", "ledger", buckets, symbol="BTC-USDT")


ROOM = "tollgate_postgres_connections_max"
OPEN = "tollgate_ledger_books_open"
SEAL = "tollgate_ledger_seal_timestamp_seconds"
BEHIND = "tollgate_ledger_uncommitted_messages"
COMMITS, READ = "tollgate_ledger_commit_seconds_count", "tollgate_tape_messages_total"
STALE = "tollgate_books_stale_marks"

MESSAGES = (
    firing("TollgateLedgerAlarm", "the first one", alarms("oversold", "0x20 1x30"), reason="oversold"),
    firing("TollgateLedgerAlarm", "one from before anything was scraped", alarms("oversold", 1), reason="oversold"),
    firing("TollgateLedgerAlarm", "another one later", alarms("oversold", "1x300 2x100"), at="80m", reason="oversold"),
    silent("TollgateLedgerAlarm", "none", alarms("oversold", 0)),
    silent("TollgateLedgerAlarm", "more than an hour ago", alarms("oversold", 1), at="90m"),
    silent("TollgateLedgerAlarm", "a fee in suspense is not one", alarms("fee_currency", 1)),
    firing("TollgateLedgerFeeInSuspense", "the first one", alarms("fee_currency", "0x20 1x30")),
    silent("TollgateLedgerFeeInSuspense", "none", alarms("fee_currency", 0)),
    silent("TollgateLedgerFeeInSuspense", "more than an hour ago", alarms("fee_currency", 1), at="90m"),
    firing("TollgateLedgerFeesDearer", "the first one", fees("0x20 1x30")),
    silent("TollgateLedgerFeesDearer", "cheaper ones", fees("0x20 1x30", "cheaper")),
    silent("TollgateLedgerFeesDearer", "more than an hour ago", fees("0x20 1x400"), at="90m"),
)
KEPT = (
    firing("TollgateLedgerGone", "others of the desk are there", live("risk")),
    firing("TollgateLedgerGone", "only one that stands by is there", live("risk"), standing_by("ledger")),
    silent("TollgateLedgerGone", "one is active", live("ledger"), alarms("oversold", 0)),
    silent("TollgateLedgerGone", "for less than a minute", live("risk"), alarms("oversold", "0x37 stale"), at="9m45s"),
    firing("TollgateLedgerBehind", "thousands", ledger(BEHIND, 2000)),
    silent("TollgateLedgerBehind", "a batch", ledger(BEHIND, 200)),
    firing("TollgateLedgerNotOpen", "for minutes", ledger(OPEN, 0), live("ledger")),
    silent("TollgateLedgerNotOpen", "open", ledger(OPEN, 1), live("ledger")),
    silent(
        "TollgateLedgerNotOpen",
        "one stands by",
        ledger(OPEN, 1),
        live("ledger"),
        ledger(OPEN, 0, 2),
        standing_by("ledger"),
    ),
    firing(
        "TollgateLedgerNotCommitting",
        "it reads on",
        ledger(COMMITS, 9),
        ledger(READ, "0+60x60", kind="clock"),
        live("ledger"),
    ),
    silent(
        "TollgateLedgerNotCommitting",
        "it commits",
        ledger(COMMITS, "0+5x60"),
        ledger(READ, "0+60x60", kind="clock"),
        live("ledger"),
    ),
    silent(
        "TollgateLedgerNotCommitting",
        "the tape rests",
        ledger(COMMITS, 9),
        ledger(READ, 50, kind="clock"),
        live("ledger"),
    ),
    silent(
        "TollgateLedgerNotCommitting",
        "it stands by",
        ledger(COMMITS, 0, 2),
        ledger(READ, 0, 2, kind="clock"),
        standing_by("ledger"),
    ),
    silent(
        "TollgateLedgerNotCommitting",
        "it steps again what is archived, and is not live",
        *(ledger(COMMITS, 0), ledger(READ, "0+60x60", kind="clock"), ledger("tollgate_live", 0)),
    ),
    firing("TollgateLedgerBookedLate", "a tenth is late", booked("0+90x60"), at="12m"),
    silent("TollgateLedgerBookedLate", "one of a thousand is late", booked("0+99.9x60"), at="12m"),
    firing("TollgateSealOld", "for more than an hour", ledger(SEAL, 60), at="70m"),
    silent("TollgateSealOld", "each five minutes", ledger(SEAL, "0+15x400"), at="70m"),
    silent("TollgateSealOld", "never is not for fifty years", ledger(SEAL, 0), at="70m"),
    firing("TollgateBooksNeverSealed", "live for long", ledger(SEAL, 0), live("ledger"), at="20m"),
    silent("TollgateBooksNeverSealed", "just started", ledger(SEAL, 0), live("ledger"), at="10m"),
    silent("TollgateBooksNeverSealed", "sealed once", ledger(SEAL, 60), live("ledger"), at="20m"),
    silent(
        "TollgateBooksNeverSealed",
        "one that stands by seals nothing",
        ledger(SEAL, 0, 2),
        standing_by("ledger"),
        at="20m",
    ),
    firing("TollgateBooksStaleMarks", "for minutes", ledger(STALE, 1)),
    silent("TollgateBooksStaleMarks", "none", ledger(STALE, 0)),
    silent("TollgateBooksStaleMarks", "for a minute", ledger(STALE, "0x35 1x5")),
)
DATABASE = (
    firing("TollgatePostgresConnections", "nearly all", connections(55, 60)),
    silent("TollgatePostgresConnections", "a few", connections(4, 60)),
    silent("TollgatePostgresConnections", "not measured yet", connections(0, 0)),
    firing("TollgatePostgresNotMeasured", "for minutes", connections(0, 0), live("ledger")),
    silent("TollgatePostgresNotMeasured", "measured", connections(4, 60), live("ledger")),
    silent("TollgatePostgresNotMeasured", "one stands by", ledger(ROOM, 0, 2), standing_by("ledger")),
    firing("TollgateSlippageHigh", "half of many", slippage("0+1x400", "0+4x400"), at="70m", symbol="BTC-USDT"),
    silent("TollgateSlippageHigh", "a quarter of many", slippage("0+3x400", "0+4x400"), at="70m"),
    silent("TollgateSlippageHigh", "both of two", slippage("0x400", "0x100 1x20 2x300"), at="70m"),
)
CASES = MESSAGES + KEPT + DATABASE
