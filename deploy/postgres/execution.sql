-- Execution's own schema: the journal of what was sent to a venue, and the lease that fences its writers.
--
-- Apply it as a superuser, as often as you like; the roles tollgate_owner and tollgate_execution must be there.
--
-- The law: a row in the journal is committed before the first byte of its order leaves, and is never deleted.
-- An order without a row was never sent, unless the journal was restored from a backup (`restored` below says so); an
-- order with one may have been. Of one approval, and one leg of it, at most one row is of an order that may be live at
-- the venue: the next attempt is refused until the one before has ended.

BEGIN;

CREATE SCHEMA IF NOT EXISTS execution AUTHORIZATION tollgate_owner;
SET LOCAL ROLE tollgate_owner;

CREATE TABLE IF NOT EXISTS execution.schema_version (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    version integer NOT NULL CHECK (version > 0)
);
INSERT INTO execution.schema_version (version) VALUES (3) ON CONFLICT DO NOTHING;

-- Everything below is version 3, and versions 1 and 2 are made into it; a database of another version is not for this
-- file.
DO $$
DECLARE
    found integer := (SELECT version FROM execution.schema_version);
BEGIN
    IF found = 1 THEN
        DROP TRIGGER IF EXISTS journal_is_fenced ON execution.journal;
        DROP TRIGGER IF EXISTS journal_keeps_the_proof ON execution.journal;
        DROP INDEX IF EXISTS execution.journal_unsettled;
        ALTER TABLE execution.journal
            ADD COLUMN leg text NOT NULL DEFAULT 'ORDER',
            ADD COLUMN attempt integer NOT NULL DEFAULT 1,
            ADD COLUMN sends integer NOT NULL DEFAULT 1,
            ADD COLUMN ended_us bigint,
            DROP CONSTRAINT journal_decision_id_key,
            DROP CONSTRAINT journal_approval_hash_key;
        -- Of one that was only acknowledged it was not written when it ended: the next process asks the venue.
        UPDATE execution.journal SET ended_us = answered_us
        WHERE answered_us IS NOT NULL AND state IN ('FILLED', 'CANCELLED', 'REJECTED', 'EXPIRED');
        ALTER TABLE execution.journal
            ALTER COLUMN leg DROP DEFAULT,
            ALTER COLUMN attempt DROP DEFAULT,
            ADD CONSTRAINT journal_leg_check CHECK (leg IN ('ORDER', 'PROTECTION')),
            ADD CONSTRAINT journal_attempt_check CHECK (attempt BETWEEN 1 AND 100),
            ADD CONSTRAINT journal_sends_check CHECK (sends BETWEEN 1 AND 100),
            ADD CONSTRAINT journal_ended_us_check CHECK (ended_us >= 0),
            ADD CONSTRAINT journal_ends_answered CHECK (ended_us IS NULL OR answered_us IS NOT NULL),
            ADD CONSTRAINT journal_one_row_an_attempt UNIQUE (approval_hash, leg, attempt),
            ADD CONSTRAINT journal_one_decision_an_attempt UNIQUE (decision_id, leg, attempt);
    ELSIF found NOT IN (2, 3) THEN
        RAISE EXCEPTION 'the execution schema has version %, this file makes version 3', found;
    END IF;
    UPDATE execution.schema_version SET version = 3 WHERE version <> 3;
END $$;

CREATE TABLE IF NOT EXISTS execution.lease (
    desk text PRIMARY KEY CHECK (desk ~ '^[a-z][a-z0-9-]{0,31}$'),
    -- Rises with each taking; a writer that names an older epoch writes nothing.
    epoch bigint NOT NULL CHECK (epoch >= 1),
    holder text NOT NULL CHECK (length(holder) BETWEEN 1 AND 200),
    taken_us bigint NOT NULL CHECK (taken_us >= 0)
);

CREATE TABLE IF NOT EXISTS execution.journal (
    -- By which the venue knows it: each attempt has its own. Each id, and each attempt of an approval and of its
    -- decision, is used once, for ever: a second send fails here whatever memory has forgotten.
    client_order_id text PRIMARY KEY CHECK (client_order_id ~ '^tg[0-9a-f]{30}$'),
    decision_id text NOT NULL CHECK (length(decision_id) BETWEEN 1 AND 128),
    approval_hash text NOT NULL CHECK (approval_hash ~ '^[0-9a-f]{64}$'),
    -- The order itself, or the stop that protects what it has filled.
    leg text NOT NULL CONSTRAINT journal_leg_check CHECK (leg IN ('ORDER', 'PROTECTION')),
    attempt integer NOT NULL CONSTRAINT journal_attempt_check CHECK (attempt BETWEEN 1 AND 100),
    -- How often it may have left, always under the same id; more than once only after the venue had shown it absent.
    sends integer NOT NULL DEFAULT 1 CONSTRAINT journal_sends_check CHECK (sends BETWEEN 1 AND 100),
    -- The proof that risk approved it: the exact text, and the signature over it.
    approval_text text NOT NULL CHECK (length(approval_text) <= 4096),
    signature text NOT NULL CHECK (signature ~ '^[0-9a-f]{128}$'),
    key_id text NOT NULL CHECK (key_id ~ '^[0-9a-f]{16}$'),
    desk text NOT NULL,
    -- The lease under which it was last sent; the trigger below refuses any but the one in force.
    epoch bigint NOT NULL,
    state text NOT NULL DEFAULT 'PREPARED' CHECK (state ~ '^[A-Z_]{1,32}$'),
    prepared_us bigint NOT NULL CHECK (prepared_us >= 0),
    -- Written with the answer, off the order path: null says that nobody lived to write it, not that nothing was sent.
    sent_us bigint CHECK (sent_us >= 0),
    -- Null until it is known what became of the send.
    answered_us bigint CHECK (answered_us >= 0),
    answer jsonb,
    -- Null while an order of this row may be live at the venue.
    ended_us bigint CONSTRAINT journal_ended_us_check CHECK (ended_us >= 0),
    CHECK ((answered_us IS NULL) = (answer IS NULL)),
    CONSTRAINT journal_ends_answered CHECK (ended_us IS NULL OR answered_us IS NOT NULL),
    CONSTRAINT journal_one_row_an_attempt UNIQUE (approval_hash, leg, attempt),
    CONSTRAINT journal_one_decision_an_attempt UNIQUE (decision_id, leg, attempt)
);

-- The journal came out of a backup, so a row that is missing proves nothing: its order may have been sent after the
-- backup was made. `tollgate restore` writes this before anybody trades on the journal; execution removes it once the
-- venue has been asked about every such order and a round of reconciliation has agreed.
CREATE TABLE IF NOT EXISTS execution.restored (
    desk text PRIMARY KEY CHECK (desk ~ '^[a-z][a-z0-9-]{0,31}$'),
    at_us bigint NOT NULL CHECK (at_us >= 0)
);

-- The rows that a starting process must ask the venue about; there are never many.
CREATE INDEX IF NOT EXISTS journal_not_ended ON execution.journal (desk, prepared_us) WHERE ended_us IS NULL;

-- The fence. The lock makes a taking of the lease wait for the writes in flight, and a write for a taking in flight:
-- whoever has taken the lease sees every row of the holders before it, and no more can come. It stands before a new
-- row and before a row that allows another send.
CREATE OR REPLACE FUNCTION execution.hold_the_lease() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM execution.lease WHERE desk = NEW.desk AND epoch = NEW.epoch FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'epoch % of desk % is not in force: another process has taken the lease', NEW.epoch, NEW.desk
            USING ERRCODE = 'object_not_in_prerequisite_state', CONSTRAINT = 'journal_is_fenced';
    END IF;
    RETURN NEW;
END;
$$;
CREATE OR REPLACE TRIGGER journal_is_fenced BEFORE INSERT OR UPDATE OF sends, epoch ON execution.journal
    FOR EACH ROW EXECUTE FUNCTION execution.hold_the_lease();

-- One after the other: an attempt is written only when every one before it is there and has ended; of the order itself,
-- only when the venue has refused every one before it, so that an approval is filled once. None can come to life again,
-- so nothing that is written meanwhile makes this wrong; of two at once the unique constraint takes one.
CREATE OR REPLACE FUNCTION execution.follow_the_attempts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sends <> 1 OR NEW.answered_us IS NOT NULL OR NEW.attempt - 1 <> (
        SELECT count(*) FROM execution.journal
        WHERE approval_hash = NEW.approval_hash AND leg = NEW.leg AND attempt < NEW.attempt AND ended_us IS NOT NULL
            AND (leg <> 'ORDER' OR state = 'REJECTED'))
    THEN
        RAISE EXCEPTION 'attempt % of %: an earlier one may be live', NEW.attempt, NEW.client_order_id
            USING ERRCODE = 'object_not_in_prerequisite_state', CONSTRAINT = 'journal_attempts_follow';
    END IF;
    RETURN NEW;
END;
$$;
CREATE OR REPLACE TRIGGER journal_attempts_follow BEFORE INSERT ON execution.journal
    FOR EACH ROW EXECUTE FUNCTION execution.follow_the_attempts();

-- The approval is what was signed: nobody, the owner's own functions included, may write over it. A row that has its
-- answer learns only that its order is over, and then nothing more.
CREATE OR REPLACE FUNCTION execution.keep_the_proof() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.ended_us IS NOT NULL THEN
        RAISE EXCEPTION 'journal row % has ended already', OLD.client_order_id USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.answered_us IS NOT NULL AND (
        NEW.ended_us IS NULL OR (NEW.sent_us, NEW.answered_us, NEW.answer, NEW.sends)
        IS DISTINCT FROM (OLD.sent_us, OLD.answered_us, OLD.answer, OLD.sends))
    THEN
        RAISE EXCEPTION 'journal row % is settled already', OLD.client_order_id USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.client_order_id, NEW.decision_id, NEW.approval_hash, NEW.leg, NEW.attempt, NEW.approval_text,
        NEW.signature, NEW.key_id, NEW.desk, NEW.prepared_us)
       IS DISTINCT FROM
       (OLD.client_order_id, OLD.decision_id, OLD.approval_hash, OLD.leg, OLD.attempt, OLD.approval_text,
        OLD.signature, OLD.key_id, OLD.desk, OLD.prepared_us)
       -- A row says under which lease it was last sent: that changes with another send and with nothing else.
       OR NEW.sends NOT IN (OLD.sends, OLD.sends + 1) OR (NEW.sends = OLD.sends AND NEW.epoch <> OLD.epoch)
    THEN
        RAISE EXCEPTION 'journal row %: what was prepared does not change', OLD.client_order_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE OR REPLACE TRIGGER journal_keeps_the_proof BEFORE UPDATE ON execution.journal
    FOR EACH ROW EXECUTE FUNCTION execution.keep_the_proof();

-- A lease only rises: turning it back would let a fenced writer in again.
CREATE OR REPLACE FUNCTION execution.lease_only_rises() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.desk <> OLD.desk OR NEW.epoch <= OLD.epoch THEN
        RAISE EXCEPTION 'lease of %: epoch % does not rise above %', OLD.desk, NEW.epoch, OLD.epoch
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE OR REPLACE TRIGGER lease_rises BEFORE UPDATE ON execution.lease
    FOR EACH ROW EXECUTE FUNCTION execution.lease_only_rises();

REVOKE ALL ON SCHEMA execution FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA execution FROM PUBLIC, tollgate_execution;
GRANT USAGE ON SCHEMA execution TO tollgate_execution;
GRANT SELECT ON execution.schema_version TO tollgate_execution;
GRANT SELECT, INSERT ON execution.lease, execution.journal TO tollgate_execution;
GRANT SELECT, DELETE ON execution.restored TO tollgate_execution;
GRANT UPDATE (epoch, holder, taken_us) ON execution.lease TO tollgate_execution;
GRANT UPDATE (state, sent_us, answered_us, answer, ended_us, sends, epoch) ON execution.journal TO tollgate_execution;

COMMIT;
