"""What the ledger tells of the books."""

from prometheus_client import Counter, Gauge, Histogram

from tollgate_chassis.telemetry.metrics import LATENCY_BUCKETS

BOOKS_EQUITY = Gauge("tollgate_books_equity_quote", "Equity in quote currency.")
BOOKS_DRAWDOWN = Gauge("tollgate_books_drawdown_quote", "Fall from the peak in quote currency.")
BOOKS_REALIZED = Gauge("tollgate_books_realized_quote", "Realized result since the opening, in quote currency.")
BOOKS_UNREALIZED = Gauge("tollgate_books_unrealized_quote", "Unrealized result of what is held, in quote currency.")
BOOKS_FEES = Gauge("tollgate_books_fees_quote", "Fees since the opening, in quote currency.")
BOOKS_TREASURY = Gauge("tollgate_books_treasury_quote", "Profit that was put aside, in quote currency.")
BOOKS_CASH = Gauge("tollgate_books_cash", "Cash that the books hold, in the currency's own unit.", ["currency"])
BOOKS_POSITION = Gauge("tollgate_books_position", "What is held, in base currency.", ["symbol"])
BOOKS_POSITIONS = Gauge("tollgate_books_open_positions", "Symbols of which anything is held.")
BOOKS_STALE_MARKS = Gauge("tollgate_books_stale_marks", "Positions that are valued at a price which is too old.")
LEDGER_OPEN = Gauge("tollgate_ledger_books_open", "1 where the books are open; 0 while they wait for their opening.")
LEDGER_DRIFTING = Gauge("tollgate_ledger_drifting_currencies", "Currencies in which books and venue differ.")
LEDGER_BOOKED_SECONDS = Histogram(
    "tollgate_ledger_booked_seconds", "Time from a fill on the tape to its being committed to the books.",
    buckets=LATENCY_BUCKETS,
)  # fmt: skip
LEDGER_SEAL_TIME = Gauge("tollgate_ledger_seal_timestamp_seconds", "When the books were last sealed; 0 before.")
SLIPPAGE_BPS = Histogram(
    "tollgate_slippage_bps", "Slippage of a fill against the price at the decision, in basis points; below zero won.",
    ["symbol"], buckets=(-50, -20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50, 100),
)  # fmt: skip
POSTGRES_BYTES = Gauge("tollgate_postgres_bytes", "Size of the desk's database.")
POSTGRES_CONNECTIONS = Gauge("tollgate_postgres_connections", "Connections to the desk's database, all users together.")
POSTGRES_CONNECTIONS_MAX = Gauge("tollgate_postgres_connections_max", "Connections that the server takes.")
LEDGER_ALARMS = Gauge(
    "tollgate_ledger_alarms", "What the books could not take as it came, since they began; of the active ledger.",
    ["reason"],
)  # fmt: skip
LEDGER_FEE_FINDINGS = Counter(
    "tollgate_ledger_fee_findings_total", "Fees that are not what the model of costs says.", ["finding"]
)
LEDGER_LAG = Gauge("tollgate_ledger_uncommitted_messages", "Messages applied and not committed to the books yet.")
LEDGER_READ_SECONDS = Histogram(
    "tollgate_ledger_read_seconds", "Time of one page read for a caller of the ledger.", ["read"],
    buckets=LATENCY_BUCKETS,
)  # fmt: skip
LEDGER_COMMIT_SECONDS = Histogram(
    "tollgate_ledger_commit_seconds", "Time of one commit of the books.", buckets=LATENCY_BUCKETS
)
