"""The SQL of the store, so that a reader sees every statement that touches the books on one page."""

READ_CHECKPOINT = """
SELECT desk, archived_sequence, chain_hash, entry, entry_hash, state_sequence, state_message_id, state
FROM ledger.checkpoint
"""
LOCK_PLACE = "SELECT archived_sequence, chain_hash, entry, entry_hash FROM ledger.checkpoint FOR UPDATE"

INSERT_ARCHIVE = """
INSERT INTO ledger.archive (tape_sequence, message_id, subject, body, headers, stored_us, chain_hash)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[], $5::json[], $6::bigint[], $7::bytea[])
"""
INSERT_ENTRIES = """
INSERT INTO ledger.entries (id, desk, venue, tape_sequence, message_id, kind, ts_us, run_id, cycle_id, lines,
                            symbol, trade_id, client_order_id, config_hash, protects, movement_id,
                            fee_rate, fee_rate_source, reverses, chain_hash)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bigint[],
                     $8::text[], $9::bigint[], $10::smallint[], $11::text[], $12::text[], $13::text[], $14::text[],
                     $15::text[], $16::text[], $17::numeric[], $18::text[], $19::bigint[], $20::bytea[])
"""
INSERT_POSTINGS = """
INSERT INTO ledger.postings (entry_id, line, account, currency, amount)
SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::text[], $5::numeric[])
"""
INSERT_TRADE_COSTS = """
INSERT INTO ledger.trade_costs (tape_sequence, ts_us, symbol, trade_id, side, quantity, price, reference_price,
        reference_source, slippage, fee, fee_currency, fee_value, maker, client_order_id, trip, purpose, signal,
        regime, tier, strength, confidence, strategy, cycle_id, config_hash, fee_expected, fee_finding,
        slippage_expected)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::numeric[], $7::numeric[],
                     $8::numeric[], $9::text[], $10::numeric[], $11::numeric[], $12::text[], $13::numeric[],
                     $14::boolean[], $15::text[], $16::bigint[], $17::text[], $18::text[], $19::text[], $20::text[],
                     $21::numeric[], $22::numeric[], $23::text[], $24::bigint[], $25::text[], $26::numeric[],
                     $27::text[], $28::numeric[])
"""
INSERT_TRIPS = """
INSERT INTO ledger.trips (number, symbol, venue, side, opened_us, closed_us, opened_sequence, closed_sequence,
        entry_price, exit_price, quantity, fills, gross, edge, slippage, fees, funding, net, risked, trigger, signal,
        regime, tier, strength, confidence, strategy, cycle_id, config_hash, equity_before, equity_after, maker_share,
        entry_order, exit_order, found_open)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
                     $8::bigint[], $9::numeric[], $10::numeric[], $11::numeric[], $12::integer[], $13::numeric[],
                     $14::numeric[], $15::numeric[], $16::numeric[], $17::numeric[], $18::numeric[], $19::numeric[],
                     $20::text[], $21::text[], $22::text[], $23::text[], $24::numeric[], $25::numeric[], $26::text[],
                     $27::bigint[], $28::text[], $29::numeric[], $30::numeric[], $31::numeric[], $32::text[],
                     $33::text[], $34::boolean[])
"""
INSERT_EQUITY = """
INSERT INTO ledger.equity (ts_us, tape_sequence, equity, cash, cost, unrealized, realized, fees, moved, funding, peak,
        drawdown, exposure, treasury, transfers, charges, other)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::numeric[], $4::numeric[], $5::numeric[], $6::numeric[],
                     $7::numeric[], $8::numeric[], $9::numeric[], $10::numeric[], $11::numeric[], $12::numeric[],
                     $13::numeric[], $14::numeric[], $15::numeric[], $16::numeric[], $17::numeric[])
"""
INSERT_DAYS = """
INSERT INTO ledger.days (day, edge, slippage, fees, funding, other, net, transfers, equity_first, equity_last)
SELECT * FROM unnest($1::date[], $2::numeric[], $3::numeric[], $4::numeric[], $5::numeric[], $6::numeric[],
                     $7::numeric[], $8::numeric[], $9::numeric[], $10::numeric[])
"""
ADVANCE_ARCHIVE = """
UPDATE ledger.checkpoint SET desk = $1, archived_sequence = $2, chain_hash = $3, entry = $4, entry_hash = $5
"""
ADVANCE_STATE = "UPDATE ledger.checkpoint SET state_sequence = $1, state_message_id = $2, state = $3::jsonb"

READ_CHAIN = "SELECT chain_hash FROM ledger.archive WHERE tape_sequence = $1"
READ_ARCHIVE_ROW = """
SELECT tape_sequence, subject, message_id, body, headers, stored_us, chain_hash
FROM ledger.archive WHERE tape_sequence = $1
"""
READ_ENTRIES = """
SELECT id AS number, desk, venue, kind, tape_sequence, message_id, ts_us, run_id, cycle_id,
       symbol, trade_id, client_order_id, config_hash, protects, movement_id, fee_rate, fee_rate_source, reverses
FROM ledger.entries WHERE id > $1 ORDER BY id LIMIT $2
"""
# The entry before the last one, the last one, and whatever follows though it must not.
READ_JOURNAL_END = "SELECT id, chain_hash FROM ledger.entries WHERE id >= $1 - 1 ORDER BY id LIMIT 3"
READ_POSTINGS = """
SELECT entry_id, account, currency, amount FROM ledger.postings
WHERE entry_id > $1 AND entry_id <= $2 ORDER BY entry_id, line
"""
# A seal with the hashes that both chains have where it says that they stood.
READ_SEAL = """
SELECT signature, (SELECT chain_hash FROM ledger.archive WHERE tape_sequence = $2) AS archived,
       (SELECT chain_hash FROM ledger.entries WHERE id = $3) AS booked
FROM ledger.seals WHERE number = $1
"""
READ_LAST_SEAL = "SELECT number, archived_sequence FROM ledger.seals ORDER BY number DESC LIMIT 1"
INSERT_SEAL = """
INSERT INTO ledger.seals (number, archived_sequence, archive_hash, entry, entry_hash, at_us, key_id, signature)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
