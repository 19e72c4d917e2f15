-- Each listing made a row of its own for each account, and with it an entry in another place of an
-- index that outgrew the memory. Now it adds to the account's last row, which stays where it is.
ALTER TABLE core.account_lines RENAME TO account_lines_before;
ALTER TABLE core.account_lines_before RENAME CONSTRAINT account_lines_pkey
    TO account_lines_before_pkey;
CREATE TABLE core.account_lines (
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    first_version bigint NOT NULL CHECK (first_version % 100 = 1),
    newest_first uuid[] NOT NULL CHECK (cardinality(newest_first) BETWEEN 1 AND 100),
    last_version bigint GENERATED ALWAYS AS (first_version - 1 + cardinality(newest_first)) VIRTUAL,
    transfer_ids uuid[] GENERATED ALWAYS AS (array_reverse(newest_first)) VIRTUAL,
    PRIMARY KEY (tenant_id, account_id, first_version)
) WITH (fillfactor = 65); -- three full rows, and room for one that grows
COMMENT ON TABLE core.account_lines IS
    'The transfers that are an account''s lines, 100 in each row but the last one: the first of them '
    'made the version named, the next one the next version.';
COMMENT ON COLUMN core.account_lines.newest_first IS
    'The transfers in the order in which they are added. What a row ends with is not logged again '
    'when it is changed (XLH_UPDATE_SUFFIX_FROM_OLD in PostgreSQL''s heapam_xlog.h), so new ones come '
    'before those that are there.';
SELECT core.protect('core.account_lines');
CREATE POLICY lister ON core.account_lines FOR ALL TO reli_work USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (newest_first) ON core.account_lines TO reli_app, reli_work;

CREATE OR REPLACE FUNCTION core.list_lines(at_most bigint) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER
    SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET enable_seqscan = off AS $$
DECLARE
    listed_transfers bigint;
    follow_each_other boolean;
BEGIN
    WITH next AS (
        -- An account's lines are recorded in the order of their versions, so those that come first
        -- are there before those that follow; what was recorded at one time is taken together.
        SELECT place FROM (
            SELECT place, sum(transfers) OVER (ORDER BY tenant_id, recorded_at)
                - sum(transfers) OVER (PARTITION BY tenant_id, recorded_at) AS before
            FROM (
                SELECT ctid AS place, tenant_id, recorded_at, transfers FROM core.unlisted_lines
                ORDER BY tenant_id, recorded_at FETCH FIRST 10000 ROWS WITH TIES
            ) AS oldest
        ) AS summed
        WHERE before < at_most
    ), locked AS MATERIALIZED (
        -- Somebody else may be listing them: then they are gone when this goes on.
        SELECT u.ctid AS place, u.* FROM core.unlisted_lines AS u
        WHERE u.ctid = ANY (ARRAY(SELECT place FROM next))
        ORDER BY u.tenant_id, u.recorded_at, u.id FOR UPDATE
    ), dropped AS (
        DELETE FROM core.unlisted_lines WHERE ctid = ANY (ARRAY(SELECT place FROM locked))
    ), lines AS (
        SELECT tenant_id, account_id, coalesce(version, versions[1]) AS version, transfer_id
        FROM (
            SELECT tenant_id, unnest(transfer_ids) AS transfer_id,
                unnest(debit_account_ids) AS account_id, unnest(debit_versions) AS version,
                debit_versions AS versions
            FROM locked
            UNION ALL
            SELECT tenant_id, unnest(transfer_ids), unnest(credit_account_ids),
                unnest(credit_versions), credit_versions
            FROM locked
        ) AS l
    ), blocks AS MATERIALIZED (
        -- Sorted by what differs first: most lines are of few tenants.
        SELECT tenant_id, account_id, (version - 1) / 100 * 100 + 1 AS first_version,
            max(version) AS last_version, array_agg(transfer_id ORDER BY version DESC) AS newest_first
        FROM lines GROUP BY account_id, (version - 1) / 100, tenant_id
    ), listed AS (
        INSERT INTO core.account_lines AS l (tenant_id, account_id, first_version, newest_first)
        SELECT tenant_id, account_id, first_version, newest_first FROM blocks
        ON CONFLICT (tenant_id, account_id, first_version)
        DO UPDATE SET newest_first = EXCLUDED.newest_first || l.newest_first
        RETURNING l.last_version
    )
    SELECT (SELECT coalesce(sum(transfers), 0) FROM locked),
        (SELECT sum(last_version) FROM blocks) IS NOT DISTINCT FROM
            (SELECT sum(last_version) FROM listed)
    INTO listed_transfers, follow_each_other;
    -- A place in the list is all that says which version a transfer made.
    IF NOT follow_each_other THEN
        RAISE EXCEPTION 'lines do not follow those that are listed' USING ERRCODE = 'data_corrupted';
    END IF;
    RETURN listed_transfers;
END $$;

CREATE OR REPLACE FUNCTION core.line_at(tenant uuid, account uuid, version bigint) RETURNS uuid
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT l.newest_first[l.last_version - version + 1]
    FROM core.account_lines AS l
    WHERE l.tenant_id = tenant AND l.account_id = account
        AND l.first_version = (version - 1) / 100 * 100 + 1;
$$;

CREATE POLICY migration ON core.account_lines_before FOR SELECT TO reli_owner USING (true);
CREATE POLICY migration ON core.account_lines FOR INSERT TO reli_owner WITH CHECK (true);
INSERT INTO core.account_lines (tenant_id, account_id, first_version, newest_first)
SELECT tenant_id, account_id, (version - 1) / 100 * 100 + 1,
    array_agg(transfer_id ORDER BY version DESC)
FROM (
    SELECT tenant_id, account_id, last_version - cardinality(transfer_ids) + place, transfer_id
    FROM core.account_lines_before
    CROSS JOIN LATERAL unnest(transfer_ids) WITH ORDINALITY AS line (transfer_id, place)
) AS l (tenant_id, account_id, version, transfer_id)
GROUP BY tenant_id, account_id, (version - 1) / 100;
DROP POLICY migration ON core.account_lines;
DROP TABLE core.account_lines_before;
