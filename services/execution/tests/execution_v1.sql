-- Execution's own schema: the journal of what was sent to a venue, and the lease that fences its writers.
--
-- Apply it as a superuser, as often as you like; the roles tollgate_owner and tollgate_execution must be there.
--
-- The law: a row in the journal is committed before the first byte of its order leaves, and is never deleted.
-- An order without a row was never sent; an order with one may have been.

BEGIN;

CREATE SCHEMA IF NOT EXISTS execution AUTHORIZATION tollgate_owner;
SET LOCAL ROLE tollgate_owner;

CREATE TABLE IF NOT EXISTS execution.schema_version (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    version integer NOT NULL CHECK (version > 0)
);
INSERT INTO execution.schema_version (version) VALUES (1) ON CONFLICT DO NOTHING;

-- Everything below is version 1; a database of another version is not for this file.
DO $$
BEGIN
    IF (SELECT version FROM execution.schema_version) <> 1 THEN
        RAISE EXCEPTION 'the execution schema has version %, this file makes version 1',
            (SELECT version FROM execution.schema_version);
    END IF;
END $$;

CREATE TABLE IF NOT EXISTS execution.lease (
    desk text PRIMARY KEY CHECK (desk ~ '^[a-z][a-z0-9-]{0,31}$'),
    -- Rises with each taking; a writer that names an older epoch writes nothing.
    epoch bigint NOT NULL CHECK (epoch >= 1),
    holder text NOT NULL CHECK (length(holder) BETWEEN 1 AND 200),
    taken_us bigint NOT NULL CHECK (taken_us >= 0)
);

CREATE TABLE IF NOT EXISTS execution.journal (
    -- Each of these three is used once, for ever: a second send fails here whatever memory has forgotten.
    client_order_id text PRIMARY KEY CHECK (client_order_id ~ '^tg[0-9a-f]{30}$'),
    decision_id text NOT NULL UNIQUE CHECK (length(decision_id) BETWEEN 1 AND 128),
    approval_hash text NOT NULL UNIQUE CHECK (approval_hash ~ '^[0-9a-f]{64}$'),
    -- The proof that risk approved it: the exact text, and the signature over it.
    approval_text text NOT NULL CHECK (length(approval_text) <= 4096),
    signature text NOT NULL CHECK (signature ~ '^[0-9a-f]{128}$'),
    key_id text NOT NULL CHECK (key_id ~ '^[0-9a-f]{16}$'),
    desk text NOT NULL,
    -- The lease under which it was written; the trigger below refuses any but the one in force.
    epoch bigint NOT NULL,
    state text NOT NULL DEFAULT 'PREPARED' CHECK (state ~ '^[A-Z_]{1,32}$'),
    prepared_us bigint NOT NULL CHECK (prepared_us >= 0),
    -- Written with the answer, off the order path: null says that nobody lived to write it, not that nothing was sent.
    sent_us bigint CHECK (sent_us >= 0),
    -- Null until it is known what became of the send.
    answered_us bigint CHECK (answered_us >= 0),
    answer jsonb,
    CHECK ((answered_us IS NULL) = (answer IS NULL))
);

-- The rows that a starting process must ask the venue about; there are never many.
CREATE INDEX IF NOT EXISTS journal_unsettled ON execution.journal (desk, prepared_us) WHERE answered_us IS NULL;

-- The fence. The lock makes a taking of the lease wait for the inserts in flight, and an insert for a taking in
-- flight: whoever has taken the lease sees every row of the holders before it, and no more can come.
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
CREATE OR REPLACE TRIGGER journal_is_fenced BEFORE INSERT ON execution.journal
    FOR EACH ROW EXECUTE FUNCTION execution.hold_the_lease();

-- The approval is what was signed: nobody, the owner's own functions included, may write over it.
CREATE OR REPLACE FUNCTION execution.keep_the_proof() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.answered_us IS NOT NULL THEN
        RAISE EXCEPTION 'journal row % is settled already', OLD.client_order_id USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.client_order_id, NEW.decision_id, NEW.approval_hash, NEW.approval_text, NEW.signature, NEW.key_id,
        NEW.desk, NEW.epoch, NEW.prepared_us)
       IS DISTINCT FROM
       (OLD.client_order_id, OLD.decision_id, OLD.approval_hash, OLD.approval_text, OLD.signature, OLD.key_id,
        OLD.desk, OLD.epoch, OLD.prepared_us)
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
GRANT UPDATE (epoch, holder, taken_us) ON execution.lease TO tollgate_execution;
GRANT UPDATE (state, sent_us, answered_us, answer) ON execution.journal TO tollgate_execution;

COMMIT;
