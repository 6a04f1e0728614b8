"""What every service rests on: the tape, the database, the processes and their disks."""

from deploy.grafana.boards.panels import (
    GREEN,
    GREY,
    ORANGE,
    RED,
    YELLOW,
    Board,
    Look,
    Query,
    Row,
    bars,
    lines,
    stat,
    states,
    table,
)
from deploy.grafana.boards.queries import age, each, grown, or_zero_for_each, rate, value
from deploy.grafana.boards.words import SERVICES_LIVE, latencies, tails

_LIVE, _BEHIND, _DISK = "a-service-is-not-live", "a-reader-is-behind", "disk-full"
_FILLED = f"{each('tollgate_tape_bytes', '')} / ({each('tollgate_tape_bytes_max', '')} > 0)"
_CONNECTED = f"{value('tollgate_postgres_connections')} / ({value('tollgate_postgres_connections_max')} > 0)"
_FREE = value("tollgate_state_free_bytes", "service")
_ROOM = Look(steps=((0.7, YELLOW), (0.85, RED)), decimals=1)
_RESTARTS = 'sum by (service) (changes(process_start_time_seconds{desk="$desk",job="tollgate"}[$__range]))'
# One that stands by is not live, and is well all the same.
_STANDS_BY = '(tollgate_standing_by{desk="$desk"} > bool tollgate_live{desk="$desk"})'
_ROLE = (
    f'max by (service, instance) (2 * tollgate_live{{desk="$desk"}} + {_STANDS_BY} + up{{desk="$desk",job="tollgate"}})'
    ' or max by (service, instance) (up{desk="$desk",job="tollgate"})'
)
_ROLE_LOOK = Look(words={0: ("DOWN", RED), 1: ("CATCHING UP", ORANGE), 2: ("STANDING BY", GREY), 3: ("ACTIVE", GREEN)})
_FILES = (
    'max by (service, instance) (process_open_fds{desk="$desk",job="tollgate"}'
    ' / process_max_fds{desk="$desk",job="tollgate"})'
)

_NOW = Row(
    "Now",
    (
        stat(
            "Services live",
            "Of the five, how many have an active instance.",
            "none",
            SERVICES_LIVE,
            width=4,
            look=Look(steps=((5, GREEN),), below=RED),
            runbook=_LIVE,
        ),
        stat(
            "Standing by",
            "Instances that would take over. None is well where none is wanted.",
            "none",
            f"sum({_STANDS_BY})",
            width=4,
            runbook=_LIVE,
        ),
        stat(
            "Tape",
            "How much of its room the tape has used. It never forgets: at 85 % take on no new risk.",
            "percentunit",
            _FILLED,
            width=4,
            look=_ROOM,
            runbook="tape-full",
        ),
        stat(
            "Database connections",
            "Of those that the server takes, how many are in use by the desk.",
            "percentunit",
            _CONNECTED,
            width=4,
            look=Look(steps=((0.6, YELLOW), (0.8, RED)), decimals=0),
            runbook="the-database-takes-no-more-connections",
        ),
        stat(
            "Least free disk",
            "Of all services' state directories.",
            "bytes",
            f"min({_FREE})",
            width=4,
            look=Look(steps=((1 << 28, ORANGE), (1 << 30, GREEN)), below=RED),
            runbook=_DISK,
        ),
        stat(
            "Dead letters",
            "Within the time that is shown. Any that no restore and no deployment explains is a reason to stop.",
            "none",
            f"sum({or_zero_for_each(grown('tollgate_dead_letters_total', 'service'))})",
            width=4,
            look=Look(steps=((1, RED),), decimals=0),
            runbook="dead-letters",
        ),
        states(
            "Instances",
            "Each instance of each service: active, standing by, catching up, or down.",
            Query(_ROLE, "{{service}} {{instance}}"),
            look=_ROLE_LOOK,
            width=16,
            height=8,
            runbook=_LIVE,
        ),
        table(
            "Restarts",
            "Of each service within the time that is shown, takeovers included.",
            "none",
            Query(_RESTARTS, "restarts"),
            {"service": "service"},
            width=8,
            look=Look(steps=((1, YELLOW), (4, RED)), below=GREY, decimals=0),
            runbook=_LIVE,
        ),
    ),
)
_TAPE = Row(
    "The tape",
    (
        lines(
            "Size against its maximum",
            "When the lines meet, the tape takes nothing more and every service that writes halts.",
            "bytes",
            Query(each("tollgate_tape_bytes", ""), "size"),
            Query(each("tollgate_tape_bytes_max", ""), "maximum"),
            width=8,
            runbook="tape-full",
        ),
        lines(
            "Until a message is on disk",
            "99 of a hundred appends are faster, by service. The broker's disk; an order waits for several.",
            "s",
            tails("tollgate_tape_append_seconds", "service"),
            width=8,
            runbook=_BEHIND,
        ),
        lines(
            "Appends",
            "A second, by service.",
            "cps",
            Query(rate("tollgate_tape_appends_total", "service"), "{{service}}"),
            width=8,
            is_stacked=True,
            runbook=_BEHIND,
        ),
        lines(
            "Behind the tape",
            "Messages that the active instance has not applied yet. Risk gives no permit above 1,000.",
            "none",
            Query(value("tollgate_tape_lag_messages", "service"), "{{service}}"),
            width=8,
            look=Look(steps=((1000, RED),)),
            runbook=_BEHIND,
        ),
        lines(
            "Late for a cycle",
            "From the beginning of a cycle to its being applied: 99 of a hundred are faster, by service.",
            "s",
            tails("tollgate_cycle_lag_seconds", "service"),
            width=8,
            runbook=_BEHIND,
        ),
        lines(
            "Work in a cycle",
            "Of a cycle, for how long the service works; near its length (marketdata.cycle_ms) it cannot keep up.",
            "s",
            tails("tollgate_cycle_seconds", "service"),
            width=8,
            runbook=_BEHIND,
        ),
        lines(
            "Messages on the tape",
            "Applied, a second, by kind, as the ledger sees them.",
            "cps",
            Query(rate("tollgate_tape_messages_total", "kind", service="ledger"), "{{kind}}"),
            width=8,
            is_stacked=True,
            runbook=_BEHIND,
        ),
        lines(
            "One step of a core",
            "99 of a hundred are faster, by service.",
            "s",
            tails("tollgate_step_seconds", "service"),
            width=8,
            runbook=_BEHIND,
        ),
        lines(
            "Messages not applied",
            "Within the window, by service: dead letters, and copies of what was applied before.",
            "none",
            Query(
                or_zero_for_each(grown("tollgate_dead_letters_total", "service", "$__rate_interval")),
                "dead: {{service}}",
            ),
            Query(
                or_zero_for_each(grown("tollgate_tape_duplicates_total", "service", "$__rate_interval")),
                "copies: {{service}}",
            ),
            width=8,
            runbook="dead-letters",
        ),
        bars(
            "Since the last snapshot",
            "Messages that a start would have to step. Each service takes one every 2,000; a fresh one has none yet.",
            "none",
            Query(
                f"{value('tollgate_tape_position', 'service')} - {value('tollgate_snapshot_sequence', 'service')}",
                "{{service}}",
            ),
            width=6,
            look=Look(steps=((5000, YELLOW), (20000, RED))),
            runbook="snapshots-are-not-taken",
        ),
        bars(
            "Newest snapshot",
            "How long ago each service took one; a service that has taken none since its start is not shown.",
            "s",
            Query(age("tollgate_snapshot_timestamp_seconds", "service"), "{{service}}"),
            width=6,
            runbook="snapshots-are-not-taken",
        ),
        bars(
            "Time to be live",
            "What the last start of each service took, from snapshot to live.",
            "s",
            Query(value("tollgate_recovery_seconds", "service"), "{{service}}"),
            width=6,
            look=Look(steps=((10, YELLOW), (60, RED)), decimals=2),
            runbook="snapshots-are-not-taken",
        ),
        lines(
            "The newest cycle",
            "How long ago each service's newest cycle was when it was scraped. One alone that rises hangs; all: the "
            "clock stands.",
            "s",
            Query(
                age("tollgate_cycle_timestamp_seconds", "service"),
                "{{service}}",
            ),
            width=6,
            runbook=_BEHIND,
        ),
    ),
)
_DATABASE = Row(
    "The database",
    (
        lines(
            "Size",
            "Of the desk's database: journal, books and archive.",
            "bytes",
            Query(value("tollgate_postgres_bytes"), "size"),
            width=6,
            runbook=_DISK,
        ),
        lines(
            "Connections",
            "To the desk's database, and what the server takes.",
            "none",
            Query(value("tollgate_postgres_connections"), "in use"),
            Query(value("tollgate_postgres_connections_max"), "maximum"),
            width=6,
            runbook="the-database-takes-no-more-connections",
        ),
        lines(
            "A commit of the books",
            "Seconds; the ledger commits several messages at once.",
            "s",
            *latencies("tollgate_ledger_commit_seconds"),
            width=6,
            runbook="postgres-lost",
        ),
        lines(
            "A commit ahead of a send",
            "Seconds; no order leaves before it.",
            "s",
            *latencies("tollgate_write_ahead_seconds"),
            width=6,
            runbook="postgres-lost",
        ),
    ),
)
_PROCESS = Row(
    "Processes and disks",
    (
        lines(
            "Processor",
            "Cores in use, by instance. Near 1 a service has used up what one process can.",
            "none",
            Query(
                rate("process_cpu_seconds_total", "service, instance", job="tollgate"),
                "{{service}} {{instance}}",
            ),
            width=8,
            look=Look(steps=((0.9, RED),), decimals=2),
            runbook=_BEHIND,
        ),
        lines(
            "Memory",
            "Resident, by instance. A line that rises for days is a leak.",
            "bytes",
            Query(
                'max by (service, instance) (process_resident_memory_bytes{desk="$desk",job="tollgate"})',
                "{{service}} {{instance}}",
            ),
            width=8,
            runbook=_LIVE,
        ),
        lines(
            "Open files",
            "By instance, as a share of what it may open.",
            "percentunit",
            Query(
                _FILES,
                "{{service}} {{instance}}",
            ),
            width=8,
            look=Look(steps=((0.8, RED),)),
            runbook=_LIVE,
        ),
        lines(
            "Free disk",
            "Of each service's state directory.",
            "bytes",
            Query(_FREE, "{{service}}"),
            width=8,
            runbook=_DISK,
        ),
        lines(
            "Restarts",
            "By service: each step is one.",
            "none",
            Query(
                'sum by (service) (changes(process_start_time_seconds{desk="$desk",job="tollgate"}[$__rate_interval]))',
                "{{service}}",
            ),
            width=8,
            runbook=_LIVE,
        ),
        lines(
            "Running for",
            "By instance.",
            "s",
            Query(
                'time() - max by (service, instance) (process_start_time_seconds{desk="$desk",job="tollgate"})',
                "{{service}} {{instance}}",
            ),
            width=8,
            runbook=_LIVE,
        ),
    ),
)
BOARD = Board(
    "tollgate-platform",
    "Tollgate: platform",
    "What every service rests on: the tape, the database, the processes and their disks.",
    (_NOW, _TAPE, _DATABASE, _PROCESS),
)
