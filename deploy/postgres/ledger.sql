-- The ledger's schema: the archive of the tape, the journal of the books, what is read off it, and the checkpoint.
--
-- What this file guarantees does not rest on the service's code:
--   * an entry whose postings do not sum to zero in every currency, or are not as many as it says, cannot be committed;
--   * an account that is not in the chart, or not of its currency, cannot be posted to;
--   * an amount that is not a finite number of at most 20 digits before and 18 after the point cannot be stored,
--     and is refused rather than rounded;
--   * a tape message, a journal entry, a venue's trade, its bust, a movement and an entry's correction can each be
--     there once;
--   * the archive grows by one tape sequence at a time and the journal by one entry number, and each row's hash
--     covers the row before it; an entry's hash covers its postings;
--   * the service may add to the past and never change it: it has no right to update, delete or truncate;
--   * whoever only reads the books (tollgate_reader) can do nothing else.
--
-- Apply it as a superuser, as often as you like; the roles of roles.sql must be there.

BEGIN;

CREATE SCHEMA IF NOT EXISTS ledger AUTHORIZATION tollgate_owner;
SET LOCAL ROLE tollgate_owner;

CREATE TABLE IF NOT EXISTS ledger.schema_version (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    version integer NOT NULL CHECK (version > 0)
);
INSERT INTO ledger.schema_version (version) VALUES (3) ON CONFLICT DO NOTHING;

-- Everything below is version 3; a database of another version is not for this file (docs/decisions/0014).
DO $$
BEGIN
    IF (SELECT version FROM ledger.schema_version) <> 3 THEN
        RAISE EXCEPTION 'the ledger schema has version %, this file makes version 3',
            (SELECT version FROM ledger.schema_version);
    END IF;
END $$;

-- The archive -------------------------------------------------------------------------------------------------

-- The message id is not unique here: whatever lies on the tape is archived, also a duplicate that readers ignore.
-- Subject and id are as JSON writes a text, without the quotation marks, and so are the headers' names and contents:
-- the broker carries characters that no column can hold (tollgate_chassis.tape.archived). Headers are json and not
-- jsonb, which refuses some of them, and a name that is there twice would be there once.
CREATE TABLE IF NOT EXISTS ledger.archive (
    tape_sequence bigint PRIMARY KEY CHECK (tape_sequence >= 1),
    message_id text NOT NULL,
    subject text NOT NULL,
    body bytea NOT NULL,
    headers json NOT NULL,
    stored_us bigint NOT NULL,
    chain_hash bytea NOT NULL CHECK (octet_length(chain_hash) = 32)
);
-- By the beginning of the subject: the broker takes subjects that are longer than an index does. Ours are shorter than
-- 200 characters, so who asks for one asks for left(subject, 200).
CREATE INDEX IF NOT EXISTS archive_subject ON ledger.archive (left(subject, 200), tape_sequence);

-- SHA-256 over the previous hash and everything of the row; the lengths keep the parts apart.
-- tollgate_chassis.tape.chain.chain_hash is the same in Python, and a test keeps the two together.
CREATE OR REPLACE FUNCTION ledger.chain_hash(previous bytea, tape_sequence bigint, subject text, message_id text,
                                             headers json, stored_us bigint, body bytea)
RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT sha256(previous || int8send(tape_sequence)
        || int4send(octet_length(convert_to(subject, 'UTF8'))) || convert_to(subject, 'UTF8')
        || int4send(octet_length(convert_to(message_id, 'UTF8'))) || convert_to(message_id, 'UTF8')
        || int8send(stored_us)
        || int4send(octet_length(convert_to(headers::text, 'UTF8'))) || convert_to(headers::text, 'UTF8')
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
        ledger.chain_hash(previous, NEW.tape_sequence, NEW.subject, NEW.message_id, NEW.headers, NEW.stored_us,
                          NEW.body) THEN
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
    desk text NOT NULL CHECK (desk <> ''),
    venue text NOT NULL CHECK (venue <> ''),
    tape_sequence bigint NOT NULL REFERENCES ledger.archive,
    message_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('opening', 'fill', 'bust', 'movement', 'split', 'correction')),
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
    -- Quote currency per unit of the currency of the fee, or of what has moved, and where that was read; null where there
    -- is none, or no need.
    fee_rate numeric,
    fee_rate_source text CHECK (fee_rate_source <> ''),
    -- The entry whose lines this one takes back.
    reverses bigint REFERENCES ledger.entries,
    chain_hash bytea NOT NULL CHECK (octet_length(chain_hash) = 32),
    -- A split is booked because of the same message as the trade that realized something.
    CONSTRAINT tape_sequence_once UNIQUE (tape_sequence, kind),
    CONSTRAINT message_once UNIQUE (message_id, kind),
    -- The books are of one account at one venue, whose ids these are.
    CONSTRAINT movement_once UNIQUE (movement_id),
    CONSTRAINT corrected_once UNIQUE (reverses),
    CONSTRAINT reverses_the_past CHECK (reverses < id),
    CONSTRAINT fee_rate_has_its_source CHECK (
        num_nonnulls(fee_rate, fee_rate_source) IN (0, 2)
        AND (fee_rate IS NULL OR fee_rate > 0 AND fee_rate < 100000000000000000000 AND min_scale(fee_rate) <= 18)),
    CONSTRAINT entry_names_its_event CHECK (
        CASE WHEN kind IN ('fill', 'bust')
                 THEN num_nulls(symbol, trade_id, client_order_id, config_hash) = 0
                     AND num_nonnulls(movement_id, reverses) = 0
             -- Of a trade, or of a movement: check_split holds it to which.
             WHEN kind = 'split'
                 THEN num_nulls(symbol, trade_id, client_order_id, config_hash) IN (0, 4)
                     AND num_nonnulls(protects, movement_id, reverses, fee_rate) = 0
             WHEN kind = 'movement'
                 THEN movement_id IS NOT NULL
                     AND num_nonnulls(trade_id, client_order_id, config_hash, protects, reverses) = 0
             WHEN kind = 'correction'
                 THEN reverses IS NOT NULL
                     AND num_nonnulls(symbol, trade_id, client_order_id, config_hash, protects, movement_id,
                                      fee_rate) = 0
             ELSE num_nonnulls(symbol, trade_id, client_order_id, config_hash, protects, movement_id, fee_rate,
                               reverses) = 0 END)
);
CREATE UNIQUE INDEX IF NOT EXISTS one_opening ON ledger.entries (kind) WHERE kind = 'opening';
CREATE UNIQUE INDEX IF NOT EXISTS trade_once ON ledger.entries (kind, symbol, trade_id)
    WHERE kind IN ('fill', 'bust');

-- The chart of accounts, one set for each desk and venue: the desk and the venue are the entry's.
-- A numeric(38, 18) would round what is too precise without a word; a plain numeric with this check refuses it.
-- NaN and infinity are greater than every number here, so the second condition refuses them too.
CREATE TABLE IF NOT EXISTS ledger.postings (
    entry_id bigint NOT NULL REFERENCES ledger.entries,
    line smallint NOT NULL CHECK (line >= 1),
    account text NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z0-9]{2,15}$'),
    amount numeric NOT NULL,
    PRIMARY KEY (entry_id, line),
    CONSTRAINT account_is_in_the_chart CHECK (
        account ~ ('^(asset:[A-Z0-9]+|trading:[A-Z0-9]+-[A-Z0-9]+|equity:(opening|transfers|trading|treasury)'
                || '|income:(realized|rebates|funding)|expense:(fees|charges|dust)|suspense:(fees|drift))$')),
    CONSTRAINT amount_is_exact CHECK (
        amount <> 0 AND abs(amount) < 100000000000000000000 AND min_scale(amount) <= 18),
    CONSTRAINT asset_is_of_its_currency CHECK (account NOT LIKE 'asset:%' OR account = 'asset:' || currency),
    CONSTRAINT trading_is_of_its_currencies CHECK (
        account NOT LIKE 'trading:%' OR currency = ANY (string_to_array(substr(account, 9), '-')))
);

-- A text as its length and its bytes, so that no two rows of fields read alike; null has the length -1.
CREATE OR REPLACE FUNCTION ledger.field(value text) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN value IS NULL THEN int4send(-1)
                ELSE int4send(octet_length(convert_to(value, 'UTF8'))) || convert_to(value, 'UTF8') END
$$;

-- SHA-256 over the previous entry's hash, the entry's columns in their order, and its postings in line order;
-- tollgate_ledger.chain.entry_hash is the same in Python, and a test keeps the two together.
CREATE OR REPLACE FUNCTION ledger.entry_hash(previous bytea, entry ledger.entries)
RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256(previous
        || ledger.field(entry.id::text) || ledger.field(entry.desk) || ledger.field(entry.venue)
        || ledger.field(entry.tape_sequence::text) || ledger.field(entry.message_id) || ledger.field(entry.kind)
        || ledger.field(entry.ts_us::text) || ledger.field(entry.run_id) || ledger.field(entry.cycle_id::text)
        || ledger.field(entry.lines::text) || ledger.field(entry.symbol) || ledger.field(entry.trade_id)
        || ledger.field(entry.client_order_id) || ledger.field(entry.config_hash) || ledger.field(entry.protects)
        || ledger.field(entry.movement_id) || ledger.field(trim_scale(entry.fee_rate)::text)
        || ledger.field(entry.fee_rate_source) || ledger.field(entry.reverses::text)
        || (SELECT coalesce(string_agg(ledger.field(account) || ledger.field(currency)
                                       || ledger.field(trim_scale(amount)::text), ''::bytea ORDER BY line), ''::bytea)
            FROM ledger.postings WHERE entry_id = entry.id))
$$;

-- A complete entry has all of its lines, each under its own number, so this keeps it from ever getting another. What
-- is asked is the entry as it is seen before the statement: lines that come in one statement with their entry, or that
-- a transaction adds which does not see it, would pass unasked, so they are refused.
CREATE OR REPLACE FUNCTION ledger.check_line() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    expected integer;
BEGIN
    SELECT lines INTO expected FROM ledger.entries WHERE id = NEW.entry_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'entry % is not there for line %: an entry comes first, and in a statement of its own',
            NEW.entry_id, NEW.line USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_comes_first';
    END IF;
    IF NEW.line > expected THEN
        RAISE EXCEPTION 'entry % has % postings, line % is not one of them', NEW.entry_id, expected, NEW.line
            USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_is_complete';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER check_line BEFORE INSERT OR UPDATE ON ledger.postings
    FOR EACH ROW EXECUTE FUNCTION ledger.check_line();

CREATE OR REPLACE FUNCTION ledger.check_balance(entry bigint) RETURNS void LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    expected integer;
    found integer;
    last integer;
    off text;
BEGIN
    SELECT lines INTO expected FROM ledger.entries WHERE id = entry;
    SELECT sum(per_currency.lines), max(per_currency.last), string_agg(
            per_currency.currency || ' ' || per_currency.total, ', ') FILTER (WHERE per_currency.total <> 0)
        INTO found, last, off
        FROM (SELECT currency, count(*) AS lines, max(line) AS last, sum(amount) AS total
              FROM ledger.postings WHERE entry_id = entry GROUP BY currency) AS per_currency;
    IF off IS NOT NULL THEN
        RAISE EXCEPTION 'entry % does not balance: %', entry, off
            USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_balances';
    END IF;
    IF (found, last) IS DISTINCT FROM (expected, expected) THEN
        RAISE EXCEPTION 'entry % has % postings, it says %', entry, coalesce(found, 0), expected
            USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_is_complete', DETAIL = format('last line: %s', last);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION ledger.check_entry_chain(entry bigint) RETURNS void LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    previous bytea := decode(repeat('00', 32), 'hex');
    stated bytea;
    computed bytea;
BEGIN
    IF entry > 1 THEN
        SELECT chain_hash INTO previous FROM ledger.entries WHERE id = entry - 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'entry % does not continue the journal: entry % is not there', entry, entry - 1
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'journal_is_contiguous';
        END IF;
    END IF;
    SELECT chain_hash, ledger.entry_hash(previous, entries) INTO stated, computed
        FROM ledger.entries WHERE id = entry;
    IF stated IS DISTINCT FROM computed THEN
        RAISE EXCEPTION 'entry % does not continue the hash chain of the journal', entry
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'journal_chain';
    END IF;
END $$;

-- A correction has the lines of the entry that it takes back, each with its sign changed, and that entry is of a
-- movement: a trade is taken back by the venue, and a correction by another one.
CREATE OR REPLACE FUNCTION ledger.check_correction(entry bigint) RETURNS void LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    taken_back bigint;
BEGIN
    SELECT reverses INTO taken_back FROM ledger.entries WHERE id = entry;
    IF taken_back IS NULL THEN
        RETURN;
    END IF;
    IF (SELECT kind FROM ledger.entries WHERE id = taken_back) <> 'movement'
        OR (SELECT array_agg((line, account, currency, trim_scale(amount)) ORDER BY line)
            FROM ledger.postings WHERE entry_id = entry)
           IS DISTINCT FROM
           (SELECT array_agg((line, account, currency, trim_scale(-amount)) ORDER BY line)
            FROM ledger.postings WHERE entry_id = taken_back) THEN
        RAISE EXCEPTION 'entry % does not take entry % back', entry, taken_back
            USING ERRCODE = 'check_violation', CONSTRAINT = 'correction_reverses';
    END IF;
END $$;

-- A split names the trade because of which it is booked, if it is because of one.
CREATE OR REPLACE FUNCTION ledger.check_split(entry bigint) RETURNS void LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    split ledger.entries;
    trade ledger.entries;
BEGIN
    SELECT * INTO split FROM ledger.entries WHERE id = entry;
    IF split.kind <> 'split' THEN
        RETURN;
    END IF;
    SELECT * INTO trade FROM ledger.entries
        WHERE tape_sequence = split.tape_sequence AND kind IN ('fill', 'bust');
    IF (split.symbol, split.trade_id, split.client_order_id, split.config_hash)
        IS DISTINCT FROM (trade.symbol, trade.trade_id, trade.client_order_id, trade.config_hash) THEN
        RAISE EXCEPTION 'entry % does not name the trade of which it is the split', entry
            USING ERRCODE = 'check_violation', CONSTRAINT = 'split_names_its_trade';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION ledger.check_entry() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry bigint;
BEGIN
    IF TG_TABLE_NAME = 'entries' THEN
        entry := NEW.id;
    ELSE
        entry := NEW.entry_id;
    END IF;
    PERFORM ledger.check_balance(entry);
    PERFORM ledger.check_entry_chain(entry);
    PERFORM ledger.check_correction(entry);
    PERFORM ledger.check_split(entry);
    RETURN NULL;
END $$;

-- At commit, because an entry and its lines arrive one after the other: then it is complete, balanced and chained.
-- What the service cannot do, an update, is checked as well. Of a new line nothing is left to check then: it belongs
-- to an entry of the same transaction, or check_line has refused it.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'check_entry' AND tgrelid = 'ledger.entries'::regclass) THEN
        CREATE CONSTRAINT TRIGGER check_entry AFTER INSERT OR UPDATE ON ledger.entries
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger.check_entry();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'check_entry' AND tgrelid = 'ledger.postings'::regclass) THEN
        CREATE CONSTRAINT TRIGGER check_entry AFTER UPDATE ON ledger.postings
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger.check_entry();
    END IF;
END $$;

CREATE OR REPLACE VIEW ledger.balances AS
    SELECT desk, venue, account, currency, sum(amount) AS amount
    FROM ledger.postings JOIN ledger.entries ON entries.id = postings.entry_id
    GROUP BY desk, venue, account, currency;

-- What is read off the books --------------------------------------------------------------------------------------

-- Written in the transaction of the entries it follows from, never changed, and made again by stepping the archive.
-- Amounts are in quote currency where nothing else is said.

-- One row for each booked fill. Slippage above zero cost us; the reference price is the mid at the decision, of a
-- protective stop its trigger.
CREATE TABLE IF NOT EXISTS ledger.trade_costs (
    tape_sequence bigint PRIMARY KEY REFERENCES ledger.archive,
    ts_us bigint NOT NULL,
    symbol text NOT NULL,
    -- The venue's; a bust has that of the trade which it takes back.
    trade_id text NOT NULL,
    side text NOT NULL CHECK (side IN ('BUY', 'SELL')),
    quantity numeric NOT NULL,
    price numeric NOT NULL,
    reference_price numeric,
    reference_source text,
    slippage numeric NOT NULL,
    fee numeric NOT NULL,
    fee_currency text NOT NULL CHECK (fee_currency ~ '^[A-Z0-9]{2,15}$'),
    fee_value numeric NOT NULL,
    maker boolean NOT NULL,
    client_order_id text NOT NULL,
    trip bigint,
    purpose text,
    signal text,
    regime text,
    tier text,
    strength numeric,
    confidence numeric,
    strategy text,
    cycle_id bigint NOT NULL,
    config_hash text,
    -- What the model of costs says of the fee, in quote currency, and how what was charged differs from that.
    fee_expected numeric,
    fee_finding text CHECK (fee_finding IN ('dearer', 'cheaper', 'unpriced')),
    -- What it says of the slippage; null without a reference price.
    slippage_expected numeric
);
CREATE INDEX IF NOT EXISTS trade_costs_ts_us ON ledger.trade_costs (ts_us);
-- What readers ask for page by page: of one trip, of one symbol, of one kind.
CREATE INDEX IF NOT EXISTS trade_costs_trip ON ledger.trade_costs (trip, tape_sequence);
CREATE INDEX IF NOT EXISTS trade_costs_symbol ON ledger.trade_costs (symbol, tape_sequence);

-- One row for each round trip that ended. gross = edge - slippage and net = gross - fees + funding, exactly.
CREATE TABLE IF NOT EXISTS ledger.trips (
    number bigint PRIMARY KEY CHECK (number >= 1),
    symbol text NOT NULL,
    venue text NOT NULL,
    side text NOT NULL,
    opened_us bigint NOT NULL,
    closed_us bigint NOT NULL,
    opened_sequence bigint NOT NULL,
    closed_sequence bigint NOT NULL REFERENCES ledger.archive,
    -- Averages rounded to 18 places, for people only.
    entry_price numeric,
    exit_price numeric,
    quantity numeric NOT NULL,
    fills integer NOT NULL,
    gross numeric NOT NULL,
    edge numeric NOT NULL,
    slippage numeric NOT NULL,
    fees numeric NOT NULL,
    funding numeric NOT NULL,
    net numeric NOT NULL,
    -- What the protective stop would have lost; null without one. The result in R is net / risked.
    risked numeric,
    trigger text NOT NULL CHECK (trigger IN ('signal', 'stop', 'protection', 'flatten', 'bust', 'movement',
                                           'unknown')),
    signal text,
    regime text,
    tier text,
    strength numeric,
    confidence numeric,
    strategy text,
    cycle_id bigint,
    config_hash text,
    equity_before numeric NOT NULL,
    equity_after numeric NOT NULL,
    maker_share numeric NOT NULL,
    entry_order text,
    exit_order text,
    found_open boolean NOT NULL,
    CONSTRAINT trip_adds_up CHECK (gross = edge - slippage AND net = gross - fees + funding)
);
CREATE INDEX IF NOT EXISTS trips_closed_us ON ledger.trips (closed_us);
-- In the order in which they were committed: a trip that opened later may end sooner.
CREATE INDEX IF NOT EXISTS trips_closed_sequence ON ledger.trips (closed_sequence, number);
CREATE INDEX IF NOT EXISTS trips_symbol ON ledger.trips (symbol, closed_sequence, number);

-- One row for each books message, and one for the end of each UTC day.
CREATE TABLE IF NOT EXISTS ledger.equity (
    ts_us bigint NOT NULL,
    tape_sequence bigint PRIMARY KEY REFERENCES ledger.archive,
    equity numeric NOT NULL,
    cash numeric NOT NULL,
    cost numeric NOT NULL,
    unrealized numeric NOT NULL,
    realized numeric NOT NULL,
    fees numeric NOT NULL,
    moved numeric NOT NULL,
    funding numeric NOT NULL,
    peak numeric NOT NULL,
    drawdown numeric NOT NULL,
    exposure numeric NOT NULL,
    treasury numeric NOT NULL,
    -- Since the opening, so that a span's result comes out of its two ends: what came in or went out, with what was
    -- held at opening; what was charged apart from any trade; dust, and what is missing unexplained.
    transfers numeric NOT NULL,
    charges numeric NOT NULL,
    other numeric NOT NULL
);
CREATE INDEX IF NOT EXISTS equity_ts_us ON ledger.equity (ts_us);

-- One row for each UTC day that has ended and had a message: where its result came from. Fees are with what was charged
-- apart from any trade; other is dust, and what is missing unexplained.
CREATE TABLE IF NOT EXISTS ledger.days (
    day date PRIMARY KEY,
    edge numeric NOT NULL,
    slippage numeric NOT NULL,
    fees numeric NOT NULL,
    funding numeric NOT NULL,
    other numeric NOT NULL,
    net numeric NOT NULL,
    transfers numeric NOT NULL,
    equity_first numeric NOT NULL,
    equity_last numeric NOT NULL,
    CONSTRAINT day_adds_up CHECK (
        net = edge - slippage - fees + funding + other AND net = equity_last - equity_first - transfers)
);

-- Each state that execution has said of an order, as it lies in the archive, found by the order, by time and in order.
-- The id, 32 characters, is looked for in bytes: that cannot fail, and whatever lies under such a subject must be
-- archived. A quotation mark inside a text is escaped in JSON, so no detail of a message can be taken for the field.
CREATE INDEX IF NOT EXISTS archive_order_key ON ledger.archive
    (substring(body FROM nullif(position('"client_order_id":"'::bytea IN body), 0) + 19 FOR 32), tape_sequence)
    WHERE subject LIKE 'tape.%.execution.order.%';
CREATE INDEX IF NOT EXISTS archive_order_sequence ON ledger.archive (tape_sequence)
    WHERE subject LIKE 'tape.%.execution.order.%';
CREATE INDEX IF NOT EXISTS archive_order_stored_us ON ledger.archive (stored_us)
    WHERE subject LIKE 'tape.%.execution.order.%';
CREATE OR REPLACE VIEW ledger.order_states AS
    SELECT tape_sequence, stored_us, subject, body,
        substring(body FROM nullif(position('"client_order_id":"'::bytea IN body), 0) + 19 FOR 32) AS order_key
    FROM ledger.archive WHERE subject LIKE 'tape.%.execution.order.%';

-- What lies in the archive as JSON; null where it is none, so that one unreadable message hides no other.
CREATE OR REPLACE FUNCTION ledger.readable(body bytea) RETURNS json LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN convert_from(body, 'UTF8')::json;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;

CREATE INDEX IF NOT EXISTS entries_ts_us ON ledger.entries (ts_us);
-- Fills are most of the journal: whoever asks for them finds them by number, and each costs one index less.
CREATE INDEX IF NOT EXISTS entries_kind ON ledger.entries (kind, id) WHERE kind <> 'fill';

-- The checkpoint ----------------------------------------------------------------------------------------------

-- One row. The archive and the journal reach to archived_sequence, the journal's last entry is number entry; the core's
-- state is from state_sequence, at or before it, and is brought forward by replaying what lies between.
CREATE TABLE IF NOT EXISTS ledger.checkpoint (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    desk text,
    archived_sequence bigint NOT NULL CHECK (archived_sequence >= 0),
    chain_hash bytea NOT NULL CHECK (octet_length(chain_hash) = 32),
    entry bigint NOT NULL CHECK (entry >= 0),
    entry_hash bytea NOT NULL CHECK (octet_length(entry_hash) = 32),
    state_sequence bigint NOT NULL CHECK (state_sequence >= 0),
    state_message_id text,
    state jsonb,
    CONSTRAINT state_is_archived CHECK (state_sequence <= archived_sequence),
    CONSTRAINT state_is_whole CHECK (
        CASE WHEN state_sequence = 0 THEN num_nonnulls(state, state_message_id) = 0
             ELSE num_nulls(state, state_message_id) = 0 END)
);
INSERT INTO ledger.checkpoint (archived_sequence, chain_hash, entry, entry_hash, state_sequence)
    VALUES (0, decode(repeat('00', 32), 'hex'), 0, decode(repeat('00', 32), 'hex'), 0) ON CONFLICT DO NOTHING;

CREATE OR REPLACE FUNCTION ledger.advance_checkpoint() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.desk IS NULL OR NEW.desk IS DISTINCT FROM coalesce(OLD.desk, NEW.desk) THEN
        RAISE EXCEPTION 'these are the books of desk %, not of %', OLD.desk, NEW.desk
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'checkpoint_desk';
    END IF;
    IF NEW.archived_sequence < OLD.archived_sequence OR NEW.entry < OLD.entry
        OR NEW.state_sequence < OLD.state_sequence THEN
        RAISE EXCEPTION 'the checkpoint does not go back'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'checkpoint_advances';
    END IF;
    IF NEW.archived_sequence > 0 AND NEW.chain_hash IS DISTINCT FROM
        (SELECT chain_hash FROM ledger.archive WHERE tape_sequence = NEW.archived_sequence) THEN
        RAISE EXCEPTION 'the checkpoint at % is not the end of the archive', NEW.archived_sequence
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'checkpoint_is_archived';
    END IF;
    IF NEW.entry > 0 AND NEW.entry_hash IS DISTINCT FROM
        (SELECT chain_hash FROM ledger.entries WHERE id = NEW.entry) THEN
        RAISE EXCEPTION 'the checkpoint at entry % is not the end of the journal', NEW.entry
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'checkpoint_is_booked';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER advance_checkpoint BEFORE UPDATE ON ledger.checkpoint
    FOR EACH ROW EXECUTE FUNCTION ledger.advance_checkpoint();

-- The seals -----------------------------------------------------------------------------------------------------

-- Where archive and journal stood, signed with a key that is not in this database (tollgate_ledger.seal): who may
-- rewrite rows here, chains and all, and cannot read that key, cannot sign them.
CREATE TABLE IF NOT EXISTS ledger.seals (
    number bigint PRIMARY KEY CHECK (number >= 1),
    archived_sequence bigint NOT NULL UNIQUE REFERENCES ledger.archive,
    archive_hash bytea NOT NULL CHECK (octet_length(archive_hash) = 32),
    entry bigint NOT NULL CHECK (entry >= 0),
    entry_hash bytea NOT NULL CHECK (octet_length(entry_hash) = 32),
    at_us bigint NOT NULL CHECK (at_us >= 0),
    key_id text NOT NULL CHECK (key_id ~ '^[0-9a-f]{16}$'),
    signature bytea NOT NULL CHECK (octet_length(signature) = 64)
);

CREATE OR REPLACE FUNCTION ledger.continue_seals() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    previous ledger.seals;
BEGIN
    SELECT * INTO previous FROM ledger.seals ORDER BY number DESC LIMIT 1;
    IF NEW.number <> coalesce(previous.number, 0) + 1
        OR NEW.archived_sequence <= coalesce(previous.archived_sequence, 0)
        OR NEW.entry < coalesce(previous.entry, 0) THEN
        RAISE EXCEPTION 'seal % does not follow seal %', NEW.number, coalesce(previous.number, 0)
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'seals_follow';
    END IF;
    IF NEW.archive_hash IS DISTINCT FROM
            (SELECT chain_hash FROM ledger.archive WHERE tape_sequence = NEW.archived_sequence)
        OR NEW.entry_hash IS DISTINCT FROM coalesce(
            (SELECT chain_hash FROM ledger.entries WHERE id = NEW.entry), decode(repeat('00', 32), 'hex')) THEN
        RAISE EXCEPTION 'seal % is not of what is archived and booked', NEW.number
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'seal_is_of_these_books';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER continue_seals BEFORE INSERT ON ledger.seals
    FOR EACH ROW EXECUTE FUNCTION ledger.continue_seals();

-- Rights ------------------------------------------------------------------------------------------------------

REVOKE ALL ON SCHEMA ledger FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA ledger FROM PUBLIC, tollgate_ledger, tollgate_reader;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
GRANT USAGE ON SCHEMA ledger TO tollgate_ledger, tollgate_reader;
GRANT SELECT, INSERT ON ledger.archive, ledger.entries, ledger.postings TO tollgate_ledger;
GRANT SELECT, INSERT ON ledger.trade_costs, ledger.trips, ledger.equity, ledger.days TO tollgate_ledger;
GRANT SELECT, INSERT ON ledger.seals TO tollgate_ledger;
GRANT SELECT, UPDATE ON ledger.checkpoint TO tollgate_ledger;
GRANT SELECT ON ledger.balances, ledger.schema_version TO tollgate_ledger;
GRANT EXECUTE ON FUNCTION ledger.chain_hash, ledger.field, ledger.entry_hash TO tollgate_ledger, tollgate_reader;
GRANT EXECUTE ON FUNCTION ledger.check_balance, ledger.check_entry_chain, ledger.check_correction TO tollgate_ledger;
GRANT EXECUTE ON FUNCTION ledger.check_split TO tollgate_ledger;
GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO tollgate_reader;
GRANT EXECUTE ON FUNCTION ledger.readable TO tollgate_reader;

COMMIT;
