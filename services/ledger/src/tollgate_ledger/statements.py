"""The SQL of the store, so that a reader sees every statement that touches the books on one page."""

READ_CHECKPOINT = """
SELECT desk, archived_sequence, chain_hash, state_sequence, state_message_id, state FROM ledger.checkpoint
"""
READ_PLACE = "SELECT archived_sequence, chain_hash FROM ledger.checkpoint"
LOCK_PLACE = "SELECT archived_sequence, chain_hash FROM ledger.checkpoint FOR UPDATE"
LOCK_CHECKPOINT = "SELECT archived_sequence FROM ledger.checkpoint FOR UPDATE"

INSERT_ARCHIVE = """
INSERT INTO ledger.archive (tape_sequence, message_id, subject, body, headers, stored_us, chain_hash)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[], $5::jsonb[], $6::bigint[], $7::bytea[])
"""
INSERT_ENTRIES = """
INSERT INTO ledger.entries (id, tape_sequence, message_id, kind, ts_us, run_id, cycle_id, lines,
                            symbol, trade_id, client_order_id, config_hash, protects, movement_id)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[],
                     $8::smallint[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[])
"""
INSERT_POSTINGS = """
INSERT INTO ledger.postings (entry_id, line, account, currency, amount)
SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::text[], $5::numeric[])
"""
ADVANCE_ARCHIVE = "UPDATE ledger.checkpoint SET desk = $1, archived_sequence = $2, chain_hash = $3"
ADVANCE_STATE = "UPDATE ledger.checkpoint SET state_sequence = $1, state_message_id = $2, state = $3::jsonb"

READ_CHAIN = "SELECT chain_hash FROM ledger.archive WHERE tape_sequence = $1"
READ_ARCHIVE_ROW = """
SELECT tape_sequence, subject, message_id, body, chain_hash FROM ledger.archive WHERE tape_sequence = $1
"""
READ_ARCHIVE = """
SELECT tape_sequence, subject, message_id, body, chain_hash FROM ledger.archive ORDER BY tape_sequence
"""
READ_ENTRIES = """
SELECT id AS number, kind, tape_sequence, message_id, ts_us, run_id, cycle_id,
       symbol, trade_id, client_order_id, config_hash, protects, movement_id
FROM ledger.entries WHERE id > $1 ORDER BY id
"""
READ_POSTINGS = """
SELECT entry_id, account, currency, amount FROM ledger.postings WHERE entry_id > $1 ORDER BY entry_id, line
"""
