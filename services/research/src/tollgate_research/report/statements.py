"""What the report asks of Postgres: sums are made there, so what is read does not grow with the number of fills.

``$1`` and ``$2`` are a span in microseconds, the second outside it, or two tape sequences, the first outside, as the
columns say that they are held against. Money is summed as ``numeric``, exactly; only statistics become floats.
"""

# A correction of a trip that had ended is no trip, and of one found open the beginning is not known.
_COUNTED = "trigger <> 'bust' AND NOT found_open"
_PARTS = """
    coalesce(sum(edge), 0) AS edge, coalesce(sum(slippage), 0) AS slippage, coalesce(sum(fees), 0) AS fees,
    coalesce(sum(funding), 0) AS funding, coalesce(sum(net), 0) AS net"""

CHECKPOINT = "SELECT desk, archived_sequence FROM ledger.checkpoint"

_POINT = "SELECT ts_us, tape_sequence, equity, fees, funding, treasury, transfers, charges, other FROM ledger.equity"
# The tape has one order and its writers have clocks, which may step back: a moment is the last sequence with a time
# before it, so that spans that meet have the state between them in common.
POINT_BEFORE = f"{_POINT} WHERE ts_us < $1 ORDER BY tape_sequence DESC LIMIT 1"
POINT_FIRST = f"{_POINT} ORDER BY tape_sequence LIMIT 1"
# Clocks of several writers meet in the tables, so no one of them has the first and the last time alone.
EXTENT = """
    SELECT min(first_us) AS first_us, max(last_us) AS last_us FROM (
        SELECT min(ts_us), max(ts_us) FROM ledger.equity WHERE ts_us >= $1 AND ts_us < $2
        UNION ALL SELECT min(ts_us), max(ts_us) FROM ledger.trade_costs WHERE ts_us >= $1 AND ts_us < $2
        UNION ALL SELECT min(closed_us), max(closed_us) FROM ledger.trips WHERE closed_us >= $1 AND closed_us < $2
    ) AS ends (first_us, last_us)"""

# By sequence, from the first point on; $3 and $4 are the span, outside of which no time is counted, and a clock that
# has stepped back stands still until it has caught up. What was transferred is taken out before a fall is looked for;
# the share is of what the equity would be now, had it not fallen.
CURVE = """
    WITH clocked AS (
        SELECT tape_sequence, equity, exposure,
               max(equity - transfers) OVER so_far - (equity - transfers) AS fallen,
               max(least(greatest(ts_us, $3::bigint), $4::bigint)) OVER so_far AS at_us
        FROM ledger.equity WHERE tape_sequence BETWEEN $1 AND $2
        WINDOW so_far AS (ORDER BY tape_sequence)
    ), points AS (
        SELECT *, (fallen / nullif(greatest(equity + fallen, 0), 0))::float8 AS share,
               lead(at_us, 1, at_us) OVER (ORDER BY tape_sequence) - at_us AS lasted_us
        FROM clocked
    ), parts AS (
        SELECT least((at_us - $3) * $5::bigint / greatest($4 - $3, 1), $5 - 1) AS part,
               max(tape_sequence) AS tape_sequence, max(at_us) AS at_us, max(fallen) AS drawdown,
               (array_agg(share ORDER BY fallen DESC, tape_sequence))[1] AS drawdown_share, max(share) AS share_highest,
               sum(exposure::float8 * lasted_us) AS exposure_time, sum(equity::float8 * lasted_us) AS equity_time,
               max((exposure / nullif(greatest(equity, 0), 0))::float8) AS exposure_highest,
               sum(lasted_us) FILTER (WHERE exposure <> 0) AS in_market_us, sum(lasted_us) AS lasted_us
        FROM points GROUP BY part
    )
    SELECT equity.equity, equity.transfers, parts.* FROM parts JOIN ledger.equity USING (tape_sequence)
    ORDER BY tape_sequence"""

TRIP_SUMS = f"""
    SELECT count(*) FILTER (WHERE {_COUNTED}) AS count,
           count(*) FILTER (WHERE {_COUNTED} AND net > 0) AS won,
           count(*) FILTER (WHERE {_COUNTED} AND net < 0) AS lost,
           coalesce(sum(net) FILTER (WHERE {_COUNTED} AND net > 0), 0) AS gained,
           coalesce(-sum(net) FILTER (WHERE {_COUNTED} AND net < 0), 0) AS given_back,
           coalesce(sum(net::float8 ^ 2) FILTER (WHERE {_COUNTED} AND net > 0), 0) AS gained_squared,
           coalesce(sum(net::float8 ^ 2) FILTER (WHERE {_COUNTED} AND net < 0), 0) AS lost_squared,
           avg(net::float8) FILTER (WHERE {_COUNTED}) AS net_mean,
           stddev_samp(net::float8) FILTER (WHERE {_COUNTED}) AS net_deviation,
           count(*) FILTER (WHERE {_COUNTED} AND risked > 0) AS r_count,
           avg((net / nullif(risked, 0))::float8) FILTER (WHERE {_COUNTED} AND risked > 0) AS r_mean,
           stddev_samp((net / nullif(risked, 0))::float8) FILTER (WHERE {_COUNTED} AND risked > 0) AS r_deviation,
           max(net) FILTER (WHERE {_COUNTED}) AS best, min(net) FILTER (WHERE {_COUNTED}) AS worst,
           count(*) FILTER (WHERE trigger = 'bust') AS corrections,
           count(*) FILTER (WHERE trigger <> 'bust' AND found_open) AS found_open, {_PARTS}
    FROM ledger.trips WHERE closed_sequence > $1 AND closed_sequence <= $2"""  # noqa: S608 - our own text
TRIP_NETS = f"""
    SELECT net::float8 AS net FROM ledger.trips WHERE closed_sequence > $1 AND closed_sequence <= $2 AND {_COUNTED}
    ORDER BY number"""  # noqa: S608 - our own text

HOLD_COUNTS = f"""
    SELECT width_bucket(closed_us - opened_us, $3::bigint[]) AS bin, count(*) AS count
    FROM ledger.trips WHERE closed_sequence > $1 AND closed_sequence <= $2 AND {_COUNTED} GROUP BY bin"""  # noqa: S608 - ours
HOLD_QUANTILES = f"""
    SELECT percentile_disc($3::float8[]) WITHIN GROUP (ORDER BY closed_us - opened_us) AS quantiles
    FROM ledger.trips WHERE closed_sequence > $1 AND closed_sequence <= $2 AND {_COUNTED}"""  # noqa: S608 - our own text

# As in tollgate_domain.attribution, which a test holds this against.
GROUPED_BY = ("symbol", "signal", "regime", "tier", "hour")
GROUPS = f"""
    WITH trips AS (
        SELECT symbol, coalesce(signal, '') AS signal, coalesce(regime, '') AS regime, coalesce(tier, '') AS tier,
               lpad((closed_us / 3600000000 % 24)::text, 2, '0') AS hour,
               trigger, found_open, edge, slippage, fees, funding, net
        FROM ledger.trips WHERE closed_sequence > $1 AND closed_sequence <= $2)
    SELECT {", ".join(f"grouping({name}) AS no_{name}, {name}" for name in GROUPED_BY)},
           count(*) FILTER (WHERE {_COUNTED}) AS count,
           count(*) FILTER (WHERE {_COUNTED} AND net > 0) AS won, {_PARTS}
    FROM trips GROUP BY GROUPING SETS ({", ".join(f"({name})" for name in GROUPED_BY)})"""  # noqa: S608 - our own text

_TRIP = f"""
    SELECT number, symbol, side, opened_us, closed_us, entry_price, exit_price, quantity, trigger, signal, regime, tier,
           edge, slippage, fees, funding, net, (net / nullif(greatest(risked, 0), 0))::float8 AS r
    FROM ledger.trips WHERE closed_sequence > $1 AND closed_sequence <= $2 AND {_COUNTED}"""  # noqa: S608 - our own text
TRIPS_BEST = f"{_TRIP} AND net > 0 ORDER BY net DESC, number LIMIT $3"
TRIPS_WORST = f"{_TRIP} AND net < 0 ORDER BY net, number LIMIT $3"
TRIPS_LAST = f"{_TRIP} ORDER BY closed_sequence DESC, number DESC LIMIT $3"

# A bust has a row of its own that takes the fill's back.
TRADING = """
    SELECT coalesce(sum(sign(quantity)), 0)::bigint AS fills,
           coalesce(sum(price * quantity), 0) AS turnover,
           coalesce(sum(sign(quantity)) FILTER (WHERE maker), 0)::bigint AS maker_fills,
           coalesce(sum(price * quantity) FILTER (WHERE maker), 0) AS maker_turnover,
           coalesce(sum(slippage), 0) AS slippage, coalesce(sum(slippage_expected), 0) AS slippage_expected,
           count(fee_finding) AS fee_findings
    FROM ledger.trade_costs WHERE tape_sequence > $1 AND tape_sequence <= $2"""
POLICIES = """
    SELECT config_hash AS hash, min(ts_us) AS first_us, max(ts_us) AS last_us, count(*) AS count
    FROM ledger.trade_costs WHERE tape_sequence > $1 AND tape_sequence <= $2 AND config_hash IS NOT NULL
    GROUP BY config_hash ORDER BY min(tape_sequence)"""

DAYS = """
    SELECT day, edge, slippage, fees, funding, net, other, transfers, equity_first, equity_last
    FROM ledger.days WHERE day >= $1 AND day < $2 ORDER BY day"""

# What was said under one subject, after a tape sequence and before another one, if any.
SAID = """
    SELECT tape_sequence, body FROM ledger.archive
    WHERE left(subject, 200) = $1 AND tape_sequence > $2 AND tape_sequence < coalesce($3::bigint, 9223372036854775807)
    ORDER BY tape_sequence"""

# What was booked of the archive, and may have changed a position: a trade that was refused has no entry.
BOOKED = """
    SELECT archive.tape_sequence, body FROM ledger.entries JOIN ledger.archive USING (tape_sequence)
    WHERE kind IN ('fill', 'bust', 'movement') AND tape_sequence <= $1 ORDER BY tape_sequence"""
OPENING = """
    SELECT archive.tape_sequence, body FROM ledger.entries JOIN ledger.archive USING (tape_sequence)
    WHERE kind = 'opening'"""
