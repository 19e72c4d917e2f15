-- The balance of an account at an instant is the balance after its last line by then: lines carry
-- it, and on one account no later line is recorded earlier. Lines that count at another time than
-- they were recorded are few, and listed.
ALTER TABLE core.accounts ADD COLUMN recorded_at timestamptz;
COMMENT ON COLUMN core.accounts.recorded_at IS
    'When the latest line was recorded; the next one is not recorded before it.';

CREATE TABLE core.dated_lines (
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    version bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    effective_at timestamptz NOT NULL CHECK (effective_at <> recorded_at),
    change numeric(38, 0) NOT NULL,
    PRIMARY KEY (tenant_id, account_id, version)
);
COMMENT ON TABLE core.dated_lines IS
    'Lines that count at another time than they were recorded, each with its change.';
CREATE INDEX dated_lines_recorded ON core.dated_lines (tenant_id, account_id, recorded_at);
COMMENT ON INDEX core.dated_lines_recorded IS
    'The lines around an instant that count at another time, next to each other.';
SELECT core.protect('core.dated_lines');
GRANT SELECT, INSERT ON core.dated_lines TO reli_app, reli_work;

CREATE POLICY migration ON core.accounts FOR ALL TO reli_owner USING (true);
CREATE POLICY migration ON core.entries FOR SELECT TO reli_owner USING (true);
CREATE POLICY migration ON core.transfers FOR SELECT TO reli_owner USING (true);
CREATE POLICY migration ON core.dated_lines FOR INSERT TO reli_owner WITH CHECK (true);
UPDATE core.accounts AS a SET recorded_at = greatest(
    (SELECT max(recorded_at) FROM core.transfers AS t
        WHERE t.tenant_id = a.tenant_id AND t.debit_account_id = a.id),
    (SELECT max(recorded_at) FROM core.transfers AS t
        WHERE t.tenant_id = a.tenant_id AND t.credit_account_id = a.id));
INSERT INTO core.dated_lines
SELECT e.tenant_id, l.account_id, l.version, e.recorded_at, e.effective_at,
    CASE WHEN t.kind IN ('regular', 'post') THEN l.sign * t.units ELSE 0 END
FROM core.entries AS e
JOIN core.transfers AS t ON t.tenant_id = e.tenant_id AND t.entry_id = e.id
CROSS JOIN LATERAL (VALUES (t.debit_account_id, t.debit_version, -1),
    (t.credit_account_id, t.credit_version, 1)) AS l (account_id, version, sign)
WHERE e.effective_at <> e.recorded_at;
DROP POLICY migration ON core.dated_lines;
DROP POLICY migration ON core.transfers;
DROP POLICY migration ON core.entries;
DROP POLICY migration ON core.accounts;

CREATE FUNCTION core.version_at(tenant uuid, account uuid, instant timestamptz) RETURNS bigint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    lowest bigint := 0;
    highest bigint := (SELECT version FROM core.accounts WHERE tenant_id = tenant AND id = account);
    middle bigint;
    recorded timestamptz;
BEGIN
    WHILE lowest < highest LOOP
        middle := (lowest + highest + 1) / 2;
        recorded := coalesce(
            (SELECT t.recorded_at FROM core.transfers AS t WHERE t.tenant_id = tenant
                AND t.debit_account_id = account AND t.debit_version = middle),
            (SELECT t.recorded_at FROM core.transfers AS t WHERE t.tenant_id = tenant
                AND t.credit_account_id = account AND t.credit_version = middle));
        IF recorded <= instant THEN
            lowest := middle;
        ELSE
            highest := middle - 1;
        END IF;
    END LOOP;
    RETURN lowest;
END $$;
COMMENT ON FUNCTION core.version_at(uuid, uuid, timestamptz) IS
    'The version of an account at an instant by the time of record, found by halving: lines are in '
    'the order of their times. What row security hides does not exist here either.';
REVOKE ALL ON FUNCTION core.version_at(uuid, uuid, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION core.version_at(uuid, uuid, timestamptz) TO reli_app, reli_work;
