"""What every service tells of the tape and of itself."""

from prometheus_client import Counter, Gauge, Histogram

from tollgate_chassis.telemetry.metrics import LATENCY_BUCKETS

BUILD_INFO = Gauge("tollgate_build_info", "Always 1: which version this is.", ["version"])
TAPE_POSITION = Gauge("tollgate_tape_position", "Last tape sequence that this service has applied.")
TAPE_TIP = Gauge("tollgate_tape_tip", "Last tape sequence that this service knows of.")
TAPE_LAG = Gauge("tollgate_tape_lag_messages", "Messages on the tape that this service has not applied yet.")
TAPE_MESSAGES = Counter("tollgate_tape_messages_total", "Messages applied.", ["kind"])
TAPE_APPENDS = Counter("tollgate_tape_appends_total", "Messages appended.", ["kind"])
TAPE_APPEND_SECONDS = Histogram(
    "tollgate_tape_append_seconds", "Time from sending an append to the broker's word that it is on disk.",
    buckets=LATENCY_BUCKETS,
)  # fmt: skip
STEP_SECONDS = Histogram("tollgate_step_seconds", "Time of one step of the core.", buckets=LATENCY_BUCKETS)
DUPLICATES = Counter("tollgate_tape_duplicates_total", "Messages seen before and not applied again.", ["verdict"])
DEAD_LETTERS = Counter("tollgate_dead_letters_total", "Messages that could not be read.", ["reason"])
CYCLE = Gauge("tollgate_cycle_id", "Number of the newest cycle of the tape's clock that this service has applied.")
CYCLE_TIME = Gauge("tollgate_cycle_timestamp_seconds", "When that cycle began, by the tape's clock; 0 before.")
CYCLE_SECONDS = Histogram(
    "tollgate_cycle_seconds", "Time that this service has worked in one cycle of the tape's clock.",
    buckets=LATENCY_BUCKETS,
)  # fmt: skip
CYCLE_LAG_SECONDS = Histogram(
    "tollgate_cycle_lag_seconds", "Time from the beginning of a cycle to its being applied here.",
    buckets=LATENCY_BUCKETS,
)  # fmt: skip
TAPE_BYTES = Gauge("tollgate_tape_bytes", "Size of the tape at the broker.")
TAPE_BYTES_MAX = Gauge("tollgate_tape_bytes_max", "Size at which the tape takes nothing more.")
STATE_FREE_BYTES = Gauge("tollgate_state_free_bytes", "What is free on the disk of the service's state directory.")
SNAPSHOT_SEQUENCE = Gauge("tollgate_snapshot_sequence", "Tape sequence of the newest snapshot.")
SNAPSHOT_TIME = Gauge("tollgate_snapshot_timestamp_seconds", "When the newest snapshot was taken; 0 before the first.")
RECOVERY_SECONDS = Gauge("tollgate_recovery_seconds", "Time that the last start took from snapshot to live.")
LIVE = Gauge("tollgate_live", "1 once the service has caught up with the tape.")
STANDING_BY = Gauge("tollgate_standing_by", "1 while another instance of the service is active.")
