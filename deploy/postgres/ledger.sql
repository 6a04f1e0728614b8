-- The ledger's schema: the archive of the tape, the journal of the books, and the checkpoint of the service.
--
-- What this file guarantees does not rest on the service's code:
--   * an entry whose postings do not sum to zero in every currency, or are fewer than it says, cannot be committed;
--   * an amount that is not a finite number of at most 20 digits before and 18 after the point cannot be stored,
--     and is refused rather than rounded;
--   * a tape message, a journal entry, a venue's trade, its bust and a movement can each be there once;
--   * the archive grows by one tape sequence at a time, and each row's hash covers the row before it;
--   * the service may add to the past and never change it: it has no right to update, delete or truncate.
--
-- Apply it as a superuser, as often as you like; the roles tollgate_owner and tollgate_ledger must be there.

BEGIN;

CREATE SCHEMA IF NOT EXISTS ledger AUTHORIZATION tollgate_owner;
SET LOCAL ROLE tollgate_owner;

CREATE TABLE IF NOT EXISTS ledger.schema_version (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    version integer NOT NULL CHECK (version > 0)
);
INSERT INTO ledger.schema_version (version) VALUES (2) ON CONFLICT DO NOTHING;

-- Everything below is version 2; a database of another version is not for this file.
DO $$
BEGIN
    IF (SELECT version FROM ledger.schema_version) <> 2 THEN
        RAISE EXCEPTION 'the ledger schema has version %, this file makes version 2',
            (SELECT version FROM ledger.schema_version);
    END IF;
END $$;

-- The archive -------------------------------------------------------------------------------------------------

-- The message id is not unique here: whatever lies on the tape is archived, also a duplicate that readers ignore.
CREATE TABLE IF NOT EXISTS ledger.archive (
    tape_sequence bigint PRIMARY KEY CHECK (tape_sequence >= 1),
    message_id text NOT NULL,
    subject text NOT NULL,
    body bytea NOT NULL,
    headers jsonb NOT NULL,
    stored_us bigint NOT NULL,
    chain_hash bytea NOT NULL CHECK (octet_length(chain_hash) = 32)
);
CREATE INDEX IF NOT EXISTS archive_message_id ON ledger.archive (message_id);
CREATE INDEX IF NOT EXISTS archive_subject ON ledger.archive (subject, tape_sequence);

-- SHA-256 over the previous hash and the row's identity and bytes; the lengths keep the parts apart.
CREATE OR REPLACE FUNCTION ledger.chain_hash(previous bytea, tape_sequence bigint, subject text, message_id text,
                                             body bytea)
RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT sha256(previous || int8send(tape_sequence)
        || int4send(octet_length(convert_to(subject, 'UTF8'))) || convert_to(subject, 'UTF8')
        || int4send(octet_length(convert_to(message_id, 'UTF8'))) || convert_to(message_id, 'UTF8')
        || body)
$$;

CREATE OR REPLACE FUNCTION ledger.continue_chain() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    previous bytea := decode(repeat('00', 32), 'hex');
BEGIN
    IF NEW.tape_sequence > 1 THEN
        SELECT chain_hash INTO previous FROM ledger.archive WHERE tape_sequence = NEW.tape_sequence - 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'archive row % does not continue the archive: row % is not there',
                NEW.tape_sequence, NEW.tape_sequence - 1
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'archive_is_contiguous';
        END IF;
    END IF;
    IF NEW.chain_hash IS DISTINCT FROM
        ledger.chain_hash(previous, NEW.tape_sequence, NEW.subject, NEW.message_id, NEW.body) THEN
        RAISE EXCEPTION 'archive row % does not continue the hash chain', NEW.tape_sequence
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'archive_chain';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER continue_chain BEFORE INSERT ON ledger.archive
    FOR EACH ROW EXECUTE FUNCTION ledger.continue_chain();

-- The journal -------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS ledger.entries (
    id bigint PRIMARY KEY CHECK (id >= 1),
    tape_sequence bigint NOT NULL UNIQUE REFERENCES ledger.archive,
    message_id text NOT NULL UNIQUE,
    kind text NOT NULL CHECK (kind IN ('opening', 'fill', 'bust', 'movement')),
    ts_us bigint NOT NULL CHECK (ts_us >= 0),
    run_id text NOT NULL,
    cycle_id bigint NOT NULL CHECK (cycle_id >= 0),
    lines smallint NOT NULL CHECK (lines >= 2),
    symbol text,
    trade_id text,
    client_order_id text,
    config_hash text CHECK (config_hash ~ '^[0-9a-f]{64}$'),
    -- Of a protective stop's trade, the order whose position it ends.
    protects text,
    movement_id text,
    CONSTRAINT trade_once UNIQUE (kind, symbol, trade_id),
    CONSTRAINT movement_once UNIQUE (movement_id),
    CONSTRAINT entry_names_its_event CHECK (
        CASE WHEN kind IN ('fill', 'bust')
                 THEN num_nulls(symbol, trade_id, client_order_id, config_hash) = 0 AND movement_id IS NULL
             WHEN kind = 'movement'
                 THEN movement_id IS NOT NULL AND num_nonnulls(trade_id, client_order_id, config_hash, protects) = 0
             ELSE num_nonnulls(symbol, trade_id, client_order_id, config_hash, protects, movement_id) = 0 END)
);
CREATE UNIQUE INDEX IF NOT EXISTS one_opening ON ledger.entries (kind) WHERE kind = 'opening';

-- A numeric(38, 18) would round what is too precise without a word; a plain numeric with this check refuses it.
-- NaN and infinity are greater than every number here, so the second condition refuses them too.
CREATE TABLE IF NOT EXISTS ledger.postings (
    entry_id bigint NOT NULL REFERENCES ledger.entries,
    line smallint NOT NULL CHECK (line >= 1),
    account text NOT NULL CHECK (account ~ '^(asset|equity|trading|income|expense):[A-Za-z0-9-]+$'),
    currency text NOT NULL CHECK (currency ~ '^[A-Z0-9]{2,15}$'),
    amount numeric NOT NULL,
    PRIMARY KEY (entry_id, line),
    CONSTRAINT amount_is_exact CHECK (
        amount <> 0 AND abs(amount) < 100000000000000000000 AND min_scale(amount) <= 18),
    CONSTRAINT asset_is_of_its_currency CHECK (account NOT LIKE 'asset:%' OR account = 'asset:' || currency),
    CONSTRAINT trading_is_of_its_currencies CHECK (
        account NOT LIKE 'trading:%' OR currency = ANY (string_to_array(substr(account, 9), '-')))
);
CREATE INDEX IF NOT EXISTS postings_account ON ledger.postings (account, currency);

CREATE OR REPLACE FUNCTION ledger.check_balance() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry bigint;
    expected integer;
    found integer;
    off text;
BEGIN
    IF TG_TABLE_NAME = 'entries' THEN
        entry := NEW.id;
    ELSE
        entry := NEW.entry_id;
    END IF;
    SELECT lines INTO expected FROM ledger.entries WHERE id = entry;
    SELECT sum(per_currency.lines), string_agg(per_currency.currency || ' ' || per_currency.total, ', ')
            FILTER (WHERE per_currency.total <> 0)
        INTO found, off
        FROM (SELECT currency, count(*) AS lines, sum(amount) AS total
              FROM ledger.postings WHERE entry_id = entry GROUP BY currency) AS per_currency;
    IF off IS NOT NULL THEN
        RAISE EXCEPTION 'entry % does not balance: %', entry, off
            USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_balances';
    END IF;
    IF found IS DISTINCT FROM expected THEN
        RAISE EXCEPTION 'entry % has % postings, it says %', entry, coalesce(found, 0), expected
            USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_is_complete';
    END IF;
    RETURN NULL;
END $$;

-- At commit, because an entry and its lines arrive one after the other. Both tables: an entry without lines must
-- not stay, and a line must not be added to an entry that is complete.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'entry_balances' AND tgrelid = 'ledger.entries'::regclass) THEN
        CREATE CONSTRAINT TRIGGER entry_balances AFTER INSERT OR UPDATE ON ledger.entries
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger.check_balance();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'entry_balances' AND tgrelid = 'ledger.postings'::regclass) THEN
        CREATE CONSTRAINT TRIGGER entry_balances AFTER INSERT OR UPDATE ON ledger.postings
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger.check_balance();
    END IF;
END $$;

CREATE OR REPLACE VIEW ledger.balances AS
    SELECT account, currency, sum(amount) AS amount FROM ledger.postings GROUP BY account, currency;

-- The checkpoint ----------------------------------------------------------------------------------------------

-- One row. The archive and the journal reach to archived_sequence; the core's state is from state_sequence, at or
-- before it, and is brought forward by replaying what lies between.
CREATE TABLE IF NOT EXISTS ledger.checkpoint (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    desk text,
    archived_sequence bigint NOT NULL CHECK (archived_sequence >= 0),
    chain_hash bytea NOT NULL CHECK (octet_length(chain_hash) = 32),
    state_sequence bigint NOT NULL CHECK (state_sequence >= 0),
    state_message_id text,
    state jsonb,
    CONSTRAINT state_is_archived CHECK (state_sequence <= archived_sequence),
    CONSTRAINT state_is_whole CHECK (
        CASE WHEN state_sequence = 0 THEN num_nonnulls(state, state_message_id) = 0
             ELSE num_nulls(state, state_message_id) = 0 END)
);
INSERT INTO ledger.checkpoint (archived_sequence, chain_hash, state_sequence)
    VALUES (0, decode(repeat('00', 32), 'hex'), 0) ON CONFLICT DO NOTHING;

CREATE OR REPLACE FUNCTION ledger.advance_checkpoint() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.desk IS NULL OR NEW.desk IS DISTINCT FROM coalesce(OLD.desk, NEW.desk) THEN
        RAISE EXCEPTION 'these are the books of desk %, not of %', OLD.desk, NEW.desk
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'checkpoint_desk';
    END IF;
    IF NEW.archived_sequence < OLD.archived_sequence OR NEW.state_sequence < OLD.state_sequence THEN
        RAISE EXCEPTION 'the checkpoint does not go back'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'checkpoint_advances';
    END IF;
    IF NEW.archived_sequence > 0 AND NEW.chain_hash IS DISTINCT FROM
        (SELECT chain_hash FROM ledger.archive WHERE tape_sequence = NEW.archived_sequence) THEN
        RAISE EXCEPTION 'the checkpoint at % is not the end of the archive', NEW.archived_sequence
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'checkpoint_is_archived';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER advance_checkpoint BEFORE UPDATE ON ledger.checkpoint
    FOR EACH ROW EXECUTE FUNCTION ledger.advance_checkpoint();

-- Rights ------------------------------------------------------------------------------------------------------

REVOKE ALL ON SCHEMA ledger FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA ledger FROM PUBLIC, tollgate_ledger;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
GRANT USAGE ON SCHEMA ledger TO tollgate_ledger;
GRANT SELECT, INSERT ON ledger.archive, ledger.entries, ledger.postings TO tollgate_ledger;
GRANT SELECT, UPDATE ON ledger.checkpoint TO tollgate_ledger;
GRANT SELECT ON ledger.balances, ledger.schema_version TO tollgate_ledger;
GRANT EXECUTE ON FUNCTION ledger.chain_hash TO tollgate_ledger;

COMMIT;
