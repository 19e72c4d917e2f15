-- Whether an instrument, a tenant or an LP may be traded with now, and who said so.

ALTER TABLE core.instruments ADD COLUMN trading_state text NOT NULL DEFAULT 'active'
    CHECK (trading_state IN ('active', 'reducing', 'halted'));
UPDATE core.instruments SET trading_state = 'halted' WHERE NOT is_open;
-- Servers of the release before go on reading it while this one is rolled out.
ALTER TABLE core.instruments DROP COLUMN is_open;
ALTER TABLE core.instruments
    ADD COLUMN is_open boolean NOT NULL GENERATED ALWAYS AS (trading_state = 'active') STORED;
GRANT UPDATE (trading_state) ON core.instruments TO reli_app;

ALTER TABLE core.tenants
    ADD COLUMN trading_state text NOT NULL DEFAULT 'active'
        CHECK (trading_state IN ('active', 'reducing', 'halted')),
    ADD COLUMN routing jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN core.tenants.routing IS
    'The rule that chooses the LP, by instrument; the best price where none is named.';

-- What it returns was written down, column by column, when it was made.
DROP FUNCTION core.list_tenants(uuid, integer);
CREATE FUNCTION core.list_tenants(before uuid, page_size integer)
    RETURNS SETOF core.tenants
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT t.* FROM core.tenants AS t
        WHERE (before IS NULL OR t.tenant_id < before)
            AND current_setting('app.tenant_id')::uuid = (SELECT house_id FROM core.environment)
        ORDER BY t.tenant_id DESC LIMIT least(page_size, 201);
    END;
COMMENT ON FUNCTION core.list_tenants(uuid, integer) IS
    'All tenants, for a unit of work of the house and for nobody else.';
REVOKE ALL ON FUNCTION core.list_tenants(uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.list_tenants(uuid, integer) TO reli_app;
GRANT CREATE, USAGE ON SCHEMA core TO reli_directory;
ALTER FUNCTION core.list_tenants(uuid, integer) OWNER TO reli_directory;
REVOKE CREATE ON SCHEMA core FROM reli_directory;

CREATE TABLE core.lps (
    name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9-]{0,30}$'),
    id uuid NOT NULL DEFAULT uuidv7(),
    trading_state text NOT NULL DEFAULT 'active'
        CHECK (trading_state IN ('active', 'reducing', 'halted')),
    circuit_state text NOT NULL DEFAULT 'closed'
        CHECK (circuit_state IN ('closed', 'open', 'half_open')),
    circuit_since timestamptz NOT NULL DEFAULT core.now(),
    failures_in_a_row integer NOT NULL DEFAULT 0 CHECK (failures_in_a_row >= 0),
    answers_in_a_row integer NOT NULL DEFAULT 0 CHECK (answers_in_a_row >= 0),
    window_began_at timestamptz NOT NULL DEFAULT core.now(),
    window_calls integer NOT NULL DEFAULT 0 CHECK (window_calls >= 0),
    window_failures integer NOT NULL DEFAULT 0
        CHECK (window_failures BETWEEN 0 AND window_calls)
);
COMMENT ON TABLE core.lps IS
    'How each LP stands, for all processes alike. The row of an LP is made when one connects to it.';
GRANT SELECT, INSERT, UPDATE ON core.lps TO reli_app, reli_work;

CREATE TABLE core.lp_tallies (
    lp text NOT NULL REFERENCES core.lps,
    minute timestamptz NOT NULL,
    quoted integer NOT NULL CHECK (quoted >= 0),
    refused integer NOT NULL CHECK (refused >= 0),
    late integer NOT NULL CHECK (late >= 0),
    failed integer NOT NULL CHECK (failed >= 0),
    filled integer NOT NULL CHECK (filled >= 0),
    rejected integer NOT NULL CHECK (rejected >= 0),
    unknown integer NOT NULL CHECK (unknown >= 0),
    not_sent integer NOT NULL CHECK (not_sent >= 0),
    quote_ms bigint NOT NULL CHECK (quote_ms >= 0),
    PRIMARY KEY (lp, minute)
);
COMMENT ON TABLE core.lp_tallies IS 'What became of the calls to an LP, by minute, for an hour.';
COMMENT ON COLUMN core.lp_tallies.quote_ms IS 'How long its quotes took together.';
GRANT SELECT, INSERT, UPDATE, DELETE ON core.lp_tallies TO reli_app, reli_work;

CREATE TABLE core.trading_state_changes (
    tenant_id uuid NOT NULL REFERENCES core.tenants,
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('instrument', 'tenant', 'lp')),
    name text NOT NULL,
    from_state text NOT NULL CHECK (from_state IN ('active', 'reducing', 'halted')),
    to_state text NOT NULL CHECK (to_state IN ('active', 'reducing', 'halted')),
    reason text NOT NULL,
    changed_by uuid NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE core.trading_state_changes IS
    'Who halted what, when and why; of an LP or an instrument in the book of the house.';
SELECT core.protect('core.trading_state_changes');
GRANT SELECT, INSERT ON core.trading_state_changes TO reli_app;

-- The rule that chose a quote's LP, and what it made of each answer.

ALTER TABLE core.quotes ADD COLUMN routing text NOT NULL DEFAULT 'best_price'
    CHECK (routing IN ('best_price', 'primary_backup', 'score'));
ALTER TABLE core.lp_answers
    ADD COLUMN score integer CHECK (score BETWEEN 0 AND 1000000),
    DROP CONSTRAINT lp_answers_verdict_check,
    ADD CONSTRAINT lp_answers_verdict_check CHECK (verdict IN ('used', 'outbid', 'refused',
        'too_late', 'failed', 'unusable', 'outranked', 'not_asked'));
COMMENT ON COLUMN core.lp_answers.score IS 'In millionths, where the rule gives scores.';
