CREATE INDEX dated_lines_effective
    ON core.dated_lines (tenant_id, account_id, effective_at, version);
COMMENT ON INDEX core.dated_lines_effective IS
    'The dated lines that a statement takes in, in its order.';

CREATE TABLE core.daily_closes (
    tenant_id uuid NOT NULL,
    day date NOT NULL,
    content bytea NOT NULL,
    digest bytea NOT NULL,
    closed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, day)
);
COMMENT ON TABLE core.daily_closes IS
    'What was recorded in a book on a day (UTC): written once, when the day is over.';
COMMENT ON COLUMN core.daily_closes.content IS 'Canonical JSON (RFC 8785), to be signed as it is.';
COMMENT ON COLUMN core.daily_closes.digest IS 'The SHA-256 of the content.';
SELECT core.protect('core.daily_closes');
GRANT SELECT ON core.daily_closes TO reli_app;
GRANT SELECT, INSERT ON core.daily_closes TO reli_work;

INSERT INTO core.leases (name) VALUES ('closer');

CREATE FUNCTION core.balance_after(tenant uuid, account uuid, version bigint) RETURNS numeric
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN t.debit_account_id = account THEN t.debit_balance_after
        ELSE t.credit_balance_after END
    FROM core.transfers AS t
    WHERE t.tenant_id = tenant AND t.id = core.line_at(tenant, account, version);
$$;
COMMENT ON FUNCTION core.balance_after(uuid, uuid, bigint) IS
    'The posted balance of an account at a version. What row security hides does not exist here.';
REVOKE ALL ON FUNCTION core.balance_after FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.balance_after TO reli_app, reli_work;
